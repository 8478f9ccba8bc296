//! What users call things, and what there is instead if there is no such thing.

use nic_switch::VPortId;

use super::Core;
use super::switchboard::Inner;

/// A name that nothing has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LookupError {
    #[error("there is no adapter {name:?}: there are {}", list(.known))]
    Adapter { name: String, known: Vec<String> },
    #[error("there is no switch {name:?}: there are {}", list(.known))]
    Switch { name: String, known: Vec<String> },
    #[error("switch {switch} has no port {name:?}: it has {}", list(.known))]
    Port { switch: String, name: String, known: Vec<String> },
    #[error("there is no VPort {number}: there are {}", list(.known))]
    VPort { number: u32, known: Vec<String> },
    #[error("there is no VM queue {number}: there are {}", list(.known))]
    Queue { number: u32, known: Vec<String> },
}

fn list(known: &[String]) -> String {
    if known.is_empty() { "none".to_owned() } else { known.join(", ") }
}

/// Number of the NIC of the adapter `name`: `VM/ADAPTER`, or a netdev of the host.
pub(super) fn nic(board: &Inner, name: &str) -> Result<u32, LookupError> {
    let found = board.nics.iter().find(|(_, nic)| nic.name == name);
    found.map(|(number, _)| *number).ok_or_else(|| LookupError::Adapter {
        name: name.to_owned(),
        known: board.nics.values().map(|nic| nic.name.clone()).collect(),
    })
}

/// Number of the switch `name`.
pub(super) fn switch(board: &Inner, name: &str) -> Result<usize, LookupError> {
    let names = || board.switches.iter().map(|switch| switch.parameters().name.clone());
    names()
        .position(|known| known == name)
        .ok_or_else(|| LookupError::Switch { name: name.to_owned(), known: names().collect() })
}

/// The port `name` of switch number `number`, by its name or its number.
pub(super) fn port(board: &Inner, number: usize, name: &str) -> Result<vswitch::PortId, LookupError> {
    let switch = &board.switches[number];
    let found = switch.ports().find(|port| port.parameters().name == name || port.id().0.to_string() == name);
    found.map(vswitch::SwitchPort::id).ok_or_else(|| LookupError::Port {
        switch: switch.parameters().name.clone(),
        name: name.to_owned(),
        known: switch.ports().map(|port| port.parameters().name.clone()).collect(),
    })
}

impl Core {
    /// VPort `number`, if the adapter has it.
    pub(super) fn existing_vport(&self, number: u32) -> Result<VPortId, LookupError> {
        self.parts.adapter.with(|adapter| {
            let vports: Vec<u32> = adapter
                .switch()
                .map(|switch| switch.vports().map(|vport| vport.id().0).collect())
                .unwrap_or_default();
            if vports.contains(&number) {
                return Ok(VPortId(number));
            }
            Err(LookupError::VPort { number, known: vports.iter().map(u32::to_string).collect() })
        })
    }

    /// VM queue `number`, as forwarding has it, if the adapter has it.
    pub(super) fn existing_queue(&self, number: u32) -> Result<VPortId, LookupError> {
        self.parts.adapter.with(|adapter| {
            let queues: Vec<u32> = adapter.queues().iter().map(|queue| queue.queue.0).collect();
            if queues.contains(&number) {
                return Ok(VPortId(number));
            }
            Err(LookupError::Queue { number, known: queues.iter().map(u32::to_string).collect() })
        })
    }
}
