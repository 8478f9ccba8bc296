//! The seam to the device behind a socket.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use sys::EventFd;

use crate::inflight::InflightShape;
use crate::memory::{MemoryRegion, SharedRegion};
use crate::protocol::{MAX_RING_SIZE, MAX_RINGS};

/// What a session lets its front end have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Receive and transmit ring pairs; 1 to 128. GET_QUEUE_NUM of a network device counts pairs.
    pub queue_pairs: u16,
    /// The largest ring; 1 to 32,768.
    pub queue_size: u16,
    /// Memory regions. Each keeps a file descriptor open and takes a mapping of the process.
    pub memory_slots: u16,
}

impl Limits {
    /// Rings: two for each pair.
    #[must_use]
    pub fn rings(&self) -> u16 {
        self.queue_pairs.saturating_mul(2).min(MAX_RINGS)
    }

    /// The largest ring, as the protocol has it.
    pub(crate) fn ring_size(&self) -> u32 {
        u32::from(self.queue_size).min(MAX_RING_SIZE)
    }
}

impl Default for Limits {
    /// One pair, rings of 1,024 (QEMU's bound for vhost-user), and regions for 32 memory devices beside those that each
    /// machine has.
    fn default() -> Self {
        Self { queue_pairs: 1, queue_size: 1024, memory_slots: 40 }
    }
}

/// How the memory table changes. All regions are valid in themselves and overlap no other one. The files are whatever
/// the front end sent: type, seals and length are for the device to check.
#[derive(Clone, Copy, Debug)]
pub enum MemoryChange<'a> {
    /// Everything is taken back, then this is given; no ring runs meanwhile. On failure nothing is mapped.
    Replace(&'a [SharedRegion]),
    /// One more region. On failure nothing has changed.
    Add(&'a SharedRegion),
    /// One region is taken back; no running ring lies in it. On failure nothing has changed.
    Remove(&'a MemoryRegion),
}

/// Where a ring stands. No buffer is in flight at that point: what was fetched has been used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingPosition {
    /// A split ring: the next entry of the available ring, counted on without end (modulo 2^16). The used ring has its
    /// index in memory.
    Split(u16),
    /// A packed ring: the next descriptor, for both directions.
    Packed {
        /// Its place in the ring.
        index: u16,
        /// Wrap counter at that place.
        wrap: bool,
    },
}

impl RingPosition {
    /// As SET_VRING_BASE and GET_VRING_BASE have it: for a packed ring the available half, and the used half above it.
    #[must_use]
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Split(index) => index.into(),
            Self::Packed { index, wrap } => (u32::from(index & 0x7fff) | u32::from(wrap) << 15) * 0x1_0001,
        }
    }
}

/// A ring that is to be served. Sizes, alignment and addresses are checked: each part lies within one memory region
/// and the parts do not overlap. What the guest writes there is not checked.
#[derive(Clone, Debug)]
pub struct Ring {
    /// Entries; for a split ring a power of two.
    pub size: u16,
    /// Guest address of the descriptor table, or of the descriptor ring if packed.
    pub descriptors: u64,
    /// Guest address of the driver area: available ring, or driver event suppression.
    pub driver: u64,
    /// Guest address of the device area: used ring, or device event suppression.
    pub device: u64,
    /// Where to begin; also says whether the ring is split or packed.
    pub position: RingPosition,
    /// False: transmitted frames are fetched and dropped, received ones are not put in.
    pub enabled: bool,
    /// Signalled by the front end when there are new buffers; none means that the ring has to be polled.
    pub kick: Option<Arc<EventFd>>,
    /// To be signalled when buffers were used; none means that the front end polls.
    pub call: Option<Arc<EventFd>>,
    /// To be signalled when the ring is broken.
    pub err: Option<Arc<EventFd>>,
    /// While writes are logged: where those to the device area are logged, as a guest address; none if they are not.
    pub device_log: Option<u64>,
}

/// One of the three events of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingEvent {
    /// New buffers.
    Kick,
    /// Used buffers.
    Call,
    /// The ring is broken.
    Err,
}

/// A file of the front end, or a part of it.
#[derive(Clone, Copy, Debug)]
pub struct FileRange<'a> {
    /// The file: its type, seals and length are for the device to check.
    pub fd: BorrowedFd<'a>,
    /// Where the part begins; a multiple of the page size.
    pub offset: u64,
    /// Bytes; not 0, and offset plus size do not wrap.
    pub size: u64,
}

/// What the session needs of a network device. All calls are synchronous: the front end (QEMU's main loop, mostly)
/// waits, so nothing here may wait for anything but quiescence of the data path.
///
/// Before a call the session has checked what the protocol promises; a device checks only what it alone knows. An
/// errno that it returns counts as [`Reason::Backend`](crate::Reason::Backend) and refuses the message.
///
/// The order of calls that a device can rely on: features are set only while no ring runs; `start` and `stop` of a ring
/// alternate; `set_event`, `set_enabled` and `set_device_log` come only between them. A ring runs only while its memory
/// is in the table and, if the front end wants writes to be logged, while there is a log that covers the table.
pub trait Backend {
    /// Virtio features of the device, without those of the protocol itself (`LOG_ALL`, `PROTOCOL_FEATURES`), which the
    /// session adds, and `ACCESS_PLATFORM`, which it never offers. Constant during a session.
    fn features(&self) -> u64;

    /// The features that the driver uses; a subset of those offered, again without those of the protocol itself. None
    /// of them is in force before the first call.
    fn set_features(&mut self, features: u64);

    /// Changes the memory table. When the call returns, memory that is no longer in the table is out of use: the front
    /// end may give it to something else at once.
    ///
    /// # Errors
    /// Any errno; what holds then is said at each [`MemoryChange`].
    fn change_memory(&mut self, change: MemoryChange<'_>) -> Result<(), Errno>;

    /// Begins to serve a ring, which may hold buffers that no kick will be heard of: look at it once at least.
    ///
    /// # Errors
    /// Any errno; the ring is not served then.
    fn start(&mut self, index: u16, ring: Ring) -> Result<(), Errno>;

    /// Stops serving a ring and says where it stands. When the call returns, no worker touches the ring, its buffers
    /// or its events any more.
    fn stop(&mut self, index: u16) -> RingPosition;

    /// Enables or disables a running ring, see [`Ring::enabled`].
    fn set_enabled(&mut self, index: u16, enabled: bool);

    /// Exchanges an event of a running ring. A guest that masks and unmasks its interrupts makes this call often.
    fn set_event(&mut self, index: u16, event: RingEvent, fd: Option<Arc<EventFd>>);

    /// Changes where writes to the device area of a running ring are logged, see [`Ring::device_log`].
    fn set_device_log(&mut self, index: u16, address: Option<u64>);

    /// Begins to log every write to guest memory, goes on in another log, or ends logging. Bit `n % 8` of byte `n / 8`
    /// stands for the page of [`LOG_PAGE_SIZE`](crate::protocol::LOG_PAGE_SIZE) bytes at guest address `n` times that;
    /// bits are set atomically, after the write. When the call returns, every later write is logged in the new log and
    /// the old one is out of use. The log covers the memory table whenever a ring runs.
    ///
    /// # Errors
    /// Any errno; nothing is logged then. Never for none.
    fn set_log(&mut self, log: Option<FileRange<'_>>) -> Result<(), Errno>;

    /// A new file of at least [`InflightShape::size`] bytes, all zero, for the state of buffers in flight.
    ///
    /// # Errors
    /// Any errno.
    fn create_inflight(&mut self, shape: InflightShape) -> Result<OwnedFd, Errno>;

    /// The area in which buffers in flight are recorded from the next start of a ring on. Its content is the front
    /// end's: indices, links and counters in it may be forged.
    ///
    /// # Errors
    /// Any errno; the area is not used then.
    fn set_inflight(&mut self, shape: InflightShape, area: FileRange<'_>) -> Result<(), Errno>;

    /// The MTU that the guest is told of.
    ///
    /// # Errors
    /// Any errno if the device cannot carry such packets.
    fn set_mtu(&mut self, mtu: u16) -> Result<(), Errno>;

    /// The guest has arrived here and cannot announce itself: send a reverse ARP for this address. Whether the adapter
    /// may use the address is for the device to judge.
    ///
    /// # Errors
    /// Any errno if the address is not the adapter's.
    fn announce(&mut self, mac: [u8; 6]) -> Result<(), Errno>;

    /// The driver's device status (virtio, "Device Status Field"). On 0 all rings have been stopped before.
    fn set_status(&mut self, status: u8);

    /// The state in which a session begins, but for the memory table, which stays: no features, no status, no inflight
    /// area, the device's own MTU. All rings have been stopped and logging has ended before.
    fn reset(&mut self);
}
