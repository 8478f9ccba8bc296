use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use proptest::prelude::*;
use rustix::fs::MemfdFlags;
use rustix::net::xdp::XdpRingOffset;

use super::{Consumer, Kind, Producer, Ring};
use crate::syscall::Span;

const SIZE: u32 = 8;
const OFFSETS: XdpRingOffset = XdpRingOffset { producer: 0, consumer: 64, desc: 256, flags: Some(128) };

/// A file where the kernel would have its rings.
fn kernel() -> OwnedFd {
    let fd = rustix::fs::memfd_create("rings", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, Kind::Completion as u64 + 4096).unwrap();
    fd
}

/// Both ends of a ring, with all indices at `start`.
fn ends(kernel: &OwnedFd, kind: Kind, start: u32) -> (Producer, Consumer) {
    let ring = || Ring::new(kernel, kind, &OFFSETS, SIZE).unwrap();
    let (producer, consumer) = (
        Producer { ring: ring(), next: start, consumed: start },
        Consumer { ring: ring(), next: start, produced: start },
    );
    producer.publish();
    consumer.release();
    (producer, consumer)
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Publish,
    Take,
    Release,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Add),
        1 => Just(Step::Publish),
        4 => Just(Step::Take),
        1 => Just(Step::Release),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Also where the indices wrap: every entry comes once, in order, and none before it was published.
    #[test]
    fn a_ring_is_a_queue(start in prop_oneof![Just(0), (u32::MAX - 20)..=u32::MAX], steps in prop::collection::vec(step(), 0..200)) {
        let kernel = kernel();
        let (mut producer, mut consumer) = ends(&kernel, Kind::Transmit, start);
        let (mut added, mut visible) = (VecDeque::new(), VecDeque::new());
        // Places that the producer may not use yet.
        let (mut taken, mut number) = (0, 0);
        for step in steps {
            match step {
                Step::Add => {
                    let used = added.len() + visible.len() + taken;
                    prop_assert_eq!(producer.has_room(), used < SIZE as usize);
                    if producer.has_room() {
                        number += 1;
                        producer.add_frame(Span { at: number * 4096, len: number });
                        added.push_back(Span { at: number * 4096, len: number });
                    }
                }
                Step::Publish => {
                    producer.publish();
                    visible.append(&mut added);
                }
                Step::Take => {
                    prop_assert_eq!(consumer.has_entry(), !visible.is_empty());
                    let found = consumer.take_frame();
                    taken += usize::from(found.is_some());
                    prop_assert_eq!(found, visible.pop_front());
                }
                Step::Release => {
                    consumer.release();
                    taken = 0;
                }
            }
            prop_assert_eq!(producer.left() as usize, added.len() + visible.len() + taken);
        }
    }
}

#[test]
fn addresses_pass_a_fill_ring() {
    let kernel = kernel();
    let (mut producer, mut consumer) = ends(&kernel, Kind::Fill, u32::MAX);
    for address in [0x1000, 0x2000, 0x3000] {
        producer.add_address(address);
    }
    assert_eq!(consumer.take_address(), None);
    producer.publish();
    let mut found = vec![];
    found.extend(std::iter::from_fn(|| consumer.take_address()));
    assert_eq!(found, [0x1000, 0x2000, 0x3000]);
}

#[test]
fn the_kernel_says_when_it_wants_to_be_woken() {
    let kernel = kernel();
    let (producer, _) = ends(&kernel, Kind::Fill, 0);
    assert!(!producer.wants_wakeup());
    producer.ring.memory.word32(128).store(1, std::sync::atomic::Ordering::Relaxed);
    assert!(producer.wants_wakeup());
}
