//! Several attempts at one task: how they rank, and giving the others up once one is chosen.

use nightshift_protocol::{
    AttemptList, ErrorCode, GivenUp, MOST_ATTEMPTS, OtherAttempt, OthersClosed, RunState, RunSummary, TaskId,
    UserError,
};
use nightshift_store::RunFilter;

use super::{Supervisor, to_its_end};
use crate::reviewing;
use crate::trouble;

impl Supervisor {
    /// Ranks the attempts at a task.
    pub async fn attempts(&self, task: &TaskId) -> Result<AttemptList, UserError> {
        Ok(reviewing::attempts(task.clone(), self.runs_of(task).await?))
    }

    /// Gives up every other attempt at a run's task: open pull requests are closed, their branches are kept; what is
    /// unfinished is cancelled. Done again it finds what is over and does the rest.
    pub async fn close_others(&self, kept: &RunSummary) -> Result<OthersClosed, UserError> {
        let (this, kept) = (self.clone(), kept.clone());
        to_its_end(async move { this.close_others_now(&kept).await }).await
    }

    async fn close_others_now(&self, kept: &RunSummary) -> Result<OthersClosed, UserError> {
        // One choice at a time: two people who keep one each would give up both.
        let _chosen = self.choosing.lock().await;
        let now = self.shared.store.run(&kept.run).await.map_err(|error| trouble::reading(&error))?;
        if let Some(state) = now.map(|now| now.state).filter(given_up) {
            return Err(UserError::new(
                ErrorCode::Conflict,
                format!("{} is {} itself: nothing would be left of its task", kept.run, state.words()),
                format!("Name the attempt to keep; `nightshift review attempts {}` shows all.", kept.task.id),
            ));
        }
        let mut others = Vec::new();
        for (number, run) in (1..).zip(self.runs_of(&kept.task.id).await?) {
            if run.run == kept.run {
                continue;
            }
            // One that cannot be given up must not keep the others.
            let outcome = match self.give_up(&run).await {
                Ok(outcome) => outcome,
                Err(error) => GivenUp::Refused { error },
            };
            others.push(OtherAttempt { number, run: run.run, outcome });
        }
        Ok(OthersClosed { kept: kept.run.clone(), others })
    }

    async fn give_up(&self, run: &RunSummary) -> Result<GivenUp, UserError> {
        match self.try_to_give_up(run).await {
            // It may have come elsewhere meanwhile: to a pull request, or to its end.
            Err(error) if error.code == ErrorCode::Conflict => {
                let now = self.shared.store.run(&run.run).await;
                let now = now.map_err(|error| trouble::reading(&error))?;
                match now.filter(|now| way_out(now) != way_out(run)) {
                    Some(now) => self.try_to_give_up(&now).await,
                    None => Err(error),
                }
            }
            tried => tried,
        }
    }

    async fn try_to_give_up(&self, run: &RunSummary) -> Result<GivenUp, UserError> {
        match way_out(run) {
            WayOut::Over => Ok(GivenUp::OverBefore { state: run.state.name().to_owned() }),
            WayOut::Close => self.close(&run.run).await.map(|()| GivenUp::PullRequestClosed),
            WayOut::Cancel => self.cancel(&run.run).await.map(|()| GivenUp::Cancelled),
        }
    }

    /// The runs of a task in the order of submission.
    async fn runs_of(&self, task: &TaskId) -> Result<Vec<RunSummary>, UserError> {
        let filter = RunFilter { task: Some(task.clone()), ..RunFilter::default() };
        let mut runs = self.all_runs(&filter).await?;
        runs.reverse();
        Ok(runs)
    }
}

/// Whether nothing can come of a run any more.
fn given_up(state: &RunState) -> bool {
    matches!(state, RunState::Cancelled | RunState::Failed { .. } | RunState::Closed { .. })
}

/// How a run is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayOut {
    /// It is over.
    Over,
    /// Its pull request is closed.
    Close,
    /// It is cancelled.
    Cancel,
}

fn way_out(run: &RunSummary) -> WayOut {
    match run.reviewing.pull_request {
        _ if run.state.is_final() => WayOut::Over,
        Some(_) => WayOut::Close,
        None => WayOut::Cancel,
    }
}

/// Checks how many attempts are asked for. Whoever follows an issue gets one pull request of it.
pub(super) fn check(attempts: u32, of_an_issue: bool) -> Result<(), UserError> {
    match attempts {
        1 => Ok(()),
        2..=MOST_ATTEMPTS if of_an_issue => Err(UserError::new(
            ErrorCode::InvalidRequest,
            "the task of an issue has one attempt",
            "Fork its run to try something else.",
        )),
        2..=MOST_ATTEMPTS => Ok(()),
        _ => Err(not_so_many(attempts)),
    }
}

pub(super) fn not_so_many(attempts: u32) -> UserError {
    let message = format!("{attempts} attempts were asked for");
    UserError::new(ErrorCode::InvalidRequest, message, "Ask for 1 to 8.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_eight_attempts_are_taken_and_one_of_an_issue() {
        let code = |attempts, of_an_issue| check(attempts, of_an_issue).map_err(|error| error.code);
        for taken in 1..=MOST_ATTEMPTS {
            assert_eq!(code(taken, false), Ok(()), "{taken}");
        }
        for refused in [0, MOST_ATTEMPTS + 1, u32::MAX] {
            assert_eq!(code(refused, false), Err(ErrorCode::InvalidRequest), "{refused}");
        }
        assert_eq!(code(1, true), Ok(()));
        assert_eq!(check(2, true).unwrap_err().message, "the task of an issue has one attempt");
    }
}
