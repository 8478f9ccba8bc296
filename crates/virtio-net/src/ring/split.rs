//! Split virtqueues (VIRTIO 1.3 section 2.7).

use std::sync::atomic::{Ordering, fence};

use guest_memory::MemoryView;

use super::chain::{Chain, DESCRIPTOR, Fault, INDIRECT, MAX_DESCRIPTORS, NEXT};
use super::indirect::{self, Order};
use super::{Cursor, RingError, RingMemory, Used, need_event};
use crate::features::Features;

/// The driver wants no interrupts; in the available ring's flags.
const NO_INTERRUPT: u16 = 1;
/// The device wants no kicks; in the used ring's flags.
const NO_NOTIFY: u16 = 1;
/// Where the entries of both rings start.
const ENTRIES: usize = 4;

/// A split virtqueue.
#[derive(Debug)]
pub(crate) struct Split {
    size: u16,
    /// The available index as of the last look.
    seen: u16,
    used: u16,
    /// The used index when [`Split::needs_call`] was last asked; none yet: the driver may wait for anything.
    called: Option<u16>,
    flags: u16,
    indirect: bool,
    event_idx: bool,
}

impl Split {
    /// A ring whose next chain is number `next`. What the driver was shown last counts: if `next` is not that by some
    /// places, the device ended in the midst of a round, and goes on from there.
    pub(crate) fn new(memory: &RingMemory<'_>, features: Features, next: u16) -> Self {
        let size = memory.config.size;
        let shown = u16::from_le(memory.device.read_obj(2).unwrap_or(next));
        let used =
            if shown.wrapping_sub(next) <= size || next.wrapping_sub(shown) <= size { shown } else { next };
        Self {
            size,
            seen: used,
            used,
            called: None,
            flags: 0,
            indirect: features.contains(Features::INDIRECT_DESC),
            event_idx: features.contains(Features::EVENT_IDX),
        }
    }

    /// Bytes of the driver's and of the device's part of a ring of `size` descriptors.
    pub(crate) fn bytes(size: u16, features: Features) -> (usize, usize) {
        let event = if features.contains(Features::EVENT_IDX) { 2 } else { 0 };
        (ENTRIES + 2 * usize::from(size) + event, ENTRIES + 8 * usize::from(size) + event)
    }

    pub(crate) fn used(&self) -> Cursor {
        Cursor { index: self.used, wrap: false }
    }

    #[inline]
    pub(crate) fn is_waiting(&self, memory: &RingMemory<'_>, at: Cursor) -> bool {
        memory.driver_u16(2) != at.index
    }

    /// Whether a chain is available at `at`, by the index as it was seen last or, if that is used up, as it is.
    #[inline]
    fn look(&mut self, memory: &RingMemory<'_>, next: Cursor, at: Cursor) -> Result<bool, RingError> {
        if at.index != self.seen {
            return Ok(true);
        }
        self.seen = memory.driver_u16(2);
        // What the index makes available was written before it.
        fence(Ordering::Acquire);
        let available = self.seen.wrapping_sub(next.index);
        if available > self.size || available < at.index.wrapping_sub(next.index) {
            return Err(RingError::AvailableIndex);
        }
        Ok(at.index != self.seen)
    }

    #[inline]
    pub(crate) fn chain(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        next: Cursor,
        at: &mut Cursor,
        chain: &mut Chain,
    ) -> Result<bool, RingError> {
        if !self.look(memory, next, *at)? {
            return Ok(false);
        }
        let mut index = self.head(memory, at.index);
        if index >= self.size {
            return Err(RingError::Head);
        }
        at.index = at.index.wrapping_add(1);
        chain.begin(index, 1);
        for _ in 0..self.size.min(MAX_DESCRIPTORS) {
            let [address, rest] = memory.descriptor(index);
            let (length, flags, successor) = split_word(rest);
            if flags & INDIRECT != 0 {
                if flags & NEXT != 0 || !self.indirect {
                    return Err(RingError::Indirect);
                }
                return indirect::follow(view, address, length, Order::Linked, chain).map(|()| true);
            }
            chain.push(address, length, flags);
            // With too many buffers it is given back anyway, and need not be followed to its end.
            if flags & NEXT == 0 || chain.fault == Some(Fault::TooManyBuffers) {
                return Ok(true);
            }
            index = successor;
            if index >= self.size {
                return Err(RingError::Next);
            }
        }
        Err(RingError::Endless)
    }

    /// Address of the first buffer of the chain `ahead` places behind `at`, as far as is known to be available.
    #[inline]
    pub(crate) fn address_ahead(&self, memory: &RingMemory<'_>, at: Cursor, ahead: u16) -> Option<u64> {
        if self.seen.wrapping_sub(at.index) <= ahead {
            return None;
        }
        let head = self.head(memory, at.index.wrapping_add(ahead));
        (head < self.size).then(|| memory.descriptor(head)[0])
    }

    /// Asks for the cache line of the first descriptor of the chain `ahead` places behind `at`, likewise.
    #[inline]
    pub(crate) fn prefetch_descriptor(&self, memory: &RingMemory<'_>, at: Cursor, ahead: u16) {
        if self.seen.wrapping_sub(at.index) > ahead {
            let head = self.head(memory, at.index.wrapping_add(ahead));
            memory.descriptors.prefetch_read(usize::from(head) * DESCRIPTOR);
        }
    }

    #[inline]
    fn head(&self, memory: &RingMemory<'_>, index: u16) -> u16 {
        memory.driver_u16(ENTRIES + 2 * usize::from(index & (self.size - 1)))
    }

    pub(crate) fn report(&mut self, memory: &RingMemory<'_>, used: &[Used]) {
        for entry in used {
            let at = ENTRIES + 8 * usize::from(self.used & (self.size - 1));
            let word = u64::from(entry.id) | u64::from(entry.length) << 32;
            let written = memory.device.write(at, &word.to_le_bytes());
            debug_assert!(written.is_ok(), "the used ring lies in its memory");
            memory.mark_device(at, 8);
            self.used = self.used.wrapping_add(entry.slots);
        }
        memory.store_device_word(self.flags, self.used);
    }

    pub(crate) fn needs_call(&mut self, memory: &RingMemory<'_>) -> bool {
        // The driver stores what it waits for and then looks at the used index; here it is the other way round.
        fence(Ordering::SeqCst);
        let old = self.called.replace(self.used);
        if !self.event_idx {
            return memory.driver_u16(0) & NO_INTERRUPT == 0;
        }
        let event = memory.driver_u16(ENTRIES + 2 * usize::from(self.size));
        old.is_none_or(|old| need_event(event, self.used, old))
    }

    pub(crate) fn arm(&mut self, memory: &RingMemory<'_>, at: Cursor) {
        if self.event_idx {
            let offset = ENTRIES + 8 * usize::from(self.size);
            let written = memory.device.write(offset, &at.index.to_le_bytes());
            debug_assert!(written.is_ok(), "the used ring lies in its memory");
            memory.mark_device(offset, 2);
        } else {
            self.set_flags(memory, 0);
        }
        fence(Ordering::SeqCst);
    }

    pub(crate) fn disarm(&mut self, memory: &RingMemory<'_>) {
        // With event indices the one that was armed is passed, and the driver kicks for none until the next.
        if !self.event_idx {
            self.set_flags(memory, NO_NOTIFY);
        }
    }

    fn set_flags(&mut self, memory: &RingMemory<'_>, flags: u16) {
        if self.flags != flags {
            self.flags = flags;
            memory.store_device_word(self.flags, self.used);
        }
    }
}

/// Length, flags and successor in the second word of a descriptor.
#[inline]
fn split_word(word: u64) -> (u32, u16, u16) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]))
}
