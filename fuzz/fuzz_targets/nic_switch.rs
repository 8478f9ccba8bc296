//! Requests of any kind to the NIC switch, then frames.
//!
//! A request that is refused changes nothing, and what stands after one that is not keeps to the switch's budgets,
//! each filter on one VPort. A frame goes to nobody twice and never back to its sender; what a filter matches goes
//! to the filter's VPort alone; nobody sends with an address that is not his or receives in a VLAN that is not his.

#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use ethernet::{MacAddr, VlanTag};
use libfuzzer_sys::fuzz_target;
use nic_switch::{
    BumPath, Capabilities, Deliveries, Delivery, Egress, FilterId, FilterTest, FunctionId, Ingress,
    InterruptModeration, LinkState, MulticastTable, NicSwitch, PortSecurity, ProcessorAffinity, ReceiveMode,
    Source, SwitchError, SwitchParameters, VPort, VPortChanges, VPortId, VPortParameters, VPortState, VfId,
    VfParameters, VlanSet, VlanTest,
};

const VLAN_TPIDS: [u16; 5] = [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300];

/// Numbers in a range in which they often meet.
#[derive(Arbitrary, Clone, Copy, Debug)]
struct Small(u8);

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Vlan {
    Any,
    Untagged,
    Id(Small),
    Odd(u16),
}

#[derive(Arbitrary, Debug)]
struct Receive {
    unicast: Vec<Small>,
    groups: Vec<u16>,
    vlans: Vec<Small>,
    flags: [bool; 3],
}

#[derive(Arbitrary, Debug)]
enum Operation {
    AllocateVf,
    FreeVf(Small),
    SetNumVfs(Small),
    CreateVPort { id: Small, vf: Option<Small>, queue_pairs: Small },
    Update { id: Small, activate: bool, affinity: Option<u8> },
    DeleteVPort(Small),
    SetFilter { id: Small, vport: Small, mac: Small, vlan: Vlan },
    ClearFilter(Small),
    MoveFilter { id: Small, from: Small, to: Small },
    MoveStanding { index: Small, to: Small },
    SetPortSecurity { vport: Small, flags: [bool; 5], vlans: Vec<Small>, link: u8 },
    SetReceiveMode { vport: Small, receive: Receive },
}

#[derive(Arbitrary, Debug)]
struct Frame {
    from: Option<Small>,
    destination: Destination,
    source: Small,
    own_source: bool,
    tag: Option<(Vlan, bool)>,
    ethertype: u16,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Destination {
    Station(Small),
    Broadcast,
    Group(u8),
    LinkLocal(u8),
    Any([u8; 6]),
}

#[derive(Arbitrary, Debug)]
struct Input {
    single_vport_pool: bool,
    asymmetric_queue_pairs: bool,
    physical_port: bool,
    empty: bool,
    steps: Vec<(Operation, Vec<Frame>)>,
}

impl Small {
    fn station(self) -> MacAddr {
        // 15 stations, a group, and the address that no station has.
        match self.0 % 17 {
            15 => MacAddr([1, 0, 0x5e, 0, 0, 1]),
            16 => MacAddr::ZERO,
            n => MacAddr([2, 0, 0, 0, 0, n + 1]),
        }
    }

    fn vport(self) -> VPortId {
        VPortId(u32::from(self.0 % 10))
    }

    fn filter(self) -> FilterId {
        FilterId(u32::from(self.0 % 24))
    }

    fn vid(self) -> u16 {
        u16::from(self.0 % 4) + 1
    }
}

impl Vlan {
    fn test(self) -> VlanTest {
        match self {
            Self::Any => VlanTest::Any,
            Self::Untagged => VlanTest::UntaggedOrZero,
            Self::Id(id) => VlanTest::Id(id.vid()),
            Self::Odd(vid) => VlanTest::Id(vid),
        }
    }

    fn tag(self, priority: bool) -> VlanTag {
        let vid = match self {
            Self::Any | Self::Untagged => 0,
            Self::Id(id) => id.vid(),
            Self::Odd(vid) => vid,
        };
        VlanTag::new(vid, if priority { 5 } else { 0 }, priority)
    }
}

fn vlans(vids: &[Small]) -> VlanSet {
    VlanSet::of(vids.iter().map(|id| id.vid())).expect("they are VLAN ids")
}

fn apply(switch: &mut NicSwitch, operation: Operation) -> Result<(), SwitchError> {
    match operation {
        Operation::AllocateVf => switch.allocate_vf(vf_parameters()).map(drop),
        Operation::FreeVf(vf) => switch.free_vf(VfId(u16::from(vf.0 % 5))).map(drop),
        Operation::SetNumVfs(n) => switch.set_num_vfs(u16::from(n.0 % 6)),
        Operation::CreateVPort { id, vf, queue_pairs } => {
            let function = vf.map_or(FunctionId::Pf, |vf| FunctionId::Vf(VfId(u16::from(vf.0 % 5))));
            switch.create_vport(vport_parameters(id.vport(), function, u32::from(queue_pairs.0 % 6)))
        }
        Operation::Update { id, activate, affinity } => {
            let state = if activate { VPortState::Activated } else { VPortState::Deactivated };
            let affinity = affinity.map(|mask| ProcessorAffinity { group: 0, mask: mask.into() });
            switch.update_vport(
                id.vport(),
                VPortChanges { state: Some(state), affinity, ..VPortChanges::default() },
            )
        }
        Operation::DeleteVPort(id) => switch.delete_vport(id.vport()).map(drop),
        Operation::SetFilter { id, vport, mac, vlan } => {
            let test = FilterTest { mac: mac.station(), vlan: vlan.test() };
            switch.set_filter(id.filter(), vport.vport(), test)
        }
        Operation::ClearFilter(id) => switch.clear_filter(id.filter()).map(drop),
        Operation::MoveFilter { id, from, to } => switch.move_filter(id.filter(), from.vport(), to.vport()),
        Operation::MoveStanding { index, to } => {
            let count = switch.filters().count().max(1);
            let Some(filter) = switch.filters().nth(usize::from(index.0) % count).copied() else {
                return Ok(());
            };
            switch.move_filter(filter.id(), filter.vport(), to.vport())?;
            assert_eq!(switch.filter(filter.id()).map(nic_switch::Filter::vport), Some(to.vport()));
            Ok(())
        }
        Operation::SetPortSecurity { vport, flags, vlans: vids, link } => {
            let [mac_spoof_check, vlan_check, trusted, accept_bum, synthetic] = flags;
            let security = PortSecurity {
                mac_spoof_check,
                vlan_check,
                trusted,
                accept_bum,
                allowed_vlans: vlans(&vids),
                link: [LinkState::Auto, LinkState::Enable, LinkState::Disable][usize::from(link % 3)],
                bum_path: if synthetic { BumPath::Synthetic } else { BumPath::Vf },
                sends_as: None,
            };
            switch.set_port_security(vport.vport(), security)
        }
        Operation::SetReceiveMode { vport, receive } => {
            let [all_multicast, promiscuous, broadcast] = receive.flags;
            let groups = receive.groups.iter().map(|hash| hash & 0xfff);
            let mode = ReceiveMode {
                unicast: receive.unicast.iter().map(|mac| mac.station()).collect(),
                multicast: MulticastTable::of(groups).expect("12 bits"),
                all_multicast,
                promiscuous,
                broadcast,
                vlans: vlans(&receive.vlans),
            };
            switch.set_receive_mode(vport.vport(), mode)
        }
    }
}

fn vf_parameters() -> VfParameters {
    let (mac, name) = (MacAddr::ZERO, String::new());
    VfParameters {
        permanent_mac: mac,
        current_mac: mac,
        vm_name: name.clone(),
        vm_friendly_name: name.clone(),
        nic_name: name,
    }
}

fn vport_parameters(id: VPortId, function: FunctionId, queue_pairs: u32) -> VPortParameters {
    let affinity = (function == FunctionId::Pf).then_some(ProcessorAffinity { group: 0, mask: 1 });
    let interrupt_moderation = InterruptModeration::Undefined;
    VPortParameters { id, function, queue_pairs, interrupt_moderation, affinity, name: String::new() }
}

/// What holds for every switch.
fn check_switch(switch: &NicSwitch) {
    let capabilities = switch.capabilities();
    let mut tests = BTreeSet::new();
    for filter in switch.filters() {
        assert!(switch.vport(filter.vport()).is_some(), "{filter:?} stands nowhere");
        assert!(tests.insert(filter.test()), "{filter:?} is there twice");
    }
    let mut functions = BTreeSet::new();
    for vport in switch.vports().filter(|vport| vport.id() != VPortId::DEFAULT) {
        let macs: Vec<_> = switch.filters_on(vport.id()).map(|filter| filter.test().mac).collect();
        assert_eq!(
            macs.iter().collect::<BTreeSet<_>>().len(),
            macs.len(),
            "{} has an address twice",
            vport.id()
        );
        if let FunctionId::Vf(vf) = vport.function() {
            assert!(switch.vf(vf).is_some() && functions.insert(vf), "{vf} has two VPorts, or is not there");
        }
        for mac in &vport.receive_mode().unicast {
            let taken =
                switch.filters().any(|filter| filter.test().mac == *mac && filter.vport() != vport.id());
            assert!(!taken, "{mac} was granted to {} and is another's", vport.id());
        }
    }
    let queue_pairs: u32 = switch.vports().map(VPort::queue_pairs).sum();
    let info = switch.info();
    assert!(queue_pairs <= capabilities.max_queue_pairs && tests.len() <= capabilities.max_filters as usize);
    assert!(
        info.num_default_vport_macs.max(info.num_nondefault_vport_macs)
            <= capabilities.max_mac_addresses as usize
    );
}

/// The addresses that a nondefault VPort may send with.
fn own_macs(switch: &NicSwitch, vport: &VPort) -> BTreeSet<MacAddr> {
    let extra = vport.receive_mode().unicast.iter().copied().filter(|_| vport.security().trusted);
    switch.filters_on(vport.id()).map(|filter| filter.test().mac).chain(extra).collect()
}

/// What must be so if a frame was delivered.
fn check_delivery(switch: &NicSwitch, physical_port: bool, frame: &Ingress, out: &[Delivery]) {
    let receivers: BTreeSet<_> = out.iter().map(|delivery| delivery.to).collect();
    assert!(!out.is_empty() && receivers.len() == out.len(), "a receiver gets it twice: {out:?}");
    let back = match frame.from {
        Source::VPort(vport) => Egress::VPort(vport),
        Source::Wire => Egress::Physical,
    };
    assert!(!receivers.contains(&back), "it goes back to its sender");
    assert!(physical_port || !receivers.contains(&Egress::Physical));
    assert!(
        frame.source.is_unicast()
            && frame.ethertype != 0x8808
            && frame.tag.is_none_or(|tag| tag.vid() != 4095)
    );

    let sender = match frame.from {
        Source::VPort(id) if id != VPortId::DEFAULT => Some(switch.vport(id).expect("only VPorts send")),
        _ => None,
    };
    if let Some(sender) = sender {
        let (macs, security) = (own_macs(switch, sender), sender.security());
        assert!(
            sender.state() == VPortState::Activated
                && security.link != LinkState::Disable
                && !macs.is_empty()
        );
        assert!(!security.mac_spoof_check || macs.contains(&frame.source), "spoofed");
        assert!(!frame.destination.is_link_local_control());
    }
    // Only of those that no filter polices is the VLAN what the tag says.
    let vid = frame.tag.map_or(0, VlanTag::vid);
    let in_band = vid == 0 && VLAN_TPIDS.contains(&frame.ethertype);
    let vlan = (sender.is_none() && !in_band).then_some(vid);
    for delivery in out {
        let Egress::VPort(id) = delivery.to else { continue };
        let vport = switch.vport(id).expect("only VPorts receive");
        if id == VPortId::DEFAULT {
            continue;
        }
        assert!(vport.state() == VPortState::Activated && vport.security().link != LinkState::Disable);
        let tests: Vec<_> = switch.filters_on(id).map(|filter| filter.test().vlan).collect();
        let only_access = tests.iter().all(|test| matches!(test, VlanTest::Id(_)));
        assert!(!only_access || delivery.tag.is_none(), "a guest sees the tag of its access VLAN");
        if let Some(vlan) = vlan {
            let member = tests.iter().any(|test| match *test {
                VlanTest::Id(id) => id == vlan,
                VlanTest::UntaggedOrZero => vlan == 0,
                VlanTest::Any => {
                    let security = vport.security();
                    vlan == 0 || !security.vlan_check || security.allowed_vlans.contains(vlan)
                }
            });
            assert!(member, "{id} receives in VLAN {vlan}, which is not its");
        }
    }
    if let (Some(vlan), true) = (vlan, frame.destination.is_unicast()) {
        let test = if vlan == 0 { VlanTest::UntaggedOrZero } else { VlanTest::Id(vlan) };
        let owner = switch
            .filters()
            .find(|filter| filter.test() == FilterTest { mac: frame.destination, vlan: test });
        if let Some(owner) = owner {
            assert_eq!(receivers, BTreeSet::from([Egress::VPort(owner.vport())]), "others see it");
        }
    }
}

fn ingress(switch: &NicSwitch, frame: &Frame) -> Ingress {
    let from = frame.from.map_or(Source::Wire, |id| Source::VPort(id.vport()));
    let own = match from {
        Source::VPort(id) if frame.own_source => switch.filters_on(id).next(),
        _ => None,
    };
    let destination = match frame.destination {
        Destination::Station(mac) => mac.station(),
        Destination::Broadcast => MacAddr::BROADCAST,
        Destination::Group(n) => MacAddr([1, 0, 0x5e, 0, 0, n]),
        Destination::LinkLocal(n) => MacAddr([1, 0x80, 0xc2, 0, 0, n & 0x1f]),
        Destination::Any(bytes) => MacAddr(bytes),
    };
    let ethertype = match frame.ethertype {
        n @ 0..5 => VLAN_TPIDS[usize::from(n)],
        5 => 0x8808,
        n if n & 1 == 0 => 0x0800,
        n => n,
    };
    let source = own.map_or_else(|| frame.source.station(), |filter| filter.test().mac);
    Ingress {
        from,
        destination,
        source,
        tag: frame.tag.map(|(vlan, priority)| vlan.tag(priority)),
        ethertype,
    }
}

fuzz_target!(|input: Input| {
    let capabilities = Capabilities {
        max_vfs: 4,
        max_vports: 9,
        max_queue_pairs: 14,
        max_queue_pairs_per_nondefault_vport: 4,
        max_queue_pairs_for_default_vport: 4,
        max_mac_addresses: 13,
        max_filters: 20,
        vlan_supported: true,
        per_vport_interrupt_moderation: true,
        asymmetric_queue_pairs: input.asymmetric_queue_pairs,
        vf_rss: true,
        single_vport_pool: input.single_vport_pool,
    };
    let parameters = SwitchParameters { num_vfs: 4, queue_pairs_for_default_vport: 1, name: String::new() };
    let mut out = Deliveries::for_adapter(&capabilities);
    let room = out.as_ptr();
    let mut switch = NicSwitch::create(capabilities, parameters).expect("the capabilities agree");
    // Requests at random seldom get this far.
    for (n, vlan) in [(1, VlanTest::Any), (2, VlanTest::UntaggedOrZero), (3, VlanTest::Id(2))] {
        if !input.empty {
            let vf = switch.allocate_vf(vf_parameters()).expect("there are four");
            let (id, mac) = (VPortId(u32::from(n)), MacAddr([2, 0, 0, 0, 0, n]));
            switch.create_vport(vport_parameters(id, FunctionId::Vf(vf), 1)).expect("there is room");
            switch.set_filter(FilterId(u32::from(n)), id, FilterTest { mac, vlan }).expect("there is room");
        }
    }
    for (operation, sent) in input.steps.into_iter().take(100) {
        let before = switch.clone();
        match apply(&mut switch, operation) {
            Ok(()) => assert!(switch.generation() >= before.generation()),
            Err(error) => assert!(switch == before, "refused, but something changed: {error}"),
        }
        check_switch(&switch);
        let forwarding = switch.snapshot(input.physical_port);
        for frame in sent.iter().take(20) {
            let frame = ingress(&switch, frame);
            match forwarding.decide(&frame, &mut out) {
                Ok(()) => check_delivery(&switch, input.physical_port, &frame, &out),
                Err(_) => assert!(out.is_empty()),
            }
            assert_eq!(out.as_ptr(), room, "the list grew");
        }
    }
});
