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
#[derive(Debug)]
pub(crate) struct Spares {
    after: Duration,
    kept: Duration,
    keeper: Mutex<Option<JoinHandle<()>>>,
}

impl Default for Spares {
    fn default() -> Self {
        Self { after: AFTER, kept: KEPT, keeper: Mutex::default() }
    }
}

impl Spares {
    /// A task came, and more may follow: makes a spare clone with `keep` soon, and ends it with `drop` after a while
    /// without a task.
    pub(crate) fn task_came(
        &self,
        keep: impl Future<Output = Result<(), StartError>> + Send + 'static,
        drop: impl Future<Output = ()> + Send + 'static,
    ) {
        let (after, kept) = (self.after, self.kept);
        let next = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if let Err(error) = keep.await {
                tracing::info!(%error, "no spare clone is kept");
                return;
            }
            tokio::time::sleep(kept).await;
            drop.await;
        });
        let before = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).replace(next);
        if let Some(before) = before {
            before.abort();
        }
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner) {
            keeper.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn spares(kept: Duration) -> Spares {
        Spares { after: Duration::ZERO, kept, keeper: Mutex::default() }
    }

    fn come(spares: &Spares, said: &UnboundedSender<&'static str>, made: Result<(), StartError>) {
        let (maker, ender) = (said.clone(), said.clone());
        let make = async move {
            let _ = maker.send("made");
            made
        };
        spares.task_came(make, async move {
            let _ = ender.send("ended");
        });
    }

    /// All that is said until nobody is left to say anything.
    async fn all(
        mut heard: UnboundedReceiver<&'static str>,
        said: UnboundedSender<&'static str>,
    ) -> Vec<&'static str> {
        drop(said);
        let mut all = Vec::new();
        while let Some(word) = heard.recv().await {
            all.push(word);
        }
        all
    }

    #[tokio::test]
    async fn a_spare_is_made_after_a_task_came_and_ended_when_no_other_comes() {
        let (said, heard) = unbounded_channel();
        let spares = spares(Duration::from_millis(1));
        come(&spares, &said, Ok(()));
        assert_eq!(all(heard, said).await, ["made", "ended"]);
    }

    #[tokio::test]
    async fn a_task_that_comes_meanwhile_makes_the_spare_wait_anew() {
        let (said, mut heard) = unbounded_channel();
        let spares = spares(LONG);
        come(&spares, &said, Ok(()));
        assert_eq!(heard.recv().await, Some("made"));
        come(&spares, &said, Ok(()));
        assert_eq!(heard.recv().await, Some("made"));
        // Both would wait for an hour: the first was given up, and the second goes with the owner.
        drop(spares);
        assert_eq!(all(heard, said).await, [""; 0]);
    }

    #[tokio::test]
    async fn a_spare_that_could_not_be_made_is_not_ended() {
        let (said, heard) = unbounded_channel();
        let spares = spares(Duration::ZERO);
        come(&spares, &said, Err(StartError::DiskFull { folder: "/data".into() }));
        assert_eq!(all(heard, said).await, ["made"]);
    }
}
