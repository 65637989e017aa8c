//! The threads on which what sandboxes send is taken in: the bytes of their channels, the connections of their programs,
//! their screens' updates.
//!
//! A sandbox decides how much that is. Apart from the threads on which people and drivers are served, the worst it can do
//! is to make other sandboxes' bytes wait for their turn, a batch at a time.

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinSet;

/// How many threads there are: one that is busy leaves one for others.
const THREADS: usize = 2;

/// Threads of their own, which end with this.
#[derive(Debug)]
pub(crate) struct Intake {
    runtime: Option<Runtime>,
}

impl Intake {
    /// Starts the threads.
    pub(crate) fn start() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("intake")
            .enable_all()
            .build()
            .inspect_err(|error| tracing::warn!(%error, "sandboxes are served on the owner's own threads"));
        Self { runtime: runtime.ok() }
    }

    /// Where to spawn; the caller's own runtime if the threads could not be started.
    pub(crate) fn handle(&self) -> Handle {
        self.runtime.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Intake {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nobody may wait here: it is dropped on a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}

/// Does a piece of work on other threads, and what it spawns too. It ends when nobody waits for it any more.
pub(crate) async fn there<T: Send + 'static>(
    threads: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> std::io::Result<T> {
    let mut tasks = JoinSet::new();
    tasks.spawn_on(work, threads);
    match tasks.join_next().await {
        Some(done) => done.map_err(std::io::Error::other),
        None => Err(std::io::Error::other("nothing was begun")),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a thread that is kept busy is what is tested")]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[tokio::test]
    async fn who_keeps_all_its_threads_busy_keeps_nobody_else_waiting() {
        let intake = Intake::start();
        for _ in 0..THREADS {
            // A flood that never pauses.
            drop(intake.handle().spawn(async { std::thread::sleep(Duration::from_millis(400)) }));
        }
        let began = Instant::now();
        tokio::spawn(async {}).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_is_done_there_is_on_its_threads_and_ends_with_who_waits_for_it() {
        let intake = Intake::start();
        let name = || std::thread::current().name().map(str::to_owned);
        assert_eq!(there(&intake.handle(), async move { name() }).await.unwrap().as_deref(), Some("intake"));
        let (held, released) = tokio::sync::oneshot::channel::<()>();
        let threads = intake.handle();
        let work = there(&threads, async move {
            let _held = held;
            std::future::pending::<()>().await;
        });
        assert!(tokio::time::timeout(Duration::from_millis(20), work).await.is_err());
        released.await.unwrap_err();
    }
}
