//! The table `events`.

use std::error::Error;
use std::sync::Arc;

use nightshift_protocol::{Event, EventBody, OffsetDateTime, RunId};
use rusqlite::ErrorCode;
use sqlx::SqlitePool;
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;
use tokio::sync::broadcast;

use crate::batch::Record;
use crate::group::{Entry, Refused};
use crate::{Misplaced, Store};

/// Rows read at once where no limit is given.
pub(crate) const PAGE: u32 = 512;

/// Why events were not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull(#[source] rusqlite::Error),
    /// An event cannot stand where it was to go.
    #[error(transparent)]
    Misplaced(#[from] Misplaced),
    /// The time cannot be written as RFC 3339, which has years 0 to 9999.
    #[error("the event's time cannot be written")]
    Time(#[source] time::error::Format),
    /// An event or a run is no valid JSON.
    #[error("the event cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// This program has a defect, which its log tells.
    #[error("the event cannot be written because of a defect in this program; its log tells which")]
    Defect,
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
    /// The database failed. What was to be written is there or not, as the tables say.
    #[error("cannot write to the history")]
    Database(#[source] Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for AppendError {
    fn from(error: rusqlite::Error) -> Self {
        // The disk or a limit of the database: <https://sqlite.org/rescode.html#full>.
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull(error),
            _ => Self::Database(Arc::new(error)),
        }
    }
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A run's row is damaged; [`Store::rebuild`] makes it anew.
    #[error("the row of {run} cannot be read")]
    Run {
        /// The run.
        run: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The database failed.
    #[error("cannot read the history")]
    Database(#[from] sqlx::Error),
}

/// Why a run was not replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// An event is of a type, or in a form, that this version does not know.
    #[error(transparent)]
    Unreadable(#[from] UnreadableEvent),
    /// The database failed.
    #[error("cannot read the history")]
    Database(#[from] sqlx::Error),
}

/// An event of a type, or in a form, that this version does not know: a newer version wrote it.
#[derive(Debug, thiserror::Error)]
#[error("event {seq} of {run} has type \"{kind}\" in a form that this version cannot read")]
pub struct UnreadableEvent {
    /// The run.
    pub run: String,
    /// Its place in the run.
    pub seq: u64,
    /// Its type.
    pub kind: String,
    /// Why.
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl Store {
    /// Appends events to a run in one transaction, together with the run's new state; all of them or none.
    ///
    /// When it returns they are on the disk and published to subscribers, in this order. It cannot be cancelled
    /// half-way: once asked for it is written also when the caller stops waiting.
    pub async fn append(
        &self,
        run: &RunId,
        at: OffsetDateTime,
        bodies: &[EventBody],
    ) -> Result<Vec<Arc<Event>>, AppendError> {
        self.append_all(at, &[(run, bodies)]).await
    }

    /// Appends to a run as [`Store::append`] does, and takes the events out of `bodies`. After an error they are there again.
    ///
    /// Who stops waiting does not get them back, for they are written all the same.
    pub async fn append_from(
        &self,
        run: &RunId,
        at: OffsetDateTime,
        bodies: &mut Vec<EventBody>,
    ) -> Result<Vec<Arc<Event>>, AppendError> {
        let at = at.to_offset(UtcOffset::UTC);
        let texts = bodies.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>();
        let texts = texts.map_err(AppendError::Json)?;
        let records = bodies.drain(..).zip(texts).map(|(body, json)| Record::new(run, at, body, json));
        let refused = match self.write(vec![records.collect()]).await {
            Ok(events) => return Ok(events),
            Err(refused) => refused,
        };
        if let Some(Entry::Events(parts)) = refused.entry {
            bodies.extend(parts.into_iter().flatten().map(|record| record.into_event().body));
        }
        Err(refused.error)
    }

    /// Appends events to several runs in one transaction, as [`Store::append`] does to one; all of them or none. They get
    /// their positions in the order in which they are given.
    pub async fn append_all(
        &self,
        at: OffsetDateTime,
        appends: &[(&RunId, &[EventBody])],
    ) -> Result<Vec<Arc<Event>>, AppendError> {
        let at = at.to_offset(UtcOffset::UTC);
        let mut parts = Vec::with_capacity(appends.len());
        for (run, bodies) in appends {
            let record = |body: &EventBody| {
                let json = serde_json::to_string(body).map_err(AppendError::Json)?;
                Ok(Record::new(run, at, body.clone(), json))
            };
            parts.push(bodies.iter().map(record).collect::<Result<_, AppendError>>()?);
        }
        Ok(self.write(parts).await?)
    }

    /// Writes records, each list those of one run.
    async fn write(&self, parts: Vec<Vec<Record>>) -> Result<Vec<Arc<Event>>, Refused> {
        if parts.iter().all(Vec::is_empty) {
            return Ok(Vec::new());
        }
        self.inner.queue.write(Entry::Events(parts)).await
    }

    /// The events of a run after `after_seq` (0 for all), in order, at most `limit`.
    ///
    /// Events that this version cannot read are left out; [`Store::replay`] refuses them instead.
    pub async fn events(&self, run: &RunId, after_seq: u64, limit: u32) -> Result<Vec<Event>, ReadError> {
        self.list(&Scope::Run(run.clone()), after_seq, limit).await
    }

    /// The events of all runs after `position` (0 for all), in order, at most `limit`, without unreadable ones.
    pub async fn events_after(&self, position: u64, limit: u32) -> Result<Vec<Event>, ReadError> {
        self.list(&Scope::All, position, limit).await
    }

    /// All events of a run for one who continues it, who must not miss any: an unreadable one is an error.
    pub async fn replay(&self, run: &RunId) -> Result<Vec<Event>, ReplayError> {
        let scope = Scope::Run(run.clone());
        let mut events = Vec::new();
        let mut after = 0;
        loop {
            let rows = page(self.inner.database.readers(), &scope, after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(events) };
            after = last.place;
            for row in rows {
                events.push(row.event?);
            }
        }
    }

    /// Events of all runs from now on, in the order they were committed. [`Store::follow`] loses none when slow.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.inner.live.subscribe()
    }

    async fn list(&self, scope: &Scope, mut after: u64, limit: u32) -> Result<Vec<Event>, ReadError> {
        let mut events = Vec::new();
        loop {
            let missing = limit.saturating_sub(u32::try_from(events.len()).unwrap_or(u32::MAX));
            let rows = page(self.inner.database.readers(), scope, after, missing.min(PAGE)).await?;
            let Some(last) = rows.last() else { return Ok(events) };
            after = last.place;
            events.extend(rows.into_iter().filter_map(Row::readable));
        }
    }
}

/// Whose events are read.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// One run's, in places counted by `seq`.
    Run(RunId),
    /// Everybody's, in places counted by `position`.
    All,
}

impl Scope {
    /// The event's place, if the event belongs here.
    pub(crate) fn place(&self, event: &Event) -> Option<u64> {
        match self {
            Self::Run(run) => (event.run == *run).then_some(event.seq),
            Self::All => Some(event.position),
        }
    }
}

pub(crate) struct Row {
    pub(crate) place: u64,
    pub(crate) position: i64,
    pub(crate) event: Result<Event, UnreadableEvent>,
}

impl Row {
    /// The event, or nothing and a line in the log.
    pub(crate) fn readable(self) -> Option<Event> {
        self.event.inspect_err(|error| tracing::warn!(%error, "an event is left out")).ok()
    }
}

/// Columns as they are in the table: position, run, seq, at, type, json.
pub(crate) type Columns = (i64, String, i64, String, String, String);

/// The next rows after a place, at most `limit`; none at the end only.
pub(crate) async fn page(
    readers: &SqlitePool,
    scope: &Scope,
    after: u64,
    limit: u32,
) -> Result<Vec<Row>, sqlx::Error> {
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows: Vec<Columns> = match scope {
        Scope::Run(run) => {
            sqlx::query_as(
                "SELECT position, run, seq, at, type, json FROM events WHERE run = ? AND seq > ? ORDER BY seq LIMIT ?",
            )
            .bind(run.as_str())
            .bind(after)
            .bind(limit)
            .fetch_all(readers)
            .await?
        }
        Scope::All => {
            sqlx::query_as(
                "SELECT position, run, seq, at, type, json FROM events WHERE position > ? ORDER BY position LIMIT ?",
            )
            .bind(after)
            .bind(limit)
            .fetch_all(readers)
            .await?
        }
    };
    Ok(rows.into_iter().map(|columns| row(scope, columns)).collect())
}

pub(crate) fn row(scope: &Scope, columns: Columns) -> Row {
    let (position, run, seq, ..) = &columns;
    let place = match scope {
        Scope::Run(_) => *seq,
        Scope::All => *position,
    };
    let (run, seq, kind) = (run.clone(), seq.cast_unsigned(), columns.4.clone());
    Row {
        place: place.cast_unsigned(),
        position: *position,
        event: decode(columns).map_err(|source| UnreadableEvent { run, seq, kind, source }),
    }
}

fn decode((position, run, seq, at, _, json): Columns) -> Result<Event, Box<dyn Error + Send + Sync>> {
    Ok(Event {
        position: position.cast_unsigned(),
        run: run.parse()?,
        seq: seq.cast_unsigned(),
        at: OffsetDateTime::parse(&at, &Rfc3339)?,
        body: serde_json::from_str(&json)?,
    })
}
