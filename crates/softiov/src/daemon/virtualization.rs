//! Runs the virtualization stack: what happened goes in, what it wants is done.
//!
//! One thread waits for what VFs, synthetic adapters and VMMs tell ([`super::notices`]) and for the stack's deadlines;
//! commands of operators come in between, under the same lock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::{GapCounters, GapLimits, GapReport, GapState, Place};
use miniport::{Action as Duty, OidRequest, Payload};
use nic_switch::{VPortId, VfId};
use virt_stack::{
    Action, AdapterId, Event, FailoverTo, GapFrames, Generation, GuestSign, OidFailure, Path, ReleaseId,
    Time, VfEvent, VfState,
};
use vmm::MsixMode;
use vswitch::VfPath;

use super::adapter::{OidError, STACK};
use super::bus::Order;
use super::error::DaemonError;
use super::notices::Notice;
use super::vf::VfSpec;
use super::{Changing, Core};
use crate::config::Msix;

/// How often a buffer of held frames is looked at that is being emptied.
const DRAIN_CHECK: Duration = Duration::from_millis(2);
/// How long the daemon waits for VMMs to unplug VFs before it ends; as long as the stack does before it takes them.
const FAREWELL: Duration = Duration::from_secs(12);
/// How often it looks whether they have.
const FAREWELL_CHECK: Duration = Duration::from_millis(10);
/// How long frames are held at most of which the stack does not know.
const HOLD_LIMIT: Duration = Duration::from_secs(2);
/// How often the buffers of all VFs are looked at.
const BUFFER_CHECK: Duration = Duration::from_millis(100);

/// The VF of an adapter, as the daemon has it.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) generation: Generation,
    pub(super) spec: VfSpec,
}

/// The buffer for an adapter's frames while its guest hears on neither path.
#[derive(Debug)]
pub(super) struct Buffer {
    counters: Arc<GapCounters>,
    /// What it had counted when this gap began.
    began: GapReport,
    /// Frames are on their way out, and who wants to know when they are.
    release: Option<ReleaseId>,
    /// Frames are held although the stack knows of no reason, or wait for a receiver that is not there.
    astray: Option<Instant>,
}

impl Buffer {
    fn new(counters: Arc<GapCounters>) -> Self {
        Self { counters, began: GapReport::default(), release: None, astray: None }
    }
}

impl Core {
    /// Follows what happens until the daemon ends.
    pub(super) fn follow(&self) {
        loop {
            let deadline = self.deadline(&self.lock());
            let Some(notices) = self.parts.notices.take(deadline) else { return };
            let mut changing = self.lock();
            for notice in notices {
                self.heed(&mut changing, notice);
            }
            changing.tell(Event::Tick);
            self.drive(&mut changing);
            if changing.queues_are_stale {
                self.assign_queues(&mut changing);
            }
        }
    }

    /// The daemon is about to end: VMMs that can be asked unplug their VFs in good order, for a VF whose socket has closed
    /// is dead, and no VMM connects again. Returns when they have, or when some do not.
    pub(crate) fn farewell(&self) {
        let until = Instant::now() + FAREWELL;
        let mut changing = self.lock();
        let with_vf = |changing: &Changing| -> Vec<AdapterId> {
            let members = changing.members.iter().filter(|(_, member)| member.has_qmp && member.vf.is_some());
            members.map(|(adapter, _)| *adapter).collect()
        };
        for adapter in with_vf(&changing) {
            changing.tell(Event::Failover { adapter, to: FailoverTo::Synthetic });
        }
        self.drive(&mut changing);
        self.parts.notices.nudge();
        while !with_vf(&changing).is_empty() && Instant::now() < until {
            drop(changing);
            std::thread::sleep(FAREWELL_CHECK);
            changing = self.lock();
        }
    }

    fn deadline(&self, changing: &Changing) -> Option<Instant> {
        let stack = changing.stack.deadline().map(|at| changing.epoch + Duration::from_nanos(at.0));
        let buffers = changing.members.values().filter_map(|member| member.buffer.as_ref());
        let check =
            buffers.map(|buffer| if buffer.release.is_some() { DRAIN_CHECK } else { BUFFER_CHECK }).min();
        [stack, check.map(|check| Instant::now() + check)].into_iter().flatten().min()
    }

    /// Tells the stack what happened.
    fn heed(&self, changing: &mut Changing, notice: Notice) {
        let event = match notice {
            Notice::Guest { vf, generation, sign } => changing
                .holder(vf, generation)
                .zip(state_of(sign))
                .map(|((adapter, generation), sign)| Event::Vf(adapter, generation, VfEvent::Sign(sign))),
            Notice::Client { vf, generation, connected } => changing
                .holder(vf, generation)
                .map(|(adapter, generation)| Event::Vf(adapter, generation, VfEvent::Socket { connected })),
            Notice::Present { nic, present } => changing
                .members
                .get(&AdapterId(nic))
                .is_some_and(|member| member.has_qmp)
                .then_some(Event::FrontEnd { adapter: AdapterId(nic), connected: present }),
            Notice::Vmm { vm, news } => changing.understand(vm, news).map(|event| {
                self.note_vmm(changing, vm, &event);
                Event::Vmm(vm, event)
            }),
        };
        if let Some(event) = event {
            changing.tell(event);
            self.drive(changing);
        }
    }

    /// Does all that the stack wants done.
    pub(super) fn drive(&self, changing: &mut Changing) {
        self.look_at_buffers(changing);
        while let Some(action) = changing.stack.next_action() {
            match action {
                Action::Oid { request, adapter, oid, path } => {
                    let result = self.issue(changing, adapter, oid, path);
                    changing.tell(Event::OidDone { request, result });
                }
                Action::SetPath { adapter, path } => self.set_path(adapter, path),
                Action::Offer { adapter, generation, vf, vport } => {
                    if let Err(error) = self.offer(changing, (adapter, generation), vf, vport) {
                        let fault = VfEvent::Fault(format!("{:#}", anyhow::Error::new(error)));
                        changing.tell(Event::Vf(adapter, generation, fault));
                    }
                }
                Action::Plug { adapter, generation } => {
                    if let (Some((vm, device)), Some(member)) =
                        (changing.device(adapter, generation), changing.members.get(&adapter))
                    {
                        let socket = self.config.socket_path(&member.vm, &member.name);
                        changing.vmms.plug(vm, device, socket, member.spec.bus.clone());
                    }
                }
                Action::Unplug { adapter, generation } => {
                    if let Some((vm, device)) = changing.device(adapter, generation) {
                        changing.vmms.unplug(vm, device);
                    }
                }
                Action::Hold { adapter } => self.hold(changing, adapter),
                Action::Release { adapter, release, to } => self.release(changing, adapter, release, to),
                Action::Record(record) => self.note(changing, &record),
                Action::Removed(adapter) => self.forget(changing, adapter),
            }
            self.look_at_buffers(changing);
        }
    }

    /// Issues an OID request, and does what it asks of the data path. With `path`, that becomes the path of the adapter's
    /// NIC in the same instant.
    fn issue(
        &self,
        changing: &mut Changing,
        adapter: AdapterId,
        oid: OidRequest,
        path: Option<VfPath>,
    ) -> Result<Payload, OidFailure> {
        let answer = match path {
            None => self.parts.adapter.request(STACK, oid),
            Some(path) => {
                let board = &self.parts.switchboard;
                self.parts.adapter.request_with_path(oid, board, (adapter.0, path))
            }
        };
        let (payload, duties) = answer.map_err(|OidError { status, refusal, .. }| OidFailure {
            status,
            reason: refusal.map_or_else(|| status.to_string(), |refusal| refusal.to_string()),
        })?;
        for duty in &duties {
            if let Some(spec) = self.spec_of(changing, adapter, duty) {
                changing.made.insert(spec.vf, spec);
            }
            if let Err(error) = changing.execute(duty) {
                tracing::error!(%error, "the data path does not do what an OID request asks of it");
            }
        }
        Ok(payload)
    }

    /// The VF that CREATE_VPORT has made, as its device has to be.
    fn spec_of(&self, changing: &Changing, adapter: AdapterId, duty: &Duty) -> Option<VfSpec> {
        let Duty::AttachVf { vf, generation, vport, mac, queue_pairs, link_up, .. } = *duty else {
            return None;
        };
        let config = self.parts.adapter.with(|adapter| {
            let function = adapter.function().virtual_function(vf.0);
            function.map(|function| function.config().clone()).ok()
        });
        Some(VfSpec {
            vf,
            generation,
            vport,
            nic: adapter.0,
            mac: Some(mac).filter(|mac| !mac.is_zero()),
            queue_pairs,
            link_up,
            model: self.config.adapter.vf_model,
            msix: changing.msix(adapter, self.config.adapter.msix),
            doorbells: self.config.adapter.doorbells,
            config: config?,
            counters: Arc::default(),
        })
    }

    fn set_path(&self, adapter: AdapterId, path: VfPath) {
        if let Err(error) = self.parts.switchboard.change(|board| board.set_vf(adapter.0, path)) {
            tracing::error!(%adapter, %error, "the path of a NIC cannot be set");
        }
    }

    /// Opens the socket of a VF.
    fn offer(
        &self,
        changing: &mut Changing,
        (adapter, generation): (AdapterId, Generation),
        vf: VfId,
        vport: VPortId,
    ) -> Result<(), DaemonError> {
        let made = changing.made.remove(&vf).filter(|spec| spec.vport == vport);
        let (Some(spec), Some(member)) = (made, changing.members.get_mut(&adapter)) else {
            return Err(DaemonError::NoSwitch);
        };
        let path = self.config.socket_path(&member.vm, &member.name);
        member.vf = Some(Assigned { generation, spec: spec.clone() });
        changing.queues_are_stale = true;
        let state = self.states[usize::from(vf.0)].clone();
        let data_path = changing.data_path.as_ref().ok_or(DaemonError::NoDataPath)?;
        Ok(data_path.bus.order(Order::Offer { spec: Box::new(spec), state, path })?)
    }

    /// From now on the frames for an adapter are kept.
    fn hold(&self, changing: &mut Changing, adapter: AdapterId) {
        let Some(worker) = changing.worker() else { return };
        let Some(member) = changing.members.get_mut(&adapter) else { return };
        let Some(vport) = member.vf.as_ref().map(|vf| vf.spec.vport) else { return };
        match worker.arm_gap(adapter.0, vport, GapLimits::default()) {
            Ok(counters) => {
                let same = |buffer: &Buffer| Arc::ptr_eq(&buffer.counters, &counters);
                match member.buffer.as_mut().filter(|buffer| same(buffer)) {
                    Some(buffer) => (buffer.release, buffer.astray) = (None, None),
                    None => member.buffer = Some(Buffer::new(counters)),
                }
                if let Err(error) = worker.hold(adapter.0) {
                    tracing::error!(%adapter, %error, "frames cannot be held");
                }
            }
            Err(error) => tracing::warn!(%adapter, %error, "there is no memory to hold frames in"),
        }
    }

    /// What was kept goes to the guest.
    fn release(&self, changing: &mut Changing, adapter: AdapterId, release: ReleaseId, to: Path) {
        let worker = changing.worker();
        let Some(member) = changing.members.get_mut(&adapter) else { return };
        let place = match (to, &member.vf) {
            (Path::Vf, Some(vf)) => Place::VPort(vf.spec.vport),
            _ => Place::Nic(adapter.0),
        };
        if let (Some(worker), Some(buffer)) = (worker, &mut member.buffer)
            && worker.release(adapter.0, place).is_ok()
        {
            buffer.release = Some(release);
            return;
        }
        // Nothing was held, so nothing has to come out.
        changing.tell(Event::GapReport { adapter, release, frames: GapFrames::default() });
    }

    /// Tells the stack of buffers that have become empty.
    fn look_at_buffers(&self, changing: &mut Changing) {
        let (mut emptied, mut astray, mut undeliverable) = (Vec::new(), Vec::new(), Vec::new());
        for (adapter, member) in &mut changing.members {
            let Some(buffer) = &mut member.buffer else { continue };
            let report = buffer.counters.read();
            let life = changing.stack.adapter(*adapter);
            if report.state == GapState::Holding && !life.as_ref().is_some_and(|life| life.held) {
                // Its ring was closed to some frames only, or opened when that no longer counted; or the guest has opened
                // it too often, and has to wait for its VF.
                let waits = life.is_some_and(|life| life.state == VfState::AwaitingDriver);
                let limit = if waits { HOLD_LIMIT } else { BUFFER_CHECK };
                let since = *buffer.astray.get_or_insert_with(Instant::now);
                if since.elapsed() >= limit {
                    astray.push(*adapter);
                }
                continue;
            }
            if report.state == GapState::Draining {
                let since = *buffer.astray.get_or_insert_with(Instant::now);
                if since.elapsed() >= HOLD_LIMIT {
                    undeliverable.push(*adapter);
                }
                continue;
            }
            buffer.astray = None;
            if report.state == GapState::Holding {
                continue;
            }
            let Some(release) = buffer.release.take() else { continue };
            // A buffer delivers what is in it once, in its order.
            let frames = GapFrames {
                held: report.released - buffer.began.released,
                lost: report.lost() - buffer.began.lost(),
                duplicated: 0,
                reordered: 0,
            };
            buffer.began = report;
            if report.state == GapState::Over {
                member.buffer = None;
            }
            emptied.push(Event::GapReport { adapter: *adapter, release, frames });
        }
        for adapter in astray {
            self.let_go(changing, adapter);
        }
        for adapter in undeliverable {
            // Nobody takes them. The buffer is over when it is next looked at.
            if let Some(worker) = changing.worker() {
                worker.disarm_gap(adapter.0);
            }
        }
        for event in emptied {
            changing.tell(event);
        }
    }

    /// Frames are held of which the stack does not know: they go where the guest is served.
    fn let_go(&self, changing: &mut Changing, adapter: AdapterId) {
        let on_vf = changing.stack.adapter(adapter).is_some_and(|life| life.path == Path::Vf);
        let worker = changing.worker();
        let Some(member) = changing.members.get_mut(&adapter) else { return };
        let place = match &member.vf {
            Some(vf) if on_vf => Place::VPort(vf.spec.vport),
            _ => Place::Nic(adapter.0),
        };
        if let (Some(worker), Some(buffer)) = (worker, &mut member.buffer) {
            buffer.astray = None;
            // A gap that is over holds nothing.
            let _ = worker.release(adapter.0, place);
        }
    }
}

impl Changing {
    /// A new worker holds frames again when it has to: what the last one held is lost, and counted.
    pub(super) fn arm_buffers(&mut self) {
        let Some(worker) = self.worker() else { return };
        for (adapter, member) in &mut self.members {
            let Some(assigned) = &member.vf else { continue };
            let uses_vf = |life: virt_stack::AdapterView| life.held || life.path == Path::Vf;
            if !self.stack.adapter(*adapter).is_some_and(uses_vf) {
                member.buffer = None;
                continue;
            }
            match worker.arm_gap(adapter.0, assigned.spec.vport, GapLimits::default()) {
                Ok(counters) => {
                    let release = member.buffer.take().and_then(|buffer| buffer.release);
                    member.buffer = Some(Buffer { release, ..Buffer::new(counters) });
                }
                Err(error) => tracing::warn!(%adapter, %error, "there is no memory to hold frames in"),
            }
        }
    }

    /// Tells the stack that something happened.
    pub(super) fn tell(&mut self, event: Event) {
        let now = self.now();
        self.stack.handle(now, event);
    }

    pub(super) fn now(&self) -> Time {
        Time::after(self.epoch.elapsed())
    }

    /// How interrupts reach the guest of an adapter: as configured, or as its QEMU can take them.
    fn msix(&self, adapter: AdapterId, configured: Option<Msix>) -> Msix {
        let version = || {
            let member = self.members.get(&adapter)?;
            match self.vmms.state(member.vm_id)? {
                vmm::State::Up(greeting) => Some(greeting.version),
                vmm::State::Down(_) => None,
            }
        };
        configured.unwrap_or_else(|| match vmm::msix_mode(version()) {
            MsixMode::Relayed => Msix::Relayed,
            MsixMode::Native => Msix::Native,
        })
    }

    /// Whose VF it is, by the miniport's generation of it.
    fn holder(&self, vf: VfId, generation: u64) -> Option<(AdapterId, Generation)> {
        self.members.iter().find_map(|(adapter, member)| {
            let assigned = member.vf.as_ref()?;
            let own = assigned.spec.vf == vf && assigned.spec.generation == generation;
            own.then_some((*adapter, assigned.generation))
        })
    }

    /// Does what an OID request asks for.
    pub(super) fn execute(&mut self, duty: &Duty) -> Result<(), DaemonError> {
        if let Duty::DetachVf { vf, .. } | Duty::WithdrawVf { vf, .. } = duty {
            self.lose_vf(*vf);
        }
        self.data_path.as_ref().ok_or(DaemonError::NoDataPath)?.execute(duty)
    }

    /// A VF is gone from under its adapter: what is kept for its VPort is not for the next one's.
    fn lose_vf(&mut self, vf: VfId) {
        self.made.remove(&vf);
        let worker = self.worker();
        let holds = |member: &super::members::Member| {
            member.vf.as_ref().is_some_and(|assigned| assigned.spec.vf == vf)
        };
        let Some((adapter, member)) = self.members.iter_mut().find(|(_, member)| holds(member)) else {
            return;
        };
        member.vf = None;
        self.queues_are_stale = true;
        let idle = |buffer: &Buffer| buffer.counters.read().state == GapState::Armed;
        if let (Some(worker), true) = (worker, member.buffer.as_ref().is_none_or(idle)) {
            worker.disarm_gap(adapter.0);
        }
    }
}

/// What a sign of a driver says of its state. That it begins anew is no state: its ring says whether it is up.
fn state_of(sign: vf82599::GuestSign) -> Option<GuestSign> {
    match sign {
        vf82599::GuestSign::ReceiveOpen => Some(GuestSign::ReceiveEnabled),
        vf82599::GuestSign::ReceiveClosed => Some(GuestSign::ReceiveClosed),
        vf82599::GuestSign::BusMasterOff
        | vf82599::GuestSign::PoweredDown
        | vf82599::GuestSign::FunctionReset => Some(GuestSign::DriverGone),
        vf82599::GuestSign::DriverReset | vf82599::GuestSign::MailboxReset => None,
    }
}
