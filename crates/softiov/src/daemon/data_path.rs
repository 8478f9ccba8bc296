//! What moves frames and serves VMMs; it can be dropped and made anew from the fd store.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataplane::{Dataplane, PollMode, PortCounters, Snapshot};
use miniport::{Action, Adapter, PowerState};
use pcie::ConfigEffect;
use virt_stack::AdapterId;

use super::adapter::AdapterService;
use super::assembly::{capabilities, extent};
use super::bus::{Bus, Order};
use super::error::DaemonError;
use super::fd_store::FdStore;
use super::limits::Share;
use super::members::Member;
use super::netvsp::{NetVsp, SyntheticSpec};
use super::notices::NoticeBoard;
use super::outside::Outside;
use super::signal::Alarm;
use super::switchboard::Switchboard;
use super::vf::{Surroundings, VfSpec};
use crate::config::{Config, Poll};

/// A running data path.
#[derive(Debug)]
pub(super) struct DataPath {
    // Dropped in this order: bus and NetVSP use the worker.
    pub(super) bus: Bus,
    pub(super) netvsp: NetVsp,
    pub(super) worker: Dataplane,
    parts: Parts,
}

/// What one data path leaves to the next.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) adapter: Arc<AdapterService>,
    pub(super) switchboard: Arc<Switchboard>,
    pub(super) outside: Arc<Outside>,
    pub(super) store: Arc<dyn FdStore>,
    pub(super) share: Share,
    /// What the virtualization stack is told.
    pub(super) notices: Arc<NoticeBoard>,
    /// Counts what passes the default VPort.
    pub(super) default_vport: Arc<PortCounters>,
    /// A random number that guests do not know.
    pub(super) seed: u64,
}

impl DataPath {
    /// Starts worker, bus and NetVSP. With `rebuild` they take over the VFs that others left in the store; synthetic
    /// adapters are taken over if they are there.
    pub(super) fn start(
        config: &Config,
        parts: &Parts,
        members: &BTreeMap<AdapterId, Member>,
        rebuild: &[VfSpec],
    ) -> Result<Self, DaemonError> {
        let poll = match config.daemon.poll {
            Poll::Adaptive => PollMode::Adaptive,
            Poll::Busy => PollMode::Busy,
            Poll::Interrupt => PollMode::Interrupt,
        };
        let ageing_seconds = config.switches().iter().map(|switch| switch.ageing).collect();
        let worker = dataplane::Config {
            cpu: config.daemon.cpu,
            poll,
            paused: true,
            ageing_seconds,
            seed: parts.seed,
            default_vport: Arc::clone(&parts.default_vport),
        };
        let forwarding = parts.adapter.with(Adapter::forwarding).ok_or(DaemonError::NoSwitch)?;
        let snapshot = Snapshot::new(extent(config), forwarding).with_switches(parts.switchboard.snapshot());
        let worker = Dataplane::start(&worker, &capabilities(config), snapshot)?;
        parts.adapter.publish_to(Some(worker.handle()));
        parts.switchboard.publish_to(Some(worker.handle()));
        if let Err(error) = parts.outside.attach(&worker.handle()) {
            parts.outside.take_back(&worker.handle());
            return Err(error.into());
        }
        let around = Surroundings {
            adapter: Arc::clone(&parts.adapter),
            switchboard: Arc::clone(&parts.switchboard),
            outside: Arc::clone(&parts.outside),
            dataplane: worker.handle(),
            store: Arc::clone(&parts.store),
            alarm: Alarm::new()?,
            notices: Arc::clone(&parts.notices),
            share: parts.share,
        };
        let bus = Bus::start(around.clone(), rebuild)?;
        let adapters: Vec<_> =
            members.iter().map(|(id, member)| synthetic(config, parts, id.0, member)).collect();
        let netvsp = match NetVsp::start(around, &adapters) {
            Ok(netvsp) => netvsp,
            Err(error) => {
                bus.leave();
                parts.outside.take_back(&worker.handle());
                return Err(error.into());
            }
        };
        // Everybody is there.
        worker.handle().start_fetching();
        Ok(Self { bus, netvsp, worker, parts: parts.clone() })
    }

    /// Ends. VFs and VMMs wait in the store for another data path.
    pub(super) fn leave(self) {
        self.netvsp.leave();
        self.bus.leave();
        self.parts.outside.take_back(&self.worker.handle());
        drop(self.worker);
    }

    /// Does what an OID request asks of the data path.
    pub(super) fn execute(&self, action: &Action) -> Result<(), DaemonError> {
        let order = match *action {
            Action::ResetVf { vf, .. } => Order::Reset(vf),
            Action::WithdrawVf { vf, .. } | Action::DetachVf { vf, .. } => Order::Withdraw(vf),
            Action::VfConfigSpaceWritten { vf, ref effects, .. } => {
                Order::ConfigChanged(vf, effects.to_vec())
            }
            Action::VfPowerState { vf, state, .. } => {
                let state =
                    if state == PowerState::D0 { pcie::PowerState::D0 } else { pcie::PowerState::D3Hot };
                Order::ConfigChanged(vf, vec![ConfigEffect::PowerState(state)])
            }
            Action::LinkChanged { vf, up, .. } => Order::SetLink(vf, up),
            // The adapter's own, or of objects that a data path does not have.
            _ => return Ok(()),
        };
        Ok(self.bus.order(order)?)
    }
}

/// What NetVSP must know of the adapter whose NIC has the number `nic`.
pub(super) fn synthetic(config: &Config, parts: &Parts, nic: u32, member: &Member) -> SyntheticSpec {
    let Member { vm, name, spec, .. } = member;
    SyntheticSpec {
        nic,
        name: member.full_name(),
        mac: spec.mac.0,
        mtu: spec.mtu.map(|mtu| mtu.0),
        queue_pairs: spec.queue_pairs.0,
        role: spec.vhost_user,
        path: config.vhost_user_path(vm, name),
        counters: parts.switchboard.with(|switches| Arc::clone(&switches.nics[&nic].counters)),
    }
}
