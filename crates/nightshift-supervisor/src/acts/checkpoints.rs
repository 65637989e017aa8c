//! Saving a run's sandbox, and bringing it back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_channel::GuestUser;
use nightshift_protocol::{CheckpointCause, CheckpointCost, CheckpointId, EventBody, SandboxId, UserError};
use nightshift_sandbox::{AfterSave, CheckpointFacts, Generation, RestoreRequest, SaveRequest};

use super::{Acts, Trouble};
use crate::desk::{DeskError, shell};
use crate::repository::quoted;
use crate::supervisor::to_its_end;
use crate::trouble;

/// How long the branch of a fork may take to get its name.
const RENAMED_WITHIN: Duration = Duration::from_secs(30);

/// How long a foreign agent that was told to stop is waited for.
const ENGINE_ENDS_WITHIN: Duration = Duration::from_secs(15);

/// A branch that has another name in a sandbox than the run gives it.
pub(crate) struct Rename {
    pub(crate) folder_of: String,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Acts {
    /// Saves the sandbox. Begun, it is carried through; asked for again, it finds what was saved.
    pub(crate) async fn save_checkpoint(
        self: Arc<Self>,
        sandbox: SandboxId,
        checkpoint: CheckpointId,
        cause: CheckpointCause,
    ) -> Result<Vec<EventBody>, Trouble> {
        let wanted = checkpoint.clone();
        let saving = to_its_end(async move {
            let _one_at_a_time = self.saving.lock().await;
            if matches!(cause, CheckpointCause::Paused | CheckpointCause::Suspended) {
                // What is saved should not have a foreign agent in it that is just ending.
                let _or_not = tokio::time::timeout(ENGINE_ENDS_WITHIN, self.alone.lock()).await;
            }
            Ok(match self.save(&sandbox, &checkpoint, cause).await {
                Ok(facts) => EventBody::CheckpointSaved { checkpoint, cause, cost: cost(&facts) },
                Err(reason) => {
                    tracing::warn!(run = %self.run, %checkpoint, reason, "a checkpoint was not saved");
                    EventBody::CheckpointFailed { checkpoint, reason }
                }
            })
        });
        let given_up =
            |error: UserError| EventBody::CheckpointFailed { checkpoint: wanted, reason: error.message };
        Ok(vec![saving.await.unwrap_or_else(given_up)])
    }

    async fn save(
        &self,
        sandbox: &SandboxId,
        checkpoint: &CheckpointId,
        cause: CheckpointCause,
    ) -> Result<CheckpointFacts, String> {
        let driver = self.shared.driver.as_ref();
        let checkpoints = driver.checkpoints().ok_or("this kind of sandbox has no checkpoints")?;
        let suspends = cause == CheckpointCause::Suspended;
        let found = driver.find(sandbox).await.map_err(|error| error.to_string())?;
        if let Some(facts) = checkpoints.find_checkpoint(checkpoint).await {
            // An owner before this one saved it and could not say so. What it left running is older than that.
            if let Some(machine) = found.filter(|_| suspends) {
                machine.stop().await.map_err(|error| error.to_string())?;
            }
            return Ok(facts);
        }
        let machine = found.ok_or("its virtual machine no longer runs")?;
        if suspends {
            self.detach().await;
        }
        let then = if suspends { AfterSave::End } else { AfterSave::GoOn };
        let request = SaveRequest { checkpoint: checkpoint.clone(), machine, then };
        checkpoints.save(request).await.map_err(|error| trouble::unsaved(&error))
    }

    /// Removes a checkpoint. What cannot be removed is left on the disk, and the run goes on.
    pub(crate) async fn remove_checkpoint(&self, checkpoint: CheckpointId) -> EventBody {
        if let Some(checkpoints) = self.shared.driver.checkpoints()
            && let Err(error) = checkpoints.remove_checkpoint(&checkpoint).await
        {
            tracing::warn!(run = %self.run, %checkpoint, %error, "a checkpoint could not be removed");
        }
        EventBody::CheckpointRemoved { checkpoint }
    }

    /// Gives up what the sandbox is now, so that it can be brought back as it was.
    pub(crate) async fn go_back(
        &self,
        sandbox: Option<SandboxId>,
        checkpoint: CheckpointId,
    ) -> Result<Vec<EventBody>, Trouble> {
        let checkpoints = self.shared.driver.checkpoints();
        let there = match checkpoints {
            Some(checkpoints) => checkpoints.find_checkpoint(&checkpoint).await.is_some(),
            None => false,
        };
        if !there {
            tracing::warn!(run = %self.run, %checkpoint, "it is no longer on the disk, or damaged");
            return Ok(vec![EventBody::CheckpointRemoved { checkpoint }]);
        }
        self.detach().await;
        if let Some(sandbox) = sandbox {
            self.remove(&sandbox).await;
        }
        Ok(vec![EventBody::Rewound { checkpoint }])
    }

    /// Brings the sandbox back. One that was brought back before, and of which nobody knows, is begun anew.
    pub(crate) async fn restore_sandbox(
        &self,
        sandbox: SandboxId,
        checkpoint: CheckpointId,
        rename: Option<Rename>,
    ) -> Result<Vec<EventBody>, Trouble> {
        let began = Instant::now();
        // Its guest is waited for, and so is not made to stand still for the disk meanwhile.
        let _making = self.shared.being_made.begin(&sandbox);
        let pause = |error: DeskError| Trouble::Pause(error.into());
        let driver = self.shared.driver.as_ref();
        self.detach().await;
        if let Some(begun) = driver.find(&sandbox).await.map_err(|error| pause(error.into()))? {
            begun.stop().await.map_err(|error| pause(DeskError::Ended { reason: error.to_string() }))?;
        }
        let saved = match driver.checkpoints() {
            Some(checkpoints) => checkpoints.find_checkpoint(&checkpoint).await,
            None => None,
        };
        let generation = match saved {
            Some(saved) if saved.sandbox == sandbox => Generation::Kept,
            Some(_) | None => Generation::Fresh,
        };
        let request = RestoreRequest { sandbox: sandbox.clone(), checkpoint: checkpoint.clone(), generation };
        let restored = async {
            let desk = self.restore_when_there_is_room(request).await?;
            if let Some(Rename { folder_of, from, to }) = rename {
                let folder = crate::repository::folder(desk.machine.home(), &folder_of);
                let (folder, from, to) = (quoted(&folder), quoted(&from), quoted(&to));
                let script = format!(
                    "! git -C {folder} rev-parse -q --verify refs/heads/{from} || git -C {folder} branch -m {from} {to}"
                );
                shell(&desk.channel, "fork-branch", &script, GuestUser::Agent, RENAMED_WITHIN).await?;
                let _forgotten = desk.channel.forget(&crate::tools::job_id("fork-branch")).await;
            }
            Ok::<_, DeskError>(desk)
        };
        match restored.await {
            Ok(desk) => {
                // What it may reach is decided anew: the owner's configuration may be another one by now.
                let plan = self.open_network(&desk).await;
                *self.desk.lock().await = Some(desk);
                let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                Ok(vec![EventBody::SandboxRestored { sandbox, checkpoint, took_ms }, plan.event()])
            }
            Err(error) => {
                self.remove(&sandbox).await;
                Err(pause(error))
            }
        }
    }
}

/// What a checkpoint cost, as it goes into the history.
pub(crate) fn cost(facts: &CheckpointFacts) -> CheckpointCost {
    let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    CheckpointCost {
        changed_bytes: facts.changed_bytes,
        written_bytes: facts.written_bytes,
        paused_ms: milliseconds(facts.paused),
        took_ms: milliseconds(facts.took),
    }
}
