//! From a message to a typed request: everything that can be judged without knowing session or device.

use std::os::fd::OwnedFd;

use sys::EventFd;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::decoder::{Fds, Message};
use crate::device::{DmaMap, DmaRange, DmaUnmap, EventFds, IrqAction, IrqData, SetIrqs};
use crate::protocol::{self, Command, MAX_DATA_XFER_SIZE, MAX_SMALL_WRITES, PAGE_SIZE, SmallWrite};
use crate::reason::Reason;

/// A request whose form is right. What it asks for may still be impossible.
#[derive(Debug)]
pub enum Request<'a> {
    /// Agree on version and capabilities.
    Version {
        /// The client's major version.
        major: u16,
        /// The client's newest minor version.
        minor: u16,
        /// JSON with its terminating NUL; empty if the client sent none.
        data: &'a [u8],
    },
    /// Make memory reachable.
    DmaMap(DmaMap),
    /// Take memory back.
    DmaUnmap {
        /// Which.
        unmap: DmaUnmap,
        /// The request as it came, to be echoed.
        echo: protocol::DmaUnmap,
    },
    /// Describe the device.
    DeviceInfo,
    /// Describe a region.
    RegionInfo {
        /// Number of the region.
        index: u32,
        /// Bytes of payload that the client takes.
        argsz: u32,
    },
    /// Describe an interrupt type.
    IrqInfo {
        /// Number of the type.
        index: u32,
    },
    /// Connect, mask, trigger or disable interrupts; the range is not checked yet.
    SetIrqs(SetIrqs<'a>),
    /// Read from a region; the range is not checked yet, but the count is.
    RegionRead(protocol::RegionAccess),
    /// Write to a region; the range is not checked yet, but there are as many bytes as the count says.
    RegionWrite(protocol::RegionAccess, &'a [u8]),
    /// Several writes; the ranges are not checked yet, but each has at most 8 bytes.
    RegionWriteMulti(&'a [SmallWrite]),
    /// Reset the device.
    DeviceReset,
}

impl<'a> Request<'a> {
    /// Reads a command's payload and takes its descriptors.
    ///
    /// # Errors
    /// The reason why the form is wrong. All descriptors are closed then.
    pub fn parse(message: Message<'a>) -> Result<Self, Reason> {
        let Message { header, payload, fds, surplus_fds } = message;
        let command = Command::from_number(header.command.get()).ok_or(Reason::UnknownCommand)?;
        if surplus_fds {
            return Err(Reason::FdCount);
        }
        match command {
            Command::DmaMap => return dma_map(payload, fds),
            Command::DeviceSetIrqs => return set_irqs(payload, fds),
            _ if !fds.is_empty() => return Err(Reason::FdCount),
            _ => {}
        }
        match command {
            Command::Version => {
                let (version, data) = split::<protocol::Version>(payload)?;
                Ok(Self::Version { major: version.major.get(), minor: version.minor.get(), data })
            }
            Command::DmaUnmap => dma_unmap(payload),
            Command::DeviceGetInfo => {
                let (info, _) = split::<protocol::DeviceInfo>(payload)?;
                check_argsz::<protocol::DeviceInfo>(info.argsz.get())?;
                Ok(Self::DeviceInfo)
            }
            Command::DeviceGetRegionInfo => {
                let (info, _) = split::<protocol::RegionInfo>(payload)?;
                check_argsz::<protocol::RegionInfo>(info.argsz.get())?;
                Ok(Self::RegionInfo { index: info.index.get(), argsz: info.argsz.get() })
            }
            Command::DeviceGetIrqInfo => {
                let (info, _) = split::<protocol::IrqInfo>(payload)?;
                check_argsz::<protocol::IrqInfo>(info.argsz.get())?;
                Ok(Self::IrqInfo { index: info.index.get() })
            }
            Command::RegionRead => {
                let (access, _) = split::<protocol::RegionAccess>(payload)?;
                check_transfer(access.count.get())?;
                Ok(Self::RegionRead(*access))
            }
            Command::RegionWrite => {
                let (access, data) = split::<protocol::RegionAccess>(payload)?;
                check_transfer(access.count.get())?;
                if data.len() != access.count.get() as usize {
                    return Err(Reason::PayloadLength);
                }
                Ok(Self::RegionWrite(*access, data))
            }
            Command::RegionWriteMulti => write_multi(payload),
            Command::DeviceReset => Ok(Self::DeviceReset),
            Command::DmaMap
            | Command::DeviceSetIrqs
            | Command::DeviceGetRegionIoFds
            | Command::DmaRead
            | Command::DmaWrite
            | Command::DirtyPages
            | Command::DeviceFeature
            | Command::MigDataRead
            | Command::MigDataWrite => Err(Reason::UnsupportedCommand),
        }
    }

    /// True for a request that does nothing but fetch an answer.
    #[must_use]
    pub fn is_query(&self) -> bool {
        match self {
            Self::Version { .. }
            | Self::DeviceInfo
            | Self::RegionInfo { .. }
            | Self::IrqInfo { .. }
            | Self::RegionRead(_) => true,
            Self::DmaMap(_)
            | Self::DmaUnmap { .. }
            | Self::SetIrqs(_)
            | Self::RegionWrite(..)
            | Self::RegionWriteMulti(_)
            | Self::DeviceReset => false,
        }
    }
}

fn dma_map<'a>(payload: &[u8], mut fds: Fds) -> Result<Request<'a>, Reason> {
    let (map, _) = split::<protocol::DmaMap>(payload)?;
    check_argsz::<protocol::DmaMap>(map.argsz.get())?;
    if fds.len() > 1 {
        return Err(Reason::FdCount);
    }
    let flags = map.flags.get();
    let (read, write) = (flags & protocol::DMA_MAP_READ != 0, flags & protocol::DMA_MAP_WRITE != 0);
    if flags & !(protocol::DMA_MAP_READ | protocol::DMA_MAP_WRITE) != 0 || !(read || write) {
        return Err(Reason::DmaFlags);
    }
    let range = DmaRange::new(map.address.get(), map.size.get())?;
    let offset = map.offset.get();
    if !offset.is_multiple_of(PAGE_SIZE) || offset.checked_add(range.size()).is_none() {
        return Err(Reason::DmaRange);
    }
    Ok(Request::DmaMap(DmaMap { range, offset, readable: read, writable: write, fd: fds.pop() }))
}

fn dma_unmap(payload: &[u8]) -> Result<Request<'_>, Reason> {
    let (echo, _) = split::<protocol::DmaUnmap>(payload)?;
    check_argsz::<protocol::DmaUnmap>(echo.argsz.get())?;
    let (address, size) = (echo.address.get(), echo.size.get());
    let unmap = match echo.flags.get() {
        0 => DmaUnmap::Range(DmaRange::new(address, size)?),
        protocol::DMA_UNMAP_ALL if address == 0 && size == 0 => DmaUnmap::All,
        protocol::DMA_UNMAP_ALL => return Err(Reason::DmaRange),
        _ => return Err(Reason::DmaFlags),
    };
    Ok(Request::DmaUnmap { unmap, echo: *echo })
}

fn set_irqs(payload: &[u8], fds: Fds) -> Result<Request<'_>, Reason> {
    const DATA: u32 =
        protocol::IRQ_SET_DATA_NONE | protocol::IRQ_SET_DATA_BOOL | protocol::IRQ_SET_DATA_EVENTFD;
    let (set, bytes) = split::<protocol::IrqSet>(payload)?;
    check_argsz::<protocol::IrqSet>(set.argsz.get())?;
    let (flags, count) = (set.flags.get(), set.count.get());
    let action = IrqAction::from_flags(flags & !DATA).ok_or(Reason::IrqFlags)?;
    let kind = flags & DATA;
    if kind != protocol::IRQ_SET_DATA_EVENTFD && !fds.is_empty() {
        return Err(Reason::FdCount);
    }
    let data = match kind {
        protocol::IRQ_SET_DATA_NONE => IrqData::None,
        protocol::IRQ_SET_DATA_BOOL if bytes.len() == count as usize => IrqData::Bool(bytes),
        protocol::IRQ_SET_DATA_BOOL => return Err(Reason::PayloadLength),
        protocol::IRQ_SET_DATA_EVENTFD if fds.is_empty() || fds.len() == count as usize => {
            IrqData::EventFds(event_fds(fds)?)
        }
        protocol::IRQ_SET_DATA_EVENTFD => return Err(Reason::FdCount),
        _ => return Err(Reason::IrqFlags),
    };
    Ok(Request::SetIrqs(SetIrqs { index: set.index.get(), start: set.start.get(), count, action, data }))
}

/// The only place that looks at the type of a descriptor: what passes never blocks the data path that signals it.
fn event_fds(fds: Fds) -> Result<EventFds, Reason> {
    let checked = |fd: OwnedFd| EventFd::from_peer(fd).map_err(|_| Reason::NotAnEventFd);
    fds.into_iter().map(checked).collect()
}

fn write_multi(payload: &[u8]) -> Result<Request<'_>, Reason> {
    let (multi, rest) = split::<protocol::WriteMulti>(payload)?;
    let writes = <[SmallWrite]>::ref_from_bytes(rest).map_err(|_| Reason::PayloadLength)?;
    if multi.count.get() != writes.len() as u64 {
        return Err(Reason::PayloadLength);
    }
    if writes.len() > MAX_SMALL_WRITES
        || writes.iter().any(|write| write.count.get() as usize > write.data.len())
    {
        return Err(Reason::TransferSize);
    }
    Ok(Request::RegionWriteMulti(writes))
}

/// The fixed part of a payload and what follows it.
fn split<T: FromBytes + KnownLayout + Immutable + Unaligned>(payload: &[u8]) -> Result<(&T, &[u8]), Reason> {
    T::ref_from_prefix(payload).map_err(|_| Reason::PayloadLength)
}

/// `argsz` must cover the structure; a newer client may know a longer one.
fn check_argsz<T>(argsz: u32) -> Result<(), Reason> {
    if (argsz as usize) < size_of::<T>() { Err(Reason::Argsz) } else { Ok(()) }
}

fn check_transfer(count: u32) -> Result<(), Reason> {
    if count > MAX_DATA_XFER_SIZE { Err(Reason::TransferSize) } else { Ok(()) }
}
