//! Replies on their way to the front end.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use arrayvec::ArrayVec;
use zerocopy::{Immutable, IntoBytes};

use crate::protocol::{HEADER_SIZE, Header};

/// While this many replies wait for the front end, no further request of it is read.
pub const OUTPUT_BOUND: usize = 64;

/// Bytes of the longest reply: an inflight description with its padding.
const LONGEST: usize = HEADER_SIZE + 24;

/// A reply that waits, or what is left of it.
#[derive(Debug)]
struct Frame {
    bytes: ArrayVec<u8, LONGEST>,
    sent: usize,
    fd: Option<OwnedFd>,
}

/// Bounded queue of encoded replies.
///
/// Replies stay apart: QEMU reads the header, and a descriptor with it, in one call. So each is sent by a system call
/// of its own.
#[derive(Debug, Default)]
pub struct Output(VecDeque<Frame>);

impl Output {
    /// The next reply, or the rest of it, and the descriptor that goes with its next byte.
    #[must_use]
    pub fn front(&self) -> Option<(&[u8], Option<BorrowedFd<'_>>)> {
        let frame = self.0.front()?;
        Some((&frame.bytes[frame.sent..], frame.fd.as_ref().map(AsFd::as_fd)))
    }

    /// Says that the first `count` bytes of [`front`](Self::front) are sent, its descriptor with them.
    pub fn sent(&mut self, count: usize) {
        let Some(frame) = self.0.front_mut() else { return };
        if count > 0 {
            frame.fd = None;
        }
        frame.sent += count;
        if frame.sent >= frame.bytes.len() {
            self.0.pop_front();
        }
    }

    /// Replies that wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.0.len()
    }

    /// True while no further request may be handled: too many replies wait, or one that holds a descriptor, of which
    /// the process has few.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= OUTPUT_BOUND || self.0.back().is_some_and(|frame| frame.fd.is_some())
    }

    /// Queues a reply to request number `request`.
    pub(crate) fn reply<T: IntoBytes + Immutable + ?Sized>(
        &mut self,
        request: u32,
        payload: &T,
        fd: Option<OwnedFd>,
    ) {
        let payload = payload.as_bytes();
        let size = u32::try_from(payload.len()).expect("no reply reaches 4 GiB");
        let mut bytes = ArrayVec::new();
        bytes.extend(Header::reply(request, size).as_bytes().iter().copied());
        bytes.extend(payload.iter().copied());
        self.0.push_back(Frame { bytes, sent: 0, fd });
    }

    /// Queues a reply, or the rest of one, that is encoded already; false if there is no such reply.
    pub(crate) fn push_rest(&mut self, bytes: &[u8], fd: Option<OwnedFd>) -> bool {
        match ArrayVec::try_from(bytes) {
            Ok(bytes) if !bytes.is_empty() && !self.is_full() => {
                self.0.push_back(Frame { bytes, sent: 0, fd });
                true
            }
            _ => false,
        }
    }

    /// Takes everything that waits, reply by reply.
    pub(crate) fn take_frames(&mut self) -> impl Iterator<Item = (Vec<u8>, Option<OwnedFd>)> {
        std::mem::take(&mut self.0).into_iter().map(|frame| (frame.bytes[frame.sent..].to_vec(), frame.fd))
    }
}

#[cfg(test)]
mod tests;
