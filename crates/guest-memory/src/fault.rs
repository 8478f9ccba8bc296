//! Recovery from guest memory that vanishes.
//!
//! A VMM can shrink the file that backs its guest's memory, or run out of huge pages. The next access to a page that
//! is gone raises SIGBUS, which would end this process and with it the network of all other guests. Instead, a
//! process-wide handler looks the address up in a table of all live mappings, puts anonymous zero pages over the
//! mapping and marks its domain; the access then goes on, and the domain's owner closes the session.
//!
//! ```text
//!   load/store --SIGBUS--> handler --address--> table --found--> zero pages over the mapping, domain.faulted = true
//!                                                  \--not ours--> the action that was installed before
//! ```
//!
//! Loads and stores need no wrapper of their own for this: the hot path pays nothing.

mod handler;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::mm::ProtFlags;

use crate::MapError;
use crate::mapping::HostAddr;

pub use table::MAX_MAPPINGS;

/// Watches a mapping for faults as long as it lives. Must be dropped before the memory is unmapped.
pub(crate) struct Watch {
    slot: usize,
    /// The table points at it.
    _faulted: Arc<AtomicBool>,
}

impl Watch {
    /// Watches `len` bytes at `start`, mapped with `prot` from a file of `page`-sized pages. `held` is the number of
    /// mappings that the same domain already has.
    pub(crate) fn new(
        start: HostAddr,
        len: usize,
        page: usize,
        prot: ProtFlags,
        faulted: Arc<AtomicBool>,
        held: usize,
    ) -> Result<Self, MapError> {
        handler::install().map_err(MapError::Os)?;
        let mapping = table::Mapped {
            start: start.0.as_ptr().cast(),
            len,
            page,
            prot: prot.bits().cast_signed(),
            faulted: Arc::as_ptr(&faulted).cast_mut(),
        };
        let slot = table::insert(mapping, held).ok_or(MapError::TooManyMappings)?;
        Ok(Self { slot, _faulted: faulted })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        table::remove(self.slot);
    }
}
