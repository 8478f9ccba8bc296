//! VF structures (ndis.md B.5, B.8).

use zerocopy::byteorder::little_endian::{U16, U32};

use super::string::CountedString;
use super::structure;

/// `NDIS_MAX_PHYS_ADDRESS_LENGTH`.
pub(crate) const MAX_PHYS_ADDRESS_LENGTH: usize = 32;

structure! {
    /// ndis.md B.5; `NDIS_NIC_SWITCH_VF_INFO` has the same members.
    VfParameters = "NDIS_NIC_SWITCH_VF_PARAMETERS", padded 0x660, revisions [0x660] {
        flags: U32,
        switch_id: U32,
        vm_name: CountedString,
        vm_friendly_name: CountedString,
        nic_name: CountedString,
        mac_address_length: U16,
        permanent_mac_address: [u8; MAX_PHYS_ADDRESS_LENGTH],
        current_mac_address: [u8; MAX_PHYS_ADDRESS_LENGTH],
        vf_id: U16,
        requestor_id: U32,
    }
}

structure! {
    /// ndis.md A.4, ENUM_VFS.
    VfInfoArray = "NDIS_NIC_SWITCH_VF_INFO_ARRAY", padded 24, revisions [24] {
        flags: U32,
        switch_id: U32,
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
    }
}

structure! {
    /// ndis.md B.8.
    FreeVf = "NDIS_NIC_SWITCH_FREE_VF_PARAMETERS", padded 12, revisions [10] {
        flags: U32,
        vf_id: U16,
        _pad0: [u8; 2],
    }
}
