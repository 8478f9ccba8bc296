//! The policies of ports: PORT_PROPERTY_ADD, _UPDATE and _DELETE in one request that replaces them all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::VSwitch;
use crate::extension::Event;
use crate::extension::connections::Connections;
use crate::{
    InvalidPolicy, Mirroring, PortId, PortPolicy, PortType, PrivateRole, SwitchError, SwitchPort, VlanPolicy,
};

/// What a VLAN is to private VLANs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrivateUse {
    Primary,
    Secondary { primary: u16, isolated: Option<bool> },
}

impl VSwitch {
    /// Gives the port another policy.
    ///
    /// # Errors
    /// The port does not exist or is torn down, the policy is not possible by itself or beside those of other ports, the
    /// minimum bandwidth cannot be reserved, or an extension's veto.
    pub fn set_policy(&mut self, port: PortId, policy: PortPolicy) -> Result<(), SwitchError> {
        let found = self.existing(port)?;
        found.check_created("PORT_PROPERTY")?;
        policy.validate()?;
        if found.parameters.kind == PortType::External {
            check_external(&policy)?;
        }
        self.check_private_vlans(port, &policy.vlan)?;
        if !found.parameters.validation {
            self.check_bandwidth(port, &policy)?;
        }
        if let Some(nic) = found.nic() {
            self.check_addresses(port, &nic.parameters, &policy)?;
        }
        self.ask(|extension| extension.may_set_policy(port, &policy))?;

        let idle = u64::from(policy.acl.idle_seconds).saturating_mul(self.cycles_per_second);
        // A multiplier with well-mixed bits keeps the keys of ports apart.
        let key = self.seed.wrapping_add(found.stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let found = self.existing_mut(port)?;
        if found.policy.acl != policy.acl {
            found.acl_revision += 1;
        }
        found.connections = match found.connections.take() {
            _ if !policy.acl.is_stateful() => None,
            Some(table) if table.idle() == idle => Some(table),
            Some(table) => Some(Arc::new(table.with_idle(idle))),
            None => Some(Arc::new(Connections::new(key, idle))),
        };
        found.policy = policy;
        self.changed(port, Event::PolicyChanged);
        Ok(())
    }

    fn check_bandwidth(&self, port: PortId, policy: &PortPolicy) -> Result<(), SwitchError> {
        let (Some(total), Some(asked)) = (self.parameters.bandwidth, policy.bandwidth.minimum) else {
            return Ok(());
        };
        let others = self.ports().filter(|other| other.id != port && !other.parameters.validation);
        let reserved = others.filter_map(|other| other.policy.bandwidth.minimum);
        let free = reserved.fold(total, u64::saturating_sub);
        if asked > free { Err(SwitchError::Bandwidth { asked, free }) } else { Ok(()) }
    }

    /// A secondary VLAN belongs to one primary VLAN and is isolated or a community; a primary one is none of these.
    fn check_private_vlans(&self, port: PortId, policy: &VlanPolicy) -> Result<(), InvalidPolicy> {
        let mut uses = BTreeMap::new();
        let others = self.ports().filter(|other| other.id != port).map(SwitchPort::policy);
        for other in others {
            for (vlan, asked) in private_uses(&other.vlan) {
                uses.entry(vlan)
                    .and_modify(|known: &mut PrivateUse| *known = known.or(asked))
                    .or_insert(asked);
            }
        }
        for (vlan, asked) in private_uses(policy) {
            if let Some(&is) = uses.get(&vlan)
                && !is.agrees(asked)
            {
                let (is, asked) = (is.to_string(), asked.to_string());
                return Err(InvalidPolicy::VlanConflict { vlan, is, asked });
            }
        }
        Ok(())
    }
}

impl PrivateUse {
    fn agrees(self, other: Self) -> bool {
        match (self, other) {
            (Self::Primary, Self::Primary) => true,
            (
                Self::Secondary { primary, isolated },
                Self::Secondary { primary: other, isolated: other_isolated },
            ) => {
                let kinds = isolated.zip(other_isolated);
                primary == other && kinds.is_none_or(|(one, other)| one == other)
            }
            _ => false,
        }
    }

    /// What both together say, of two that agree.
    fn or(self, other: Self) -> Self {
        if matches!(self, Self::Secondary { isolated: None, .. }) { other } else { self }
    }
}

impl std::fmt::Display for PrivateUse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Primary => f.write_str("a primary VLAN"),
            Self::Secondary { primary, isolated: Some(true) } => write!(f, "the isolated VLAN of {primary}"),
            Self::Secondary { primary, isolated: Some(false) } => write!(f, "a community VLAN of {primary}"),
            Self::Secondary { primary, isolated: None } => write!(f, "a secondary VLAN of {primary}"),
        }
    }
}

/// What the policy says of each VLAN.
fn private_uses(policy: &VlanPolicy) -> impl Iterator<Item = (u16, PrivateUse)> + '_ {
    let private = match policy {
        VlanPolicy::Private { primary, role } => Some((*primary, role)),
        _ => None,
    };
    private.into_iter().flat_map(|(primary, role)| {
        let isolated = match role {
            PrivateRole::Isolated(_) => Some(true),
            PrivateRole::Community(_) => Some(false),
            PrivateRole::Promiscuous(_) => None,
        };
        let secondaries =
            role.secondaries().map(move |vlan| (vlan, PrivateUse::Secondary { primary, isolated }));
        secondaries.chain([(primary, PrivateUse::Primary)])
    })
}

/// The external port is in all VLANs, sends with all addresses, and leads to who cannot be held back.
fn check_external(policy: &PortPolicy) -> Result<(), InvalidPolicy> {
    let what = if policy.vlan != VlanPolicy::Untagged {
        "VLAN policy"
    } else if policy.security != crate::Security::default() {
        "security policy"
    } else if policy.dhcp_guard || policy.router_guard {
        "guard"
    } else if policy.mirroring == Mirroring::Destination {
        "role as the destination of mirrored frames"
    } else {
        return Ok(());
    };
    Err(InvalidPolicy::NotOnExternal { what })
}
