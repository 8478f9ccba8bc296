//! Ranges of IP addresses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The addresses that begin with the same bits. Shown, parsed and serialised as `10.0.0.0/8` or `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IpPrefix {
    address: IpAddr,
    length: u8,
}

/// A text is no [`IpPrefix`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an IP prefix: write an address and a length as in 10.0.0.0/8 or fd00::/8, with no bits set behind the length"
)]
pub struct ParseIpPrefixError {
    text: String,
}

impl IpPrefix {
    /// The addresses whose first `length` bits are those of `address`, or `None` if it has fewer bits or other ones set.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let prefix = Self { address, length };
        let fits = u32::from(length) <= prefix.width();
        (fits && bits(address) & !prefix.mask() == 0).then_some(prefix)
    }

    /// Whether it holds IPv6 addresses.
    #[must_use]
    pub const fn is_ipv6(&self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv6() == self.is_ipv6() && bits(address) & self.mask() == bits(self.address)
    }

    const fn width(self) -> u32 {
        if self.address.is_ipv6() { 128 } else { 32 }
    }

    /// The bits that count, among the lowest [`Self::width`] ones.
    fn mask(self) -> u128 {
        let ones = u128::MAX >> (128 - self.width());
        let behind = self.width() - u32::from(self.length);
        ones & u128::MAX.checked_shl(behind).unwrap_or(0)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for IpPrefix {
    type Err = ParseIpPrefixError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/');
        parts
            .and_then(|(address, length)| Self::new(address.parse().ok()?, length.parse().ok()?))
            .ok_or_else(|| ParseIpPrefixError { text: text.chars().take(60).collect() })
    }
}

impl Serialize for IpPrefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IpPrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
