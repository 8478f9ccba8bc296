//! SR-IOV structures (ndis.md B.8).

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::structure;

structure! {
    /// READ_ and WRITE_VF_CONFIG_SPACE have the same members.
    ConfigSpace = "NDIS_SRIOV_VF_CONFIG_SPACE_PARAMETERS", padded 20, revisions [20] {
        vf_id: U16,
        _pad0: [u8; 2],
        offset: U32,
        length: U32,
        buffer_offset: U32,
    }
}

structure! {
    /// READ_ and WRITE_VF_CONFIG_BLOCK have the same members.
    ConfigBlock = "NDIS_SRIOV_VF_CONFIG_BLOCK_PARAMETERS", padded 20, revisions [20] {
        vf_id: U16,
        _pad0: [u8; 2],
        block_id: U32,
        length: U32,
        buffer_offset: U32,
    }
}

structure! {
    /// ndis.md B.8.
    ResetVf = "NDIS_SRIOV_RESET_VF_PARAMETERS", padded 6, revisions [6] {
        vf_id: U16,
    }
}

structure! {
    /// ndis.md B.8.
    SetVfPowerState = "NDIS_SRIOV_SET_VF_POWER_STATE_PARAMETERS", padded 16, revisions [13] {
        vf_id: U16,
        _pad0: [u8; 2],
        power_state: U32,
        wake_enable: u8,
        _pad1: [u8; 3],
    }
}

structure! {
    /// ndis.md B.8.
    VendorDeviceId = "NDIS_SRIOV_VF_VENDOR_DEVICE_ID_INFO", padded 10, revisions [10] {
        vf_id: U16,
        vendor_id: U16,
        device_id: U16,
    }
}

structure! {
    /// Six 32-bit register values stand at the offset.
    ProbedBars = "NDIS_SRIOV_PROBED_BARS_INFO", padded 8, revisions [8] {
        base_register_values_offset: U32,
    }
}

structure! {
    /// A [`MemoryDescriptor`] stands at the offset.
    BarResources = "NDIS_SRIOV_BAR_RESOURCES_INFO", padded 12, revisions [12] {
        vf_id: U16,
        bar_index: U16,
        bar_resources_offset: U32,
    }
}

/// `CM_PARTIAL_RESOURCE_DESCRIPTOR` of type memory; the public header packs it to 4 bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct MemoryDescriptor {
    /// `CmResourceTypeMemory`.
    pub(crate) resource_type: u8,
    /// `CmResourceShareDeviceExclusive`.
    pub(crate) share_disposition: u8,
    /// 0: readable and writable.
    pub(crate) flags: U16,
    pub(crate) start: U64,
    pub(crate) length: U32,
    pub(crate) _pad0: [u8; 4],
}

const _: () = assert!(size_of::<MemoryDescriptor>() == 20);

structure! {
    /// ndis.md B.8.
    PfLuid = "NDIS_SRIOV_PF_LUID_INFO", padded 12, revisions [12] {
        luid: U64,
    }
}

structure! {
    /// ndis.md B.8.
    SerialNumber = "NDIS_SRIOV_VF_SERIAL_NUMBER_INFO", padded 8, revisions [8] {
        serial_number: U32,
    }
}
