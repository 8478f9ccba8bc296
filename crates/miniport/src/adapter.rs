//! The adapter: the NDIS layer above the PF miniport driver.
//!
//! NDIS validates a request, assigns the ids that are its to assign, knows who made what, answers queries itself, and hands
//! the rest to the driver. Both layers live in one process, so what NDIS "caches" is the driver's own state, read where it
//! stands: the two cannot disagree.

mod dispatch;
mod ownership;
mod queries;
mod queues;
mod vf_adapter;

use nic_switch::{Capabilities, Forwarding, NicSwitch, QueueCapabilities, SwitchParameters, VfId};
use pcie::PhysicalFunction;
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::config_block::VfStatistics;
use crate::driver::PfDriver;
use crate::keywords::{Keywords, Mode};
use crate::pf::{PfRefusal, PfReply, PfRequest};
use crate::refusal::Refusal;
use crate::request::{OidRequest, OidResponse, Request};

use ownership::Ownership;

/// An overlying driver, or what stands for one: the daemon gives each a number of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientId(pub u32);

/// When the driver makes its NIC switch (ndis.md A.4, CREATE_SWITCH).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchCreation {
    /// When the adapter is initialized; CREATE_SWITCH must then ask for the same. The virtual functions live as long as the
    /// adapter runs.
    Static,
    /// When CREATE_SWITCH asks for it. The virtual functions live as long as the switch.
    #[default]
    Dynamic,
}

/// How an adapter is set up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterConfig {
    /// What the adapter is to be.
    #[serde(default)]
    pub keywords: Keywords,
    /// What the NIC switch can do. With VM queues instead, what serves a nondefault VPort serves a queue
    /// ([`QueueCapabilities`]).
    pub capabilities: Capabilities,
    /// The NIC switch that NDIS creates, as the registry has it.
    pub switch: SwitchParameters,
    /// When the driver makes the switch.
    #[serde(default)]
    pub creation: SwitchCreation,
    /// The adapter has a physical port.
    pub physical_port: bool,
    /// Locally unique id of the PF, as the host assigned it; constant from start to halt.
    pub luid: u64,
}

/// The adapter cannot be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitializeError {
    /// The capabilities contradict themselves.
    #[error("the capabilities of the adapter are inconsistent")]
    Capabilities(#[from] nic_switch::InvalidCapabilities),
    /// The NIC switch could not be created.
    #[error("the NIC switch cannot be created")]
    CreateSwitch(#[from] Refusal),
    /// NDIS 6.30 ended lookahead split.
    #[error("*VMQLookaheadSplit is 1, but must be 0: no adapter since NDIS 6.30 splits lookahead data")]
    LookaheadSplit,
    /// It runs.
    #[error("the adapter runs already; halt it before it is started again")]
    Running,
}

/// Who issues a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Issuer {
    Ndis,
    Client(ClientId),
}

/// An SR-IOV network adapter as its managers see it.
///
/// Everything happens inside the calls; each returns what the data path has to do for it ([`Action`]), in order.
#[derive(Debug)]
pub struct Adapter {
    config: AdapterConfig,
    /// Parameters of the switch for the next start.
    registry: SwitchParameters,
    driver: PfDriver,
    ownership: Ownership,
    running: bool,
}

impl Adapter {
    /// Starts an adapter with this function as its PF: `MiniportInitializeEx`, and CREATE_SWITCH if the keywords select
    /// SR-IOV; with VM queues, the default queue is there at once. The link of the physical port is down until [`set_link`](Self::set_link) says otherwise.
    ///
    /// Fails if the capabilities or the switch parameters contradict themselves or ask for more than the function has, or if
    /// the keywords ask for what no adapter has.
    pub fn initialize(
        config: AdapterConfig,
        function: PhysicalFunction,
    ) -> Result<(Self, Vec<Action>), InitializeError> {
        config.capabilities.validate()?;
        if config.keywords.vmq_lookahead_split {
            return Err(InitializeError::LookaheadSplit);
        }
        let mut adapter = Self {
            registry: config.switch.clone(),
            driver: PfDriver::new(function, config.capabilities.clone(), config.creation),
            config,
            ownership: Ownership::default(),
            running: false,
        };
        let actions = adapter.start()?;
        Ok((adapter, actions))
    }

    /// Starts a halted adapter again, with the switch parameters that were stored meanwhile.
    pub fn start(&mut self) -> Result<Vec<Action>, InitializeError> {
        if self.running {
            return Err(InitializeError::Running);
        }
        let mut actions = Vec::new();
        self.running = true;
        if self.mode() == Mode::Vmq {
            self.driver.enable_queues(self.queue_capabilities(), &mut actions);
        }
        if self.mode() == Mode::SrIov {
            let registry = self.registry.clone();
            let created = self.driver.initialize(&registry, &mut actions).and_then(|()| {
                let create = OidRequest::CreateSwitch(registry);
                self.execute(Issuer::Ndis, create, &mut actions)
            });
            if let Err(refusal) = created {
                self.driver.halt(&mut actions);
                self.running = false;
                return Err(refusal.into());
            }
        }
        Ok(actions)
    }

    /// Stops the adapter in the order of ndis.md A.4: filters, VPorts, VFs, switch, `MiniportHaltEx`. What overlying drivers
    /// left behind is removed for them; VM queues go at once, and a FREE_QUEUE that is pending is aborted. Without effect on
    /// a halted adapter.
    pub fn halt(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if !self.running {
            return actions;
        }
        if self.driver.switch().is_some() {
            self.remove_all(|_| true, &mut actions);
            self.execute(Issuer::Ndis, OidRequest::DeleteSwitch, &mut actions)
                .expect("everything on the switch was removed");
        }
        self.driver.halt(&mut actions);
        self.forget_queues(&mut actions);
        self.running = false;
        actions
    }

    /// An overlying driver is gone: what it made and left is removed in the same order. Its VM queues are freed, which the
    /// data path has to end as always; nobody is told when they are gone.
    pub fn close(&mut self, client: ClientId) -> Vec<Action> {
        let mut actions = Vec::new();
        self.remove_all(|creator| creator == Issuer::Client(client), &mut actions);
        self.remove_queues(|creator| creator == Issuer::Client(client), &mut actions);
        actions
    }

    /// Answers a request of an overlying driver.
    pub fn request(&mut self, client: ClientId, request: impl Into<Request>) -> (OidResponse, Vec<Action>) {
        self.respond(Issuer::Client(client), request.into())
    }

    /// Answers a request that NDIS itself issues, as the host's bus driver needs it: [`OidRequest::ProbedBars`],
    /// [`OidRequest::BarResources`]. NDIS owns nothing and may do everything.
    pub fn request_from_ndis(&mut self, request: impl Into<Request>) -> (OidResponse, Vec<Action>) {
        self.respond(Issuer::Ndis, request.into())
    }

    /// Answers a request that the guest of `vf` makes through its mailbox. `generation` is that of the VF when its device
    /// was made ([`Action::AttachVf`]); a request of an earlier holder touches nothing.
    pub fn vf_request(&mut self, vf: VfId, generation: u64, request: PfRequest) -> (PfReply, Vec<Action>) {
        let mut actions = Vec::new();
        let answer = if self.running {
            self.driver.guest_request(vf, generation, request, &mut actions)
        } else {
            Err(PfRefusal::Halted)
        };
        (answer.map_or_else(PfReply::Refused, PfReply::Granted), actions)
    }

    /// The link of the physical port changed. VFs whose link follows it are told.
    pub fn set_link(&mut self, up: bool) -> Vec<Action> {
        let mut actions = Vec::new();
        self.driver.set_link(up, &mut actions).expect("VPorts of VFs are attached to allocated VFs");
        actions
    }

    /// The PF tells a VF's driver that configuration blocks are stale: `NdisMInvalidateConfigBlock`. Bit n of `mask` stands
    /// for block n. What the driver does not wait for is kept and told later.
    pub fn invalidate_config_blocks(&mut self, vf: VfId, mask: u64) -> Result<Vec<Action>, Refusal> {
        let mut actions = Vec::new();
        self.driver.invalidate(vf, mask, &mut actions)?;
        Ok(actions)
    }

    /// The VF's driver waits to hear of stale configuration blocks; it is told once, at once if there are some already, and
    /// has to wait anew then. A driver of an earlier generation is not heard.
    pub fn post_invalidate(&mut self, vf: VfId, generation: u64) -> Result<Vec<Action>, PfRefusal> {
        self.check_generation(vf, generation)?;
        let mut actions = Vec::new();
        self.driver.post_invalidate(vf, &mut actions).map_err(|_| PfRefusal::UnknownVf(vf))?;
        Ok(actions)
    }

    /// Puts the counters of a VF into its configuration block 1.
    pub fn set_vf_statistics(
        &mut self,
        vf: VfId,
        generation: u64,
        statistics: VfStatistics,
    ) -> Result<(), PfRefusal> {
        self.check_generation(vf, generation)?;
        self.driver.set_statistics(vf, statistics).map_err(|_| PfRefusal::UnknownVf(vf))
    }

    fn check_generation(&self, vf: VfId, found: u64) -> Result<(), PfRefusal> {
        let current = self.driver.generation(vf).map_err(|_| PfRefusal::UnknownVf(vf))?;
        if found != current {
            return Err(PfRefusal::StaleGeneration { found, current });
        }
        Ok(())
    }

    /// The forwarding state for the data path, of the NIC switch or of the VM queues; `None` while there is neither, so that
    /// no frame goes anywhere.
    pub fn forwarding(&self) -> Option<Forwarding> {
        let physical_port = self.config.physical_port;
        let of_switch = self.driver.switch().map(|switch| switch.snapshot(physical_port));
        of_switch.or_else(|| self.driver.queues().map(|queues| queues.snapshot(physical_port)))
    }

    /// The NIC switch, to look at; `None` while there is none.
    pub fn switch(&self) -> Option<&NicSwitch> {
        self.driver.switch()
    }

    /// What the adapter can do with VM queues, as its keywords have it.
    fn queue_capabilities(&self) -> QueueCapabilities {
        let hardware = QueueCapabilities::from(&self.config.capabilities);
        let vlan_filtering = hardware.vlan_filtering && self.config.keywords.vmq_vlan_filtering;
        QueueCapabilities { vlan_filtering, ..hardware }
    }

    /// The PCI functions. Configuration spaces of VFs are handles that the device of a VF can clone.
    pub fn function(&self) -> &PhysicalFunction {
        self.driver.function()
    }

    /// What the adapter is.
    pub fn mode(&self) -> Mode {
        self.config.keywords.mode()
    }

    /// The switch parameters for the next start.
    pub fn registry(&self) -> &SwitchParameters {
        &self.registry
    }
}
