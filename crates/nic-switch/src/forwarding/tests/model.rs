//! A second, deliberately plain forwarding decision, written from `spec/ndis.md` D and the crate's documentation: loops
//! over the switch's own objects, no tables, every rule in one place.

use std::collections::BTreeSet;

use ethernet::{McFilterType, VlanTag, multicast_hash};

use crate::{
    BumPath, Delivery, DropReason, Egress, Filter, FilterTest, FunctionId, Ingress, LinkState, NicSwitch,
    Source, VPort, VPortId, VPortState, VlanTest,
};

/// In which VLAN a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Vlan {
    None,
    Id(u16),
    /// An outer tag in band.
    Foreign,
}

const TPIDS: [u16; 5] = [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300];

pub(super) fn decide(
    switch: &NicSwitch,
    physical_port: bool,
    ingress: &Ingress,
) -> Result<BTreeSet<Delivery>, DropReason> {
    let (vlan, tag) = admit(switch, ingress)?;
    let from_default = ingress.from == Source::VPort(VPortId::DEFAULT);
    let mut out = BTreeSet::new();

    let mut outward = BTreeSet::new();
    if !from_default {
        outward.insert(Delivery { to: Egress::VPort(VPortId::DEFAULT), tag });
    }
    if physical_port && ingress.from != Source::Wire {
        outward.insert(Delivery { to: Egress::Physical, tag });
    }

    if ingress.destination.is_link_local_control() {
        out.extend(outward);
    } else if ingress.destination.is_multicast() {
        for vport in switch.vports() {
            if takes_group(vport, ingress) {
                out.extend(flooded(switch, vport, ingress, vlan, tag));
            }
        }
        out.extend(outward);
    } else {
        if ingress.source == ingress.destination {
            return Err(DropReason::Hairpin);
        }
        match owner(switch, FilterTest { mac: ingress.destination, vlan: VlanTest::Any }, vlan) {
            Some((owner, _)) if ingress.from == Source::VPort(owner.id()) => return Err(DropReason::Hairpin),
            Some((owner, _)) if owner.state() == VPortState::Deactivated => {
                return Err(DropReason::VPortInactive);
            }
            Some((owner, _)) if down(owner) => return Err(DropReason::LinkDown),
            Some((owner, shown)) => {
                let tag = if shown { tag } else { None };
                out.insert(Delivery { to: Egress::VPort(owner.id()), tag });
            }
            None => {
                for vport in switch.vports() {
                    if vport.security().trusted && vport.receive_mode().promiscuous {
                        out.extend(flooded(switch, vport, ingress, vlan, tag));
                    }
                }
                out.extend(outward);
            }
        }
    }
    if out.is_empty() { Err(DropReason::NoDestination) } else { Ok(out) }
}

/// What the sender may, and in which VLAN the frame then is.
fn admit(switch: &NicSwitch, ingress: &Ingress) -> Result<(Vlan, Option<VlanTag>), DropReason> {
    let policed = match ingress.from {
        Source::VPort(id) if id.0 != 0 => Some(switch.vport(id).ok_or(DropReason::VPortInactive)?),
        _ => None,
    };
    if let Some(vport) = policed {
        if vport.state() == VPortState::Deactivated {
            return Err(DropReason::VPortInactive);
        }
        if down(vport) {
            return Err(DropReason::LinkDown);
        }
        if switch.filters_on(vport.id()).next().is_none() && vport.security().sends_as.is_none() {
            return Err(DropReason::NoFilter);
        }
    }
    if ingress.source.is_zero() || ingress.source.is_multicast() {
        return Err(DropReason::SourceMacInvalid);
    }
    if ingress.ethertype == 0x8808 {
        return Err(DropReason::PauseFrame);
    }
    if policed.is_some() && ingress.destination.is_link_local_control() {
        return Err(DropReason::LinkLocalControl);
    }
    let mode = match policed {
        Some(vport) => {
            let mut allowed = tests(switch, vport);
            let mut first = switch.filters_on(vport.id()).next().map(Filter::test);
            if first.is_none() {
                allowed.extend(vport.security().sends_as);
                first = vport.security().sends_as;
            }
            let own = allowed.into_iter().find(|test| test.mac == ingress.source);
            match own {
                None if vport.security().mac_spoof_check => return Err(DropReason::SourceMacSpoofed),
                own => own.or(first).map(|test| test.vlan),
            }
        }
        None => None,
    };
    let vid = ingress.tag.map_or(0, |tag| tag.0 & 0xfff);
    let further_tag = TPIDS.contains(&ingress.ethertype);
    if vid == 4095 {
        return Err(DropReason::ReservedVlan);
    }
    let tagged = match vid {
        0 if further_tag => Vlan::Foreign,
        0 => Vlan::None,
        vid => Vlan::Id(vid),
    };
    match (mode, policed) {
        (Some(VlanTest::Any), Some(vport)) => {
            let allowed = match tagged {
                Vlan::None => true,
                Vlan::Id(vid) => vport.security().allowed_vlans.contains(vid),
                Vlan::Foreign => false,
            };
            if vport.security().vlan_check && !allowed {
                return Err(DropReason::VlanNotAllowed);
            }
            Ok((tagged, ingress.tag))
        }
        (Some(_), _) if further_tag => Err(DropReason::DoubleTagged),
        (Some(VlanTest::Id(access)), _) if vid == 0 || vid == access => {
            let priority = ingress.tag.map_or(0, |tag| tag.0 & 0xf000);
            Ok((Vlan::Id(access), Some(VlanTag(priority | access))))
        }
        (Some(VlanTest::UntaggedOrZero), _) if vid == 0 => Ok((Vlan::None, ingress.tag)),
        (Some(_), _) => Err(DropReason::VlanNotAllowed),
        (None, _) => Ok((tagged, ingress.tag)),
    }
}

fn down(vport: &VPort) -> bool {
    vport.id().0 != 0 && vport.security().link == LinkState::Disable
}

/// The tests of a VPort's filters, and as such its extra addresses.
fn tests(switch: &NicSwitch, vport: &VPort) -> Vec<FilterTest> {
    let mut tests: Vec<_> = switch.filters_on(vport.id()).map(Filter::test).collect();
    if vport.id().0 != 0 && vport.security().trusted && !tests.is_empty() {
        let vlan = tests[0].vlan;
        for &mac in &vport.receive_mode().unicast {
            if tests.iter().all(|test| test.mac != mac) {
                tests.push(FilterTest { mac, vlan });
            }
        }
    }
    tests
}

/// Whether a test of `vport` takes frames of `vlan`, and whether the receiver then sees the tag.
fn takes(vport: &VPort, test: VlanTest, vlan: Vlan) -> Option<bool> {
    let default = vport.id().0 == 0;
    match (test, vlan) {
        (VlanTest::Id(access), Vlan::Id(vid)) if access == vid => Some(default),
        (VlanTest::UntaggedOrZero | VlanTest::Any, Vlan::None) => Some(true),
        (VlanTest::Any, _) if default => Some(true),
        (VlanTest::Any, Vlan::Id(vid)) => {
            let security = vport.security();
            let allowed = !security.vlan_check || security.allowed_vlans.contains(vid);
            let asked = security.accept_bum || vport.receive_mode().vlans.contains(vid);
            (allowed && asked).then_some(true)
        }
        _ => None,
    }
}

/// The VPort that has an address in a VLAN: a test for exactly this VLAN comes before one for any.
fn owner(switch: &NicSwitch, wanted: FilterTest, vlan: Vlan) -> Option<(&VPort, bool)> {
    let mut found = Vec::new();
    for vport in switch.vports() {
        for test in tests(switch, vport).into_iter().filter(|test| test.mac == wanted.mac) {
            if let Some(shown) = takes(vport, test.vlan, vlan) {
                found.push((test.vlan == VlanTest::Any, vport, shown));
            }
        }
    }
    for any in [false, true] {
        let alike: Vec<_> = found.iter().filter(|(of_any, ..)| *of_any == any).collect();
        assert!(alike.len() <= 1, "{wanted:?} in {vlan:?} is on several VPorts: {alike:?}");
        if let Some((_, vport, shown)) = alike.first() {
            return Some((vport, *shown));
        }
    }
    None
}

fn takes_group(vport: &VPort, ingress: &Ingress) -> bool {
    let (security, mode) = (vport.security(), vport.receive_mode());
    let hash = multicast_hash(ingress.destination, McFilterType::Bits47To36);
    let everything = security.accept_bum || security.trusted && mode.promiscuous;
    if ingress.destination.is_broadcast() {
        mode.broadcast || everything
    } else {
        mode.all_multicast || mode.multicast.contains(hash) || everything
    }
}

/// The copy of a flooded frame that a VPort gets, if it takes part and the frame is not its own.
fn flooded(
    switch: &NicSwitch,
    vport: &VPort,
    ingress: &Ingress,
    vlan: Vlan,
    tag: Option<VlanTag>,
) -> Option<Delivery> {
    if vport.function() == FunctionId::Pf || down(vport) || vport.security().bum_path == BumPath::Synthetic {
        return None;
    }
    let own = owner(switch, FilterTest { mac: ingress.source, vlan: VlanTest::Any }, vlan);
    if ingress.from == Source::VPort(vport.id()) || own.is_some_and(|(own, _)| own.id() == vport.id()) {
        return None;
    }
    let seen: Vec<_> =
        switch.filters_on(vport.id()).filter_map(|filter| takes(vport, filter.test().vlan, vlan)).collect();
    // A VPort that is in the VLAN as its access VLAN does not see the tag, even if it is in it as a trunk as well.
    let shown = *seen.iter().min()?;
    Some(Delivery { to: Egress::VPort(vport.id()), tag: if shown { tag } else { None } })
}
