//! `RouterGuard`: a port that may not advertise itself as a router nor redirect traffic.

#[cfg(test)]
mod tests;

use super::flow::{Flow, Upper};

/// ICMP for IPv4 (IANA).
const ICMP: u8 = 1;
/// ICMP for IPv6.
const ICMPV6: u8 = 58;

/// ICMP types: redirect (RFC 792), router advertisement (RFC 1256).
const REDIRECT_V4: u8 = 5;
const ADVERTISEMENT_V4: u8 = 9;
/// ICMPv6 types: router advertisement, redirect (RFC 4861).
const ADVERTISEMENT_V6: u8 = 134;
const REDIRECT_V6: u8 = 137;

/// Whether the frame is a message that only a router sends to hosts.
pub(crate) fn is_router_message(flow: &Flow) -> bool {
    let Upper::Icmp { kind } = flow.upper else { return false };
    match flow.protocol {
        Some(ICMP) => matches!(kind, REDIRECT_V4 | ADVERTISEMENT_V4),
        Some(ICMPV6) => matches!(kind, ADVERTISEMENT_V6 | REDIRECT_V6),
        _ => false,
    }
}
