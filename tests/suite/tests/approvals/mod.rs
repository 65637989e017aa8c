//! Commands that need a yes: nothing is run before it, and what was allowed is run once.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{
    ApprovalDecision, ApprovalPolicy, DecideApproval, ErrorCode, EventBody, MessageDelivery, RunId, RunState,
    RunSummary, SayToRun, StepId, SubmitTask, UserError,
};
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, evidence, finish, names, shell, task};

const COMMIT: &str = "echo more >> notes.txt && git commit -qam 'Add a note' && echo committed";

/// A script whose first turn runs `risky`, and whose second expects `then` before it does the work.
fn script(risky: &str, then: &Value) -> Value {
    json!({"turns": [
        {"calls": [shell(risky)]},
        {"expect": then, "calls": [shell(COMMIT), evidence("It is there.", "2.1")]},
        {"calls": [finish("Add a note")]},
    ]})
}

async fn submit(night: &Night) -> RunId {
    let policy = Some(ApprovalPolicy::Risky);
    let request = SubmitTask { approval: policy, ..task("Add a note", &night.repository()) };
    night.owner.api.submit_task(request).await.unwrap().run
}

async fn until_asked(night: &Night, run: &RunId) -> StepId {
    let asks = |state: &RunState| matches!(state, RunState::Waiting { approval: Some(_), .. });
    match night.until_state(run, "a question", asks).await {
        RunState::Waiting { approval: Some(step), .. } => step,
        other => panic!("{other:?}"),
    }
}

async fn decide(
    night: &Night,
    run: &RunId,
    step: Option<StepId>,
    decision: ApprovalDecision,
) -> Result<RunSummary, UserError> {
    night.owner.api.decide(run.as_str(), DecideApproval { step, decision }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_a_person_does_not_allow_is_not_run_and_the_agent_is_told_why() {
    let then = json!([{"lastResultIsError": true}, {"lastResultContains": "Leave pushing to me"}]);
    let looks = json!({"expect": then, "calls": [shell("ls -d ../touched || echo untouched")]});
    let mut script = script(
        "touch ../touched; git push -q ../nowhere HEAD",
        &json!([{"lastResultContains": "untouched"}]),
    );
    let turns = script["turns"].as_array_mut().unwrap();
    turns.insert(1, looks);
    turns[2]["calls"][1] = evidence("It is there.", "3.1");
    let night = Night::begin(script).await;
    let run = submit(&night).await;
    let step = until_asked(&night, &run).await;
    let no = ApprovalDecision::Denied { words: "Leave pushing to me".to_owned() };
    decide(&night, &run, Some(step), no).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_allowed_is_run_once_however_often_the_owner_ends() {
    let risky =
        "echo ran >> ../ran; git push -q ../nowhere HEAD; sleep 1; echo \"ran $(wc -l < ../ran) time\"";
    let mut night = Night::begin(script(risky, &json!([{"lastResultContains": "ran 1 time"}]))).await;
    let run = submit(&night).await;
    let step = until_asked(&night, &run).await;
    night.owner_restarts().await;
    assert_eq!(until_asked(&night, &run).await, step);
    assert!(!names(&night.events(&run).await).contains(&"stepIntended"), "it was begun without a yes");
    decide(&night, &run, Some(step), ApprovalDecision::Approved).await.unwrap();
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    night.owner_restarts().await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let decided =
        |event: &&nightshift_protocol::Event| matches!(event.body, EventBody::ApprovalDecided { .. });
    assert_eq!(events.iter().filter(decided).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_no_yes_and_a_yes_to_another_step_is_refused() {
    let then = json!([{"lastTextContains": "Use the mirror."}]);
    let night = Night::begin(script("git push -q ../nowhere HEAD", &then)).await;
    let run = submit(&night).await;
    let step = until_asked(&night, &run).await;
    let words = SayToRun { text: "Use the mirror.".to_owned(), delivery: MessageDelivery::Steer };
    let said = night.owner.api.say(run.as_str(), words).await.unwrap();
    assert!(matches!(said.state, RunState::Waiting { approval: Some(still), .. } if still == step));
    let other = Some(StepId { turn: 9, call: 9 });
    let refused = decide(&night, &run, other, ApprovalDecision::Approved).await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (ErrorCode::Conflict, "the run waits with step 1.1 and not with step 9.9")
    );
    decide(&night, &run, None, ApprovalDecision::Approved).await.unwrap();
    night.until_in_review(&run).await;
    let late = decide(&night, &run, None, ApprovalDecision::Approved).await.unwrap_err();
    assert_eq!(late.message, "no command waits for a yes: the run is in review");
}
