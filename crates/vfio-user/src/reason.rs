//! Why a message of the client was refused, and how often.

use rustix::io::Errno;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $errno:ident;)*) => {
        /// Why a message was refused. Each reason is a counter of the session; the client sees the errno only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason { $($(#[$doc])* $variant,)* }

        impl Reason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The reason's name in metrics and logs.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What the client is told, unless the device chose the errno.
            #[must_use]
            pub const fn errno(self) -> Errno {
                match self { $(Self::$variant => Errno::$errno,)* }
            }
        }
    };
}

reasons! {
    /// The header's type bits are neither command nor reply.
    MessageType = "message_type", INVAL;
    /// The header's size is below 16 or above the limit; ends the session.
    MessageSize = "message_size", INVAL;
    /// A reply to a command that a server never sends; ends the session.
    UnsolicitedReply = "unsolicited_reply", INVAL;
    /// A reply to a DMA_WRITE, which asked for none. Ignored.
    NeedlessReply = "needless_reply", INVAL;
    /// No such command.
    UnknownCommand = "unknown_command", OPNOTSUPP;
    /// A command of the protocol that this server does not have.
    UnsupportedCommand = "unsupported_command", OPNOTSUPP;
    /// The payload is shorter than the command's structure, or its length contradicts its counts.
    PayloadLength = "payload_length", INVAL;
    /// `argsz` is smaller than the command's structure.
    Argsz = "argsz", INVAL;
    /// File descriptors came with a command that takes none, or more than it takes.
    FdCount = "fd_count", INVAL;
    /// A command that only asks for data says that it wants no reply.
    NoReplyToQuery = "no_reply_to_query", INVAL;
    /// A command before VERSION.
    NotNegotiated = "not_negotiated", INVAL;
    /// A second VERSION.
    VersionTwice = "version_twice", INVAL;
    /// Another major version.
    VersionMajor = "version_major", INVAL;
    /// The version data is too long, has no NUL at its end, or is not JSON of the known form.
    VersionData = "version_data", INVAL;
    /// A capability has a value that no client can mean.
    VersionCapability = "version_capability", INVAL;
    /// Unknown flags, or a DMA map that may be neither read nor written.
    DmaFlags = "dma_flags", INVAL;
    /// A DMA range of size 0, one that wraps, or one that is not made of whole pages.
    DmaRange = "dma_range", INVAL;
    /// A DMA map over another one.
    DmaOverlap = "dma_overlap", EXIST;
    /// More DMA maps than this session may have.
    DmaTooMany = "dma_too_many", NOSPC;
    /// A DMA unmap that is not exactly an earlier map.
    DmaNotMapped = "dma_not_mapped", NOENT;
    /// No such region.
    RegionIndex = "region_index", INVAL;
    /// An access beyond the region's end, or one that wraps.
    RegionBounds = "region_bounds", INVAL;
    /// A read of a region that cannot be read, or a write of one that cannot be written.
    RegionDirection = "region_direction", ACCESS;
    /// More data than a message may carry.
    TransferSize = "transfer_size", INVAL;
    /// No such interrupt type.
    IrqIndex = "irq_index", INVAL;
    /// Not exactly one data flag and one action flag, or a pair that this interrupt type does not have.
    IrqFlags = "irq_flags", INVAL;
    /// Interrupts beyond the type's count, or a count of 0 that is not "disable all".
    IrqRange = "irq_range", INVAL;
    /// A file descriptor for an interrupt is not an eventfd.
    NotAnEventFd = "not_an_eventfd", INVAL;
    /// This process has no file descriptor left for the reply.
    NoFdLeft = "no_fd_left", MFILE;
    /// The device refused, with an errno of its own.
    Device = "device", IO;
}

/// A refused message: the reason for us, the errno for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) reason: Reason,
    pub(crate) errno: Errno,
}

impl Rejection {
    pub(crate) fn device(errno: Errno) -> Self {
        Self { reason: Reason::Device, errno }
    }
}

impl From<Reason> for Rejection {
    fn from(reason: Reason) -> Self {
        Self { reason, errno: reason.errno() }
    }
}

/// How many messages of a session were refused, per [`Reason`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters([u64; Reason::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Reason::ALL.len()])
    }
}

impl Counters {
    /// Messages refused for `reason`.
    #[must_use]
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// Messages refused, whatever the reason.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.get(reason)))
    }

    pub(crate) fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }
}
