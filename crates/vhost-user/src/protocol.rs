//! The wire format: requests, header, feature bits, and one structure per payload, in the machine's byte order.
//!
//! Source: the vhost-user protocol document of QEMU (`docs/interop/vhost-user.rst`), called "protocol" in this
//! crate's comments. Ring layouts are those of the virtio specification, "Virtqueues".

use zerocopy::native_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a [`Header`], the least that a message has.
pub const HEADER_SIZE: usize = size_of::<Header>();

/// The longest payload that is taken. A memory table of eight regions has 264 bytes; the rest is for requests that are
/// refused, which must not end the session.
pub const MAX_PAYLOAD_SIZE: usize = 4096;

/// The most file descriptors that come with one message (protocol, "Memory regions description").
pub const MAX_MSG_FDS: usize = 8;

/// The most regions of one SET_MEM_TABLE. Larger tables are built by ADD_MEM_REG.
pub const MAX_TABLE_REGIONS: usize = 8;

/// Address, size and file offset of a memory region are multiples of it.
pub const PAGE_SIZE: u64 = 4096;

/// Guest memory behind one bit of the dirty log, in bytes (`VHOST_LOG_PAGE`).
pub const LOG_PAGE_SIZE: u64 = 4096;

/// The largest ring (virtio, "Virtqueues").
pub const MAX_RING_SIZE: u32 = 32768;

/// The most rings: SET_VRING_KICK and its like have eight bits for the index.
pub const MAX_RINGS: u16 = 256;

macro_rules! requests {
    ($($(#[$doc:meta])* $variant:ident = $number:literal;)*) => {
        /// What the front end asks for (protocol, "Front-end message types").
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum RequestCode { $($(#[$doc])* $variant = $number,)* }

        impl RequestCode {
            /// The request with this number, if there is one.
            #[must_use]
            pub fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

requests! {
    /// Virtio features that the back end offers.
    GetFeatures = 1;
    /// Those that are to be used.
    SetFeatures = 2;
    /// The session begins.
    SetOwner = 3;
    /// Disables all rings; deprecated.
    ResetOwner = 4;
    /// Replaces the memory table.
    SetMemTable = 5;
    /// The dirty log.
    SetLogBase = 6;
    /// Eventfd for changes of the dirty log.
    SetLogFd = 7;
    /// Size of a ring.
    SetVringNum = 8;
    /// Addresses of a ring.
    SetVringAddr = 9;
    /// Where a ring goes on.
    SetVringBase = 10;
    /// Stops a ring and asks where it stands.
    GetVringBase = 11;
    /// Eventfd for new buffers; starts a ring.
    SetVringKick = 12;
    /// Eventfd for used buffers.
    SetVringCall = 13;
    /// Eventfd for errors.
    SetVringErr = 14;
    /// Extensions of the protocol that the back end offers.
    GetProtocolFeatures = 15;
    /// Those that are to be used.
    SetProtocolFeatures = 16;
    /// Queue pairs of the back end.
    GetQueueNum = 17;
    /// Enables or disables a ring.
    SetVringEnable = 18;
    /// Announce a MAC address after a migration.
    SendRarp = 19;
    /// The MTU that the guest is told of.
    NetSetMtu = 20;
    /// Socket for requests of the back end; not supported here.
    SetBackendReqFd = 21;
    /// Address translation; not supported here.
    IotlbMsg = 22;
    /// Byte order of a ring of a legacy device; not supported here.
    SetVringEndian = 23;
    /// Reads config space; not supported here.
    GetConfig = 24;
    /// Writes config space; not supported here.
    SetConfig = 25;
    /// Crypto devices only.
    CreateCryptoSession = 26;
    /// Crypto devices only.
    CloseCryptoSession = 27;
    /// Post-copy migration; not supported here.
    PostcopyAdvise = 28;
    /// Post-copy migration; not supported here.
    PostcopyListen = 29;
    /// Post-copy migration; not supported here.
    PostcopyEnd = 30;
    /// A new file for the state of buffers in flight.
    GetInflightFd = 31;
    /// That file, back from the front end.
    SetInflightFd = 32;
    /// GPU devices only.
    GpuSetSocket = 33;
    /// Resets the device.
    ResetDevice = 34;
    /// New buffers, told in band; not supported here.
    VringKick = 35;
    /// Memory regions that the table may have.
    GetMaxMemSlots = 36;
    /// Adds a region to the memory table.
    AddMemReg = 37;
    /// Removes a region from the memory table.
    RemMemReg = 38;
    /// The driver's device status.
    SetStatus = 39;
    /// The device status as the device sees it.
    GetStatus = 40;
    /// Shared objects; not supported here.
    GetSharedObject = 41;
    /// State of the device itself, for migration; not supported here.
    SetDeviceStateFd = 42;
    /// State of the device itself, for migration; not supported here.
    CheckDeviceState = 43;
    /// Shared memory regions of the device; not supported here.
    GetShmemConfig = 44;
}

/// Virtio feature bits that this crate itself has to know.
pub mod features {
    /// The used and available event fields are in use (`VIRTIO_F_EVENT_IDX`).
    pub const EVENT_IDX: u64 = 1 << 29;
    /// All writes to guest memory are to be logged (`VHOST_F_LOG_ALL`).
    pub const LOG_ALL: u64 = 1 << 26;
    /// Protocol features can be negotiated (`VHOST_USER_F_PROTOCOL_FEATURES`).
    pub const PROTOCOL_FEATURES: u64 = 1 << 30;
    /// Addresses need translation by the front end (`VIRTIO_F_ACCESS_PLATFORM`).
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    /// Packed rings (`VIRTIO_F_RING_PACKED`).
    pub const RING_PACKED: u64 = 1 << 34;
}

/// Extensions of the protocol (`VHOST_USER_PROTOCOL_F_*`).
pub mod protocol_features {
    /// Several queue pairs.
    pub const MQ: u64 = 1 << 0;
    /// The dirty log comes as a file.
    pub const LOG_SHMFD: u64 = 1 << 1;
    /// SEND_RARP.
    pub const RARP: u64 = 1 << 2;
    /// Any request can be acknowledged.
    pub const REPLY_ACK: u64 = 1 << 3;
    /// NET_SET_MTU.
    pub const MTU: u64 = 1 << 4;
    /// GET_INFLIGHT_FD and SET_INFLIGHT_FD.
    pub const INFLIGHT_SHMFD: u64 = 1 << 12;
    /// RESET_DEVICE.
    pub const RESET_DEVICE: u64 = 1 << 13;
    /// ADD_MEM_REG, REM_MEM_REG and GET_MAX_MEM_SLOTS.
    pub const CONFIGURE_MEM_SLOTS: u64 = 1 << 15;
    /// SET_STATUS and GET_STATUS.
    pub const STATUS: u64 = 1 << 16;
    /// All of the above: what this back end offers.
    pub const OFFERED: u64 = MQ
        | LOG_SHMFD
        | RARP
        | REPLY_ACK
        | MTU
        | INFLIGHT_SHMFD
        | RESET_DEVICE
        | CONFIGURE_MEM_SLOTS
        | STATUS;
}

/// Header of every message.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Header {
    /// A [`RequestCode`], the same in the reply.
    pub request: U32,
    /// Version in bits 1:0, then the bits below.
    pub flags: U32,
    /// Bytes of payload that follow.
    pub size: U32,
}

impl Header {
    /// The only version of the protocol.
    pub const VERSION: u32 = 1;
    /// Mask of the version.
    pub const VERSION_MASK: u32 = 3;
    /// The message is a reply.
    pub const REPLY: u32 = 1 << 2;
    /// The sender wants to know how it went; counts only with [`protocol_features::REPLY_ACK`].
    pub const NEED_REPLY: u32 = 1 << 3;
    /// Bits that have a meaning.
    pub const KNOWN_FLAGS: u32 = Self::VERSION_MASK | Self::REPLY | Self::NEED_REPLY;

    /// The header of a reply with `size` bytes of payload. QEMU compares the flags for equality.
    #[must_use]
    pub fn reply(request: u32, size: u32) -> Self {
        Self { request: request.into(), flags: (Self::VERSION | Self::REPLY).into(), size: size.into() }
    }

    /// Version of the protocol that the sender speaks.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.flags.get() & Self::VERSION_MASK
    }
}

/// Payload "vring state description".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VringState {
    /// Number of the ring.
    pub index: U32,
    /// Size, position or switch, as the request has it.
    pub num: U32,
}

/// Payload "vring address description". Ring addresses are addresses in the front end's own address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct VringAddr {
    /// Number of the ring.
    pub index: U32,
    /// [`VRING_LOG`] or 0.
    pub flags: U32,
    /// Descriptor table, or descriptor ring if packed.
    pub descriptors: U64,
    /// Used ring, or device event suppression if packed.
    pub used: U64,
    /// Available ring, or driver event suppression if packed.
    pub available: U64,
    /// Guest address at which writes to the used ring are logged.
    pub log: U64,
}

/// Flag of [`VringAddr`]: writes to the used ring are logged (`VHOST_VRING_F_LOG`).
pub const VRING_LOG: u32 = 1;

/// Fixed part of SET_MEM_TABLE; [`Region`]s follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct MemoryTable {
    /// Number of regions.
    pub regions: U32,
    /// Not looked at.
    pub padding: U32,
}

/// One memory region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Region {
    /// First guest address.
    pub guest: U64,
    /// Bytes.
    pub size: U64,
    /// First address in the front end's own address space.
    pub user: U64,
    /// Where the region begins in its file.
    pub offset: U64,
}

/// Payload "single memory region description".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SingleRegion {
    /// Not looked at.
    pub padding: U64,
    /// The region.
    pub region: Region,
}

/// Payload "log description".
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Log {
    /// Bytes of the log; each stands for eight pages.
    pub size: U64,
    /// Where guest address 0 is logged in the file.
    pub offset: U64,
}

/// Payload "inflight description". Most front ends send four bytes of padding behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Inflight {
    /// Bytes of the area.
    pub size: U64,
    /// Where it begins in the file.
    pub offset: U64,
    /// Number of rings.
    pub queues: U16,
    /// Size of each ring.
    pub queue_size: U16,
}

/// Bits of the ring number in SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR.
pub const VRING_INDEX_MASK: u64 = 0xff;
/// Bit in SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR: no descriptor comes with the message.
pub const VRING_NO_FD: u64 = 1 << 8;
