//! Rows of the catalogue of hostile inputs that a driver can bring about with registers, rings and descriptors.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

use guest_memory::{MapRequest, MemoryView};
use port::{Malformed, Port, Put, Refusal};
use rustix::fs::MemfdFlags;

use super::driver::{self, Context, DATA, EOP, MEMORY, RS, Registers, RxRing, TSE, TXSM, TxRing};
use super::frames::{plain, tcp};
use super::rig::{MEMORY_BYTES, NOT_READY, TX_BUFFERS, Vf, forward, put};
use crate::registers::{BAH, BAL, CONTROL, HEAD, LEN, TAIL, rx, tx};
use crate::state::word;

const END: u64 = MEMORY + MEMORY_BYTES;

/// A VF with an enabled transmit queue and a good frame in its buffers.
fn sender() -> (Vf, TxRing, MemoryView) {
    let mut vf = Vf::new();
    let (ring, view) = (vf.tx(0, 1024), vf.view());
    view.write_bytes(TX_BUFFERS, &plain(1, 1000)).unwrap();
    (vf, ring, view)
}

fn good() -> [u64; 2] {
    driver::data(TX_BUFFERS, 100, EOP | RS, 0)
}

/// Posts descriptors and a good frame behind them: the good one arrives alone, and the rest counts under `reason`.
fn only_the_good_one(descriptors: &[[u64; 2]], reason: Malformed) {
    let (mut vf, mut ring, view) = sender();
    for words in descriptors {
        ring.post(&view, *words);
    }
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take().len(), 1);
    assert_eq!(vf.malformed(), [(reason, 1)]);
    assert_eq!(vf.tx_head(0), ring.tail);
    assert!(!vf.queues.has_work());
    for (index, [_, second]) in (0..).zip(descriptors) {
        let reports = second >> 27 & 1 == 1 && second >> 20 & 0xf != 2;
        assert_eq!(ring.is_done(&view, index), reports || second >> 32 & 1 == 1, "descriptor {index}");
    }
}

#[test]
fn r01_r02_a_tail_outside_of_the_ring_names_nothing() {
    let (mut vf, mut ring, view) = sender();
    ring.post(&view, good());
    for tail in [1024, 1025, 0x7fff, 0xffff] {
        vf.state.write(tx(0, TAIL), tail);
        vf.take();
        assert_eq!(vf.tx_head(0), 0, "tail {tail}");
        assert!(!vf.queues.has_work(), "a guest cannot keep the worker awake with tail {tail}");
    }
    // One step back: all but one of the descriptors, most of them zeros, are the device's.
    ring.tail = 1023;
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take().len(), 1);
    for _ in 0..4 {
        vf.take();
    }
    assert_eq!((vf.tx_head(0), vf.queues.has_work()), (1023, false));
}

#[test]
fn r01_receive_tails_outside_of_the_ring_give_no_buffer() {
    let (mut other, mut vf) = (Vf::new(), Vf::new());
    vf.rx(0, 64, 2, 0);
    for tail in [64, 0xffff] {
        vf.state.write(rx(0, TAIL), tail);
        assert_eq!(
            put(&mut other, &mut vf.queues, &plain(1, 60), &port::Spec::default()),
            Put::Full { next: 0 }
        );
    }
}

#[test]
fn r01_a_receive_tail_moved_back_in_mid_round_gives_no_buffer() {
    let (sender, mut vf) = (Vf::new(), Vf::new());
    vf.rx(0, 64, 2, 0);
    let mut burst = port::Burst::new();
    burst.begin(sender.view());
    sender.view().write_bytes(TX_BUFFERS, &plain(1, 60)).unwrap();
    burst.gather(TX_BUFFERS, 60).unwrap();
    burst.commit(&port::Spec::default()).unwrap();
    let frame = burst.frame(0);
    let filled = (0..200).filter(|_| vf.queues.put(&frame, None, 0) == Put::Done).count();
    assert_eq!(filled, 63);
    // Behind what is filled and not shown yet, and outside of the ring: there is no buffer that is not filled.
    for tail in [5, 0xffff] {
        vf.state.write(rx(0, TAIL), tail);
        assert_eq!(vf.queues.put(&frame, None, 0), Put::Full { next: 0 }, "tail {tail}");
    }
    vf.queues.flush(0);
    assert_eq!(vf.rx_head(0), 63);
}

#[test]
fn r03_r12_legacy_and_unknown_descriptors_are_dropped_with_their_frame() {
    let legacy = [TX_BUFFERS, 100 | u64::from(EOP | RS)];
    only_the_good_one(&[legacy], Malformed::BadDescriptor);
    for kind in [0, 1, 4, 15] {
        let unknown = [TX_BUFFERS, 100 | u64::from(EOP | 1 << 29 | kind << 20)];
        only_the_good_one(&[unknown], Malformed::BadDescriptor);
        let start = driver::data(TX_BUFFERS, 100, RS, 0);
        only_the_good_one(&[start, unknown], Malformed::BadDescriptor);
    }
    let context = Context { mac_len: 14, ..Context::default() }.words();
    only_the_good_one(&[driver::data(TX_BUFFERS, 50, 0, 0), context, good()], Malformed::BadDescriptor);
}

#[test]
fn r04_a_frame_without_end_is_dropped_and_the_next_one_is_not() {
    let endless = [driver::data(TX_BUFFERS, 10, 0, 0); 65];
    only_the_good_one(&[&endless[..], &[good()]].concat(), Malformed::TooManyBuffers);
    let (mut vf, mut ring, view) = sender();
    for _ in 0..1023 {
        ring.post(&view, driver::data(TX_BUFFERS, 10, 0, 0));
    }
    ring.ring_doorbell(&mut vf.state);
    for _ in 0..3 {
        assert_eq!(vf.take().len(), 0);
    }
    assert_eq!((vf.tx_head(0), vf.queues.has_work()), (1023, false), "the ring does not fill up for ever");
    assert_eq!(vf.malformed(), [(Malformed::TooManyBuffers, 1)]);
}

#[test]
fn r06_n09_frames_longer_than_any() {
    let long = |command, options| [driver::data(TX_BUFFERS, 0xffff, command, options); 5];
    let tso = |last| driver::data(TX_BUFFERS, 0xffff, TSE | last, TXSM);
    only_the_good_one(&[driver::data(TX_BUFFERS, 9729, EOP, 0)], Malformed::TooLong);
    only_the_good_one(&[&long(0, 0)[..], &[good()]].concat(), Malformed::TooLong);
    let context =
        Context { mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss: 9000, slot: 0, vlan: 0 };
    only_the_good_one(&[context.words(), tso(0), tso(0), tso(0), tso(0), tso(EOP)], Malformed::TooLong);
}

#[test]
fn r07_buffers_of_no_bytes() {
    let empty = |address, command| driver::data(address, 0, command, 0);
    only_the_good_one(&[empty(TX_BUFFERS, EOP)], Malformed::TooShort);
    only_the_good_one(&[empty(END, 0), empty(u64::MAX, EOP)], Malformed::TooShort);
    let (mut vf, mut ring, view) = sender();
    for words in [empty(END, 0), driver::data(TX_BUFFERS, 100, 0, 0), empty(u64::MAX, EOP)] {
        ring.post(&view, words);
    }
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take()[0].0, plain(1, 1000)[..100]);
}

#[test]
fn r09_r11_buffers_outside_of_the_memory() {
    for (address, length) in [
        (END, 100),
        (END - 99, 100),
        (MEMORY - 1, 100),
        (0, 100),
        (0xfee0_0000, 100),
        (u64::MAX, 100),
        (u64::MAX - 50, 100),
    ] {
        only_the_good_one(&[driver::data(address, length, EOP | RS, 0)], Malformed::DmaFault);
        let start = driver::data(TX_BUFFERS, 100, 0, 0);
        only_the_good_one(&[start, driver::data(address, length, 0, 0), good()], Malformed::DmaFault);
    }
    let (mut vf, mut ring, view) = sender();
    ring.post(&view, driver::data(END - 100, 100, EOP, 0));
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take().len(), 1, "the last bytes are fine");
}

#[test]
fn r09_receive_buffers_outside_of_the_memory() {
    let (mut other, mut vf) = (Vf::new(), Vf::new());
    vf.state.private.store(word::MAX_FRAME, 9728);
    driver::map(&vf.domain, END, 0x1000);
    let ring = vf.rx(0, 64, 2, 0);
    let fault = Put::Refused(Refusal::DmaFault);
    for (address, length, expected) in [
        (END - 60, 60, Put::Done),
        (END - 30, 60, Put::Done),
        (END + 0x1000 - 60, 60, Put::Done),
        (END + 0x1000 - 59, 60, fault),
        (MEMORY - 1, 60, fault),
        (0, 60, fault),
        (u64::MAX, 60, fault),
        (u64::MAX - 30, 60, fault),
    ] {
        let head = vf.rx_head(0);
        driver::store(&vf.view(), ring.base, head, [address, 0]);
        let put = put(&mut other, &mut vf.queues, &plain(1, length), &port::Spec::default());
        assert_eq!(put, expected, "{address:#x}");
        assert_eq!(vf.rx_head(0), head + u32::from(put == Put::Done));
    }
}

#[test]
fn r09_rings_at_an_edge_in_a_hole_and_across_regions() {
    driver_rings(END - 1024 * 16, true);
    driver_rings(END - 1024 * 16 + 128, false);
    driver_rings(END + 0x10_0000, false);
    driver_rings(0xffff_ffff_ffff_f000, false);
    driver_rings(MEMORY - 128, false);
}

/// Whether queues with rings of 1,024 descriptors at `base` work.
fn driver_rings(base: u64, works: bool) {
    let (mut vf, _, _) = sender();
    // Adjacent, so that rings may straddle; a ring must lie in one region nevertheless.
    driver::map(&vf.domain, END, 0x1000);
    let mut ring = TxRing::enable(&mut vf.state, 0, base, 1024);
    let view = vf.view();
    if works {
        ring.post(&view, good());
    } else {
        ring.tail = 1;
    }
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take().len(), usize::from(works), "{base:#x}");
    assert_eq!(vf.malformed(), if works { vec![] } else { vec![(Malformed::DmaFault, 1)] });
    assert_eq!((vf.tx_head(0), vf.queues.has_work()), (1, false));

    let mut ring = RxRing::enable(&mut vf.state, 0, base, 1024, 2, 0);
    ring.tail = 10;
    ring.ring_doorbell(&mut vf.state);
    if works {
        driver::store(&view, base, 0, [TX_BUFFERS + 0x1000, 0]);
    }
    let expected = if works { Put::Done } else { Put::Refused(Refusal::DmaFault) };
    assert_eq!(put(&mut Vf::new(), &mut vf.queues, &plain(1, 60), &port::Spec::default()), expected);
}

#[test]
fn r13_a_frame_shorter_than_its_header() {
    for length in [1, 11, 13] {
        only_the_good_one(&[driver::data(TX_BUFFERS, length, EOP | RS, 0)], Malformed::TooShort);
    }
    let context =
        Context { mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss: 1448, slot: 0, vlan: 0 };
    for length in [14, 53, 54] {
        let tso = driver::data(TX_BUFFERS, length, EOP | TSE, TXSM);
        only_the_good_one(&[context.words(), tso], Malformed::BadSegmentation);
    }
}

#[test]
fn n02_n03_n04_contexts_that_lie() {
    let frame = |command, options| driver::data(TX_BUFFERS, 1000, EOP | command, options);
    let honest =
        Context { mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss: 1448, slot: 0, vlan: 0 };
    for (context, command, options, reason) in [
        (Context { mss: 0, ..honest }, TSE, TXSM, Malformed::BadSegmentation),
        (Context { l4: 3, ..honest }, TSE, TXSM, Malformed::Unsupported),
        (Context { l4: 2, ..honest }, TSE, TXSM, Malformed::Unsupported),
        (Context { ip_len: 511, l4_len: 255, mac_len: 127, ..honest }, TSE, TXSM, Malformed::HeaderTooLong),
        (honest, TSE, TXSM, Malformed::BadSegmentation),
        (Context { l4: 3, ..honest }, 0, TXSM, Malformed::Unsupported),
        (Context { mac_len: 0, ip_len: 0, ..honest }, 0, TXSM, Malformed::BadChecksumOffset),
        (Context { mac_len: 127, ip_len: 511, ..honest }, 0, TXSM, Malformed::HeaderTooLong),
        (honest, 0, 1 << 8, Malformed::BadChecksumOffset),
        (honest, 0, 1 << 10, Malformed::Unsupported),
    ] {
        only_the_good_one(&[context.words(), frame(command, options)], reason);
    }
}

#[test]
fn q02_a_guest_cannot_amplify_with_tiny_segments() {
    let (mut vf, mut ring, view) = sender();
    let bytes = tcp(60_000);
    view.write_bytes(TX_BUFFERS, &bytes).unwrap();
    let context =
        Context { mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss: 1, slot: 0, vlan: 0 };
    ring.post(&view, context.words());
    ring.post(&view, driver::data(TX_BUFFERS, bytes.len(), EOP | TSE, TXSM));
    ring.ring_doorbell(&mut vf.state);
    assert_eq!((vf.take().len(), vf.malformed()), (0, vec![(Malformed::BadSegmentation, 1)]));
}

#[test]
fn r01_a_thousand_contexts() {
    let context = Context { mac_len: 14, ..Context::default() }.words();
    let (mut vf, mut ring, view) = sender();
    for _ in 0..1000 {
        ring.post(&view, context);
    }
    ring.post(&view, good());
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    let frames: usize = (0..3).map(|_| vf.take().len()).sum();
    assert_eq!((frames, vf.malformed()), (1, vec![(Malformed::BadDescriptor, 1)]));
    assert_eq!(vf.tx_head(0), ring.tail);
}

#[test]
fn r15_a_racing_writer_of_descriptors_and_registers_breaks_nothing() {
    let (mut from, mut to) = (Vf::new(), Vf::new());
    let (ring, mut received) = (from.tx(0, 64), to.rx(0, 64, 2, 0));
    let view = from.view();
    let stop = AtomicBool::new(false);
    let (domain, mut state) = (std::sync::Arc::clone(&from.domain), from.state.clone());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let view = domain.view();
            let mut n: u64 = 1;
            while !stop.load(Ordering::Relaxed) {
                // A plain generator of numbers: descriptors with some sense in them.
                n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = u32::try_from(n >> 40 & 63).unwrap();
                let noise = (n >> 32) & 0xffff_ffff & !(3 << 20);
                let words = [TX_BUFFERS + (n >> 20 & 0xf_ffff), noise << 32 | noise | u64::from(DATA)];
                driver::store(&view, ring.base, at, words);
                let register = [TAIL, HEAD, LEN, BAL, BAH][usize::try_from(n >> 50 & 7).unwrap().min(4)];
                match register {
                    LEN => state.write(tx(0, LEN), 64 * 16),
                    BAL => state.write(tx(0, BAL), u32::try_from(ring.base).unwrap()),
                    BAH => state.write(tx(0, BAH), 0),
                    other => state.write(tx(0, other), at),
                }
            }
        });
        for _ in 0..3000 {
            forward(&mut from.queues, &mut to.queues);
            while received.receive(&to.view()).is_some() {}
            received.fill(&to.view(), &mut to.state);
        }
        stop.store(true, Ordering::Relaxed);
    });
    drop(view);
    // All of it was the guest's own: after a restart of the ring everything works.
    let mut ring = from.tx(0, 64);
    from.send(&mut ring, &plain(1, 60));
    assert_eq!(forward(&mut from.queues, &mut to.queues), Put::Done);
    assert_eq!(received.receive(&to.view()).unwrap().bytes, plain(1, 60));
}

#[test]
fn r19_r20_descriptors_that_are_done_are_not_taken_again() {
    let (mut vf, mut ring, view) = sender();
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take().len(), 1);
    // The driver writes over what the device wrote, without a doorbell.
    for words in [good(), [u64::MAX; 2], [0; 2]] {
        driver::store(&view, ring.base, 0, words);
        assert_eq!(vf.take().len(), 0);
    }
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    assert_eq!(vf.take().len(), 1);
}

#[test]
fn r24_resets_in_the_middle_of_a_burst() {
    let (mut from, mut to) = (Vf::new(), Vf::new());
    let mut received = to.rx(0, 64, 2, 0);
    for round in 0..300 {
        let mut ring = from.tx(0, 8 << (round % 3));
        for n in 0..7 {
            from.send(&mut ring, &plain(n, 60));
        }
        if round % 2 == 0 {
            forward(&mut from.queues, &mut to.queues);
        }
        from.state.write(tx(0, CONTROL), 0);
        assert_eq!(forward(&mut from.queues, &mut to.queues), Put::Done);
        let frames = std::iter::from_fn(|| received.receive(&to.view())).count();
        assert_eq!(frames, if round % 2 == 0 { 7 } else { 0 });
        received.fill(&to.view(), &mut to.state);
    }
}

#[test]
fn r25_bad_frames_among_good_ones_go_back_until_the_ring_has_gone_round() {
    let (mut vf, mut ring, view) = sender();
    for round in 0..20 {
        for n in 0..100 {
            let bad = driver::data(END, 100, EOP | RS, 0);
            ring.post(&view, if n % 2 == 0 { good() } else { bad });
        }
        ring.ring_doorbell(&mut vf.state);
        let mut frames = 0;
        while vf.queues.has_work() {
            frames += vf.take().len();
        }
        assert_eq!((frames, vf.malformed()), (50, vec![(Malformed::DmaFault, 50)]), "round {round}");
        assert!((0..100).all(|n| ring.is_done(&view, (round * 100 + n) % 1024)));
    }
}

#[test]
fn n13_a_bad_frame_behind_a_good_one_is_completed_once() {
    let (mut vf, mut ring, view) = sender();
    ring.post(&view, good());
    ring.post(&view, driver::data(END, 10, EOP | RS, 0));
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    let burst = vf.fetch();
    assert_eq!(burst.len(), 2);
    // The receiver of the second good one has no room: it is fetched again, the bad one is not.
    vf.queues.complete(&burst, port::Consumed { frames: 1, pieces: 0 }, 0);
    assert_eq!(vf.tx_head(0), 2);
    assert_eq!(vf.take().len(), 1);
    assert_eq!(vf.malformed(), [(Malformed::DmaFault, 1)]);
}

#[test]
fn m02_a_guest_whose_memory_is_gone_is_let_alone() {
    let (mut vf, mut ring, view) = sender();
    let fd = rustix::fs::memfd_create("shrinks", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, 0x1000).unwrap();
    let request =
        MapRequest { iova: END, size: 0x1000, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
    vf.domain.map(request).unwrap();
    let mut received = vf.rx(0, 64, 2, 0);
    ring.post(&view, driver::data(END, 100, EOP, 0));
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    rustix::fs::ftruncate(&fd, 0).unwrap();
    vf.take();
    assert!(vf.domain.faulted());
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    assert_eq!((vf.take().len(), vf.queues.has_work()), (0, false));
    let put = put(&mut Vf::new(), &mut vf.queues, &plain(1, 60), &port::Spec::default());
    assert_eq!((put, received.receive(&vf.view())), (NOT_READY, None));
}

#[test]
fn c05_nothing_is_touched_without_bus_mastering() {
    let (mut vf, mut ring, view) = sender();
    vf.rx(0, 64, 2, 0);
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    vf.state.private.store(word::DMA_ENABLED, 0);
    assert!(!vf.queues.has_work());
    assert_eq!((vf.take().len(), vf.tx_head(0), ring.is_done(&view, 0)), (0, 0, false));
    assert_eq!(put(&mut Vf::new(), &mut vf.queues, &plain(1, 60), &port::Spec::default()), NOT_READY);
    vf.state.private.store(word::DMA_ENABLED, 1);
    assert_eq!(vf.take().len(), 1);
}

#[test]
fn a_ring_without_sense_is_off() {
    let (mut vf, mut ring, view) = sender();
    ring.post(&view, good());
    ring.ring_doorbell(&mut vf.state);
    for (register, value) in [(LEN, 0), (LEN, 0x7f), (HEAD, 1024), (HEAD, 0xffff)] {
        let before = vf.state.register(tx(0, register));
        vf.state.set_register(tx(0, register), value);
        assert_eq!((vf.take().len(), vf.queues.has_work()), (0, false), "{register:#x} = {value:#x}");
        vf.state.set_register(tx(0, register), before);
    }
    assert_eq!(vf.take().len(), 1);
}
