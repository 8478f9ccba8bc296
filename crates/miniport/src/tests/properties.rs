//! Random sequences of requests by two clients and the guests, against what must always hold.

use std::collections::{BTreeMap, BTreeSet};

use nic_switch::{
    Capabilities, FilterId, FilterTest, FunctionId, InterruptModeration, PortSecurity, ProcessorAffinity,
    VPort, VPortChanges, VPortId, VPortState, Vf, VfId, VlanTest,
};
use proptest::prelude::*;

use super::raw::raw;
use super::support::{OTHER, STACK, adapter_of, capabilities, config, mac, vf_parameters};
use crate::pf::{PfRequest, XcastMode};
use crate::trace::{Event, record, replay};
use crate::{
    Adapter, AdapterConfig, ClientId, NdisStatus, NewVPort, OidRequest, Payload, PowerState, SwitchChanges,
};

fn vf() -> impl Strategy<Value = VfId> {
    prop_oneof![9 => 0_u16..5, 1 => Just(0xFFFF)].prop_map(VfId)
}

fn vport() -> impl Strategy<Value = VPortId> {
    prop_oneof![9 => 0_u32..9, 1 => Just(u32::MAX)].prop_map(VPortId)
}

fn filter() -> impl Strategy<Value = FilterId> {
    (0_u32..12).prop_map(FilterId)
}

fn test() -> impl Strategy<Value = FilterTest> {
    let vlan =
        prop_oneof![Just(VlanTest::Any), Just(VlanTest::UntaggedOrZero), (0_u16..4).prop_map(VlanTest::Id)];
    (1_u8..9, vlan).prop_map(|(last, vlan)| FilterTest { mac: mac(last), vlan })
}

fn new_vport() -> impl Strategy<Value = NewVPort> {
    // As bytes, VF 0xFFFF would be the PF.
    let function = prop_oneof![Just(FunctionId::Pf), (0_u16..5).prop_map(|vf| FunctionId::Vf(VfId(vf)))];
    (function, 0_u32..5, any::<bool>()).prop_map(|(function, queue_pairs, affine)| {
        let is_pf = function == FunctionId::Pf;
        let affinity = (is_pf == affine).then_some(ProcessorAffinity { group: 0, mask: 1 });
        let interrupt_moderation = InterruptModeration::Undefined;
        NewVPort { function, queue_pairs, interrupt_moderation, affinity, name: String::new() }
    })
}

fn request() -> impl Strategy<Value = OidRequest> {
    let state = prop_oneof![Just(VPortState::Activated), Just(VPortState::Deactivated)];
    prop_oneof![
        4 => Just(OidRequest::AllocateVf(vf_parameters())),
        3 => vf().prop_map(OidRequest::FreeVf),
        6 => new_vport().prop_map(OidRequest::CreateVPort),
        3 => vport().prop_map(OidRequest::DeleteVPort),
        1 => (vport(), state).prop_map(|(vport, state)| OidRequest::SetVPortParameters {
            vport,
            changes: VPortChanges { state: Some(state), ..VPortChanges::default() },
        }),
        6 => (vport(), test()).prop_map(|(vport, test)| OidRequest::SetFilter { vport, test }),
        3 => filter().prop_map(OidRequest::ClearFilter),
        5 => (filter(), vport(), vport()).prop_map(|(filter, from, to)| OidRequest::MoveFilter { filter, from, to }),
        1 => vf().prop_map(OidRequest::ResetVf),
        1 => vf().prop_map(|vf| OidRequest::SetVfPowerState { vf, state: PowerState::D3, wake_enable: false }),
        1 => (vport(), any::<bool>(), any::<bool>()).prop_map(|(vport, trusted, sends_as)| OidRequest::SetPortSecurity {
            vport,
            security: Box::new(PortSecurity {
                trusted,
                sends_as: sends_as.then_some(FilterTest { mac: ethernet::MacAddr([2, 0, 0, 0, 0, 9]), vlan: VlanTest::Id(7) }),
                ..PortSecurity::default()
            }),
        }),
        1 => (0_u16..6).prop_map(|num_vfs| OidRequest::SetSwitchParameters(SwitchChanges { name: None, num_vfs })),
    ]
}

fn guest_request() -> impl Strategy<Value = PfRequest> {
    prop_oneof![
        Just(PfRequest::Reset),
        (1_u8..9).prop_map(|last| PfRequest::SetMac(mac(last))),
        (1_u8..30).prop_map(|last| PfRequest::AddUnicast(mac(last))),
        prop::collection::vec(1_u8..30, 0..8)
            .prop_map(|macs| PfRequest::SetUnicast(macs.into_iter().map(mac).collect())),
        (0_u16..5000).prop_map(PfRequest::AddVlan),
        Just(PfRequest::SetXcast(XcastMode::Promiscuous)),
        (0_u32..12000).prop_map(PfRequest::SetMaxFrame),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Typed(ClientId, OidRequest),
    Raw(ClientId, OidRequest),
    Guest(VfId, u64, PfRequest),
    Link(bool),
    Close(ClientId),
    Restart,
}

fn client() -> impl Strategy<Value = ClientId> {
    prop_oneof![3 => Just(STACK), 1 => Just(OTHER)]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (client(), request()).prop_map(|(client, request)| Step::Typed(client, request)),
        8 => (client(), request()).prop_map(|(client, request)| Step::Raw(client, request)),
        4 => (vf(), 1_u64..8, guest_request()).prop_map(|(vf, generation, request)| {
            Step::Guest(vf, 1 << 32 | generation, request)
        }),
        1 => any::<bool>().prop_map(Step::Link),
        1 => client().prop_map(Step::Close),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..60)
}

fn pools() -> impl Strategy<Value = AdapterConfig> {
    (any::<bool>(), any::<bool>()).prop_map(|(single_vport_pool, asymmetric_queue_pairs)| AdapterConfig {
        capabilities: Capabilities { single_vport_pool, asymmetric_queue_pairs, ..capabilities() },
        ..config()
    })
}

/// What the clients made, as they were told.
#[derive(Default)]
struct Model {
    filters: BTreeMap<FilterId, (ClientId, VPortId)>,
    vports: BTreeMap<VPortId, ClientId>,
    vfs: BTreeMap<VfId, ClientId>,
}

impl Model {
    /// Follows a request that succeeded; fails if its client had no right to it.
    fn follow(&mut self, client: ClientId, request: &OidRequest, payload: &Payload) {
        match (request, payload) {
            (OidRequest::AllocateVf(_), Payload::Vf(info)) => {
                assert_eq!(self.vfs.insert(info.vf, client), None);
            }
            (OidRequest::FreeVf(vf), _) => assert_eq!(self.vfs.remove(vf), Some(client)),
            (OidRequest::CreateVPort(vport), Payload::VPort(info)) => {
                assert_ne!(info.vport, VPortId::DEFAULT);
                assert_eq!(self.vports.insert(info.vport, client), None);
                if let FunctionId::Vf(vf) = vport.function {
                    assert_eq!(self.vfs[&vf], client);
                }
            }
            (OidRequest::DeleteVPort(vport), _) => assert_eq!(self.vports.remove(vport), Some(client)),
            (OidRequest::SetFilter { vport, .. }, Payload::Filter(info)) => {
                assert_eq!(self.filters.insert(info.filter, (client, *vport)), None);
                self.may_use(client, *vport);
            }
            (OidRequest::ClearFilter(filter), _) => {
                assert_eq!(self.filters.remove(filter).unwrap().0, client);
            }
            (OidRequest::MoveFilter { filter, from, to }, _) => {
                assert_eq!(self.filters.insert(*filter, (client, *to)), Some((client, *from)));
                self.may_use(client, *to);
            }
            (OidRequest::SetPortSecurity { vport, .. } | OidRequest::SetVPortParameters { vport, .. }, _) => {
                self.may_use(client, *vport);
            }
            _ => (),
        }
    }

    fn may_use(&self, client: ClientId, vport: VPortId) {
        assert!(vport == VPortId::DEFAULT || self.vports[&vport] == client);
    }

    fn close(&mut self, client: ClientId) {
        self.filters.retain(|_, (owner, _)| *owner != client);
        self.vports.retain(|_, owner| *owner != client);
        self.vfs.retain(|_, owner| *owner != client);
    }

    /// The adapter has exactly what the clients made, each filter on one VPort, and within its budgets.
    fn check(&self, adapter: &Adapter) {
        let switch = adapter.switch().unwrap();
        let filters: BTreeMap<_, _> = switch.filters().map(|filter| (filter.id(), filter.vport())).collect();
        assert_eq!(filters, self.filters.iter().map(|(id, (_, vport))| (*id, *vport)).collect());
        let mut seen = BTreeSet::new();
        for vport in switch.vports() {
            for filter in switch.filters_on(vport.id()) {
                assert!(seen.insert(filter.id()), "{} stands twice", filter.id());
            }
        }
        assert_eq!(seen.len(), filters.len());
        let vports: BTreeSet<_> = switch.vports().map(VPort::id).collect();
        assert_eq!(vports, self.vports.keys().copied().chain([VPortId::DEFAULT]).collect());
        let vfs: BTreeSet<_> = switch.vfs().map(Vf::id).collect();
        assert_eq!(vfs, self.vfs.keys().copied().collect());

        let capabilities = switch.capabilities();
        let queue_pairs: u32 = switch.vports().map(VPort::queue_pairs).sum();
        assert!(queue_pairs <= capabilities.max_queue_pairs);
        assert!(vports.iter().all(|vport| vport.0 < capabilities.max_vports));
        assert!(vfs.iter().all(|vf| vf.0 < switch.num_vfs()));
        for vf in &vfs {
            assert!(switch.vports().filter(|vport| vport.function() == FunctionId::Vf(*vf)).count() <= 1);
        }
        let of_pf = switch.vports().filter(|vport| vport.function() == FunctionId::Pf).count() - 1;
        assert!(of_pf <= usize::try_from(capabilities.max_nondefault_pf_vports()).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Ids are unique, a filter stands on exactly one VPort, budgets hold, and only creators change what they made; and the
    /// trace of it all replays.
    #[test]
    fn whatever_is_asked_the_invariants_hold(config in pools(), steps in steps()) {
        let mut adapter = adapter_of(config.clone());
        let mut model = Model::default();
        let mut trace = String::new();
        for step in steps {
            let events = match &step {
                Step::Typed(client, request) => {
                    vec![Event::Request { client: *client, request: request.clone().into() }]
                }
                Step::Raw(client, request) => {
                    vec![Event::Request { client: *client, request: raw(request).into() }]
                }
                Step::Guest(vf, generation, request) => {
                    vec![Event::VfRequest { vf: *vf, generation: *generation, request: request.clone() }]
                }
                Step::Link(up) => vec![Event::Link { up: *up }],
                Step::Close(client) => vec![Event::Close { client: *client }],
                Step::Restart => vec![Event::Halt, Event::Start],
            };
            let before = adapter.switch().cloned();
            for event in events {
                let (record, _) = record(&mut adapter, event);
                trace += &record.to_line();
                trace.push('\n');
                let crate::trace::Answer::Response(response) = record.answer else { continue };
                if response.status != NdisStatus::Success && response.status != NdisStatus::ReinitRequired {
                    prop_assert_eq!(adapter.switch(), before.as_ref());
                }
                // The answers of raw requests are bytes; their typed twins are followed by the model.
                if let Step::Typed(client, request) = &step && response.status == NdisStatus::Success {
                    model.follow(*client, request, &response.payload);
                }
                if let Step::Raw(client, request) = &step && response.status == NdisStatus::Success {
                    let payload = typed_payload(&adapter, request, &response.payload);
                    model.follow(*client, request, &payload);
                }
            }
            match step {
                Step::Close(client) => model.close(client),
                Step::Restart => model = Model::default(),
                _ => (),
            }
            model.check(&adapter);
        }
        let report = replay(&trace, &mut adapter_of(config)).unwrap();
        prop_assert_eq!(report.records, trace.lines().count());
    }
}

/// What a raw answer says about a new object, by the id in it.
fn typed_payload(adapter: &Adapter, request: &OidRequest, payload: &Payload) -> Payload {
    let Payload::Raw(bytes) = payload else { return Payload::None };
    let u32_at = |offset: usize| u32::from_le_bytes(bytes[offset..offset + 4].try_into().unwrap());
    let query = match request {
        OidRequest::AllocateVf(_) => {
            OidRequest::VfParameters(VfId(u16::from_le_bytes(bytes[0x65A..0x65C].try_into().unwrap())))
        }
        OidRequest::CreateVPort(_) => OidRequest::VPortParameters(VPortId(u32_at(12))),
        OidRequest::SetFilter { .. } => OidRequest::FilterParameters(FilterId(u32_at(16))),
        _ => return Payload::None,
    };
    adapter.query(&query).unwrap()
}
