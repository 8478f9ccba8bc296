//! Policies of an adapter's port on the extensible switch.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vswitch::{AclRule, Bandwidth, Mirroring, PortPolicy, PrivateRole, Security, VlanPolicy};

use super::AdapterSpec;
use super::values::{Trunk, Vlan, vlan_policy, vlan_set};

/// Place in a private VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PrivateVlan {
    /// The primary VLAN.
    pub primary: Vlan,
    /// `{ isolated = 101 }`, `{ community = 102 }` or `{ promiscuous = [101, 102] }`.
    pub role: PrivateVlanRole,
}

/// Role in a private VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum PrivateVlanRole {
    /// Speaks with promiscuous ports only.
    Isolated(Vlan),
    /// Speaks with its community and with promiscuous ports.
    Community(Vlan),
    /// Speaks with all of these secondary VLANs.
    #[schema(value_type = Object)]
    Promiscuous(Trunk),
}

impl PrivateVlan {
    fn policy(&self) -> VlanPolicy {
        let role = match &self.role {
            PrivateVlanRole::Isolated(vlan) => PrivateRole::Isolated(vlan.0),
            PrivateVlanRole::Community(vlan) => PrivateRole::Community(vlan.0),
            PrivateVlanRole::Promiscuous(vlans) => PrivateRole::Promiscuous(vlan_set(Some(vlans))),
        };
        VlanPolicy::Private { primary: self.primary.0, role }
    }
}

/// Policies of an adapter's port on the extensible switch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PortSpec {
    /// Its place in a private VLAN; instead of `vlan` and `trunk`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_vlan: Option<PrivateVlan>,
    /// Broadcast, multicast and unknown unicast frames a second that the guest may send; 0: no limit.
    pub storm_limit: u32,
    /// Limit and share, in bits a second.
    #[schema(value_type = Object)]
    pub bandwidth: Bandwidth,
    /// The guest is no DHCP server.
    pub dhcp_guard: bool,
    /// The guest is no router.
    pub router_guard: bool,
    /// Its frames are mirrored, or it receives mirrored ones.
    #[schema(value_type = String, example = "none")]
    pub mirroring: Mirroring,
    /// The guest may send priority tags.
    pub priority_tags: bool,
    /// The guest may bond the adapter with others.
    pub teaming: bool,
    /// Rules for what it sends and receives.
    #[schema(value_type = Vec<Object>)]
    pub acl: Vec<AclRule>,
    /// Seconds after which a connection of a stateful rule is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acl_idle: Option<u32>,
}

impl AdapterSpec {
    /// The policies of its port on the extensible switch.
    #[must_use]
    pub fn policy(&self) -> PortPolicy {
        let port = &self.port;
        let vlan = match &port.private_vlan {
            Some(private) => private.policy(),
            None => vlan_policy(self.vlan, self.trunk.as_ref()),
        };
        let mut policy = PortPolicy {
            vlan,
            security: Security {
                allow_mac_spoofing: self.trusted,
                allow_ieee_priority_tag: port.priority_tags,
                allow_teaming: port.teaming,
            },
            storm_limit: port.storm_limit,
            bandwidth: port.bandwidth.clone(),
            dhcp_guard: port.dhcp_guard,
            router_guard: port.router_guard,
            mirroring: port.mirroring,
            ..PortPolicy::default()
        };
        policy.acl.rules.clone_from(&port.acl);
        if let Some(seconds) = port.acl_idle {
            policy.acl.idle_seconds = seconds;
        }
        policy
    }
}
