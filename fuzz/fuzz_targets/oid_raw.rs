//! OID requests as bytes, by two clients and NDIS, on an adapter on which something stands.
//!
//! A request that is refused changes nothing and leaves nothing to do. Statuses, lengths and payload agree; if a
//! buffer was too short, the answer says how long it must be, and with that length it is not too short for the same
//! reason. What a client did not make it cannot change or remove.

#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use ethernet::MacAddr;
use libfuzzer_sys::fuzz_target;
use miniport::{
    Adapter, AdapterConfig, ClientId, Keywords, NdisStatus, NewVPort, Oid, OidRequest, OidResponse, Payload,
    RawRequest, RequestType, SwitchCreation,
};
use nic_switch::{
    Capabilities, Filter, FilterId, FilterTest, FunctionId, InterruptModeration, NicSwitch, SwitchParameters,
    VPortId, Vf, VfId, VfParameters, VlanTest,
};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid, VfProfile};

const TOTAL_VFS: u16 = 4;
const CLIENTS: [ClientId; 2] = [ClientId(1), ClientId(2)];
/// Enough for every answer.
const PLENTY: u32 = 0x1_0000;

#[derive(Arbitrary, Clone, Debug)]
enum Input<'a> {
    /// The structure that the OID takes, with these 16-bit words at these places, and bytes behind it.
    Structure(Vec<(u16, u16)>, &'a [u8]),
    Bytes(&'a [u8]),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    /// One that the OID has.
    Own,
    Any(u8),
}

#[derive(Arbitrary, Debug)]
enum Step<'a> {
    Raw {
        client: u8,
        oid: u8,
        kind: Kind,
        input: Input<'a>,
        output: Option<u16>,
    },
    UnknownOid(u32),
    AllocateVf(bool),
    CreateVPort {
        client: bool,
        vf: Option<u8>,
        queue_pairs: u8,
    },
    SetFilter {
        client: bool,
        vport: u8,
        mac: u8,
        vlan: Option<u8>,
    },
    /// Of what stands there, the `index`-th.
    Remove {
        client: bool,
        what: u8,
        index: u8,
    },
    MoveFilter {
        client: bool,
        index: u8,
        to: u8,
    },
    Close(bool),
    Restart,
}

/// Revision and size of the structure that a request of `oid` brings (ndis.md B).
fn structure(oid: Oid) -> (u8, u16) {
    match oid {
        Oid::NicSwitchCreateSwitch | Oid::NicSwitchParameters => (2, 552),
        Oid::NicSwitchDeleteSwitch | Oid::NicSwitchDeleteVPort => (1, 12),
        Oid::NicSwitchAllocateVf | Oid::NicSwitchVfParameters => (1, 0x660),
        Oid::NicSwitchFreeVf => (1, 10),
        Oid::NicSwitchEnumVfs => (1, 24),
        Oid::NicSwitchCreateVPort | Oid::NicSwitchVPortParameters => (1, 0x23c),
        Oid::NicSwitchEnumVPorts => (1, 28),
        Oid::ReceiveFilterEnumFilters => (2, 28),
        Oid::ReceiveFilterSetFilter | Oid::ReceiveFilterParameters => (2, 44),
        Oid::ReceiveFilterClearFilter => (1, 16),
        Oid::ReceiveFilterMoveFilter => (1, 24),
        Oid::SriovResetVf => (1, 6),
        Oid::SriovSetVfPowerState => (1, 13),
        Oid::SriovVfVendorDeviceId => (1, 10),
        Oid::SriovBarResources | Oid::VfSerialNumber => (1, 12),
        Oid::VPortPortSecurity => (1, 540),
        Oid::VPortReceiveMode => (1, 1048),
        _ => (1, 20),
    }
}

/// What stands in that structure besides zeros, so that it says something that could be.
fn members(oid: Oid) -> &'static [(usize, &'static [u8])] {
    match oid {
        Oid::NicSwitchCreateSwitch => &[(8, &[1]), (532, &[4]), (548, &[1])],
        Oid::NicSwitchParameters => &[(532, &[4])],
        Oid::NicSwitchAllocateVf => &[(0x618, &[6]), (0x65a, &[0xff; 6])],
        Oid::NicSwitchCreateVPort => &[(0x218, &[1])],
        // One field test, of the destination address, behind the structure.
        Oid::ReceiveFilterSetFilter => &[(8, &[1]), (20, &[44]), (24, &[1]), (28, &[56])],
        Oid::ReceiveFilterEnumFilters => &[(20, &[1])],
        Oid::SriovReadVfConfigSpace | Oid::SriovReadVfConfigBlock => &[(12, &[16]), (16, &[20])],
        Oid::SriovWriteVfConfigSpace | Oid::SriovWriteVfConfigBlock => &[(8, &[4]), (12, &[4]), (16, &[20])],
        Oid::SriovSetVfPowerState => &[(8, &[1])],
        Oid::VPortPortSecurity => &[(4, &[1])],
        Oid::VPortReceiveMode => &[(4, &[1]), (13, &[4]), (20, &[6])],
        _ => &[],
    }
}

/// A test of the destination address 02:00:00:00:00:09.
fn mac_test() -> Vec<u8> {
    let mut bytes = vec![0; 56];
    for (at, value) in [(0, &[0x80, 1, 56][..]), (8, &[1]), (12, &[1]), (16, &[1]), (24, &[2, 0, 0, 0, 0, 9])]
    {
        bytes[at..at + value.len()].copy_from_slice(value);
    }
    bytes
}

fn input(oid: Oid, input: &Input<'_>) -> Vec<u8> {
    let (words, behind) = match input {
        Input::Bytes(bytes) => return bytes.to_vec(),
        Input::Structure(words, behind) => (words, behind),
    };
    let (revision, size) = structure(oid);
    let mut bytes = vec![0; usize::from(size)];
    let [low, high] = size.to_le_bytes();
    bytes[..4].copy_from_slice(&[0x80, revision, low, high]);
    for (at, value) in members(oid) {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    if oid == Oid::ReceiveFilterSetFilter {
        bytes.extend(mac_test());
    }
    bytes.extend_from_slice(behind);
    for (at, word) in words {
        let at = usize::from(*at) % bytes.len();
        let len = 2.min(bytes.len() - at);
        bytes[at..at + len].copy_from_slice(&word.to_le_bytes()[..len]);
    }
    bytes
}

fn config() -> AdapterConfig {
    AdapterConfig {
        keywords: Keywords::default(),
        capabilities: Capabilities {
            max_vfs: TOTAL_VFS,
            max_vports: 8,
            max_queue_pairs: 16,
            max_queue_pairs_per_nondefault_vport: 4,
            max_queue_pairs_for_default_vport: 2,
            max_mac_addresses: 12,
            max_filters: 24,
            vlan_supported: true,
            per_vport_interrupt_moderation: true,
            asymmetric_queue_pairs: true,
            vf_rss: true,
            single_vport_pool: false,
        },
        switch: SwitchParameters {
            num_vfs: TOTAL_VFS,
            queue_pairs_for_default_vport: 1,
            name: String::new(),
        },
        creation: SwitchCreation::Dynamic,
        physical_port: true,
        luid: 7,
    }
}

/// Everything that can be seen from outside: the switch, what is stored for the next start, what NDIS lists, and the
/// VFs' config spaces.
type State = (Option<NicSwitch>, SwitchParameters, Vec<Payload>, Vec<Vec<u8>>);

/// The adapter as its managers see it, and who made what.
struct Bench {
    adapter: Adapter,
    state: State,
    vfs: BTreeMap<VfId, ClientId>,
    vports: BTreeMap<VPortId, ClientId>,
    filters: BTreeMap<FilterId, ClientId>,
}

fn state(adapter: &mut Adapter) -> State {
    let mut requests =
        vec![OidRequest::EnumSwitches, OidRequest::EnumVfs, OidRequest::EnumVPorts { function: None }];
    let vports = adapter.switch().into_iter().flat_map(NicSwitch::vports);
    requests.extend(vports.map(|vport| OidRequest::EnumFilters(vport.id())));
    let payloads =
        requests.into_iter().map(|request| adapter.request(CLIENTS[0], request).0.payload).collect();
    let config = |vf: &pcie::VirtualFunction| {
        let mut bytes = vec![0; 0x160];
        vf.config().read_bytes(0, &mut bytes).expect("config space is longer");
        bytes
    };
    let configs = adapter.function().virtual_functions().iter().map(config).collect();
    (adapter.switch().cloned(), adapter.registry().clone(), payloads, configs)
}

impl Bench {
    fn new() -> Self {
        let profile = PfProfile::x550(TOTAL_VFS, VfProfile::X550);
        let function = PhysicalFunction::create(Rid::from_ari(1, 0), &profile, PfStorage::heap(TOTAL_VFS));
        let (mut adapter, _) =
            Adapter::initialize(config(), function.expect("it fits")).expect("the parameters agree");
        Self {
            state: state(&mut adapter),
            adapter,
            vfs: BTreeMap::new(),
            vports: BTreeMap::new(),
            filters: BTreeMap::new(),
        }
    }

    /// Asks, as NDIS without a client, and checks what holds for every answer.
    fn ask(&mut self, client: Option<ClientId>, request: impl Into<miniport::Request>) -> OidResponse {
        let (response, actions) = match client {
            Some(client) => self.adapter.request(client, request),
            None => self.adapter.request_from_ndis(request),
        };
        let after = state(&mut self.adapter);
        let before = std::mem::replace(&mut self.state, after);
        assert!(!matches!(response.status, NdisStatus::Pending | NdisStatus::RequestAborted));
        assert_eq!(response.status == NdisStatus::Success, response.refusal.is_none(), "{response:?}");
        match response.status {
            NdisStatus::Success => self.follow(client, before.0.as_ref()),
            NdisStatus::ReinitRequired => assert!(actions.is_empty()),
            _ => {
                assert!(actions.is_empty(), "refused, and yet there is something to do: {response:?}");
                assert!(before == self.state, "refused, and yet something changed: {response:?}");
            }
        }
        response
    }

    /// Who made what stands there now; nothing that another made may have changed.
    fn follow(&mut self, client: Option<ClientId>, before: Option<&NicSwitch>) {
        let Some(client) = client else { return };
        let (Some(before), Some(now)) = (before, self.adapter.switch()) else { return };
        let owned =
            |owner: Option<&ClientId>, what: &str| assert_eq!(owner, Some(&client), "{what} is another's");
        for vf in before.vfs().map(Vf::id).filter(|vf| now.vf(*vf).is_none()) {
            owned(self.vfs.remove(&vf).as_ref(), "a VF that was freed");
        }
        for vport in before.vports().filter(|vport| vport.id() != VPortId::DEFAULT) {
            let id = vport.id();
            if now.vport(id).is_none() {
                owned(self.vports.remove(&id).as_ref(), "a VPort that was deleted");
            } else if now.vport(id) != Some(vport) {
                // A filter takes its address from VPorts whose guest had been granted it.
                let unicast =
                    |switch: &NicSwitch| switch.vport(id).map(|vport| vport.receive_mode().unicast.len());
                if unicast(now) >= unicast(before) {
                    owned(self.vports.get(&id), "a VPort that was changed");
                }
            }
        }
        for filter in before.filters().filter(|filter| now.filter(filter.id()) != Some(filter)) {
            owned(self.filters.get(&filter.id()), "a filter that was moved or cleared");
            if now.filter(filter.id()).is_none() {
                self.filters.remove(&filter.id());
            }
        }
        for vf in now.vfs().map(Vf::id) {
            self.vfs.entry(vf).or_insert(client);
        }
        for vport in now.vports().filter(|vport| vport.id() != VPortId::DEFAULT) {
            self.vports.entry(vport.id()).or_insert(client);
        }
        for filter in now.filters() {
            self.filters.entry(filter.id()).or_insert(client);
            let on = filter.vport();
            let stood_there = before.filter(filter.id()).map(Filter::vport) == Some(on);
            assert!(on == VPortId::DEFAULT || stood_there || self.vports.get(&on) == Some(&client));
        }
    }

    fn ask_raw(&mut self, client: Option<ClientId>, mut raw: RawRequest) {
        let mut needed = 0;
        // With the length that the answer names the same structure fits; an array behind it may need more.
        for _ in 0..6 {
            let given = u32::try_from(raw.input.len()).expect("short").min(raw.output_length);
            let response = self.ask(client, raw.clone());
            assert!(response.bytes_written <= raw.output_length, "wrote beyond the buffer: {response:?}");
            match &response.payload {
                Payload::Raw(bytes) => assert_eq!(bytes.len(), response.bytes_written as usize),
                payload => assert!(*payload == Payload::None && response.bytes_written == 0),
            }
            let read = if raw.request_type == RequestType::Query { 0 } else { raw.input.len() };
            let read = if response.status == NdisStatus::Success { read } else { 0 };
            assert_eq!(response.bytes_read as usize, read);
            assert_eq!(
                response.status == NdisStatus::InvalidLength,
                response.bytes_needed > 0,
                "{response:?}"
            );
            if response.bytes_needed == 0 {
                return;
            }
            assert!(response.bytes_needed > given, "{response:?} of {given}");
            assert!(response.bytes_needed > needed, "{response:?} after {needed}");
            needed = response.bytes_needed;
            raw.output_length = raw.output_length.max(needed);
            let len = raw.input.len().max(needed as usize);
            raw.input.resize(len, 0);
        }
        panic!("{raw:?} never fits");
    }

    fn take(&mut self, step: Step<'_>) {
        let client = |second: bool| Some(CLIENTS[usize::from(second)]);
        match step {
            Step::Raw { client, oid, kind, input: wanted, output } => {
                let client = CLIENTS.get(usize::from(client % 4)).copied();
                let oid = Oid::ALL[usize::from(oid) % Oid::ALL.len()];
                // What NDIS itself makes belongs to no client.
                let only_asks = matches!(oid, Oid::SriovProbedBars | Oid::SriovBarResources);
                if client.is_none() && !only_asks {
                    return;
                }
                let request_type = match kind {
                    Kind::Own => oid.handlers()[0].0,
                    Kind::Any(n) => {
                        [RequestType::Query, RequestType::Set, RequestType::Method][usize::from(n % 3)]
                    }
                };
                let output_length = output.map_or(PLENTY, u32::from);
                let raw =
                    RawRequest { request_type, oid: oid.number(), input: input(oid, &wanted), output_length };
                self.ask_raw(client, raw);
            }
            Step::UnknownOid(oid) => {
                let raw =
                    RawRequest { request_type: RequestType::Query, oid, input: vec![], output_length: 64 };
                let response = self.ask(Some(CLIENTS[0]), raw);
                assert_eq!(response.status == NdisStatus::InvalidOid, Oid::from_number(oid).is_none());
            }
            Step::AllocateVf(second) => {
                let mac = MacAddr([2, 0, 0, 0, 1, 0]);
                let name = String::new();
                let parameters = VfParameters {
                    permanent_mac: mac,
                    current_mac: mac,
                    vm_name: name.clone(),
                    vm_friendly_name: name.clone(),
                    nic_name: name,
                };
                self.ask(client(second), OidRequest::AllocateVf(parameters));
            }
            Step::CreateVPort { client: second, vf, queue_pairs } => {
                let function = vf.map_or(FunctionId::Pf, |vf| FunctionId::Vf(VfId(u16::from(vf % 5))));
                let vport = NewVPort {
                    function,
                    queue_pairs: u32::from(queue_pairs % 6),
                    interrupt_moderation: InterruptModeration::Undefined,
                    affinity: None,
                    name: String::new(),
                };
                self.ask(client(second), OidRequest::CreateVPort(vport));
            }
            Step::SetFilter { client: second, vport, mac, vlan } => {
                let vlan = vlan.map_or(VlanTest::UntaggedOrZero, |vid| VlanTest::Id(vid.into()));
                let test = FilterTest { mac: MacAddr([2, 0, 0, 0, 0, mac % 16]), vlan };
                self.ask(
                    client(second),
                    OidRequest::SetFilter { vport: VPortId(u32::from(vport % 9)), test },
                );
            }
            Step::Remove { client: second, what, index } => {
                let switch = self.adapter.switch().expect("it runs");
                let index = usize::from(index);
                let request = match what % 3 {
                    0 => switch.vfs().nth(index % 4).map(|vf| OidRequest::FreeVf(vf.id())),
                    1 => switch.vports().nth(index % 8).map(|vport| OidRequest::DeleteVPort(vport.id())),
                    _ => switch.filters().nth(index % 8).map(|filter| OidRequest::ClearFilter(filter.id())),
                };
                if let Some(request) = request {
                    self.ask(client(second), request);
                }
            }
            Step::MoveFilter { client: second, index, to } => {
                let mut standing = self.adapter.switch().into_iter().flat_map(NicSwitch::filters).copied();
                let filter = standing.nth(usize::from(index % 8));
                drop(standing);
                if let Some(filter) = filter {
                    let (filter, from, to) = (filter.id(), filter.vport(), VPortId(u32::from(to % 9)));
                    self.ask(client(second), OidRequest::MoveFilter { filter, from, to });
                }
            }
            Step::Close(second) => {
                let gone = CLIENTS[usize::from(second)];
                self.adapter.close(gone);
                // What stood on the objects of the one who is gone goes with them, whoever made it.
                self.state = state(&mut self.adapter);
                let Self { adapter, vfs, vports, filters, .. } = self;
                let switch = adapter.switch().expect("it runs");
                vfs.retain(|vf, _| switch.vf(*vf).is_some());
                vports.retain(|vport, _| switch.vport(*vport).is_some());
                filters.retain(|filter, _| switch.filter(*filter).is_some());
                let left = vfs.values().chain(vports.values()).chain(filters.values());
                assert!(!left.copied().any(|owner| owner == gone), "something is left of {gone:?}");
            }
            Step::Restart => {
                self.adapter.halt();
                assert!(self.adapter.switch().is_none());
                self.adapter.start().expect("it ran before");
                self.state = state(&mut self.adapter);
                self.vfs.clear();
                self.vports.clear();
                self.filters.clear();
            }
        }
    }
}

fuzz_target!(|steps: Vec<Step<'_>>| {
    let mut bench = Bench::new();
    bench.take(Step::AllocateVf(false));
    bench.take(Step::CreateVPort { client: false, vf: Some(0), queue_pairs: 1 });
    for step in steps.into_iter().take(60) {
        bench.take(step);
    }
});
