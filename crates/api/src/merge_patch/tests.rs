use proptest::prelude::*;
use serde_json::{Map, Value, json};
use virt_stack::desired::{AdapterSpec, VmSpec};

use super::MergePatch;

fn patch(value: Value) -> MergePatch {
    serde_json::from_value(value).unwrap()
}

fn adapter() -> AdapterSpec {
    let port = json!({"storm_limit": 9, "teaming": true});
    let spec = json!({"mac": "02:00:00:00:00:01", "vlan": 5, "iov_weight": 20, "port": port});
    serde_json::from_value(spec).unwrap()
}

#[test]
fn the_examples_of_the_standard_come_out_as_it_says() {
    // RFC 7396, appendix A, those whose patch is an object.
    for (target, change, expected) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ] {
        assert_eq!(patch(change.clone()).apply(&target).unwrap(), expected, "{target} with {change}");
    }
}

#[test]
fn what_is_not_named_stays_and_null_means_the_default() {
    let port = json!({"teaming": null, "bandwidth": {"weight": 3}});
    let change = json!({"iov_weight": null, "vlan": null, "mtu": null, "port": port});
    let changed = patch(change).apply(&adapter()).unwrap();
    let default: AdapterSpec = serde_json::from_value(json!({"mac": "02:00:00:00:00:01"})).unwrap();
    assert_eq!((changed.vlan, changed.iov_weight), (None, default.iov_weight));
    assert_eq!(
        (changed.port.storm_limit, changed.port.teaming, changed.port.bandwidth.weight),
        (9, false, 3)
    );
}

#[test]
fn unknown_keys_are_refused_wherever_they_are_and_whatever_their_value() {
    for (change, named) in [
        (json!({"colour": 1}), "colour"),
        (json!({"colour": null}), "colour"),
        (json!({"port": {"colour": null}}), "colour"),
        (json!({"port": {"bandwidth": {"colour": null}}}), "colour"),
        (json!({"port": {"private_vlan": {"colour": null}}}), "colour"),
        (json!({"vlan": {"colour": null}}), "vlan"),
        (json!({"port": null, "prot": null}), "prot"),
    ] {
        let refused = patch(change.clone()).apply(&adapter());
        // A number that is to be an object is refused for that.
        match refused {
            Err(error) => {
                assert_eq!(error.code(), "invalid");
                assert!(error.to_string().contains(named) || named == "vlan", "{change}: {error}");
            }
            Ok(adapter) => panic!("{change} made {adapter:?}"),
        }
    }
}

#[test]
fn a_list_is_replaced_whole_under_either_of_its_names() {
    let vm: VmSpec =
        serde_json::from_value(json!({"name": "a", "adapter": [{"mac": "02:00:00:00:00:01"}]})).unwrap();
    let list = json!([{"mac": "02:00:00:00:00:02"}, {"mac": "02:00:00:00:00:03"}]);
    assert_eq!(patch(json!({"adapter": list})).apply(&vm).unwrap().adapters.len(), 2);
    assert_eq!(patch(json!({"adapters": null})).apply(&vm).unwrap().adapters.len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn levels_are_bounded(levels in 1_usize..40) {
        let change = (0..levels).fold(Map::new(), |inner, _| {
            Map::from_iter([("port".to_owned(), Value::Object(inner))])
        });
        // Whatever comes out of it: it comes.
        let applied = MergePatch::new(change).apply(&json!({}));
        prop_assert_eq!(applied.is_err(), levels >= super::MAX_DEPTH);
    }
}
