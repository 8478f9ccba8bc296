use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;

use super::{copy, copy_sum};
use crate::fixture::{Stop, domain_with, fold, slow_sum};
use crate::{Access, DmaError, GuestSlice, MemoryView};

fn slice(view: &MemoryView, addr: usize, len: usize) -> GuestSlice<'_> {
    view.slice(addr as u64, len, Access::ReadWrite).unwrap()
}

fn bytes(view: &MemoryView, addr: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    view.read_bytes(addr as u64, &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn copy_sum_agrees_with_the_definition(
        data in proptest::collection::vec(any::<u8>(), 0..600),
        from in 0usize..24,
        to in 0x1000usize..0x1018,
    ) {
        let domain = domain_with("copy-sum", 0, 2);
        let view = domain.view();
        view.write_bytes(from as u64, &data).unwrap();
        view.write_bytes(to as u64 - 1, &vec![0xee; data.len() + 2]).unwrap();
        let sum = copy_sum(slice(&view, from, data.len()), slice(&view, to, data.len())).unwrap();
        prop_assert_eq!(sum, slow_sum(&data));
        let copied = bytes(&view, to - 1, data.len() + 2);
        prop_assert_eq!(&copied[1..=data.len()], &data[..]);
        prop_assert_eq!((copied[0], copied[data.len() + 1]), (0xee, 0xee));
    }

    #[test]
    fn sums_of_pieces_join_as_documented(
        data in proptest::collection::vec(any::<u8>(), 0..400),
        cuts in proptest::collection::vec(0usize..400, 0..6),
    ) {
        let domain = domain_with("copy-pieces", 0, 2);
        let view = domain.view();
        view.write_bytes(0, &data).unwrap();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(data.len())).collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        let mut total = 0;
        for piece in cuts.windows(2) {
            let len = piece[1] - piece[0];
            let sum = copy_sum(slice(&view, piece[0], len), slice(&view, 0x1000, len)).unwrap();
            let odd = piece[0] % 2 == 1;
            total += if odd { u32::from(u16::try_from(sum).unwrap().swap_bytes()) } else { sum };
        }
        prop_assert_eq!(fold(total), slow_sum(&data));
    }

    #[test]
    fn copies_may_overlap(from in 0usize..64, to in 0usize..64, len in 0usize..190) {
        let domain = domain_with("copy-overlap", 0, 1);
        let view = domain.view();
        let mut model: Vec<u8> = (0..=255).collect();
        view.write_bytes(0, &model).unwrap();
        copy(slice(&view, from, len), slice(&view, to, len)).unwrap();
        model.copy_within(from..from + len, to);
        prop_assert_eq!(bytes(&view, 0, 256), model);
    }

    #[test]
    fn an_overlapping_sum_is_that_of_some_bytes_and_stays_inside(
        from in 0usize..64, to in 0usize..64, len in 0usize..190,
    ) {
        let domain = domain_with("sum-overlap", 0, 1);
        let view = domain.view();
        let before: Vec<u8> = (0..=255).collect();
        view.write_bytes(0, &before).unwrap();
        let sum = copy_sum(slice(&view, from, len), slice(&view, to, len)).unwrap();
        prop_assert!(sum <= 0xffff);
        let after = bytes(&view, 0, 256);
        prop_assert_eq!(&after[..to], &before[..to]);
        prop_assert_eq!(&after[to + len..], &before[to + len..]);
    }
}

#[test]
fn the_documented_example_is_true() {
    let domain = domain_with("copy-example", 0, 1);
    let view = domain.view();
    view.write_bytes(0, &[0xab, 0xcd, 0xef]).unwrap();
    assert_eq!(copy_sum(slice(&view, 0, 3), slice(&view, 64, 3)), Ok(0xabcd + 0xef00 - 0x1_0000 + 1));
}

#[test]
fn unlike_lengths_and_wrong_accesses_are_refused() {
    let domain = domain_with("copy-refused", 0, 1);
    let view = domain.view();
    let full = view.slice(0, 8, Access::ReadWrite).unwrap();
    let reads = view.slice(8, 8, Access::Read).unwrap();
    let writes = view.slice(8, 8, Access::Write).unwrap();
    let short = full.sub(0, 7).unwrap();
    let mismatch = DmaError::LengthMismatch { source_len: 8, destination_len: 7 };
    for (source, destination, expected) in [
        (full, short, mismatch),
        (full, reads, DmaError::WrongAccess { access: Access::Write }),
        (writes, full, DmaError::WrongAccess { access: Access::Read }),
    ] {
        assert_eq!(copy(source, destination), Err(expected));
        assert_eq!(copy_sum(source, destination), Err(expected));
    }
    assert_eq!(copy(reads, full), Ok(()));
    assert_eq!(copy_sum(full, writes), Ok(0));
}

#[test]
fn r15_the_bytes_summed_are_the_bytes_stored_though_the_source_changes() {
    let domain = domain_with("copy-race", 0, 2);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let view = domain.view();
            let source = slice(&view, 3, 1500);
            let mut fill = 0u8;
            while !stop.load(Ordering::Relaxed) {
                fill = fill.wrapping_add(0x35);
                source.write(0, &[fill; 1500]).unwrap();
            }
        });
        let _stop = Stop(&stop);
        let view = domain.view();
        // Copies that hold bytes of two fills show that the two threads really race; one processor alone shows few.
        let mut torn = 0;
        for round in 0..100_000 {
            let to = 0x1000 + round % 8;
            let sum = copy_sum(slice(&view, 3, 1500), slice(&view, to, 1500)).unwrap();
            let stored = bytes(&view, to, 1500);
            assert_eq!(sum, slow_sum(&stored));
            torn += u32::from(stored.iter().any(|byte| *byte != stored[0]));
            if torn == 2000 {
                break;
            }
        }
    });
}
