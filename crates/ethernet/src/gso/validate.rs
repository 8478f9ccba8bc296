//! The check of a super-frame's header against its metadata, done once per super-frame.

use zerocopy::FromBytes;

use super::{Gso, GsoError, GsoKind, Inc, MAX_HEADER_LEN, MAX_PAYLOAD_LEN, MAX_SEGMENTS, Segmenter};
use crate::header::ETHERNET_HEADER_LEN;
use crate::ipv6_extensions;
use crate::wire::{Ipv4Header, Ipv6Header, TcpHeader, UdpHeader, protocol};

impl<'h> Segmenter<'h> {
    /// Checks that `header`, which starts with all headers of the super-frame, is of the kind that `gso`
    /// says, with the innermost IP header at `l3_offset` and its TCP or UDP header at `l4_offset`, and that
    /// the segments of `payload_len` bytes of payload keep to the limits.
    ///
    /// What stands in front of `l3_offset`, such as VLAN tags or an encapsulation, is repeated unchanged.
    ///
    /// # Errors
    /// What does not agree or which limit is exceeded. All arguments may come from a hostile guest.
    pub fn new(
        header: &'h [u8],
        l3_offset: u16,
        l4_offset: u16,
        gso: Gso,
        payload_len: u32,
        ip_id: Inc,
    ) -> Result<Self, GsoError> {
        let Gso { kind, mss, header_len } = gso;
        let segments = count_segments(mss, payload_len)?;
        if usize::from(header_len) > MAX_HEADER_LEN {
            return Err(GsoError::HeaderTooLong { header_len });
        }
        let available = header.len();
        let header = header
            .get(..usize::from(header_len))
            .ok_or(GsoError::HeaderTruncated { header_len, available })?;
        let (l3, l4) = (usize::from(l3_offset), usize::from(l4_offset));
        if !(ETHERNET_HEADER_LEN <= l3 && l3 < l4 && l4 < header.len()) {
            return Err(GsoError::OffsetsOutOfOrder { l3_offset, l4_offset, header_len });
        }
        let outside_length_field = if kind.is_ipv4() {
            check_ipv4(&header[l3..l4], kind)?;
            0
        } else {
            check_ipv6(&header[l3..l4], kind)?;
            size_of::<Ipv6Header>()
        };
        check_l4(&header[l4..], kind)?;
        let largest = u32::from(mss).min(payload_len) as usize;
        let len = header.len() - l3 - outside_length_field + largest;
        if len > usize::from(u16::MAX) {
            return Err(GsoError::SegmentTooLong { len });
        }
        Ok(Self { header, l3_offset, l4_offset, kind, mss: u32::from(mss), payload_len, segments, ip_id })
    }
}

fn count_segments(mss: u16, payload_len: u32) -> Result<u32, GsoError> {
    if mss == 0 {
        return Err(GsoError::ZeroMss);
    }
    if payload_len > MAX_PAYLOAD_LEN {
        return Err(GsoError::PayloadTooLong { len: payload_len });
    }
    let segments = payload_len.div_ceil(u32::from(mss)).max(1);
    if segments > MAX_SEGMENTS {
        return Err(GsoError::TooManySegments { segments });
    }
    Ok(segments)
}

/// `l3` is all between the start of the IP header and that of the L4 header.
fn check_ipv4(l3: &[u8], kind: GsoKind) -> Result<(), GsoError> {
    let bad_header = GsoError::IpHeader { kind, len: l3.len() };
    let (ip, _) = Ipv4Header::ref_from_prefix(l3).map_err(|_| bad_header)?;
    if ip.header_len() != Some(l3.len()) {
        return Err(bad_header);
    }
    if ip.is_fragment() {
        return Err(GsoError::Fragment);
    }
    check_protocol(ip.protocol, kind)
}

/// `l3` is all between the start of the IP header and that of the L4 header.
fn check_ipv6(l3: &[u8], kind: GsoKind) -> Result<(), GsoError> {
    let bad_header = GsoError::IpHeader { kind, len: l3.len() };
    let (ip, extensions) = Ipv6Header::ref_from_prefix(l3).map_err(|_| bad_header)?;
    if !ip.is_valid() {
        return Err(bad_header);
    }
    let mut unrepeatable = None;
    let chain = ipv6_extensions::walk(extensions, ip.next_header, |kind, extension| match kind {
        // Its integrity check covers the payload.
        protocol::AUTHENTICATION => unrepeatable = Some(kind),
        // While segments are left, the pseudo header has the last of its addresses, not that of the IP
        // header.
        protocol::ROUTING if extension[3] != 0 => unrepeatable = Some(kind),
        _ => {}
    });
    if let Some(kind) = unrepeatable {
        return Err(GsoError::Extension { kind });
    }
    if chain.fragment {
        return Err(GsoError::Fragment);
    }
    let upper = chain.upper.filter(|upper| upper.offset == extensions.len()).ok_or(bad_header)?;
    check_protocol(upper.protocol, kind)
}

fn check_protocol(protocol: u8, kind: GsoKind) -> Result<(), GsoError> {
    if protocol == kind.protocol() { Ok(()) } else { Err(GsoError::Protocol { kind, protocol }) }
}

/// `l4` is all between the start of the L4 header and the end of the header.
fn check_l4(l4: &[u8], kind: GsoKind) -> Result<(), GsoError> {
    let header_len = if kind.is_tcp() {
        TcpHeader::ref_from_prefix(l4).ok().and_then(|(tcp, _)| tcp.header_len())
    } else {
        Some(size_of::<UdpHeader>())
    };
    if header_len == Some(l4.len()) { Ok(()) } else { Err(GsoError::L4Header { kind, len: l4.len() }) }
}
