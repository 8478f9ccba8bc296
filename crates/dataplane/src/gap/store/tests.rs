use std::collections::VecDeque;
use std::os::fd::AsFd;

use guest_memory::{Access, DmaDomain, Limits, MapRequest};
use port::{Burst, HEADER_MAX, Pieces, Spec};
use proptest::prelude::*;
use rustix::fs::MemfdFlags;

use super::{Copy, GapLimits, Store};

fn memory() -> DmaDomain {
    let domain = DmaDomain::new(Limits::default());
    let fd = rustix::fs::memfd_create("guest", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&fd, 0x10000).unwrap();
    let request =
        MapRequest { iova: 0, size: 0x10000, offset: 0, writable: true, readable: true, fd: fd.as_fd() };
    domain.map(request).unwrap();
    domain
}

fn bytes(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 7 + number).to_le_bytes()[0]).collect()
}

fn copy(number: usize) -> Copy {
    Copy { tag: None, direct: false, pieces: 0, since: number as u64 }
}

/// Adds a frame, whose sender writes something else into its memory at once.
fn push(store: &mut Store, guest: &DmaDomain, number: usize, length: usize) -> bool {
    let mut burst = Burst::new();
    burst.begin(guest.view());
    guest.view().write_bytes(0, &bytes(number, length)).unwrap();
    burst.gather(0, length).unwrap();
    burst.commit(&Spec::default()).unwrap();
    let pushed = store.push(&burst.frame(0), copy(number)).unwrap();
    guest.view().write_bytes(0, &vec![0xee; length]).unwrap();
    pushed
}

/// The first frames, as a receiver gets them.
fn load(store: &Store, guest: &DmaDomain) -> Vec<Vec<u8>> {
    let mut burst = Burst::new();
    store.load(&mut burst);
    let arrive = |n| {
        let frame = burst.frame(n);
        let (pieces, mut scratch) = (Pieces::new(&frame).unwrap(), [0; HEADER_MAX + 4]);
        let piece = pieces.get(0, None, &mut scratch);
        let (view, mut bytes) = (guest.view(), vec![0; piece.len()]);
        piece.write(&[view.slice(0, bytes.len(), Access::Write).unwrap()]).unwrap();
        view.read_bytes(0, &mut bytes).unwrap();
        bytes
    };
    (0..burst.len()).map(arrive).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn frames_come_out_as_they_went_in_and_no_more_than_fit(
        moves in prop::collection::vec(prop_oneof![(14..3000_usize).prop_map(Some), Just(None)], 1..120),
        pages in 1..4_u32, frames in 1..12_u32,
    ) {
        let guest = memory();
        let mut store = Store::new(GapLimits { octets: pages * 4096 - 1, frames }).unwrap();
        let mut model = VecDeque::new();
        for (number, step) in moves.into_iter().enumerate() {
            if let Some(length) = step {
                let used: usize = model.iter().map(Vec::len).sum();
                let fits = used + length <= pages as usize * 4096 && model.len() < frames as usize;
                prop_assert_eq!(push(&mut store, &guest, number, length), fits);
                if fits {
                    model.push_back(bytes(number, length));
                }
            } else {
                store.pop();
                model.pop_front();
                store.trim();
            }
            prop_assert_eq!(store.len(), model.len());
            prop_assert_eq!(load(&store, &guest), model.iter().cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn memory_goes_back_when_the_buffer_is_empty() {
    let guest = memory();
    let mut store = Store::new(GapLimits::default()).unwrap();
    let blocks = |store: &Store| rustix::fs::fstat(&store.file).unwrap().st_blocks;
    assert_eq!(blocks(&store), 0, "none is taken before it is needed");
    (0..20).for_each(|n| assert!(push(&mut store, &guest, n, 9000)));
    store.trim();
    assert!(blocks(&store) >= 20 * 9000 / 512, "it is in use");
    (0..20).for_each(|_| store.pop());
    store.trim();
    assert_eq!((blocks(&store), store.used), (0, 0));
    assert!(push(&mut store, &guest, 7, 60));
    assert_eq!(load(&store, &guest), [bytes(7, 60)]);
}

#[test]
fn a_burst_takes_no_more_than_a_guest_s_would() {
    let guest = memory();
    let mut store = Store::new(GapLimits::default()).unwrap();
    (0..40).for_each(|n| assert!(push(&mut store, &guest, n, 60_000)));
    assert_eq!(load(&store, &guest).len(), (512 << 10) / 60_000 + 1);
}
