//! Packed virtqueues (VIRTIO 1.3 section 2.8).

use std::sync::atomic::{Ordering, fence};

use guest_memory::MemoryView;

use super::chain::{Chain, DESCRIPTOR, INDIRECT, MAX_DESCRIPTORS, NEXT, WRITE};
use super::indirect::{self, Order};
use super::{Cursor, RingError, RingMemory, Used, need_event};
use crate::features::Features;

const AVAILABLE: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// Flags of the event suppression structures.
const EVENT_ENABLE: u16 = 0;
const EVENT_DISABLE: u16 = 1;
const EVENT_DESCRIPTOR: u16 = 2;
/// Bytes of an event suppression structure.
const EVENT: usize = 4;
/// The wrap counter in a position.
const WRAP: u16 = 1 << 15;

/// A packed virtqueue.
#[derive(Debug)]
pub(crate) struct Packed {
    size: u16,
    used: Cursor,
    /// The used position when [`Packed::needs_call`] was last asked; none yet: the driver may wait for anything.
    called: Option<u16>,
    indirect: bool,
    event_idx: bool,
}

impl Packed {
    pub(crate) fn new(memory: &RingMemory<'_>, features: Features, used: Cursor) -> Self {
        Self {
            size: memory.config.size,
            used,
            called: None,
            indirect: features.contains(Features::INDIRECT_DESC),
            event_idx: features.contains(Features::EVENT_IDX),
        }
    }

    /// Bytes of the driver's and of the device's part.
    pub(crate) const fn bytes() -> (usize, usize) {
        (EVENT, EVENT)
    }

    /// A place from its 16 bits.
    pub(crate) fn cursor(bits: u16) -> Cursor {
        Cursor { index: bits & !WRAP, wrap: bits & WRAP != 0 }
    }

    /// The 16 bits of a place.
    pub(crate) fn bits(at: Cursor) -> u16 {
        at.index | if at.wrap { WRAP } else { 0 }
    }

    pub(crate) fn used(&self) -> Cursor {
        self.used
    }

    #[inline]
    pub(crate) fn is_waiting(&self, memory: &RingMemory<'_>, at: Cursor) -> bool {
        is_available(flags(load_acquire(memory, at.index)), at.wrap)
    }

    #[inline]
    pub(crate) fn chain(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        at: &mut Cursor,
        chain: &mut Chain,
    ) -> Result<bool, RingError> {
        // The descriptors behind the first were written before it. Each word is read once.
        let mut word = load_acquire(memory, at.index);
        if !is_available(flags(word), at.wrap) {
            return Ok(false);
        }
        chain.begin(0, 0);
        for _ in 0..self.size.min(MAX_DESCRIPTORS) {
            let address = memory.descriptors.load_u64(usize::from(at.index) * DESCRIPTOR).unwrap_or_default();
            let (length, id, flags) = packed_word(word);
            *at = self.after(*at, 1);
            chain.slots += 1;
            if flags & INDIRECT != 0 {
                if flags & NEXT != 0 || !self.indirect {
                    return Err(RingError::Indirect);
                }
                indirect::follow(view, address, length, Order::Sequential, chain)?;
            } else {
                chain.push(address, length, flags);
            }
            if flags & NEXT == 0 {
                chain.id = id;
                return if id < self.size { Ok(true) } else { Err(RingError::BufferId) };
            }
            word = memory.descriptors.load_u64(usize::from(at.index) * DESCRIPTOR + 8).unwrap_or_default();
        }
        Err(RingError::Endless)
    }

    /// Address of the buffer `ahead` places behind `at`, if it is available.
    #[inline]
    pub(crate) fn address_ahead(&self, memory: &RingMemory<'_>, at: Cursor, ahead: u16) -> Option<u64> {
        if ahead >= self.size {
            return None;
        }
        let at = self.after(at, ahead);
        let [address, word] = memory.descriptor(at.index);
        is_available(flags(word), at.wrap).then_some(address)
    }

    /// Asks for the cache line of the descriptor `ahead` places behind `at`, which is written when it is used.
    #[inline]
    pub(crate) fn prefetch_descriptor(&self, memory: &RingMemory<'_>, at: Cursor, ahead: u16) {
        // Four of them are in a line.
        if ahead < self.size && at.index.is_multiple_of(4) {
            let index = self.after(at, ahead).index;
            memory.descriptors.prefetch_write(usize::from(index) * DESCRIPTOR);
        }
    }

    #[inline]
    pub(crate) fn after(&self, at: Cursor, slots: u16) -> Cursor {
        let left = self.size - at.index;
        if slots >= left {
            Cursor { index: slots - left, wrap: !at.wrap }
        } else {
            Cursor { index: at.index + slots, ..at }
        }
    }

    pub(crate) fn report(&mut self, memory: &RingMemory<'_>, used: &[Used]) {
        let Some((first, rest)) = used.split_first() else { return };
        let start = self.used;
        let mut at = self.after(start, first.slots);
        for entry in rest {
            store(memory, at, entry);
            at = self.after(at, entry.slots);
        }
        // The driver waits for this one, and finds the others done when it goes on.
        store(memory, start, first);
        self.used = at;
    }

    pub(crate) fn needs_call(&mut self, memory: &RingMemory<'_>) -> bool {
        // The driver stores what it waits for and then looks at the descriptor; here it is the other way round.
        fence(Ordering::SeqCst);
        let new = self.used.index;
        let old = self.called.replace(new);
        let wanted = u32::from_le(memory.driver.read_obj(0).unwrap_or_default());
        let [a, b, c, d] = wanted.to_le_bytes();
        let (event, flags) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]) & 3);
        match (flags, old) {
            (EVENT_DISABLE, _) => false,
            (EVENT_DESCRIPTOR, Some(mut old)) if self.event_idx => {
                let mut event = Self::cursor(event);
                // Positions of the lap before lie below those of this one.
                if event.wrap != self.used.wrap {
                    event.index = event.index.wrapping_sub(self.size);
                }
                if new <= old {
                    old = old.wrapping_sub(self.size);
                }
                need_event(event.index, new, old)
            }
            _ => true,
        }
    }

    pub(crate) fn arm(&mut self, memory: &RingMemory<'_>, at: Cursor) {
        if self.event_idx {
            memory.store_device_word(Self::bits(at), EVENT_DESCRIPTOR);
        } else {
            memory.store_device_word(0, EVENT_ENABLE);
        }
        fence(Ordering::SeqCst);
    }

    pub(crate) fn disarm(&mut self, memory: &RingMemory<'_>) {
        memory.store_device_word(0, EVENT_DISABLE);
    }
}

/// The second word of descriptor `index`; what is read after it was written before it.
#[inline]
fn load_acquire(memory: &RingMemory<'_>, index: u16) -> u64 {
    memory.descriptors.load_u64_acquire(usize::from(index) * DESCRIPTOR + 8).unwrap_or_default()
}

/// Writes the second word of the descriptor at `at`: length, id, and flags that say that it is used.
#[inline]
fn store(memory: &RingMemory<'_>, at: Cursor, entry: &Used) {
    let mut flags = if at.wrap { AVAILABLE | USED } else { 0 };
    if entry.length > 0 {
        flags |= WRITE;
    }
    let word = u64::from(entry.length) | u64::from(entry.id) << 32 | u64::from(flags) << 48;
    let offset = usize::from(at.index) * DESCRIPTOR + 8;
    let stored = memory.descriptors.store_u64_release(offset, word);
    debug_assert!(stored.is_ok(), "the ring is aligned and lies in its memory");
    memory.mark_descriptors(offset, 8);
}

#[inline]
fn is_available(flags: u16, wrap: bool) -> bool {
    (flags & AVAILABLE != 0) == wrap && (flags & USED != 0) != wrap
}

#[inline]
fn flags(word: u64) -> u16 {
    packed_word(word).2
}

/// Length, buffer id and flags in the second word of a descriptor.
#[inline]
fn packed_word(word: u64) -> (u32, u16, u16) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]))
}
