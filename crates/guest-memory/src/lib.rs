//! DMA domains: the only memory that one requester id (RID) can reach.
//!
//! A [`DmaDomain`] stands where hardware has an IOMMU: the VMM maps regions of its guest's memory files into it at bus
//! addresses, and a device does all its DMA through it. What is not mapped cannot be named.
//!
//! ```text
//!   control thread                                worker, once per burst
//!   DmaDomain::map / unmap                        DmaDomain::view -> MemoryView
//!        | replaces whole                              | slice(addr, len, access)
//!        v                                             v
//!   MemoryMap (immutable, sorted) <----guard----- GuestSlice: read, write, load, store, copy, copy_sum
//!        | Arc per region                              | kept with its view in
//!        v                                             v
//!   Mapping: mmap + entry in the fault table      Gather: scatter lists of a burst
//! ```
//!
//! # Unmapping
//! A view keeps the regions that it saw mapped. [`DmaDomain::unmap`] takes regions out of the domain for views made
//! from then on and returns [`Retired`]; the guest may be told only after every worker has passed a quiescent point,
//! at which it holds neither a [`MemoryView`] nor a [`Gather`] filled from one of before. Then `Retired` is dropped,
//! and the memory is unmapped.
//!
//! # A guest that writes meanwhile
//! Guest memory is never seen through a reference, only copied and loaded atomically, so that no assumption of the
//! compiler about unchanging memory can be broken. Every guest byte that a call hands out was fetched once: what the
//! caller checks is what it uses.
//!
//! # A guest memory file that shrinks
//! A page of it that has vanished raises SIGBUS. The handler of this crate puts zero pages in place of the
//! region and marks the domain ([`DmaDomain::faulted`]); the owner then closes that session, and no other notices.
//! Threads that touch guest memory must not block SIGBUS, and nothing else may replace its handler.
//!
//! The crate must never depend on a device, a switch or a protocol: it knows bus addresses and files only.

mod access;
mod backing;
mod copy;
mod cpu;
mod domain;
mod error;
mod fault;
mod gather;
mod mapping;
mod memory_map;
mod region;
mod slice;
mod view;

#[cfg(test)]
mod fixture;

pub use access::Access;
pub use copy::{copy, copy_sum};
pub use domain::{DmaDomain, Limits, MapRequest, Retired};
pub use error::{DmaError, MapError};
pub use fault::MAX_MAPPINGS;
pub use gather::Gather;
pub use region::RegionInfo;
pub use slice::GuestSlice;
pub use view::MemoryView;

/// Smallest page that a region is made of, in bytes: bus addresses, sizes and offsets are multiples of it.
pub const PAGE_SIZE: u64 = 4096;
