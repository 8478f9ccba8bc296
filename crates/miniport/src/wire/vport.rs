//! VPort structures (ndis.md B.4, B.8).
//!
//! Revision 2 of the parameters adds NDK and QoS scheduler-queue members of features that this adapter does not have;
//! revision 1 is the one that it speaks.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::string::CountedString;
use super::structure;

/// `GROUP_AFFINITY` of the 64-bit ABI.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct GroupAffinity {
    pub(crate) mask: U64,
    pub(crate) group: U16,
    pub(crate) reserved: [U16; 3],
}

structure! {
    /// ndis.md B.4.
    VPortParameters = "NDIS_NIC_SWITCH_VPORT_PARAMETERS", padded 0x240, revisions [0x23C] {
        flags: U32,
        switch_id: U32,
        vport_id: U32,
        name: CountedString,
        attached_function_id: U16,
        _pad0: [u8; 2],
        num_queue_pairs: U32,
        interrupt_moderation: U32,
        vport_state: U32,
        _pad1: [u8; 4],
        processor_affinity: GroupAffinity,
        lookahead_size: U32,
        _pad2: [u8; 4],
    }
}

structure! {
    /// ndis.md B.4.
    VPortInfo = "NDIS_NIC_SWITCH_VPORT_INFO", padded 0x240, revisions [0x240] {
        vport_id: U32,
        flags: U32,
        switch_id: U32,
        name: CountedString,
        attached_function_id: U16,
        _pad0: [u8; 2],
        num_queue_pairs: U32,
        interrupt_moderation: U32,
        vport_state: U32,
        _pad1: [u8; 4],
        processor_affinity: GroupAffinity,
        lookahead_size: U32,
        num_filters: U32,
    }
}

structure! {
    /// ndis.md A.4, ENUM_VPORTS.
    VPortInfoArray = "NDIS_NIC_SWITCH_VPORT_INFO_ARRAY", padded 28, revisions [28] {
        flags: U32,
        switch_id: U32,
        attached_function_id: U16,
        _pad0: [u8; 2],
        first_element_offset: U32,
        num_elements: U32,
        element_size: U32,
    }
}

structure! {
    /// ndis.md B.8.
    DeleteVPort = "NDIS_NIC_SWITCH_DELETE_VPORT_PARAMETERS", padded 12, revisions [12] {
        flags: U32,
        vport_id: U32,
    }
}
