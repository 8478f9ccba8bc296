//! A connection in a form that outlives the process.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::decoder::{Decoder, Fds};
use crate::device::DmaRange;
use crate::protocol::MAX_MSG_FDS;
use crate::session::Session;
use crate::version::Negotiated;

/// What a successor must know to go on in the middle of the stream, file descriptors apart. Counters start anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionState {
    /// What was agreed on.
    pub(crate) negotiated: Option<Negotiated>,
    /// DMA maps that the client may have.
    pub(crate) max_dma_maps: u32,
    /// DMA maps that it has: first address and bytes.
    pub(crate) dma_maps: Vec<(u64, u64)>,
    /// Message id of the next command of the server.
    pub(crate) next_id: u16,
    /// The first bytes of a message that is not complete yet.
    pub(crate) input: Vec<u8>,
    /// Descriptors that came with them.
    pub(crate) input_fds: usize,
    /// More came than a message may have.
    pub(crate) surplus_fds: bool,
    /// What waits for the client.
    pub(crate) output: Vec<OutputState>,
}

/// A message, or the rest of one, that waits for the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutputState {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fd: bool,
}

/// Saved state that no session can have had, or descriptors that do not belong to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Descriptors are missing or left over.
    #[error("the saved session goes with {expected} file descriptors, but {found} came")]
    FdCount {
        /// Descriptors that the state speaks of.
        expected: usize,
        /// Descriptors given.
        found: usize,
    },
    /// The unread bytes are a whole message or more, have an impossible header, or are none and yet have descriptors.
    #[error("the {length} unread bytes of the saved session are not the beginning of one message")]
    Input {
        /// Their number.
        length: usize,
    },
    /// A DMA map is impossible or collides with another.
    #[error("the saved session has an impossible DMA map of {size:#x} bytes at {iova:#x}")]
    DmaMap {
        /// First address.
        iova: u64,
        /// Bytes.
        size: u64,
    },
    /// A waiting message is empty.
    #[error("the saved session has an empty message waiting for the client")]
    Output,
}

impl SessionState {
    /// Takes a session and its decoder apart. The descriptors are those of the unread message, then those of the
    /// waiting messages in their order.
    pub(crate) fn save(mut session: Session, mut decoder: Decoder) -> (Self, Vec<OwnedFd>) {
        let input = decoder.unread().to_vec();
        let (input_fds, surplus_fds) = decoder.take_fds();
        let (state, next_id, output) = session.parts();
        let mut saved = Self {
            negotiated: state.negotiated,
            max_dma_maps: state.maps.limit(),
            dma_maps: state.maps.iter().map(|range| (range.iova(), range.size())).collect(),
            next_id: *next_id,
            input,
            input_fds: input_fds.len(),
            surplus_fds,
            output: Vec::new(),
        };
        let mut fds: Vec<OwnedFd> = input_fds.into_iter().collect();
        for (bytes, fd) in output.take_frames() {
            saved.output.push(OutputState { bytes, fd: fd.is_some() });
            fds.extend(fd);
        }
        (saved, fds)
    }

    /// Puts session and decoder together again.
    pub(crate) fn restore(self, fds: Vec<OwnedFd>) -> Result<(Session, Decoder), RestoreError> {
        let output_fds = self.output.iter().filter(|message| message.fd).count();
        let (expected, found) = (self.input_fds.saturating_add(output_fds), fds.len());
        if expected != found || self.input_fds > MAX_MSG_FDS {
            return Err(RestoreError::FdCount { expected, found });
        }
        let mut fds = fds.into_iter();
        let input_fds: Fds = fds.by_ref().take(self.input_fds).collect();
        let decoder = Decoder::restore(&self.input, input_fds, self.surplus_fds)
            .ok_or(RestoreError::Input { length: self.input.len() })?;

        let mut session = Session::new(self.max_dma_maps);
        let (state, next_id, output) = session.parts();
        state.negotiated = self.negotiated;
        *next_id = self.next_id;
        for (iova, size) in self.dma_maps {
            let range = DmaRange::new(iova, size);
            let range = range.and_then(|range| state.maps.check(range).map(|()| range));
            state.maps.insert(range.map_err(|_| RestoreError::DmaMap { iova, size })?);
        }
        for message in self.output {
            if message.bytes.is_empty() {
                return Err(RestoreError::Output);
            }
            output.push_frame(&message.bytes, if message.fd { fds.next() } else { None });
        }
        Ok((session, decoder))
    }
}
