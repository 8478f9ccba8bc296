//! A descriptor ring as the registers describe it.

use guest_memory::{Access, GuestSlice, MemoryView};

use super::descriptor;
use crate::registers::{BAH, BAL, CONTROL, ENABLE, HEAD, LEN, TAIL};
use crate::state::VfState;

/// Where a ring lies and how far the device is in it. Registers are the driver's, at any time: they are read once per
/// round and checked; what the device goes on from is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ring {
    /// Offset of the queue's register block in BAR 0.
    block: u32,
    /// Word that changes with every write to the queue's control register.
    generation_word: usize,
    generation: u32,
    enabled: bool,
    base: u64,
    /// Descriptors in the ring; 0 while it is disabled.
    size: u32,
    /// Next descriptor of the device.
    head: u32,
}

/// What a look at the registers showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sync {
    /// Not enabled, or what the registers say makes no ring.
    Off,
    /// As it was.
    Same,
    /// Not the ring that was known: the device goes on at the head register.
    Restarted,
}

impl Ring {
    pub(super) fn new(block: u32, generation_word: usize) -> Self {
        Self { block, generation_word, ..Self::default() }
    }

    /// Looks at the registers: the driver enables, moves and disables rings by them, and a head that is not the
    /// device's own was set by the driver.
    pub(super) fn sync(&mut self, state: &VfState) -> Sync {
        let register = |r| state.register(self.block + r);
        if register(CONTROL) & ENABLE == 0 {
            self.disable();
            return Sync::Off;
        }
        let generation = state.private.load(self.generation_word);
        let base = u64::from(register(BAL) & !0x7f) | u64::from(register(BAH)) << 32;
        let size = (register(LEN) & 0x000f_ff80) / 16;
        let head = register(HEAD) & 0xffff;
        let same = (generation, base, size, head) == (self.generation, self.base, self.size, self.head);
        if self.enabled && same {
            return Sync::Same;
        }
        if head >= size {
            self.disable();
            return Sync::Off;
        }
        *self = Self { generation, enabled: true, base, size, head, ..*self };
        Sync::Restarted
    }

    fn disable(&mut self) {
        self.enabled = false;
        self.size = 0;
    }

    /// The tail register, within the ring.
    #[inline]
    pub(super) fn tail(&self, state: &VfState) -> u32 {
        let tail = self.tail_register(state);
        // A tail outside the ring names no descriptor: nothing is the device's.
        if tail < self.size { tail } else { self.head }
    }

    /// The tail register as it stands.
    #[inline]
    pub(super) fn tail_register(&self, state: &VfState) -> u32 {
        state.register(self.block + TAIL) & 0xffff
    }

    #[inline]
    pub(super) fn head(&self) -> u32 {
        self.head
    }

    /// Number of descriptors.
    #[inline]
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    /// Number that is another one for each ring that the driver enabled.
    #[inline]
    pub(super) fn generation(&self) -> u32 {
        self.generation
    }

    /// Number of descriptors from `from` up to `to`, going round.
    #[inline]
    pub(super) fn distance(&self, from: u32, to: u32) -> u32 {
        if to >= from { to - from } else { to + self.size - from }
    }

    /// The descriptor `count` after `position`, `count` being at most the size.
    #[inline]
    pub(super) fn after(&self, position: u32, count: u32) -> u32 {
        let next = position + count;
        if next >= self.size { next - self.size } else { next }
    }

    /// Moves the head, for the driver to see.
    #[inline]
    pub(super) fn set_head(&mut self, state: &VfState, head: u32) {
        self.head = head;
        state.set_register(self.block + HEAD, head);
    }

    /// The ring's memory; `None` if it is not the device's to reach, or does not lie in one region.
    #[inline]
    pub(super) fn memory<'v>(&self, view: &'v MemoryView) -> Option<GuestSlice<'v>> {
        view.slice(self.base, self.size as usize * descriptor::BYTES, Access::ReadWrite).ok()
    }

    /// True if the driver has enabled the ring and made descriptors available, by the registers alone.
    #[inline]
    pub(super) fn is_waiting(&self, state: &VfState) -> bool {
        let register = |r| state.register(self.block + r);
        register(CONTROL) & ENABLE != 0 && register(HEAD) & 0xffff != register(TAIL) & 0xffff
    }
}

/// Reads the address word of descriptor `index` of the ring in `memory`.
#[inline]
pub(super) fn load_address(memory: &GuestSlice<'_>, index: u32) -> u64 {
    // The ring lies in `memory` whole, so that this does not fail; at address 0 the driver has no buffer.
    memory.load_u64(index as usize * descriptor::BYTES).unwrap_or(0)
}

/// Reads descriptor `index` of the ring in `memory`: each word once.
#[inline]
pub(super) fn load(memory: &GuestSlice<'_>, index: u32) -> [u64; 2] {
    // As above; a second word of zeros is none that the device takes.
    [load_address(memory, index), memory.load_u64(index as usize * descriptor::BYTES + 8).unwrap_or(0)]
}

/// Stores the last 32 bits of descriptor `index` of the ring in `memory`.
#[inline]
pub(super) fn store_last_word(memory: &GuestSlice<'_>, index: u32, value: u32) {
    let stored = memory.store_u32_release(index as usize * descriptor::BYTES + 12, value);
    debug_assert!(stored.is_ok(), "the ring lies in its memory");
}

/// Stores descriptor `index` of the ring in `memory`; the second word last, by which drivers see that it is done.
#[inline]
pub(super) fn store(memory: &GuestSlice<'_>, index: u32, words: [u64; 2]) {
    let at = index as usize * descriptor::BYTES;
    let stored =
        memory.store_u64_release(at, words[0]).and_then(|()| memory.store_u64_release(at + 8, words[1]));
    debug_assert!(stored.is_ok(), "the ring lies in its memory");
}
