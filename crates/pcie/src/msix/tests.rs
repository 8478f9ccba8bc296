use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::{Identity, PowerState, ResetKind, VfProfile};

const VECTORS: u16 = 3;
const PBA: u64 = 0x2000;

fn table_of(vectors: u16) -> MsixTable {
    let profile = VfProfile { vectors, ..VfProfile::X550 };
    let layout = Arc::new(profile.layout().unwrap());
    let config = ConfigSpace::create(layout, Words::heap(ConfigSpace::WORDS)).unwrap();
    let parameters = config.layout().msix().unwrap();
    MsixTable::create(config, Words::heap(MsixTable::words_needed(&parameters))).unwrap()
}

/// A table whose function is enabled; every vector is masked still.
fn enabled() -> MsixTable {
    let table = table_of(VECTORS);
    table.config.write(0x04, &[0x06]).unwrap();
    table.config.write(0x72, &[0x02, 0x80]).unwrap();
    table
}

/// A message that tells its vector in both halves.
fn message(vector: u16) -> Message {
    let number = u32::from(vector);
    Message { address: 0x1_fee0_0000 | u64::from(number) << 12, data: 0x40 + number }
}

/// Writes `message(vector)` and the mask bit as Linux does, 32 bits at a time.
fn program(table: &MsixTable, vector: u16, masked: bool) -> Option<Released> {
    let Message { address, data } = message(vector);
    let entry = u64::from(vector) * 16;
    table.write(entry, &address.to_le_bytes()[..4]).unwrap();
    table.write(entry + 4, &address.to_le_bytes()[4..]).unwrap();
    table.write(entry + 8, &data.to_le_bytes()).unwrap();
    set_mask(table, vector, masked)
}

fn set_mask(table: &MsixTable, vector: u16, masked: bool) -> Option<Released> {
    table.write(u64::from(vector) * 16 + 12, &[u8::from(masked), 0, 0, 0]).unwrap()
}

fn read(table: &MsixTable, offset: u64, width: usize) -> u64 {
    let mut data = [0; 8];
    table.read(offset, &mut data[..width]).unwrap();
    u64::from_le_bytes(data)
}

#[test]
fn open_vectors_deliver_their_message() {
    let table = enabled();
    for vector in 0..VECTORS {
        assert_eq!(program(&table, vector, false), None);
        assert_eq!(table.deliver(vector), Delivery::Message(message(vector)));
        assert!(!table.is_pending(vector));
    }
}

#[test]
fn a_masked_vector_pends_once_and_is_released_by_its_mask() {
    let table = enabled();
    program(&table, 1, true);
    assert_eq!(table.deliver(1), Delivery::Pending);
    assert_eq!(table.deliver(1), Delivery::Pending);
    assert_eq!((read(&table, PBA, 4), read(&table, PBA, 8), read(&table, PBA + 4, 4)), (2, 2, 0));
    // A new address while masked releases nothing; the mask bit does, with what stands there then.
    assert_eq!(program(&table, 1, true), None);
    assert_eq!(set_mask(&table, 1, false), Some(Released { vector: 1, message: message(1) }));
    assert_eq!(read(&table, PBA, 8), 0);
    assert_eq!(set_mask(&table, 1, false), None);
}

#[test]
fn function_mask_holds_all_vectors_back() {
    let table = enabled();
    program(&table, 0, false);
    program(&table, 1, true);
    program(&table, 2, false);
    table.config.write(0x72, &[0x02, 0xc0]).unwrap();
    for vector in 0..VECTORS {
        assert_eq!(table.deliver(vector), Delivery::Pending);
    }
    assert_eq!(table.release().count(), 0);
    assert_eq!(set_mask(&table, 0, false), None, "the function mask still holds");
    table.config.write(0x72, &[0x02, 0x80]).unwrap();
    let released: Vec<_> = table.release().map(|released| released.vector).collect();
    assert_eq!(released, [0, 2]);
    assert!(table.is_pending(1));
}

#[test]
fn nothing_is_sent_by_a_function_that_may_not_send() {
    let table = enabled();
    program(&table, 0, false);
    let sends = |table: &MsixTable| table.deliver(0) == Delivery::Message(message(0));
    assert!(sends(&table));
    table.config.write(0x04, &[0x02]).unwrap();
    assert_eq!(table.deliver(0), Delivery::Disabled, "no bus mastering");
    table.config.write(0x04, &[0x06]).unwrap();
    table.config.set_power_state(PowerState::D3Hot);
    assert_eq!(table.deliver(0), Delivery::Disabled, "D3hot");
    table.config.set_power_state(PowerState::D0);
    assert!(sends(&table));
    table.config.write(0x72, &[0x02, 0x00]).unwrap();
    assert_eq!(table.deliver(0), Delivery::Disabled, "MSI-X disabled");
    assert!(!table.is_pending(0));
    table.config.write(0x72, &[0x02, 0x80]).unwrap();
    assert!(sends(&table));
    table.config.reset(ResetKind::FunctionLevel);
    assert_eq!(table.deliver(0), Delivery::Disabled, "reset");
}

#[test]
fn pending_waits_while_the_function_may_not_send() {
    let table = enabled();
    program(&table, 0, true);
    assert_eq!(table.deliver(0), Delivery::Pending);
    table.config.write(0x72, &[0x02, 0x00]).unwrap();
    assert_eq!(set_mask(&table, 0, false), None);
    assert_eq!(table.release().count(), 0);
    table.config.write(0x72, &[0x02, 0x80]).unwrap();
    assert_eq!(table.release().next(), Some(Released { vector: 0, message: message(0) }));
}

#[test]
fn reset_masks_all_and_forgets() {
    let table = enabled();
    program(&table, 0, false);
    assert_eq!(table.deliver(1), Delivery::Pending);
    table.reset();
    for vector in 0..VECTORS {
        let entry = u64::from(vector) * 16;
        assert_eq!((read(&table, entry, 8), read(&table, entry + 8, 8)), (0, 1 << 32));
        assert!(!table.is_pending(vector));
    }
}

#[test]
fn attach_goes_on() {
    let table = enabled();
    program(&table, 0, false);
    assert_eq!(table.deliver(2), Delivery::Pending);
    let again = MsixTable::attach(table.config.clone(), table.words.clone()).unwrap();
    assert_eq!(again.deliver(0), Delivery::Message(message(0)));
    assert!(again.is_pending(2));
}

#[test]
fn storage_must_fit() {
    let table = enabled();
    let error = MsixTable::create(table.config.clone(), Words::heap(13)).unwrap_err();
    assert_eq!(error, StorageError::TooSmall { needed: 14, found: 13 });
    let identity =
        Identity { vendor: 1, device: 2, revision: 0, class: 0, subsystem_vendor: 0, subsystem: 0 };
    let layout = Arc::new(crate::ConfigSpaceBuilder::type0(identity).build().unwrap());
    let config = ConfigSpace::create(layout, Words::heap(ConfigSpace::WORDS)).unwrap();
    assert_eq!(MsixTable::create(config, Words::heap(64)).unwrap_err(), StorageError::NoMsix);
}

#[test]
fn accesses_of_8_bytes() {
    let table = enabled();
    let Message { address, data } = message(2);
    table.write(32, &address.to_le_bytes()).unwrap();
    assert_eq!(table.deliver(2), Delivery::Pending);
    let released = table.write(40, &u64::from(data).to_le_bytes()).unwrap();
    assert_eq!(released, Some(Released { vector: 2, message: message(2) }));
    assert_eq!((read(&table, 32, 8), read(&table, 40, 8)), (address, u64::from(data)));
}

#[test]
fn reserved_bits_stay_zero() {
    let table = enabled();
    for offset in (0..48).step_by(8) {
        table.write(offset, &[0xff; 8]).unwrap();
    }
    assert_eq!((read(&table, 16, 8), read(&table, 24, 8)), (u64::MAX - 3, 0x1_ffff_ffff));
}

#[test]
fn c07_other_widths_read_zero_and_write_nothing() {
    let table = enabled();
    program(&table, 0, false);
    let before: Vec<_> = (0..48).step_by(8).map(|offset| read(&table, offset, 8)).collect();
    for width in [0, 1, 2, 3, 5, 6, 7, 9, 12, 16, 4096] {
        let mut data = vec![0xa5; width];
        assert_eq!(table.write(0, &data), Err(IgnoredAccess::Width(width)));
        assert_eq!(table.read(0, &mut data), Err(IgnoredAccess::Width(width)));
        assert!(data.iter().all(|byte| *byte == 0));
    }
    for (offset, width) in [(1, 4), (2, 4), (4, 8), (0x2004, 8), (u64::MAX, 4)] {
        let mut data = vec![0xa5; width];
        assert_eq!(table.write(offset, &data), Err(IgnoredAccess::Misaligned { offset, width }));
        assert_eq!(table.read(offset, &mut data), Err(IgnoredAccess::Misaligned { offset, width }));
        assert!(data.iter().all(|byte| *byte == 0));
    }
    for offset in [0x30, 0x1ff8, 0x2008, 0x3ff8, 0x4000, 1 << 40, u64::MAX - 7] {
        assert_eq!(table.write(offset, &[0xff; 8]), Err(IgnoredAccess::Unimplemented(offset)));
        assert_eq!(table.read(offset, &mut [0xff; 8]), Err(IgnoredAccess::Unimplemented(offset)));
    }
    assert_eq!(table.write(PBA, &[0xff; 8]), Err(IgnoredAccess::ReadOnly(PBA)));
    let after: Vec<_> = (0..48).step_by(8).map(|offset| read(&table, offset, 8)).collect();
    assert_eq!(after, before);
    assert_eq!(read(&table, PBA, 8), 0);
}

#[test]
fn c08_vectors_beyond_the_table() {
    let table = enabled();
    for vector in [VECTORS, 63, 64, 2048, u16::MAX] {
        assert_eq!(table.deliver(vector), Delivery::NoSuchVector);
        assert!(!table.is_pending(vector));
    }
    assert_eq!(read(&table, PBA, 8), 0);
}

#[test]
fn pending_bits_of_many_vectors() {
    let table = table_of(200);
    table.config.write(0x04, &[0x06]).unwrap();
    table.config.write(0x72, &[0, 0x80]).unwrap();
    for vector in [0, 31, 32, 63, 64, 199] {
        assert_eq!(table.deliver(vector), Delivery::Pending);
    }
    let pending: Vec<_> = (0..4).map(|qword| read(&table, PBA + qword * 8, 8)).collect();
    assert_eq!(pending, [1 | 1 << 31 | 1 << 32 | 1 << 63, 1, 0, 1 << 7]);
}

/// One interrupt, one message: a plain count of what was raised and what came out.
#[derive(Clone, Copy, Debug)]
enum Step {
    Deliver(u16),
    Mask(u16, bool),
    Control { enable: bool, mask_all: bool },
    Reset,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..VECTORS + 1).prop_map(Step::Deliver),
        6 => (0..VECTORS, any::<bool>()).prop_map(|(vector, masked)| Step::Mask(vector, masked)),
        3 => any::<(bool, bool)>().prop_map(|(enable, mask_all)| Step::Control { enable, mask_all }),
        1 => Just(Step::Reset),
    ]
}

proptest! {
    #[test]
    fn agrees_with_a_plain_model(steps in prop::collection::vec(step(), 1..80)) {
        let table = enabled();
        let (mut masks, mut pending) = ([true; 3], [false; 3]);
        let (mut enable, mut mask_all) = (true, false);
        for step in steps {
            let mut released = Vec::new();
            match step {
                Step::Deliver(vector) => {
                    let index = usize::from(vector);
                    let delivery = table.deliver(vector);
                    if index >= 3 {
                        prop_assert_eq!(delivery, Delivery::NoSuchVector);
                    } else if !enable {
                        prop_assert_eq!(delivery, Delivery::Disabled);
                    } else if mask_all || masks[index] {
                        pending[index] = true;
                        prop_assert_eq!(delivery, Delivery::Pending);
                    } else {
                        prop_assert_eq!(delivery, Delivery::Message(message(vector)));
                    }
                }
                Step::Mask(vector, masked) => {
                    // An open entry is masked before it is changed, as software must.
                    set_mask(&table, vector, true);
                    released.extend(program(&table, vector, masked));
                    masks[usize::from(vector)] = masked;
                }
                Step::Control { enable: on, mask_all: all } => {
                    let control = u8::from(on) << 7 | u8::from(all) << 6;
                    table.config.write(0x73, &[control]).unwrap();
                    released.extend(table.release());
                    (enable, mask_all) = (on, all);
                }
                Step::Reset => {
                    table.reset();
                    (masks, pending) = ([true; 3], [false; 3]);
                }
            }
            let mut expected = Vec::new();
            for vector in 0..VECTORS {
                let index = usize::from(vector);
                if enable && !mask_all && !masks[index] && pending[index] {
                    pending[index] = false;
                    expected.push(Released { vector, message: message(vector) });
                }
                prop_assert_eq!(table.is_pending(vector), pending[index]);
            }
            prop_assert_eq!(released, expected);
        }
    }
}

#[test]
fn an_entry_that_changes_while_it_is_read_counts_as_masked() {
    let (old, new) = ([0xfee0_0000, 0, 0x40, 0], [0xfee0_1000, 0, 0x41, 0]);
    let read = |script: [[u32; 4]; 2]| {
        let mut script = script.into_iter();
        whole_message(|| script.next().expect("an entry is read at most twice"))
    };
    assert_eq!(read([old, old]), Some(Message { address: 0xfee0_0000, data: 0x40 }));
    assert_eq!(read([old, new]), None);
    // Half old and half new: the second look sees the rest change.
    assert_eq!(read([[old[0], 0, new[2], 0], new]), None);
    assert_eq!(read([[new[0], 0, old[2], 0], new]), None);
    assert_eq!(read([old, [old[0], 0, old[2], 1]]), None);
    assert_eq!(read([[old[0], 0, old[2], 1], old]), None);
}

#[test]
fn a_vector_opened_after_the_worker_found_it_masked_is_sent_by_the_worker() {
    let table = enabled();
    program(&table, 0, true);
    // Between the worker's look at the mask and its pending bit, the bus thread opens the vector.
    assert_eq!(set_mask(&table, 0, false), None);
    assert_eq!(table.pend(0), Delivery::Message(message(0)));
    assert!(!table.is_pending(0));
    // The same with the function mask.
    table.config.write(0x73, &[0xc0]).unwrap();
    table.config.write(0x73, &[0x80]).unwrap();
    assert_eq!(table.release().count(), 0);
    assert_eq!(table.pend(0), Delivery::Message(message(0)));
}

#[test]
fn one_interrupt_that_meets_an_unmask_is_sent_once() {
    let table = enabled();
    program(&table, 0, true);
    let (begin, end) = (Barrier::new(2), Barrier::new(2));
    let from_worker = AtomicU32::new(0);
    let rounds = 2000;
    // What is wrong is kept for the end: a thread that panics leaves the other at its barrier.
    let mut wrong = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..rounds {
                begin.wait();
                if table.deliver(0) == Delivery::Message(message(0)) {
                    from_worker.fetch_add(1, Ordering::Relaxed);
                }
                end.wait();
            }
        });
        for round in 0..rounds {
            let sent_before = from_worker.load(Ordering::Relaxed);
            // Let the two meet at other places each time.
            let delay = round % 64;
            begin.wait();
            (0..delay).for_each(|_| std::hint::spin_loop());
            let by_bus = set_mask(&table, 0, false);
            end.wait();
            let by_worker = from_worker.load(Ordering::Relaxed) - sent_before;
            let sent = by_worker + u32::from(by_bus.is_some());
            if sent != 1 || table.is_pending(0) {
                wrong.push((round, sent));
            }
            set_mask(&table, 0, true);
        }
    });
    assert_eq!(wrong, [], "rounds that did not send one message");
}
