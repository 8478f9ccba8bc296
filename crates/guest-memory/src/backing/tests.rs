use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::event::EventfdFlags;
use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use super::*;
use crate::fixture::memfd;

#[test]
fn m05_descriptors_that_are_no_memory_are_refused() {
    let (pipe, _other_end) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let eventfd = rustix::event::eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let read_write = |path| OwnedFd::from(OpenOptions::new().read(true).write(true).open(path).unwrap());
    let refused = [
        ("pipe", pipe),
        ("socket", OwnedFd::from(socket)),
        ("eventfd", eventfd),
        ("directory on tmpfs", OwnedFd::from(File::open("/dev/shm").unwrap())),
        // Lies on a file system of the same magic number as tmpfs.
        ("device", read_write("/dev/null")),
        ("memory of this process", read_write("/proc/self/mem")),
        ("file on disk", OwnedFd::from(File::open(std::env::current_exe().unwrap()).unwrap())),
    ];
    for (name, fd) in refused {
        assert_eq!(inspect(fd.as_fd(), 0, PAGE_SIZE, Access::Read), Err(MapError::NotMemory), "{name}");
    }
}

#[test]
fn m05_only_file_systems_in_memory_are_on_the_list() {
    for (magic, expected) in [
        (0x0102_1994, true),  // tmpfs
        (0x9584_58f6, true),  // hugetlbfs
        (0x6573_5546, false), // FUSE
        (0x6969, false),      // NFS
        (0xff53_4d42, false), // CIFS
        (0x0102_1997, false), // 9p
        (0x794c_7630, false), // overlayfs
        (0x5345_434d, false), // memfd_secret
        (0xef53, false),      // ext4
        (0, false),
    ] {
        assert_eq!(holds_pages_in_memory(magic), expected, "{magic:#x}");
    }
}

#[test]
fn m05_descriptor_must_be_open_for_what_is_asked() {
    let fd = memfd("m05-mode", 1);
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    let reopen = |flags| rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let cases = [
        (OFlags::RDONLY, Access::Read, None),
        (OFlags::RDONLY, Access::Write, Some(MapError::NotWritable)),
        (OFlags::RDONLY, Access::ReadWrite, Some(MapError::NotWritable)),
        (OFlags::WRONLY, Access::Write, Some(MapError::NotReadable)),
        (OFlags::PATH, Access::Read, Some(MapError::NotReadable)),
        (OFlags::RDWR, Access::ReadWrite, None),
    ];
    for (flags, access, error) in cases {
        let result = inspect(reopen(flags).as_fd(), 0, PAGE_SIZE, access);
        assert_eq!(result.err(), error, "{flags:?} for {access}");
    }
}

#[test]
fn regular_files_on_tmpfs_are_taken() {
    let fd = rustix::fs::open("/dev/shm", OFlags::TMPFILE | OFlags::RDWR, Mode::RWXU).unwrap();
    rustix::fs::ftruncate(&fd, 2 * PAGE_SIZE).unwrap();
    assert!(inspect(fd.as_fd(), 0, 2 * PAGE_SIZE, Access::ReadWrite).is_ok());
}

#[test]
fn windows_are_made_of_whole_pages_of_the_file() {
    const SMALL: u64 = 4 << 10;
    const HUGE: u64 = 2 << 20;
    let window = |offset, size, page| {
        Window::around(offset, size, page).map(|window| (window.offset, window.len, window.lead, window.page))
    };
    assert_eq!(window(0x3000, 0x2000, SMALL), Some((0x3000, 0x2000, 0, 0x1000)));
    // The piece of low memory between the VGA window and the ROMs, on huge pages.
    assert_eq!(window(0xc_0000, 0x8000, HUGE), Some((0, 0x20_0000, 0xc_0000, 0x20_0000)));
    assert_eq!(window(0x1f_f000, 0x2000, HUGE), Some((0, 0x40_0000, 0x1f_f000, 0x20_0000)));
    assert_eq!(window(0x40_0000, 0x20_0000, HUGE), Some((0x40_0000, 0x20_0000, 0, 0x20_0000)));
    assert_eq!(window(u64::MAX - 0xfff, 0x1000, SMALL), None);
}
