mod hostile;
mod model;
mod properties;
mod rules;

use ethernet::{MacAddr, VlanTag};

use super::{Deliveries, DropReason, Egress, Ingress, Source};
use crate::testing::{Lab, mac};
use crate::{VPortId, VlanTest};

/// Who gets a frame and with which tag; physical port and default VPort last.
type Outcome = Result<Vec<(Egress, Option<VlanTag>)>, DropReason>;

const WIRE: Source = Source::Wire;
const PHYSICAL: Egress = Egress::Physical;

const fn on(vport: u32) -> Source {
    Source::VPort(VPortId(vport))
}

const fn to(vport: u32) -> Egress {
    Egress::VPort(VPortId(vport))
}

const fn vid(vid: u16) -> Option<VlanTag> {
    Some(VlanTag::new(vid, 0, false))
}

/// An untagged IPv4 frame from the `source`-th station to the `destination`-th.
fn frame(from: Source, source: u8, destination: u8) -> Ingress {
    Ingress { from, destination: mac(destination), source: mac(source), tag: None, ethertype: 0x0800 }
}

/// The same to a group.
fn group(from: Source, source: u8, destination: MacAddr) -> Ingress {
    Ingress { destination, ..frame(from, source, 0) }
}

fn broadcast(from: Source, source: u8) -> Ingress {
    group(from, source, MacAddr::BROADCAST)
}

fn multicast(n: u8) -> MacAddr {
    MacAddr([1, 0, 0x5e, 0, 0, n])
}

impl Ingress {
    fn tagged(self, tag: VlanTag) -> Self {
        Self { tag: Some(tag), ..self }
    }

    fn in_vlan(self, vid: u16) -> Self {
        self.tagged(VlanTag::new(vid, 0, false))
    }
}

impl Lab {
    /// What an adapter with a physical port does with a frame.
    fn decide(&self, ingress: Ingress) -> Outcome {
        self.decide_with(true, ingress)
    }

    fn decide_with(&self, physical_port: bool, ingress: Ingress) -> Outcome {
        let mut out = Deliveries::for_adapter(self.switch.capabilities());
        self.switch.snapshot(physical_port).decide(&ingress, &mut out)?;
        Ok(out.iter().map(|delivery| (delivery.to, delivery.tag)).collect())
    }

    /// Who gets it.
    fn receivers(&self, ingress: Ingress) -> Result<Vec<Egress>, DropReason> {
        Ok(self.decide(ingress)?.into_iter().map(|(to, _)| to).collect())
    }
}

/// Three guests without VLAN: stations 1, 2 and 3 on the VPorts of the same number.
fn three_vfs() -> Lab {
    let mut lab = Lab::new();
    for n in 1..4_u8 {
        lab.vf(n.into(), &[crate::testing::test(n, VlanTest::UntaggedOrZero)]);
    }
    lab
}
