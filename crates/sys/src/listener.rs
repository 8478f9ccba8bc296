//! A Unix socket at a path, on which a device waits for its client.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Clients that may wait to be accepted. One device has one client; the rest is turned away soon.
const BACKLOG: i32 = 8;

/// Bytes of a socket path: what `sockaddr_un` holds, less the NUL that most clients put there.
const MAX_PATH: usize = 107;

/// Why there is no socket at a path.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The kernel's bound on socket paths.
    #[error("the socket path {path:?} is longer than the {MAX_PATH} bytes that a socket path may have")]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The folder is not there.
    #[error("the folder {folder:?} for the socket {path:?} does not exist")]
    FolderMissing {
        /// The folder.
        folder: PathBuf,
        /// The path.
        path: PathBuf,
    },
    /// Someone listens there.
    #[error("the socket {path:?} is in use by another running server")]
    InUse {
        /// The path.
        path: PathBuf,
    },
    /// Something else is there, which is not ours to remove.
    #[error("{path:?} exists and is not a socket; remove it or choose another path")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The kernel refused.
    #[error("the socket {path:?} cannot be created")]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Identity of the file that a path led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> Result<Self, Errno> {
        let stat = rustix::fs::lstat(path)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// A path that is removed in the end, if it still leads to the file that it led to when it was ours.
#[derive(Debug)]
struct OwnedPath {
    path: PathBuf,
    file: Option<FileId>,
}

impl Drop for OwnedPath {
    fn drop(&mut self) {
        if self.file.is_some() && FileId::of(&self.path).ok() == self.file {
            // Nobody is left to be told.
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

/// A listening socket, only for the user that runs this process. Its path is removed with it.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: OwnedPath,
}

impl Listener {
    /// Listens at `path`. A socket that a dead server left there is replaced. Two servers that start at the same
    /// moment on one path are not kept apart: the owner of the folder has to see to that.
    ///
    /// # Errors
    /// [`BindError`] says what is in the way.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        if path.as_os_str().len() > MAX_PATH {
            return Err(BindError::PathTooLong { path: path.into() });
        }
        let address = SocketAddrUnix::new(path).map_err(|errno| failed(path, errno))?;
        let socket = new_socket().map_err(|errno| failed(path, errno))?;
        // On Linux the file gets the mode of the socket that it is made from: it is never open to others, not even
        // between bind and chmod.
        rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(path, errno))?;
        match rustix::net::bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                remove_stale(path, &address)?;
                rustix::net::bind(&socket, &address).map_err(|errno| failed(path, errno))?;
            }
            Err(Errno::NOENT) => {
                let folder = path.parent().unwrap_or(path).into();
                return Err(BindError::FolderMissing { folder, path: path.into() });
            }
            bound => bound.map_err(|errno| failed(path, errno))?,
        }
        let file = FileId::of(path).map_err(|errno| failed(path, errno))?;
        let listener = Self { socket, path: OwnedPath { path: path.into(), file: Some(file) } };
        rustix::net::listen(&listener.socket, BACKLOG).map_err(|errno| failed(path, errno))?;
        Ok(listener)
    }

    /// A listening socket that a predecessor of this process made at `path` and handed over.
    #[must_use]
    pub fn from_parts(socket: OwnedFd, path: PathBuf) -> Self {
        let file = FileId::of(&path).ok();
        Self { socket, path: OwnedPath { path, file } }
    }

    /// The listening socket and its path, for a successor. The path stays.
    #[must_use]
    pub fn into_parts(mut self) -> (OwnedFd, PathBuf) {
        self.path.file = None;
        (self.socket, std::mem::take(&mut self.path.path))
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path.path
    }

    /// Takes the client that waits, if one does.
    ///
    /// # Errors
    /// Mostly that the process has no file descriptor left. The client then still waits, so that a level-triggered
    /// owner must look away for a while.
    pub fn accept(&self) -> io::Result<Option<UnixStream>> {
        loop {
            match rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(stream) => return Ok(Some(stream.into())),
                Err(Errno::AGAIN) => return Ok(None),
                // The client gave up before it was accepted; there may be another one.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Turns the client that waits away, if one does: a device has one client at a time. True if there was one.
    ///
    /// # Errors
    /// As [`accept`](Self::accept).
    pub fn accept_second(&self) -> io::Result<bool> {
        let second = self.accept()?;
        if let Some(client) = &second {
            hang_up(client);
        }
        Ok(second.is_some())
    }
}

/// Ends a connection so that its peer reads the end of it. Were it dropped while something that the peer sent is
/// unread, the peer would read the error ECONNRESET, over which QEMU 11.1 aborts if the socket is one of vfio-user.
pub fn hang_up(mut stream: &UnixStream) {
    // From now on the peer can send nothing. If this fails, it is gone.
    let _ = stream.shutdown(Shutdown::Both);
    let mut unread = [0; 4096];
    while !matches!(stream.read(&mut unread), Ok(0) | Err(_)) {}
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn new_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

/// Removes a socket on which nobody listens.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), BindError> {
    let stat = rustix::fs::lstat(path).map_err(|errno| failed(path, errno))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(BindError::NotASocket { path: path.into() });
    }
    let probe = new_socket().map_err(|errno| failed(path, errno))?;
    match rustix::net::connect(&probe, address) {
        Err(Errno::CONNREFUSED) => rustix::fs::unlink(path).map_err(|errno| failed(path, errno)),
        // A full backlog (EAGAIN) means a server, too.
        Ok(()) | Err(Errno::AGAIN) => Err(BindError::InUse { path: path.into() }),
        Err(errno) => Err(failed(path, errno)),
    }
}

fn failed(path: &Path, errno: Errno) -> BindError {
    BindError::Socket { path: path.into(), source: errno.into() }
}

#[cfg(test)]
mod tests;
