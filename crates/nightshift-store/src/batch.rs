//! Events on their way into the tables.
//!
//! Every query is a trip to the connection's thread and back, which costs more than what most of them do: so there is one
//! for a whole transaction, from its beginning to its end, and none that reads where [`Heads`] knows the run.

use std::collections::BTreeMap;

use nightshift_protocol::{Event, OffsetDateTime, RunId};
use sqlx::sqlite::SqliteConnection;
use sqlx::{QueryBuilder, Sqlite};
use time::format_description::well_known::Rfc3339;

use crate::group::Records;
use crate::heads::{Head, Heads};
use crate::runs::{Positions, RunRow, write_runs};
use crate::search::write_findable;
use crate::statistics::{Figures, FiguresRow, write_figures};
use crate::{AppendError, project};

/// Rows of one statement; SQLite takes 32,766 values in one (<https://sqlite.org/limits.html>).
pub(crate) const ROWS: usize = 1_000;

/// Events that were given their places and are not in the tables yet, with the rows of their runs as they become by them.
#[derive(Debug, Default)]
pub(crate) struct Batch<'a> {
    events: Vec<EventRow<'a>>,
    runs: BTreeMap<&'a RunId, RunRow>,
    figures: BTreeMap<&'a RunId, FiguresRow>,
    /// Whether the transaction has begun.
    begun: bool,
}

#[derive(Debug)]
struct EventRow<'a> {
    position: i64,
    run: &'a RunId,
    seq: i64,
    at: String,
    name: &'static str,
    json: &'a str,
}

impl<'a> Batch<'a> {
    /// Gives events of a run their places, after those that are here already; [`Batch::commit`] writes them.
    pub(crate) async fn add(
        &mut self,
        connection: &mut SqliteConnection,
        heads: &mut Heads,
        run: &'a RunId,
        at: OffsetDateTime,
        records: &'a Records,
    ) -> Result<Vec<Event>, AppendError> {
        let written_at = at.format(&Rfc3339).map_err(AppendError::Time)?;
        let (last_position, head) = match heads.take(run) {
            Some(known) => known,
            None => {
                // The tables are asked, and must have what was added before; nobody else may add to them after it.
                self.script().build().persistent(false).execute(&mut *connection).await?;
                Heads::read(connection, run).await?
            }
        };
        let first = head.as_ref().map_or(last_position + 1, |head| head.first);
        let (last_seq, mut summary) = match head {
            Some(Head { last_seq, summary, .. }) => (last_seq, Some(summary)),
            None => (0, None),
        };
        let before = summary.as_ref().map(Figures::of);
        let mut events = Vec::with_capacity(records.len());
        for (number, (body, json)) in (1..).zip(records) {
            let (position, seq) = (last_position + number, last_seq + number);
            let event = Event {
                position: position.cast_unsigned(),
                run: run.clone(),
                seq: seq.cast_unsigned(),
                at,
                body: body.clone(),
            };
            summary = Some(project(summary, &event)?);
            events.push(event);
            self.events.push(EventRow {
                position,
                run,
                seq,
                at: written_at.clone(),
                name: body.name(),
                json,
            });
        }
        let Some((summary, newest)) = summary.zip(events.last()) else { return Ok(events) };
        let last = newest.position.cast_signed();
        self.runs.insert(run, RunRow::of(Positions { first, last }, &summary)?);
        // Most events change none of them.
        if before != Some(Figures::of(&summary)) {
            self.figures.insert(run, FiguresRow::of(&summary));
        }
        heads.put(last, Head { first, last_seq: newest.seq.cast_signed(), summary });
        Ok(events)
    }

    /// Writes everything that was added, makes `events` findable, which is all that was added since the transaction
    /// began, and ends it.
    ///
    /// After an error the connection may be within the transaction, and is to be thrown away.
    pub(crate) async fn commit<'e>(
        mut self,
        connection: &mut SqliteConnection,
        events: impl Iterator<Item = &'e Event>,
    ) -> Result<(), AppendError> {
        let mut script = self.script();
        write_findable(&mut script, events);
        script.push("; COMMIT");
        // It differs by how many rows there are of what: it would only drive statements that come again out of the cache.
        script.build().persistent(false).execute(connection).await?;
        Ok(())
    }

    /// What writes everything that was added since the last one, within the transaction. It is not empty.
    fn script(&mut self) -> QueryBuilder<Sqlite> {
        let mut script = QueryBuilder::new(if self.begun { "SELECT 1" } else { "BEGIN IMMEDIATE" });
        self.begun = true;
        for part in std::mem::take(&mut self.events).chunks(ROWS) {
            script.push("; INSERT INTO events (position, run, seq, at, type, json) ");
            script.push_values(part, |mut row, event| {
                row.push_bind(event.position)
                    .push_bind(event.run.as_str())
                    .push_bind(event.seq)
                    .push_bind(&event.at)
                    .push_bind(event.name)
                    .push_bind(event.json);
            });
        }
        let runs: Vec<_> = std::mem::take(&mut self.runs).into_values().collect();
        let figures: Vec<_> = std::mem::take(&mut self.figures).into_values().collect();
        runs.chunks(ROWS).for_each(|part| write_runs(&mut script, part));
        figures.chunks(ROWS).for_each(|part| write_figures(&mut script, part));
        script
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::EventBody;

    use crate::Store;
    use crate::fixtures::{AT, run, submitted};

    #[tokio::test]
    async fn a_run_that_comes_twice_among_more_than_are_remembered_stands_where_its_events_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        // More than `Heads` remembers: some are asked for again while their first events are still in the batch.
        let runs: Vec<_> = (0..150).map(run).collect();
        let first: Vec<[EventBody; 1]> = (0..150).map(|number| [submitted(number)]).collect();
        let said = [EventBody::PersonSaid { text: "hello".to_owned() }];
        let begin = runs.iter().zip(&first).map(|(run, first)| (run, &first[..]));
        let go_on = runs.iter().map(|run| (run, &said[..]));
        let appends: Vec<_> = begin.chain(go_on).collect();
        let events = store.append_all(AT, &appends).await.unwrap();
        assert_eq!(
            events.iter().map(|event| event.position).collect::<Vec<_>>(),
            (1..=300).collect::<Vec<_>>()
        );

        let kept = store.events_after(0, 1_000).await.unwrap();
        assert_eq!(kept, events);
        for run in &runs {
            let seqs: Vec<u64> =
                store.events(run, 0, 10).await.unwrap().iter().map(|event| event.seq).collect();
            assert_eq!(seqs, [1, 2]);
        }
        let before = rows(&store).await;
        assert_eq!(before.len(), 150);
        store.rebuild().await.unwrap();
        assert_eq!(rows(&store).await, before, "the rows are what the events make of them");
    }

    #[tokio::test]
    async fn more_events_than_one_statement_takes_are_written_by_several() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut bodies = vec![submitted(0)];
        bodies.resize(2 * super::ROWS + 3, EventBody::PersonSaid { text: "hello".to_owned() });
        store.append(&run(0), AT, &bodies).await.unwrap();
        assert_eq!(store.events(&run(0), 0, 10_000).await.unwrap().len(), bodies.len());
        assert_eq!(rows(&store).await[0].1, i64::try_from(bodies.len()).unwrap());
    }

    /// What the table has of each run: its name, the position of its newest event, and what is known of it.
    async fn rows(store: &Store) -> Vec<(String, i64, String)> {
        sqlx::query_as("SELECT run, last_position, json FROM runs ORDER BY run")
            .fetch_all(store.inner.database.readers())
            .await
            .unwrap()
    }
}
