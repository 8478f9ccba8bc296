//! Why something was refused.

use rustix::io::Errno;

use crate::{Access, MAX_MAPPINGS, PAGE_SIZE};

/// Why a region could not be mapped or unmapped. The domain is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// A region needs bytes.
    #[error("a region of 0 bytes at bus address {iova:#x} cannot exist")]
    Empty {
        /// Bus address asked for.
        iova: u64,
    },
    /// The last byte would lie past the 64-bit address space or file.
    #[error("{size:#x} bytes from {start:#x} on wrap round 2^64")]
    Wraps {
        /// Bus address or file offset asked for.
        start: u64,
        /// Size asked for, in bytes.
        size: u64,
    },
    /// A bus address, size or offset is no multiple of [`PAGE_SIZE`].
    #[error("{value:#x} is not a multiple of the page size {PAGE_SIZE:#x}")]
    Misaligned {
        /// The offending value.
        value: u64,
    },
    /// Neither readable nor writable.
    #[error("a region must be readable or writable")]
    NoAccess,
    /// A region already stands there.
    #[error("the range overlaps the region of {size:#x} bytes at bus address {iova:#x}")]
    Overlaps {
        /// Bus address of the region in the way.
        iova: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The domain has as many regions as its limit allows.
    #[error("the domain already has {max} regions, its limit")]
    TooManyRegions {
        /// The limit.
        max: usize,
    },
    /// The domain would exceed its limit of bytes.
    #[error("{size:#x} more bytes exceed the domain's limit of {max:#x} mapped bytes")]
    TooManyBytes {
        /// Size asked for, in bytes.
        size: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// All domains together have as many regions as the process can watch.
    #[error("the domains of this process share {MAX_MAPPINGS} mappings and no more are left for this one")]
    TooManyMappings,
    /// A page fault on this file may block for ever, or it is no file with pages at all.
    #[error("the descriptor is not a regular file on tmpfs (memfd) or hugetlbfs")]
    NotMemory,
    /// The descriptor is opened for writing only, or as a path.
    #[error("the descriptor is not opened for reading")]
    NotReadable,
    /// A writable region needs a descriptor that is opened for writing.
    #[error("a writable region was asked for, but the descriptor is opened read-only")]
    NotWritable,
    /// A writable region of a file that may not be written any more.
    #[error("a writable region was asked for, but the file is sealed against writing")]
    WriteSealed,
    /// The file ends before the region does.
    #[error("the file has {length:#x} bytes, the region needs {needed:#x}")]
    TooShort {
        /// Length of the file in bytes.
        length: u64,
        /// Offset plus size in bytes.
        needed: u64,
    },
    /// No region lies in the range to unmap.
    #[error("no region lies in the {size:#x} bytes from bus address {iova:#x} on")]
    NotMapped {
        /// Bus address asked for.
        iova: u64,
        /// Size asked for, in bytes.
        size: u64,
    },
    /// The range to unmap covers a region in part. Regions are unmapped whole.
    #[error("the range covers only a part of the region of {size:#x} bytes at bus address {iova:#x}")]
    Bisects {
        /// Bus address of the region.
        iova: u64,
        /// Its size in bytes.
        size: u64,
    },
    /// The kernel refused: no memory (also: no huge pages left), no address space.
    #[error("the kernel cannot map the file")]
    Os(#[source] Errno),
}

/// Why a device's access to memory was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaError {
    /// Nothing is mapped there.
    #[error("no memory is mapped at bus address {addr:#x}")]
    Unmapped {
        /// The bus address.
        addr: u64,
    },
    /// The bytes start in a region but do not end in it.
    #[error("of {len} bytes at bus address {addr:#x} only the first {mapped} lie in one region")]
    Straddles {
        /// The bus address.
        addr: u64,
        /// Length asked for, in bytes.
        len: usize,
        /// Bytes that lie in the region of the first.
        mapped: u64,
    },
    /// The region there does not allow this.
    #[error("the memory at bus address {addr:#x} is not mapped for {access}")]
    Denied {
        /// The bus address.
        addr: u64,
        /// The access asked for.
        access: Access,
    },
    /// Bytes past the end of a slice, or of a range of a gather list.
    #[error("{len} bytes at offset {offset} lie outside of {size} bytes")]
    OutOfBounds {
        /// Offset in bytes.
        offset: usize,
        /// Length asked for, in bytes.
        len: usize,
        /// Bytes that there are.
        size: usize,
    },
    /// An atomic access to an address that is no multiple of its size.
    #[error("offset {offset} does not lie on a multiple of {align} bytes in memory")]
    Misaligned {
        /// Offset in bytes.
        offset: usize,
        /// Alignment needed, in bytes.
        align: usize,
    },
    /// The slice was taken for another access.
    #[error("the slice was not taken for {access}")]
    WrongAccess {
        /// The access tried.
        access: Access,
    },
    /// A copy between slices of unlike length.
    #[error("{source_len} bytes cannot be copied to a slice of {destination_len}")]
    LengthMismatch {
        /// Length of the source in bytes.
        source_len: usize,
        /// Length of the destination in bytes.
        destination_len: usize,
    },
    /// A gather list is full.
    #[error("the buffers have more segments than the gather list has room for")]
    TooManySegments,
    /// A gather list was not given a view.
    #[error("the gather list has no view of a domain: begin comes first")]
    NoView,
}
