//! Which ports may have a VF. Frames on a VF's path bypass this switch, so a policy that the NIC switch cannot enforce
//! there forbids the VF (`spec/ndis.md` E.5).

use std::fmt;

use serde::Serialize;

use super::VSwitch;
use crate::extension::ExtensionKind;
use crate::{Mirroring, NicState, PortId, PortPolicy, VfPath, VlanPolicy};

/// Why a port must not have a VF.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// It has a port ACL.
    Acl,
    /// DHCP guard is on.
    DhcpGuard,
    /// Router guard is on.
    RouterGuard,
    /// Its frames are mirrored, or it watches those of others.
    Mirroring,
    /// It is a trunk, or one with a native VLAN, which the NIC switch does not know.
    TrunkVlan,
    /// It is in a private VLAN.
    PrivateVlan,
    /// It has a maximum bandwidth.
    MaximumBandwidth,
    /// It has a storm limit.
    StormLimit,
    /// The forwarding extension says so.
    Extension {
        /// Its name.
        name: String,
        /// Its reason.
        reason: String,
    },
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let policy = match self {
            Self::Acl => "the port ACL",
            Self::DhcpGuard => "DHCP guard",
            Self::RouterGuard => "router guard",
            Self::Mirroring => "port mirroring",
            Self::TrunkVlan => "the trunk of VLANs",
            Self::PrivateVlan => "the private VLAN",
            Self::MaximumBandwidth => "the maximum bandwidth",
            Self::StormLimit => "the storm limit",
            Self::Extension { name, reason } => {
                return write!(f, "the extension {name:?} forbids a VF: {reason}");
            }
        };
        write!(f, "{policy} cannot be enforced on a VF, whose frames bypass the extensible switch")
    }
}

/// `NDIS_STATUS_SWITCH_PORT_REMOVE_VF`: the port's NIC has a VF and must lose it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VfRemoval {
    /// The port.
    pub port: PortId,
    /// Why.
    pub reason: RemovalReason,
}

impl VSwitch {
    /// Why the port must not have a VF; `None` if it may, or does not exist.
    #[must_use]
    pub fn policy_needs_removal_of_vf(&self, port: PortId) -> Option<RemovalReason> {
        self.policy_forbids_vf(self.port(port)?.policy()).or_else(|| self.extension_forbids_vf(port))
    }

    /// Why a port with this policy must not have a VF; `None` if it may, as far as the policy goes.
    #[must_use]
    pub fn policy_forbids_vf(&self, policy: &PortPolicy) -> Option<RemovalReason> {
        let nic = self.parameters.nic_enforces;
        let trunk = matches!(policy.vlan, VlanPolicy::Trunk { native, .. } if native != 0 || !nic.trunk_vlan);
        let reasons = [
            (!policy.acl.rules.is_empty(), RemovalReason::Acl),
            (policy.dhcp_guard, RemovalReason::DhcpGuard),
            (policy.router_guard, RemovalReason::RouterGuard),
            (policy.mirroring != Mirroring::None, RemovalReason::Mirroring),
            (trunk, RemovalReason::TrunkVlan),
            (matches!(policy.vlan, VlanPolicy::Private { .. }), RemovalReason::PrivateVlan),
            (policy.bandwidth.maximum.is_some() && !nic.maximum_bandwidth, RemovalReason::MaximumBandwidth),
            (policy.storm_limit > 0 && !nic.storm_limit, RemovalReason::StormLimit),
        ];
        reasons.into_iter().find_map(|(applies, reason)| applies.then_some(reason))
    }

    /// The VFs that must be removed and of which that was not said yet: once per VF, and of connected NICs only.
    pub fn take_vf_removals(&mut self) -> Vec<VfRemoval> {
        let assigned = self.ports().filter(|port| {
            port.nic().is_some_and(|nic| {
                let connected = nic.state() == NicState::Connected;
                connected && nic.parameters.vf != VfPath::None && !nic.vf_removal_told
            })
        });
        let reasons = assigned.filter_map(|port| {
            Some(VfRemoval { port: port.id, reason: self.policy_needs_removal_of_vf(port.id)? })
        });
        let removals: Vec<_> = reasons.collect();
        for removal in &removals {
            if let Some(nic) = self.ports.get_mut(&removal.port).and_then(|port| port.nic.as_mut()) {
                nic.vf_removal_told = true;
            }
        }
        removals
    }

    fn extension_forbids_vf(&self, port: PortId) -> Option<RemovalReason> {
        let extension = self.extensions.iter().find(|one| one.kind() == ExtensionKind::Forwarding)?;
        let reason = extension.must_remove_vf(port)?;
        Some(RemovalReason::Extension { name: extension.name().to_owned(), reason })
    }
}
