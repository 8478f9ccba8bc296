//! What may be done with memory.

use std::fmt;

/// What a device does with memory, seen from the device; also what a region allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Access {
    /// The device reads: transmit buffers.
    Read = 0b01,
    /// The device writes: receive buffers.
    Write = 0b10,
    /// The device does both: descriptor rings.
    ReadWrite = 0b11,
}

impl Access {
    /// The access that a region gives, unless it gives none.
    pub(crate) const fn from_flags(readable: bool, writable: bool) -> Option<Self> {
        match (readable, writable) {
            (true, true) => Some(Self::ReadWrite),
            (true, false) => Some(Self::Read),
            (false, true) => Some(Self::Write),
            (false, false) => None,
        }
    }

    /// True if this access includes all of `wanted`.
    #[inline]
    #[must_use]
    pub const fn allows(self, wanted: Self) -> bool {
        self as u8 & wanted as u8 == wanted as u8
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "reading",
            Self::Write => "writing",
            Self::ReadWrite => "reading and writing",
        })
    }
}
