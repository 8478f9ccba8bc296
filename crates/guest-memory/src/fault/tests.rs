// UNSAFETY: the tests install signal handlers and touch mappings that are not guest memory.
#![expect(unsafe_code, reason = "faults outside of guest memory")]

use std::env;
use std::ffi::c_int;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};

use super::table::may_take;
use super::*;
use crate::fixture::{PAGE, Stop, domain, domain_with, is_mapped, map, memfd, request, sized, unsealable};
use crate::{Access, Gather, MapRequest, PAGE_SIZE};

#[test]
fn m02_a_file_truncated_under_load_costs_its_own_domain_only() {
    const PAGES: usize = 64;
    let victim = domain_with("m02-victim", 0, 1);
    let domain = domain();
    let fd = unsealable("m02-shrinks", PAGES as u64);
    map(&domain, &fd, 0, PAGES as u64).unwrap();
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for access in [Access::Read, Access::Write] {
            let (domain, stop, rounds) = (&domain, &stop, &rounds);
            scope.spawn(move || {
                // A thread that fails ends the test too.
                let _stop = Stop(stop);
                let mut gather = Gather::new(1);
                let mut private = vec![1; PAGE];
                while !stop.load(Ordering::Relaxed) {
                    gather.begin(domain.view());
                    let range = gather.push(0, PAGES * PAGE, access).unwrap();
                    let slice = gather.slices(range)[0];
                    for page in 0..PAGES {
                        match access {
                            Access::Read => slice.read(page * PAGE, &mut private).unwrap(),
                            _ => slice.write(page * PAGE, &private).unwrap(),
                        }
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let _stop = Stop(&stop);
        let wait_for_rounds = |more: u64| {
            let start = rounds.load(Ordering::Relaxed);
            while rounds.load(Ordering::Relaxed) < start + more && !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        };
        wait_for_rounds(2);
        assert!(!domain.faulted());
        rustix::fs::ftruncate(&fd, 3 * PAGE_SIZE).unwrap();
        // At most two of them began before the file shrank.
        wait_for_rounds(6);
    });
    assert!(domain.faulted());
    assert!(!victim.faulted());
    assert_eq!(victim.view().write_bytes(0, b"well"), Ok(()));

    drop(domain.unmap_all());
    assert!(domain.faulted(), "it is not forgotten");
    assert!(!is_mapped("m02-shrinks"));
}

#[test]
fn m02_every_kind_of_access_survives() {
    type Touch = fn(&DomainUnderTest);
    struct DomainUnderTest(crate::DmaDomain, crate::DmaDomain);
    let touches: [(&str, Access, Touch); 8] = [
        ("read", Access::Read, |d| d.0.view().read_bytes(PAGE_SIZE, &mut [1; 9]).unwrap()),
        ("write", Access::Write, |d| d.0.view().write_bytes(PAGE_SIZE, &[1; 9]).unwrap()),
        ("object", Access::Read, |d| assert_eq!(d.0.view().read_obj::<u32>(PAGE_SIZE), Ok(0))),
        ("load", Access::Read, |d| {
            assert_eq!(d.0.view().slice(PAGE_SIZE, 8, Access::Read).unwrap().load_u64_acquire(0), Ok(0));
        }),
        ("store", Access::ReadWrite, |d| {
            let view = d.0.view();
            let word = view.slice(PAGE_SIZE, 8, Access::ReadWrite).unwrap();
            word.store_u64_release(0, 5).unwrap();
            assert_eq!(word.load_u64(0), Ok(5));
        }),
        ("copy from it", Access::Read, |d| {
            let (from, to) = (d.0.view(), d.1.view());
            let (from, to) = (from.slice(PAGE_SIZE, 99, Access::Read), to.slice(0, 99, Access::Write));
            crate::copy(from.unwrap(), to.unwrap()).unwrap();
        }),
        ("copy to it", Access::Write, |d| {
            let (from, to) = (d.1.view(), d.0.view());
            let (from, to) = (from.slice(0, 99, Access::Read), to.slice(PAGE_SIZE, 99, Access::Write));
            crate::copy(from.unwrap(), to.unwrap()).unwrap();
        }),
        ("sum of it", Access::Read, |d| {
            let (from, to) = (d.0.view(), d.1.view());
            let (from, to) = (from.slice(PAGE_SIZE + 1, 99, Access::Read), to.slice(0, 99, Access::Write));
            assert_eq!(crate::copy_sum(from.unwrap(), to.unwrap()), Ok(0));
        }),
    ];
    for (name, access, touch) in touches {
        let fd = unsealable("m02-kinds", 2);
        let test = DomainUnderTest(domain(), domain_with("m02-partner", 0, 1));
        let (readable, writable) = (access.allows(Access::Read), access.allows(Access::Write));
        test.0.map(MapRequest { readable, writable, ..request(&fd, 0, 2) }).unwrap();
        rustix::fs::ftruncate(&fd, PAGE_SIZE).unwrap();
        touch(&test);
        assert_eq!((test.0.faulted(), test.1.faulted()), (true, false), "{name}");
    }
}

#[test]
fn m02_only_the_mapping_that_lost_a_page_is_replaced() {
    let domain = domain();
    let (shrinks, stays) = (unsealable("m02-one", 2), memfd("m02-neighbour", 1));
    map(&domain, &shrinks, 0, 2).unwrap();
    map(&domain, &stays, 2, 1).unwrap();
    rustix::fs::ftruncate(&shrinks, 0).unwrap();
    domain.view().write_bytes(PAGE_SIZE, &[1]).unwrap();
    assert!(domain.faulted());
    // The neighbour is still the file.
    domain.view().write_bytes(2 * PAGE_SIZE, b"file").unwrap();
    let mut bytes = [0; 4];
    rustix::io::pread(&stays, &mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"file");
}

#[test]
fn m04_huge_pages_that_are_not_there_are_refused_when_mapped() {
    // More than any machine has set aside.
    let fd = sized("m04-huge", 1 << 40, MemfdFlags::HUGETLB);
    let domain = domain();
    assert_eq!(map(&domain, &fd, 0, (1 << 40) / PAGE_SIZE), Err(MapError::Os(Errno::NOMEM)));
    assert!(!is_mapped("m04-huge"));
}

#[test]
fn u19_greedy_domains_leave_mappings_for_modest_ones() {
    assert!(may_take(0, 4095));
    assert!(may_take(MAX_MAPPINGS / 2 - 1, 4095));
    assert!(!may_take(MAX_MAPPINGS / 2, 64));
    assert!(may_take(MAX_MAPPINGS / 2, 63));
    assert!(may_take(MAX_MAPPINGS - 1, 0));
    assert!(!may_take(MAX_MAPPINGS, 0));
}

#[test]
fn the_table_finds_the_mapping_of_an_address() {
    let mut flag = AtomicBool::new(false);
    // Not memory of this process: the table only compares addresses.
    let mapped = |start: usize, len| table::Mapped {
        start: ptr::without_provenance_mut(start),
        len,
        page: PAGE,
        prot: libc::PROT_READ,
        faulted: ptr::null_mut(),
    };
    let base = 0x10;
    let find =
        |address: usize| table::find(ptr::without_provenance_mut(address)).map(|found| found.start.addr());
    let first = table::insert(table::Mapped { faulted: &raw mut flag, ..mapped(base, 8) }, 0).unwrap();
    let second = table::insert(mapped(base + 16, 8), 0).unwrap();
    assert_eq!([15, 16, 23, 24, 31, 32, 39, 40].map(find), {
        let (a, b) = (Some(base), Some(base + 16));
        [None, a, a, None, None, b, b, None]
    });
    table::remove(first);
    assert_eq!((find(16), find(32)), (None, Some(32)));
    table::remove(second);
    assert_eq!(find(32), None);
}

/// Runs the test `name` of this file again, alone in a process of its own, with `CHILD` set.
fn in_child(name: &str) -> ExitStatus {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("fault::tests::{name}"), "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap()
}

const CHILD: &str = "GUEST_MEMORY_TEST_CHILD";

/// Reads a page that does not exist, of a mapping that is not guest memory.
fn foreign_fault() {
    let fd = sized("foreign", 0, MemfdFlags::empty());
    // SAFETY: the kernel chooses the address.
    let page = unsafe { rustix::mm::mmap(ptr::null_mut(), PAGE, ProtFlags::READ, MapFlags::SHARED, &fd, 0) };
    // SAFETY: it is the purpose of the test that this raises a signal.
    unsafe { page.unwrap().cast::<u8>().read_volatile() };
}

#[test]
fn a_fault_elsewhere_is_fatal_as_before() {
    if env::var_os(CHILD).is_some() {
        let _installs_the_handler = domain_with("foreign-domain", 0, 1);
        return foreign_fault();
    }
    assert_eq!(in_child("a_fault_elsewhere_is_fatal_as_before").signal(), Some(libc::SIGBUS));
}

#[test]
fn a_fault_elsewhere_goes_to_the_handler_that_was_there() {
    extern "C" fn leave(_signal: c_int) {
        // SAFETY: ends the process without running anything else.
        unsafe { libc::_exit(77) };
    }
    if env::var_os(CHILD).is_some() {
        let handler: extern "C" fn(c_int) = leave;
        // SAFETY: the handler is async-signal-safe.
        unsafe { libc::signal(libc::SIGBUS, handler as libc::sighandler_t) };
        let _installs_the_handler = domain_with("chained-domain", 0, 1);
        return foreign_fault();
    }
    assert_eq!(in_child("a_fault_elsewhere_goes_to_the_handler_that_was_there").code(), Some(77));
}

#[test]
fn a_sigbus_that_a_process_sent_does_what_it_did() {
    if let Some(action) = env::var_os(CHILD) {
        assert_eq!(action, "1");
        // SAFETY: changes the action of a signal in a process that runs this test only.
        unsafe { libc::signal(libc::SIGBUS, libc::SIG_IGN) };
        let _installs_the_handler = domain_with("sent-domain", 0, 1);
        // SAFETY: sends a signal that is ignored.
        unsafe { libc::raise(libc::SIGBUS) };
        return;
    }
    assert!(in_child("a_sigbus_that_a_process_sent_does_what_it_did").success());
}
