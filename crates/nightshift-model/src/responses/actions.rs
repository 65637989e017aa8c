//! The provider's actions on the screen, as calls of our `computer` tool.
//!
//! One `computer_call` has a list of actions and is answered once, with one picture, after all of them. Each action
//! becomes a call of its own, so that each is intended, carried out and recorded like any other; where the list does
//! not end in a screenshot one is added, because the answer needs the picture.

use nightshift_protocol::ToolCall;
use serde_json::{Map, Value, json};

/// Pixels of one notch of the wheel, as Chromium on Linux scrolls.
const NOTCH: i64 = 100;
/// The most notches in one action of ours.
const MAX_NOTCHES: i64 = 50;
/// The most points of a drag; of a longer path some are left out.
const MAX_POINTS: usize = 32;
/// Seconds of the provider's `wait`, which has none.
const WAIT_SECONDS: u32 = 2;

/// The calls that a `computer_call` stands for.
pub(super) fn calls(item: &Map<String, Value>) -> Vec<ToolCall> {
    let call_id = item.get("call_id").and_then(Value::as_str).unwrap_or_default();
    let actions: Vec<&Value> = match (item.get("actions"), item.get("action")) {
        (Some(Value::Array(actions)), _) => actions.iter().collect(),
        (_, Some(action)) => vec![action],
        _ => Vec::new(),
    };
    let mut inputs: Vec<Value> = actions.into_iter().flat_map(inputs).collect();
    if inputs.last().is_none_or(|last| last["action"] != "screenshot") {
        inputs.push(json!({"action": "screenshot"}));
    }
    let call = |(index, input)| ToolCall {
        id: id(call_id, index),
        name: "computer".to_owned(),
        input,
        malformed: None,
    };
    (1..).zip(inputs).map(call).collect()
}

/// The id of call number `index`, from 1, of those that a `computer_call` stands for.
pub(super) fn id(call_id: &str, index: usize) -> String {
    format!("{call_id}-{index}")
}

/// One action as inputs of ours; an unknown one keeps its name, and the agent refuses it with the names it knows.
fn inputs(action: &Value) -> Vec<Value> {
    let point = |value: &Value| json!([value["x"], value["y"]]);
    let held = keys(&action["keys"]);
    let with_keys = |mut input: Value| {
        if let Some(held) = &held {
            input["text"] = json!(held);
        }
        input
    };
    match action["type"].as_str().unwrap_or_default() {
        "click" => match action["button"].as_str().unwrap_or("left") {
            "back" => vec![json!({"action": "key", "text": "alt+Left"})],
            "forward" => vec![json!({"action": "key", "text": "alt+Right"})],
            button => {
                let ours = match button {
                    "right" => "right_click",
                    "wheel" => "middle_click",
                    _ => "left_click",
                };
                vec![with_keys(json!({"action": ours, "coordinate": point(action)}))]
            }
        },
        "double_click" => vec![with_keys(json!({"action": "double_click", "coordinate": point(action)}))],
        "move" => vec![json!({"action": "mouse_move", "coordinate": point(action)})],
        "drag" => drag(&action["path"], &with_keys, &point),
        "keypress" => vec![json!({"action": "key", "text": keys(&action["keys"]).unwrap_or_default()})],
        "screenshot" => vec![json!({"action": "screenshot"})],
        "scroll" => scroll(action, &with_keys, &point),
        "type" => vec![json!({"action": "type", "text": action["text"]})],
        "wait" => vec![json!({"action": "wait", "duration": WAIT_SECONDS})],
        other => vec![json!({"action": other})],
    }
}

/// A straight drag is one action; a longer path is gone point by point. Of one with very many points the first, the last and some
/// between them are gone to: as many calls as it has points would not all be carried out, and the button would stay down.
fn drag(path: &Value, with_keys: &dyn Fn(Value) -> Value, point: &dyn Fn(&Value) -> Value) -> Vec<Value> {
    match path.as_array().map(Vec::as_slice).unwrap_or_default() {
        [from, to] => vec![with_keys(
            json!({"action": "left_click_drag", "start_coordinate": point(from), "coordinate": point(to)}),
        )],
        [from, rest @ ..] if !rest.is_empty() => {
            let moved = |to| json!({"action": "mouse_move", "coordinate": point(to)});
            let mut inputs = vec![moved(from), json!({"action": "left_mouse_down"})];
            inputs.extend(thinned(rest).map(moved));
            inputs.push(json!({"action": "left_mouse_up"}));
            inputs
        }
        // The agent says what is missing.
        _ => vec![json!({"action": "left_click_drag"})],
    }
}

/// The points, or at most [`MAX_POINTS`] of them at even distances, the last one among them.
fn thinned(points: &[Value]) -> impl Iterator<Item = &Value> {
    let kept = points.len().min(MAX_POINTS);
    (1..=kept).filter_map(move |number| points.get(number * points.len() / kept - 1))
}

fn scroll(action: &Value, with_keys: &dyn Fn(Value) -> Value, point: &dyn Fn(&Value) -> Value) -> Vec<Value> {
    let along = |field: &str, forth: &str, back: &str| {
        let pixels = action[field].as_i64().unwrap_or_default();
        let notches = (pixels.saturating_abs().saturating_add(NOTCH / 2) / NOTCH).clamp(1, MAX_NOTCHES);
        let direction = if pixels > 0 { forth } else { back };
        (pixels != 0).then(|| {
            with_keys(json!({"action": "scroll", "coordinate": point(action), "scroll_direction": direction,
                "scroll_amount": notches}))
        })
    };
    [along("scroll_y", "down", "up"), along("scroll_x", "right", "left")].into_iter().flatten().collect()
}

/// Keys joined as the X Window System names them; `None` where there are none.
fn keys(keys: &Value) -> Option<String> {
    let keys: Vec<String> =
        keys.as_array()?.iter().filter_map(Value::as_str).filter(|key| !key.is_empty()).map(key).collect();
    (!keys.is_empty()).then(|| keys.join("+"))
}

fn key(name: &str) -> String {
    let ours = match name.to_ascii_uppercase().as_str() {
        "CTRL" | "CONTROL" => "ctrl",
        "ALT" | "OPTION" => "alt",
        "SHIFT" => "shift",
        "META" | "CMD" | "COMMAND" | "SUPER" | "WIN" => "super",
        "ENTER" | "RETURN" => "Return",
        "ESC" | "ESCAPE" => "Escape",
        "BACKSPACE" => "BackSpace",
        "DEL" | "DELETE" => "Delete",
        "INSERT" => "Insert",
        "TAB" => "Tab",
        "SPACE" | " " => "space",
        "HOME" => "Home",
        "END" => "End",
        "PAGEUP" | "PAGE_UP" => "Page_Up",
        "PAGEDOWN" | "PAGE_DOWN" => "Page_Down",
        "ARROWLEFT" | "LEFT" => "Left",
        "ARROWRIGHT" | "RIGHT" => "Right",
        "ARROWUP" | "UP" => "Up",
        "ARROWDOWN" | "DOWN" => "Down",
        "CAPSLOCK" => "Caps_Lock",
        "+" => "plus",
        "-" => "minus",
        "/" => "slash",
        "\\" => "backslash",
        _ => {
            // A letter is the key, not the capital: CTRL and L is ctrl+l.
            return if name.chars().count() == 1 { name.to_lowercase() } else { name.to_owned() };
        }
    };
    ours.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(actions: Value) -> Vec<Value> {
        let item = json!({"type": "computer_call", "call_id": "c", "actions": actions});
        calls(item.as_object().unwrap()).into_iter().map(|call| call.input).collect()
    }

    fn shot() -> Value {
        json!({"action": "screenshot"})
    }

    #[test]
    fn each_action_becomes_a_call_and_a_screenshot_ends_them() {
        let item = json!({"call_id": "c", "actions": [
            {"type": "click", "button": "left", "x": 3, "y": 4}, {"type": "type", "text": "Hi"}]});
        let calls = calls(item.as_object().unwrap());
        let ids: Vec<&str> = calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(ids, ["c-1", "c-2", "c-3"]);
        let inputs: Vec<&Value> = calls.iter().map(|call| &call.input).collect();
        assert_eq!(
            inputs,
            [
                &json!({"action": "left_click", "coordinate": [3, 4]}),
                &json!({"action": "type", "text": "Hi"}),
                &shot()
            ]
        );
        assert_eq!(ours(json!([{"type": "screenshot"}])), [shot()], "one that is there is not added");
    }

    #[test]
    fn an_older_call_with_one_action_is_read_too() {
        let item = json!({"call_id": "c", "action": {"type": "wait"}});
        let calls = calls(item.as_object().unwrap());
        assert_eq!(calls[0].input, json!({"action": "wait", "duration": 2}));
    }

    #[test]
    fn keys_are_named_as_the_screen_knows_them() {
        assert_eq!(
            ours(json!([{"type": "keypress", "keys": ["CTRL", "SHIFT", "T"]}]))[0],
            json!({"action": "key", "text": "ctrl+shift+t"})
        );
        assert_eq!(
            ours(json!([{"type": "click", "button": "right", "x": 1, "y": 2, "keys": ["SHIFT"]}]))[0],
            json!({"action": "right_click", "coordinate": [1, 2], "text": "shift"})
        );
        assert_eq!(
            ours(json!([{"type": "click", "button": "back", "x": 1, "y": 2}]))[0],
            json!({"action": "key", "text": "alt+Left"})
        );
    }

    #[test]
    fn scrolling_is_in_notches_and_both_ways_if_need_be() {
        assert_eq!(
            ours(json!([{"type": "scroll", "x": 5, "y": 6, "scroll_x": -40, "scroll_y": 620}])),
            [
                json!({"action": "scroll", "coordinate": [5, 6], "scroll_direction": "down", "scroll_amount": 6}),
                json!({"action": "scroll", "coordinate": [5, 6], "scroll_direction": "left", "scroll_amount": 1}),
                shot()
            ]
        );
        let far = ours(json!([{"type": "scroll", "x": 5, "y": 6, "scroll_x": 0, "scroll_y": i64::MIN}]));
        assert_eq!(far[0]["scroll_amount"], 50);
    }

    #[test]
    fn a_crooked_drag_goes_through_all_its_points() {
        let path = json!([{"x": 1, "y": 1}, {"x": 2, "y": 2}, {"x": 3, "y": 1}]);
        let actions: Vec<String> = ours(json!([{"type": "drag", "path": path}]))
            .iter()
            .map(|input| format!("{} {}", input["action"].as_str().unwrap(), input["coordinate"]))
            .collect();
        assert_eq!(
            actions,
            [
                "mouse_move [1,1]",
                "left_mouse_down null",
                "mouse_move [2,2]",
                "mouse_move [3,1]",
                "left_mouse_up null",
                "screenshot null"
            ]
        );
        let straight = ours(json!([{"type": "drag", "path": [{"x": 1, "y": 1}, {"x": 9, "y": 9}]}]));
        assert_eq!(
            straight[0],
            json!({"action": "left_click_drag", "start_coordinate": [1, 1], "coordinate": [9, 9]})
        );
    }

    #[test]
    fn a_drag_through_very_many_points_ends_where_it_should_and_lets_the_button_go() {
        let path: Vec<Value> = (0..500).map(|number| json!({"x": number, "y": 7})).collect();
        let inputs = ours(json!([{"type": "drag", "path": path}]));
        assert_eq!(inputs.len(), 36, "all of them are carried out");
        let end = &inputs[33..];
        let last = json!({"action": "mouse_move", "coordinate": [499, 7]});
        assert_eq!(end, [last, json!({"action": "left_mouse_up"}), shot()]);
        let places: Vec<i64> =
            inputs[2..34].iter().filter_map(|input| input["coordinate"][0].as_i64()).collect();
        assert!(places.len() == 32 && places.is_sorted() && places[0] < 20, "{places:?}");
    }

    #[test]
    fn an_action_of_the_future_is_left_to_be_refused_by_name() {
        assert_eq!(ours(json!([{"type": "teleport"}]))[0], json!({"action": "teleport"}));
    }
}
