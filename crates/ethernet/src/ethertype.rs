//! EtherTypes that the data path knows.

/// IPv4, RFC 894.
pub const IPV4: u16 = 0x0800;
/// ARP, RFC 826.
pub const ARP: u16 = 0x0806;
/// Customer VLAN tag (C-tag), IEEE 802.1Q.
pub const VLAN: u16 = 0x8100;
/// IPv6, RFC 2464.
pub const IPV6: u16 = 0x86dd;
/// MAC control: PAUSE and priority flow control, IEEE 802.3 annex 31A.
pub const MAC_CONTROL: u16 = 0x8808;
/// Slow protocols: LACP, IEEE 802.3 annex 57A.
pub const SLOW_PROTOCOLS: u16 = 0x8809;
/// Service VLAN tag (S-tag), IEEE 802.1Q (802.1ad).
pub const SERVICE_VLAN: u16 = 0x88a8;
/// LLDP, IEEE 802.1AB.
pub const LLDP: u16 = 0x88cc;
