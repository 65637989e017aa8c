//! The table `runs`: each run as its events left it.

use std::collections::HashMap;

use nightshift_protocol::{IssueReference, RunId, RunSummary, Task, TaskId};
use rusqlite::{Connection, params};
use sqlx::{QueryBuilder, Sqlite};

use crate::events::{Row, Scope, row};
use crate::heads::Heads;
use crate::search::{Findable, SearchWords};
use crate::statistics::FiguresRow;
use crate::{AppendError, Misplaced, OpenError, ReadError, Store, UnreadableEvent, project};

/// The number of what `project` derives. A store whose rows were made by another number derives them anew when it
/// is opened: raise it when `project` or `RunSummary` changes.
const PROJECTION: i64 = 11;

/// How many candidates an ambiguous prefix is answered with.
const CANDIDATES: u32 = 10;

/// Which runs are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Where they are.
    pub states: RunStates,
    /// The repository their task names; any if `None`.
    pub repository: Option<String>,
    /// Their task; any if `None`.
    pub task: Option<TaskId>,
    /// Words of the task's description or repository; any if `None`.
    pub words: Option<SearchWords>,
}

/// Which states are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum RunStates {
    /// Every one.
    #[default]
    All,
    /// Those after which something can still happen.
    Unfinished,
    /// Those with one of these names, as `RunState::name` gives them.
    Named(Vec<String>),
}

/// A place in a list of runs: where the page before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunCursor(pub u64);

/// A part of a list of runs, the newest submitted first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunPage {
    /// The runs.
    pub runs: Vec<RunSummary>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<RunCursor>,
}

/// Why the beginning of an id did not lead to one thing.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No id begins like that.
    #[error("no id begins with \"{prefix}\"")]
    NotFound {
        /// What was given, cut to 80 characters.
        prefix: String,
    },
    /// Several ids begin like that.
    #[error("\"{prefix}\" is the beginning of several ids: {}", candidates.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// The ids, at most ten.
        candidates: Vec<String>,
    },
    /// Nothing could be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why the runs were not derived anew. They are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// An event of a newer version is in the way: what the run is cannot be known without it.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// The events contradict each other.
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    /// Writing the rows failed.
    #[error("cannot write the derived runs")]
    Write(#[source] AppendError),
    /// The database failed.
    #[error("cannot read the events, or write what became of them")]
    Database(#[from] rusqlite::Error),
}

impl Store {
    /// The run with this id, if there is one.
    pub async fn run(&self, run: &RunId) -> Result<Option<RunSummary>, ReadError> {
        let json: Option<String> = sqlx::query_scalar("SELECT json FROM runs WHERE run = ?")
            .bind(run.as_str())
            .fetch_optional(self.inner.database.readers())
            .await?;
        json.map(|json| read_summary(run.as_str(), &json)).transpose()
    }

    /// The runs that fit `filter`, the newest submitted first, at most `limit`, from `cursor` on.
    pub async fn runs(
        &self,
        filter: &RunFilter,
        cursor: Option<RunCursor>,
        limit: u32,
    ) -> Result<RunPage, ReadError> {
        let mut query = QueryBuilder::<Sqlite>::new("SELECT run, first_position, json FROM runs WHERE TRUE");
        match &filter.states {
            RunStates::All => {}
            RunStates::Unfinished => {
                query.push(" AND is_final = 0");
            }
            RunStates::Named(names) => {
                query.push(" AND state IN (");
                let mut list = query.separated(", ");
                for name in names {
                    list.push_bind(name.clone());
                }
                query.push(")");
            }
        }
        if let Some(repository) = &filter.repository {
            query.push(" AND repository = ").push_bind(repository.clone());
        }
        if let Some(task) = &filter.task {
            query.push(" AND task = ").push_bind(task.as_str().to_owned());
        }
        if let Some(words) = &filter.words {
            query.push(" AND first_position IN (SELECT rowid FROM search WHERE search MATCH ");
            query.push_bind(words.task_query()).push(")");
        }
        if let Some(RunCursor(position)) = cursor {
            query.push(" AND first_position < ").push_bind(i64::try_from(position).unwrap_or(i64::MAX));
        }
        // One row more than asked for tells whether another page follows.
        query.push(" ORDER BY first_position DESC LIMIT ").push_bind(i64::from(limit) + 1);
        let mut rows: Vec<(String, i64, String)> =
            query.build_query_as().fetch_all(self.inner.database.readers()).await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > wanted;
        rows.truncate(wanted);
        let next = rows.last().filter(|_| more).map(|(_, position, _)| RunCursor(position.cast_unsigned()));
        let runs = rows.iter().map(|(run, _, json)| read_summary(run, json)).collect::<Result<_, _>>()?;
        Ok(RunPage { runs, next })
    }

    /// The issues of this repository that there are runs for, in no order.
    pub async fn issues_of(&self, repository: &str) -> Result<Vec<IssueReference>, ReadError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT run, issue FROM runs WHERE repository = ? AND issue IS NOT NULL")
                .bind(repository)
                .fetch_all(self.inner.database.readers())
                .await?;
        let read = |(run, json): (String, String)| {
            serde_json::from_str(&json).map_err(|source| ReadError::Run { run, source })
        };
        rows.into_iter().map(read).collect()
    }

    /// The run whose id begins with `prefix`, for example `run-ab3`, if it is the only one.
    pub async fn find_run(&self, prefix: &str) -> Result<RunSummary, FindError> {
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT run, json FROM runs WHERE run >= ? AND run < ? ORDER BY run LIMIT ?")
                .bind(prefix)
                .bind(end_of(prefix))
                .bind(CANDIDATES)
                .fetch_all(self.inner.database.readers())
                .await
                .map_err(ReadError::from)?;
        let (run, json) = only(prefix, rows)?;
        Ok(read_summary(&run, &json)?)
    }

    /// The task whose id begins with `prefix`, for example `task-7k`, if it is the only one.
    pub async fn find_task(&self, prefix: &str) -> Result<Task, FindError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT task, min(json) FROM runs WHERE task >= ? AND task < ? GROUP BY task ORDER BY task LIMIT ?",
        )
        .bind(prefix)
        .bind(end_of(prefix))
        .bind(CANDIDATES)
        .fetch_all(self.inner.database.readers())
        .await
        .map_err(ReadError::from)?;
        let (_, json) = only(prefix, rows)?;
        Ok(read_summary(prefix, &json)?.task)
    }

    /// Derives every run anew from its events; the result is what appending had made of them.
    pub async fn rebuild(&self) -> Result<(), RebuildError> {
        self.inner.queue.work(|writer| writer.transaction(rebuild)).await.map_err(RebuildError::Write)?
    }

    /// Whether the rows were made by this version's `project`.
    pub(crate) async fn projection_is_current(&self) -> Result<bool, OpenError> {
        let made_by: i64 =
            sqlx::query_scalar("PRAGMA user_version").fetch_one(self.inner.database.readers()).await?;
        Ok(made_by == PROJECTION)
    }
}

fn rebuild(connection: &Connection, heads: &mut Heads) -> Result<(), RebuildError> {
    heads.forget();
    let mut runs: HashMap<RunId, (Positions, RunSummary)> = HashMap::new();
    connection.execute("INSERT INTO search (search) VALUES ('delete-all')", [])?;
    let mut select =
        connection.prepare("SELECT position, run, seq, at, type, json FROM events ORDER BY position")?;
    let mut rows = select.query([])?;
    while let Some(columns) = rows.next()? {
        let Row { position, event, .. } = row(&Scope::All, columns.try_into()?);
        let event = event?;
        let (first, before) = match runs.remove(&event.run) {
            Some((Positions { first, .. }, summary)) => (first, Some(summary)),
            None => (position, None),
        };
        let summary = project(before, &event)?;
        if let Some(findable) = Findable::of(&event.body) {
            findable.write(position, connection)?;
        }
        runs.insert(event.run, (Positions { first, last: position }, summary));
    }
    connection.execute_batch("DELETE FROM runs; DELETE FROM run_figures")?;
    for (positions, summary) in runs.into_values() {
        RunRow::of(positions, &summary).map_err(RebuildError::Write)?.write(connection)?;
        FiguresRow::of(&summary).write(connection)?;
    }
    connection.pragma_update(None, "user_version", PROJECTION)?;
    Ok(())
}

/// The positions of a run's oldest and newest event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Positions {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A run's row.
#[derive(Debug)]
pub(crate) struct RunRow {
    run: String,
    task: String,
    repository: String,
    state: &'static str,
    is_final: bool,
    positions: Positions,
    issue: Option<String>,
    json: String,
}

impl RunRow {
    pub(crate) fn of(positions: Positions, summary: &RunSummary) -> Result<Self, AppendError> {
        Ok(Self {
            run: summary.run.as_str().to_owned(),
            task: summary.task.id.as_str().to_owned(),
            repository: summary.task.repository.clone(),
            state: summary.state.name(),
            is_final: summary.state.is_final(),
            positions,
            issue: summary
                .task
                .issue
                .as_ref()
                .map(serde_json::to_string)
                .transpose()
                .map_err(AppendError::Json)?,
            json: serde_json::to_string(summary).map_err(AppendError::Json)?,
        })
    }

    /// Writes it, in place of the one that is there.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let mut upsert = connection.prepare_cached(
            "INSERT INTO runs (run, task, repository, state, is_final, first_position, last_position, issue, json)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (run) DO UPDATE SET state = excluded.state, is_final = excluded.is_final,
                 last_position = excluded.last_position, json = excluded.json",
        )?;
        let Positions { first, last } = self.positions;
        upsert.execute(params![
            self.run,
            self.task,
            self.repository,
            self.state,
            self.is_final,
            first,
            last,
            self.issue,
            self.json
        ])?;
        Ok(())
    }

    /// Writes it in place of one that has the same state, and therefore is final or not as this one is: what most events do. A
    /// column that is written has its indexes written, whether it changes or not.
    pub(crate) fn write_progress(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let mut update =
            connection.prepare_cached("UPDATE runs SET last_position = ?, json = ? WHERE run = ?")?;
        match update.execute(params![self.positions.last, self.json, self.run])? {
            0 => self.write(connection),
            _ => Ok(()),
        }
    }
}

pub(crate) fn read_summary(run: &str, json: &str) -> Result<RunSummary, ReadError> {
    serde_json::from_str(json).map_err(|source| ReadError::Run { run: run.to_owned(), source })
}

/// The first text after all that begin with `prefix`: ids have no character above `z`.
fn end_of(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

fn only<T>(prefix: &str, mut rows: Vec<(String, T)>) -> Result<(String, T), FindError> {
    let prefix: String = prefix.chars().take(80).collect();
    match rows.len() {
        0 => Err(FindError::NotFound { prefix }),
        1 => Ok(rows.remove(0)),
        _ => {
            let candidates = rows.into_iter().map(|(id, _)| id).collect();
            Err(FindError::Ambiguous { prefix, candidates })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use nightshift_protocol::{EventBody, OffsetDateTime, RunState, StatisticsBy};

    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn submitted(number: u32) -> EventBody {
        serde_json::from_value(serde_json::json!({
            "type": "runSubmitted", "branch": "nightshift/x-0000000000",
            "task": {
                "id": format!("task-{number:010}"), "description": "x".repeat(2000), "baseBranch": "main",
                "repository": format!("/src/{}", number % 20), "baseCommit": "a".repeat(40), "model": "m",
                "createdAt": "2026-11-01T00:00:00Z",
                "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1},
            },
        }))
        .unwrap()
    }

    fn run(number: u32) -> RunId {
        format!("run-{number:010}").parse().unwrap()
    }

    #[tokio::test]
    async fn a_page_of_ten_thousand_runs_is_read_within_twenty_milliseconds_and_all_are_summed_up_within_a_hundred()
     {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        // One transaction for all: with one each the test would wait for the disk ten thousand times.
        let first: Vec<_> = (0..10_000).map(|number| (run(number), [submitted(number)])).collect();
        let appends: Vec<_> = first.iter().map(|(run, body)| (run, &body[..])).collect();
        store.append_all(AT, &appends).await.unwrap();
        let working = EventBody::StateChanged { state: RunState::Working };
        store.append(&run(77), AT, &[working]).await.unwrap();

        let with = |states| RunFilter { states, ..RunFilter::default() };
        let filters = [
            with(RunStates::All),
            with(RunStates::Unfinished),
            with(RunStates::Named(vec!["working".to_owned()])),
            RunFilter { repository: Some("/src/7".to_owned()), ..RunFilter::default() },
        ];
        for filter in &filters {
            let mut quickest = Duration::MAX;
            for _ in 0..10 {
                let began = Instant::now();
                let page = store.runs(filter, Some(RunCursor(9_000)), 50).await.unwrap();
                quickest = quickest.min(began.elapsed());
                assert!(!page.runs.is_empty());
            }
            // The quickest: what else runs on the host is not measured here.
            assert!(quickest <= Duration::from_millis(20), "{filter:?}: {quickest:?}");
        }
        let mut quickest = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            let sums = store.statistics(StatisticsBy::Repository, None).await.unwrap();
            quickest = quickest.min(began.elapsed());
            assert_eq!((sums.total.runs, sums.rows.len()), (10_000, 20));
        }
        assert!(quickest <= Duration::from_millis(100), "statistics: {quickest:?}");
    }
}
