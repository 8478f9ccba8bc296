//! Reception as the driver finds it.

use ethernet::VlanTag;
use port::{Checksum, FrameMeta, Port, Put, Refusal, Spec};
use proptest::prelude::*;

use super::driver::{RX_EOP, RX_L4CS, RX_VP, Registers};
use super::frames::{ipv4, plain, tagged, tcp};
use super::rig::{NOT_READY, Vf, put};
use crate::registers::{
    CONTROL, ENABLE, RXDCTL_RLPML_EN, RXDCTL_VME, SRRCTL, VFGORC_LSB, VFGORC_MSB, VFGPRC, VFMPRC, VFMRQC,
    VFPSRTYPE, VFRETA, VFRSSRK, rx,
};
use crate::state::word;

const NO_SPEC: Spec = Spec {
    meta: FrameMeta { tag: None, checksum: Checksum::Unverified, gso: None },
    pad_to: 60,
    ipv4_checksum_at: None,
};

fn with_tag(tag: u16) -> Spec {
    Spec { meta: FrameMeta { tag: Some(VlanTag(tag)), ..FrameMeta::default() }, ..NO_SPEC }
}

fn max_frame(vf: &Vf, bytes: u32) {
    vf.state.private.store(word::MAX_FRAME, bytes);
}

#[test]
fn a_frame_fills_one_buffer() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let mut ring = vf.rx(0, 64, 2, 0);
    for length in [60, 100, 1514] {
        let bytes = plain(1, length);
        assert_eq!(put(&mut sender, &mut vf.queues, &bytes, &NO_SPEC), Put::Done);
        let frame = ring.receive(&vf.view()).unwrap();
        assert_eq!((frame.bytes, frame.buffers, frame.status), (bytes, 1, 1 | RX_EOP));
        assert_eq!((frame.packet_type, frame.hash, frame.rss_type, frame.vlan), (0, 0, 0, 0));
        assert_eq!(vf.rx_head(0), ring.next);
    }
    assert_eq!(ring.receive(&vf.view()), None);
    assert_eq!((vf.signals(0), vf.signals(1)), (3, 0), "on the vector of receive queue 0, at each flush");
}

#[test]
fn a_jumbo_frame_spans_buffers() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    max_frame(&vf, 9728);
    let mut ring = vf.rx(1, 64, 1, 0);
    // Queue 1 gets what the redirection table says.
    vf.state.set_register(VFMRQC, 1 | 1 << 17);
    vf.state.set_register(VFPSRTYPE, 1 << 29);
    (0..16).for_each(|n| vf.state.set_register(VFRETA + 4 * n, 0x0101_0101));
    for (length, buffers) in [(1024, 1), (1025, 2), (9724, 10)] {
        let mut bytes = ipv4(17, &plain(7, length - 34));
        bytes.truncate(length);
        assert_eq!(put(&mut sender, &mut vf.queues, &bytes, &NO_SPEC), Put::Done);
        let frame = ring.receive(&vf.view()).unwrap();
        assert_eq!((frame.buffers, frame.rss_type), (buffers, 2));
        assert!(frame.bytes == bytes, "{length} bytes");
    }
}

#[test]
fn a_tag_is_stripped_or_stays_in_the_bytes() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let bytes = plain(1, 300);
    let mut ring = vf.rx(0, 64, 2, RXDCTL_VME);
    put(&mut sender, &mut vf.queues, &bytes, &with_tag(0x2005));
    put(&mut sender, &mut vf.queues, &bytes, &NO_SPEC);
    let frame = ring.receive(&vf.view()).unwrap();
    assert_eq!((&frame.bytes, frame.vlan, frame.status & RX_VP), (&bytes, 0x2005, RX_VP));
    let frame = ring.receive(&vf.view()).unwrap();
    assert_eq!((&frame.bytes, frame.vlan, frame.status & RX_VP), (&bytes, 0, 0));

    let mut ring = vf.rx(0, 64, 2, 0);
    put(&mut sender, &mut vf.queues, &bytes, &with_tag(0x2005));
    let frame = ring.receive(&vf.view()).unwrap();
    assert_eq!((frame.bytes, frame.vlan, frame.status & RX_VP), (tagged(&bytes, 0x2005), 0, 0));
}

#[test]
fn packet_types_and_checksum_flags() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let mut ring = vf.rx(0, 64, 2, 0);
    let l4 = [0x50; 60];
    let mut fragment = ipv4(17, &l4);
    fragment[20] = 0x20;
    let mut v6 = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, 6, 64];
    v6.extend([1; 32]);
    v6.extend(l4);
    let partial = |start, offset| Checksum::Partial { start, offset };
    let sctp = Checksum::PartialCrc32c { start: 34, offset: 8 };
    let udp_flags = RX_L4CS | 1 << 4;
    for (bytes, checksum, packet_type, flags) in [
        (ipv4(6, &l4), Checksum::Unverified, 1 | 1 << 4, 0),
        (ipv4(6, &l4), Checksum::Complete, 1 | 1 << 4, RX_L4CS),
        (ipv4(6, &l4), partial(34, 16), 1 | 1 << 4, RX_L4CS),
        (ipv4(6, &l4), partial(36, 16), 1 | 1 << 4, 0),
        (ipv4(17, &l4), partial(34, 6), 1 | 1 << 5, udp_flags),
        (ipv4(132, &l4), sctp, 1 | 1 << 6, RX_L4CS),
        (ipv4(1, &l4), Checksum::Complete, 1, 0),
        (fragment, Checksum::Complete, 1, 0),
        (v6, partial(54, 16), 1 << 2 | 1 << 4, RX_L4CS),
        (plain(1, 100), Checksum::Complete, 0, 0),
    ] {
        let spec = Spec { meta: FrameMeta { checksum, ..FrameMeta::default() }, ..NO_SPEC };
        assert_eq!(put(&mut sender, &mut vf.queues, &bytes, &spec), Put::Done);
        let frame = ring.receive(&vf.view()).unwrap();
        assert_eq!(
            (frame.packet_type, frame.status),
            (packet_type, 1 | RX_EOP | flags),
            "{checksum:?} {bytes:x?}"
        );
    }
}

#[test]
fn rss_spreads_by_the_key_and_table_of_the_guest() {
    // The verification suite of the RSS specification: 66.9.149.187:2794 to 161.142.100.80:1766.
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let mut rings = [0, 1, 2, 3].map(|queue| vf.rx(queue, 64, 2, 0));
    for (n, word) in (0..).zip(KEY.as_chunks::<4>().0) {
        vf.state.set_register(VFRSSRK + 4 * n, u32::from_le_bytes(*word));
    }
    let mut bytes = tcp(10);
    bytes[26..34].copy_from_slice(&[66, 9, 149, 187, 161, 142, 100, 80]);
    bytes[34..38].copy_from_slice(&[0x0a, 0xea, 0x06, 0xe6]);
    let tcp_hash = 0x51cc_c178_u32;
    let entry = tcp_hash % 64;
    vf.state.set_register(VFRETA + (entry & !3), 3 << (8 * (entry & 3)));
    for (control, pools, queue, kind, hash) in [
        (0, 2, 0, 0, 0),
        (1 | 1 << 16, 2, 3, 1, tcp_hash),
        (1 | 1 << 16, 1, 1, 1, tcp_hash),
        (1 | 1 << 16, 0, 0, 1, tcp_hash),
        (1 | 1 << 17, 2, 0, 2, 0x323e_8fc2),
        (1 | 1 << 22, 2, 0, 0, 0),
    ] {
        vf.state.set_register(VFMRQC, control);
        vf.state.set_register(VFPSRTYPE, pools << 29);
        assert_eq!(put(&mut sender, &mut vf.queues, &bytes, &NO_SPEC), Put::Done);
        let frame = rings[queue].receive(&vf.view()).expect("in the queue that the table names");
        assert_eq!((frame.rss_type, frame.hash), (kind, hash), "control {control:#x}");
    }
}

#[test]
fn rss_hash_types_are_those_of_vfmrqc() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let mut ring = vf.rx(0, 64, 2, 0);
    let v6 = |next: u8| {
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 60, next, 64];
        bytes.extend([1; 32]);
        bytes.extend([0x50; 60]);
        bytes
    };
    let v4 = |protocol| ipv4(protocol, &[0x50; 60]);
    for (bit, bytes, kind) in [
        (16, v4(6), 1),
        (17, v4(6), 2),
        (18, v6(6), 6),
        (19, v6(6), 4),
        (20, v6(6), 5),
        (21, v6(6), 3),
        (22, v4(17), 7),
        (23, v6(17), 8),
        (24, v6(17), 9),
    ] {
        vf.state.set_register(VFMRQC, 1 | 1 << bit);
        put(&mut sender, &mut vf.queues, &bytes, &NO_SPEC);
        assert_eq!(ring.receive(&vf.view()).unwrap().rss_type, kind, "bit {bit}");
    }
}

#[test]
fn statistics_wrap_at_32_and_36_bits() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let mut ring = vf.rx(0, 64, 2, 0);
    let counters = |vf: &Vf| [VFGPRC, VFGORC_LSB, VFGORC_MSB, VFMPRC].map(|r| vf.state.register(r));
    put(&mut sender, &mut vf.queues, &plain(1, 100), &NO_SPEC);
    let mut multicast = plain(2, 200);
    multicast[0] = 1;
    put(&mut sender, &mut vf.queues, &multicast, &NO_SPEC);
    assert_eq!(counters(&vf), [2, 300, 0, 1]);
    let set = |index: usize, low, high| {
        vf.state.private.store(word::COUNTERS + 2 * index, low);
        vf.state.private.store(word::COUNTERS + 2 * index + 1, high);
    };
    set(0, u32::MAX, 0);
    set(1, u32::MAX - 99, 0xf);
    put(&mut sender, &mut vf.queues, &plain(3, 100), &NO_SPEC);
    assert_eq!(counters(&vf), [0, 0, 0, 1]);
    assert_eq!(vf.state.private.load(word::COUNTERS + 1), 1, "the counter behind the register goes on");
    vf.reattach();
    put(&mut sender, &mut vf.queues, &plain(4, 60), &NO_SPEC);
    assert_eq!(counters(&vf), [1, 60, 0, 1]);
    while ring.receive(&vf.view()).is_some() {}
}

#[test]
fn n09_frames_too_long_for_the_guest_are_refused() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let too_long = Put::Refused(Refusal::TooLong);
    let limit = |bytes: u32| RXDCTL_RLPML_EN | bytes;
    let inner = |length: usize| tagged(&plain(1, length - 4), 7);
    // A spec with a tag keeps those in the bytes where they are.
    for (frame_limit, control, bytes, spec, expected) in [
        (1518, 0, plain(1, 1514), NO_SPEC, Put::Done),
        (1518, 0, plain(1, 1515), NO_SPEC, too_long),
        (1518, 0, plain(1, 1514), with_tag(5), Put::Done),
        (1518, 0, plain(1, 1515), with_tag(5), too_long),
        (1518, 0, inner(1518), with_tag(5), Put::Done),
        (1518, 0, inner(1519), with_tag(5), too_long),
        (1518, RXDCTL_VME, plain(1, 1514), with_tag(5), Put::Done),
        (1518, RXDCTL_VME, plain(1, 1515), with_tag(5), too_long),
        (9728, limit(1664), plain(1, 1664), NO_SPEC, Put::Done),
        (9728, limit(1664), plain(1, 1665), NO_SPEC, too_long),
        (9728, limit(1664), plain(1, 1660), with_tag(5), Put::Done),
        (9728, limit(1664), plain(1, 1661), with_tag(5), too_long),
        (9728, 1664, plain(1, 9724), NO_SPEC, Put::Done),
        (0, 0, plain(1, 60), NO_SPEC, too_long),
    ] {
        max_frame(&vf, frame_limit);
        vf.rx(0, 64, 2, control);
        let put = put(&mut sender, &mut vf.queues, &bytes, &spec);
        assert_eq!(put, expected, "{} bytes, limit {frame_limit}, control {control:#x}", bytes.len());
    }
}

#[test]
fn a_full_ring_says_so_and_takes_the_frame_when_it_has_room() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    max_frame(&vf, 9728);
    let mut ring = vf.rx(0, 8, 2, 0);
    for n in 0..7 {
        assert_eq!(put(&mut sender, &mut vf.queues, &plain(n, 60), &NO_SPEC), Put::Done);
    }
    assert_eq!(put(&mut sender, &mut vf.queues, &plain(7, 60), &NO_SPEC), Put::Full { next: 0 });
    let view = vf.view();
    (0..7).for_each(|n| assert_eq!(ring.receive(&view).unwrap().bytes, plain(n, 60)));
    ring.refill(&view, 2);
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(
        put(&mut sender, &mut vf.queues, &plain(8, 5000), &NO_SPEC),
        Put::Full { next: 0 },
        "3 buffers needed"
    );
    assert_eq!(put(&mut sender, &mut vf.queues, &plain(9, 4000), &NO_SPEC), Put::Done);
    assert_eq!(ring.receive(&view).unwrap().bytes, plain(9, 4000));
}

#[test]
fn a_frame_that_never_fits_the_ring_is_not_waited_for() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    max_frame(&vf, 9728);
    vf.rx(0, 8, 1, 0);
    assert_eq!(put(&mut sender, &mut vf.queues, &plain(0, 7000), &NO_SPEC), Put::Done);
    vf.rx(0, 8, 1, 0);
    let refused = Put::Refused(Refusal::NoBuffers);
    assert_eq!(put(&mut sender, &mut vf.queues, &plain(0, 8000), &NO_SPEC), refused);
}

#[test]
fn a_queue_that_is_not_set_up_is_not_ready() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let frame = plain(1, 60);
    assert_eq!(put(&mut sender, &mut vf.queues, &frame, &NO_SPEC), NOT_READY, "never enabled");
    vf.rx(0, 64, 2, 0);
    assert_eq!(put(&mut sender, &mut vf.queues, &frame, &NO_SPEC), Put::Done);
    for (register, value) in
        [(CONTROL, 0), (SRRCTL, 0), (SRRCTL, 0x0200_0000), (SRRCTL, 0x0400_0002), (SRRCTL, 2)]
    {
        vf.rx(0, 64, 2, 0);
        vf.state.write(rx(0, register), value);
        assert_eq!(
            put(&mut sender, &mut vf.queues, &frame, &NO_SPEC),
            NOT_READY,
            "{register:#x} = {value:#x}"
        );
    }
    vf.rx(0, 64, 2, 0);
    for (index, refusal) in [(word::LINK, Refusal::LinkDown), (word::DMA_ENABLED, Refusal::NotReady)] {
        vf.state.private.store(index, 0);
        assert_eq!(put(&mut sender, &mut vf.queues, &frame, &NO_SPEC), Put::Refused(refusal));
        vf.state.private.store(index, 1);
        assert_eq!(put(&mut sender, &mut vf.queues, &frame, &NO_SPEC), Put::Done);
    }
}

#[test]
fn a_ring_that_is_set_up_anew_starts_at_its_head() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    for (round, size) in (0..).zip([64, 8, 256, 64]) {
        let mut ring = vf.rx(0, size, 2, 0);
        for n in 0..5 {
            assert_eq!(put(&mut sender, &mut vf.queues, &plain(n, 60), &NO_SPEC), Put::Done, "round {round}");
            assert_eq!(ring.receive(&vf.view()).unwrap().bytes, plain(n, 60));
        }
        assert_eq!(vf.rx_head(0), 5);
        vf.state.write(rx(0, CONTROL), 0);
        assert_eq!(put(&mut sender, &mut vf.queues, &plain(9, 60), &NO_SPEC), NOT_READY);
    }
    assert_eq!(vf.state.register(rx(0, CONTROL)) & ENABLE, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn what_is_put_is_what_is_received(
        frames in prop::collection::vec((60..9700usize, any::<Option<u16>>()), 1..40),
        kib in 1..5u32, strip: bool, size in prop::sample::select(vec![16, 64, 128]),
    ) {
        let (mut sender, mut vf) = (Vf::new(), Vf::new());
        max_frame(&vf, 9728);
        let mut ring = vf.rx(0, size, kib, if strip { RXDCTL_VME } else { 0 });
        for (number, (length, tag)) in (0..).zip(frames) {
            let bytes = plain(number, length);
            let spec = tag.map_or(NO_SPEC, with_tag);
            prop_assert_eq!(put(&mut sender, &mut vf.queues, &bytes, &spec), Put::Done);
            let frame = ring.receive(&vf.view()).unwrap();
            let expected = match tag {
                Some(tci) if !strip => tagged(&bytes, tci),
                _ => bytes,
            };
            prop_assert_eq!(frame.buffers as usize, expected.len().div_ceil(kib as usize * 1024));
            prop_assert!(frame.bytes == expected);
            prop_assert_eq!(frame.vlan, if strip { tag.unwrap_or(0) } else { 0 });
            ring.fill(&vf.view(), &mut vf.state);
        }
    }
}

#[test]
fn frames_written_before_the_queue_is_closed_in_the_same_round_are_still_there_to_be_polled() {
    let (mut sender, mut vf) = (Vf::new(), Vf::new());
    let mut ring = vf.rx(0, 64, 2, 0);
    let mut from = sender.tx(0, 64);
    (0..10).for_each(|n| sender.send(&mut from, &plain(n, 60)));
    let burst = sender.fetch();
    for n in 0..burst.len() {
        if n == 7 {
            vf.state.write(rx(0, CONTROL), 0);
        }
        // The close takes effect when the round is over.
        assert_eq!(vf.queues.put(&burst.frame(n), None, 0), Put::Done);
    }
    vf.queues.flush(0);
    let received: Vec<_> = std::iter::from_fn(|| ring.receive(&vf.view())).map(|frame| frame.bytes).collect();
    assert_eq!(received, (0..10).map(|n| plain(n, 60)).collect::<Vec<_>>());
    assert_eq!(vf.queues.put(&burst.frame(0), None, 0), NOT_READY);
}
