//! What moves frames and serves VMMs; it can be dropped and made anew from the fd store.

use std::sync::Arc;

use dataplane::{Dataplane, PollMode};
use miniport::{Action, Adapter, PowerState};
use pcie::ConfigEffect;

use super::adapter::AdapterService;
use super::assembly::capabilities;
use super::bus::{Bus, Order};
use super::error::DaemonError;
use super::fd_store::FdStore;
use super::limits::Share;
use super::signal::Alarm;
use super::vf::{Surroundings, VfSpec};
use crate::config::{Config, Poll};

/// A running data path.
#[derive(Debug)]
pub(super) struct DataPath {
    // Dropped in this order: the bus uses the worker.
    pub(super) bus: Bus,
    pub(super) worker: Dataplane,
}

impl DataPath {
    /// Starts worker and bus. With `rebuild` they take over the VFs that others left in the store.
    pub(super) fn start(
        config: &Config,
        adapter: &Arc<AdapterService>,
        store: &Arc<dyn FdStore>,
        share: Share,
        rebuild: &[VfSpec],
    ) -> Result<Self, DaemonError> {
        let poll = match config.daemon.poll {
            Poll::Adaptive => PollMode::Adaptive,
            Poll::Busy => PollMode::Busy,
            Poll::Interrupt => PollMode::Interrupt,
        };
        let worker = dataplane::Config { cpu: config.daemon.cpu, poll, paused: true };
        let forwarding = adapter.with(Adapter::forwarding).ok_or(DaemonError::NoSwitch)?;
        let worker = Dataplane::start(worker, &capabilities(config), forwarding)?;
        adapter.publish_to(Some(worker.handle()));
        let around = Surroundings {
            adapter: Arc::clone(adapter),
            dataplane: worker.handle(),
            store: Arc::clone(store),
            alarm: Alarm::new()?,
            share,
        };
        Ok(Self { bus: Bus::start(around, rebuild)?, worker })
    }

    /// Ends. VFs and VMMs wait in the store for another data path.
    pub(super) fn leave(self) {
        self.bus.leave();
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
