//! The world around the stack: VMs with one adapter each, on one NIC, in virtual time.

mod check;
mod guest;
mod nic;
mod perform;
mod rng;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ethernet::MacAddr;
use miniport::{NewVPort, OidRequest, Payload};
use nic_switch::{
    Capabilities, FilterTest, FunctionId, InterruptModeration, PortSecurity, ProcessorAffinity, VPortId,
    VlanTest,
};
use virt_stack::{
    Action, AdapterId, AdapterSpec, AdapterView, Event, Failover, FailoverTo, Generation, GuestSign, Record,
    RequestId, Settings, Stack, Time, VfEvent, VfState, VmId, Vmm, VmmEvent, What,
};
use vswitch::VfPath;

pub(crate) use guest::{Behaviour, Guest};
pub(crate) use nic::{Faults, Nic, budgets, capabilities};
pub(crate) use rng::Rng;

pub(crate) const MS: u64 = 1_000_000;

/// Something that is under way.
#[derive(Debug)]
enum Job {
    /// The stack hears of something.
    Tell(Event),
    Oid {
        request: RequestId,
        adapter: usize,
        oid: OidRequest,
        path: Option<VfPath>,
    },
    /// A command on its way to a VMM, in one session of its QMP. The VMM carries it out even if the session is lost.
    QmpPlug(usize, u64, Generation),
    QmpUnplug(usize, u64, Generation),
    /// Somebody plugs the VF in, or pulls a device out, by hand.
    HandPlug(usize),
    HandUnplug(usize),
    /// A step of a guest in one run of it.
    Guest(usize, u64, Step),
}

/// What a guest does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    OpenRing,
    /// net_failover takes the VF as its primary.
    Register,
    CloseRing,
    Unregister,
    /// The device leaves the VM.
    Removed,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) stack: Stack,
    pub(crate) nic: Nic,
    pub(crate) guests: Vec<Guest>,
    pub(crate) num_vfs: u16,
    /// Every action, if they are wanted.
    pub(crate) log: Option<Vec<Action>>,
    pub(crate) records: Vec<Record>,
    jobs: BTreeMap<(u64, u64), Job>,
    last_job: u64,
    /// Assignments that there were.
    pub(crate) past: VecDeque<(usize, Generation)>,
}

pub(crate) fn spec(index: usize, weight: u8) -> AdapterSpec {
    let last = u8::try_from(index).unwrap();
    AdapterSpec {
        vm: VmId(u32::from(last)),
        vm_name: format!("vm{index}"),
        name: "net0".into(),
        vmm: Vmm::Qmp,
        above_nic: true,
        weight,
        queue_pairs: 1,
        interrupt_moderation: InterruptModeration::Undefined,
        test: FilterTest { mac: MacAddr([2, 0, 0, 0, 0, last]), vlan: VlanTest::UntaggedOrZero },
        security: PortSecurity::default(),
    }
}

pub(crate) fn id(index: usize) -> AdapterId {
    AdapterId(u32::try_from(index).unwrap())
}

fn index(adapter: AdapterId) -> usize {
    adapter.0 as usize
}

impl World {
    /// VMs of these weights, not started yet, on a NIC with `vfs` VFs.
    pub(crate) fn new(seed: u64, vfs: u16, weights: &[u8]) -> Self {
        Self::on(seed, capabilities(vfs), Settings::default(), weights)
    }

    pub(crate) fn on(seed: u64, capabilities: Capabilities, settings: Settings, weights: &[u8]) -> Self {
        let guests = weights.iter().enumerate().map(|(index, weight)| Guest::new(spec(index, *weight)));
        Self {
            now: 0,
            rng: Rng(seed),
            num_vfs: capabilities.max_vfs,
            stack: Stack::new(settings, budgets(capabilities.clone()), 1000),
            nic: Nic::new(capabilities),
            guests: guests.collect(),
            log: None,
            records: Vec::new(),
            jobs: BTreeMap::new(),
            last_job: 0,
            past: VecDeque::new(),
        }
    }

    /// The same, with all VMs wanted and started in their order.
    pub(crate) fn started(vfs: u16, weights: &[u8]) -> Self {
        let mut world = Self::new(7, vfs, weights);
        world.start_all();
        world
    }

    pub(crate) fn start_all(&mut self) {
        for index in 0..self.guests.len() {
            self.want(index);
        }
        self.run_ms(10);
        for index in 0..self.guests.len() {
            self.start(index);
        }
    }

    /// Another VM.
    pub(crate) fn add(&mut self, weight: u8) {
        let index = self.guests.len();
        self.guests.push(Guest::new(spec(index, weight)));
        self.want(index);
        self.start(index);
    }

    fn schedule(&mut self, at: u64, job: Job) {
        self.last_job += 1;
        self.jobs.insert((at, self.last_job), job);
    }

    /// Lets the stack hear of something about an adapter soon, after what it was told before.
    fn tell_soon(&mut self, index: usize, least_us: u64, most_us: u64, event: Event) {
        let at = (self.now + self.rng.within(least_us, most_us) * 1000).max(self.guests[index].last_told + 1);
        self.guests[index].last_told = at;
        self.schedule(at, Job::Tell(event));
    }

    /// Lets the stack hear of something about an adapter now, or as soon as it has heard what was before.
    fn tell_next(&mut self, index: usize, event: Event) {
        if self.guests[index].last_told < self.now {
            self.tell(event);
        } else {
            self.tell_soon(index, 0, 0, event);
        }
    }

    fn guest_step(&mut self, index: usize, after: u64, step: Step) {
        let run = self.guests[index].run;
        self.schedule(self.now + after, Job::Guest(index, run, step));
    }

    fn sign(&mut self, index: usize, sign: GuestSign) {
        if let Some(generation) = self.guests[index].offered {
            self.tell_soon(index, 10, 500, Event::Vf(id(index), generation, VfEvent::Sign(sign)));
        }
    }

    /// The stack hears of something now.
    pub(crate) fn tell(&mut self, event: Event) {
        self.stack.handle(Time(self.now), event);
        let mut count = 0;
        while let Some(action) = self.stack.next_action() {
            count += 1;
            assert!(count < 16 * self.guests.len().max(4), "an event had too many actions: {action:?}");
            if let Some(log) = &mut self.log {
                log.push(action.clone());
            }
            self.perform(action);
        }
        self.send();
    }

    /// A frame for everybody.
    fn send(&mut self) {
        self.guests.iter_mut().for_each(Guest::send);
    }

    /// Does what is next, or lets time pass for the stack; false if nothing is left before `until`.
    fn step(&mut self, until: u64) -> bool {
        let job = self.jobs.keys().next().copied();
        let tick = self.stack.deadline().map(|deadline| deadline.0.max(self.now));
        let next = [job.map(|(at, _)| at), tick].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= until) else { return false };
        self.now = next;
        match job.filter(|(at, _)| *at <= next) {
            Some(key) => {
                let job = self.jobs.remove(&key).unwrap();
                self.execute(job);
            }
            None => {
                self.tell(Event::Tick);
                let next = self.stack.deadline();
                assert!(next.is_none_or(|next| next.0 > self.now), "a timer is never done: {next:?}");
            }
        }
        self.send();
        true
    }

    /// Lets time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let until = self.now + u64::try_from(duration.as_nanos()).unwrap();
        while self.step(until) {}
        self.now = until;
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run_for(Duration::from_millis(ms));
    }

    /// Lets time pass until nothing happens any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..20_000 {
            if !self.step(u64::MAX) {
                return;
            }
        }
        panic!("it does not come to rest: {:?}", self.jobs);
    }

    pub(crate) fn view(&self, index: usize) -> AdapterView {
        self.stack.adapter(id(index)).unwrap()
    }

    pub(crate) fn state(&self, index: usize) -> VfState {
        self.view(index).state
    }

    pub(crate) fn generation(&self, index: usize) -> Generation {
        self.view(index).generation.unwrap()
    }

    /// The adapters with an active VF.
    pub(crate) fn active(&self) -> Vec<usize> {
        (0..self.guests.len())
            .filter(|index| self.stack.adapter(id(*index)).is_some_and(|view| view.state == VfState::Active))
            .collect()
    }

    pub(crate) fn failovers(&self, index: usize) -> Vec<&Failover> {
        let of_adapter = self.records.iter().filter(|record| record.adapter == id(index));
        let failover = |record| match record {
            &Record { what: What::Failover(ref failover), .. } => Some(failover),
            _ => None,
        };
        of_adapter.filter_map(failover).collect()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.guests.iter().map(Guest::lost).sum()
    }
}

/// What people and guests do.
impl World {
    pub(crate) fn want(&mut self, index: usize) {
        self.guests[index].wanted = true;
        let Guest { spec, running: connected, .. } = &self.guests[index];
        let (spec, connected) = (Box::new(spec.clone()), *connected);
        self.tell(Event::AdapterSet(id(index), spec));
        self.tell(Event::FrontEnd { adapter: id(index), connected });
    }

    pub(crate) fn change(&mut self, index: usize, change: impl FnOnce(&mut AdapterSpec)) {
        change(&mut self.guests[index].spec);
        if self.guests[index].wanted {
            self.want(index);
        }
    }

    pub(crate) fn weigh(&mut self, index: usize, weight: u8) {
        self.change(index, |spec| spec.weight = weight);
    }

    pub(crate) fn remove(&mut self, index: usize) {
        self.guests[index].wanted = false;
        self.guests[index].being_removed = true;
        self.tell(Event::AdapterRemoved(id(index)));
    }

    pub(crate) fn failover(&mut self, index: usize, to: FailoverTo) {
        let known = self.stack.adapter(id(index)).is_some();
        self.guests[index].kept_synthetic = known && to == FailoverTo::Synthetic;
        self.tell(Event::Failover { adapter: id(index), to });
    }

    pub(crate) fn forbid(&mut self, index: usize, forbids: bool) {
        self.guests[index].policy = forbids && self.stack.adapter(id(index)).is_some();
        let forbids = forbids.then(|| "its frames are mirrored".to_owned());
        self.tell(Event::Policy { adapter: id(index), forbids });
    }

    pub(crate) fn start(&mut self, index: usize) {
        let guest = &mut self.guests[index];
        if guest.running {
            return;
        }
        guest.running = true;
        guest.run += 1;
        guest.forget_frames();
        self.tell_next(index, Event::FrontEnd { adapter: id(index), connected: true });
        self.connect_qmp(index);
    }

    pub(crate) fn connect_qmp(&mut self, index: usize) {
        let guest = &mut self.guests[index];
        if guest.qmp || !guest.running || guest.spec.vmm == Vmm::ByHand {
            return;
        }
        guest.qmp = true;
        guest.session += 1;
        let devices: BTreeSet<_> = guest.device.iter().map(|generation| (id(index), *generation)).collect();
        let vm = guest.spec.vm;
        self.tell_next(index, Event::Vmm(vm, VmmEvent::Connected { devices }));
    }

    pub(crate) fn lose_qmp(&mut self, index: usize) {
        let guest = &mut self.guests[index];
        if std::mem::take(&mut guest.qmp) {
            let vm = guest.spec.vm;
            self.tell_soon(index, 0, 100, Event::Vmm(vm, VmmEvent::Lost));
        }
    }

    /// `kill -9` of the VMM.
    pub(crate) fn kill(&mut self, index: usize) {
        let guest = &mut self.guests[index];
        if !guest.running {
            return;
        }
        let socket = guest.offered.filter(|_| guest.is_connected());
        guest.running = false;
        guest.run += 1;
        guest.session += 1;
        (guest.device, guest.removing, guest.ring_open, guest.registered) = (None, false, false, false);
        guest.behaviour = Behaviour::default();
        let mut closed = vec![Event::FrontEnd { adapter: id(index), connected: false }];
        closed.extend(
            socket.map(|generation| Event::Vf(id(index), generation, VfEvent::Socket { connected: false })),
        );
        if std::mem::take(&mut guest.qmp) {
            closed.push(Event::Vmm(guest.spec.vm, VmmEvent::Lost));
        }
        while !closed.is_empty() {
            let pick = self.rng.index(closed.len());
            let event = closed.swap_remove(pick);
            self.tell_soon(index, 0, 2000, event);
        }
    }

    /// The driver begins anew: a new MTU, another ring size, a reset of the VF.
    pub(crate) fn restart_driver(&mut self, index: usize) {
        if self.guests[index].ring_open && !self.guests[index].removing {
            let reopens = self.rng.within(1, 50) * MS;
            self.guest_step(index, 0, Step::CloseRing);
            self.guest_step(index, reopens, Step::OpenRing);
        }
    }

    /// The guest starts anew: no driver for a while.
    pub(crate) fn reboot(&mut self, index: usize) {
        if !self.guests[index].running || self.guests[index].removing {
            return;
        }
        self.guests[index].run += 1;
        self.execute(Job::Guest(index, self.guests[index].run, Step::CloseRing));
        self.guests[index].registered = false;
        let boots = self.rng.within(100, 4000) * MS;
        self.guest_step(index, boots, Step::OpenRing);
    }

    /// The driver is unbound from the device.
    pub(crate) fn unbind(&mut self, index: usize) {
        if self.guests[index].ring_open && !self.guests[index].removing {
            self.guest_step(index, 0, Step::CloseRing);
            self.guest_step(index, MS / 2, Step::Unregister);
        }
    }

    pub(crate) fn fault(&mut self, index: usize) {
        if let Some(generation) = self.guests[index].offered {
            self.tell(Event::Vf(id(index), generation, VfEvent::Fault("a page is lost".into())));
        }
    }

    /// A VPort of the PF, such as plays a VM queue.
    pub(crate) fn pf_vport(&mut self) -> VPortId {
        let vport = NewVPort {
            function: FunctionId::Pf,
            queue_pairs: 1,
            interrupt_moderation: InterruptModeration::Undefined,
            affinity: Some(ProcessorAffinity { group: 0, mask: 1 }),
            name: "queue".into(),
        };
        match self.nic.request(&OidRequest::CreateVPort(vport), |_| false).unwrap().0 {
            Payload::VPort(info) => info.vport,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set_num_vfs(&mut self, num_vfs: u16) {
        if self.stack.set_num_vfs(Time(self.now), num_vfs).is_ok() {
            self.num_vfs = num_vfs;
            self.tell(Event::Tick);
        }
    }
}
