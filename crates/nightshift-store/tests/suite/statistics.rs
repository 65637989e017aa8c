//! What runs and their reviews came to.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{
    DeliveryMeasure, DeliveryTarget, ErrorCode, EventBody, FailureReason, OffsetDateTime, PullRequestId,
    RunState, RunSummary, Statistics, StatisticsBy, StatisticsRow, Usage, UserError,
};
use nightshift_store::{RunFilter, Store};
use proptest::prelude::*;
use time::Duration;
use time::macros::datetime;

use crate::support::{at, run, submitted};

/// A run as a test wants it.
#[derive(Debug, Clone)]
struct Sketch {
    repository: &'static str,
    model: &'static str,
    created_at: OffsetDateTime,
    /// The share of its first delivery that was changed afterwards; `None` for one that delivered nothing.
    reworked: Option<u8>,
    worked_ms: u32,
    reviewed_ms: u32,
    rounds: u32,
    end: RunState,
}

const WHOLE: Sketch = Sketch {
    repository: "/src/app",
    model: "m",
    created_at: datetime!(2026-11-28 22:00 UTC),
    reworked: Some(0),
    worked_ms: 60_999,
    reviewed_ms: 10_000,
    rounds: 1,
    end: RunState::Merged { pull_request: PullRequestId(1) },
};

fn changed(state: RunState) -> EventBody {
    EventBody::StateChanged { state }
}

fn failed() -> RunState {
    let error = UserError::new(ErrorCode::SandboxFailed, "it ended", "Submit it again.");
    RunState::Failed { reason: FailureReason { error } }
}

/// Writes a run event by event, each append at its time.
async fn write(store: &Store, number: u32, sketch: &Sketch) {
    let EventBody::RunSubmitted { mut task, branch, attempt, context_tokens } =
        submitted(number, sketch.repository)
    else {
        unreachable!("support makes no other")
    };
    (task.model, task.created_at) = (sketch.model.to_owned(), sketch.created_at);
    let usage = Usage { cost_microdollars: 5, ..Usage::default() };
    let finished = serde_json::json!({"type": "turnFinished", "turn": 1, "stop": {"type": "endTurn"},
        "usage": usage, "model": "m", "message": {"type": "assistant", "verbatim": "", "blocks": []}});
    let mut now = at(1);
    let mut events = vec![
        (now, EventBody::RunSubmitted { task, branch, attempt, context_tokens }),
        (now, changed(RunState::Working)),
    ];
    now += Duration::milliseconds(sketch.worked_ms.into());
    events.push((now, serde_json::from_value(finished).unwrap()));
    if let Some(reworked_percent) = sketch.reworked {
        let measure = DeliveryMeasure { reworked_percent, ..DeliveryMeasure::default() };
        let head = "c".repeat(40).parse().unwrap();
        let target = DeliveryTarget::Local;
        events.push((now, changed(RunState::Delivering)));
        events.push((now, EventBody::DeliveryChecked { head, target, findings: Vec::new(), measure }));
        events.push((now, changed(RunState::InReview { pull_request: PullRequestId(1) })));
        now += Duration::milliseconds(sketch.reviewed_ms.into());
    }
    for round in 1..=sketch.rounds {
        events.push((now, EventBody::FeedbackReceived { round, items: Vec::new() }));
    }
    events.push((now, changed(sketch.end.clone())));
    for (at, body) in events {
        store.append(&run(number), at, &[body]).await.unwrap();
    }
}

async fn written(sketches: &[Sketch]) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).await.unwrap();
    for (number, sketch) in (1..).zip(sketches) {
        write(&store, number, sketch).await;
    }
    (folder, store)
}

async fn all(store: &Store, by: StatisticsBy) -> Statistics {
    store.statistics(by, None).await.unwrap()
}

fn named(statistics: &Statistics) -> Vec<(&str, u64)> {
    statistics.rows.iter().map(|row| (row.name.as_str(), row.runs)).collect()
}

#[tokio::test]
async fn runs_are_summed_up_by_what_they_have_in_common_and_all_together() {
    let closed = RunState::Closed { pull_request: PullRequestId(1) };
    let (_folder, store) = written(&[
        Sketch { repository: "/src/other", reviewed_ms: 90_000, end: closed, ..WHOLE },
        Sketch { reworked: Some(9), ..WHOLE },
        Sketch { reworked: Some(10), reviewed_ms: 30_000, ..WHOLE },
        Sketch { reworked: None, rounds: 0, end: RunState::Cancelled, ..WHOLE },
    ])
    .await;
    let sums = all(&store, StatisticsBy::Repository).await;
    let app = StatisticsRow {
        name: "/src/app".to_owned(),
        runs: 3,
        delivered: 2,
        merged: 2,
        merged_unchanged: 1,
        closed: 0,
        given_up: 1,
        rounds: 2,
        review_seconds: Some(10),
        agent_seconds: Some(60),
        cost_microdollars: 15,
    };
    assert_eq!(sums.rows[0], app);
    assert_eq!((sums.rows.len(), sums.rows[1].name.as_str(), sums.rows[1].closed), (2, "/src/other", 1));
    assert_eq!((sums.total.runs, sums.total.review_seconds, sums.total.cost_microdollars), (4, Some(30), 20));
}

#[tokio::test]
async fn nothing_sums_up_to_nothing() {
    let (_folder, store) = written(&[]).await;
    let total = StatisticsRow { name: "all".to_owned(), ..StatisticsRow::default() };
    let nothing = Statistics { by: StatisticsBy::Model, since: None, rows: Vec::new(), total };
    assert_eq!(all(&store, StatisticsBy::Model).await, nothing);
}

#[tokio::test]
async fn weeks_are_in_order_and_the_first_day_of_a_year_may_be_in_the_last_year_s_week() {
    let given = |created_at| Sketch { created_at, ..WHOLE };
    let (_folder, store) = written(&[
        given(datetime!(2027-01-04 00:00 UTC)),
        given(datetime!(2027-01-01 12:00 UTC)),
        given(datetime!(2027-01-04 00:30 +1)),
    ])
    .await;
    assert_eq!(named(&all(&store, StatisticsBy::Week).await), [("2026-W53", 2), ("2027-W01", 1)]);
}

#[tokio::test]
async fn blueprints_have_one_row_and_models_one_each() {
    let (_folder, store) =
        written(&[WHOLE, Sketch { model: "n", ..WHOLE }, Sketch { model: "n", ..WHOLE }]).await;
    assert_eq!(named(&all(&store, StatisticsBy::Blueprint).await), [("default", 3)]);
    assert_eq!(named(&all(&store, StatisticsBy::Model).await), [("n", 2), ("m", 1)]);
}

#[tokio::test]
async fn only_tasks_given_since_then_are_counted() {
    let early = Sketch { created_at: WHOLE.created_at - Duration::milliseconds(1), ..WHOLE };
    let (_folder, store) = written(&[early, WHOLE]).await;
    let sums = store.statistics(StatisticsBy::Model, Some(WHOLE.created_at)).await.unwrap();
    assert_eq!((sums.total.runs, sums.rows[0].runs, sums.since), (1, 1, Some(WHOLE.created_at)));
}

#[tokio::test]
async fn money_beyond_all_counting_is_as_much_as_there_is() {
    let (_folder, store) = written(&[WHOLE, WHOLE]).await;
    let usage = Usage { cost_microdollars: u64::MAX, ..Usage::default() };
    let body = serde_json::json!({"type": "turnFinished", "turn": 2, "stop": {"type": "endTurn"}, "usage": usage,
        "model": "m", "message": {"type": "assistant", "verbatim": "", "blocks": []}});
    for number in [1, 2] {
        store.append(&run(number), at(9), &[serde_json::from_value(body.clone()).unwrap()]).await.unwrap();
    }
    let most = i64::MAX.cast_unsigned();
    assert_eq!(all(&store, StatisticsBy::Model).await.total.cost_microdollars, most);
}

#[tokio::test]
async fn figures_that_are_derived_anew_are_what_they_were() {
    let (_folder, store) = written(&[WHOLE, Sketch { model: "n", reworked: None, ..WHOLE }]).await;
    let before = all(&store, StatisticsBy::Model).await;
    store.rebuild().await.unwrap();
    assert_eq!(all(&store, StatisticsBy::Model).await, before);
}

/// The same by the runs themselves, one after the other.
fn summed(name: &str, runs: &[&RunSummary]) -> StatisticsRow {
    let count = |is: &dyn Fn(&RunSummary) -> bool| runs.iter().filter(|run| is(run)).count() as u64;
    let merged = |run: &RunSummary| matches!(run.state, RunState::Merged { .. });
    let closed = |run: &RunSummary| matches!(run.state, RunState::Closed { .. });
    let delivered = |run: &RunSummary| run.reviewing.delivered.is_some();
    let unchanged = |run: &RunSummary| run.reviewing.delivered.as_ref().unwrap().reworked_percent < 10;
    let median = |which: &dyn Fn(&RunSummary) -> bool, of: fn(&RunSummary) -> u64| {
        let mut values: Vec<u64> = runs.iter().filter(|run| which(run)).map(|run| of(run) / 1_000).collect();
        values.sort_unstable();
        values.get(values.len().saturating_sub(1) / 2).copied()
    };
    StatisticsRow {
        name: name.to_owned(),
        runs: runs.len() as u64,
        delivered: count(&delivered),
        merged: count(&merged),
        merged_unchanged: count(&|run| merged(run) && delivered(run) && unchanged(run)),
        closed: count(&closed),
        given_up: count(&|run| matches!(run.state, RunState::Failed { .. } | RunState::Cancelled)),
        rounds: runs.iter().map(|run| u64::from(run.reviewing.rounds)).sum(),
        review_seconds: median(&|run| merged(run) || closed(run), |run| run.reviewing.review_ms),
        agent_seconds: median(&delivered, |run| run.reviewing.agent_ms),
        cost_microdollars: runs.iter().map(|run| run.usage.cost_microdollars).sum(),
    }
}

fn any_sketch() -> impl Strategy<Value = Sketch> {
    let request = PullRequestId(1);
    let ends = vec![
        RunState::Merged { pull_request: request },
        RunState::Closed { pull_request: request },
        RunState::Cancelled,
        failed(),
        RunState::Working,
        RunState::InReview { pull_request: request },
    ];
    let names = (prop::sample::select(vec!["/src/app", "/src/other"]), prop::option::of(0..20_u8));
    let times = (0..4_u32, 0..4_u32).prop_map(|(worked, reviewed)| (worked * 700, reviewed * 900));
    (names, times, 0..3_u32, prop::sample::select(ends)).prop_map(
        |((repository, reworked), (worked_ms, reviewed_ms), rounds, end)| Sketch {
            repository,
            reworked,
            worked_ms,
            reviewed_ms,
            rounds,
            end,
            ..WHOLE
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_sums_are_those_of_the_runs_one_after_the_other(sketches in prop::collection::vec(any_sketch(), 0..14)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, store) = written(&sketches).await;
            let runs = store.runs(&RunFilter::default(), None, 100).await.unwrap().runs;
            let sums = all(&store, StatisticsBy::Repository).await;
            assert_eq!(sums.total, summed("all", &runs.iter().collect::<Vec<_>>()));
            for row in &sums.rows {
                let of_it: Vec<_> = runs.iter().filter(|run| run.task.repository == row.name).collect();
                assert_eq!(*row, summed(&row.name, &of_it));
            }
            assert_eq!(sums.rows.iter().map(|row| row.runs).sum::<u64>(), runs.len() as u64);
        });
    }
}
