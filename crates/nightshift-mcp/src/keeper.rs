//! Keeps the sandboxes that were opened through this server: for as long as their client is there and uses them.
//!
//! A loan lapses at the owner a minute and a half after it was last renewed, so that a client or a server that is
//! killed leaves nothing behind; one that ends in good order closes what it opened at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::owner::{Owner, segment};

/// Seconds a loan lasts without being renewed.
pub(crate) const LEASE_SECONDS: u32 = 90;

/// How often loans are renewed.
const RENEW_EVERY: Duration = Duration::from_secs(25);

/// A sandbox that nobody used for so long is not renewed any more.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// The sandboxes that were opened through one server.
#[derive(Clone)]
pub struct Keeper {
    owner: Arc<dyn Owner>,
    used: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Keeper {
    pub(crate) fn new(owner: Arc<dyn Owner>) -> Self {
        Self { owner, used: Arc::default() }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened(&self, sandbox: &str) {
        self.used().insert(sandbox.to_owned(), Instant::now());
    }

    /// Notes that a sandbox was used; those that were opened elsewhere are kept by whoever opened them.
    pub(crate) fn uses(&self, sandbox: &str) {
        if let Some(at) = self.used().get_mut(sandbox) {
            *at = Instant::now();
        }
    }

    pub(crate) fn closed(&self, sandbox: &str) {
        self.used().remove(sandbox);
    }

    /// Renews the loans of sandboxes that are used, for as long as this is polled.
    pub async fn keep(&self) {
        let mut tick = tokio::time::interval(RENEW_EVERY);
        loop {
            tick.tick().await;
            for sandbox in self.to_renew(Instant::now()) {
                let renewed =
                    self.owner.post(&format!("/sandboxes/{}/lease", segment(&sandbox)), json!({})).await;
                if let Err(error) = renewed {
                    // It is gone, or the owner is: its next use says so.
                    tracing::debug!(sandbox, %error, "a sandbox was not renewed");
                }
            }
        }
    }

    /// Those that were used lately; the others are left to lapse.
    fn to_renew(&self, now: Instant) -> Vec<String> {
        let mut used = self.used();
        used.retain(|_, at| now.saturating_duration_since(*at) <= IDLE);
        used.keys().cloned().collect()
    }

    /// Closes all sandboxes that were opened through this server.
    pub async fn close_all(&self) {
        let all: Vec<String> = self.used().drain().map(|(sandbox, _)| sandbox).collect();
        for sandbox in all {
            if let Err(error) = self.owner.delete(&format!("/sandboxes/{}", segment(&sandbox))).await {
                tracing::debug!(sandbox, %error, "a sandbox was not closed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use nightshift_protocol::{Event, UserError};
    use serde_json::Value;
    use tokio::sync::mpsc;

    use super::*;

    /// Writes down what it is asked.
    #[derive(Default)]
    struct Asked(Mutex<Vec<String>>);

    impl Asked {
        fn note(&self, what: String) -> Result<Vec<u8>, UserError> {
            self.0.lock().unwrap().push(what);
            Ok(b"{}".to_vec())
        }
    }

    #[async_trait]
    impl Owner for Asked {
        async fn get(&self, path: &str) -> Result<Vec<u8>, UserError> {
            self.note(format!("GET {path}"))
        }

        async fn post(&self, path: &str, _: Value) -> Result<Vec<u8>, UserError> {
            self.note(format!("POST {path}"))
        }

        async fn put(&self, path: &str, _: Vec<u8>) -> Result<Vec<u8>, UserError> {
            self.note(format!("PUT {path}"))
        }

        async fn delete(&self, path: &str) -> Result<Vec<u8>, UserError> {
            self.note(format!("DELETE {path}"))
        }

        async fn follow(&self, _: &str, _: u64) -> Result<mpsc::Receiver<Event>, UserError> {
            Ok(mpsc::channel(1).1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_sandbox_is_renewed_while_it_is_used_and_left_to_lapse_when_it_is_not() {
        let owner = Arc::new(Asked::default());
        let keeper = Keeper::new(owner.clone());
        keeper.opened("sandbox-a");
        let keeping = tokio::spawn({
            let keeper = keeper.clone();
            async move { keeper.keep().await }
        });
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(*owner.0.lock().unwrap(), ["POST /sandboxes/sandbox-a/lease"; 3]);
        tokio::time::sleep(IDLE).await;
        let renewed = owner.0.lock().unwrap().len();
        tokio::time::sleep(IDLE).await;
        assert_eq!(owner.0.lock().unwrap().len(), renewed);
        keeping.abort();
    }

    #[tokio::test]
    async fn what_was_opened_elsewhere_is_not_closed_here() {
        let owner = Arc::new(Asked::default());
        let keeper = Keeper::new(owner.clone());
        keeper.opened("sandbox-a");
        keeper.opened("sandbox-b");
        keeper.closed("sandbox-b");
        keeper.uses("sandbox-of-another");
        keeper.close_all().await;
        assert_eq!(*owner.0.lock().unwrap(), ["DELETE /sandboxes/sandbox-a"]);
    }
}
