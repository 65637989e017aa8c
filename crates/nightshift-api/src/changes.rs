//! What changed in any run, for those who show all of them.

use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::{Event, Overview, RunChanged};
use nightshift_store::{ReadError, Store};
use tokio::sync::{broadcast, mpsc};

/// Changes shortly after one another are told as one: a run that works writes several events a second.
const TOGETHER: Duration = Duration::from_millis(100);

/// Runs that are read at once.
const PAGE: u32 = 200;

/// Something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A run.
    Run(Box<RunChanged>),
    /// The counts.
    Overview(Overview),
}

/// Tells changes until nobody listens or the history cannot be read: whoever follows asks again from the last one.
pub(crate) async fn follow(
    store: Store,
    mut news: broadcast::Receiver<Arc<Event>>,
    mut after: u64,
    say: mpsc::Sender<Change>,
) {
    let mut told = None;
    loop {
        match catch_up(&store, &mut after, &mut told, &say).await {
            Ok(Told::All) => {}
            Ok(Told::NobodyListens) => return,
            Err(error) => {
                tracing::warn!(%error, "a stream of changes ends");
                return;
            }
        }
        tokio::select! {
            () = say.closed() => return,
            heard = news.recv() => if matches!(heard, Err(broadcast::error::RecvError::Closed)) { return },
        }
        tokio::time::sleep(TOGETHER).await;
        // What came meanwhile is read from the table.
        news = news.resubscribe();
    }
}

/// Whether anybody took it.
enum Told {
    All,
    NobodyListens,
}

async fn catch_up(
    store: &Store,
    after: &mut u64,
    told: &mut Option<Overview>,
    say: &mpsc::Sender<Change>,
) -> Result<Told, ReadError> {
    loop {
        let runs = store.changed_runs(*after, PAGE).await?;
        let Some(last) = runs.last() else { break };
        *after = last.position;
        for run in runs {
            if say.send(Change::Run(Box::new(run))).await.is_err() {
                return Ok(Told::NobodyListens);
            }
        }
    }
    let overview = store.overview().await?;
    if told.as_ref().is_none_or(|told| told.counts != overview.counts) {
        *told = Some(overview.clone());
        if say.send(Change::Overview(overview)).await.is_err() {
            return Ok(Told::NobodyListens);
        }
    }
    Ok(Told::All)
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{EventBody, OffsetDateTime, RunId, RunState};

    use super::*;

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn run(number: u32) -> RunId {
        format!("run-{number:010}").parse().unwrap()
    }

    fn submitted() -> EventBody {
        let events: Vec<EventBody> =
            serde_json::from_str(include_str!("../../nightshift-protocol/wire/events.json")).unwrap();
        events.into_iter().next().unwrap()
    }

    fn working() -> EventBody {
        EventBody::StateChanged { state: RunState::Working }
    }

    fn said() -> EventBody {
        EventBody::PersonSaid { text: "hello".to_owned() }
    }

    /// A store with two runs, and a stream of what changes after `after`.
    async fn begun(after: u64) -> (tempfile::TempDir, Store, mpsc::Receiver<Change>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(1), AT, &[submitted()]).await.unwrap();
        store.append(&run(2), AT, &[submitted()]).await.unwrap();
        let (say, changes) = mpsc::channel(16);
        tokio::spawn(follow(store.clone(), store.subscribe(), after, say));
        (folder, store, changes)
    }

    fn told(change: Option<Change>) -> String {
        match change {
            Some(Change::Run(changed)) => format!("{} at {}", changed.run.run, changed.position),
            Some(Change::Overview(overview)) => {
                format!("{} queued, {} working", overview.counts.queued, overview.counts.working)
            }
            None => "the end".to_owned(),
        }
    }

    #[tokio::test]
    async fn who_was_away_is_told_what_changed_and_then_the_counts() {
        let (_folder, _store, mut changes) = begun(0).await;
        assert_eq!(told(changes.recv().await), "run-0000000001 at 1");
        assert_eq!(told(changes.recv().await), "run-0000000002 at 2");
        assert_eq!(told(changes.recv().await), "2 queued, 0 working");
    }

    #[tokio::test]
    async fn changes_shortly_after_one_another_are_one_and_the_counts_are_told_when_they_change() {
        let (_folder, store, mut changes) = begun(2).await;
        assert_eq!(told(changes.recv().await), "2 queued, 0 working");
        store.append(&run(1), AT, &[said(), said(), said()]).await.unwrap();
        assert_eq!(told(changes.recv().await), "run-0000000001 at 5");
        store.append(&run(2), AT, &[working()]).await.unwrap();
        // What is written while the stream reads may be counted before it is told.
        let mut last = [told(changes.recv().await), told(changes.recv().await)];
        last.sort();
        assert_eq!(last, ["1 queued, 1 working", "run-0000000002 at 6"]);
    }

    #[tokio::test]
    async fn a_place_that_is_not_reached_yet_is_waited_for() {
        let (_folder, store, mut changes) = begun(1_000).await;
        assert_eq!(told(changes.recv().await), "2 queued, 0 working");
        store.append(&run(1), AT, &[working()]).await.unwrap();
        // The run is before that place; what changed in the counts is told all the same.
        assert_eq!(told(changes.recv().await), "1 queued, 1 working");
    }

    #[tokio::test]
    async fn a_stream_that_nobody_hears_ends_and_so_does_one_whose_history_is_closed() {
        let (_folder, store, changes) = begun(0).await;
        let news = store.subscribe();
        drop(changes);
        let (say, gone) = mpsc::channel(1);
        drop(gone);
        let alone = tokio::time::timeout(Duration::from_secs(20), follow(store.clone(), news, 0, say));
        assert!(alone.await.is_ok());

        let (say, mut changes) = mpsc::channel(16);
        store.close().await;
        follow(store.clone(), store.subscribe(), 0, say).await;
        assert_eq!(told(changes.recv().await), "the end");
    }
}
