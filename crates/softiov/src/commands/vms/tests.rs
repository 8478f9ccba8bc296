use serde_json::json;

use super::{difference, merge_patch};
use crate::settings::{self, About};
use virt_stack::desired::AdapterSpec;

#[test]
fn a_patch_of_a_difference_makes_the_one_of_the_other() {
    let plain = AdapterSpec::new(settings::mac("02:00:00:00:00:01").unwrap());
    let with = |list: &[&str]| {
        let mut spec = plain.clone();
        for setting in list {
            settings::apply(&mut spec, setting, About::Adapter).unwrap();
        }
        spec
    };
    let all = [
        plain.clone(),
        with(&["vlan=5", "iov-weight=3"]),
        with(&["trunk=5,7-9", "storm-limit=7", "max-bandwidth=1M"]),
        with(&["private-vlan=100:isolated:101", "mtu=9000", "bus=rp1"]),
        with(&["private-vlan=100:community:102", "acl-idle=60"]),
    ];
    for before in &all {
        for after in &all {
            let patch = difference(before, after).unwrap();
            assert_eq!(patch.apply(before).unwrap(), *after, "{patch:?}");
        }
    }
}

#[test]
fn a_patch_names_only_what_differs() {
    let patch =
        merge_patch(&json!({"a": 1, "b": {"c": 2, "d": 3}, "e": 4}), &json!({"a": 1, "b": {"c": 5, "d": 3}}));
    assert_eq!(patch, json!({"b": {"c": 5}, "e": null}));
}
