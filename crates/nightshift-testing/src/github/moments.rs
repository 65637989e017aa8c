//! The moments at which a client can be ended: before a request is acted on, and after, before it is answered.

use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Notify;

/// A moment in the life of all requests together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// Counts moments, and stops time at the one that was chosen.
#[derive(Debug, Default)]
pub(super) struct Moments {
    seen: Mutex<(u64, Option<u64>)>,
    reached: Notify,
}

impl Moments {
    pub(super) fn now(&self) -> Moment {
        Moment(self.seen.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(super) fn stop_at(&self, moment: Option<Moment>) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 = moment.map(|moment| moment.0);
    }

    pub(super) async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Passes a moment; at the chosen one it tells who waits for it and never returns.
    pub(super) async fn pass(&self) {
        let stop = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.0 += 1;
            seen.1 == Some(seen.0)
        };
        if stop {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }
}
