//! The switch as the user sees it: what `show`, `switch`, `port` and `acl` print.

use ethernet::MacAddr;
use serde::Serialize;

use super::{RemovalReason, SwitchParameters, VSwitch};
use crate::extension::ExtensionKind;
use crate::{
    AclRule, Guid, Meter, NicParameters, NicState, PortId, PortParameters, PortPolicy, PortState, Suspension,
    SwitchPort,
};

/// A switch.
#[derive(Debug, Clone, Serialize)]
pub struct SwitchView {
    /// How it was created.
    #[serde(flatten)]
    pub parameters: SwitchParameters,
    /// [`VSwitch::generation`].
    pub generation: u64,
    /// Its extensions, top down.
    pub extensions: Vec<ExtensionView>,
    /// Its ports, by number.
    pub ports: Vec<PortView>,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtensionView {
    /// Its GUID.
    pub id: Guid,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub kind: ExtensionKind,
}

/// A port.
#[derive(Debug, Clone, Serialize)]
pub struct PortView {
    /// Its number.
    pub id: PortId,
    /// How it was created.
    #[serde(flatten)]
    pub parameters: PortParameters,
    /// Its state.
    pub state: PortState,
    /// What was saved of its NIC is being put back.
    pub restoring: bool,
    /// References held on it.
    pub references: u32,
    /// Its NIC.
    pub nic: Option<NicView>,
    /// Its policy.
    pub policy: PortPolicy,
    /// Why it must not have a VF.
    pub no_vf: Option<RemovalReason>,
}

/// A NIC.
#[derive(Debug, Clone, Serialize)]
pub struct NicView {
    /// Its parameters.
    #[serde(flatten)]
    pub parameters: NicParameters,
    /// `CurrentMacAddress`.
    pub current_mac: MacAddr,
    /// Its state.
    pub state: NicState,
    /// Why it stands still.
    pub suspension: Option<Suspension>,
    /// References held on it.
    pub references: u32,
}

/// A rule of an ACL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AclRuleView {
    /// Its position in [`crate::Acl::rules`].
    pub index: usize,
    /// The rule.
    #[serde(flatten)]
    pub rule: AclRule,
    /// Frames that it counted, if it meters.
    pub frames: Option<u64>,
    /// Octets that it counted, if it meters.
    pub octets: Option<u64>,
}

impl VSwitch {
    /// The whole switch.
    #[must_use]
    pub fn view(&self) -> SwitchView {
        let extensions = self.extensions.iter().map(|extension| ExtensionView {
            id: extension.id(),
            name: extension.name().to_owned(),
            kind: extension.kind(),
        });
        SwitchView {
            parameters: self.parameters.clone(),
            generation: self.generation,
            extensions: extensions.collect(),
            ports: self.ports().map(|port| self.port_view(port)).collect(),
        }
    }

    /// The rules of the port's ACL in the order in which they are given, with what `meters`, those of all workers, counted;
    /// empty if there is no such port.
    #[must_use]
    pub fn acl_view(&self, port: PortId, meters: &[Meter]) -> Vec<AclRuleView> {
        let Some(found) = self.port(port) else { return Vec::new() };
        let rules = found.policy.acl.rules.iter().enumerate();
        let mut views: Vec<_> = rules
            .map(|(index, rule)| AclRuleView { index, rule: rule.clone(), frames: None, octets: None })
            .collect();
        for meter in meters {
            let current =
                meter.identity.stamp == found.stamp && meter.identity.revision == found.acl_revision;
            if let Some(view) = views.get_mut(usize::from(meter.rule)).filter(|_| current) {
                *view.frames.get_or_insert_default() += meter.frames;
                *view.octets.get_or_insert_default() += meter.octets;
            }
        }
        views
    }

    fn port_view(&self, port: &SwitchPort) -> PortView {
        PortView {
            id: port.id,
            parameters: port.parameters.clone(),
            state: port.state,
            restoring: port.restoring,
            references: port.references,
            nic: port.nic().map(|nic| NicView {
                current_mac: nic.parameters.current_mac(&port.policy.security),
                parameters: nic.parameters.clone(),
                state: nic.state,
                suspension: nic.suspension,
                references: nic.references,
            }),
            policy: port.policy.clone(),
            no_vf: self.policy_needs_removal_of_vf(port.id),
        }
    }
}
