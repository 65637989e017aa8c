use nightshift_protocol::{
    Approval, DeliveryMeasure, ErrorCode, Glance, Limits, OffsetDateTime, PreReviewKind, PullRequestId,
    PullRequestState, PullRequestSummary, QueueReason, ReviewQueue, Reviewing, RunState, RunSummary, Task,
    Usage,
};
use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-28 22:00 UTC);

pub(super) fn run(number: u32, state: RunState) -> RunSummary {
    RunSummary {
        run: format!("run-{number:010}").parse().unwrap(),
        task: Task {
            id: format!("task-{number:010}").parse().unwrap(),
            description: "Add dark mode".to_owned(),
            criteria: Vec::new(),
            repository: "/src/app".to_owned(),
            base_branch: "main".to_owned(),
            base_commit: "a".repeat(40).parse().unwrap(),
            model: "m".to_owned(),
            limits: Limits::default(),
            self_review_rounds: 0,
            approval: Approval::default(),
            engine: None,
            issue: None,
            created_at: NOW,
        },
        attempt: None,
        forked_from: None,
        state,
        sandbox: None,
        suspended: false,
        branch: "nightshift/x".to_owned(),
        turns: 1,
        steps: 1,
        usage: Usage { cost_microdollars: 5, ..Usage::default() },
        subagents: Vec::new(),
        glance: Glance::default(),
        reviewing: Reviewing { since: NOW, ..Reviewing::default() },
        last_seq: 1,
        updated_at: NOW,
    }
}

fn waits(number: u32, added: u64) -> RunSummary {
    let mut run = run(number, RunState::InReview { pull_request: PullRequestId(number.into()) });
    run.reviewing.delivered = Some(DeliveryMeasure { files: 1, added, ..DeliveryMeasure::default() });
    run
}

fn opened(run: &RunSummary) -> PullRequestSummary {
    PullRequestSummary {
        run: run.run.clone(),
        number: PullRequestId(u64::from(run.turns)),
        url: None,
        title: "Dark mode".to_owned(),
        repository: run.task.repository.clone(),
        branch: run.branch.clone(),
        base: run.task.base_branch.clone(),
        head: "b".repeat(40).parse().unwrap(),
        state: PullRequestState::Open,
        created_at: NOW,
    }
}

fn queued(runs: &[RunSummary], limit: Option<u32>) -> ReviewQueue {
    queue(runs.iter().map(|run| (opened(run), run.clone())).collect(), runs, limit)
}

/// The last digits of the runs, in the order of the queue.
fn order(queue: &ReviewQueue) -> Vec<String> {
    let number = |run: String| run.trim_start_matches("run-").trim_start_matches('0').to_owned();
    queue.entries.iter().map(|entry| number(entry.pull_request.run.to_string())).collect()
}

#[test]
fn what_can_be_decided_comes_before_what_is_small_and_that_before_what_is_sure() {
    let mut reworked = waits(1, 1);
    reworked.state = RunState::Working;
    let mut doubtful = waits(2, 2);
    doubtful.reviewing.findings = vec![PreReviewKind::TestsDeleted];
    let (large, sure, tiny) = (waits(3, 9_000), waits(4, 30), waits(5, 3));
    let mut earlier = waits(6, 4);
    earlier.reviewing.since = NOW - time::Duration::HOUR;
    let queue = queued(&[reworked, doubtful, large, sure, tiny, earlier], Some(9));
    assert_eq!(order(&queue), ["6", "4", "5", "2", "3", "1"]);
    assert_eq!((queue.limit, queue.waiting, queue.held_back), (Some(9), 5, 0));
}

#[test]
fn each_says_why_it_stands_where_it_does() {
    let mut open = waits(1, 40);
    open.reviewing.findings =
        vec![PreReviewKind::Sensitive, PreReviewKind::NoTests, PreReviewKind::Lint, PreReviewKind::Size];
    open.reviewing.delivered = Some(DeliveryMeasure {
        files: 3,
        added: 40,
        removed: 2,
        reworked_percent: 0,
        unbacked_criteria: 2,
        not_verified: true,
        disputed: true,
        ..DeliveryMeasure::default()
    });
    let mut back = waits(2, 1);
    back.state = RunState::Queued { reason: QueueReason::Feedback };
    let mut paused = waits(3, 200);
    paused.state = RunState::Paused { reason: nightshift_protocol::PauseReason::Person };
    let queue = queued(&[open, back, paused, waits(4, 144_000)], None);
    let why: Vec<&str> = queue.entries.iter().map(|entry| entry.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "ready; small (42 lines in 3 files); 2 criteria without evidence, something not verified, agent and critic disagree, \
             sensitive files, no test changed",
            "ready; large (144,000 lines in 1 file); nothing speaks against it",
            "the agent is at it again; tiny (1 line in 1 file); nothing speaks against it",
            "its run is paused; medium (200 lines in 1 file); nothing speaks against it",
        ]
    );
}

#[test]
fn tasks_that_the_limit_holds_back_are_counted_and_others_are_not() {
    let held = |number| run(number, RunState::Queued { reason: QueueReason::ReviewLimit { limit: 1 } });
    let unfinished =
        [waits(1, 1), held(2), held(3), run(4, RunState::Queued { reason: QueueReason::Submitted })];
    let queue = queue(Vec::new(), &unfinished, Some(1));
    assert_eq!((queue.waiting, queue.held_back, queue.entries.len()), (1, 2, 0));
}

#[test]
fn a_delivery_without_a_measure_is_as_small_as_can_be() {
    let mut old = waits(1, 1);
    old.reviewing = Reviewing::default();
    let queue = queued(&[old], None);
    assert_eq!(queue.entries[0].why, "ready; tiny (0 lines in 0 files); nothing speaks against it");
}

proptest! {
    #[test]
    fn every_open_pull_request_is_in_the_queue_once_and_what_is_ready_comes_first(
        kinds in prop::collection::vec((any::<bool>(), 0..2_000_u64, 0..4_usize), 0..20)
    ) {
        let runs: Vec<RunSummary> = (1..).zip(&kinds).map(|(number, &(ready, lines, doubts))| {
            let mut run = waits(number, lines);
            if !ready {
                run.state = RunState::Working;
            }
            run.reviewing.findings = vec![PreReviewKind::Sensitive; doubts];
            run
        }).collect();
        let queue = queued(&runs, None);
        let mut there = order(&queue);
        there.sort_by_key(|number| number.parse::<u32>().unwrap());
        let all: Vec<String> = (1..=runs.len()).map(|number| number.to_string()).collect();
        prop_assert_eq!(there, all);
        let places: Vec<_> = queue.entries.iter().map(|entry| (!entry.ready, entry.size)).collect();
        prop_assert!(places.is_sorted());
    }
}

#[test]
fn the_beginning_of_statistics_is_a_day_or_so_many_days_or_weeks_ago() {
    let read = |text| since(text, NOW).map_err(|error| error.code);
    assert_eq!(read("2026-11-01"), Ok(datetime!(2026-11-01 00:00 UTC)));
    assert_eq!(read("30d"), Ok(datetime!(2026-10-29 22:00 UTC)));
    assert_eq!(read("2w"), Ok(datetime!(2026-11-14 22:00 UTC)));
    for odd in ["", "d", "x", "-3d", "1.5d", "4m", "2026-13-01", "99999d", "ü", "3ü"] {
        assert_eq!(read(odd), Err(ErrorCode::InvalidRequest), "{odd}");
    }
    assert_eq!(since("soon", NOW).unwrap_err().message, "\"soon\" is no time that statistics can begin at");
}
