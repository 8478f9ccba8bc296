//! `NDIS_IF_COUNTED_STRING`: a length in bytes and up to 256 UTF-16 units.

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::refusal::Refusal;

/// UTF-16 units of the array; the last one is a terminator that the length does not count.
const UNITS: usize = 257;

/// The longest name, in UTF-16 units: `IF_MAX_STRING_SIZE`.
pub(crate) const MAX_NAME_UNITS: usize = UNITS - 1;

/// A name on the wire.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct CountedString {
    /// Bytes, thus twice the number of units.
    length: U16,
    units: [U16; UNITS],
}

impl CountedString {
    /// The name; refused if the length is odd or longer than the array, or if the units are not UTF-16.
    pub(crate) fn get(&self) -> Result<String, Refusal> {
        let bytes = self.length.get();
        let count = usize::from(bytes / 2);
        if !bytes.is_multiple_of(2) || count > MAX_NAME_UNITS {
            return Err(Refusal::NameLength { bytes });
        }
        char::decode_utf16(self.units[..count].iter().map(|unit| unit.get()))
            .collect::<Result<String, _>>()
            .map_err(|_| Refusal::NameEncoding)
    }

    /// The wire form of `name`; units beyond [`MAX_NAME_UNITS`] are cut.
    ///
    /// The NDIS layer refuses longer names, so only a caller that encodes a request of its own can lose units here.
    pub(crate) fn new(name: &str) -> Self {
        let mut units = [U16::ZERO; UNITS];
        let mut length = 0;
        for (slot, unit) in units[..MAX_NAME_UNITS].iter_mut().zip(name.encode_utf16()) {
            slot.set(unit);
            length += 2;
        }
        Self { length: U16::new(length), units }
    }
}
