//! Messages on their way to the client.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use zerocopy::{Immutable, IntoBytes};

use crate::protocol::Header;

/// While this many bytes wait for the client, no further request of it is read and no DMA_WRITE is taken. One message
/// may exceed the bound, so the most memory is this plus the longest message.
pub const OUTPUT_BOUND: usize = 64 * 1024;

/// Memory that is kept when everything is sent.
const KEPT: usize = 2 * OUTPUT_BOUND;

/// A message that waits, or what is left of it.
#[derive(Debug)]
struct Frame {
    length: usize,
    fd: Option<OwnedFd>,
}

/// Bounded queue of encoded messages.
///
/// Messages stay apart: a client such as QEMU takes a header that arrives in two pieces for the end of the stream, and
/// a descriptor must come with the first byte of its message. So each is sent by a system call of its own.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that are sent.
    head: usize,
    frames: VecDeque<Frame>,
}

impl Output {
    /// The next message, or the rest of it, and the descriptor that goes with its next byte.
    #[must_use]
    pub fn front(&self) -> Option<(&[u8], Option<BorrowedFd<'_>>)> {
        let frame = self.frames.front()?;
        let bytes = &self.bytes[self.head..self.head + frame.length];
        Some((bytes, frame.fd.as_ref().map(AsFd::as_fd)))
    }

    /// Says that the first `count` bytes of [`front`](Self::front) are sent, its descriptor with them.
    pub fn sent(&mut self, count: usize) {
        let Some(frame) = self.frames.front_mut() else { return };
        if count == 0 {
            return;
        }
        let count = count.min(frame.length);
        frame.fd = None;
        frame.length -= count;
        self.head += count;
        if frame.length == 0 {
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.head = 0;
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.bytes.len() - self.head
    }

    /// True while nothing may be added but the reply to a request that was read already.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.pending() >= OUTPUT_BOUND
    }

    /// Begins a message; it is queued by [`Encoder::finish`] and forgotten otherwise.
    pub(crate) fn encode(&mut self, id: u16, command: u16, flags: u32) -> Encoder<'_> {
        self.compact();
        let start = self.bytes.len();
        self.bytes.extend_from_slice(Header::new(id, command, flags, 0).as_bytes());
        Encoder { output: self, start, fd: None }
    }

    /// Queues an error reply, which is a header alone.
    pub(crate) fn error(&mut self, request: &Header, errno: Errno) {
        let mut header =
            Header::new(request.id.get(), request.command.get(), Header::REPLY | Header::ERROR, 0);
        header.error = errno.raw_os_error().cast_unsigned().into();
        self.push_frame(header.as_bytes(), None);
    }

    /// Queues a message, or the rest of one, that is encoded already.
    pub(crate) fn push_frame(&mut self, bytes: &[u8], fd: Option<OwnedFd>) {
        self.compact();
        self.bytes.extend_from_slice(bytes);
        self.frames.push_back(Frame { length: bytes.len(), fd });
    }

    /// Takes everything that waits, message by message.
    pub(crate) fn take_frames(&mut self) -> Vec<(Vec<u8>, Option<OwnedFd>)> {
        let mut at = self.head;
        let frames = std::mem::take(&mut self.frames);
        let taken = frames.into_iter().map(|frame| {
            let bytes = self.bytes[at..at + frame.length].to_vec();
            at += frame.length;
            (bytes, frame.fd)
        });
        let taken = taken.collect();
        *self = Self::default();
        taken
    }

    /// Drops what is sent, once that is the larger part: the buffer then stays within twice of what waits.
    fn compact(&mut self) {
        if self.head > self.bytes.len() / 2 {
            self.bytes.drain(..self.head);
            self.head = 0;
        }
    }
}

/// A message under construction at the end of the [`Output`].
#[derive(Debug)]
pub(crate) struct Encoder<'a> {
    output: &'a mut Output,
    start: usize,
    fd: Option<OwnedFd>,
}

impl Encoder<'_> {
    pub(crate) fn push<T: IntoBytes + Immutable + ?Sized>(&mut self, part: &T) {
        self.output.bytes.extend_from_slice(part.as_bytes());
    }

    /// Room for `length` bytes, all zero.
    pub(crate) fn space(&mut self, length: usize) -> &mut [u8] {
        let from = self.output.bytes.len();
        self.output.bytes.resize(from + length, 0);
        &mut self.output.bytes[from..]
    }

    pub(crate) fn attach(&mut self, fd: OwnedFd) {
        self.fd = Some(fd);
    }

    pub(crate) fn finish(mut self) {
        let length = self.output.bytes.len() - self.start;
        let size = u32::try_from(length).expect("no message reaches 4 GiB");
        // The size stands at bytes 4 to 7 of the header.
        self.output.bytes[self.start + 4..self.start + 8].copy_from_slice(&size.to_le_bytes());
        self.output.frames.push_back(Frame { length, fd: self.fd.take() });
        self.start += length;
    }
}

impl Drop for Encoder<'_> {
    /// Forgets what was not finished; after [`Encoder::finish`] there is nothing behind `start`.
    fn drop(&mut self) {
        self.output.bytes.truncate(self.start);
    }
}

#[cfg(test)]
mod tests;
