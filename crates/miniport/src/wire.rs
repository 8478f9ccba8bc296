//! The NDIS structures as bytes: little-endian, laid out as the 64-bit Windows ABI lays them out (ndis.md B).
//!
//! Every structure is `#[repr(C)]` over byte-order types of alignment 1, so that natural alignment shows as explicit
//! `_pad` members. Each has a const assertion on its size. Nothing here knows what a value means beyond its range; a
//! buffer that is too short, a header that lies, an offset that points outside: all end in a typed [`Refusal`].

mod array;
mod capabilities;
mod constant;
mod filter;
mod queue;
mod response;
mod sriov;
mod string;
mod switch;
mod to_request;
mod to_wire;
mod vendor;
mod vf;
mod vport;

pub(crate) use response::{check_output, encode_payload};
pub(crate) use to_request::decode_request;
pub(crate) use to_wire::queue_state;

use zerocopy::byteorder::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::refusal::Refusal;

/// `NDIS_OBJECT_TYPE_DEFAULT`, the type of every structure of this interface.
pub(crate) const OBJECT_TYPE_DEFAULT: u8 = 0x80;

/// The largest offset, within a buffer, of a payload or array that this crate follows; bounds what one request can make
/// an answer grow to.
pub(crate) const MAX_OFFSET: u32 = 0x1_0000;

/// `NDIS_OBJECT_HEADER`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct ObjectHeader {
    pub(crate) object_type: u8,
    pub(crate) revision: u8,
    pub(crate) size: U16,
}

/// A structure that begins with an [`ObjectHeader`].
pub(crate) trait Structure: FromBytes + IntoBytes + KnownLayout + Immutable + Sized {
    /// The public name, for refusals.
    const NAME: &'static str;
    /// Bytes through the last member of each revision: `NDIS_SIZEOF_..._REVISION_1` and on.
    const SIZES: &'static [usize];

    /// The header of the newest revision.
    fn header() -> ObjectHeader {
        Self::header_of(Self::SIZES.len())
    }

    /// The header of `revision`, which must exist.
    fn header_of(revision: usize) -> ObjectHeader {
        ObjectHeader {
            object_type: OBJECT_TYPE_DEFAULT,
            revision: u8::try_from(revision).expect("structures have few revisions"),
            size: U16::new(
                u16::try_from(Self::SIZES[revision - 1]).expect("a structure is shorter than 64 KiB"),
            ),
        }
    }

    /// Copies the structure out of the front of `buffer`; members of revisions newer than the header's read as zero.
    ///
    /// Fails with [`Refusal::BufferTooShort`] if the buffer is shorter than the structure, and with a refusal of the
    /// header if its type, revision or size is none that this structure has.
    fn read(buffer: &[u8]) -> Result<Self, Refusal> {
        if buffer.len() < Self::SIZES[0] {
            return Err(too_short(Self::SIZES[0], buffer.len()));
        }
        let (header, _) =
            ObjectHeader::read_from_prefix(buffer).expect("the buffer holds the first revision");
        if header.object_type != OBJECT_TYPE_DEFAULT {
            return Err(Refusal::ObjectType { structure: Self::NAME.into(), found: header.object_type });
        }
        let revision = usize::from(header.revision);
        if revision == 0 || revision > Self::SIZES.len() {
            return Err(Refusal::Revision {
                structure: Self::NAME.into(),
                found: header.revision,
                newest: Self::header().revision,
            });
        }
        let through = Self::SIZES[revision - 1];
        let size = usize::from(header.size.get());
        if size < through {
            return Err(Refusal::ObjectSize {
                structure: Self::NAME.into(),
                found: header.size.get(),
                least: u16::try_from(through).expect("a structure is shorter than 64 KiB"),
            });
        }
        if buffer.len() < size {
            return Err(too_short(size, buffer.len()));
        }
        let mut structure = Self::new_zeroed();
        structure.as_mut_bytes()[..through].copy_from_slice(&buffer[..through]);
        Ok(structure)
    }

    /// The bytes of the newest revision, without tail padding.
    fn to_bytes(&self) -> Vec<u8> {
        self.as_bytes()[..Self::SIZES[Self::SIZES.len() - 1]].to_vec()
    }
}

/// Declares a structure: its layout, its public name, the size through each revision, and asserts its padded size.
macro_rules! structure {
    ($(#[$doc:meta])* $name:ident = $public:literal, padded $padded:literal, revisions [$($size:literal),*] {
        $( $(#[$field_doc:meta])* $field:ident: $ty:ty, )*
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::KnownLayout, zerocopy::Immutable, zerocopy::Unaligned,
        )]
        #[repr(C)]
        pub(crate) struct $name {
            pub(crate) header: $crate::wire::ObjectHeader,
            $( $(#[$field_doc])* pub(crate) $field: $ty, )*
        }

        const _: () = assert!(size_of::<$name>() == $padded);

        impl $crate::wire::Structure for $name {
            const NAME: &'static str = $public;
            const SIZES: &'static [usize] = &[$($size),*];
        }
    };
}
pub(crate) use structure;

/// The refusal of a buffer of `given` bytes where `needed` are required.
pub(crate) fn too_short(needed: usize, given: usize) -> Refusal {
    let clamp = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
    Refusal::BufferTooShort { needed: clamp(needed), given: clamp(given) }
}

/// A member that must be zero: an id that NDIS assigns, a flag word without flags.
pub(crate) fn zero(member: &'static str, found: u32) -> Result<(), Refusal> {
    if found != 0 {
        return Err(Refusal::member(member, found, "0"));
    }
    Ok(())
}

/// Flags must be among those that are known.
pub(crate) fn flags_within(found: u32, known: u32) -> Result<u32, Refusal> {
    if found & !known != 0 {
        return Err(Refusal::member("Flags", found, "made of flags that this request has"));
    }
    Ok(found)
}

/// The `length` bytes of payload at `offset` of `buffer`, behind a structure of `structure_size` bytes.
///
/// An offset that points into the structure or beyond [`MAX_OFFSET`] is refused as a bad member; a payload that reaches
/// past the end of the buffer as a buffer that is too short.
pub(crate) fn payload(
    buffer: &[u8],
    structure_size: usize,
    offset: u32,
    length: u32,
) -> Result<&[u8], Refusal> {
    let (start, end) = payload_range(structure_size, offset, length)?;
    buffer.get(start..end).ok_or_else(|| too_short(end, buffer.len()))
}

/// The byte range of such a payload, checked against everything except the buffer.
pub(crate) fn payload_range(
    structure_size: usize,
    offset: u32,
    length: u32,
) -> Result<(usize, usize), Refusal> {
    let bad = || Refusal::PayloadOffset { offset, length };
    if offset > MAX_OFFSET || length > MAX_OFFSET {
        return Err(bad());
    }
    let start = usize::try_from(offset).map_err(|_| bad())?;
    let length = usize::try_from(length).map_err(|_| bad())?;
    if start < structure_size {
        return Err(bad());
    }
    Ok((start, start + length))
}

#[cfg(test)]
mod tests;
