//! How the driver of a run waits for a person: what is under way beside it comes to its end meanwhile, and is taken in.

use std::time::Duration;

use nightshift_store::AppendError;

use super::{Driver, Request};
use crate::admission::Use;

/// How waiting for a person ended.
pub(super) enum Waited {
    /// A person wishes something.
    For(Request),
    /// Something that was under way told something, or ended, and that is taken in.
    Meanwhile,
    /// Nothing happened for as long as was waited.
    InVain,
    /// Nobody can wish anything any more.
    Alone,
}

impl Driver {
    /// Waits for a person, for at most so long.
    pub(super) async fn wait_for_person(&mut self, within: Duration) -> Result<Waited, AppendError> {
        if !self.uses_memory() {
            // It uses no memory, so others may have its room.
            self.room = None;
        }
        self.leave_line();
        if self.room.is_some() && self.progress.may_be_suspended() {
            self.set_use(Use::Idle).await;
        }
        let asides = self.acts.asides();
        let mut asides = asides.lock().await;
        // Whatever comes, it works again with what it does next: whoever waits here may stop waiting.
        let waited = tokio::select! {
            biased;
            Some(aside) = asides.recv() => {
                self.take_aside(aside).await?;
                Waited::Meanwhile
            }
            ended = self.beside.ended() => {
                self.take_beside_in_wait(ended).await?;
                Waited::Meanwhile
            }
            request = self.requests.recv() => request.map_or(Waited::Alone, Waited::For),
            () = tokio::time::sleep(within) => Waited::InVain,
        };
        Ok(waited)
    }
}
