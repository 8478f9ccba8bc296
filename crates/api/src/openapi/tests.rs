use std::path::Path;

use serde_json::Value;

use super::OPENAPI;

/// Where the description is checked in.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");

#[test]
fn the_description_is_the_one_that_is_checked_in() {
    let path = Path::new(FILE);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, OPENAPI.as_str()).unwrap();
    }
    let file = std::fs::read_to_string(path).unwrap_or_default();
    let line = file.lines().zip(OPENAPI.lines()).position(|(file, made)| file != made);
    assert!(
        file == *OPENAPI,
        "docs/openapi.json is not what the code says, from line {} on: look at the difference, then renew it with \
         `UPDATE=1 cargo test -p api openapi`",
        line.map_or_else(|| file.lines().count().min(OPENAPI.lines().count()) + 1, |line| line + 1)
    );
}

#[test]
fn each_operation_has_a_summary_a_tag_that_is_described_and_refusals() {
    let description: Value = serde_json::from_str(&OPENAPI).unwrap();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
    let tags: Vec<_> = description["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let what = format!("{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
            assert!(tags.contains(&&operation["tags"][0]), "{what}");
            let refusals = &operation["responses"];
            let named = path.contains('{') || operation["requestBody"].is_object();
            for (status, expected) in [("403", true), ("503", true), ("400", named)] {
                assert!(refusals[status].is_object() || !expected, "{what}: {status}");
            }
            for (status, answer) in refusals.as_object().unwrap() {
                let schema = &answer["content"]["application/json"]["schema"]["$ref"];
                let refusal = status.starts_with(['4', '5']);
                assert!(!refusal || schema == "#/components/schemas/ErrorView", "{what}: {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, whole: &Value, count: &mut usize) {
        match value {
            Value::Object(members) => {
                if let Some(path) = members.get("$ref").and_then(Value::as_str) {
                    assert!(whole.pointer(path.trim_start_matches('#')).is_some(), "{path}");
                    *count += 1;
                }
                members.values().for_each(|value| walk(value, whole, count));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, whole, count)),
            _ => {}
        }
    }
    let description: Value = serde_json::from_str(&OPENAPI).unwrap();
    let mut count = 0;
    walk(&description, &description, &mut count);
    assert!(count > 100, "{count} references");
}
