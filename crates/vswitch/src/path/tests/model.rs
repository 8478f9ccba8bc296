//! The switch against a plain model of its rules: no tables, no sets of bits, one rule after the other.

use std::collections::{BTreeMap, HashMap};

use ethernet::{MacAddr, VlanTag};
use port::Cycles;
use proptest::prelude::*;

use crate::testing::{Lab, SECOND, frame, mac, trunk, vlans};
use crate::{DropReason, PortId, PrivateRole, VlanPolicy};

#[derive(Debug, Clone)]
struct ModelPort {
    id: PortId,
    external: bool,
    mac: MacAddr,
    vlan: VlanPolicy,
    bridge: bool,
    priority: bool,
}

#[derive(Debug, Default)]
struct Model {
    ports: Vec<ModelPort>,
    /// By VLAN and address: where, last seen, since when there.
    learned: HashMap<(u16, MacAddr), (PortId, Cycles, Cycles)>,
}

type Reached = BTreeMap<PortId, Option<VlanTag>>;

impl Model {
    fn vlan_of(port: &ModelPort, tag: Option<VlanTag>) -> Result<u16, DropReason> {
        let vid = tag.map_or(0, VlanTag::vid);
        if vid == 4095 {
            return Err(DropReason::ReservedVlan);
        }
        if port.external {
            return Ok(vid);
        }
        match &port.vlan {
            VlanPolicy::Trunk { native, .. } if vid == 0 => Ok(*native),
            VlanPolicy::Trunk { allowed, .. } if allowed.contains(vid) => Ok(vid),
            VlanPolicy::Trunk { .. } => Err(DropReason::VlanNotAllowed),
            _ if vid != 0 => Err(DropReason::VlanNotAllowed),
            VlanPolicy::Untagged => Ok(0),
            VlanPolicy::Access(vlan) => Ok(*vlan),
            VlanPolicy::Private { primary, role } => Ok(match role {
                PrivateRole::Isolated(vlan) | PrivateRole::Community(vlan) => *vlan,
                PrivateRole::Promiscuous(_) => *primary,
            }),
        }
    }

    fn hears(sender: &ModelPort, receiver: &ModelPort, vlan: u16) -> bool {
        let reaches = |secondary: u16| match &sender.vlan {
            VlanPolicy::Private { role: PrivateRole::Promiscuous(reach), .. } => reach.contains(secondary),
            _ => true,
        };
        if receiver.external {
            return true;
        }
        match &receiver.vlan {
            VlanPolicy::Untagged => vlan == 0,
            VlanPolicy::Access(own) => vlan == *own,
            VlanPolicy::Trunk { native, allowed, .. } => {
                vlan == *native || (vlan != 0 && allowed.contains(vlan))
            }
            VlanPolicy::Private { primary, role } => match role {
                PrivateRole::Isolated(own) => vlan == *primary && reaches(*own),
                PrivateRole::Community(own) => vlan == *own || (vlan == *primary && reaches(*own)),
                PrivateRole::Promiscuous(heard) => vlan == *primary || heard.contains(vlan),
            },
        }
    }

    fn family(&self, vlan: u16) -> u16 {
        for port in &self.ports {
            if let VlanPolicy::Private { primary, role } = &port.vlan {
                let named = match role {
                    PrivateRole::Isolated(own) | PrivateRole::Community(own) => *own == vlan,
                    PrivateRole::Promiscuous(set) => set.contains(vlan),
                };
                if named {
                    return *primary;
                }
            }
        }
        vlan
    }

    fn known(&self, mac: MacAddr, vlan: u16) -> Option<&ModelPort> {
        self.ports.iter().filter(|port| !port.external && port.mac == mac).find(|port| match &port.vlan {
            VlanPolicy::Untagged => vlan == 0,
            VlanPolicy::Access(own) => self.family(vlan) == self.family(*own),
            VlanPolicy::Trunk { native, allowed, .. } => {
                vlan == *native || (vlan != 0 && allowed.contains(vlan))
            }
            VlanPolicy::Private { primary, .. } => self.family(vlan) == *primary,
        })
    }

    fn shown(receiver: &ModelPort, vlan: u16, tag: VlanTag) -> Option<VlanTag> {
        let see_priority = receiver.external || receiver.priority;
        let see_vlan = receiver.external
            || matches!(&receiver.vlan, VlanPolicy::Trunk { native, .. } if *native != vlan);
        let (pcp, dei) = if see_priority { (tag.pcp(), tag.dei()) } else { (0, false) };
        let tag = VlanTag::new(if see_vlan { vlan } else { 0 }, pcp, dei);
        (tag != VlanTag(0)).then_some(tag)
    }

    fn decide(&mut self, send: &Send, now: Cycles) -> Result<Reached, DropReason> {
        let sender = self.ports[send.from % self.ports.len()].clone();
        let (source, destination) = (station(send.source), station(send.destination));
        if source.is_multicast() {
            return Err(DropReason::SourceMacInvalid);
        }
        if destination.is_link_local_control() && !sender.external {
            return Err(DropReason::LinkLocalControl);
        }
        if source != sender.mac && !sender.bridge && !sender.external {
            return Err(DropReason::MacSpoofed);
        }
        let vlan = Self::vlan_of(&sender, send.tag)?;
        let tag = match send.tag {
            Some(tag) if sender.external || sender.priority => tag,
            _ => VlanTag(0),
        };
        if sender.external || sender.bridge {
            self.learn(&sender, source, vlan, now)?;
        }
        let candidates: Vec<&ModelPort> = if destination.is_link_local_control() {
            self.ports.iter().filter(|port| port.external).collect()
        } else if destination.is_multicast() {
            self.ports.iter().filter(|port| port.mac != source).collect()
        } else if destination == source {
            return Err(DropReason::Hairpin);
        } else {
            let learned = self.learned.get(&(self.family(vlan), destination));
            let learned = learned.filter(|(_, seen, _)| now - seen <= 300 * SECOND).map(|(at, ..)| *at);
            let known = self.known(destination, vlan).map(|port| port.id);
            if let Some(at) = known.or(learned) {
                if at == sender.id {
                    return Err(DropReason::Hairpin);
                }
                let receiver = self.ports.iter().find(|port| port.id == at).unwrap();
                if !Self::hears(&sender, receiver, vlan) {
                    return Err(DropReason::EgressVlan);
                }
                vec![receiver]
            } else {
                self.ports
                    .iter()
                    .filter(|port| (port.external || port.bridge) && port.mac != source)
                    .collect()
            }
        };
        let others = candidates.into_iter().filter(|port| port.id != sender.id);
        let hearing = others.filter(|port| Self::hears(&sender, port, vlan));
        let reached: Reached = hearing.map(|port| (port.id, Self::shown(port, vlan, tag))).collect();
        if reached.is_empty() { Err(DropReason::NoDestination) } else { Ok(reached) }
    }

    fn learn(&mut self, sender: &ModelPort, mac: MacAddr, vlan: u16, now: Cycles) -> Result<(), DropReason> {
        if let Some(owner) = self.known(mac, vlan) {
            let fine = owner.id == sender.id || sender.external;
            return if fine { Ok(()) } else { Err(DropReason::SourceMacElsewhere) };
        }
        let key = (self.family(vlan), mac);
        if let Some((at, seen, arrived)) = self.learned.get_mut(&key) {
            if *at == sender.id {
                *seen = now;
                return Ok(());
            }
            if now - *seen <= 300 * SECOND && now - *arrived < SECOND {
                return if sender.external { Ok(()) } else { Err(DropReason::MacMovedTooSoon) };
            }
        }
        self.learned.insert(key, (sender.id, now, now));
        Ok(())
    }
}

/// Stations 1 to 8 are the ports' own, 9 to 12 are behind bridges or the wire.
fn station(n: u8) -> MacAddr {
    match n {
        13 => MacAddr::BROADCAST,
        14 => MacAddr([1, 0, 0x5e, 0, 0, 1]),
        15 => MacAddr([1, 0x80, 0xc2, 0, 0, 0xe]),
        n => mac(n),
    }
}

#[derive(Debug, Clone)]
struct Send {
    from: usize,
    destination: u8,
    source: u8,
    /// The source is the port's own address.
    honest: bool,
    tag: Option<VlanTag>,
    pause: Cycles,
}

fn policies() -> impl Strategy<Value = VlanPolicy> {
    let private = |role| VlanPolicy::Private { primary: 100, role };
    prop::sample::select(vec![
        VlanPolicy::Untagged,
        VlanPolicy::Untagged,
        VlanPolicy::Access(10),
        VlanPolicy::Access(20),
        VlanPolicy::Access(100),
        trunk(0, &[10, 20]),
        trunk(20, &[0, 10, 100, 101]),
        private(PrivateRole::Isolated(101)),
        private(PrivateRole::Community(102)),
        private(PrivateRole::Community(103)),
        private(PrivateRole::Promiscuous(vlans(&[101, 102]))),
        private(PrivateRole::Promiscuous(vlans(&[101, 102, 103]))),
    ])
}

fn sends() -> impl Strategy<Value = Vec<Send>> {
    let vids = prop::sample::select(vec![0, 10, 20, 100, 101, 102, 103, 4095]);
    let tag = prop::option::weighted(0.4, (vids, 0..8u8, any::<bool>()))
        .prop_map(|tag| tag.map(|(vid, pcp, dei)| VlanTag::new(vid, pcp, dei)));
    let pause = prop_oneof![3 => Just(0), 2 => 0..2 * SECOND, 1 => 0..400 * SECOND];
    let send = (0..9usize, 1..=15u8, 1..=13u8, any::<bool>(), tag, pause).prop_map(
        |(from, destination, source, honest, tag, pause)| Send {
            from,
            destination,
            source,
            honest,
            tag,
            pause,
        },
    );
    prop::collection::vec(send, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_switch_decides_as_the_model(
        with_external in any::<bool>(),
        ports in prop::collection::vec((policies(), any::<bool>(), any::<bool>()), 1..8),
        sends in sends(),
    ) {
        let mut lab = Lab::new();
        // The model has no short cut for stations that go on sending.
        lab.state.refresh = 0;
        let mut model = Model::default();
        if with_external {
            let (mac, vlan) = (MacAddr::ZERO, VlanPolicy::Untagged);
            let id = lab.external();
            model.ports.push(ModelPort { id, external: true, mac, vlan, bridge: false, priority: true });
        }
        for (n, (vlan, bridge, priority)) in (1..).zip(ports) {
            let id = lab.vm_with(n, |policy| {
                policy.vlan = vlan.clone();
                policy.security.allow_mac_spoofing = bridge;
                policy.security.allow_ieee_priority_tag = priority;
            });
            model.ports.push(ModelPort { id, external: false, mac: mac(n), vlan, bridge, priority });
        }
        for mut send in sends {
            lab.now += send.pause;
            let sender = &model.ports[send.from % model.ports.len()];
            if send.honest && !sender.external {
                send.source = sender.mac.0[5];
            }
            let from = sender.id;
            let expected = model.decide(&send, lab.now);
            let bytes = frame(station(send.destination), station(send.source));
            let decided = lab.send_bytes(from, &bytes, send.tag);
            prop_assert_eq!(decided, expected, "{:?}", send);
        }
        let learned: BTreeMap<_, _> = lab
            .state
            .learning()
            .entries(lab.now)
            .map(|entry| ((entry.vlan, entry.mac), entry.port))
            .collect();
        let fresh = model.learned.iter().filter(|(_, (_, seen, _))| lab.now - seen <= 300 * SECOND);
        prop_assert_eq!(learned, fresh.map(|(&key, &(at, ..))| (key, at)).collect());
    }
}
