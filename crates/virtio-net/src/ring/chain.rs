//! The buffers of one chain of descriptors.

use arrayvec::ArrayVec;

/// Buffers that one chain may have: a frame of 64 KiB in pages has some 20.
pub(crate) const MAX_BUFFERS: usize = 128;

/// Descriptors that one chain may have, those without bytes included: what a chain costs must have a bound.
pub(crate) const MAX_DESCRIPTORS: u16 = 1024;

/// Descriptor flags.
pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;

/// Bytes of a descriptor.
pub(crate) const DESCRIPTOR: usize = 16;

/// A buffer in guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Buffer {
    pub(crate) address: u64,
    pub(crate) length: u32,
}

/// Why a well-formed chain is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    TooManyBuffers,
    /// A buffer to be read stands behind one to be written.
    Order,
    /// The indirect table lies in no memory.
    Unmapped,
}

/// A chain: first what the device reads, then what it writes.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) id: u16,
    /// Places that it takes in the ring.
    pub(crate) slots: u16,
    pub(crate) fault: Option<Fault>,
    /// Descriptors that were looked at.
    pub(crate) walked: usize,
    buffers: ArrayVec<Buffer, MAX_BUFFERS>,
    /// How many of the buffers are to be read.
    readable: usize,
    /// The device only reads: what the indirect tables of packed rings say of direction does not count.
    pub(super) read_only: bool,
    /// Room for the private copy of an indirect table.
    pub(super) table: [[u8; DESCRIPTOR]; MAX_BUFFERS],
}

impl Chain {
    pub(crate) fn new() -> Self {
        let table = [[0; DESCRIPTOR]; MAX_BUFFERS];
        Self {
            id: 0,
            slots: 0,
            fault: None,
            walked: 0,
            buffers: ArrayVec::new(),
            readable: 0,
            read_only: false,
            table,
        }
    }

    /// A chain of a transmit queue. DPDK's driver leaves the flag `WRITE` on some entries of a packed ring's indirect
    /// tables, the header's among them, which the back ends that it was tried with do not look at.
    pub(crate) fn to_transmit() -> Self {
        Self { read_only: true, ..Self::new() }
    }

    #[inline]
    pub(super) fn begin(&mut self, id: u16, slots: u16) {
        self.id = id;
        self.slots = slots;
        self.fault = None;
        self.walked = 0;
        self.buffers.clear();
        self.readable = 0;
    }

    /// Adds a buffer as its descriptor describes it. Buffers without bytes are left out: there is nothing to access.
    #[inline]
    pub(super) fn push(&mut self, address: u64, length: u32, flags: u16) {
        self.walked += 1;
        if length == 0 || self.fault.is_some() {
            return;
        }
        if flags & WRITE == 0 {
            if self.readable < self.buffers.len() {
                self.fault = Some(Fault::Order);
                return;
            }
            self.readable += 1;
        }
        if self.buffers.try_push(Buffer { address, length }).is_err() {
            self.fault = Some(Fault::TooManyBuffers);
        }
    }

    /// Buffers to be read.
    #[inline]
    pub(crate) fn readable(&self) -> &[Buffer] {
        self.buffers.get(..self.readable).unwrap_or_default()
    }

    /// Buffers to be written.
    #[inline]
    pub(crate) fn writable(&self) -> &[Buffer] {
        self.buffers.get(self.readable..).unwrap_or_default()
    }
}
