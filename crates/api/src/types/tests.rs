use std::collections::BTreeSet;

use serde_json::{Value, json};
use utoipa::PartialSchema;
use vswitch::{AclAction, AclRule, Direction, PortPolicy};

use super::{CaptureDirection, DesiredState, FailoverTarget, Stage};
use crate::openapi::{AclRuleSchema, PolicyChangeSchema, PortPolicySchema};
use crate::types::PolicyChange;

#[test]
fn words_are_those_of_the_json() {
    fn same<T: std::str::FromStr<Err = super::NoSuchWord> + serde::Serialize>(words: &[&str]) {
        for word in words {
            let value: T = word.parse().unwrap();
            assert_eq!(serde_json::to_value(value).unwrap(), json!(word));
            let error = "wrong".parse::<T>().map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("\"wrong\"") && error.contains(word), "{error}");
        }
    }
    same::<Stage>(&["ingress", "egress"]);
    same::<CaptureDirection>(&["in", "out", "both"]);
    same::<FailoverTarget>(&["synthetic", "vf", "auto"]);
}

#[test]
fn a_desired_state_has_its_vms_under_either_name_and_must_name_them() {
    let vms = json!([{"name": "alpha"}]);
    let one: DesiredState = serde_json::from_value(json!({"vm": vms})).unwrap();
    let other: DesiredState = serde_json::from_value(json!({"vms": vms})).unwrap();
    assert_eq!(one, other);
    // An empty body must not remove all there is.
    assert!(serde_json::from_value::<DesiredState>(json!({})).is_err());
}

/// Paths of all members.
fn members(value: &Value, path: &str, all: &mut BTreeSet<String>) {
    for (key, value) in value.as_object().into_iter().flatten() {
        all.insert(format!("{path}.{key}"));
        members(value, &format!("{path}.{key}"), all);
    }
}

/// The same, of a schema.
fn described(schema: &Value, path: &str, all: &mut BTreeSet<String>) {
    for choice in schema["oneOf"].as_array().into_iter().flatten() {
        described(choice, path, all);
    }
    for (key, member) in schema["properties"].as_object().into_iter().flatten() {
        all.insert(format!("{path}.{key}"));
        described(member, &format!("{path}.{key}"), all);
    }
}

fn compare<T: PartialSchema>(value: impl serde::Serialize) {
    let (mut actual, mut schema) = (BTreeSet::new(), BTreeSet::new());
    members(&serde_json::to_value(value).unwrap(), "", &mut actual);
    described(&serde_json::to_value(T::schema()).unwrap(), "", &mut schema);
    assert_eq!(actual, schema);
}

#[test]
fn descriptions_by_hand_have_the_members_that_the_types_have() {
    let mut rule = AclRule::any(Direction::Inbound, AclAction::Allow);
    let range = vswitch::PortRange { first: 1, last: 2 };
    (rule.local_ports, rule.remote_ports) = (Some(range), Some(range));
    compare::<AclRuleSchema>(&rule);
    compare::<PortPolicySchema>(PortPolicy::default());
    let mut changes = BTreeSet::new();
    for change in
        [PolicyChange::AddRule(Box::new(rule)), PolicyChange::RemoveRule(0), PolicyChange::Set(Vec::new())]
    {
        let change = serde_json::to_value(change).unwrap();
        changes.extend(change.as_object().unwrap().keys().map(|key| format!(".{key}")));
    }
    let mut schema = BTreeSet::new();
    described(&serde_json::to_value(PolicyChangeSchema::schema()).unwrap(), "", &mut schema);
    assert_eq!(changes, schema);
}
