//! Appends that wait for the disk together.
//!
//! One `fsync` costs as much for fifty runs as for one. So one thread writes for all: whatever has come while it wrote goes
//! into the next transaction, and nobody is told that its events are there before that transaction is on the disk. What
//! cannot be written together is written one by one and by what the table has, so that each append keeps an outcome of its
//! own.
//!
//! It is a thread because a transaction takes several steps. Between two of them a task waits until it is its turn among all
//! the tasks that have something to do, and so long nobody else can write: with fifty runs at once disk and processors
//! idled by turns, for every run waited for the one that wrote.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use futures_util::FutureExt;
use nightshift_protocol::{Event, EventBody, OffsetDateTime, RunId};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::AppendError;
use crate::batch::Batch;
use crate::database::{Database, Writer};

/// Events with their JSON.
pub(crate) type Records = Vec<(EventBody, String)>;

/// What is to be appended together: events of one run after another.
pub(crate) type Parts = Vec<(RunId, Records)>;

/// An append that waits for its turn to be written.
#[derive(Debug)]
struct Waiting {
    parts: Parts,
    at: OffsetDateTime,
    outcome: oneshot::Sender<Result<Vec<Event>, AppendError>>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Asked {
    Append(Waiting),
    /// To tell when what was asked for before is written.
    Flush(oneshot::Sender<()>),
}

/// The way to the thread that writes. It ends when the last of these is gone and everything is written.
///
/// What waits is as much as there are callers who wait for it.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::UnboundedSender<Asked>);

impl Queue {
    /// Starts the thread.
    pub(crate) fn start(
        database: Arc<Database>,
        live: broadcast::Sender<Arc<Event>>,
    ) -> Result<Self, io::Error> {
        let (queue, asked) = mpsc::unbounded_channel();
        let (starts, started) = std::sync::mpsc::channel();
        let appender = Appender { database, live };
        thread::Builder::new().name("history".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let _opener_gone = starts.send(runtime.as_ref().err().map(io::Error::kind));
            if let Ok(runtime) = runtime {
                runtime.block_on(appender.serve(asked));
            }
        })?;
        // The thread does nothing before that.
        match started.recv().map_err(io::Error::other)? {
            Some(kind) => Err(kind.into()),
            None => Ok(Self(queue)),
        }
    }

    /// Appends events, with those of others who wait; all of them or none.
    pub(crate) async fn append(&self, parts: Parts, at: OffsetDateTime) -> Result<Vec<Event>, AppendError> {
        let (outcome, written) = oneshot::channel();
        let waiting = Waiting { parts, at, outcome };
        self.0.send(Asked::Append(waiting)).map_err(|_| AppendError::Ending)?;
        written.await.unwrap_or(Err(AppendError::Ending))
    }

    /// Returns when everything that was asked for before is written.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.0.send(Asked::Flush(done)).is_ok() {
            // A thread that has ended has nothing left to write.
            let _ended = flushed.await;
        }
    }
}

/// What writes.
struct Appender {
    database: Arc<Database>,
    live: broadcast::Sender<Arc<Event>>,
}

impl Appender {
    async fn serve(&self, mut asked: mpsc::UnboundedReceiver<Asked>) {
        while let Some(first) = asked.recv().await {
            let writer = self.database.writer().await;
            let (mut group, mut flushes) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(this) = next {
                match this {
                    Asked::Append(waiting) => group.push(waiting),
                    Asked::Flush(done) => flushes.push(done),
                }
                next = asked.try_recv().ok();
            }
            match writer {
                Ok(writer) if group.is_empty() => writer.keep(),
                Ok(writer) => self.write_carefully(writer, group).await,
                Err(error) => self.write_one_by_one(group, Some(error)).await,
            }
            for done in flushes {
                let _asker_gone = done.send(());
            }
        }
    }

    /// Writes a group. A defect that one event meets must not stop all runs.
    async fn write_carefully(&self, writer: Writer<'_>, mut group: Vec<Waiting>) {
        // The connection goes with the transaction, and who was told nothing is still in the group.
        if AssertUnwindSafe(self.write(writer, &mut group)).catch_unwind().await.is_err() {
            tracing::error!(
                appends = group.len(),
                "writing a group of events panicked; they are written one by one"
            );
            self.write_one_by_one(group, None).await;
        }
    }

    /// Writes what could not be written together, each with a writer of its own; `failed` is why the first has none.
    async fn write_one_by_one(&self, group: Vec<Waiting>, mut failed: Option<sqlx::Error>) {
        for waiting in group {
            let writer = match failed.take() {
                Some(error) => Err(error),
                None => self.database.writer().await,
            };
            let mut alone = vec![waiting];
            let error = match writer {
                Ok(writer) => match AssertUnwindSafe(self.write(writer, &mut alone)).catch_unwind().await {
                    Ok(()) => continue,
                    Err(_) => AppendError::Defect,
                },
                Err(error) => error.into(),
            };
            let _asker_gone = alone.pop().map(|waiting| waiting.outcome.send(Err(error)));
        }
    }

    async fn write(&self, mut writer: Writer<'_>, group: &mut Vec<Waiting>) {
        match self.write_together(&mut writer, group).await {
            Ok(()) => return writer.keep(),
            // No second try would end otherwise.
            Err(error) if group.len() == 1 && !matches!(error, AppendError::Database(_)) => {
                let _asker_gone = group.pop().map(|waiting| waiting.outcome.send(Err(error)));
                return;
            }
            Err(error) => tracing::debug!(%error, appends = group.len(), "a group is written one by one"),
        }
        // Also one that was alone: another program may have written, and what was known of its run be wrong.
        let mut sound = false;
        for Waiting { parts, at, outcome } in group.drain(..) {
            // A connection that failed may believe in a transaction that is gone.
            if !sound && let Err(error) = writer.renew().await {
                let _asker_gone = outcome.send(Err(error.into()));
                continue;
            }
            let written = write_all(&mut writer, std::iter::once((&parts, at)))
                .await
                .map(|all| all.into_iter().flatten().collect::<Vec<_>>());
            sound = written.is_ok();
            if let Ok(events) = &written {
                self.publish(events);
            }
            let _asker_gone = outcome.send(written);
        }
        if sound {
            writer.keep();
        }
    }

    /// Writes a group in one transaction and tells its members, or writes nothing of it and tells nobody anything.
    async fn write_together(
        &self,
        writer: &mut Writer<'_>,
        group: &mut Vec<Waiting>,
    ) -> Result<(), AppendError> {
        let all = write_all(writer, group.iter().map(|waiting| (&waiting.parts, waiting.at))).await?;
        for (waiting, events) in group.drain(..).zip(all) {
            self.publish(&events);
            let _asker_gone = waiting.outcome.send(Ok(events));
        }
        Ok(())
    }

    /// Tells subscribers, while the writer is held, so that they see commits in their order.
    fn publish(&self, events: &[Event]) {
        for event in events {
            // An error only says that nobody listens.
            let _ = self.live.send(Arc::new(event.clone()));
        }
    }
}

/// Writes appends in one transaction, and returns the events of each.
async fn write_all<'a>(
    writer: &mut Writer<'_>,
    appends: impl Iterator<Item = (&'a Parts, OffsetDateTime)>,
) -> Result<Vec<Vec<Event>>, AppendError> {
    let (connection, heads) = writer.parts();
    let (mut batch, mut all) = (Batch::default(), Vec::new());
    for (parts, at) in appends {
        let mut events = Vec::new();
        for (run, records) in parts {
            events.extend(batch.add(connection, heads, run, at, records).await?);
        }
        all.push(events);
    }
    batch.commit(connection, all.iter().flatten()).await?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use crate::Store;
    use crate::fixtures::{AT, run, submitted};

    use super::*;

    /// Lets appends come while another writes, each of a run of its own with what `body` gives, and returns how they
    /// ended, in their order.
    async fn at_once(
        store: &Store,
        appends: usize,
        body: impl Fn(usize) -> EventBody,
    ) -> Vec<Result<Vec<Event>, AppendError>> {
        let writer = store.inner.database.writer().await.unwrap();
        let mut waiting = Vec::new();
        for number in 0..appends {
            let (other, body) = (store.clone(), body(number));
            waiting.push(tokio::spawn(async move { other.append(&run(number), AT, &[body]).await }));
            // One after the other, so that their order is known: the first thing each does is to join the queue.
            tokio::task::yield_now().await;
        }
        writer.keep();
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
        let writer = store.inner.database.writer().await.unwrap();
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
        writer.keep();
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
    async fn whoever_waits_when_the_store_is_closed_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(0), AT, &[submitted(0)]).await.unwrap();
        store.close().await;
        let refused = store.append(&run(0), AT, &[EventBody::Interrupted]).await.unwrap_err();
        assert!(matches!(refused, AppendError::Database(sqlx::Error::PoolClosed)), "{refused:?}");
    }
}
