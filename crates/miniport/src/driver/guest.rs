//! What a VF's guest asks of the PF through its mailbox, and what it was granted.
//!
//! The switch confines whatever is granted to the VPort's own VLANs, and makes extra addresses and promiscuity depend on
//! trust at every frame; so withdrawing trust later takes effect at once, without a search through grants.

use ethernet::MacAddr;
use nic_switch::{Filter, LinkState, MulticastTable, ReceiveMode, VPort, VPortId, VfId, VlanTest};

use super::PfDriver;
use crate::action::Action;
use crate::pf::{DEFAULT_MAX_FRAME, Grant, MAX_MAX_FRAME, MIN_MAX_FRAME, PfRefusal, PfRequest, XcastMode};
use crate::refusal::Refusal;

/// What a guest asked for, as far as the receive mode of its VPort does not say it.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    /// The address that it uses instead of the assigned one.
    pub(super) mac: Option<MacAddr>,
    /// Kept while the mode makes no use of it.
    multicast: MulticastTable,
    xcast: XcastMode,
    pub(super) max_frame: u32,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            mac: None,
            multicast: MulticastTable::EMPTY,
            xcast: XcastMode::default(),
            max_frame: DEFAULT_MAX_FRAME,
        }
    }
}

impl Guest {
    /// Puts xcast mode and multicast table into the receive mode.
    fn apply(&self, mode: &mut ReceiveMode) {
        mode.broadcast = self.xcast >= XcastMode::Multi;
        mode.all_multicast = self.xcast >= XcastMode::AllMulti;
        mode.promiscuous = self.xcast == XcastMode::Promiscuous;
        mode.multicast = if mode.broadcast { self.multicast.clone() } else { MulticastTable::EMPTY };
    }
}

impl PfDriver {
    /// Answers a request of the guest that holds the VF in `generation`.
    pub(crate) fn guest_request(
        &mut self,
        vf: VfId,
        generation: u64,
        request: PfRequest,
        actions: &mut Vec<Action>,
    ) -> Result<Grant, PfRefusal> {
        let unknown = |_| PfRefusal::UnknownVf(vf);
        let current = self.generation(vf).map_err(unknown)?;
        if generation != current {
            return Err(PfRefusal::StaleGeneration { found: generation, current });
        }
        match request {
            PfRequest::Reset => {
                self.forget_grants(vf, generation, actions).map_err(unknown)?;
                let assigned = Self::assigned_mac(self.allocated(vf).map_err(unknown)?);
                Ok(Grant::Reset { mac: (!assigned.is_zero()).then_some(assigned) })
            }
            PfRequest::SetMac(mac) => self.set_mac(vf, mac, actions),
            PfRequest::SetUnicast(addresses) => self.set_unicast(vf, &addresses, actions),
            PfRequest::AddUnicast(mac) => self.add_unicast(vf, mac, actions),
            PfRequest::SetMulticast(hashes) => self.set_multicast(vf, hashes, actions),
            PfRequest::AddVlan(vid) => self.add_vlan(vf, vid, actions),
            PfRequest::RemoveVlan(vid) => {
                let vport = self.attached(vf)?.id();
                self.change(vport, actions, |mode| mode.vlans.remove(vid))
            }
            PfRequest::SetXcast(mode) => self.set_xcast(vf, mode, actions),
            PfRequest::SetMaxFrame(bytes) => self.set_max_frame(vf, generation, bytes, actions),
            PfRequest::QueryLink => {
                let vport = self.attached(vf)?;
                let enabled = vport.security().link != LinkState::Disable;
                Ok(Grant::Link { enabled, up: self.link_of(vport) })
            }
        }
    }

    /// The VPort of the VF.
    fn attached(&self, vf: VfId) -> Result<&VPort, PfRefusal> {
        self.switch().and_then(|switch| switch.vport_of_vf(vf)).ok_or(PfRefusal::NoVPort(vf))
    }

    /// Everything that the guest of `vf` was granted is withdrawn.
    pub(super) fn forget_grants(
        &mut self,
        vf: VfId,
        generation: u64,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let before = core::mem::take(&mut self.state_mut(vf)?.guest);
        if before.max_frame != DEFAULT_MAX_FRAME {
            actions.push(Action::MaxFrameChanged { vf, generation, bytes: DEFAULT_MAX_FRAME });
        }
        let switch = self.standing_mut()?;
        let granted = switch.vport_of_vf(vf).filter(|vport| *vport.receive_mode() != ReceiveMode::default());
        if let Some(vport) = granted.map(VPort::id) {
            switch.set_receive_mode(vport, ReceiveMode::default())?;
            actions.push(Action::PublishForwarding);
        }
        Ok(())
    }

    /// Changes the receive mode of a VPort, if that changes anything.
    fn change(
        &mut self,
        id: VPortId,
        actions: &mut Vec<Action>,
        change: impl FnOnce(&mut ReceiveMode),
    ) -> Result<Grant, PfRefusal> {
        let refused = |_| PfRefusal::AddressRefused;
        let before = self.vport(id).map_err(refused)?.receive_mode();
        let mut mode = before.clone();
        change(&mut mode);
        if mode != *before {
            self.set_receive_mode(id, mode, actions).map_err(refused)?;
        }
        Ok(Grant::AsAsked)
    }

    /// Whether `mac` is an extra address of the guest, and not its assigned one or that of a filter. An extra one is
    /// refused unless the VPort is trusted.
    fn is_extra(&self, vf: VfId, mac: MacAddr) -> Result<bool, PfRefusal> {
        if !mac.is_unicast() {
            return Err(PfRefusal::NotUnicast(mac));
        }
        let unknown = |_| PfRefusal::UnknownVf(vf);
        let vport = self.attached(vf)?;
        let mut filters = self.standing().map_err(unknown)?.filters_on(vport.id());
        let assigned = Self::assigned_mac(self.allocated(vf).map_err(unknown)?);
        if assigned == mac || filters.any(|filter| filter.test().mac == mac) {
            return Ok(false);
        }
        if !vport.security().trusted {
            return Err(PfRefusal::NotTrusted(mac));
        }
        Ok(true)
    }

    fn guest(&self, vf: VfId) -> Result<&Guest, PfRefusal> {
        self.vfs.get(&vf).map(|state| &state.guest).ok_or(PfRefusal::UnknownVf(vf))
    }

    fn guest_mut(&mut self, vf: VfId) -> Result<&mut Guest, PfRefusal> {
        self.vfs.get_mut(&vf).map(|state| &mut state.guest).ok_or(PfRefusal::UnknownVf(vf))
    }

    /// An address other than the assigned one becomes an extra one, in the place of the one used before.
    fn set_mac(&mut self, vf: VfId, mac: MacAddr, actions: &mut Vec<Action>) -> Result<Grant, PfRefusal> {
        let wanted = self.is_extra(vf, mac)?.then_some(mac);
        let before = self.guest(vf)?.mac;
        let grant = self.change(self.attached(vf)?.id(), actions, |mode| {
            mode.unicast.retain(|extra| Some(*extra) != before && Some(*extra) != wanted);
            mode.unicast.extend(wanted);
        })?;
        self.guest_mut(vf)?.mac = wanted;
        Ok(grant)
    }

    fn set_unicast(
        &mut self,
        vf: VfId,
        addresses: &[MacAddr],
        actions: &mut Vec<Action>,
    ) -> Result<Grant, PfRefusal> {
        if addresses.len() > ReceiveMode::MAX_UNICAST {
            return Err(PfRefusal::TooManyAddresses(addresses.len()));
        }
        let in_use = self.guest(vf)?.mac;
        let mut unicast = Vec::with_capacity(addresses.len());
        for &mac in addresses {
            if self.is_extra(vf, mac)? && Some(mac) != in_use && !unicast.contains(&mac) {
                unicast.push(mac);
            }
        }
        self.change(self.attached(vf)?.id(), actions, |mode| {
            mode.unicast.retain(|extra| Some(*extra) == in_use);
            mode.unicast.extend(unicast);
        })
    }

    fn add_unicast(&mut self, vf: VfId, mac: MacAddr, actions: &mut Vec<Action>) -> Result<Grant, PfRefusal> {
        if !self.is_extra(vf, mac)? {
            return Ok(Grant::AsAsked);
        }
        self.change(self.attached(vf)?.id(), actions, |mode| {
            if !mode.unicast.contains(&mac) {
                mode.unicast.push(mac);
            }
        })
    }

    fn set_multicast(
        &mut self,
        vf: VfId,
        hashes: Vec<u16>,
        actions: &mut Vec<Action>,
    ) -> Result<Grant, PfRefusal> {
        let vport = self.attached(vf)?.id();
        let table = MulticastTable::of(hashes).map_err(|error| PfRefusal::HashOutOfRange(error.number))?;
        let guest = self.guest_mut(vf)?;
        guest.multicast = table;
        let guest = guest.clone();
        self.change(vport, actions, |mode| guest.apply(mode))
    }

    /// Promiscuity is for trusted guests; others get every multicast group instead, as from the kernel's PF drivers.
    fn set_xcast(
        &mut self,
        vf: VfId,
        asked: XcastMode,
        actions: &mut Vec<Action>,
    ) -> Result<Grant, PfRefusal> {
        let vport = self.attached(vf)?;
        let (id, trusted) = (vport.id(), vport.security().trusted);
        let granted = if trusted { asked } else { asked.min(XcastMode::AllMulti) };
        let guest = self.guest_mut(vf)?;
        guest.xcast = granted;
        let guest = guest.clone();
        self.change(id, actions, |mode| guest.apply(mode))?;
        Ok(Grant::Xcast(granted))
    }

    /// VID 0 is always received. Others are a matter of trunks; before the first filter says what the VPort is, what the
    /// stack allows decides.
    fn add_vlan(&mut self, vf: VfId, vid: u16, actions: &mut Vec<Action>) -> Result<Grant, PfRefusal> {
        let vport = self.attached(vf)?;
        if vid == 0 {
            return Ok(Grant::AsAsked);
        }
        let mut vlans = vport.receive_mode().vlans.clone();
        vlans.insert(vid).map_err(|error| PfRefusal::VlanOutOfRange(error.number))?;
        let switch = self.standing().map_err(|_| PfRefusal::NoVPort(vf))?;
        let is_trunk = |filter: &Filter| filter.test().vlan == VlanTest::Any;
        if switch.filters_on(vport.id()).next().is_some() && !switch.filters_on(vport.id()).any(is_trunk) {
            return Err(PfRefusal::NotTrunk(vid));
        }
        if vport.security().vlan_check && !vport.security().allowed_vlans.contains(vid) {
            return Err(PfRefusal::VlanNotAllowed(vid));
        }
        let id = vport.id();
        self.change(id, actions, |mode| mode.vlans = vlans)
    }

    fn set_max_frame(
        &mut self,
        vf: VfId,
        generation: u64,
        bytes: u32,
        actions: &mut Vec<Action>,
    ) -> Result<Grant, PfRefusal> {
        if !(MIN_MAX_FRAME..=MAX_MAX_FRAME).contains(&bytes) {
            return Err(PfRefusal::FrameSize(bytes));
        }
        self.attached(vf)?;
        let guest = self.guest_mut(vf)?;
        if guest.max_frame != bytes {
            guest.max_frame = bytes;
            actions.push(Action::MaxFrameChanged { vf, generation, bytes });
        }
        Ok(Grant::AsAsked)
    }
}
