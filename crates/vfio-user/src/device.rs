//! The seam to the device behind a socket.

use std::os::fd::{BorrowedFd, OwnedFd};

use arrayvec::ArrayVec;
use bitflags::bitflags;
use rustix::io::Errno;
use sys::EventFd;

use crate::protocol::{self, MAX_MSG_FDS, PAGE_SIZE};
use crate::reason::Reason;

bitflags! {
    /// What kind of device this is (`VFIO_DEVICE_FLAGS_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct DeviceFlags: u32 {
        /// DEVICE_RESET works.
        const RESET = 1 << 0;
        /// A PCI device: regions 0..=5 are the BARs, 6 the ROM, 7 config space; interrupt types 0 INTx, 1 MSI,
        /// 2 MSI-X, 3 error, 4 request.
        const PCI = 1 << 1;
    }

    /// What an interrupt type can do (`VFIO_IRQ_INFO_*`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct IrqFlags: u32 {
        /// Can be signalled through an eventfd.
        const EVENTFD = 1 << 0;
        /// Can be masked and unmasked by the client.
        const MASKABLE = 1 << 1;
        /// Masks itself when it fires.
        const AUTOMASKED = 1 << 2;
        /// All interrupts of the type are set up at once.
        const NORESIZE = 1 << 3;
    }
}

/// Answer to DEVICE_GET_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Kind and abilities.
    pub flags: DeviceFlags,
    /// Regions, implemented or not; 9 for a PCI device.
    pub num_regions: u32,
    /// Interrupt types, implemented or not; 5 for a PCI device.
    pub num_irqs: u32,
}

/// Answer to DEVICE_GET_REGION_INFO.
#[derive(Clone, Copy, Debug)]
pub struct RegionInfo<'a> {
    /// Bytes; 0 for a region that the device does not implement.
    pub size: u64,
    /// REGION_READ is allowed.
    pub readable: bool,
    /// REGION_WRITE is allowed.
    pub writable: bool,
    /// The file that the client may map instead of asking for each access.
    pub mapping: Option<Mapping<'a>>,
}

/// How a client can map a region, or parts of it.
#[derive(Clone, Copy, Debug)]
pub struct Mapping<'a> {
    /// The file; the client gets a duplicate.
    pub fd: BorrowedFd<'a>,
    /// Where the region begins in the file.
    pub offset: u64,
    /// The parts that can be mapped; empty for the whole region.
    pub areas: &'a [MmapArea],
}

/// A mappable part of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MmapArea {
    /// Offset in the region, a multiple of the page size.
    pub offset: u64,
    /// Bytes, a multiple of the page size.
    pub size: u64,
}

/// Answer to DEVICE_GET_IRQ_INFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqInfo {
    /// Abilities.
    pub flags: IrqFlags,
    /// Interrupts of this type; 0 for a type that the device does not implement.
    pub count: u32,
}

/// Memory of the client that the device may reach from now on.
#[derive(Debug)]
pub struct DmaMap {
    /// Address and size.
    pub range: DmaRange,
    /// Where the range begins in the file; a multiple of [`PAGE_SIZE`].
    pub offset: u64,
    /// The device may read.
    pub readable: bool,
    /// The device may write.
    pub writable: bool,
    /// The memory; none for memory that cannot be mapped (ROM, flash).
    pub fd: Option<OwnedFd>,
}

/// A range of DMA addresses: not empty, made of whole pages, its last byte at most at 2^64 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRange {
    iova: u64,
    size: u64,
}

impl DmaRange {
    /// Checks address and size.
    ///
    /// # Errors
    /// [`Reason::DmaRange`] if it is empty, wraps, or is not made of whole pages.
    pub fn new(iova: u64, size: u64) -> Result<Self, Reason> {
        let whole_pages = iova.is_multiple_of(PAGE_SIZE) && size.is_multiple_of(PAGE_SIZE);
        if size == 0 || !whole_pages || iova.checked_add(size - 1).is_none() {
            return Err(Reason::DmaRange);
        }
        Ok(Self { iova, size })
    }

    /// First address.
    #[must_use]
    pub fn iova(self) -> u64 {
        self.iova
    }

    /// Bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// Last address.
    #[must_use]
    pub fn last(self) -> u64 {
        self.iova + (self.size - 1)
    }
}

/// Memory that the client takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaUnmap {
    /// One earlier map, exactly.
    Range(DmaRange),
    /// Every map.
    All,
}

/// What SET_IRQS does to each interrupt of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IrqAction {
    /// Mask it, or connect an eventfd that is signalled when it is masked.
    Mask,
    /// Unmask it, or connect an eventfd that is signalled when it is unmasked.
    Unmask,
    /// Fire it, or connect the eventfd through which it fires.
    Trigger,
}

impl IrqAction {
    pub(crate) fn from_flags(flags: u32) -> Option<Self> {
        match flags {
            protocol::IRQ_SET_ACTION_MASK => Some(Self::Mask),
            protocol::IRQ_SET_ACTION_UNMASK => Some(Self::Unmask),
            protocol::IRQ_SET_ACTION_TRIGGER => Some(Self::Trigger),
            _ => None,
        }
    }
}

/// The eventfds of one SET_IRQS.
pub type EventFds = ArrayVec<EventFd, MAX_MSG_FDS>;

/// On which interrupts, or with what, the action of SET_IRQS is done.
#[derive(Debug)]
pub enum IrqData<'a> {
    /// On all of the range. With [`IrqAction::Trigger`] and a count of 0: disable the whole type.
    None,
    /// On those whose byte is not 0; as many bytes as interrupts.
    Bool(&'a [u8]),
    /// Connect these, as many as interrupts, or, if empty, disconnect those of the range.
    EventFds(EventFds),
}

/// A checked SET_IRQS: the range lies within the type's count, and the type has what the flags ask for.
#[derive(Debug)]
pub struct SetIrqs<'a> {
    /// Number of the interrupt type.
    pub index: u32,
    /// First interrupt.
    pub start: u32,
    /// Number of interrupts; 0 only for "disable the whole type".
    pub count: u32,
    /// What to do.
    pub action: IrqAction,
    /// On which, or with what.
    pub data: IrqData<'a>,
}

/// What the session needs of a device. All calls are synchronous: the client (a virtual CPU of a guest, mostly) waits
/// for the reply, and QEMU gives up after 5 s, so nothing here may wait for anything but quiescence of the data path.
///
/// Before a call the session has checked what the protocol promises; a device checks only what it alone knows.
/// An errno that it returns goes to the client and counts as [`Reason::Device`].
pub trait Device {
    /// Kind, number of regions and of interrupt types. Constant during a session.
    fn info(&self) -> DeviceInfo;

    /// A region below `num_regions`. Size and access are constant during a session.
    fn region(&self, index: u32) -> Option<RegionInfo<'_>>;

    /// An interrupt type below `num_irqs`. Constant during a session.
    fn irq(&self, index: u32) -> Option<IrqInfo>;

    /// Reads from a readable region; the range is not empty and lies within it, but has any size and alignment.
    ///
    /// # Errors
    /// Any errno; `data` is then discarded.
    fn read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Errno>;

    /// Writes to a writable region; the range is not empty and lies within it, but has any size and alignment.
    /// When the call returns, the write has taken effect.
    ///
    /// # Errors
    /// Any errno. The client of a posted write never learns of it.
    fn write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Errno>;

    /// Makes memory reachable. The range overlaps no other one of this session. The file is whatever the client sent:
    /// its type, seals and length are for the device to check.
    ///
    /// # Errors
    /// Any errno; nothing is mapped then.
    fn dma_map(&mut self, map: DmaMap) -> Result<(), Errno>;

    /// Takes memory back. When the call returns, no DMA of the device can touch the range any more; the client may
    /// give the memory to something else at once.
    ///
    /// # Errors
    /// Any errno; the range is still mapped then.
    fn dma_unmap(&mut self, unmap: DmaUnmap) -> Result<(), Errno>;

    /// Connects, masks, triggers or disables interrupts. The eventfds never block the one who signals them.
    ///
    /// # Errors
    /// Any errno; no interrupt has changed then.
    fn set_irqs(&mut self, set: SetIrqs<'_>) -> Result<(), Errno>;

    /// DEVICE_RESET: the state after power-on, except that DMA maps and eventfds stay.
    fn reset(&mut self);
}
