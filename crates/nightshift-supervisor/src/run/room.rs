//! What the driver of a run does while there is no room on the disk: it waits, and goes on by itself once there is some.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_protocol::{ErrorCode, PauseReason, RunState, SandboxId};
use nightshift_sandbox::Stall;
use nightshift_store::AppendError;

use super::Driver;
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
#[derive(Debug, Default)]
pub(super) struct Shortage {
    folder: Option<PathBuf>,
    seen: bool,
}

impl Shortage {
    /// The disk below a sandbox that stands still.
    pub(super) fn of(stall: Stall) -> Self {
        Self { folder: Some(stall.folder), seen: stall.free_mib.is_some_and(|free| free < LEAST_FREE_MIB) }
    }

    /// Takes note of how much is free now, and says whether the shortage is over.
    fn is_over(&mut self, free_mib: Option<u64>) -> bool {
        match free_mib {
            Some(free) if free < LEAST_FREE_MIB => {
                self.seen = true;
                false
            }
            Some(_) => self.seen,
            None => false,
        }
    }

    fn folder<'a>(&'a self, otherwise: &'a Path) -> &'a Path {
        self.folder.as_deref().unwrap_or(otherwise)
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
        match tokio::time::timeout(LOOK_EVERY, self.next_request()).await {
            Ok(Some(request)) => {
                self.take(request).await?;
            }
            Ok(None) => return Ok(false),
            Err(_) => {
                let free = free_mib(self.short_of.folder(&self.shared.settings.data));
                if self.short_of.is_over(free) {
                    tracing::info!(run = %self.progress.run, "there is room on the disk again");
                    self.short_of = Shortage::default();
                    self.step_to(Trigger::Continue).await?;
                }
            }
        }
        Ok(true)
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
        Stall { folder: "/data/sandboxes/x".into(), free_mib }
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
        assert_eq!(shortage.folder(Path::new("/data")), Path::new("/data"));
    }
}
