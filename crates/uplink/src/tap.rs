//! Tap netdevs: what the host's network stack sends on one is received here, and the other way round.
//!
//! Every frame costs a system call: the kernel has no other way to a tap's queue. Its header tells of checksums that are
//! missing and of super-frames, both ways, so that bulk traffic passes in frames of 64 KiB.
//!
//! Frames go through the pool rather than straight from and to guest memory: what [`port::Frame`] and
//! [`port::Piece`] give out are slices of guest memory without addresses, which only another copy can reach; the
//! kernel's own copy makes two in all.

mod setup;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use ethernet::VlanTag;
use guest_memory::MemoryView;
use port::{Burst, Consumed, Cycles, Frame, HEADER_MAX, Malformed, Port, Put, Refusal};

use crate::backlog::{Backlog, Received};
use crate::link::LinkCell;
use crate::outlet::{self, Outlet, Unsent};
use crate::pool::Pool;
use crate::syscall::{Span, read_into, write_from};
use crate::vnet::{VNET_HEADER, VnetHeader};
use crate::wake::Wake;

pub(crate) use setup::{attach, set_up};

/// Longest frame that passes a tap, with its vnet header and tags.
const LONGEST: usize = VNET_HEADER + 65_535 + 64;
/// Frames are sent from here, one at a time: the kernel has copied it when the call returns.
const SEND_AT: usize = 0;
/// Frames are received from here to the end of the pool.
const RECEIVE_AT: usize = (SEND_AT + LONGEST).next_multiple_of(LINE);
/// Room for some super-frames, or a burst of common ones.
const POOL: usize = RECEIVE_AT + 512 * 1024;
const LINE: usize = 64;

/// One queue of a tap netdev.
#[derive(Debug)]
pub(crate) struct TapQueue {
    fd: OwnedFd,
    pool: Pool,
    backlog: Backlog,
    link: Arc<LinkCell>,
    wake: Wake,
    /// The last look did not find the queue empty.
    more: bool,
    /// The netdev is gone.
    gone: bool,
}

impl TapQueue {
    /// `fd` is attached to a tap.
    pub(crate) fn new(fd: OwnedFd, link: Arc<LinkCell>, wake: Wake) -> io::Result<Self> {
        wake.add(&fd)?;
        let pool = Pool::new("uplink-tap", POOL)?;
        Ok(Self { fd, pool, backlog: Backlog::new(), link, wake, more: true, gone: false })
    }

    /// Reads frames until there are no more, or no more room.
    fn receive(&mut self, burst: &mut Burst) {
        let mut next = RECEIVE_AT;
        self.more = true;
        // Also frames that make no sense use up room, so that this ends.
        while !self.backlog.is_full() && next + LINE + LONGEST <= POOL {
            // So that the frame behind its header starts on a cache line.
            let at = next + LINE - VNET_HEADER;
            match read_into(self.fd.as_fd(), self.pool.memory(), Span { at, len: LONGEST }) {
                Ok(length) => {
                    next = (at + length).next_multiple_of(LINE);
                    self.take(at, length, burst);
                }
                Err(error) => {
                    self.more = false;
                    self.note(&error);
                    return;
                }
            }
        }
    }

    fn take(&mut self, at: usize, length: usize, burst: &mut Burst) {
        let Some(len) = length.checked_sub(VNET_HEADER) else {
            return self.backlog.count(Malformed::TooShort);
        };
        let memory = self.pool.memory();
        let mut header = [0; VNET_HEADER];
        memory.read(at, &mut header);
        let start = at + VNET_HEADER;
        let spec = VnetHeader::parse(header).spec(|| {
            let mut head = [0; HEADER_MAX];
            let head = &mut head[..len.min(HEADER_MAX)];
            memory.read(start, head);
            ethernet::parse(head)
        });
        match spec {
            Ok(spec) => {
                self.backlog.add(burst, Received { span: Span { at: start, len }, spec });
            }
            Err(reason) => self.backlog.count(reason),
        }
    }

    /// Looks whether an error means that there is no netdev any more.
    fn note(&mut self, error: &io::Error) {
        if matches!(error.raw_os_error(), Some(libc::EBADFD | libc::ENODEV)) && !self.gone {
            self.gone = true;
            self.wake.remove(&self.fd);
        }
    }
}

impl Outlet for TapQueue {
    fn view(&self) -> MemoryView {
        self.pool.view()
    }

    fn reserve(&mut self, len: usize) -> Option<u64> {
        (len <= LONGEST).then_some(SEND_AT as u64)
    }

    fn send(&mut self, span: Span) -> Result<(), Unsent> {
        let Err(error) = write_from(self.fd.as_fd(), self.pool.memory(), span) else { return Ok(()) };
        self.note(&error);
        Err(match error.raw_os_error() {
            Some(libc::EAGAIN) => Unsent::Full,
            Some(libc::ENOMEM | libc::ENOBUFS) => Unsent::Refused(Refusal::NoBuffers),
            // The kernel does not believe the vnet header.
            Some(libc::EINVAL) => Unsent::Refused(Refusal::BadSegmentation),
            // Switched off (EIO), or gone (EBADFD).
            _ => Unsent::Refused(Refusal::NotReady),
        })
    }
}

impl Port for TapQueue {
    fn fetch(&mut self, burst: &mut Burst, _now: Cycles) {
        if self.gone {
            return;
        }
        burst.begin(self.pool.view());
        if self.backlog.is_empty() {
            self.receive(burst);
        } else {
            self.backlog.offer(burst);
        }
    }

    fn resume(&self) -> u32 {
        self.backlog.resume()
    }

    fn complete(&mut self, _burst: &Burst, consumed: Consumed, _now: Cycles) {
        self.backlog.complete(consumed, |_| ());
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        let link = Arc::clone(&self.link);
        outlet::put(self, &link, frame, tag, from)
    }

    fn flush(&mut self, _now: Cycles) {}

    /// True if the last look found frames: the kernel can only be asked by a system call. The wake descriptor tells of
    /// those that come later.
    fn has_work(&self) -> bool {
        !self.gone && (self.more || !self.backlog.is_empty())
    }

    fn deadline(&self) -> Option<Cycles> {
        None
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        self.backlog.take_malformed(count);
    }
}
