//! The folder of the sockets, which belongs to one daemon at a time.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

/// A claim on the folder, for as long as this lives. It leaves no trace in the folder.
#[derive(Debug)]
pub(crate) struct RuntimeDir {
    _locked: OwnedFd,
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RuntimeDirError {
    #[error("the folder {0:?} for the sockets is missing: create it, or name another as daemon.runtime_dir")]
    Missing(PathBuf),
    #[error("{0:?} is not a folder: name one for the sockets as daemon.runtime_dir")]
    NotAFolder(PathBuf),
    #[error("another softiov runs in {0:?}: stop it, or name another folder as daemon.runtime_dir")]
    InUse(PathBuf),
    #[error("the folder {path:?} for the sockets cannot be used")]
    Os { path: PathBuf, source: io::Error },
}

impl RuntimeDir {
    /// Takes the folder, unless another daemon has it.
    pub(crate) fn claim(path: &Path) -> Result<Self, RuntimeDirError> {
        let path = path.to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Err(RuntimeDirError::Missing(path)),
            Err(Errno::NOTDIR) => return Err(RuntimeDirError::NotAFolder(path)),
            Err(errno) => return Err(RuntimeDirError::Os { path, source: errno.into() }),
        };
        match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _locked: folder }),
            Err(Errno::WOULDBLOCK) => Err(RuntimeDirError::InUse(path)),
            Err(errno) => Err(RuntimeDirError::Os { path, source: errno.into() }),
        }
    }
}
