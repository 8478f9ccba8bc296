use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{MulticastTable, NotAMember, VlanSet};

#[test]
fn the_largest_member_is_the_last_one_that_can_be_inserted() {
    let mut vlans = VlanSet::EMPTY;
    assert_eq!(vlans.insert(4094), Ok(()));
    assert_eq!(vlans.insert(4095), Err(NotAMember { number: 4095, max: 4094 }));
    assert!(MulticastTable::of([4095]).is_ok());
    assert_eq!(MulticastTable::of([1, 4096, 5000]), Err(NotAMember { number: 4096, max: 4095 }));
    assert_eq!(vlans.iter().collect::<Vec<_>>(), [4094]);
}

#[test]
fn all_holds_every_number_that_can_be_a_member() {
    assert!(VlanSet::all().iter().eq(0..=4094));
    assert!(MulticastTable::all().iter().eq(0..=4095));
}

#[test]
fn a_set_is_serialised_as_the_list_of_its_members() {
    let set = VlanSet::of([7, 0, 4094, 7]).unwrap();
    let text = serde_json::to_string(&set).unwrap();
    assert_eq!(text, "[0,7,4094]");
    assert_eq!(serde_json::from_str::<VlanSet>(&text).unwrap(), set);
    for bad in ["[4095]", "[-1]", "[70000]", "7", "[1,\"2\"]"] {
        assert!(serde_json::from_str::<VlanSet>(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn behaves_like_a_tree_set(operations in prop::collection::vec((any::<bool>(), any::<u16>()), 0..64)) {
        let (mut set, mut model) = (VlanSet::EMPTY, BTreeSet::new());
        for (insert, number) in operations {
            // Every number from inside the set as well as from far outside of it.
            let number = if number % 2 == 0 { number % 4200 } else { number };
            if insert {
                prop_assert_eq!(set.insert(number).is_ok(), number <= 4094);
                if number <= 4094 {
                    model.insert(number);
                }
            } else {
                set.remove(number);
                model.remove(&number);
            }
            prop_assert_eq!(set.contains(number), model.contains(&number));
            prop_assert_eq!(set.is_empty(), model.is_empty());
        }
        prop_assert!(set.iter().eq(model));
    }
}
