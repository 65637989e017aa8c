use std::collections::BTreeSet;

use nightshift_protocol::ToolDefinition;
use serde_json::{Value, json};

use super::*;
use crate::edits::{Change, LineRange, Occurrences};
use fields::FieldProblem;

const SCREEN: (u32, u32) = (1280, 800);

fn call(name: &str, input: Value) -> ToolCall {
    ToolCall { id: "call".to_owned(), name: name.to_owned(), input, malformed: None }
}

fn read(name: &str, input: Value) -> Result<ToolInput, InputError> {
    parse(&call(name, input), SCREEN, Toolset::Worker)
}

fn refusal(name: &str, input: Value) -> String {
    read(name, input).unwrap_err().to_string()
}

fn schema(definition: &ToolDefinition) -> (&str, &Value) {
    match definition {
        ToolDefinition::Function { name, schema, .. } => (name, schema),
        ToolDefinition::Shell { schema, .. } => (SHELL, schema),
        ToolDefinition::Editor { schema, .. } => (EDIT, schema),
        ToolDefinition::Computer { schema, .. } => (COMPUTER, schema),
    }
}

/// An input of each tool and each action that is taken.
fn examples() -> Vec<(&'static str, Value)> {
    let at = json!([10, 20]);
    let mut examples = vec![
        (SHELL, json!({"command": "ls", "timeout_seconds": 5, "background": false})),
        (SHELL_OUTPUT, json!({"step": "4.1"})),
        (SHELL_STOP, json!({"step": "4.1"})),
        (EDIT, json!({"action": "view", "path": "a", "from_line": 1, "to_line": 9})),
        (EDIT, json!({"action": "create", "path": "a", "text": ""})),
        (EDIT, json!({"action": "replace", "path": "a", "old": "x", "new": "", "all": true})),
        (EDIT, json!({"action": "insert", "path": "a", "after_line": 0, "text": "x"})),
        (EDIT, json!({"action": "undo", "path": "a"})),
        (COMPUTER, json!({"action": "zoom", "region": [0, 0, 1280, 800]})),
        (COMPUTER, json!({"action": "mouse_move", "coordinate": at})),
        (
            COMPUTER,
            json!({"action": "left_click_drag", "start_coordinate": at, "coordinate": at, "text": "alt"}),
        ),
        (
            COMPUTER,
            json!({
                "action": "scroll", "coordinate": at, "scroll_direction": "down", "scroll_amount": 3, "text": "ctrl",
            }),
        ),
        (COMPUTER, json!({"action": "type", "text": "\n"})),
        (COMPUTER, json!({"action": "key", "text": "ctrl+l"})),
        (COMPUTER, json!({"action": "hold_key", "text": "a", "duration": 0.5})),
        (COMPUTER, json!({"action": "wait", "duration": 2})),
        (BROWSER, json!({"action": "open", "url": "http://127.0.0.1:4173/"})),
        (BROWSER, json!({"action": "read", "reference": "k7-42"})),
        (BROWSER, json!({"action": "click", "reference": "k7-42"})),
        (BROWSER, json!({"action": "fill", "reference": "k7-42", "text": ""})),
        (BROWSER, json!({"action": "evaluate", "expression": "document.title"})),
        (BROWSER, json!({"action": "problems"})),
        (PLAN, json!({"steps": [{"title": "Look", "state": "active"}]})),
        (EVIDENCE, json!({"claim": "It is dark.", "step": "4.1", "label": "after"})),
        (SPAWN, json!({"title": "Look", "task": "Look at it.", "background": true, "max_turns": 9})),
        (SUBAGENTS, json!({"action": "list"})),
        (SUBAGENTS, json!({"action": "message", "name": "general-1", "text": "Hurry."})),
        (SUBAGENTS, json!({"action": "stop", "name": "general-1"})),
        (ASK, json!({"question": "Which?"})),
        (FINISH, json!({"title": "Add it", "summary": "Added.", "not_verified": ""})),
    ];
    for click in ["left_click", "right_click", "middle_click", "double_click", "triple_click"] {
        examples.push((COMPUTER, json!({"action": click, "coordinate": at, "text": "shift"})));
    }
    for plain in ["screenshot", "left_mouse_down", "left_mouse_up", "cursor_position"] {
        examples.push((COMPUTER, json!({"action": plain})));
    }
    examples
}

#[test]
fn the_parser_takes_exactly_the_properties_and_actions_of_each_schema() {
    for definition in tool_definitions(SCREEN) {
        let (name, schema) = schema(&definition);
        let (mut taken, mut actions) = (BTreeSet::new(), BTreeSet::new());
        for (_, mut input) in examples().into_iter().filter(|(tool, _)| *tool == name) {
            assert!(read(name, input.clone()).is_ok(), "{name} refuses {input}");
            actions.extend(input.get("action").and_then(Value::as_str).map(str::to_owned));
            input["surplus"] = json!(1);
            let InputError::Fields { problems, .. } = read(name, input).unwrap_err() else {
                panic!("no field error")
            };
            let [FieldProblem::Unknown { field, known }] = problems.as_slice() else {
                panic!("{problems:?}")
            };
            assert_eq!(field, "surplus");
            taken.extend(known.iter().map(|name| (*name).to_owned()));
        }
        let properties: BTreeSet<String> =
            schema["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(taken, properties, "{name}");
        let listed = schema["properties"]["action"]["enum"].as_array().into_iter().flatten();
        assert_eq!(actions, listed.map(|action| action.as_str().unwrap().to_owned()).collect(), "{name}");
    }
}

#[test]
fn what_a_schema_requires_is_missed_by_the_parser() {
    for definition in tool_definitions(SCREEN) {
        let (name, schema) = schema(&definition);
        for required in schema["required"].as_array().unwrap() {
            let required = required.as_str().unwrap();
            let (_, mut input) = examples().into_iter().find(|(tool, _)| *tool == name).unwrap();
            input.as_object_mut().unwrap().remove(required);
            assert!(
                refusal(name, input).contains(&format!("\"{required}\" is missing")),
                "{name} {required}"
            );
        }
    }
}

#[test]
fn the_offered_tools_read_like_this() {
    insta::assert_snapshot!(
        serde_json::to_string_pretty(&serde_json::to_value(tool_definitions(SCREEN)).unwrap()).unwrap()
    );
}

#[test]
fn all_that_is_wrong_with_a_call_is_said_at_once() {
    assert_eq!(
        refusal(SHELL, json!({"cmd": "ls", "timeout_seconds": 9000})),
        "shell: \"command\" is missing, it has to be a string of 1 to 100000 characters; \"timeout_seconds\" has to be \
         a whole number from 1 to 1800, not 9000; \"cmd\" is not a field here, the fields are command, \
         timeout_seconds, background."
    );
}

#[test]
fn a_coordinate_outside_the_screen_is_refused_and_not_moved() {
    assert_eq!(
        refusal(COMPUTER, json!({"action": "left_click", "coordinate": [1280, 10]})),
        "computer left_click: \"coordinate\" has to be [x, y] in whole pixels on the screen of 1280 by 800, counted \
         from 0, not [1280,10]."
    );
    for outside in [json!([10, 800]), json!([-1, 10]), json!([1.5, 10]), json!([10]), json!("10,10")] {
        assert!(read(COMPUTER, json!({"action": "mouse_move", "coordinate": outside})).is_err());
    }
}

#[test]
fn a_region_without_a_pixel_in_it_is_refused() {
    for region in [json!([5, 5, 5, 9]), json!([9, 5, 5, 9]), json!([0, 0, 1281, 10]), json!([0, 0, 10])] {
        assert!(read(COMPUTER, json!({"action": "zoom", "region": region})).is_err());
    }
}

#[test]
fn an_unknown_tool_and_an_unknown_action_name_the_known_ones() {
    assert_eq!(
        refusal("bash", json!({})),
        "There is no tool \"bash\". The tools are: shell, shell_output, shell_stop, edit, computer, browser, plan, evidence, \
         spawn, subagents, ask, finish."
    );
    assert_eq!(
        refusal(EDIT, json!({"action": "str_replace", "path": "a"})),
        "edit: \"action\" has to be one of view, create, replace, insert, undo, not \"str_replace\"."
    );
}

#[test]
fn input_that_is_no_object_or_no_json_is_refused() {
    assert_eq!(
        refusal(SHELL, json!("ls")),
        "shell: the input has to be a JSON object with named fields, not \"ls\"."
    );
    let cut = ToolCall { malformed: Some("{\"command\": \"l".to_owned()), ..call(SHELL, Value::Null) };
    assert!(
        parse(&cut, SCREEN, Toolset::Worker)
            .unwrap_err()
            .to_string()
            .ends_with("It began: {\"command\": \"l")
    );
}

#[test]
fn a_fault_inside_a_plan_names_its_place() {
    assert_eq!(
        refusal(
            PLAN,
            json!({"steps": [{"title": "a", "state": "done"}, {"title": "b", "status": "done"}, 3]})
        ),
        "plan: \"steps[1].state\" is missing, it has to be one of pending, active, done, dropped; \
         \"steps[1].status\" is not a field here, the fields are title, state; \"steps[2]\" has to be an object, not 3."
    );
}

#[test]
fn a_command_runs_two_minutes_unless_it_says_otherwise() {
    let shell = |mode| ToolInput::Run(ToolRequest::Shell(ShellRequest { command: "ls".to_owned(), mode }));
    let foreground = |timeout_seconds| shell(ShellMode::Foreground { timeout_seconds });
    assert_eq!(read(SHELL, json!({"command": "ls"})).unwrap(), foreground(120));
    assert_eq!(
        read(SHELL, json!({"command": "ls", "timeout_seconds": 600.0, "background": null})).unwrap(),
        foreground(600)
    );
    assert_eq!(
        read(SHELL, json!({"command": "ls", "background": true})).unwrap(),
        shell(ShellMode::Background)
    );
}

#[test]
fn edits_are_read_into_what_they_mean() {
    let edit = |action| ToolInput::Run(ToolRequest::Edit(EditRequest { path: "a".to_owned(), action }));
    assert_eq!(
        read(EDIT, json!({"action": "view", "path": "a", "from_line": 3})).unwrap(),
        edit(EditAction::View(LineRange { from: Some(3), to: None }))
    );
    assert_eq!(
        read(EDIT, json!({"action": "replace", "path": "a", "old": "x", "new": "y"})).unwrap(),
        edit(EditAction::Change(Change::Replace {
            old: "x".to_owned(),
            new: "y".to_owned(),
            occurrences: Occurrences::One
        }))
    );
    assert!(refusal(EDIT, json!({"action": "undo", "path": "a\0b"})).contains("without NUL"));
}

#[test]
fn clicks_are_read_into_button_count_place_and_keys() {
    assert_eq!(
        read(COMPUTER, json!({"action": "double_click", "coordinate": [1279, 799], "text": "ctrl"})).unwrap(),
        ToolInput::Run(ToolRequest::Computer(ComputerAction::Click {
            button: MouseButton::Left,
            count: ClickCount::Double,
            at: Some(Point { x: 1279, y: 799 }),
            modifiers: Some("ctrl".to_owned()),
        }))
    );
    assert_eq!(
        read(COMPUTER, json!({"action": "wait", "duration": 0.0001})).unwrap(),
        ToolInput::Run(ToolRequest::Computer(ComputerAction::Wait { duration_ms: 1 }))
    );
}

proptest::proptest! {
    /// Models write anything; no input may do more than be refused.
    #[test]
    fn no_input_breaks_the_parser(tool in 0..NAMES.len(), action in 0..computer::ACTIONS.len(), text in ".{0,40}", number: f64) {
        for value in [json!(text), json!(number), json!([number, number]), json!([{"title": text}]), Value::Null] {
            let input = json!({
                "action": computer::ACTIONS[action], "coordinate": value, "path": value, "step": value, "steps": value, "text": value,
                "duration": value, "command": value, "region": value,
            });
            let _ = read(NAMES[tool], input);
        }
    }
}
