//! The log has exactly the pages that changed.

use port::{Port, Put};
use proptest::prelude::*;
use sys::Words;

use crate::Features;
use crate::testing::driver::RING_BYTES;
use crate::testing::frames::{TCP, plain};
use crate::testing::{BASE, RX_BUFFERS, Receiver, Sender, Vm, forward};

const RANGES: [(u64, u64); 2] = [(BASE, 3 * RING_BYTES), (RX_BUFFERS, 0x10_0000)];

/// The pages of the rings and of the receive buffers.
fn pages(vm: &Vm) -> Vec<(u64, Vec<u8>)> {
    let view = vm.view();
    let numbers = RANGES.iter().flat_map(|(start, length)| (start >> 12)..(start + length).div_ceil(4096));
    let page = |number: u64| {
        let mut bytes = vec![0; 4096];
        view.read_bytes(number << 12, &mut bytes).unwrap();
        (number, bytes)
    };
    numbers.map(page).collect()
}

/// The pages marked in the log, which is emptied.
fn marked(log: &Words) -> Vec<u64> {
    let mut pages = vec![];
    for (n, word) in log.as_slice().iter().enumerate() {
        let bits = word.swap(0, std::sync::atomic::Ordering::Relaxed);
        pages.extend((0..32).filter(|bit| bits >> bit & 1 == 1).map(|bit| 32 * n as u64 + bit));
    }
    pages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn marked_is_what_changed(
        bits in any::<u64>(),
        buffer in 200..3000_u32,
        lengths in prop::collection::vec(20..3000_usize, 1..12),
    ) {
        let rings = Features::RING_PACKED | Features::EVENT_IDX | Features::INDIRECT_DESC | Features::IN_ORDER;
        let offloads = Features::GUEST_CSUM | Features::GUEST_TSO4;
        let features = Features::from_bits_truncate(bits) & (rings | offloads)
            | Features::MRG_RXBUF | Features::VERSION_1;
        let mut a = Vm::new(Features::CSUM | Features::HOST_TSO4);
        let mut b = Vm::new(features);
        let mut sender = Sender::new(a.ring(1, 64));
        let mut receiver = Receiver::new(b.ring(0, 128), &[buffer], features);
        let log = b.log();
        for (turn, length) in lengths.iter().enumerate() {
            receiver.fill(&b.view(), 128);
            let frame = plain(u32::try_from(turn).unwrap(), *length);
            prop_assert!(sender.send(&a.view(), &[0; 12], &frame, &[]));
            prop_assert!(sender.send(&a.view(), &TCP.gso_header(900), &TCP.build(), &[]));
            let before = pages(&b);
            prop_assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
            let after = pages(&b);
            let changed: Vec<u64> =
                before.iter().zip(&after).filter(|(old, new)| old != new).map(|(old, _)| old.0).collect();
            let logged = marked(&log);
            for page in &changed {
                prop_assert!(logged.contains(page), "page {page:#x} changed unlogged");
            }
            // A byte may be written with the value that it had: then the page is logged though it looks the same.
            for page in &logged {
                let inside = after.iter().any(|(number, _)| number == page);
                prop_assert!(inside, "page {page:#x} is none of the receiver's");
            }
            prop_assert!(logged.len() <= changed.len() + 1, "{logged:x?} for {changed:x?}");
            sender.ring.take(&a.view());
            prop_assert_eq!(receiver.receive(&b.view()).is_empty(), false);
        }
    }

    /// The sender's memory changes in its ring only.
    #[test]
    fn sending_marks_the_ring(bits in any::<u64>(), count in 1..20_u32) {
        let rings = Features::RING_PACKED | Features::EVENT_IDX | Features::INDIRECT_DESC | Features::IN_ORDER;
        let mut a = Vm::new(Features::from_bits_truncate(bits) & rings);
        let mut sender = Sender::new(a.ring(1, 64));
        let log = a.log();
        for turn in 0..3 {
            for n in 0..count {
                prop_assert!(sender.send(&a.view(), &[0; 12], &plain(n, 100), &[50]));
            }
            let before = pages(&a);
            prop_assert_eq!(a.take().len(), count as usize);
            a.queues.ask_for_doorbells(turn % 2 == 0);
            let after = pages(&a);
            let changed: Vec<u64> =
                before.iter().zip(&after).filter(|(old, new)| old != new).map(|(old, _)| old.0).collect();
            let logged = marked(&log);
            prop_assert!(changed.iter().all(|page| logged.contains(page)), "turn {turn}");
            prop_assert!(logged.len() <= changed.len() + 1, "{logged:x?} for {changed:x?}");
            sender.ring.take(&a.view());
        }
    }
}

#[test]
fn l06_bad_chains_while_the_log_is_on() {
    let mut vm = Vm::new(Features::MRG_RXBUF);
    let mut ring = vm.ring(0, 16);
    let log = vm.log();
    ring.add(&vm.view(), &[], &[(RX_BUFFERS, 100)]).unwrap();
    ring.add(&vm.view(), &[], &[(crate::testing::HOLE, 100), (u64::MAX - 5, 100)]).unwrap();
    let put = crate::testing::put(&mut vm, &plain(1, 500), &port::Spec::default());
    assert_eq!(put, Put::Refused(port::Refusal::DmaFault));
    assert_eq!(marked(&log), [(ring.parts[2]) >> 12], "only the used ring");
}

#[test]
fn the_log_can_be_taken_away() {
    let mut vm = Vm::new(Features::empty());
    let mut sender = Sender::new(vm.ring(1, 16));
    let log = vm.log();
    vm.log.store(None);
    assert!(sender.send(&vm.view(), &[0; 12], &plain(1, 64), &[]));
    assert_eq!((vm.take().len(), marked(&log)), (1, vec![]));
}
