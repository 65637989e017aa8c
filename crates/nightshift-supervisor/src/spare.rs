//! When a spare clone is kept: while tasks come, and for a while after the last one.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nightshift_sandbox::StartError;
use tokio::task::JoinHandle;

/// How long after a clone was taken the next one is made: by then the sandbox that was asked for shows its desktop, and
/// the two do not take the processors from each other.
const AFTER: Duration = Duration::from_secs(3);
/// How long a spare clone waits. It needs some tens of megabytes, which a host that has gone quiet gets back.
const KEPT: Duration = Duration::from_secs(30 * 60);

/// Sees to it that a clone waits for the next task.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Option<JoinHandle<()>>>);

impl Spares {
    /// A task came, and more may follow: makes a spare clone with `keep` soon, and ends it with `drop` after a while
    /// without a task.
    pub(crate) fn task_came(
        &self,
        keep: impl Future<Output = Result<(), StartError>> + Send + 'static,
        drop: impl Future<Output = ()> + Send + 'static,
    ) {
        let next = tokio::spawn(async move {
            tokio::time::sleep(AFTER).await;
            if let Err(error) = keep.await {
                tracing::info!(%error, "no spare clone is kept");
                return;
            }
            tokio::time::sleep(KEPT).await;
            drop.await;
        });
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        if let Some(keeper) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner) {
            keeper.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    type Log = Arc<Mutex<Vec<&'static str>>>;

    fn come(spares: &Spares, log: &Log, kept: Result<(), StartError>) {
        let (keeping, dropping) = (Arc::clone(log), Arc::clone(log));
        spares.task_came(
            async move {
                keeping.lock().unwrap().push("made");
                kept
            },
            async move { dropping.lock().unwrap().push("ended") },
        );
    }

    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_is_made_after_a_task_came_and_ended_when_no_other_comes() {
        let (spares, log) = (Spares::default(), Log::default());
        come(&spares, &log, Ok(()));
        pass(2).await;
        assert_eq!(*log.lock().unwrap(), [""; 0]);
        pass(2).await;
        assert_eq!(*log.lock().unwrap(), ["made"]);
        pass(30 * 60).await;
        assert_eq!(*log.lock().unwrap(), ["made", "ended"]);
    }

    #[tokio::test(start_paused = true)]
    async fn each_task_makes_the_spare_wait_anew() {
        let (spares, log) = (Spares::default(), Log::default());
        come(&spares, &log, Ok(()));
        pass(20 * 60).await;
        come(&spares, &log, Ok(()));
        pass(20 * 60).await;
        assert_eq!(*log.lock().unwrap(), ["made", "made"]);
        drop(spares);
        pass(60 * 60).await;
        assert_eq!(*log.lock().unwrap(), ["made", "made"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_spare_that_could_not_be_made_is_not_ended() {
        let (spares, log) = (Spares::default(), Log::default());
        come(&spares, &log, Err(StartError::DiskFull { folder: "/data".into() }));
        pass(60 * 60).await;
        assert_eq!(*log.lock().unwrap(), ["made"]);
    }
}
