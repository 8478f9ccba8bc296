use zerocopy::little_endian::{U16, U32};

use super::*;
use crate::fixture::{domain, domain_with, map, memfd, request};
use crate::{DmaDomain, MapRequest, PAGE_SIZE};

const WRONG: fn(Access) -> DmaError = |access| DmaError::WrongAccess { access };

fn memory() -> DmaDomain {
    domain_with("slice", 0, 2)
}

#[test]
fn bytes_come_back_as_they_were_written() {
    let domain = memory();
    let view = domain.view();
    let slice = view.slice(0x101, 100, Access::ReadWrite).unwrap();
    slice.write(3, b"abcdef").unwrap();
    let mut bytes = [0xff; 8];
    slice.read(2, &mut bytes).unwrap();
    assert_eq!(&bytes, b"\0abcdef\0");
    assert_eq!(slice.write(100, b""), Ok(()));
}

#[test]
fn every_access_is_bounded() {
    let domain = memory();
    let view = domain.view();
    let slice = view.slice(0x100, 16, Access::ReadWrite).unwrap();
    let out = |offset, len| Err(DmaError::OutOfBounds { offset, len, size: 16 });
    for offset in [9, 15, 16, 17, usize::MAX - 7, usize::MAX] {
        assert_eq!(slice.read(offset, &mut [0; 8]), out(offset, 8));
        assert_eq!(slice.write(offset, &[0; 8]), out(offset, 8));
        assert_eq!(slice.read_obj::<[u8; 8]>(offset).map(|_| ()), out(offset, 8));
        assert_eq!(slice.load_u64(offset).map(|_| ()), out(offset, 8));
        assert_eq!(slice.load_u64_acquire(offset).map(|_| ()), out(offset, 8));
        assert_eq!(slice.store_u64_release(offset, 1), out(offset, 8));
        assert!(slice.sub(offset, 8).is_none());
        // Hints for what is outside are no errors.
        slice.prefetch_read(offset);
        slice.prefetch_write(offset);
    }
    assert_eq!(slice.store_u32_release(13, 1), out(13, 4));
    let mut bytes = [0; 32];
    view.read_bytes(0x100, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 32]);
}

#[test]
fn parts_know_their_bounds() {
    let domain = memory();
    let view = domain.view();
    let slice = view.slice(0x100, 16, Access::ReadWrite).unwrap();
    slice.write(0, b"0123456789abcdef").unwrap();
    let part = slice.sub(4, 8).unwrap().sub(2, 6).unwrap();
    assert_eq!((part.len(), part.is_empty()), (6, false));
    assert_eq!(part.read_obj::<[u8; 6]>(0), Ok(*b"6789ab"));
    assert!(part.read(1, &mut [0; 6]).is_err());
    assert!(slice.sub(16, 0).is_some_and(|empty| empty.is_empty()));
}

#[test]
fn a_slice_gives_only_the_access_it_was_taken_for() {
    let domain = memory();
    let view = domain.view();
    let reads = view.slice(0, 16, Access::Read).unwrap();
    assert_eq!(reads.write(0, &[1]), Err(WRONG(Access::Write)));
    assert_eq!(reads.store_u64_release(0, 1), Err(WRONG(Access::Write)));
    assert_eq!(reads.store_u32_release(0, 1), Err(WRONG(Access::Write)));
    assert_eq!(reads.sub(0, 8).unwrap().write(0, &[1]), Err(WRONG(Access::Write)));
    let writes = view.slice(0, 16, Access::Write).unwrap();
    assert_eq!(writes.read(0, &mut [0]), Err(WRONG(Access::Read)));
    assert_eq!(writes.read_obj::<u8>(0), Err(WRONG(Access::Read)));
    assert_eq!(writes.load_u64(0), Err(WRONG(Access::Read)));
    assert_eq!(writes.load_u64_acquire(0), Err(WRONG(Access::Read)));
}

#[test]
fn a_region_gives_only_the_access_it_was_mapped_for() {
    let (domain, fd) = (domain(), memfd("slice-access", 2));
    domain.map(MapRequest { writable: false, ..request(&fd, 0, 1) }).unwrap();
    domain.map(MapRequest { readable: false, ..request(&fd, 1, 1) }).unwrap();
    map(&domain, &fd, 2, 1).unwrap();
    let view = domain.view();
    let granted = |page: u64, access| view.slice(page * PAGE_SIZE, 1, access).map(|_| ());
    for (page, access, expected) in [
        (0, Access::Read, true),
        (0, Access::Write, false),
        (0, Access::ReadWrite, false),
        (1, Access::Read, false),
        (1, Access::Write, true),
        (1, Access::ReadWrite, false),
        (2, Access::Read, true),
        (2, Access::Write, true),
        (2, Access::ReadWrite, true),
    ] {
        let denied = DmaError::Denied { addr: page * PAGE_SIZE, access };
        assert_eq!(granted(page, access), if expected { Ok(()) } else { Err(denied) });
    }
}

#[test]
fn words_are_little_endian_and_aligned() {
    let domain = memory();
    let view = domain.view();
    let slice = view.slice(0x100, 32, Access::ReadWrite).unwrap();
    slice.store_u64_release(8, 0x0102_0304_0506_0708).unwrap();
    slice.store_u32_release(20, 0x0a0b_0c0d).unwrap();
    assert_eq!(slice.read_obj::<[u8; 8]>(8), Ok([8, 7, 6, 5, 4, 3, 2, 1]));
    assert_eq!(slice.read_obj::<[u8; 4]>(20), Ok([0xd, 0xc, 0xb, 0xa]));
    assert_eq!(slice.load_u64(8), Ok(0x0102_0304_0506_0708));
    assert_eq!(slice.load_u64_acquire(8), Ok(0x0102_0304_0506_0708));
    for offset in 9..16 {
        let misaligned = DmaError::Misaligned { offset, align: 8 };
        assert_eq!(slice.load_u64(offset), Err(misaligned));
        assert_eq!(slice.store_u64_release(offset, 1), Err(misaligned));
    }
    assert_eq!(slice.store_u32_release(22, 1), Err(DmaError::Misaligned { offset: 22, align: 4 }));
    // Alignment is that of the memory, not of the offset.
    assert_eq!(slice.sub(4, 16).unwrap().load_u64(4), Ok(0x0102_0304_0506_0708));
}

#[test]
fn objects_are_read_at_any_alignment() {
    #[derive(Debug, PartialEq, zerocopy::FromBytes)]
    #[repr(C)]
    struct Descriptor {
        address: [U32; 2],
        length: U16,
    }
    let domain = memory();
    let view = domain.view();
    let slice = view.slice(0x101, 16, Access::ReadWrite).unwrap();
    slice.write(0, &[1, 0, 0, 0, 2, 0, 0, 0, 3, 4]).unwrap();
    let expected = Descriptor { address: [U32::new(1), U32::new(2)], length: U16::new(0x403) };
    assert_eq!(slice.read_obj::<Descriptor>(0), Ok(expected));
}
