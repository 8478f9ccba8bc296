//! From bytes and file descriptors to messages.

use std::os::fd::OwnedFd;

use arrayvec::ArrayVec;
use zerocopy::FromBytes;

use crate::protocol::{HEADER_SIZE, Header, MAX_MSG_FDS, MAX_PAYLOAD_SIZE};

/// The file descriptors that came with one message.
pub type Fds = ArrayVec<OwnedFd, MAX_MSG_FDS>;

/// A complete message, as it came.
#[derive(Debug)]
pub struct Message<'a> {
    /// Its header; version and size were checked.
    pub header: Header,
    /// What follows the header.
    pub payload: &'a [u8],
    /// What came with it. Dropped means closed.
    pub fds: Fds,
    /// More than [`MAX_MSG_FDS`] came with it; the surplus is closed already.
    pub surplus_fds: bool,
}

/// A header after which the stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// Another version of the protocol, which may have another header.
    #[error("the front end speaks version {found} of the protocol; only {} is known", Header::VERSION)]
    Version {
        /// The version in the header.
        found: u32,
    },
    /// A payload that no request has.
    #[error("a message claims a payload of {size} bytes; at most {MAX_PAYLOAD_SIZE} are possible")]
    Size {
        /// The size in the header.
        size: u32,
    },
}

/// Collects one message at a time and never asks for bytes beyond it.
///
/// Stopping at each message's end is what ties file descriptors to messages: the kernel hands out descriptors with
/// the bytes they were sent with, but one receive call may return bytes of several sends. A call that cannot span two
/// messages cannot mix up their descriptors. The memory is that of the longest message, once.
#[derive(Debug)]
pub struct Decoder {
    buffer: Box<[u8; HEADER_SIZE + MAX_PAYLOAD_SIZE]>,
    filled: usize,
    fds: Fds,
    surplus_fds: bool,
    /// The buffer holds a message that was given out.
    done: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        let buffer = Box::new([0; HEADER_SIZE + MAX_PAYLOAD_SIZE]);
        Self { buffer, filled: 0, fds: Fds::new(), surplus_fds: false, done: false }
    }
}

impl Decoder {
    /// Room for the bytes that are missing next: to the end of the header, then to the end of the message. Not empty
    /// after [`message`](Self::message) has returned `Ok`.
    pub fn space(&mut self) -> &mut [u8] {
        if self.done {
            self.done = false;
            self.filled = 0;
        }
        let end = match self.header() {
            Some(header) => HEADER_SIZE + (header.size.get() as usize).min(MAX_PAYLOAD_SIZE),
            None => HEADER_SIZE,
        };
        &mut self.buffer[self.filled..end]
    }

    /// Says that the first `count` bytes of [`space`](Self::space) are filled.
    pub fn advance(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.buffer.len());
    }

    /// Takes descriptors that came with the bytes of the current message; those above [`MAX_MSG_FDS`] are closed.
    pub fn push_fds(&mut self, fds: impl IntoIterator<Item = OwnedFd>) {
        for fd in fds {
            self.surplus_fds |= self.fds.try_push(fd).is_err();
        }
    }

    /// Copies bytes in and returns how many were taken: up to the end of the header, then up to the end of the
    /// message. Ask for the [`message`](Self::message) after each call.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let space = self.space();
        let count = bytes.len().min(space.len());
        space[..count].copy_from_slice(&bytes[..count]);
        self.advance(count);
        count
    }

    /// The message, once it is complete; each is given out once.
    ///
    /// # Errors
    /// [`BadHeader`] when the header has arrived and is impossible; the decoder is of no use then.
    pub fn message(&mut self) -> Result<Option<Message<'_>>, BadHeader> {
        let Some(header) = self.header() else { return Ok(None) };
        if header.version() != Header::VERSION {
            return Err(BadHeader::Version { found: header.version() });
        }
        let size = header.size.get() as usize;
        if size > MAX_PAYLOAD_SIZE {
            return Err(BadHeader::Size { size: header.size.get() });
        }
        if self.filled < HEADER_SIZE + size {
            return Ok(None);
        }
        self.done = true;
        Ok(Some(Message {
            header,
            payload: &self.buffer[HEADER_SIZE..HEADER_SIZE + size],
            fds: std::mem::take(&mut self.fds),
            surplus_fds: std::mem::take(&mut self.surplus_fds),
        }))
    }

    /// True between the first and the last byte of a message.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        !self.unread().is_empty()
    }

    /// The bytes of a message that is not complete yet.
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        if self.done { &[] } else { &self.buffer[..self.filled] }
    }

    /// Takes the descriptors of a message that is not complete yet, and whether there were more than it may have.
    pub(crate) fn take_fds(&mut self) -> (Fds, bool) {
        (std::mem::take(&mut self.fds), self.surplus_fds)
    }

    /// The decoder that another one was when it held this, if such a one can be.
    pub(crate) fn restore(unread: &[u8], fds: Fds, surplus_fds: bool) -> Option<Self> {
        if unread.is_empty() && (surplus_fds || !fds.is_empty()) {
            return None;
        }
        let mut decoder = Self { fds, surplus_fds, ..Self::default() };
        let mut rest = unread;
        while !rest.is_empty() {
            rest = &rest[decoder.push(rest)..];
            if decoder.message().ok()?.is_some() {
                return None;
            }
        }
        Some(decoder)
    }

    fn header(&self) -> Option<Header> {
        let bytes = self.unread().get(..HEADER_SIZE)?;
        Header::read_from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests;
