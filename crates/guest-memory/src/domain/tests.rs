use std::os::fd::AsFd;
use std::sync::atomic::AtomicBool;
use std::thread;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::Errno;

use super::*;
use crate::fixture::{
    Stop, descriptors, domain, domain_with, is_mapped, map, memfd, request, sized, unsealable,
};
use crate::{DmaError, MAX_MAPPINGS};

const PAGE: u64 = PAGE_SIZE;

#[test]
fn u04_impossible_requests_are_refused_and_leave_nothing_behind() {
    let fd = memfd("u04-refused", 4);
    let good = request(&fd, 16, 4);
    let cases = [
        (MapRequest { size: 0, ..good }, MapError::Empty { iova: 16 * PAGE }),
        (
            MapRequest { iova: u64::MAX - PAGE + 1, size: 2 * PAGE, ..good },
            MapError::Wraps { start: u64::MAX - PAGE + 1, size: 2 * PAGE },
        ),
        (MapRequest { size: u64::MAX, ..good }, MapError::Wraps { start: 16 * PAGE, size: u64::MAX }),
        (MapRequest { iova: 0x1234, ..good }, MapError::Misaligned { value: 0x1234 }),
        (MapRequest { size: 0x1001, ..good }, MapError::Misaligned { value: 0x1001 }),
        (MapRequest { offset: 0x800, ..good }, MapError::Misaligned { value: 0x800 }),
        (MapRequest { readable: false, writable: false, ..good }, MapError::NoAccess),
        (
            MapRequest { offset: u64::MAX - PAGE + 1, ..good },
            MapError::Wraps { start: u64::MAX - PAGE + 1, size: 4 * PAGE },
        ),
        (MapRequest { offset: PAGE, ..good }, MapError::TooShort { length: 4 * PAGE, needed: 5 * PAGE }),
        (
            MapRequest { offset: 1 << 40, ..good },
            MapError::TooShort { length: 4 * PAGE, needed: (1 << 40) + 4 * PAGE },
        ),
        (MapRequest { size: 5 * PAGE, ..good }, MapError::TooShort { length: 4 * PAGE, needed: 5 * PAGE }),
    ];
    let domain = domain();
    for (request, expected) in cases {
        assert_eq!(domain.map(request), Err(expected), "{request:?}");
    }
    assert_eq!((domain.regions(), domain.mapped_bytes()), (vec![], 0));
    assert!(!is_mapped("u04-refused"));
    assert_eq!(rustix::fs::fcntl_get_seals(&fd), Ok(SealFlags::empty()));
}

#[test]
fn u04_overlaps_are_refused_and_neighbours_are_not() {
    let domain = domain_with("u04-overlap", 10, 4);
    let fd = memfd("u04-other", 16);
    let overlap = Err(MapError::Overlaps { iova: 10 * PAGE, size: 4 * PAGE });
    for (page, pages) in [(10, 4), (8, 3), (13, 1), (13, 8), (11, 2), (2, 16), (10, 1)] {
        assert_eq!(map(&domain, &fd, page, pages), overlap, "{pages} pages at page {page}");
    }
    assert!(!is_mapped("u04-other"));
    assert_eq!(map(&domain, &fd, 9, 1), Ok(()));
    assert_eq!(map(&domain, &fd, 14, 1), Ok(()));
}

#[test]
fn u04_the_last_page_of_the_address_space_is_a_page_like_others() {
    let (domain, fd) = (domain(), memfd("u04-top", 1));
    let top = u64::MAX - PAGE + 1;
    domain.map(MapRequest { iova: top, ..request(&fd, 0, 1) }).unwrap();
    let view = domain.view();
    view.write_bytes(u64::MAX, &[7]).unwrap();
    assert_eq!(view.read_bytes(u64::MAX, &mut [0; 2]), Err(DmaError::Unmapped { addr: u64::MAX }));
    assert_eq!(map(&domain, &fd, top / PAGE, 1), Err(MapError::Overlaps { iova: top, size: PAGE }));
    drop(domain.unmap(top, PAGE).unwrap());
    assert_eq!(domain.regions(), []);
}

#[test]
fn u04_limits_hold() {
    let fd = memfd("u04-limits", 8);
    let domain = DmaDomain::new(Limits { max_regions: 2, max_bytes: 6 * PAGE });
    map(&domain, &fd, 0, 4).unwrap();
    assert_eq!(map(&domain, &fd, 10, 3), Err(MapError::TooManyBytes { size: 3 * PAGE, max: 6 * PAGE }));
    map(&domain, &fd, 10, 2).unwrap();
    assert_eq!(map(&domain, &fd, 20, 1), Err(MapError::TooManyRegions { max: 2 }));
    assert_eq!(domain.mapped_bytes(), 6 * PAGE);
    drop(domain.unmap(0, 4 * PAGE).unwrap());
    map(&domain, &fd, 20, 1).unwrap();
}

#[test]
fn m09_a_sparse_terabyte_can_be_mapped() {
    let fd = sized("m09-sparse", 1 << 40, MemfdFlags::ALLOW_SEALING);
    let domain = domain();
    map(&domain, &fd, 1 << 20, (1 << 40) / PAGE).unwrap();
    let view = domain.view();
    let last = (1 << 32) + (1 << 40) - 8;
    view.write_bytes(last, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    assert_eq!(view.slice(last, 8, Access::Read).unwrap().load_u64(0), Ok(0x0807_0605_0403_0201));
}

#[test]
fn m09_region_number_4097_is_refused() {
    let (domain, fd) = (domain(), memfd("m09-many", 1));
    for page in 0..4096 {
        map(&domain, &fd, 2 * page, 1).unwrap();
    }
    assert_eq!(map(&domain, &fd, 9000, 1), Err(MapError::TooManyRegions { max: 4096 }));
    assert_eq!(domain.view().write_bytes(2 * 4095 * PAGE, &[1]), Ok(()));
    drop(domain.unmap(0, 8192 * PAGE).unwrap());
    assert!(!is_mapped("m09-many"));
}

#[test]
fn u19_the_defaults_stay_below_what_linux_lets_a_process_map() {
    const MAX_MAP_COUNT: usize = 65_530;
    const { assert!(MAX_MAPPINGS <= MAX_MAP_COUNT / 2 + 3) };
    assert!(Limits::default().max_regions * 4 <= MAX_MAPPINGS);
}

#[test]
fn m10_write_sealed_files_can_be_mapped_read_only() {
    for (name, seal) in [("m10-write", SealFlags::WRITE), ("m10-future", SealFlags::FUTURE_WRITE)] {
        let fd = memfd(name, 1);
        rustix::fs::fcntl_add_seals(&fd, seal).unwrap();
        let domain = domain();
        assert_eq!(map(&domain, &fd, 0, 1), Err(MapError::WriteSealed));
        assert!(!is_mapped(name));
        domain.map(MapRequest { writable: false, ..request(&fd, 0, 1) }).unwrap();
        assert_eq!(
            domain.view().write_bytes(0, &[1]),
            Err(DmaError::Denied { addr: 0, access: Access::Write })
        );
    }
}

#[test]
fn m02_files_that_allow_it_are_sealed_against_shrinking() {
    let fd = memfd("m02-seal", 4);
    let domain = domain();
    map(&domain, &fd, 0, 4).unwrap();
    assert_eq!(rustix::fs::ftruncate(&fd, PAGE), Err(Errno::PERM));
    // A file that cannot be sealed is as good.
    map(&domain, &unsealable("m02-unsealable", 1), 8, 1).unwrap();
    assert_eq!(domain.view().write_bytes(8 * PAGE, &[1]), Ok(()));
}

#[test]
fn m07_a_domain_reaches_only_its_own_memory() {
    let fd = memfd("m07-shared", 2);
    let (mine, other) = (domain(), domain());
    map(&mine, &fd, 16, 1).unwrap();
    map(&other, &fd, 32, 2).unwrap();
    let view = mine.view();
    for addr in [32 * PAGE, 33 * PAGE, 17 * PAGE, 0, u64::MAX] {
        assert_eq!(view.read_bytes(addr, &mut [0]), Err(DmaError::Unmapped { addr }));
    }
    // Even where both map the same file, an unmapping in one is none in the other.
    drop(other.unmap_all());
    assert_eq!(view.write_bytes(16 * PAGE, &[1]), Ok(()));
}

#[test]
fn regions_are_told_in_order() {
    let fd = memfd("regions", 8);
    let domain = domain();
    domain.map(MapRequest { offset: 3 * PAGE, writable: false, ..request(&fd, 20, 2) }).unwrap();
    domain.map(MapRequest { readable: false, ..request(&fd, 4, 1) }).unwrap();
    assert_eq!(
        domain.regions(),
        [
            RegionInfo { iova: 4 * PAGE, size: PAGE, offset: 0, access: Access::Write },
            RegionInfo { iova: 20 * PAGE, size: 2 * PAGE, offset: 3 * PAGE, access: Access::Read },
        ]
    );
    assert_eq!(domain.mapped_bytes(), 3 * PAGE);
}

#[test]
fn unmapping_is_whole_regions_or_nothing() {
    let fd = memfd("unmap", 4);
    let domain = domain();
    for page in [0, 4, 12] {
        map(&domain, &fd, page, 4).unwrap();
    }
    let before = domain.regions();
    let bisects = |page: u64| MapError::Bisects { iova: page * PAGE, size: 4 * PAGE };
    let cases = [
        ((0, 2), bisects(0)),
        ((2, 2), bisects(0)),
        ((1, 1), bisects(0)),
        ((0, 6), bisects(4)),
        ((2, 6), bisects(0)),
        ((4, 9), bisects(12)),
        ((8, 4), MapError::NotMapped { iova: 8 * PAGE, size: 4 * PAGE }),
        ((16, 100), MapError::NotMapped { iova: 16 * PAGE, size: 100 * PAGE }),
    ];
    for ((page, pages), expected) in cases {
        assert_eq!(
            domain.unmap(page * PAGE, pages * PAGE).unwrap_err(),
            expected,
            "{pages} pages at page {page}"
        );
    }
    assert_eq!(domain.unmap(0, 0).unwrap_err(), MapError::Empty { iova: 0 });
    assert_eq!(domain.unmap(PAGE, u64::MAX).unwrap_err(), MapError::Wraps { start: PAGE, size: u64::MAX });
    assert_eq!(domain.regions(), before);

    // Two neighbours at once; then one with nothing round it.
    drop(domain.unmap(0, 8 * PAGE).unwrap());
    assert_eq!(domain.regions().len(), 1);
    drop(domain.unmap(8 * PAGE, 100 * PAGE).unwrap());
    assert_eq!(domain.regions(), []);
    assert!(!is_mapped("unmap"));
}

#[test]
fn u06_memory_stays_mapped_until_retired_and_views_are_dropped() {
    let domain = domain_with("u06-a", 0, 1);
    map(&domain, &memfd("u06-b", 1), 8, 1).unwrap();
    let view = domain.view();
    view.write_bytes(0, b"kept").unwrap();
    // A table that came after the view and went before the unmapping.
    map(&domain, &memfd("u06-c", 1), 16, 1).unwrap();

    let retired = domain.unmap(0, PAGE).unwrap();
    assert_eq!(domain.view().read_bytes(0, &mut [0]), Err(DmaError::Unmapped { addr: 0 }));
    let mut bytes = [0; 4];
    view.read_bytes(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept");
    assert!(retired.in_use());
    assert!(is_mapped("u06-a"));

    drop(view);
    assert!(!retired.in_use());
    assert!(is_mapped("u06-a"));
    drop(retired);
    assert!(!is_mapped("u06-a"));
    assert!(is_mapped("u06-b"));

    let view = domain.view();
    drop(domain.unmap_all());
    assert_eq!(view.write_bytes(8 * PAGE, &[1]), Ok(()));
    drop(view);
    assert!(!is_mapped("u06-b"));
    assert!(!is_mapped("u06-c"));
}

#[test]
fn no_descriptor_and_no_mapping_outlives_a_domain() {
    let domain = domain();
    for page in 0..8 {
        map(&domain, &memfd("outlives", 1), page, 1).unwrap();
    }
    assert_eq!(descriptors("outlives"), 0);
    assert!(is_mapped("outlives"));
    drop(domain);
    assert!(!is_mapped("outlives"));
}

#[test]
fn nothing_tells_host_addresses() {
    let domain = domain_with("debug", 1, 1);
    let host = std::fs::read_to_string("/proc/self/maps").unwrap();
    let host = host
        .lines()
        .find(|line| line.contains("/memfd:debug "))
        .unwrap()
        .split('-')
        .next()
        .unwrap()
        .to_owned();
    let view = domain.view();
    let slice = view.slice(PAGE, 8, Access::Read).unwrap();
    let mut gather = crate::Gather::new(1);
    gather.begin(domain.view());
    gather.push(PAGE, 8, Access::Read).unwrap();
    let text = format!("{domain:?} {view:?} {slice:?} {gather:?} {:?}", domain.unmap(PAGE, PAGE).unwrap());
    assert!(text.contains("iova: 4096") && !text.contains(&host), "{text}");
}

/// The memory of each round holds the number of the round, so that a reader can tell that it sees one round's.
#[test]
fn m01_a_reader_survives_churn() {
    const ROUNDS: u64 = 2000;
    let domain = domain();
    let (stop, seen) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _stop = Stop(&stop);
            while !stop.load(Ordering::Relaxed) {
                let view = domain.view();
                let Ok(slice) = view.slice(PAGE, 8192, Access::Read) else { continue };
                let first = slice.load_u64(0).unwrap();
                let last = slice.load_u64(slice.len() - 8).unwrap();
                assert!(first == last && first < ROUNDS, "{first} {last}");
                seen.store(true, Ordering::Relaxed);
            }
        });
        let _stop = Stop(&stop);
        for round in 0..ROUNDS {
            let fd = memfd("m01-churn", 2);
            rustix::io::pwrite(&fd, &round.to_le_bytes(), 0).unwrap();
            rustix::io::pwrite(&fd, &round.to_le_bytes(), 2 * PAGE - 8).unwrap();
            map(&domain, &fd, 1, 2).unwrap();
            while !seen.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            let retired = domain.unmap(PAGE, 2 * PAGE).unwrap();
            while retired.in_use() {
                thread::yield_now();
            }
        }
    });
    assert!(!domain.faulted());
    assert!(!is_mapped("m01-churn"));
    assert_eq!(descriptors("m01-churn"), 0);
}

#[test]
fn a_request_needs_its_descriptor_for_the_call_only() {
    let domain = domain();
    {
        let fd = memfd("call-only", 1);
        domain.map(MapRequest { fd: fd.as_fd(), ..request(&fd, 0, 1) }).unwrap();
    }
    assert_eq!(domain.view().write_bytes(0, b"still there"), Ok(()));
}
