//! NICs on an extensible switch, and the way between it and the NIC switch.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ethernet::MacAddr;
use vswitch::{
    Acl, AclAction, AclRule, Direction, NicParameters, NicType, PortParameters, PortPolicy, PortType,
    SwitchParameters, SwitchType, VSwitch,
};

use super::port::{Guest, frame, wait};
use super::{attachment, place, switch};
use crate::{Attachment, Config, Dataplane, Doorbell, Extent, Place, PortCounters, Snapshot, Switches};

/// A VF on VPort 1, and NICs on an external switch.
struct Switched {
    dataplane: Dataplane,
    vf: Arc<Guest>,
    nics: Vec<Arc<Guest>>,
    counters: Vec<Arc<PortCounters>>,
    default_vport: Arc<PortCounters>,
}

fn nic_mac(nic: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, u8::try_from(nic).unwrap()])
}

impl Switched {
    fn new(policies: &[PortPolicy]) -> Self {
        let cycles = sys::clock::cycles_per_microsecond() * 1_000_000;
        let parameters = SwitchParameters {
            name: "switch".into(),
            kind: SwitchType::External,
            bandwidth: None,
            nic_enforces: vswitch::NicEnforces::default(),
        };
        let mut vswitch = VSwitch::create(parameters, cycles, 1).unwrap();
        let mut add = |kind, nic_kind, mac, policy: &PortPolicy| {
            let port = vswitch.create_port(PortParameters { kind, ..PortParameters::default() }).unwrap();
            vswitch.set_policy(port, policy.clone()).unwrap();
            let nic = NicParameters { kind: nic_kind, permanent_mac: mac, ..NicParameters::default() };
            vswitch.create_nic(port, nic).unwrap();
            vswitch.connect_nic(port).unwrap();
            port
        };
        add(PortType::External, NicType::External, MacAddr::ZERO, &PortPolicy::default());
        let ports: Vec<_> = (0..policies.len())
            .map(|nic| add(PortType::Synthetic, NicType::Synthetic, nic_mac(nic), &policies[nic]))
            .collect();
        let extent = Extent { vports: switch::capabilities().max_vports as usize, nics: policies.len() };
        let mut switches = Switches::new(extent, [Arc::new(vswitch.snapshot())]);
        for (nic, port) in (0..).zip(&ports) {
            switches.connect(nic, 0, *port);
        }
        let default_vport = Arc::<PortCounters>::default();
        let config = Config {
            ageing_seconds: vec![300],
            default_vport: Arc::clone(&default_vport),
            ..Config::default()
        };
        let snapshot = Snapshot::new(extent, switch::forwarding(1)).with_switches(Arc::new(switches));
        let dataplane = Dataplane::start(&config, &switch::capabilities(), snapshot).unwrap();
        let vf = Guest::with_room(100);
        dataplane.handle().attach(place(1), attachment(&vf));
        let (mut nics, mut counters) = (Vec::new(), Vec::new());
        for nic in 0..policies.len() {
            let (guest, counted) = (Guest::with_room(usize::MAX), Arc::<PortCounters>::default());
            let port = guest.port();
            let attachment = Attachment { port, counters: Arc::clone(&counted), doorbell: Doorbell::Kick };
            dataplane.handle().attach(Self::nic(nic), attachment);
            nics.push(guest);
            counters.push(counted);
        }
        Self { dataplane, vf, nics, counters, default_vport }
    }

    fn nic(nic: usize) -> Place {
        Place::Nic(u32::try_from(nic).unwrap())
    }

    fn send(&self, from: Place, guest: &Guest, frames: impl IntoIterator<Item = Vec<u8>>) {
        guest.outbox.lock().unwrap().extend(frames);
        self.dataplane.handle().kick(from).kick();
        wait("the outbox to be empty", || guest.outbox.lock().unwrap().is_empty());
        self.dataplane.handle().quiesce();
    }
}

#[test]
fn frames_cross_between_the_switches_at_the_default_vport() {
    let all = Switched::new(&[PortPolicy::default(), PortPolicy::default()]);
    let vf = switch::mac(1);
    all.send(Switched::nic(0), &all.nics[0], [frame(nic_mac(0), nic_mac(1), 1), frame(nic_mac(0), vf, 2)]);
    all.send(place(1), &all.vf, [frame(vf, nic_mac(1), 3), frame(vf, MacAddr::BROADCAST, 4)]);
    all.send(Switched::nic(1), &all.nics[1], [frame(nic_mac(1), MacAddr::BROADCAST, 5)]);
    let broadcast = |source, n| frame(source, MacAddr::BROADCAST, n);
    assert_eq!(all.vf.received(), [frame(nic_mac(0), vf, 2), broadcast(nic_mac(1), 5)]);
    assert_eq!(all.nics[0].received(), [broadcast(vf, 4), broadcast(nic_mac(1), 5)]);
    let to_second = [frame(nic_mac(0), nic_mac(1), 1), frame(vf, nic_mac(1), 3), broadcast(vf, 4)];
    assert_eq!(all.nics[1].received(), to_second);
    let joint = all.default_vport.read();
    assert_eq!((joint.received.frames, joint.sent.frames), (2, 2));
    assert!(all.counters.iter().all(|counters| counters.read().direct == 0));
}

#[test]
fn a_drop_of_the_extensible_switch_counts_at_the_sender() {
    let all = Switched::new(&[PortPolicy::default(), PortPolicy::default()]);
    let foreign = MacAddr([2, 0, 0, 0, 7, 7]);
    all.send(
        Switched::nic(0),
        &all.nics[0],
        [frame(foreign, nic_mac(1), 1), frame(nic_mac(0), nic_mac(0), 2)],
    );
    let drops = all.counters[0].read().drops;
    assert_eq!(drops, [("ingress:mac_spoofed", 1), ("forwarding:hairpin", 1)]);
}

#[test]
fn a_sender_above_its_bandwidth_waits_and_loses_nothing() {
    // 1 octet a microsecond, with bursts of 50,000.
    let limited = PortPolicy {
        bandwidth: vswitch::Bandwidth { maximum: Some(8_000_000), ..vswitch::Bandwidth::default() },
        ..PortPolicy::default()
    };
    let all = Switched::new(&[limited, PortPolicy::default()]);
    let frames: Vec<_> = (0..1200).map(|n| frame(nic_mac(0), nic_mac(1), n)).collect();
    let began = sys::clock::tsc();
    all.send(Switched::nic(0), &all.nics[0], frames.clone());
    let microseconds = (sys::clock::tsc() - began) / sys::clock::cycles_per_microsecond();
    assert_eq!(all.nics[1].received(), frames);
    let sent = all.counters[0].read();
    assert_eq!((sent.sent.frames, sent.drops), (1200, vec![]));
    assert!(sent.held > 0);
    // All but the burst and the last frame took their time.
    assert!(microseconds >= 1200 * 64 - 50_000 - 64, "{microseconds} us");
}

#[test]
fn another_guest_is_not_held_up_by_one_above_its_bandwidth() {
    let limited = PortPolicy {
        bandwidth: vswitch::Bandwidth { maximum: Some(100_000), ..vswitch::Bandwidth::default() },
        ..PortPolicy::default()
    };
    let all = Switched::new(&[limited, PortPolicy::default(), PortPolicy::default()]);
    let slow = (0..1000).map(|n| frame(nic_mac(0), nic_mac(1), n));
    all.nics[0].outbox.lock().unwrap().extend(slow);
    all.dataplane.handle().kick(Switched::nic(0)).kick();
    all.send(Switched::nic(1), &all.nics[1], (0..500).map(|n| frame(nic_mac(1), nic_mac(2), n)));
    assert_eq!(all.nics[2].received().len(), 500);
    assert!(!all.nics[0].outbox.lock().unwrap().is_empty());
}

#[test]
fn a_frame_that_waits_for_room_is_counted_once_however_often_it_is_decided() {
    let rule = |action| PortPolicy {
        acl: Acl { rules: vec![AclRule::any(Direction::Inbound, action)], ..Acl::default() },
        ..PortPolicy::default()
    };
    let all = Switched::new(&[PortPolicy::default(), rule(AclAction::Meter), rule(AclAction::Deny)]);
    all.nics[1].room.store(0, Ordering::SeqCst);
    let mut frames = vec![frame(nic_mac(0), nic_mac(1), 0)];
    frames.extend((1..6).map(|n| frame(nic_mac(0), MacAddr::BROADCAST, n)));
    all.nics[0].outbox.lock().unwrap().extend(frames);
    all.dataplane.handle().kick(Switched::nic(0)).kick();
    wait("the sender to be held", || all.counters[0].read().held > 0);
    // It is looked at in every round.
    (0..100).for_each(|_| all.dataplane.handle().quiesce());
    all.nics[1].room.store(usize::MAX, Ordering::SeqCst);
    all.send(Switched::nic(1), &all.nics[1], []);
    wait("the outbox to be empty", || all.nics[0].outbox.lock().unwrap().is_empty());
    all.dataplane.handle().quiesce();
    let meters = all.dataplane.handle().report(0).meters;
    assert_eq!(meters.iter().map(|meter| meter.frames).collect::<Vec<_>>(), [6]);
    assert_eq!(all.counters[2].read().drops, [("egress:acl", 5)]);
}
