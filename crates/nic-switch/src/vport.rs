//! Virtual ports (VPorts), `NDIS_NIC_SWITCH_VPORT_PARAMETERS` (`spec/ndis.md` B.4).

use serde::{Deserialize, Serialize};

use crate::{FunctionId, PortSecurity, ReceiveMode, VPortId};

/// What is asked for when a VPort is created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VPortParameters {
    /// The id that the NDIS layer chose: 1 to `max_vports` - 1.
    pub id: VPortId,
    /// To what it is attached, for its whole life.
    pub function: FunctionId,
    /// Queue pairs, fixed at creation: 1 to `max_queue_pairs_per_nondefault_vport`.
    pub queue_pairs: u32,
    /// Wanted moderation; [`InterruptModeration::Undefined`] unless `per_vport_interrupt_moderation`.
    pub interrupt_moderation: InterruptModeration,
    /// The CPU that serves it: exactly one for a VPort of the PF, none for that of a VF, whose guest spreads its own
    /// vectors.
    pub affinity: Option<ProcessorAffinity>,
    /// Opaque; at most [`crate::MAX_NAME_UNITS`] UTF-16 units.
    pub name: String,
}

/// What of a VPort is to change; `None` leaves as it is. The other members of a VPort are fixed at creation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VPortChanges {
    /// `NAME_CHANGED`.
    pub name: Option<String>,
    /// `INT_MOD_CHANGED`.
    pub interrupt_moderation: Option<InterruptModeration>,
    /// `STATE_CHANGED`: a nondefault VPort of the PF from Deactivated to Activated; there is no way back.
    pub state: Option<VPortState>,
    /// `PROCESSOR_AFFINITY_CHANGED`: VPorts of the PF only.
    pub affinity: Option<ProcessorAffinity>,
}

/// `NDIS_NIC_SWITCH_VPORT_STATE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VPortState {
    /// Sends and receives; so from its creation are the default VPort and every VF's.
    Activated,
    /// Neither sends nor receives; so begins a nondefault VPort of the PF.
    Deactivated,
}

/// `NDIS_NIC_SWITCH_VPORT_INTERRUPT_MODERATION`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterruptModeration {
    /// The adapter's own choice.
    #[default]
    Undefined,
    /// Follows the load.
    Adaptive,
    /// An interrupt for every completion.
    Off,
    /// Low latency.
    Low,
    /// Between the two.
    Medium,
    /// Few interrupts.
    High,
}

/// Processors of one group, `GROUP_AFFINITY`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorAffinity {
    /// The processor group: CPUs 64 * `group` to 64 * `group` + 63.
    pub group: u16,
    /// One bit for each CPU of the group.
    pub mask: u64,
}

/// A virtual port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VPort {
    pub(crate) id: VPortId,
    pub(crate) function: FunctionId,
    pub(crate) queue_pairs: u32,
    pub(crate) interrupt_moderation: InterruptModeration,
    pub(crate) affinity: Option<ProcessorAffinity>,
    pub(crate) name: String,
    pub(crate) state: VPortState,
    pub(crate) security: PortSecurity,
    pub(crate) receive_mode: ReceiveMode,
}

impl VPort {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> VPortId {
        self.id
    }

    /// To what it is attached.
    #[must_use]
    pub const fn function(&self) -> FunctionId {
        self.function
    }

    /// Its number of queue pairs.
    #[must_use]
    pub const fn queue_pairs(&self) -> u32 {
        self.queue_pairs
    }

    /// Its interrupt moderation.
    #[must_use]
    pub const fn interrupt_moderation(&self) -> InterruptModeration {
        self.interrupt_moderation
    }

    /// The CPU that serves it, if the stack said so.
    #[must_use]
    pub const fn affinity(&self) -> Option<ProcessorAffinity> {
        self.affinity
    }

    /// Its opaque name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> VPortState {
        self.state
    }

    /// What the stack allows its guest. Without effect on the default VPort.
    #[must_use]
    pub const fn security(&self) -> &PortSecurity {
        &self.security
    }

    /// What its guest was granted to receive. Without effect on the default VPort.
    #[must_use]
    pub const fn receive_mode(&self) -> &ReceiveMode {
        &self.receive_mode
    }
}
