//! A tap, with the host's network stack on its other side.

use std::net::UdpSocket;
use std::time::Duration;

use ethernet::{L4, MacAddr};
use port::{Checksum, Put, Refusal, Spec};

use super::host::{Namespace, Peer, ip, is_ours, number, numbered, until, wait_readable};
use super::packet::config;
use super::switch::{Switch, hear};
use crate::netlink::Netlink;
use crate::{Backend, LinkEvent, NewTap, OpenError, Uplink, open};

const ADDRESS: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xbb]);

fn tap(queues: usize, ports: usize) -> Uplink {
    let new = Some(NewTap { address: Some(ADDRESS), mtu: Some(1400) });
    open(&config(Backend::Tap { name: "vnic".into(), new }, queues, ports)).unwrap()
}

#[test]
fn a_tap_is_made_as_asked_for_and_goes_with_its_port() {
    Namespace::new().run(|| {
        let uplink = tap(1, 1);
        let found = Netlink::open().unwrap().by_name("vnic").unwrap();
        assert_eq!((found.address, found.mtu, found.up, found.carrier), (ADDRESS, 1400, true, true));
        assert_eq!(found.kind, "tun");
        assert!(uplink.watcher.as_ref().unwrap().state().unwrap().is_running());
        let wake = uplink.ports[0].wake.clone();
        drop(uplink);
        until("its end", || {
            let found = Netlink::open().unwrap().by_name("vnic");
            found.is_err_and(|error| error.raw_os_error() == Some(libc::ENODEV))
        });
        assert!(!wait_readable(&wake, Duration::ZERO));
    });
}

#[test]
fn the_hosts_stack_and_the_switch_exchange_datagrams() {
    Namespace::new().run(|| {
        let (mut uplink, mut switch) = (tap(1, 1), Switch::new());
        ip("address add 10.0.0.1/24 dev vnic");
        ip("neighbour add 10.0.0.2 lladdr 02:00:00:00:00:aa dev vnic");
        let socket = UdpSocket::bind("10.0.0.1:7").unwrap();
        socket.send_to(b"anyone there?", "10.0.0.2:9").unwrap();
        let end = &mut uplink.ports[0];
        let mut frame = vec![];
        let mut checksum = Checksum::Unverified;
        until("the datagram", || {
            wait_readable(&end.wake, Duration::from_millis(100));
            for fetched in switch.fetch(&mut *end.port, None) {
                let bytes = &fetched.pieces[0];
                if ethernet::parse(bytes).l4 == L4::Udp {
                    (frame, checksum) = (bytes.clone(), fetched.meta.checksum);
                }
            }
            !frame.is_empty()
        });
        assert_eq!(checksum, Checksum::Partial { start: 34, offset: 6 }, "the host leaves it to the adapter");
        assert_eq!(&frame[42..55], b"anyone there?");
        // Turned round, the sums of addresses and ports are the same.
        let mut reply = [&frame[6..12], &frame[..6], &frame[12..26], &frame[30..34], &frame[26..30]].concat();
        reply.extend([&frame[36..38], &frame[34..36], &frame[38..]].concat());
        assert_eq!(switch.send(&mut *end.port, &reply), Put::Done);
        let mut buffer = [0; 32];
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from.to_string().as_str()), (&b"anyone there?"[..], "10.0.0.2:9"));
    });
}

#[test]
fn an_unfinished_checksum_is_left_to_the_kernel() {
    Namespace::new().run(|| {
        let (mut uplink, mut switch) = (tap(1, 1), Switch::new());
        ip("address add 10.0.0.1/24 dev vnic");
        let socket = UdpSocket::bind("10.0.0.1:7").unwrap();
        let mut frame =
            [&ADDRESS.0[..], &[2, 0, 0, 0, 0, 0xaa, 8, 0, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17]].concat();
        frame.extend([0, 0, 10, 0, 0, 2, 10, 0, 0, 1, 0, 9, 0, 7, 0, 12]);
        let pseudo = ethernet::checksum::pseudo_header_v4([10, 0, 0, 2], [10, 0, 0, 1], 17, 12).fold();
        frame.extend(pseudo.to_be_bytes());
        frame.extend(b"four");
        let mut spec = Spec { pad_to: 60, ipv4_checksum_at: Some(14), ..Spec::default() };
        spec.meta.checksum = Checksum::Partial { start: 34, offset: 6 };
        assert_eq!(switch.put(&mut *uplink.ports[0].port, &frame, &spec, None), Put::Done);
        let mut buffer = [0; 32];
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"four");
    });
}

#[test]
fn n09_frames_beyond_the_mtu_are_refused() {
    Namespace::new().run(|| {
        let (mut uplink, peer, mut switch) = (tap(1, 1), Peer::on("vnic"), Switch::new());
        let port = &mut *uplink.ports[0].port;
        assert_eq!(switch.send(port, &numbered(1, 1415)), Put::Refused(Refusal::TooLong));
        assert_eq!(switch.send(port, &numbered(2, 1414)), Put::Done);
        assert_eq!(peer.receive().map(|frame| number(&frame)), Some(2));
    });
}

#[test]
fn a_tap_that_is_switched_off_refuses_frames_and_comes_back() {
    Namespace::new().run(|| {
        let (mut uplink, mut switch) = (tap(1, 1), Switch::new());
        ip("link set vnic down");
        // Even before it has been heard of.
        let refused = Put::Refused(Refusal::NotReady);
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &numbered(1, 64)), refused);
        hear(&mut uplink, "down", |event| matches!(event, LinkEvent::Changed(state) if !state.up));
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &numbered(1, 64)), refused);
        ip("link set vnic up");
        hear(&mut uplink, "up", |event| matches!(event, LinkEvent::Changed(state) if state.is_running()));
        let (peer, end) = (Peer::on("vnic"), &mut uplink.ports[0]);
        assert_eq!(switch.send(&mut *end.port, &numbered(2, 64)), Put::Done);
        assert_eq!(peer.receive().map(|frame| number(&frame)), Some(2));
        peer.send(&numbered(3, 64));
        assert_eq!(number(&switch.receive(&mut *end.port, &end.wake).pieces[0]), 3);
    });
}

#[test]
fn a_tap_that_is_removed_leaves_a_quiet_port() {
    Namespace::new().run(|| {
        let (mut uplink, mut switch) = (tap(1, 1), Switch::new());
        ip("link delete vnic");
        let end = &mut uplink.ports[0];
        assert_eq!(switch.send(&mut *end.port, &numbered(1, 64)), Put::Refused(Refusal::NotReady));
        assert!(switch.fetch(&mut *end.port, None).is_empty());
        assert!(!end.port.has_work() && !wait_readable(&end.wake, Duration::ZERO));
        hear(&mut uplink, "its removal", |event| event == LinkEvent::Removed);
    });
}

#[test]
fn a_full_queue_loses_the_hosts_frames_and_recovers() {
    Namespace::new().run(|| {
        let (mut uplink, peer, mut switch) = (tap(1, 1), Peer::on("vnic"), Switch::new());
        // The queue has 1000 places or fewer; what is beyond is the host's loss.
        for n in 0..3000 {
            // A refusal is what is wanted here.
            peer.try_send(&numbered(n, 64));
        }
        let end = &mut uplink.ports[0];
        let mut seen = 0;
        while end.port.has_work() {
            let fetched = switch.fetch(&mut *end.port, None);
            seen += fetched.iter().filter(|f| is_ours(&f.pieces[0])).count();
        }
        assert!((1..3000).contains(&seen), "{seen} frames");
        peer.send(&numbered(9999, 64));
        assert_eq!(number(&switch.receive(&mut *end.port, &end.wake).pieces[0]), 9999);
    });
}

#[test]
fn several_queues_bring_each_frame_once() {
    Namespace::new().run(|| {
        let (mut uplink, peer, mut switch) = (tap(3, 2), Peer::on("vnic"), Switch::new());
        let mut seen = vec![];
        for n in 0..500 {
            peer.send(&numbered(n, 64));
            for end in &mut uplink.ports {
                let ours = switch.fetch(&mut *end.port, None).into_iter();
                seen.extend(ours.filter(|f| is_ours(&f.pieces[0])).map(|f| number(&f.pieces[0])));
            }
        }
        until("all frames", || {
            for end in &mut uplink.ports {
                let ours = switch.fetch(&mut *end.port, None).into_iter();
                seen.extend(ours.filter(|f| is_ours(&f.pieces[0])).map(|f| number(&f.pieces[0])));
            }
            seen.len() >= 500
        });
        seen.sort_unstable();
        assert!(seen.iter().copied().eq(0..500), "{} frames", seen.len());
    });
}

#[test]
fn a_tap_of_someone_else_is_used_and_left_behind() {
    Namespace::new().run(|| {
        ip("tuntap add theirs mode tap vnet_hdr");
        ip("link set theirs up");
        let config = config(Backend::Tap { name: "theirs".into(), new: None }, 1, 1);
        let (mut uplink, mut switch) = (open(&config).unwrap(), Switch::new());
        hear_running(&mut uplink);
        let peer = Peer::on("theirs");
        assert_eq!(switch.send(&mut *uplink.ports[0].port, &numbered(1, 64)), Put::Done);
        assert_eq!(peer.receive().map(|frame| number(&frame)), Some(1));
        assert!(matches!(open(&config), Err(OpenError::Busy { .. })));
        drop(uplink);
        assert!(Netlink::open().unwrap().by_name("theirs").is_ok());
    });
}

fn hear_running(uplink: &mut Uplink) {
    if !uplink.watcher.as_ref().unwrap().state().unwrap().is_running() {
        hear(uplink, "carrier", |event| matches!(event, LinkEvent::Changed(state) if state.is_running()));
    }
}
