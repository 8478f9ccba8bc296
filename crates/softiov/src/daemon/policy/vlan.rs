//! An adapter moves to other VLANs while softiov runs: the NIC switch has to follow the extensible switch.
//!
//! The receive filter of an adapter's address says in which VLANs it receives and, on a VF, sends. A filter cannot be
//! changed, so it is cleared and set anew; in between, the address leads nowhere.

use ethernet::MacAddr;
use miniport::{FilterInfo, OidRequest, Payload};
use nic_switch::{FilterId, FilterTest, PortSecurity, QueueId, VPort, VPortId};
use vswitch::{SwitchType, VlanPolicy};

use crate::daemon::error::DaemonError;
use crate::daemon::stack::{StackError, filter_request, vlan_test};
use crate::daemon::{Changing, Daemon};

impl Daemon {
    /// Has the NIC switch hold NIC number `nic` to the second of `vlans` instead of the first; if that fails, to the
    /// first as before.
    pub(super) fn follow_vlans(
        &self,
        changing: &mut Changing,
        nic: u32,
        vlans: &[VlanPolicy; 2],
    ) -> Result<(), DaemonError> {
        let [before, after] = vlans;
        let Some(mac) = self.address_above_adapter(nic).filter(|_| before != after) else { return Ok(()) };
        let placement = changing.placement(nic);
        let vf = placement.and_then(|placement| Some(placement.vf.as_ref().ok()?.vport));
        let queue = placement.and_then(|placement| placement.queue.as_ref().ok().copied());
        // First what tags there may be: none while the filter is not yet, or not any longer, that of a trunk.
        if let Some(vport) = vf {
            self.allow_tags(changing, vport, after)?;
        }
        let vport = vf.or(queue).unwrap_or(VPortId::DEFAULT);
        let [old, new] = [before, after].map(|vlan| FilterTest { mac, vlan: vlan_test(vlan) });
        let exchanged = self.exchange_filter(changing, vport, old, new);
        if let (Err(_), Some(vport)) = (&exchanged, vf) {
            self.allow_tags(changing, vport, before)?;
        }
        exchanged
    }

    /// The address by which the NIC switch knows NIC number `nic`, if its switch stands above the adapter.
    fn address_above_adapter(&self, nic: u32) -> Option<MacAddr> {
        self.parts.switchboard.with(|board| {
            let nic = &board.nics[nic as usize];
            let switch = &board.switches[nic.switch];
            let external = switch.parameters().kind == SwitchType::External;
            Some(switch.port(nic.port)?.nic()?.parameters().permanent_mac).filter(|_| external)
        })
    }

    /// The guest of a VF may use the tags of `vlan`.
    fn allow_tags(
        &self,
        changing: &mut Changing,
        vport: VPortId,
        vlan: &VlanPolicy,
    ) -> Result<(), DaemonError> {
        let of_vport = |vport: &VPort| vport.security().clone();
        let security = self.parts.adapter.with(|adapter| adapter.switch()?.vport(vport).map(of_vport));
        let security = PortSecurity { allowed_vlans: vlan.tagged(), ..security.unwrap_or_default() };
        let request = OidRequest::SetPortSecurity { vport, security: Box::new(security) };
        self.stack_request(changing, request).map(drop)
    }

    /// CLEAR_FILTER and SET_FILTER on a VPort or VM queue.
    fn exchange_filter(
        &self,
        changing: &mut Changing,
        vport: VPortId,
        old: FilterTest,
        new: FilterTest,
    ) -> Result<(), DaemonError> {
        if old == new {
            return Ok(());
        }
        let cleared = self.filter_with(changing, vport, old)?;
        if let Some(filter) = cleared {
            let has_vports = self.parts.adapter.with(|adapter| adapter.switch().is_some());
            let request = match has_vports {
                true => OidRequest::ClearFilter(filter),
                false => OidRequest::ClearQueueFilter { queue: QueueId(vport.0), filter },
            };
            self.stack_request(changing, request)?;
        }
        let set = self.stack_request(changing, filter_request(&self.parts.adapter, vport, new));
        if set.is_err() && cleared.is_some() {
            self.stack_request(changing, filter_request(&self.parts.adapter, vport, old))?;
        }
        set.map(drop)
    }

    /// The filter on a VPort or VM queue that has this test: there is one at most.
    fn filter_with(
        &self,
        changing: &mut Changing,
        vport: VPortId,
        test: FilterTest,
    ) -> Result<Option<FilterId>, DaemonError> {
        let has_vports = self.parts.adapter.with(|adapter| adapter.switch().is_some());
        let request = match has_vports {
            true => OidRequest::EnumFilters(vport),
            false => OidRequest::EnumQueueFilters(QueueId(vport.0)),
        };
        let (Payload::Filters { filters, .. } | Payload::QueueFilters { filters, .. }) =
            self.stack_request(changing, request)?
        else {
            return Err(StackError::Silent("ENUM_FILTERS").into());
        };
        let found = filters.iter().find(|filter: &&FilterInfo| filter.test == test);
        Ok(found.map(|filter| filter.filter))
    }
}
