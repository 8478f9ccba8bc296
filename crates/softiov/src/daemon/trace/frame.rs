//! Frames made from a description.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::types::FrameContent;
use ethernet::{ETHERNET_HEADER_LEN, MacAddr, Sum, VlanTag, ethertype, pop_vlan};

/// Shortest frame, without frame check sequence (IEEE 802.3).
const SHORTEST: usize = 60;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// Local experimental ethertype (IEEE 802).
const EXPERIMENTAL: u16 = 0x88b5;

/// A frame that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("the frame has no destination: name an address or an adapter with --dst")]
    NoDestination,
    #[error("the uplink has no address of its own: name the source of the frame with --src")]
    NoSource,
    #[error("{name:?} is neither a MAC address such as 02:00:00:00:00:01 nor an adapter: there are {}", .known.join(", "))]
    NoSuchStation { name: String, known: Vec<String> },
    #[error("{vlan} is not possible in a VLAN tag: 0 to 4095 are")]
    Vlan { vlan: u16 },
    #[error("a frame of {length} bytes is not possible: 14 to 65550 are")]
    Length { length: usize },
    #[error("{source_ip} and {destination_ip} are not of one family that this kind of frame is for")]
    Families { source_ip: IpAddr, destination_ip: IpAddr },
    #[error("bytes are the whole frame, with its addresses: neither --dst nor --src nor --vlan go with them")]
    WholeFrame,
}

/// A frame with its tag out of band.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) bytes: Vec<u8>,
    pub(super) tag: Option<VlanTag>,
}

impl fmt::Display for Described {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = ethernet::source(&self.bytes).unwrap_or_default();
        let destination = ethernet::destination(&self.bytes).unwrap_or_default();
        let kind = ethertype(&self.bytes).unwrap_or_default();
        write!(f, "{source} to {destination}, ethertype 0x{kind:04x}, {} bytes", self.bytes.len())?;
        match self.tag {
            None => f.write_str(", untagged"),
            Some(tag) => write!(f, ", tagged with VLAN {}", tag.vid()),
        }
    }
}

/// Addresses of a frame, where the description names them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stations {
    pub(super) destination: Option<MacAddr>,
    pub(super) source: Option<MacAddr>,
}

/// Makes the frame.
pub(super) fn build(
    content: &FrameContent,
    stations: Stations,
    vlan: Option<u16>,
) -> Result<Described, FrameError> {
    if let FrameContent::Bytes { bytes } = content {
        return whole(bytes);
    }
    let source = stations.source.ok_or(FrameError::NoSource)?;
    let usual = usual_destination(content);
    let destination = stations.destination.or(usual).ok_or(FrameError::NoDestination)?;
    let (kind, payload) = payload(content, source)?;
    let mut bytes = [&destination.0[..], &source.0, &kind.to_be_bytes(), &payload].concat();
    bytes.resize(bytes.len().max(SHORTEST), 0);
    let tag = match vlan {
        Some(vlan) if vlan > 4095 => return Err(FrameError::Vlan { vlan }),
        vlan => vlan.map(|vlan| VlanTag::new(vlan, 0, false)),
    };
    Ok(Described { bytes, tag })
}

/// The bytes of a whole frame, as a port takes them.
fn whole(bytes: &[u8]) -> Result<Described, FrameError> {
    if !(ETHERNET_HEADER_LEN..=65_550).contains(&bytes.len()) {
        return Err(FrameError::Length { length: bytes.len() });
    }
    let (mut bytes, mut length) = (bytes.to_vec(), bytes.len());
    let tag = pop_vlan(&mut bytes, &mut length);
    bytes.truncate(length);
    Ok(Described { bytes, tag })
}

/// Where frames of this kind go.
fn usual_destination(content: &FrameContent) -> Option<MacAddr> {
    match content {
        FrameContent::Arp { .. } | FrameContent::DhcpOffer => Some(MacAddr::BROADCAST),
        FrameContent::NeighborSolicitation { destination: IpAddr::V6(address), .. } => {
            let [.., a, b, c] = address.octets();
            Some(MacAddr([0x33, 0x33, 0xff, a, b, c]))
        }
        FrameContent::RouterAdvertisement => Some(MacAddr([0x33, 0x33, 0, 0, 0, 1])),
        _ => None,
    }
}

/// Ethertype, and what stands behind it.
fn payload(content: &FrameContent, source: MacAddr) -> Result<(u16, Vec<u8>), FrameError> {
    match content {
        FrameContent::Plain | FrameContent::Bytes { .. } => Ok((EXPERIMENTAL, Vec::new())),
        FrameContent::Arp { source: IpAddr::V4(from), destination: IpAddr::V4(to) } => {
            let request = [0, 1, 8, 0, 6, 4, 0, 1];
            let all = [&request[..], &source.0, &from.octets(), &[0; 6], &to.octets()].concat();
            Ok((ethertype::ARP, all))
        }
        FrameContent::NeighborSolicitation { source: IpAddr::V6(from), destination: IpAddr::V6(to) } => {
            let message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &to.octets(), &[1, 1], &source.0].concat();
            let [.., a, b, c] = to.octets();
            let group =
                Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
            Ok((ethertype::IPV6, ipv6(*from, group, ICMPV6, 255, &message)))
        }
        FrameContent::RouterAdvertisement => {
            let message = [134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
            let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            Ok((ethertype::IPV6, ipv6(link_local(source), all_nodes, ICMPV6, 255, &message)))
        }
        FrameContent::DhcpOffer => {
            // BOOTP reply with the magic cookie and the option "message type: offer" (RFC 2131).
            let mut message = vec![0; 236];
            message[..4].copy_from_slice(&[2, 1, 6, 0]);
            message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 2, 255]);
            let server = Ipv4Addr::new(192, 0, 2, 1);
            let datagram = with_ports(UDP, (67, 68), &message);
            Ok((ethertype::IPV4, ipv4(server, Ipv4Addr::BROADCAST, UDP, &datagram)))
        }
        FrameContent::Ip { source: IpAddr::V4(from), destination: IpAddr::V4(to), protocol, ports } => {
            Ok((ethertype::IPV4, ipv4(*from, *to, *protocol, &transport(*protocol, *ports))))
        }
        FrameContent::Ip { source: IpAddr::V6(from), destination: IpAddr::V6(to), protocol, ports } => {
            let protocol = if *protocol == ICMP { ICMPV6 } else { *protocol };
            Ok((ethertype::IPV6, ipv6(*from, *to, protocol, 64, &transport(protocol, *ports))))
        }
        FrameContent::Ip { source, destination, .. }
        | FrameContent::Arp { source, destination }
        | FrameContent::NeighborSolicitation { source, destination } => {
            Err(FrameError::Families { source_ip: *source, destination_ip: *destination })
        }
    }
}

fn transport(protocol: u8, ports: Option<(u16, u16)>) -> Vec<u8> {
    match (protocol, ports) {
        (ICMP, _) => vec![8, 0, 0xf7, 0xff, 0, 0, 0, 0],
        (ICMPV6, _) => vec![128, 0, 0, 0, 0, 0, 0, 0],
        (protocol, Some(ports)) => with_ports(protocol, ports, &[]),
        (_, None) => vec![0; 8],
    }
}

fn with_ports(protocol: u8, (source, destination): (u16, u16), payload: &[u8]) -> Vec<u8> {
    let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    let length = u16::try_from(8 + payload.len()).unwrap_or(u16::MAX);
    match protocol {
        // A SYN.
        TCP => [&ports[..], &[0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0], payload].concat(),
        UDP => [&ports[..], &length.to_be_bytes(), &[0, 0], payload].concat(),
        _ => [&ports[..], &[0; 8], payload].concat(),
    }
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let start = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    let mut packet = [&start[..], &source.octets(), &destination.octets()].concat();
    let mut sum = Sum::new();
    sum.add_bytes(&packet);
    packet[10..12].copy_from_slice(&sum.finish().to_be_bytes());
    packet.extend(payload);
    packet
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, hops: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX).to_be_bytes();
    let start = [0x60, 0, 0, 0, length[0], length[1], protocol, hops];
    [&start[..], &source.octets(), &destination.octets(), payload].concat()
}

/// The link-local address made from a MAC address (RFC 4291, appendix A).
fn link_local(mac: MacAddr) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let pair = |high, low| u16::from_be_bytes([high, low]);
    Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
}
