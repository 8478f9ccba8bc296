//! The memory table: which guest addresses and which front-end addresses lead where.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::protocol::{self, LOG_PAGE_SIZE, PAGE_SIZE};
use crate::reason::Reason;

/// A region of guest memory: not empty, made of whole pages, and no range of it wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRegion", into = "RawRegion")]
pub struct MemoryRegion {
    guest: u64,
    size: u64,
    user: u64,
    offset: u64,
}

/// The same before it is checked.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct RawRegion {
    guest: u64,
    size: u64,
    user: u64,
    offset: u64,
}

impl From<MemoryRegion> for RawRegion {
    fn from(region: MemoryRegion) -> Self {
        let MemoryRegion { guest, size, user, offset } = region;
        Self { guest, size, user, offset }
    }
}

impl TryFrom<RawRegion> for MemoryRegion {
    type Error = &'static str;

    fn try_from(raw: RawRegion) -> Result<Self, Self::Error> {
        Self::new(raw.guest, raw.size, raw.user, raw.offset).map_err(Reason::as_str)
    }
}

impl MemoryRegion {
    /// Checks a region.
    ///
    /// # Errors
    /// [`Reason::RegionRange`] if it is empty or wraps, [`Reason::RegionAlignment`] if it is not made of whole pages.
    pub fn new(guest: u64, size: u64, user: u64, offset: u64) -> Result<Self, Reason> {
        let wraps = |start: u64| start.checked_add(size).is_none();
        if size == 0 || wraps(guest) || wraps(user) || wraps(offset) {
            return Err(Reason::RegionRange);
        }
        // Guest and front-end addresses are then aligned alike.
        if [guest, size, user, offset].iter().any(|value| !value.is_multiple_of(PAGE_SIZE)) {
            return Err(Reason::RegionAlignment);
        }
        Ok(Self { guest, size, user, offset })
    }

    pub(crate) fn from_wire(region: &protocol::Region) -> Result<Self, Reason> {
        Self::new(region.guest.get(), region.size.get(), region.user.get(), region.offset.get())
    }

    /// First guest address.
    #[must_use]
    pub fn guest(&self) -> u64 {
        self.guest
    }

    /// Bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// First address in the front end's own address space.
    #[must_use]
    pub fn user(&self) -> u64 {
        self.user
    }

    /// Where the region begins in its file, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    fn overlaps(&self, other: &Self) -> bool {
        let cross = |a: u64, b: u64| a < b + other.size && b < a + self.size;
        cross(self.guest, other.guest) || cross(self.user, other.user)
    }

    /// REM_MEM_REG names a region by everything but its file offset.
    fn is_named_by(&self, other: &Self) -> bool {
        (self.guest, self.size, self.user) == (other.guest, other.size, other.user)
    }
}

/// A region and the file that its memory is in.
#[derive(Debug)]
pub struct SharedRegion {
    /// Addresses and size.
    pub region: MemoryRegion,
    /// The file. The session keeps it open for a successor of this process.
    pub fd: OwnedFd,
}

/// All regions; no two overlap.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<SharedRegion>);

impl Table {
    /// A table of these regions.
    pub(crate) fn new(regions: impl IntoIterator<Item = SharedRegion>) -> Result<Self, Reason> {
        let mut table = Self::default();
        for region in regions {
            table.check(&region.region)?;
            table.push(region);
        }
        Ok(table)
    }

    /// Whether the region overlaps none of the table.
    pub(crate) fn check(&self, region: &MemoryRegion) -> Result<(), Reason> {
        let taken = self.0.iter().any(|other| other.region.overlaps(region));
        if taken { Err(Reason::RegionOverlap) } else { Ok(()) }
    }

    /// Adds a region that was checked.
    pub(crate) fn push(&mut self, region: SharedRegion) {
        self.0.push(region);
    }

    /// Where the region of this name is.
    pub(crate) fn find(&self, name: &MemoryRegion) -> Option<usize> {
        self.0.iter().position(|shared| shared.region.is_named_by(name))
    }

    /// Takes out what [`find`](Self::find) has found.
    pub(crate) fn remove(&mut self, index: usize) -> SharedRegion {
        self.0.remove(index)
    }

    pub(crate) fn regions(&self) -> &[SharedRegion] {
        &self.0
    }

    pub(crate) fn into_regions(self) -> Vec<SharedRegion> {
        self.0
    }

    /// The guest address of a range in the front end's address space that lies within one region.
    pub(crate) fn translate(&self, user: u64, size: u64) -> Option<u64> {
        self.0.iter().find_map(|shared| {
            let region = &shared.region;
            let within = user.checked_sub(region.user)?;
            (within.checked_add(size)? <= region.size).then(|| region.guest + within)
        })
    }

    /// Bytes of a dirty log that covers all regions.
    pub(crate) fn log_size(&self) -> u64 {
        let last = self.0.iter().map(|shared| shared.region.guest + (shared.region.size - 1)).max();
        last.map_or(0, log_bytes)
    }
}

/// Bytes of a dirty log that reaches up to a guest address.
pub(crate) fn log_bytes(last: u64) -> u64 {
    last / LOG_PAGE_SIZE / 8 + 1
}

#[cfg(test)]
mod tests;
