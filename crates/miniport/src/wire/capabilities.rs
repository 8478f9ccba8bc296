//! Capability structures (ndis.md B.1, B.2, B.6).

use zerocopy::byteorder::little_endian::U32;

use super::structure;

structure! {
    /// ndis.md B.1.
    SriovCapabilities = "NDIS_SRIOV_CAPABILITIES", padded 12, revisions [12] {
        flags: U32,
        sriov_capabilities: U32,
    }
}

structure! {
    /// ndis.md B.2.
    NicSwitchCapabilities = "NDIS_NIC_SWITCH_CAPABILITIES", padded 132, revisions [32, 116, 132] {
        flags: U32,
        reserved1: U32,
        num_total_mac_addresses: U32,
        num_mac_addresses_per_port: U32,
        num_vlans_per_port: U32,
        reserved2: U32,
        reserved3: U32,
        nic_switch_capabilities: U32,
        max_num_switches: U32,
        max_num_vports: U32,
        reserved4: U32,
        max_num_vfs: U32,
        max_num_queue_pairs: U32,
        reserved5: [U32; 3],
        max_num_queue_pairs_per_non_default_vport: U32,
        reserved8: [U32; 5],
        max_num_mac_addresses: U32,
        reserved13: [U32; 5],
        max_num_rss_capable_non_default_pf_vports: U32,
        indirection_table_entries_for_default_vport: U32,
        indirection_table_entries_per_non_default_pf_vport: U32,
        max_num_queue_pairs_for_default_vport: U32,
    }
}

structure! {
    /// ndis.md B.6.
    ReceiveFilterCapabilities = "NDIS_RECEIVE_FILTER_CAPABILITIES", padded 84, revisions [56, 84] {
        flags: U32,
        enabled_filter_types: U32,
        enabled_queue_types: U32,
        num_queues: U32,
        supported_queue_properties: U32,
        supported_filter_tests: U32,
        supported_headers: U32,
        supported_mac_header_fields: U32,
        max_mac_header_filters: U32,
        max_queue_groups: U32,
        max_queues_per_queue_group: U32,
        min_lookahead_split_size: U32,
        max_lookahead_split_size: U32,
        supported_arp_header_fields: U32,
        supported_ipv4_header_fields: U32,
        supported_ipv6_header_fields: U32,
        supported_udp_header_fields: U32,
        max_field_tests_per_packet_coalescing_filter: U32,
        max_packet_coalescing_filters: U32,
        reserved: U32,
    }
}

structure! {
    /// ndis.md B.6.
    ReceiveFilterGlobalParameters = "NDIS_RECEIVE_FILTER_GLOBAL_PARAMETERS", padded 16, revisions [16] {
        flags: U32,
        enabled_filter_types: U32,
        enabled_queue_types: U32,
    }
}
