//! Sandboxes that write more than the disk of the host, or one sandbox, can take.

use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::{
    BorrowSandbox, ErrorCode, Event, EventBody, MessageDelivery, PauseReason, RunCommand, RunId, RunState,
    SayToRun, UserError,
};
use nightshift_sandbox::Hold;
use nightshift_testing::host_sandbox::HostMachine;
use serde_json::{Value, json};
use suite::{Night, WITHIN, assert_exactly_once, names, script, shell};

/// A run whose command waits for a file.
fn waits() -> Value {
    let wait = json!({"calls": [shell("until [ -e ~/go ]; do sleep 0.05; done; echo gone >> trace; wc -l < trace; rm trace")]});
    let mut whole = script(vec![wait], "1.1");
    whole["turns"][1]["expect"] = json!([]);
    whole
}

fn machine_of(night: &Night, events: &[Event]) -> Arc<HostMachine> {
    let ready = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    night.driver.machine(&ready.unwrap()).unwrap()
}

/// A run that works, and its machine.
async fn working(night: &Night) -> (RunId, Arc<HostMachine>) {
    let run = night.submit("Work").await;
    let events = night.until(&run, "a step", |events| names(events).contains(&"stepIntended")).await;
    (run, machine_of(night, &events))
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let waited = async {
        while !is() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WITHIN, waited).await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}

async fn paused(night: &Night, run: &RunId) -> UserError {
    match night.until_paused(run).await {
        RunState::Paused { reason: PauseReason::Trouble { error } } => error,
        state => panic!("{state:?}"),
    }
}

/// Lets the disk be looked at some times.
async fn looks() {
    tokio::time::sleep(Duration::from_millis(2_300)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_fills_the_disk_pauses_its_run_alone_and_goes_on_by_itself_when_there_is_room() {
    let night = Night::with_disk(waits(), 1_400).await;
    let (greedy, machine) = working(&night).await;
    let (neighbour, beside) = working(&night).await;
    looks().await;
    // A little, also for one that was watched for no longer than a second.
    beside.has_written(4 << 20);
    machine.has_written(9 << 30);
    let error = paused(&night, &greedy).await;
    assert_eq!(error.code, ErrorCode::DiskFull);
    let said = "it wrote 9.0 GiB; the disk of the host has 1.4 GiB left";
    assert!(error.message.contains(said), "{error:?}");
    assert!(machine.held().is_some());

    // The other works on, to its end.
    std::fs::write(beside.home_folder().join("go"), "").unwrap();
    assert_exactly_once(&night.until_in_review(&neighbour).await);
    assert_eq!(beside.held(), None);
    assert!(machine.held().is_some(), "there is no more room than before");

    night.driver.disk_is(90 << 30, 100 << 30);
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    assert_exactly_once(&night.until_in_review(&greedy).await);
    assert_eq!(machine.held(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_wrote_its_quota_waits_for_a_person_who_lets_it_write_as_much_again() {
    let night = Night::with_disk(waits(), 90_000).await;
    let (run, machine) = working(&night).await;
    machine.has_written((12 << 30) - 1);
    looks().await;
    assert_eq!(machine.held(), None);
    machine.has_written(12 << 30);
    let error = paused(&night, &run).await;
    assert_eq!(error.code, ErrorCode::LimitReached);
    assert!(error.message.ends_with("it wrote 12.0 GiB, and one sandbox may write 12.0 GiB"), "{error:?}");
    // Longer than a run takes to look whether there is room on the disk.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(machine.held().is_some(), "nothing lets it go on by itself");

    night.owner.api.continue_run(run.as_str()).await.unwrap();
    until("it to go on", || machine.held().is_none()).await;
    looks().await;
    machine.has_written(23 << 30);
    looks().await;
    assert_eq!(machine.held(), None, "a person said so");
    machine.has_written(24 << 30);
    let quota = Hold::Quota { written_bytes: 24 << 30, quota_bytes: 12 << 30 };
    until("it to be held again", || machine.held() == Some(quota)).await;
    paused(&night, &run).await;
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    assert_exactly_once(&night.until_in_review(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_asks_its_person_keeps_its_question_while_its_sandbox_stands_still() {
    let ask = json!({"tool": "ask", "input": {"question": "Go on?"}});
    let night = Night::with_disk(
        json!({"turns": [{"calls": [ask.clone()]}, {"calls": [shell("echo here")]}, {"calls": [ask]}]}),
        1_400,
    )
    .await;
    let run = night.submit("Ask").await;
    let asks = |state: &RunState| matches!(state, RunState::Waiting { .. });
    night.until_state(&run, "a question", asks).await;
    let machine = machine_of(&night, &night.events(&run).await);
    looks().await;
    machine.has_written(3 << 30);
    until("it to be held", || machine.held().is_some()).await;
    assert!(asks(&night.state(&run).await), "what is asked is not lost");

    // With the answer work begins, and with that it is told why none gets on.
    let words = SayToRun { text: "Yes.".to_owned(), delivery: MessageDelivery::default() };
    night.owner.api.say(run.as_str(), words).await.unwrap();
    let error = paused(&night, &run).await;
    assert_eq!(error.code, ErrorCode::DiskFull);
    night.driver.disk_is(90 << 30, 100 << 30);
    night.until_state(&run, "its next question", asks).await;
    assert_eq!(machine.held(), None);
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_comes_after_lets_a_held_sandbox_go_on_when_there_is_room() {
    let mut night = Night::with_disk(waits(), 1_400).await;
    let (run, machine) = working(&night).await;
    looks().await;
    machine.has_written(9 << 30);
    paused(&night, &run).await;
    night.owner_restarts().await;
    looks().await;
    assert!(machine.held().is_some());
    night.driver.disk_is(90 << 30, 100 << 30);
    until("it to go on", || machine.held().is_none()).await;
    std::fs::write(machine.home_folder().join("go"), "").unwrap();
    assert_exactly_once(&night.until_in_review(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_a_lent_sandbox_that_stands_still_is_told_why_and_does_not_wait_for_ever() {
    let night = Night::with_disk(json!({"turns": []}), 90_000).await;
    let api = &night.owner.api;
    let loan = api.borrow_sandbox(BorrowSandbox { lease_seconds: None }).await.unwrap();
    let machine = night.driver.machine(&loan.sandbox).unwrap();
    let sandbox = loan.sandbox.as_str();
    machine.has_written(13 << 30);
    until("it to be held", || machine.held().is_some()).await;
    let command = RunCommand { command: "sleep 600".to_owned(), time_limit_seconds: None };
    let error = api.run_command(sandbox, command).await.unwrap_err();
    assert_eq!(error.code, ErrorCode::LimitReached);
    assert!(error.hint.contains("close it and open another"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_allowed_outlives_the_owner_and_the_machine() {
    let mut night = Night::with_disk(waits(), 90_000).await;
    let (run, machine) = working(&night).await;
    machine.has_written(12 << 30);
    paused(&night, &run).await;
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    until("it to go on", || machine.held().is_none()).await;
    machine.has_written(13 << 30);

    night.owner_restarts().await;
    looks().await;
    assert_eq!(machine.held(), None, "the owner before knew that a person said so");

    // Paused and given up for its memory, it comes back with what it wrote and may write.
    night.owner.api.pause(run.as_str()).await.unwrap();
    night.until_paused(&run).await;
    night.owner.api.suspend(run.as_str()).await.unwrap();
    assert!(!machine.runs());
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until(&run, "the sandbox", |events| names(events).contains(&"sandboxRestored")).await;
    let machine = machine_of(&night, &events);
    looks().await;
    assert_eq!(machine.held(), None);
    machine.has_written(24 << 30);
    let quota = Hold::Quota { written_bytes: 24 << 30, quota_bytes: 12 << 30 };
    until("it to be held again", || machine.held() == Some(quota)).await;
}
