//! What happened in a run on its way into the history.

use nightshift_protocol::{Event, EventBody, RunState};
use nightshift_store::AppendError;

use super::{Driver, redaction};

impl Driver {
    /// Takes note of what happened; it is written before anything else is done.
    pub(super) fn note(&mut self, bodies: Vec<EventBody>) {
        // What is folded now and what a later owner folds has one time: shares of time are decided by it.
        let mut slept = None;
        if self.unwritten.is_empty() {
            self.unwritten_since = self.shared.clock.now();
            // Only with a time of its own: with that of an earlier event it would be taken from the wrong time.
            slept = self.has_slept();
        }
        let at = self.unwritten_since;
        for body in slept.into_iter().chain(bodies) {
            let body = redaction::redacted(body, &self.shared.settings.delivery.redactor);
            let (run, seq) = (self.progress.run.clone(), self.progress.last_seq + 1);
            let event = Event { position: 0, run, seq, at, body };
            self.progress.apply(&event);
            self.unwritten.push(event.body);
        }
        self.tell_engine();
    }

    /// What is to be written when the computer slept since that was looked at last.
    fn has_slept(&mut self) -> Option<EventBody> {
        let slept = self.shared.clock.slept();
        let seconds = slept.saturating_sub(self.slept).as_secs();
        if seconds == 0 {
            return None;
        }
        self.slept = slept;
        matches!(self.progress.state, RunState::Working).then_some(EventBody::HostSlept { seconds })
    }

    /// Takes note of events and writes all that is not written yet.
    pub(super) async fn append(&mut self, bodies: Vec<EventBody>) -> Result<(), AppendError> {
        let waited = matches!(self.progress.state, RunState::InReview { .. });
        self.note(bodies);
        self.write_down().await?;
        if waited && !matches!(self.progress.state, RunState::InReview { .. }) {
            // One review less waits, so a task that was held back may begin.
            self.shared.rooms.look_again();
        }
        Ok(())
    }

    /// Writes to the history. While the disk is full it waits: what happened must not be lost, and nothing new may
    /// be begun that could not be written down.
    pub(super) async fn write_down(&mut self) -> Result<(), AppendError> {
        while !self.unwritten.is_empty() {
            let (run, at) = (&self.progress.run, self.unwritten_since);
            let written = self.shared.store.append_from(run, at, &mut self.unwritten).await;
            match written {
                // None is left.
                Ok(_) => {}
                Err(AppendError::DiskFull(error)) => {
                    tracing::warn!(run = %self.progress.run, %error, "the disk is full; waiting for room");
                    self.refuse_while_full().await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
