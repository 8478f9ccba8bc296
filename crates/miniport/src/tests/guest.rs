//! What a VF's guest gets and does not get by its mailbox.

use ethernet::MacAddr;
use nic_switch::{FilterTest, LinkState, PortSecurity, ReceiveMode, VPortId, VfId, VlanSet, VlanTest};

use super::support::{Bench, mac, test, vf_parameters};
use crate::pf::{Grant, PfRefusal, PfReply, PfRequest, XcastMode};
use crate::{Action, OidRequest, Payload};

const AS_ASKED: PfReply = PfReply::Granted(Grant::AsAsked);

/// A guest on VF 0, whose assigned address is 02:00:00:00:00:01.
struct Guest {
    bench: Bench,
    vf: VfId,
    vport: VPortId,
    generation: u64,
    actions: Vec<Action>,
}

impl Guest {
    fn new() -> Self {
        let mut bench = Bench::new();
        let (vf, vport) = bench.attached_vf();
        let generation = bench.generation(vf);
        Self { bench, vf, vport, generation, actions: Vec::new() }
    }

    fn trusted() -> Self {
        let mut guest = Self::new();
        guest.secure(PortSecurity { trusted: true, ..PortSecurity::default() });
        guest
    }

    fn secure(&mut self, security: PortSecurity) {
        let request = OidRequest::SetPortSecurity { vport: self.vport, security: Box::new(security) };
        self.bench.done(request);
    }

    fn ask(&mut self, request: PfRequest) -> PfReply {
        let (reply, actions) = self.bench.adapter.vf_request(self.vf, self.generation, request);
        self.actions = actions;
        reply
    }

    /// Asks, and expects a refusal that changes nothing.
    fn refused(&mut self, request: PfRequest) -> PfRefusal {
        let before = self.bench.state();
        match self.ask(request) {
            PfReply::Refused(refusal) => {
                assert_eq!(self.actions, []);
                assert_eq!(self.bench.state(), before);
                refusal
            }
            PfReply::Granted(grant) => panic!("{grant:?}"),
        }
    }

    fn mode(&mut self) -> ReceiveMode {
        match self.bench.done(OidRequest::ReceiveMode(self.vport)) {
            Payload::ReceiveMode { mode, .. } => *mode,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_assigned_address_is_granted() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(PfRequest::SetMac(mac(1))), AS_ASKED);
    assert_eq!(guest.actions, []);
    assert_eq!(guest.ask(PfRequest::AddUnicast(mac(1))), AS_ASKED);
    assert_eq!(guest.mode(), ReceiveMode::default());
}

#[test]
fn an_address_of_its_own_filter_is_granted() {
    let mut guest = Guest::new();
    let (vport, own) = (guest.vport, test(3));
    guest.bench.set_filter(vport, own);
    assert_eq!(guest.ask(PfRequest::SetMac(mac(3))), AS_ASKED);
}

#[test]
fn another_address_is_for_trusted_guests() {
    let mut guest = Guest::new();
    assert_eq!(guest.refused(PfRequest::SetMac(mac(2))), PfRefusal::NotTrusted(mac(2)));
    assert_eq!(guest.refused(PfRequest::AddUnicast(mac(2))), PfRefusal::NotTrusted(mac(2)));
    assert_eq!(guest.refused(PfRequest::SetUnicast(vec![mac(1), mac(2)])), PfRefusal::NotTrusted(mac(2)));
    assert_eq!(guest.ask(PfRequest::SetUnicast(vec![])), AS_ASKED);

    let mut guest = Guest::trusted();
    assert_eq!(guest.ask(PfRequest::SetMac(mac(2))), AS_ASKED);
    assert_eq!(guest.actions, [Action::PublishForwarding]);
    assert_eq!(guest.mode().unicast, [mac(2)]);
}

#[test]
fn the_address_in_use_survives_another_list_and_is_replaced_by_another_address() {
    let mut guest = Guest::trusted();
    guest.ask(PfRequest::SetMac(mac(2)));
    guest.ask(PfRequest::SetUnicast(vec![mac(3), mac(4), mac(3), mac(2), mac(1)]));
    assert_eq!(guest.mode().unicast, [mac(2), mac(3), mac(4)]);
    guest.ask(PfRequest::SetMac(mac(5)));
    assert_eq!(guest.mode().unicast, [mac(3), mac(4), mac(5)]);
    guest.ask(PfRequest::SetMac(mac(1)));
    guest.ask(PfRequest::AddUnicast(mac(6)));
    guest.ask(PfRequest::AddUnicast(mac(6)));
    assert_eq!(guest.mode().unicast, [mac(3), mac(4), mac(6)]);
    guest.ask(PfRequest::SetUnicast(vec![]));
    assert_eq!(guest.mode().unicast, []);
}

#[test]
fn s01_an_address_that_is_no_unicast_address_is_refused_to_all() {
    let mut guest = Guest::trusted();
    for bad in [MacAddr::ZERO, MacAddr::BROADCAST, MacAddr([1, 0, 0x5E, 0, 0, 1])] {
        assert_eq!(guest.refused(PfRequest::SetMac(bad)), PfRefusal::NotUnicast(bad));
        assert_eq!(guest.refused(PfRequest::AddUnicast(bad)), PfRefusal::NotUnicast(bad));
        assert_eq!(guest.refused(PfRequest::SetUnicast(vec![bad])), PfRefusal::NotUnicast(bad));
    }
}

#[test]
fn s07_a_trusted_guest_cannot_take_the_address_of_another_vport() {
    let mut guest = Guest::trusted();
    guest.bench.set_filter(VPortId::DEFAULT, test(9));
    assert_eq!(guest.refused(PfRequest::SetMac(mac(9))), PfRefusal::AddressRefused);
    assert_eq!(guest.refused(PfRequest::AddUnicast(mac(9))), PfRefusal::AddressRefused);
}

#[test]
fn s06_addresses_beyond_the_budget_are_refused_and_the_stack_keeps_its_own() {
    let mut guest = Guest::trusted();
    let many = |count: u8| (100..100 + count).map(mac).collect::<Vec<_>>();
    assert_eq!(guest.refused(PfRequest::SetUnicast(many(129))), PfRefusal::TooManyAddresses(129));
    assert_eq!(guest.refused(PfRequest::SetUnicast(many(12))), PfRefusal::AddressRefused);
    let granted = (100..200).filter(|&last| guest.ask(PfRequest::AddUnicast(mac(last))) == AS_ASKED).count();
    assert!(granted > 0);
    // One address for every VPort is left for the stack's filters.
    for last in 10..18 {
        guest.bench.set_filter(VPortId::DEFAULT, test(last));
    }
}

#[test]
fn multicast_follows_table_and_mode() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(PfRequest::SetMulticast(vec![1, 0xFFF])), AS_ASKED);
    assert_eq!(guest.mode().multicast.iter().collect::<Vec<_>>(), [1, 0xFFF]);
    assert_eq!(guest.refused(PfRequest::SetMulticast(vec![2, 0x1000])), PfRefusal::HashOutOfRange(0x1000));

    // (asked, broadcast, table in use, every group)
    for (mode, broadcast, all) in
        [(XcastMode::None, false, false), (XcastMode::Multi, true, false), (XcastMode::AllMulti, true, true)]
    {
        assert_eq!(guest.ask(PfRequest::SetXcast(mode)), PfReply::Granted(Grant::Xcast(mode)));
        let now = guest.mode();
        assert_eq!((now.broadcast, now.all_multicast, now.promiscuous), (broadcast, all, false), "{mode:?}");
        assert_eq!(now.multicast.is_empty(), !broadcast, "{mode:?}");
    }
    guest.ask(PfRequest::SetMulticast(vec![]));
    assert!(guest.mode().multicast.is_empty());
}

#[test]
fn promiscuous_is_for_trusted_guests_and_lowered_for_others() {
    let mut guest = Guest::new();
    let reply = guest.ask(PfRequest::SetXcast(XcastMode::Promiscuous));
    assert_eq!(reply, PfReply::Granted(Grant::Xcast(XcastMode::AllMulti)));
    assert!(!guest.mode().promiscuous);

    let mut guest = Guest::trusted();
    let reply = guest.ask(PfRequest::SetXcast(XcastMode::Promiscuous));
    assert_eq!(reply, PfReply::Granted(Grant::Xcast(XcastMode::Promiscuous)));
    assert!(guest.mode().promiscuous && guest.mode().all_multicast);
}

#[test]
fn vlan_zero_and_every_removal_are_granted() {
    let mut guest = Guest::new();
    let (vport, untagged) = (guest.vport, test(1));
    guest.bench.set_filter(vport, untagged);
    for request in [
        PfRequest::AddVlan(0),
        PfRequest::RemoveVlan(0),
        PfRequest::RemoveVlan(77),
        PfRequest::RemoveVlan(4095),
        PfRequest::RemoveVlan(u16::MAX),
    ] {
        assert_eq!(guest.ask(request), AS_ASKED);
        assert_eq!(guest.actions, []);
    }
}

#[test]
fn s07_a_vlan_is_for_trunks_and_within_what_the_stack_allows() {
    for (vlan, expected) in [
        (VlanTest::UntaggedOrZero, Err(PfRefusal::NotTrunk(7))),
        (VlanTest::Id(7), Err(PfRefusal::NotTrunk(7))),
        (VlanTest::Any, Ok(())),
    ] {
        let mut guest = Guest::new();
        guest.secure(PortSecurity { allowed_vlans: VlanSet::of([7]).unwrap(), ..PortSecurity::default() });
        let vport = guest.vport;
        guest.bench.set_filter(vport, FilterTest { mac: mac(1), vlan });
        match expected {
            Err(refusal) => assert_eq!(guest.refused(PfRequest::AddVlan(7)), refusal),
            Ok(()) => {
                assert_eq!(guest.ask(PfRequest::AddVlan(7)), AS_ASKED);
                assert_eq!(guest.mode().vlans, VlanSet::of([7]).unwrap());
                assert_eq!(guest.refused(PfRequest::AddVlan(8)), PfRefusal::VlanNotAllowed(8));
                assert_eq!(guest.ask(PfRequest::RemoveVlan(7)), AS_ASKED);
                assert!(guest.mode().vlans.is_empty());
            }
        }
        assert_eq!(guest.refused(PfRequest::AddVlan(4095)), PfRefusal::VlanOutOfRange(4095));
        assert_eq!(guest.refused(PfRequest::AddVlan(0x1007)), PfRefusal::VlanOutOfRange(0x1007));
    }
}

#[test]
fn before_the_first_filter_a_vlan_is_a_matter_of_what_the_stack_allows() {
    let mut guest = Guest::new();
    assert_eq!(guest.refused(PfRequest::AddVlan(7)), PfRefusal::VlanNotAllowed(7));
    guest.secure(PortSecurity { vlan_check: false, ..PortSecurity::default() });
    assert_eq!(guest.ask(PfRequest::AddVlan(7)), AS_ASKED);
}

#[test]
fn frame_sizes_have_bounds() {
    let mut guest = Guest::new();
    let (vf, generation) = (guest.vf, guest.generation);
    for bytes in [0, 85, 9729, u32::MAX] {
        assert_eq!(guest.refused(PfRequest::SetMaxFrame(bytes)), PfRefusal::FrameSize(bytes));
    }
    for bytes in [86, 9728] {
        assert_eq!(guest.ask(PfRequest::SetMaxFrame(bytes)), AS_ASKED);
        assert_eq!(guest.actions, [Action::MaxFrameChanged { vf, generation, bytes }]);
        assert_eq!(guest.ask(PfRequest::SetMaxFrame(bytes)), AS_ASKED);
        assert_eq!(guest.actions, []);
    }
}

#[test]
fn the_link_is_told() {
    let mut guest = Guest::new();
    let link = |enabled, up| PfReply::Granted(Grant::Link { enabled, up });
    assert_eq!(guest.ask(PfRequest::QueryLink), link(true, false));
    guest.bench.adapter.set_link(true);
    assert_eq!(guest.ask(PfRequest::QueryLink), link(true, true));
    guest.secure(PortSecurity { link: LinkState::Disable, ..PortSecurity::default() });
    assert_eq!(guest.ask(PfRequest::QueryLink), link(false, false));
}

/// Grants everything that there is.
fn grant_all(guest: &mut Guest) {
    for request in [
        PfRequest::SetMac(mac(2)),
        PfRequest::AddUnicast(mac(3)),
        PfRequest::SetMulticast(vec![5]),
        PfRequest::SetXcast(XcastMode::Promiscuous),
        PfRequest::AddVlan(7),
        PfRequest::SetMaxFrame(9000),
    ] {
        assert!(matches!(guest.ask(request), PfReply::Granted(_)));
    }
}

fn permissive() -> Guest {
    let mut guest = Guest::new();
    guest.secure(PortSecurity { trusted: true, allowed_vlans: VlanSet::all(), ..PortSecurity::default() });
    guest
}

#[test]
fn a_reset_takes_back_everything_that_was_granted() {
    let mut guest = permissive();
    grant_all(&mut guest);
    let (vf, generation) = (guest.vf, guest.generation);
    assert_eq!(guest.ask(PfRequest::Reset), PfReply::Granted(Grant::Reset { mac: Some(mac(1)) }));
    let expected = [Action::MaxFrameChanged { vf, generation, bytes: 1518 }, Action::PublishForwarding];
    assert_eq!(guest.actions, expected);
    assert_eq!(guest.mode(), ReceiveMode::default());
    // Not even the table comes back with the mode.
    guest.ask(PfRequest::SetXcast(XcastMode::Multi));
    assert_eq!(guest.mode(), ReceiveMode::default());
    assert_eq!(guest.ask(PfRequest::Reset), PfReply::Granted(Grant::Reset { mac: Some(mac(1)) }));
    assert_eq!(guest.actions, []);
}

#[test]
fn u12_a_function_level_reset_takes_back_the_same() {
    let mut guest = permissive();
    grant_all(&mut guest);
    let (vf, generation) = (guest.vf, guest.generation);
    guest.bench.done(OidRequest::ResetVf(vf));
    assert_eq!(
        guest.bench.actions,
        [
            Action::ResetVf { vf, generation },
            Action::MaxFrameChanged { vf, generation, bytes: 1518 },
            Action::PublishForwarding
        ]
    );
    assert_eq!(guest.mode(), ReceiveMode::default());
}

#[test]
fn what_was_granted_ends_with_the_vport() {
    let mut guest = permissive();
    grant_all(&mut guest);
    let (vf, vport) = (guest.vf, guest.vport);
    guest.bench.done(OidRequest::DeleteVPort(vport));
    assert_eq!(guest.refused(PfRequest::SetMaxFrame(1000)), PfRefusal::NoVPort(vf));
    let block = OidRequest::ReadVfConfigBlock { vf, block: 0, length: 12 };
    let Payload::Bytes(bytes) = guest.bench.done(block) else { panic!() };
    assert_eq!((&bytes[..6], &bytes[8..]), (&mac(1).0[..], &1518_u32.to_le_bytes()[..]));
}

#[test]
fn a_vf_without_an_assigned_address_resets_without_one() {
    let mut bench = Bench::new();
    let mut parameters = vf_parameters();
    (parameters.permanent_mac, parameters.current_mac) = (MacAddr::ZERO, MacAddr::ZERO);
    bench.done(OidRequest::AllocateVf(parameters));
    let vf = VfId(0);
    let generation = bench.generation(vf);
    let (reply, _) = bench.adapter.vf_request(vf, generation, PfRequest::Reset);
    assert_eq!(reply, PfReply::Granted(Grant::Reset { mac: None }));
}

#[test]
fn a_request_of_an_earlier_holder_touches_nothing() {
    let mut guest = permissive();
    let (vf, vport, old) = (guest.vf, guest.vport, guest.generation);
    guest.bench.done(OidRequest::DeleteVPort(vport));
    guest.bench.done(OidRequest::FreeVf(vf));
    let (again, vport) = guest.bench.attached_vf();
    assert_eq!(again, vf);
    (guest.vport, guest.generation) = (vport, guest.bench.generation(vf));
    grant_or_refuse_all_as(&mut guest, old);
    assert_eq!(guest.mode(), ReceiveMode::default());
}

fn grant_or_refuse_all_as(guest: &mut Guest, generation: u64) {
    let current = guest.generation;
    guest.generation = generation;
    for request in [
        PfRequest::Reset,
        PfRequest::SetMac(mac(1)),
        PfRequest::SetMulticast(vec![5]),
        PfRequest::SetXcast(XcastMode::None),
        PfRequest::SetMaxFrame(9000),
        PfRequest::QueryLink,
    ] {
        let refusal = guest.refused(request);
        assert_eq!(refusal, PfRefusal::StaleGeneration { found: generation, current });
    }
    guest.generation = current;
}

#[test]
fn a_vf_that_is_gone_and_an_adapter_that_is_halted_refuse_everything() {
    let mut guest = Guest::new();
    let vf = VfId(3);
    let (reply, actions) = guest.bench.adapter.vf_request(vf, 1, PfRequest::Reset);
    assert_eq!((reply, actions), (PfReply::Refused(PfRefusal::UnknownVf(vf)), vec![]));
    guest.bench.adapter.halt();
    assert_eq!(guest.ask(PfRequest::Reset), PfReply::Refused(PfRefusal::Halted));
}

#[test]
fn trust_that_is_withdrawn_is_withdrawn_at_once() {
    let mut guest = Guest::trusted();
    let (vport, own) = (guest.vport, test(1));
    guest.bench.set_filter(vport, own);
    guest.ask(PfRequest::AddUnicast(mac(2)));
    let sends_as = |guest: &Guest, source| {
        let forwarding = guest.bench.adapter.forwarding().unwrap();
        let mut deliveries = nic_switch::Deliveries::for_adapter(&super::support::capabilities());
        let frame = nic_switch::Ingress {
            from: nic_switch::Source::VPort(guest.vport),
            destination: mac(200),
            source,
            tag: None,
            ethertype: 0x0800,
        };
        forwarding.decide(&frame, &mut deliveries).is_ok()
    };
    assert!(sends_as(&guest, mac(1)) && sends_as(&guest, mac(2)));
    guest.secure(PortSecurity::default());
    assert!(sends_as(&guest, mac(1)) && !sends_as(&guest, mac(2)));
}
