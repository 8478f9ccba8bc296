//! Who looks on sees what happens, and changes nothing.

use ethernet::MacAddr;
use nic_switch::VPortId;

use super::port::{Guest, frame, wait};
use super::{Rig, attachment, place, switch};
use std::sync::Arc;

use vswitch::{
    CaptureFilter, Direction, NicParameters, NicType, PortId, PortParameters, PortPolicy, PortType,
    SwitchParameters, SwitchType, VSwitch, VlanPolicy,
};

use crate::{
    Capture, CaptureCounts, CaptureSpec, Captured, Config, Dataplane, Extent, Place, Point, PollMode,
    Snapshot, Switches, Way,
};

/// Everything at the VPorts `vports`, whose numbers are their interfaces.
fn at(vports: &[usize]) -> CaptureSpec {
    let point =
        |vport: &usize| Point::Port { place: place(*vport), interface: u32::try_from(*vport).unwrap() };
    CaptureSpec { points: vports.iter().map(point).collect(), way: None, lost_only: false, snaplen: 1000 }
}

/// Interface, way, reason of loss and bytes of all frames that are there.
fn seen(capture: &mut Capture) -> Vec<(u32, Way, Option<&'static str>, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some((Captured { interface, way, lost, .. }, bytes)) = capture.take() {
        all.push((interface, way, lost, bytes.to_vec()));
    }
    all
}

#[test]
fn a_frame_is_seen_where_it_is_sent_and_where_it_is_received() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100, 100]);
    let mut capture = rig.dataplane.handle().capture(&at(&[1, 2]));
    rig.send(1, Rig::frames(1, 2, 0..1));
    rig.send(3, Rig::frames(3, 2, 7..8));
    rig.send(1, Rig::frames(1, 3, 1..2));
    rig.wait_sent(1);
    rig.wait_sent(3);
    let bytes = |from, to, n| Rig::frames(from, to, n..n + 1).remove(0);
    let mut found = seen(&mut capture);
    found.sort_by_key(|(interface, way, _, bytes)| (*interface, *way == Way::Sent, bytes[17]));
    let expected = [
        (1, Way::Sent, None, bytes(1, 2, 0)),
        (1, Way::Sent, None, bytes(1, 3, 1)),
        (2, Way::Received, None, bytes(1, 2, 0)),
        (2, Way::Received, None, bytes(3, 2, 7)),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_capture_may_look_one_way_only_and_at_the_beginning_of_frames_only() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100]);
    let spec = CaptureSpec { way: Some(Way::Received), snaplen: 20, ..at(&[1, 2]) };
    let mut capture = rig.dataplane.handle().capture(&spec);
    rig.send(1, Rig::frames(1, 2, 0..3));
    rig.send(2, Rig::frames(2, 1, 0..2));
    rig.wait_sent(1);
    rig.wait_sent(2);
    let mut interfaces = Vec::new();
    while let Some((head, bytes)) = capture.take() {
        assert_eq!((head.length, bytes.len(), head.way), (64, 20, Way::Received));
        interfaces.push(head.interface);
    }
    interfaces.sort_unstable();
    assert_eq!(interfaces, [1, 1, 2, 2, 2]);
}

#[test]
fn lost_frames_are_seen_with_the_reason() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 0, 100]);
    let mut lost = rig.dataplane.handle().capture(&CaptureSpec { lost_only: true, ..at(&[1, 2, 3]) });
    let mut all = rig.dataplane.handle().capture(&at(&[1, 2, 3]));
    let spoofed = frame(switch::mac(2), switch::mac(3), 1);
    rig.send(1, [spoofed.clone()]);
    rig.send(1, Rig::frames(1, 3, 2..3));
    rig.wait_sent(1);
    rig.send(3, [frame(switch::mac(3), MacAddr::BROADCAST, 3)]);
    rig.wait_sent(3);
    let broadcast = frame(switch::mac(3), MacAddr::BROADCAST, 3);
    let expected = [
        (1, Way::Sent, Some("source_mac_spoofed"), spoofed.clone()),
        (2, Way::Received, Some("rx_no_buffers"), broadcast.clone()),
    ];
    assert_eq!(seen(&mut lost), expected);
    let all = seen(&mut all);
    assert!(all.contains(&(1, Way::Sent, Some("source_mac_spoofed"), spoofed)));
    assert!(!all.iter().any(|(interface, ..)| *interface == 2), "what was not received is not seen there");
    assert!(all.contains(&(1, Way::Received, None, broadcast)));
}

#[test]
fn a_held_frame_is_seen_once() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 0]);
    let mut capture = rig.dataplane.handle().capture(&at(&[1, 2]));
    rig.send(1, Rig::frames(1, 2, 0..3));
    wait("the sender to be held", || rig.statistics(1).held > 0);
    rig.guests[2].room.store(100, std::sync::atomic::Ordering::SeqCst);
    rig.dataplane.handle().kick(place(2)).kick();
    rig.wait_sent(1);
    let found = seen(&mut capture);
    assert_eq!(found.iter().filter(|one| one.0 == 1).count(), 3);
}

#[test]
fn what_nobody_takes_is_counted_and_costs_nobody_a_frame() {
    let rig = Rig::new(PollMode::Adaptive, &[usize::MAX, usize::MAX]);
    let mut capture = rig.dataplane.handle().capture(&CaptureSpec { snaplen: 64, ..at(&[1]) });
    let sent = 40_000;
    rig.send(1, Rig::frames(1, 2, 0..sent));
    rig.wait_sent(1);
    let found = seen(&mut capture);
    let CaptureCounts { seen, missed } = capture.counts().nth(1).unwrap();
    assert_eq!((seen, found.len() as u64 + missed), (u64::from(sent), u64::from(sent)));
    assert!(missed > 0);
    assert_eq!(rig.guests[2].received().len(), sent as usize);
    assert_eq!(
        found,
        (0..)
            .zip(found.clone())
            .map(|(n, mut one)| {
                one.3 = Rig::frames(1, 2, n..n + 1).remove(0);
                one
            })
            .collect::<Vec<_>>(),
        "the first ones, whole and in order"
    );
}

#[test]
fn a_capture_ends_with_its_value_and_with_its_worker() {
    let rig = Rig::new(PollMode::Adaptive, &[100, 100]);
    drop(rig.dataplane.handle().capture(&at(&[1])));
    let mut capture = rig.dataplane.handle().capture(&at(&[1]));
    rig.send(1, Rig::frames(1, 2, 0..1));
    rig.wait_sent(1);
    assert!(!capture.is_over());
    let Rig { dataplane, .. } = rig;
    drop(dataplane);
    assert!(capture.is_over());
    assert_eq!(seen(&mut capture).len(), 1, "what was seen before is still there");
}

#[test]
#[should_panic(expected = "VPort 99")]
fn a_place_that_there_is_not_is_refused() {
    let rig = Rig::new(PollMode::Adaptive, &[100]);
    let point = Point::Port { place: Place::VPort(VPortId(99)), interface: 0 };
    let _ = rig.dataplane.handle().capture(&CaptureSpec { points: vec![point], ..at(&[]) });
}

#[test]
fn a_capture_of_a_nic_sees_the_vf_that_it_gets_later_and_not_when_that_is_anothers() {
    let extent = Extent { vports: switch::capabilities().max_vports as usize, nics: 2 };
    let config = Config { poll: PollMode::Adaptive, ..Config::default() };
    let snapshot = Snapshot::new(extent, switch::forwarding(2));
    let dataplane = Dataplane::start(&config, &switch::capabilities(), snapshot).unwrap();
    let handle = dataplane.handle();
    let guests = [Guest::with_room(100), Guest::with_room(100)];
    for (vport, guest) in (1..).zip(&guests) {
        handle.attach(place(vport), attachment(guest));
    }
    let of = Point::Port { place: Place::Nic(1), interface: 0 };
    let mut of_nic = handle.capture(&CaptureSpec { points: vec![of], ..at(&[]) });
    let mut of_vport = handle.capture(&at(&[2]));
    let mut send = |holder| {
        handle.pair(place(2), holder);
        guests[0].outbox.lock().unwrap().extend(Rig::frames(1, 2, 0..1));
        handle.kick(place(1)).kick();
        wait("the outbox to be empty", || guests[0].outbox.lock().unwrap().is_empty());
        handle.quiesce();
        (seen(&mut of_nic).len(), seen(&mut of_vport).len())
    };
    assert_eq!(send(1), (1, 1));
    assert_eq!(send(0), (0, 1), "the VPort is another's now");
    assert_eq!(send(1), (1, 1));
}

/// An external switch with a NIC in VLAN 7 and one in none, and a capture of what comes into it.
fn extensible_switch() -> (VSwitch, Vec<PortId>, vswitch::CaptureId) {
    let parameters = SwitchParameters {
        name: "switch".into(),
        kind: SwitchType::External,
        bandwidth: None,
        nic_enforces: vswitch::NicEnforces::default(),
    };
    let mut switch = VSwitch::create(parameters, 1_000_000_000, 1).unwrap();
    let mut add = |kind, nic, mac, vlan| {
        let port = switch.create_port(PortParameters { kind, ..PortParameters::default() }).unwrap();
        switch.set_policy(port, PortPolicy { vlan, ..PortPolicy::default() }).unwrap();
        let nic = NicParameters { kind: nic, permanent_mac: mac, ..NicParameters::default() };
        switch.create_nic(port, nic).unwrap();
        switch.connect_nic(port).unwrap();
        port
    };
    let ports = vec![
        add(PortType::External, NicType::External, MacAddr::ZERO, VlanPolicy::Untagged),
        add(PortType::Synthetic, NicType::Synthetic, switch::mac(10), VlanPolicy::Access(7)),
        add(PortType::Synthetic, NicType::Synthetic, switch::mac(11), VlanPolicy::Untagged),
    ];
    let filter = CaptureFilter { port: None, direction: Some(Direction::Outbound) };
    let capture = switch.start_capture(filter).unwrap();
    (switch, ports, capture)
}

#[test]
fn stages_of_a_switch_and_the_default_vport_are_seen_with_the_tags_that_frames_have_there() {
    let (vswitch, ports, capture) = extensible_switch();
    let extent = Extent { vports: switch::capabilities().max_vports as usize, nics: 2 };
    let mut switches = Switches::new(extent, [Arc::new(vswitch.snapshot())]);
    for (nic, port) in (0..).zip(&ports[1..]) {
        switches.connect(nic, 0, *port);
    }
    let snapshot = Snapshot::new(extent, switch::forwarding(1)).with_switches(Arc::new(switches));
    let config = Config { ageing_seconds: vec![300], ..Config::default() };
    let dataplane = Dataplane::start(&config, &switch::capabilities(), snapshot).unwrap();
    let handle = dataplane.handle();
    let places = [Place::Nic(0), Place::Nic(1), place(1)];
    let guests = places.map(|_| Guest::with_room(10));
    for (place, guest) in places.into_iter().zip(&guests) {
        handle.attach(place, attachment(guest));
    }
    let mut interfaces = vec![None; 4];
    for (interface, port) in (0..).zip(&ports) {
        interfaces[port.0 as usize] = Some(interface);
    }
    let points = vec![Point::Stage { switch: 0, capture, interfaces }, Point::DefaultVPort { interface: 9 }];
    let mut capture = handle.capture(&CaptureSpec { points, way: None, lost_only: false, snaplen: 1000 });
    let send = |guest: usize, bytes: &[u8]| {
        guests[guest].outbox.lock().unwrap().push_back(bytes.to_vec());
        handle.kick(places[guest]).kick();
        wait("the outbox to be empty", || guests[guest].outbox.lock().unwrap().is_empty());
        handle.quiesce();
    };
    let (up, down) =
        (frame(switch::mac(1), switch::mac(11), 1), frame(switch::mac(10), MacAddr::BROADCAST, 2));
    send(2, &up);
    send(0, &down);
    assert_eq!(guests[1].received(), std::slice::from_ref(&up));
    let mut tagged = down.clone();
    tagged.splice(12..12, [0x81, 0, 0, 7]);
    let mut found = seen(&mut capture);
    found.sort_by_key(|(interface, ..)| *interface);
    let expected = [
        // Out of the NIC switch, and into the extensible one by its external port.
        (0, Way::Sent, None, up.clone()),
        (1, Way::Sent, Some("no_destination"), down),
        (9, Way::Received, None, up),
        // No VF is in the VLAN, and there is no wire.
        (9, Way::Sent, Some("no_destination"), tagged),
    ];
    assert_eq!(found, expected);
}
