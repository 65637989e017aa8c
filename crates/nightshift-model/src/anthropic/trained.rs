//! The provider's trained tools, in our terms.
//!
//! | trained | a call of it | becomes |
//! |---|---|---|
//! | `computer_toolset_20260801` | `left_click {coordinate}` of the family `computer` | `computer {action: "left_click", coordinate}` |
//! | `computer_20251124`, `computer_20250124` | `computer {action, …}` | the same |
//! | `bash_20250124` | `bash {command}` | `shell {command}` |
//! | beside it, a function | `shell_background {command}` | `shell {command, background: true}` |
//! | `text_editor_20250728` | `str_replace_based_edit_tool {command, …}` | `edit {action, …}` |
//!
//! What the trained tools lack is left out there, not lost: a command's time limit has a default, an edit is taken
//! back by another one.

use nightshift_protocol::ToolDefinition;
use serde_json::{Map, Value, json};

use super::names::{COMPUTER_FAMILY, Form, Forms};
use crate::tools::{in_pixels, plain};

/// The trained shell's name in calls.
const BASH: &str = "bash";
/// Starts what the trained shell cannot: a command that is left running.
const BACKGROUND: &str = "shell_background";
/// The trained editor's name in calls.
const EDITOR: &str = "str_replace_based_edit_tool";

/// A tool as it is offered in these forms; most are one entry.
pub(super) fn wire_tools(tool: &ToolDefinition, forms: Forms) -> Vec<Value> {
    match tool {
        ToolDefinition::Computer { width, height, .. } => match forms.computer {
            Form::Toolset => {
                vec![json!({"type": Form::Toolset.kind(), "configs": {"zoom": {"enabled": true}}})]
            }
            form @ Form::Computer2025November => vec![json!({
                "type": form.kind(), "name": COMPUTER_FAMILY, "display_width_px": width,
                "display_height_px": height, "enable_zoom": true,
            })],
            form @ Form::Computer2025January => vec![json!({
                "type": form.kind(), "name": COMPUTER_FAMILY, "display_width_px": width, "display_height_px": height,
            })],
            _ => vec![function(tool)],
        },
        ToolDefinition::Shell { .. } if forms.shell == Form::Bash => vec![
            json!({"type": Form::Bash.kind(), "name": BASH}),
            json!({
                "name": BACKGROUND,
                "description": "Starts a command and leaves it running, such as a server. Read it with shell_output, \
                                stop it with shell_stop. Commands of bash are waited for; each has a shell of its own, \
                                which begins in the repository's folder.",
                "input_schema": {
                    "type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"],
                    "additionalProperties": false,
                },
            }),
        ],
        ToolDefinition::Editor { .. } if forms.editor == Form::TextEditor => {
            vec![json!({"type": Form::TextEditor.kind(), "name": EDITOR})]
        }
        _ => vec![function(tool)],
    }
}

fn function(tool: &ToolDefinition) -> Value {
    let (name, description, schema) = plain(tool);
    json!({"name": name, "description": in_pixels(tool, description), "input_schema": schema})
}

/// Our name of the tool a `tool_use` block calls.
pub(super) fn our_name(content: &Map<String, Value>) -> String {
    let name = content.get("name").and_then(Value::as_str).unwrap_or_default();
    let ours = match name {
        _ if is_computer_member(content) => COMPUTER_FAMILY,
        BASH | BACKGROUND => "shell",
        EDITOR => "edit",
        name => name,
    };
    ours.to_owned()
}

fn is_computer_member(content: &Map<String, Value>) -> bool {
    content.get("toolset_name").and_then(Value::as_str) == Some(COMPUTER_FAMILY)
}

/// The input of a call in our terms. What it does not understand it leaves as it is: the agent then says what is
/// wrong.
pub(super) fn our_input(content: &Map<String, Value>) -> Value {
    let input = content.get("input").cloned().unwrap_or(Value::Null);
    let name = content.get("name").and_then(Value::as_str).unwrap_or_default();
    match (input, name) {
        (input, _) if is_computer_member(content) => {
            let mut ours = Map::from_iter([("action".to_owned(), json!(name))]);
            if let Value::Object(fields) = input {
                ours.extend(fields.into_iter().filter(|(field, _)| field != "action"));
            }
            Value::Object(ours)
        }
        (Value::Object(fields), BASH) => Value::Object(bash(fields)),
        (Value::Object(mut fields), BACKGROUND) => {
            fields.insert("background".to_owned(), json!(true));
            Value::Object(fields)
        }
        (Value::Object(fields), EDITOR) => Value::Object(edit(fields)),
        (input, _) => input,
    }
}

/// Each command has a shell of its own, so a restart has nothing to do.
fn bash(mut fields: Map<String, Value>) -> Map<String, Value> {
    match fields.remove("restart") {
        Some(Value::Bool(true)) if !fields.contains_key("command") => {
            fields.insert("command".to_owned(), json!("true"));
        }
        Some(Value::Bool(_)) | None => {}
        Some(other) => {
            fields.insert("restart".to_owned(), other);
        }
    }
    fields
}

fn edit(fields: Map<String, Value>) -> Map<String, Value> {
    let mut ours = Map::new();
    let replaces = fields.get("command").and_then(Value::as_str) == Some("str_replace");
    for (field, value) in fields {
        match (field.as_str(), &value) {
            ("command", Value::String(command)) if command == "str_replace" => {
                ours.insert("action".to_owned(), json!("replace"));
            }
            ("command", _) => {
                ours.insert("action".to_owned(), value);
            }
            ("view_range", Value::Array(range)) if range.len() == 2 => {
                ours.insert("from_line".to_owned(), range[0].clone());
                // The trained tool writes -1 for the file's end.
                if range[1].as_i64() != Some(-1) {
                    ours.insert("to_line".to_owned(), range[1].clone());
                }
            }
            ("view_range", Value::Null) => {}
            ("file_text" | "insert_text", _) => {
                ours.insert("text".to_owned(), value);
            }
            ("old_str", _) => {
                ours.insert("old".to_owned(), value);
            }
            ("new_str", Value::Null) => {}
            ("new_str", _) => {
                ours.insert("new".to_owned(), value);
            }
            ("insert_line", _) => {
                ours.insert("after_line".to_owned(), value);
            }
            _ => {
                ours.insert(field, value);
            }
        }
    }
    // The trained tool deletes what it is given nothing for.
    if replaces && !ours.contains_key("new") {
        ours.insert("new".to_owned(), json!(""));
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(name: &str, input: Value) -> (String, Value) {
        let content = json!({"type": "tool_use", "id": "a", "name": name, "input": input});
        let content = content.as_object().unwrap();
        (our_name(content), our_input(content))
    }

    #[test]
    fn the_trained_shell_is_our_shell() {
        assert_eq!(ours("bash", json!({"command": "ls"})), ("shell".to_owned(), json!({"command": "ls"})));
        assert_eq!(ours("bash", json!({"restart": true})).1, json!({"command": "true"}));
        assert_eq!(
            ours("shell_background", json!({"command": "npm start"})),
            ("shell".to_owned(), json!({"command": "npm start", "background": true}))
        );
    }

    #[test]
    fn the_trained_editor_is_our_editor() {
        let edit = |input| {
            let (name, input) = ours("str_replace_based_edit_tool", input);
            assert_eq!(name, "edit");
            input
        };
        assert_eq!(
            edit(json!({"command": "view", "path": "a", "view_range": [3, -1]})),
            json!({"action": "view", "path": "a", "from_line": 3})
        );
        assert_eq!(
            edit(json!({"command": "view", "path": "a", "view_range": [3, 9]})),
            json!({"action": "view", "path": "a", "from_line": 3, "to_line": 9})
        );
        assert_eq!(
            edit(json!({"command": "create", "path": "a", "file_text": "x"})),
            json!({"action": "create", "path": "a", "text": "x"})
        );
        assert_eq!(
            edit(json!({"command": "str_replace", "path": "a", "old_str": "x"})),
            json!({"action": "replace", "path": "a", "old": "x", "new": ""})
        );
        assert_eq!(
            edit(json!({"command": "insert", "path": "a", "insert_line": 0, "insert_text": "x"})),
            json!({"action": "insert", "path": "a", "after_line": 0, "text": "x"})
        );
    }

    #[test]
    fn what_is_no_input_of_a_trained_tool_is_left_for_the_agent_to_refuse() {
        assert_eq!(ours("bash", json!("ls")).1, json!("ls"));
        let odd = json!({"command": "rename", "path": "a"});
        assert_eq!(ours("str_replace_based_edit_tool", odd).1, json!({"action": "rename", "path": "a"}));
    }

    #[test]
    fn a_member_of_the_toolset_is_an_action_and_an_older_computer_tool_has_one() {
        let member =
            json!({"name": "key", "toolset_name": "computer", "input": {"text": "ctrl+l", "action": "x"}});
        let member = member.as_object().unwrap();
        assert_eq!(our_input(member), json!({"action": "key", "text": "ctrl+l"}));
        assert_eq!(our_name(member), "computer");
        let older = json!({"action": "key", "text": "ctrl+l"});
        assert_eq!(ours("computer", older.clone()), ("computer".to_owned(), older));
    }
}
