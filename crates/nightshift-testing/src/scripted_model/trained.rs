//! A script's calls in the form in which a request offers the tool: scripts are written in plain terms.

use serde_json::{Map, Value, json};

use super::police::Breach;
use super::wire::{Request, Tool};

/// The name and input of a call in the offered form; the toolset it belongs to, if it does.
#[derive(Debug, PartialEq)]
pub(super) struct Offered {
    pub(super) name: String,
    pub(super) toolset: Option<&'static str>,
    pub(super) input: Map<String, Value>,
}

/// Finds the form in which a request offers a tool, and turns a call into it.
pub(super) fn offered(
    tool: &str,
    mut input: Map<String, Value>,
    request: &Request,
    members: &[&str],
) -> Result<Offered, Breach> {
    let has_function = |name: &str| {
        request.tools.iter().any(|tool| matches!(tool, Tool::Function(function) if function.name == name))
    };
    let has_trained = |name: &str| {
        request.tools.iter().any(|tool| matches!(tool, Tool::Trained(trained) if trained.name == name))
    };
    let plain = |name: &str, input| Ok(Offered { name: name.to_owned(), toolset: None, input });
    if has_function(tool) {
        return plain(tool, input);
    }
    match tool {
        "computer" if request.tools.iter().any(|tool| matches!(tool, Tool::Computer(_))) => {
            match input.remove("action") {
                Some(Value::String(name)) if members.contains(&name.as_str()) => {
                    Ok(Offered { name, toolset: Some("computer"), input })
                }
                other => Err(Breach(format!("the script calls computer with the action {other:?}"))),
            }
        }
        "computer" if has_trained("computer") => plain("computer", input),
        "shell" if has_trained("bash") => {
            input.remove("timeout_seconds");
            match input.remove("background") {
                Some(Value::Bool(true)) => plain("shell_background", input),
                _ => plain("bash", input),
            }
        }
        "edit" if has_trained("str_replace_based_edit_tool") => {
            plain("str_replace_based_edit_tool", editor(input)?)
        }
        _ => Err(Breach(format!("the script calls {tool}, which the request does not offer"))),
    }
}

fn editor(input: Map<String, Value>) -> Result<Map<String, Value>, Breach> {
    let mut trained = Map::new();
    let (mut from, mut to) = (None, json!(-1));
    let inserts = input.get("action").and_then(Value::as_str) == Some("insert");
    for (field, value) in input {
        match (field.as_str(), value.as_str()) {
            ("action", Some("replace")) => {
                trained.insert("command".to_owned(), json!("str_replace"));
            }
            ("action", Some("undo")) | ("all", _) => {
                return Err(Breach(format!("the script's edit has {field}, which the trained editor lacks")));
            }
            ("action", _) => {
                trained.insert("command".to_owned(), value);
            }
            ("from_line", _) => from = Some(value),
            ("to_line", _) => to = value,
            ("text", _) => {
                let field = if inserts { "insert_text" } else { "file_text" };
                trained.insert(field.to_owned(), value);
            }
            ("old", _) => {
                trained.insert("old_str".to_owned(), value);
            }
            ("new", _) => {
                trained.insert("new_str".to_owned(), value);
            }
            ("after_line", _) => {
                trained.insert("insert_line".to_owned(), value);
            }
            _ => {
                trained.insert(field, value);
            }
        }
    }
    if from.is_some() || to != json!(-1) {
        trained.insert("view_range".to_owned(), json!([from.unwrap_or(json!(1)), to]));
    }
    Ok(trained)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(input: Value) -> Result<Value, String> {
        let input = input.as_object().unwrap().clone();
        editor(input).map(Value::Object).map_err(|breach| breach.0)
    }

    #[test]
    fn an_edit_is_written_as_the_trained_editor_takes_it() {
        assert_eq!(
            edit(json!({"action": "replace", "path": "a", "old": "x", "new": "y"})),
            Ok(json!({"command": "str_replace", "path": "a", "old_str": "x", "new_str": "y"}))
        );
        assert_eq!(
            edit(json!({"action": "insert", "path": "a", "after_line": 0, "text": "x"})),
            Ok(json!({"command": "insert", "path": "a", "insert_line": 0, "insert_text": "x"}))
        );
        assert_eq!(
            edit(json!({"action": "create", "path": "a", "text": "x"})),
            Ok(json!({"command": "create", "path": "a", "file_text": "x"}))
        );
        assert_eq!(
            edit(json!({"action": "view", "path": "a", "from_line": 4})),
            Ok(json!({"command": "view", "path": "a", "view_range": [4, -1]}))
        );
        assert!(edit(json!({"action": "undo", "path": "a"})).is_err());
    }
}
