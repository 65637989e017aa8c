//! What the driver of a run does for a self-review.

use std::sync::Arc;

use nightshift_protocol::SelfReview;

use super::{Action, Driver, Effect, next};
use crate::acts::Work;

impl Driver {
    /// Has a critic begin to look at the work.
    pub(super) fn begin_self_review(&self, round: u32) -> Effect {
        let (acts, work) = (Arc::clone(&self.acts), self.work());
        let evidence = self.progress.evidence.clone();
        Box::pin(async move { acts.begin_self_review(work, evidence, round).await })
    }

    /// Whether a critic was to begin with work that is not to be looked at any more: a person wrote meanwhile, or has the mouse.
    pub(super) fn is_overtaken(&self, action: &Action) -> bool {
        matches!(action, Action::BeginSelfReview(_)) && next(&self.progress) != *action
    }

    /// Takes back what the critic changed, unless a person's work would be lost with it, and notes what it found.
    pub(super) fn end_self_review(&self, review: SelfReview) -> Effect {
        let (acts, work) = (Arc::clone(&self.acts), self.work());
        let head = self.progress.self_reviews.put_back_to().cloned();
        let jobs = self.progress.jobs();
        let commands =
            self.progress.agent.background_commands().into_iter().map(|step| jobs.of(step)).collect();
        Box::pin(async move { acts.end_self_review(work, head, commands, review).await })
    }

    pub(super) fn work(&self) -> Work {
        let (task, branch, sandbox) = self.task_and_sandbox();
        Work { task, branch, sandbox }
    }
}
