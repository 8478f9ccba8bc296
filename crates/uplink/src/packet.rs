//! Packet sockets (packet(7)) on a netdev: what it receives is received here too, and what is sent here leaves by it.
//!
//! ```text
//!   receive   netdev -> receive ring (kernel's copy) -> pool -> receiver
//!   send      sender -> pool -> sendmmsg (kernel's copy) -> netdev, past its queueing discipline
//! ```
//!
//! The ring cannot be mapped into a DMA domain, which takes memory files only; so frames are copied out of it, and each
//! place in it is free again at once. A transmit ring would need such a copy too, in the place of the kernel's: frames
//! are sent from the pool, many by one system call.
//!
//! The netdev should be the switch's alone: without an address of its own, since the host's stack also hears what it
//! receives.

mod ring;
mod socket;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use ethernet::{TPID_8021Q, VLAN_TAG_LEN, VlanTag};
use guest_memory::MemoryView;
use port::{BURST, Burst, Consumed, Cycles, Frame, HEADER_MAX, Malformed, Port, Put};
use rustix::net::sockopt::socket_error;

use crate::backlog::{Backlog, Received};
use crate::link::LinkCell;
use crate::losses::LossCounters;
use crate::outlet::{self, Outlet, Unsent};
use crate::pool::Pool;
use crate::syscall::{SEND_BATCH, Span, read_into, send_batch};
use crate::vnet::{VNET_HEADER, VnetHeader};
use crate::wake::Wake;

use ring::{ReceiveRing, Slot};

pub(crate) use socket::{open, promiscuous};

/// Longest frame that passes, with its vnet header and tags.
const LONGEST: usize = VNET_HEADER + 65_535 + 64;
const LINE: usize = 64;
/// Frames to be sent are collected from here ...
const SEND_AT: usize = 0;
/// ... to here: some super-frames, or a batch of common ones.
const SEND_END: usize = SEND_AT + 256 * 1024;
/// Frames are received from here to the end of the pool.
const RECEIVE_AT: usize = SEND_END;
const POOL: usize = RECEIVE_AT + 512 * 1024;
/// When to try again to send what the kernel had no room for: some 50 us, on machines of 2 to 4 GHz.
const RETRY: Cycles = 150_000;

/// One packet socket.
#[derive(Debug)]
pub(crate) struct PacketQueue {
    socket: Arc<OwnedFd>,
    ring: ReceiveRing,
    pool: Pool,
    backlog: Backlog,
    link: Arc<LinkCell>,
    /// Changes of the link that were looked at.
    changes: u32,
    losses: Arc<LossCounters>,
    /// Frames to be sent.
    outgoing: Vec<Span>,
    send_next: usize,
    retry: Option<Cycles>,
}

impl PacketQueue {
    fn new(
        socket: OwnedFd,
        ring: ReceiveRing,
        link: Arc<LinkCell>,
        losses: Arc<LossCounters>,
        wake: &Wake,
    ) -> io::Result<Self> {
        wake.add(&socket)?;
        Ok(Self {
            socket: Arc::new(socket),
            ring,
            pool: Pool::new("uplink-packet", POOL)?,
            backlog: Backlog::new(),
            changes: link.changes(),
            link,
            losses,
            outgoing: Vec::with_capacity(SEND_BATCH),
            send_next: SEND_AT,
            retry: None,
        })
    }

    pub(crate) fn socket(&self) -> &Arc<OwnedFd> {
        &self.socket
    }

    fn receive(&mut self, burst: &mut Burst) {
        let mut next = RECEIVE_AT;
        for _ in 0..BURST {
            if next + LINE + LONGEST > POOL {
                return;
            }
            let Some(slot) = self.ring.next() else { return self.look_at_link() };
            let start = next + LINE;
            let length = self.copy_out(&slot, start);
            self.ring.release();
            match length {
                Some(length) => {
                    next = (start + length).next_multiple_of(LINE);
                    self.take(&slot, start, length, burst);
                }
                None => self.losses.truncated(),
            }
        }
    }

    /// Copies a frame to `start` in the pool, its vnet header right before it; its length, or `None` if only part of it
    /// is there.
    fn copy_out(&self, slot: &Slot, start: usize) -> Option<usize> {
        let span = Span { at: start - VNET_HEADER, len: LONGEST };
        if slot.is_apart() {
            // The first may tell of an error of the link that has nothing to do with the frame.
            let read = || read_into(self.socket.as_fd(), self.pool.memory(), span).ok();
            return read().or_else(read)?.checked_sub(VNET_HEADER);
        }
        let length = slot.whole_length()?;
        self.pool.memory().copy_from(
            span.at,
            self.ring.memory(),
            slot.frame_at() - VNET_HEADER,
            VNET_HEADER + length,
        );
        Some(length)
    }

    fn take(&mut self, slot: &Slot, mut start: usize, mut len: usize, burst: &mut Burst) {
        let memory = self.pool.memory();
        let mut header = [0; VNET_HEADER];
        memory.read(start - VNET_HEADER, &mut header);
        let mut header = VnetHeader::parse(header);
        let tag = match slot.tag() {
            Some((tpid, tci)) if tpid != TPID_8021Q && len >= 14 => {
                // A service tag stays in the bytes, where the kernel took it from.
                let mut addresses = [0; 12];
                memory.read(start, &mut addresses);
                start -= VLAN_TAG_LEN;
                len += VLAN_TAG_LEN;
                memory.write(start, &addresses);
                memory.write(start + 12, &tpid.to_be_bytes());
                memory.write(start + 14, &tci.to_be_bytes());
                header.shift(VLAN_TAG_LEN);
                None
            }
            tag => tag.map(|(_, tci)| VlanTag(tci)),
        };
        let spec = header.spec(|| {
            let mut head = [0; HEADER_MAX];
            let head = &mut head[..len.min(HEADER_MAX)];
            memory.read(start, head);
            ethernet::parse(head)
        });
        match spec {
            Ok(mut spec) => {
                spec.meta.tag = tag;
                self.backlog.add(burst, Received { span: Span { at: start, len }, spec });
            }
            Err(reason) => self.backlog.count(reason),
        }
    }

    /// A netdev that goes down leaves an error at the socket, which counts as readable until it is looked at.
    fn look_at_link(&mut self) {
        let changes = self.link.changes();
        if changes != self.changes {
            self.changes = changes;
            // What it says is known from the watcher.
            let _ = socket_error(&*self.socket);
        }
    }

    /// Sends what was collected, as far as the kernel takes it.
    fn send_all(&mut self) {
        // An error that the link left at the socket when it was down says nothing of now.
        let mut may_be_old = self.link.is_running();
        while !self.outgoing.is_empty() {
            match send_batch(self.socket.as_fd(), self.pool.memory(), &self.outgoing) {
                Ok(0) => return,
                Ok(sent) => drop(self.outgoing.drain(..sent)),
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => return,
                    Some(libc::ENETDOWN) if may_be_old => may_be_old = false,
                    Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => {
                        self.losses.link_down(self.outgoing.len());
                        self.outgoing.clear();
                    }
                    _ => {
                        self.losses.refused();
                        self.outgoing.remove(0);
                    }
                },
            }
        }
        self.send_next = SEND_AT;
    }
}

impl Outlet for PacketQueue {
    fn view(&self) -> MemoryView {
        self.pool.view()
    }

    fn reserve(&mut self, len: usize) -> Option<u64> {
        let full = |queue: &Self| queue.outgoing.len() == SEND_BATCH || queue.send_next + len > SEND_END;
        if full(self) {
            self.send_all();
        }
        (!full(self)).then_some(self.send_next as u64)
    }

    fn send(&mut self, span: Span) -> Result<(), Unsent> {
        self.outgoing.push(span);
        self.send_next = (span.at + span.len).next_multiple_of(LINE);
        Ok(())
    }
}

impl Port for PacketQueue {
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
        self.backlog.complete(consumed, |_| ());
    }

    fn put(&mut self, frame: &Frame<'_>, tag: Option<VlanTag>, from: u32) -> Put {
        let link = Arc::clone(&self.link);
        outlet::put(self, &link, frame, tag, from)
    }

    fn flush(&mut self, now: Cycles) {
        self.send_all();
        self.retry = if self.outgoing.is_empty() { None } else { Some(now + RETRY) };
    }

    fn has_work(&self) -> bool {
        self.ring.has_frame() || !self.backlog.is_empty()
    }

    fn deadline(&self) -> Option<Cycles> {
        self.retry
    }

    fn take_malformed(&mut self, count: &mut dyn FnMut(Malformed, u64)) {
        self.backlog.take_malformed(count);
    }
}
