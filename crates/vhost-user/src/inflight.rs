//! The area in which buffers in flight are recorded (protocol, "Inflight I/O tracking").

use serde::{Deserialize, Serialize};

/// Each ring has its part of the area at a multiple of this, so that no cache line has two owners.
const ALIGNMENT: u64 = 64;

/// How many rings an area is for, and of what kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InflightShape {
    /// Rings.
    pub queues: u16,
    /// Entries of each.
    pub queue_size: u16,
    /// They are packed rings.
    pub packed: bool,
}

impl InflightShape {
    /// Bytes of the part of one ring: a header, and one record for each entry.
    #[must_use]
    pub fn queue_bytes(&self) -> u64 {
        // Header and record have the same size in either layout.
        let record = if self.packed { 32 } else { 16 };
        (record * (u64::from(self.queue_size) + 1)).next_multiple_of(ALIGNMENT)
    }

    /// Bytes of the area.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.queue_bytes() * u64::from(self.queues)
    }
}
