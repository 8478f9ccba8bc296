//! The extension chain (`spec/ndis.md` E.2).
//!
//! | stage | on ingress, top down | on egress, bottom up |
//! |---|---|---|
//! | capturing | [`capture`], capturing extensions | the same, last |
//! | filtering | filtering extensions | the same |
//! | built-in policies | [`mac_spoof`], [`acl`], [`dhcp_guard`], [`router_guard`], [`limiter`] | VLAN, [`acl`] |
//! | forwarding | the forwarding extension, or learning and look-up | [`mirror`] |
//!
//! What is built in is called directly, and only on ports whose policy asks for it. Extensions of others come in two
//! halves: [`Extension`] hears of the control side and may refuse, [`Hooks`] sees the frames. A frame that no extension
//! wants to see costs one test of a flag per port.

pub(crate) mod acl;
pub(crate) mod capture;
pub(crate) mod connections;
pub(crate) mod dhcp_guard;
pub(crate) mod flow;
pub(crate) mod limiter;
pub(crate) mod mac_spoof;
pub(crate) mod mirror;
pub(crate) mod router_guard;

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;

use crate::{Guid, NicParameters, Packet, PortId, PortParameters, PortPolicy};

/// What an extension may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExtensionKind {
    /// Look.
    Capturing,
    /// Look, drop, exclude destinations, refuse requests.
    Filtering,
    /// All that, choose destinations, and have a VF removed. A switch has at most one.
    Forwarding,
}

/// An extension refuses a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Veto {
    /// Why, as a sentence for the user.
    pub reason: String,
    /// `NDIS_STATUS_RESOURCES`, it may agree later; else `NDIS_STATUS_DATA_NOT_ACCEPTED`.
    pub retry: bool,
}

/// Something happened that no extension can refuse (`spec/ndis.md` E.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the OID of its name")]
pub enum Event {
    PortCreated,
    PolicyChanged,
    PortTeardown,
    PortDeleted,
    NicCreated,
    NicConnected,
    NicUpdated,
    NicSuspended,
    NicResumed,
    NicSaveComplete,
    NicRestoreComplete,
    NicDisconnected,
    NicDeleted,
}

/// The control half of an extension.
pub trait Extension: Debug + Send {
    /// Its GUID.
    fn id(&self) -> Guid;

    /// Its name, for people.
    fn name(&self) -> &str;

    /// What it may do: the switch does not ask a capturing extension whether it agrees, and minds no verdict of its.
    fn kind(&self) -> ExtensionKind;

    /// Whether the port may be created. Asked of validation ports too, so an answer reserves nothing: the port is there
    /// when [`Event::PortCreated`] comes.
    ///
    /// # Errors
    /// It may not.
    fn may_create_port(&self, _port: PortId, _parameters: &PortParameters) -> Result<(), Veto> {
        Ok(())
    }

    /// Whether the NIC may be created; reserves nothing.
    ///
    /// # Errors
    /// It may not.
    fn may_create_nic(&self, _port: PortId, _parameters: &NicParameters) -> Result<(), Veto> {
        Ok(())
    }

    /// Whether the port may have this policy: syntax, range, conflicts; reserves nothing.
    ///
    /// # Errors
    /// It may not.
    fn may_set_policy(&self, _port: PortId, _policy: &PortPolicy) -> Result<(), Veto> {
        Ok(())
    }

    /// Something happened on the port.
    fn notify(&mut self, _port: PortId, _event: Event) {}

    /// Record number `index` of what the port's NIC needs after a migration, `None` if there is no such; at most
    /// [`crate::MAX_SAVE_DATA`] bytes. Asked from 0 on, again for a number if the caller's buffer was too small.
    fn save(&mut self, _port: PortId, _index: usize) -> Option<Vec<u8>> {
        None
    }

    /// Takes back a record. It may come from another host: nothing in it can be trusted.
    fn restore(&mut self, _port: PortId, _data: &[u8]) {}

    /// `NDIS_STATUS_SWITCH_PORT_REMOVE_VF`: why the port's NIC must not have a VF, if so. Only a forwarding extension is
    /// asked.
    fn must_remove_vf(&self, _port: PortId) -> Option<String> {
        None
    }

    /// The half that sees the port's frames; `None` if it does not want to.
    fn hooks(&self, _port: PortId) -> Option<Arc<dyn Hooks>> {
        None
    }
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// It is dropped, or excluded from this destination.
    Drop,
}

/// Who chooses the destinations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The switch, as without a forwarding extension.
    Switch,
    /// The extension has chosen, maybe nobody.
    Made,
}

/// The data half of an extension: called by all workers for each frame, so it must neither block nor allocate.
pub trait Hooks: Debug + Send + Sync {
    /// A frame enters from the port.
    fn ingress(&self, _packet: &Packet<'_>) -> Verdict {
        Verdict::Pass
    }

    /// A frame is about to leave through the port.
    fn egress(&self, _packet: &Packet<'_>, _to: PortId) -> Verdict {
        Verdict::Pass
    }

    /// Chooses destinations with `add`; the switch still keeps frames in their VLANs, leaves out the source and NICs
    /// that are not connected, and delivers to nobody twice. Only a forwarding extension is asked.
    fn forward(&self, _packet: &Packet<'_>, _add: &mut dyn FnMut(PortId)) -> Choice {
        Choice::Switch
    }
}
