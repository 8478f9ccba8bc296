//! A port of the switch, as the control side knows it (`spec/ndis.md` E.1, E.4).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::extension::connections::Connections;
use crate::{Nic, NicType, PortId, PortPolicy};

/// `NDIS_SWITCH_PORT_TYPE`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortType {
    /// Any NIC but an external one.
    Generic,
    /// The physical adapter; exactly one on an external switch, none on others.
    External,
    /// A VM's synthetic adapter.
    #[default]
    Synthetic,
    /// A VM's emulated adapter.
    Emulated,
    /// An adapter of the host itself; none on a private switch.
    Internal,
}

impl PortType {
    /// Whether a NIC of type `nic` may be on such a port.
    #[must_use]
    pub const fn takes(self, nic: NicType) -> bool {
        matches!(
            (self, nic),
            (Self::Generic, NicType::Synthetic | NicType::Emulated | NicType::Internal)
                | (Self::External, NicType::External)
                | (Self::Synthetic, NicType::Synthetic)
                | (Self::Emulated, NicType::Emulated)
                | (Self::Internal, NicType::Internal)
        )
    }
}

/// `NDIS_SWITCH_PORT_STATE` of a port that there is: Unknown and Deleted are those that there are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PortState {
    /// It takes policies, references and a NIC.
    Created,
    /// It only waits for its references to be given back.
    Teardown,
}

/// `NDIS_SWITCH_PORT_PARAMETERS`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PortParameters {
    /// Opaque; at most [`crate::MAX_NAME_UNITS`] UTF-16 units.
    pub name: String,
    /// What may be connected to it.
    pub kind: PortType,
    /// `IsValidationPort`: made only to ask whether a port with such policies could be. It reserves nothing and takes
    /// no NIC.
    pub validation: bool,
    /// `UNTRUSTED_INTERNAL`: an internal port that is held to the rules for VMs.
    pub untrusted_internal: bool,
}

/// A port.
#[derive(Debug, Clone)]
pub struct SwitchPort {
    pub(crate) id: PortId,
    /// Differs from that of every earlier port with this number, so that what workers keep of those is not taken for
    /// this one's.
    pub(crate) stamp: u64,
    pub(crate) parameters: PortParameters,
    pub(crate) state: PortState,
    pub(crate) restoring: bool,
    pub(crate) references: u32,
    pub(crate) policy: PortPolicy,
    /// Grows when the ACL changes.
    pub(crate) acl_revision: u64,
    /// There if a rule of the ACL is stateful.
    pub(crate) connections: Option<Arc<Connections>>,
    pub(crate) nic: Option<Nic>,
}

impl SwitchPort {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> PortId {
        self.id
    }

    /// How it was created.
    #[must_use]
    pub const fn parameters(&self) -> &PortParameters {
        &self.parameters
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> PortState {
        self.state
    }

    /// `RESTORING`: what was saved of its NIC is being put back.
    #[must_use]
    pub const fn restoring(&self) -> bool {
        self.restoring
    }

    /// References that are held on it.
    #[must_use]
    pub const fn references(&self) -> u32 {
        self.references
    }

    /// Its policy.
    #[must_use]
    pub const fn policy(&self) -> &PortPolicy {
        &self.policy
    }

    /// Its NIC, if one was created.
    #[must_use]
    pub const fn nic(&self) -> Option<&Nic> {
        self.nic.as_ref()
    }

    /// Whether it stands outside of all VMs: link control protocols pass between such ports only.
    pub(crate) const fn is_trusted(&self) -> bool {
        match self.parameters.kind {
            PortType::External => true,
            PortType::Internal => !self.parameters.untrusted_internal,
            _ => false,
        }
    }
}
