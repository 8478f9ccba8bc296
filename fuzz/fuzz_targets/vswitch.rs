//! Requests of any kind to the extensible switch, then frames.
//!
//! By a plain model of VLANs and addresses: nobody gets a frame twice, its sender never; it stays in its VLAN and is
//! shown with its tag where that is to be seen; a guest sends under its own address; a frame for a guest's own address
//! reaches that guest and nobody else; and a broadcast reaches all that are in the VLAN.

#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::Arbitrary;
use ethernet::{MacAddr, VlanTag};
use libfuzzer_sys::fuzz_target;
use nic_switch::VlanSet;
use vswitch::{
    Destinations, DropReason, NicEnforces, NicParameters, NicType, Packet, Path, PortId, PortParameters,
    PortPolicy, PortType, State, SwitchParameters, SwitchType, VSwitch, VlanPolicy,
};

const SECOND: u64 = 1_000_000;
const BROADCAST: MacAddr = MacAddr([0xff; 6]);

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    External,
    Internal,
    Vm,
}

/// Numbers of VLANs are those of few, so that ports meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Vlans {
    Untagged,
    Access(u8),
    Trunk { native: u8, allowed: [u8; 2] },
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    Add { kind: Kind, mac: u8, vlans: Vlans, bridges: bool },
    Policy { port: u8, vlans: Vlans, bridges: bool, limit: bool },
    Disconnect(u8),
    Remove(u8),
    Static { vlan: u8, mac: u8, port: u8 },
    Forget { vlan: u8, mac: u8 },
    Frame { from: u8, to: u8, source: u8, tag: Option<u16>, inner: u16, length: u8 },
    Wait(u32),
}

#[derive(Clone, Copy, Debug)]
struct Port {
    kind: Kind,
    mac: MacAddr,
    vlans: Vlans,
    bridges: bool,
    limited: bool,
    connected: bool,
}

fn vlan(number: u8) -> u16 {
    1 + u16::from(number) % 4
}

/// One of few addresses: of NICs, of stations behind them, of groups.
fn mac(number: u8) -> MacAddr {
    match number {
        0..=199 => MacAddr([2, 0, 0, 0, 0, number % 16]),
        200..=219 => MacAddr([1, 0, 0x5e, 0, 0, number]),
        220..=229 => MacAddr([1, 0x80, 0xc2, 0, 0, number % 16]),
        230..=239 => MacAddr([0; 6]),
        _ => BROADCAST,
    }
}

impl Vlans {
    fn policy(self) -> VlanPolicy {
        let set = |members: &[u16]| VlanSet::of(members.iter().copied()).expect("these VLANs are");
        match self {
            Self::Untagged => VlanPolicy::Untagged,
            Self::Access(one) => VlanPolicy::Access(vlan(one)),
            Self::Trunk { native, allowed } => VlanPolicy::Trunk {
                native: u16::from(native) % 5,
                allowed: set(&allowed.map(vlan)),
                pruned: set(&[]),
            },
        }
    }

    /// The VLAN in which a frame with this tag is, if it may enter.
    fn enters(self, external: bool, tagged: u16) -> Option<u16> {
        match (self, tagged) {
            (_, 4095) => None,
            _ if external => Some(tagged),
            (Self::Untagged, 0) => Some(0),
            (Self::Access(one), 0) => Some(vlan(one)),
            (Self::Trunk { native, .. }, 0) => Some(u16::from(native) % 5),
            (Self::Trunk { allowed, .. }, _) => allowed.map(vlan).contains(&tagged).then_some(tagged),
            _ => None,
        }
    }

    fn hears(self, external: bool, of: u16) -> bool {
        external
            || match self {
                Self::Untagged => of == 0,
                Self::Access(one) => of == vlan(one),
                Self::Trunk { native, allowed } => {
                    of == u16::from(native) % 5 || allowed.map(vlan).contains(&of)
                }
            }
    }

    /// The VLAN that a receiver sees in the tag.
    fn shown(self, external: bool, of: u16) -> u16 {
        match self {
            _ if external => of,
            Self::Trunk { native, .. } if of != u16::from(native) % 5 => of,
            _ => 0,
        }
    }
}

impl Port {
    fn is_external(&self) -> bool {
        matches!(self.kind, Kind::External)
    }
}

struct Model {
    switch: VSwitch,
    path: Path,
    state: State,
    out: Destinations,
    now: u64,
    ports: BTreeMap<PortId, Port>,
    statics: BTreeMap<(u16, MacAddr), PortId>,
}

impl Model {
    fn new() -> Self {
        let parameters = SwitchParameters {
            name: "switch".into(),
            kind: SwitchType::External,
            bandwidth: None,
            nic_enforces: NicEnforces::default(),
        };
        let switch = VSwitch::create(parameters, SECOND, 7).expect("the switch can be made");
        let path = switch.snapshot();
        Self {
            switch,
            path,
            state: State::new(SECOND, 99),
            out: Destinations::new(),
            now: 1000 * SECOND,
            ports: BTreeMap::new(),
            statics: BTreeMap::new(),
        }
    }

    fn pick(&self, number: u8) -> Option<PortId> {
        self.ports.keys().nth(usize::from(number) % self.ports.len().max(1)).copied()
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add { kind, mac: number, vlans, bridges } => self.add(kind, mac(number), vlans, bridges),
            Step::Policy { port, vlans, bridges, limit } => {
                let Some(id) = self.pick(port) else { return };
                self.set_policy(id, vlans, bridges, limit);
            }
            Step::Disconnect(port) => {
                let Some(id) = self.pick(port) else { return };
                if self.switch.disconnect_nic(id).is_ok() {
                    self.ports.entry(id).and_modify(|port| port.connected = false);
                }
            }
            Step::Remove(port) => {
                let Some(id) = self.pick(port) else { return };
                let _ = (self.switch.disconnect_nic(id), self.switch.delete_nic(id));
                let _ = self.switch.tear_down_port(id);
                if self.switch.delete_port(id).is_ok() {
                    self.ports.remove(&id);
                    self.statics.retain(|_, port| *port != id);
                } else {
                    self.ports.entry(id).and_modify(|port| port.connected = false);
                }
            }
            Step::Static { vlan: of, mac: number, port } => {
                let Some(id) = self.pick(port) else { return };
                if self.switch.set_static_address(vlan(of), mac(number), id).is_ok() {
                    self.statics.insert((vlan(of), mac(number)), id);
                }
            }
            Step::Forget { vlan: of, mac: number } => {
                let known = self.statics.remove(&(vlan(of), mac(number))).is_some();
                assert_eq!(self.switch.remove_static_address(vlan(of), mac(number)).is_ok(), known);
            }
            Step::Frame { from, to, source, tag, inner, length } => {
                let Some(from) = self.pick(from) else { return };
                self.frame(from, mac(to), mac(source), tag, inner, length);
            }
            Step::Wait(time) => self.now += u64::from(time) * 1000,
        }
    }

    fn add(&mut self, kind: Kind, mac: MacAddr, vlans: Vlans, bridges: bool) {
        let (port, nic, mac) = match kind {
            Kind::External => (PortType::External, NicType::External, MacAddr::ZERO),
            Kind::Internal => (PortType::Internal, NicType::Internal, mac),
            Kind::Vm => (PortType::Synthetic, NicType::Synthetic, mac),
        };
        let Ok(id) = self.switch.create_port(PortParameters { kind: port, ..PortParameters::default() })
        else {
            return;
        };
        let parameters = NicParameters { kind: nic, permanent_mac: mac, ..NicParameters::default() };
        let connected =
            self.switch.create_nic(id, parameters).and_then(|()| self.switch.connect_nic(id)).is_ok();
        let others = self.ports.values().any(|other| other.mac == mac);
        let taken = others || self.statics.keys().any(|(_, other)| *other == mac);
        assert!(connected || !mac.is_unicast() || taken, "{kind:?} {mac}");
        let port = Port { kind, mac, vlans: Vlans::Untagged, bridges: false, limited: false, connected };
        assert!(self.ports.insert(id, port).is_none(), "a number is given twice");
        self.set_policy(id, vlans, bridges, false);
    }

    fn set_policy(&mut self, id: PortId, vlans: Vlans, bridges: bool, limited: bool) {
        let mut policy = PortPolicy { vlan: vlans.policy(), ..PortPolicy::default() };
        policy.security.allow_mac_spoofing = bridges;
        policy.storm_limit = u32::from(limited);
        if self.switch.set_policy(id, policy).is_ok() {
            self.ports.entry(id).and_modify(|port| {
                (port.vlans, port.bridges, port.limited) = (vlans, bridges, limited);
            });
        }
    }

    fn frame(
        &mut self,
        from: PortId,
        to: MacAddr,
        source: MacAddr,
        tag: Option<u16>,
        inner: u16,
        length: u8,
    ) {
        if self.path.generation() != self.switch.generation() {
            self.path = self.switch.snapshot();
        }
        let mut bytes = [&to.0[..], &source.0, &inner.to_be_bytes(), &[0; 64]].concat();
        bytes.truncate(14 + usize::from(length) % 64);
        let packet = Packet::described(from, &bytes, tag.map(VlanTag));
        let decided = self.path.decide(&mut self.state, &packet, self.now, &mut self.out);
        assert_eq!(decided.is_ok(), !self.out.is_empty(), "{decided:?}");
        let reached: BTreeSet<PortId> = self.out.iter().map(|to| to.port).collect();
        assert_eq!(reached.len(), self.out.len(), "twice to one port");
        assert!(!reached.contains(&from), "back to its sender");
        let sender = self.ports[&from];
        let tagged = tag.map_or(0, |tag| VlanTag(tag).vid());
        if !sender.connected || !source.is_unicast() {
            assert!(decided.is_err(), "from nowhere");
            return;
        }
        if matches!(sender.kind, Kind::Vm) && !sender.bridges && source != sender.mac {
            assert_eq!(decided, Err(DropReason::MacSpoofed));
            return;
        }
        let Some(vlan) = sender.vlans.enters(sender.is_external(), tagged) else {
            assert!(decided.is_err(), "a tag that may not be");
            return;
        };
        for destination in self.out.iter() {
            let receiver = self.ports.get(&destination.port).expect("to a port that there is");
            assert!(receiver.connected, "to a NIC that is not connected");
            assert!(receiver.vlans.hears(receiver.is_external(), vlan), "out of VLAN {vlan}: {receiver:?}");
            let shown = destination.tag.map_or(0, VlanTag::vid);
            assert_eq!(shown, receiver.vlans.shown(receiver.is_external(), vlan), "{receiver:?}");
        }
        self.check_reached(&sender, from, to, source, vlan, decided, &reached);
    }

    #[expect(clippy::too_many_arguments, reason = "a frame and what became of it")]
    fn check_reached(
        &self,
        sender: &Port,
        from: PortId,
        to: MacAddr,
        source: MacAddr,
        vlan: u16,
        decided: Result<(), DropReason>,
        reached: &BTreeSet<PortId>,
    ) {
        let hears = |port: &&Port| port.connected && port.vlans.hears(port.is_external(), vlan);
        let owner = self.ports.iter().find(|(_, port)| port.mac == to && hears(port) && !port.is_external());
        if let Some((owner, _)) = owner.filter(|_| to.is_unicast()) {
            let others = reached.iter().any(|port| port != owner);
            assert!(!others, "for {owner:?}, but to {reached:?}");
        }
        // What else may stop a frame is left to the switch: limits, loops, kinds that never pass.
        let passes = matches!(decided, Ok(()) | Err(DropReason::NoDestination));
        if to == BROADCAST && passes && !sender.limited {
            let all =
                self.ports.iter().filter(|(id, port)| **id != from && hears(port) && port.mac != source);
            assert_eq!(*reached, all.map(|(id, _)| *id).collect(), "a broadcast in VLAN {vlan}");
        }
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut model = Model::new();
    for step in steps.into_iter().take(256) {
        model.step(step);
    }
});
