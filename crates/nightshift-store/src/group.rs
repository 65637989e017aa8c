//! Writes that wait for the disk together.
//!
//! One `fsync` costs as much for fifty runs as for one. So one thread writes for all: whatever has come while it wrote goes
//! into the next transaction, and nobody is told that its part is there before that transaction is on the disk. What
//! cannot be written together is written one by one and by what the table has, so that each write keeps an outcome of its
//! own.
//!
//! It is a thread because a transaction takes several steps. Between two of them a task waits until it is its turn among all
//! the tasks that have something to do, and so long nobody else can write: with fifty runs at once disk and processors
//! idled by turns, for every run waited for the one that wrote.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use nightshift_protocol::Event;
use rusqlite::ErrorCode;
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::AppendError;
use crate::artifacts::ArtifactRow;
use crate::batch::{Batch, Record};
use crate::environments::EnvironmentRows;
use crate::writer::Writer;

/// What is to be written, all of it or nothing.
#[derive(Debug)]
pub(crate) enum Entry {
    /// Events of one run after another.
    Events(Vec<Vec<Record>>),
    /// Events of an environment.
    Environment(EnvironmentRows),
    /// What is known of a stored file.
    Artifact(ArtifactRow),
}

/// How a write ended: with the events of runs that it added, of which other entries have none.
type Outcome = Result<Vec<Arc<Event>>, Refused>;

/// A write that was refused.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) error: AppendError,
    /// What was to be written; `None` if it went with the thread.
    pub(crate) entry: Option<Entry>,
}

impl From<Refused> for AppendError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}

/// A write that waits for its turn.
#[derive(Debug)]
struct Waiting {
    entry: Entry,
    outcome: oneshot::Sender<Outcome>,
}

/// What the thread is asked for.
enum Asked {
    Write(Waiting),
    /// To do something with the connection between two groups.
    Work(Box<dyn FnOnce(&mut Writer) + Send>),
    /// To end, and to tell when everything that was asked for before is written.
    Close(oneshot::Sender<()>),
}

/// The way to the thread that writes. It ends when the last of these is gone and everything is written.
///
/// What waits is as much as there are callers who wait for it.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::UnboundedSender<Asked>);

impl Queue {
    /// Starts the thread.
    pub(crate) fn start(writer: Writer, live: broadcast::Sender<Arc<Event>>) -> Result<Self, io::Error> {
        let (queue, asked) = mpsc::unbounded_channel();
        let scribe = Scribe { writer, live };
        thread::Builder::new().name("history".to_owned()).spawn(move || scribe.serve(asked))?;
        Ok(Self(queue))
    }

    /// Writes, with others who wait. It is written also when the caller stops waiting.
    pub(crate) async fn write(&self, entry: Entry) -> Outcome {
        let (outcome, written) = oneshot::channel();
        let ending = |entry| Refused { error: AppendError::Ending, entry };
        if let Err(mpsc::error::SendError(asked)) = self.0.send(Asked::Write(Waiting { entry, outcome })) {
            return Err(ending(match asked {
                Asked::Write(waiting) => Some(waiting.entry),
                Asked::Work(_) | Asked::Close(_) => None,
            }));
        }
        written.await.unwrap_or_else(|_| Err(ending(None)))
    }

    /// Does something that is no append with the connection that writes, after what was asked for before.
    pub(crate) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> T + Send + 'static,
    ) -> Result<T, AppendError> {
        let (outcome, done) = oneshot::channel();
        let work = move |writer: &mut Writer| {
            // The transaction undoes itself, and the next one has another connection.
            let done = catch_unwind(AssertUnwindSafe(|| work(writer))).map_err(|_| {
                tracing::error!("what was done with the history panicked");
                AppendError::Defect
            });
            let _asker_gone = outcome.send(done);
        };
        self.0.send(Asked::Work(Box::new(work))).map_err(|_| AppendError::Ending)?;
        done.await.unwrap_or(Err(AppendError::Ending))
    }

    /// Ends the thread, and returns when everything that was asked for before is written and the connection is closed.
    pub(crate) async fn close(&self) {
        let (closed, closing) = oneshot::channel();
        if self.0.send(Asked::Close(closed)).is_ok() {
            // A thread that has ended has nothing left to write.
            let _ended = closing.await;
        }
    }
}

/// What writes.
struct Scribe {
    writer: Writer,
    live: broadcast::Sender<Arc<Event>>,
}

impl Scribe {
    fn serve(mut self, mut asked: mpsc::UnboundedReceiver<Asked>) {
        let mut next = None;
        while let Some(this) = next.take().or_else(|| asked.blocking_recv()) {
            match this {
                Asked::Write(first) => {
                    let mut group = vec![first];
                    while next.is_none()
                        && let Ok(more) = asked.try_recv()
                    {
                        match more {
                            Asked::Write(waiting) => group.push(waiting),
                            other => next = Some(other),
                        }
                    }
                    self.write(group);
                }
                Asked::Work(work) => work(&mut self.writer),
                Asked::Close(closed) => {
                    asked.close();
                    while let Ok(late) = asked.try_recv() {
                        if let Asked::Write(waiting) = late {
                            self.tell(waiting, Err(AppendError::Ending));
                        }
                    }
                    self.writer.close();
                    let _asker_gone = closed.send(());
                    return;
                }
            }
        }
        self.writer.close();
    }

    /// Writes a group and tells its members.
    fn write(&mut self, mut group: Vec<Waiting>) {
        let Err(error) = self.try_writing(&mut group) else {
            return group.into_iter().for_each(|waiting| self.tell(waiting, Ok(())));
        };
        match after(error, group.len()) {
            After::OneByOne => self.write_one_by_one(group),
            After::RefuseAll(error) => self.refuse(group, &error),
            After::RefuseOnly(error) => {
                if let Some(only) = group.pop() {
                    self.tell(only, Err(error));
                }
            }
        }
    }

    /// Writes those that could not be written together, until the database fails.
    fn write_one_by_one(&mut self, group: Vec<Waiting>) {
        tracing::debug!(writes = group.len(), "a group is written one by one");
        let mut group = group.into_iter();
        while let Some(mut waiting) = group.next() {
            match self.try_writing(std::slice::from_mut(&mut waiting)) {
                Err(AppendError::Database(error)) if !is_of_one(&error) => {
                    return self.refuse(std::iter::once(waiting).chain(group), &error);
                }
                outcome => self.tell(waiting, outcome),
            }
        }
    }

    /// Tells all of a group how the database failed.
    fn refuse(&self, group: impl IntoIterator<Item = Waiting>, error: &Arc<rusqlite::Error>) {
        group
            .into_iter()
            .for_each(|waiting| self.tell(waiting, Err(AppendError::Database(Arc::clone(error)))));
    }

    /// Writes a group in one transaction, or nothing of it. A defect that one of its members meets must not stop all runs.
    fn try_writing(&mut self, group: &mut [Waiting]) -> Result<(), AppendError> {
        catch_unwind(AssertUnwindSafe(|| write_all(&mut self.writer, group))).unwrap_or_else(|_| {
            tracing::error!("writing to the history panicked");
            Err(AppendError::Defect)
        })
    }

    /// Tells how a write ended, subscribers before the one who asked. Nothing else is written meanwhile, so they see commits in
    /// their order.
    fn tell(&self, waiting: Waiting, outcome: Result<(), AppendError>) {
        let Waiting { entry, outcome: asker } = waiting;
        let outcome = match (outcome, entry) {
            (Ok(()), Entry::Events(parts)) => {
                let events = parts.into_iter().flatten().map(|record| Arc::new(record.into_event()));
                // An error only says that nobody listens.
                Ok(events.inspect(|event| drop(self.live.send(Arc::clone(event)))).collect())
            }
            (Ok(()), Entry::Environment(_) | Entry::Artifact(_)) => Ok(Vec::new()),
            (Err(error), entry) => Err(Refused { error, entry: Some(entry) }),
        };
        let _asker_gone = asker.send(outcome);
    }
}

/// What is done with a group that was not written.
#[derive(Debug)]
enum After {
    /// Each is written alone: one of them may be the reason.
    OneByOne,
    /// All are told how the database failed.
    RefuseAll(Arc<rusqlite::Error>),
    /// The only one is told why.
    RefuseOnly(AppendError),
}

/// Decides what is done with a group of so many that was not written for this reason.
fn after(error: AppendError, writes: usize) -> After {
    match error {
        // Also one that was alone: another program may have written, and what was known of its run be wrong.
        AppendError::Database(error) if is_of_one(&error) => After::OneByOne,
        // The disk may have taken the transaction nevertheless, and it would be written twice; or somebody keeps the database
        // locked, and each would wait for that anew.
        AppendError::Database(error) => After::RefuseAll(error),
        _ if writes > 1 => After::OneByOne,
        error => After::RefuseOnly(error),
    }
}

/// Whether the database refused what one member wrote, and did not fail as a whole.
fn is_of_one(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}

/// Writes a group in one transaction and gives its events their places.
fn write_all(writer: &mut Writer, group: &mut [Waiting]) -> Result<(), AppendError> {
    writer.transaction(|connection, heads| {
        let mut batch = Batch::new(connection, heads);
        for Waiting { entry, .. } in group {
            match entry {
                Entry::Events(parts) => parts.iter_mut().try_for_each(|records| batch.add(records))?,
                Entry::Environment(rows) => rows.write(connection)?,
                Entry::Artifact(row) => row.write(connection)?,
            }
        }
        batch.finish()
    })
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{ArtifactId, EnvironmentEventBody, EnvironmentId, EventBody};

    use crate::Store;
    use crate::fixtures::{AT, run, submitted};

    use super::*;

    /// Keeps the thread from writing until what is returned is dropped.
    async fn hold(store: &Store) -> std::sync::mpsc::Sender<()> {
        let (holding, held) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = oneshot::channel();
        let store = store.clone();
        tokio::spawn(async move {
            let wait = move |_: &mut Writer| {
                begins.send(()).unwrap();
                // It is never sent anything, only dropped.
                held.recv().unwrap_err();
            };
            store.inner.queue.work(wait).await.unwrap();
        });
        begun.await.unwrap();
        holding
    }

    /// Lets appends come while another writes, each of a run of its own with what `body` gives, and returns how they
    /// ended, in their order.
    async fn at_once(
        store: &Store,
        appends: usize,
        body: impl Fn(usize) -> EventBody,
    ) -> Vec<Result<Vec<Arc<Event>>, AppendError>> {
        let holding = hold(store).await;
        let mut waiting = Vec::new();
        for number in 0..appends {
            let (other, body) = (store.clone(), body(number));
            waiting.push(tokio::spawn(async move { other.append(&run(number), AT, &[body]).await }));
            // One after the other, so that their order is known: the first thing each does is to join the queue.
            tokio::task::yield_now().await;
        }
        drop(holding);
        let mut outcomes = Vec::new();
        for append in waiting {
            outcomes.push(append.await.unwrap());
        }
        outcomes
    }

    #[tokio::test]
    async fn whoever_waits_is_written_with_the_others_in_one_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut live = store.subscribe();
        frames(&store).await;
        let outcomes = at_once(&store, 30, submitted).await;
        // A transaction writes each page once, and thirty of them would write the same ones thirty times.
        let frames = frames(&store).await;
        assert!((1..100).contains(&frames), "{frames} pages were written");
        let positions: Vec<u64> =
            outcomes.iter().map(|outcome| outcome.as_ref().unwrap()[0].position).collect();
        assert_eq!(positions, (1..=30).collect::<Vec<_>>());
        let mut seen = Vec::new();
        while let Ok(event) = live.try_recv() {
            seen.push(event.position);
        }
        assert_eq!(seen, positions, "subscribers see commits in their order");
        assert_eq!(store.events_after(0, 100).await.unwrap().len(), 30);
    }

    /// The pages in the log, which is empty afterwards.
    async fn frames(store: &Store) -> i64 {
        let (_busy, frames, _moved): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(PASSIVE)")
            .fetch_one(store.inner.database.readers())
            .await
            .unwrap();
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(store.inner.database.readers()).await.unwrap();
        frames
    }

    #[tokio::test]
    async fn whatever_was_asked_for_before_the_store_is_closed_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let holding = hold(&store).await;
        let mut waiting = Vec::new();
        for number in 0..5 {
            let other = store.clone();
            waiting.push(tokio::spawn(
                async move { other.append(&run(number), AT, &[submitted(number)]).await },
            ));
            tokio::task::yield_now().await;
        }
        // Who waits may be gone before it is written, as a driver is when the owner ends.
        waiting[4].abort();
        let closing = tokio::spawn({
            let store = store.clone();
            async move { store.close().await }
        });
        tokio::task::yield_now().await;
        drop(holding);
        closing.await.unwrap();
        for append in waiting.drain(..4) {
            append.await.unwrap().unwrap();
        }
        let store = Store::open(folder.path()).await.unwrap();
        assert_eq!(store.events_after(0, 100).await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn one_that_cannot_be_written_is_refused_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let body = |number| match number {
            3 => EventBody::Interrupted,
            _ => submitted(number),
        };
        let outcomes = at_once(&store, 6, body).await;
        let written: Vec<bool> = outcomes.iter().map(Result::is_ok).collect();
        assert_eq!(written, [true, true, true, false, true, true]);
        assert!(matches!(outcomes[3], Err(AppendError::Misplaced(_))), "{:?}", outcomes[3]);
        assert_eq!(store.events_after(0, 100).await.unwrap().len(), 5);
        store.append(&run(0), AT, &[EventBody::Interrupted]).await.unwrap();
    }

    #[tokio::test]
    async fn whoever_waits_behind_the_end_of_a_store_is_told_and_gets_back_what_was_to_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let holding = hold(&store).await;
        let closing = tokio::spawn({
            let store = store.clone();
            async move { store.inner.queue.close().await }
        });
        tokio::task::yield_now().await;
        let mut bodies = vec![submitted(0), EventBody::Interrupted];
        let run = run(0);
        let (refused, ()) = tokio::join!(store.append_from(&run, AT, &mut bodies), async { drop(holding) });
        assert!(matches!(refused, Err(AppendError::Ending)), "{refused:?}");
        assert_eq!(bodies, [submitted(0), EventBody::Interrupted]);
        closing.await.unwrap();
    }

    #[tokio::test]
    async fn what_another_program_wrote_to_a_run_is_seen_by_the_next_append() {
        let folder = tempfile::tempdir().unwrap();
        let (store, other) =
            (Store::open(folder.path()).await.unwrap(), Store::open(folder.path()).await.unwrap());
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        other.append(&run(0), AT, &[EventBody::Interrupted]).await.unwrap();
        assert_eq!(store.append(&run(0), AT, &[EventBody::Interrupted]).await.unwrap()[0].seq, 3);
    }

    #[test]
    fn what_may_have_been_written_is_not_written_again() {
        let failed =
            |code| AppendError::from(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        // Result codes 19, 13, 5 and 1034: <https://sqlite.org/rescode.html>.
        let [constraint, full, busy, sync] = [19, 13, 5, 1034];
        for writes in [1, 2] {
            assert!(matches!(after(failed(constraint), writes), After::OneByOne));
            for code in [busy, sync] {
                assert!(matches!(after(failed(code), writes), After::RefuseAll(_)), "{code}");
            }
        }
        // A log that is not whole is as if it were not there.
        assert!(matches!(after(failed(full), 2), After::OneByOne));
        assert!(matches!(after(failed(full), 1), After::RefuseOnly(AppendError::DiskFull(_))));
        assert!(matches!(after(AppendError::Defect, 2), After::OneByOne));
        assert!(matches!(after(AppendError::Defect, 1), After::RefuseOnly(AppendError::Defect)));
    }

    #[tokio::test]
    async fn whoever_asks_after_the_store_is_closed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        store.close().await;
        let refused = store.append(&run(0), AT, &[EventBody::Interrupted]).await.unwrap_err();
        assert!(matches!(refused, AppendError::Ending), "{refused:?}");
    }

    #[tokio::test]
    async fn files_and_environments_are_written_with_the_runs_that_wait_and_keep_outcomes_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let environment: EnvironmentId = "environment-aaaaaaaaaa".parse().unwrap();
        let file: ArtifactId = "a".repeat(64).parse().unwrap();
        let row = ArtifactRow { id: file.clone(), media_type: "text/plain".to_owned(), size: 7 };
        let holding = hold(&store).await;
        let (first, second) = (run(0), run(1));
        let (submitted, misplaced) = ([submitted(0)], [EventBody::Interrupted]);
        let (appended, refused, begun, recorded, ()) = tokio::join!(
            store.append(&first, AT, &submitted),
            store.append(&second, AT, &misplaced),
            store.append_environment(&environment, AT, &[EnvironmentEventBody::Retried]),
            store.inner.queue.write(Entry::Artifact(row)),
            async { drop(holding) },
        );
        assert_eq!(appended.unwrap().len(), 1);
        assert!(matches!(refused, Err(AppendError::Misplaced(_))), "{refused:?}");
        begun.unwrap();
        assert_eq!(recorded.unwrap(), []);
        assert_eq!(store.environments().await.unwrap(), [environment]);
        assert_eq!(store.artifact(&file).await.unwrap().unwrap().size, 7);
        assert_eq!(store.events_after(0, 100).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_defect_ends_neither_the_thread_nor_what_is_written_by_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        let defect = |writer: &mut Writer| {
            writer.transaction(|connection, _| -> Result<(), rusqlite::Error> {
                connection.execute("DELETE FROM runs", [])?;
                panic!("a defect");
            })
        };
        let refused = store.inner.queue.work(defect).await.unwrap_err();
        assert!(matches!(refused, AppendError::Defect), "{refused:?}");
        assert_eq!(store.append(&run(0), AT, &[EventBody::Interrupted]).await.unwrap()[0].seq, 2);
        assert!(store.run(&run(0)).await.unwrap().is_some());
    }
}
