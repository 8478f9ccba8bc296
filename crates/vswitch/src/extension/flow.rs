//! What the ACL and the guards need to know of a frame beyond its addresses; read only when one of them is active.
//!
//! They must not be fooled by frames that a receiver reads otherwise: headers cut off or pushed beyond the private copy,
//! overlapping fragments (RFC 1858), IPv6 header chains split over fragments (RFC 7113), stacked tags and LLC/SNAP
//! (CVE-2021-27853 and its kin). What cannot be read with certainty is [`Upper::Unreadable`], and they drop it.

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ethernet::{L3, L4, MAX_VLAN_DEPTH, ethertype};

use crate::Packet;

/// Type field values below are lengths (IEEE 802.3).
const FIRST_ETHERTYPE: u16 = 0x600;
/// LLC header of SNAP, with the organization of EtherTypes (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Headers of IPv6 that stand before the upper layer (IANA).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
/// Extension headers that are followed, as many as [`ethernet::parse()`] follows.
const MAX_EXTENSIONS: usize = 8;

/// The layer above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upper {
    /// Not an IP packet.
    NotIp,
    /// TCP, UDP or SCTP.
    Ports { source: u16, destination: u16 },
    /// ICMP or ICMPv6, with its type.
    Icmp { kind: u8 },
    /// Another protocol.
    Other,
    /// A fragment behind the first: harmless without that.
    LaterFragment,
    /// A receiver may see what is not seen here.
    Unreadable,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flow {
    /// Source and destination.
    pub(crate) addresses: Option<(IpAddr, IpAddr)>,
    /// Protocol above IP.
    pub(crate) protocol: Option<u8>,
    pub(crate) upper: Upper,
}

impl Flow {
    const NOT_IP: Self = Self { addresses: None, protocol: None, upper: Upper::NotIp };
    const UNREADABLE: Self = Self { addresses: None, protocol: None, upper: Upper::Unreadable };

    pub(crate) fn read(packet: &Packet<'_>) -> Self {
        let layout = packet.layout;
        match layout.l3 {
            L3::Ipv4 { .. } => ipv4(packet).unwrap_or(Self::UNREADABLE),
            L3::Ipv6 { .. } => ipv6(packet).unwrap_or(Self::UNREADABLE),
            L3::Arp => Self::NOT_IP,
            L3::None => Self::UNREADABLE,
            L3::Other => other(packet),
        }
    }
}

fn ipv4(packet: &Packet<'_>) -> Option<Flow> {
    let ip: &[u8; 20] = packet.header.get(usize::from(packet.layout.l3_offset)..)?.first_chunk()?;
    let [_, _, _, _, _, _, flags, offset, _, protocol, _, _, a, b, c, d, e, f, g, h] = *ip;
    let offset = u16::from_be_bytes([flags & 0x1f, offset]);
    let upper = match offset {
        0 => upper(packet)?,
        // It would overwrite the flags of a TCP header.
        1 if protocol == TCP => Upper::Unreadable,
        _ => Upper::LaterFragment,
    };
    Some(Flow {
        addresses: Some((IpAddr::from([a, b, c, d]), IpAddr::from([e, f, g, h]))),
        protocol: Some(protocol),
        upper,
    })
}

fn ipv6(packet: &Packet<'_>) -> Option<Flow> {
    let ip = packet.header.get(usize::from(packet.layout.l3_offset)..)?;
    let next_header = *ip.get(6)?;
    let source: [u8; 16] = *ip.get(8..)?.first_chunk()?;
    let destination: [u8; 16] = *ip.get(24..)?.first_chunk()?;
    let (protocol, later) = follow(ip.get(40..)?, next_header)?;
    let upper = if later { Upper::LaterFragment } else { upper(packet)? };
    Some(Flow {
        addresses: Some((IpAddr::from(source), IpAddr::from(destination))),
        protocol: Some(protocol),
        upper,
    })
}

/// Follows the extension headers to the protocol behind them, and tells whether that stands in another fragment.
fn follow(mut bytes: &[u8], mut kind: u8) -> Option<(u8, bool)> {
    for _ in 0..=MAX_EXTENSIONS {
        let length = match kind {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (usize::from(*bytes.get(1)?) + 1) * 8,
            AUTHENTICATION => (usize::from(*bytes.get(1)?) + 2) * 4,
            FRAGMENT => 8,
            upper => return Some((upper, false)),
        };
        let header = bytes.get(..length)?;
        if kind == FRAGMENT && u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0 {
            return Some((header[0], true));
        }
        kind = header[0];
        bytes = &bytes[length..];
    }
    None
}

/// The upper layer of a packet that has its beginning; `None` if it should be there but is not.
fn upper(packet: &Packet<'_>) -> Option<Upper> {
    let start = usize::from(packet.layout.l4_offset);
    match packet.layout.l4 {
        L4::None => None,
        L4::Tcp | L4::Udp | L4::Sctp => {
            let [a, b, c, d] = *packet.header.get(start..)?.first_chunk()?;
            Some(Upper::Ports { source: u16::from_be_bytes([a, b]), destination: u16::from_be_bytes([c, d]) })
        }
        L4::Icmp | L4::Icmpv6 => packet.header.get(start).map(|&kind| Upper::Icmp { kind }),
        L4::Other => Some(Upper::Other),
    }
}

/// A frame whose type field names neither IP nor ARP.
fn other(packet: &Packet<'_>) -> Flow {
    let start = usize::from(packet.layout.l3_offset);
    let Some(field) = start.checked_sub(2).and_then(|at| packet.header.get(at..)?.first_chunk().copied())
    else {
        return Flow::UNREADABLE;
    };
    let field = u16::from_be_bytes(field);
    let third_tag = packet.layout.vlan_depth == MAX_VLAN_DEPTH
        && matches!(field, ethertype::VLAN | ethertype::SERVICE_VLAN);
    let snap =
        field < FIRST_ETHERTYPE && packet.header.get(start..).is_some_and(|llc| llc.starts_with(&SNAP));
    if third_tag || snap { Flow::UNREADABLE } else { Flow::NOT_IP }
}
