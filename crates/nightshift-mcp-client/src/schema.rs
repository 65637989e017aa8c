//! A tool's input schema, made into one that every provider takes.
//!
//! Providers refuse a whole request for one schema that is not valid or that uses what they do not know, so nothing is passed on
//! as it is: what has the form that JSON Schema gives it is kept, the rest is left out. A model so learns less of a tool at worst;
//! the server checks its input itself. See <https://json-schema.org/draft/2020-12/json-schema-validation>.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::text::plain;

/// How deep schemas may lie in each other.
const DEEPEST: u32 = 8;

/// Properties of an object, and alternatives of a value.
const MOST: usize = 64;

/// Characters of a description.
const LONGEST_WORDS: usize = 1_000;

/// Values of an enumeration, and the bytes of each.
const MOST_VALUES: usize = 100;
const LONGEST_VALUE: usize = 200;

/// Characters of a property's name, and what they may be (Anthropic's Messages API: `^[a-zA-Z0-9_.-]{1,64}$`).
const LONGEST_PROPERTY: usize = 64;

const TYPES: [&str; 7] = ["string", "number", "integer", "boolean", "object", "array", "null"];

const NUMBERS: [&str; 4] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"];

const COUNTS: [&str; 6] =
    ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"];

/// A required property has a name that no provider takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its input has a property whose name no provider takes")]
pub(crate) struct UnusableName;

/// Makes it a schema of an object that every provider takes.
pub(crate) fn usable(schema: &Map<String, Value>) -> Result<Value, UnusableName> {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    if required.filter_map(Value::as_str).any(|name| !is_property(name)) {
        return Err(UnusableName);
    }
    let definitions = definitions(schema);
    let names: BTreeSet<String> = definitions.keys().cloned().collect();
    let mut usable = object(schema, &names, 0);
    // At the top providers take an object and no alternatives.
    for alternative in ["anyOf", "oneOf", "allOf", "enum", "const", "$ref"] {
        usable.remove(alternative);
    }
    usable.insert("type".to_owned(), "object".into());
    usable.entry("properties").or_insert_with(|| json!({}));
    if !definitions.is_empty() {
        let kept = definitions.iter().map(|(name, schema)| (name.clone(), value(schema, &names, 1)));
        usable.insert("$defs".to_owned(), Value::Object(kept.collect()));
    }
    Ok(Value::Object(usable))
}

/// What a schema refers to, whichever of the two names it has it under.
fn definitions(schema: &Map<String, Value>) -> Map<String, Value> {
    let both = ["definitions", "$defs"].into_iter().filter_map(|name| schema.get(name)?.as_object());
    let named = both.flatten().filter(|(name, _)| is_property(name));
    named.take(MOST).map(|(name, schema)| (name.clone(), schema.clone())).collect()
}

fn is_property(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    (1..=LONGEST_PROPERTY).contains(&name.len()) && name.chars().all(fits)
}

/// A schema at some depth: an object, or whether anything is valid.
fn value(schema: &Value, definitions: &BTreeSet<String>, depth: u32) -> Value {
    match schema {
        Value::Object(fields) if depth < DEEPEST => Value::Object(object(fields, definitions, depth)),
        Value::Bool(valid) => Value::Bool(*valid),
        _ => json!({}),
    }
}

fn object(schema: &Map<String, Value>, definitions: &BTreeSet<String>, depth: u32) -> Map<String, Value> {
    let below = |schema: &Value| value(schema, definitions, depth + 1);
    let mut kept = Map::new();
    for (name, given) in schema {
        if let Some(value) = keyword(name, given, definitions, &below) {
            kept.insert(name.clone(), value);
        }
    }
    if let Some(required) = kept.get_mut("required") {
        let properties = schema.get("properties").and_then(Value::as_object);
        let is_there = |name: &Value| {
            name.as_str().is_some_and(|name| {
                is_property(name) && properties.is_some_and(|properties| properties.contains_key(name))
            })
        };
        if let Value::Array(names) = required {
            let mut seen = BTreeSet::new();
            names.retain(|name| is_there(name) && seen.insert(name.to_string()));
        }
    }
    // OpenAI refuses a list of which nothing is said.
    let is_list = kept.get("type").is_some_and(|kind| {
        kind == "array" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "array"))
    });
    if is_list {
        kept.entry("items").or_insert_with(|| json!({}));
    }
    if let Some(Value::Object(properties)) = kept.get("properties") {
        let there: BTreeSet<String> = properties.keys().cloned().collect();
        if let Some(Value::Array(names)) = kept.get_mut("required") {
            names.retain(|name| name.as_str().is_some_and(|name| there.contains(name)));
        }
    }
    kept
}

/// The value of a keyword, where it has the form that it has to have.
fn keyword(
    name: &str,
    given: &Value,
    definitions: &BTreeSet<String>,
    below: &dyn Fn(&Value) -> Value,
) -> Option<Value> {
    match name {
        "type" => kind(given),
        "description" | "title" => Some(plain(given.as_str()?, LONGEST_WORDS).into()),
        "format" => given.as_str().filter(|format| is_property(format)).map(Value::from),
        "enum" => {
            let values = given.as_array()?.iter().filter(|value| is_small(value)).take(MOST_VALUES);
            let mut seen = BTreeSet::new();
            let values: Vec<Value> = values.filter(|value| seen.insert(value.to_string())).cloned().collect();
            (!values.is_empty()).then_some(Value::Array(values))
        }
        "const" | "default" => is_small(given).then(|| given.clone()),
        "properties" => {
            let properties = given.as_object()?.iter().filter(|(name, _)| is_property(name));
            let kept = properties.take(MOST).map(|(name, schema)| (name.clone(), below(schema)));
            Some(Value::Object(kept.collect()))
        }
        "required" => {
            let names = given.as_array()?.iter().filter(|name| name.is_string()).take(MOST).cloned();
            Some(Value::Array(names.collect()))
        }
        // A list of schemas was one for each place in earlier drafts, and is nothing in this one.
        "items" => (given.is_object() || given.is_boolean()).then(|| below(given)),
        "additionalProperties" => (given.is_object() || given.is_boolean()).then(|| below(given)),
        "anyOf" | "oneOf" | "allOf" => {
            let alternatives: Vec<Value> = given.as_array()?.iter().take(MOST).map(below).collect();
            (!alternatives.is_empty()).then_some(Value::Array(alternatives))
        }
        "$ref" => {
            let named = given.as_str()?;
            let named = named.strip_prefix("#/$defs/").or_else(|| named.strip_prefix("#/definitions/"))?;
            definitions.contains(named).then(|| format!("#/$defs/{named}").into())
        }
        "uniqueItems" => given.is_boolean().then(|| given.clone()),
        name if NUMBERS.contains(&name) => given.is_number().then(|| given.clone()),
        name if COUNTS.contains(&name) => given.as_u64().map(Value::from),
        _ => None,
    }
}

fn kind(given: &Value) -> Option<Value> {
    let is_known = |kind: &str| TYPES.contains(&kind);
    match given {
        Value::String(kind) => is_known(kind).then(|| kind.as_str().into()),
        Value::Array(kinds) => {
            let kinds: BTreeSet<&str> =
                kinds.iter().filter_map(Value::as_str).filter(|kind| is_known(kind)).collect();
            (!kinds.is_empty()).then(|| kinds.into_iter().collect())
        }
        _ => None,
    }
}

/// Whether a value is one that is said in a few words.
fn is_small(value: &Value) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) => value.to_string().len() <= LONGEST_VALUE,
        Value::String(text) => text.len() <= LONGEST_VALUE,
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usable_of(schema: Value) -> Result<Value, UnusableName> {
        usable(schema.as_object().unwrap())
    }

    #[test]
    fn a_schema_in_good_order_stays_as_it_is() {
        let schema = json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": "Where.", "minLength": 1},
                "mode": {"enum": ["read", "write"], "default": "read"},
                "lines": {"type": "array", "items": {"type": "integer", "minimum": 1}, "maxItems": 3},
                "more": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/more"}]},
            },
            "required": ["path"],
            "additionalProperties": false,
            "$defs": {"more": {"type": ["object", "string"]}},
        });
        assert_eq!(usable_of(schema.clone()), Ok(schema));
    }

    #[test]
    fn what_providers_refuse_is_left_out() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": ["object"],
            "oneOf": [{"required": ["a"]}],
            "properties": {
                "a": {"type": "text", "pattern": "(", "minLength": -1, "enum": [], "items": [{}], "x-order": 1},
                "b c": {"type": "string"},
                "d": {"$ref": "https://example.org/schema", "description": 7},
                "e": {"$ref": "#/definitions/e", "required": ["none"]},
                "f": null,
            },
            "required": ["a", "a", "gone"],
            "definitions": {"e": {"type": "string", "enum": ["x", "x"]}},
        });
        assert_eq!(
            usable_of(schema),
            Ok(json!({
                "type": "object",
                "properties": {"a": {}, "d": {}, "e": {"$ref": "#/$defs/e", "required": []}, "f": {}},
                "required": ["a"],
                "$defs": {"e": {"type": "string", "enum": ["x"]}},
            }))
        );
    }

    #[test]
    fn a_tool_that_needs_a_property_that_no_provider_takes_cannot_be_offered() {
        let schema = json!({"type": "object", "properties": {"a b": {}}, "required": ["a b"]});
        assert_eq!(usable_of(schema), Err(UnusableName));
    }

    #[test]
    fn a_list_of_which_nothing_is_said_is_one_of_anything() {
        let schema = json!({"properties": {"a": {"type": "array", "items": [{"type": "string"}]}, "b": {"type": ["null", "array"]}}});
        let usable = usable_of(schema).unwrap();
        assert_eq!(usable["properties"]["a"], json!({"type": "array", "items": {}}));
        assert_eq!(usable["properties"]["b"], json!({"type": ["array", "null"], "items": {}}));
    }

    #[test]
    fn a_schema_without_anything_is_that_of_an_object_without_properties() {
        assert_eq!(usable_of(json!({})), Ok(json!({"type": "object", "properties": {}})));
    }

    #[test]
    fn schemas_that_lie_too_deep_in_each_other_end_in_one_that_says_nothing() {
        let mut schema = json!({"type": "string"});
        for _ in 0..30 {
            schema = json!({"type": "object", "properties": {"a": schema}});
        }
        let usable = usable_of(schema).unwrap();
        let deepest = (0..DEEPEST).fold(&usable, |schema, _| &schema["properties"]["a"]);
        assert_eq!(deepest, &json!({}));
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i16>().prop_map(Value::from),
            prop::sample::select(vec!["string", "object", "x", "#/$defs/a", "a", "a b"])
                .prop_map(Value::from),
        ];
        let names = vec![
            "type",
            "properties",
            "required",
            "items",
            "enum",
            "const",
            "default",
            "anyOf",
            "oneOf",
            "allOf",
            "$ref",
            "$defs",
            "definitions",
            "minimum",
            "minLength",
            "maxItems",
            "uniqueItems",
            "additionalProperties",
            "description",
            "format",
            "pattern",
            "a",
            "a b",
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            let fields = prop::collection::vec((prop::sample::select(names.clone()), inner.clone()), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(Value::from),
                fields.prop_map(|fields| fields
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_the_schema_is_a_valid_one_of_an_object(schema in any_schema()) {
            let Value::Object(fields) = schema else { return Ok(()) };
            if let Ok(usable) = usable(&fields) {
                prop_assert!(jsonschema::draft202012::meta::is_valid(&usable), "{usable}");
                prop_assert_eq!(&usable["type"], "object");
                prop_assert!(usable["properties"].is_object());
                prop_assert!(["anyOf", "oneOf", "allOf"].iter().all(|name| usable.get(name).is_none()));
            }
        }

        #[test]
        fn what_was_made_usable_stays_as_it_is(schema in any_schema()) {
            let Value::Object(fields) = schema else { return Ok(()) };
            if let Ok(once) = usable(&fields) {
                let twice = usable(once.as_object().unwrap());
                prop_assert_eq!(twice, Ok(once));
            }
        }
    }
}
