//! Receive side scaling: the Toeplitz hash and which fields of a frame it covers.
//!
//! The rules are those of the Windows RSS specification ("RSS Hashing Types"), which Intel's VFs, gve and
//! virtio-net share.

#[cfg(test)]
mod tests;

use bitflags::bitflags;
use zerocopy::FromBytes;

use crate::ipv6_extensions;
use crate::parse::{L3, L4, Layout};
use crate::wire::{Ipv4Header, Ipv6Header, protocol};

/// Bytes of an RSS key.
pub const RSS_KEY_LEN: usize = 40;
/// Bytes that are hashed at most: two IPv6 addresses and two ports.
pub const RSS_INPUT_LEN: usize = 36;

/// A Toeplitz hash function: a key, unrolled into the contribution of each value of each half byte of the
/// input.
///
/// About 4.5 KiB, where whole bytes would take 36.
#[derive(Clone)]
pub struct Toeplitz {
    /// For each input byte the contributions of its high half and of its low half.
    tables: [[[u32; 16]; 2]; RSS_INPUT_LEN],
}

impl Toeplitz {
    /// Unrolls a key.
    #[must_use]
    pub fn new(key: &[u8; RSS_KEY_LEN]) -> Self {
        let mut tables = [[[0; 16]; 2]; RSS_INPUT_LEN];
        // Bit n of the input, counted from the most significant, contributes the 32 bits of the key that
        // start at its bit n.
        for (window, pair) in key.array_windows::<5>().zip(&mut tables) {
            let [a, b, c, d, e] = *window;
            let window = u64::from_be_bytes([a, b, c, d, e, 0, 0, 0]);
            for (half, table) in pair.iter_mut().enumerate() {
                for (value, contribution) in table.iter_mut().enumerate() {
                    for bit in (0..4).filter(|bit| value & (8 >> bit) != 0) {
                        let [a, b, c, d, ..] = (window << (half * 4 + bit)).to_be_bytes();
                        *contribution ^= u32::from_be_bytes([a, b, c, d]);
                    }
                }
            }
        }
        Self { tables }
    }

    /// Hashes the input, of which no more than [`RSS_INPUT_LEN`] bytes count.
    #[must_use]
    pub fn hash(&self, input: &[u8]) -> u32 {
        self.tables.iter().zip(input).fold(0, |hash, ([high, low], &byte)| {
            hash ^ high[usize::from(byte >> 4)] ^ low[usize::from(byte & 0xf)]
        })
    }
}

impl std::fmt::Debug for Toeplitz {
    /// The tables would give away the key, with which a peer could aim all its flows at one queue.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Toeplitz").finish_non_exhaustive()
    }
}

bitflags! {
    /// Hash types that are enabled, numbered as in virtio 1.3 section 5.1.6.4.3.1.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
    pub struct RssTypes: u16 {
        /// IPv4 addresses.
        const IPV4 = 1 << 0;
        /// IPv4 addresses and TCP ports.
        const TCP4 = 1 << 1;
        /// IPv4 addresses and UDP ports.
        const UDP4 = 1 << 2;
        /// IPv6 addresses.
        const IPV6 = 1 << 3;
        /// IPv6 addresses and TCP ports.
        const TCP6 = 1 << 4;
        /// IPv6 addresses and UDP ports.
        const UDP6 = 1 << 5;
        /// IPv6 addresses, a mobile node's home address in place of its care-of address.
        const IPV6_EX = 1 << 6;
        /// The same and TCP ports.
        const TCP6_EX = 1 << 7;
        /// The same and UDP ports.
        const UDP6_EX = 1 << 8;
    }
}

/// The type by which a frame was hashed; each stands for the flag of [`RssTypes`] of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RssType {
    /// IPv4 addresses.
    Ipv4,
    /// IPv4 addresses and TCP ports.
    Tcp4,
    /// IPv4 addresses and UDP ports.
    Udp4,
    /// IPv6 addresses.
    Ipv6,
    /// IPv6 addresses and TCP ports.
    Tcp6,
    /// IPv6 addresses and UDP ports.
    Udp6,
    /// IPv6 addresses, a mobile node's home address in place of its care-of address.
    Ipv6Ex,
    /// The same and TCP ports.
    Tcp6Ex,
    /// The same and UDP ports.
    Udp6Ex,
}

impl RssType {
    const fn flag(self) -> RssTypes {
        match self {
            Self::Ipv4 => RssTypes::IPV4,
            Self::Tcp4 => RssTypes::TCP4,
            Self::Udp4 => RssTypes::UDP4,
            Self::Ipv6 => RssTypes::IPV6,
            Self::Tcp6 => RssTypes::TCP6,
            Self::Udp6 => RssTypes::UDP6,
            Self::Ipv6Ex => RssTypes::IPV6_EX,
            Self::Tcp6Ex => RssTypes::TCP6_EX,
            Self::Udp6Ex => RssTypes::UDP6_EX,
        }
    }

    const fn has_ports(self) -> bool {
        !matches!(self, Self::Ipv4 | Self::Ipv6 | Self::Ipv6Ex)
    }

    const fn has_home_address(self) -> bool {
        matches!(self, Self::Ipv6Ex | Self::Tcp6Ex | Self::Udp6Ex)
    }
}

/// Hashes a frame by the most specific of the enabled types that fits it, or `None` if none does.
///
/// Ports count only where the packet is whole, since the later fragments of a packet have none and must reach
/// the same queue as the first. For a packet with IPv6 extension headers the `_EX` types come before the
/// plain ones. An `_EX` type also covers packets without extension headers, unless the plain type is enabled.
///
/// `layout` is that of `header` as [`parse`](crate::parse()) found it.
#[must_use]
pub fn rss_hash(
    toeplitz: &Toeplitz,
    enabled: RssTypes,
    header: &[u8],
    layout: &Layout,
) -> Option<(u32, RssType)> {
    let rss_type =
        candidates(layout).iter().copied().find(|&candidate| enabled.contains(candidate.flag()))?;
    let packet = header.get(usize::from(layout.l3_offset)..)?;
    let mut input = [0; RSS_INPUT_LEN];
    let addresses_len = match layout.l3 {
        L3::Ipv4 { .. } => {
            let (ip, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
            input[..4].copy_from_slice(&ip.source);
            input[4..8].copy_from_slice(&ip.destination);
            8
        }
        _ => {
            let (ip, extensions) = Ipv6Header::ref_from_prefix(packet).ok()?;
            let mut addresses = (ip.source, ip.destination);
            if rss_type.has_home_address() {
                replace_care_of_addresses(&mut addresses, ip.next_header, extensions);
            }
            input[..16].copy_from_slice(&addresses.0);
            input[16..32].copy_from_slice(&addresses.1);
            32
        }
    };
    let mut input_len = addresses_len;
    if rss_type.has_ports() {
        let ports: &[u8; 4] = header.get(usize::from(layout.l4_offset)..)?.first_chunk()?;
        input_len += ports.len();
        input[addresses_len..input_len].copy_from_slice(ports);
    }
    Some((toeplitz.hash(&input[..input_len]), rss_type))
}

/// The types that fit a frame, the most specific first.
fn candidates(layout: &Layout) -> &'static [RssType] {
    use RssType::{Ipv4, Ipv6, Ipv6Ex, Tcp4, Tcp6, Tcp6Ex, Udp4, Udp6, Udp6Ex};
    let l4 = if layout.fragment { L4::None } else { layout.l4 };
    match (layout.l3, l4) {
        (L3::Ipv4 { .. }, L4::Tcp) => &[Tcp4, Ipv4],
        (L3::Ipv4 { .. }, L4::Udp) => &[Udp4, Ipv4],
        (L3::Ipv4 { .. }, _) => &[Ipv4],
        (L3::Ipv6 { extensions: false }, L4::Tcp) => &[Tcp6, Tcp6Ex, Ipv6, Ipv6Ex],
        (L3::Ipv6 { extensions: false }, L4::Udp) => &[Udp6, Udp6Ex, Ipv6, Ipv6Ex],
        (L3::Ipv6 { extensions: false }, _) => &[Ipv6, Ipv6Ex],
        (L3::Ipv6 { extensions: true }, L4::Tcp) => &[Tcp6Ex, Tcp6, Ipv6Ex, Ipv6],
        (L3::Ipv6 { extensions: true }, L4::Udp) => &[Udp6Ex, Udp6, Ipv6Ex, Ipv6],
        (L3::Ipv6 { extensions: true }, _) => &[Ipv6Ex, Ipv6],
        (L3::None | L3::Arp | L3::Other, _) => &[],
    }
}

/// Puts the home addresses of Mobile IPv6 in place of (source, destination): that of the home address option
/// for the source, that of a type 2 routing header for the destination (RFC 6275 sections 6.3 and 6.4).
fn replace_care_of_addresses(addresses: &mut ([u8; 16], [u8; 16]), first: u8, extensions: &[u8]) {
    const TYPE_2: u8 = 2;
    ipv6_extensions::walk(extensions, first, |kind, extension| match kind {
        protocol::DESTINATION_OPTIONS => {
            if let Some(home) = home_address_option(&extension[2..]) {
                addresses.0 = home;
            }
        }
        protocol::ROUTING if extension[2] == TYPE_2 => {
            if let Some(&home) = extension.get(8..).and_then(<[u8]>::first_chunk) {
                addresses.1 = home;
            }
        }
        _ => {}
    });
}

/// Finds the home address among the options of a destination options header.
fn home_address_option(mut options: &[u8]) -> Option<[u8; 16]> {
    const PAD1: u8 = 0;
    const HOME_ADDRESS: u8 = 0xc9;
    loop {
        let (&kind, rest) = options.split_first()?;
        if kind == PAD1 {
            options = rest;
            continue;
        }
        let (&len, rest) = rest.split_first()?;
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        if kind == HOME_ADDRESS {
            return value.try_into().ok();
        }
        options = rest;
    }
}
