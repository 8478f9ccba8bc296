//! The network adapters of VMs, as they come, change and go.

use ethernet::MacAddr;
use nic_switch::{FilterTest, PortSecurity, VPortId, VlanTest};
use virt_stack::desired::{AdapterSpec, Name, VmSpec};
use virt_stack::{AdapterId, Event, VmId, Vmm};
use vswitch::{PortPolicy, VlanPolicy};

use super::data_path::synthetic;
use super::error::DaemonError;
use super::virtualization::{Assigned, Buffer};
use super::{Changing, Core};

/// A network adapter of a VM.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) vm: Name,
    pub(super) vm_id: VmId,
    pub(super) name: Name,
    pub(super) spec: AdapterSpec,
    /// Its VMM is driven by QMP.
    pub(super) has_qmp: bool,
    /// Its VF.
    pub(super) vf: Option<Assigned>,
    /// Its frames while its guest hears on neither path.
    pub(super) buffer: Option<Buffer>,
    /// Its VM queue, or why it has none.
    pub(super) queue: Result<VPortId, String>,
}

impl Member {
    /// `VM/ADAPTER`.
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.vm, self.name)
    }

    /// What its receive filter matches.
    pub(super) fn filter_test(&self) -> FilterTest {
        filter_test(self.spec.mac.0, &self.spec.policy())
    }
}

/// What the receive filter of an address matches, whose port has this policy. The VLANs of a trunk are sorted by the
/// VPort's security or the extensible switch, those of a private VLAN by that only.
pub(super) fn filter_test(mac: MacAddr, policy: &PortPolicy) -> FilterTest {
    let vlan = match policy.vlan {
        VlanPolicy::Access(vlan) => VlanTest::Id(vlan),
        VlanPolicy::Untagged => VlanTest::UntaggedOrZero,
        VlanPolicy::Trunk { .. } | VlanPolicy::Private { .. } => VlanTest::Any,
    };
    FilterTest { mac, vlan }
}

/// True if an adapter cannot become another without that its VMM connects again.
pub(super) fn is_remade(before: &AdapterSpec, after: &AdapterSpec) -> bool {
    let fixed =
        |spec: &AdapterSpec| (spec.mac, spec.switch.clone(), spec.queue_pairs, spec.mtu, spec.vhost_user);
    fixed(before) != fixed(after)
}

impl Core {
    /// Adds an adapter. If that fails nothing is left of it.
    pub(super) fn add_member(
        &self,
        changing: &mut Changing,
        vm: &VmSpec,
        name: Name,
        spec: &AdapterSpec,
    ) -> Result<AdapterId, DaemonError> {
        let id = self
            .free_number(changing)
            .ok_or(DaemonError::TooManyAdapters(self.config.daemon.max_adapters))?;
        let member = Member {
            vm: vm.name.clone(),
            vm_id: changing.vm_id(&vm.name),
            name,
            spec: spec.clone(),
            has_qmp: vm.qmp.is_some(),
            vf: None,
            buffer: None,
            queue: Err("VM queues are not given yet".to_owned()),
        };
        // Checked when it was wanted.
        let switch = self.config.switch_of(spec).unwrap_or_default();
        self.parts.switchboard.change(|board| board.add_vm_nic(id.0, switch, &member))?;
        let served = match &changing.data_path {
            Some(data_path) => data_path.netvsp.add(synthetic(&self.config, &self.parts, id.0, &member)),
            None => Ok(()),
        };
        if let Err(error) = served {
            self.parts.switchboard.change(|board| board.remove_nic(id.0));
            return Err(error.into());
        }
        changing.members.insert(id, member);
        self.describe(changing, id);
        Ok(id)
    }

    /// Tells the stack what an adapter is to be.
    pub(super) fn describe(&self, changing: &mut Changing, id: AdapterId) {
        let Some(member) = changing.members.get(&id).filter(|_| self.config.adapter.sriov) else { return };
        let policy = member.spec.policy();
        let spec = virt_stack::AdapterSpec {
            vm: member.vm_id,
            vm_name: member.vm.to_string(),
            name: member.name.to_string(),
            vmm: if member.has_qmp { Vmm::Qmp } else { Vmm::ByHand },
            above_nic: self.config.is_above_adapter(&member.spec),
            weight: member.spec.iov_weight.0,
            queue_pairs: member.spec.iov_queue_pairs.0,
            interrupt_moderation: member.spec.iov_interrupt_moderation,
            test: member.filter_test(),
            security: PortSecurity {
                trusted: member.spec.trusted,
                mac_spoof_check: !member.spec.trusted,
                allowed_vlans: policy.vlan.tagged(),
                sends_as: Some(member.filter_test()),
                ..PortSecurity::default()
            },
        };
        // Of a VM without QMP nobody says whether it runs: its VF waits for it.
        let by_hand = !member.has_qmp;
        changing.tell(Event::AdapterSet(id, Box::new(spec)));
        if by_hand {
            changing.tell(Event::FrontEnd { adapter: id, connected: true });
        }
        self.drive(changing);
    }

    /// Tells the stack which adapters must not have a VF, for a policy of one can concern others.
    pub(super) fn tell_policies(&self, changing: &mut Changing) {
        let ids: Vec<AdapterId> = changing.members.keys().copied().collect();
        for adapter in ids {
            let forbids = self.parts.switchboard.with(|board| board.forbids_vf(adapter.0));
            let forbids = forbids.map(|reason| reason.to_string());
            changing.tell(Event::Policy { adapter, forbids });
        }
        self.drive(changing);
    }

    /// An adapter is wanted no longer. It is gone when this returns, unless its guest still has a VF.
    pub(super) fn remove_member(&self, changing: &mut Changing, id: AdapterId) {
        self.take_queue(changing, id, "the adapter is being removed");
        if self.config.adapter.sriov {
            changing.tell(Event::AdapterRemoved(id));
            self.drive(changing);
        } else {
            self.clear_filters(changing, id);
            self.forget(changing, id);
        }
    }

    /// Nothing of an adapter is left in the NIC.
    pub(super) fn forget(&self, changing: &mut Changing, id: AdapterId) {
        if let Some(data_path) = &changing.data_path
            && let Err(error) = data_path.netvsp.remove(id.0)
        {
            tracing::error!(%error, "a synthetic adapter cannot be removed");
        }
        self.parts.switchboard.change(|board| board.remove_nic(id.0));
        changing.members.remove(&id);
    }

    /// The lowest number that no NIC has.
    fn free_number(&self, changing: &Changing) -> Option<AdapterId> {
        let first = self.config.hosts();
        let last = first + self.config.daemon.max_adapters;
        (first..last).map(AdapterId).find(|id| !changing.members.contains_key(id))
    }
}

impl Changing {
    /// The adapter `adapter` of the VM `vm`.
    pub(super) fn member(&self, vm: &str, adapter: &str) -> Option<(AdapterId, &Member)> {
        let found = self
            .members
            .iter()
            .find(|(_, member)| member.vm.as_str() == vm && member.name.as_str() == adapter);
        found.map(|(id, member)| (*id, member))
    }

    /// The number of a VM; a new one if it has none yet.
    pub(super) fn vm_id(&mut self, vm: &Name) -> VmId {
        let next = VmId(self.vm_ids.values().map(|id| id.0 + 1).max().unwrap_or_default());
        *self.vm_ids.entry(vm.clone()).or_insert(next)
    }
}
