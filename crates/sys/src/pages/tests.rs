use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::MemfdFlags;

use super::{PagesError, SharedPages, Words};

#[test]
fn words_outlive_the_mapping_that_wrote_them() {
    let first = SharedPages::create("test", 2).unwrap();
    let fd = first.as_fd().try_clone_to_owned().unwrap();
    Words::new(Arc::new(first)).store(1024, 0x1234_5678);
    let second = Words::new(Arc::new(SharedPages::open(fd, 2).unwrap()));
    assert_eq!(second.load(1024), 0x1234_5678);
    assert_eq!(second.len(), 2048);
}

#[test]
fn windows_share_their_words() {
    let all = Words::heap(8);
    let window = all.window(4, 4).window(1, 2);
    window.store(1, 7);
    assert_eq!(all.load(6), 7);
    assert_eq!(window.fetch_or(1, 8), 7);
    assert_eq!(window.fetch_and(1, 9), 15);
    assert_eq!(all.fetch_add(6, 1), 9);
    all.clear();
    assert_eq!(window.load(1), 0);
}

#[test]
#[should_panic(expected = "window 1+8 of 8 words")]
fn a_window_cannot_leave_its_words() {
    let _ = Words::heap(8).window(1, 8);
}

#[test]
fn l04_files_that_could_shrink_or_have_another_length_are_refused() {
    let unsealed = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&unsealed, 4096).unwrap();
    assert!(matches!(SharedPages::open(unsealed, 1), Err(PagesError::NotSealed)));
    let sealed = SharedPages::create("test", 1).unwrap();
    let fd = sealed.as_fd().try_clone_to_owned().unwrap();
    assert!(matches!(SharedPages::open(fd, 2), Err(PagesError::WrongLength { found: 4096, expected: 8192 })));
    let file = OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
    assert!(SharedPages::open(file, 1).is_err());
}

#[test]
fn part_of_a_peers_file() {
    let fd = rustix::fs::memfd_create("log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, 3 * 4096 + 10).unwrap();
    let part = SharedPages::open_part(fd.try_clone().unwrap(), 4096, 2 * 4096 + 10).unwrap();
    assert_eq!(part.words().len(), 2 * 1024 + 3);
    part.words()[2 * 1024 + 2].store(7, Ordering::Relaxed);
    let mut bytes = [0; 8];
    rustix::io::pread(&fd, &mut bytes, 3 * 4096 + 8).unwrap();
    assert_eq!(bytes[0], 7);
    assert!(rustix::fs::ftruncate(&fd, 4096).is_err(), "it is sealed now");
    for (offset, length) in [(0, 0), (1, 8), (4096, 2 * 4096 + 11), (!0xfff, 4096)] {
        let refused = SharedPages::open_part(fd.try_clone().unwrap(), offset, length);
        assert!(matches!(refused, Err(PagesError::NoSuchPart { .. })), "{offset} {length}");
    }
}

#[test]
fn a_file_that_its_owner_can_shrink_is_refused() {
    let fd = rustix::fs::memfd_create("log", MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, 4096).unwrap();
    assert!(matches!(SharedPages::open_part(fd, 0, 4096), Err(PagesError::NotSealed)));
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(matches!(SharedPages::open_part(file.into(), 0, 4096), Err(PagesError::NotSealed)));
}
