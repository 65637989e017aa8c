//! Appends that wait for the disk together.
//!
//! One `fsync` costs as much for fifty runs as for one. So whoever comes to write first writes for all who wait, in one
//! transaction; nobody is told that its events are there before that transaction is on the disk. What cannot be written
//! together is written one by one and by what the table has, so that each append keeps an outcome of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightshift_protocol::{Event, EventBody, OffsetDateTime, RunId};
use tokio::sync::oneshot;

use crate::database::Writer;
use crate::events::insert;
use crate::{AppendError, Inner};

/// Events with their JSON.
pub(crate) type Records = Vec<(EventBody, String)>;

/// An append that waits for its turn to be written.
#[derive(Debug)]
struct Waiting {
    ticket: u64,
    run: RunId,
    at: OffsetDateTime,
    records: Records,
    outcome: oneshot::Sender<Result<Vec<Event>, AppendError>>,
}

/// The appends that wait, in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<Waitings>);

#[derive(Debug, Default)]
struct Waitings {
    tickets: u64,
    waiting: Vec<Waiting>,
}

impl Queue {
    fn join(
        &self,
        run: RunId,
        at: OffsetDateTime,
        records: Records,
        outcome: oneshot::Sender<Result<Vec<Event>, AppendError>>,
    ) -> u64 {
        let mut queue = self.lock();
        queue.tickets += 1;
        let ticket = queue.tickets;
        queue.waiting.push(Waiting { ticket, run, at, records, outcome });
        ticket
    }

    /// Takes all who wait.
    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut self.lock().waiting)
    }

    /// Whether who has this ticket still waited and now does not.
    fn leave(&self, ticket: u64) -> bool {
        let mut queue = self.lock();
        let before = queue.waiting.len();
        queue.waiting.retain(|waiting| waiting.ticket != ticket);
        queue.waiting.len() < before
    }

    fn lock(&self) -> MutexGuard<'_, Waitings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Appends events, with those of others who wait. Whatever joins the queue is written by this call or by one that
    /// had the writer before it.
    pub(crate) async fn append(
        &self,
        run: RunId,
        at: OffsetDateTime,
        records: Records,
    ) -> Result<Vec<Event>, AppendError> {
        let (outcome, written) = oneshot::channel();
        let ticket = self.queue.join(run, at, records, outcome);
        match self.database.writer().await {
            Ok(writer) => self.write(writer, self.queue.take()).await,
            Err(error) if self.queue.leave(ticket) => return Err(error.into()),
            // Another took it along.
            Err(_) => {}
        }
        written.await.unwrap_or(Err(AppendError::Ending))
    }

    async fn write(&self, mut writer: Writer<'_>, mut group: Vec<Waiting>) {
        if group.is_empty() {
            return writer.keep();
        }
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
            // One after the other, so that their order is known.
            while store.inner.queue.lock().waiting.len() <= number {
                tokio::task::yield_now().await;
            }
        }
        writer.keep();
        let mut outcomes = Vec::new();
        for append in waiting {
            outcomes.push(append.await.unwrap());
        }
        outcomes
    }

    #[tokio::test]
    async fn who_writes_first_writes_for_all_who_wait_in_one_transaction() {
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
        assert_eq!(store.inner.queue.lock().waiting.len(), 0, "nothing is left behind for a later writer");
    }
}
