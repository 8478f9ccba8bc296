//! One client on its socket.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::decoder::{BadSize, Decoder};
use crate::device::Device;
use crate::handover::{RestoreError, SessionState};
use crate::protocol::MAX_MSG_FDS;
use crate::session::{DmaWriteError, Session, UnsolicitedReply};

/// Reads in one call of [`Connection::on_readable`]: 64 messages of a header and a payload. Reads are counted, not
/// messages, because a client can make each byte a read of its own by sending a descriptor with it.
const READ_BUDGET: usize = 128;

/// Bytes read in one call of [`Connection::on_readable`], give or take one read.
const BYTE_BUDGET: usize = 64 * 1024;

/// Why [`Connection::on_readable`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that the client sent is handled.
    Idle,
    /// The budget of one call is used up; there may be more. Serve others first.
    More,
    /// Too much waits for the client: nothing is read until [`Connection::on_writable`] has sent some of it.
    Blocked,
}

/// The connection is over; [close](Connection::close) it. The client's DMA maps and eventfds are still the device's: take them back.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// The client has gone.
    #[error("the client closed the connection")]
    ByClient,
    /// The client has gone in the middle of a message.
    #[error("the client closed the connection in the middle of a message")]
    MidMessage,
    /// The stream cannot be read on.
    #[error(transparent)]
    BadSize(#[from] BadSize),
    /// The client does not speak the protocol.
    #[error(transparent)]
    UnsolicitedReply(#[from] UnsolicitedReply),
    /// The kernel threw file descriptors away.
    #[error(
        "file descriptors of the client were lost: more than {MAX_MSG_FDS} came at once, or this process has none left"
    )]
    LostFds,
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[source] Errno),
}

impl Closed {
    fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Self::ByClient,
            errno => Self::Socket(errno),
        }
    }
}

/// A client, its session, and the socket between.
///
/// The owner waits for the socket (level-triggered) to become readable while [`wants_read`](Self::wants_read), and
/// writable while [`wants_write`](Self::wants_write), and calls [`on_readable`](Self::on_readable) and
/// [`on_writable`](Self::on_writable). No call blocks, whatever mode the socket is in.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    session: Session,
}

impl Connection {
    /// A client that has just connected and may have up to `max_dma_maps` DMA maps.
    #[must_use]
    pub fn new(stream: UnixStream, max_dma_maps: u32) -> Self {
        Self { stream, decoder: Decoder::default(), session: Session::new(max_dma_maps) }
    }

    /// Goes on where [`into_parts`](Self::into_parts) stopped, with the descriptors in the same order.
    ///
    /// # Errors
    /// [`RestoreError`] if state and descriptors do not fit each other or cannot be.
    pub fn from_parts(
        stream: UnixStream,
        state: SessionState,
        fds: Vec<OwnedFd>,
    ) -> Result<Self, RestoreError> {
        let (session, decoder) = state.restore(fds)?;
        Ok(Self { stream, decoder, session })
    }

    /// Takes the connection apart, for a successor. The client notices nothing as long as the socket stays open.
    #[must_use]
    pub fn into_parts(self) -> (UnixStream, SessionState, Vec<OwnedFd>) {
        let (state, fds) = SessionState::save(self.session, self.decoder);
        (self.stream, state, fds)
    }

    /// Ends the connection, as a client takes it well whatever it has sent meanwhile.
    pub fn close(self) {
        sys::hang_up(&self.stream);
    }

    /// Reads and handles what the client sent, up to a budget of work.
    ///
    /// # Errors
    /// [`Closed`]: the connection is over.
    pub fn on_readable(&mut self, device: &mut dyn Device) -> Result<Progress, Closed> {
        let mut bytes = 0;
        for _ in 0..READ_BUDGET {
            if self.session.output().is_full() {
                return Ok(Progress::Blocked);
            }
            if bytes >= BYTE_BUDGET {
                break;
            }
            match self.receive()? {
                0 => return Ok(Progress::Idle),
                count => bytes += count,
            }
            match self.decoder.message() {
                Ok(None) => {}
                Ok(Some(message)) => {
                    self.session.handle(message, device)?;
                    self.on_writable()?;
                }
                Err(bad) => {
                    self.session.refuse_size(&bad);
                    // The client may not be there to learn of it; the connection is over either way.
                    let _ = self.on_writable();
                    return Err(bad.into());
                }
            }
        }
        Ok(Progress::More)
    }

    /// Sends what waits for the client, as far as the socket takes it.
    ///
    /// # Errors
    /// [`Closed`]: the connection is over.
    pub fn on_writable(&mut self) -> Result<(), Closed> {
        while let Some((bytes, fd)) = self.session.output().front() {
            match send(&self.stream, bytes, fd) {
                Ok(count) => self.session.output_mut().sent(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(Closed::from_errno(errno)),
            }
        }
        Ok(())
    }

    /// Queues a posted write into the client's address space and sends it if the socket takes it.
    ///
    /// # Errors
    /// [`DmaWriteError`]: nothing was queued. That the connection is over shows at its next event.
    pub fn dma_write(&mut self, address: u64, data: &[u8]) -> Result<(), DmaWriteError> {
        self.session.dma_write(address, data)?;
        let _ = self.on_writable();
        Ok(())
    }

    /// False while too much waits for the client.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !self.session.output().is_full()
    }

    /// True while something waits for the client.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.session.output().pending() > 0
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// One read into the decoder. 0: nothing there.
    fn receive(&mut self) -> Result<usize, Closed> {
        let mut control = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_MSG_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut control);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            let mut space = [IoSliceMut::new(self.decoder.space())];
            match rustix::net::recvmsg(&self.stream, &mut space, &mut control, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(errno) => return Err(Closed::from_errno(errno)),
                Ok(received) => break received,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.decoder.push_fds(fds);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(Closed::LostFds);
        }
        if received.bytes == 0 {
            return Err(if self.decoder.is_mid_message() { Closed::MidMessage } else { Closed::ByClient });
        }
        self.decoder.advance(received.bytes);
        Ok(received.bytes)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn send(stream: &UnixStream, bytes: &[u8], fd: Option<BorrowedFd<'_>>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = fd.as_slice();
    if !fds.is_empty() {
        let pushed = control.push(SendAncillaryMessage::ScmRights(fds));
        debug_assert!(pushed, "the buffer has room for one descriptor");
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, flags)
}
