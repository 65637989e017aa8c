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
