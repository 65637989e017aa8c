//! What holds whatever an agent writes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::tests::{SESSION, settings};
use super::{Ending, EngineTurn, Input, Output};

fn line(message: Value) -> Input {
    Input::Line(message.to_string().into_bytes())
}

fn update(update: Value) -> Input {
    line(
        json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": SESSION, "update": update}}),
    )
}

fn inputs() -> impl Strategy<Value = Input> {
    let id = 1_u64..6;
    let call = 0_u32..4;
    prop_oneof![
        3 => Just(Input::Started),
        4 => id.clone().prop_map(|id| line(json!({"jsonrpc": "2.0", "id": id, "result": {
            "protocolVersion": 1, "agentCapabilities": {"loadSession": true}, "sessionId": SESSION, "stopReason": "end_turn",
        }}))),
        1 => id.prop_map(|id| line(json!({"id": id, "error": {"code": -32603, "message": "no"}}))),
        4 => (call.clone(), prop_oneof![Just("pending"), Just("completed"), Just("failed"), Just("odd")]).prop_map(
            |(call, status)| update(json!({
                "sessionUpdate": "tool_call", "toolCallId": format!("c{call}"), "title": "npm test", "kind": "execute",
                "status": status, "rawInput": {"command": "npm test"},
            }))
        ),
        2 => (call.clone(), "[a-z]{0,4}").prop_map(|(call, title)| update(json!({
            "sessionUpdate": "tool_call_update", "toolCallId": format!("c{call}"), "title": title, "status": "completed",
        }))),
        3 => "[a-z\n\u{7}]{0,8}".prop_map(|text| update(json!({
            "sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text},
        }))),
        1 => Just(update(json!({"sessionUpdate": "plan", "entries": [{"content": "x", "priority": "low", "status": "pending"}]}))),
        1 => Just(update(json!({"sessionUpdate": "of_the_future", "what": [1]}))),
        3 => (0_u64..5).prop_map(|id| line(json!({"id": id, "method": "session/request_permission", "params": {
            "sessionId": SESSION, "toolCall": {"toolCallId": "c1"},
            "options": [{"optionId": "y", "name": "Yes", "kind": "allow_once"}, {"optionId": "n", "name": "No", "kind": "reject_once"}],
        }}))),
        2 => (0_u64..5, any::<bool>()).prop_map(|(id, allowed)| Input::Permitted { request: json!(id), allowed }),
        2 => (9_u64..12).prop_map(|id| line(json!({"id": id, "method": "fs/read_text_file", "params": {}}))),
        1 => proptest::collection::vec(any::<u8>(), 0..20).prop_map(Input::Line),
        1 => Just(Input::Cancel),
        1 => proptest::option::of(0..200).prop_map(|code| Input::Exited { code, said: "oops\u{1b}".to_owned() }),
        1 => Just(Input::Violated("too long".to_owned())),
    ]
}

/// The id of a request, or of the answer to one.
fn id_of(text: &str) -> Option<Value> {
    serde_json::from_str::<Value>(text).ok()?.get("id").cloned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_turn_ends_once_and_then_says_nothing_more(
        inputs in proptest::collection::vec(inputs(), 0..40),
        resumes in any::<bool>(),
    ) {
        let mut turn = EngineTurn::new(settings(resumes.then_some(SESSION)));
        let mut over = false;
        for input in inputs {
            let outputs = turn.handle(input);
            prop_assert!(!over || outputs.is_empty(), "it said {:?} after its end", outputs);
            let ends = outputs.iter().filter(|output| matches!(output, Output::Over(_))).count();
            prop_assert!(ends <= 1);
            over |= ends == 1;
            if ends == 1 {
                prop_assert!(matches!(outputs.last(), Some(Output::Over(_))));
            }
        }
    }

    #[test]
    fn what_is_sent_is_one_message_a_line_and_every_question_has_one_answer(
        inputs in proptest::collection::vec(inputs(), 0..40),
    ) {
        let mut turn = EngineTurn::new(settings(None));
        let (mut asked, mut answered): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
        let mut over = false;
        for input in inputs {
            if let Input::Line(line) = &input
                && let Ok(Value::Object(fields)) = serde_json::from_slice(line)
                && fields.contains_key("method")
                && let Some(id) = fields.get("id")
                && !over
            {
                asked.push(id.clone());
            }
            let outputs = turn.handle(input);
            for output in &outputs {
                match output {
                    Output::Send(text) => {
                        prop_assert!(text.ends_with('\n') && text.matches('\n').count() == 1, "{}", text);
                        let message: Value = serde_json::from_str(text).unwrap();
                        prop_assert_eq!(&message["jsonrpc"], "2.0");
                        if message.get("method").is_none() {
                            answered.extend(id_of(text));
                        }
                    }
                    Output::Over(_) => over = true,
                    _ => {}
                }
            }
        }
        // Never more answers than questions; and all of them but those that wait for leave or were cut off by the end.
        for id in &answered {
            let times = |list: &[Value]| list.iter().filter(|other| *other == id).count();
            prop_assert!(times(&answered) <= times(&asked), "{} was answered too often", id);
        }
    }

    #[test]
    fn what_was_begun_is_told_the_end_of(inputs in proptest::collection::vec(inputs(), 0..60)) {
        let mut turn = EngineTurn::new(settings(None));
        let mut open = std::collections::BTreeSet::new();
        let begin = [Input::Started]
            .into_iter()
            .chain([1_u64, 3].map(|id| line(json!({"id": id, "result": {"protocolVersion": 1, "sessionId": SESSION}}))));
        let end = [Input::Violated("the end".to_owned())];
        for input in begin.chain(inputs).chain(end) {
            for output in turn.handle(input) {
                match output {
                    Output::Acted(action) if action.status == nightshift_protocol::EngineActionStatus::Begun => {
                        open.insert(action.number);
                    }
                    Output::Acted(action) => {
                        open.remove(&action.number);
                    }
                    Output::Over(Ending::Failed(_) | Ending::Stopped { .. }) => prop_assert!(open.is_empty(), "{:?}", open),
                    _ => {}
                }
            }
        }
    }
}
