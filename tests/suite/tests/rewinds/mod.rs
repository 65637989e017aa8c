//! Runs that go back to a checkpoint, and back from there, and forks.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::{
    AskForChanges, CheckpointCause, CheckpointSummary, ErrorCode, Event, EventBody, ForkRun, MessageDelivery,
    PauseReason, Reconciled, RewindRun, RunId, RunState, SayToRun,
};
use nightshift_testing::host_sandbox::HostMachine;
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, ending, finish, names, shell};

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

/// The sandbox that is there.
fn machine(night: &Night, events: &[Event]) -> Arc<HostMachine> {
    let sandbox = events.iter().rev().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } | EventBody::SandboxRestored { sandbox, .. } => {
            Some(sandbox.clone())
        }
        _ => None,
    });
    night.driver.machine(&sandbox.unwrap()).unwrap()
}

/// Waits until the run's sandbox was brought back so many times.
async fn restored(night: &Night, run: &RunId, times: usize) -> Vec<Event> {
    let restored =
        |events: &[Event]| names(events).iter().filter(|name| **name == "sandboxRestored").count() == times;
    night.until(run, "the sandbox", restored).await
}

/// What is in the file of the sandbox.
fn state(night: &Night, events: &[Event]) -> String {
    std::fs::read_to_string(machine(night, events).home_folder().join("state")).unwrap().trim().to_owned()
}

async fn until_there(path: &Path) {
    let there = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(suite::WITHIN, there).await;
    waited.unwrap_or_else(|_| panic!("{} is never there", path.display()));
}

async fn fork(night: &Night, run: &RunId, checkpoint: &CheckpointSummary, text: Option<&str>) -> RunId {
    let text = text.map(str::to_owned);
    let wish = ForkRun { checkpoint: checkpoint.checkpoint.to_string(), count: 1, text };
    night.owner.api.fork(run.as_str(), wish).await.unwrap().runs.remove(0)
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

#[tokio::test(flavor = "multi_thread")]
async fn forks_know_the_commands_that_were_begun_before_them_and_begin_none_again() {
    let background = json!({"tool": "shell", "input": {"command": "echo kept", "background": true}});
    let waits = shell("echo begun >> ~/begun; until [ -e ~/go ]; do sleep 0.05; done");
    let ask = |question: &str| json!({"tool": "ask", "input": {"question": question}});
    let night = Night::with_checkpoints(json!({"turns": [
        {"calls": [background, waits]},
        {"calls": [ask("Done?")]},
        {"calls": [{"tool": "shell_output", "input": {"step": "1.1"}}]},
        {"expect": [{"lastResultContains": "kept"}], "calls": [ask("And now?")]},
    ]}))
    .await;
    let run = night.submit("Work").await;
    let both = |events: &[Event]| names(events).iter().filter(|name| **name == "stepIntended").count() == 2;
    let events = night.until(&run, "the command", both).await;
    until_there(&machine(&night, &events).home_folder().join("begun")).await;
    night.owner.api.pause(run.as_str()).await.unwrap();
    let paused = night.owner.api.save_checkpoint(run.as_str()).await.unwrap();

    // Processes of these sandboxes are not saved: what came of the command is not known, but that it was begun is.
    let first = fork(&night, &run, &paused, None).await;
    asked(&night, &first, "Done?").await;
    let events = night.events(&first).await;
    let found = |event: &Event| {
        matches!(&event.body, EventBody::StepFinished { step, reconciled: Some(Reconciled::Found), .. }
            if step.to_string() == "1.2")
    };
    assert!(events.iter().any(found), "{events:#?}");
    let begun = machine(&night, &events).home_folder().join("begun");
    assert_eq!(std::fs::read_to_string(begun).unwrap(), "begun\n");

    let saved = night.owner.api.save_checkpoint(first.as_str()).await.unwrap();
    let second = fork(&night, &first, &saved, Some("Yes.")).await;
    asked(&night, &second, "And now?").await;
    assert_exactly_once(&night.events(&second).await);
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_loses_its_sandbox_twice_after_one_checkpoint_waits_and_its_agent_is_told_of_each_loss() {
    let ask = json!({"tool": "ask", "input": {"question": "First?"}});
    let night = Night::with_checkpoints(json!({"turns": [
        {"calls": [shell("echo one > ~/state")]},
        {"calls": [ask]},
        {"calls": [shell("true")]},
        {"calls": [shell("touch ~/works; sleep 600")]},
    ]}))
    .await;
    let run = night.submit("Work").await;
    asked(&night, &run, "First?").await;
    night.owner.api.save_checkpoint(run.as_str()).await.unwrap();
    answer(&night, &run).await;
    // What was answered once is not asked again.
    let works_again = async |times: usize| {
        let events = restored(&night, &run, times).await;
        assert_eq!(state(&night, &events), "one");
        let machine = machine(&night, &events);
        until_there(&machine.home_folder().join("works")).await;
        machine
    };
    works_again(0).await.end();
    works_again(1).await.end();
    let RunState::Paused { reason: PauseReason::Trouble { error } } = night.until_paused(&run).await else {
        panic!("trouble")
    };
    assert_eq!(error.code, ErrorCode::SandboxFailed);
    assert!(error.message.starts_with("the sandbox ended again after the same checkpoint: "), "{error:?}");
    let requests = night.model.requests();
    let notice = "Note from Nightshift: your sandbox ended";
    assert!(
        requests.iter().any(|request| request.body.to_string().contains(notice)),
        "the agent was not told"
    );

    night.owner.api.continue_run(run.as_str()).await.unwrap();
    works_again(2).await;
    night.assert_no_breach();
    night.owner.api.cancel(run.as_str()).await.unwrap();
    night.until(&run, "the end", |events| names(events).contains(&"sandboxStopped")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reviewer_asked_for_is_dealt_with_although_the_sandbox_is_lost_meanwhile() {
    let outside = tempfile::tempdir().unwrap();
    let go = outside.path().join("go");
    let waits = format!(
        "touch ~/works; until test -e {}; do sleep 0.05; done; echo short > notes.txt && git commit -qam Shorter",
        go.display()
    );
    let mut end = finish("Add a note");
    end["input"]["answers"] = json!([{"name": "f1", "words": "It is shorter.", "settled": true}]);
    let asked = json!([{"lastTextContains": "Shorter, please."}]);
    let again = [json!({"expect": asked, "calls": [shell(&waits)]}), json!({"calls": [end]})];
    let turns: Vec<Value> = ending("1.1").into_iter().chain(again).collect();
    let night = Night::with_checkpoints(json!({ "turns": turns })).await;
    let run = night.submit("Add a note").await;
    night.until(&run, "a delivery", |events| names(events).contains(&"sandboxStopped")).await;
    let ask = AskForChanges { words: "Shorter, please.".to_owned(), comments: Vec::new() };
    night.owner.api.ask_for_changes(run.as_str(), ask).await.unwrap();
    let machine = machine(&night, &restored(&night, &run, 1).await);
    until_there(&machine.home_folder().join("works")).await;
    machine.end();
    std::fs::write(&go, "").unwrap();
    let delivered =
        |event: &&Event| matches!(&event.body, EventBody::StateChanged { state: RunState::InReview { .. } });
    night.until(&run, "the second delivery", |events| events.iter().filter(delivered).count() == 2).await;
    night.assert_no_breach();
    let remarks = night.owner.api.pull_request(run.as_str()).await.unwrap().remarks;
    let answers: Vec<_> = remarks.iter().map(|remark| remark.answer.as_deref()).collect();
    assert_eq!(answers, [Some("It is shorter.")]);
}
