//! The wire format: commands, header, and one little-endian structure per payload.
//!
//! Sources: the vfio-user protocol document of QEMU (`docs/interop/vfio-user.rst`), called "protocol" in this crate's
//! comments, and `<linux/vfio.h>` for the structures that it takes over.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a [`Header`], the least that a message has.
pub const HEADER_SIZE: usize = size_of::<Header>();

/// The most data bytes of one read or write that this server takes (capability `max_data_xfer_size`).
pub const MAX_DATA_XFER_SIZE: u32 = 1 << 20;

/// The longest message that this server takes: a full transfer and room for the fixed part of any command.
pub const MAX_MESSAGE_SIZE: usize = HEADER_SIZE + MAX_DATA_XFER_SIZE as usize + 4096;

/// The most file descriptors that this server takes with one message (capability `max_msg_fds`); QEMU refuses a
/// server that offers more.
pub const MAX_MSG_FDS: usize = 16;

/// The most writes that this server takes in one REGION_WRITE_MULTI. A message full of them would hold up every other
/// session; QEMU sends 200 at most.
pub const MAX_SMALL_WRITES: usize = 256;

/// The page size of DMA maps (capability `pgsizes`): address, size and file offset are multiples of it.
pub const PAGE_SIZE: u64 = 4096;

/// Major version of the protocol; both sides must have the same.
pub const VERSION_MAJOR: u16 = 0;

/// The newest minor version known here; the session runs with the lower one of the two sides.
pub const VERSION_MINOR: u16 = 1;

/// What a message asks for (protocol, "Commands"). Number 14 was DIRTY_PAGES before version 0.9.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Command {
    /// Agree on a version and on capabilities; the first message of a session.
    Version = 1,
    /// The client's memory that the device may reach.
    DmaMap = 2,
    /// Takes back a DMA map.
    DmaUnmap = 3,
    /// What kind of device this is.
    DeviceGetInfo = 4,
    /// Size, access and mappable areas of one region.
    DeviceGetRegionInfo = 5,
    /// Ioeventfds of a region; not supported here.
    DeviceGetRegionIoFds = 6,
    /// Number and abilities of one interrupt type.
    DeviceGetIrqInfo = 7,
    /// Connects, masks, triggers or disables interrupts.
    DeviceSetIrqs = 8,
    /// Reads from a region.
    RegionRead = 9,
    /// Writes to a region.
    RegionWrite = 10,
    /// Reads the client's memory; only the server sends it.
    DmaRead = 11,
    /// Writes the client's memory; only the server sends it.
    DmaWrite = 12,
    /// Resets the device.
    DeviceReset = 13,
    /// Dirty page logging of an older protocol version; not supported here.
    DirtyPages = 14,
    /// Several small writes at once.
    RegionWriteMulti = 15,
    /// Optional features, migration among them; not supported here.
    DeviceFeature = 16,
    /// Device state out; not supported here.
    MigDataRead = 17,
    /// Device state in; not supported here.
    MigDataWrite = 18,
}

impl Command {
    /// The command with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Version,
            2 => Self::DmaMap,
            3 => Self::DmaUnmap,
            4 => Self::DeviceGetInfo,
            5 => Self::DeviceGetRegionInfo,
            6 => Self::DeviceGetRegionIoFds,
            7 => Self::DeviceGetIrqInfo,
            8 => Self::DeviceSetIrqs,
            9 => Self::RegionRead,
            10 => Self::RegionWrite,
            11 => Self::DmaRead,
            12 => Self::DmaWrite,
            13 => Self::DeviceReset,
            14 => Self::DirtyPages,
            15 => Self::RegionWriteMulti,
            16 => Self::DeviceFeature,
            17 => Self::MigDataRead,
            18 => Self::MigDataWrite,
            _ => return None,
        })
    }
}

/// Bits 3:0 of the header flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// Asks for something.
    Command,
    /// Answers a command.
    Reply,
    /// Neither; no version of the protocol has such a type.
    Unknown,
}

/// Header of every message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// Chosen by the sender of a command, echoed in its reply.
    pub id: U16,
    /// A [`Command`] number.
    pub command: U16,
    /// Bytes of the whole message, header included.
    pub size: U32,
    /// Message type in bits 3:0, then the bits below.
    pub flags: U32,
    /// An errno in a reply with [`Header::ERROR`], else reserved.
    pub error: U32,
}

impl Header {
    /// Flag value of a command.
    pub const COMMAND: u32 = 0;
    /// Flag value of a reply.
    pub const REPLY: u32 = 1;
    /// Mask of the message type.
    pub const TYPE_MASK: u32 = 0xf;
    /// The sender of the command wants no reply.
    pub const NO_REPLY: u32 = 1 << 4;
    /// The command failed; the reply is the header alone.
    pub const ERROR: u32 = 1 << 5;

    /// The header of a message whose payload is `payload` bytes long.
    #[must_use]
    pub fn new(id: u16, command: u16, flags: u32, payload: usize) -> Self {
        let size = u32::try_from(HEADER_SIZE + payload).expect("no message reaches 4 GiB");
        Self {
            id: id.into(),
            command: command.into(),
            size: size.into(),
            flags: flags.into(),
            error: 0.into(),
        }
    }

    /// Command, reply, or neither.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        match self.flags.get() & Self::TYPE_MASK {
            Self::COMMAND => MessageType::Command,
            Self::REPLY => MessageType::Reply,
            _ => MessageType::Unknown,
        }
    }

    /// True if an answer would be a breach of the protocol.
    #[must_use]
    pub fn no_reply(&self) -> bool {
        self.flags.get() & Self::NO_REPLY != 0
    }
}

/// Fixed part of VERSION, both ways; JSON with a terminating NUL may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Version {
    /// Must be the same on both sides.
    pub major: U16,
    /// The lower one counts.
    pub minor: U16,
}

/// Payload of DMA_MAP; the reply has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaMap {
    /// Bytes of this structure.
    pub argsz: U32,
    /// [`DMA_MAP_READ`] and [`DMA_MAP_WRITE`].
    pub flags: U32,
    /// Offset in the file that comes with the message.
    pub offset: U64,
    /// First DMA address.
    pub address: U64,
    /// Bytes.
    pub size: U64,
}

/// Payload of DMA_UNMAP, echoed in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaUnmap {
    /// The most bytes of payload that the client takes as reply.
    pub argsz: U32,
    /// [`DMA_UNMAP_ALL`] or 0.
    pub flags: U32,
    /// First DMA address; 0 with [`DMA_UNMAP_ALL`].
    pub address: U64,
    /// Bytes; 0 with [`DMA_UNMAP_ALL`].
    pub size: U64,
}

/// Payload of DEVICE_GET_INFO, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DeviceInfo {
    /// Request: bytes that the client takes. Reply: bytes of this structure.
    pub argsz: U32,
    /// Bits of `VFIO_DEVICE_FLAGS_*`.
    pub flags: U32,
    /// Regions, implemented or not.
    pub num_regions: U32,
    /// Interrupt types, implemented or not.
    pub num_irqs: U32,
}

/// Payload of DEVICE_GET_REGION_INFO, both ways; capabilities may follow in the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RegionInfo {
    /// Request: bytes that the client takes. Reply: bytes of the full reply, capabilities included.
    pub argsz: U32,
    /// Bits of `VFIO_REGION_INFO_FLAG_*`.
    pub flags: U32,
    /// Number of the region.
    pub index: U32,
    /// Where the capability list begins, from the start of this structure; 0 without one.
    pub cap_offset: U32,
    /// Bytes of the region.
    pub size: U64,
    /// Offset for `mmap` of the region's start in the file that comes with the reply.
    pub offset: U64,
}

/// Region capability 1, version 1: only these parts of the region can be mapped. [`SparseArea`]s follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SparseMmapCapability {
    /// [`REGION_CAP_SPARSE_MMAP`].
    pub id: U16,
    /// 1.
    pub version: U16,
    /// Offset of the next capability; 0 after the last one.
    pub next: U32,
    /// Number of areas.
    pub areas: U32,
    /// 0.
    pub reserved: U32,
}

/// One mappable part of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SparseArea {
    /// Offset in the region; the file offset is that of the region plus this.
    pub offset: U64,
    /// Bytes.
    pub size: U64,
}

/// Payload of DEVICE_GET_IRQ_INFO, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IrqInfo {
    /// Request: bytes that the client takes. Reply: bytes of this structure.
    pub argsz: U32,
    /// Bits of `VFIO_IRQ_INFO_*`.
    pub flags: U32,
    /// Number of the interrupt type.
    pub index: U32,
    /// Interrupts of that type.
    pub count: U32,
}

/// Fixed part of DEVICE_SET_IRQS; one byte per interrupt may follow. The reply has no payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IrqSet {
    /// Bytes of this structure and of what follows it.
    pub argsz: U32,
    /// One of `IRQ_SET_DATA_*` and one of `IRQ_SET_ACTION_*`.
    pub flags: U32,
    /// Number of the interrupt type.
    pub index: U32,
    /// First interrupt.
    pub start: U32,
    /// Number of interrupts.
    pub count: U32,
}

/// Fixed part of REGION_READ and REGION_WRITE, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct RegionAccess {
    /// Offset in the region.
    pub offset: U64,
    /// Number of the region.
    pub region: U32,
    /// Data bytes.
    pub count: U32,
}

/// Fixed part of REGION_WRITE_MULTI, both ways; [`SmallWrite`]s follow in the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct WriteMulti {
    /// Number of writes.
    pub count: U64,
}

/// One write of REGION_WRITE_MULTI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SmallWrite {
    /// Offset in the region.
    pub offset: U64,
    /// Number of the region.
    pub region: U32,
    /// Data bytes, at most 8.
    pub count: U32,
    /// The data, padded.
    pub data: [u8; 8],
}

/// Fixed part of DMA_READ and DMA_WRITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DmaAccess {
    /// DMA address.
    pub address: U64,
    /// Data bytes.
    pub count: U64,
}

/// Bytes of a wire structure, as its own `argsz` field says it.
#[expect(clippy::cast_possible_truncation, reason = "no structure of the protocol reaches 4 GiB")]
pub(crate) const fn wire_size<T>() -> u32 {
    size_of::<T>() as u32
}

/// DMA_MAP flag: the device may read.
pub const DMA_MAP_READ: u32 = 1 << 0;
/// DMA_MAP flag: the device may write.
pub const DMA_MAP_WRITE: u32 = 1 << 1;
/// DMA_UNMAP flag: all maps of the client at once.
pub const DMA_UNMAP_ALL: u32 = 1 << 1;

/// Region flag: can be read.
pub const REGION_READ: u32 = 1 << 0;
/// Region flag: can be written.
pub const REGION_WRITE: u32 = 1 << 1;
/// Region flag: can be mapped; a file comes with the reply.
pub const REGION_MMAP: u32 = 1 << 2;
/// Region flag: a capability list exists.
pub const REGION_CAPS: u32 = 1 << 3;
/// Id of the sparse mmap region capability.
pub const REGION_CAP_SPARSE_MMAP: u16 = 1;

/// SET_IRQS data: none, the action holds for the whole range.
pub const IRQ_SET_DATA_NONE: u32 = 1 << 0;
/// SET_IRQS data: a byte per interrupt, nonzero where the action holds.
pub const IRQ_SET_DATA_BOOL: u32 = 1 << 1;
/// SET_IRQS data: an eventfd per interrupt.
pub const IRQ_SET_DATA_EVENTFD: u32 = 1 << 2;
/// SET_IRQS action: mask.
pub const IRQ_SET_ACTION_MASK: u32 = 1 << 3;
/// SET_IRQS action: unmask.
pub const IRQ_SET_ACTION_UNMASK: u32 = 1 << 4;
/// SET_IRQS action: trigger.
pub const IRQ_SET_ACTION_TRIGGER: u32 = 1 << 5;
