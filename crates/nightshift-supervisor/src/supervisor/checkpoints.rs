//! What people ask of a run's checkpoints.

use std::borrow::Cow;

use futures_util::StreamExt;
use nightshift_forge::BranchName;
use nightshift_protocol::{
    CheckpointCause, CheckpointId, CheckpointSummary, ErrorCode, EventBody, ForkRun, RunId, SandboxId,
    SuspendReason, UserError,
};

use super::{Supervisor, to_its_end};
use crate::acts::cost;
use crate::progress::{Fork, road_to};
use crate::run::Wish;
use crate::trouble;

/// The most runs that are made of one checkpoint at once.
const MOST_FORKS: u32 = 16;

impl Supervisor {
    /// Saves a run's sandbox, and returns when that is done.
    pub async fn save_checkpoint(&self, run: &RunId) -> Result<CheckpointSummary, UserError> {
        self.saved(run, Wish::Checkpoint, CheckpointCause::Asked).await
    }

    /// Suspends the sandbox of a run that rests, and returns when its memory is given back.
    pub async fn suspend(&self, run: &RunId) -> Result<CheckpointSummary, UserError> {
        self.saved(run, Wish::Suspend(SuspendReason::Asked), CheckpointCause::Suspended).await
    }

    async fn saved(
        &self,
        run: &RunId,
        wish: Wish,
        wanted: CheckpointCause,
    ) -> Result<CheckpointSummary, UserError> {
        let after = self.progress(run).await?.last_seq;
        self.wish(run, wish).await?;
        let mut events = self.shared.store.follow(run, after);
        let mut own = None;
        while let Some(event) = events.next().await {
            match saving(&mut own, event.map_err(|error| trouble::reading(&error))?.body, wanted) {
                None => {}
                Some(Saving::Saved(checkpoint)) => {
                    let list = self.progress(run).await?.checkpoints.list();
                    let summary = list.into_iter().find(|summary| summary.checkpoint == checkpoint);
                    return summary.ok_or_else(|| missing(checkpoint.as_str()));
                }
                Some(Saving::Failed(reason)) => {
                    return Err(UserError::new(
                        ErrorCode::SandboxFailed,
                        format!("the checkpoint was not saved: {reason}"),
                        "The run goes on as if it had not been tried; `nightshift doctor` looks for the cause.",
                    ));
                }
            }
        }
        Err(UserError::new(ErrorCode::Conflict, "the owner is ending", "Try again."))
    }

    /// Lets a run go back to a checkpoint, named by its id, how that begins, or its step, and returns when it has given up
    /// what it was. That is saved before, unless it is to be discarded.
    pub async fn rewind(&self, run: &RunId, named: &str, discard: bool) -> Result<(), UserError> {
        let checkpoint = self.find_checkpoint(run, named).await?;
        let after = self.progress(run).await?.last_seq;
        self.wish(run, Wish::GoBack { checkpoint: checkpoint.clone(), discard }).await?;
        let mut events = self.shared.store.follow(run, after);
        let mut before = None;
        while let Some(event) = events.next().await {
            match event.map_err(|error| trouble::reading(&error))?.body {
                EventBody::CheckpointIntended {
                    checkpoint, cause: CheckpointCause::BeforeRewind, ..
                } => {
                    before = Some(checkpoint);
                }
                EventBody::CheckpointFailed { checkpoint, reason }
                    if before.as_ref() == Some(&checkpoint) =>
                {
                    return Err(UserError::new(
                        ErrorCode::SandboxFailed,
                        format!("the run did not go back: what it is at now could not be saved: {reason}"),
                        "Mend that and try again, or give up what it is at now: `nightshift checkpoint rewind` with --discard.",
                    ));
                }
                EventBody::Rewound { checkpoint: to } if to == checkpoint => return Ok(()),
                EventBody::CheckpointRemoved { checkpoint: gone } if gone == checkpoint => {
                    return Err(missing(checkpoint.as_str()));
                }
                EventBody::StateChanged { state } if state.is_final() => {
                    return Err(UserError::new(
                        ErrorCode::Conflict,
                        format!("{run} ended before it went back"),
                        "Fork it instead: `nightshift checkpoint fork` makes a new run from there.",
                    ));
                }
                _ => {}
            }
        }
        Err(UserError::new(ErrorCode::Conflict, "the owner is ending", "The next one lets the run go back."))
    }

    /// Removes a checkpoint.
    pub async fn remove_checkpoint(&self, run: &RunId, named: &str) -> Result<(), UserError> {
        let checkpoint = self.find_checkpoint(run, named).await?;
        self.wish(run, Wish::RemoveCheckpoint(checkpoint)).await
    }

    /// Makes runs that go on from a checkpoint, each in a sandbox of its own.
    pub async fn fork(&self, run: &RunId, wish: ForkRun) -> Result<Vec<RunId>, UserError> {
        let (this, run) = (self.clone(), run.clone());
        to_its_end(async move { this.fork_now(&run, wish).await }).await
    }

    async fn fork_now(&self, run: &RunId, wish: ForkRun) -> Result<Vec<RunId>, UserError> {
        if !(1..=MOST_FORKS).contains(&wish.count) {
            let message = format!("{} forks were asked for", wish.count);
            return Err(UserError::new(ErrorCode::InvalidRequest, message, "Ask for 1 to 16."));
        }
        let checkpoint = self.find_checkpoint(run, &wish.checkpoint).await?;
        let events = self.shared.store.replay(run).await.map_err(|error| trouble::replaying(&error))?;
        let road = road_to(&events, &checkpoint).ok_or_else(|| missing(checkpoint.as_str()))?;
        let mut runs = Vec::new();
        for _ in 0..wish.count {
            runs.push(self.fork_once(run, &checkpoint, &road, wish.text.as_deref()).await?);
        }
        Ok(runs)
    }

    async fn fork_once(
        &self,
        from: &RunId,
        checkpoint: &CheckpointId,
        road: &[Cow<'_, EventBody>],
        text: Option<&str>,
    ) -> Result<RunId, UserError> {
        let entropy = self.shared.entropy.as_ref();
        let (run, own, sandbox) = (RunId::new(entropy), CheckpointId::new(entropy), SandboxId::new(entropy));
        let checkpoints = self.shared.driver.checkpoints().ok_or_else(|| missing(checkpoint.as_str()))?;
        // A copy of its own, which costs nothing: what becomes of the other run's checkpoints is no matter then.
        let facts = checkpoints.copy(checkpoint, &own).await.map_err(|error| {
            trouble::disk_or(ErrorCode::SandboxFailed, "taking a checkpoint for a fork", &error)
        })?;
        let Some(EventBody::RunSubmitted { task, .. }) = road.first().map(|body| &**body) else {
            return Err(missing(checkpoint.as_str()));
        };
        let fork = Fork {
            from: from.clone(),
            checkpoint: checkpoint.clone(),
            sandbox,
            own,
            cost: cost(&facts),
            branch: BranchName::for_run(&task.title(), &run).to_string(),
            // As all that a person says is.
            text: text
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(|text| self.shared.settings.delivery.redactor.redact_certain(text).into_owned()),
        };
        let bodies = fork.history(road).ok_or_else(|| missing(checkpoint.as_str()))?;
        let now = self.shared.clock.now();
        self.shared.store.append(&run, now, &bodies).await.map_err(|error| trouble::appending(&error))?;
        self.wishes_of(&run).await?;
        Ok(run)
    }

    async fn find_checkpoint(&self, run: &RunId, named: &str) -> Result<CheckpointId, UserError> {
        let list = self.progress(run).await?.checkpoints.list();
        let with_prefix = |summary: &&CheckpointSummary| {
            let id = summary.checkpoint.as_str();
            !named.is_empty()
                && (id.starts_with(named) || id.trim_start_matches("checkpoint-").starts_with(named))
        };
        // A step is asked for by its number; of several after the same step, the newest.
        let by_step =
            list.iter().rev().find(|summary| summary.step.is_some_and(|step| step.to_string() == named));
        let mut by_id = list.iter().filter(with_prefix);
        match (by_step, by_id.next(), by_id.next()) {
            (Some(found), ..) | (None, Some(found), None) => Ok(found.checkpoint.clone()),
            (None, Some(_), Some(_)) => Err(UserError::new(
                ErrorCode::InvalidRequest,
                format!("several checkpoints begin with {named}"),
                format!("`nightshift checkpoint list {run}` shows them."),
            )),
            (None, None, _) => Err(UserError::new(
                ErrorCode::NotFound,
                format!("{run} has no checkpoint {named}"),
                format!("`nightshift checkpoint list {run}` shows those that are there."),
            )),
        }
    }
}

/// How it ended that a sandbox was to be saved.
#[derive(Debug, PartialEq, Eq)]
enum Saving {
    /// It was.
    Saved(CheckpointId),
    /// It was not, and why.
    Failed(String),
}

/// Whether an event ends a saving that was wished for. `own` is the checkpoint it became, once that is known: others are saved
/// beside it. One that was intended is saved or fails also when the run ends meanwhile (`progress::next`).
fn saving(own: &mut Option<CheckpointId>, body: EventBody, wanted: CheckpointCause) -> Option<Saving> {
    match body {
        EventBody::CheckpointIntended { checkpoint, cause, .. } if cause == wanted => {
            own.get_or_insert(checkpoint);
            None
        }
        EventBody::CheckpointSaved { checkpoint, .. } if *own == Some(checkpoint.clone()) => {
            Some(Saving::Saved(checkpoint))
        }
        EventBody::CheckpointFailed { checkpoint, reason } if *own == Some(checkpoint.clone()) => {
            Some(Saving::Failed(reason))
        }
        _ => None,
    }
}

fn missing(checkpoint: &str) -> UserError {
    UserError::new(
        ErrorCode::NotFound,
        format!("there is no checkpoint {checkpoint}"),
        "`nightshift checkpoint list` shows those that are there.",
    )
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::CheckpointCost;

    use super::*;

    fn id(letter: char) -> CheckpointId {
        format!("checkpoint-{}", letter.to_string().repeat(10)).parse().unwrap()
    }

    fn intended(letter: char, cause: CheckpointCause) -> EventBody {
        EventBody::CheckpointIntended { checkpoint: id(letter), cause, suspended_for: None }
    }

    fn saved(letter: char, cause: CheckpointCause) -> EventBody {
        let cost = CheckpointCost { changed_bytes: 0, written_bytes: 0, paused_ms: 0, took_ms: 0 };
        EventBody::CheckpointSaved { checkpoint: id(letter), cause, cost }
    }

    fn failed(letter: char) -> EventBody {
        EventBody::CheckpointFailed { checkpoint: id(letter), reason: "no room".to_owned() }
    }

    /// What of these events ended a saving that a person asked for.
    fn ended(bodies: Vec<EventBody>) -> Option<Saving> {
        let mut own = None;
        bodies.into_iter().find_map(|body| saving(&mut own, body, CheckpointCause::Asked))
    }

    #[test]
    fn who_asks_for_a_checkpoint_hears_of_that_one_and_not_of_those_beside_it() {
        let (asked, steps) = (CheckpointCause::Asked, CheckpointCause::Steps);
        let other = vec![failed('a'), intended('b', steps), failed('b'), saved('c', asked)];
        assert_eq!(ended(other.clone()), None);
        let own =
            |end: EventBody| ended([other.clone(), vec![intended('d', asked), failed('b'), end]].concat());
        assert_eq!(own(saved('d', asked)), Some(Saving::Saved(id('d'))));
        assert_eq!(own(failed('d')), Some(Saving::Failed("no room".to_owned())));
    }

    #[test]
    fn of_two_that_are_asked_for_one_after_the_other_each_is_its_asker_s() {
        let asked = CheckpointCause::Asked;
        let both = vec![intended('a', asked), intended('b', asked), failed('b'), saved('a', asked)];
        assert_eq!(ended(both), Some(Saving::Saved(id('a'))));
    }
}
