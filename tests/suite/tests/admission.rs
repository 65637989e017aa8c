//! Sandboxes that give their memory back to a host that has too little, and come back when there is some again.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod disks;

use nightshift_protocol::{
    Event, EventBody, LiveBody, MessageDelivery, QueueReason, RunId, RunState, SandboxId, SayToRun,
    SuspendReason, Suspension,
};
use nightshift_sandbox::Expendable;
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, names, shell};

fn ask(question: &str) -> Value {
    json!({"tool": "ask", "input": {"question": question}})
}

/// One run that writes a file, asks, and reads the file; and another that works until it is let go.
fn script() -> Value {
    json!({
        "turns": [
            {"calls": [shell("echo kept > ~/kept")]},
            {"calls": [ask("Shall I go on?")]},
            {"calls": [shell("cat ~/kept")]},
            {"expect": [{"lastResultContains": "kept"}], "calls": [ask("And now?")]},
        ],
        "conversations": [{"when": {"firstMessageContains": "Work on"}, "turns": [
            {"calls": [shell("until [ -e ~/let-go ]; do sleep 0.05; done")]},
            {"calls": [ask("Done?")]},
        ]}],
    })
}

fn asks(state: &RunState, wanted: &str) -> bool {
    matches!(state, RunState::Waiting { question, .. } if question == wanted)
}

fn sandbox(events: &[Event]) -> SandboxId {
    let ready = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    ready.unwrap()
}

fn has(events: &[Event], name: &str) -> bool {
    names(events).contains(&name)
}

/// Waits until a run's sandbox is on the disk, and returns what is said of it.
async fn suspended(night: &Night, run: &RunId) -> Suspension {
    let saved = |events: &[Event]| has(events, "checkpointSaved");
    let events = night.until(run, "a suspension", saved).await;
    let sandbox = sandbox(&events);
    // Written down when the machine has ended.
    assert!(night.driver.machine(&sandbox).is_none(), "its memory is not given back");
    night.owner.api.run(run.as_str()).await.unwrap().suspension.unwrap()
}

/// Waits until a clone waits for the next task, or none does.
async fn until_spare(night: &Night, wanted: bool) {
    let waited = async {
        while night.driver.has_spare() != wanted {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(suite::WITHIN, waited).await;
    told.unwrap_or_else(|_| panic!("a clone waits: {}", !wanted));
}

async fn answer(night: &Night, run: &RunId) {
    let words = SayToRun { text: "Yes.".to_owned(), delivery: MessageDelivery::default() };
    night.owner.api.say(run.as_str(), words).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_sandbox_makes_room_when_memory_is_scarce_and_comes_back_when_there_is_some() {
    let night = Night::with_memory(script(), 8_192).await;
    let idle = night.submit("Ask me").await;
    night.until_state(&idle, "a question", |state| asks(state, "Shall I go on?")).await;
    assert_eq!(night.owner.api.run(idle.as_str()).await.unwrap().suspension, None);

    night.memory_is(500, 0);
    let suspension = suspended(&night, &idle).await;
    assert_eq!(suspension.reason, Some(SuspendReason::MemoryScarce { available_mib: 500 }));
    assert!(asks(&night.state(&idle).await, "Shall I go on?"), "it waits for its person as before");

    // Another one works meanwhile, and is left alone however little memory there is.
    let busy = night.submit("Work on").await;
    let works = |events: &[Event]| has(events, "stepIntended");
    let busy_sandbox = sandbox(&night.until(&busy, "a step", works).await);
    answer(&night, &idle).await;
    night.until_state(&idle, "its person's answer", |state| *state == RunState::Working).await;
    // Longer than it takes to look whether there is room.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let detail = night.owner.api.run(idle.as_str()).await.unwrap();
    assert_eq!(detail.suspension, Some(suspension), "there is no room for it yet");
    assert!(!has(&night.events(&idle).await, "sandboxRestored"));
    assert!(night.driver.machine(&busy_sandbox).is_some());

    night.memory_is(8_192, 0);
    night.until_state(&idle, "its next question", |state| asks(state, "And now?")).await;
    let events = night.events(&idle).await;
    assert!(has(&events, "sandboxRestored"), "{:?}", names(&events));
    assert_exactly_once(&events);
    assert_eq!(night.owner.api.run(idle.as_str()).await.unwrap().suspension, None);
    let busy_machine = night.driver.machine(&busy_sandbox).unwrap();
    std::fs::write(busy_machine.home_folder().join("let-go"), "").unwrap();
    night.until_state(&busy, "its end", |state| asks(state, "Done?")).await;
    assert!(!has(&night.events(&busy).await, "checkpointIntended"), "one that works is never suspended");
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_paused_in_line_holds_up_none_of_those_behind_it() {
    let night = Night::with_memory(script(), 8_192).await;
    let busy = night.submit("Work on").await;
    night.until(&busy, "a step", |events| has(events, "stepIntended")).await;
    night.memory_is(500, 0);
    let waits = |state: &RunState| matches!(state, RunState::Queued { reason: QueueReason::Memory { .. } });
    let first = night.submit("Ask me").await;
    night.until_state(&first, "its place in line", waits).await;
    let second = night.submit("Ask me").await;
    night.until_state(&second, "its place behind it", waits).await;
    night.owner.api.pause(first.as_str()).await.unwrap();

    night.memory_is(8_192, 0);
    night.until_state(&second, "its question", |state| asks(state, "Shall I go on?")).await;
    assert_eq!(night.state(&first).await.name(), "paused");
    night.owner.api.continue_run(first.as_str()).await.unwrap();
    night.until_state(&first, "its question", |state| asks(state, "Shall I go on?")).await;
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_a_stalled_host_suspended_is_brought_back_by_the_next_owner() {
    let mut night = Night::with_memory(script(), 8_192).await;
    let run = night.submit("Ask me").await;
    night.until_state(&run, "a question", |state| asks(state, "Shall I go on?")).await;
    night.memory_is(8_192, 35);
    let suspension = suspended(&night, &run).await;
    assert_eq!(suspension.reason, Some(SuspendReason::MemoryStalled { percent: 35 }));
    night.owner_restarts().await;
    let detail = night.owner.api.run(run.as_str()).await.unwrap();
    assert_eq!(detail.suspension, Some(suspension), "the history tells it to every owner");
    night.memory_is(8_192, 0);
    answer(&night, &run).await;
    night.until_state(&run, "its next question", |state| asks(state, "And now?")).await;
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clone_that_waits_for_the_next_task_gives_its_memory_back_before_any_sandbox_does() {
    let night = Night::with_memory(script(), 8_192).await;
    let run = night.submit("Ask me").await;
    night.until_state(&run, "a question", |state| asks(state, "Shall I go on?")).await;
    until_spare(&night, true).await;
    night.memory_is(500, 0);
    until_spare(&night, false).await;
    assert!(!has(&night.events(&run).await, "checkpointIntended"), "the sandbox was not the first to go");
    suspended(&night, &run).await;
    // As long as memory is scarce none is made for who comes next.
    night.submit("Ask me").await;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert!(!night.driver.has_spare());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_waits_for_a_task_that_is_being_written() {
    let night = Night::with_memory(script(), 8_192).await;
    night.owner.api.expect_task().await.unwrap();
    assert!(!night.driver.has_spare(), "there is nothing yet that it could be a clone of");
    let run = night.submit("Ask me").await;
    night.until_state(&run, "a question", |state| asks(state, "Shall I go on?")).await;
    until_spare(&night, true).await;
    night.memory_is(500, 0);
    until_spare(&night, false).await;
    suspended(&night, &run).await;
    night.owner.api.expect_task().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(!night.driver.has_spare(), "it would be given back at once");
    night.memory_is(8_192, 0);
    night.owner.api.expect_task().await.unwrap();
    until_spare(&night, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_kernel_is_told_which_sandboxes_rest_and_which_work() {
    let night = Night::with_memory(script(), 8_192).await;
    let run = night.submit("Ask me").await;
    night.until_state(&run, "a question", |state| asks(state, "Shall I go on?")).await;
    let machine = night.driver.machine(&sandbox(&night.events(&run).await)).unwrap();
    let until = async |wanted: Expendable| {
        let waited = async {
            while machine.expendable() != wanted {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(suite::WITHIN, waited).await.unwrap_or_else(|_| panic!("never {wanted:?}"));
    };
    until(Expendable::Rests).await;
    let busy = night.submit("Work on").await;
    let works = |events: &[Event]| has(events, "stepIntended");
    let works = sandbox(&night.until(&busy, "a step", works).await);
    assert_eq!(night.driver.machine(&works).unwrap().expendable(), Expendable::Works);
    answer(&night, &run).await;
    night.until_state(&run, "its next question", |state| asks(state, "And now?")).await;
    until(Expendable::Rests).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_for_which_no_host_has_room_says_so_and_waits_until_one_that_does_nothing_or_ends_makes_some() {
    let night = Night::with_checkpoints(script()).await;
    // An owner that is started lets idle sandboxes make room.
    night.owner.supervisor.resume().await.unwrap();
    night.driver.has_room_for(1);
    let mut live = night.owner.supervisor.live();
    let first = night.submit("Work on").await;
    night.until(&first, "its first step", |events| has(events, "stepIntended")).await;
    let second = night.submit("Look").await;
    let told = tokio::time::timeout(suite::WITHIN, async {
        loop {
            let said = live.recv().await.unwrap();
            if let LiveBody::SetUpProgress { phase, .. } = said.body {
                return (said.run, phase);
            }
        }
    });
    assert_eq!(told.await.unwrap(), (second.clone(), "no host has room for another sandbox".to_owned()));
    assert_eq!(night.state(&second).await.name(), "preparing");
    assert!(!has(&night.events(&first).await, "checkpointIntended"), "one that works is never suspended");

    // The first asks, and so makes room by itself; answered, it waits in turn.
    let working = sandbox(&night.events(&first).await);
    std::fs::write(night.driver.machine(&working).unwrap().home_folder().join("let-go"), "").unwrap();
    assert_eq!(suspended(&night, &first).await.reason, Some(SuspendReason::RoomWanted));
    night.until_state(&second, "its question", |state| asks(state, "Shall I go on?")).await;
    answer(&night, &second).await;
    night.until_state(&second, "its next question", |state| asks(state, "And now?")).await;
    night.assert_no_breach();
    assert_exactly_once(&night.events(&second).await);
}
