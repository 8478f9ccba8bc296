//! Structures of the vendor OIDs, in the manner of the public ones.

use nic_switch::ReceiveMode;
use zerocopy::byteorder::little_endian::{U16, U32};

use super::structure;

/// A set of 12-bit numbers: number n is bit n % 8 of byte n / 8.
pub(crate) const SET_BYTES: usize = 512;

/// The most elements of the address array.
pub(crate) const MAX_UNICAST: u32 = 128;
const _: () = assert!(MAX_UNICAST as usize == ReceiveMode::MAX_UNICAST);

structure! {
    /// `OID_SOFTIOV_VPORT_PORT_SECURITY`.
    PortSecurity = "SOFTIOV_VPORT_PORT_SECURITY", padded 540, revisions [540] {
        vport_id: U32,
        /// [`security_flags`].
        flags: U32,
        /// 0 auto, 1 enable, 2 disable.
        link: U32,
        /// 0 through the VF, 1 through the synthetic adapter.
        bum_path: U32,
        allowed_vlans: [u8; SET_BYTES],
        /// With [`security_flags::SENDS_AS`].
        sends_as_mac: [u8; 6],
        /// 0 untagged, 0xFFFF any.
        sends_as_vlan: U16,
    }
}

/// Every VLAN.
pub(crate) const ANY_VLAN: u16 = 0xFFFF;

/// Flags of [`PortSecurity`].
pub(crate) mod security_flags {
    pub(crate) const MAC_SPOOF_CHECK: u32 = 0x1;
    pub(crate) const VLAN_CHECK: u32 = 0x2;
    pub(crate) const TRUSTED: u32 = 0x4;
    pub(crate) const ACCEPT_BUM: u32 = 0x8;
    pub(crate) const SENDS_AS: u32 = 0x10;
    pub(crate) const ALL: u32 = 0x1F;
}

structure! {
    /// `OID_SOFTIOV_VPORT_RECEIVE_MODE`; an array of 6-byte addresses stands behind it.
    ReceiveModeParameters = "SOFTIOV_VPORT_RECEIVE_MODE", padded 1048, revisions [1048] {
        vport_id: U32,
        /// [`receive_flags`].
        flags: U32,
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
        multicast: [u8; SET_BYTES],
        vlans: [u8; SET_BYTES],
    }
}

/// Flags of [`ReceiveModeParameters`].
pub(crate) mod receive_flags {
    pub(crate) const BROADCAST: u32 = 0x1;
    pub(crate) const ALL_MULTICAST: u32 = 0x2;
    pub(crate) const PROMISCUOUS: u32 = 0x4;
    pub(crate) const ALL: u32 = 0x7;
}

structure! {
    /// `OID_SOFTIOV_VF_SERIAL_NUMBER`.
    VfSerialNumber = "SOFTIOV_VF_SERIAL_NUMBER", padded 12, revisions [12] {
        vf_id: U16,
        _pad0: [u8; 2],
        serial_number: U32,
    }
}

/// The members of a set.
pub(crate) fn set_members(bytes: &[u8; SET_BYTES]) -> impl Iterator<Item = u16> + '_ {
    (0..4096_u16).filter(|&number| bytes[usize::from(number / 8)] & (1 << (number % 8)) != 0)
}

/// The set of `members`, each below 4096.
pub(crate) fn set_bytes(members: impl Iterator<Item = u16>) -> [u8; SET_BYTES] {
    let mut bytes = [0; SET_BYTES];
    for number in members {
        bytes[usize::from(number / 8)] |= 1 << (number % 8);
    }
    bytes
}
