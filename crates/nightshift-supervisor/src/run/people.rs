//! What the driver of a run does when a person comes in.

use nightshift_protocol::{
    DecideApproval, ErrorCode, EventBody, Image, Limits, RaiseLimits, RunId, RunState, UserError,
};
use nightshift_store::AppendError;

use super::{Driver, Flow, refusals};
use crate::transition::{Stage, Trigger};
use crate::trouble;

impl Driver {
    /// Why the run does not listen any more, if it does not.
    pub(super) fn deaf(&self) -> Option<UserError> {
        let over = self.progress.state.is_final() || self.progress.finished.is_some();
        over.then(|| listens_no_longer(&self.progress.run, &self.progress.state))
    }

    /// Gives mouse and keyboard to a person, where there is a sandbox that an agent works in, or would.
    pub(super) async fn take_over(
        &mut self,
        screen: Option<Image>,
    ) -> Result<Result<(), UserError>, AppendError> {
        let has_screen = matches!(
            self.progress.state,
            RunState::Working | RunState::Waiting { .. } | RunState::Paused { .. }
        );
        if !has_screen || self.progress.stage() == Stage::Unprepared {
            return Ok(Err(UserError::new(
                ErrorCode::Conflict,
                format!("the run is {} and cannot be taken over", self.progress.state.words()),
                refusals::instead_of_taking_over(&self.progress.run, &self.progress.state),
            )));
        }
        self.append(vec![EventBody::TakenOver { screen }]).await?;
        Ok(Ok(()))
    }

    /// Passes a person's words on; an answer to a question lets the run go on.
    pub(super) async fn hear(&mut self, text: String) -> Result<Result<(), UserError>, AppendError> {
        if let Some(deaf) = self.deaf() {
            return Ok(Err(deaf));
        }
        let mut bodies = vec![EventBody::PersonSaid { text }];
        // Words are no yes: the agent reads them when that is decided.
        if matches!(self.progress.state, RunState::Waiting { approval: None, .. }) {
            bodies.extend(self.changed(Trigger::Answer));
        }
        self.append(bodies).await?;
        Ok(Ok(()))
    }

    /// Notes what a person decided about the command that the run waits with, and lets it go on.
    pub(super) async fn decide(
        &mut self,
        decided: DecideApproval,
    ) -> Result<Result<(), UserError>, AppendError> {
        let RunState::Waiting { approval: Some(step), .. } = self.progress.state else {
            let message = format!("no command waits for a yes: the run is {}", self.progress.state.words());
            let hint = format!("`nightshift show {}` tells more.", self.progress.run);
            return Ok(Err(UserError::new(ErrorCode::Conflict, message, hint)));
        };
        if let Some(other) = decided.step.filter(|named| *named != step) {
            let message = format!("the run waits with step {step} and not with step {other}");
            let hint = "Look at what it asks now, and decide about that.";
            return Ok(Err(UserError::new(ErrorCode::Conflict, message, hint)));
        }
        let mut bodies = vec![EventBody::ApprovalDecided { step, decision: decided.decision }];
        bodies.extend(self.changed(Trigger::Answer));
        self.append(bodies).await?;
        Ok(Ok(()))
    }

    /// Keeps a person's words until the agent is done with what it does.
    pub(super) async fn keep_for_the_end(
        &mut self,
        text: String,
    ) -> Result<Result<(), UserError>, AppendError> {
        if let Some(deaf) = self.deaf() {
            return Ok(Err(deaf));
        }
        self.append(vec![EventBody::MessageQueued { text }]).await?;
        Ok(Ok(()))
    }

    /// Stops what is under way. A tool ends by itself, with what it has printed; a model call is made again.
    pub(super) async fn interrupt(
        &mut self,
        text: Option<String>,
    ) -> Result<(Result<(), UserError>, Flow), AppendError> {
        let working = matches!(self.progress.state, RunState::Working);
        let (step, turn) = (self.progress.open_step.is_some(), self.progress.open_turn.is_some());
        if !working || !self.progress.is_under_way() {
            return Ok(match text {
                Some(text) => (self.hear(text).await?, Flow::GoesOn),
                None => {
                    let message = format!(
                        "nothing is under way that could be interrupted: the run is {}",
                        self.progress.state.words()
                    );
                    let hint = refusals::instead_of_interrupting(&self.progress.run, &self.progress.state);
                    (Err(UserError::new(ErrorCode::Conflict, message, hint)), Flow::GoesOn)
                }
            });
        }
        let said = text.map(|text| EventBody::PersonSaid { text });
        self.append(said.into_iter().chain([EventBody::Interrupted]).collect()).await?;
        self.beside.interrupt();
        if turn && !step {
            return Ok((Ok(()), Flow::Interrupted));
        }
        if let Some(interrupter) = &self.interrupter {
            interrupter.interrupt();
        }
        Ok((Ok(()), Flow::GoesOn))
    }

    /// Changes what the task may use.
    pub(super) async fn raise(&mut self, limits: RaiseLimits) -> Result<Result<(), UserError>, AppendError> {
        if self.progress.state.is_final() {
            let message = format!("the run is {}", self.progress.state.words());
            return Ok(Err(UserError::new(
                ErrorCode::Conflict,
                message,
                "Give a new task with `nightshift exec`.",
            )));
        }
        let model = &self.progress.task.model;
        if limits.cost_microdollars.is_some() && self.shared.model.price(model).is_none() {
            return Ok(Err(trouble::no_price(model)));
        }
        if let Some(turns) = limits.turns.filter(|turns| *turns > Limits::MOST_TURNS) {
            return Ok(Err(trouble::too_many_turns(turns)));
        }
        let limits = limits.over(self.progress.task.limits);
        self.append(vec![EventBody::LimitsRaised { limits }]).await?;
        Ok(Ok(()))
    }
}

/// The refusal of words for a run that is over, or whose work is finished.
fn listens_no_longer(run: &RunId, state: &RunState) -> UserError {
    let message = format!("the run is {} and no longer listens", state.words());
    let then = format!("ask for changes when it is in review, with `nightshift review ask {run} \"…\"`");
    let hint = match state {
        RunState::InReview { .. } => format!("Ask for changes: `nightshift review ask {run} \"…\"`."),
        // What is finished is not to be given up for want of a word.
        RunState::Paused { .. } => {
            format!("Its work is finished: `nightshift continue {run}` delivers it; {then}.")
        }
        RunState::Queued { .. }
        | RunState::Preparing { .. }
        | RunState::Working
        | RunState::Waiting { .. }
        | RunState::Delivering => format!("Its work is finished and is being delivered; {then}."),
        RunState::Merged { .. } | RunState::Closed { .. } | RunState::Cancelled | RunState::Failed { .. } => {
            "Give a new task with `nightshift exec`.".to_owned()
        }
    };
    UserError::new(ErrorCode::Conflict, message, hint)
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::PauseReason;

    use super::*;

    fn hint(state: &RunState) -> String {
        listens_no_longer(&"run-0000000000".parse().unwrap(), state).hint
    }

    #[test]
    fn who_writes_to_finished_work_that_is_paused_is_told_to_let_it_go_on() {
        let paused = hint(&RunState::Paused { reason: PauseReason::Person });
        assert!(paused.starts_with("Its work is finished: `nightshift continue run-0000000000`"), "{paused}");
        assert!(hint(&RunState::Delivering).starts_with("Its work is finished and is being delivered"));
        assert_eq!(hint(&RunState::Cancelled), "Give a new task with `nightshift exec`.");
    }
}
