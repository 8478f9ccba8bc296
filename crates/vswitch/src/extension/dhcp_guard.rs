//! `DhcpGuard`: a port that may not answer as a DHCP server.

#[cfg(test)]
mod tests;

use super::flow::{Flow, UDP, Upper};

/// UDP port of DHCP servers and relays for IPv4 (RFC 2131).
const SERVER_V4: u16 = 67;
/// UDP port of DHCP servers and relays for IPv6 (RFC 8415).
const SERVER_V6: u16 = 547;

/// Whether the frame is a message of a DHCP server.
///
/// A server answers from its well-known port; clients take no answer from another.
pub(crate) fn is_server_message(flow: &Flow) -> bool {
    let Upper::Ports { source, .. } = flow.upper else { return false };
    let Some((address, _)) = flow.addresses else { return false };
    let server = if address.is_ipv6() { SERVER_V6 } else { SERVER_V4 };
    flow.protocol == Some(UDP) && source == server
}
