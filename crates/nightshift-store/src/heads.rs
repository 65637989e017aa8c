//! Where each run stands, as the writer left it.
//!
//! Nobody but the writer adds events, so it need not ask the table before every append where a run is: with fifty runs
//! at once that question was half of the work for which all of them wait.

use std::collections::HashMap;

use nightshift_protocol::{RunId, RunSummary};
use rusqlite::Connection;

use crate::AppendError;

/// Runs that are known at most. One that works appends all the time; others are asked for again.
const MOST: usize = 64;

/// What is known of the runs that were written last.
///
/// It is kept beside the connection and thrown away with it, so that nothing of a transaction that failed is in it.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// The newest position of all runs; 0 when there is none.
    last_position: Option<i64>,
    runs: HashMap<RunId, Head>,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Head {
    /// The position of its first event.
    pub(crate) first: i64,
    /// Its newest seq.
    pub(crate) last_seq: i64,
    /// What its events made of it.
    pub(crate) summary: RunSummary,
}

impl Heads {
    /// The newest position of all runs, and where this run stands, if that is known; [`Heads::read`] asks otherwise.
    ///
    /// Who takes it puts it back with [`Heads::put`] after the append.
    pub(crate) fn take(&mut self, run: &RunId) -> Option<(i64, Option<Head>)> {
        let last_position = self.last_position?;
        Some((last_position, Some(self.runs.remove(run)?)))
    }

    /// Asks the tables for the newest position of all runs, and where this run stands, `None` before its first event.
    pub(crate) fn read(connection: &Connection, run: &RunId) -> Result<(i64, Option<Head>), AppendError> {
        let mut select = connection.prepare_cached(
            "SELECT (SELECT coalesce(max(position), 0) FROM events),
                    (SELECT coalesce(max(seq), 0) FROM events WHERE run = ?1),
                    (SELECT first_position FROM runs WHERE run = ?1), (SELECT json FROM runs WHERE run = ?1)",
        )?;
        let (last_position, last_seq, first, json): (i64, i64, Option<i64>, Option<String>) =
            select.query_row([run.as_str()], |row| row.try_into())?;
        let read = |(first, json): (i64, String)| {
            serde_json::from_str(&json).map(|summary| Head { first, last_seq, summary })
        };
        Ok((last_position, first.zip(json).map(read).transpose().map_err(AppendError::Json)?))
    }

    /// Remembers where a run stands after an append, and the newest position of all.
    pub(crate) fn put(&mut self, last_position: i64, head: Head) {
        self.last_position = Some(last_position);
        if head.summary.state.is_final() {
            return;
        }
        if self.runs.len() >= MOST {
            self.runs.clear();
        }
        self.runs.insert(head.summary.run.clone(), head);
    }

    /// Forgets everything: the tables were changed by other means.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{EventBody, RunState};

    use crate::fixtures::{AT, run, submitted};
    use crate::writer::Writer;
    use crate::{AppendError, Store};

    use super::*;

    /// The runs that the writer knows, by what it knows of them.
    async fn known(store: &Store) -> Vec<Head> {
        let heads = |writer: &mut Writer| {
            writer.transaction(|_, heads| Ok::<_, AppendError>(heads.runs.values().cloned().collect()))
        };
        let mut known: Vec<Head> = store.inner.queue.work(heads).await.unwrap().unwrap();
        known.sort_by_key(|head| head.first);
        known
    }

    #[tokio::test]
    async fn what_the_writer_knows_of_a_run_is_what_the_table_has() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let said = EventBody::PersonSaid { text: "hello".to_owned() };
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        store.append(&run(1), AT, &[submitted(1), said.clone()]).await.unwrap();
        store.append(&run(0), AT, &[said.clone(), said]).await.unwrap();

        let known = known(&store).await;
        let places: Vec<(i64, i64)> = known.iter().map(|head| (head.first, head.last_seq)).collect();
        assert_eq!(places, [(1, 3), (2, 2)]);
        for (number, head) in known.into_iter().enumerate() {
            assert_eq!(Some(head.summary), store.run(&run(number)).await.unwrap());
        }
    }

    #[tokio::test]
    async fn nothing_of_an_append_that_was_refused_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        let said = EventBody::PersonSaid { text: "hello".to_owned() };
        let refused = store.append(&run(0), AT, &[said.clone(), submitted(0)]).await.unwrap_err();
        assert!(matches!(refused, AppendError::Misplaced(_)), "{refused:?}");
        assert_eq!(known(&store).await, []);

        let written = store.append(&run(0), AT, &[said]).await.unwrap();
        assert_eq!((written[0].seq, written[0].position), (2, 2));
    }

    #[tokio::test]
    async fn runs_that_ended_are_forgotten_and_no_more_than_a_few_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        for number in 0..=MOST {
            store.append(&run(number), AT, &[submitted(number)]).await.unwrap();
        }
        let cancelled = EventBody::StateChanged { state: RunState::Cancelled };
        store.append(&run(MOST), AT, &[cancelled]).await.unwrap();
        assert!(known(&store).await.len() < MOST);
        assert!(known(&store).await.iter().all(|head| head.summary.run != run(MOST)));
        // Who is not known is asked for.
        let said = EventBody::PersonSaid { text: "hello".to_owned() };
        assert_eq!(store.append(&run(3), AT, &[said]).await.unwrap()[0].seq, 2);
    }

    #[tokio::test]
    async fn runs_that_were_derived_anew_are_asked_for_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        store.rebuild().await.unwrap();
        assert_eq!(known(&store).await, []);
    }
}
