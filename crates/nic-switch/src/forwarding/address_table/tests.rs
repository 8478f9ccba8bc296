use std::collections::HashMap;

use ethernet::MacAddr;
use proptest::prelude::*;

use super::{AddressTable, Key, Match};
use crate::VPortId;

fn found(vport: u32) -> Match {
    Match { vport: VPortId(vport), vlans: 0, strip: false, blocked: None }
}

fn number(table: &AddressTable, key: Key) -> Option<u32> {
    table.find(key).map(|found| found.vport.0)
}

#[test]
fn an_empty_table_finds_nothing() {
    let table = AddressTable::build(&[]);
    assert_eq!(table.find(Key::exact(MacAddr::ZERO, 0)), None);
    assert_eq!(table.find(Key::any(MacAddr::ZERO)), None);
}

#[test]
fn the_vlan_and_the_kind_of_test_belong_to_the_key() {
    let mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let table = AddressTable::build(&[
        (Key::exact(mac, 0), found(1)),
        (Key::exact(mac, 4094), found(2)),
        (Key::any(mac), found(3)),
    ]);
    assert_eq!(number(&table, Key::exact(mac, 0)), Some(1));
    assert_eq!(number(&table, Key::exact(mac, 4094)), Some(2));
    assert_eq!(number(&table, Key::exact(mac, 1)), None);
    assert_eq!(number(&table, Key::any(mac)), Some(3));
}

#[test]
fn of_a_repeated_key_the_first_entry_counts() {
    let key = Key::exact(MacAddr([2, 0, 0, 0, 0, 1]), 0);
    assert_eq!(number(&AddressTable::build(&[(key, found(1)), (key, found(2))]), key), Some(1));
}

#[test]
fn s06_addresses_in_a_row_in_4094_vlans_are_all_found_in_few_steps() {
    // Consecutive addresses, as a vendor assigns them, and one address in every VLAN.
    let rows = (0..512_u16).map(u16::to_be_bytes).map(|[a, b]| Key::exact(MacAddr([2, 0, 0, 0, a, b]), 0));
    let vlans = (1..4095).map(|vlan| Key::exact(MacAddr([2, 9, 9, 9, 9, 9]), vlan));
    let entries: Vec<_> = rows.chain(vlans).zip(0..).map(|(key, vport)| (key, found(vport))).collect();
    let table = AddressTable::build(&entries);
    for &(key, expected) in &entries {
        assert_eq!(table.find(key), Some(&expected));
        let steps = table.walk(key).wrapping_sub(table.home(key)) % table.slots.len() + 1;
        assert!(steps <= 32, "{key:?} takes {steps} steps");
    }
}

proptest! {
    #[test]
    fn behaves_like_a_map(
        entries in prop::collection::vec((any::<[u8; 6]>(), 0_u16..4095, any::<bool>()), 0..200),
        others in prop::collection::vec((any::<[u8; 6]>(), 0_u16..4095), 20),
    ) {
        let key = |mac, vlan, any| if any { Key::any(MacAddr(mac)) } else { Key::exact(MacAddr(mac), vlan) };
        let entries: Vec<_> =
            entries.into_iter().zip(0..).map(|((mac, vlan, any), vport)| (key(mac, vlan, any), found(vport))).collect();
        let mut model = HashMap::new();
        for (key, found) in &entries {
            model.entry(key.0).or_insert(*found);
        }
        let table = AddressTable::build(&entries);
        prop_assert!(table.slots.len() >= 2 * entries.len());
        for (key, _) in &entries {
            prop_assert_eq!(table.find(*key), model.get(&key.0));
        }
        for (mac, vlan) in others {
            let key = key(mac, vlan, false);
            prop_assert_eq!(table.find(key), model.get(&key.0));
        }
    }
}
