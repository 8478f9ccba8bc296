//! Two VMs whose VFs exchange frames through the worker and the NIC switch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use nic_switch::VPortId;
use vf82599::registers::{CONTROL, ENABLE, HEAD, TAIL, rx, tx};

use super::driver::{self, Context, EOP, RS, Registers, RxRing, TSE, TXSM, TxRing};
use super::guest::Guest;
use super::port::wait;
use super::switch;
use crate::{Config, Dataplane, Extent, GapLimits, GapState, Place, PollMode, Snapshot};

const BYTES: u64 = 0x100_0000;
pub(super) const TX_RING: u64 = driver::MEMORY;
pub(super) const TX_BUFFERS: u64 = driver::MEMORY + 0x10_0000;
const RX_RING: u64 = driver::MEMORY + 0x80_0000;

pub(super) struct Vm {
    pub(super) guest: Guest,
    pub(super) tx: TxRing,
    rx: RxRing,
}

impl Vm {
    pub(super) fn new(dataplane: &Dataplane, vport: usize) -> Self {
        let mut guest = Guest::plug(&dataplane.handle(), vport, BYTES);
        let (tx, rx) = rings(&mut guest, 128);
        Self { guest, tx, rx }
    }

    /// A receive ring of so many descriptors instead.
    pub(super) fn with_receive_ring(mut self, size: u32) -> Self {
        (self.tx, self.rx) = rings(&mut self.guest, size);
        self
    }

    /// VFCTRL.RST and rings anew, as a driver does that starts over.
    pub(super) fn reset(&mut self) {
        self.guest.reset();
        (self.tx, self.rx) = rings(&mut self.guest, self.rx.size);
    }

    fn head(&self) -> u32 {
        self.guest.state.register(tx(0, HEAD))
    }

    /// Whether there is room for a frame and its context.
    pub(super) fn has_room(&self) -> bool {
        (self.head() + self.tx.size - 1 - self.tx.tail) % self.tx.size >= 2
    }

    /// Sends a frame when there is room for it, with `context` before it.
    pub(super) fn send(&mut self, bytes: &[u8], context: Option<Context>, command: u32) {
        wait("room to send", || self.has_room());
        let view = self.guest.domain.view();
        let address = TX_BUFFERS + u64::from(self.tx.tail) * 0x1_0000;
        view.write_bytes(address, bytes).unwrap();
        let options = if let Some(context) = context {
            self.tx.post(&view, context.words());
            TXSM
        } else {
            0
        };
        self.tx.post(&view, driver::data(address, bytes.len(), command | EOP | RS, options));
        drop(view);
        self.tx.ring_doorbell(&mut self.guest);
    }

    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        let view = self.guest.domain.view();
        let frame = self.rx.receive(&view);
        if frame.is_some() {
            self.rx.fill(&view, &mut self.guest);
        }
        frame.map(|frame| frame.bytes)
    }
}

fn rings(guest: &mut Guest, receive: u32) -> (TxRing, RxRing) {
    let tx = TxRing::enable(guest, 0, TX_RING, 64);
    let mut rx = RxRing::enable(guest, 0, RX_RING, receive, 2, 0);
    rx.fill(&guest.domain.view(), guest);
    (tx, rx)
}

fn start(poll: PollMode) -> (Dataplane, Vm, Vm) {
    let config = Config { poll, ..Config::default() };
    let extent = Extent { vports: switch::capabilities().max_vports as usize, nics: 1 };
    let snapshot = Snapshot::new(extent, switch::forwarding(2));
    let dataplane = Dataplane::start(&config, &switch::capabilities(), snapshot).unwrap();
    let (one, two) = (Vm::new(&dataplane, 1), Vm::new(&dataplane, 2));
    (dataplane, one, two)
}

fn frame(number: u32, length: usize) -> Vec<u8> {
    let mut bytes = [switch::mac(2).0, switch::mac(1).0].concat();
    bytes.extend([0x88, 0xb5]);
    bytes.extend(number.to_be_bytes());
    bytes.resize(length, number.to_be_bytes()[3]);
    bytes
}

/// A TCP frame for segmentation, from one VPort to another.
pub(super) fn tcp(from: usize, to: usize, payload: usize) -> Vec<u8> {
    let mut bytes = [switch::mac(to).0, switch::mac(from).0].concat();
    bytes.extend([8, 0, 0x45, 0, 0, 0, 0, 9, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([0x30, 0x39, 0, 80, 0, 0, 0, 0, 0, 0, 0, 9, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    bytes.extend((0..payload).map(|n| (n / 100).to_le_bytes()[0]));
    bytes
}

/// What a driver says of [`tcp`], to be cut into segments of `mss` bytes.
pub(super) fn segments(mss: u32) -> Context {
    Context { mac_len: 14, ip_len: 20, ipv4: true, l4: 1, l4_len: 20, mss, slot: 0, vlan: 0 }
}

#[test]
fn frames_of_all_lengths_cross_in_order() {
    for poll in [PollMode::Adaptive, PollMode::Interrupt] {
        let (_dataplane, mut one, mut two) = start(poll);
        let length = |n: u32| 60 + n as usize * 19 % 9600;
        let arrived = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..1500 {
                    // No more on the way than the receiver has buffers for: a driver that does not get to run for a
                    // while loses nothing.
                    wait("the receiver", || n - arrived.load(Ordering::SeqCst) < 20);
                    one.send(&frame(n, length(n)), None, 0);
                }
            });
            for n in 0..1500 {
                let mut received = None;
                wait("a frame", || {
                    received = two.receive();
                    received.is_some()
                });
                assert!(received == Some(frame(n, length(n))), "frame {n}");
                arrived.store(n + 1, Ordering::SeqCst);
            }
        });
    }
}

#[test]
fn a_segmented_stream_crosses_a_ring_that_is_too_small_for_one_frame() {
    // A receiver that does not get to run for longer than its allowance loses segments; that is not so every time.
    assert!((0..10).any(|_| stream_of_segments()));
}

/// Sends 20 frames of 150 segments each into a ring of 128; false if a segment was lost for want of buffers.
fn stream_of_segments() -> bool {
    let (_dataplane, mut one, mut two) = start(PollMode::Adaptive);
    let bytes = tcp(1, 2, 60_000);
    let counters = Arc::clone(&two.guest.counters);
    let lost = || !counters.read().drops.is_empty();
    for _ in 0..20 {
        one.send(&bytes, Some(segments(400)), TSE);
        let mut payload: Vec<u8> = vec![];
        while payload.len() < 60_000 {
            let mut received = None;
            wait("a segment", || {
                received = two.receive();
                received.is_some() || lost()
            });
            let Some(segment) = received else { return false };
            add_segment(&mut payload, &segment);
        }
        assert!(payload == bytes[54..]);
    }
    true
}

/// Adds what a segment carries; it is the next one.
fn add_segment(payload: &mut Vec<u8>, segment: &[u8]) {
    let end = 14 + usize::from(u16::from_be_bytes([segment[16], segment[17]]));
    let sequence = u32::from_be_bytes([segment[38], segment[39], segment[40], segment[41]]);
    assert_eq!(sequence as usize, payload.len(), "in order");
    payload.extend(&segment[54..end]);
}

#[test]
fn segments_that_a_closed_ring_did_not_take_come_when_it_is_open_again() {
    // As above: a receiver that does not get to run for longer than its allowance loses segments.
    assert!((0..10).any(|_| stream_over_a_gap()));
}

/// Has a driver close its ring in the midst of a frame of 150 segments, when the ring is full, and open it again when the
/// sender has forgotten the frame; false if a segment was lost for want of buffers.
fn stream_over_a_gap() -> bool {
    let (dataplane, mut one, mut two) = start(PollMode::Adaptive);
    let handle = dataplane.handle();
    let gap = handle.arm_gap(0, VPortId(2), GapLimits::default()).unwrap();
    let bytes = tcp(1, 2, 60_000);
    one.send(&bytes, Some(segments(400)), TSE);
    wait("the sender to be held", || one.guest.counters.read().held > 0);
    two.guest.write(rx(0, CONTROL), 0);
    one.send(&bytes, Some(segments(400)), TSE);
    wait("the frames to be kept", || one.head() == one.tx.tail);
    handle.quiesce();
    if !two.guest.counters.read().drops.is_empty() {
        return false;
    }
    assert_eq!((gap.read().state, gap.read().held), (GapState::Holding, 2));
    for n in 0..one.tx.size {
        let nothing = vec![0xee; 0x1_0000];
        one.guest.domain.view().write_bytes(TX_BUFFERS + u64::from(n) * 0x1_0000, &nothing).unwrap();
    }
    // What the ring took before it was closed is still there.
    let mut payload = vec![];
    let view = two.guest.domain.view();
    while let Some(segment) = two.rx.receive(&view) {
        add_segment(&mut payload, &segment.bytes);
    }
    drop(view);
    assert_eq!(payload.len(), 127 * 400);
    (_, two.rx) = rings(&mut two.guest, 128);
    handle.release(0, Place::VPort(VPortId(2))).unwrap();
    let mut rest = vec![];
    // More than the ring takes at once.
    for to in [&mut payload, &mut rest] {
        while to.len() < 60_000 {
            let mut received = None;
            wait("a segment", || {
                received = two.receive();
                received.is_some()
            });
            add_segment(to, &received.unwrap());
        }
    }
    assert!(payload == bytes[54..] && rest == bytes[54..]);
    wait("the gap to be drained", || gap.read().state == GapState::Armed);
    assert_eq!((gap.read().released, gap.read().lost()), (2, 0));
    true
}

#[test]
fn frames_shown_before_a_transmit_queue_is_closed_are_sent() {
    for poll in [PollMode::Adaptive, PollMode::Interrupt] {
        // A worker that does not get to run for a millisecond leaves some unsent, as hardware may.
        assert!((0..10).any(|_| close_after_sending(poll)));
    }
}

/// Sends 60 frames and closes the queue at once; false if some were left in the ring.
fn close_after_sending(poll: PollMode) -> bool {
    let (dataplane, mut one, mut two) = start(poll);
    let view = one.guest.domain.view();
    for n in 0..60 {
        let address = TX_BUFFERS + u64::from(n) * 0x1_0000;
        view.write_bytes(address, &frame(n, 1500)).unwrap();
        one.tx.post(&view, driver::data(address, 1500, EOP | RS, 0));
    }
    drop(view);
    // The worker does not know of it yet.
    one.guest.state.set_register(tx(0, TAIL), one.tx.tail);
    // SWFLSH, as ixgbevf writes it.
    one.guest.write(tx(0, CONTROL), 1 << 26);
    assert_eq!(one.guest.state.register(tx(0, CONTROL)) & ENABLE, 0);
    let sent = one.head();
    dataplane.handle().quiesce();
    let received: Vec<_> = std::iter::from_fn(|| two.receive()).collect();
    assert_eq!(received, (0..sent).map(|n| frame(n, 1500)).collect::<Vec<_>>());
    sent == 60
}

#[test]
fn r24_drivers_that_reset_under_traffic_come_back() {
    let (dataplane, mut one, mut two) = start(PollMode::Adaptive);
    for round in 0..30 {
        for n in 0..40 {
            one.send(&frame(n, 200), None, 0);
        }
        let vm = if round % 2 == 0 { &mut two } else { &mut one };
        vm.reset();
        // Nothing of before may come up in the rings of now.
        dataplane.handle().quiesce();
        while two.receive().is_some() {}
        wait("the sender's ring to be empty", || one.head() == one.tx.tail);
        dataplane.handle().quiesce();
        while two.receive().is_some() {}
        one.send(&frame(round + 1000, 100), None, 0);
        let mut received = None;
        wait("a frame", || {
            received = two.receive();
            received.is_some()
        });
        assert_eq!(received, Some(frame(round + 1000, 100)));
    }
}
