//! IEEE 802.1Q VLAN tags: the tag control information, and taking it out of a header or putting it in.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use crate::ethertype;
use crate::header::ETHERNET_HEADER_LEN;

/// TPID of a customer tag, IEEE 802.1Q.
pub const TPID_8021Q: u16 = ethertype::VLAN;
/// TPID of a service tag (802.1ad, "QinQ").
pub const TPID_8021AD: u16 = ethertype::SERVICE_VLAN;

/// Bytes of a tag: TPID and TCI.
pub const VLAN_TAG_LEN: usize = 4;

/// Where a tag stands: behind the two addresses.
const TAG_OFFSET: usize = 12;

/// Tag control information (TCI): priority in bits 15:13, drop eligible in bit 12, VLAN id in bits 11:0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VlanTag(pub u16);

impl VlanTag {
    /// Bits of a VLAN id.
    pub const VID_MASK: u16 = 0xfff;

    /// Builds a tag; bits of `vid` above 12 and of `pcp` above 3 do not fit and are cut.
    #[must_use]
    pub const fn new(vid: u16, pcp: u8, dei: bool) -> Self {
        Self((pcp as u16 & 7) << 13 | (dei as u16) << 12 | vid & Self::VID_MASK)
    }

    /// VLAN id, 0 (priority tag: no VLAN) to 4095 (reserved).
    #[must_use]
    pub const fn vid(self) -> u16 {
        self.0 & Self::VID_MASK
    }

    /// Priority code point (802.1p), 0 to 7.
    #[must_use]
    pub const fn pcp(self) -> u8 {
        self.0.to_be_bytes()[0] >> 5
    }

    /// Drop eligible indicator.
    #[must_use]
    pub const fn dei(self) -> bool {
        self.0 & 0x1000 != 0
    }

    /// The same priority and drop eligibility in another VLAN; bits of `vid` above 12 are cut.
    #[must_use]
    pub const fn with_vid(self, vid: u16) -> Self {
        Self(self.0 & !Self::VID_MASK | vid & Self::VID_MASK)
    }
}

/// Takes the outer 802.1Q tag out of the frame header in `buffer[..*len]` and shortens it by
/// [`VLAN_TAG_LEN`].
///
/// `None`, and nothing changed, if the frame has no tag of TPID [`TPID_8021Q`] or ends before the EtherType
/// that must follow it. A service tag is not taken: whether a port may use one is for the switch to decide.
pub fn pop_vlan(buffer: &mut [u8], len: &mut usize) -> Option<VlanTag> {
    let frame = buffer.get_mut(..*len)?;
    let [tpid_high, tpid_low, tci_high, tci_low, _, _] = *frame.get(TAG_OFFSET..)?.first_chunk()?;
    if u16::from_be_bytes([tpid_high, tpid_low]) != TPID_8021Q {
        return None;
    }
    frame.copy_within(TAG_OFFSET + VLAN_TAG_LEN.., TAG_OFFSET);
    *len -= VLAN_TAG_LEN;
    Some(VlanTag(u16::from_be_bytes([tci_high, tci_low])))
}

/// Puts an 802.1Q tag behind the addresses of the frame header in `buffer[..*len]` and lengthens it by
/// [`VLAN_TAG_LEN`].
///
/// False, and nothing changed, if the frame has no whole Ethernet header or the buffer has no room.
#[must_use]
pub fn push_vlan(buffer: &mut [u8], len: &mut usize, tag: VlanTag) -> bool {
    let Some(tagged_len) = len.checked_add(VLAN_TAG_LEN) else { return false };
    if *len < ETHERNET_HEADER_LEN {
        return false;
    }
    let Some(frame) = buffer.get_mut(..tagged_len) else { return false };
    frame.copy_within(TAG_OFFSET..*len, TAG_OFFSET + VLAN_TAG_LEN);
    frame[TAG_OFFSET..TAG_OFFSET + 2].copy_from_slice(&TPID_8021Q.to_be_bytes());
    frame[TAG_OFFSET + 2..TAG_OFFSET + VLAN_TAG_LEN].copy_from_slice(&tag.0.to_be_bytes());
    *len = tagged_len;
    true
}
