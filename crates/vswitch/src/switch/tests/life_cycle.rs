//! The life of ports and NICs (`spec/ndis.md` C.2, E.1, E.4).

use crate::testing::{Lab, SECOND, mac, parameters};
use crate::{
    ErrorKind, MAX_PORTS, NicChanges, NicParameters, NicType, PortId, PortParameters, PortType, Suspension,
    SwitchError, SwitchType, VSwitch,
};

fn nic(n: u8) -> NicParameters {
    NicParameters { permanent_mac: mac(n), ..NicParameters::default() }
}

const PORT: PortId = PortId(1);

type Request = fn(&mut VSwitch) -> Result<(), SwitchError>;

/// Every request to one port, by the OID's name.
const REQUESTS: [(&str, Request); 13] = [
    ("NIC_CREATE", |switch| switch.create_nic(PORT, nic(1))),
    ("NIC_CONNECT", |switch| switch.connect_nic(PORT)),
    ("NIC_UPDATED", |switch| switch.update_nic(PORT, NicChanges::default())),
    ("NIC_SUSPEND", |switch| switch.suspend_nic(PORT, Suspension::Suspended)),
    ("NIC_RESUME", |switch| switch.resume_nic(PORT)),
    ("NIC_SAVE", |switch| switch.save_nic(PORT, 0, 0).map(|_| ())),
    ("NIC_DISCONNECT", |switch| switch.disconnect_nic(PORT)),
    ("NIC_DELETE", |switch| switch.delete_nic(PORT)),
    ("PROPERTY", |switch| switch.set_policy(PORT, crate::PortPolicy::default())),
    ("TEARDOWN", |switch| switch.tear_down_port(PORT)),
    ("DELETE", |switch| switch.delete_port(PORT)),
    ("RefPort", |switch| switch.reference_port(PORT)),
    ("RefNic", |switch| switch.reference_nic(PORT)),
];

/// A switch whose port 1 went so far through its life.
fn at(stage: usize) -> VSwitch {
    let mut switch = VSwitch::create(parameters(SwitchType::Internal), SECOND, 0).unwrap();
    let way: [Request; 6] = [
        |switch| switch.create_port(PortParameters::default()).map(|_| ()),
        |switch| switch.create_nic(PORT, nic(1)),
        |switch| switch.connect_nic(PORT),
        |switch| switch.disconnect_nic(PORT),
        |switch| switch.delete_nic(PORT),
        |switch| switch.tear_down_port(PORT),
    ];
    way[..stage].iter().for_each(|step| step(&mut switch).unwrap());
    switch
}

/// The table of E.4: what is allowed in which state; and "sends", "receives": whether frames flow.
#[test]
fn e4_what_is_allowed_in_which_state() {
    let table: [(&str, &[&str]); 7] = [
        ("port not created", &[]),
        ("port created", &["NIC_CREATE", "PROPERTY", "TEARDOWN", "RefPort"]),
        ("NIC created", &["NIC_CONNECT", "PROPERTY", "RefPort", "sends"]),
        (
            "NIC connected",
            &[
                "NIC_UPDATED",
                "NIC_SUSPEND",
                "NIC_RESUME",
                "NIC_SAVE",
                "NIC_DISCONNECT",
                "PROPERTY",
                "RefPort",
                "RefNic",
                "sends",
                "receives",
            ],
        ),
        ("NIC disconnected", &["NIC_DELETE", "PROPERTY", "RefPort"]),
        ("NIC deleted", &["NIC_CREATE", "PROPERTY", "TEARDOWN", "RefPort"]),
        ("port tearing down", &["DELETE"]),
    ];
    for (stage, (state, expected)) in table.into_iter().enumerate() {
        let mut allowed = vec![];
        for (name, request) in REQUESTS {
            let mut switch = at(stage);
            let generation = switch.generation();
            match request(&mut switch) {
                Ok(()) => allowed.push(name),
                Err(_) => assert_eq!(switch.generation(), generation, "{state}: {name} changed something"),
            }
        }
        let switch = at(stage);
        let nic = switch.port(PORT).and_then(|port| port.nic());
        allowed.extend(nic.filter(|nic| nic.sends()).map(|_| "sends"));
        allowed.extend(nic.filter(|nic| nic.receives()).map(|_| "receives"));
        assert_eq!(allowed, expected, "{state}");
    }
}

#[test]
fn e4_references_hold_what_they_name() {
    let mut switch = at(3);
    switch.reference_nic(PORT).unwrap();
    switch.reference_port(PORT).unwrap();
    switch.disconnect_nic(PORT).unwrap();
    let refused = switch.delete_nic(PORT).unwrap_err();
    assert_eq!(refused, SwitchError::Referenced { port: PORT, what: "the NIC", count: 1 });
    switch.dereference_nic(PORT).unwrap();
    assert_eq!(switch.dereference_nic(PORT).unwrap_err().kind(), ErrorKind::InvalidState);
    switch.delete_nic(PORT).unwrap();
    switch.tear_down_port(PORT).unwrap();
    let refused = switch.delete_port(PORT).unwrap_err();
    assert_eq!(refused, SwitchError::Referenced { port: PORT, what: "the port", count: 1 });
    switch.dereference_port(PORT).unwrap();
    assert_eq!(switch.dereference_port(PORT).unwrap_err().kind(), ErrorKind::InvalidState);
    switch.delete_port(PORT).unwrap();
    assert_eq!(switch.reference_port(PORT), Err(SwitchError::PortNotFound { port: PORT }));
}

#[test]
fn e1_each_type_of_switch_has_its_types_of_ports() {
    use PortType::{Emulated, External, Generic, Internal, Synthetic};
    for (kind, taken) in [
        (SwitchType::External, vec![Generic, External, Synthetic, Emulated, Internal]),
        (SwitchType::Internal, vec![Generic, Synthetic, Emulated, Internal]),
        (SwitchType::Private, vec![Generic, Synthetic, Emulated]),
    ] {
        for port in [Generic, External, Synthetic, Emulated, Internal] {
            let mut switch = VSwitch::create(parameters(kind), SECOND, 0).unwrap();
            let created = switch.create_port(PortParameters { kind: port, ..PortParameters::default() });
            assert_eq!(created.is_ok(), taken.contains(&port), "{kind} {port:?}");
        }
    }
    let mut lab = Lab::new();
    let port = lab.external();
    let second = PortParameters { kind: External, ..PortParameters::default() };
    assert_eq!(lab.switch.create_port(second), Err(SwitchError::SecondExternalPort { port }));
}

#[test]
fn e1_each_type_of_port_takes_its_types_of_nics() {
    use NicType::{Emulated, External, Internal, Synthetic};
    for (kind, taken) in [
        (PortType::Generic, vec![Synthetic, Emulated, Internal]),
        (PortType::External, vec![External]),
        (PortType::Synthetic, vec![Synthetic]),
        (PortType::Emulated, vec![Emulated]),
        (PortType::Internal, vec![Internal]),
    ] {
        for nic_kind in [External, Synthetic, Emulated, Internal] {
            let mut lab = Lab::new();
            let port = lab.switch.create_port(PortParameters { kind, ..PortParameters::default() }).unwrap();
            let created = lab.switch.create_nic(port, NicParameters { kind: nic_kind, ..nic(1) });
            assert_eq!(created.is_ok(), taken.contains(&nic_kind), "{kind:?} {nic_kind:?}");
        }
    }
    let mut private = VSwitch::create(parameters(SwitchType::Private), SECOND, 0).unwrap();
    let port = private.create_port(PortParameters { kind: PortType::Generic, ..PortParameters::default() });
    let host = NicParameters { kind: Internal, ..nic(1) };
    assert!(
        private.create_nic(port.unwrap(), host).is_err(),
        "no host on a private switch, by whatever port"
    );
}

#[test]
fn port_numbers_are_bounded_and_given_out_again() {
    let mut lab = Lab::new();
    for n in 1..=MAX_PORTS {
        assert_eq!(lab.switch.create_port(PortParameters::default()), Ok(PortId(n)));
    }
    let refused = lab.switch.create_port(PortParameters::default()).unwrap_err();
    assert_eq!((refused.kind(), refused), (ErrorKind::Resources, SwitchError::NoFreePort));
    lab.switch.tear_down_port(PortId(7)).unwrap();
    lab.switch.delete_port(PortId(7)).unwrap();
    assert_eq!(lab.switch.create_port(PortParameters::default()), Ok(PortId(7)));
}

#[test]
fn e4_the_current_address_follows_the_policy() {
    let mut lab = Lab::new();
    let port = lab.vm(1);
    let changes = NicChanges { vm_mac: Some(mac(2)), team_mac: Some(mac(3)), ..NicChanges::default() };
    lab.switch.update_nic(port, changes).unwrap();
    let current = |lab: &Lab| lab.switch.addresses().next().unwrap().mac;
    assert_eq!(current(&lab), mac(1));
    lab.policy(port, |policy| policy.security.allow_mac_spoofing = true);
    assert_eq!(current(&lab), mac(2));
    lab.policy(port, |policy| policy.security.allow_teaming = true);
    assert_eq!(current(&lab), mac(3));
    let back = NicChanges { team_mac: Some(ethernet::MacAddr::ZERO), ..NicChanges::default() };
    lab.switch.update_nic(port, back).unwrap();
    assert_eq!(current(&lab), mac(2));
    // An address that is taken stays so when the policy would give it to a second one.
    let other = lab.vm(4);
    lab.switch.update_nic(other, NicChanges { vm_mac: Some(mac(2)), ..NicChanges::default() }).unwrap();
    let mut policy = lab.switch.port(other).unwrap().policy().clone();
    policy.security.allow_mac_spoofing = true;
    let refused = lab.switch.set_policy(other, policy).unwrap_err();
    assert_eq!(refused, SwitchError::MacInUse { mac: mac(2), port });
}

#[test]
fn addresses_of_nics_are_those_of_one_station() {
    let mut lab = Lab::new();
    let first = lab.vm(1);
    let port = lab.switch.create_port(PortParameters::default()).unwrap();
    for bad in [ethernet::MacAddr::ZERO, ethernet::MacAddr::BROADCAST] {
        let parameters = NicParameters { permanent_mac: bad, ..NicParameters::default() };
        assert_eq!(lab.switch.create_nic(port, parameters), Err(SwitchError::MacInvalid { mac: bad }));
    }
    let refused = lab.switch.create_nic(port, nic(1)).unwrap_err();
    assert_eq!(refused, SwitchError::MacInUse { mac: mac(1), port: first });
    lab.switch.set_static_address(0, mac(5), first).unwrap();
    assert!(lab.switch.create_nic(port, nic(5)).is_err());
    lab.switch.disconnect_nic(first).unwrap();
    assert_eq!(lab.switch.create_nic(port, nic(1)), Ok(()), "the first is on its way out");
}
