//! From a message to a typed request: everything that can be judged without knowing the session or the device.

use std::os::fd::OwnedFd;

use sys::EventFd;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::decoder::{Fds, Message};
use crate::memory::{MemoryRegion, SharedRegion};
use crate::protocol::{
    self, Header, MAX_TABLE_REGIONS, PAGE_SIZE, RequestCode, VRING_INDEX_MASK, VRING_NO_FD, protocol_features,
};
use crate::reason::Reason;
use crate::vring::Addresses;

/// A request whose form is right. What it asks for may still be impossible.
#[derive(Debug)]
pub(crate) enum Request {
    GetFeatures,
    SetFeatures(u64),
    GetProtocolFeatures,
    SetProtocolFeatures(u64),
    SetOwner,
    ResetOwner,
    ResetDevice,
    SetMemTable(Vec<SharedRegion>),
    AddMemReg(SharedRegion),
    RemMemReg(MemoryRegion),
    GetMaxMemSlots,
    GetQueueNum,
    SetVringNum { index: u32, size: u32 },
    SetVringAddr { index: u32, addresses: Addresses },
    SetVringBase { index: u32, base: u32 },
    GetVringBase { index: u32 },
    SetVringEnable { index: u32, enabled: bool },
    SetVringKick { index: u32, event: Option<EventFd> },
    SetVringCall { index: u32, event: Option<EventFd> },
    SetVringErr { index: u32, event: Option<EventFd> },
    SetLogBase(LogFile),
    SetLogFd,
    GetInflightFd(InflightRequest),
    SetInflightFd(InflightRequest, OwnedFd),
    NetSetMtu(u16),
    SendRarp([u8; 6]),
    GetStatus,
    SetStatus(u8),
}

/// The dirty log, as the front end sent it.
#[derive(Debug)]
pub(crate) struct LogFile {
    pub(crate) fd: OwnedFd,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// An inflight description, and how many bytes it had on the wire: with or without padding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InflightRequest {
    pub(crate) wire: protocol::Inflight,
    pub(crate) payload: usize,
}

impl Request {
    /// Reads a request's payload and takes its descriptors, which are closed if anything is wrong. `negotiated` are
    /// the protocol features of the session.
    pub(crate) fn parse(message: Message<'_>, negotiated: u64) -> Result<Self, Reason> {
        let Message { header, payload, fds, surplus_fds } = message;
        if header.flags.get() & !(Header::KNOWN_FLAGS & !Header::REPLY) != 0 {
            return Err(Reason::HeaderFlags);
        }
        let code = RequestCode::from_number(header.request.get()).ok_or(Reason::UnknownRequest)?;
        let needed = needed_feature(code)?;
        if needed & !negotiated != 0 {
            return Err(Reason::NotNegotiated);
        }
        if surplus_fds {
            return Err(Reason::FdCount);
        }
        match code {
            RequestCode::SetMemTable => return mem_table(payload, fds),
            RequestCode::AddMemReg => {
                let region = exactly::<protocol::SingleRegion>(payload)?.region;
                let (region, fd) = (MemoryRegion::from_wire(&region)?, only(fds)?);
                return Ok(Self::AddMemReg(SharedRegion { region, fd }));
            }
            // Front ends exist that send the file again; the protocol wants it closed and forgotten.
            RequestCode::RemMemReg if fds.len() <= 1 => {
                let region = exactly::<protocol::SingleRegion>(payload)?.region;
                return Ok(Self::RemMemReg(MemoryRegion::from_wire(&region)?));
            }
            RequestCode::SetLogBase => return log_base(payload, fds),
            RequestCode::SetLogFd => {
                exactly::<[u8; 0]>(payload)?;
                event_fd(only(fds)?)?;
                return Ok(Self::SetLogFd);
            }
            RequestCode::SetVringKick => {
                let (index, event) = vring_event(payload, fds)?;
                return Ok(Self::SetVringKick { index, event });
            }
            RequestCode::SetVringCall => {
                let (index, event) = vring_event(payload, fds)?;
                return Ok(Self::SetVringCall { index, event });
            }
            RequestCode::SetVringErr => {
                let (index, event) = vring_event(payload, fds)?;
                return Ok(Self::SetVringErr { index, event });
            }
            RequestCode::SetInflightFd => return Ok(Self::SetInflightFd(inflight(payload)?, only(fds)?)),
            _ if !fds.is_empty() => return Err(Reason::FdCount),
            _ => {}
        }
        without_fds(code, payload)
    }
}

/// The protocol feature that a request belongs to, or none.
fn needed_feature(code: RequestCode) -> Result<u64, Reason> {
    Ok(match code {
        RequestCode::GetQueueNum => protocol_features::MQ,
        RequestCode::SetLogBase => protocol_features::LOG_SHMFD,
        RequestCode::SendRarp => protocol_features::RARP,
        RequestCode::NetSetMtu => protocol_features::MTU,
        RequestCode::GetInflightFd | RequestCode::SetInflightFd => protocol_features::INFLIGHT_SHMFD,
        RequestCode::ResetDevice => protocol_features::RESET_DEVICE,
        RequestCode::GetMaxMemSlots | RequestCode::AddMemReg | RequestCode::RemMemReg => {
            protocol_features::CONFIGURE_MEM_SLOTS
        }
        RequestCode::GetStatus | RequestCode::SetStatus => protocol_features::STATUS,
        RequestCode::GetFeatures
        | RequestCode::SetFeatures
        | RequestCode::SetOwner
        | RequestCode::ResetOwner
        | RequestCode::SetMemTable
        | RequestCode::SetLogFd
        | RequestCode::SetVringNum
        | RequestCode::SetVringAddr
        | RequestCode::SetVringBase
        | RequestCode::GetVringBase
        | RequestCode::SetVringKick
        | RequestCode::SetVringCall
        | RequestCode::SetVringErr
        | RequestCode::GetProtocolFeatures
        | RequestCode::SetProtocolFeatures
        | RequestCode::SetVringEnable => 0,
        RequestCode::SetBackendReqFd
        | RequestCode::IotlbMsg
        | RequestCode::SetVringEndian
        | RequestCode::GetConfig
        | RequestCode::SetConfig
        | RequestCode::CreateCryptoSession
        | RequestCode::CloseCryptoSession
        | RequestCode::PostcopyAdvise
        | RequestCode::PostcopyListen
        | RequestCode::PostcopyEnd
        | RequestCode::GpuSetSocket
        | RequestCode::VringKick
        | RequestCode::GetSharedObject
        | RequestCode::SetDeviceStateFd
        | RequestCode::CheckDeviceState
        | RequestCode::GetShmemConfig => return Err(Reason::UnsupportedRequest),
    })
}

/// Requests that bring no descriptor.
fn without_fds(code: RequestCode, payload: &[u8]) -> Result<Request, Reason> {
    let nothing = |request| exactly::<[u8; 0]>(payload).map(|_| request);
    match code {
        RequestCode::GetFeatures => nothing(Request::GetFeatures),
        RequestCode::GetProtocolFeatures => nothing(Request::GetProtocolFeatures),
        RequestCode::SetOwner => nothing(Request::SetOwner),
        RequestCode::ResetOwner => nothing(Request::ResetOwner),
        RequestCode::ResetDevice => nothing(Request::ResetDevice),
        RequestCode::GetMaxMemSlots => nothing(Request::GetMaxMemSlots),
        RequestCode::GetQueueNum => nothing(Request::GetQueueNum),
        RequestCode::GetStatus => nothing(Request::GetStatus),
        RequestCode::SetFeatures => Ok(Request::SetFeatures(number(payload)?)),
        RequestCode::SetProtocolFeatures => Ok(Request::SetProtocolFeatures(number(payload)?)),
        RequestCode::SetStatus => {
            u8::try_from(number(payload)?).map(Request::SetStatus).map_err(|_| Reason::Status)
        }
        RequestCode::NetSetMtu => {
            // The least MTU of IPv4 is 68 (RFC 791), which is also the least of virtio-net.
            let mtu = u16::try_from(number(payload)?).ok().filter(|&mtu| mtu >= 68);
            mtu.map(Request::NetSetMtu).ok_or(Reason::Mtu)
        }
        RequestCode::SendRarp => {
            let [a, b, c, d, e, f, _, _] = *exactly::<[u8; 8]>(payload)?;
            let mac = [a, b, c, d, e, f];
            if mac == [0; 6] || a & 1 != 0 {
                return Err(Reason::Mac);
            }
            Ok(Request::SendRarp(mac))
        }
        RequestCode::SetVringNum => {
            let (index, size) = state(payload)?;
            Ok(Request::SetVringNum { index, size })
        }
        RequestCode::SetVringBase => {
            let (index, base) = state(payload)?;
            Ok(Request::SetVringBase { index, base })
        }
        RequestCode::GetVringBase => Ok(Request::GetVringBase { index: state(payload)?.0 }),
        RequestCode::SetVringEnable => match state(payload)? {
            (index, switch @ 0..=1) => Ok(Request::SetVringEnable { index, enabled: switch == 1 }),
            _ => Err(Reason::VringEnable),
        },
        RequestCode::SetVringAddr => {
            let wire = exactly::<protocol::VringAddr>(payload)?;
            Ok(Request::SetVringAddr { index: wire.index.get(), addresses: Addresses::from_wire(wire)? })
        }
        RequestCode::GetInflightFd => Ok(Request::GetInflightFd(inflight(payload)?)),
        // Left over are requests that bring descriptors, and here too many of them.
        _ => Err(Reason::FdCount),
    }
}

fn mem_table(payload: &[u8], fds: Fds) -> Result<Request, Reason> {
    let (table, rest) = protocol::MemoryTable::ref_from_prefix(payload).map_err(|_| Reason::PayloadSize)?;
    let count = table.regions.get() as usize;
    if !(1..=MAX_TABLE_REGIONS).contains(&count) {
        return Err(Reason::RegionCount);
    }
    let wire = <[protocol::Region]>::ref_from_bytes(rest).map_err(|_| Reason::PayloadSize)?;
    if wire.len() != count {
        return Err(Reason::PayloadSize);
    }
    if fds.len() != count {
        return Err(Reason::FdCount);
    }
    let regions = wire.iter().zip(fds).map(|(wire, fd)| {
        let region = MemoryRegion::from_wire(wire)?;
        Ok(SharedRegion { region, fd })
    });
    regions.collect::<Result<_, _>>().map(Request::SetMemTable)
}

fn log_base(payload: &[u8], fds: Fds) -> Result<Request, Reason> {
    let log = exactly::<protocol::Log>(payload)?;
    let (size, offset, fd) = (log.size.get(), log.offset.get(), only(fds)?);
    if !is_file_range(offset, size) {
        return Err(Reason::LogRange);
    }
    Ok(Request::SetLogBase(LogFile { fd, offset, size }))
}

fn inflight(payload: &[u8]) -> Result<InflightRequest, Reason> {
    const BARE: usize = size_of::<protocol::Inflight>();
    const PADDED: usize = BARE + 4;
    match (payload.len(), protocol::Inflight::read_from_prefix(payload)) {
        (BARE | PADDED, Ok((wire, _))) => Ok(InflightRequest { wire, payload: payload.len() }),
        _ => Err(Reason::PayloadSize),
    }
}

/// Ring and eventfd of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR.
fn vring_event(payload: &[u8], fds: Fds) -> Result<(u32, Option<EventFd>), Reason> {
    let bits = number(payload)?;
    if bits & !(VRING_INDEX_MASK | VRING_NO_FD) != 0 {
        return Err(Reason::VringFlags);
    }
    let index = u32::try_from(bits & VRING_INDEX_MASK).expect("8 bits fit in 32");
    let event = match (bits & VRING_NO_FD != 0, fds.len()) {
        (true, 0) => None,
        (false, 1) => Some(event_fd(only(fds)?)?),
        _ => return Err(Reason::VringFd),
    };
    Ok((index, event))
}

fn event_fd(fd: OwnedFd) -> Result<EventFd, Reason> {
    EventFd::from_peer(fd).map_err(|_| Reason::NotAnEventFd)
}

fn number(payload: &[u8]) -> Result<u64, Reason> {
    exactly::<zerocopy::native_endian::U64>(payload).map(|number| number.get())
}

fn state(payload: &[u8]) -> Result<(u32, u32), Reason> {
    let state = exactly::<protocol::VringState>(payload)?;
    Ok((state.index.get(), state.num.get()))
}

fn exactly<T: FromBytes + KnownLayout + Immutable + Unaligned>(payload: &[u8]) -> Result<&T, Reason> {
    T::ref_from_bytes(payload).map_err(|_| Reason::PayloadSize)
}

fn only(fds: Fds) -> Result<OwnedFd, Reason> {
    let mut fds = fds.into_iter();
    match (fds.next(), fds.next()) {
        (Some(fd), None) => Ok(fd),
        _ => Err(Reason::FdCount),
    }
}

/// Whether a part of a file can be mapped at all.
pub(crate) fn is_file_range(offset: u64, size: u64) -> bool {
    size > 0 && offset.is_multiple_of(PAGE_SIZE) && offset.checked_add(size).is_some()
}
