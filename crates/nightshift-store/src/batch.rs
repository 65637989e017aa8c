//! Events on their way into the tables.
//!
//! Every statement is a trip to the connection's thread and back, which costs more than what most of them do: so there is
//! one that writes, for all the appends of a transaction, and none that reads where [`Heads`] knows the run.

use std::collections::BTreeMap;

use nightshift_protocol::{Event, OffsetDateTime, RunId};
use sqlx::{QueryBuilder, Sqlite, Transaction};
use time::format_description::well_known::Rfc3339;

use crate::group::Records;
use crate::heads::{Head, Heads};
use crate::runs::{Positions, RunRow, write_runs};
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
    /// Gives events of a run their places, after those that are here already. [`Batch::write`] comes at the transaction's
    /// end, and [`crate::search::make_findable`] after it.
    pub(crate) async fn add(
        &mut self,
        transaction: &mut Transaction<'_, Sqlite>,
        heads: &mut Heads,
        run: &'a RunId,
        at: OffsetDateTime,
        records: &'a Records,
    ) -> Result<Vec<Event>, AppendError> {
        let written_at = at.format(&Rfc3339).map_err(AppendError::Time)?;
        let (last_position, head) = match heads.take(run) {
            Some(known) => known,
            None => {
                // The tables are asked, and must have what was added before.
                self.write(transaction).await?;
                Heads::read(transaction, run).await?
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

    /// Writes everything that was added, and is empty afterwards.
    pub(crate) async fn write(
        &mut self,
        transaction: &mut Transaction<'_, Sqlite>,
    ) -> Result<(), AppendError> {
        let events = std::mem::take(&mut self.events);
        let mut left = events.len();
        for part in events.chunks(ROWS) {
            let mut query = QueryBuilder::new("INSERT INTO events (position, run, seq, at, type, json) ");
            query.push_values(part, |mut row, event| {
                row.push_bind(event.position)
                    .push_bind(event.run.as_str())
                    .push_bind(event.seq)
                    .push_bind(&event.at)
                    .push_bind(event.name)
                    .push_bind(event.json);
            });
            left -= part.len();
            if left == 0 {
                let runs: Vec<_> = std::mem::take(&mut self.runs).into_values().collect();
                let figures: Vec<_> = std::mem::take(&mut self.figures).into_values().collect();
                runs.chunks(ROWS).for_each(|part| write_runs(&mut query, part));
                figures.chunks(ROWS).for_each(|part| write_figures(&mut query, part));
            }
            query.build().execute(&mut **transaction).await?;
        }
        Ok(())
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
