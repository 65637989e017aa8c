//! What a self-review does in the sandbox: it reads the work before, and takes back what the critic changed after.

use nightshift_agent::prompt::{CriticFacts, critic_message, critic_system};
use nightshift_channel::{JobId, Signal};
use nightshift_protocol::{CommitId, ErrorCode, EventBody, Evidence, SandboxId, SelfReview, Task, UserError};

use super::{Acts, Trouble};
use crate::repository::{self, TransferError};

/// The one criterion of a task that has none.
const AS_DESCRIBED: &str = "The task is done as it is described.";

/// Whose work is looked at, and where it is.
pub(crate) struct Work {
    pub(crate) task: Task,
    pub(crate) branch: String,
    pub(crate) sandbox: Option<SandboxId>,
}

impl Acts {
    /// Reads the work and begins the critic's conversation. Nothing is changed.
    pub(crate) async fn begin_self_review(
        &self,
        work: Work,
        evidence: Vec<Evidence>,
        round: u32,
    ) -> Result<Vec<EventBody>, Trouble> {
        let Work { task, branch, sandbox } = work;
        let desk = self.desk(sandbox.as_ref()).await?;
        let folder = repository::folder(desk.machine.home(), &task.repository);
        let delivered = repository::work(&desk.channel, &self.run, &folder, &branch, &task.base_commit);
        let (head, diff) = delivered.await.map_err(may_pass)?;
        let mut run = self.prompt_facts(&desk, folder, &task, &branch).await?;
        if run.criteria.is_empty() {
            run.criteria.push(AS_DESCRIBED.to_owned());
        }
        let of = task.self_review_rounds;
        let facts = CriticFacts { run, head: head.clone(), diff, evidence, round, of };
        let (system, message) = (critic_system(&facts), critic_message(&facts));
        Ok(vec![EventBody::SelfReviewBegun { round, head, system, message }])
    }

    /// Ends what the critic left running, makes the repository what it was at `head`, if that is named, and notes what was found.
    /// All of it may be done twice.
    pub(crate) async fn end_self_review(
        &self,
        work: Work,
        head: Option<CommitId>,
        commands: Vec<JobId>,
        review: SelfReview,
    ) -> Result<Vec<EventBody>, Trouble> {
        let Work { task, branch, sandbox } = work;
        let desk = self.desk(sandbox.as_ref()).await?;
        for command in &commands {
            // One that has ended by itself is no trouble.
            let _ended = desk.channel.kill(command, Signal::Kill).await;
        }
        if let Some(head) = head {
            let folder = repository::folder(desk.machine.home(), &task.repository);
            let back = repository::put_back(&desk.channel, &self.run, &folder, &branch, &head);
            back.await.map_err(may_pass)?;
        }
        Ok(vec![EventBody::SelfReviewed { review }])
    }
}

/// A repository that git cannot work with is for a person to look at, and no reason to give the work up.
fn may_pass(error: TransferError) -> Trouble {
    match error {
        TransferError::Guest { .. } => Trouble::Pause(UserError::new(
            ErrorCode::SandboxFailed,
            error.to_string(),
            "`nightshift shell` looks into the sandbox; `nightshift continue` tries again.",
        )),
        other => other.into(),
    }
}
