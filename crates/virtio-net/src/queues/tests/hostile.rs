//! Drivers that lie. Each test is named after its row of the catalogue.
#![expect(clippy::cast_possible_truncation, reason = "numbers of the tests are small, or meant to be cut")]

use guest_memory::MemoryView;
use port::{Malformed, Port, Put, Refusal, Spec};
use proptest::prelude::*;

use crate::testing::frames::{TCP, plain};
use crate::testing::{HOLE, NOT_READY, READ_ONLY, Receiver, SECOND, Sender, TX_BUFFERS, Vm, forward, put};
use crate::{Features, RingError};

const HOST: Features = Features::CSUM.union(Features::HOST_TSO4).union(Features::HOST_TSO6);
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// Writes descriptor `index` of the table at `table`: split fields.
fn descriptor(view: &MemoryView, table: u64, index: u16, address: u64, length: u32, flags: u16, next: u16) {
    let at = table + u64::from(index) * 16;
    view.write_bytes(at, &address.to_le_bytes()).unwrap();
    let word = u64::from(length) | u64::from(flags) << 32 | u64::from(next) << 48;
    view.write_bytes(at + 8, &word.to_le_bytes()).unwrap();
}

/// Makes the chain that starts at descriptor `head` of split ring 1 available.
fn post(sender: &mut Sender, view: &MemoryView, head: u16) {
    sender.ring.set_available(view, sender.ring.available, head);
    sender.ring.available = sender.ring.available.wrapping_add(1);
    sender.ring.set_index(view, sender.ring.available);
}

/// A split transmit ring of 16 descriptors, and a VM that it belongs to.
fn split(features: Features) -> (Vm, Sender) {
    let vm = Vm::new(features);
    let sender = Sender::new(vm.ring(1, 16));
    (vm, sender)
}

/// The ring is broken for `reason`, says so once, and works after it is set up anew, while others do all the time.
fn assert_broken(vm: &mut Vm, ring: usize, reason: RingError) {
    assert_eq!(vm.take().len(), 0);
    assert_eq!(vm.take().len(), 0);
    assert_eq!(vm.state.broken(ring), Some(reason));
    assert_eq!(vm.notify.errors(ring), 1);
    assert!(!vm.queues.has_work());
    let packed = vm.state.features().contains(Features::RING_PACKED);
    let mut fresh = Sender::new(vm.ring_at(ring, 16, if packed { 0x8000 } else { 77 }));
    if packed {
        vm.view().write_bytes(fresh.ring.parts[0], &[0; 16 * 16]).unwrap();
    }
    assert!(fresh.send(&vm.view(), &[0; 12], &plain(1, 64), &[]));
    assert_eq!(vm.take().len(), 1, "works again");
    assert_eq!(vm.state.broken(ring), None);
}

#[test]
fn r01_available_index_jumps() {
    for jump in [17, 32_768, 65_535] {
        let (mut vm, sender) = split(Features::empty());
        sender.ring.set_index(&vm.view(), jump);
        assert_broken(&mut vm, 1, RingError::AvailableIndex);
    }
}

#[test]
fn r02_head_outside_of_the_ring() {
    for head in [16, 0xffff] {
        let (mut vm, mut sender) = split(Features::empty());
        post(&mut sender, &vm.view(), head);
        assert_broken(&mut vm, 1, RingError::Head);
    }
}

#[test]
fn r03_successor_outside_of_the_ring() {
    for next in [16, 0xffff] {
        let (mut vm, mut sender) = split(Features::empty());
        descriptor(&vm.view(), sender.ring.parts[0], 0, TX_BUFFERS, 64, NEXT, next);
        post(&mut sender, &vm.view(), 0);
        assert_broken(&mut vm, 1, RingError::Next);
    }
}

#[test]
fn r04_cycles() {
    for length in [1, 2, 16_u16] {
        let (mut vm, mut sender) = split(Features::empty());
        for n in 0..length {
            let table = sender.ring.parts[0];
            descriptor(&vm.view(), table, n, TX_BUFFERS, 8, NEXT, (n + 1) % length);
        }
        post(&mut sender, &vm.view(), 0);
        assert_broken(&mut vm, 1, RingError::Endless);
    }
}

#[test]
fn r04_a_cycle_of_empty_descriptors_r07() {
    let (mut vm, mut sender) = split(Features::empty());
    descriptor(&vm.view(), sender.ring.parts[0], 3, HOLE, 0, NEXT, 3);
    post(&mut sender, &vm.view(), 3);
    assert_broken(&mut vm, 1, RingError::Endless);
}

/// What becomes of one chain on its own: dropped for `reason`, and given back with nothing written.
fn dropped(features: Features, build: impl Fn(&MemoryView, &mut Sender)) -> (Vec<(Malformed, u64)>, usize) {
    let (mut vm, mut sender) = split(features);
    build(&vm.view(), &mut sender);
    let fetched = vm.take().len();
    assert_eq!(vm.state.broken(1), None);
    assert_eq!(sender.ring.used_index(&vm.view()), 1, "given back");
    (vm.malformed(), fetched)
}

#[test]
fn r06_lengths_beyond_all_bounds() {
    let long = |view: &MemoryView, sender: &mut Sender| {
        for n in 0..16 {
            let flags = if n < 15 { NEXT } else { 0 };
            descriptor(view, sender.ring.parts[0], n, TX_BUFFERS, u32::MAX, flags, n + 1);
        }
        post(sender, view, 0);
    };
    assert_eq!(dropped(Features::empty(), long), (vec![(Malformed::TooLong, 1)], 0));
    let mut vm = Vm::new(Features::empty());
    let mut sender = Sender::new(vm.ring(1, 1024));
    for n in 0..1024 {
        let flags = if n < 1023 { NEXT } else { 0 };
        descriptor(&vm.view(), sender.ring.parts[0], n, TX_BUFFERS + u64::from(n), 1, flags, n + 1);
    }
    post(&mut sender, &vm.view(), 0);
    assert_eq!((vm.take().len(), vm.malformed()), (0, vec![(Malformed::TooManyBuffers, 1)]));
}

#[test]
fn r07_descriptors_without_bytes_are_passed_over() {
    let empty = |view: &MemoryView, sender: &mut Sender| {
        descriptor(view, sender.ring.parts[0], 0, HOLE, 0, NEXT, 1);
        descriptor(view, sender.ring.parts[0], 1, TX_BUFFERS, 12 + 64, NEXT, 2);
        descriptor(view, sender.ring.parts[0], 2, TX_BUFFERS, 0, 0, 0);
        post(sender, view, 0);
    };
    assert_eq!(dropped(Features::empty(), empty), (vec![], 1));
}

#[test]
fn r09_buffers_in_a_hole_or_half_in_it() {
    for (address, reason) in [
        (HOLE, Some(Malformed::DmaFault)),
        (HOLE - 50, Some(Malformed::DmaFault)),
        (u64::MAX - 20, Some(Malformed::DmaFault)),
        // Across two regions that follow one another.
        (SECOND - 30, None),
    ] {
        let build = |view: &MemoryView, sender: &mut Sender| {
            descriptor(view, sender.ring.parts[0], 0, address, 100, 0, 0);
            post(sender, view, 0);
        };
        for features in [Features::empty(), Features::CSUM] {
            let (malformed, frames) = dropped(features, build);
            assert_eq!(malformed, reason.map(|reason| (reason, 1)).into_iter().collect::<Vec<_>>());
            assert_eq!(frames, usize::from(reason.is_none()));
        }
    }
}

#[test]
fn r09_a_ring_in_a_hole_or_in_two_regions() {
    for base in [HOLE, HOLE - 0x5000, SECOND - 0x100, READ_ONLY] {
        let mut vm = Vm::new(Features::empty());
        let config = crate::RingConfig { size: 256, descriptors: base, driver: base, device: base };
        let start = crate::Position::initial(Features::empty());
        vm.state.start_ring(1, config, start).unwrap();
        vm.state.enable_ring(1, true);
        if base == HOLE - 0x5000 {
            // All of it in one region: not this.
            assert_eq!((vm.take().len(), vm.state.broken(1)), (0, None));
        } else {
            assert_broken(&mut vm, 1, RingError::NotMapped);
        }
    }
}

#[test]
fn r11_what_is_no_memory_is_mapped_nowhere() {
    // BARs and doorbells are never in the domain, so that a buffer there is one in a hole; a read-only region is not
    // written either.
    let mut vm = Vm::new(Features::empty());
    let mut ring = vm.ring(0, 16);
    for address in [0xfee0_0000, READ_ONLY] {
        ring.add(&vm.view(), &[], &[(address, 2000)]).unwrap();
        assert_eq!(put(&mut vm, &plain(1, 64), &Spec::default()), Put::Refused(Refusal::DmaFault));
        assert_eq!(ring.take(&vm.view())[0].1, 0, "given back empty");
    }
}

#[test]
fn r12_buffers_of_the_wrong_direction() {
    for flags in [[WRITE, WRITE], [0, WRITE], [WRITE, 0]] {
        let build = |view: &MemoryView, sender: &mut Sender| {
            descriptor(view, sender.ring.parts[0], 0, TX_BUFFERS, 100, flags[0] | NEXT, 1);
            descriptor(view, sender.ring.parts[0], 1, TX_BUFFERS, 100, flags[1], 0);
            post(sender, view, 0);
        };
        assert_eq!(dropped(Features::empty(), build), (vec![(Malformed::BadDescriptor, 1)], 0));
    }
    let mut vm = Vm::new(Features::empty());
    let mut ring = vm.ring(0, 16);
    for (readable, writable) in
        [(vec![(TX_BUFFERS, 2000)], vec![]), (vec![(TX_BUFFERS, 12)], vec![(TX_BUFFERS, 2000)])]
    {
        ring.add(&vm.view(), &readable, &writable).unwrap();
        assert_eq!(put(&mut vm, &plain(1, 64), &Spec::default()), Put::Refused(Refusal::DmaFault));
        assert_eq!(ring.take(&vm.view())[0].1, 0);
    }
}

#[test]
fn r12_directions_in_packed_tables_of_a_transmit_queue_do_not_matter() {
    for flags in [[WRITE, 0], [0, WRITE], [WRITE, WRITE]] {
        let mut vm = Vm::new(Features::RING_PACKED | Features::INDIRECT_DESC);
        let mut sender = Sender::new(vm.ring(1, 16));
        assert!(sender.send(&vm.view(), &[0; 12], &plain(1, 64), &[12]));
        let table: u64 = vm.view().read_obj(sender.ring.parts[0]).unwrap();
        for (entry, flags) in (0..).zip(flags) {
            vm.view().write_bytes(table + 16 * entry + 14, &flags.to_le_bytes()).unwrap();
        }
        assert_eq!(vm.take().len(), 1, "{flags:?}");
        assert_eq!((vm.malformed(), sender.ring.take(&vm.view()).len()), (vec![], 1));
    }
}

#[test]
fn r13_chains_without_a_frame_n08() {
    for features in [Features::empty(), HOST] {
        for length in (0..=12).chain([13, 24, 25]) {
            let build = |view: &MemoryView, sender: &mut Sender| {
                view.write_bytes(TX_BUFFERS, &[0; 64]).unwrap();
                descriptor(view, sender.ring.parts[0], 0, TX_BUFFERS, length, 0, 0);
                post(sender, view, 0);
            };
            assert_eq!(dropped(features, build), (vec![(Malformed::TooShort, 1)], 0), "{length} bytes");
        }
    }
}

#[test]
fn n08_short_frames_are_padded() {
    for length in [14, 59, 60] {
        let (mut a, mut sender) = split(Features::empty());
        let mut b = Vm::new(Features::empty());
        let mut receiver = Receiver::new(b.ring(0, 16), &[1600], Features::VERSION_1);
        receiver.fill(&b.view(), 1);
        assert!(sender.send(&a.view(), &[0; 12], &plain(1, length), &[]));
        assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
        let (_, frame) = receiver.receive(&b.view()).remove(0);
        assert_eq!((frame.len(), &frame[..length]), (60, &plain(1, length)[..]));
        assert!(frame[length..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn r17_indirect_tables_that_break_the_ring() {
    let table = TX_BUFFERS + 0x1000;
    for (flags, length, inner, features) in [
        (INDIRECT | NEXT, 16, 0, Features::INDIRECT_DESC),
        (INDIRECT, 16, INDIRECT, Features::INDIRECT_DESC),
        (INDIRECT, 0, 0, Features::INDIRECT_DESC),
        (INDIRECT, 24, 0, Features::INDIRECT_DESC),
        (INDIRECT, 16, 0, Features::empty()),
    ] {
        let (mut vm, mut sender) = split(features);
        descriptor(&vm.view(), table, 0, TX_BUFFERS, 100, inner, 0);
        descriptor(&vm.view(), sender.ring.parts[0], 0, table, length, flags, 1);
        post(&mut sender, &vm.view(), 0);
        assert_broken(&mut vm, 1, RingError::Indirect);
    }
    for (next, reason) in [(2, RingError::Next), (0, RingError::Endless)] {
        let (mut vm, mut sender) = split(Features::INDIRECT_DESC);
        descriptor(&vm.view(), table, 0, TX_BUFFERS, 100, NEXT, 1);
        descriptor(&vm.view(), table, 1, TX_BUFFERS, 100, NEXT, next);
        descriptor(&vm.view(), sender.ring.parts[0], 0, table, 32, INDIRECT, 0);
        post(&mut sender, &vm.view(), 0);
        assert_broken(&mut vm, 1, reason);
    }
}

#[test]
fn r17_indirect_tables_that_spoil_their_chain() {
    for (table, length, reason) in [
        (HOLE, 32, Some(Malformed::DmaFault)),
        (HOLE - 16, 32, Some(Malformed::DmaFault)),
        (TX_BUFFERS, 16 * 65_536, Some(Malformed::TooManyBuffers)),
        // Across regions that follow one another.
        (SECOND - 16, 32, None),
    ] {
        let build = |view: &MemoryView, sender: &mut Sender| {
            if reason.is_none() {
                descriptor(view, table, 0, TX_BUFFERS, 50, NEXT, 1);
                descriptor(view, table, 1, TX_BUFFERS + 50, 50, 0, 0);
            }
            descriptor(view, sender.ring.parts[0], 0, table, length, INDIRECT, 0);
            post(sender, view, 0);
        };
        let (malformed, frames) = dropped(Features::INDIRECT_DESC, build);
        assert_eq!(malformed, reason.map(|reason| (reason, 1)).into_iter().collect::<Vec<_>>());
        assert_eq!(frames, usize::from(reason.is_none()));
    }
}

#[test]
fn r19_one_slot_made_available_many_times() {
    let (mut vm, mut sender) = split(Features::empty());
    descriptor(&vm.view(), sender.ring.parts[0], 0, TX_BUFFERS, 100, 0, 0);
    for _ in 0..16 {
        post(&mut sender, &vm.view(), 0);
    }
    assert_eq!(vm.take().len(), 16, "as often as the ring has places");
    for _ in 0..17 {
        post(&mut sender, &vm.view(), 0);
    }
    assert_broken(&mut vm, 1, RingError::AvailableIndex);
}

#[test]
fn r20_a_scribbled_used_ring_is_written_over() {
    let (mut vm, mut sender) = split(Features::empty());
    for n in 1..5 {
        vm.view().write_bytes(sender.ring.parts[2], &[0xa5; 4 + 16 * 8]).unwrap();
        assert!(sender.send(&vm.view(), &[0; 12], &plain(n, 64), &[]));
        assert_eq!(vm.take().len(), 1);
        assert_eq!(u32::from(sender.ring.used_index(&vm.view())), n);
        assert_eq!(sender.ring.take(&vm.view()).len(), 1);
    }
}

#[test]
fn r23_a_buffer_too_small_for_the_frame_stays_for_smaller_ones() {
    let mut vm = Vm::new(Features::empty());
    let mut receiver = Receiver::new(vm.ring(0, 16), &[200], Features::VERSION_1);
    receiver.fill(&vm.view(), 2);
    assert_eq!(put(&mut vm, &plain(1, 189), &Spec::default()), Put::Refused(Refusal::TooLong));
    assert_eq!(put(&mut vm, &plain(2, 188), &Spec::default()), Put::Done);
    assert_eq!(receiver.receive(&vm.view()).remove(0).1, plain(2, 188));
}

#[test]
fn r23_a_frame_that_no_ring_of_such_buffers_holds() {
    let mut vm = Vm::new(Features::MRG_RXBUF);
    let mut receiver = Receiver::new(vm.ring(0, 4), &[100], Features::MRG_RXBUF | Features::VERSION_1);
    receiver.fill(&vm.view(), 3);
    assert_eq!(put(&mut vm, &plain(1, 800), &Spec::default()), Put::Full { next: 0 });
    receiver.fill(&vm.view(), 1);
    assert_eq!(put(&mut vm, &plain(1, 800), &Spec::default()), Put::Refused(Refusal::NoBuffers));
    assert_eq!(put(&mut vm, &plain(1, 388), &Spec::default()), Put::Done);
}

#[test]
fn r24_a_ring_set_up_anew_in_the_midst_of_a_frame() {
    let features = Features::MRG_RXBUF | Features::VERSION_1;
    let (mut a, mut b) = (Vm::new(HOST), Vm::new(features));
    for turn in 0..50 {
        let mut sender = Sender::new(a.ring_at(1, 16, turn));
        let mut receiver = Receiver::new(b.ring_at(0, 16, turn), &[1500], features);
        receiver.fill(&b.view(), 1);
        assert!(sender.send(&a.view(), &TCP.gso_header(1000), &TCP.build(), &[]));
        assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Full { next: 1 });
        assert_eq!(receiver.receive(&b.view()).len(), 1);
    }
    let mut sender = Sender::new(a.ring_at(1, 16, 0));
    let mut receiver = Receiver::new(b.ring_at(0, 16, 0), &[1500], features);
    receiver.fill(&b.view(), 16);
    assert!(sender.send(&a.view(), &TCP.gso_header(1000), &TCP.build(), &[]));
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    assert_eq!(receiver.receive(&b.view()).len(), 3, "all of the new frame, not the rest of the old one");
}

#[test]
fn r25_bad_chains_among_good_ones() {
    for features in [Features::empty(), Features::IN_ORDER, Features::RING_PACKED] {
        let (mut a, mut b) = (Vm::new(features), Vm::new(Features::empty()));
        let mut sender = Sender::new(a.ring(1, 16));
        let mut receiver = Receiver::new(b.ring(0, 64), &[1600], Features::VERSION_1);
        receiver.fill(&b.view(), 64);
        for turn in 0..30 {
            let view = a.view();
            assert!(sender.send(&view, &[0; 12], &plain(turn, 64), &[20]));
            sender.ring.add(&view, &[(HOLE, 100)], &[]).unwrap();
            sender.ring.add(&view, &[(TX_BUFFERS, 5)], &[]).unwrap();
            assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
            assert_eq!(sender.ring.take(&view).len(), 3);
            assert_eq!(receiver.receive(&b.view()).len(), 1);
            receiver.fill(&b.view(), 64);
        }
        assert_eq!(a.malformed(), vec![(Malformed::TooShort, 30), (Malformed::DmaFault, 30)]);
    }
}

#[test]
fn r25_a_bad_chain_in_the_midst_of_a_received_frame() {
    let mut vm = Vm::new(Features::MRG_RXBUF);
    let mut ring = vm.ring(0, 16);
    ring.add(&vm.view(), &[], &[(TX_BUFFERS, 100)]).unwrap();
    ring.add(&vm.view(), &[], &[(HOLE, 100)]).unwrap();
    ring.add(&vm.view(), &[], &[(TX_BUFFERS + 100, 1000)]).unwrap();
    assert_eq!(put(&mut vm, &plain(1, 500), &Spec::default()), Put::Refused(Refusal::DmaFault));
    assert_eq!(ring.take(&vm.view()).iter().map(|used| used.1).collect::<Vec<_>>(), [0, 0]);
    assert_eq!(put(&mut vm, &plain(1, 500), &Spec::default()), Put::Done);
}

#[test]
fn dropped_chains_before_a_frame_that_waits_are_counted_once() {
    let (mut a, mut sender) = split(Features::empty());
    let mut b = Vm::new(Features::empty());
    let mut receiver = Receiver::new(b.ring(0, 16), &[1600], Features::VERSION_1);
    let view = a.view();
    for number in 0..2 {
        sender.ring.add(&view, &[(HOLE, 100)], &[]).unwrap();
        assert!(sender.send(&view, &[0; 12], &plain(number, 64), &[]));
    }
    for _ in 0..3 {
        assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Full { next: 0 });
    }
    assert_eq!(a.malformed(), vec![(Malformed::DmaFault, 1)]);
    receiver.fill(&b.view(), 2);
    assert_eq!(forward(&mut a.queues, &mut b.queues), Put::Done);
    assert_eq!(a.malformed(), vec![(Malformed::DmaFault, 1)]);
    assert_eq!(sender.ring.take(&view).len(), 4);
}

/// A packed ring with descriptor 0 of this kind.
fn packed(address: u64, length: u32, id: u16, flags: u16) -> Vm {
    let vm = Vm::new(Features::RING_PACKED | Features::INDIRECT_DESC);
    let sender = Sender::new(vm.ring(1, 16));
    // In a packed descriptor the id stands where a split one has its flags.
    descriptor(&vm.view(), sender.ring.parts[0], 0, address, length, id, flags | 1 << 7);
    vm
}

#[test]
fn p01_buffer_ids_that_no_buffer_can_have() {
    for id in [16, 0xffff] {
        assert_broken(&mut packed(TX_BUFFERS, 100, id, 0), 1, RingError::BufferId);
    }
    assert_eq!(packed(TX_BUFFERS, 100, 15, 0).take().len(), 1);
}

#[test]
fn p01_packed_chains_without_end_or_with_bad_tables() {
    let mut vm = packed(TX_BUFFERS, 1, 0, NEXT);
    for n in 1..16 {
        descriptor(&vm.view(), crate::testing::BASE + crate::testing::driver::RING_BYTES, n, 0, 1, 0, NEXT);
    }
    assert_broken(&mut vm, 1, RingError::Endless);
    assert_broken(&mut packed(TX_BUFFERS, 16, 0, INDIRECT | NEXT), 1, RingError::Indirect);
    assert_broken(&mut packed(TX_BUFFERS, 15, 0, INDIRECT), 1, RingError::Indirect);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// P03: descriptors of random bits. Every look ends, and takes no more than a burst.
    #[test]
    fn p03_random_packed_descriptors(words in prop::collection::vec((0..4_u64, any::<u64>()), 16), size in 1..17_u16) {
        let mut vm = Vm::new(Features::RING_PACKED | Features::INDIRECT_DESC | HOST);
        let mut both = [vm.ring(1, size), vm.ring(0, size)];
        for ring in &mut both {
            for (n, (address, word)) in words.iter().enumerate() {
                let at = ring.parts[0] + 16 * n as u64;
                vm.view().write_bytes(at, &(TX_BUFFERS + address * 0x1000).to_le_bytes()).unwrap();
                vm.view().write_bytes(at + 8, &(word & 0xffff_000f_0000_0fff).to_le_bytes()).unwrap();
            }
        }
        for n in 0..8 {
            prop_assert!(vm.take().len() <= port::BURST);
            let _ = put(&mut vm, &plain(n, 64), &Spec::default());
        }
    }

    /// R15, R16 and all of R: a split ring of random contents, changed between looks.
    #[test]
    fn r15_random_split_rings(
        descriptors in prop::collection::vec((0..5_u64, 0..300_u32, 0..8_u16, 0..18_u16), 16),
        heads in prop::collection::vec(0..17_u16, 16),
        indices in prop::collection::vec(0..40_u16, 6),
        header in any::<[u8; 12]>(),
    ) {
        let mut vm = Vm::new(Features::INDIRECT_DESC | HOST);
        let both = [vm.ring(1, 16), vm.ring(0, 16)];
        vm.view().write_bytes(TX_BUFFERS, &header).unwrap();
        for (step, index) in indices.iter().enumerate() {
            for ring in &both {
                for (n, (address, length, flags, next)) in descriptors.iter().enumerate() {
                    let n = (n as u16 + step as u16) % 16;
                    let address = TX_BUFFERS + address * 0x40_0000;
                    descriptor(&vm.view(), ring.parts[0], n, address, *length, *flags, *next);
                }
                for (n, head) in heads.iter().enumerate() {
                    ring.set_available(&vm.view(), n as u16, *head);
                }
                ring.set_index(&vm.view(), *index);
            }
            prop_assert!(vm.take().len() <= port::BURST);
            let _ = put(&mut vm, &plain(1, 64), &Spec::default());
        }
    }
}

#[test]
fn q02_a_burst_is_bounded_by_what_it_costs() {
    let mut vm = Vm::new(HOST);
    let mut sender = Sender::new(vm.ring(1, 1024));
    let big = crate::testing::frames::Packet { payload: 60_000, ..TCP };
    for _ in 0..20 {
        assert!(sender.send(&vm.view(), &big.gso_header(100), &big.build(), &[]));
    }
    assert_eq!(vm.take().len(), 1, "600 packets are more than a burst's 256");
    let mut vm = Vm::new(Features::empty());
    let mut sender = Sender::new(vm.ring(1, 1024));
    for n in 0..60 {
        let view = vm.view();
        let buffers: Vec<_> = (0..100).map(|n| (TX_BUFFERS + n, 1)).collect();
        assert!(n < 10 || sender.ring.outstanding() > 0);
        let _ = sender.ring.add(&view, &buffers, &[]);
    }
    assert_eq!(vm.take().len(), 6, "of 100 descriptors each, until there are 512");
}

#[test]
fn q02_chains_of_descriptors_without_bytes() {
    // Each head leads through 1,000 empty descriptors to a buffer of one byte.
    let mut vm = Vm::new(Features::MRG_RXBUF);
    let mut receiver = Sender::new(vm.ring(0, 1024));
    for n in 0..1000 {
        descriptor(&vm.view(), receiver.ring.parts[0], n, TX_BUFFERS, 0, NEXT | WRITE, n + 1);
    }
    descriptor(&vm.view(), receiver.ring.parts[0], 1000, TX_BUFFERS, 1, WRITE, 0);
    for _ in 0..1000 {
        post(&mut receiver, &vm.view(), 0);
    }
    for n in 1..5 {
        assert_eq!(put(&mut vm, &plain(1, 64), &Spec::default()), Put::Refused(Refusal::DmaFault));
        assert_eq!(receiver.ring.used_index(&vm.view()), 2 * n, "a look ends after two, which are lost");
    }
    let mut vm = Vm::new(Features::empty());
    let mut sender = Sender::new(vm.ring(1, 2048));
    descriptor(&vm.view(), sender.ring.parts[0], 0, TX_BUFFERS, 0, NEXT, 0);
    post(&mut sender, &vm.view(), 0);
    assert_eq!((vm.take().len(), vm.state.broken(1)), (0, Some(RingError::Endless)));
}

#[test]
fn a_broken_receive_ring_is_reported_once() {
    let mut a = Vm::new(Features::empty());
    let mut sender = Sender::new(a.ring(1, 16));
    let mut b = Vm::new(Features::empty());
    let ring = b.ring(0, 16);
    ring.set_available(&b.view(), 0, 99);
    ring.set_index(&b.view(), 1);
    for _ in 0..2 {
        for n in 0..5 {
            assert!(sender.send(&a.view(), &[0; 12], &plain(n, 64), &[]));
        }
        assert_eq!(forward(&mut a.queues, &mut b.queues), NOT_READY);
        assert_eq!(sender.ring.take(&a.view()).len(), 5);
    }
    assert_eq!((b.notify.errors(0), b.state.broken(0)), (1, Some(RingError::Head)));
}

#[test]
fn a_ring_that_is_off_carries_nothing() {
    let mut vm = Vm::new(Features::empty());
    assert_eq!(put(&mut vm, &plain(1, 64), &Spec::default()), NOT_READY);
    let mut ring = vm.ring(0, 16);
    ring.add(&vm.view(), &[], &[(TX_BUFFERS, 2000)]).unwrap();
    vm.state.stop_ring(0);
    assert_eq!(put(&mut vm, &plain(1, 64), &Spec::default()), NOT_READY);
    assert!(ring.take(&vm.view()).is_empty());
}
