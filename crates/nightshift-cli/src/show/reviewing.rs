//! The review queue, and what reviews came to.

use nightshift_protocol::{ReviewEntry, ReviewQueue, Statistics, StatisticsBy, StatisticsRow};

use super::{line, money, plain, table};

/// The open pull requests, the one to take first at the top, and what the limit does.
pub(crate) fn queue(queue: &ReviewQueue) -> String {
    let mut text = if queue.entries.is_empty() {
        "No pull request waits.".to_owned()
    } else {
        let row = |entry: &ReviewEntry| {
            let pull_request = &entry.pull_request;
            [
                pull_request.run.to_string(),
                format!("#{}", pull_request.number),
                line(&pull_request.title),
                plain(&pull_request.repository),
                line(&entry.why),
            ]
        };
        table(&queue.entries.iter().map(row).collect::<Vec<_>>())
    };
    if let Some(limit) = queue.limit {
        let left = limit.saturating_sub(queue.waiting);
        text += &match (left, queue.held_back) {
            (0, 0) => format!(
                "\n\n{} wait for you, and {limit} may: new tasks stay queued until you decide on one.",
                queue.waiting
            ),
            (0, held) => format!(
                "\n\n{} wait for you, and {limit} may: {held} task{} held back until you decide on one.",
                queue.waiting,
                if held == 1 { " is" } else { "s are" }
            ),
            _ => format!("\n\n{} of {limit} that may wait for you.", queue.waiting),
        };
    }
    text
}

/// A row for each kind, and one for all together.
pub(crate) fn statistics(statistics: &Statistics) -> String {
    if statistics.total.runs == 0 {
        return "No task was given in that time.".to_owned();
    }
    let kind = match statistics.by {
        StatisticsBy::Blueprint => "blueprint",
        StatisticsBy::Model => "model",
        StatisticsBy::Repository => "repository",
        StatisticsBy::Week => "week",
    };
    let head = [
        kind,
        "runs",
        "delivered",
        "merged",
        "unchanged",
        "closed",
        "given up",
        "rounds",
        "review",
        "agent",
        "cost",
    ];
    let rows = statistics.rows.iter().chain([&statistics.total]).map(row);
    table(&[head.map(str::to_owned)].into_iter().chain(rows).collect::<Vec<_>>())
}

fn row(row: &StatisticsRow) -> [String; 11] {
    let unchanged = match (row.merged_unchanged * 100).checked_div(row.merged) {
        Some(percent) => format!("{} ({percent} %)", row.merged_unchanged),
        None => "-".to_owned(),
    };
    [
        line(&row.name),
        row.runs.to_string(),
        row.delivered.to_string(),
        row.merged.to_string(),
        unchanged,
        row.closed.to_string(),
        row.given_up.to_string(),
        row.rounds.to_string(),
        time(row.review_seconds),
        time(row.agent_seconds),
        money(row.cost_microdollars),
    ]
}

/// A time in its largest unit.
pub(super) fn time(seconds: Option<u64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds @ 0..=99) => format!("{seconds} s"),
        Some(seconds @ 100..=5_999) => format!("{} min", seconds / 60),
        Some(seconds) => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{
        OffsetDateTime, PullRequestId, PullRequestState, PullRequestSummary, ReviewSize, RunState,
    };

    use super::*;

    fn entry(number: u64, why: &str) -> ReviewEntry {
        ReviewEntry {
            pull_request: PullRequestSummary {
                run: format!("run-{number:010}").parse().unwrap(),
                number: PullRequestId(number),
                url: None,
                title: "Add\u{1b}[31m dark mode".to_owned(),
                repository: "/src/app".to_owned(),
                branch: "nightshift/x".to_owned(),
                base: "main".to_owned(),
                head: "b".repeat(40).parse().unwrap(),
                state: PullRequestState::Open,
                created_at: OffsetDateTime::UNIX_EPOCH,
            },
            run_state: RunState::InReview { pull_request: PullRequestId(number) },
            ready: true,
            size: ReviewSize::Tiny,
            files: 1,
            lines: 3,
            doubts: Vec::new(),
            since: OffsetDateTime::UNIX_EPOCH,
            why: why.to_owned(),
        }
    }

    fn of(entries: Vec<ReviewEntry>, limit: Option<u32>, held_back: u32) -> String {
        let waiting = u32::try_from(entries.len()).unwrap();
        queue(&ReviewQueue { limit, waiting, held_back, entries })
    }

    #[test]
    fn the_queue_is_a_list_with_reasons_and_says_when_it_is_full() {
        let entries = || {
            vec![
                entry(1, "ready; tiny (3 lines in 1 file)"),
                entry(12, "ready; large (900 lines in 4 files)"),
            ]
        };
        insta::assert_snapshot!(of(entries(), Some(2), 3));
        assert!(of(entries(), Some(9), 0).ends_with("\n\n2 of 9 that may wait for you."));
        assert!(of(entries(), None, 0).ends_with("in 4 files)"));
        assert_eq!(of(Vec::new(), None, 0), "No pull request waits.");
        let one = of(entries(), Some(2), 1);
        assert!(one.ends_with("1 task is held back until you decide on one."), "{one}");
        assert!(of(entries(), Some(1), 0).ends_with("new tasks stay queued until you decide on one."));
    }

    #[test]
    fn statistics_are_a_table_whose_last_row_is_all_together() {
        let row = StatisticsRow {
            name: "/src/app".to_owned(),
            runs: 9,
            delivered: 7,
            merged: 6,
            merged_unchanged: 4,
            closed: 1,
            given_up: 2,
            rounds: 5,
            review_seconds: Some(5_400),
            agent_seconds: Some(99),
            cost_microdollars: 12_340_000,
        };
        let total = StatisticsRow { name: "all".to_owned(), review_seconds: Some(90_000), ..row.clone() };
        let other = StatisticsRow { name: "/src/other".to_owned(), runs: 1, ..StatisticsRow::default() };
        let all = Statistics { by: StatisticsBy::Repository, since: None, rows: vec![row, other], total };
        insta::assert_snapshot!(statistics(&all));
        let nothing = Statistics { rows: Vec::new(), total: StatisticsRow::default(), ..all };
        assert_eq!(statistics(&nothing), "No task was given in that time.");
    }

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let told = [None, Some(0), Some(99), Some(100), Some(5_999), Some(6_000)].map(time);
        assert_eq!(told, ["-", "0 s", "99 s", "1 min", "99 min", "1 h"]);
    }
}
