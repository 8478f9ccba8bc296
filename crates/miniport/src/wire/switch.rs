//! NIC switch structures (ndis.md B.3, B.8).

use zerocopy::byteorder::little_endian::U32;

use super::string::CountedString;
use super::structure;

structure! {
    /// ndis.md B.3.
    SwitchParameters = "NDIS_NIC_SWITCH_PARAMETERS", padded 552, revisions [548, 552] {
        flags: U32,
        switch_type: U32,
        switch_id: U32,
        name: CountedString,
        num_vfs: U32,
        reserved: [U32; 3],
        num_queue_pairs_for_default_vport: U32,
    }
}

structure! {
    /// ndis.md B.3.
    SwitchInfo = "NDIS_NIC_SWITCH_INFO", padded 572, revisions [572] {
        flags: U32,
        switch_type: U32,
        switch_id: U32,
        name: CountedString,
        num_vfs: U32,
        num_allocated_vfs: U32,
        num_vports: U32,
        num_active_vports: U32,
        num_queue_pairs_for_default_vport: U32,
        num_queue_pairs_for_non_default_vports: U32,
        num_active_default_vport_mac_addresses: U32,
        num_active_non_default_vport_mac_addresses: U32,
        num_active_default_vport_vlan_ids: U32,
        num_active_non_default_vport_vlan_ids: U32,
    }
}

structure! {
    /// ndis.md A.4, ENUM_SWITCHES.
    SwitchInfoArray = "NDIS_NIC_SWITCH_INFO_ARRAY", padded 16, revisions [16] {
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
    }
}

structure! {
    /// ndis.md B.8.
    DeleteSwitch = "NDIS_NIC_SWITCH_DELETE_SWITCH_PARAMETERS", padded 12, revisions [12] {
        flags: U32,
        switch_id: U32,
    }
}
