//! One adapter: what is known about it, and how what happens changes that.
//!
//! The parts work on facts, not on one another: `life` follows the facts from state to state, `oid` asks the NIC
//! for whatever the state wants and is not there yet, `gap` holds frames while the guest's ear and the filter
//! disagree, `devices` has the VMM remove what is not wanted. So it does not matter in which order things happen.

mod devices;
mod gap;
mod life;
mod oid;

use std::collections::{BTreeMap, VecDeque};

use nic_switch::{PortSecurity, VPortId, VfId};
use vswitch::VfPath;

use crate::record::{History, What};
use crate::spec::doubled;
use crate::{
    Action, AdapterId, AdapterSpec, Cause, Generation, GuestSign, NoVf, Path, ReleaseId, RequestId, Settings,
    Time, VfEvent, VfState, Vmm,
};

use devices::Devices;
pub(crate) use gap::Gap;
use oid::{Filter, Pending, Retry};

/// What a VMM or a device says, as far as it is kept: the history must not grow by the length of what others write.
fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(300));
    text
}

/// What comes out of the stack, and the numbers given out.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub(crate) actions: VecDeque<Action>,
    pub(crate) history: History,
    /// Requests without answer: at most one of each adapter.
    pub(crate) requests: BTreeMap<RequestId, AdapterId>,
    last_request: u64,
    last_release: u64,
    last_generation: u64,
}

impl Output {
    pub(crate) fn new(last_generation: u64) -> Self {
        Self { last_generation, ..Self::default() }
    }

    fn request(&mut self, adapter: AdapterId) -> RequestId {
        self.last_request += 1;
        self.requests.insert(RequestId(self.last_request), adapter);
        RequestId(self.last_request)
    }

    fn release(&mut self) -> ReleaseId {
        self.last_release += 1;
        ReleaseId(self.last_release)
    }
}

/// The surroundings of an adapter while it is worked on.
pub(crate) struct Context<'a> {
    pub(crate) now: Time,
    pub(crate) settings: &'a Settings,
    /// The QMP of its VM can be used.
    pub(crate) vmm: bool,
    pub(crate) out: &'a mut Output,
}

/// What the guest listens to, as far as its VF shows it.
#[derive(Clone, Copy, Debug, Default)]
struct Guest {
    /// Its driver enabled a receive queue, and has not gone since: net_failover drops what its synthetic adapter
    /// receives.
    listens_to_vf: bool,
    /// The receive ring of the VF is open.
    ring_open: bool,
}

/// Why and since when a VF is to go.
#[derive(Clone, Debug)]
struct Leaving {
    cause: Cause,
    since: Time,
    refused: bool,
}

/// A VF given to the adapter, and what was made of it.
#[derive(Debug)]
struct Assignment {
    generation: Generation,
    since: Time,
    made_for: Box<AdapterSpec>,
    vf: Option<VfId>,
    vport: Option<VPortId>,
    secured: Option<PortSecurity>,
    /// It has had a VPort, so a guest may have used it.
    reset_due: bool,
    /// An operator wants it reset.
    reset_asked: bool,
    /// A VMM is connected to its socket.
    socket: bool,
    /// `device_add` was issued and not answered.
    plug_asked: bool,
    /// The generation under which its VMM has the device: another than its own if it was adopted.
    device: Option<Generation>,
    active_since: Option<Time>,
    leaving: Option<Leaving>,
}

/// How often a guest may still cause a move of its filter.
#[derive(Debug)]
struct Moves {
    left: u32,
    since: Time,
}

impl Moves {
    fn refill(&mut self, now: Time, settings: &Settings) {
        while self.left < settings.moves && now >= self.since + settings.move_every {
            self.left += 1;
            self.since = self.since + settings.move_every;
        }
        if self.left >= settings.moves {
            self.since = now;
        }
    }

    fn take(&mut self, now: Time, settings: &Settings) -> bool {
        self.refill(now, settings);
        let taken = self.left > 0;
        self.left -= u32::from(taken);
        taken
    }
}

/// How VFs of the adapter failed lately.
#[derive(Debug, Default)]
struct Failures {
    times: u32,
    /// The last one, and until when there is no other VF.
    cooling: Option<(Cause, Time)>,
}

/// How often the adapter has taken a VF from another or lost it to one, lately.
#[derive(Debug, Default)]
struct Contest {
    turns: u32,
    last: Time,
}

/// An adapter.
#[derive(Debug)]
pub(crate) struct Adapter {
    pub(crate) id: AdapterId,
    pub(crate) spec: AdapterSpec,
    /// The number of its arrival.
    pub(crate) age: u64,
    pub(crate) removed: bool,
    /// An operator keeps it without VF.
    pub(crate) kept_synthetic: bool,
    pub(crate) forbids: Option<String>,
    pub(crate) front_end: bool,
    pub(crate) synthetic_vport: VPortId,
    /// Why it does not get a VF, as the assignment has it; meaningful without assignment only.
    pub(crate) verdict: Option<NoVf>,
    pub(crate) devices: Devices,
    pub(crate) gap: Gap,
    state: VfState,
    state_since: Time,
    assignment: Option<Assignment>,
    filter: Option<Filter>,
    /// A filter that another has replaced, to be cleared.
    replaced: Option<Filter>,
    pending: Option<Pending>,
    retry: Option<Retry>,
    path: VfPath,
    guest: Guest,
    moves: Moves,
    failures: Failures,
    contest: Contest,
}

impl Adapter {
    pub(crate) fn new(id: AdapterId, spec: AdapterSpec, age: u64, now: Time, settings: &Settings) -> Self {
        Self {
            id,
            spec,
            age,
            removed: false,
            kept_synthetic: false,
            forbids: None,
            front_end: false,
            synthetic_vport: VPortId::DEFAULT,
            verdict: None,
            devices: Devices::default(),
            gap: Gap::default(),
            state: VfState::Synthetic,
            state_since: now,
            assignment: None,
            filter: None,
            replaced: None,
            pending: None,
            retry: None,
            path: VfPath::None,
            guest: Guest::default(),
            moves: Moves { left: settings.moves, since: now },
            failures: Failures::default(),
            contest: Contest::default(),
        }
    }

    /// Its VM's name and its own.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.spec.vm_name, self.spec.name)
    }

    pub(crate) const fn state(&self) -> VfState {
        self.state
    }

    pub(crate) const fn state_since(&self) -> Time {
        self.state_since
    }

    pub(crate) fn generation(&self) -> Option<Generation> {
        self.assignment.as_ref().map(|assignment| assignment.generation)
    }

    pub(crate) fn vf(&self) -> Option<VfId> {
        self.assignment.as_ref()?.vf
    }

    pub(crate) fn vport(&self) -> Option<VPortId> {
        self.assignment.as_ref()?.vport
    }

    /// The VPort on which its filter stands.
    pub(crate) fn filter_on(&self) -> Option<VPortId> {
        self.filter.as_ref().map(|filter| filter.vport)
    }

    /// Why its VF is to go.
    pub(crate) fn leaving(&self) -> Option<&Cause> {
        Some(&self.assignment.as_ref()?.leaving.as_ref()?.cause)
    }

    /// When the VF was given to it, and for which specification.
    pub(crate) fn assigned(&self) -> Option<(Time, &AdapterSpec)> {
        self.assignment.as_ref().map(|assignment| (assignment.since, &*assignment.made_for))
    }

    /// The step of a teardown, or of the filter, that was refused last and has not succeeded since.
    pub(crate) fn refused(&self) -> Option<&Retry> {
        self.retry.as_ref()
    }

    /// Whether its filter is there and as it should be.
    pub(crate) fn has_its_filter(&self) -> bool {
        self.filter.as_ref().is_some_and(|filter| filter.test == self.spec.test)
    }

    /// Whether nothing is left of a removed adapter.
    pub(crate) fn is_gone(&self) -> bool {
        let filters = self.filter.is_some() || self.replaced.is_some();
        self.removed && self.state == VfState::Synthetic && !filters && self.pending.is_none()
    }

    /// Whether its VM is there, as far as can be seen.
    pub(crate) fn is_running(&self, vmm: bool) -> bool {
        let socket = self.assignment.as_ref().is_some_and(|assignment| assignment.socket);
        self.front_end || socket || (vmm && self.spec.vmm == Vmm::Qmp)
    }

    /// The failure for which it has to wait, and until when.
    pub(crate) fn cooling(&self, now: Time) -> Option<(&Cause, Time)> {
        let (cause, until) = self.failures.cooling.as_ref()?;
        (now < *until).then_some((cause, *until))
    }

    /// An operator wants it to have a VF: waits after failures are over.
    pub(crate) fn forgive(&mut self) {
        self.failures = Failures::default();
    }

    /// Until when a holder is safe from heavier adapters. A VF that nobody has plugged in yet costs nothing to lose.
    pub(crate) fn safe_until(&self, now: Time, settings: &Settings) -> Option<Time> {
        if matches!(self.state, VfState::Allocating | VfState::Offered) {
            return None;
        }
        let turns = if now >= self.contest.last + settings.forget { 0 } else { self.contest.turns };
        let hold = doubled(settings.least_hold, turns.min(4), settings.least_hold * 16);
        Some(self.assignment.as_ref()?.since + hold)
    }

    /// It takes a VF from another, or loses it to one.
    pub(crate) fn count_turn(&mut self, now: Time, settings: &Settings) {
        if now >= self.contest.last + settings.forget {
            self.contest.turns = 0;
        }
        self.contest.turns = self.contest.turns.saturating_add(1);
        self.contest.last = now;
    }

    /// It is given a VF.
    pub(crate) fn assign(&mut self, cx: &mut Context<'_>) {
        cx.out.last_generation += 1;
        self.guest = Guest::default();
        self.assignment = Some(Assignment {
            generation: Generation(cx.out.last_generation),
            since: cx.now,
            made_for: Box::new(self.spec.clone()),
            vf: None,
            vport: None,
            secured: None,
            reset_due: false,
            reset_asked: false,
            socket: false,
            plug_asked: false,
            device: None,
            active_since: None,
            leaving: None,
        });
        self.enter(VfState::Allocating, Cause::Assigned, cx);
        self.advance(cx);
    }

    /// Its VF is to go, if it has one. The first cause counts.
    pub(crate) fn leave(&mut self, cause: Cause, cx: &Context<'_>) {
        let Some(assignment) = &mut self.assignment else { return };
        if assignment.leaving.is_some() {
            return;
        }
        if cause.is_failure() {
            let well = |since| cx.now.since(since) >= cx.settings.cooling_most;
            if assignment.active_since.is_some_and(well) {
                self.failures.times = 0;
            }
            let wait = doubled(cx.settings.cooling_first, self.failures.times, cx.settings.cooling_most);
            self.failures.times = self.failures.times.saturating_add(1);
            self.failures.cooling = Some((cause.clone(), cx.now + wait));
        }
        assignment.leaving = Some(Leaving { cause, since: cx.now, refused: false });
    }

    /// An operator resets its VF.
    pub(crate) fn reset(&mut self) {
        if let Some(assignment) = &mut self.assignment {
            assignment.reset_asked = assignment.reset_due;
        }
    }

    /// Something happened to the VF of this generation.
    pub(crate) fn vf_event(&mut self, generation: Generation, event: VfEvent, cx: &mut Context<'_>) {
        let Some(assignment) = self.assignment.as_mut().filter(|a| a.generation == generation) else {
            return;
        };
        match event {
            VfEvent::Socket { connected } => {
                let lost = assignment.socket && !connected;
                assignment.socket = connected;
                if connected && assignment.device.is_none() && self.state == VfState::Offered {
                    assignment.device = self.devices.adoptable(cx.now);
                }
                if lost {
                    self.socket_lost(cx);
                }
            }
            // A device that is being taken away says nothing about its guest any more.
            VfEvent::Sign(_) if self.state.is_ending() => (),
            VfEvent::Sign(GuestSign::ReceiveEnabled) => {
                if self.guest.ring_open {
                    // That it was closed in between was not told, but what came then is held.
                    self.guest.ring_open = false;
                    self.advance(cx);
                }
                self.guest = Guest { listens_to_vf: true, ring_open: true };
            }
            VfEvent::Sign(GuestSign::ReceiveClosed) => self.guest.ring_open = false,
            VfEvent::Sign(GuestSign::DriverGone) => self.guest = Guest::default(),
            VfEvent::Fault(error) => self.surprise(Cause::Fault { error: shortened(error) }, cx),
        }
    }

    /// The VF's device is dead. Who pulled it out by hand has unplugged it; a VMM that was not asked has failed.
    fn socket_lost(&mut self, cx: &mut Context<'_>) {
        self.guest.ring_open = false;
        match self.spec_of_vf().vmm {
            Vmm::ByHand => self.guest = Guest::default(),
            Vmm::Qmp if self.state.is_plugged() && self.state != VfState::Leaving => {
                self.surprise(Cause::SocketLost, cx);
            }
            Vmm::Qmp => (),
        }
    }

    /// The specification for which its VF was made; without VF, its own.
    fn spec_of_vf(&self) -> &AdapterSpec {
        self.assignment.as_ref().map_or(&self.spec, |assignment| &assignment.made_for)
    }

    /// `device_add` was answered, or not at all because the VMM is lost.
    pub(crate) fn plug_answered(&mut self, generation: Generation, error: Option<String>, cx: &Context<'_>) {
        let current = self.generation() == Some(generation);
        if error.is_none() {
            self.devices.insert(generation);
        }
        let Some(assignment) = self.assignment.as_mut().filter(|_| current) else { return };
        assignment.plug_asked = false;
        match error {
            None if !self.state.is_ending() => assignment.device = Some(generation),
            None => (),
            Some(error) => self.leave(Cause::PlugFailed { error: shortened(error) }, cx),
        }
    }

    /// The VMM says which devices it has.
    pub(crate) fn devices_listed(&mut self, listed: impl Iterator<Item = Generation>, cx: &Context<'_>) {
        self.devices.listed(listed, cx.now + cx.settings.adopt_within);
        let own = self.generation();
        if let Some(assignment) = self.assignment.as_mut().filter(|_| self.devices.has(own)) {
            assignment.device = assignment.device.or(own);
        } else if self.devices.is_empty() {
            self.guest = Guest::default();
        }
    }

    /// The VMM has a device no more.
    pub(crate) fn device_deleted(&mut self, generation: Generation) {
        self.devices.remove(generation);
        let current = self.assignment.as_ref().and_then(|assignment| assignment.device);
        if current == Some(generation) || (current.is_none() && self.devices.is_empty()) {
            self.guest = Guest::default();
        }
    }

    /// The guest does not let the device go.
    pub(crate) fn unplug_refused(&mut self, generation: Generation) {
        let Some(assignment) = &mut self.assignment else { return };
        if let Some(leaving) = assignment.leaving.as_mut().filter(|_| assignment.device == Some(generation)) {
            leaving.refused = true;
        }
    }

    /// Does whatever can be done now.
    pub(crate) fn advance(&mut self, cx: &mut Context<'_>) {
        if !self.is_running(cx.vmm) {
            self.devices.clear();
            self.guest = Guest::default();
            self.leave(Cause::VmStopped, cx);
        }
        self.live(cx);
        self.update_gap(cx);
        self.unplug(cx);
        self.request_next(cx);
    }

    /// When it has to be looked at again, if nothing happens until then.
    pub(crate) fn deadline(&self, now: Time, settings: &Settings, vmm: bool) -> Option<Time> {
        let leaving = self.assignment.as_ref().and_then(|assignment| assignment.leaving.as_ref());
        let patience = leaving
            .filter(|_| self.state == VfState::Leaving)
            .map(|leaving| leaving.since + settings.leave_timeout);
        let retry = self.retry.as_ref().filter(|_| self.pending.is_none()).map(|retry| retry.at);
        let waits = matches!(self.state, VfState::AwaitingDriver | VfState::Held) && self.guest.ring_open;
        let moves = waits.then(|| self.moves.since + settings.move_every);
        let cooling = self.cooling(now).map(|(_, until)| until);
        let gap = self.gap.deadline(settings);
        let unplug = self.devices.deadline(now, self.current_device(), self.unwanted(), vmm);
        [patience, retry, moves, cooling, gap, unplug].into_iter().flatten().min()
    }

    fn record(&self, what: What, cx: &mut Context<'_>) {
        let record = cx.out.history.push(cx.now, self.id, self.name(), what);
        cx.out.actions.push_back(Action::Record(record));
    }

    /// The path on which its guest is served, or was last.
    pub(crate) const fn served_by(&self) -> Path {
        self.gap.served
    }
}
