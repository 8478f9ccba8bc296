//! Random requests, for property tests of the switch and of what it forwards.

use ethernet::MacAddr;
use proptest::prelude::*;

use super::{mac, vf_parameters, vport_parameters};
use crate::{
    BumPath, FilterId, FilterTest, FunctionId, LinkState, MulticastTable, NicSwitch, PortSecurity,
    ReceiveMode, SwitchError, VPortChanges, VPortId, VPortParameters, VPortState, VfId, VlanSet, VlanTest,
};

/// VLAN ids that occur in tests; few, so that they meet.
pub(crate) const VIDS: [u16; 4] = [1, 5, 7, 4094];

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a test makes few of them")]
pub(crate) enum Operation {
    AllocateVf,
    FreeVf(VfId),
    SetNumVfs(u16),
    CreateVPort(VPortParameters),
    Activate(VPortId),
    DeleteVPort(VPortId),
    SetFilter(FilterId, VPortId, FilterTest),
    ClearFilter(FilterId),
    MoveFilter(FilterId, VPortId, VPortId),
    SetPortSecurity(VPortId, PortSecurity),
    SetReceiveMode(VPortId, ReceiveMode),
}

impl Operation {
    pub(crate) fn apply(self, switch: &mut NicSwitch) -> Result<(), SwitchError> {
        match self {
            Self::AllocateVf => switch.allocate_vf(vf_parameters()).map(drop),
            Self::FreeVf(vf) => switch.free_vf(vf).map(drop),
            Self::SetNumVfs(num_vfs) => switch.set_num_vfs(num_vfs),
            Self::CreateVPort(parameters) => switch.create_vport(parameters),
            Self::Activate(vport) => {
                let changes = VPortChanges { state: Some(VPortState::Activated), ..VPortChanges::default() };
                switch.update_vport(vport, changes)
            }
            Self::DeleteVPort(vport) => switch.delete_vport(vport).map(drop),
            Self::SetFilter(filter, vport, test) => switch.set_filter(filter, vport, test),
            Self::ClearFilter(filter) => switch.clear_filter(filter).map(drop),
            Self::MoveFilter(filter, from, to) => switch.move_filter(filter, from, to),
            Self::SetPortSecurity(vport, security) => switch.set_port_security(vport, security),
            Self::SetReceiveMode(vport, mode) => switch.set_receive_mode(vport, mode),
        }
    }
}

pub(crate) fn vport_id() -> impl Strategy<Value = VPortId> {
    (0..9_u32).prop_map(VPortId)
}

fn filter_id() -> impl Strategy<Value = FilterId> {
    (0..14_u32).prop_map(FilterId)
}

fn function() -> impl Strategy<Value = FunctionId> {
    prop_oneof![Just(FunctionId::Pf), (0..5_u16).prop_map(|vf| FunctionId::Vf(VfId(vf)))]
}

/// A station, and now and then what no station may have.
pub(crate) fn station() -> impl Strategy<Value = MacAddr> {
    prop_oneof![
        20 => (0..8_u8).prop_map(mac),
        1 => Just(MacAddr::ZERO),
        1 => Just(MacAddr([3, 0, 0, 0, 0, 1])),
    ]
}

fn vlan_test() -> impl Strategy<Value = VlanTest> {
    prop_oneof![
        Just(VlanTest::Any),
        Just(VlanTest::UntaggedOrZero),
        prop::sample::select(&VIDS[..]).prop_map(VlanTest::Id),
        prop::sample::select(&[0_u16, 4095, u16::MAX][..]).prop_map(VlanTest::Id),
    ]
}

fn vlan_set() -> impl Strategy<Value = VlanSet> {
    prop::sample::subsequence(vec![0, 1, 5, 7, 4094], 0..=5).prop_map(|vids| VlanSet::of(vids).unwrap())
}

/// Groups by the first byte of the hash that the random frames use.
pub(crate) fn groups() -> impl Strategy<Value = MulticastTable> {
    prop::sample::subsequence(vec![0x000, 0x010, 0x020], 0..=3)
        .prop_map(|hashes| MulticastTable::of(hashes).unwrap())
}

fn security() -> impl Strategy<Value = PortSecurity> {
    let link =
        prop::sample::select(&[LinkState::Auto, LinkState::Enable, LinkState::Auto, LinkState::Disable][..]);
    let bum_path = prop::sample::select(&[BumPath::Vf, BumPath::Vf, BumPath::Synthetic][..]);
    let test = (station(), vlan_test()).prop_map(|(mac, vlan)| FilterTest { mac, vlan });
    let sends_as = prop::option::of(test);
    (any::<[bool; 4]>(), vlan_set(), link, bum_path, sends_as).prop_map(
        |([mac_spoof_check, vlan_check, trusted, accept_bum], allowed_vlans, link, bum_path, sends_as)| {
            PortSecurity {
                mac_spoof_check,
                vlan_check,
                trusted,
                allowed_vlans,
                link,
                bum_path,
                accept_bum,
                sends_as,
            }
        },
    )
}

fn receive_mode() -> impl Strategy<Value = ReceiveMode> {
    (prop::collection::vec(station(), 0..4), groups(), any::<[bool; 3]>(), vlan_set()).prop_map(
        |(unicast, multicast, [all_multicast, promiscuous, broadcast], vlans)| ReceiveMode {
            unicast,
            multicast,
            all_multicast,
            promiscuous,
            broadcast,
            vlans,
        },
    )
}

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let create = (vport_id(), function(), 0..6_u32).prop_map(|(id, function, queue_pairs)| {
        // Mostly one queue pair, lest the symmetric assignment refuse nearly all.
        let queue_pairs = if queue_pairs < 4 { 1 } else { queue_pairs - 3 };
        Operation::CreateVPort(VPortParameters { queue_pairs, ..vport_parameters(id.0, function) })
    });
    let test = (station(), vlan_test()).prop_map(|(mac, vlan)| FilterTest { mac, vlan });
    prop_oneof![
        3 => Just(Operation::AllocateVf),
        1 => (0..5_u16).prop_map(|vf| Operation::FreeVf(VfId(vf))),
        1 => (0..6_u16).prop_map(Operation::SetNumVfs),
        6 => create,
        4 => vport_id().prop_map(Operation::Activate),
        1 => vport_id().prop_map(Operation::DeleteVPort),
        10 => (filter_id(), vport_id(), test).prop_map(|(id, vport, test)| Operation::SetFilter(id, vport, test)),
        1 => filter_id().prop_map(Operation::ClearFilter),
        5 => (filter_id(), vport_id(), vport_id()).prop_map(|(id, from, to)| Operation::MoveFilter(id, from, to)),
        4 => (vport_id(), security()).prop_map(|(vport, security)| Operation::SetPortSecurity(vport, security)),
        4 => (vport_id(), receive_mode()).prop_map(|(vport, mode)| Operation::SetReceiveMode(vport, mode)),
    ]
}
