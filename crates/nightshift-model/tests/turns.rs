//! Whole turns over the wire, with a provider that is strict and at times unwell.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod relay;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use nightshift_model::{
    InvalidAnswer, InvalidSettings, Model, Progress, Provider, ProviderSettings, RetryPolicy, Turn,
    TurnError, TurnRequest,
};
use nightshift_protocol::{
    AssistantBlock, ErrorCode, Image, Message, ResultPart, StopReason, ToolCall, ToolOutcome, ToolResult,
    Usage, UserPart,
};
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use wire::{Canned, HELLO, Pictures, Then, client, error, impatient, request, says, settings, stream, turn};

async fn serve(script: Value) -> ScriptedModel {
    ScriptedModel::start(Script::from_value(script).unwrap()).await
}

/// A client of a scripted model.
async fn scripted(script: Value) -> (ScriptedModel, Provider) {
    let model = serve(script).await;
    let client = client(model.base_url());
    (model, client)
}

fn calls(turn: &Turn) -> Vec<ToolCall> {
    let Message::Assistant { blocks, .. } = &turn.message else { panic!("{turn:?}") };
    let call = |block: &AssistantBlock| match block {
        AssistantBlock::ToolCall { call } => Some(call.clone()),
        _ => None,
    };
    blocks.iter().filter_map(call).collect()
}

fn words(turn: &Turn) -> String {
    let Message::Assistant { blocks, .. } = &turn.message else { panic!("{turn:?}") };
    let text = |block: &AssistantBlock| match block {
        AssistantBlock::Text { text } => Some(text.clone()),
        _ => None,
    };
    blocks.iter().filter_map(text).collect()
}

fn waits(told: &[Progress]) -> Vec<(Duration, u32)> {
    let wait = |progress: &Progress| match progress {
        Progress::Retrying { wait, attempt, .. } => Some((*wait, *attempt)),
        _ => None,
    };
    told.iter().filter_map(wait).collect()
}

/// Waits until the first retry is told, and gives its wait; the turn is dropped.
async fn first_wait(base_url: String) -> Duration {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let client = client(base_url);
    let request = request();
    let told = move |progress| {
        let _ = sender.send(progress);
    };
    tokio::select! {
        turn = client.turn(&request, &Pictures, &told) => panic!("{turn:?}"),
        progress = receiver.recv() => match progress.unwrap() {
            Progress::Retrying { wait, attempt: 2, .. } => wait,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_strict_provider_takes_a_whole_conversation_with_batches_pictures_and_failures() {
    let (model, client) = scripted(json!({"turns": [
        {"thinking": "Look around.", "say": "I look.", "calls": [
            {"tool": "shell", "input": {"command": "ls"}},
            {"tool": "computer", "input": {"action": "screenshot"}},
            {"tool": "computer", "input": {"action": "left_click", "coordinate": [3, 4]}}]},
        {"thinking": "It failed.", "calls": [{"tool": "shell", "input": {"command": "make"}}],
            "expect": [{"lastResultIsError": true}, {"lastResultContains": "Not executed"}, {"lastTextContains": "Hurry"}]},
        {"say": "Done.", "expect": [{"lastResultContains": "built"}]},
    ]}))
    .await;
    let picture = || {
        let artifact = "ab".repeat(32).parse().unwrap();
        ResultPart::Image {
            image: Image { artifact, media_type: "image/png".to_owned(), width: 1, height: 1, bytes: 69 },
        }
    };
    let result = |call: &ToolCall, outcome, content| UserPart::ToolResult {
        result: ToolResult { call: call.id.clone(), outcome, content },
    };
    let text = |text: &str| ResultPart::Text { text: text.to_owned() };
    let mut request = request();

    let first = turn(&client, &request).await.0.unwrap();
    let batch = calls(&first);
    assert_eq!(first.stop, StopReason::ToolUse);
    assert_eq!(
        batch.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(),
        ["shell", "computer", "computer"]
    );
    assert_eq!(batch[2].input, json!({"action": "left_click", "coordinate": [3, 4]}));
    Arc::make_mut(&mut request.messages).push(Arc::new(first.message));
    Arc::make_mut(&mut request.messages).push(Arc::new(Message::User {
        content: vec![
            UserPart::Text { text: "Hurry up.".to_owned() },
            result(&batch[0], ToolOutcome::Done, vec![text("README.md"), text("")]),
            result(&batch[1], ToolOutcome::Done, vec![picture()]),
            result(
                &batch[2],
                ToolOutcome::Failed,
                vec![text("Not executed: the window is gone."), picture()],
            ),
        ],
    }));
    let second = turn(&client, &request).await.0.unwrap();
    let built = result(&calls(&second)[0], ToolOutcome::Done, vec![text("built")]);
    Arc::make_mut(&mut request.messages).push(Arc::new(second.message));
    Arc::make_mut(&mut request.messages).push(Arc::new(Message::User { content: vec![built] }));
    let third = turn(&client, &request).await.0.unwrap();

    assert_eq!((words(&third).as_str(), third.stop), ("Done.", StopReason::EndTurn));
    assert_eq!(third.model, "claude-sonnet-5-5");
    assert!(third.usage.cache_read_tokens > 0 && third.usage.cost_microdollars > 0, "{:?}", third.usage);
    assert_eq!(third.lost, Usage::default());
    assert_eq!(model.breaches(), Vec::<String>::new());
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn faults_that_pass_are_sat_out() {
    for status in [408, 429, 500, 502, 503, 529] {
        let (model, client) =
            scripted(json!({"turns": [{"say": "Hello.", "fault": {"status": status, "times": 2}}]})).await;
        let (turn, told) = turn(&client, &request()).await;
        assert_eq!(words(&turn.unwrap()), "Hello.", "{status}");
        let wait = Duration::from_millis(2);
        assert_eq!(waits(&told), [(wait, 2), (wait, 3)], "{status}");
        assert_eq!(model.requests().len(), 3);
    }
}

#[tokio::test]
async fn a_fault_that_does_not_pass_has_its_own_name_after_the_last_try() {
    let failed = async |status: u16| {
        let (model, client) = scripted(json!({"turns": [{"fault": {"status": status, "times": 99}}]})).await;
        let error = turn(&client, &request()).await.0.unwrap_err();
        assert_eq!(model.requests().len(), 3);
        assert_eq!(error.user_error().code, ErrorCode::ModelUnavailable);
        error
    };
    assert!(matches!(failed(529).await, TurnError::Overloaded { tries: 3 }));
    assert!(matches!(failed(429).await, TurnError::RateLimited { tries: 3, retry_after: None }));
    assert!(matches!(failed(500).await, TurnError::ServerFailed { tries: 3, .. }));
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    for (status, code) in [
        (400, ErrorCode::ModelRefused),
        (401, ErrorCode::WrongKey),
        (402, ErrorCode::ModelRefused),
        (403, ErrorCode::ModelRefused),
        (413, ErrorCode::ModelRefused),
    ] {
        let (model, client) = scripted(json!({"turns": [{"fault": {"status": status}}]})).await;
        let (turn, told) = turn(&client, &request()).await;
        assert_eq!(turn.unwrap_err().user_error().code, code, "{status}");
        assert_eq!((model.requests().len(), told), (1, Vec::new()), "{status}");
    }
}

#[tokio::test]
async fn the_provider_says_when_to_come_back() {
    let fault = json!({"turns": [{"say": "Hello.", "fault": {"status": 429, "retryAfter": "0.02"}}]});
    let (_model, quick) = scripted(fault).await;
    let (turn, told) = turn(&quick, &request()).await;
    assert!(turn.is_ok());
    assert_eq!(waits(&told), [(Duration::from_millis(20), 2)]);

    let later = serve(json!({"turns": [{"fault": {"status": 529, "retryAfter": "9"}}]})).await;
    assert_eq!(first_wait(later.base_url()).await, Duration::from_secs(9));
    let date = error(503, "retry-after: Sun, 22 Nov 2026 14:00:11 GMT\r\n", "{}");
    let dated = Canned::start(vec![(date, Then::Close)]).await;
    assert_eq!(first_wait(dated.base_url()).await, Duration::from_secs(11));
}

#[tokio::test]
async fn a_wait_longer_than_a_turn_may_take_is_handed_to_the_person() {
    let (model, client) =
        scripted(json!({"turns": [{"fault": {"status": 429, "retryAfter": "3600"}}]})).await;
    let error = turn(&client, &request()).await.0.unwrap_err();
    assert!(
        matches!(error, TurnError::RateLimited { tries: 1, retry_after: Some(wait) } if wait.as_secs() == 3600)
    );
    assert_eq!(error.user_error().hint, "Continue the run in 60 minutes, or let fewer runs work at once.");
    assert_eq!(model.requests().len(), 1);
}

#[tokio::test]
async fn an_answer_cut_at_any_event_is_asked_for_again_and_is_the_same() {
    let turns = |fault: Value| {
        json!({"turns": [{"thinking": "Look.", "say": "I look around here.", "fault": fault,
            "calls": [{"tool": "computer", "input": {"action": "key", "text": "ctrl+l"}}]}]})
    };
    let (_whole_model, whole_client) = scripted(turns(Value::Null)).await;
    let whole = turn(&whole_client, &request()).await.0.unwrap();
    // Start, ping, thinking (start, delta, signature, stop), text (start, delta, stop), call (start, two deltas, stop),
    // delta, stop: fifteen events, of which any number but all may come.
    for kind in ["cutAfterEvents", "errorAfterEvents"] {
        for events in 0..15 {
            let (model, client) = scripted(turns(json!({kind: events}))).await;
            let (turn, told) = turn(&client, &request()).await;
            let turn = turn.unwrap();
            assert_eq!(Turn { lost: whole.lost, ..turn.clone() }, whole, "{kind} {events}");
            // A fault that is reported before anything else is no answer that is paid; a cut may be one.
            let paid = events > 0 || kind == "cutAfterEvents";
            assert_eq!(
                turn.lost.input_tokens + turn.lost.cache_write_tokens > 0,
                paid,
                "{kind} {events}: {turn:?}"
            );
            assert_eq!(turn.lost.cost_microdollars > 0, paid);
            assert_eq!(waits(&told).len(), 1);
            assert_eq!(model.requests().len(), 2);
            assert_eq!(model.breaches(), Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn a_conversation_goes_on_after_an_answer_that_ended_while_its_model_thought() {
    let script = json!({"turns": [{"thinking": "Hm.", "stop": "max_tokens"}, {"say": "Done."}]});
    let (model, client) = scripted(script).await;
    let mut request = request();
    let cut = turn(&client, &request).await.0.unwrap();
    assert_eq!(cut.stop, StopReason::MaxTokens);
    let messages = Arc::make_mut(&mut request.messages);
    messages.push(Arc::new(cut.message));
    messages.push(says("Go on."));
    assert_eq!(words(&turn(&client, &request).await.0.unwrap()), "Done.");
    assert_eq!(model.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_is_always_cut_ends_the_turn() {
    let (model, client) =
        scripted(json!({"turns": [{"say": "Hello.", "fault": {"cutAfterEvents": 4, "times": 99}}]})).await;
    let (ended, told) = turn(&client, &request()).await;
    let error = ended.unwrap_err();
    assert!(matches!(error, TurnError::Cut { tries: 3 }), "{error:?}");
    let used: Vec<u64> = told
        .iter()
        .filter_map(|told| match told {
            Progress::Used(usage) => Some(usage.input_tokens + usage.cache_write_tokens),
            _ => None,
        })
        .collect();
    assert!(matches!(&used[..], [all] if *all > 0 && all % 3 == 0), "all are told at the end: {used:?}");
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn silence_counts_as_a_lost_try() {
    let patience = RetryPolicy { silence: Duration::from_millis(60), ..impatient() };
    let once = serve(json!({"turns": [{"say": "Hello.", "fault": {"stallAfterEvents": 3}}]})).await;
    let client = Provider::messages(settings(once.base_url(), patience)).unwrap();
    assert_eq!(words(&turn(&client, &request()).await.0.unwrap()), "Hello.");
    let always =
        serve(json!({"turns": [{"say": "Hello.", "fault": {"stallAfterEvents": 0, "times": 9}}]})).await;
    let client = Provider::messages(settings(always.base_url(), patience)).unwrap();
    let error = turn(&client, &request()).await.0.unwrap_err();
    assert!(matches!(error, TurnError::Silent { tries: 3, .. }), "{error:?}");
}

#[tokio::test]
async fn a_drip_that_never_ends_is_ended_by_the_limit_of_the_turn() {
    let mut drip = Canned::start(vec![(stream(""), Then::Ping)]).await;
    let patience = RetryPolicy { total: Duration::from_millis(80), ..impatient() };
    let client = Provider::messages(settings(drip.base_url(), patience)).unwrap();
    let error = turn(&client, &request()).await.0.unwrap_err();
    assert!(matches!(error, TurnError::TookTooLong { tries: 1, .. }), "{error:?}");
    drip.gone.recv().await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_as_long_as_it_moves() {
    let (_model, client) = scripted(json!({"turns": [{"say": "Hello.", "delayMs": 30}]})).await;
    assert_eq!(words(&turn(&client, &request()).await.0.unwrap()), "Hello.");
}

#[tokio::test]
async fn a_dropped_turn_closes_its_connection() {
    let first_event = &HELLO[..HELLO.find("event: content_block_stop").unwrap()];
    let mut canned = Canned::start(vec![(stream(first_event), Then::Hold)]).await;
    let client = client(canned.base_url());
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let request = request();
    let told = move |progress| {
        let _ = sender.send(progress);
    };
    tokio::select! {
        turn = client.turn(&request, &Pictures, &told) => panic!("{turn:?}"),
        word = receiver.recv() => assert_eq!(word, Some(Progress::Text("Hello.".to_owned()))),
    }
    // Who lets go of the turn pays it: what the provider says was read, and what its model can have written.
    let used = receiver.recv().await;
    let Some(Progress::Used(used)) = used else { panic!("{used:?}") };
    assert!(used.input_tokens == 5 && used.output_tokens > 1 && used.cost_microdollars > 0, "{used:?}");
    canned.gone.recv().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_is_no_stream_of_events_is_invalid_and_not_tried_again() {
    let garbled = stream(&HELLO.replace("\"index\":0,\"delta\"", "\"index\":0,delta"));
    let mut canned = Canned::start(vec![(garbled, Then::Close), (stream(HELLO), Then::Close)]).await;
    let error = turn(&client(canned.base_url()), &request()).await.0.unwrap_err();
    assert!(matches!(error, TurnError::InvalidAnswer(InvalidAnswer::NotJson { .. })), "{error:?}");
    assert!(canned.requests.recv().await.is_some() && canned.requests.try_recv().is_err());
}

#[tokio::test]
async fn a_provider_that_is_down_cannot_be_reached() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = client(format!("http://{address}"));
    let error = turn(&client, &request()).await.0.unwrap_err();
    assert!(matches!(error, TurnError::Unreachable { tries: 3, .. }), "{error:?}");
    let shown = error.user_error();
    assert_eq!(shown.code, ErrorCode::ModelUnavailable);
    assert!(shown.message.to_lowercase().contains("refused"), "{shown:?}");
    assert!(matches!(client.check("claude-sonnet-5-5").await, Err(TurnError::Unreachable { tries: 1, .. })));
}

#[tokio::test]
async fn tls_that_fails_is_a_provider_out_of_reach() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = client(format!("https://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.write_all(b"HTTP/1.1 400 This is no TLS\r\n\r\n").await.unwrap();
    });
    assert!(matches!(client.check("claude-sonnet-5-5").await, Err(TurnError::Unreachable { .. })));
}

#[tokio::test]
async fn a_wrong_key_is_told_and_shown_nowhere() {
    let (model, client) = scripted(json!({"key": "another", "turns": [{"say": "Hello."}]})).await;
    let error = turn(&client, &request()).await.0.unwrap_err();
    assert!(matches!(error, TurnError::WrongKey));
    assert!(matches!(client.check("claude-sonnet-5-5").await, Err(TurnError::WrongKey)));
    let shown = format!("{client:?} {error:?} {:?} {:?}", error.user_error(), model.requests());
    assert!(!shown.contains("secret"), "{shown}");
}

#[tokio::test]
async fn an_unknown_model_comes_with_the_known_ones() {
    let (_model, client) =
        scripted(json!({"model": ["claude-opus-5-5", "claude-haiku-5-5"], "turns": [{"say": "Hello."}]}))
            .await;
    for error in
        [turn(&client, &request()).await.0.unwrap_err(), client.check("claude-sonnet-5-5").await.unwrap_err()]
    {
        let TurnError::UnknownModel { model, known } = error else { panic!("{error:?}") };
        assert_eq!(
            (model.as_str(), known),
            ("claude-sonnet-5-5", vec!["claude-opus-5-5".to_owned(), "claude-haiku-5-5".to_owned()])
        );
    }
}

#[tokio::test]
async fn an_address_that_is_no_api_is_not_taken_for_an_unknown_model() {
    let page = || (error(404, "", "<h1>Not here</h1>"), Then::Close);
    let canned = Canned::start(vec![page(), page()]).await;
    let error = client(canned.base_url()).check("claude-sonnet-5-5").await.unwrap_err();
    assert_eq!(error.to_string(), "the provider refused the request (404): <h1>Not here</h1>");
}

#[tokio::test]
async fn a_known_model_tells_its_facts() {
    let (_model, client) = scripted(json!({"maxInputTokens": 200_000})).await;
    let facts = client.check("claude-sonnet-5-5").await.unwrap();
    assert_eq!(
        (facts.id.as_str(), facts.max_input_tokens, facts.max_output_tokens),
        ("claude-sonnet-5-5", Some(200_000), Some(128_000))
    );
    assert_eq!((facts.reads_images, facts.price), (Some(true), client.price("claude-sonnet-5-5")));
    assert!(facts.price.is_some());
}

#[tokio::test]
async fn a_conversation_beyond_the_window_is_told_from_a_bad_request() {
    let (model, client) = scripted(json!({"maxInputTokens": 100, "turns": [{"say": "Hello."}]})).await;
    let long = TurnRequest { messages: vec![says(&"word ".repeat(200))].into(), ..request() };
    let error = turn(&client, &long).await.0.unwrap_err();
    let TurnError::ContextExceeded { message } = error else { panic!("{error:?}") };
    assert!(message.contains("> 100 maximum"), "{message}");
    assert_eq!(model.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn refusals_and_cut_calls_are_turns_and_no_errors() {
    let (_model, client) = scripted(json!({"turns": [{"refuse": "Not this."}]})).await;
    let refused = turn(&client, &request()).await.0.unwrap();
    assert_eq!(refused.stop, StopReason::Refusal { explanation: "Not this.".to_owned() });
    assert_eq!(refused.message, Message::Assistant { blocks: Vec::new(), verbatim: json!([]) });

    let cut_call =
        json!({"stop": "max_tokens", "calls": [{"tool": "shell", "rawInput": "{\"command\": \"l"}]});
    let (_model, client) = scripted(json!({"turns": [cut_call]})).await;
    let cut = turn(&client, &request()).await.0.unwrap();
    assert_eq!(cut.stop, StopReason::MaxTokens);
    assert_eq!(calls(&cut)[0].malformed.as_deref(), Some("{\"command\": \"l"));
}

#[tokio::test]
async fn a_malformed_call_goes_back_in_a_form_the_provider_takes() {
    let (model, client) =
        scripted(json!({"turns": [{"calls": [{"tool": "shell", "rawInput": "{oops"}]}, {"say": "Sorry."}]}))
            .await;
    let mut request = request();
    let first = turn(&client, &request).await.0.unwrap();
    let content = vec![ResultPart::Text { text: "That is no JSON.".to_owned() }];
    let result = ToolResult { call: calls(&first)[0].id.clone(), outcome: ToolOutcome::Failed, content };
    Arc::make_mut(&mut request.messages).push(Arc::new(first.message));
    Arc::make_mut(&mut request.messages)
        .push(Arc::new(Message::User { content: vec![UserPart::ToolResult { result }] }));
    assert_eq!(words(&turn(&client, &request).await.0.unwrap()), "Sorry.");
    assert_eq!(model.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_model_that_refuses_trained_tools_gets_plainer_ones_and_is_remembered() {
    let refused = ["computer_toolset_20260801", "computer_20251124", "computer_20250124", "bash_20250124"];
    let (model, client) = scripted(json!({"rejectTools": refused, "turns": [{"calls": [
        {"tool": "computer", "input": {"action": "screenshot"}},
        {"tool": "shell", "input": {"command": "ls", "background": true}}]}]}))
    .await;
    let (first, told) = turn(&client, &request()).await;
    let made: Vec<Value> = calls(&first.unwrap()).into_iter().map(|call| call.input).collect();
    assert_eq!(made, [json!({"action": "screenshot"}), json!({"command": "ls", "background": true})]);
    assert!(waits(&told).is_empty(), "{told:?}");
    turn(&client, &request()).await.0.unwrap();
    let statuses: Vec<u16> = model.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [400, 400, 400, 400, 200, 200]);
    assert_eq!(model.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn trained_tools_of_each_generation_are_called_in_our_words() {
    for name in ["claude-sonnet-5-5", "claude-opus-4-8", "claude-haiku-4-5", "claude-3-haiku"] {
        let edit = json!({"action": "replace", "path": "a.txt", "old": "x", "new": "y"});
        let (model, client) = scripted(json!({"model": name, "turns": [{"calls": [
            {"tool": "shell", "input": {"command": "ls"}},
            {"tool": "shell", "input": {"command": "npm start", "background": true}},
            {"tool": "edit", "input": edit.clone()},
            {"tool": "computer", "input": {"action": "left_click", "coordinate": [3, 4]}}]}]}))
        .await;
        let request = TurnRequest { model: name.to_owned(), ..request() };
        let made: Vec<(String, Value)> = calls(&turn(&client, &request).await.0.unwrap())
            .into_iter()
            .map(|call| (call.name, call.input))
            .collect();
        let expected = [
            ("shell", json!({"command": "ls"})),
            ("shell", json!({"command": "npm start", "background": true})),
            ("edit", edit),
            ("computer", json!({"action": "left_click", "coordinate": [3, 4]})),
        ];
        assert_eq!(made, expected.map(|(name, input)| (name.to_owned(), input)), "{name}");
        assert_eq!(model.breaches(), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn requests_go_through_the_proxy_of_the_settings() {
    let mut proxy = Canned::start(vec![(stream(HELLO), Then::Close)]).await;
    let settings = ProviderSettings {
        proxy: Some(proxy.base_url()),
        ..settings("http://model.example/gateway/".to_owned(), impatient())
    };
    let answered = turn(&Provider::messages(settings).unwrap(), &request()).await.0.unwrap();
    assert_eq!(words(&answered), "Hello.");
    let seen = proxy.requests.recv().await.unwrap();
    assert!(seen.starts_with("POST http://model.example/gateway/v1/messages HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn a_model_on_this_machine_is_reached_without_the_proxy() {
    let canned = Canned::start(vec![(stream(HELLO), Then::Close)]).await;
    let settings = ProviderSettings {
        proxy: Some("http://proxy.invalid:3128".to_owned()),
        ..settings(canned.base_url(), impatient())
    };
    let answered = turn(&Provider::messages(settings).unwrap(), &request()).await.0.unwrap();
    assert_eq!(words(&answered), "Hello.");
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_key_away() {
    let mut elsewhere = Canned::start(vec![(stream(HELLO), Then::Close)]).await;
    let moved = error(307, &format!("location: {}/v1/messages\r\n", elsewhere.base_url()), "");
    let canned = Canned::start(vec![(moved, Then::Close)]).await;
    let error = turn(&client(canned.base_url()), &request()).await.0.unwrap_err();
    assert!(matches!(error, TurnError::RequestRefused { status: 307, .. }), "{error:?}");
    assert!(elsewhere.requests.try_recv().is_err());
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let refused = |base_url: &str, proxy: Option<&str>| {
        let settings = ProviderSettings {
            proxy: proxy.map(str::to_owned),
            ..settings(base_url.to_owned(), RetryPolicy::default())
        };
        Provider::messages(settings).err()
    };
    assert!(matches!(refused("api.example.com", None), Some(InvalidSettings::BaseUrl { .. })));
    assert!(matches!(refused("file:///etc/passwd", None), Some(InvalidSettings::BaseUrl { .. })));
    assert!(matches!(refused("https://api.example.com", Some("::")), Some(InvalidSettings::Proxy(_))));
    assert!(refused("https://api.example.com", Some("http://proxy.example:3128")).is_none());
}
