//! One front end on its socket, whoever of the two connected.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::backend::{Backend, Limits};
use crate::decoder::{BadHeader, Decoder};
use crate::handover::{RestoreError, SessionState};
use crate::protocol::MAX_MSG_FDS;
use crate::session::Session;

/// Reads in one call of [`Connection::on_readable`]: 32 messages of a header and a payload. Reads are counted, not
/// messages, because a front end can make each byte a read of its own by sending a descriptor with it.
const READ_BUDGET: usize = 64;

/// Why [`Connection::on_readable`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything that the front end sent is handled.
    Idle,
    /// The budget of one call is used up; there may be more. Serve others first.
    More,
    /// Too much waits for the front end: nothing is read until [`Connection::on_writable`] has sent some of it.
    Blocked,
}

/// The connection is over. What the front end gave is still the device's: [`Connection::close`] takes it back.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// The front end has gone.
    #[error("the front end closed the connection")]
    ByPeer,
    /// The front end has gone in the middle of a message.
    #[error("the front end closed the connection in the middle of a message")]
    MidMessage,
    /// The stream cannot be read on.
    #[error(transparent)]
    BadHeader(#[from] BadHeader),
    /// The kernel threw file descriptors away.
    #[error(
        "file descriptors of the front end were lost: more than {MAX_MSG_FDS} came at once, or this process has none left"
    )]
    LostFds,
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[source] Errno),
}

impl Closed {
    fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Self::ByPeer,
            errno => Self::Socket(errno),
        }
    }
}

/// A front end, its session, and the socket between.
///
/// The owner waits for the socket (level-triggered) to become readable while [`wants_read`](Self::wants_read), and
/// writable while [`wants_write`](Self::wants_write), and calls [`on_readable`](Self::on_readable) and
/// [`on_writable`](Self::on_writable). No call blocks on the socket, whatever mode it is in.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    session: Session,
}

impl Connection {
    /// A connection that has just been made, by [`sys::Listener`] or [`Connector`](crate::Connector).
    #[must_use]
    pub fn new(stream: UnixStream, limits: Limits) -> Self {
        Self { stream, decoder: Decoder::default(), session: Session::new(limits) }
    }

    /// Goes on where [`into_parts`](Self::into_parts) stopped, with the descriptors in the same order. The device, which
    /// knows nothing yet, is told what the front end had said, and serves the rings again.
    ///
    /// # Errors
    /// [`RestoreError`] if state, descriptors and device do not fit each other. The device may then have been told a
    /// part.
    pub fn from_parts(
        stream: UnixStream,
        state: SessionState,
        fds: Vec<OwnedFd>,
        backend: &mut dyn Backend,
    ) -> Result<Self, RestoreError> {
        let (session, decoder) = state.restore(fds, backend)?;
        Ok(Self { stream, decoder, session })
    }

    /// Takes the connection apart, for a successor. The device stops serving the rings and says where they stand; the
    /// front end notices a pause, as long as the socket stays open.
    ///
    /// # Errors
    /// The process has no file descriptor left. The connection is lost then.
    pub fn into_parts(
        self,
        backend: &mut dyn Backend,
    ) -> io::Result<(UnixStream, SessionState, Vec<OwnedFd>)> {
        let (state, fds) = SessionState::save(self.session, self.decoder, backend)?;
        Ok((self.stream, state, fds))
    }

    /// Ends the session: the device gives back rings, log and memory, and is reset. To be called after [`Closed`], and
    /// to turn a front end away.
    pub fn close(mut self, backend: &mut dyn Backend) {
        self.session.close(backend);
    }

    /// Reads and handles what the front end sent, up to a budget of work.
    ///
    /// # Errors
    /// [`Closed`]: the connection is over.
    pub fn on_readable(&mut self, backend: &mut dyn Backend) -> Result<Progress, Closed> {
        for _ in 0..READ_BUDGET {
            if self.session.output().is_full() {
                return Ok(Progress::Blocked);
            }
            if self.receive()? == 0 {
                return Ok(Progress::Idle);
            }
            match self.decoder.message() {
                Ok(None) => {}
                Ok(Some(message)) => {
                    self.session.handle(message, backend);
                    self.on_writable()?;
                }
                Err(bad) => {
                    self.session.refuse_header(&bad);
                    return Err(bad.into());
                }
            }
        }
        Ok(Progress::More)
    }

    /// Sends what waits for the front end, as far as the socket takes it.
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

    /// False while too much waits for the front end.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        !self.session.output().is_full()
    }

    /// True while something waits for the front end.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        self.session.output().pending() > 0
    }

    /// True while a message has begun and not ended. An owner that is short of connections can close one that stays so.
    #[must_use]
    pub fn is_mid_message(&self) -> bool {
        self.decoder.is_mid_message()
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
            return Err(if self.decoder.is_mid_message() { Closed::MidMessage } else { Closed::ByPeer });
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
