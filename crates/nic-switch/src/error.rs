//! Why the switch refused a request. A refused request changes nothing.

use ethernet::MacAddr;
use serde::{Deserialize, Serialize};

use crate::{FilterId, FilterTest, FunctionId, InvalidCapabilities, MAX_NAME_UNITS, VPortId, VfId};

/// What kind of refusal a [`SwitchError`] is: what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// A value is out of range or contradicts another: ask otherwise.
    InvalidParameter,
    /// The object named does not exist.
    NotFound,
    /// Something that stands must be removed first.
    InUse,
    /// A budget is used up: ask again when something was freed.
    Exhausted,
}

/// A request that the switch refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are the values named in the messages")]
pub enum SwitchError {
    /// The switch cannot be created with such capabilities.
    #[error("the capabilities of the NIC switch are inconsistent")]
    Capabilities(#[from] InvalidCapabilities),
    /// `NumVFs` beyond `MaxNumVFs`.
    #[error("the switch was asked to have {asked} VFs, but the adapter has at most {max}")]
    TooManyVfs { asked: u16, max: u16 },
    /// A text longer than `NDIS_IF_COUNTED_STRING` holds.
    #[error("a name has {units} UTF-16 units, but may have at most {MAX_NAME_UNITS}")]
    NameTooLong { units: usize },
    /// Something stands, so the switch cannot be deleted.
    #[error(
        "the switch cannot be deleted while {vfs} VFs, {vports} nondefault VPorts and {filters} filters stand"
    )]
    SwitchInUse { vfs: usize, vports: usize, filters: usize },

    /// Every VF is allocated.
    #[error("all {num_vfs} VFs are allocated")]
    NoFreeVf { num_vfs: u16 },
    /// A VF's address is a group address.
    #[error("{mac} is a group address, but a VF needs a unicast one (or zero for none)")]
    VfMacMulticast { mac: MacAddr },
    /// No such VF.
    #[error("{vf} is not allocated")]
    VfNotFound { vf: VfId },
    /// The VF's VPort must be deleted first.
    #[error("{vf} cannot be freed while {vport} is attached to it")]
    VfInUse { vf: VfId, vport: VPortId },

    /// The id is the default VPort's or too large.
    #[error("{vport} cannot be created: ids of nondefault VPorts go from 1 to {max}")]
    VPortIdOutOfRange { vport: VPortId, max: u32 },
    /// The id is taken.
    #[error("{vport} exists already")]
    VPortExists { vport: VPortId },
    /// No such VPort.
    #[error("{vport} does not exist")]
    VPortNotFound { vport: VPortId },
    /// A VF has one VPort at most.
    #[error("{vf} has a VPort already, {vport}, and may have only one")]
    VfHasVPort { vf: VfId, vport: VPortId },
    /// The function may have no further VPort.
    #[error("{function} cannot have a further VPort: {used} of {max} are in use")]
    NoFreeVPort { function: FunctionId, used: u32, max: u32 },
    /// A VPort needs at least one queue pair and has an upper limit.
    #[error("{asked} queue pairs were asked for {vport}, but it must have 1 to {max}")]
    QueuePairsOutOfRange { vport: VPortId, asked: u32, max: u32 },
    /// The adapter assigns queue pairs symmetrically.
    #[error(
        "{asked} queue pairs were asked for, but every nondefault VPort of this adapter has the same number, {others}"
    )]
    QueuePairsAsymmetric { asked: u32, others: u32 },
    /// The queue pairs of the adapter are used up.
    #[error("{asked} queue pairs were asked for, but only {free} are free")]
    NoFreeQueuePairs { asked: u32, free: u32 },
    /// Without `PER_VPORT_INTERRUPT_MODERATION_SUPPORTED`.
    #[error("this adapter has no interrupt moderation for each VPort, so it must be left undefined")]
    InterruptModerationNotSupported,
    /// A VPort of the PF is served by one CPU.
    #[error("{vport} is attached to the PF and needs exactly one CPU in its affinity mask, not {cpus}")]
    AffinityNotOneCpu { vport: VPortId, cpus: u32 },
    /// The guest decides which CPUs serve its VF.
    #[error("{vport} is attached to a VF, so it cannot have a processor affinity")]
    AffinityOnVf { vport: VPortId },
    /// There is no way back from Activated.
    #[error("{vport} is activated, and the only way to deactivate a VPort is to delete it")]
    CannotDeactivate { vport: VPortId },
    /// The default VPort is deleted with the switch and knows no policy: it belongs to the PF.
    #[error("the default VPort cannot be deleted, nor has it a port security or a receive mode")]
    DefaultVPort,
    /// The VPort's filters must be cleared or moved first.
    #[error("{vport} cannot be deleted while {filters} filters stand on it")]
    VPortInUse { vport: VPortId, filters: usize },

    /// 0 means "no filter".
    #[error("filter id 0 means no filter and cannot be assigned")]
    FilterIdReserved,
    /// The id is taken.
    #[error("{filter} exists already")]
    FilterExists { filter: FilterId },
    /// No such filter.
    #[error("{filter} does not exist")]
    FilterNotFound { filter: FilterId },
    /// The filter does not stand where the move takes it from.
    #[error("{filter} stands on {on}, not on {from}")]
    FilterNotOnSource { filter: FilterId, on: VPortId, from: VPortId },
    /// Only unicast addresses are filtered.
    #[error("a filter cannot test for {mac}: the address must be a unicast one")]
    FilterMacNotUnicast { mac: MacAddr },
    /// VLAN 0 is `UntaggedOrZero`, 4095 is reserved.
    #[error("a filter cannot test for VLAN id {vid}: VLAN ids go from 1 to 4094")]
    FilterVlanOutOfRange { vid: u16 },
    /// Without `VLAN_SUPPORTED`.
    #[error("this adapter cannot test for a VLAN id, but a filter for VLAN {vid} was asked for")]
    VlanNotSupported { vid: u16 },
    /// A frame would match two filters alike.
    #[error("{existing} has the same test already: {test:?}")]
    DuplicateFilter { test: FilterTest, existing: FilterId },
    /// Which VLAN the guest sends in would be open.
    #[error("{existing} on {vport} is for {mac} as well: on a nondefault VPort an address has one filter")]
    SecondFilterForMac { mac: MacAddr, vport: VPortId, existing: FilterId },
    /// The filter table is full.
    #[error("all {max} receive filters are in use")]
    NoFreeFilter { max: u32 },
    /// The address table is full.
    #[error("{asked} distinct unicast addresses would be in use, but {max} is the limit")]
    NoFreeMac { asked: usize, max: usize },

    /// Too long a list of extra addresses.
    #[error("{asked} extra unicast addresses were asked for, but a VPort may have at most {max}")]
    TooManyUnicast { asked: usize, max: usize },
    /// An extra address must be a unicast one.
    #[error("{mac} cannot be an extra unicast address: it is zero or a group address")]
    ExtraMacNotUnicast { mac: MacAddr },
    /// An extra address belongs to another VPort.
    #[error("{mac} cannot be an extra unicast address of {vport}: it is in use on {owner}")]
    ExtraMacTaken { mac: MacAddr, vport: VPortId, owner: VPortId },
}

impl SwitchError {
    /// What kind of refusal this is.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::VfNotFound { .. } | Self::VPortNotFound { .. } | Self::FilterNotFound { .. } => {
                ErrorKind::NotFound
            }
            Self::SwitchInUse { .. } | Self::VfInUse { .. } | Self::VPortInUse { .. } => ErrorKind::InUse,
            Self::NoFreeVf { .. }
            | Self::NoFreeVPort { .. }
            | Self::NoFreeQueuePairs { .. }
            | Self::NoFreeFilter { .. }
            | Self::NoFreeMac { .. } => ErrorKind::Exhausted,
            _ => ErrorKind::InvalidParameter,
        }
    }
}
