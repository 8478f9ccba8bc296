use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use sys::SharedPages;

use super::{MAGIC, RINGS, RINGS_PAGES, STATE_PAGES, StateError, VERSION, VfState, word};
use crate::registers::{REGISTER_BYTES, TAIL, VFMBMEM, VFRETA, rx};

fn fds(state: &VfState) -> (OwnedFd, OwnedFd) {
    (state.state_fd().try_clone_to_owned().unwrap(), state.rings_fd().try_clone_to_owned().unwrap())
}

fn open((state, rings): (OwnedFd, OwnedFd)) -> Result<VfState, StateError> {
    VfState::open(state, rings)
}

fn pages(number: usize) -> OwnedFd {
    SharedPages::create("test", number).unwrap().as_fd().try_clone_to_owned().unwrap()
}

#[test]
fn state_outlives_those_who_wrote_it() {
    let first = VfState::create("test").unwrap();
    let fds = fds(&first);
    first.set_register(VFMBMEM, 0x1234);
    first.set_register(rx(0, TAIL), 0x9abc);
    first.set_register(VFRETA + 60, 0x5678);
    first.private.store(word::MAX_FRAME, 9018);
    first.config_words().store(1024, 9);
    first.msix_words().store(12, 7);
    drop(first);
    let second = open(fds).unwrap();
    assert_eq!(second.register(VFMBMEM), 0x1234);
    assert_eq!(second.register(VFRETA + 60), 0x5678);
    assert_eq!(second.register(rx(0, TAIL)), 0x9abc);
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
    assert!(matches!(open((pages(STATE_PAGES), pages(RINGS_PAGES))), Err(StateError::NotAVf)));
    let state = VfState::create("test").unwrap();
    state.private.store(word::VERSION, VERSION + 1);
    let newer = open(fds(&state)).unwrap_err();
    assert_eq!(newer.to_string(), "the state has layout version 3, this softiov reads version 2");
    state.private.store(word::MAGIC, !MAGIC);
    assert!(matches!(open(fds(&state)), Err(StateError::NotAVf)));
    for (state, rings) in [(STATE_PAGES - 1, RINGS_PAGES), (STATE_PAGES, RINGS_PAGES + 1)] {
        assert!(matches!(open((pages(state), pages(rings))), Err(StateError::Pages(_))));
    }
}

/// A VMM that maps the rings finds nothing else in the file.
#[test]
fn the_file_that_a_vmm_gets_holds_rings_only() {
    let state = VfState::create("test").unwrap();
    for offset in (0..u32::try_from(REGISTER_BYTES).unwrap()).step_by(4) {
        state.set_register(offset, 0x5aa5_0000 | offset);
    }
    let rings = SharedPages::open(state.rings_fd().try_clone_to_owned().unwrap(), RINGS_PAGES).unwrap();
    for (offset, word) in (0..).step_by(4).zip(rings.words()) {
        let held = if RINGS.contains(&offset) { 0x5aa5_0000 | offset } else { 0 };
        assert_eq!(word.load(Ordering::Relaxed), held, "{offset:#x}");
        assert_eq!(state.register(offset), 0x5aa5_0000 | offset);
    }
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
        (word::OCTETS_HIGH, 2),
        (word::TX_CONTEXT, 64),
        (word::UNICAST, 33),
    ];
    let mut owners = vec![0; 1024];
    for (start, length) in places {
        owners[start..start + length].iter_mut().for_each(|owner| *owner += 1);
    }
    assert_eq!(owners.iter().max(), Some(&1));
}
