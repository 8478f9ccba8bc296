//! Values that are checked as they are read, so that the parser can name their line.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// Mode of a socket's file. Connecting needs the right to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketMode(u32);

impl SocketMode {
    /// The bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl Default for SocketMode {
    /// For the daemon's own user only.
    fn default() -> Self {
        Self(0o600)
    }
}

impl<'de> Deserialize<'de> for SocketMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bits =
            u32::from_str_radix(&text, 8).ok().filter(|bits| bits & !0o666 == 0 && bits & 0o600 == 0o600);
        bits.map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is not a mode for a socket: \"0600\" for its user, \"0660\" for its group too, \"0666\" for \
                 all"
            ))
        })
    }
}

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// These bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is not a SHA-256 fingerprint: 64 hexadecimal digits, as `openssl x509 -noout -fingerprint \
                 -sha256 -in FILE` prints them, with colons or without"
            ))
        })
    }
}

fn parse(text: &str) -> Option<Fingerprint> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let pairs: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    if digits.len() != 64 {
        return None;
    }
    pairs.try_into().ok().map(Fingerprint)
}
