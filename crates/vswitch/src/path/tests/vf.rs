//! Guests with a VF: the NIC switch stands behind the external port (`spec/ndis.md` D.2, D.3).

use ethernet::MacAddr;
use nic_switch::BumPath;

use crate::testing::{Lab, mac};
use crate::{PortId, VfPath};

const BROADCAST: MacAddr = MacAddr::BROADCAST;

/// The external port, a VM with a VF in this state, a VM without.
fn lab(vf: VfPath) -> (Lab, [PortId; 3]) {
    let mut lab = Lab::new();
    let ports = [lab.external(), lab.vm(1), lab.vm(2)];
    lab.vf(ports[1], vf);
    (lab, ports)
}

#[test]
fn d2_unicast_to_a_vf_goes_to_the_nic_switch() {
    let (mut lab, [external, on_vf, vm]) = lab(VfPath::Active(BumPath::Vf));
    assert_eq!(lab.send(vm, mac(1), mac(2)), Ok(vec![external]));
    // The other way the VF's frames come from the external port.
    assert_eq!(lab.send(external, mac(2), mac(1)), Ok(vec![vm]));
    // What the NIC switch hands up is not sent back to it: the filter has moved just now.
    assert_eq!(lab.send(external, mac(1), mac(9)), Ok(vec![on_vf]));
}

#[test]
fn d3_a_vf_guest_gets_each_broadcast_on_one_path_only() {
    let (mut by_vf, [external, _, vm]) = lab(VfPath::Active(BumPath::Vf));
    assert_eq!(by_vf.send(vm, BROADCAST, mac(2)), Ok(vec![external]), "the NIC switch delivers it");
    assert_eq!(by_vf.send(external, BROADCAST, mac(9)), Ok(vec![vm]), "the NIC switch has delivered it");
    let (mut synthetic, [external, on_vf, vm]) = lab(VfPath::Active(BumPath::Synthetic));
    assert_eq!(synthetic.send(vm, BROADCAST, mac(2)), Ok(vec![external, on_vf]));
    assert_eq!(synthetic.send(external, BROADCAST, mac(9)), Ok(vec![on_vf, vm]));
    let (mut assigned, [external, on_vf, vm]) = lab(VfPath::Assigned);
    assert_eq!(assigned.send(vm, BROADCAST, mac(2)), Ok(vec![external, on_vf]));
    assert_eq!(assigned.send(vm, mac(1), mac(2)), Ok(vec![on_vf]));
}

#[test]
fn s11_a_guest_never_gets_its_own_frame_back_by_the_other_path() {
    for vf in [VfPath::None, VfPath::Assigned, VfPath::Active(BumPath::Synthetic)] {
        let (mut lab, [external, on_vf, vm]) = lab(vf);
        assert_eq!(lab.send(external, BROADCAST, mac(1)), Ok(vec![vm]), "{vf:?}");
        assert_eq!(lab.send(on_vf, BROADCAST, mac(1)), Ok(vec![external, vm]), "{vf:?}");
        assert!(lab.state.learning().is_empty(), "a NIC's own address is not learned elsewhere");
    }
}

#[test]
fn without_an_external_port_the_synthetic_path_is_what_is_left() {
    let (mut lab, [external, on_vf, vm]) = lab(VfPath::Active(BumPath::Vf));
    lab.switch.disconnect_nic(external).unwrap();
    assert_eq!(lab.send(vm, mac(1), mac(2)), Ok(vec![on_vf]));
    assert_eq!(lab.send(vm, BROADCAST, mac(2)), Ok(vec![on_vf]));
}
