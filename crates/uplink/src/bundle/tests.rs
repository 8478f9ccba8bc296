use std::collections::VecDeque;
use std::os::fd::AsFd;

use ethernet::VlanTag;
use guest_memory::{DmaDomain, Limits, MapRequest};
use port::{Burst, Consumed, Cycles, Frame, Malformed, Port, Put, Spec};
use rustix::fs::MemfdFlags;

use super::Bundle;

/// A queue whose frames are numbers.
struct Queue {
    domain: DmaDomain,
    waiting: VecDeque<u8>,
    taken: usize,
    deadline: Option<Cycles>,
}

impl Queue {
    fn of(numbers: &[u8]) -> Self {
        let domain = DmaDomain::new(Limits::default());
        let fd = rustix::fs::memfd_create("queue", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&fd, 4096).unwrap();
        let request =
            MapRequest { iova: 0, size: 4096, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
        domain.map(request).unwrap();
        Self { domain, waiting: numbers.iter().copied().collect(), taken: 0, deadline: None }
    }
}

impl Port for Queue {
    /// Brings at most two frames.
    fn fetch(&mut self, burst: &mut Burst, _now: Cycles) {
        burst.begin(self.domain.view());
        for number in self.waiting.iter().take(2) {
            let at = u64::from(*number) * 64;
            self.domain.view().write_bytes(at, &[*number; 60]).unwrap();
            burst.gather(at, 60).unwrap();
            burst.commit(&Spec::default()).unwrap();
        }
    }

    fn resume(&self) -> u32 {
        u32::from(*self.waiting.front().unwrap_or(&0))
    }

    fn complete(&mut self, _burst: &Burst, consumed: Consumed, _now: Cycles) {
        self.waiting.drain(..consumed.frames);
    }

    fn put(&mut self, _frame: &Frame<'_>, _tag: Option<VlanTag>, _from: u32) -> Put {
        self.taken += 1;
        Put::Done
    }

    fn flush(&mut self, _now: Cycles) {}

    fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn deadline(&self) -> Option<Cycles> {
        self.deadline
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        count(Malformed::TooShort, 1);
    }
}

fn fetch(bundle: &mut Bundle<Queue>, done: usize) -> Vec<u8> {
    let mut burst = Burst::new();
    bundle.fetch(&mut burst, 0);
    let numbers = (0..burst.len()).map(|index| burst.frame(index).header()[0]).collect();
    if !burst.is_empty() {
        bundle.complete(&burst, Consumed { frames: done.min(burst.len()), pieces: 0 }, 0);
    }
    numbers
}

#[test]
fn queues_are_served_in_turn() {
    let mut bundle = Bundle::new(Queue::of(&[1, 2, 3]), vec![Queue::of(&[]), Queue::of(&[21, 22, 23])]);
    let mut order = vec![];
    while bundle.has_work() {
        order.push(fetch(&mut bundle, 2));
    }
    assert_eq!(order, [vec![21, 22], vec![1, 2], vec![23], vec![3]]);
    assert!(fetch(&mut bundle, 2).is_empty());
}

#[test]
fn a_queue_whose_frames_wait_is_fetched_from_again() {
    let mut bundle = Bundle::new(Queue::of(&[1, 2]), vec![Queue::of(&[11, 12])]);
    assert_eq!(fetch(&mut bundle, 1), [11, 12]);
    assert_eq!(fetch(&mut bundle, 0), [12]);
    assert_eq!(bundle.resume(), 12);
    assert_eq!(fetch(&mut bundle, 1), [12]);
    assert_eq!(fetch(&mut bundle, 2), [1, 2]);
}

#[test]
fn frames_keep_their_order_in_one_queue() {
    let mut bundle = Bundle::new(Queue::of(&[]), vec![Queue::of(&[7])]);
    let mut burst = Burst::new();
    bundle.fetch(&mut burst, 0);
    for _ in 0..3 {
        assert_eq!(bundle.put(&burst.frame(0), None, 0), Put::Done);
    }
    assert_eq!((bundle.first.taken, bundle.others[0].taken), (3, 0));
}

#[test]
fn the_next_deadline_and_all_malformed_frames_are_told() {
    let mut bundle = Bundle::new(Queue::of(&[]), vec![Queue::of(&[]), Queue::of(&[])]);
    assert_eq!(bundle.deadline(), None);
    (bundle.first.deadline, bundle.others[1].deadline) = (Some(9), Some(4));
    assert_eq!(bundle.deadline(), Some(4));
    let mut count = 0;
    bundle.take_malformed(&mut |_, n| count += n);
    assert_eq!(count, 3);
}
