//! A driver that changes what it made available while the device looks at it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use port::{Malformed, Port, Spec};

use crate::testing::driver::Driver;
use crate::testing::frames::{TCP, plain};
use crate::testing::{HOLE, TX_BUFFERS, Vm, put};
use crate::{Features, RingError};

const ROUNDS: u32 = 3000;

/// Tells the driver's thread to end, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Rounds of the device while another thread writes `words` over the ring's descriptors and the frame's header, over
/// and over. The ring is set up anew whenever it breaks.
fn race(features: Features, words: &[u64]) {
    let mut vm = Vm::new(features);
    let packed = features.contains(Features::RING_PACKED);
    let rings: [Driver; 2] = [vm.ring(1, 8), vm.ring(0, 8)];
    let frame = [&TCP.gso_header(1000)[..], &TCP.build()].concat();
    vm.view().write_bytes(TX_BUFFERS, &frame).unwrap();
    let (stop, domain) = (AtomicBool::new(false), Arc::clone(&vm.domain));
    let tables = rings.each_ref().map(|ring| ring.parts[0]);
    std::thread::scope(|scope| {
        let (stop, guard) = (&stop, Stop(&stop));
        scope.spawn(move || {
            let view = domain.view();
            let mut turn = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                turn = turn.wrapping_add(1);
                let word = words[turn % words.len()];
                let address = [TX_BUFFERS, HOLE, HOLE - 20][turn % 3];
                let at = (turn % 8) as u64 * 16;
                for table in tables {
                    view.write_bytes(table + at, &address.to_le_bytes()).unwrap();
                    view.write_bytes(table + at + 8, &word.to_le_bytes()).unwrap();
                }
                view.write_bytes(TX_BUFFERS + 1, &[[0, 1, 0x81, 4][turn % 4]]).unwrap();
                view.write_bytes(TX_BUFFERS + 4, &(word >> 3).to_le_bytes()).unwrap();
                view.write_bytes(TX_BUFFERS + 20, &word.to_le_bytes()).unwrap();
            }
        });
        let (mut dropped, mut taken) = (0, 0);
        for round in 0..ROUNDS {
            for (number, ring) in [1, 0].into_iter().zip(&rings) {
                if !packed {
                    ring.set_index(&vm.view(), u16::try_from(round % 9).unwrap());
                }
                if vm.state.broken(number).is_some() || round % 7 == 0 {
                    let start = if packed { 0x8000 } else { 0 };
                    vm.view().write_bytes(ring.parts[2] + 2, &[0; 2]).unwrap();
                    vm.start(number, ring, start);
                }
            }
            let frames = vm.take();
            assert!(frames.len() <= port::BURST);
            taken += frames.len();
            for (header, meta) in frames {
                if let Some(cut) = meta.gso {
                    assert_eq!(header.len(), usize::from(cut.gso.header_len), "decided on one copy");
                }
            }
            let _ = put(&mut vm, &plain(round, 300), &Spec::default());
            dropped += vm.malformed().iter().map(|(_, count)| count).sum::<u64>();
        }
        drop(guard);
        assert!(dropped > 0 || taken > 0, "the device looked at something");
    });
    // Still works with a driver that keeps still.
    for ring in [0, 1] {
        vm.state.stop_ring(ring);
    }
    assert!(!vm.queues.has_work());
    let mut fresh = crate::testing::Sender::new(vm.ring(1, 8));
    let zeros = [0; 8 * 16];
    vm.view().write_bytes(fresh.ring.parts[0], &zeros).unwrap();
    assert!(fresh.send(&vm.view(), &[0; 12], &plain(1, 64), &[]));
    assert_eq!((vm.take().len(), vm.malformed()), (1, Vec::<(Malformed, u64)>::new()));
    assert_eq!(vm.state.broken(1), None::<RingError>);
}

const HOST: Features = Features::CSUM
    .union(Features::HOST_TSO4)
    .union(Features::HOST_TSO6)
    .union(Features::HOST_ECN)
    .union(Features::INDIRECT_DESC);

#[test]
fn r15_r16_split_descriptors_and_headers_change_meanwhile() {
    // Length, flags, successor.
    race(HOST, &[0x0000_0000_0000_0bfa, 0x0001_0001_0000_000c, 0x0007_0003_0000_ffff, 0x0000_0004_0000_0020]);
}

#[test]
fn r15_r16_packed_descriptors_and_headers_change_meanwhile() {
    // Length, id, flags.
    let words = [
        0x0080_0000_0000_0bfa,
        0x8000_0001_0000_000c,
        0x0081_0002_0000_ffff,
        0x0082_0003_0000_0800,
        0x8004_0004_0000_0020,
    ];
    race(HOST | Features::RING_PACKED, &words);
}
