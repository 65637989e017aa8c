//! What goes wrong on the wire: the run goes on or pauses with the reason, and nothing is done twice.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{ErrorCode, EventBody, PauseReason, RunState, Usage};
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, names, screenshot, script, shell};

/// A turn that would leave a trace if it were carried out twice.
fn marked(turn: u32) -> Value {
    json!({"say": "One more line.", "calls": [shell(&format!("echo {turn} >> trace"))]})
}

fn with_fault(turn: u32, fault: &Value) -> Value {
    let mut faulty = marked(turn);
    faulty["fault"] = fault.clone();
    faulty
}

/// Plays turns with these faults and returns how often the model was retried. The trace has each line once.
async fn survive(faults: &[Value]) -> usize {
    let mut turns: Vec<Value> = (1..).zip(faults).map(|(turn, fault)| with_fault(turn, fault)).collect();
    turns.push(json!({"calls": [shell("sort trace | uniq -d; wc -l < trace; rm trace")]}));
    let looked = format!("{}.1", faults.len() + 1);
    let expected = format!("{}\n\n(exit status 0)", faults.len());
    let mut whole = script(turns, &looked);
    whole["turns"][faults.len() + 1]["expect"] = json!([]);
    let night = Night::begin(whole).await;
    let run = night.submit("Work").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let output = events.iter().find_map(|event| match &event.body {
        EventBody::StepFinished { step, content, .. } if step.to_string() == looked => Some(content.clone()),
        _ => None,
    });
    let output = serde_json::to_value(output).unwrap()[0]["text"].as_str().unwrap().trim().to_owned();
    assert_eq!(output, expected, "each line is there once");
    names(&events).iter().filter(|name| **name == "turnRetried").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_and_errors_of_the_provider_are_waited_out() {
    let faults = [
        json!({"status": 429, "retryAfter": "0.05"}),
        json!({"status": 429}),
        json!({"status": 500, "times": 2}),
        json!({"status": 529, "times": 3}),
        json!({"errorAfterEvents": 3}),
    ];
    assert_eq!(survive(&faults).await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_behind_any_of_its_events_is_asked_for_again() {
    // Message start, each event of a text block and of a tool call's block, message delta: all kinds there are.
    let faults: Vec<Value> = (0..12).map(|count| json!({"cutAfterEvents": count})).collect();
    assert!(survive(&faults).await >= 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_stalls_is_given_up_and_one_that_drips_is_waited_for() {
    assert_eq!(survive(&[json!({"stallAfterEvents": 2}), json!({"dripMs": 60})]).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn input_that_is_no_json_a_tool_that_is_none_and_a_click_outside_are_answered_so_that_the_model_can_mend_them()
 {
    let outside = json!({"tool": "computer", "input": {"action": "left_click", "coordinate": [5000, 10]}});
    let turns = vec![
        json!({"calls": [{"tool": "shell", "rawInput": "{\"command\": \"echo"}]}),
        json!({"expect": [{"lastResultIsError": true}], "calls": [{"tool": "teleport", "unoffered": true}]}),
        json!({"expect": [{"lastResultIsError": true}, {"lastResultContains": "teleport"}], "calls": [outside]}),
        json!({"expect": [{"lastResultIsError": true}, {"lastResultHasImage": false}], "calls": [screenshot()]}),
    ];
    let night = Night::begin(script(turns, "4.1")).await;
    let run = night.submit("Work").await;
    assert_exactly_once(&night.until_in_review(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_pauses_with_the_model_s_reason() {
    let night = Night::begin(json!({"turns": [{"refuse": "This looks like an attack."}]})).await;
    let run = night.submit("Work").await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.until_paused(&run).await else {
        panic!("trouble")
    };
    assert_eq!(error.code, ErrorCode::ModelRefused);
    assert_eq!(error.message, "The model declined to go on: This looks like an attack.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_stays_down_pauses_the_run_and_continuing_makes_the_same_call() {
    let mut turns = vec![with_fault(1, &json!({"status": 500, "times": 4}))];
    turns.push(json!({"calls": [screenshot(), shell("rm trace")]}));
    let night = Night::begin(script(turns, "2.1")).await;
    let run = night.submit("Work").await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.until_paused(&run).await else {
        panic!("trouble")
    };
    assert_eq!(error.code, ErrorCode::ModelUnavailable);
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    assert_exactly_once(&night.until_in_review(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_used_that_was_given_up_counts_on_the_task() {
    let mut turns = vec![with_fault(1, &json!({"cutAfterEvents": 2, "times": 4}))];
    turns.push(json!({"calls": [screenshot(), shell("rm trace")]}));
    let night = Night::begin(script(turns, "2.1")).await;
    let run = night.submit("Work").await;
    night.until_paused(&run).await;
    let given_up = night.owner.api.run(run.as_str()).await.unwrap().summary.usage;
    assert!(given_up.cost_microdollars > 0, "{given_up:?}");
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(names(&events).iter().filter(|name| **name == "turnLost").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cut_tries_of_a_call_used_counts_with_its_tokens_beside_the_answer() {
    let mut turns = vec![with_fault(1, &json!({"cutAfterEvents": 2, "times": 2}))];
    turns.push(json!({"calls": [screenshot(), shell("rm trace")]}));
    let night = Night::begin(script(turns, "2.1")).await;
    let run = night.submit("Work").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(names(&events).iter().filter(|name| **name == "turnLost").count(), 1);
    let used = events.iter().filter_map(|event| match &event.body {
        EventBody::TurnLost { usage, .. } | EventBody::TurnFinished { usage, .. } => Some(*usage),
        _ => None,
    });
    let used: Vec<Usage> = used.collect();
    let lost = used[0];
    assert!(lost.input_tokens + lost.cache_write_tokens > 0 && lost.cost_microdollars > 0, "{lost:?}");
    let mut all = Usage::default();
    used.iter().for_each(|usage| all += *usage);
    assert_eq!(night.owner.api.summary(run.as_str()).await.unwrap().usage, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_the_provider_finds_too_long_is_summed_up_and_the_run_goes_on() {
    let print =
        |turn: u32| json!({"calls": [shell(&format!("head -c 15000 /dev/zero | tr '\\0' {turn}; echo"))]});
    let mut turns: Vec<Value> = (1..=9).map(print).collect();
    turns.push(json!({"calls": [screenshot()]}));
    let mut whole = script(turns, "10.1");
    // Fewer than the client believes the window to have.
    whole["maxInputTokens"] = json!(30_000);
    whole["asides"] =
        json!([{"lastTextContains": "will be replaced by a summary", "say": "I printed digits."}]);
    let night = Night::begin(whole).await;
    let run = night.submit("Work").await;
    let events = night
        .until(&run, "an end", |events| {
            names(events).contains(&"pullRequestOpened")
                || matches!(
                    events.last().unwrap().body,
                    EventBody::StateChanged { state: RunState::Paused { .. } }
                )
        })
        .await;
    assert!(names(&events).contains(&"compacted"));
    night.until_in_review(&run).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_cut_in_the_middle_of_a_command_costs_nothing_but_the_attachment() {
    let turns = vec![json!({"calls": [shell("echo 1 >> trace; sleep 1.5; cat trace; rm trace")]})];
    let mut whole = script(turns, "1.1");
    whole["turns"][1]["expect"] = json!([{"lastResultContains": "1\n\n(exit status 0)"}]);
    let night = Night::begin(whole).await;
    let run = night.submit("Work").await;
    let events = night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    let sandbox = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    night.driver.machine(&sandbox.unwrap()).unwrap().cut_channel();
    assert_exactly_once(&night.until_in_review(&run).await);
}

/// A run whose command waits for a file, and the machine it works in.
async fn working(
    night: &Night,
) -> (nightshift_protocol::RunId, std::sync::Arc<nightshift_testing::host_sandbox::HostMachine>) {
    let run = night.submit("Work").await;
    let events = night.until(&run, "a step", |events| names(events).contains(&"stepIntended")).await;
    let sandbox = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    (run, night.driver.machine(&sandbox.unwrap()).unwrap())
}

fn waits_for_a_file() -> Value {
    let wait = json!({"calls": [shell("until [ -e ~/go ]; do sleep 0.05; done; echo gone >> trace; wc -l < trace; rm trace")]});
    let mut whole = script(vec![wait], "1.1");
    whole["turns"][1]["expect"] = json!([]);
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_a_sandbox_pauses_its_run_with_the_folder_and_it_goes_on_by_itself_when_there_is_room()
 {
    let night = Night::begin(waits_for_a_file()).await;
    let (run, machine) = working(&night).await;
    // The host's disk has room again when it is looked at next.
    machine.stall(Some(3));
    let state = night.until_paused(&run).await;
    let RunState::Paused { reason: PauseReason::Trouble { error } } = state else { panic!("{state:?}") };
    assert_eq!(error.code, ErrorCode::DiskFull);
    let folder = machine.home_folder().parent().unwrap().display().to_string();
    assert!(error.message.contains(&folder) && error.message.contains("3 MiB are free"), "{error:?}");
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    let events = night.until_in_review(&run).await;
    assert!(!machine.is_stalled());
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_whose_room_cannot_be_measured_waits_for_a_person_who_lets_the_run_go_on() {
    let night = Night::begin(waits_for_a_file()).await;
    let (run, machine) = working(&night).await;
    machine.stall(None);
    night.until_paused(&run).await;
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    assert!(machine.is_stalled(), "nothing lets it go on by itself");
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert!(!machine.is_stalled());
    assert_exactly_once(&events);
}
