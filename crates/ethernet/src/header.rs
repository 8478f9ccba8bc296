//! The three fields of the Ethernet header.

use crate::MacAddr;

/// Bytes of an Ethernet header: two addresses and the EtherType.
pub const ETHERNET_HEADER_LEN: usize = 14;

/// Destination address, or `None` if the frame is too short to have one.
#[must_use]
pub fn destination(frame: &[u8]) -> Option<MacAddr> {
    frame.first_chunk().copied().map(MacAddr)
}

/// Source address, or `None` if the frame is too short to have one.
#[must_use]
pub fn source(frame: &[u8]) -> Option<MacAddr> {
    frame.get(6..)?.first_chunk().copied().map(MacAddr)
}

/// The type field behind the addresses: the TPID if the frame is tagged, the length if below 0x600 (IEEE
/// 802.3), or `None` if the frame is too short to have one.
#[must_use]
pub fn ethertype(frame: &[u8]) -> Option<u16> {
    frame.get(12..)?.first_chunk().copied().map(u16::from_be_bytes)
}
