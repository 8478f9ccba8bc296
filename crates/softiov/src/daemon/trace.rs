//! What would become of a frame: the way of `dataplane`'s router, walked on the control side with a record of each
//! decision. It counts nothing, learns nothing, and no worker sees the frame.

mod frame;
mod remedy;
#[cfg(test)]
mod tests;
mod walk;

use api::types::{FrameContent, FrameRequest, TraceView};
use dataplane::Handle;
use ethernet::MacAddr;
use miniport::Adapter;
use nic_switch::{Filter, Source, VPortId};
use sys::clock;
use virt_stack::AdapterId;
use vswitch::State;

use self::frame::Stations;
use self::walk::{FilterNote, Walk};
use super::error::DaemonError;
use super::lookup;
use super::members::Member;
use super::switchboard::cycles_per_second;
use super::{Changing, Core, assembly};

pub(crate) use self::frame::FrameError;

/// Where a frame starts.
#[derive(Clone, Copy, Debug)]
enum Start {
    NicSwitch(Source),
    /// A NIC on an extensible switch.
    Nic(u32),
}

impl Core {
    /// Says what would become of a frame, and why.
    pub(crate) fn explain(&self, request: &FrameRequest) -> Result<TraceView, DaemonError> {
        let changing = self.lock();
        let (start, own) = self.start_of(&changing, request)?;
        let stations = self.stations(request, own)?;
        let described = frame::build(&request.content, stations, request.vlan)?;
        let worker = changing.data_path.as_ref().map(|path| path.worker.handle());
        let states = self.states(worker.as_ref());
        let (forwarding, filters) =
            self.parts.adapter.with(|adapter| (adapter.forwarding(), filter_notes(adapter)));
        let forwarding = forwarding.ok_or(DaemonError::NoSwitch)?;
        let vf = |(id, member): (&AdapterId, &Member)| {
            let spec = &member.vf.as_ref()?.spec;
            Some((spec.vport, (spec.vf, id.0)))
        };
        Ok(self.parts.switchboard.with(|board| {
            let walk = Walk {
                board,
                forwarding: &forwarding,
                states: &states,
                frame: &described,
                filters,
                vfs: changing.members.iter().filter_map(vf).collect(),
                capabilities: assembly::capabilities(&self.config),
                now: clock::tsc(),
                view: TraceView {
                    frame: described.to_string(),
                    stages: Vec::new(),
                    deliveries: Vec::new(),
                    loss: None,
                },
            };
            match start {
                Start::NicSwitch(source) => walk.start_at_nic_switch(source),
                Start::Nic(nic) => walk.start_at_nic(nic),
            }
        }))
    }

    /// Where the sender is, and its address.
    fn start_of(
        &self,
        changing: &Changing,
        request: &FrameRequest,
    ) -> Result<(Start, Option<MacAddr>), DaemonError> {
        if request.from == "uplink" {
            return Ok((Start::NicSwitch(Source::Wire), None));
        }
        self.parts.switchboard.with(|board| {
            let nic = lookup::nic(board, &request.from)?;
            let own = board.current_mac(nic);
            let vf = changing.spec_of_nic(nic);
            Ok(match vf.filter(|_| !request.synthetic) {
                Some(spec) => (Start::NicSwitch(Source::VPort(spec.vport)), spec.mac.or(own)),
                None => (Start::Nic(nic), own),
            })
        })
    }

    /// The addresses of the frame; an adapter may stand for its own.
    fn stations(&self, request: &FrameRequest, own: Option<MacAddr>) -> Result<Stations, DaemonError> {
        if let FrameContent::Bytes { .. } = request.content {
            if request.destination.is_some() || request.source.is_some() || request.vlan.is_some() {
                return Err(FrameError::WholeFrame.into());
            }
            return Ok(Stations::default());
        }
        let address = |text: &String| {
            if let Ok(mac) = text.parse() {
                return Ok(mac);
            }
            self.parts.switchboard.with(|board| {
                let found = lookup::nic(board, text).ok().and_then(|nic| board.current_mac(nic));
                found.ok_or_else(|| FrameError::NoSuchStation {
                    name: text.clone(),
                    known: board.nics.values().map(|nic| nic.name.clone()).collect(),
                })
            })
        };
        let destination = request.destination.as_ref().map(address).transpose()?;
        let source = request.source.as_ref().map(address).transpose()?.or(own);
        Ok(Stations { destination, source })
    }

    /// Copies of what the worker remembers of each extensible switch. Rate limits begin anew in them.
    fn states(&self, worker: Option<&Handle>) -> Vec<State> {
        let now = clock::tsc();
        let switches = self.config.switches().into_iter().enumerate();
        let states = switches.map(|(number, switch)| {
            let mut state = State::with_ageing(cycles_per_second(), switch.ageing, self.parts.seed);
            let path = self.parts.switchboard.with(|board| board.path(number));
            for station in worker.map(|worker| worker.report(number).stations).unwrap_or_default() {
                state.hear(&path, station, now);
            }
            state
        });
        states.collect()
    }
}

/// The filters, on VPorts or on VM queues.
fn filter_notes(adapter: &Adapter) -> Vec<FilterNote> {
    if let Some(switch) = adapter.switch() {
        let note =
            |filter: &Filter| FilterNote { id: filter.id(), vport: filter.vport(), test: filter.test() };
        return switch.filters().map(note).collect();
    }
    let filters = adapter.queues().into_iter().flat_map(|queue| queue.filters);
    filters.map(|info| FilterNote { id: info.filter, vport: info.queue.vport(), test: info.test }).collect()
}

/// The VPort behind which the extensible switch is.
const DEFAULT: Source = Source::VPort(VPortId::DEFAULT);
