//! Answers are what the description says that they are.

use std::sync::Arc;

use serde_json::Value;

use super::memory::Memory;
use super::table::OPERATIONS;
use super::{LIMITS, connect, http};
use crate::access::Role;

#[tokio::test]
async fn each_answer_is_as_described() {
    let description: Value = serde_json::from_str(&crate::openapi::OPENAPI).unwrap();
    for operation in &OPERATIONS {
        let stream = connect(&Arc::new(Memory::new()), Some(Role::Admin), LIMITS);
        let answer = http::ask(stream, operation.method, operation.path, operation.body).await;
        let what = format!("{} {}", operation.method, operation.path);
        let described = &description["paths"][operation.route][operation.method.to_lowercase()];
        let described = &described["responses"][operation.status.to_string()];
        assert!(described.is_object(), "{what}: status {} is not described", operation.status);
        let kind = answer.header("content-type").map(|kind| kind.split(';').next().unwrap_or(kind));
        let contents = described["content"].as_object();
        let Some((kind, contents)) = kind.zip(contents) else {
            assert!(answer.body.is_empty() || answer.body == b"null", "{what}: {answer:?}");
            continue;
        };
        let content = contents.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not described"));
        if kind == "application/json" {
            let checked = fits(&description, &content["schema"], &answer.json());
            checked.unwrap_or_else(|error| panic!("{what}: {error}"));
        }
    }
}

/// Whether `value` is what `schema` says, as far as members and types go.
fn fits(description: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    if let Some(path) = schema["$ref"].as_str() {
        let target = description.pointer(path.trim_start_matches('#'));
        return fits(description, target.ok_or_else(|| format!("{path} leads nowhere"))?, value);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let errors: Vec<_> = choices.iter().map(|choice| fits(description, choice, value)).collect();
        return errors.iter().any(Result::is_ok).then_some(()).ok_or_else(|| format!("{value}: {errors:?}"));
    }
    let mut members = Vec::new();
    collect(description, schema, &mut members);
    check_type(schema, value)?;
    for (name, required, member) in &members {
        match value.get(name) {
            Some(value) => fits(description, member, value).map_err(|error| format!("{name}: {error}"))?,
            None if *required => return Err(format!("{name} is missing in {value}")),
            None => {}
        }
    }
    let unknown = value
        .as_object()
        .into_iter()
        .flatten()
        .find(|(key, _)| !members.is_empty() && !members.iter().any(|(name, ..)| name == *key));
    if let Some((key, _)) = unknown {
        return Err(format!("{key} is not described"));
    }
    let mut items = value.as_array().into_iter().flatten().filter(|_| schema["items"].is_object());
    items.try_for_each(|item| fits(description, &schema["items"], item))
}

/// The members of an object: name, whether it must be there, schema.
fn collect(description: &Value, schema: &Value, members: &mut Vec<(String, bool, Value)>) {
    if let Some(path) = schema["$ref"].as_str() {
        let target = description.pointer(path.trim_start_matches('#')).cloned().unwrap_or_default();
        collect(description, &target, members);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        collect(description, part, members);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        members.push((name.clone(), required, member.clone()));
    }
}

fn check_type(schema: &Value, value: &Value) -> Result<(), String> {
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => return Ok(()),
    };
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let words = schema["enum"].as_array();
    if !types.contains(&actual) || words.is_some_and(|words| !words.contains(value)) {
        return Err(format!("{value} is not of {schema}"));
    }
    Ok(())
}
