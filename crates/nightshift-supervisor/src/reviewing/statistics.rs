//! What runs and their reviews came to, summed up by what they have in common.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use nightshift_protocol::{
    ErrorCode, OffsetDateTime, RunState, RunSummary, Statistics, StatisticsBy, StatisticsRow, UserError,
};
use time::macros::format_description;
use time::{Date, Duration, Time};

/// The share of changed lines from which on a change after the first delivery is significant, in percent.
const SIGNIFICANT: u8 = 10;

/// The workflow of every task so far.
const BLUEPRINT: &str = "default";

/// Sums up the runs whose tasks were given since then.
pub fn statistics(runs: &[RunSummary], by: StatisticsBy, since: Option<OffsetDateTime>) -> Statistics {
    let counted = runs.iter().filter(|run| since.is_none_or(|since| run.task.created_at >= since));
    let mut kinds: BTreeMap<String, Vec<&RunSummary>> = BTreeMap::new();
    let mut all = Vec::new();
    for run in counted {
        kinds.entry(kind(run, by)).or_default().push(run);
        all.push(run);
    }
    let mut rows: Vec<StatisticsRow> = kinds.iter().map(|(name, runs)| row(name, runs)).collect();
    if by != StatisticsBy::Week {
        rows.sort_by_key(|row| Reverse(row.runs));
    }
    Statistics { by, since, rows, total: row("all", &all) }
}

fn kind(run: &RunSummary, by: StatisticsBy) -> String {
    match by {
        StatisticsBy::Blueprint => BLUEPRINT.to_owned(),
        StatisticsBy::Model => run.task.model.clone(),
        StatisticsBy::Repository => run.task.repository.clone(),
        StatisticsBy::Week => {
            let (year, week, _) = run.task.created_at.to_offset(time::UtcOffset::UTC).to_iso_week_date();
            format!("{year}-W{week:02}")
        }
    }
}

fn row(name: &str, runs: &[&RunSummary]) -> StatisticsRow {
    let count = |is: &dyn Fn(&RunSummary) -> bool| runs.iter().filter(|run| is(run)).count() as u64;
    let merged = |run: &RunSummary| matches!(run.state, RunState::Merged { .. });
    let decided = |run: &RunSummary| merged(run) || matches!(run.state, RunState::Closed { .. });
    let delivered = |run: &RunSummary| run.reviewing.delivered.is_some();
    let unchanged = |run: &RunSummary| {
        let measure = run.reviewing.delivered.as_ref();
        measure.is_some_and(|measure| measure.reworked_percent < SIGNIFICANT)
    };
    let seconds = |which: &dyn Fn(&RunSummary) -> bool, of: fn(&RunSummary) -> u64| {
        median(runs.iter().filter(|run| which(run)).map(|run| of(run) / 1_000).collect())
    };
    StatisticsRow {
        name: name.to_owned(),
        runs: runs.len() as u64,
        delivered: count(&delivered),
        merged: count(&merged),
        merged_unchanged: count(&|run| merged(run) && unchanged(run)),
        closed: count(&|run| matches!(run.state, RunState::Closed { .. })),
        given_up: count(&|run| matches!(run.state, RunState::Failed { .. } | RunState::Cancelled)),
        rounds: runs.iter().map(|run| u64::from(run.reviewing.rounds)).sum(),
        review_seconds: seconds(&decided, |run| run.reviewing.review_ms),
        agent_seconds: seconds(&delivered, |run| run.reviewing.agent_ms),
        cost_microdollars: runs.iter().map(|run| run.usage.cost_microdollars).fold(0, u64::saturating_add),
    }
}

/// The middle one; of an even number the lower of both in the middle.
fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// Reads since when: a day, or so many days or weeks before `now`.
pub fn since(text: &str, now: OffsetDateTime) -> Result<OffsetDateTime, UserError> {
    let refuse = || {
        let cut: String = text.chars().take(80).collect();
        UserError::new(
            ErrorCode::InvalidRequest,
            format!("\"{cut}\" is no time that statistics can begin at"),
            "Give a day as 2026-11-01, or so many days or weeks ago as 30d or 4w.",
        )
    };
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Ok(day.with_time(Time::MIDNIGHT).assume_utc());
    }
    let Some((count, unit)) = text.split_at_checked(text.len().saturating_sub(1)) else {
        return Err(refuse());
    };
    let days = match unit {
        "d" => 1,
        "w" => 7,
        _ => return Err(refuse()),
    };
    // More than a century is as good as all.
    let count: i64 = count.parse::<u16>().map_err(|_| refuse())?.into();
    now.checked_sub(Duration::days(count * days)).ok_or_else(refuse)
}
