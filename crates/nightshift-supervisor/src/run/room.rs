//! What the driver of a run does while there is no room on the disk: it waits, and goes on by itself once there is some.

use std::path::PathBuf;
use std::time::Duration;

use nightshift_protocol::{ErrorCode, PauseReason, RunState, SandboxId};
use nightshift_sandbox::{Hold, Stall};
use nightshift_store::AppendError;

use super::Driver;
use super::waiting::Waited;
use crate::doctor::{LEAST_FREE_MIB, free_mib};
use crate::progress::{Readiness, Sandbox};
use crate::transition::Trigger;
use crate::trouble;

/// How long is waited before the history is written again when the disk is full.
const DISK_FULL_WAIT: Duration = Duration::from_secs(3);

/// How often it is looked whether there is room again.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A disk that was too full, as far as it was seen.
///
/// Only one that *was seen* too full can be seen to have room again: a quota, or a limit that cannot be measured, is for
/// a person to judge, and a run must not go on and stop for ever.
#[derive(Debug)]
pub(super) struct Shortage {
    /// Where there was no room; `None` where that is not known, or as the driver of sandboxes tells.
    folder: Option<PathBuf>,
    seen: bool,
    /// What has to be free, in MiB.
    enough_mib: u64,
}

impl Default for Shortage {
    fn default() -> Self {
        Self { folder: None, seen: false, enough_mib: LEAST_FREE_MIB }
    }
}

impl Shortage {
    /// The disk below a sandbox that stands still.
    pub(super) fn of(stall: Stall) -> Self {
        let (seen, enough_mib) = match stall.held {
            // It was seen by whoever held it.
            Some(Hold::Reserve { enough_bytes, .. }) => (true, enough_bytes.div_ceil(1 << 20)),
            // No room on the disk is a cause to go on.
            Some(Hold::Quota { .. }) => (false, 0),
            None => (stall.free_mib.is_some_and(|free| free < LEAST_FREE_MIB), LEAST_FREE_MIB),
        };
        let folder = Some(stall.folder).filter(|_| stall.held.is_none());
        Self { folder, seen, enough_mib }
    }

    /// Takes note of how much is free now, and says whether the shortage is over.
    fn is_over(&mut self, free_mib: Option<u64>) -> bool {
        match free_mib {
            Some(free) if free < self.enough_mib => {
                self.seen = true;
                false
            }
            Some(_) => self.seen,
            None => false,
        }
    }
}

impl Driver {
    /// The sandbox that must not stand still unnoticed: one that is ready, of a run that is at work.
    pub(super) fn sandbox_at_work(&self) -> Option<SandboxId> {
        let works = matches!(
            self.progress.state,
            RunState::Preparing { .. } | RunState::Working | RunState::Delivering
        );
        match &self.progress.sandbox {
            Some(Sandbox { id, readiness: Readiness::Ready }) if works => Some(id.clone()),
            Some(_) | None => None,
        }
    }

    /// Whether the run is paused because a disk is full.
    pub(super) fn waits_for_room_on_disk(&self) -> bool {
        matches!(&self.progress.state, RunState::Paused { reason: PauseReason::Trouble { error } }
            if error.code == ErrorCode::DiskFull)
    }

    /// Waits a moment for a person or for room; `false` when nobody can ask any more.
    pub(super) async fn await_room_on_disk(&mut self) -> Result<bool, AppendError> {
        if !self.short_of.seen {
            // At once, so that an owner which was started anew sees what made it stop, if that is still so.
            let free = self.free_mib().await;
            let _not_over = self.short_of.is_over(free);
        }
        match self.wait_for_person(LOOK_EVERY).await? {
            Waited::For(request) => {
                self.take(request).await?;
            }
            Waited::Alone => return Ok(false),
            Waited::Meanwhile => {}
            Waited::InVain => {
                let free = self.free_mib().await;
                if self.short_of.is_over(free) {
                    tracing::info!(run = %self.progress.run, "there is room on the disk again");
                    self.short_of = Shortage::default();
                    self.step_to(Trigger::Continue).await?;
                }
            }
        }
        Ok(true)
    }

    /// What is free of the disk that was too full; of all that it may have been, where that is not known.
    async fn free_mib(&self) -> Option<u64> {
        if let Some(folder) = &self.short_of.folder {
            return free_mib(folder);
        }
        let below_sandboxes = self.shared.driver.disk_use().await.map(|used| used.free_bytes >> 20);
        [below_sandboxes, free_mib(&self.shared.settings.data)].into_iter().flatten().min()
    }

    /// Answers wishes with the reason while the history cannot be written.
    pub(super) async fn refuse_while_full(&mut self) {
        let until = tokio::time::Instant::now() + DISK_FULL_WAIT;
        while let Ok(Some(request)) = tokio::time::timeout_at(until, self.requests.recv()).await {
            let _asker_gone = request.answer.send(Err(trouble::disk_full("writing the history")));
        }
        tokio::time::sleep_until(until).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stall(free_mib: Option<u64>) -> Stall {
        Stall { folder: "/data/sandboxes/x".into(), free_mib, held: None }
    }

    #[test]
    fn a_sandbox_that_was_held_goes_on_when_what_it_was_held_for_is_free_and_at_no_other_amount() {
        let hold =
            Hold::Reserve { written_bytes: 9 << 30, free_bytes: 1 << 30, enough_bytes: (5_000 << 20) + 1 };
        let mut shortage = Shortage::of(Stall { held: Some(hold), ..stall(Some(1_024)) });
        assert!(!shortage.is_over(Some(LEAST_FREE_MIB)));
        assert!(!shortage.is_over(Some(5_000)));
        assert!(shortage.is_over(Some(5_001)));
    }

    #[test]
    fn room_on_the_disk_lets_no_sandbox_go_on_that_wrote_its_quota() {
        let hold = Hold::Quota { written_bytes: 9 << 30, quota_bytes: 8 << 30 };
        let mut shortage = Shortage::of(Stall { held: Some(hold), ..stall(Some(10)) });
        for free in [Some(0), Some(10), Some(u64::MAX), None] {
            assert!(!shortage.is_over(free), "{free:?}");
        }
    }

    #[test]
    fn a_shortage_that_was_seen_is_over_when_there_is_room() {
        let mut shortage = Shortage::of(stall(Some(3)));
        assert!(!shortage.is_over(Some(LEAST_FREE_MIB - 1)));
        assert!(!shortage.is_over(None));
        assert!(shortage.is_over(Some(LEAST_FREE_MIB)));
    }

    #[test]
    fn what_was_never_seen_to_be_short_is_for_a_person_to_judge() {
        for free in [None, Some(LEAST_FREE_MIB), Some(u64::MAX)] {
            let mut quota = Shortage::of(stall(free));
            assert!(!quota.is_over(Some(u64::MAX)), "{free:?}");
        }
    }

    #[test]
    fn an_owner_that_was_started_anew_sees_the_shortage_first() {
        let mut shortage = Shortage::default();
        assert!(!shortage.is_over(Some(u64::MAX)));
        assert!(!shortage.is_over(Some(0)));
        assert!(shortage.is_over(Some(u64::MAX)));
    }
}
