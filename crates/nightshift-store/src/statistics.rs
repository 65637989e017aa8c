//! The table `run_figures`, and what runs and their reviews came to: summed up by SQLite, which reads none of what lists
//! show.

use nightshift_protocol::{OffsetDateTime, RunSummary, Statistics, StatisticsBy, StatisticsRow};
use rusqlite::{Connection, params};
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use time::UtcOffset;

use crate::{ReadError, Store};

/// The share of changed lines from which on a change after the first delivery is significant, in percent.
const SIGNIFICANT: i64 = 10;

/// What is summed up, with the kind of each run as `name`. In a sum of an even number the lower of both in the middle is
/// the median. `total` is a sum that cannot overflow, and exact for nine billion dollars.
const SUMS: &str = " AS name, state, reworked_percent, rounds, review_ms, agent_ms, cost
    FROM run_figures WHERE created_ms >= ?1
), places AS (
    SELECT name, review_ms, agent_ms, state IN ('merged', 'closed') AS decided, reworked_percent IS NOT NULL AS delivered,
        row_number() OVER (PARTITION BY name, state IN ('merged', 'closed') ORDER BY review_ms) AS review_place,
        count(*) OVER (PARTITION BY name, state IN ('merged', 'closed')) AS reviewed,
        row_number() OVER (PARTITION BY name, reworked_percent IS NOT NULL ORDER BY agent_ms) AS agent_place,
        count(*) OVER (PARTITION BY name, reworked_percent IS NOT NULL) AS worked
    FROM counted
), medians AS (
    SELECT name,
        max(review_ms / 1000) FILTER (WHERE decided AND review_place = (reviewed + 1) / 2) AS review_seconds,
        max(agent_ms / 1000) FILTER (WHERE delivered AND agent_place = (worked + 1) / 2) AS agent_seconds
    FROM places GROUP BY name
), sums AS (
    SELECT name, count(*) AS runs, count(reworked_percent) AS delivered,
        count(*) FILTER (WHERE state = 'merged') AS merged,
        count(*) FILTER (WHERE state = 'merged' AND reworked_percent < ?2) AS merged_unchanged,
        count(*) FILTER (WHERE state = 'closed') AS closed,
        count(*) FILTER (WHERE state IN ('failed', 'cancelled')) AS given_up,
        sum(rounds) AS rounds, CAST(total(cost) AS INTEGER) AS cost
    FROM counted GROUP BY name
)
SELECT name, runs, delivered, merged, merged_unchanged, closed, given_up, rounds, review_seconds, agent_seconds, cost
FROM sums JOIN medians USING (name) ORDER BY ";

impl Store {
    /// Sums up the runs whose tasks were given since then; all if `None`.
    pub async fn statistics(
        &self,
        by: StatisticsBy,
        since: Option<OffsetDateTime>,
    ) -> Result<Statistics, ReadError> {
        let kind = match by {
            // The workflow of every task so far.
            StatisticsBy::Blueprint => "'default'",
            StatisticsBy::Model => "model",
            StatisticsBy::Repository => "repository",
            StatisticsBy::Week => "week",
        };
        let order = if by == StatisticsBy::Week { "name" } else { "runs DESC, name" };
        let from = since.map_or(i64::MIN, milliseconds);
        // One transaction, so that the rows and what they come to are of the same moment.
        let mut reading = self.inner.database.readers().begin().await?;
        let rows = sums(&mut reading, kind, order, from).await?;
        let total = sums(&mut reading, "'all'", order, from).await?.pop();
        let nothing = || StatisticsRow { name: "all".to_owned(), ..StatisticsRow::default() };
        Ok(Statistics { by, since, rows, total: total.unwrap_or_else(nothing) })
    }
}

/// The columns of a sum, in the order of [`StatisticsRow`].
type Columns = (String, i64, i64, i64, i64, i64, i64, i64, Option<i64>, Option<i64>, i64);

async fn sums(
    reading: &mut SqliteConnection,
    kind: &'static str,
    order: &'static str,
    from: i64,
) -> Result<Vec<StatisticsRow>, sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("WITH counted AS (SELECT ");
    query.push(kind).push(SUMS).push(order);
    let rows: Vec<Columns> = query.build_query_as().bind(from).bind(SIGNIFICANT).fetch_all(reading).await?;
    Ok(rows.into_iter().map(row).collect())
}

fn row(columns: Columns) -> StatisticsRow {
    let (name, runs, delivered, merged, merged_unchanged, closed, given_up, rounds, review, agent, cost) =
        columns;
    StatisticsRow {
        name,
        runs: runs.cast_unsigned(),
        delivered: delivered.cast_unsigned(),
        merged: merged.cast_unsigned(),
        merged_unchanged: merged_unchanged.cast_unsigned(),
        closed: closed.cast_unsigned(),
        given_up: given_up.cast_unsigned(),
        rounds: rounds.cast_unsigned(),
        review_seconds: review.map(i64::cast_unsigned),
        agent_seconds: agent.map(i64::cast_unsigned),
        cost_microdollars: cost.cast_unsigned(),
    }
}

/// What of a run is summed up and changes while it works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figures {
    state: &'static str,
    reworked_percent: Option<u8>,
    rounds: u32,
    review_ms: i64,
    agent_ms: i64,
    cost: i64,
}

impl Figures {
    /// Whether the run's state has another name than in these.
    pub(crate) fn moved_since(&self, before: &Self) -> bool {
        self.state != before.state
    }

    /// The figures of a run.
    pub(crate) fn of(summary: &RunSummary) -> Self {
        let RunSummary { state, usage, reviewing, .. } = summary;
        Self {
            state: state.name(),
            reworked_percent: reviewing.delivered.as_ref().map(|delivered| delivered.reworked_percent),
            rounds: reviewing.rounds,
            review_ms: whole(reviewing.review_ms),
            agent_ms: whole(reviewing.agent_ms),
            cost: whole(usage.cost_microdollars),
        }
    }
}

/// A run's figures with what they are summed up by.
#[derive(Debug)]
pub(crate) struct FiguresRow {
    run: String,
    repository: String,
    model: String,
    week: String,
    created_ms: i64,
    figures: Figures,
}

impl FiguresRow {
    pub(crate) fn of(summary: &RunSummary) -> Self {
        let RunSummary { run, task, .. } = summary;
        let (year, week, _) = task.created_at.to_offset(UtcOffset::UTC).to_iso_week_date();
        Self {
            run: run.as_str().to_owned(),
            repository: task.repository.clone(),
            model: task.model.clone(),
            week: format!("{year}-W{week:02}"),
            created_ms: milliseconds(task.created_at),
            figures: Figures::of(summary),
        }
    }

    /// Writes it, in place of the one that is there.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let Figures { state, reworked_percent, rounds, review_ms, agent_ms, cost } = self.figures;
        let mut upsert = connection.prepare_cached(
            "INSERT INTO run_figures (run, repository, model, week, created_ms, state, reworked_percent, rounds, review_ms,
                 agent_ms, cost)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (run) DO UPDATE SET state = excluded.state, reworked_percent = excluded.reworked_percent,
                 rounds = excluded.rounds, review_ms = excluded.review_ms, agent_ms = excluded.agent_ms,
                 cost = excluded.cost",
        )?;
        upsert.execute(params![
            self.run,
            self.repository,
            self.model,
            self.week,
            self.created_ms,
            state,
            reworked_percent,
            rounds,
            review_ms,
            agent_ms,
            cost
        ])?;
        Ok(())
    }
}

fn milliseconds(at: OffsetDateTime) -> i64 {
    // Years 0 to 9999 fit.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(i64::MAX)
}

/// A number as SQLite keeps it.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
