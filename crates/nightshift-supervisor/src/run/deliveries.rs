//! Steps of a delivery.

use std::sync::Arc;

use nightshift_protocol::{CommitId, EventBody};
use nightshift_store::AppendError;

use super::{Driver, Effect};
use crate::acts::Trouble;
use crate::delivery::{Courier, DeliveryAction};
use crate::progress::Action;
use crate::transition::Trigger;

impl Driver {
    /// Whether the repository's lint was run on a commit, or tried in vain.
    fn knows_lint(&self, head: &CommitId) -> bool {
        let recorded = self.progress.delivery.lint.as_ref().is_some_and(|(of, _)| of == head);
        recorded || self.acts.has_linted(head)
    }

    /// Writes down what a step of the delivery is about to do where a crash would leave that open, and returns what is to
    /// be done.
    pub(super) async fn begin_delivery(
        &mut self,
        action: DeliveryAction,
    ) -> Result<Option<Effect>, AppendError> {
        let branch = self.progress.branch.clone();
        match &action {
            DeliveryAction::AwaitReview(pull_request) => {
                self.step_to(Trigger::Open(*pull_request)).await?;
                return Ok(None);
            }
            DeliveryAction::Receive => {
                let (task, branch, sandbox) = self.task_and_sandbox();
                self.append(vec![EventBody::DeliveryIntended { branch: branch.clone() }]).await?;
                let acts = Arc::clone(&self.acts);
                return Ok(Some(Box::pin(
                    async move { acts.receive(sandbox.as_ref(), &task, &branch).await },
                )));
            }
            DeliveryAction::Check(received) if !self.knows_lint(&received.head) => {
                let (task, branch, sandbox) = self.task_and_sandbox();
                let (acts, head) = (Arc::clone(&self.acts), received.head.clone());
                return Ok(Some(Box::pin(async move {
                    Ok(acts.lint_delivered(sandbox.as_ref(), &task, &branch, &head).await)
                })));
            }
            DeliveryAction::Push(head) if !self.progress.delivery.pushed.contains(head) => {
                self.append(vec![EventBody::PushIntended { branch, head: head.clone() }]).await?;
            }
            DeliveryAction::Open(received) if !self.progress.delivery.opening => {
                self.append(vec![EventBody::PullRequestIntended { head: received.head.clone() }]).await?;
            }
            _ => {}
        }
        let courier = match Courier::of(&self.shared, &self.progress) {
            Ok(courier) => courier,
            Err(error) => {
                self.suffer(Trouble::Fail(error), &Action::Deliver(action)).await?;
                return Ok(None);
            }
        };
        if matches!(action, DeliveryAction::Open(_)) {
            // No wish is taken meanwhile: a pull request that is open must be in the history before the run can be
            // given up.
            match courier.perform(action.clone()).await {
                Ok(bodies) => self.append(bodies).await?,
                Err(trouble) => self.suffer(trouble, &Action::Deliver(action)).await?,
            }
            return Ok(None);
        }
        Ok(Some(Box::pin(courier.perform(action))))
    }
}
