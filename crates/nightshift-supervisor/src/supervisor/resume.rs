//! Taking a run up again with a person's words, wherever it stands.

use nightshift_protocol::{AskForChanges, ErrorCode, MessageDelivery, RunId, RunState, UserError};

use super::Supervisor;

/// What taking a run up again comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Road {
    /// It works, or will: its agent is told, or answered.
    Say,
    /// It was stopped: its agent is told, and it goes on.
    SayAndContinue,
    /// Its pull request is open: it goes back to work.
    AskForChanges,
}

impl Supervisor {
    /// Takes a run up again in its sandbox, with everything it knows. What was suspended comes back.
    pub async fn resume_run(&self, run: &RunId, words: String) -> Result<(), UserError> {
        let progress = self.progress(run).await?;
        match road(run, &progress.state)? {
            Road::Say => self.say(run, words, MessageDelivery::Steer).await,
            Road::SayAndContinue => {
                self.say(run, words, MessageDelivery::Steer).await?;
                self.continue_run(run).await
            }
            Road::AskForChanges => {
                self.ask_for_changes(run, AskForChanges { words, comments: Vec::new() }).await
            }
        }
    }
}

fn road(run: &RunId, state: &RunState) -> Result<Road, UserError> {
    let over = |hint: String| {
        let message = format!("the run is {} and its sandbox is gone", state.words());
        Err(UserError::new(ErrorCode::Conflict, message, hint))
    };
    match state {
        RunState::Queued { .. }
        | RunState::Preparing { .. }
        | RunState::Working
        | RunState::Waiting { .. } => Ok(Road::Say),
        RunState::Paused { .. } => Ok(Road::SayAndContinue),
        RunState::InReview { .. } => Ok(Road::AskForChanges),
        RunState::Delivering => Err(UserError::new(
            ErrorCode::Conflict,
            "its work becomes a pull request just now",
            format!("Try again in a moment; `nightshift watch {run}` follows it."),
        )),
        RunState::Merged { .. } | RunState::Closed { .. } => {
            over("Give a new task with `nightshift exec`; what was merged is where it begins.".to_owned())
        }
        RunState::Cancelled | RunState::Failed { .. } => over(format!(
            "`nightshift checkpoint list {run}` tells whether there is a moment to go on from, with `checkpoint fork`; \
             else give the task again."
        )),
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{PauseReason, PullRequestId, QueueReason};

    use super::*;

    fn of(state: &RunState) -> Result<Road, ErrorCode> {
        road(&"run-0000000000".parse().unwrap(), state).map_err(|error| error.code)
    }

    #[test]
    fn a_run_is_taken_up_by_the_road_that_fits_its_state() {
        let pull_request = PullRequestId(1);
        let cases = [
            (RunState::Queued { reason: QueueReason::Submitted }, Ok(Road::Say)),
            (RunState::Working, Ok(Road::Say)),
            (RunState::Waiting { question: "Which?".to_owned(), approval: None }, Ok(Road::Say)),
            (RunState::Paused { reason: PauseReason::Person }, Ok(Road::SayAndContinue)),
            (RunState::InReview { pull_request }, Ok(Road::AskForChanges)),
            (RunState::Delivering, Err(ErrorCode::Conflict)),
            (RunState::Merged { pull_request }, Err(ErrorCode::Conflict)),
            (RunState::Closed { pull_request }, Err(ErrorCode::Conflict)),
            (RunState::Cancelled, Err(ErrorCode::Conflict)),
        ];
        for (state, expected) in cases {
            assert_eq!(of(&state), expected, "{state:?}");
        }
    }
}
