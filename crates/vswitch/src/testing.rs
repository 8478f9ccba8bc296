//! What the tests of several modules share: a switch to which ports are added in one line each, and frames.

use std::collections::BTreeMap;

use ethernet::{MacAddr, VlanTag};
use nic_switch::VlanSet;
use port::Cycles;

use crate::{
    Destinations, DropReason, NicEnforces, NicParameters, NicType, Packet, Path, PortId, PortParameters,
    PortPolicy, PortType, State, SwitchParameters, SwitchType, VSwitch, VfPath, VlanPolicy,
};

/// The clock of the tests counts microseconds.
pub(crate) const SECOND: Cycles = 1_000_000;

/// The `n`-th station.
pub(crate) fn mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, n])
}

pub(crate) fn vlans(members: &[u16]) -> VlanSet {
    VlanSet::of(members.iter().copied()).unwrap()
}

pub(crate) fn trunk(native: u16, allowed: &[u16]) -> VlanPolicy {
    VlanPolicy::Trunk { native, allowed: vlans(allowed), pruned: vlans(&[]) }
}

pub(crate) fn tag(vlan: u16) -> Option<VlanTag> {
    Some(VlanTag::new(vlan, 0, false))
}

/// A frame of an EtherType that nobody looks into.
pub(crate) fn frame(destination: MacAddr, source: MacAddr) -> Vec<u8> {
    [&destination.0[..], &source.0, &[0x88, 0xb5], &[0; 46]].concat()
}

pub(crate) fn parameters(kind: SwitchType) -> SwitchParameters {
    SwitchParameters { name: "switch".into(), kind, bandwidth: None, nic_enforces: NicEnforces::default() }
}

/// An external switch, its path and the memory of a worker.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) switch: VSwitch,
    pub(crate) path: Path,
    pub(crate) state: State,
    pub(crate) out: Destinations,
    pub(crate) now: Cycles,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let switch = VSwitch::create(parameters(SwitchType::External), SECOND, 7).unwrap();
        let path = switch.snapshot();
        Self { switch, path, state: State::new(SECOND, 99), out: Destinations::new(), now: 1000 * SECOND }
    }

    fn add(&mut self, kind: PortType, nic: NicType, mac: MacAddr) -> PortId {
        let port = self.switch.create_port(PortParameters { kind, ..PortParameters::default() }).unwrap();
        let parameters = NicParameters { kind: nic, permanent_mac: mac, ..NicParameters::default() };
        self.switch.create_nic(port, parameters).unwrap();
        self.switch.connect_nic(port).unwrap();
        port
    }

    /// Adds the external port.
    pub(crate) fn external(&mut self) -> PortId {
        self.add(PortType::External, NicType::External, MacAddr::ZERO)
    }

    /// Adds the host's adapter with the `n`-th address.
    pub(crate) fn internal(&mut self, n: u8) -> PortId {
        self.add(PortType::Internal, NicType::Internal, mac(n))
    }

    /// Adds a VM's adapter with the `n`-th address.
    pub(crate) fn vm(&mut self, n: u8) -> PortId {
        self.add(PortType::Synthetic, NicType::Synthetic, mac(n))
    }

    /// Adds a VM's adapter with the `n`-th address and this policy.
    pub(crate) fn vm_with(&mut self, n: u8, change: impl FnOnce(&mut PortPolicy)) -> PortId {
        let port = self.vm(n);
        self.policy(port, change);
        port
    }

    pub(crate) fn policy(&mut self, port: PortId, change: impl FnOnce(&mut PortPolicy)) {
        let mut policy = self.switch.port(port).unwrap().policy().clone();
        change(&mut policy);
        self.switch.set_policy(port, policy).unwrap();
    }

    /// Adds a VM's adapter in these VLANs.
    pub(crate) fn vm_in(&mut self, n: u8, vlan: VlanPolicy) -> PortId {
        self.vm_with(n, |policy| policy.vlan = vlan)
    }

    /// Adds a VM's adapter behind which there may be others.
    pub(crate) fn bridge(&mut self, n: u8) -> PortId {
        self.vm_with(n, |policy| policy.security.allow_mac_spoofing = true)
    }

    pub(crate) fn vf(&mut self, port: PortId, vf: VfPath) {
        let changes = crate::NicChanges { vf: Some(vf), ..crate::NicChanges::default() };
        self.switch.update_nic(port, changes).unwrap();
    }

    pub(crate) fn decide(&mut self, packet: &Packet<'_>) -> Result<(), DropReason> {
        if self.path.generation() != self.switch.generation() {
            self.path = self.switch.snapshot();
        }
        self.path.decide(&mut self.state, packet, self.now, &mut self.out)
    }

    /// Sends bytes; who gets them, with which tag.
    pub(crate) fn send_bytes(
        &mut self,
        from: PortId,
        bytes: &[u8],
        tag: Option<VlanTag>,
    ) -> Result<BTreeMap<PortId, Option<VlanTag>>, DropReason> {
        let decided = self.decide(&Packet::described(from, bytes, tag));
        assert_eq!(decided.is_ok(), !self.out.is_empty(), "{decided:?} {:?}", self.out);
        decided?;
        let reached: BTreeMap<_, _> = self.out.iter().map(|to| (to.port, to.tag)).collect();
        assert_eq!(reached.len(), self.out.len(), "twice to one port: {:?}", self.out);
        assert!(!reached.contains_key(&from), "back to the sender");
        Ok(reached)
    }

    /// Sends an untagged frame; who gets it.
    pub(crate) fn send(
        &mut self,
        from: PortId,
        destination: MacAddr,
        source: MacAddr,
    ) -> Result<Vec<PortId>, DropReason> {
        let reached = self.send_bytes(from, &frame(destination, source), None)?;
        Ok(reached.into_keys().collect())
    }

    /// Sends a frame; who gets it.
    pub(crate) fn send_tagged(
        &mut self,
        from: PortId,
        destination: MacAddr,
        source: MacAddr,
        tag: Option<VlanTag>,
    ) -> Result<BTreeMap<PortId, Option<VlanTag>>, DropReason> {
        self.send_bytes(from, &frame(destination, source), tag)
    }
}

/// IP packets, built slowly.
pub(crate) mod packets {
    use ethernet::MacAddr;

    /// An Ethernet header and what follows.
    pub(crate) fn ethernet(destination: MacAddr, source: MacAddr, kind: u16, body: &[u8]) -> Vec<u8> {
        [&destination.0[..], &source.0, &kind.to_be_bytes(), body].concat()
    }

    /// An IPv4 packet from 10.0.0.`source` to 10.0.0.`destination`.
    pub(crate) fn ipv4(source: u8, destination: u8, protocol: u8, fragment: u16, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
        let fragment = fragment.to_be_bytes();
        let header = [0x45, 0, length[0], length[1], 0, 1, fragment[0], fragment[1], 64, protocol, 0, 0];
        [&header[..], &[10, 0, 0, source], &[10, 0, 0, destination], body].concat()
    }

    /// An IPv6 packet from fd00::`source` to fd00::`destination`.
    pub(crate) fn ipv6(source: u8, destination: u8, next_header: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        let address = |last| [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
        let header = [0x60, 0, 0, 0, length[0], length[1], next_header, 255];
        [&header[..], &address(source), &address(destination), body].concat()
    }

    pub(crate) fn udp(source: u16, destination: u16) -> Vec<u8> {
        [source.to_be_bytes(), destination.to_be_bytes(), [0, 8], [0, 0]].concat()
    }

    pub(crate) fn tcp(source: u16, destination: u16) -> Vec<u8> {
        let mut header = [source.to_be_bytes(), destination.to_be_bytes()].concat();
        header.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        header
    }

    pub(crate) fn icmp(kind: u8) -> Vec<u8> {
        vec![kind, 0, 0, 0, 0, 0, 0, 0]
    }
}
