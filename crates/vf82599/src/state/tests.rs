use std::os::fd::{AsFd, OwnedFd};

use sys::SharedPages;

use super::{MAGIC, PAGES, StateError, VERSION, VfState, word};
use crate::registers::{VFMBMEM, VFRETA};

fn fd(state: &VfState) -> OwnedFd {
    state.as_fd().try_clone_to_owned().unwrap()
}

#[test]
fn state_outlives_those_who_wrote_it() {
    let first = VfState::create("test").unwrap();
    let fd = fd(&first);
    first.set_register(VFMBMEM, 0x1234);
    first.set_register(VFRETA + 60, 0x5678);
    first.private.store(word::MAX_FRAME, 9018);
    first.config_words().store(1024, 9);
    first.msix_words().store(12, 7);
    drop(first);
    let second = VfState::open(fd).unwrap();
    assert_eq!(second.register(VFMBMEM), 0x1234);
    assert_eq!(second.register(VFRETA + 60), 0x5678);
    assert_eq!(second.private.load(word::MAX_FRAME), 9018);
    assert_eq!(second.config_words().load(1024), 9);
    assert_eq!(second.msix_words().load(12), 7);
}

#[test]
fn there_is_room_for_config_space_and_msix() {
    let state = VfState::create("test").unwrap();
    assert!(state.config_words().len() >= pcie::ConfigSpace::WORDS);
    // Three vectors of four words, two words of pending bits.
    assert!(state.msix_words().len() >= 14);
}

#[test]
fn l04_pages_of_another_kind_or_version_are_refused() {
    let pages = SharedPages::create("test", PAGES).unwrap();
    assert!(matches!(VfState::open(pages.as_fd().try_clone_to_owned().unwrap()), Err(StateError::NotAVf)));
    let state = VfState::create("test").unwrap();
    state.private.store(word::VERSION, VERSION + 1);
    let newer = VfState::open(fd(&state)).unwrap_err();
    assert_eq!(newer.to_string(), "the state has layout version 2, this softiov reads version 1");
    state.private.store(word::MAGIC, !MAGIC);
    assert!(matches!(VfState::open(fd(&state)), Err(StateError::NotAVf)));
    let short = SharedPages::create("test", PAGES - 1).unwrap();
    assert!(matches!(VfState::open(short.as_fd().try_clone_to_owned().unwrap()), Err(StateError::Pages(_))));
}

/// Each word has one owner: the places that the halves agreed on do not overlap.
#[test]
fn private_words_do_not_overlap() {
    let places = [
        (word::MAGIC, 1),
        (word::VERSION, 1),
        (word::MAILBOX, 1),
        (word::API, 1),
        (word::MAX_FRAME, 1),
        (word::DEFERRED, 1),
        (word::LINK, 1),
        (word::COUNTERS, word::COUNTERS_LEN),
        (word::RX_GENERATION, 8),
        (word::TX_GENERATION, 8),
        (word::TX_RESUME, 8),
        (word::DMA_ENABLED, 1),
        (word::UNPLUGGED, 1),
        (word::RESETTING, 1),
        (word::TX_CONTEXT, 64),
        (word::UNICAST, 33),
    ];
    let mut owners = vec![0; 1024];
    for (start, length) in places {
        owners[start..start + length].iter_mut().for_each(|owner| *owner += 1);
    }
    assert_eq!(owners.iter().max(), Some(&1));
}
