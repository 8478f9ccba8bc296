//! AF_XDP sockets on one end of a veth.

use std::time::Duration;

use ethernet::{Gso, GsoKind, VlanTag};
use port::{Checksum, Put, Refusal, Segmentation, Spec};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrV4, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with,
};

use super::host::{Namespace, Peer, ip, is_ours, number, numbered, until, veth, wait_readable};
use super::packet::config;
use super::switch::{Switch, hear};
use super::tcp::{forward, tap};
use crate::{Backend, LinkEvent, OpenError, Uplink, XdpMode, open};

fn try_near(mode: XdpMode, queues: usize) -> Result<Uplink, OpenError> {
    open(&config(Backend::Xdp { name: "near".into(), mode }, queues, 1))
}

fn near(mode: XdpMode) -> Uplink {
    try_near(mode, 1).unwrap()
}

fn pass_both_ways(mode: XdpMode) {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(mode), Peer::on("far"), Switch::new());
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
fn frames_pass_both_ways_with_the_program_in_the_driver() {
    pass_both_ways(XdpMode::Copy);
}

#[test]
fn frames_pass_both_ways_with_the_program_in_the_stack() {
    pass_both_ways(XdpMode::Generic);
}

#[test]
fn frames_pass_both_ways_in_the_best_mode_that_there_is() {
    pass_both_ways(XdpMode::Best);
}

#[test]
fn a_mode_that_the_driver_cannot_is_refused() {
    Namespace::new().run(|| {
        veth();
        let error = try_near(XdpMode::ZeroCopy, 1).unwrap_err();
        assert!(error.is_unsupported(), "{error}");
    });
}

#[test]
fn a_tag_is_put_into_the_bytes() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, mut switch) = (near(XdpMode::Copy), Switch::new());
        let mut other = open(&config(Backend::Packet { name: "far".into() }, 1, 1)).unwrap();
        let (frame, tag) = (numbered(1, 200), VlanTag::new(9, 1, false));
        let end = &mut uplink.ports[0];
        assert_eq!(switch.put(&mut *end.port, &frame, &Spec::default(), Some(tag)), Put::Done);
        end.port.flush(0);
        let end = &mut other.ports[0];
        let got = switch.receive(&mut *end.port, &end.wake);
        assert_eq!((got.meta.tag, got.pieces), (Some(tag), vec![frame]));
    });
}

/// A TCP super-frame of 21 segments.
fn super_frame() -> (Vec<u8>, Spec) {
    let mut frame = [&numbered(0, 64)[..12], &[8, 0]].concat();
    frame.extend([0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0, 7, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    frame.extend((0..30_000_u32).map(|n| (n / 3).to_le_bytes()[0]));
    let gso = Gso { kind: GsoKind::TcpV4, mss: 1448, header_len: 54 };
    let mut spec = Spec::default();
    spec.meta.gso = Some(Segmentation { gso, l3_offset: 14, l4_offset: 34 });
    spec.meta.checksum = Checksum::Partial { start: 34, offset: 16 };
    (frame, spec)
}

#[test]
fn super_frames_are_cut_and_checksummed() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(XdpMode::Copy), Peer::on("far"), Switch::new());
        let (frame, spec) = super_frame();
        let port = &mut *uplink.ports[0].port;
        assert_eq!(switch.put(port, &frame, &spec, None), Put::Done);
        port.flush(0);
        let mut payload: Vec<u8> = vec![];
        until("all segments", || {
            let Some(segment) = peer.look_for(|frame| frame[12..14] == [8, 0]) else { return false };
            let length = u16::from_be_bytes([segment[16], segment[17]]);
            assert_eq!(usize::from(length) + 14, segment.len());
            assert_eq!(u32::from_be_bytes(*segment[38..].first_chunk().unwrap()) as usize, payload.len());
            let mut sum = ethernet::checksum::pseudo_header_v4([10, 0, 0, 1], [10, 0, 0, 2], 6, length - 20);
            sum.add_bytes(&segment[34..]);
            assert_eq!(sum.finish(), 0, "TCP checksum");
            payload.extend(&segment[54..]);
            payload.len() == 30_000
        });
        assert_eq!(payload, frame[54..]);
    });
}

#[test]
fn a_super_frame_goes_on_where_there_was_no_more_room() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(XdpMode::Copy), Peer::on("far"), Switch::new());
        let port = &mut *uplink.ports[0].port;
        for n in 0..2048 - 5 {
            assert_eq!(switch.put(port, &numbered(n, 64), &Spec::default(), None), Put::Done);
        }
        let (frame, spec) = super_frame();
        assert_eq!(switch.put(port, &frame, &spec, None), Put::Full { next: 5 });
        let mut sequence = vec![];
        let mut look = || {
            while let Some(segment) = peer.look_for(|frame| frame[12..14] == [8, 0]) {
                sequence.push(u32::from_be_bytes(*segment[38..].first_chunk().unwrap()));
            }
        };
        let mut from = 5;
        until("the rest to be taken", || {
            port.flush(0);
            look();
            match switch.try_put_from(port, &frame, &spec, None, from) {
                Some(Put::Full { next }) => from = next,
                put => return put == Some(Put::Done),
            }
            false
        });
        until("all to be sent", || {
            port.flush(0);
            port.deadline().is_none()
        });
        look();
        assert!(sequence.iter().copied().eq((0..21).map(|n| n * 1448)), "{sequence:?}");
    });
}

#[test]
fn the_hosts_answers_to_pings_come_back() {
    let (client, server) = (Namespace::new(), Namespace::new());
    let mut left = client.run(|| tap("10.0.0.1"));
    let mut right = server.run(|| {
        veth();
        ip("address add 10.0.0.2/24 dev far");
        near(XdpMode::Copy)
    });
    let socket = client.run(|| {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::ICMP)).unwrap()
    });
    let mut ping = [8, 0, 0, 0, 0x12, 0x34, 0, 1, b'h', b'i'];
    let mut sum = ethernet::Sum::new();
    sum.add_bytes(&ping);
    ping[2..4].copy_from_slice(&sum.finish().to_be_bytes());
    let to = SocketAddrV4::new([10, 0, 0, 2].into(), 0);
    sendto(&socket, &ping, SendFlags::empty(), &to).unwrap();
    let (left, right) = (&mut *left.ports[0].port, &mut *right.ports[0].port);
    let mut burst = port::Burst::new();
    until("the answer", || {
        forward(&mut burst, left, right);
        forward(&mut burst, right, left);
        let mut answer = [0; 64];
        match recv(&socket, answer.as_mut_slice(), RecvFlags::empty()) {
            // An IPv4 header, then an echo reply (type 0).
            Ok((length, _)) => answer[20] == 0 && answer[24..length] == ping[4..],
            Err(_) => false,
        }
    });
}

#[test]
fn a_full_transmit_ring_is_back_pressure() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(XdpMode::Copy), Peer::on("far"), Switch::new());
        let port = &mut *uplink.ports[0].port;
        let mut put = 0;
        let end = loop {
            match switch.put(port, &numbered(put, 64), &Spec::default(), None) {
                Put::Done => put += 1,
                end => break end,
            }
        };
        assert_eq!((end, put), (Put::Full { next: 0 }, 2048));
        let mut seen = 0;
        until("all frames", || {
            port.flush(0);
            while let Some(frame) = peer.look() {
                assert_eq!(number(&frame), seen);
                seen += 1;
            }
            seen == put
        });
        assert_eq!(port.deadline(), None);
        assert_eq!(switch.send(port, &numbered(put, 64)), Put::Done);
        assert_eq!(peer.receive().map(|frame| number(&frame)), Some(put));
    });
}

#[test]
fn a_full_receive_ring_loses_frames_by_name_and_recovers() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(XdpMode::Generic), Peer::on("far"), Switch::new());
        (0..5000).for_each(|n| peer.send(&numbered(n, 64)));
        let mut seen = 0;
        until("the ring to be empty", || {
            seen += switch.fetch(&mut *uplink.ports[0].port, None).len();
            !uplink.ports[0].port.has_work()
        });
        let (_, lost) = uplink.losses.read()[0];
        assert!(lost > 0 && seen > 0, "{lost} lost, {seen} seen");
        peer.send(&numbered(9999, 64));
        let end = &mut uplink.ports[0];
        assert_eq!(number(&switch.receive(&mut *end.port, &end.wake).pieces[0]), 9999);
    });
}

#[test]
fn a_hundred_thousand_frames_come_back_though_chunks_are_few() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(XdpMode::Copy), Peer::on("far"), Switch::new());
        let port = &mut *uplink.ports[0].port;
        let mut back = 0;
        for n in 0..100_000 {
            peer.send(&numbered(n, 64 + n as usize % 1400));
            // Every third time nothing is finished with: the frames come again.
            let done = if n % 3 == 0 { Some(0) } else { None };
            let fetched = switch.fetch(port, done);
            if done.is_none() {
                for frame in fetched {
                    until("room", || {
                        let put = switch.put(port, &frame.pieces[0], &Spec::default(), None);
                        port.flush(0);
                        put == Put::Done
                    });
                }
            }
            while let Some(frame) = peer.look() {
                assert_eq!(frame, numbered(back, 64 + back as usize % 1400));
                back += 1;
            }
        }
        until("the rest", || {
            for frame in switch.fetch(port, None) {
                assert_eq!(switch.put(port, &frame.pieces[0], &Spec::default(), None), Put::Done);
            }
            port.flush(0);
            while peer.look().is_some() {
                back += 1;
            }
            back == 100_000
        });
    });
}

#[test]
fn several_queues_bring_each_frame_once() {
    Namespace::new().run(|| {
        ip("link add near numrxqueues 2 numtxqueues 2 type veth peer name far numrxqueues 2 numtxqueues 2");
        ip("link set near up");
        ip("link set far up");
        let (mut uplink, peer, mut switch) =
            (try_near(XdpMode::Copy, 2).unwrap(), Peer::on("far"), Switch::new());
        let port = &mut *uplink.ports[0].port;
        let mut seen = vec![];
        (0..500).for_each(|n| peer.send(&numbered(n, 64)));
        until("all frames", || {
            let ours = switch.fetch(port, None).into_iter();
            seen.extend(ours.filter(|f| is_ours(&f.pieces[0])).map(|f| number(&f.pieces[0])));
            seen.len() >= 500
        });
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..500), "{} frames", seen.len());
    });
}

#[test]
fn a_queue_that_the_netdev_lacks_is_refused() {
    Namespace::new().run(|| {
        veth();
        let error = try_near(XdpMode::Copy, 4).unwrap_err();
        assert!(matches!(error, OpenError::NoSuchQueue { .. }), "{error}");
        // Nothing of the failed attempt is in the way.
        until("its end", || try_near(XdpMode::Copy, 1).is_ok());
    });
}

#[test]
fn the_program_goes_with_the_port() {
    Namespace::new().run(|| {
        veth();
        let (uplink, stack, peer) = (near(XdpMode::Copy), Peer::on("near"), Peer::on("far"));
        peer.send(&numbered(1, 64));
        let taken = Duration::from_millis(50);
        assert!(wait_readable(&uplink.ports[0].wake, taken) && stack.look().is_none());
        drop(uplink);
        until("the host to have its frames back", || {
            peer.send(&numbered(2, 64));
            stack.look().is_some()
        });
        until("its end", || try_near(XdpMode::Copy, 1).is_ok());
    });
}

#[test]
fn a_netdev_that_is_taken_is_refused() {
    Namespace::new().run(|| {
        veth();
        let _uplink = near(XdpMode::Copy);
        let error = try_near(XdpMode::Copy, 1).unwrap_err();
        assert!(matches!(error, OpenError::QueueBusy { queue: 0, .. }), "{error}");
        let error = try_near(XdpMode::Generic, 1).unwrap_err();
        assert!(matches!(error, OpenError::QueueBusy { queue: 0, .. }), "{error}");
    });
}

#[test]
fn a_netdev_that_is_off_or_has_too_long_frames_is_refused() {
    Namespace::new().run(|| {
        veth();
        ip("link set near mtu 4000");
        let error = try_near(XdpMode::Generic, 1).unwrap_err();
        assert!(matches!(error, OpenError::MtuTooLarge { mtu: 4000, most: 3818, .. }), "{error}");
        ip("link set near down");
        let error = try_near(XdpMode::Generic, 1).unwrap_err();
        assert!(matches!(error, OpenError::Down { .. }), "{error}");
    });
}

#[test]
fn n09_frames_beyond_the_mtu_are_refused() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, mut switch) = (near(XdpMode::Copy), Switch::new());
        let port = &mut *uplink.ports[0].port;
        assert_eq!(switch.send(port, &numbered(1, 1515)), Put::Refused(Refusal::TooLong));
        assert_eq!(switch.send(port, &numbered(1, 1514)), Put::Done);
    });
}

#[test]
fn a_link_that_is_down_refuses_frames_and_comes_back() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, peer, mut switch) = (near(XdpMode::Copy), Peer::on("far"), Switch::new());
        ip("link set near down");
        hear(&mut uplink, "down", |event| matches!(event, LinkEvent::Changed(state) if !state.up));
        let port = &mut *uplink.ports[0].port;
        assert_eq!(switch.send(port, &numbered(1, 64)), Put::Refused(Refusal::NotReady));
        ip("link set near up");
        hear(&mut uplink, "up", |event| matches!(event, LinkEvent::Changed(state) if state.is_running()));
        let end = &mut uplink.ports[0];
        assert_eq!(switch.send(&mut *end.port, &numbered(2, 64)), Put::Done);
        assert_eq!(peer.receive().map(|frame| number(&frame)), Some(2));
        switch.receive_again(&mut *end.port, || peer.send(&numbered(3, 64)));
    });
}

#[test]
fn a_netdev_that_is_removed_leaves_a_quiet_port() {
    Namespace::new().run(|| {
        veth();
        let (mut uplink, mut switch) = (near(XdpMode::Copy), Switch::new());
        // One frame is on its way.
        assert_eq!(
            switch.put(&mut *uplink.ports[0].port, &numbered(1, 64), &Spec::default(), None),
            Put::Done
        );
        ip("link delete near");
        hear(&mut uplink, "its removal", |event| event == LinkEvent::Removed);
        let end = &mut uplink.ports[0];
        assert_eq!(switch.send(&mut *end.port, &numbered(1, 64)), Put::Refused(Refusal::NotReady));
        assert_eq!(end.port.deadline(), None);
        until("silence", || {
            switch.fetch(&mut *end.port, None);
            !wait_readable(&end.wake, Duration::ZERO)
        });
        assert!(!end.port.has_work());
    });
}
