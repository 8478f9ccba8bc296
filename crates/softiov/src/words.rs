//! What things are called, for the daemon and the command line alike.

use vswitch::{PrivateRole, VlanPolicy};

/// In which VLAN a port is, in short.
pub(crate) fn vlan_text(vlan: &VlanPolicy) -> String {
    match vlan {
        VlanPolicy::Untagged => "untagged".to_owned(),
        VlanPolicy::Access(vlan) => format!("access {vlan}"),
        VlanPolicy::Trunk { native: 0, .. } => "trunk".to_owned(),
        VlanPolicy::Trunk { native, .. } => format!("trunk native {native}"),
        VlanPolicy::Private { primary, role: PrivateRole::Isolated(vlan) } => {
            format!("private {primary} isolated {vlan}")
        }
        VlanPolicy::Private { primary, role: PrivateRole::Community(vlan) } => {
            format!("private {primary} community {vlan}")
        }
        VlanPolicy::Private { primary, role: PrivateRole::Promiscuous(_) } => {
            format!("private {primary} promiscuous")
        }
    }
}
