//! A small adapter and short ways to ask it.

use ethernet::MacAddr;
use nic_switch::{
    Capabilities, FilterId, FilterTest, FunctionId, InterruptModeration, NicSwitch, ProcessorAffinity,
    QueueId, QueueParameters, SwitchParameters, VPortId, VfId, VfParameters, VlanTest,
};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid, VfProfile};

use crate::{
    Action, Adapter, AdapterConfig, ClientId, Keywords, NdisStatus, NewVPort, OidRequest, OidResponse,
    Payload, Request, SwitchCreation,
};

/// The virtualization stack.
pub(crate) const STACK: ClientId = ClientId(1);
/// Another overlying driver.
pub(crate) const OTHER: ClientId = ClientId(2);

pub(crate) const TOTAL_VFS: u16 = 4;

pub(crate) fn mac(last: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, last])
}

/// 4 VFs; 8 VPorts: 3 nondefault ones of the PF; 8 queue pairs; 8 addresses.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities {
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
    }
}

pub(crate) fn config() -> AdapterConfig {
    AdapterConfig {
        keywords: Keywords::default(),
        capabilities: capabilities(),
        switch: SwitchParameters {
            num_vfs: TOTAL_VFS,
            queue_pairs_for_default_vport: 1,
            name: "Default Switch".into(),
        },
        creation: SwitchCreation::Dynamic,
        physical_port: true,
        luid: 0x1_0002_0003,
    }
}

pub(crate) fn function() -> PhysicalFunction {
    let rid = Rid::new(1, 0, 0).unwrap();
    let profile = PfProfile::x550(TOTAL_VFS, VfProfile::X550);
    PhysicalFunction::create(rid, &profile, PfStorage::heap(TOTAL_VFS)).unwrap()
}

pub(crate) fn adapter_of(config: AdapterConfig) -> Adapter {
    Adapter::initialize(config, function()).unwrap().0
}

pub(crate) fn adapter() -> Adapter {
    adapter_of(config())
}

pub(crate) fn without_sriov() -> AdapterConfig {
    let keywords = Keywords { sriov: false, vmq: false, ..Keywords::default() };
    AdapterConfig { keywords, ..config() }
}

/// VM queues: 7 of them.
pub(crate) fn vmq() -> AdapterConfig {
    AdapterConfig { keywords: Keywords { sriov: false, ..Keywords::default() }, ..config() }
}

/// A queue that this CPU serves.
pub(crate) fn queue_on(cpu: u32) -> QueueParameters {
    QueueParameters {
        affinity: ProcessorAffinity { group: 0, mask: 1 << cpu },
        suggested_receive_buffers: 256,
        vm_name: "vm".into(),
        queue_name: "Köln 🚆".into(),
        port_id: 9,
    }
}

pub(crate) fn vf_parameters() -> VfParameters {
    VfParameters {
        permanent_mac: mac(1),
        current_mac: mac(1),
        vm_name: "vm".into(),
        vm_friendly_name: "Köln 🚆".into(),
        nic_name: "nic".into(),
    }
}

pub(crate) fn vf_vport(vf: VfId) -> NewVPort {
    NewVPort {
        function: FunctionId::Vf(vf),
        queue_pairs: 2,
        interrupt_moderation: InterruptModeration::Adaptive,
        affinity: None,
        name: "vf".into(),
    }
}

pub(crate) fn pf_vport() -> NewVPort {
    NewVPort {
        function: FunctionId::Pf,
        queue_pairs: 1,
        interrupt_moderation: InterruptModeration::Undefined,
        affinity: Some(ProcessorAffinity { group: 0, mask: 2 }),
        name: "pf".into(),
    }
}

pub(crate) fn test(last: u8) -> FilterTest {
    FilterTest { mac: mac(last), vlan: VlanTest::UntaggedOrZero }
}

/// The adapter, asked as one client, with what it answered and what it told the data path.
pub(crate) struct Bench {
    pub(crate) adapter: Adapter,
    pub(crate) actions: Vec<Action>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::of(config())
    }

    pub(crate) fn of(config: AdapterConfig) -> Self {
        Self { adapter: adapter_of(config), actions: Vec::new() }
    }

    pub(crate) fn ask_as(&mut self, client: ClientId, request: impl Into<Request>) -> OidResponse {
        let (response, actions) = self.adapter.request(client, request);
        if !matches!(response.status, NdisStatus::Success | NdisStatus::Pending) {
            assert_eq!(actions, [], "a refused request has nothing to do: {response:?}");
        }
        self.actions = actions;
        response
    }

    pub(crate) fn ask(&mut self, request: impl Into<Request>) -> OidResponse {
        self.ask_as(STACK, request)
    }

    pub(crate) fn ask_ndis(&mut self, request: impl Into<Request>) -> OidResponse {
        let (response, actions) = self.adapter.request_from_ndis(request);
        self.actions = actions;
        response
    }

    pub(crate) fn status(&mut self, request: impl Into<Request>) -> NdisStatus {
        self.ask(request).status
    }

    pub(crate) fn done(&mut self, request: impl Into<Request>) -> Payload {
        let response = self.ask(request);
        assert_eq!(response.status, NdisStatus::Success, "{:?}", response.refusal);
        response.payload
    }

    pub(crate) fn allocate_vf(&mut self) -> VfId {
        match self.done(OidRequest::AllocateVf(vf_parameters())) {
            Payload::Vf(info) => info.vf,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn create_vport(&mut self, vport: NewVPort) -> VPortId {
        match self.done(OidRequest::CreateVPort(vport)) {
            Payload::VPort(info) => info.vport,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set_filter(&mut self, vport: VPortId, test: FilterTest) -> FilterId {
        match self.done(OidRequest::SetFilter { vport, test }) {
            Payload::Filter(info) => info.filter,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn allocate_queue(&mut self) -> QueueId {
        match self.done(OidRequest::AllocateQueue(queue_on(1))) {
            Payload::Queue(info) => info.queue,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn set_queue_filter(&mut self, queue: QueueId, test: FilterTest) -> FilterId {
        match self.done(OidRequest::SetQueueFilter { queue, test }) {
            Payload::Filter(info) => info.filter,
            other => panic!("{other:?}"),
        }
    }

    /// The status of FREE_QUEUE, which is pending if all is well.
    pub(crate) fn free_queue(&mut self, queue: QueueId) -> NdisStatus {
        self.status(OidRequest::FreeQueue(queue))
    }

    pub(crate) fn queue_generation(&self, queue: QueueId) -> u64 {
        self.adapter.queues().into_iter().find(|info| info.queue == queue).unwrap().generation
    }

    /// A VF with its VPort.
    pub(crate) fn attached_vf(&mut self) -> (VfId, VPortId) {
        let vf = self.allocate_vf();
        let vport = self.create_vport(vf_vport(vf));
        (vf, vport)
    }

    pub(crate) fn generation(&mut self, vf: VfId) -> u64 {
        match self.done(OidRequest::VfParameters(vf)) {
            Payload::Vf(info) => info.generation,
            other => panic!("{other:?}"),
        }
    }

    /// Everything that can be seen from outside.
    pub(crate) fn state(&mut self) -> String {
        let mut state = String::new();
        for request in [
            OidRequest::SwitchParameters,
            OidRequest::EnumSwitches,
            OidRequest::EnumVfs,
            OidRequest::EnumVPorts { function: None },
        ] {
            state += &format!("{:?}\n", self.adapter.request(STACK, request).0.payload);
        }
        for vport in self.adapter.switch().into_iter().flat_map(NicSwitch::vports) {
            state += &format!("{vport:?}\n");
        }
        for filter in self.adapter.switch().into_iter().flat_map(NicSwitch::filters) {
            state += &format!("{filter:?}\n");
        }
        for queue in self.adapter.queues() {
            state += &format!("{queue:?}\n");
        }
        state + &format!("{:?}", self.adapter.registry())
    }
}
