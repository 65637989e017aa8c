//! What the driver of a run does when others have something to say about its pull request.

use nightshift_protocol::{
    ErrorCode, EventBody, FeedbackAnswer, FeedbackItem, QueueReason, RunState, UserError,
};
use nightshift_store::AppendError;

use super::{Driver, Wish};
use crate::delivery::news::{self, Decision, Said};
use crate::transition::Trigger;

/// Comments that may wait to be sent.
const PENDING: usize = 100;

impl Driver {
    /// Takes a wish about the pull request.
    pub(super) async fn take_review(&mut self, wish: Wish) -> Result<Result<(), UserError>, AppendError> {
        let open = self.progress.delivery.pull_request.is_some() && !self.progress.state.is_final();
        let state = self.progress.state.words();
        let conflict =
            |message: String, hint: &str| Ok(Err(UserError::new(ErrorCode::Conflict, message, hint)));
        if !open {
            return conflict(
                format!("the run is {state} and has no open pull request"),
                &format!("`nightshift show {}` tells where it is.", self.progress.run),
            );
        }
        let in_review = matches!(self.progress.state, RunState::InReview { .. });
        match wish {
            Wish::Comment(said) => {
                if self.progress.delivery.pending.len() >= PENDING {
                    return conflict(
                        format!("{PENDING} comments wait already"),
                        "Send them: `nightshift review ask`.",
                    );
                }
                let item = self.named(said);
                self.append(vec![EventBody::FeedbackNoted { item }]).await?;
            }
            Wish::Withdraw(name) => {
                if !self.progress.delivery.pending.iter().any(|item| item.name == name) {
                    return conflict(
                        format!("no comment {name} waits to be sent"),
                        "`nightshift review show` lists them.",
                    );
                }
                self.append(vec![EventBody::FeedbackWithdrawn { name }]).await?;
            }
            _ if !in_review => {
                return conflict(
                    format!("the run is {state}: the agent deals with what was asked for before"),
                    "Write to it with `nightshift steer`, or wait until it is in review again.",
                );
            }
            Wish::Approve(words) => self.append(vec![EventBody::ReviewApproved { words }]).await?,
            Wish::Feedback(news) => return self.hear_news(news).await,
            _ => return conflict("this is no wish about a pull request".to_owned(), "Please report it."),
        }
        Ok(Ok(()))
    }

    /// Decides what news about the pull request lead to, and writes both down as one.
    async fn hear_news(&mut self, news: news::News) -> Result<Result<(), UserError>, AppendError> {
        let limit = self.shared.settings.delivery.check_rounds;
        let run = self.progress.run.clone();
        let (items, trigger) = match news::decide(&self.progress.delivery, &run, news, limit) {
            Decision::Nothing => return Ok(Ok(())),
            Decision::MarkReady => {
                if let Some(pull_request) = self.progress.delivery.pull_request {
                    self.append(vec![EventBody::ReadyIntended { pull_request }]).await?;
                }
                return Ok(Ok(()));
            }
            Decision::Rework(items) => (items, Trigger::Rework),
            Decision::Escalate(items, error) => (items, Trigger::Escalate(error)),
        };
        let round = self.progress.delivery.rounds + 1;
        let mut bodies = vec![EventBody::FeedbackReceived { round, items }];
        bodies.extend(self.changed(trigger));
        self.append(bodies).await?;
        Ok(Ok(()))
    }

    /// Why a task that has not begun stays queued although there may be room: as many pull requests wait for a review as
    /// may. What has begun is finished, and what reviewers sent back goes on.
    pub(super) async fn held_back(&self) -> Option<QueueReason> {
        let limit = self.shared.settings.delivery.review_limit?;
        if self.progress.sandbox.is_some() || self.progress.delivery.pull_request.is_some() {
            return None;
        }
        match self.shared.store.count_in_review().await {
            Ok(waiting) if waiting >= u64::from(limit) => {
                // It must not keep those from their turn who need no review to be decided first.
                self.leave_line();
                Some(QueueReason::ReviewLimit { limit })
            }
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(run = %self.progress.run, %error, "the reviews that wait could not be counted");
                None
            }
        }
    }

    fn named(&self, said: Said) -> FeedbackItem {
        FeedbackItem { name: self.progress.delivery.next_name(), source: said.source, words: said.words }
    }

    /// What the agent answered, as far as it was asked.
    pub(super) fn answered(&self, mut answers: Vec<FeedbackAnswer>) -> Vec<EventBody> {
        let asked = |answer: &FeedbackAnswer| {
            self.progress.delivery.feedback.iter().any(|item| item.name == answer.name)
        };
        answers.retain(asked);
        if answers.is_empty() { Vec::new() } else { vec![EventBody::FeedbackAnswered { answers }] }
    }
}
