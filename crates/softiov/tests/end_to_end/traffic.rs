//! Guests exchange frames.

use std::time::Duration;

use crate::common::daemon::{Daemon, Host, vms};
use crate::common::driver::{Guest, MISC_VECTOR, Msix, QUEUE_VECTOR};
use crate::common::frames::{self, BROADCAST, mac, number, numbered, tcp};
use crate::common::stream::Stream;
use crate::common::{wait_for, wait_until};

fn two_guests(daemon: &Daemon) -> [Guest; 2] {
    [0, 1].map(|n| Guest::boot(&daemon.socket(n)))
}

#[test]
fn the_driver_learns_the_address_of_its_adapter() {
    let daemon = Daemon::with_vms(2, "", "");
    assert_eq!(two_guests(&daemon).map(|guest| guest.mac), [mac(0), mac(1)]);
}

#[test]
fn unicast_frames_of_all_lengths_arrive_as_they_were_sent_both_ways() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = two_guests(&daemon);
    for (number, length) in (60..=1514).step_by(97).chain([61, 63, 64, 65, 1513, 1514]).enumerate() {
        let number = number as u64;
        let (there, back) = (numbered(b.mac, a.mac, number, length), numbered(a.mac, b.mac, number, length));
        a.send(&there);
        b.send(&back);
        assert_eq!((b.receive(), a.receive()), (there, back));
    }
    let vport = daemon.vport(0);
    assert_eq!(vport["sent"]["frames"], vport["received"]["frames"]);
    assert_eq!(vport["drops"].as_array().unwrap().len(), 0, "{vport}");
}

#[test]
fn a_stream_keeps_its_order_and_loses_nothing_however_the_adapter_is_set_up() {
    for (daemon, adapter) in [
        ("", ""),
        ("poll = \"busy\"", ""),
        ("poll = \"interrupt\"", "msix = \"relayed\""),
        ("cpu = 0", "doorbells = \"mapped\""),
        ("", "vf_model = \"82599\""),
    ] {
        let daemon = Daemon::start(Host::new(), &format!("{daemon}\n{}", vms(2, adapter, "")));
        let [a, b] = two_guests(&daemon);
        let stream = Stream::start(a, b);
        stream.advance(2_000);
        let frames = stream.stop().frames;
        assert_eq!(daemon.vport(1)["received"]["frames"], frames);
    }
}

/// Takes frame `next`, which must come next; the number of the one after it.
fn expect(guest: &mut Guest, next: u64) -> u64 {
    assert_eq!(number(&guest.receive()), next);
    next + 1
}

#[test]
fn a_broadcast_reaches_each_other_guest_once_and_never_its_sender() {
    let daemon = Daemon::with_vms(4, "", "");
    let mut guests: Vec<_> = (0..4).map(|n| Guest::boot(&daemon.socket(n))).collect();
    let frame = numbered(BROADCAST, mac(0), 7, 200);
    guests[0].send(&frame);
    let (sender, others) = guests.split_first_mut().unwrap();
    for guest in &mut *others {
        assert_eq!(guest.drain(sender), [&frame[..]]);
    }
    assert_eq!(sender.drain(&mut others[0]), Vec::<Vec<u8>>::new());
}

#[test]
fn eight_guests_reach_each_other_in_all_pairs() {
    let daemon = Daemon::with_vms(8, "", "");
    let mut guests: Vec<_> = (0..8).map(|n| Guest::boot(&daemon.socket(n))).collect();
    for from in 0..8 {
        for to in (0..8).filter(|to| *to != from) {
            let frame = numbered(mac(to), mac(from), (8 * from + to) as u64, 60 + 100 * to);
            guests[from].send(&frame);
            assert_eq!(guests[to].receive(), frame, "from {from} to {to}");
        }
    }
    assert!(guests.iter_mut().all(|guest| guest.received().is_none()), "nobody gets more than his own");
}

#[test]
fn a_large_tcp_frame_is_cut_into_segments_with_right_checksums() {
    let daemon = Daemon::with_vms(2, "", "");
    let [mut a, mut b] = two_guests(&daemon);
    let payload: Vec<u8> = (0..20_500_u32).map(|n| n.to_be_bytes()[3]).collect();
    let first = 0xffff_f000;
    a.send_large(&tcp(b.mac, a.mac, first, &payload), 1000);
    let mut received = Vec::new();
    while received.len() < payload.len() {
        let frame = b.receive();
        let (sequence, part) = frames::parse_tcp(&frame);
        assert_eq!(sequence, first.wrapping_add(u32::try_from(received.len()).unwrap()));
        assert_eq!(part.len(), 1000.min(payload.len() - received.len()));
        received.extend_from_slice(part);
    }
    assert!(received == payload);
}

#[test]
fn access_vlans_are_apart_and_their_guests_see_no_tags() {
    let mut config = vms(4, "", "");
    // The adapters 0 and 1 in VLAN 10, 2 in VLAN 20, 3 in none.
    for (n, vlan) in [(0, 10), (1, 10), (2, 20)] {
        let line = format!("name = \"vm{n}\"\n[[vm.adapter]]\n");
        config = config.replace(&line, &format!("{line}vlan = {vlan}\n"));
    }
    let daemon = Daemon::start(Host::new(), &config);
    let [mut a, mut b, mut c, mut d] = [0, 1, 2, 3].map(|n| Guest::boot(&daemon.socket(n)));
    let frame = numbered(BROADCAST, a.mac, 1, 60);
    a.send(&frame);
    let (found, tag) = wait_for("the frame in the same VLAN", || b.received_with_tag());
    assert_eq!((found, tag), (frame, None));
    for other in [&mut c, &mut d] {
        a.send(&numbered(other.mac, a.mac, 2, 60));
    }
    // The worker serves one sender in order: when this frame is there, so is all that came before.
    assert!(b.drain(&mut a).is_empty());
    assert_eq!((c.received(), d.received()), (None, None));
    assert_eq!(daemon.drops(0, "forwarding:no_destination"), 2);
}

#[test]
fn s01_a_source_address_of_another_is_dropped_and_counted() {
    let daemon = Daemon::with_vms(3, "", "");
    let [mut a, mut b] = two_guests(&daemon);
    for (n, source) in [mac(2), mac(1), [0; 6], BROADCAST, [0x01, 0, 0x5e, 0, 0, 1]].iter().enumerate() {
        a.send(&numbered(b.mac, *source, n as u64, 60));
    }
    assert!(b.drain(&mut a).is_empty());
    wait_until("the counters", || daemon.vport(0)["sent"]["frames"] == 1);
    let drops = daemon.vport(0)["drops"].clone();
    let total: u64 = drops.as_array().unwrap().iter().map(|drop| drop["count"].as_u64().unwrap()).sum();
    assert_eq!(total, 5, "{drops}");
    assert!(daemon.drops(0, "source_mac_spoofed") >= 2, "{drops}");
}

#[test]
fn interrupts_arrive_as_messages_of_the_devices_own_table() {
    interrupts(Msix::Relayed, "msix = \"relayed\"");
}

#[test]
fn interrupts_arrive_at_the_eventfds_of_the_vmm() {
    interrupts(Msix::Native, "msix = \"native\"");
}

fn interrupts(msix: Msix, adapter: &str) {
    let daemon = Daemon::with_vms(2, adapter, "");
    let [mut a, mut b] = [0, 1].map(|n| Guest::try_boot(&daemon.socket(n), msix).unwrap());
    for number in 0..200 {
        a.send(&numbered(b.mac, a.mac, number, 60));
        b.wait_for_interrupt();
        assert_eq!(expect(&mut b, number), number + 1);
        // The sender hears that its frame has gone.
        a.wait_for_interrupt();
    }
    // A vector is masked by its message: a second frame raises it only when the driver says so.
    for number in 200..202 {
        a.send(&numbered(b.mac, a.mac, number, 60));
        expect(&mut b, number);
    }
    assert_eq!(b.take_interrupts(Duration::from_millis(50)), [QUEUE_VECTOR]);
    b.raise(MISC_VECTOR);
    assert_eq!(b.take_interrupts(Duration::from_millis(50)), [MISC_VECTOR]);
}
