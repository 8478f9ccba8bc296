//! VM queues: places from which frames go straight to a synthetic adapter.
//!
//! With SR-IOV they are nondefault VPorts of the PF (`spec/ndis.md` 0.4), and the receive filters on them belong to the
//! virtualization stack. Without, the adapter has VM queues proper (C.9), and no stack: filters are set here. The heavier
//! adapter gets one first, of equal ones the older.

use miniport::{FilterInfo, NewVPort, OidRequest, Payload};
use nic_switch::{
    FunctionId, InterruptModeration, ProcessorAffinity, QueueId, QueueParameters, VPortChanges, VPortId,
    VPortState,
};
use virt_stack::{AdapterId, Event};
use vswitch::{Direction, Mirroring, PortPolicy, VlanPolicy};

use super::adapter::STACK;
use super::error::{DaemonError, StackError};
use super::members::Member;
use super::{Changing, Core};

/// Why an adapter has neither VF nor VM queue.
const ELSEWHERE: &str = "its switch is not the external one, above the SR-IOV adapter";

/// Why the frames of an adapter must come through the extensible switch: a VM queue passes it by.
fn needs_switch(policy: &PortPolicy) -> Option<&'static str> {
    let inbound = policy.acl.rules.iter().any(|rule| rule.direction == Direction::Inbound);
    match policy.vlan {
        _ if inbound => {
            Some("its port ACL has rules for what it receives, and a VM queue passes the switch by")
        }
        _ if policy.mirroring != Mirroring::None => {
            Some("its frames are mirrored, and a VM queue passes the switch by")
        }
        VlanPolicy::Trunk { .. } => Some("it is a trunk of VLANs, which a VM queue does not know"),
        VlanPolicy::Private { .. } => Some("it is in a private VLAN, which a VM queue does not know"),
        VlanPolicy::Untagged | VlanPolicy::Access(_) => None,
    }
}

impl Core {
    /// Gives VM queues to whom they belong, after adapters have come, changed or gone.
    pub(super) fn assign_queues(&self, changing: &mut Changing) {
        changing.queues_are_stale = false;
        let config = &self.config.adapter;
        let mut left = if config.sriov { config.pf_vports } else { config.vm_queues };
        let mut order: Vec<AdapterId> = changing.members.keys().copied().collect();
        order.sort_by_key(|id| std::cmp::Reverse(changing.members[id].spec.vmq_weight));
        let mut winners = Vec::new();
        for id in order {
            let member = &changing.members[&id];
            let has_vf = changing.stack.adapter(id).is_some_and(|adapter| adapter.vf.is_some());
            let refusal = match needs_switch(&member.spec.policy()) {
                _ if member.spec.vmq_weight.0 == 0 => Some("vmq_weight is 0"),
                _ if !self.config.is_above_adapter(&member.spec) => Some(ELSEWHERE),
                _ if has_vf => Some("it has a VF"),
                Some(reason) => Some(reason),
                None if left == 0 => {
                    Some("all VM queues are taken by adapters of the same or a higher vmq_weight")
                }
                None => None,
            };
            match refusal {
                Some(reason) => self.take_queue(changing, id, reason),
                None => {
                    left -= 1;
                    winners.push(id);
                }
            }
        }
        // Those who lose theirs come first: there may not be as many.
        for id in winners {
            self.give_queue(changing, id);
        }
    }

    fn give_queue(&self, changing: &mut Changing, id: AdapterId) {
        if changing.members.get(&id).is_none_or(|member| member.queue.is_ok()) {
            return;
        }
        let made = self.make_queue(changing, id);
        if let Err(error) = &made {
            tracing::warn!(adapter = %changing.members[&id].full_name(), %error, "no VM queue can be made");
        }
        let queue = made.map_err(|error| format!("it cannot be made: {error}"));
        if let Some(member) = changing.members.get_mut(&id) {
            member.queue = queue;
        }
    }

    fn make_queue(&self, changing: &mut Changing, id: AdapterId) -> Result<VPortId, DaemonError> {
        let vport = match self.config.adapter.sriov {
            true => self.create_vport(changing, id)?,
            false => self.allocate_queue(changing, id)?,
        };
        self.parts.switchboard.change(|board| board.lead(vport, id.0));
        if self.config.adapter.sriov {
            changing.tell(Event::SyntheticVPort { adapter: id, vport });
            self.drive(changing);
        } else {
            self.clear_filters(changing, id);
            self.set_filter(changing, id, vport)?;
        }
        Ok(vport)
    }

    /// A VPort of the PF (CREATE_VPORT).
    fn create_vport(&self, changing: &mut Changing, id: AdapterId) -> Result<VPortId, DaemonError> {
        let vport = NewVPort {
            function: FunctionId::Pf,
            queue_pairs: 1,
            interrupt_moderation: InterruptModeration::Undefined,
            affinity: Some(self.affinity()),
            name: queue_name(&changing.members[&id]),
        };
        let Payload::VPort(info) = self.request(changing, OidRequest::CreateVPort(vport))? else {
            return Err(StackError::Silent("CREATE_VPORT").into());
        };
        // A VPort of the PF is deactivated when it is made, and drops what comes for it (`spec/ndis.md` B.4).
        let changes = VPortChanges { state: Some(VPortState::Activated), ..VPortChanges::default() };
        self.request(changing, OidRequest::SetVPortParameters { vport: info.vport, changes })?;
        Ok(info.vport)
    }

    /// A VM queue (ALLOCATE_QUEUE).
    fn allocate_queue(&self, changing: &mut Changing, id: AdapterId) -> Result<VPortId, DaemonError> {
        let member = &changing.members[&id];
        let parameters = QueueParameters {
            affinity: self.affinity(),
            suggested_receive_buffers: 0,
            vm_name: member.vm.to_string(),
            queue_name: queue_name(member),
            port_id: id.0,
        };
        let Payload::Queue(info) = self.request(changing, OidRequest::AllocateQueue(parameters))? else {
            return Err(StackError::Silent("ALLOCATE_QUEUE").into());
        };
        self.request(changing, OidRequest::CompleteQueueAllocation(vec![info.queue]))?;
        Ok(info.queue.vport())
    }

    /// Takes the VM queue of an adapter, if it has one: what is for it comes through the extensible switch.
    pub(super) fn take_queue(&self, changing: &mut Changing, id: AdapterId, reason: &str) {
        let Some(member) = changing.members.get_mut(&id) else { return };
        let Ok(vport) = std::mem::replace(&mut member.queue, Err(reason.to_owned())) else {
            self.keep_filter(changing, id);
            return;
        };
        let taken = match self.config.adapter.sriov {
            true => {
                changing.tell(Event::SyntheticVPort { adapter: id, vport: VPortId::DEFAULT });
                self.drive(changing);
                self.request(changing, OidRequest::DeleteVPort(vport))
            }
            false => {
                self.clear_filters(changing, id);
                self.request(changing, OidRequest::FreeQueue(QueueId(vport.0)))
            }
        };
        self.parts.switchboard.change(|board| board.stop_leading(vport));
        if let Err(error) = taken {
            tracing::warn!(%vport, %error, "a VM queue cannot be taken back");
        }
        self.keep_filter(changing, id);
    }

    /// Without SR-IOV the address of an adapter without queue has a filter on the default queue.
    fn keep_filter(&self, changing: &mut Changing, id: AdapterId) {
        let Some(member) = changing.members.get(&id) else { return };
        if self.config.adapter.sriov || !self.config.is_above_adapter(&member.spec) {
            return;
        }
        let has_it =
            self.filters(changing, VPortId::DEFAULT).iter().any(|filter| filter.test == member.filter_test());
        if !has_it && let Err(error) = self.set_filter(changing, id, VPortId::DEFAULT) {
            tracing::warn!(%error, "a receive filter cannot be set");
        }
    }

    /// The filter of an adapter follows what is wanted of it.
    pub(super) fn set_filter_anew(&self, changing: &mut Changing, id: AdapterId) {
        self.clear_filters(changing, id);
        let queue = changing.members.get(&id).and_then(|member| member.queue.as_ref().ok().copied());
        match queue.map(|queue| self.set_filter(changing, id, queue)) {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::warn!(%error, "a receive filter cannot be set"),
            None => self.keep_filter(changing, id),
        }
    }

    fn set_filter(&self, changing: &mut Changing, id: AdapterId, vport: VPortId) -> Result<(), DaemonError> {
        let test = changing.members[&id].filter_test();
        self.request(changing, OidRequest::SetQueueFilter { queue: QueueId(vport.0), test }).map(drop)
    }

    /// Clears the receive filters of an adapter's address, wherever they stand.
    pub(super) fn clear_filters(&self, changing: &mut Changing, id: AdapterId) {
        let Some(member) = changing.members.get(&id) else { return };
        let mac = member.spec.mac.0;
        let queues: Vec<QueueId> =
            self.parts.adapter.with(|adapter| adapter.queues().iter().map(|queue| queue.queue).collect());
        for queue in queues {
            for FilterInfo { filter, test, .. } in self.filters(changing, queue.vport()) {
                if test.mac == mac
                    && let Err(error) = self.request(changing, OidRequest::ClearQueueFilter { queue, filter })
                {
                    tracing::warn!(%error, "a receive filter cannot be cleared");
                }
            }
        }
    }

    fn filters(&self, changing: &Changing, vport: VPortId) -> Vec<FilterInfo> {
        match self.request(changing, OidRequest::EnumQueueFilters(QueueId(vport.0))) {
            Ok(Payload::Filters { filters, .. } | Payload::QueueFilters { filters, .. }) => filters,
            _ => Vec::new(),
        }
    }

    /// Has a request answered, and does what it asks for.
    pub(super) fn request(&self, changing: &Changing, request: OidRequest) -> Result<Payload, DaemonError> {
        let (payload, duties) = self.parts.adapter.request(STACK, request).map_err(StackError::from)?;
        if let Some(data_path) = &changing.data_path {
            duties.iter().try_for_each(|duty| data_path.execute(duty))?;
        }
        Ok(payload)
    }

    /// The CPU of the worker, which serves all queues.
    fn affinity(&self) -> ProcessorAffinity {
        let cpu = self.config.daemon.cpu.unwrap_or(0);
        ProcessorAffinity { group: u16::try_from(cpu / 64).unwrap_or(0), mask: 1 << (cpu % 64) }
    }
}

fn queue_name(member: &Member) -> String {
    format!("{}-{}", member.vm, member.name)
}
