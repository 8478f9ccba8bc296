//! Virtqueues, the device's side (VIRTIO 1.3 sections 2.7 and 2.8).
//!
//! A scan takes [`Chain`]s from a [`Cursor`] on without giving anything up: what was not consumed is scanned again. What
//! was consumed is reported used, many at once, the word that the driver waits for last.
//!
//! A ring whose structure lies (an index out of range, a chain without end) is broken until it is set up anew, since
//! nothing says how it would go on. A chain that is well formed but of no use is given back empty.

mod chain;
mod indirect;
mod memory;
mod packed;
mod split;

use guest_memory::{Access, MemoryView};

pub(crate) use chain::{Buffer, Chain, Fault, MAX_BUFFERS};
pub(crate) use memory::RingMemory;
pub(crate) use packed::Packed;
pub(crate) use split::Split;

/// How many chains ahead of their use buffers are fetched into the cache, and descriptors, which are read then.
const AHEAD: u16 = 8;
const DESCRIPTOR_AHEAD: u16 = 24;

/// Why a ring is broken. It is not looked at again until it is set up anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum RingError {
    /// Unmapped, not in one region, or mapped for reading only.
    #[error("a part of the ring is not mapped in one region that the device may use")]
    NotMapped,
    /// Split: the available index moved by more than the ring's size, or back.
    #[error("the available index is more than the ring's size ahead of what the device has taken")]
    AvailableIndex,
    /// Split: the available ring names a descriptor that there is not.
    #[error("the head of a chain is not below the ring's size")]
    Head,
    /// A descriptor's successor is outside of its table.
    #[error("the successor of a descriptor is outside of its table")]
    Next,
    /// A chain goes on for longer than the ring, or than any driver's.
    #[error("a chain has more descriptors than its ring, or more than {}", chain::MAX_DESCRIPTORS)]
    Endless,
    /// An indirect descriptor that the driver must not use so.
    #[error("an indirect table is nested, continued, empty, not whole, or was not negotiated")]
    Indirect,
    /// Packed: a buffer has an id that no buffer can have.
    #[error("a buffer id is not below the ring's size")]
    BufferId,
}

impl RingError {
    /// Every reason, in the order of their numbers.
    pub const ALL: &[Self] = &[
        Self::NotMapped,
        Self::AvailableIndex,
        Self::Head,
        Self::Next,
        Self::Endless,
        Self::Indirect,
        Self::BufferId,
    ];

    /// Name for counters and events.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotMapped => "ring_not_mapped",
            Self::AvailableIndex => "ring_available_index",
            Self::Head => "ring_head",
            Self::Next => "ring_next",
            Self::Endless => "ring_endless_chain",
            Self::Indirect => "ring_indirect",
            Self::BufferId => "ring_buffer_id",
        }
    }
}

/// A place in a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Split: runs freely through 16 bits; packed: a descriptor.
    pub(crate) index: u16,
    /// Packed: the wrap counter.
    pub(crate) wrap: bool,
}

/// Chains that the driver gets back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// Of the chain; of the last one, if there are several (in order).
    pub(crate) id: u16,
    /// Bytes written.
    pub(crate) length: u32,
    /// Places that the chains took in the ring.
    pub(crate) slots: u16,
}

/// One of the two formats.
#[derive(Debug)]
pub(crate) enum Format {
    Split(Split),
    Packed(Packed),
}

impl Format {
    /// Reads the chain at `at` and moves `at` behind it; false if the driver made none available. `next` is how far the
    /// device has consumed.
    #[inline]
    pub(crate) fn chain(
        &mut self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        next: Cursor,
        at: &mut Cursor,
        chain: &mut Chain,
    ) -> Result<bool, RingError> {
        match self {
            Self::Split(split) => split.chain(memory, view, next, at, chain),
            Self::Packed(packed) => packed.chain(memory, view, at, chain),
        }
    }

    /// True if a look at `at` would find a chain, or a broken ring.
    #[inline]
    pub(crate) fn is_waiting(&self, memory: &RingMemory<'_>, at: Cursor) -> bool {
        match self {
            Self::Split(split) => split.is_waiting(memory, at),
            Self::Packed(packed) => packed.is_waiting(memory, at),
        }
    }

    /// Asks for the cache lines of the first buffer of a chain some places behind `at`, its first one and that of byte
    /// `skip`.
    #[inline]
    pub(crate) fn prefetch(
        &self,
        memory: &RingMemory<'_>,
        view: &MemoryView,
        at: Cursor,
        skip: usize,
        access: Access,
    ) {
        let address = match self {
            Self::Split(split) => {
                split.prefetch_descriptor(memory, at, DESCRIPTOR_AHEAD);
                split.address_ahead(memory, at, AHEAD)
            }
            Self::Packed(packed) => {
                packed.prefetch_descriptor(memory, at, DESCRIPTOR_AHEAD);
                packed.address_ahead(memory, at, AHEAD)
            }
        };
        if let Some(address) = address
            && let Ok(slice) = view.first_slice(address, skip + 1, access)
        {
            if access == Access::Write {
                slice.prefetch_write(0);
                slice.prefetch_write(skip);
            } else {
                slice.prefetch_read(0);
                slice.prefetch_read(skip);
            }
        }
    }

    /// Writes used entries and shows them to the driver.
    pub(crate) fn report(&mut self, memory: &RingMemory<'_>, used: &[Used]) {
        match self {
            Self::Split(split) => split.report(memory, used),
            Self::Packed(packed) => packed.report(memory, used),
        }
    }

    /// Whether the driver wants to be interrupted for what was reported since the last time this was asked.
    pub(crate) fn needs_call(&mut self, memory: &RingMemory<'_>) -> bool {
        match self {
            Self::Split(split) => split.needs_call(memory),
            Self::Packed(packed) => packed.needs_call(memory),
        }
    }

    /// Asks the driver to kick when it makes something available at `at` or behind. The device has to look once more
    /// after this.
    pub(crate) fn arm(&mut self, memory: &RingMemory<'_>, at: Cursor) {
        match self {
            Self::Split(split) => split.arm(memory, at),
            Self::Packed(packed) => packed.arm(memory, at),
        }
    }

    /// Tells the driver not to kick.
    pub(crate) fn disarm(&mut self, memory: &RingMemory<'_>) {
        match self {
            Self::Split(split) => split.disarm(memory),
            Self::Packed(packed) => packed.disarm(memory),
        }
    }

    /// The place behind `slots` places from `at` on.
    #[inline]
    pub(crate) fn after(&self, at: Cursor, slots: u16) -> Cursor {
        match self {
            Self::Split(_) => Cursor { index: at.index.wrapping_add(slots), ..at },
            Self::Packed(packed) => packed.after(at, slots),
        }
    }

    /// Where the next used entry goes.
    pub(crate) fn used(&self) -> Cursor {
        match self {
            Self::Split(split) => split.used(),
            Self::Packed(packed) => packed.used(),
        }
    }
}

/// Whether an event at `event` lies in what was done since `old`, up to and without `new` (section 2.7.7.1).
#[inline]
pub(crate) fn need_event(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

#[cfg(test)]
mod tests;
