//! Runs that go back to a checkpoint, and back from there.

use nightshift_protocol::{
    CheckpointCause, CheckpointSummary, Event, EventBody, MessageDelivery, RewindRun, RunId, RunState,
    SayToRun,
};
use serde_json::{Value, json};
use suite::{Night, shell};

fn script() -> Value {
    let ask = |question: &str| json!({"calls": [{"tool": "ask", "input": {"question": question}}]});
    json!({"turns": [
        {"calls": [shell("echo one > ~/state")]},
        ask("First?"),
        {"calls": [shell("echo two > ~/state")]},
        ask("Second?"),
        {"calls": [shell("cat ~/state")]},
        ask("Third?"),
    ]})
}

async fn asked(night: &Night, run: &RunId, wanted: &str) {
    let asks = |state: &RunState| matches!(state, RunState::Waiting { question, .. } if question == wanted);
    night.until_state(run, wanted, asks).await;
}

async fn answer(night: &Night, run: &RunId) {
    let words = SayToRun { text: "Yes.".to_owned(), delivery: MessageDelivery::default() };
    night.owner.api.say(run.as_str(), words).await.unwrap();
}

async fn go_back(night: &Night, run: &RunId, checkpoint: &CheckpointSummary, discard: bool) {
    let wish = RewindRun { checkpoint: checkpoint.checkpoint.to_string(), discard };
    night.owner.api.rewind(run.as_str(), &wish).await.unwrap();
}

/// What is in the file of the sandbox.
fn state(night: &Night, events: &[Event]) -> String {
    let sandbox = events.iter().rev().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } | EventBody::SandboxRestored { sandbox, .. } => {
            Some(sandbox.clone())
        }
        _ => None,
    });
    let machine = night.driver.machine(&sandbox.unwrap()).unwrap();
    std::fs::read_to_string(machine.home_folder().join("state")).unwrap().trim().to_owned()
}

/// A run that asks its second question, and the checkpoint of when it asked its first.
async fn at_the_second_question() -> (Night, RunId, CheckpointSummary) {
    let night = Night::with_checkpoints(script()).await;
    let run = night.submit("Work").await;
    asked(&night, &run, "First?").await;
    let first = night.owner.api.save_checkpoint(run.as_str()).await.unwrap();
    answer(&night, &run).await;
    asked(&night, &run, "Second?").await;
    (night, run, first)
}

async fn checkpoints(night: &Night, run: &RunId) -> Vec<CheckpointSummary> {
    night.owner.api.checkpoints(run.as_str()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_went_back_can_be_taken_to_where_it_was_and_its_work_is_there() {
    let (night, run, first) = at_the_second_question().await;
    assert_eq!(state(&night, &night.events(&run).await), "two");

    go_back(&night, &run, &first, false).await;
    asked(&night, &run, "First?").await;
    assert_eq!(state(&night, &night.events(&run).await), "one");
    let list = checkpoints(&night, &run).await;
    let before = list.iter().find(|one| one.cause == CheckpointCause::BeforeRewind).expect("it was saved");

    go_back(&night, &run, before, false).await;
    asked(&night, &run, "Second?").await;
    assert_eq!(state(&night, &night.events(&run).await), "two");
    // At the first question nothing had been done since the checkpoint that it came back to: that was enough.
    assert_eq!(checkpoints(&night, &run).await.len(), 2);
    answer(&night, &run).await;
    asked(&night, &run, "Third?").await;
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_so_gives_up_what_the_run_is_at() {
    let (night, run, first) = at_the_second_question().await;
    go_back(&night, &run, &first, true).await;
    asked(&night, &run, "First?").await;
    assert_eq!(checkpoints(&night, &run).await, [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_work_cannot_be_saved_stays_where_it_is_and_says_why() {
    let (night, run, first) = at_the_second_question().await;
    night.driver.refuse_checkpoints("the disk is full");
    let wish = RewindRun { checkpoint: first.checkpoint.to_string(), discard: false };
    let error = night.owner.api.rewind(run.as_str(), &wish).await.unwrap_err();
    assert!(
        error.message.contains("could not be saved") && error.message.contains("the disk is full"),
        "{error:?}"
    );
    assert!(error.hint.contains("--discard"), "{error:?}");
    asked(&night, &run, "Second?").await;
    assert_eq!(state(&night, &night.events(&run).await), "two");
    go_back(&night, &run, &first, true).await;
    asked(&night, &run, "First?").await;
}
