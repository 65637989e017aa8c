use nightshift_protocol::{
    EngineAction, EngineActionKind, EngineActionStatus, Plan, PlanStep, PlanStepState,
};
use serde_json::{Value, json};

use super::{Ending, EngineTurn, Input, Output, Stop, Tools, Trouble, TurnSettings};

pub(super) const SESSION: &str = "s-1";

pub(super) fn settings(session: Option<&str>) -> TurnSettings {
    TurnSettings {
        folder: "/home/agent/work/app".to_owned(),
        session: session.map(str::to_owned),
        going_on: "Go on.".to_owned(),
        anew: "Do it.".to_owned(),
        tools: Tools { url: "http://127.0.0.1:3128/tools".to_owned(), pass: "pass-1".to_owned() },
    }
}

fn hear(turn: &mut EngineTurn, message: Value) -> Vec<Output> {
    turn.handle(Input::Line(message.to_string().into_bytes()))
}

fn tell(turn: &mut EngineTurn, update: Value) -> Vec<Output> {
    let params = json!({"sessionId": SESSION, "update": update});
    hear(turn, json!({"jsonrpc": "2.0", "method": "session/update", "params": params}))
}

fn sent(outputs: &[Output]) -> Vec<Value> {
    let sent = outputs.iter().filter_map(|output| match output {
        Output::Send(line) => Some(serde_json::from_str(line).unwrap()),
        _ => None,
    });
    sent.collect()
}

/// A turn that is initialized by this answer.
fn initialized(session: Option<&str>, result: Value) -> (EngineTurn, Vec<Output>) {
    let mut turn = EngineTurn::new(settings(session));
    turn.handle(Input::Started);
    let outputs = hear(&mut turn, json!({"jsonrpc": "2.0", "id": 1, "result": result}));
    (turn, outputs)
}

/// A turn whose agent is prompted.
fn prompted() -> EngineTurn {
    let (mut turn, _) = initialized(None, json!({"protocolVersion": 1}));
    hear(&mut turn, json!({"jsonrpc": "2.0", "id": 3, "result": {"sessionId": SESSION}}));
    assert!(turn.is_prompted());
    turn
}

fn stopped(stop: Stop, words: &str) -> Output {
    Output::Over(Ending::Stopped { stop, words: words.to_owned() })
}

fn failed(trouble: Trouble) -> Vec<Output> {
    vec![Output::Over(Ending::Failed(trouble))]
}

#[test]
fn an_agent_is_offered_neither_files_nor_terminals() {
    let outputs = EngineTurn::new(settings(None)).handle(Input::Started);
    let sent = sent(&outputs);
    assert_eq!(
        (sent[0]["method"].as_str(), &sent[0]["params"]["protocolVersion"]),
        (Some("initialize"), &json!(1))
    );
    let capabilities = &sent[0]["params"]["clientCapabilities"];
    assert_eq!(capabilities["terminal"], json!(false));
    assert_eq!(capabilities["fs"], json!({"readTextFile": false, "writeTextFile": false}));
}

#[test]
fn a_new_session_has_the_sandbox_s_tools_over_http_where_the_agent_reaches_them_so() {
    let capable = json!({"protocolVersion": 1, "agentCapabilities": {"mcpCapabilities": {"http": true}}});
    let (_, outputs) = initialized(None, capable);
    let expected = json!({
        "jsonrpc": "2.0", "id": 3, "method": "session/new",
        "params": {"cwd": "/home/agent/work/app", "mcpServers": [{
            "type": "http", "name": "nightshift", "url": "http://127.0.0.1:3128/tools",
            "headers": [{"name": "Authorization", "value": "Bearer pass-1"}],
        }]},
    });
    assert_eq!(sent(&outputs), [expected]);
}

#[test]
fn an_agent_that_speaks_to_tools_by_standard_input_gets_a_program_between() {
    let (_, outputs) = initialized(None, json!({"protocolVersion": 1}));
    let server = &sent(&outputs)[0]["params"]["mcpServers"][0];
    assert_eq!(
        (server["name"].as_str(), server["command"].as_str()),
        (Some("nightshift"), Some("/usr/bin/python3"))
    );
    assert!(server["args"][1].as_str().unwrap().contains("NIGHTSHIFT_TOOLS"));
    assert_eq!(server["env"][1], json!({"name": "NIGHTSHIFT_PASS", "value": "pass-1"}));
}

#[test]
fn a_session_goes_on_where_the_agent_can_load_it_and_what_it_replays_is_not_told_again() {
    let capable = json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true},
        "agentInfo": {"name": "fake", "title": "Fake Agent", "version": "2.1"}});
    let (mut turn, outputs) = initialized(Some(SESSION), capable);
    assert_eq!(sent(&outputs)[0]["method"], "session/load");
    let replayed =
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "old"}});
    assert_eq!(tell(&mut turn, replayed), []);
    let outputs = hear(&mut turn, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    let agent = "Fake Agent 2.1".to_owned();
    assert_eq!(outputs[0], Output::Opened { agent, session: SESSION.to_owned(), resumed: true });
    assert_eq!(sent(&outputs)[0]["params"]["prompt"], json!([{"type": "text", "text": "Go on."}]));
}

#[test]
fn a_session_that_is_gone_or_cannot_be_loaded_gives_way_to_a_new_one_that_is_told_everything() {
    let (mut turn, _) =
        initialized(Some(SESSION), json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}}));
    let outputs = hear(
        &mut turn,
        json!({"jsonrpc": "2.0", "id": 2, "error": {"code": -32002, "message": "not found"}}),
    );
    assert_eq!(sent(&outputs)[0]["method"], "session/new");
    let outputs = hear(&mut turn, json!({"jsonrpc": "2.0", "id": 3, "result": {"sessionId": "s-2"}}));
    assert!(matches!(&outputs[0], Output::Opened { session, resumed: false, .. } if session == "s-2"));
    assert_eq!(sent(&outputs)[0]["params"]["prompt"][0]["text"], "Do it.");
    let (_, outputs) = initialized(Some(SESSION), json!({"protocolVersion": 1}));
    assert_eq!(sent(&outputs)[0]["method"], "session/new");
}

#[test]
fn an_agent_of_another_version_is_refused_by_name() {
    for (result, version) in [
        (json!({"protocolVersion": 2}), "2"),
        (json!({}), "null"),
        (json!({"protocolVersion": "1"}), "\"1\""),
    ] {
        let (_, outputs) = initialized(None, result);
        assert_eq!(outputs, failed(Trouble::OtherVersion { version: version.to_owned() }));
    }
}

#[test]
fn an_agent_that_wants_a_login_and_one_that_refuses_are_told_apart() {
    let answer = |error: Value| {
        let (mut turn, _) = initialized(None, json!({"protocolVersion": 1}));
        hear(&mut turn, json!({"jsonrpc": "2.0", "id": 3, "error": error}))
    };
    assert_eq!(
        answer(json!({"code": -32000, "message": "Authentication required"})),
        failed(Trouble::NeedsLogin)
    );
    let message = "Internal error (no model)".to_owned();
    let trouble = Trouble::Refused { method: "session/new", message };
    assert_eq!(
        answer(json!({"code": -32603, "message": "Internal error", "data": "no model"})),
        failed(trouble)
    );
}

#[test]
fn what_an_agent_does_is_told_when_it_begins_and_when_it_ends() {
    let mut turn = prompted();
    let begun = tell(
        &mut turn,
        json!({
            "sessionUpdate": "tool_call", "toolCallId": "c1", "title": "npm test\n", "kind": "execute", "status": "pending",
            "rawInput": {"command": "npm test"},
        }),
    );
    let mut action = EngineAction {
        number: 1,
        kind: EngineActionKind::Execute,
        title: "npm test".to_owned(),
        status: EngineActionStatus::Begun,
        files: Vec::new(),
        detail: None,
    };
    assert_eq!(begun, [Output::Acted(action.clone())]);
    let on = json!({"sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "in_progress"});
    assert_eq!(tell(&mut turn, on), []);
    let ended = tell(
        &mut turn,
        json!({
            "sessionUpdate": "tool_call_update", "toolCallId": "c1", "status": "completed",
            "content": [
                {"type": "content", "content": {"type": "text", "text": "3 passed"}},
                {"type": "diff", "path": "/a.js", "oldText": "1\n2", "newText": "1\n2\n3"},
                {"type": "of_the_future"},
            ],
            "locations": [{"path": "/a.js", "line": 3}],
        }),
    );
    action.status = EngineActionStatus::Done;
    action.detail = Some("3 passed\n/a.js: 2 lines became 3".to_owned());
    action.files = vec!["/a.js".to_owned()];
    assert_eq!(ended, [Output::Acted(action)]);
}

#[test]
fn an_action_that_changes_its_name_for_ever_is_told_a_few_times() {
    let mut turn = prompted();
    let mut told = 0;
    for number in 0..100 {
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": format!("name {number}"), "status": "pending"});
        told += tell(&mut turn, call).len();
    }
    assert_eq!(told, 4);
}

#[test]
fn calls_of_the_sandbox_s_own_tools_are_not_told_twice() {
    let mut turn = prompted();
    for status in ["pending", "completed"] {
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "mcp__nightshift__computer", "status": status});
        assert_eq!(tell(&mut turn, call), []);
    }
}

#[test]
fn a_message_is_told_before_what_comes_after_it_and_the_last_one_with_the_end() {
    let mut turn = prompted();
    let say = |text: &str| json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    assert_eq!(tell(&mut turn, say("I look ")), [Output::Writing("I look ".to_owned())]);
    tell(&mut turn, say("first.\n"));
    let call = json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "Read a.js", "kind": "read", "status": "completed"});
    assert_eq!(tell(&mut turn, call)[0], Output::Said("I look first.".to_owned()));
    tell(&mut turn, say("Done."));
    let outputs = hear(&mut turn, json!({"jsonrpc": "2.0", "id": 4, "result": {"stopReason": "end_turn"}}));
    assert_eq!(outputs, [stopped(Stop::EndTurn, "Done.")]);
}

#[test]
fn words_without_end_are_not_kept_without_end() {
    let mut turn = prompted();
    for _ in 0..40 {
        let text = "x".repeat(1_000);
        tell(
            &mut turn,
            json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}),
        );
    }
    let outputs = hear(&mut turn, json!({"jsonrpc": "2.0", "id": 4, "result": {"stopReason": "max_tokens"}}));
    assert_eq!(outputs, [stopped(Stop::MaxTokens, &"x".repeat(20_000))]);
}

#[test]
fn a_plan_is_told_with_the_state_of_its_steps() {
    let outputs = tell(
        &mut prompted(),
        json!({"sessionUpdate": "plan", "entries": [
            {"content": "Read", "priority": "high", "status": "completed"},
            {"content": "Change", "priority": "high", "status": "in_progress"},
            {"content": "Test", "priority": "low", "status": "pending"},
        ]}),
    );
    let steps =
        [("Read", PlanStepState::Done), ("Change", PlanStepState::Active), ("Test", PlanStepState::Pending)];
    let steps = steps.map(|(title, state)| PlanStep { title: title.to_owned(), state }).into();
    assert_eq!(outputs, [Output::Planned(Plan { steps })]);
}

fn question(call: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "q", "method": "session/request_permission", "params": {
        "sessionId": SESSION, "toolCall": call, "options": [
            {"optionId": "always", "name": "Always", "kind": "allow_always"},
            {"optionId": "once", "name": "Once", "kind": "allow_once"},
            {"optionId": "no", "name": "No", "kind": "reject_always"},
        ],
    }})
}

#[test]
fn leave_is_given_for_once_or_refused_by_what_is_offered() {
    for (allowed, option) in [(true, "once"), (false, "no")] {
        let mut turn = prompted();
        let call = json!({"toolCallId": "c1", "rawInput": {"command": ["bash", "-lc", "git push"]}});
        let asked = hear(&mut turn, question(call));
        assert_eq!(asked, [Output::Permit { request: json!("q"), command: Some("git push".to_owned()) }]);
        let outputs = turn.handle(Input::Permitted { request: json!("q"), allowed });
        let expected = json!({"jsonrpc": "2.0", "id": "q", "result": {"outcome": {"outcome": "selected", "optionId": option}}});
        assert_eq!(sent(&outputs), [expected]);
        assert_eq!(turn.handle(Input::Permitted { request: json!("q"), allowed }), [], "it is answered once");
    }
}

#[test]
fn the_command_of_a_question_may_have_been_told_with_the_call() {
    let mut turn = prompted();
    tell(
        &mut turn,
        json!({"sessionUpdate": "tool_call", "toolCallId": "c1", "title": "push", "rawInput": {"command": "git push"}}),
    );
    let asked = hear(&mut turn, question(json!({"toolCallId": "c1"})));
    assert_eq!(asked, [Output::Permit { request: json!("q"), command: Some("git push".to_owned()) }]);
}

#[test]
fn a_question_that_offers_nothing_and_a_method_that_was_not_offered_have_an_answer_all_the_same() {
    let mut turn = prompted();
    let odd = json!({"jsonrpc": "2.0", "id": 7, "method": "session/request_permission", "params": {"options": [{"kind": "x"}]}});
    assert_eq!(sent(&hear(&mut turn, odd))[0]["result"], json!({"outcome": {"outcome": "cancelled"}}));
    let files =
        json!({"jsonrpc": "2.0", "id": 8, "method": "fs/read_text_file", "params": {"path": "/etc/passwd"}});
    assert_eq!(sent(&hear(&mut turn, files))[0]["error"]["code"], -32_601);
}

#[test]
fn one_that_is_told_to_stop_has_its_questions_answered_and_may_end_in_any_way() {
    let end: [fn(&mut EngineTurn) -> Vec<Output>; 3] = [
        |turn| hear(turn, json!({"jsonrpc": "2.0", "id": 4, "result": {"stopReason": "cancelled"}})),
        |turn| {
            hear(turn, json!({"jsonrpc": "2.0", "id": 4, "error": {"code": -32603, "message": "aborted"}}))
        },
        |turn| turn.handle(Input::Exited { code: Some(143), said: String::new() }),
    ];
    for end in end {
        let mut turn = prompted();
        hear(&mut turn, question(json!({"toolCallId": "c1"})));
        let outputs = turn.handle(Input::Cancel);
        assert_eq!(sent(&outputs)[0]["result"]["outcome"]["outcome"], "cancelled");
        assert_eq!(
            sent(&outputs)[1],
            json!({"jsonrpc": "2.0", "method": "session/cancel", "params": {"sessionId": SESSION}})
        );
        assert_eq!(turn.handle(Input::Cancel), [], "once is enough");
        assert_eq!(end(&mut turn).last(), Some(&stopped(Stop::Cancelled, "")));
    }
    let mut early = EngineTurn::new(settings(None));
    assert_eq!(early.handle(Input::Cancel), [stopped(Stop::Cancelled, "")]);
}

#[test]
fn a_program_that_is_not_there_and_one_that_ends_are_told_apart() {
    let mut turn = EngineTurn::new(settings(None));
    turn.handle(Input::Started);
    let exit = |code| Input::Exited { code: Some(code), said: "\u{1b}[31mno key\n".to_owned() };
    assert_eq!(turn.clone().handle(exit(127)), failed(Trouble::NotInstalled));
    let ended = |code| Trouble::Ended { code: Some(code), said: "[31mno key".to_owned() };
    assert_eq!(turn.handle(exit(1)), failed(ended(1)));
    assert_eq!(prompted().handle(exit(127)), failed(ended(127)), "it was there");
    assert_eq!(ended(1).to_string(), "its program ended with exit status 1: [31mno key");
}

#[test]
fn a_program_that_prints_a_greeting_is_listened_to_and_one_that_prints_on_is_not() {
    let mut turn = EngineTurn::new(settings(None));
    turn.handle(Input::Started);
    for _ in 0..20 {
        assert_eq!(turn.handle(Input::Line(b"(node:1) Warning: punycode".to_vec())), []);
    }
    let what = "it writes lines that are no messages".to_owned();
    assert_eq!(turn.handle(Input::Line(b"[1]".to_vec())), failed(Trouble::Violated { what }));
}

#[test]
fn updates_of_another_session_and_of_kinds_that_are_not_known_change_nothing() {
    let mut turn = prompted();
    let params = json!({"sessionId": "other", "update": {"sessionUpdate": "tool_call", "toolCallId": "c", "title": "x"}});
    assert_eq!(hear(&mut turn, json!({"method": "session/update", "params": params})), []);
    for update in [json!({"sessionUpdate": "of_the_future"}), json!({"sessionUpdate": "tool_call"}), json!(7)]
    {
        assert_eq!(tell(&mut turn, update), []);
    }
}

#[test]
fn a_reason_to_stop_that_is_not_known_is_passed_on() {
    let outputs = hear(&mut prompted(), json!({"id": 4, "result": {"stopReason": "tired"}}));
    assert_eq!(outputs, [stopped(Stop::Other("tired".to_owned()), "")]);
}

#[test]
fn an_agent_that_does_thousands_of_things_is_followed_to_a_point() {
    let mut turn = prompted();
    let mut told = 0;
    for number in 0..3_000 {
        let call = json!({"sessionUpdate": "tool_call", "toolCallId": format!("c{number}"), "title": "x", "status": "completed"});
        told += tell(&mut turn, call).len();
    }
    assert_eq!(told, 2_000);
}
