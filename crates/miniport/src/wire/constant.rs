//! Values of the public header (ndis.md B), and the enumerations as they stand on the wire.

use nic_switch::{FunctionId, InterruptModeration, ProcessorAffinity, VPortState, VfId};

use super::vport::GroupAffinity;
use crate::refusal::Refusal;
use crate::request::PowerState;

/// `NDIS_PF_FUNCTION_ID` in an AttachedFunctionId. The same number, as a VFId, is [`INVALID_VF_ID`] (ndis.md 0.10).
pub(crate) const PF_FUNCTION_ID: u16 = 0xFFFF;
/// `NDIS_INVALID_VF_FUNCTION_ID` in a VFId.
pub(crate) const INVALID_VF_ID: u16 = 0xFFFF;
/// `NDIS_INVALID_RID`.
pub(crate) const INVALID_RID: u32 = 0xFFFF_FFFF;

/// `NdisNicSwitchTypeExternal`.
pub(crate) const SWITCH_TYPE_EXTERNAL: u32 = 1;
/// `NdisReceiveFilterTypeVMQueue`, the only type of a filter on a VPort.
pub(crate) const FILTER_TYPE_VM_QUEUE: u32 = 1;

/// Flags of `NDIS_SRIOV_CAPABILITIES`.
pub(crate) mod sriov_flags {
    pub(crate) const SUPPORTED: u32 = 0x1;
    pub(crate) const PF_MINIPORT: u32 = 0x2;
    pub(crate) const VF_MINIPORT: u32 = 0x4;
}

/// Flags of `NDIS_NIC_SWITCH_CAPABILITIES` that this adapter may have.
pub(crate) mod switch_flags {
    pub(crate) const VLAN: u32 = 0x1;
    pub(crate) const PER_VPORT_INTERRUPT_MODERATION: u32 = 0x2;
    pub(crate) const ASYMMETRIC_QUEUE_PAIRS: u32 = 0x4;
    pub(crate) const VF_RSS: u32 = 0x8;
    pub(crate) const SINGLE_VPORT_POOL: u32 = 0x10;
}

/// `NdisReceiveQueueTypeVMQueue`.
pub(crate) const QUEUE_TYPE_VM_QUEUE: u32 = 1;

/// Flags of `NDIS_RECEIVE_QUEUE_PARAMETERS` when a queue is allocated.
pub(crate) mod queue_flags {
    /// What is indicated together is of one queue. The adapter always does so, wanted or not (ndis.md 0.12).
    pub(crate) const PER_QUEUE_RECEIVE_INDICATION: u32 = 0x1;
}

/// Flags of a set request of a queue's parameters.
pub(crate) mod queue_changed {
    pub(crate) const AFFINITY: u32 = 0x2_0000;
    pub(crate) const SUGGESTED_RECEIVE_BUFFERS: u32 = 0x4_0000;
    pub(crate) const NAME: u32 = 0x8_0000;
    pub(crate) const ALL: u32 = AFFINITY | SUGGESTED_RECEIVE_BUFFERS | NAME;
}

/// Properties of VM queues in `NDIS_RECEIVE_FILTER_CAPABILITIES`.
pub(crate) mod queue_properties {
    pub(crate) const MSI_X: u32 = 0x1;
    pub(crate) const VM_QUEUE: u32 = 0x2;
    pub(crate) const DYNAMIC_AFFINITY_CHANGE: u32 = 0x8;
    pub(crate) const INTERRUPT_VECTOR_COALESCING: u32 = 0x10;
    pub(crate) const ALL: u32 = MSI_X | VM_QUEUE | DYNAMIC_AFFINITY_CHANGE | INTERRUPT_VECTOR_COALESCING;
}

/// Flags of `NDIS_RECEIVE_FILTER_CAPABILITIES` and of the global parameters.
pub(crate) mod filter_flags {
    pub(crate) const VMQ_FILTERS_ENABLED: u32 = 0x1;
    pub(crate) const VM_QUEUES_ENABLED: u32 = 0x1;
    pub(crate) const TEST_EQUAL: u32 = 0x1;
    pub(crate) const HEADER_MAC: u32 = 0x1;
    pub(crate) const MAC_FIELD_DESTINATION: u32 = 0x1;
    pub(crate) const MAC_FIELD_VLAN: u32 = 0x8;
}

/// Values of `NDIS_RECEIVE_FILTER_FIELD_PARAMETERS`.
pub(crate) mod field {
    pub(crate) const VLAN_UNTAGGED_OR_ZERO: u32 = 0x1;
    pub(crate) const FRAME_HEADER_MAC: u32 = 1;
    pub(crate) const TEST_EQUAL: u32 = 1;
    pub(crate) const MAC_DESTINATION: u32 = 1;
    pub(crate) const MAC_VLAN_ID: u32 = 4;
}

/// Flags of a set request of the NIC switch's parameters.
pub(crate) const SWITCH_NAME_CHANGED: u32 = 0x1_0000;

/// Flags of a set request of a VPort's parameters.
pub(crate) mod vport_changed {
    pub(crate) const NAME: u32 = 0x2_0000;
    pub(crate) const INTERRUPT_MODERATION: u32 = 0x4_0000;
    pub(crate) const STATE: u32 = 0x8_0000;
    pub(crate) const PROCESSOR_AFFINITY: u32 = 0x10_0000;
    pub(crate) const ALL: u32 = NAME | INTERRUPT_MODERATION | STATE | PROCESSOR_AFFINITY;
}

/// `NDIS_NIC_SWITCH_VPORT_INFO_ARRAY_ENUM_ON_SPECIFIC_FUNCTION` and `_SWITCH`.
pub(crate) mod enum_vports {
    pub(crate) const ON_SPECIFIC_FUNCTION: u32 = 0x1;
    pub(crate) const ON_SPECIFIC_SWITCH: u32 = 0x2;
}

/// `NDIS_NIC_SWITCH_VF_INFO_ARRAY_ENUM_ON_SPECIFIC_SWITCH`.
pub(crate) const ENUM_VFS_ON_SPECIFIC_SWITCH: u32 = 0x1;

/// `NDIS_RECEIVE_FILTER_INFO_ARRAY_VPORT_ID_SPECIFIED`.
pub(crate) const ENUM_FILTERS_VPORT_ID_SPECIFIED: u32 = 0x1;

/// The members of a memory descriptor: `CmResourceTypeMemory`, `CmResourceShareDeviceExclusive`.
pub(crate) const RESOURCE_TYPE_MEMORY: u8 = 3;
pub(crate) const SHARE_DEVICE_EXCLUSIVE: u8 = 1;

pub(crate) const fn function(id: u16) -> FunctionId {
    match id {
        PF_FUNCTION_ID => FunctionId::Pf,
        vf => FunctionId::Vf(VfId(vf)),
    }
}

pub(crate) const fn function_id(function: FunctionId) -> u16 {
    match function {
        FunctionId::Pf => PF_FUNCTION_ID,
        FunctionId::Vf(vf) => vf.0,
    }
}

pub(crate) fn interrupt_moderation(value: u32) -> Result<InterruptModeration, Refusal> {
    Ok(match value {
        0 => InterruptModeration::Undefined,
        1 => InterruptModeration::Adaptive,
        2 => InterruptModeration::Off,
        100 => InterruptModeration::Low,
        200 => InterruptModeration::Medium,
        300 => InterruptModeration::High,
        other => return Err(Refusal::member("InterruptModeration", other, "0, 1, 2, 100, 200 or 300")),
    })
}

pub(crate) const fn interrupt_moderation_value(moderation: InterruptModeration) -> u32 {
    match moderation {
        InterruptModeration::Undefined => 0,
        InterruptModeration::Adaptive => 1,
        InterruptModeration::Off => 2,
        InterruptModeration::Low => 100,
        InterruptModeration::Medium => 200,
        InterruptModeration::High => 300,
    }
}

/// `None` is `NdisNicSwitchVPortStateUndefined`.
pub(crate) fn vport_state(value: u32) -> Result<Option<VPortState>, Refusal> {
    Ok(match value {
        0 => None,
        1 => Some(VPortState::Activated),
        2 => Some(VPortState::Deactivated),
        other => return Err(Refusal::member("VPortState", other, "0, 1 or 2")),
    })
}

pub(crate) const fn vport_state_value(state: VPortState) -> u32 {
    match state {
        VPortState::Activated => 1,
        VPortState::Deactivated => 2,
    }
}

/// A mask without a CPU stands for no affinity.
pub(crate) fn affinity(wire: &GroupAffinity) -> Option<ProcessorAffinity> {
    let mask = wire.mask.get();
    (mask != 0).then(|| ProcessorAffinity { group: wire.group.get(), mask })
}

/// `NDIS_DEVICE_POWER_STATE`.
pub(crate) fn power_state(value: u32) -> Result<PowerState, Refusal> {
    Ok(match value {
        1 => PowerState::D0,
        2 => PowerState::D1,
        3 => PowerState::D2,
        4 => PowerState::D3,
        other => return Err(Refusal::member("PowerState", other, "1 (D0) to 4 (D3)")),
    })
}
