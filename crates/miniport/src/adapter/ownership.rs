//! Who made what, and the ids that NDIS assigns (ndis.md A.4, Ownership).
//!
//! Only its creator changes, moves or removes an object; the default VPort and the default queue have none. Ids are not used again until all
//! others were: a late reference to something that is gone meets nothing, rather than something else.

use std::collections::{BTreeMap, BTreeSet};

use nic_switch::{Filter, FilterId, FunctionId, NicSwitch, QueueId, VPort, VPortId, Vf, VfId, VmQueues};

use super::{Adapter, Issuer};
use crate::action::Action;
use crate::refusal::Refusal;

/// The creators of the objects on the switch, or of the VM queues.
#[derive(Debug, Default)]
pub(super) struct Ownership {
    pub(super) vfs: BTreeMap<VfId, Issuer>,
    pub(super) vports: BTreeMap<VPortId, Issuer>,
    pub(super) queues: BTreeMap<QueueId, Issuer>,
    /// Who waits for the end of FREE_QUEUE.
    pub(super) freeing: BTreeMap<QueueId, Issuer>,
    pub(super) filters: BTreeMap<FilterId, Issuer>,
    last_vport: u32,
    last_queue: u32,
    last_filter: u32,
}

fn may_change(issuer: Issuer, creator: Option<&Issuer>) -> bool {
    issuer == Issuer::Ndis || creator == Some(&issuer)
}

impl Ownership {
    pub(super) fn check_vf(&self, issuer: Issuer, vf: VfId) -> Result<(), Refusal> {
        if may_change(issuer, self.vfs.get(&vf)) { Ok(()) } else { Err(Refusal::NotVfCreator { vf }) }
    }

    /// The default VPort is everybody's.
    pub(super) fn check_vport(&self, issuer: Issuer, vport: VPortId) -> Result<(), Refusal> {
        if vport == VPortId::DEFAULT || may_change(issuer, self.vports.get(&vport)) {
            return Ok(());
        }
        Err(Refusal::NotVPortCreator { vport })
    }

    /// The default queue is everybody's.
    pub(super) fn check_queue(&self, issuer: Issuer, queue: QueueId) -> Result<(), Refusal> {
        if queue == QueueId::DEFAULT || may_change(issuer, self.queues.get(&queue)) {
            return Ok(());
        }
        Err(Refusal::NotQueueCreator { queue })
    }

    pub(super) fn check_filter(&self, issuer: Issuer, filter: FilterId) -> Result<(), Refusal> {
        if may_change(issuer, self.filters.get(&filter)) {
            Ok(())
        } else {
            Err(Refusal::NotFilterCreator { filter })
        }
    }

    /// An unused id from 1 to NumVPorts - 1. It is used up when a VPort of that id is created.
    pub(super) fn next_vport(&self, switch: &NicSwitch) -> Result<VPortId, Refusal> {
        let max = switch.capabilities().max_vports.saturating_sub(1);
        let taken = |id| switch.vport(VPortId(id)).is_some();
        next_id(self.last_vport, max, taken).map(VPortId).ok_or(Refusal::NoVPortId { max })
    }

    pub(super) fn vport_created(&mut self, issuer: Issuer, vport: VPortId) {
        self.last_vport = vport.0;
        self.vports.insert(vport, issuer);
    }

    /// An unused id from 1 to the number of VM queues. It is used up when a queue of that id is allocated.
    pub(super) fn next_queue(&self, queues: &VmQueues) -> Result<QueueId, Refusal> {
        let max = queues.capabilities().max_queues;
        let taken = |id| queues.queue(QueueId(id)).is_some();
        next_id(self.last_queue, max, taken).map(QueueId).ok_or(Refusal::NoQueueId { max })
    }

    pub(super) fn queue_allocated(&mut self, issuer: Issuer, queue: QueueId) {
        self.last_queue = queue.0;
        self.queues.insert(queue, issuer);
    }

    /// An unused filter id, unique over all VPorts or queues. There are fewer filters than ids, so one is found.
    pub(super) fn next_filter(&self, taken: impl Fn(FilterId) -> bool) -> FilterId {
        let mut id = self.last_filter;
        loop {
            id = id.checked_add(1).unwrap_or(1);
            if !taken(FilterId(id)) {
                return FilterId(id);
            }
        }
    }

    pub(super) fn filter_set(&mut self, issuer: Issuer, filter: FilterId) {
        self.last_filter = filter.0;
        self.filters.insert(filter, issuer);
    }
}

/// The first id after `last`, from 1 to `max` and round again, that is not taken.
fn next_id(last: u32, max: u32, taken: impl Fn(u32) -> bool) -> Option<u32> {
    let after = |id: u32| if id >= max { 1 } else { id + 1 };
    let ids = std::iter::successors((max > 0).then(|| after(last)), |id| Some(after(*id)));
    ids.take(usize::try_from(max).unwrap_or(usize::MAX)).find(|id| !taken(*id))
}

impl Adapter {
    /// Removes what the chosen creators made, and what stands on that, in the order in which nothing is in the way:
    /// filters, VPorts, VFs.
    pub(super) fn remove_all(&mut self, chosen: impl Fn(Issuer) -> bool, actions: &mut Vec<Action>) {
        let Some(switch) = self.driver.switch() else { return };
        let made = |creator: Option<&Issuer>| creator.copied().is_some_and(&chosen);
        let vfs: BTreeSet<_> =
            switch.vfs().map(Vf::id).filter(|vf| made(self.ownership.vfs.get(vf))).collect();
        let attached = |vport: &VPort| matches!(vport.function(), FunctionId::Vf(vf) if vfs.contains(&vf));
        let vports: BTreeSet<_> = switch
            .vports()
            .filter(|vport| made(self.ownership.vports.get(&vport.id())) || attached(vport))
            .map(VPort::id)
            .collect();
        let filters: Vec<_> = switch
            .filters()
            .filter(|f| made(self.ownership.filters.get(&f.id())) || vports.contains(&f.vport()))
            .map(Filter::id)
            .collect();
        for filter in filters {
            self.ownership.filters.remove(&filter);
            self.driver.clear_filter(filter, actions).expect("the filter was listed");
        }
        for vport in vports {
            self.ownership.vports.remove(&vport);
            self.driver.delete_vport(vport, actions).expect("the VPort was listed and has no filters");
        }
        for vf in vfs {
            self.ownership.vfs.remove(&vf);
            self.driver.reset_vf(vf, actions).expect("the VF was listed");
            self.driver.free_vf(vf, actions).expect("the VF was listed and has no VPort");
        }
    }
}
