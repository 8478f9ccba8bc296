//! The conversation with one client: each request is answered once, or, if it wants no reply, not at all.

use crate::decoder::{BadSize, Message};
use crate::device::Device;
use crate::output::Output;
use crate::protocol::{Command, DmaAccess, Header, MessageType};
use crate::reason::{Counters, Reason, Rejection};
use crate::request::Request;
use crate::version::Negotiated;
use dma::DmaMaps;
use state::State;

mod dma;
mod info;
mod irqs;
mod region;
mod state;

/// DMA maps of a session unless its owner says otherwise: QEMU's own bound is 65,535, a guest has dozens, and the
/// kernel lets a process have 65,530 mappings by default, for all its sessions.
pub const DEFAULT_MAX_DMA_MAPS: u32 = 4096;

/// The client broke the protocol in a way after which nothing it says can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client sent a reply to command {command}, which a server never sends")]
pub struct UnsolicitedReply {
    /// The command number in the reply.
    pub command: u16,
}

/// A DMA_WRITE could not be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DmaWriteError {
    /// No VERSION yet.
    #[error("the client has not negotiated a version yet, so it takes no DMA_WRITE")]
    NotNegotiated,
    /// More than the client takes.
    #[error("a DMA_WRITE of {length} bytes exceeds the {limit} that the client takes")]
    TooLong {
        /// Data bytes.
        length: usize,
        /// The client's `max_data_xfer_size`, or ours if that is lower.
        limit: u32,
    },
    /// Beyond the last address.
    #[error("a DMA_WRITE of {length} bytes at {address:#x} goes beyond the last address")]
    Wraps {
        /// First address.
        address: u64,
        /// Data bytes.
        length: usize,
    },
    /// The client does not read; try again when output has gone out.
    #[error("the client does not read: {pending} bytes wait for it")]
    Full {
        /// Bytes that wait.
        pending: usize,
    },
}

/// State machine of one session. It takes messages, calls the device, and queues what the client gets; it knows no
/// socket and no time.
#[derive(Debug)]
pub struct Session {
    state: State,
    next_id: u16,
    output: Output,
    counters: Counters,
}

impl Session {
    /// A session in which nothing was said yet, for a client that may have up to `max_dma_maps` maps.
    #[must_use]
    pub fn new(max_dma_maps: u32) -> Self {
        Self {
            state: State { negotiated: None, maps: DmaMaps::new(max_dma_maps) },
            next_id: 0,
            output: Output::default(),
            counters: Counters::default(),
        }
    }

    /// Handles one message. Its reply, if it gets one, is in the [`output`](Self::output) afterwards. Give it no
    /// message while the output [is full](Output::is_full).
    ///
    /// # Errors
    /// [`UnsolicitedReply`]: close the connection. Anything else that is wrong with a message is told to the client
    /// and counted.
    pub fn handle(&mut self, message: Message<'_>, device: &mut dyn Device) -> Result<(), UnsolicitedReply> {
        let header = message.header;
        match header.message_type() {
            MessageType::Command => self.command(message, device),
            MessageType::Unknown => self.reject(&header, Reason::MessageType.into()),
            MessageType::Reply => return self.reply(&header),
        }
        Ok(())
    }

    /// Tells the client of a header whose size is impossible; the connection is to be closed.
    pub fn refuse_size(&mut self, bad: &BadSize) {
        if bad.header.message_type() == MessageType::Command {
            self.reject(&bad.header, Reason::MessageSize.into());
        } else {
            self.counters.count(Reason::MessageSize);
        }
    }

    /// Queues a posted write of the device into the client's address space. A write of a message to the interrupt
    /// address range raises an MSI.
    ///
    /// # Errors
    /// [`DmaWriteError`]; nothing is queued.
    pub fn dma_write(&mut self, address: u64, data: &[u8]) -> Result<(), DmaWriteError> {
        let length = data.len();
        let limit = self.state.negotiated.ok_or(DmaWriteError::NotNegotiated)?.client_xfer_size;
        if length > limit as usize {
            return Err(DmaWriteError::TooLong { length, limit });
        }
        let count = length as u64;
        if address.checked_add(count.saturating_sub(1)).is_none() {
            return Err(DmaWriteError::Wraps { address, length });
        }
        if self.output.is_full() {
            return Err(DmaWriteError::Full { pending: self.output.pending() });
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let mut message =
            self.output.encode(id, Command::DmaWrite as u16, Header::COMMAND | Header::NO_REPLY);
        message.push(&DmaAccess { address: address.into(), count: count.into() });
        message.push(data);
        message.finish();
        Ok(())
    }

    /// What waits for the client.
    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// What waits for the client, to be sent.
    pub fn output_mut(&mut self) -> &mut Output {
        &mut self.output
    }

    /// What was agreed on; none before VERSION.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.state.negotiated.as_ref()
    }

    /// DMA maps that the client has now.
    #[must_use]
    pub fn dma_maps(&self) -> usize {
        self.state.maps.len()
    }

    /// What was refused, and why.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn command(&mut self, message: Message<'_>, device: &mut dyn Device) {
        let header = message.header;
        let wants_reply = !header.no_reply();
        let request = match Request::parse(message) {
            Ok(request) if wants_reply || !request.is_query() => request,
            Ok(_) => return self.reject(&header, Reason::NoReplyToQuery.into()),
            Err(reason) => return self.reject(&header, reason.into()),
        };
        let mut reply = self.output.encode(header.id.get(), header.command.get(), Header::REPLY);
        match self.state.execute(request, device, &mut reply) {
            Ok(()) if wants_reply => reply.finish(),
            Ok(()) => {}
            Err(rejection) => {
                drop(reply);
                self.reject(&header, rejection);
            }
        }
    }

    fn reject(&mut self, header: &Header, rejection: Rejection) {
        self.counters.count(rejection.reason);
        if !header.no_reply() {
            self.output.error(header, rejection.errno);
        }
    }

    /// All our commands ask for no reply. A client that answers a DMA_WRITE nevertheless does no harm.
    fn reply(&mut self, header: &Header) -> Result<(), UnsolicitedReply> {
        let command = header.command.get();
        let tolerated = Command::from_number(command) == Some(Command::DmaWrite);
        self.counters.count(if tolerated { Reason::NeedlessReply } else { Reason::UnsolicitedReply });
        if tolerated { Ok(()) } else { Err(UnsolicitedReply { command }) }
    }

    /// What must survive a restart.
    pub(crate) fn parts(&mut self) -> (&mut State, &mut u16, &mut Output) {
        (&mut self.state, &mut self.next_id, &mut self.output)
    }
}
