//! Packet sockets on one end of a veth.

use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::time::Duration;

use ethernet::VlanTag;
use port::{Burst, Consumed, Put, Refusal, Spec};

use super::host::{Namespace, Peer, ip, is_ours, number, numbered, until, veth, wait_readable};
use super::switch::{Switch, hear};
use crate::{Backend, Config, LinkEvent, Uplink, open};

pub(super) fn config(backend: Backend, queues: usize, ports: usize) -> Config {
    let count = |n| NonZeroUsize::new(n).unwrap();
    Config { backend, queues: count(queues), ports: count(ports) }
}

fn near(queues: usize, ports: usize) -> Uplink {
    open(&config(Backend::Packet { name: "near".into() }, queues, ports)).unwrap()
}

fn loss(uplink: &mut Uplink, name: &str) -> u64 {
    uplink.losses.read().into_iter().find(|(found, _)| *found == name).unwrap().1
}

#[test]
fn frames_pass_both_ways_byte_by_byte() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        let end = &mut uplink.ports[0];
        for length in [60, 61, 999, 1514] {
            let frame = numbered(7, length);
            peer.send(&frame);
            assert_eq!(switch.receive(&mut *end.port, &end.wake).pieces, std::slice::from_ref(&frame));
            assert_eq!(switch.send(&mut *end.port, &frame), Put::Done);
            assert_eq!(peer.receive(), Some(frame));
        }
    });
}

#[test]
fn short_frames_are_padded_to_the_least_length_of_a_wire() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        peer.send(&numbered(1, 20));
        let end = &mut uplink.ports[0];
        let mut expected = numbered(1, 20);
        expected.resize(60, 0);
        assert_eq!(switch.receive(&mut *end.port, &end.wake).pieces, [expected]);
    });
}

#[test]
fn tags_travel_out_of_band() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        let end = &mut uplink.ports[0];
        let (frame, tag) = (numbered(3, 100), VlanTag::new(42, 5, false));
        let mut tagged = frame.clone();
        tagged.splice(12..12, [0x81, 0, 0xa0, 42]);
        peer.send(&tagged);
        let got = switch.receive(&mut *end.port, &end.wake);
        assert_eq!((got.meta.tag, got.pieces), (Some(tag), vec![frame.clone()]));
        let mut other = open(&config(Backend::Packet { name: "far".into() }, 1, 1)).unwrap();
        assert_eq!(switch.put(&mut *end.port, &frame, &Spec::default(), Some(tag)), Put::Done);
        end.port.flush(0);
        let end = &mut other.ports[0];
        let got = switch.receive(&mut *end.port, &end.wake);
        assert_eq!((got.meta.tag, got.pieces), (Some(tag), vec![frame]));
    });
}

#[test]
fn s02_service_tags_stay_in_the_bytes() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        let end = &mut uplink.ports[0];
        let mut tagged = numbered(3, 100);
        tagged.splice(12..12, [0x88, 0xa8, 0, 7]);
        peer.send(&tagged);
        let mut found = vec![];
        until("the frame", || {
            found = switch.fetch(&mut *end.port, None);
            found.retain(|fetched| fetched.pieces[0].get(12..14) == Some(&[0x88, 0xa8]));
            !found.is_empty()
        });
        assert_eq!((found[0].meta.tag, &found[0].pieces[0]), (None, &tagged));
    });
}

#[test]
fn what_is_not_finished_comes_again_before_the_rest() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        let end = &mut uplink.ports[0];
        (0..3).for_each(|n| peer.send(&numbered(n, 64)));
        until("three frames", || {
            let seen = switch.fetch(&mut *end.port, Some(0));
            seen.iter().filter(|fetched| is_ours(&fetched.pieces[0])).count() >= 1
        });
        peer.send(&numbered(3, 64));
        let mut order = vec![];
        until("all frames", || {
            assert!(end.port.has_work() || order.len() < 4);
            let seen = switch.fetch(&mut *end.port, Some(1));
            order.extend(seen.first().filter(|f| is_ours(&f.pieces[0])).map(|f| number(&f.pieces[0])));
            order.len() == 4
        });
        assert_eq!(order, [0, 1, 2, 3]);
    });
}

#[test]
fn pieces_that_were_delivered_are_remembered() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer) = (near(1, 1), Peer::on("far"));
        let port = &mut *uplink.ports[0].port;
        peer.send(&numbered(0, 64));
        let mut burst = Burst::new();
        until("a frame", || {
            port.fetch(&mut burst, 0);
            !burst.is_empty()
        });
        port.complete(&burst, Consumed { frames: 0, pieces: 5 }, 0);
        port.fetch(&mut burst, 0);
        assert_eq!(port.resume(), 5);
        port.complete(&burst, Consumed { frames: burst.len(), pieces: 0 }, 0);
        assert_eq!(port.resume(), 0);
    });
}

#[test]
fn a_full_ring_loses_frames_by_name_and_recovers() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        (0..5000).for_each(|n| peer.send(&numbered(n, 64)));
        let mut seen = 0;
        until("the ring to be empty", || {
            seen += switch.fetch(&mut *uplink.ports[0].port, None).len();
            !uplink.ports[0].port.has_work()
        });
        let lost = loss(&mut uplink, "uplink_rx_ring_full");
        assert!(lost > 0 && seen > 0, "{lost} lost, {seen} seen");
        assert!(seen as u64 + lost >= 5000, "{lost} lost, {seen} seen");
        peer.send(&numbered(9999, 64));
        let end = &mut uplink.ports[0];
        assert_eq!(number(&switch.receive(&mut *end.port, &end.wake).pieces[0]), 9999);
    });
}

#[test]
fn n09_frames_beyond_the_mtu_are_refused_and_the_mtu_is_followed() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        let long = numbered(1, 1515);
        let too_long = Put::Refused(Refusal::TooLong);
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &long), too_long);
        ip("link set far mtu 2000");
        ip("link set near mtu 2000");
        hear(&mut uplink, "the MTU", |event| matches!(event, LinkEvent::Changed(state) if state.mtu == 2000));
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &long), Put::Done);
        assert_eq!(peer.receive(), Some(long));
        ip("link set near mtu 1000");
        hear(&mut uplink, "the MTU", |event| matches!(event, LinkEvent::Changed(state) if state.mtu == 1000));
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &numbered(1, 1015)), too_long);
    });
}

#[test]
fn frames_longer_than_a_ring_slot_are_received_whole() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, mut switch) = (near(1, 1), Switch::new());
        // The ring was made for 1500.
        ip("link set near mtu 9000");
        ip("link set far mtu 9000");
        let peer = Peer::on("far");
        let end = &mut uplink.ports[0];
        for length in [3000, 60, 9014] {
            let frame = numbered(1, length);
            peer.send(&frame);
            assert_eq!(switch.receive(&mut *end.port, &end.wake).pieces, [frame]);
        }
        assert_eq!(loss(&mut uplink, "uplink_rx_truncated"), 0);
    });
}

#[test]
fn a_link_that_is_down_refuses_frames_and_comes_back() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        ip("link set near down");
        hear(&mut uplink, "down", |event| matches!(event, LinkEvent::Changed(state) if !state.up));
        let end = &mut uplink.ports[0];
        assert_eq!(switch.send(&mut *end.port, &numbered(1, 64)), Put::Refused(Refusal::NotReady));
        // Nobody may be kept awake by a link that is down.
        until("silence", || {
            switch.fetch(&mut *end.port, None);
            !wait_readable(&end.wake, Duration::ZERO)
        });
        ip("link set near up");
        hear(&mut uplink, "up", |event| matches!(event, LinkEvent::Changed(state) if state.is_running()));
        let end = &mut uplink.ports[0];
        assert_eq!(switch.send(&mut *end.port, &numbered(2, 64)), Put::Done);
        assert_eq!(peer.receive(), Some(numbered(2, 64)));
        switch.receive_again(&mut *end.port, || peer.send(&numbered(3, 64)));
    });
}

#[test]
fn frames_taken_before_the_link_went_down_are_counted() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, mut switch) = (near(1, 1), Switch::new());
        let port = &mut *uplink.ports[0].port;
        for n in 0..3 {
            assert_eq!(switch.put(port, &numbered(n, 64), &Spec::default(), None), Put::Done);
        }
        ip("link set near down");
        port.flush(0);
        assert_eq!(port.deadline(), None);
        assert_eq!(loss(&mut uplink, "uplink_tx_link_down"), 3);
    });
}

#[test]
fn what_the_link_left_at_the_socket_costs_no_frame() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        ip("link set near down");
        ip("link set near up");
        // Nobody has looked at the link or the ring meanwhile.
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &numbered(1, 64)), Put::Done);
        assert_eq!(peer.receive(), Some(numbered(1, 64)));
        assert_eq!(loss(&mut uplink, "uplink_tx_link_down"), 0);
    });
}

#[test]
fn a_netdev_that_is_removed_leaves_a_quiet_port() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, mut switch) = (near(1, 1), Switch::new());
        ip("link delete near");
        hear(&mut uplink, "its removal", |event| event == LinkEvent::Removed);
        assert_eq!(uplink.watcher.as_ref().unwrap().state(), None);
        let end = &mut uplink.ports[0];
        assert_eq!(switch.send(&mut *end.port, &numbered(1, 64)), Put::Refused(Refusal::NotReady));
        until("silence", || {
            switch.fetch(&mut *end.port, None);
            !wait_readable(&end.wake, Duration::ZERO)
        });
        assert!(!end.port.has_work());
        // A new one of the same name is another one.
        veth();
        assert_eq!(switch.send(&mut *end.port, &numbered(1, 64)), Put::Refused(Refusal::NotReady));
    });
}

#[test]
fn several_sockets_share_frames_and_each_comes_once() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(3, 2), Peer::on("far"), Switch::new());
        let mut seen = vec![];
        let mut look = |uplink: &mut Uplink, seen: &mut Vec<u32>| {
            for end in &mut uplink.ports {
                let ours = switch.fetch(&mut *end.port, None).into_iter();
                seen.extend(ours.filter(|f| is_ours(&f.pieces[0])).map(|f| number(&f.pieces[0])));
            }
        };
        for n in 0..1000 {
            peer.send(&numbered(n, 64));
            look(&mut uplink, &mut seen);
        }
        until("all frames", || {
            look(&mut uplink, &mut seen);
            seen.len() >= 1000
        });
        look(&mut uplink, &mut seen);
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..1000), "{} frames", seen.len());
    });
}

#[test]
fn a_hundred_thousand_frames_leave_memory_as_it_was() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(1, 1), Peer::on("far"), Switch::new());
        let end = &mut uplink.ports[0];
        let mut exchange = |count: u32| {
            let mut echoed = 0;
            for n in 0..count {
                let frame = numbered(n, 64 + n as usize % 1400);
                peer.send(&frame);
                for fetched in switch.fetch(&mut *end.port, None) {
                    assert_eq!(
                        switch.put(&mut *end.port, &fetched.pieces[0], &Spec::default(), None),
                        Put::Done
                    );
                }
                end.port.flush(0);
                while peer.look().is_some() {
                    echoed += 1;
                }
            }
            assert!(echoed > count / 2, "{echoed} of {count} came back");
        };
        exchange(5_000);
        let before = resident();
        exchange(100_000);
        let after = resident();
        // An address per frame would be more; other tests of the same process take less.
        assert!(after < before + (4 << 20), "{before} bytes grew to {after}");
    });
}

/// Bytes of this process's private memory that are resident.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn a_dropped_port_takes_its_wake_along() {
    Namespace::new().run(|| {
        veth();
        let (uplink, peer) = (near(1, 1), Peer::on("far"));
        let wake = uplink.ports[0].wake.clone();
        drop(uplink);
        peer.send(&numbered(1, 64));
        until("silence", || !wait_readable(wake.as_fd(), Duration::from_millis(20)));
    });
}
