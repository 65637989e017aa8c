//! A history of many nights, made once: 10,000 runs with 100 events each, of words as people and agents use them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_protocol::{
    Approval, AssistantBlock, EventBody, InvalidId, Limits, Message, OffsetDateTime, PullRequestId,
    ResultPart, RunId, RunState, StopReason, Task, ToolCall, ToolOutcome, Usage,
};
use nightshift_store::Store;
use sha2::{Digest, Sha256};

use crate::bench::BenchError;
use crate::ground::say;

const RUNS: u32 = 10_000;
const EVENTS: u32 = 100;

/// Runs written at once.
const BATCH: u32 = 100;

/// Every 20th run waits for review: 500 of them, more than any queue lets in.
const IN_REVIEW_EVERY: u32 = 20;

/// When the first run was submitted, and how long after it the next was, in seconds.
const FIRST: u64 = 1_790_000_000;
const APART: u64 = 60;

/// Common words; a rare one is made of a run's number.
const WORDS: [&str; 24] = [
    "toggle", "dark", "mode", "login", "test", "flaky", "button", "server", "cache", "error", "page", "form",
    "search", "index", "invoice", "upload", "picture", "session", "cookie", "retry", "socket", "window",
    "theme", "storage",
];

/// A search: a common word, two of them, a rare one, or a beginning, by turns.
pub(crate) fn query(number: u32) -> String {
    let word = |offset: u32| WORDS[(number.wrapping_mul(7) + offset) as usize % WORDS.len()];
    match number % 4 {
        0 => format!("/search?q={}", word(0)),
        1 => format!("/search?q={}%20{}", word(0), word(5)),
        2 => format!("/search?q=ticket{}", number.wrapping_mul(7_919) % RUNS),
        _ => format!("/search?q={}", &word(3)[..3]),
    }
}

/// The home of an owner with that history. It is made when it is not there, and kept by what is in it.
pub(crate) async fn prepare(cache: PathBuf) -> Result<PathBuf, BenchError> {
    // Minutes of work for one processor: on a thread of its own.
    let runtime = tokio::runtime::Handle::current();
    let made = tokio::task::spawn_blocking(move || runtime.block_on(make(&cache)));
    made.await.map_err(BenchError::during("making the history"))?
}

async fn make(cache: &Path) -> Result<PathBuf, BenchError> {
    let home = cache.join(format!("bench-history-{}", name()?));
    let whole = home.join("whole");
    if whole.exists() {
        return Ok(home);
    }
    let _left_half_made = std::fs::remove_dir_all(&home);
    say("a history of 1,000,000 events is made, once: some minutes");
    let store = Store::open(&home.join("data")).await.map_err(BenchError::during("making the history"))?;
    for first in (0..RUNS).step_by(BATCH as usize) {
        let batch: Result<Vec<_>, InvalidId> = (first..first + BATCH).map(run).collect();
        let batch = batch.map_err(BenchError::during("making a run"))?;
        // Those that write at the same time wait for the disk together.
        let written = batch.iter().map(|(run, at, bodies)| store.append(run, *at, bodies));
        let written = futures_util::future::try_join_all(written).await;
        written.map_err(BenchError::during("writing the history"))?;
        if (first + BATCH).is_multiple_of(1_000) {
            say(&format!("{} of {RUNS} runs", first + BATCH));
        }
    }
    store.close().await;
    std::fs::write(&whole, "").map_err(BenchError::io("finishing the history"))?;
    Ok(home)
}

/// The hash of what a few runs consist of and of how many there are: another form of events is another history.
fn name() -> Result<String, BenchError> {
    let mut hash = Sha256::new();
    hash.update(format!("{RUNS} {EVENTS}"));
    for number in [0, 1, 3, RUNS - 1] {
        let run = run(number).map_err(BenchError::during("making a run"))?;
        hash.update(serde_json::to_vec(&run).map_err(BenchError::during("writing a run"))?);
    }
    Ok(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

fn run(number: u32) -> Result<(RunId, OffsetDateTime, Vec<EventBody>), InvalidId> {
    let at = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(FIRST + APART * u64::from(number));
    Ok((id("run", number).parse()?, at, events(number, at)?))
}

fn id(kind: &str, number: u32) -> String {
    format!("{kind}-{number:010}")
}

/// A few words that depend on a number and on nothing else.
fn sentence(number: u32, length: u32) -> String {
    let word = |place: u32| WORDS[(number.wrapping_mul(31) ^ place.wrapping_mul(17)) as usize % WORDS.len()];
    (0..length).map(|place| word(place.wrapping_add(number))).collect::<Vec<_>>().join(" ")
}

fn events(number: u32, at: OffsetDateTime) -> Result<Vec<EventBody>, InvalidId> {
    let task = Task {
        id: id("task", number).parse()?,
        description: format!("{} ticket{number}", sentence(number, 8)),
        repository: format!("/home/ada/src/app-{}", number % 20),
        base_branch: "main".to_owned(),
        base_commit: "a".repeat(40).parse()?,
        model: "claude-sonnet-5-5".to_owned(),
        limits: Limits::default(),
        created_at: at,
        criteria: Vec::new(),
        self_review_rounds: 0,
        approval: Approval::default(),
        engine: None,
        issue: None,
    };
    let mut bodies = vec![EventBody::RunSubmitted {
        context_tokens: None,
        task,
        branch: format!("nightshift/work-{number:010}"),
        attempt: None,
    }];
    for turn in 1..=(EVENTS - 2) / 4 {
        bodies.extend(turn_of(number.wrapping_mul(1_009).wrapping_add(turn), turn)?);
    }
    while bodies.len() < EVENTS as usize - 1 {
        bodies.push(EventBody::PersonSaid { text: sentence(number, 5) });
    }
    bodies.push(EventBody::StateChanged { state: last_state(number) });
    Ok(bodies)
}

/// The model is asked, answers with a command, and the command's output comes back.
fn turn_of(seed: u32, turn: u32) -> Result<[EventBody; 4], InvalidId> {
    let step: nightshift_protocol::StepId = format!("{turn}.1").parse()?;
    let call = ToolCall {
        id: format!("call-{turn}"),
        name: "shell".to_owned(),
        input: serde_json::json!({ "command": sentence(seed, 6) }),
        malformed: None,
    };
    let answer = Message::Assistant {
        blocks: vec![AssistantBlock::Text { text: sentence(seed.wrapping_add(1), 30) }],
        verbatim: serde_json::Value::Null,
    };
    Ok([
        EventBody::TurnRequested { turn },
        EventBody::TurnFinished {
            turn,
            message: answer,
            stop: StopReason::ToolUse,
            usage: Usage::default(),
            model: "claude-sonnet-5-5".to_owned(),
        },
        EventBody::StepIntended { step, call: call.clone(), write: None },
        EventBody::StepFinished {
            step,
            call: call.id,
            outcome: ToolOutcome::Done,
            content: vec![ResultPart::Text { text: sentence(seed.wrapping_add(2), 60) }],
            output: None,
            exit_code: Some(0),
            took_ms: 20,
            reconciled: None,
        },
    ])
}

fn last_state(number: u32) -> RunState {
    let pull_request = PullRequestId(u64::from(number) + 1);
    match number % IN_REVIEW_EVERY {
        0 => RunState::InReview { pull_request },
        1 | 2 => RunState::Closed { pull_request },
        3 => RunState::Cancelled,
        _ => RunState::Merged { pull_request },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_the_history_has_its_hundred_events_and_ends_where_no_agent_takes_it_up() {
        for number in [0, 1, 3, 7, RUNS - 1] {
            let (_, _, bodies) = run(number).unwrap();
            assert_eq!(bodies.len(), EVENTS as usize);
            let Some(EventBody::StateChanged { state }) = bodies.last() else { panic!("no end") };
            assert!(state.is_final() || state.name() == "inReview");
        }
    }

    #[test]
    fn the_same_run_is_made_every_time_and_no_two_are_alike() {
        assert_eq!(run(7).unwrap(), run(7).unwrap());
        assert_ne!(run(7).unwrap().2, run(8).unwrap().2);
        assert_eq!(name().unwrap(), name().unwrap());
    }

    #[test]
    fn searches_are_common_words_pairs_rare_ones_and_beginnings() {
        let queries: Vec<_> = (0..4).map(query).collect();
        insta::assert_snapshot!(queries.join("\n"), @r"
        /search?q=toggle
        /search?q=server%20search
        /search?q=ticket5838
        /search?q=tog
        ");
    }

    #[tokio::test]
    async fn what_is_written_is_found_again_by_its_rare_word() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        for number in [0, 4] {
            let (run, at, bodies) = run(number).unwrap();
            store.append(&run, at, &bodies).await.unwrap();
        }
        let words = nightshift_store::SearchWords::of("ticket4").unwrap();
        let found = store.search(&words, None, 10).await.unwrap();
        assert_eq!(found.hits.iter().map(|hit| hit.run.to_string()).collect::<Vec<_>>(), ["run-0000000004"]);
    }

    #[tokio::test]
    async fn a_history_that_is_whole_is_not_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(format!("bench-history-{}", name().unwrap()));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("whole"), "").unwrap();
        assert_eq!(prepare(folder.path().to_owned()).await.unwrap(), home);
        assert!(!home.join("data").exists());
    }
}
