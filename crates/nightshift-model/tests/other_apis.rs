//! Whole turns over OpenAI's two APIs, with a server that is strict and at times unwell.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

#[expect(dead_code, reason = "the tests of the Messages API use the rest of it")]
mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nightshift_model::{
    ChatSettings, Model, Progress, Provider, Providers, RetryPolicy, SafetyChecks, Turn, TurnError,
    TurnRequest, probe,
};
use nightshift_protocol::{
    AssistantBlock, ErrorCode, Image, Message, ResultPart, StopReason, ToolCall, ToolOutcome, ToolResult,
    Usage, UserPart,
};
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::{Value, json};

use wire::{Canned, Then, impatient, says, settings, stream, turn};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Api {
    Responses,
    Chat,
}

const BOTH: [Api; 2] = [Api::Responses, Api::Chat];

impl Api {
    fn client(self, url: String, retry: RetryPolicy) -> Provider {
        match self {
            Self::Responses => Provider::responses(settings(url, retry), SafetyChecks::Acknowledge).unwrap(),
            Self::Chat => Provider::chat(settings(url, retry), ChatSettings::default()).unwrap(),
        }
    }
}

async fn scripted(api: Api, mut script: Value) -> (ScriptedModel, Provider) {
    script["model"] = json!(["gpt-6.1-sol", "gpt-5.4"]);
    let model = ScriptedModel::start(Script::from_value(script).unwrap()).await;
    let client = api.client(model.openai_url(), impatient());
    (model, client)
}

fn request() -> TurnRequest {
    TurnRequest { model: "gpt-6.1-sol".to_owned(), ..wire::request() }
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

fn picture() -> ResultPart {
    let artifact = "ab".repeat(32).parse().unwrap();
    ResultPart::Image {
        image: Image { artifact, media_type: "image/png".to_owned(), width: 1, height: 1, bytes: 5 },
    }
}

fn text(text: &str) -> ResultPart {
    ResultPart::Text { text: text.to_owned() }
}

fn results(calls: &[ToolCall], content: impl Fn(&ToolCall) -> Vec<ResultPart>) -> Arc<Message> {
    let result = |call: &ToolCall| UserPart::ToolResult {
        result: ToolResult { call: call.id.clone(), outcome: ToolOutcome::Done, content: content(call) },
    };
    let mut parts: Vec<UserPart> = calls.iter().map(result).collect();
    parts.push(UserPart::Text { text: "Hurry up.".to_owned() });
    Arc::new(Message::User { content: parts })
}

#[tokio::test]
async fn a_strict_server_takes_a_whole_conversation_with_reasoning_batches_and_pictures() {
    for api in BOTH {
        let (model, client) = scripted(
            api,
            json!({"turns": [
                {"thinking": "Look around.", "say": "I look.", "calls": [
                    {"tool": "shell", "input": {"command": "ls"}},
                    {"tool": "computer", "input": {"action": "left_click", "coordinate": [3, 4]}},
                    {"tool": "computer", "input": {"action": "key", "text": "ctrl+l"}}]},
                {"thinking": "Go on.", "calls": [{"tool": "edit", "input": {"action": "view", "path": "a"}}],
                    "expect": [{"lastTextContains": "Hurry"}]},
                {"say": "Done.", "expect": [{"lastResultContains": "built"}]},
            ]}),
        )
        .await;
        let mut request = request();
        let first = turn(&client, &request).await.0.unwrap();
        assert_eq!((first.stop.clone(), words(&first).as_str()), (StopReason::ToolUse, "I look."), "{api:?}");
        let batch = calls(&first);
        let inputs: Vec<Value> = batch.iter().skip(1).map(|call| call.input.clone()).collect();
        let mut expected = vec![
            json!({"action": "left_click", "coordinate": [3, 4]}),
            json!({"action": "key", "text": "ctrl+l"}),
        ];
        if api == Api::Responses {
            // The picture that the one answer to both actions needs.
            expected.push(json!({"action": "screenshot"}));
        }
        assert_eq!(inputs, expected);
        Arc::make_mut(&mut request.messages).push(Arc::new(first.message));
        Arc::make_mut(&mut request.messages).push(results(&batch, |call| match call.name.as_str() {
            "computer" => vec![text("[step 1.2]"), picture()],
            _ => vec![text("README.md"), text("")],
        }));
        let second = turn(&client, &request).await.0;
        let second = match second {
            Ok(second) => second,
            Err(error) => panic!("{api:?}: {error:?} {:?}", model.breaches()),
        };
        let asked = calls(&second);
        Arc::make_mut(&mut request.messages).push(Arc::new(second.message));
        Arc::make_mut(&mut request.messages).push(results(&asked, |_| vec![text("built")]));
        let third = turn(&client, &request).await.0.unwrap();
        assert_eq!((words(&third).as_str(), third.stop), ("Done.", StopReason::EndTurn));
        assert!(third.usage.input_tokens + third.usage.cache_read_tokens > 0, "{:?}", third.usage);
        assert_eq!(model.breaches(), Vec::<String>::new(), "{api:?}");
    }
}

#[tokio::test]
async fn each_fault_on_the_wire_is_sat_out_or_named() {
    for api in BOTH {
        for status in [408, 429, 500, 502, 503, 529] {
            let (model, client) =
                scripted(api, json!({"turns": [{"say": "Hello.", "fault": {"status": status, "times": 2}}]}))
                    .await;
            assert_eq!(words(&turn(&client, &request()).await.0.unwrap()), "Hello.", "{api:?} {status}");
            assert_eq!(model.requests().len(), 3);
        }
        for (status, code) in [
            (400, ErrorCode::ModelRefused),
            (401, ErrorCode::WrongKey),
            (402, ErrorCode::ModelRefused),
            (403, ErrorCode::ModelRefused),
        ] {
            let (model, client) = scripted(api, json!({"turns": [{"fault": {"status": status}}]})).await;
            assert_eq!(turn(&client, &request()).await.0.unwrap_err().user_error().code, code, "{status}");
            assert_eq!(model.requests().len(), 1);
        }
    }
}

#[tokio::test]
async fn the_server_says_when_to_come_back() {
    for api in BOTH {
        let fault = json!({"turns": [{"say": "Hello.", "fault": {"status": 429, "retryAfter": "0.02"}}]});
        let (_model, client) = scripted(api, fault).await;
        let (answered, told) = turn(&client, &request()).await;
        assert!(answered.is_ok());
        let waits = told.iter().filter(|progress| {
            matches!(progress, Progress::Retrying { wait, .. } if *wait == Duration::from_millis(20))
        });
        assert_eq!(waits.count(), 1);
    }
}

#[tokio::test]
async fn an_answer_cut_at_any_event_is_asked_for_again_and_is_the_same() {
    for api in BOTH {
        let turns = |fault: Value| {
            json!({"turns": [{"thinking": "Look.", "say": "I look around here.", "fault": fault,
                "calls": [{"tool": "shell", "input": {"command": "ls"}}]}]})
        };
        let (_model, client) = scripted(api, turns(Value::Null)).await;
        let whole = turn(&client, &request()).await.0.unwrap();
        for kind in ["cutAfterEvents", "errorAfterEvents"] {
            for events in 0..5 {
                let (model, client) = scripted(api, turns(json!({kind: events}))).await;
                let again = turn(&client, &request()).await.0.unwrap();
                // Usage comes with the end of an answer: what a cut one used is estimated.
                let is_cut = kind == "cutAfterEvents";
                let Usage { input_tokens, output_tokens, cost_microdollars, .. } = again.lost;
                let is_priced = is_cut && api == Api::Responses;
                let paid = (input_tokens > 0, cost_microdollars > 0);
                assert_eq!(paid, (is_cut, is_priced), "{api:?} {kind} {events}");
                assert!(output_tokens <= 1_000, "{output_tokens}: no more than the request allows");
                assert_eq!(Turn { lost: whole.lost, ..again }, whole, "{api:?} {kind} {events}");
                assert_eq!(model.requests().len(), 2);
                assert_eq!(model.breaches(), Vec::<String>::new());
            }
        }
    }
}

#[tokio::test]
async fn a_conversation_goes_on_after_an_answer_that_ended_while_its_model_thought() {
    for api in BOTH {
        let script = json!({"turns": [{"thinking": "Hm.", "stop": "max_tokens"}, {"say": "Done."}]});
        let (model, client) = scripted(api, script).await;
        let mut request = request();
        let cut = turn(&client, &request).await.0.unwrap();
        assert_eq!(cut.stop, StopReason::MaxTokens, "{api:?}");
        let messages = Arc::make_mut(&mut request.messages);
        messages.push(Arc::new(cut.message));
        messages.push(says("Go on."));
        assert_eq!(words(&turn(&client, &request).await.0.unwrap()), "Done.", "{api:?}");
        assert_eq!(model.breaches(), Vec::<String>::new(), "{api:?}");
    }
}

#[tokio::test]
async fn a_turn_that_nobody_waits_for_any_more_tells_what_it_can_have_used() {
    for api in BOTH {
        let mut begun = Canned::start(vec![(stream(": begun\n\n"), Then::Hold)]).await;
        let client = api.client(begun.base_url(), impatient());
        let told = Mutex::new(Vec::new());
        let (request, note) = (request(), |progress| told.lock().unwrap().push(progress));
        tokio::select! {
            turn = client.turn(&request, &wire::Pictures, &note) => panic!("{turn:?}"),
            _sent = begun.requests.recv() => {}
        }
        let told = told.into_inner().unwrap();
        let [Progress::Used(used)] = &told[..] else { panic!("{api:?} {told:?}") };
        assert!(used.input_tokens > 0, "{api:?} {used:?}");
    }
}

#[tokio::test]
async fn a_try_of_which_the_provider_says_that_it_failed_costs_nothing() {
    for api in BOTH {
        let (model, client) =
            scripted(api, json!({"turns": [{"say": "Hello.", "fault": {"status": 529, "times": 2}}]})).await;
        let answered = turn(&client, &request()).await.0.unwrap();
        assert_eq!((answered.lost, model.requests().len()), (Usage::default(), 3), "{api:?}");
    }
}

#[tokio::test]
async fn silence_and_a_drip_without_end_are_ended() {
    for api in BOTH {
        let patience = RetryPolicy { silence: Duration::from_millis(60), ..impatient() };
        let script =
            json!({"model": "gpt-6.1-sol", "turns": [{"say": "Hello.", "fault": {"stallAfterEvents": 2}}]});
        let once = ScriptedModel::start(Script::from_value(script).unwrap()).await;
        let client = api.client(once.openai_url(), patience);
        assert_eq!(words(&turn(&client, &request()).await.0.unwrap()), "Hello.");
        let drip = Canned::start(vec![(stream(""), Then::Ping)]).await;
        let patience = RetryPolicy { total: Duration::from_millis(80), ..impatient() };
        let client = api.client(drip.base_url(), patience);
        let error = turn(&client, &request()).await.0.unwrap_err();
        // Anthropic's ping means nothing here; what counts is that the turn ends.
        assert!(
            matches!(error, TurnError::TookTooLong { .. }) || matches!(error, TurnError::InvalidAnswer(_)),
            "{api:?} {error:?}"
        );
    }
}

#[tokio::test]
async fn bad_json_a_full_window_a_refusal_and_a_cut_call_have_each_its_name() {
    for api in BOTH {
        let garbled = Canned::start(vec![(stream("data: {oops\n\n"), Then::Close)]).await;
        let error = turn(&api.client(garbled.base_url(), impatient()), &request()).await.0.unwrap_err();
        assert!(matches!(error, TurnError::InvalidAnswer(_)), "{error:?}");

        let (_model, client) =
            scripted(api, json!({"maxInputTokens": 100, "turns": [{"say": "Hello."}]})).await;
        let long = TurnRequest { messages: vec![says(&"word ".repeat(200))].into(), ..request() };
        let error = turn(&client, &long).await.0.unwrap_err();
        assert!(matches!(error, TurnError::ContextExceeded { .. }), "{api:?} {error:?}");

        let (_model, client) = scripted(api, json!({"turns": [{"refuse": "Not this."}]})).await;
        let refused = turn(&client, &request()).await.0.unwrap();
        assert_eq!(refused.stop, StopReason::Refusal { explanation: "Not this.".to_owned() }, "{api:?}");

        let cut =
            json!({"stop": "max_tokens", "calls": [{"tool": "shell", "rawInput": "{\"command\": \"l"}]});
        let (_model, client) = scripted(api, json!({"turns": [cut]})).await;
        let cut = turn(&client, &request()).await.0.unwrap();
        assert_eq!(cut.stop, StopReason::MaxTokens);
        assert_eq!(calls(&cut)[0].malformed.as_deref(), Some("{\"command\": \"l"));
    }
}

#[tokio::test]
async fn a_malformed_call_goes_back_in_a_form_the_server_takes() {
    for api in BOTH {
        let script =
            json!({"turns": [{"calls": [{"tool": "shell", "rawInput": "{oops"}]}, {"say": "Sorry."}]});
        let (model, client) = scripted(api, script).await;
        let mut request = request();
        let first = turn(&client, &request).await.0.unwrap();
        let made = calls(&first);
        Arc::make_mut(&mut request.messages).push(Arc::new(first.message));
        Arc::make_mut(&mut request.messages).push(results(&made, |_| vec![text("That is no JSON.")]));
        assert_eq!(words(&turn(&client, &request).await.0.unwrap()), "Sorry.", "{api:?}");
        assert_eq!(model.breaches(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_server_that_reads_no_pictures_is_told_in_words_and_remembered() {
    let (model, client) =
        scripted(Api::Chat, json!({"rejectImages": true, "turns": [{"say": "Hello."}]})).await;
    let image = match picture() {
        ResultPart::Image { image } => image,
        ResultPart::Text { .. } => panic!("a picture is a picture"),
    };
    let seen = Arc::new(Message::User { content: vec![UserPart::Image { image }] });
    let request = TurnRequest { messages: vec![seen].into(), ..request() };
    for _ in 0..2 {
        assert_eq!(words(&turn(&client, &request).await.0.unwrap()), "Hello.");
    }
    let statuses: Vec<u16> = model.requests().iter().map(|request| request.status).collect();
    assert_eq!(statuses, [500, 200, 200]);
}

#[tokio::test]
async fn safety_checks_can_be_left_to_a_person() {
    let script = json!({"model": "gpt-6.1-sol", "turns": [
        {"calls": [{"tool": "computer", "input": {"action": "screenshot"}}]}]});
    let model = ScriptedModel::start(Script::from_value(script).unwrap()).await;
    let client =
        Provider::responses(settings(model.openai_url(), impatient()), SafetyChecks::Refuse).unwrap();
    let refused = turn(&client, &request()).await.0.unwrap();
    let why = "it wants a person to confirm: The page is not of the task.";
    let StopReason::Refusal { explanation } = refused.stop else { panic!("a refusal") };
    assert!(explanation.starts_with(why) && explanation.contains("safety_checks"), "{explanation}");
}

#[tokio::test]
async fn models_are_listed_checked_and_found_by_their_provider_s_name() {
    let (model, client) = scripted(Api::Chat, json!({})).await;
    let mut providers = Providers::default();
    providers.add("here", client);
    providers.add("openai", Api::Responses.client(model.openai_url(), impatient()));
    providers.add_without_key("anthropic", "ANTHROPIC_API_KEY");
    let listed = providers.models().await.unwrap();
    let names: Vec<&str> = listed.models.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(names, ["here/gpt-6.1-sol", "here/gpt-5.4", "openai/gpt-6.1-sol", "openai/gpt-5.4"]);
    assert!(
        matches!(listed.troubles.as_slice(), [(name, TurnError::MissingKey { .. })] if name == "anthropic")
    );
    assert_eq!(providers.check("gpt-5.4").await.unwrap().id, "gpt-5.4");
    assert_eq!(providers.check("here/gpt-5.4").await.unwrap().price, None);
    assert!(providers.price("gpt-5.4").is_some());
    let error = providers.check("here/gpt-7").await.unwrap_err();
    assert!(matches!(error, TurnError::UnknownModel { known, .. } if known.len() == 2));
    let error = providers.check("claude-opus-5-5").await.unwrap_err().user_error();
    assert_eq!((error.code, error.hint.contains("ANTHROPIC_API_KEY")), (ErrorCode::MissingKey, true));
    let error = providers.check("mistral/large").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no provider \"mistral\"");
}

#[tokio::test]
async fn one_call_tells_what_works_with_a_model() {
    let call =
        |colour: &str| json!({"turns": [{"calls": [{"tool": "name_colour", "input": {"colour": colour}}]}]});
    for api in BOTH {
        let (_model, client) = scripted(api, call("purple")).await;
        let good = probe(&client, "gpt-6.1-sol").await.unwrap();
        assert!(good.streams && good.calls_tools && good.reads_images, "{good:?}");
        let (_model, client) = scripted(api, call("green")).await;
        let blind = probe(&client, "gpt-6.1-sol").await.unwrap();
        assert!(blind.calls_tools && !blind.reads_images, "{blind:?}");
        let (_model, client) = scripted(api, json!({"turns": [{"say": "It is purple."}]})).await;
        let chatty = probe(&client, "gpt-6.1-sol").await.unwrap();
        assert!(!chatty.calls_tools && chatty.reads_images, "{chatty:?}");
    }
}
