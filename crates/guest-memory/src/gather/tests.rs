use proptest::prelude::*;

use super::*;
use crate::PAGE_SIZE;
use crate::fixture::{PAGE, domain, domain_with, is_mapped, map, memfd, slow_sum};

#[test]
fn a_buffer_that_straddles_regions_is_several_slices() {
    let domain = domain();
    for page in [1, 2, 4] {
        map(&domain, &memfd("gather-straddle", 1), page, 1).unwrap();
    }
    let mut gather = Gather::new(4);
    gather.begin(domain.view());
    let addr = 2 * PAGE as u64 - 10;
    let range = gather.push(addr, 30, Access::ReadWrite).unwrap();
    let lengths =
        |gather: &Gather, range| gather.slices(range).iter().map(GuestSlice::len).collect::<Vec<_>>();
    assert_eq!(lengths(&gather, range.clone()), [10, 20]);
    // The two are adjacent for the device only, not in this process.
    domain.view().write_bytes(addr, &(0..30).collect::<Vec<u8>>()).unwrap();
    let mut bytes = [0; 12];
    gather.read_range(range, 4, &mut bytes).unwrap();
    assert_eq!(bytes, [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn r09_a_buffer_that_runs_into_a_hole_is_refused_whole() {
    let domain = domain_with("gather-hole", 1, 2);
    map(&domain, &memfd("gather-hole", 1), 3, 1).unwrap();
    let mut gather = Gather::new(8);
    gather.begin(domain.view());
    let first = gather.push(PAGE as u64, 8, Access::Read).unwrap();
    assert_eq!(
        gather.push(2 * PAGE as u64, 3 * PAGE, Access::Read),
        Err(DmaError::Unmapped { addr: 4 * PAGE_SIZE })
    );
    assert_eq!(gather.push(0, 1, Access::Read), Err(DmaError::Unmapped { addr: 0 }));
    let all = gather.push(u64::MAX, 2, Access::Read);
    assert_eq!(all, Err(DmaError::Unmapped { addr: u64::MAX }));
    assert_eq!(gather.push(PAGE as u64, 8, Access::Read).unwrap().start, first.end);
}

#[test]
fn r06_the_list_is_bounded_and_never_grows() {
    let domain = domain();
    for page in 0..4 {
        map(&domain, &memfd("gather-bound", 1), page, 1).unwrap();
    }
    let mut gather = Gather::new(3);
    let capacity = gather.slices.capacity();
    for _ in 0..3 {
        gather.begin(domain.view());
        gather.push(0, 8, Access::Read).unwrap();
        assert_eq!(gather.push(8, 3 * PAGE, Access::Read), Err(DmaError::TooManySegments));
        assert_eq!(gather.push(8, PAGE, Access::Read), Ok(1..3));
        assert_eq!(gather.push(0, 1, Access::Read), Err(DmaError::TooManySegments));
        // No bytes need no slice.
        assert_eq!(gather.push(0, 0, Access::Read), Ok(3..3));
    }
    assert_eq!(gather.slices.capacity(), capacity);
}

#[test]
fn the_memory_is_held_until_begin_or_clear() {
    let domain = domain_with("gather-held", 0, 1);
    let mut gather = Gather::new(1);
    assert_eq!(gather.push(0, 1, Access::Read), Err(DmaError::NoView));
    gather.begin(domain.view());
    let range = gather.push(0, 4, Access::ReadWrite).unwrap();
    let retired = domain.unmap(0, PAGE_SIZE).unwrap();
    assert!(retired.in_use());
    drop(retired);
    gather.slices(range.clone())[0].write(0, b"held").unwrap();
    assert_eq!(gather.slices(range.clone())[0].read_obj::<[u8; 4]>(0), Ok(*b"held"));

    gather.begin(domain.view());
    assert!(!is_mapped("gather-held"));
    assert!(gather.slices(range.clone()).is_empty());
    assert_eq!(
        gather.read_range(range, 0, &mut [0]),
        Err(DmaError::OutOfBounds { offset: 0, len: 1, size: 0 })
    );
    gather.clear();
    assert_eq!(gather.push(0, 1, Access::Read), Err(DmaError::NoView));
}

#[test]
fn ranges_that_are_none_have_no_slices() {
    let domain = domain_with("gather-range", 0, 1);
    let mut gather = Gather::new(4);
    gather.begin(domain.view());
    gather.push(0, 4, Access::Read).unwrap();
    #[expect(clippy::reversed_empty_ranges, reason = "that is the case")]
    for range in [0..2, 1..0, 5..9, 0..usize::MAX] {
        assert!(gather.slices(range).is_empty());
    }
}

#[test]
fn lists_for_writing_cannot_be_copied_from() {
    let domain = domain_with("gather-access", 0, 1);
    let mut gather = Gather::new(4);
    gather.begin(domain.view());
    let range = gather.push(0, 4, Access::Write).unwrap();
    let wrong = DmaError::WrongAccess { access: Access::Read };
    assert_eq!(gather.read_range(range.clone(), 0, &mut [0]), Err(wrong));
    let view = domain.view();
    let destination = view.slice(64, 4, Access::Write).unwrap();
    assert_eq!(gather.copy_range(range.clone(), 0, destination), Err(wrong));
    assert_eq!(gather.copy_range_sum(range, 0, destination), Err(wrong));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Scatter lists over three adjacent regions against the same bytes in a row.
    #[test]
    fn ranges_of_scatter_lists_are_those_of_a_vec(
        buffers in proptest::collection::vec((0usize..3 * PAGE, 0usize..200), 1..20),
        skip in 0usize..2000,
        len in 0usize..1500,
        to in 0usize..9,
    ) {
        let domain = domain();
        let contents: Vec<u8> = (0..3 * PAGE).map(|i| (i * 7 + i / 251usize).to_le_bytes()[0]).collect();
        for page in 0..3 {
            map(&domain, &memfd("gather-model", 1), page, 1).unwrap();
        }
        domain.view().write_bytes(0, &contents).unwrap();
        map(&domain, &memfd("gather-target", 1), 9, 1).unwrap();

        let mut gather = Gather::new(64);
        gather.begin(domain.view());
        let mut model = Vec::new();
        let mut range = 0..0;
        for (start, length) in buffers {
            let length = length.min(3 * PAGE - start);
            range.end = gather.push(start as u64, length, Access::Read).unwrap().end;
            model.extend_from_slice(&contents[start..start + length]);
        }

        let view = domain.view();
        let target = view.slice(9 * PAGE_SIZE + to as u64, len, Access::ReadWrite).unwrap();
        let mut private = vec![0; len];
        let read = gather.read_range(range.clone(), skip, &mut private);
        let copied = gather.copy_range(range.clone(), skip, target);
        let Some(expected) = model.get(skip..skip + len).filter(|_| len > 0 || skip <= model.len()) else {
            if len > 0 {
                let error = DmaError::OutOfBounds { offset: skip, len, size: model.len() };
                prop_assert_eq!((read, copied), (Err(error), Err(error)));
                prop_assert_eq!(gather.copy_range_sum(range, skip, target), Err(error));
            }
            return Ok(());
        };
        prop_assert_eq!((read, copied), (Ok(()), Ok(())));
        prop_assert_eq!(&private[..], expected);
        let mut found = vec![0; len];
        target.read(0, &mut found).unwrap();
        prop_assert_eq!(&found[..], expected);

        target.write(0, &vec![0; len]).unwrap();
        let sum = gather.copy_range_sum(range, skip, target).unwrap();
        target.read(0, &mut found).unwrap();
        prop_assert_eq!(&found[..], expected);
        prop_assert_eq!(sum, slow_sum(expected));
    }
}
