//! Every frame arrives exactly once, in order, with the bytes that were sent.
#![expect(clippy::cast_possible_truncation, reason = "numbers of the tests are small, or meant to be cut")]

use port::Put;
use proptest::prelude::*;

use crate::testing::frames::{padded, plain};
use crate::testing::{Receiver, Sender, Vm, forward};
use crate::{Features, Position};

const RING: Features = Features::INDIRECT_DESC.union(Features::EVENT_IDX).union(Features::IN_ORDER);

#[derive(Clone, Debug)]
struct End {
    features: Features,
    size: u16,
    /// Where the ring starts.
    start: u16,
}

fn end() -> impl Strategy<Value = End> {
    let flags = (any::<bool>(), any::<u64>(), any::<bool>());
    (flags, 4..7_u32, 0..64_u16, any::<u16>()).prop_map(
        |((packed, bits, mergeable), exponent, odd, start)| {
            let mut features = Features::from_bits_truncate(bits) & RING | Features::VERSION_1;
            features.set(Features::RING_PACKED, packed);
            features.set(Features::MRG_RXBUF, mergeable);
            // Packed rings need not be a power of two.
            let size = if packed { (1 << exponent) + 1 + odd % 13 } else { 1 << exponent };
            let start = if packed { Position::initial(features).available } else { start };
            End { features, size, start }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_frame_arrives_once_and_in_order(
        from in end(),
        to in end(),
        lengths in prop::collection::vec(prop_oneof![14..80_usize, 14..2000_usize], 1..200),
        cuts in prop::collection::vec(1..700_u32, 0..4),
        buffer in 150..900_u32,
        pace in prop::collection::vec(1..20_usize, 1..8),
    ) {
        let (mut a, mut b) = (Vm::new(from.features), Vm::new(to.features));
        let mut sender = Sender::new(a.ring_at(1, from.size, from.start));
        // A frame may take more small buffers than a small ring has; that is another test.
        let mergeable = to.features.contains(Features::MRG_RXBUF);
        let buffers = if mergeable { vec![buffer] } else { vec![buffer, 1000, 1100] };
        let mut receiver = Receiver::new(b.ring_at(0, to.size, to.start), &buffers, to.features);
        let (mut sent, mut got, mut turns) = (0, vec![], 0);
        while got.len() < lengths.len() {
            let (view, pace) = (a.view(), pace[turns % pace.len()]);
            turns += 1;
            prop_assert!(turns < 4000, "no progress after {} frames", got.len());
            for _ in 0..pace {
                if sent < lengths.len() {
                    let frame = plain(sent as u32, lengths[sent]);
                    sent += usize::from(sender.send(&view, &[0; 12], &frame, &cuts));
                }
            }
            receiver.fill(&b.view(), pace);
            let put = forward(&mut a.queues, &mut b.queues);
            prop_assert!(matches!(put, Put::Done | Put::Full { .. }), "{put:?}");
            sender.ring.take(&view);
            got.extend(receiver.receive(&b.view()));
        }
        for (n, ((header, frame), length)) in got.iter().zip(&lengths).enumerate() {
            prop_assert_eq!(&header[..10], &[0; 10]);
            prop_assert_eq!(frame, &padded(plain(n as u32, *length)));
        }
        prop_assert_eq!(sender.ring.outstanding(), 0);
        prop_assert_eq!(a.malformed(), vec![]);
    }
}

#[test]
fn a_legacy_header_has_ten_bytes() {
    let (mut a, mut b) = (Vm::legacy(Features::empty()), Vm::legacy(Features::empty()));
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 16), &[10, 1514], Features::empty());
    receiver.fill(&b.view(), 4);
    let frame = plain(1, 700);
    assert!(sender.send(&a.view(), &[0; 10], &frame, &[10]));
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    assert_eq!(receiver.receive(&b.view()), vec![(vec![0; 10], frame)]);
}

#[test]
fn rings_wrap_their_16_bit_index() {
    for start in [0xfffe, 0xffff] {
        let (mut a, mut b) = (Vm::new(Features::EVENT_IDX), Vm::new(Features::empty()));
        let mut sender = Sender::new(a.ring_at(1, 4, start));
        let mut receiver = Receiver::new(b.ring_at(0, 4, start), &[1600], Features::VERSION_1);
        for n in 0..20 {
            receiver.fill(&b.view(), 4);
            assert!(sender.send(&a.view(), &[0; 12], &plain(n, 64), &[]));
            assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
            assert_eq!(sender.ring.take(&a.view()).len(), 1);
            assert_eq!(receiver.receive(&b.view()), vec![(header_of_one(), plain(n, 64))]);
        }
    }
}

fn header_of_one() -> Vec<u8> {
    let mut header = vec![0; 12];
    header[10] = 1;
    header
}

#[test]
fn a_frame_spans_buffers_only_with_mergeable_buffers() {
    let mut a = Vm::new(Features::empty());
    let mut sender = Sender::new(a.ring(1, 16));
    for (features, expected) in
        [(Features::MRG_RXBUF, Put::Done), (Features::empty(), Put::Refused(port::Refusal::TooLong))]
    {
        let mut b = Vm::new(features);
        let mut receiver = Receiver::new(b.ring(0, 16), &[512], features | Features::VERSION_1);
        receiver.fill(&b.view(), 16);
        assert!(sender.send(&a.view(), &[0; 12], &plain(1, 1400), &[]));
        assert_eq!(forward(&mut a.queues, &mut b.queues), expected);
        sender.ring.take(&a.view());
        let got = receiver.receive(&b.view());
        assert_eq!(got.len(), usize::from(expected == Put::Done));
        if let Some((header, frame)) = got.first() {
            assert_eq!((header[10], frame), (3, &plain(1, 1400)));
        }
    }
}

#[test]
fn an_in_order_device_reports_a_burst_with_one_entry() {
    let mut a = Vm::new(Features::IN_ORDER);
    let mut b = Vm::new(Features::empty());
    let mut sender = Sender::new(a.ring(1, 16));
    let mut receiver = Receiver::new(b.ring(0, 16), &[1600], Features::VERSION_1);
    receiver.fill(&b.view(), 16);
    let poison = [0xee; 64];
    a.view().write_bytes(sender.ring.parts[2] + 4, &poison).unwrap();
    for n in 0..5 {
        assert!(sender.send(&a.view(), &[0; 12], &plain(n, 64), &[]));
    }
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    let mut entries = [0; 64];
    a.view().read_bytes(sender.ring.parts[2] + 4, &mut entries).unwrap();
    assert_eq!(entries[..8], [4, 0, 0, 0, 0, 0, 0, 0], "the last head, in the first place");
    assert_eq!(entries[8..], poison[8..]);
    assert_eq!(sender.ring.used_index(&a.view()), 5);
    assert_eq!(receiver.receive(&b.view()).len(), 5);
}

#[test]
fn only_enabled_pairs_carry_frames() {
    let mut a = Vm::new(Features::MQ);
    let mut senders = [Sender::new(a.ring(1, 16)), Sender::new(a.ring(3, 16))];
    let view = a.view();
    for sender in &mut senders {
        assert!(sender.send(&view, &[0; 12], &plain(7, 64), &[]));
    }
    assert_eq!(a.take().len() + a.take().len(), 1, "one pair in use");
    a.state.set_pairs(2);
    assert_eq!(a.take().len() + a.take().len(), 1, "the second pair's");
    a.state.enable_ring(3, false);
    assert!(senders[1].send(&view, &[0; 12], &plain(7, 64), &[]));
    assert_eq!(a.take().len() + a.take().len(), 0);
    a.state.enable_ring(3, true);
    assert_eq!(a.take().len() + a.take().len(), 1);
}

#[test]
fn replies_come_in_on_the_queue_that_the_flow_went_out_on() {
    let features = Features::MQ | Features::VERSION_1;
    let mut a = Vm::new(features);
    a.state.set_pairs(4);
    let packet = crate::testing::frames::Packet { payload: 100, ..crate::testing::frames::TCP };
    let out = packet.build();
    let mut reply = out.clone();
    reply[26..30].copy_from_slice(&out[30..34]);
    reply[30..34].copy_from_slice(&out[26..30]);
    reply[34..36].copy_from_slice(&out[36..38]);
    reply[36..38].copy_from_slice(&out[34..36]);
    let mut receivers: Vec<_> =
        (0..4).map(|pair| Receiver::new(a.ring(2 * pair, 16), &[1600], features)).collect();
    for (pair, receiver) in receivers.iter_mut().enumerate() {
        receiver.fill(&a.view(), 8);
        let mut sender = Sender::new(a.ring(2 * pair + 1, 16));
        assert!(sender.send(&a.view(), &[0; 12], &out, &[]));
        while a.take().is_empty() {}
        assert_eq!(crate::testing::put(&mut a, &reply, &port::Spec::default()), Put::Done);
        assert_eq!(receiver.receive(&a.view()).len(), 1, "pair {pair}");
    }
}

#[test]
fn p05_packed_positions_wrap_within_a_batch() {
    for features in [Features::RING_PACKED, Features::RING_PACKED | Features::IN_ORDER] {
        let (mut a, mut b) = (Vm::new(features), Vm::new(features));
        let mut sender = Sender::new(a.ring(1, 7));
        let mut receiver = Receiver::new(b.ring(0, 5), &[40, 60], features | Features::VERSION_1);
        let mut next = 0;
        for _ in 0..100 {
            for n in 0..2 {
                assert!(sender.send(&a.view(), &[0; 12], &plain(next + n, 70), &[30, 30]));
            }
            assert_eq!(receiver.fill(&b.view(), 2), 2);
            assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
            assert_eq!(sender.ring.take(&a.view()).len(), 2);
            for (_, frame) in receiver.receive(&b.view()) {
                assert_eq!(frame, plain(next, 70));
                next += 1;
            }
        }
        assert_eq!(next, 200);
    }
}
