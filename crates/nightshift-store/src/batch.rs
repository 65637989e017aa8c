//! Events on their way into the tables.

use std::collections::BTreeMap;

use nightshift_protocol::{Event, EventBody, OffsetDateTime, RunId};
use rusqlite::{Connection, params};
use time::format_description::well_known::Rfc3339;

use crate::heads::{Head, Heads};
use crate::runs::{Positions, RunRow};
use crate::search::Findable;
use crate::statistics::{Figures, FiguresRow};
use crate::{AppendError, project};

/// An event that is to be written, with what can be made of it before its turn comes.
#[derive(Debug)]
pub(crate) struct Record {
    /// The event; its places are known when it is written.
    event: Event,
    json: String,
    findable: Option<Findable>,
}

impl Record {
    /// A record of what happened in a run at a time, which is given in UTC, with its JSON.
    pub(crate) fn new(run: &RunId, at: OffsetDateTime, body: EventBody, json: String) -> Self {
        let findable = Findable::of(&body);
        Self { event: Event { position: 0, run: run.clone(), seq: 0, at, body }, json, findable }
    }

    /// The event as it was written.
    pub(crate) fn into_event(self) -> Event {
        self.event
    }
}

/// Events of a transaction, with the rows of their runs as they become by them.
pub(crate) struct Batch<'a> {
    connection: &'a Connection,
    heads: &'a mut Heads,
    /// With each, whether the row that the table has of it has its state already, so that it only progresses.
    runs: BTreeMap<RunId, (RunRow, bool)>,
    figures: BTreeMap<RunId, FiguresRow>,
    findable: Vec<(i64, &'a Findable)>,
}

impl<'a> Batch<'a> {
    /// One that adds to the transaction in which the connection is.
    pub(crate) fn new(connection: &'a Connection, heads: &'a mut Heads) -> Self {
        Self { connection, heads, runs: BTreeMap::new(), figures: BTreeMap::new(), findable: Vec::new() }
    }

    /// Writes events of a run after those that are there already and gives them their places; [`Batch::finish`] writes what
    /// became of the run.
    pub(crate) fn add(&mut self, records: &'a mut [Record]) -> Result<(), AppendError> {
        let Some(Record { event: Event { run, .. }, .. }) = records.first() else { return Ok(()) };
        let run = run.clone();
        let (mut position, head) = match self.heads.take(&run) {
            Some(known) => known,
            None => {
                // The tables are asked, and must have what was added before.
                self.write_runs()?;
                Heads::read(self.connection, &run)?
            }
        };
        let first = head.as_ref().map_or(position + 1, |head| head.first);
        let (mut seq, mut summary) = match head {
            Some(Head { last_seq, summary, .. }) => (last_seq, Some(summary)),
            None => (0, None),
        };
        let before = summary.as_ref().map(Figures::of);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO events (position, run, seq, at, type, json) VALUES (?, ?, ?, ?, ?, ?)",
        )?;
        for Record { event, json, findable } in records {
            (position, seq) = (position + 1, seq + 1);
            (event.position, event.seq) = (position.cast_unsigned(), seq.cast_unsigned());
            summary = Some(project(summary, event)?);
            let at = event.at.format(&Rfc3339).map_err(AppendError::Time)?;
            insert.execute(params![position, run.as_str(), seq, at, event.body.name(), &*json])?;
            self.findable.extend(findable.as_ref().map(|findable| (position, findable)));
        }
        let Some(summary) = summary else { return Ok(()) };
        let after = Figures::of(&summary);
        let stayed = self.runs.get(&run).is_none_or(|(_, stays)| *stays);
        let stays = stayed && before.is_some_and(|before| !after.moved_since(&before));
        let row = RunRow::of(Positions { first, last: position }, &summary)?;
        self.runs.insert(run.clone(), (row, stays));
        // Most events change none of them.
        if before != Some(after) {
            self.figures.insert(run, FiguresRow::of(&summary));
        }
        self.heads.put(position, Head { first, last_seq: seq, summary });
        Ok(())
    }

    /// Writes what became of the runs, once for each however many of its events were added, and makes the events findable.
    pub(crate) fn finish(mut self) -> Result<(), AppendError> {
        self.write_runs()?;
        // Last: before a statement that has to be undone alone, as inserting an event is for its trigger, the index would write
        // to the disk what it was told (<https://sqlite.org/vtab.html>, "xSavepoint").
        for (position, findable) in self.findable {
            findable.write(position, self.connection)?;
        }
        Ok(())
    }

    fn write_runs(&mut self) -> Result<(), rusqlite::Error> {
        for (row, stays) in std::mem::take(&mut self.runs).into_values() {
            if stays { row.write_progress(self.connection)? } else { row.write(self.connection)? }
        }
        for row in std::mem::take(&mut self.figures).into_values() {
            row.write(self.connection)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nightshift_protocol::{EventBody, RunState};

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
        let mut events = store.append_all(AT, &appends).await.unwrap();
        // Some move on before they are heard of again, some have moved on before.
        let [delivers, works] =
            [RunState::Delivering, RunState::Working].map(|state| [EventBody::StateChanged { state }]);
        let move_on = runs.iter().step_by(2).map(|run| (run, &delivers[..]));
        let go_on = runs.iter().map(|run| (run, &said[..]));
        let appends: Vec<_> = move_on.chain(go_on).collect();
        events.extend(store.append_all(AT, &appends).await.unwrap());
        let move_on = runs.iter().skip(1).step_by(3).map(|run| (run, &works[..]));
        events.extend(store.append_all(AT, &move_on.collect::<Vec<_>>()).await.unwrap());
        assert_eq!(
            events.iter().map(|event| event.position).collect::<Vec<_>>(),
            (1..=575).collect::<Vec<_>>()
        );

        let kept = store.events_after(0, 1_000).await.unwrap();
        assert_eq!(kept.into_iter().map(Arc::new).collect::<Vec<_>>(), events);
        for run in &runs {
            let seqs: Vec<u64> =
                store.events(run, 0, 10).await.unwrap().iter().map(|event| event.seq).collect();
            assert_eq!(seqs[..3], [1, 2, 3]);
        }
        let before = rows(&store).await;
        assert_eq!(before.len(), 150);
        store.rebuild().await.unwrap();
        assert_eq!(rows(&store).await, before, "the rows are what the events make of them");
    }

    #[tokio::test]
    async fn a_run_that_moves_on_and_is_heard_of_again_in_one_transaction_has_the_row_of_its_last_state() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let said = [EventBody::PersonSaid { text: "hello".to_owned() }];
        let state = |state| [EventBody::StateChanged { state }];
        let (works, delivers) = (state(RunState::Working), state(RunState::Delivering));
        let (cancelled, runs) = (state(RunState::Cancelled), [0, 1, 2].map(run));
        // Begun and heard of; moved on and heard of; there and back; ended.
        for (number, run) in runs.iter().enumerate() {
            store.append_all(AT, &[(run, &[submitted(number)][..]), (run, &said)]).await.unwrap();
        }
        store.append_all(AT, &[(&runs[0], &works[..]), (&runs[0], &said)]).await.unwrap();
        let there_and_back = [&delivers, &works, &said].map(|bodies| (&runs[0], &bodies[..]));
        store.append_all(AT, &there_and_back).await.unwrap();
        store.append_all(AT, &[(&runs[1], &said[..]), (&runs[1], &cancelled)]).await.unwrap();

        let before = rows(&store).await;
        let states: Vec<(&str, bool)> = before.iter().map(|row| (row.2.as_str(), row.3)).collect();
        assert_eq!(states, [("working", false), ("cancelled", true), ("queued", false)]);
        store.rebuild().await.unwrap();
        assert_eq!(rows(&store).await, before);
    }

    /// What the tables have of each run: its name, the position of its newest event, its state, whether that is final, what is
    /// known of it, the position of its first event, and the state that is summed up.
    async fn rows(store: &Store) -> Vec<(String, i64, String, bool, String, i64, String)> {
        sqlx::query_as(
            "SELECT run, last_position, runs.state, is_final, json, first_position, run_figures.state
             FROM runs JOIN run_figures USING (run) ORDER BY run",
        )
        .fetch_all(store.inner.database.readers())
        .await
        .unwrap()
    }
}
