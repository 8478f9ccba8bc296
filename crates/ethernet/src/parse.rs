//! One pass over a frame header that finds where its parts stand.

#[cfg(test)]
mod tests;

use zerocopy::FromBytes;

use crate::ethertype;
use crate::header::ETHERNET_HEADER_LEN;
use crate::ipv6_extensions;
use crate::vlan::VLAN_TAG_LEN;
use crate::wire::{Ipv4Header, Ipv6Header, TcpHeader, protocol};

/// VLAN tags that are skipped at most: a service tag and a customer tag.
pub const MAX_VLAN_DEPTH: u8 = 2;

/// Bytes of a UDP header, of an ICMP or ICMPv6 header (every message has as many), and of the common SCTP
/// header.
const UDP_OR_ICMP_HEADER_LEN: usize = 8;
const SCTP_HEADER_LEN: usize = 12;

/// The protocol behind the Ethernet header and its VLAN tags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum L3 {
    /// None that can be relied on: the frame ends too early, or the IP header contradicts the EtherType.
    #[default]
    None,
    /// IPv4; the 20 bytes of the header without options are there.
    Ipv4 {
        /// The header is longer than 20 bytes.
        options: bool,
    },
    /// IPv6; the 40 bytes of the fixed header are there.
    Ipv6 {
        /// Extension headers follow the fixed header.
        extensions: bool,
    },
    /// ARP, by its EtherType alone.
    Arp,
    /// Any other EtherType, a third VLAN tag, or an IEEE 802.3 length.
    Other,
}

/// The protocol above IP. Where one is named, the fixed part of its header is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum L4 {
    /// None that can be relied on: not IP, not the first fragment, or the header is not all there.
    #[default]
    None,
    /// TCP, 20 bytes.
    Tcp,
    /// UDP, 8 bytes.
    Udp,
    /// SCTP, 12 bytes.
    Sctp,
    /// ICMP over IPv4, 8 bytes.
    Icmp,
    /// ICMPv6 over IPv6, 8 bytes.
    Icmpv6,
    /// Another protocol, of which nothing but the place is known.
    Other,
}

/// Where the parts of a frame stand. Offsets are bytes from the start of the frame, 0 where unknown, and
/// never beyond the bytes that were parsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Protocol of layer 3.
    pub l3: L3,
    /// Start of the layer 3 header; known unless `l3` is [`L3::None`].
    pub l3_offset: u16,
    /// Protocol of layer 4.
    pub l4: L4,
    /// Start of the layer 4 header; known unless `l4` is [`L4::None`].
    pub l4_offset: u16,
    /// Start of what layer 4 carries; unknown for [`L4::Other`] and where TCP options do not end in the bytes
    /// parsed.
    pub payload_offset: u16,
    /// The IP packet is one fragment of several.
    pub fragment: bool,
    /// VLAN tags in front of layer 3, at most [`MAX_VLAN_DEPTH`].
    pub vlan_depth: u8,
}

/// Finds the parts of the frame that starts with `header`.
///
/// Skips up to two VLAN tags (802.1Q and 802.1ad), IPv4 options and IPv6 extension headers. What a cut or
/// lying header leaves uncertain is reported as `None`. An IPv4 total length or IPv6 payload length of 0, as
/// segmentation offload and jumbograms have it, bounds nothing; any other hides from layer 4 what lies beyond
/// it.
#[must_use]
pub fn parse(header: &[u8]) -> Layout {
    let header = &header[..header.len().min(usize::from(u16::MAX))];
    let mut layout = Layout::default();
    let mut l3_offset = ETHERNET_HEADER_LEN;
    let ethertype = loop {
        let Some(ethertype) = read_u16(header, l3_offset - 2) else { return layout };
        let is_tag = matches!(ethertype, ethertype::VLAN | ethertype::SERVICE_VLAN);
        if !is_tag || layout.vlan_depth == MAX_VLAN_DEPTH {
            break ethertype;
        }
        l3_offset += VLAN_TAG_LEN;
        if l3_offset > header.len() {
            return layout;
        }
        layout.vlan_depth += 1;
    };
    let upper = match ethertype {
        ethertype::IPV4 => parse_ipv4(header, l3_offset, &mut layout),
        ethertype::IPV6 => parse_ipv6(header, l3_offset, &mut layout),
        other => {
            layout.l3 = if other == ethertype::ARP { L3::Arp } else { L3::Other };
            None
        }
    };
    if layout.l3 != L3::None {
        layout.l3_offset = to_offset(l3_offset);
    }
    if let Some(upper) = upper {
        parse_l4(&header[..upper.end], upper.start, upper.l4, &mut layout);
    }
    layout
}

/// What an IP header says about the header behind it.
struct Upper {
    l4: L4,
    start: usize,
    /// End of what the IP packet has of the bytes parsed.
    end: usize,
}

fn parse_ipv4(header: &[u8], l3_offset: usize, layout: &mut Layout) -> Option<Upper> {
    let (ip, _) = Ipv4Header::ref_from_prefix(&header[l3_offset..]).ok()?;
    let header_len = ip.header_len()?;
    layout.l3 = L3::Ipv4 { options: header_len > size_of::<Ipv4Header>() };
    layout.fragment = ip.is_fragment();
    if ip.is_later_fragment() {
        return None;
    }
    let l4 = match ip.protocol {
        protocol::TCP => L4::Tcp,
        protocol::UDP => L4::Udp,
        protocol::SCTP => L4::Sctp,
        protocol::ICMP => L4::Icmp,
        _ => L4::Other,
    };
    let end = packet_end(header, l3_offset, usize::from(ip.total_length.get()));
    Some(Upper { l4, start: l3_offset + header_len, end })
}

fn parse_ipv6(header: &[u8], l3_offset: usize, layout: &mut Layout) -> Option<Upper> {
    let (ip, _) = Ipv6Header::ref_from_prefix(&header[l3_offset..]).ok()?;
    if !ip.is_valid() {
        return None;
    }
    let start = l3_offset + size_of::<Ipv6Header>();
    let end = packet_end(header, start, usize::from(ip.payload_length.get()));
    let chain = ipv6_extensions::walk(&header[start..end], ip.next_header, |_, _| {});
    layout.l3 = L3::Ipv6 { extensions: chain.present };
    layout.fragment = chain.fragment;
    let upper = chain.upper?;
    let l4 = match upper.protocol {
        protocol::TCP => L4::Tcp,
        protocol::UDP => L4::Udp,
        protocol::SCTP => L4::Sctp,
        protocol::ICMPV6 => L4::Icmpv6,
        _ => L4::Other,
    };
    Some(Upper { l4, start: start + upper.offset, end })
}

/// End of `len` bytes from `start`, 0 for as many as there are, within the bytes parsed.
fn packet_end(header: &[u8], start: usize, len: usize) -> usize {
    if len == 0 { header.len() } else { header.len().min(start + len) }
}

fn parse_l4(packet: &[u8], start: usize, l4: L4, layout: &mut Layout) {
    let Some(segment) = packet.get(start..) else { return };
    let header_len = match l4 {
        L4::Tcp => {
            let Ok((tcp, _)) = TcpHeader::ref_from_prefix(segment) else { return };
            tcp.header_len().filter(|&len| len <= segment.len())
        }
        L4::Udp | L4::Icmp | L4::Icmpv6 if segment.len() >= UDP_OR_ICMP_HEADER_LEN => {
            Some(UDP_OR_ICMP_HEADER_LEN)
        }
        L4::Sctp if segment.len() >= SCTP_HEADER_LEN => Some(SCTP_HEADER_LEN),
        L4::Other => None,
        _ => return,
    };
    layout.l4 = l4;
    layout.l4_offset = to_offset(start);
    layout.payload_offset = header_len.map_or(0, |len| to_offset(start + len));
}

fn read_u16(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().copied().map(u16::from_be_bytes)
}

/// Offsets fit because the bytes parsed are cut at 65,535.
fn to_offset(offset: usize) -> u16 {
    u16::try_from(offset).unwrap_or(0)
}
