//! Self-reviews: a scripted agent, a scripted critic, and what is delivered in the end.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_protocol::{
    Event, EventBody, Limits, Merge, MessageDelivery, PauseReason, RaiseLimits, RunId, RunState, SayToRun,
    SelfReview, SelfReviewOutcome, SubmitTask, Verdict,
};
use serde_json::{Value, json};
use suite::{Night, WITHIN, assert_exactly_once, finish, git, names, shell, task};

const NOTE: &str = "echo two >> notes.txt && git commit -qam 'Add a note' && cat notes.txt";

fn shows(criterion: u32, step: &str) -> Value {
    let input = json!({"claim": "So it is.", "criterion": criterion, "step": step});
    json!({"tool": "evidence", "input": input})
}

/// The agent's first three turns: it works, notes evidence, and finishes.
fn work() -> Vec<Value> {
    vec![
        json!({"calls": [shell(NOTE)]}),
        json!({"calls": [shows(1, "1.1"), shows(2, "1.1")]}),
        json!({"calls": [finish("Add a note")]}),
    ]
}

fn verdict(step: &str, second: &str) -> Value {
    json!({"tool": "verdict", "input": {"criteria": [
        {"criterion": 1, "verdict": "met", "why": "There are two notes.", "step": step},
        {"criterion": 2, "verdict": second, "why": "The second note is what it is.", "step": step},
    ], "summary": "Mind the full stop."}})
}

/// A critic of that round that runs a command and judges in turns `turn` and the next.
fn critic(round: u32, turn: u32, command: &str, second: &str) -> Value {
    json!({
        "when": {"systemContains": "You are a critic", "firstMessageContains": format!("round {round} of 2")},
        "turns": [{"calls": [shell(command)]}, {"calls": [verdict(&format!("{turn}.1"), second)]}],
    })
}

async fn submit(night: &Night, limits: Limits) -> RunId {
    let request = SubmitTask {
        criteria: vec!["There are two notes.".to_owned(), "The second is polite.".to_owned()],
        self_review_rounds: None,
        limits: limits.into(),
        ..task("Add a note", &night.repository())
    };
    night.owner.api.submit_task(request).await.unwrap().run
}

fn outcomes(events: &[Event]) -> Vec<SelfReviewOutcome> {
    let outcome = |event: &Event| match &event.body {
        EventBody::SelfReviewed { review } => Some(review.outcome.clone()),
        _ => None,
    };
    events.iter().filter_map(outcome).collect()
}

fn count(events: &[Event], name: &str) -> usize {
    names(events).iter().filter(|one| **one == name).count()
}

async fn body(night: &Night, run: &RunId) -> String {
    night.owner.api.pull_request(run.as_str()).await.unwrap().body
}

async fn reviews(night: &Night, run: &RunId) -> Vec<SelfReview> {
    night.owner.api.run(run.as_str()).await.unwrap().self_reviews
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_critic_finds_met_is_delivered_with_its_verdict_and_without_what_the_critic_changed() {
    let meddles =
        "cat notes.txt; echo junk >> notes.txt; git commit -qam Junk; touch stray; echo half >> notes.txt";
    let night = Night::begin(json!({"turns": work(), "conversations": [critic(1, 4, meddles, "met")]})).await;
    let run = submit(&night, Limits::default()).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::Passed]);
    let found = reviews(&night, &run).await;
    assert_eq!((found.len(), found[0].round, found[0].of), (1, 1, 2));
    assert_eq!(found[0].verdicts.iter().map(|one| one.verdict).collect::<Vec<_>>(), [Verdict::Met; 2]);
    let body = body(&night, &run).await;
    let said = "2. The second is polite: **met**. The second note is what it is. (`cat notes.txt; echo junk";
    assert!(body.contains("## Self-review") && body.contains(said), "{body}");
    let merged = night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert_eq!(git(&merged.bare_repository, &["show", "trunk:notes.txt"]), "one\ntwo\n");
    assert!(!git(&merged.bare_repository, &["log", "--all", "--format=%s"]).contains("Junk"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_met_goes_back_to_the_agent_and_is_looked_at_again() {
    let serves = json!({"tool": "shell", "input": {"command": "echo $$ > ../critic.pid; exec sleep 600", "background": true}});
    let mut first = critic(1, 4, "cat notes.txt", "notMet");
    first["turns"][0]["calls"].as_array_mut().unwrap().push(serves);
    let mends = "test -z \"$(git status --porcelain)\" && sed -i s/two/two,please/ notes.txt && git commit -qam 'Say please' && ! kill -0 $(cat ../critic.pid) && echo ended";
    let back = json!([{"lastTextContains": "2. The second note is what it is."}, {"lastTextContains": "It adds: Mind the full stop."}]);
    let again = vec![
        json!({"expect": back, "calls": [shell(mends)]}),
        // The program that the critic left running ended with the review.
        json!({"expect": [{"lastResultContains": "ended"}], "calls": [shows(2, "6.1")]}),
        json!({"calls": [finish("Add a polite note")]}),
    ];
    let script = json!({
        "turns": ([work(), again].concat()),
        "conversations": [first, critic(2, 9, "grep please notes.txt", "met")],
    });
    let night = Night::begin(script).await;
    let run = submit(&night, Limits::default()).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::SentBack, SelfReviewOutcome::Passed]);
    let body = body(&night, &run).await;
    assert!(body.contains("In round 1 it found not met: 2 (The second note is what it is.)."), "{body}");
    let merged = night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert_eq!(git(&merged.bare_repository, &["show", "trunk:notes.txt"]), "one\ntwo,please\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_never_met_is_delivered_with_the_disagreement_first() {
    let again = vec![json!({"calls": [shell("cat notes.txt")]}), json!({"calls": [finish("Add a note")]})];
    let script = json!({
        "turns": ([work(), again].concat()),
        "conversations": [critic(1, 4, "cat notes.txt", "notMet"), critic(2, 8, "grep please notes.txt", "notMet")],
    });
    let night = Night::begin(script).await;
    let run = submit(&night, Limits::default()).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::SentBack, SelfReviewOutcome::Disagreed]);
    let body = body(&night, &run).await;
    assert!(body.contains("looked at the work 2 times"), "{body}");
    assert!(body.contains("**Critic and agent disagree**"), "{body}");
    assert!(body.contains("2. The second is polite: **not met**."), "{body}");
    assert!(reviews(&night, &run).await[1].finds(Verdict::NotMet));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_ends_anywhere_in_a_review_loses_and_repeats_nothing() {
    let slow = "echo looked >> ../looked; sleep 1; cat notes.txt";
    let again = vec![
        json!({"calls": [shell("sleep 1; echo looked $(wc -l < ../looked) time")]}),
        // What the first critic began was found again, and not repeated.
        json!({"expect": [{"lastResultContains": "looked 1 time"}], "calls": [finish("Add a note")]}),
    ];
    let mut night = Night::begin(json!({
        "turns": ([work(), again].concat()),
        "conversations": [critic(1, 4, slow, "notMet"), critic(2, 8, slow, "met")],
    }))
    .await;
    let run = submit(&night, Limits::default()).await;
    night.until(&run, "a review", |events| count(events, "selfReviewBegun") == 1).await;
    night.owner_restarts().await;
    until_critic_s_command(&night, &run).await;
    night.owner_restarts().await;
    night.until(&run, "its end", |events| count(events, "selfReviewed") == 1).await;
    night.owner_restarts().await;
    night.until(&run, "the second", |events| count(events, "selfReviewBegun") == 2).await;
    night.owner_restarts().await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::SentBack, SelfReviewOutcome::Passed]);
    assert_eq!(count(&events, "selfReviewBegun"), 2);
    assert_eq!(reviews(&night, &run).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_writes_breaks_the_review_off_and_the_new_work_is_reviewed() {
    let german = "echo danke >> notes.txt && git commit -qam 'Add a German note'";
    let again = vec![
        json!({"expect": [{"lastTextContains": "Add one in German."}], "calls": [shell(german)]}),
        json!({"calls": [finish("Add notes")]}),
    ];
    let second = json!({
        "when": {"systemContains": "You are a critic", "firstMessageContains": "danke"},
        "turns": [{"calls": [shell("cat notes.txt")]}, {"calls": [verdict("8.1", "met")]}],
    });
    let first = critic(1, 4, "echo looks; sleep 600", "met");
    let night =
        Night::begin(json!({"turns": ([work(), again].concat()), "conversations": [second, first]})).await;
    let run = submit(&night, Limits::default()).await;
    until_critic_s_command(&night, &run).await;
    let words = SayToRun { text: "Add one in German.".to_owned(), delivery: MessageDelivery::Interrupt };
    night.owner.api.say(run.as_str(), words).await.unwrap();
    let events = night.until(&run, "the review's end", |events| count(events, "selfReviewed") == 1).await;
    assert_eq!(outcomes(&events), [SelfReviewOutcome::BrokenOff]);
    let meanwhile = events.iter().take_while(|event| event.body.name() != "selfReviewed");
    let turn = meanwhile.filter_map(|event| match &event.body {
        EventBody::TurnRequested { turn } => Some(*turn),
        _ => None,
    });
    assert_eq!(turn.last(), Some(4), "the critic asked nothing more");
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::BrokenOff, SelfReviewOutcome::Passed]);
}

/// Waits until a critic that came in the fourth turn runs something.
async fn until_critic_s_command(night: &Night, run: &RunId) {
    let runs = |event: &Event| matches!(&event.body, EventBody::StepIntended { step, .. } if step.turn == 4);
    night.until(run, "the critic's command", |events| events.iter().any(runs)).await;
}

/// The agent's home folder in the run's sandbox.
async fn home(night: &Night, run: &RunId) -> PathBuf {
    let events = night.until(run, "a sandbox", |events| count(events, "sandboxReady") == 1).await;
    let ready = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    night.driver.machine(&ready.unwrap()).unwrap().home_folder().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_does_by_hand_while_a_critic_looks_is_kept_and_delivered() {
    let joins = "cat mine.txt && git add mine.txt && git commit -qm 'Add the other note'";
    let again = vec![
        json!({"expect": [{"lastTextContains": "They say: I added notes."}], "calls": [shell(joins)]}),
        json!({"expect": [{"lastResultContains": "written by hand"}], "calls": [finish("Add notes")]}),
    ];
    let second = json!({
        "when": {"systemContains": "You are a critic", "firstMessageContains": "written by hand"},
        "turns": [{"calls": [shell("cat notes.txt")]}, {"calls": [verdict("8.1", "met")]}],
    });
    let first = critic(1, 4, "until test -e ~/go; do sleep 0.05; done", "met");
    let night =
        Night::begin(json!({"turns": ([work(), again].concat()), "conversations": [second, first]})).await;
    let run = submit(&night, Limits::default()).await;
    until_critic_s_command(&night, &run).await;
    let lease = night.owner.api.take_over(run.as_str()).await.unwrap();
    let home = home(&night, &run).await;
    let folder = home.join("work/small");
    std::fs::write(folder.join("three.txt"), "three\n").unwrap();
    git(&folder, &["add", "three.txt"]);
    git(&folder, &["commit", "-q", "-m", "Add a third note"]);
    std::fs::write(folder.join("mine.txt"), "written by hand\n").unwrap();
    std::fs::write(home.join("go"), "").unwrap();
    lease.hand_back("I added notes.").await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::BrokenOff, SelfReviewOutcome::Passed]);
    let merged = night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    let show = |file: &str| git(&merged.bare_repository, &["show", &format!("trunk:{file}")]);
    assert_eq!((show("three.txt"), show("mine.txt")), ("three\n".to_owned(), "written by hand\n".to_owned()));
}

/// Waits until somebody reads from a pipe, who then waits until the returned end is dropped.
async fn until_read(pipe: &Path) -> File {
    /// O_NONBLOCK of open(2): a pipe that nobody reads is not opened, and nobody waits for it.
    const AT_ONCE: i32 = 0o4000;
    let opened = async {
        loop {
            match OpenOptions::new().write(true).custom_flags(AT_ONCE).open(pipe) {
                Ok(end) => return end,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(WITHIN, opened).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_writes_while_a_critic_is_about_to_begin_is_read_before_anybody_looks_at_the_work() {
    // Git reads this pipe before it shows the first difference, as for the critic.
    let slows = shell("mkfifo ~/order && git config diff.orderFile ~/order");
    let german = "echo danke >> notes.txt && git commit -qam 'Add a German note'";
    let mut turns = work();
    turns[0]["calls"].as_array_mut().unwrap().push(slows);
    turns.extend([
        json!({"expect": [{"lastTextContains": "Add one in German."}], "calls": [shell(german)]}),
        json!({"calls": [finish("Add notes")]}),
    ]);
    let critic = json!({
        "when": {"systemContains": "You are a critic", "firstMessageContains": "danke"},
        "turns": [{"calls": [shell("cat notes.txt")]}, {"calls": [verdict("6.1", "met")]}],
    });
    let night = Night::begin(json!({"turns": turns, "conversations": [critic]})).await;
    let run = submit(&night, Limits::default()).await;
    let home = home(&night, &run).await;
    let order = home.join("order");
    let about_to_begin = until_read(&order).await;
    let words = SayToRun { text: "Add one in German.".to_owned(), delivery: MessageDelivery::Steer };
    night.owner.api.say(run.as_str(), words).await.unwrap();
    // From now on git waits for nobody.
    std::fs::write(home.join("no-order"), "").unwrap();
    std::fs::rename(home.join("no-order"), &order).unwrap();
    drop(about_to_begin);
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(count(&events, "selfReviewBegun"), 1);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::Passed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_critic_s_calls_count_on_the_limits_of_the_task() {
    let script = json!({"turns": work(), "conversations": [critic(1, 4, "cat notes.txt", "met")]});
    let night = Night::begin(script).await;
    let run = submit(&night, Limits { turns: 4, ..Limits::default() }).await;
    let RunState::Paused { reason: PauseReason::Limit { limit } } = night.until_paused(&run).await else {
        panic!("a limit was reached")
    };
    assert_eq!(limit, "4 model calls, all made. Raise it with --turns to go on.");
    let raise = RaiseLimits { turns: Some(20), ..RaiseLimits::default() };
    night.owner.api.raise_limits(run.as_str(), raise).await.unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert_eq!(outcomes(&events), [SelfReviewOutcome::Passed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_critic_without_a_verdict_holds_nothing_up_and_the_reviewer_is_told() {
    let mute: Vec<Value> = (0..4).map(|_| json!({"say": "I wonder."})).collect();
    let conversation = json!({"when": {"systemContains": "You are a critic"}, "turns": mute});
    let night = Night::begin(json!({"turns": work(), "conversations": [conversation]})).await;
    let run = submit(&night, Limits::default()).await;
    let events = night.until_in_review(&run).await;
    assert!(matches!(outcomes(&events).as_slice(), [SelfReviewOutcome::NoVerdict { .. }]));
    let body = body(&night, &run).await;
    assert!(body.contains("**It came to no verdict**: It ended its turn 4 times in a row"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_says_so_is_not_reviewed_and_more_rounds_than_five_are_refused() {
    let night = Night::begin(json!({"turns": work()})).await;
    let with = |rounds| SubmitTask {
        criteria: vec!["There are two notes.".to_owned(), "It is polite.".to_owned()],
        self_review_rounds: Some(rounds),
        ..task("Add a note", &night.repository())
    };
    let refused = night.owner.api.submit_task(with(6)).await.unwrap_err();
    assert!(refused.message.contains("6 self-reviews"), "{refused:?}");
    let run = night.owner.api.submit_task(with(0)).await.unwrap().run;
    let events = night.until_in_review(&run).await;
    assert_eq!(count(&events, "selfReviewBegun"), 0);
    assert!(!body(&night, &run).await.contains("## Self-review"));
}
