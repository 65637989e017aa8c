//! The OpenAPI document that is kept is the one that is served.

use std::collections::BTreeSet;

#[test]
fn the_kept_document_is_fresh() {
    let kept: serde_json::Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    let served = serde_json::to_value(nightshift_server::openapi()).unwrap();
    assert!(kept == served, "docs/openapi.json is not what the routes say: run ./dev openapi");
}

#[test]
fn every_schema_that_is_named_is_there_and_no_operation_is_named_twice() {
    let document = serde_json::to_value(nightshift_server::openapi()).unwrap();
    let mut named = BTreeSet::new();
    let mut operations = Vec::new();
    let mut unread = vec![&document];
    while let Some(value) = unread.pop() {
        match value {
            serde_json::Value::Object(fields) => {
                if let Some(reference) = fields.get("$ref").and_then(|reference| reference.as_str()) {
                    named.insert(reference.trim_start_matches("#/components/schemas/").to_owned());
                }
                if let Some(id) = fields.get("operationId").and_then(|id| id.as_str()) {
                    operations.push(id.to_owned());
                }
                unread.extend(fields.values());
            }
            serde_json::Value::Array(values) => unread.extend(values),
            _ => {}
        }
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let missing: Vec<_> = named.iter().filter(|name| !schemas.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let count = operations.len();
    operations.sort();
    operations.dedup();
    assert_eq!(operations.len(), count);
    assert!(count > 15, "{count}");
}

#[test]
fn fields_are_named_as_on_the_wire() {
    let document = serde_json::to_value(nightshift_server::openapi()).unwrap();
    let mut unread = vec![&document["components"]["schemas"]];
    while let Some(value) = unread.pop() {
        if let serde_json::Value::Object(fields) = value {
            let named = fields.get("properties").and_then(|properties| properties.as_object());
            for name in named.into_iter().flat_map(|properties| properties.keys()) {
                assert!(!name.contains('_'), "{name}");
            }
        }
        match value {
            serde_json::Value::Object(fields) => unread.extend(fields.values()),
            serde_json::Value::Array(values) => unread.extend(values),
            _ => {}
        }
    }
    let finished = serde_json::to_string(&document["components"]["schemas"]["EventBody"]).unwrap();
    assert!(finished.contains("\"exitCode\"") && finished.contains("\"pullRequest\""));
    assert_eq!(document["components"]["schemas"]["StepId"]["type"], "string");
}
