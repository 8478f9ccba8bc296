//! AF_XDP sockets on a netdev's queues: its frames come straight into the pool, past the host's stack.
//!
//! ```text
//!   receive   netdev (zero-copy: by DMA; else the kernel's copy) -> pool -> receiver
//!   send      sender -> pool -> netdev (zero-copy: by DMA; else the kernel's copy)
//! ```
//!
//! The pool is the socket's UMEM, so that the one copy of the data path is the only one of a zero-copy socket. The first
//! half of its chunks is for receiving: each is in the fill ring, the receive ring or the backlog; the second half for
//! sending: each is in the list of free ones, the transmit ring or the completion ring.
//!
//! AF_XDP tells nothing of offloads: frames are cut and checksummed before they are sent, and the driver must leave tags
//! in the frames (`ethtool -K NAME rxvlan off`). Frames of senders on this host, through a veth, may lack checksums that
//! the sender left to the netdev; switch that off there, or use a packet socket.

mod program;
mod ring;
mod socket;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use ethernet::{ETHERNET_HEADER_LEN, VLAN_TAG_LEN, VlanTag};
use guest_memory::{Access, MemoryView};
use port::{BURST, Burst, Consumed, Cycles, Frame, HEADER_MAX, Malformed, Pieces, Port, Put, Refusal, Spec};
use rustix::net::sockopt::socket_error;

use crate::backlog::{Backlog, Received};
use crate::link::LinkCell;
use crate::outlet::longest;
use crate::pool::Pool;
use crate::syscall::{Span, kick_receive, kick_transmit};
use crate::vnet::WIRE_MIN;

use program::Redirect;
use ring::{Consumer, Producer};

pub(crate) use socket::open;

/// Entries of each ring: half of the pool's chunks.
const RING: u32 = 2048;
/// Bytes that the kernel keeps free in front of a received frame (`XDP_PACKET_HEADROOM`).
const HEADROOM: usize = 256;
/// Chunks: a page holds one or two of them.
const CHUNKS: [usize; 2] = [2048, 4096];
/// Largest MTU that fits in a chunk.
const LARGEST: usize = 4096 - OVERHEAD;
/// What of a chunk is not payload: headroom, header, two tags.
const OVERHEAD: usize = HEADROOM + ETHERNET_HEADER_LEN + 2 * VLAN_TAG_LEN;
/// When to try again to send what the kernel did not take: some 50 us, on machines of 2 to 4 GHz.
const RETRY: Cycles = 150_000;

/// Where in the kernel an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttachMode {
    /// In the netdev's driver.
    Driver,
    /// In the network stack, for drivers without XDP.
    Generic,
}

/// Bytes of a chunk for frames of that MTU, if there is one.
fn chunk_for(mtu: usize) -> Option<usize> {
    CHUNKS.into_iter().find(|chunk| mtu + OVERHEAD <= *chunk)
}

#[derive(Debug)]
struct Rings {
    fill: Producer,
    receive: Consumer,
    transmit: Producer,
    completion: Consumer,
}

/// One AF_XDP socket.
#[derive(Debug)]
pub(crate) struct XdpQueue {
    rings: Rings,
    socket: Arc<OwnedFd>,
    pool: Pool,
    /// Bytes of a chunk, a power of two.
    chunk: usize,
    backlog: Backlog,
    /// Chunks that nothing is sent from.
    free: Vec<usize>,
    link: Arc<LinkCell>,
    /// Changes of the link that were looked at.
    changes: u32,
    retry: Option<Cycles>,
    /// Taken for the first frame of a round.
    view: Option<MemoryView>,
    /// Frames come as long as any queue of the netdev has it.
    _redirect: Arc<Redirect>,
}

impl XdpQueue {
    fn new(
        socket: OwnedFd,
        pool: Pool,
        mut rings: Rings,
        chunk: usize,
        link: Arc<LinkCell>,
        redirect: Arc<Redirect>,
    ) -> Self {
        let count = RING as usize;
        (0..count).for_each(|index| rings.fill.add_address((index * chunk) as u64));
        rings.fill.publish();
        Self {
            rings,
            socket: Arc::new(socket),
            pool,
            chunk,
            backlog: Backlog::new(),
            free: (count..2 * count).map(|index| index * chunk).collect(),
            changes: link.changes(),
            link,
            retry: None,
            view: None,
            _redirect: redirect,
        }
    }

    pub(crate) fn socket(&self) -> &Arc<OwnedFd> {
        &self.socket
    }

    fn receive(&mut self, burst: &mut Burst) {
        let spec = Spec { pad_to: WIRE_MIN, ..Spec::default() };
        for _ in 0..BURST {
            let Some(span) = self.rings.receive.take_frame() else {
                self.look_at_link();
                break;
            };
            // What lies elsewhere is none of the chunks that were given to the kernel to receive into.
            if span.at >= RING as usize * self.chunk {
                self.backlog.count(Malformed::DmaFault);
            } else if !self.backlog.add(burst, Received { span, spec }) {
                give_back(&mut self.rings.fill, self.chunk, span);
            }
        }
        self.rings.receive.release();
    }

    /// A netdev that is removed leaves an error at the socket, which counts as readable until it is looked at.
    fn look_at_link(&mut self) {
        let changes = self.link.changes();
        if changes != self.changes {
            self.changes = changes;
            // What it says is known from the watcher.
            let _ = socket_error(&*self.socket);
        }
    }

    /// A chunk to send from, with a place in the transmit ring.
    fn reserve(&mut self) -> Option<usize> {
        if self.free.is_empty() {
            // At most all chunks that are sent from, for which the list has room.
            while let Some(address) = self.rings.completion.take_address() {
                self.free.extend(usize::try_from(address).map(|at| at & !(self.chunk - 1)));
            }
            self.rings.completion.release();
        }
        if !self.rings.transmit.has_room() {
            return None;
        }
        self.free.pop()
    }

    /// Has the kernel send what is in the ring, as far as it does without waiting.
    fn transmit(&mut self, now: Cycles) {
        self.rings.transmit.publish();
        self.retry = None;
        let mut left = self.rings.transmit.left();
        while left > 0 && self.rings.transmit.wants_wakeup() {
            if let Err(error) = kick_transmit(self.socket.as_fd())
                && !matches!(
                    error.raw_os_error(),
                    Some(libc::EAGAIN | libc::EBUSY | libc::ENOBUFS | libc::EINTR)
                )
            {
                // Switched off or removed: what is in the ring leaves when it is switched on, or never.
                return;
            }
            // A socket that copies sends a batch per call.
            let before = std::mem::replace(&mut left, self.rings.transmit.left());
            if left == before {
                self.retry = Some(now + RETRY);
                return;
            }
        }
    }

    /// Puts the pieces from number `from` on.
    fn put_pieces(&mut self, view: &MemoryView, pieces: &Pieces<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        for index in from..pieces.count() {
            let Some(at) = self.reserve() else { return Put::Full { next: index } };
            match write_piece(view, pieces, index, tag, at) {
                Ok(len) => self.rings.transmit.add_frame(Span { at, len }),
                Err(refusal) => {
                    self.free.push(at);
                    return Put::Refused(refusal);
                }
            }
        }
        Put::Done
    }
}

/// Writes a piece as it goes on the wire; its length.
fn write_piece(
    view: &MemoryView,
    pieces: &Pieces<'_>,
    index: u32,
    tag: Option<VlanTag>,
    at: usize,
) -> Result<usize, Refusal> {
    let mut scratch = [0; HEADER_MAX + VLAN_TAG_LEN];
    let piece = pieces.get(index, tag, &mut scratch);
    let place = view.slice(at as u64, piece.len(), Access::Write).map_err(|_| Refusal::DmaFault)?;
    piece.write(&[place])?;
    Ok(piece.len())
}

/// Lets the kernel receive into a frame's chunk again.
fn give_back(fill: &mut Producer, chunk: usize, span: Span) {
    // There is room for all chunks that the kernel receives into.
    if fill.has_room() {
        fill.add_address((span.at & !(chunk - 1)) as u64);
    }
}

impl Port for XdpQueue {
    fn fetch(&mut self, burst: &mut Burst, _now: Cycles) {
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
        let Self { backlog, rings, chunk, .. } = self;
        backlog.complete(consumed, |received| give_back(&mut rings.fill, *chunk, received.span));
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        if !self.link.is_running() {
            return Put::Refused(Refusal::NotReady);
        }
        let pieces = match Pieces::new(frame) {
            Ok(pieces) => pieces,
            Err(refusal) => return Put::Refused(refusal),
        };
        let longest = longest(frame, self.link.mtu()).min(self.chunk - VLAN_TAG_LEN);
        if pieces.longest() > longest {
            return Put::Refused(Refusal::TooLong);
        }
        let view = self.view.take().unwrap_or_else(|| self.pool.view());
        let put = self.put_pieces(&view, &pieces, tag, from);
        self.view = Some(view);
        put
    }

    fn flush(&mut self, now: Cycles) {
        self.view = None;
        self.rings.fill.publish();
        if self.rings.fill.wants_wakeup() {
            // It says whether there are frames, which is seen in the ring.
            let _ = kick_receive(self.socket.as_fd());
        }
        self.transmit(now);
    }

    fn has_work(&self) -> bool {
        self.rings.receive.has_entry() || !self.backlog.is_empty()
    }

    fn deadline(&self) -> Option<Cycles> {
        self.retry
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        self.backlog.take_malformed(count);
    }
}
