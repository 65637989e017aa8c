use nightshift_forge::{FileChange, LineCounts};
use nightshift_protocol::{
    Approval, DeliveryMeasure, ErrorCode, Evidence, EvidenceSource, Glance, Limits, OffsetDateTime,
    PreReviewKind, PullRequestId, PullRequestState, PullRequestSummary, QueueReason, ReviewQueue, Reviewing,
    RunState, RunSummary, SelfReview, SelfReviewOutcome, StatisticsBy, StatisticsRow, Task, Usage,
};
use proptest::prelude::*;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-11-28 22:00 UTC);

fn run(number: u32, state: RunState) -> RunSummary {
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
            issue: None,
            created_at: NOW,
        },
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
    });
    let mut back = waits(2, 1);
    back.state = RunState::Queued { reason: QueueReason::Feedback };
    let mut paused = waits(3, 200);
    paused.state = RunState::Paused { reason: nightshift_protocol::PauseReason::Person };
    let queue = queued(&[open, back, paused], None);
    let why: Vec<&str> = queue.entries.iter().map(|entry| entry.why.as_str()).collect();
    assert_eq!(
        why,
        [
            "ready; small (42 lines in 3 files); 2 criteria without evidence, something not verified, agent and critic disagree, \
             sensitive files, no test changed",
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
fn a_delivery_is_measured_by_its_lines_its_criteria_and_what_the_agent_owns_up_to() {
    let change = |path: &str, lines: Option<(u64, u64)>| FileChange {
        path: path.to_owned(),
        lines: lines.map(|(added, removed)| LineCounts { added, removed }),
    };
    let changed = [change("a", Some((10, 2))), change("logo.png", None), change("b", Some((1, 0)))];
    let evidence = |criterion| Evidence {
        claim: "It does.".to_owned(),
        criterion,
        source: EvidenceSource::Command {
            step: "1.1".parse().unwrap(),
            command: "npm test".to_owned(),
            exit_code: Some(0),
            output_tail: String::new(),
        },
    };
    let criteria = ["One.".to_owned(), "Two.".to_owned(), "Three.".to_owned()];
    let measured = measure(&changed, &criteria, &[evidence(Some(2)), evidence(None)], &[], " \n", 7);
    let expected = DeliveryMeasure {
        files: 3,
        added: 11,
        removed: 2,
        reworked_percent: 7,
        unbacked_criteria: 2,
        not_verified: false,
        disputed: false,
    };
    assert_eq!(measured, expected);
    let nothing = measure(&[], &[], &[], &[], "The colours.", 0);
    assert_eq!((nothing.lines(), nothing.unbacked_criteria, nothing.not_verified), (0, 0, true));
}

#[test]
fn a_delivery_is_disputed_where_the_last_critic_found_something_and_no_round_was_left() {
    let review =
        |outcome| SelfReview { round: 1, of: 1, verdicts: Vec::new(), words: String::new(), outcome };
    let (back, disagreed) = (review(SelfReviewOutcome::SentBack), review(SelfReviewOutcome::Disagreed));
    let passed = review(SelfReviewOutcome::Passed);
    let disputed = |reviews: &[SelfReview]| measure(&[], &[], &[], reviews, "", 0).disputed;
    assert!(disputed(&[back.clone(), disagreed]));
    assert!(!disputed(&[back, passed]));
    assert!(!disputed(&[]));
}

fn over(number: u32, state: RunState, review_ms: u64, reworked_percent: u8) -> RunSummary {
    let mut run = run(number, state);
    let delivered = DeliveryMeasure { files: 1, added: 10, reworked_percent, ..DeliveryMeasure::default() };
    run.reviewing = Reviewing {
        since: NOW,
        delivered: Some(delivered),
        review_ms,
        agent_ms: 60_999,
        rounds: 1,
        findings: vec![],
    };
    run
}

fn merged(number: u32, review_ms: u64, reworked_percent: u8) -> RunSummary {
    over(number, RunState::Merged { pull_request: PullRequestId(1) }, review_ms, reworked_percent)
}

#[test]
fn runs_are_summed_up_by_what_they_have_in_common_and_all_together() {
    let mut elsewhere = over(3, RunState::Closed { pull_request: PullRequestId(1) }, 90_000, 0);
    elsewhere.task.repository = "/src/other".to_owned();
    let runs = [merged(1, 10_000, 9), merged(2, 30_000, 10), elsewhere, run(4, RunState::Cancelled)];
    let sums = statistics(&runs, StatisticsBy::Repository, None);
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

#[test]
fn nothing_sums_up_to_nothing() {
    let sums = statistics(&[], StatisticsBy::Model, None);
    assert_eq!(
        (sums.rows, sums.total),
        (vec![], StatisticsRow { name: "all".to_owned(), ..StatisticsRow::default() })
    );
}

#[test]
fn weeks_are_in_order_and_the_first_day_of_a_year_may_be_in_the_last_year_s_week() {
    let at = |number, created_at| {
        let mut run = merged(number, 1_000, 0);
        run.task.created_at = created_at;
        run
    };
    let runs = [
        at(1, datetime!(2027-01-04 00:00 UTC)),
        at(2, datetime!(2027-01-01 12:00 UTC)),
        at(3, datetime!(2027-01-04 00:30 +1)),
    ];
    let weeks = statistics(&runs, StatisticsBy::Week, None);
    let named: Vec<_> = weeks.rows.iter().map(|row| (row.name.as_str(), row.runs)).collect();
    assert_eq!(named, [("2026-W53", 2), ("2027-W01", 1)]);
}

#[test]
fn blueprints_have_one_row_and_models_one_each() {
    let mut other = merged(2, 1_000, 0);
    other.task.model = "n".to_owned();
    let runs = [merged(1, 1_000, 0), other];
    let names =
        |by| -> Vec<String> { statistics(&runs, by, None).rows.into_iter().map(|row| row.name).collect() };
    assert_eq!(names(StatisticsBy::Blueprint), ["default"]);
    assert_eq!(names(StatisticsBy::Model), ["m", "n"]);
}

#[test]
fn only_tasks_given_since_then_are_counted() {
    let mut early = merged(1, 1_000, 0);
    early.task.created_at = NOW - time::Duration::days(3);
    let sums = statistics(&[early, merged(2, 1_000, 0)], StatisticsBy::Model, Some(NOW));
    assert_eq!((sums.total.runs, sums.since), (1, Some(NOW)));
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
