//! From the state of the switch to the tables of its data path.

use std::collections::BTreeMap;
use std::ops::Range;

use ethernet::MacAddr;

use super::address_table::{AddressTable, Key, Match};
use super::admission::{Sender, SourceAddress, VlanMode};
use super::flood::{FloodReceiver, MixedVlans, ReceiverVlan};
use super::{DropReason, Forwarding, Vlans};
use crate::{
    BumPath, Filter, FunctionId, LinkState, MulticastTable, NicSwitch, QueueId, VPort, VPortId, VPortState,
    VlanSet, VlanTest, VmQueues,
};

impl Forwarding {
    /// Makes the picture of `switch`; `physical_port`: whether there is one.
    pub(crate) fn compile(switch: &NicSwitch, physical_port: bool) -> Self {
        let mut filters: BTreeMap<VPortId, Vec<&Filter>> = BTreeMap::new();
        for filter in switch.filters() {
            filters.entry(filter.vport()).or_default().push(filter);
        }
        let mut tables = Tables::default();
        for vport in switch.vports() {
            let filters = filters.get(&vport.id()).map_or(&[][..], Vec::as_slice);
            if vport.id() == VPortId::DEFAULT {
                tables.add_default_vport(filters);
            } else {
                tables.add_vport(vport, filters);
            }
        }
        tables.finish(switch.generation(), physical_port, true)
    }

    /// Makes the picture of an adapter that has VM queues instead of a switch.
    pub(crate) fn compile_queues(queues: &VmQueues, physical_port: bool) -> Self {
        let mut tables = Tables::default();
        let default: Vec<_> = queues.filters_on(QueueId::DEFAULT).collect();
        tables.add_default_vport(&default);
        for queue in queues.queues().filter(|queue| queue.id() != QueueId::DEFAULT) {
            for filter in queues.filters_on(queue.id()) {
                tables.add_queue_filter(filter, queue.state().receives());
            }
        }
        tables.finish(queues.generation(), physical_port, false)
    }
}

/// The tables of a [`Forwarding`] in the making.
struct Tables {
    senders: Vec<Sender>,
    further_addresses: Vec<SourceAddress>,
    entries: Vec<(Key, Match)>,
    any_vlan: bool,
    flood: Vec<FloodReceiver>,
    groups: Vec<MulticastTable>,
    promiscuous: Vec<u32>,
    receive_vlans: Vec<Vlans>,
    send_vlans: Vec<Vlans>,
    mixed: Vec<MixedVlans>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            senders: Vec::new(),
            further_addresses: Vec::new(),
            entries: Vec::new(),
            any_vlan: false,
            flood: Vec::new(),
            groups: Vec::new(),
            promiscuous: Vec::new(),
            receive_vlans: vec![Vlans::all()],
            send_vlans: Vec::new(),
            mixed: Vec::new(),
        }
    }
}

impl Tables {
    /// The default VPort gets what its filters match, always with the tag shown: the extensible switch sorts by it.
    fn add_default_vport(&mut self, filters: &[&Filter]) {
        self.senders.push(Sender { of_pf: true, blocked: None, ..Sender::ABSENT });
        for filter in filters {
            let found = Match { vport: VPortId::DEFAULT, vlans: 0, strip: false, blocked: None };
            self.add_address(filter.test().mac, VlanMode::of(filter), found);
        }
    }

    /// A queue that does not receive leaves its frames to the default queue: not to another one that has the address
    /// in every VLAN.
    fn add_queue_filter(&mut self, filter: &Filter, receives: bool) {
        let vlan = VlanMode::of(filter);
        let found = if receives {
            let vlans = if vlan == VlanMode::Trunk { self.every_known_vlan() } else { 0 };
            let strip = matches!(vlan, VlanMode::Access(_));
            Match { vport: filter.vport(), vlans, strip, blocked: None }
        } else {
            Match { vport: VPortId::DEFAULT, vlans: 0, strip: false, blocked: None }
        };
        self.add_address(filter.test().mac, vlan, found);
    }

    /// Every VLAN but the foreign one, the tags of which are in band: only the default queue sees those.
    fn every_known_vlan(&mut self) -> u16 {
        if self.receive_vlans.len() == 1 {
            self.receive_vlans.push(VlanSet::all().widen());
        }
        1
    }

    fn add_vport(&mut self, vport: &VPort, filters: &[&Filter]) {
        let addresses = addresses(vport, filters);
        let blocked = blocked(vport);
        let mut sender = Sender {
            blocked,
            of_pf: vport.function() == FunctionId::Pf,
            spoof_check: vport.security().mac_spoof_check,
            ..Sender::ABSENT
        };
        if let Some((&first, further)) = addresses.split_first() {
            let trunk = addresses.iter().any(|address| address.vlan == VlanMode::Trunk);
            let (vlans, send_vlans) = if trunk { self.add_trunk(vport) } else { (0, 0) };
            for address in &addresses {
                let strip = matches!(address.vlan, VlanMode::Access(_));
                let found = Match { vport: vport.id(), vlans, strip, blocked };
                self.add_address(address.mac, address.vlan, found);
            }
            if blocked.is_none() {
                self.add_flood_receiver(vport, filters, vlans);
            }
            sender = Sender { first, further: self.add_further_addresses(further), send_vlans, ..sender };
        } else if let Some(test) = vport.security().sends_as {
            let vlan = VlanMode::of_test(test.vlan);
            let (_, send_vlans) = if vlan == VlanMode::Trunk { self.add_trunk(vport) } else { (0, 0) };
            sender = Sender { first: SourceAddress { mac: test.mac, vlan }, send_vlans, ..sender };
        } else {
            sender.blocked = blocked.or(Some(DropReason::NoFilter));
        }
        let id = usize::try_from(vport.id().0).expect("VPort ids are 16-bit numbers");
        // VPorts come by ascending id: those left out do not exist.
        self.senders.resize(id, Sender::ABSENT);
        self.senders.push(sender);
    }

    fn finish(self, generation: u64, physical_port: bool, loopback: bool) -> Forwarding {
        let addresses = AddressTable::build(&self.entries);
        Forwarding {
            generation,
            physical_port,
            loopback,
            senders: self.senders.into(),
            further_addresses: self.further_addresses.into(),
            addresses,
            any_vlan: self.any_vlan,
            flood: self.flood.into(),
            groups: self.groups.into(),
            promiscuous: self.promiscuous.into(),
            receive_vlans: self.receive_vlans.into(),
            send_vlans: self.send_vlans.into(),
            mixed: self.mixed.into(),
        }
    }

    fn add_further_addresses(&mut self, further: &[SourceAddress]) -> Range<u32> {
        let start = self.further_addresses.len();
        self.further_addresses.extend_from_slice(further);
        self.further_addresses[start..].sort_unstable_by_key(|address| address.mac);
        index(start)..index(self.further_addresses.len())
    }

    fn add_address(&mut self, mac: MacAddr, vlan: VlanMode, found: Match) {
        let key = match vlan {
            VlanMode::Access(vid) => Key::exact(mac, vid),
            VlanMode::Untagged => Key::exact(mac, 0),
            VlanMode::Trunk => Key::any(mac),
        };
        self.any_vlan |= vlan == VlanMode::Trunk;
        self.entries.push((key, found));
    }

    /// Adds the VLANs in which a trunk receives and sends; tells where.
    fn add_trunk(&mut self, vport: &VPort) -> (u16, u32) {
        let (security, mode) = (vport.security(), vport.receive_mode());
        let mut send = if security.vlan_check { security.allowed_vlans.widen() } else { Vlans::all() };
        let mut receive = if security.accept_bum { VlanSet::all() } else { mode.vlans.clone() }.widen();
        receive.intersect(&send);
        send.add(0);
        receive.add(0);
        self.receive_vlans.push(receive);
        self.send_vlans.push(send);
        let receive = u16::try_from(self.receive_vlans.len() - 1).expect("there are less than 65536 VPorts");
        (receive, index(self.send_vlans.len() - 1))
    }

    fn add_flood_receiver(&mut self, vport: &VPort, filters: &[&Filter], receive_vlans: u16) {
        let (security, mode) = (vport.security(), vport.receive_mode());
        if vport.function() == FunctionId::Pf || security.bum_path == BumPath::Synthetic {
            return;
        }
        let promiscuous = security.trusted && mode.promiscuous;
        if promiscuous {
            self.promiscuous.push(index(self.flood.len()));
        }
        let unasked = security.accept_bum || promiscuous;
        let receiver = FloodReceiver {
            vport: vport.id(),
            vlan: self.receiver_vlan(filters, receive_vlans),
            broadcast: mode.broadcast || unasked,
            all_multicast: mode.all_multicast || unasked,
        };
        self.flood.push(receiver);
        self.groups.push(mode.multicast.clone());
    }

    /// The VLANs of a VPort are those of its filters.
    fn receiver_vlan(&mut self, filters: &[&Filter], receive_vlans: u16) -> ReceiverVlan {
        let single = |filter: &&Filter| match filter.test().vlan {
            VlanTest::Id(vid) => Some(vid),
            VlanTest::UntaggedOrZero => Some(0),
            VlanTest::Any => None,
        };
        if let Some(vlan) = single(&filters[0])
            && filters.iter().all(|filter| single(filter) == Some(vlan))
        {
            return ReceiverVlan::Single(vlan);
        }
        let mut vlans = MixedVlans { stripped: Vlans::EMPTY, shown: Vlans::EMPTY };
        for filter in filters {
            match VlanMode::of(filter) {
                VlanMode::Access(vid) => vlans.stripped.add(vid),
                VlanMode::Untagged => vlans.shown.add(0),
                VlanMode::Trunk => vlans.shown.unite(&self.receive_vlans[usize::from(receive_vlans)]),
            }
        }
        self.mixed.push(vlans);
        ReceiverVlan::Mixed(index(self.mixed.len() - 1))
    }
}

impl Sender {
    /// The entry of a VPort that does not exist.
    const ABSENT: Self = Self {
        blocked: Some(DropReason::VPortInactive),
        of_pf: false,
        spoof_check: true,
        first: SourceAddress { mac: MacAddr::ZERO, vlan: VlanMode::Untagged },
        further: 0..0,
        send_vlans: 0,
    };
}

impl VlanMode {
    fn of(filter: &Filter) -> Self {
        Self::of_test(filter.test().vlan)
    }

    fn of_test(vlan: VlanTest) -> Self {
        match vlan {
            VlanTest::Any => Self::Trunk,
            VlanTest::UntaggedOrZero => Self::Untagged,
            VlanTest::Id(vid) => Self::Access(vid),
        }
    }
}

/// The addresses of a VPort: those of its filters, then the extra ones, in the VLAN of the first filter.
fn addresses(vport: &VPort, filters: &[&Filter]) -> Vec<SourceAddress> {
    let of = |filter: &&Filter| SourceAddress { mac: filter.test().mac, vlan: VlanMode::of(filter) };
    let mut addresses: Vec<_> = filters.iter().map(of).collect();
    if let Some(&first) = addresses.first()
        && vport.security().trusted
    {
        for &mac in &vport.receive_mode().unicast {
            if addresses.iter().all(|address| address.mac != mac) {
                addresses.push(SourceAddress { mac, vlan: first.vlan });
            }
        }
    }
    addresses
}

/// Why a VPort neither sends nor receives.
fn blocked(vport: &VPort) -> Option<DropReason> {
    if vport.state() == VPortState::Deactivated {
        Some(DropReason::VPortInactive)
    } else if vport.security().link == LinkState::Disable {
        Some(DropReason::LinkDown)
    } else {
        None
    }
}

/// Tables are indexed with 32 bits to keep their entries small.
fn index(index: usize) -> u32 {
    u32::try_from(index)
        .expect("the tables of 65535 VPorts with 128 extra addresses each have less than 2^32 entries")
}
