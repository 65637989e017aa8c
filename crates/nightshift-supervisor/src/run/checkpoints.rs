//! What the driver of a run does about its checkpoints.

use std::sync::Arc;

use nightshift_protocol::{
    CheckpointCause, CheckpointId, ErrorCode, EventBody, PauseReason, RunState, SuspendReason, UserError,
};
use nightshift_store::AppendError;

use super::refusals::{self, Held};
use super::{Driver, Effect, Flow, Wish};
use crate::acts::{Rename, Trouble};
use crate::progress::{Action, Refuge, sandbox_ended};
use crate::transition::Trigger;
use crate::trouble;

impl Driver {
    /// Begins an action about checkpoints.
    pub(super) async fn begin_checkpoint(&mut self, action: Action) -> Result<Option<Effect>, AppendError> {
        let acts = Arc::clone(&self.acts);
        let sandbox = self.progress.sandbox.as_ref().map(|sandbox| sandbox.id.clone());
        Ok(match (action, sandbox) {
            (Action::BeginCheckpoint(cause), _) => {
                self.intend_checkpoint(cause, None).await?;
                None
            }
            (Action::SaveCheckpoint { checkpoint, cause }, Some(sandbox)) => {
                Some(Box::pin(acts.save_checkpoint(sandbox, checkpoint, cause)))
            }
            (Action::SaveCheckpoint { checkpoint, .. }, None) => {
                let reason = "the run has no sandbox any more".to_owned();
                self.append(vec![EventBody::CheckpointFailed { checkpoint, reason }]).await?;
                None
            }
            (Action::RemoveCheckpoint(checkpoint), _) => {
                Some(Box::pin(async move { Ok(vec![acts.remove_checkpoint(checkpoint).await]) }))
            }
            (Action::Rewind(checkpoint), sandbox) => {
                let finished = self.progress.will_have_finished_at(&checkpoint);
                let back = match self.progress.state {
                    RunState::Waiting { .. } => self.changed(Trigger::GoBack),
                    RunState::Delivering if !finished => self.changed(Trigger::GoBack),
                    _ => None,
                };
                Some(Box::pin(async move {
                    let mut bodies = acts.go_back(sandbox, checkpoint).await?;
                    if matches!(bodies[..], [EventBody::Rewound { .. }]) {
                        bodies.extend(back);
                    }
                    Ok(bodies)
                }))
            }
            (Action::RestoreSandbox { sandbox, checkpoint }, _) => {
                if !self.take_room().await? {
                    return Ok(None);
                }
                let replaceable = matches!(self.progress.state, RunState::Preparing { .. });
                let rename = self.progress.checkpoints.branch_in_sandbox().map(|from| Rename {
                    folder_of: self.progress.task.repository.clone(),
                    from: from.to_owned(),
                    to: self.progress.branch.clone(),
                });
                Some(Box::pin(async move {
                    let lost = checkpoint.clone();
                    match acts.restore_sandbox(sandbox, checkpoint, rename).await {
                        // What was delivered is there: a new sandbox takes its place.
                        Err(Trouble::Pause(error)) if replaceable => {
                            tracing::warn!(checkpoint = %lost, %error, "a sandbox cannot be brought back");
                            Ok(vec![acts.remove_checkpoint(lost).await])
                        }
                        restored => restored,
                    }
                }))
            }
            (other, _) => {
                tracing::error!(?other, "this is no action about checkpoints");
                None
            }
        })
    }

    async fn intend_checkpoint(
        &mut self,
        cause: CheckpointCause,
        suspended_for: Option<SuspendReason>,
    ) -> Result<(), AppendError> {
        let checkpoint = CheckpointId::new(self.shared.entropy.as_ref());
        self.append(vec![EventBody::CheckpointIntended { checkpoint, cause, suspended_for }]).await
    }

    pub(super) async fn intend_suspension(&mut self, reason: SuspendReason) -> Result<(), AppendError> {
        self.intend_checkpoint(CheckpointCause::Suspended, Some(reason)).await
    }

    /// Goes back because the sandbox ended: what was done since the newest checkpoint is done again. Where it was lost before, a
    /// person lets it go on.
    pub(super) async fn go_back_after_loss(&mut self, refuge: Refuge, why: &str) -> Result<(), AppendError> {
        self.acts.detach().await;
        let Refuge { checkpoint, lost_before } = refuge;
        let mut bodies = vec![EventBody::RewindIntended { checkpoint, reason: sandbox_ended(why) }];
        if lost_before {
            let error = trouble::lost_again(&self.progress.run, why);
            bodies.extend(self.changed(Trigger::Pause(PauseReason::Trouble { error })));
        }
        self.append(bodies).await
    }

    /// Takes room; `false` after some waiting, after which it is decided anew what is to be done.
    async fn take_room(&mut self) -> Result<bool, AppendError> {
        if self.room.is_some() {
            return Ok(true);
        }
        match self.shared.rooms.ask(&self.holder()) {
            Ok(room) => {
                self.room = Some(room);
                Ok(true)
            }
            Err(_) => {
                tokio::select! {
                    () = self.shared.rooms.changed() => {}
                    Some(request) = self.requests.recv() => {
                        self.take(request).await?;
                    }
                }
                Ok(false)
            }
        }
    }

    /// Where the run's sandbox is.
    fn held(&self) -> Held {
        match (&self.progress.sandbox, self.progress.suspension()) {
            (None, _) => Held::Nowhere,
            (Some(_), Some(_)) => Held::OnDisk,
            (Some(_), None) => Held::InMemory,
        }
    }

    /// Takes a wish about checkpoints.
    pub(super) async fn take_checkpoint_wish(
        &mut self,
        wish: Wish,
    ) -> Result<(Result<(), UserError>, Flow), AppendError> {
        let state = self.progress.state.words();
        let refused = |what: &str, hint: &str| {
            let message = format!("a run that is {state} {what}");
            Ok((Err(UserError::new(ErrorCode::Conflict, message, hint)), Flow::GoesOn))
        };
        let known = |checkpoint: &CheckpointId, driver: &Self| {
            let list = driver.progress.checkpoints.list();
            list.iter().any(|summary| summary.checkpoint == *checkpoint)
        };
        match wish {
            Wish::Checkpoint => {
                if !self.progress.may_be_saved() {
                    let hint = refusals::instead_of_saving(&self.progress.run, self.held());
                    return refused("cannot be saved now", &hint);
                }
                self.intend_checkpoint(CheckpointCause::Asked, None).await?;
                Ok((Ok(()), Flow::GoesOn))
            }
            Wish::Suspend(reason) => {
                if !self.progress.may_be_suspended() {
                    let progress = &self.progress;
                    let hint = refusals::instead_of_suspending(&progress.run, &progress.state, self.held());
                    return refused("cannot be suspended", &hint);
                }
                self.intend_suspension(reason).await?;
                Ok((Ok(()), Flow::GoesOn))
            }
            Wish::GoBack { checkpoint, discard } => {
                if !known(&checkpoint, self) || !self.progress.may_go_back() {
                    let hint = "Fork it instead: `nightshift checkpoint fork` makes a new run from there.";
                    return refused("cannot go back to that checkpoint", hint);
                }
                let mut bodies = Vec::new();
                if !discard && self.progress.has_more_than_its_checkpoints() {
                    let before = CheckpointId::new(self.shared.entropy.as_ref());
                    let cause = CheckpointCause::BeforeRewind;
                    bodies.push(EventBody::CheckpointIntended {
                        checkpoint: before,
                        cause,
                        suspended_for: None,
                    });
                }
                let reason = "a person asked for it".to_owned();
                bodies.push(EventBody::RewindIntended { checkpoint, reason });
                self.append(bodies).await?;
                Ok((Ok(()), Flow::Interrupted))
            }
            Wish::RemoveCheckpoint(checkpoint) => {
                if self.progress.rests_on(&checkpoint) {
                    return refused("rests on that checkpoint", "Let it go on first: `nightshift continue`.");
                }
                // Nothing waits for it but the asker, and it is gone in a moment.
                let removed = self.acts.remove_checkpoint(checkpoint).await;
                self.append(vec![removed]).await?;
                Ok((Ok(()), Flow::GoesOn))
            }
            Wish::Say(_)
            | Wish::Queue(_)
            | Wish::Interrupt(_)
            | Wish::Raise(_)
            | Wish::Decide(_)
            | Wish::Pause
            | Wish::Continue
            | Wish::Cancel
            | Wish::Merge
            | Wish::Close
            | Wish::Feedback(_)
            | Wish::Comment(_)
            | Wish::Withdraw(_)
            | Wish::Approve(_)
            | Wish::TakeOver(_)
            | Wish::HandBack { .. } => refused("was asked for something else", "Please report it."),
        }
    }
}
