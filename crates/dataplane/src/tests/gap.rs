//! A guest that changes between its synthetic adapter and its VF while others send to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ethernet::MacAddr;
use nic_switch::{BumPath, FilterId, VPortId};
use port::BURST;
use proptest::prelude::*;
use vswitch::{
    NicChanges, NicParameters, NicType, PortId, PortParameters, PortPolicy, PortType, Security,
    SwitchParameters, SwitchType, VSwitch, VfPath,
};

use super::port::{Guest, frame, wait};
use super::{place, switch};
use crate::{
    Attachment, Config, Dataplane, Doorbell, Extent, GapCounters, GapLimits, GapReport, GapState, Handle,
    Place, PortCounters, Snapshot, Switches,
};

const NIC: Place = Place::Nic(0);
const SENDERS: usize = 3;

/// A guest with NIC 0 and a VF on VPort 1, both with one address; a VF on VPort 2, NIC 1 and the wire send to it.
struct Pair {
    dataplane: Dataplane,
    extent: Extent,
    vswitch: VSwitch,
    ports: [PortId; 2],
    vf: Arc<Guest>,
    nic: Arc<Guest>,
    counters: [Arc<PortCounters>; 2],
    senders: [(Place, MacAddr, Arc<Guest>); SENDERS],
    sent: [u32; SENDERS],
}

fn vport() -> VPortId {
    VPortId(1)
}

fn guest_mac() -> MacAddr {
    switch::mac(1)
}

impl Pair {
    /// The guest is on its NIC.
    fn new() -> Self {
        let parameters = SwitchParameters {
            name: "switch".into(),
            kind: SwitchType::External,
            bandwidth: None,
            nic_enforces: vswitch::NicEnforces::default(),
        };
        let cycles = sys::clock::cycles_per_microsecond() * 1_000_000;
        let mut vswitch = VSwitch::create(parameters, cycles, 1).unwrap();
        let other = MacAddr([2, 0, 0, 0, 1, 1]);
        let mut add = |kind, nic_kind, permanent_mac| {
            let port = vswitch.create_port(PortParameters { kind, ..PortParameters::default() }).unwrap();
            let nic = NicParameters { kind: nic_kind, permanent_mac, ..NicParameters::default() };
            vswitch.create_nic(port, nic).unwrap();
            vswitch.connect_nic(port).unwrap();
            port
        };
        add(PortType::External, NicType::External, MacAddr::ZERO);
        let ports = [guest_mac(), other].map(|mac| add(PortType::Synthetic, NicType::Synthetic, mac));
        let extent = Extent { vports: switch::capabilities().max_vports as usize, nics: 2 };
        let config = Config { ageing_seconds: vec![300], ..Config::default() };
        let snapshot = Snapshot::new(extent, switch::forwarding(2));
        let dataplane = Dataplane::start(&config, &switch::capabilities(), snapshot).unwrap();
        let vf = Guest::with_room(usize::MAX);
        let senders = [
            (place(2), switch::mac(2)),
            (Place::Nic(1), other),
            (Place::Physical, MacAddr([2, 0, 0, 0, 2, 2])),
        ];
        let pair = Self {
            dataplane,
            extent,
            vswitch,
            ports,
            nic: Guest::sharing_with(&vf),
            vf,
            counters: Default::default(),
            senders: senders.map(|(place, mac)| (place, mac, Guest::with_room(usize::MAX))),
            sent: [0; SENDERS],
        };
        pair.vf.stopped.store(true, Ordering::SeqCst);
        pair.attach_vf();
        pair.attach_nic();
        for (place, _, guest) in &pair.senders {
            pair.attach(*place, guest, &Arc::default());
        }
        let mut pair = pair;
        pair.lead_nic_switch(false);
        pair.lead_vswitch(false);
        pair
    }

    fn handle(&self) -> Handle {
        self.dataplane.handle()
    }

    fn attach(&self, place: Place, guest: &Arc<Guest>, counters: &Arc<PortCounters>) {
        let (port, counters) = (guest.port(), Arc::clone(counters));
        self.handle().attach(place, Attachment { port, counters, doorbell: Doorbell::Kick });
        // What there is to do for a port that has just come is done.
        self.handle().quiesce();
        self.handle().quiesce();
    }

    fn attach_vf(&self) {
        self.attach(place(1), &self.vf, &self.counters[0]);
    }

    fn attach_nic(&self) {
        let deaf = self.nic.forbidden.swap(false, Ordering::SeqCst);
        self.attach(NIC, &self.nic, &self.counters[1]);
        self.nic.forbidden.store(deaf, Ordering::SeqCst);
    }

    fn lead_nic_switch(&mut self, to_vf: bool) {
        let mut nic_switch = switch::nic_switch(2);
        if !to_vf {
            nic_switch.clear_filter(FilterId(1)).unwrap();
        }
        self.handle().publish_nic_switch(nic_switch.snapshot(true));
        self.handle().quiesce();
    }

    fn lead_vswitch(&mut self, to_vf: bool) {
        let path = if to_vf { VfPath::Active(BumPath::Vf) } else { VfPath::None };
        self.vswitch
            .update_nic(self.ports[0], NicChanges { vf: Some(path), ..NicChanges::default() })
            .unwrap();
        let mut switches = Switches::new(self.extent, [Arc::new(self.vswitch.snapshot())]);
        switches.connect(0, 0, self.ports[0]);
        switches.connect(1, 0, self.ports[1]);
        self.handle().publish_switches(&Arc::new(switches));
        self.handle().quiesce();
    }

    fn arm(&self, limits: GapLimits) -> Arc<GapCounters> {
        self.handle().arm_gap(0, vport(), limits).unwrap()
    }

    /// The VF's driver opens its ring, and net_failover listens to it alone.
    fn open(&self) {
        self.vf.stopped.store(false, Ordering::SeqCst);
        self.nic.forbidden.store(true, Ordering::SeqCst);
    }

    fn close(&self) {
        self.vf.stopped.store(true, Ordering::SeqCst);
        self.handle().quiesce();
    }

    /// The VF's netdev is unregistered: the synthetic adapter hears.
    fn unregister(&self) {
        self.nic.forbidden.store(false, Ordering::SeqCst);
    }

    fn post(&mut self, sender: usize, broadcast: bool) {
        let (_, mac, guest) = &self.senders[sender];
        let to = if broadcast { MacAddr::BROADCAST } else { guest_mac() };
        guest.outbox.lock().unwrap().push_back(frame(*mac, to, self.sent[sender]));
        self.sent[sender] += 1;
    }

    /// Has frames sent that were posted.
    fn send(&self) {
        for (place, _, guest) in &self.senders {
            self.handle().kick(*place).kick();
            wait("frames to be sent", || guest.outbox.lock().unwrap().is_empty());
        }
        self.handle().quiesce();
    }

    fn post_and_send(&mut self, frames: &[(usize, bool)]) {
        frames.iter().for_each(|(sender, broadcast)| self.post(*sender, *broadcast));
        self.send();
    }

    /// The guest's frames, by sender.
    fn received(&self) -> [Vec<u32>; SENDERS] {
        let inbox = self.vf.received();
        self.senders.each_ref().map(|(_, mac, _)| {
            let mine = inbox.iter().filter(|frame| frame[6..12] == mac.0);
            mine.map(|frame| u32::from_be_bytes(frame[14..18].try_into().unwrap())).collect()
        })
    }

    fn expected(&self) -> [Vec<u32>; SENDERS] {
        self.sent.map(|count| (0..count).collect())
    }

    fn switch_back(&mut self) {
        self.lead_vswitch(false);
        self.lead_nic_switch(false);
        self.handle().release(0, NIC).unwrap();
    }

    /// On the VF, with a gap armed.
    fn on_vf(limits: GapLimits) -> (Self, Arc<GapCounters>) {
        let mut pair = Self::new();
        let gap = pair.arm(limits);
        pair.lead_nic_switch(true);
        pair.lead_vswitch(true);
        pair.open();
        (pair, gap)
    }
}

fn wait_for(gap: &GapCounters, state: GapState) -> GapReport {
    wait("the gap to end", || gap.read().state == state);
    gap.read()
}

/// Some frames by some senders, unicast or broadcast.
fn traffic() -> impl Strategy<Value = Vec<(usize, bool)>> {
    prop::collection::vec((0..SENDERS, prop::bool::weighted(0.3)), 0..4)
}

/// One stay on the VF, and what is sent between its steps.
#[derive(Clone, Debug)]
struct Stay {
    traffic: Vec<Vec<(usize, bool)>>,
    /// Times that the driver closes its ring and opens it again.
    toggles: usize,
    /// The driver never comes.
    gives_up: bool,
    /// The ports are replaced while frames are kept.
    reattach: bool,
    /// The control side hears of the closed ring before the filter is moved, or the data path sees it first.
    holds: bool,
}

fn stay() -> impl Strategy<Value = Stay> {
    let traffic = prop::collection::vec(traffic(), 20);
    (traffic, 0..3_usize, prop::bool::weighted(0.2), any::<bool>(), any::<bool>()).prop_map(
        |(traffic, toggles, gives_up, reattach, holds)| Stay { traffic, toggles, gives_up, reattach, holds },
    )
}

fn run(pair: &mut Pair, stay: &Stay) {
    let mut traffic = stay.traffic.iter();
    let mut send = |pair: &mut Pair| pair.post_and_send(traffic.next().unwrap());
    let handle = pair.handle();
    let gap = pair.arm(GapLimits::default());
    send(pair);
    handle.hold(0).unwrap();
    send(pair);
    // The new path first: in between a broadcast finds both.
    pair.lead_nic_switch(true);
    send(pair);
    if stay.gives_up {
        pair.lead_nic_switch(false);
        send(pair);
        handle.release(0, NIC).unwrap();
        wait_for(&gap, GapState::Over);
        return;
    }
    pair.lead_vswitch(true);
    send(pair);
    pair.open();
    send(pair);
    handle.release(0, place(1)).unwrap();
    send(pair);
    for _ in 0..stay.toggles {
        wait_for(&gap, GapState::Armed);
        pair.close();
        send(pair);
        pair.open();
        send(pair);
        handle.release(0, place(1)).unwrap();
        send(pair);
    }
    wait_for(&gap, GapState::Armed);
    pair.close();
    if !stay.holds {
        // The wire sends to the guest alone: one path is closed, and the frame must not find the other.
        pair.post_and_send(&[(2, false)]);
        assert_eq!(gap.read().state, GapState::Holding);
    }
    handle.hold(0).unwrap();
    send(pair);
    if stay.reattach {
        handle.detach(NIC);
        handle.detach(place(1));
        send(pair);
        pair.attach_nic();
        pair.attach_vf();
    }
    send(pair);
    pair.unregister();
    pair.lead_vswitch(false);
    send(pair);
    pair.lead_nic_switch(false);
    send(pair);
    handle.release(0, NIC).unwrap();
    send(pair);
    let report = wait_for(&gap, GapState::Over);
    assert_eq!((report.lost(), report.waiting(), report.released), (0, 0, report.held));
    send(pair);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn planned_switches_lose_duplicate_and_reorder_nothing(stays in prop::collection::vec(stay(), 1..4)) {
        let mut pair = Pair::new();
        for stay in &stays {
            run(&mut pair, stay);
        }
        prop_assert_eq!(pair.received(), pair.expected());
        prop_assert_eq!(pair.nic.violations.load(Ordering::SeqCst), 0, "sent to the standby while a VF is registered");
        let drops: Vec<_> = pair.counters.iter().flat_map(|counters| counters.read().drops).collect();
        prop_assert_eq!(drops, vec![]);
    }
}

#[test]
fn a_guest_that_moves_under_full_traffic_gets_each_frame_once_in_order() {
    let (mut pair, _gap) = Pair::on_vf(GapLimits::default());
    let per_switch = 600;
    for round in 0..20 {
        (0..per_switch).for_each(|n| pair.post(n % SENDERS, n % 50 == 0));
        for (place, ..) in &pair.senders {
            pair.handle().kick(*place).kick();
        }
        if round % 2 == 0 {
            pair.close();
            pair.handle().hold(0).unwrap();
            pair.unregister();
            pair.switch_back();
        } else {
            // It may still be drained to the NIC: then it goes on with the VF.
            let _gap = pair.arm(GapLimits::default());
            pair.handle().hold(0).unwrap();
            pair.lead_nic_switch(true);
            pair.lead_vswitch(true);
            pair.open();
            pair.handle().release(0, place(1)).unwrap();
        }
    }
    pair.send();
    wait("all frames", || pair.received().iter().map(Vec::len).sum::<usize>() == 20 * per_switch);
    assert_eq!(pair.received(), pair.expected());
}

#[test]
fn without_a_gap_a_closed_ring_loses_frames() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.handle().disarm_gap(0);
    assert_eq!(gap.read().state, GapState::Over);
    pair.close();
    pair.post_and_send(&[(0, false), (2, true)]);
    assert_eq!(pair.counters[0].read().drops, [("rx_not_ready", 2)]);
    assert!(pair.handle().hold(0).is_err());
    assert!(pair.handle().release(0, NIC).is_err());
}

#[test]
fn the_newest_frames_are_lost_when_the_buffer_is_full() {
    let limits = GapLimits { octets: 4096, frames: 1000 };
    for limits in [limits, GapLimits { octets: 1 << 20, frames: 64 }] {
        let (mut pair, gap) = Pair::on_vf(limits);
        pair.close();
        // The wire waits for nobody.
        pair.post_and_send(&[(2, false); 100]);
        let report = gap.read();
        assert_eq!((report.held, report.held_octets, report.overflowed), (64, 4096, 36));
        assert_eq!(pair.counters[0].read().drops, [("rx_gap_overflow", 36)]);
        // A local sender is held back for a while, and then loses what there is no room for.
        pair.post_and_send(&[(0, false)]);
        assert_eq!(gap.read().overflowed, 37);
        pair.nic.room.store(0, Ordering::SeqCst);
        pair.unregister();
        pair.switch_back();
        pair.post_and_send(&[(2, false)]);
        assert_eq!((gap.read().state, gap.read().overflowed), (GapState::Draining, 38));
        assert_eq!(pair.counters[1].read().drops, [("rx_gap_overflow", 1)]);
        pair.nic.room.store(usize::MAX, Ordering::SeqCst);
        let report = wait_for(&gap, GapState::Over);
        assert_eq!((report.released, report.lost(), report.waiting()), (64, 38, 0));
        assert_eq!(pair.received(), [vec![], vec![], (0..64).collect()]);
    }
}

#[test]
fn a_frame_longer_than_the_buffer_is_not_waited_for() {
    let (mut pair, gap) = Pair::on_vf(GapLimits { octets: 0, frames: 0 });
    pair.close();
    pair.post_and_send(&[(0, false), (1, false), (2, true)]);
    let report = gap.read();
    assert_eq!((report.held, report.overflowed), (0, 3));
}

#[test]
fn a_slow_receiver_is_drained_into_as_it_makes_room_and_newer_frames_stay_behind() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.close();
    pair.post_and_send(&[(0, false), (1, true), (2, false), (0, true), (0, false)]);
    pair.nic.room.store(0, Ordering::SeqCst);
    pair.unregister();
    pair.switch_back();
    for taken in 0..20 {
        assert_eq!(pair.vf.received().len(), taken);
        pair.post_and_send(&[(taken % SENDERS, taken % 4 == 0)]);
        assert_eq!(gap.read().state, GapState::Draining);
        // Nobody rings for that.
        pair.nic.room.store(1, Ordering::SeqCst);
        wait("a frame", || pair.vf.received().len() > taken);
    }
    pair.nic.room.store(usize::MAX, Ordering::SeqCst);
    let report = wait_for(&gap, GapState::Over);
    assert_eq!(pair.received(), pair.expected());
    assert_eq!((report.held, report.released, report.lost()), (25, 25, 0));
    assert!(report.longest_wait > 0);
    assert_eq!(pair.counters[1].read().received.frames, 25);
}

#[test]
fn a_receiver_that_closes_while_it_is_drained_into_gets_the_rest_later_or_elsewhere() {
    for elsewhere in [false, true] {
        let (mut pair, gap) = Pair::on_vf(GapLimits::default());
        pair.close();
        pair.post_and_send(&[(2, false); 10]);
        pair.vf.room.store(3, Ordering::SeqCst);
        pair.open();
        pair.handle().release(0, place(1)).unwrap();
        wait("some frames", || pair.vf.received().len() == 3);
        pair.close();
        pair.vf.room.store(usize::MAX, Ordering::SeqCst);
        pair.post_and_send(&[(0, false)]);
        assert_eq!(gap.read().waiting(), 8);
        if elsewhere {
            pair.unregister();
            pair.switch_back();
        } else {
            pair.open();
        }
        wait_for(&gap, if elsewhere { GapState::Over } else { GapState::Armed });
        assert_eq!(pair.received(), pair.expected());
        let drops: Vec<_> = pair.counters.iter().flat_map(|counters| counters.read().drops).collect();
        assert_eq!(drops, []);
    }
}

#[test]
fn nothing_leaves_the_buffer_of_a_gap_that_holds_again() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.close();
    pair.post_and_send(&[(2, false); 3]);
    pair.handle().release(0, place(1)).unwrap();
    pair.handle().hold(0).unwrap();
    assert_eq!(gap.read().state, GapState::Holding);
    pair.open();
    pair.post_and_send(&[(0, true)]);
    (0..100).for_each(|_| pair.handle().quiesce());
    assert_eq!((pair.vf.received().len(), gap.read().waiting()), (0, 4));
    pair.handle().release(0, place(1)).unwrap();
    wait_for(&gap, GapState::Armed);
    assert_eq!(pair.received(), pair.expected());
}

#[test]
fn frames_of_the_guest_itself_never_come_back_to_it() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    // A guest that is a bridge: by the source address alone the switches do not know it.
    let security = Security { allow_mac_spoofing: true, ..Security::default() };
    let policy = PortPolicy { security, ..PortPolicy::default() };
    pair.vswitch.set_policy(pair.ports[0], policy).unwrap();
    pair.lead_vswitch(true);
    pair.handle().hold(0).unwrap();
    pair.unregister();
    let behind = MacAddr([2, 0, 0, 0, 7, 7]);
    let own = [guest_mac(), behind].map(|mac| frame(mac, MacAddr::BROADCAST, 1));
    pair.nic.outbox.lock().unwrap().extend(own.clone());
    pair.handle().kick(NIC).kick();
    wait("frames to be sent", || pair.nic.outbox.lock().unwrap().is_empty());
    pair.handle().quiesce();
    assert_eq!((gap.read().held, gap.read().overflowed), (0, 0));
    assert_eq!(pair.senders[0].2.received(), own, "others hear them");
}

#[test]
fn what_is_left_when_a_gap_is_given_up_is_counted() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.close();
    pair.post_and_send(&[(2, false); 5]);
    pair.handle().disarm_gap(0);
    let report = gap.read();
    assert_eq!((report.state, report.discarded, report.waiting()), (GapState::Over, 5, 0));
    assert_eq!(pair.counters[1].read().drops, [("rx_gap_discarded", 5)]);

    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.close();
    pair.post_and_send(&[(2, false); 5]);
    drop(pair);
    assert_eq!((gap.read().state, gap.read().discarded), (GapState::Over, 5));
}

#[test]
fn a_vport_that_a_gap_let_go_of_is_another_guest_s() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.close();
    pair.post_and_send(&[(2, false); 3]);
    pair.nic.room.store(0, Ordering::SeqCst);
    pair.unregister();
    pair.switch_back();
    // Another guest has the VF before all of it is drained.
    let other = Guest::with_room(10);
    pair.attach(place(1), &other, &Arc::default());
    pair.lead_nic_switch(true);
    pair.post_and_send(&[(2, false)]);
    assert_eq!((other.received().len(), gap.read().held), (1, 3));
    // And its own gap, while that of the first is still there.
    let second = pair.handle().arm_gap(1, vport(), GapLimits::default()).unwrap();
    other.stopped.store(true, Ordering::SeqCst);
    pair.post_and_send(&[(2, false)]);
    assert_eq!((second.read().held, gap.read().held), (1, 3));
    pair.handle().arm_gap(0, vport(), GapLimits::default()).unwrap();
    pair.post_and_send(&[(2, false)]);
    assert_eq!((second.read().held, gap.read().held), (1, 4), "a VPort belongs to one gap");
}

#[test]
fn arming_again_keeps_what_there_is() {
    let (mut pair, gap) = Pair::on_vf(GapLimits::default());
    pair.close();
    pair.post_and_send(&[(2, false); 3]);
    let again = pair.arm(GapLimits { octets: 0, frames: 0 });
    assert!(Arc::ptr_eq(&gap, &again));
    pair.post_and_send(&[(2, false)]);
    pair.open();
    pair.handle().release(0, place(1)).unwrap();
    assert_eq!(wait_for(&gap, GapState::Armed).released, 4);
}

/// While the worker had no processor, a guest has changed its path: what it sent by the old one goes first, though
/// that is more than a burst.
#[test]
fn what_a_guest_sends_by_one_path_and_then_by_the_other_stays_in_order() {
    const TURN: usize = 3 * BURST;
    let mut pair = Pair::new();
    pair.open();
    pair.nic.forbidden.store(false, Ordering::SeqCst);
    pair.lead_nic_switch(true);
    pair.handle().pair(place(1), 0);
    let numbered = |numbers: std::ops::Range<usize>| {
        numbers.map(|n| frame(guest_mac(), switch::mac(2), u32::try_from(n).unwrap()))
    };
    let paths = [(&pair.vf, place(1)), (&pair.nic, NIC)];
    for turn in 0..20 {
        let ((old, old_place), (new, new_place)) = (paths[turn % 2], paths[(turn + 1) % 2]);
        let (first, end) = (turn * TURN, (turn + 1) * TURN);
        // It uses the old path.
        old.outbox.lock().unwrap().extend(numbered(first..first + 1));
        pair.handle().kick(old_place).kick();
        wait("the first frame", || old.outbox.lock().unwrap().is_empty());
        pair.handle().quiesce();
        // The worker finds both at once.
        let (mut on_old, mut on_new) = (old.outbox.lock().unwrap(), new.outbox.lock().unwrap());
        on_old.extend(numbered(first + 1..end - BURST));
        on_new.extend(numbered(end - BURST..end));
        drop((on_old, on_new));
        pair.handle().kick(new_place).kick();
        pair.handle().kick(old_place).kick();
        wait("both outboxes", || {
            old.outbox.lock().unwrap().is_empty() && new.outbox.lock().unwrap().is_empty()
        });
        pair.handle().quiesce();
    }
    let received: Vec<_> = pair.senders[0].2.received().iter().map(|frame| frame[14..18].to_vec()).collect();
    let sent: Vec<_> = numbered(0..20 * TURN).map(|frame| frame[14..18].to_vec()).collect();
    let wrong = received.iter().zip(&sent).position(|(received, sent)| received != sent);
    assert_eq!((received.len(), wrong), (sent.len(), None));
}
