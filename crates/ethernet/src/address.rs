//! MAC addresses and the multicast hash of Intel's receive address filter.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 48-bit IEEE 802 MAC address, its bytes in the order of the wire.
///
/// Shown, parsed and serialised as `02:00:00:00:00:01`.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`, every station.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`, which no station may have.
    pub const ZERO: Self = Self([0; 6]);

    /// Whether the group bit is set; true for broadcast as well.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether this is the broadcast address.
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == Self::BROADCAST.to_u64()
    }

    /// Whether every bit is zero.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// Whether a station may have this address: neither a group nor zero.
    #[must_use]
    pub const fn is_unicast(self) -> bool {
        !self.is_multicast() && !self.is_zero()
    }

    /// Whether the address is one of `01:80:c2:00:00:00` to `..:0f`, which IEEE 802.1Q reserves for protocols
    /// of one link (STP, PAUSE, LACP, 802.1X, LLDP): a bridge never forwards them.
    #[must_use]
    pub const fn is_link_local_control(self) -> bool {
        self.to_u64() & !0xf == 0x0180_c200_0000
    }

    /// The address as a 48-bit number, the first byte of the wire most significant.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }
}

impl From<MacAddr> for [u8; 6] {
    fn from(mac: MacAddr) -> Self {
        mac.0
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a MAC address: write six pairs of hexadecimal digits joined by ':' or '-', \
     as in 02:00:00:00:00:01"
)]
pub struct ParseMacAddrError {
    text: String,
}

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    /// Reads six pairs of hexadecimal digits of either case, joined all by `:` or all by `-`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The text may be anything that an API client sent: the error repeats no more than a line of it.
        parse_mac(text).ok_or_else(|| ParseMacAddrError { text: text.chars().take(40).collect() })
    }
}

fn parse_mac(text: &str) -> Option<MacAddr> {
    let text: &[u8; 17] = text.as_bytes().try_into().ok()?;
    let separator = text[2];
    if !matches!(separator, b':' | b'-') {
        return None;
    }
    let mut mac = [0; 6];
    for (byte, group) in mac.iter_mut().zip(text.chunks(3)) {
        if group.get(2).is_some_and(|&c| c != separator) {
            return None;
        }
        *byte = hex_digit(group[0])? << 4 | hex_digit(group[1])?;
    }
    Some(MacAddr(mac))
}

fn hex_digit(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

impl Serialize for MacAddr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Which 12 bits of a multicast address select its entry in the multicast table array of an Intel NIC
/// (MCSTCTRL.MO), the address numbered as on the wire: byte 5 holds bits 47:40.
///
/// The discriminant is the value that the PF reports in the reply to the VF's RESET message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum McFilterType {
    /// Bits 47:36, the default.
    #[default]
    Bits47To36 = 0,
    /// Bits 46:35.
    Bits46To35 = 1,
    /// Bits 45:34.
    Bits45To34 = 2,
    /// Bits 43:32.
    Bits43To32 = 3,
}

/// The 12-bit hash under which a VF's SET_MULTICAST message names the address.
#[must_use]
pub const fn multicast_hash(mac: MacAddr, filter: McFilterType) -> u16 {
    let high = u16::from_le_bytes([mac.0[4], mac.0[5]]);
    let shift = match filter {
        McFilterType::Bits47To36 => 4,
        McFilterType::Bits46To35 => 3,
        McFilterType::Bits45To34 => 2,
        McFilterType::Bits43To32 => 0,
    };
    (high >> shift) & 0xfff
}
