//! Appends that wait for the disk together.
//!
//! One `fsync` costs as much for fifty runs as for one. So one thread writes for all: whatever has come while it wrote goes
//! into the next transaction, and nobody is told that its events are there before that transaction is on the disk. What
//! cannot be written together is written one by one and by what the table has, so that each append keeps an outcome of its
//! own.
//!
//! It is a thread because a transaction takes several steps. Between two of them a task waits until it is its turn among all
//! the tasks that have something to do, and so long nobody else can write: with fifty runs at once the disk stood still for
//! most of the time, and the processors with it, for every run waited for the one that wrote.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread;

use futures_util::FutureExt;
use nightshift_protocol::{Event, EventBody, OffsetDateTime, RunId};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::AppendError;
use crate::database::{Database, Writer};
use crate::events::insert;

/// Events with their JSON.
pub(crate) type Records = Vec<(EventBody, String)>;

/// An append that waits for its turn to be written.
#[derive(Debug)]
struct Waiting {
    run: RunId,
    at: OffsetDateTime,
    records: Records,
    outcome: oneshot::Sender<Result<Vec<Event>, AppendError>>,
}

/// The way to the thread that writes. It ends when the last of these is gone and everything is written.
///
/// What waits is as much as there are callers who wait for it.
#[derive(Debug)]
pub(crate) struct Queue(mpsc::UnboundedSender<Waiting>);

impl Queue {
    /// Starts the thread.
    pub(crate) fn start(
        database: Arc<Database>,
        live: broadcast::Sender<Arc<Event>>,
    ) -> Result<Self, io::Error> {
        let (queue, waiting) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let appender = Appender { database, live };
        thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || runtime.block_on(appender.serve(waiting)))?;
        Ok(Self(queue))
    }

    /// Appends events, with those of others who wait.
    pub(crate) async fn append(
        &self,
        run: RunId,
        at: OffsetDateTime,
        records: Records,
    ) -> Result<Vec<Event>, AppendError> {
        let (outcome, written) = oneshot::channel();
        self.0.send(Waiting { run, at, records, outcome }).map_err(|_| AppendError::Ending)?;
        written.await.unwrap_or(Err(AppendError::Ending))
    }
}

/// What writes.
struct Appender {
    database: Arc<Database>,
    live: broadcast::Sender<Arc<Event>>,
}

impl Appender {
    async fn serve(&self, mut waiting: mpsc::UnboundedReceiver<Waiting>) {
        while let Some(first) = waiting.recv().await {
            let mut group = vec![first];
            match self.database.writer().await {
                Ok(writer) => {
                    while let Ok(next) = waiting.try_recv() {
                        group.push(next);
                    }
                    // A defect that one event meets must not stop all runs: those of the group learn that nothing was written,
                    // and the connection goes with the transaction.
                    if AssertUnwindSafe(self.write(writer, group)).catch_unwind().await.is_err() {
                        tracing::error!("a group of events was not written: writing it panicked");
                    }
                }
                Err(error) => {
                    let _asker_gone = group.pop().map(|waiting| waiting.outcome.send(Err(error.into())));
                }
            }
        }
    }

    async fn write(&self, mut writer: Writer<'_>, mut group: Vec<Waiting>) {
        match self.write_together(&mut writer, &mut group).await {
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
        for Waiting { run, at, records, outcome, .. } in group {
            // A connection that failed may believe in a transaction that is gone.
            if !sound && let Err(error) = writer.renew().await {
                let _asker_gone = outcome.send(Err(error.into()));
                continue;
            }
            let written = write_one(&mut writer, run, at, records).await;
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
        let (mut transaction, heads) = writer.begin().await?;
        let mut all = Vec::with_capacity(group.len());
        for Waiting { run, at, records, .. } in group.iter() {
            all.push(insert(&mut transaction, heads, run, *at, records).await?);
        }
        transaction.commit().await?;
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

async fn write_one(
    writer: &mut Writer<'_>,
    run: RunId,
    at: OffsetDateTime,
    records: Records,
) -> Result<Vec<Event>, AppendError> {
    let (mut transaction, heads) = writer.begin().await?;
    let events = insert(&mut transaction, heads, &run, at, &records).await?;
    transaction.commit().await?;
    Ok(events)
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
        let outcomes = at_once(&store, 30, submitted).await;
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
