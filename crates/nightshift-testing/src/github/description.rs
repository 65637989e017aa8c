//! GitHub's published description of its API, cut to what is used: which operations there are, what a request may
//! have, and what an answer must have. Where it comes from is in `description/README.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

/// The description as it was published, cut.
static CUT: &str = include_str!("description/github.json");

/// The payloads of webhooks that GitHub publishes as examples, by `event.action`.
static WEBHOOKS: &str = include_str!("description/webhooks.json");

static DESCRIPTION: LazyLock<Description> = LazyLock::new(Description::load);

/// An operation that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its name in the description, for example `pulls/create`.
    pub(super) operation: &'static str,
    /// What stands in the path for `{owner}` and the like, percent-decoded.
    pub(super) parameters: BTreeMap<&'static str, String>,
}

/// What the description says of all operations.
pub(super) struct Description {
    operations: BTreeMap<String, Operation>,
    examples: Map<String, Value>,
}

struct Operation {
    method: String,
    path: Vec<Part>,
    query: Vec<String>,
    body: Option<Validator>,
    body_required: bool,
    answers: BTreeMap<u16, Validator>,
    example: Option<String>,
}

enum Part {
    Fixed(String),
    Parameter(String),
}

impl Description {
    /// The only one there is.
    pub(super) fn get() -> &'static Self {
        &DESCRIPTION
    }

    #[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
    fn load() -> Self {
        let mut cut: Value = serde_json::from_str(CUT).expect("the cut is JSON");
        allow_null(&mut cut);
        let components = cut["components"].take();
        let schemas = json!({ "components": { "schemas": components["schemas"] } });
        let mut operations = BTreeMap::new();
        for (path, methods) in cut["paths"].as_object().into_iter().flatten() {
            for (method, operation) in methods.as_object().into_iter().flatten() {
                let name = operation["operationId"].as_str().expect("an operation has a name").to_owned();
                operations.insert(name, Operation::read(path, method, operation, &components, &schemas));
            }
        }
        let examples = components["examples"].as_object().cloned().unwrap_or_default();
        Self { operations, examples }
    }

    /// Finds the operation of a method and a path, for example `POST` and `/repos/o/r/pulls`.
    pub(super) fn find(&'static self, method: &str, path: &str) -> Option<Asked> {
        let given: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let fits = self.operations.iter().filter_map(|(name, operation)| {
            let parameters = operation.matches(method, &given)?;
            Some(Asked { operation: name, parameters })
        });
        // `/issues/comments` fits `/issues/{issue_number}` too: the one with fewer holes is meant.
        fits.min_by_key(|asked| asked.parameters.len())
    }

    /// What is wrong with a request's query and body; nothing if it is as described.
    pub(super) fn breach(&self, operation: &str, query: &[(String, String)], body: &Value) -> Option<String> {
        let described = self.operations.get(operation)?;
        if let Some((name, _)) = query.iter().find(|(name, _)| !described.query.contains(name)) {
            return Some(format!("{operation}: the query has {name}, which is not described"));
        }
        match &described.body {
            None if !body.is_null() => Some(format!("{operation}: there is a body where none is described")),
            Some(_) if body.is_null() && described.body_required => {
                Some(format!("{operation}: there is no body"))
            }
            Some(schema) if !body.is_null() => {
                first_error(schema, body).map(|what| format!("{operation}: {what}"))
            }
            None | Some(_) => None,
        }
    }

    /// What is wrong with an answer of the fake itself.
    pub(super) fn wrong_answer(&self, operation: &str, status: u16, body: &Value) -> Option<String> {
        let schema = self.operations.get(operation)?.answers.get(&status)?;
        first_error(schema, body)
    }

    /// The published example of an operation's good answer.
    pub(super) fn example(&self, operation: &str) -> Value {
        let name = self.operations.get(operation).and_then(|operation| operation.example.as_deref());
        name.and_then(|name| self.examples.get(name))
            .map(|example| example["value"].clone())
            .unwrap_or_default()
    }

    /// The names of all operations.
    pub(super) fn operations(&self) -> impl Iterator<Item = &str> {
        self.operations.keys().map(String::as_str)
    }
}

/// A published example of a webhook's payload, for example `issue_comment.created`; `null` if there is none.
pub(super) fn webhook_example(name: &str) -> Value {
    serde_json::from_str::<Value>(WEBHOOKS).map(|mut all| all[name].take()).unwrap_or_default()
}

impl Operation {
    fn read(path: &str, method: &str, operation: &Value, components: &Value, schemas: &Value) -> Self {
        let resolve =
            |value: &Value| match value["$ref"].as_str().and_then(|reference| reference.rsplit_once('/')) {
                Some((kind, name)) => components[kind.rsplit('/').next().unwrap_or(kind)][name].clone(),
                None => value.clone(),
            };
        let parts = path.trim_matches('/').split('/').map(|part| {
            match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
                Some(parameter) => Part::Parameter(parameter.to_owned()),
                None => Part::Fixed(part.to_owned()),
            }
        });
        let parameters = operation["parameters"].as_array().into_iter().flatten().map(resolve);
        let query = parameters
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str().map(str::to_owned))
            .collect();
        let body = &operation["requestBody"];
        let mut answers = BTreeMap::new();
        let mut example = None;
        for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
            let answer = resolve(answer);
            let json = &answer["content"]["application/json"];
            let Ok(status) = status.parse::<u16>() else { continue };
            answers.extend(validator(&json["schema"], schemas).map(|validator| (status, validator)));
            if (200..300).contains(&status) {
                let examples = json["examples"].as_object().into_iter().flatten();
                let mut names = examples.filter_map(|(_, example)| example["$ref"].as_str());
                example = names.next().and_then(|name| name.rsplit('/').next()).map(str::to_owned);
            }
        }
        Self {
            method: method.to_uppercase(),
            path: parts.collect(),
            query,
            body: validator(&body["content"]["application/json"]["schema"], schemas),
            body_required: body["required"] == true,
            answers,
            example,
        }
    }

    fn matches<'a>(&'a self, method: &str, given: &[String]) -> Option<BTreeMap<&'a str, String>> {
        if self.method != method || self.path.len() != given.len() {
            return None;
        }
        let mut parameters = BTreeMap::new();
        for (part, given) in self.path.iter().zip(given) {
            match part {
                Part::Fixed(fixed) if fixed == given => {}
                Part::Fixed(_) => return None,
                Part::Parameter(name) => {
                    parameters.insert(name.as_str(), given.clone());
                }
            }
        }
        Some(parameters)
    }
}

#[expect(clippy::expect_used, reason = "the schemas are part of the program, and a test reads them all")]
fn validator(schema: &Value, schemas: &Value) -> Option<Validator> {
    if schema.is_null() {
        return None;
    }
    let mut whole = schemas.clone();
    whole["allOf"] = json!([schema]);
    Some(jsonschema::draft202012::new(&whole).expect("a schema that can be used"))
}

fn first_error(schema: &Validator, value: &Value) -> Option<String> {
    schema.iter_errors(value).next().map(|error| {
        let what: String = error.to_string().chars().take(300).collect();
        format!("{}: {what}", error.instance_path())
    })
}

/// Rewrites what OpenAPI 3.0 calls `nullable` as JSON Schema has it (OpenAPI 3.0.3, "Schema Object").
fn allow_null(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(allow_null),
        Value::Object(object) => {
            object.values_mut().for_each(allow_null);
            // In a list of properties it would be a property of that name, which is an object and not `true`.
            if object.get("nullable") == Some(&Value::Bool(true)) {
                object.remove("nullable");
                let inner = Value::Object(std::mem::take(object));
                object.insert("anyOf".to_owned(), json!([inner, { "type": "null" }]));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A part of a path without its percent signs (RFC 3986, section 2.1).
pub(super) fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digits = || Some([rest.clone().next()?, rest.clone().nth(1)?]);
        let value = if byte == b'%' { digits() } else { None }
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok());
        bytes.push(value.unwrap_or(byte));
        if value.is_some() {
            rest.nth(1);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_operation_is_found_by_its_method_and_path() {
        let asked = Description::get().find("GET", "/repos/octocat/a%2Fb/commits/main/check-runs").unwrap();
        assert_eq!(asked.operation, "checks/list-for-ref");
        assert_eq!(asked.parameters["repo"], "a/b");
        let comments = Description::get().find("GET", "/repos/o/r/issues/comments").unwrap();
        assert_eq!(comments.operation, "issues/list-comments-for-repo");
        assert_eq!(Description::get().find("DELETE", "/repos/octocat/app"), None);
    }

    #[test]
    fn a_request_is_held_to_the_description() {
        let breach = |body: Value| Description::get().breach("pulls/create", &[], &body);
        assert_eq!(breach(json!({"title": "t", "head": "h", "base": "main", "draft": true})), None);
        assert!(breach(json!({"title": "t", "head": "h"})).unwrap().contains("base"));
        assert!(
            breach(json!({"title": "t", "head": "h", "base": "main", "drafft": true}))
                .unwrap()
                .contains("drafft")
        );
        assert!(breach(json!({"title": "t", "head": "h", "base": "main", "draft": "yes"})).is_some());
        assert!(breach(Value::Null).unwrap().contains("no body"));
    }

    #[test]
    fn a_query_that_is_not_described_is_refused() {
        let breach = |pairs| Description::get().breach("pulls/list", &query(pairs), &Value::Null);
        assert_eq!(breach(&[("head", "o:b"), ("state", "all")]), None);
        assert!(breach(&[("heads", "o:b")]).unwrap().contains("heads"));
    }

    #[test]
    fn every_published_example_fits_the_published_schema() {
        let description = Description::get();
        for name in description.operations() {
            let example = description.example(name);
            assert!(!example.is_null(), "{name} has no example");
            for status in [200, 201] {
                assert_eq!(description.wrong_answer(name, status, &example), None, "{name} {status}");
            }
        }
    }

    #[test]
    fn the_published_webhooks_are_there() {
        assert_eq!(webhook_example("issues.labeled")["action"], "labeled");
        assert_eq!(webhook_example("issues.painted"), Value::Null);
    }
}
