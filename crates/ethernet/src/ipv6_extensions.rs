//! The walk along the extension headers of an IPv6 packet (RFC 8200 section 4).

use crate::wire::protocol;

/// Extension headers that are walked at most. RFC 8200 section 4.1 lists seven that can stand in one packet.
const MAX_EXTENSIONS: usize = 8;

/// What the walk found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// There is at least one extension header.
    pub(crate) present: bool,
    /// A fragment header says that the packet is one fragment of several.
    pub(crate) fragment: bool,
    /// The header behind the extensions; `None` if it stands in another fragment, or beyond the bytes given,
    /// or behind more extensions than are walked, or if there is none.
    pub(crate) upper: Option<UpperLayer>,
}

/// The header behind the extension headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UpperLayer {
    /// Its protocol number.
    pub(crate) protocol: u8,
    /// Bytes from the start of the extensions to its start; not beyond the bytes given.
    pub(crate) offset: usize,
}

/// Walks the extensions at the start of `bytes`, of which `first` is the type of the first, and shows each
/// one that is whole to `visit` with its type.
pub(crate) fn walk(bytes: &[u8], first: u8, mut visit: impl FnMut(u8, &[u8])) -> Chain {
    let mut chain = Chain { present: false, fragment: false, upper: None };
    let mut kind = first;
    let mut offset = 0;
    for _ in 0..=MAX_EXTENSIONS {
        let len_of: fn(u8) -> usize = match kind {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                |len| (usize::from(len) + 1) * 8
            }
            protocol::AUTHENTICATION => |len| (usize::from(len) + 2) * 4,
            protocol::FRAGMENT => |_| 8,
            protocol::NO_NEXT_HEADER => return chain,
            upper => {
                chain.upper = Some(UpperLayer { protocol: upper, offset });
                return chain;
            }
        };
        chain.present = true;
        let Some(rest) = bytes.get(offset..) else { return chain };
        let &[next, len, ..] = rest else { return chain };
        let Some(extension) = rest.get(..len_of(len)) else { return chain };
        visit(kind, extension);
        if kind == protocol::FRAGMENT {
            let offset_and_more = u16::from_be_bytes([extension[2], extension[3]]);
            // A fragment header without offset and without more to come holds a whole packet (RFC 6946).
            chain.fragment |= offset_and_more & 0xfff9 != 0;
            if offset_and_more & 0xfff8 != 0 {
                return chain;
            }
        }
        kind = next;
        offset += extension.len();
    }
    chain
}
