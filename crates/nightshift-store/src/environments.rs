//! The table `environment_events`. An environment's state is the fold of its events, made by whoever asks: there are few
//! of them, and each has tens of events.

use nightshift_protocol::{EnvironmentEvent, EnvironmentEventBody, EnvironmentId, OffsetDateTime};
use rusqlite::{Connection, params};
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

use crate::group::Entry;
use crate::{AppendError, ReadError, Store};

/// Events of an environment on their way into the table.
#[derive(Debug)]
pub(crate) struct EnvironmentRows {
    environment: EnvironmentId,
    at: String,
    /// The events' types with their JSON.
    records: Vec<(&'static str, String)>,
}

impl EnvironmentRows {
    /// Writes them after those that are there already.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let environment = self.environment.as_str();
        let last: i64 = connection
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM environment_events WHERE environment = ?")?
            .query_row([environment], |row| row.get(0))?;
        let mut insert = connection.prepare_cached(
            "INSERT INTO environment_events (environment, seq, at, type, json) VALUES (?, ?, ?, ?, ?)",
        )?;
        for (seq, (name, json)) in (last + 1..).zip(&self.records) {
            insert.execute(params![environment, seq, self.at, name, json])?;
        }
        Ok(())
    }
}

impl Store {
    /// Appends events to an environment in one transaction, and returns when they are on the disk.
    pub async fn append_environment(
        &self,
        environment: &EnvironmentId,
        at: OffsetDateTime,
        bodies: &[EnvironmentEventBody],
    ) -> Result<(), AppendError> {
        let at = at.to_offset(UtcOffset::UTC).format(&Rfc3339).map_err(AppendError::Time)?;
        let record = |body: &EnvironmentEventBody| Ok((body.name(), serde_json::to_string(body)?));
        let records = bodies.iter().map(record).collect::<Result<_, _>>().map_err(AppendError::Json)?;
        let rows = EnvironmentRows { environment: environment.clone(), at, records };
        self.inner.queue.write(Entry::Environment(rows)).await?;
        Ok(())
    }

    /// The events of an environment after `after`, oldest first. One that this version cannot read is left out.
    pub async fn environment_events(
        &self,
        environment: &EnvironmentId,
        after: u64,
    ) -> Result<Vec<EnvironmentEvent>, ReadError> {
        let rows: Vec<(i64, String, String)> = sqlx::query_as(
            "SELECT seq, at, json FROM environment_events WHERE environment = ? AND seq > ? ORDER BY seq",
        )
        .bind(environment.as_str())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .fetch_all(self.inner.database.readers())
        .await?;
        let read = |(seq, at, json): (i64, String, String)| {
            Some(EnvironmentEvent {
                seq: u64::try_from(seq).ok()?,
                at: OffsetDateTime::parse(&at, &Rfc3339).ok()?,
                body: serde_json::from_str(&json).ok()?,
            })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// All environments there ever were, the newest first.
    pub async fn environments(&self) -> Result<Vec<EnvironmentId>, ReadError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT environment FROM environment_events WHERE seq = 1 ORDER BY position DESC",
        )
        .fetch_all(self.inner.database.readers())
        .await?;
        Ok(rows.into_iter().filter_map(|id| id.parse().ok()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn id(letter: char) -> EnvironmentId {
        format!("environment-{}", String::from(letter).repeat(10)).parse().unwrap()
    }

    #[tokio::test]
    async fn events_are_numbered_within_their_environment_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let (begun, retried) = (EnvironmentEventBody::PhaseBegun { phase: 2 }, EnvironmentEventBody::Retried);
        store.append_environment(&id('a'), AT, std::slice::from_ref(&begun)).await.unwrap();
        store.append_environment(&id('b'), AT, &[retried.clone(), begun.clone()]).await.unwrap();
        let event = |seq, body: &EnvironmentEventBody| EnvironmentEvent { seq, at: AT, body: body.clone() };
        assert_eq!(store.environment_events(&id('a'), 0).await.unwrap(), [event(1, &begun)]);
        assert_eq!(store.environment_events(&id('b'), 1).await.unwrap(), [event(2, &begun)]);
        assert_eq!(store.environments().await.unwrap(), [id('b'), id('a')]);
    }

    #[tokio::test]
    async fn they_are_there_after_the_store_was_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append_environment(&id('a'), AT, &[EnvironmentEventBody::Retried]).await.unwrap();
        store.close().await;
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(store.environments().await.unwrap(), [id('a')]);
    }
}
