//! The real miniport, of which any request can be made to fail.

use miniport::{
    Action, Adapter, AdapterConfig, ClientId, Keywords, NdisStatus, OidRequest, Payload, SwitchCreation,
};
use nic_switch::{Capabilities, SwitchParameters, VPortId, VfId};
use pcie::{PfProfile, PfStorage, PhysicalFunction, Rid, VfProfile};
use virt_stack::{Budgets, OidFailure};

const STACK: ClientId = ClientId(1);

/// 16 VMs share it.
pub(crate) fn capabilities(vfs: u16) -> Capabilities {
    Capabilities {
        max_vfs: vfs,
        max_vports: 16,
        max_queue_pairs: 32,
        max_queue_pairs_per_nondefault_vport: 4,
        max_queue_pairs_for_default_vport: 2,
        max_mac_addresses: 48,
        max_filters: 48,
        vlan_supported: true,
        per_vport_interrupt_moderation: true,
        asymmetric_queue_pairs: true,
        vf_rss: true,
        single_vport_pool: false,
    }
}

pub(crate) fn budgets(capabilities: Capabilities) -> Budgets {
    Budgets {
        enabled_vfs: capabilities.max_vfs,
        capabilities,
        pf_vports: 0,
        pf_queue_pairs: 1,
        pf_vport_queue_pairs: None,
    }
}

/// What to do with the requests that come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Faults {
    #[default]
    None,
    /// The request after so many others fails, once.
    After(usize),
    /// One of so many fails.
    OneIn(u64),
}

pub(crate) struct Nic {
    pub(crate) adapter: Adapter,
    pub(crate) faults: Faults,
}

impl Nic {
    pub(crate) fn new(capabilities: Capabilities) -> Self {
        let vfs = capabilities.max_vfs;
        let config = AdapterConfig {
            keywords: Keywords::default(),
            switch: SwitchParameters {
                num_vfs: vfs,
                queue_pairs_for_default_vport: 1,
                name: "switch".into(),
            },
            capabilities,
            creation: SwitchCreation::Dynamic,
            physical_port: true,
            luid: 1,
        };
        let profile = PfProfile::x550(vfs, VfProfile::X550);
        let function =
            PhysicalFunction::create(Rid::new(1, 0, 0).unwrap(), &profile, PfStorage::heap(vfs)).unwrap();
        Self { adapter: Adapter::initialize(config, function).unwrap().0, faults: Faults::None }
    }

    /// Carries out a request, unless it is one that is to fail. One that fails by itself was asked for in the wrong
    /// order, or without a budget for it.
    pub(crate) fn request(
        &mut self,
        request: &OidRequest,
        random: impl FnOnce(u64) -> bool,
    ) -> Result<(Payload, Vec<Action>), OidFailure> {
        let fails = match &mut self.faults {
            Faults::None => false,
            Faults::After(0) => {
                self.faults = Faults::None;
                true
            }
            Faults::After(left) => {
                *left -= 1;
                false
            }
            Faults::OneIn(times) => random(*times),
        };
        if fails {
            return Err(OidFailure { status: NdisStatus::Failure, reason: "injected".into() });
        }
        let (response, actions) = self.adapter.request(STACK, request.clone());
        assert_eq!(response.status, NdisStatus::Success, "{request:?}: {:?}", response.refusal);
        Ok((response.payload, actions))
    }

    /// VFs, nondefault VPorts and filters that stand.
    pub(crate) fn standing(&self) -> (usize, usize, usize) {
        let switch = self.adapter.switch().unwrap();
        (switch.vfs().count(), switch.vports().count() - 1, switch.filters().count())
    }

    pub(crate) fn vport_of(&self, vf: VfId) -> Option<VPortId> {
        self.adapter.switch()?.vport_of_vf(vf).map(nic_switch::VPort::id)
    }
}
