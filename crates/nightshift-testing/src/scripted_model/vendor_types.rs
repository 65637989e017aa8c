//! Requests against the vendors' own published types.
//!
//! The schemas are cut from the TypedDicts of the vendors' Python clients by `schemas/derive`: anthropic 2.14.0 and
//! openai 3.57.0 on PyPI, both under the Apache License 2.0. They refuse properties that the types do not name.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::Value;

use super::police::Breach;

/// Messages of a conversation that are checked: each is among the newest when it is sent first, and checking all of
/// them each time would make long conversations slow.
const NEWEST: usize = 6;

/// A schema, and the list in it that grows.
#[derive(Debug)]
pub(super) struct VendorTypes {
    name: &'static str,
    list: &'static str,
    validator: Result<Validator, String>,
}

fn of(name: &'static str, list: &'static str, schema: &str) -> VendorTypes {
    let validator = serde_json::from_str(schema)
        .map_err(|error| error.to_string())
        .and_then(|schema: Value| jsonschema::validator_for(&schema).map_err(|error| error.to_string()));
    VendorTypes { name, list, validator }
}

/// `POST /v1/messages` with the beta features.
pub(super) static MESSAGES: LazyLock<VendorTypes> = LazyLock::new(|| {
    of("anthropic 2.14.0", "messages", include_str!("../../schemas/anthropic-messages.json"))
});
/// `POST /responses`.
pub(super) static RESPONSES: LazyLock<VendorTypes> =
    LazyLock::new(|| of("openai 3.57.0", "input", include_str!("../../schemas/openai-responses.json")));
/// `POST /chat/completions`.
pub(super) static CHAT: LazyLock<VendorTypes> =
    LazyLock::new(|| of("openai 3.57.0", "messages", include_str!("../../schemas/openai-chat.json")));

impl VendorTypes {
    /// Checks a request; all of it but messages that are not new.
    pub(super) fn check(&self, request: &Value) -> Result<(), Breach> {
        let validator = self.validator.as_ref().map_err(|error| Breach(format!("the schema: {error}")))?;
        let items = request.get(self.list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let old = items.len().saturating_sub(NEWEST);
        let mut checked: serde_json::Map<String, Value> = request
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(field, _)| *field != self.list)
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        // One by one: a union's refusal of the whole list would name no place in it.
        for (index, item) in items.iter().enumerate().skip(old) {
            checked.insert(self.list.to_owned(), Value::Array(vec![item.clone()]));
            self.validate(validator, &Value::Object(checked.clone()), index)?;
            checked.retain(|field, _| is_required(field));
        }
        if items.is_empty() {
            checked.insert(self.list.to_owned(), Value::Array(Vec::new()));
            self.validate(validator, &Value::Object(checked), 0)?;
        }
        Ok(())
    }

    fn validate(&self, validator: &Validator, request: &Value, index: usize) -> Result<(), Breach> {
        let Some(error) = validator.iter_errors(request).next() else { return Ok(()) };
        let place = error.instance_path().to_string();
        let at = place.replace(&format!("/{}/0", self.list), &format!("/{}/{index}", self.list));
        let what: String = error.to_string().chars().take(600).collect();
        Err(Breach(format!("{at}: not of the types of {}: {what}", self.name)))
    }
}

/// What each request has to have, beside its list.
fn is_required(field: &str) -> bool {
    matches!(field, "model" | "max_tokens" | "stream")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn breach(types: &VendorTypes, request: &Value) -> String {
        types.check(request).unwrap_err().0
    }

    fn hello() -> Value {
        json!({"model": "claude-sonnet-5-5", "max_tokens": 9, "stream": true,
            "messages": [{"role": "user", "content": "Hello."}]})
    }

    #[test]
    fn a_request_of_the_published_types_is_good() {
        assert_eq!(MESSAGES.check(&hello()), Ok(()));
        let responses = json!({"model": "gpt-6.1-sol", "stream": true, "input": [{"role": "user", "content": "Hello."}],
            "tools": [{"type": "computer"}]});
        assert_eq!(RESPONSES.check(&responses), Ok(()));
        let chat =
            json!({"model": "qwen3", "stream": true, "messages": [{"role": "user", "content": "Hello."}]});
        assert_eq!(CHAT.check(&chat), Ok(()));
    }

    #[test]
    fn a_property_that_no_type_names_is_refused_wherever_it_is() {
        let mut request = hello();
        request["temprature"] = json!(1);
        assert!(breach(&MESSAGES, &request).contains("temprature"));
        let mut request = hello();
        request["messages"][0]["nmae"] = json!("x");
        let said = breach(&MESSAGES, &request);
        assert!(said.starts_with("/messages/0: not of the types of anthropic"), "{said}");
    }

    #[test]
    fn the_place_of_a_breach_is_that_in_the_whole_conversation() {
        let mut request = hello();
        let messages = request["messages"].as_array_mut().unwrap();
        messages.extend(std::iter::repeat_n(json!({"role": "user", "content": "Again."}), 9));
        messages.push(json!({"role": "user", "content": 3}));
        assert!(breach(&MESSAGES, &request).starts_with("/messages/10"));
    }
}
