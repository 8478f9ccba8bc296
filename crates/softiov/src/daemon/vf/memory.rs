//! The guest memory of a VF and its interrupts, in the fd store.

use std::os::fd::{AsFd, BorrowedFd};
use std::{fmt, io};

use guest_memory::{DmaDomain, MapError, MapRequest};
use serde::{Deserialize, Serialize};
use sys::EventFd;
use vfio_user::DmaMap;

use super::super::fd_store::FdStore;
use super::super::signal::Vectors;

/// What the fd store notes of a DMA map.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MapNote {
    iova: u64,
    size: u64,
    offset: u64,
    readable: bool,
    writable: bool,
}

impl MapNote {
    pub(super) fn of(map: &DmaMap) -> Self {
        Self {
            iova: map.range.iova(),
            size: map.range.size(),
            offset: map.offset,
            readable: map.readable,
            writable: map.writable,
        }
    }

    /// Name of the map in the store.
    pub(super) fn name(&self, prefix: &str) -> String {
        map_name(prefix, self.iova)
    }

    pub(super) fn request<'fd>(&self, fd: BorrowedFd<'fd>) -> MapRequest<'fd> {
        let Self { iova, size, offset, readable, writable } = *self;
        MapRequest { iova, size, offset, writable, readable, fd }
    }
}

impl fmt::Display for MapNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

/// Name of the map at `iova`. The slash at the end keeps it from being the beginning of another's.
pub(super) fn map_name(prefix: &str, iova: u64) -> String {
    format!("{prefix}dma/{iova:x}/")
}

/// Guest memory that was mapped cannot be mapped again, nor may the guest go on without it.
#[derive(Debug, thiserror::Error)]
#[error("guest memory {note} cannot be mapped again: {error}")]
pub(crate) struct LostMemory {
    note: String,
    error: MapError,
}

/// Maps what the store has.
pub(super) fn restore(domain: &DmaDomain, store: &dyn FdStore, prefix: &str) -> Result<(), LostMemory> {
    for entry in store.entries(&format!("{prefix}dma/")) {
        // The notes are our own.
        let Ok(note) = serde_json::from_str::<MapNote>(&entry.note) else { continue };
        let mapped = domain.map(note.request(entry.fd.as_fd()));
        mapped.map_err(|error| LostMemory { note: entry.note, error })?;
    }
    Ok(())
}

/// Connects the vectors to the eventfds that the store has.
pub(super) fn restore_vectors(vectors: &Vectors, store: &dyn FdStore, prefix: &str) -> io::Result<()> {
    for entry in store.entries(&format!("{prefix}irq/")) {
        let eventfd = EventFd::from_peer(entry.fd.try_clone()?);
        if let (Ok(vector), Ok(eventfd)) = (entry.name.parse(), eventfd) {
            vectors.connect(vector, Some(eventfd));
        }
    }
    Ok(())
}
