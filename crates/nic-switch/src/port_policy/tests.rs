use super::{BumPath, LinkState, PortSecurity, ReceiveMode};
use crate::testing::mac;
use crate::{MulticastTable, VlanSet};

#[test]
fn a_guest_is_distrusted_unless_the_stack_says_otherwise() {
    let security: PortSecurity = serde_json::from_str("{}").unwrap();
    assert_eq!(security, PortSecurity::default());
    assert!(security.mac_spoof_check && security.vlan_check && !security.trusted && !security.accept_bum);
    assert!(security.allowed_vlans.is_empty());
    assert_eq!((security.link, security.bum_path), (LinkState::Auto, BumPath::Vf));
}

#[test]
fn after_a_reset_a_guest_receives_its_own_addresses_and_broadcast() {
    let mode: ReceiveMode = serde_json::from_str("{}").unwrap();
    assert_eq!(mode, ReceiveMode::default());
    assert!(mode.broadcast && !mode.all_multicast && !mode.promiscuous);
    assert!(mode.unicast.is_empty() && mode.multicast.is_empty() && mode.vlans.is_empty());
}

#[test]
fn policies_survive_serialisation_and_unknown_members_do_not() {
    let security = PortSecurity {
        trusted: true,
        allowed_vlans: VlanSet::of([1, 4094]).unwrap(),
        link: LinkState::Disable,
        bum_path: BumPath::Synthetic,
        ..PortSecurity::default()
    };
    let text = serde_json::to_string(&security).unwrap();
    assert_eq!(serde_json::from_str::<PortSecurity>(&text).unwrap(), security);
    let mode = ReceiveMode {
        unicast: vec![mac(1)],
        multicast: MulticastTable::of([0, 4095]).unwrap(),
        promiscuous: true,
        ..ReceiveMode::default()
    };
    let text = serde_json::to_string(&mode).unwrap();
    assert_eq!(serde_json::from_str::<ReceiveMode>(&text).unwrap(), mode);
    assert!(serde_json::from_str::<PortSecurity>(r#"{"spoof_check":false}"#).is_err(), "a misspelt member");
}
