//! The mappings of the process, in a form that a signal handler can read.
//!
//! Writers take a lock and are control threads; the handler takes none. Each slot has a generation that is odd while
//! the slot is live. The handler reads it before and after the slot's fields; if it is the same odd number, the fields
//! belong together. All of this is sequentially consistent: it is nowhere near a hot path.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

/// Most mappings of all domains of the process together: half of the memory areas that Linux allows a process by
/// default (`vm.max_map_count`, 65,530), so that no guest can use up those that the process itself needs.
///
/// Half of them are for any domain, the other half only for domains that hold fewer than 64. So whatever others
/// do, each of up to 256 domains can have 64 mappings; QEMU needs some twenty.
pub const MAX_MAPPINGS: usize = 32_768;

/// Mappings that any domain may use.
const COMMON: usize = MAX_MAPPINGS / 2;
/// Domains with fewer mappings may use those beyond `COMMON`.
const MODEST: usize = 64;

/// A mapping, as the handler needs to know it.
#[derive(Clone, Copy)]
pub(super) struct Mapped {
    pub(super) start: *mut c_void,
    pub(super) len: usize,
    /// Size in bytes of the file's pages.
    pub(super) page: usize,
    /// Protection, as for mmap.
    pub(super) prot: c_int,
    /// Set when a page turns out to be gone. Lives at least as long as the mapping.
    pub(super) faulted: *mut AtomicBool,
}

struct Slot {
    generation: AtomicUsize,
    start: AtomicPtr<c_void>,
    len: AtomicUsize,
    page: AtomicUsize,
    prot: AtomicI32,
    faulted: AtomicPtr<AtomicBool>,
}

impl Slot {
    const fn vacant() -> Self {
        Self {
            generation: AtomicUsize::new(0),
            start: AtomicPtr::new(ptr::null_mut()),
            len: AtomicUsize::new(0),
            page: AtomicUsize::new(0),
            prot: AtomicI32::new(0),
            faulted: AtomicPtr::new(ptr::null_mut()),
        }
    }

    /// The mapping in this slot, if it is live and does not change meanwhile.
    fn read(&self) -> Option<Mapped> {
        let generation = self.generation.load(SeqCst);
        let mapped = Mapped {
            start: self.start.load(SeqCst),
            len: self.len.load(SeqCst),
            page: self.page.load(SeqCst),
            prot: self.prot.load(SeqCst),
            faulted: self.faulted.load(SeqCst),
        };
        (generation % 2 == 1 && self.generation.load(SeqCst) == generation).then_some(mapped)
    }
}

/// All zeros: costs no memory until it is used.
static SLOTS: [Slot; MAX_MAPPINGS] = [const { Slot::vacant() }; MAX_MAPPINGS];
/// Slots from here on were never used.
static UNTOUCHED: AtomicUsize = AtomicUsize::new(0);
/// Vacant slots below `UNTOUCHED`; the lock is for all who change slots.
static VACANT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Adds a mapping for a domain that already has `held`; returns its slot, or `None` if none is left for this domain.
pub(super) fn insert(mapped: Mapped, held: usize) -> Option<usize> {
    let mut vacant = VACANT.lock().unwrap_or_else(PoisonError::into_inner);
    let untouched = UNTOUCHED.load(SeqCst);
    if !may_take(untouched - vacant.len(), held) {
        return None;
    }
    let index = vacant.pop().unwrap_or(untouched);
    let slot = SLOTS.get(index)?;
    slot.start.store(mapped.start, SeqCst);
    slot.len.store(mapped.len, SeqCst);
    slot.page.store(mapped.page, SeqCst);
    slot.prot.store(mapped.prot, SeqCst);
    slot.faulted.store(mapped.faulted, SeqCst);
    slot.generation.fetch_add(1, SeqCst);
    UNTOUCHED.fetch_max(index + 1, SeqCst);
    Some(index)
}

/// Whether a domain with `held` mappings may have one more when `live` are taken by all.
pub(super) fn may_take(live: usize, held: usize) -> bool {
    live < COMMON || (live < MAX_MAPPINGS && held < MODEST)
}

/// Takes a mapping out that [`insert`] put into `slot`.
pub(super) fn remove(slot: usize) {
    let mut vacant = VACANT.lock().unwrap_or_else(PoisonError::into_inner);
    SLOTS[slot].generation.fetch_add(1, SeqCst);
    vacant.push(slot);
}

/// The live mapping that holds `address`. Async-signal-safe: loads only.
pub(super) fn find(address: *mut c_void) -> Option<Mapped> {
    let used = &SLOTS[..UNTOUCHED.load(SeqCst).min(MAX_MAPPINGS)];
    used.iter()
        .filter_map(Slot::read)
        .find(|mapped| address.addr().wrapping_sub(mapped.start.addr()) < mapped.len)
}
