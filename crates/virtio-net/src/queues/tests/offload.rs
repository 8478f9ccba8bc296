//! Checksums, segmentation and VLAN tags.

use ethernet::{GsoKind, VlanTag};
use port::{Burst, Checksum, Malformed, Port, Put, Refusal, Spec};
use proptest::prelude::*;

use crate::Features;
use crate::testing::frames::{Packet, TCP, check, complete, padded, plain};
use crate::testing::{Receiver, Sender, Vm, forward};

const HOST: Features = Features::CSUM
    .union(Features::HOST_TSO4)
    .union(Features::HOST_TSO6)
    .union(Features::HOST_ECN)
    .union(Features::HOST_USO);

fn packet() -> impl Strategy<Value = Packet> {
    let bools = (any::<bool>(), any::<bool>(), any::<bool>());
    (bools, 0..=10_usize, any::<u8>(), 1..20_000_usize, any::<u16>()).prop_map(
        |((v6, tcp, tagged), options, flags, payload, tci)| Packet {
            v6,
            tcp,
            options,
            flags,
            payload,
            vlan: tagged.then_some(tci),
        },
    )
}

/// What of the frames a packet is to arrive as.
fn expected_whole(packet: &Packet, offloads: Features) -> bool {
    let kind = match (packet.tcp, packet.v6) {
        (true, false) => Features::GUEST_TSO4,
        (true, true) => Features::GUEST_TSO6,
        (false, false) => Features::GUEST_USO4,
        (false, true) => Features::GUEST_USO6,
    };
    let ecn = packet.tcp && packet.flags & 0x80 != 0;
    offloads.contains(kind | Features::GUEST_CSUM) && (!ecn || offloads.contains(Features::GUEST_ECN))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A frame to be cut arrives whole where the guest takes it so, else in segments whose sum is the frame; checksums
    /// are right in the end.
    #[test]
    fn segmentation_is_passed_on_or_done(
        packet in packet(),
        mss in 100..8000_u16,
        bits in any::<u64>(),
        buffer in 600..4000_u32,
    ) {
        let offloads = (Features::from_bits_truncate(bits) & Features::GUEST_OFFLOADS).effective();
        let features = offloads | Features::MRG_RXBUF | Features::VERSION_1;
        let (mut a, mut b) = (Vm::new(HOST), Vm::new(features));
        let mut sender = Sender::new(a.ring(1, 16));
        let mut receiver = Receiver::new(b.ring(0, 512), &[buffer], features);
        receiver.fill(&b.view(), 512);
        prop_assert!(sender.send(&a.view(), &packet.gso_header(mss), &packet.build(), &[300, 77]));
        prop_assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
        prop_assert_eq!(a.malformed(), vec![]);
        let got = receiver.receive(&b.view());
        // A last segment that would be padded is too short to be written in its place.
        let last = (packet.payload - 1) % usize::from(mss) + 1 + packet.header();
        let padded = last < if packet.vlan.is_some() { 64 } else { 60 };
        let whole = expected_whole(&packet, offloads) && !padded;
        let pieces = packet.payload.div_ceil(usize::from(mss));
        prop_assert_eq!(got.len(), if whole { 1 } else { pieces });
        let mut payload = vec![];
        for (header, frame) in &got {
            prop_assert_eq!(header[0] & 1 != 0, whole);
            prop_assert_eq!(header[0] & 2 != 0, !whole && offloads.contains(Features::GUEST_CSUM));
            let mut frame = frame.clone();
            if whole {
                prop_assert_eq!(&header[..10], &packet.gso_header(mss)[..10]);
                complete(header, &mut frame);
                prop_assert_eq!(frame.len(), packet.header() + packet.payload);
            }
            let (sequence, part) = check(&frame);
            prop_assert!(!packet.tcp || sequence == payload.len());
            payload.extend(part);
        }
        prop_assert_eq!(payload, packet.payload());
    }

    #[test]
    fn a_partial_checksum_is_passed_on_or_made(packet in packet(), takes in any::<bool>()) {
        let packet = Packet { payload: packet.payload % 8000, ..packet };
        let mut features = Features::MRG_RXBUF | Features::VERSION_1;
        features.set(Features::GUEST_CSUM, takes);
        let (mut a, mut b) = (Vm::new(HOST), Vm::new(features));
        let mut sender = Sender::new(a.ring(1, 16));
        let mut receiver = Receiver::new(b.ring(0, 32), &[700], features);
        receiver.fill(&b.view(), 32);
        prop_assert!(sender.send(&a.view(), &packet.checksum_header(), &packet.build(), &[40, 300, 77]));
        prop_assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
        let got = receiver.receive(&b.view());
        let (header, mut frame) = got[0].clone();
        prop_assert_eq!(header[0], u8::from(takes));
        if takes {
            prop_assert_eq!(&frame, &padded(packet.build()));
            complete(&header, &mut frame);
        }
        prop_assert_eq!(check(&frame).1, packet.payload());
    }
}

#[test]
fn header_length_is_parsed_and_not_trusted() {
    for lie in [0, 1, 53, 55, 0xffff] {
        let (mut a, mut b) = (Vm::new(HOST), Vm::new(Features::MRG_RXBUF));
        let mut sender = Sender::new(a.ring(1, 16));
        let mut receiver = Receiver::new(b.ring(0, 32), &[2000], Features::MRG_RXBUF | Features::VERSION_1);
        receiver.fill(&b.view(), 32);
        let mut header = TCP.gso_header(1448);
        header[2..4].copy_from_slice(&u16::to_le_bytes(lie));
        header[6..10].fill(0xff);
        assert!(sender.send(&a.view(), &header, &TCP.build(), &[]));
        assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
        let payload: Vec<u8> =
            receiver.receive(&b.view()).iter().flat_map(|(_, frame)| check(frame).1).collect();
        assert_eq!(payload, TCP.payload());
    }
}

#[test]
fn metadata_of_a_fetched_frame() {
    let mut a = Vm::new(HOST);
    let mut sender = Sender::new(a.ring(1, 16));
    let tagged = Packet { vlan: Some(0x2005), ..TCP };
    assert!(sender.send(&a.view(), &tagged.gso_header(1448), &tagged.build(), &[]));
    assert!(sender.send(&a.view(), &TCP.checksum_header(), &TCP.build(), &[]));
    assert!(sender.send(&a.view(), &[0; 12], &plain(1, 64), &[]));
    let frames = a.take();
    let meta = frames[0].1;
    let cut = meta.gso.unwrap();
    assert_eq!(meta.tag, Some(VlanTag(0x2005)));
    assert_eq!((cut.gso.kind, cut.gso.mss, cut.gso.header_len), (GsoKind::TcpV4, 1448, 54));
    assert_eq!((cut.l3_offset, cut.l4_offset), (14, 34));
    assert_eq!(frames[1].1.checksum, Checksum::Partial { start: 34, offset: 16 });
    assert_eq!(frames[2].1.checksum, Checksum::Unverified);
    assert_eq!(frames[2].0, plain(1, 64));
}

#[test]
fn a_tag_for_the_guest_stands_in_the_bytes() {
    for offloads in [Features::empty(), Features::GUEST_CSUM | Features::GUEST_TSO4] {
        let features = offloads | Features::MRG_RXBUF | Features::VERSION_1;
        let (mut a, mut b) = (Vm::new(HOST), Vm::new(features));
        let mut sender = Sender::new(a.ring(1, 16));
        let mut receiver = Receiver::new(b.ring(0, 64), &[2000], features);
        receiver.fill(&b.view(), 64);
        assert!(sender.send(&a.view(), &TCP.gso_header(1448), &TCP.build(), &[]));
        let mut burst = Burst::new();
        a.queues.fetch(&mut burst, 0);
        assert_eq!(b.queues.put(&burst.frame(0), Some(VlanTag(7)), 0), Put::Done);
        b.queues.flush(0);
        let got = receiver.receive(&b.view());
        assert_eq!(got.len(), if offloads.is_empty() { 3 } else { 1 });
        for (header, mut frame) in got {
            assert_eq!(frame[12..16], [0x81, 0, 0, 7]);
            if !offloads.is_empty() {
                assert_eq!(header[6..10], [38, 0, 16, 0], "the checksum starts behind the tag");
            }
            complete(&header, &mut frame);
            check(&frame);
        }
    }
}

#[test]
fn a_vlan_tag_is_taken_out_and_put_back() {
    let (mut a, mut b) = (Vm::new(Features::empty()), Vm::new(Features::empty()));
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 16), &[2000], Features::VERSION_1);
    receiver.fill(&b.view(), 8);
    let frame = Packet { vlan: Some(5), payload: 200, ..TCP }.build();
    assert!(sender.send(&a.view(), &[0; 12], &frame, &[]));
    // The policy of `forward` is to show the guest the tag that was there.
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    assert_eq!(receiver.receive(&b.view())[0].1, frame);
}

/// N12: what the guest takes changes between two frames.
#[test]
fn n12_offloads_toggled_under_traffic() {
    let features = Features::GUEST_CSUM | Features::GUEST_TSO4 | Features::MRG_RXBUF | Features::VERSION_1;
    let (mut a, mut b) = (Vm::new(HOST), Vm::new(features));
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 256), &[1600], features);
    for turn in 0..40 {
        let on = turn % 2 == 0;
        b.state.set_guest_offloads(if on { Features::GUEST_OFFLOADS } else { Features::empty() });
        receiver.fill(&b.view(), 256);
        assert!(sender.send(&a.view(), &TCP.gso_header(1000), &TCP.build(), &[]));
        assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
        sender.ring.take(&a.view());
        let got = receiver.receive(&b.view());
        assert_eq!(got.len(), if on { 1 } else { 3 });
        assert!(got.iter().all(|(header, _)| (header[1] == 1) == on));
    }
}

/// Room for some segments only: the rest comes later, none twice; and what was begun in segments ends in segments even
/// if the guest takes whole frames by then.
#[test]
fn a_frame_cut_short_by_a_full_ring_goes_on_where_it_stopped() {
    let features = Features::GUEST_CSUM | Features::GUEST_TSO4 | Features::VERSION_1;
    let (mut a, mut b) = (Vm::new(HOST), Vm::new(features));
    b.state.set_guest_offloads(Features::empty());
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 16), &[4000], features);
    receiver.fill(&b.view(), 2);
    assert!(sender.send(&a.view(), &TCP.gso_header(500), &TCP.build(), &[]));
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Full { next: 2 });
    assert!(sender.ring.take(&a.view()).is_empty());
    let mut got = receiver.receive(&b.view());
    b.state.set_guest_offloads(Features::GUEST_OFFLOADS);
    receiver.fill(&b.view(), 16);
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    got.extend(receiver.receive(&b.view()));
    assert_eq!(got.len(), 6);
    let payload: Vec<u8> = got.iter().flat_map(|(_, frame)| check(frame).1).collect();
    assert_eq!(payload, TCP.payload());
    assert_eq!(sender.ring.take(&a.view()).len(), 1);
}

#[test]
fn n09_frames_longer_than_the_mtu_are_not_received() {
    let mut b = Vm::new(Features::MRG_RXBUF);
    b.state.set_mtu(1500);
    let mut receiver = Receiver::new(b.ring(0, 64), &[2000], Features::MRG_RXBUF | Features::VERSION_1);
    receiver.fill(&b.view(), 64);
    let mut put = |length| crate::testing::put(&mut b, &plain(1, length), &Spec::default());
    assert_eq!(put(1514), Put::Done);
    assert_eq!(put(1515), Put::Refused(Refusal::TooLong));
    assert_eq!(put(9014), Put::Refused(Refusal::TooLong));
}

#[test]
fn n09_frames_longer_than_any_are_dropped() {
    let mut a = Vm::new(HOST);
    let mut sender = Sender::new(a.ring(1, 16));
    assert!(sender.send(&a.view(), &[0; 12], &plain(1, 9729), &[]));
    assert!(sender.send(&a.view(), &TCP.gso_header(1448), &vec![0; 65_536 + 22], &[]));
    assert_eq!(a.take().len(), 0);
    assert_eq!(a.malformed(), vec![(Malformed::TooLong, 2)]);
    assert_eq!(sender.ring.take(&a.view()).len(), 2, "given back");
}
