//! Transmission as ixgbevf and DPDK ask for it.

use ethernet::{Gso, GsoKind, VlanTag};
use port::{Checksum, Consumed, FrameMeta, Port, Segmentation};

use super::driver::{self, Context, EOP, IXSM, RS, TSE, TXSM, TxRing, VLE};
use super::frames::{ipv4, plain, sum, tagged, tcp};
use super::rig::{TX_BUFFERS, Vf};
use crate::registers::{CONTROL, ENABLE, VFGOTC_LSB, VFGOTC_MSB, VFGPTC, tx};

/// What of a frame goes into its descriptors.
#[derive(Clone, Copy, Default)]
struct Ask<'a> {
    context: Option<Context>,
    command: u32,
    options: u32,
    /// Lengths of the buffers before the last one.
    cuts: &'a [usize],
}

/// Writes `bytes` to where the tests send from, posts and shows them.
fn post(vf: &mut Vf, ring: &mut TxRing, bytes: &[u8], ask: Ask<'_>) {
    let view = vf.view();
    view.write_bytes(TX_BUFFERS, bytes).unwrap();
    if let Some(context) = ask.context {
        ring.post(&view, context.words());
    }
    let mut at = 0;
    for cut in ask.cuts {
        ring.post(&view, driver::data(TX_BUFFERS + at as u64, *cut, ask.command, ask.options));
        at += cut;
    }
    let last = driver::data(TX_BUFFERS + at as u64, bytes.len() - at, ask.command | EOP | RS, ask.options);
    ring.post(&view, last);
    ring.ring_doorbell(&mut vf.state);
}

const TCP: Context =
    Context { vlan: 0, mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss: 0, slot: 0 };

/// What a frame with these descriptors is taken for.
fn taken(bytes: &[u8], ask: Ask<'_>) -> (Vec<u8>, FrameMeta) {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    post(&mut vf, &mut ring, bytes, ask);
    let mut frames = vf.take();
    assert_eq!((frames.len(), vf.malformed()), (1, vec![]));
    frames.remove(0)
}

#[test]
fn frames_of_one_and_of_several_buffers() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    let (short, long) = (plain(1, 64), plain(2, 3000));
    post(&mut vf, &mut ring, &short, Ask::default());
    let frames = vf.take();
    assert_eq!((frames.len(), &frames[0].0), (1, &short));
    assert_eq!((frames[0].1.tag, frames[0].1.checksum, frames[0].1.gso), (None, Checksum::Unverified, None));
    post(&mut vf, &mut ring, &long, Ask { cuts: &[1000, 1, 0, 500], ..Ask::default() });
    let burst = vf.fetch();
    assert_eq!((burst.len(), burst.frame(0).len()), (1, 3000));
    assert_eq!(burst.frame(0).header(), &long[..128]);
}

#[test]
fn what_is_completed_is_given_back_by_head_and_reports_and_interrupt() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(1, 64);
    let view = vf.view();
    for n in 0..5 {
        // DPDK asks for a report now and then only.
        let report = if n == 1 || n == 4 { RS } else { 0 };
        ring.post(&view, driver::data(TX_BUFFERS, 60, EOP | report, 0));
    }
    ring.ring_doorbell(&mut vf.state);
    let burst = vf.fetch();
    assert_eq!((burst.len(), vf.tx_head(1)), (5, 0), "nothing is given back before it is complete");
    vf.queues.complete(&burst, Consumed { frames: 3, pieces: 0 }, 0);
    assert_eq!(vf.tx_head(1), 3);
    assert_eq!([0, 1, 2, 3, 4].map(|n| ring.is_done(&view, n)), [false, true, false, false, false]);
    vf.queues.flush(0);
    assert_eq!((vf.signals(0), vf.signals(1)), (0, 1));

    let burst = vf.fetch();
    assert_eq!(burst.len(), 2, "what is not complete is fetched again");
    vf.queues.complete(&burst, Consumed { frames: 1, pieces: 0 }, 0);
    vf.queues.flush(0);
    assert_eq!(vf.signals(1), 1, "no report, no interrupt");
    assert_eq!(vf.take().len(), 1);
    assert!(ring.is_done(&view, 4));
    assert_eq!((vf.tx_head(1), vf.signals(1)), (5, 2));
    assert_eq!(vf.state.register(VFGPTC), 5);
}

#[test]
fn rings_go_round_with_any_number_of_frames() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 8);
    let mut sent = 0;
    for round in 0..50 {
        let count = round % 8;
        for _ in 0..count {
            vf.send(&mut ring, &plain(sent, 60));
            sent += 1;
        }
        let frames = vf.take();
        let expected: Vec<_> = (sent - count..sent).map(|n| plain(n, 60)).collect();
        assert_eq!(frames.into_iter().map(|f| f.0).collect::<Vec<_>>(), expected, "round {round}");
        assert_eq!(vf.tx_head(0), ring.tail);
        assert!(!vf.queues.has_work());
    }
}

#[test]
fn checksums_are_left_to_be_filled_in_where_the_context_says() {
    for (l4, protocol, expected) in [
        (1, 6, Checksum::Partial { start: 34, offset: 16 }),
        (0, 17, Checksum::Partial { start: 34, offset: 6 }),
        (2, 132, Checksum::PartialCrc32c { start: 34, offset: 8 }),
    ] {
        let context = Some(Context { l4, ..TCP });
        let (_, meta) = taken(&ipv4(protocol, &[7; 100]), Ask { context, options: TXSM, ..Ask::default() });
        assert_eq!(meta.checksum, expected);
    }
}

#[test]
fn the_ipv4_checksum_is_filled_in_if_the_context_says_ipv4() {
    let bytes = ipv4(17, &[7; 100]);
    let ask = Ask { context: Some(TCP), options: IXSM, ..Ask::default() };
    assert_eq!(sum(&taken(&bytes, ask).0[14..34]), 0xffff);
    let v6 = Some(Context { ipv4: false, ..TCP });
    assert_eq!(taken(&bytes, Ask { context: v6, ..ask }).0, &bytes[..128]);
}

#[test]
fn tags_come_from_the_context_or_from_the_bytes() {
    let bytes = plain(1, 100);
    let context = Some(Context { vlan: 0x6005, mac_len: 14, ..Context::default() });
    let (header, meta) = taken(&bytes, Ask { context, command: VLE, ..Ask::default() });
    assert_eq!((header, meta.tag), (bytes.clone(), Some(VlanTag(0x6005))));
    let (header, meta) = taken(&tagged(&bytes, 0x6005), Ask::default());
    assert_eq!((header, meta.tag), (bytes.clone(), Some(VlanTag(0x6005))));
    let (header, meta) = taken(&tagged(&bytes, 9), Ask { context, command: VLE, ..Ask::default() });
    assert_eq!(
        (header, meta.tag),
        (tagged(&bytes, 9), Some(VlanTag(0x6005))),
        "a second tag stays in the bytes"
    );
    let (_, meta) = taken(&bytes, Ask { context, ..Ask::default() });
    assert_eq!(meta.tag, None, "the context's tag is for frames with VLE only");
}

#[test]
fn segmentation_is_described_by_the_context() {
    let context = Some(Context { mss: 1448, slot: 1, ..TCP });
    let ask = Ask { context, command: TSE, options: TXSM | IXSM | 1 << 4 | 1 << 7, cuts: &[54, 16_384] };
    let (header, meta) = taken(&tcp(60_000), ask);
    let gso = Gso { kind: GsoKind::TcpV4, mss: 1448, header_len: 54 };
    assert_eq!(meta.gso, Some(Segmentation { gso, l3_offset: 14, l4_offset: 34 }));
    assert_eq!(header.len(), 54);
    assert_eq!(meta.checksum, Checksum::Unverified, "segmentation says all");
}

#[test]
fn the_two_contexts_of_a_queue_persist() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    let view = vf.view();
    let bytes = ipv4(6, &[7; 100]);
    view.write_bytes(TX_BUFFERS, &bytes).unwrap();
    let data = |slot: u32| driver::data(TX_BUFFERS, bytes.len(), EOP | VLE, slot << 4);
    let context = |slot: u32, vlan| Context { vlan, slot, ..TCP }.words();
    for words in [context(0, 1), context(1, 2), data(0), data(1), context(1, 3), data(0), data(1), data(1)] {
        ring.post(&view, words);
    }
    ring.ring_doorbell(&mut vf.state);
    let tags: Vec<_> = vf.take().iter().map(|(_, meta)| meta.tag.unwrap().0).collect();
    assert_eq!(tags, [1, 2, 1, 3, 3]);
    ring.post(&view, data(1));
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take()[0].1.tag, Some(VlanTag(3)), "from one fetch to the next");
    vf.reattach();
    ring.post(&view, data(0));
    ring.post(&view, data(1));
    ring.ring_doorbell(&mut vf.state);
    let tags: Vec<_> = vf.take().iter().map(|(_, meta)| meta.tag.unwrap().0).collect();
    assert_eq!(tags, [1, 3], "from one data path to the next");
}

#[test]
fn statistics_count_what_is_on_the_wire() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    let octets =
        |vf: &Vf| u64::from(vf.state.register(VFGOTC_LSB)) | u64::from(vf.state.register(VFGOTC_MSB)) << 32;
    let ask = Ask { context: Some(Context { mss: 1000, ..TCP }), command: TSE, options: TXSM, cuts: &[] };
    post(&mut vf, &mut ring, &tcp(2500), ask);
    vf.take();
    assert_eq!((vf.state.register(VFGPTC), octets(&vf)), (3, 2500 + 3 * 54));
    post(&mut vf, &mut ring, &plain(0, 100), Ask::default());
    vf.take();
    assert_eq!((vf.state.register(VFGPTC), octets(&vf)), (4, 2500 + 3 * 54 + 100));
}

#[test]
fn queues_take_turns() {
    let mut vf = Vf::new();
    let mut rings = [0, 1, 3].map(|queue| vf.tx(queue, 64));
    for ring in &mut rings {
        for n in 0..40 {
            vf.send(ring, &plain(ring.queue << 8 | n, 60));
        }
    }
    let mut turns = vec![];
    while vf.queues.has_work() {
        let frames = vf.take();
        assert!(frames.iter().all(|f| f.0[16] == frames[0].0[16]), "a burst is of one queue");
        turns.push((frames[0].0[16], frames.len()));
    }
    assert_eq!(turns, [(1, 32), (3, 32), (0, 32), (1, 8), (3, 8), (0, 8)]);
}

#[test]
fn a_burst_ends_when_it_makes_many_packets_or_octets() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 256);
    for (mss, size, frames) in [(100, 60_000, 1), (1448, 60_000, 7), (9000, 60_000, 9)] {
        let ask = Ask { context: Some(Context { mss, ..TCP }), command: TSE, options: TXSM, cuts: &[] };
        for _ in 0..20 {
            post(&mut vf, &mut ring, &tcp(size), ask);
        }
        assert_eq!(vf.take().len(), frames, "segments of {mss}");
        assert!(vf.queues.has_work());
        while vf.queues.has_work() {
            vf.take();
        }
    }
}

#[test]
fn a_frame_whose_end_is_not_there_yet_waits_without_work() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    let view = vf.view();
    let bytes = plain(5, 200);
    view.write_bytes(TX_BUFFERS, &bytes).unwrap();
    ring.post(&view, driver::data(TX_BUFFERS, 100, 0, 0));
    ring.ring_doorbell(&mut vf.state);
    assert!(vf.queues.has_work());
    assert_eq!((vf.take().len(), vf.tx_head(0)), (0, 0));
    assert!(!vf.queues.has_work(), "a look that found nothing is not repeated");
    ring.post(&view, driver::data(TX_BUFFERS + 100, 100, EOP, 0));
    ring.ring_doorbell(&mut vf.state);
    assert!(vf.queues.has_work());
    assert_eq!(vf.take()[0].0, bytes[..128]);
}

#[test]
fn a_disabled_queue_sends_nothing_and_starts_anew() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    vf.send(&mut ring, &plain(1, 60));
    driver::Registers::write(&mut vf.state, tx(0, CONTROL), 0);
    assert!(!vf.queues.has_work());
    assert_eq!(vf.take().len(), 0);
    // Another size, head and tail 0.
    let mut ring = vf.tx(0, 8);
    assert_eq!(vf.take().len(), 0, "what was posted before is forgotten");
    for n in 0..7 {
        vf.send(&mut ring, &plain(n, 60));
    }
    assert_eq!(vf.take().len(), 7);
    assert_eq!(vf.state.register(tx(0, CONTROL)), ENABLE, "reads back as written");
}

#[test]
fn a_head_that_the_driver_wrote_is_where_the_device_goes_on() {
    let mut vf = Vf::new();
    let mut ring = vf.tx(0, 64);
    for n in 0..5 {
        vf.send(&mut ring, &plain(n, 60));
    }
    vf.state.set_register(tx(0, crate::registers::HEAD), 3);
    let frames = vf.take();
    assert_eq!(frames.iter().map(|f| f.0[17]).collect::<Vec<_>>(), [3, 4]);
}
