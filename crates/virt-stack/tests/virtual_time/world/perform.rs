//! What the daemon, the VMMs and the guests make of actions.

use miniport::{Action as NicAction, OidRequest, Payload};
use nic_switch::VfId;
use virt_stack::{
    Action, AdapterId, Event, Generation, GuestSign, OidFailure, RequestId, VfEvent, Vmm, VmmEvent,
};
use vswitch::VfPath;

use super::{Job, MS, Step, World, id, index};

impl World {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Oid { request, adapter, oid, path } => {
                let at = self.now + self.rng.within(20, 1500) * 1000;
                self.schedule(at, Job::Oid { request, adapter: index(adapter), oid, path });
            }
            Action::SetPath { adapter, path } => {
                assert!(!matches!(path, VfPath::Active(_)), "the path follows the filter");
                self.guests[index(adapter)].frames.path = path;
            }
            Action::Offer { adapter, generation, vf, vport } => {
                assert_eq!(self.nic.vport_of(vf), Some(vport));
                self.offer(index(adapter), generation);
            }
            Action::Plug { adapter, generation } => {
                let at = self.now + self.rng.within(1, 30) * MS;
                let index = index(adapter);
                self.schedule(at, Job::QmpPlug(index, self.guests[index].session, generation));
            }
            Action::Unplug { adapter, generation } => {
                let at = self.now + self.rng.within(1, 5) * MS;
                let index = index(adapter);
                self.schedule(at, Job::QmpUnplug(index, self.guests[index].session, generation));
            }
            Action::Hold { adapter } => self.guests[index(adapter)].hold(),
            Action::Release { adapter, release, to } => {
                let frames = self.guests[index(adapter)].release(to);
                self.tell_soon(index(adapter), 10, 2000, Event::GapReport { adapter, release, frames });
            }
            Action::Record(record) => self.records.push(record),
            Action::Removed(adapter) => self.removed(adapter),
        }
    }

    fn removed(&mut self, adapter: AdapterId) {
        let guest = &mut self.guests[index(adapter)];
        (guest.being_removed, guest.policy, guest.kept_synthetic) = (false, false, false);
        assert!(!guest.wanted && guest.filters.is_empty() && guest.offered.is_none());
        assert!(self.stack.adapter(adapter).is_none());
    }

    fn offer(&mut self, index: usize, generation: Generation) {
        let guest = &mut self.guests[index];
        assert_eq!(guest.offered, None, "its last VF is still there");
        guest.offered = Some(generation);
        self.past.push_back((index, generation));
        if self.past.len() > 8 {
            self.past.pop_front();
        }
        let guest = &self.guests[index];
        if guest.is_connected() {
            let (socket, ring) =
                (VfEvent::Socket { connected: true }, VfEvent::Sign(GuestSign::ReceiveEnabled));
            self.tell_soon(index, 0, 10, Event::Vf(id(index), generation, socket));
            if self.guests[index].ring_open {
                self.tell_soon(index, 0, 10, Event::Vf(id(index), generation, ring));
            }
        } else if guest.spec.vmm == Vmm::ByHand {
            let at = self.now + self.rng.within(1, 500) * MS;
            self.schedule(at, Job::HandPlug(index));
        }
    }

    pub(super) fn execute(&mut self, job: Job) {
        match job {
            Job::Tell(event) => self.tell(event),
            Job::Oid { request, adapter, oid, path } => self.answer(request, adapter, &oid, path),
            Job::QmpPlug(index, session, generation) if self.guests[index].session == session => {
                self.qmp_plug(index, generation);
            }
            Job::QmpUnplug(index, session, generation) if self.guests[index].session == session => {
                self.qmp_unplug(index, generation);
            }
            Job::QmpPlug(..) | Job::QmpUnplug(..) => (),
            Job::HandPlug(index) => self.hand_plug(index),
            Job::HandUnplug(index) => self.hand_unplug(index),
            Job::Guest(index, run, step) if self.guests[index].run == run => self.follow(index, step),
            Job::Guest(..) => (),
        }
    }

    fn answer(&mut self, request: RequestId, adapter: usize, oid: &OidRequest, path: Option<VfPath>) {
        let rng = &mut self.rng;
        let result: Result<(Payload, Vec<NicAction>), OidFailure> =
            self.nic.request(oid, |times| rng.one_in(times));
        let result = result.map(|(payload, actions)| {
            self.follow_filter(adapter, oid, &payload, path);
            for action in actions {
                match action {
                    NicAction::DetachVf { .. } | NicAction::WithdrawVf { .. } => self.withdraw(adapter),
                    NicAction::ResetVf { .. } => self.restart_driver(adapter),
                    _ => (),
                }
            }
            payload
        });
        self.tell_soon(adapter, 0, 300, Event::OidDone { request, result });
    }

    /// Where the filter stands, and the NIC's path with it.
    fn follow_filter(&mut self, adapter: usize, oid: &OidRequest, payload: &Payload, path: Option<VfPath>) {
        let vf = self.stack.adapter(id(adapter)).and_then(|view| view.vf);
        let vport = vf.and_then(|vf| self.nic.vport_of(VfId(vf)));
        let guest = &mut self.guests[adapter];
        match (oid, payload) {
            (OidRequest::SetFilter { vport: on, .. }, Payload::Filter(info)) => {
                guest.filters.insert(info.filter);
                assert_ne!(Some(*on), vport);
            }
            (OidRequest::ClearFilter(filter), _) => {
                guest.filters.remove(filter);
                let goes = guest.being_removed || !guest.spec.above_nic;
                assert!(!guest.filters.is_empty() || goes, "no filter is left");
            }
            (OidRequest::MoveFilter { to, .. }, _) => guest.frames.filter_on_vf = Some(*to) == vport,
            _ => (),
        }
        guest.frames.path = path.unwrap_or(guest.frames.path);
    }

    /// The VF's device is no more, and whatever VMM was connected to it knows.
    fn withdraw(&mut self, index: usize) {
        let guest = &mut self.guests[index];
        if guest.offered.take().is_some() {
            guest.ring_open = false;
            if guest.device.is_some() && guest.spec.vmm == Vmm::ByHand {
                let at = self.now + self.rng.within(50, 1000) * MS;
                self.schedule(at, Job::HandUnplug(index));
            }
        }
    }

    fn plug(&mut self, index: usize) {
        let guest = &mut self.guests[index];
        guest.device = guest.offered;
        if !guest.behaviour.has_no_driver {
            let probes = self.rng.within(1, 400) * MS;
            self.guest_step(index, probes, Step::OpenRing);
        }
    }

    /// What the VMM says, if anybody listens.
    fn answer_of_vmm(&mut self, index: usize, answer: VmmEvent) {
        if self.guests[index].qmp {
            self.tell_soon(index, 0, 300, Event::Vmm(self.guests[index].spec.vm, answer));
        }
    }

    fn qmp_plug(&mut self, index: usize, generation: Generation) {
        let guest = &self.guests[index];
        assert_eq!(guest.device, None, "a second device is plugged in");
        if guest.behaviour.plug_fails || guest.offered != Some(generation) {
            let failed = VmmEvent::PlugFailed(id(index), generation, "no free port".into());
            return self.answer_of_vmm(index, failed);
        }
        self.plug(index);
        let socket_first = self.rng.one_in(2);
        let socket = Event::Vf(id(index), generation, VfEvent::Socket { connected: true });
        if socket_first {
            self.tell_soon(index, 0, 300, socket.clone());
        }
        self.answer_of_vmm(index, VmmEvent::Plugged(id(index), generation));
        if !socket_first {
            self.tell_soon(index, 0, 300, socket);
        }
    }

    fn qmp_unplug(&mut self, index: usize, generation: Generation) {
        let guest = &self.guests[index];
        let behaviour = guest.behaviour;
        if guest.device != Some(generation) {
            self.answer_of_vmm(index, VmmEvent::Deleted(id(index), generation));
        } else if behaviour.refuses_unplug {
            self.answer_of_vmm(index, VmmEvent::UnplugRefused(id(index), generation));
        } else if !behaviour.ignores_unplug {
            self.eject(index, behaviour.unplug_ms * MS);
        }
    }

    /// The guest closes, then unregisters the VF, then gives the device back.
    pub(crate) fn eject(&mut self, index: usize, after: u64) {
        if self.guests[index].device.is_none() || std::mem::replace(&mut self.guests[index].removing, true) {
            return;
        }
        let mut at = after;
        for step in [Step::CloseRing, Step::Unregister, Step::Removed] {
            self.guest_step(index, at, step);
            at += self.rng.within(1, 30) * MS;
        }
    }

    fn hand_plug(&mut self, index: usize) {
        let guest = &self.guests[index];
        if let Some(generation) = guest.offered.filter(|_| guest.running && guest.device.is_none()) {
            self.plug(index);
            self.tell_soon(
                index,
                0,
                300,
                Event::Vf(id(index), generation, VfEvent::Socket { connected: true }),
            );
        }
    }

    pub(crate) fn hand_unplug(&mut self, index: usize) {
        self.eject(index, 0);
    }

    fn follow(&mut self, index: usize, step: Step) {
        let guest = &mut self.guests[index];
        let connected = guest.is_connected();
        match step {
            Step::OpenRing if connected && !guest.ring_open && !guest.removing => {
                guest.ring_open = true;
                let registers = self.rng.within(1000, 3000) * 1000;
                self.sign(index, GuestSign::ReceiveEnabled);
                self.guest_step(index, registers, Step::Register);
            }
            Step::Register => guest.registered |= guest.ring_open,
            Step::CloseRing if guest.ring_open => {
                guest.ring_open = false;
                self.sign(index, GuestSign::ReceiveClosed);
            }
            Step::Unregister => {
                guest.registered = false;
                if connected {
                    self.sign(index, GuestSign::DriverGone);
                }
            }
            Step::Removed => self.device_removed(index, connected),
            Step::OpenRing | Step::CloseRing => (),
        }
    }

    fn device_removed(&mut self, index: usize, connected: bool) {
        let guest = &mut self.guests[index];
        let (vm, vmm, qmp) = (guest.spec.vm, guest.spec.vmm, guest.qmp);
        guest.removing = false;
        let (device, offered) = (guest.device.take(), guest.offered);
        let mut news = Vec::new();
        if let Some(generation) = offered.filter(|_| connected) {
            news.push(Event::Vf(id(index), generation, VfEvent::Socket { connected: false }));
        }
        if let Some(generation) = device.filter(|_| vmm == Vmm::Qmp && qmp) {
            news.push(Event::Vmm(vm, VmmEvent::Deleted(id(index), generation)));
        }
        if self.rng.one_in(2) {
            news.reverse();
        }
        news.into_iter().for_each(|event| self.tell_soon(index, 0, 300, event));
        // Who has plugged it in by hand does so again.
        if vmm == Vmm::ByHand {
            let at = self.now + self.rng.within(1, 500) * MS;
            self.schedule(at, Job::HandPlug(index));
        }
    }
}
