//! The repository's own lint, run in the sandbox on what is delivered, before a person sees it.

use std::sync::PoisonError;
use std::time::Duration;

use nightshift_channel::{
    AttachError, Command, GuestUser, Job, JobEvent, JobStatus, OutputMode, StartJobError,
};
use nightshift_forge::Repository;
use nightshift_protocol::{CommitId, EventBody, SandboxId, Task};

use super::{Acts, Trouble};
use crate::delivery;
use crate::desk::Desk;
use crate::environment::{Files, lint};
use crate::repository::{self, TransferError};
use crate::tools::job_id;

/// How long a lint may take; one that compiles first needs minutes under emulation.
const WITHIN: Duration = Duration::from_secs(900);

/// The last of what it prints that is kept, in bytes.
const TAIL: usize = 4 * 1024;

/// The last of what it prints that is looked through for secrets, in bytes: one that is cut in two is known no more, and is
/// not among what is kept.
const LOOKED_THROUGH: usize = 64 * 1024;

/// What shells say when a command cannot be run, or is not there (POSIX, "Exit Status for Commands").
const NOT_RUN: [i32; 2] = [126, 127];

impl Acts {
    /// Whether the lint of what is delivered was tried since the owner began.
    pub(crate) fn has_linted(&self, head: &CommitId) -> bool {
        self.linted.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(head)
    }

    /// Runs the lint of what was received. The branch is out already: whatever the lint does to it or to the machine changes
    /// nothing of what is delivered, and nothing that goes wrong here holds the delivery up.
    pub(crate) async fn lint_delivered(
        &self,
        sandbox: Option<&SandboxId>,
        task: &Task,
        branch: &str,
        head: &CommitId,
    ) -> Vec<EventBody> {
        let linted = async {
            let desk = self.desk(sandbox).await?;
            let folder = repository::folder(desk.machine.home(), &task.repository);
            let from =
                delivery::repository_of(&self.shared.forge, &task.repository).map_err(Trouble::Fail)?;
            self.lint(&desk, &from, &folder, branch, head).await
        };
        let linted = linted.await;
        *self.linted.lock().unwrap_or_else(PoisonError::into_inner) = Some(head.clone());
        match linted {
            Ok(linted) => linted.into_iter().collect(),
            Err(trouble) => {
                tracing::warn!(run = %self.run, ?trouble, "the repository's lint is not known");
                Vec::new()
            }
        }
    }

    /// Runs the lint that the repository has at `head`, once for each commit, and puts back what it changed. `None` where
    /// there is none or its program is not installed.
    ///
    /// The guest knows the command by run and commit: one that an owner before this one began is waited for.
    async fn lint(
        &self,
        desk: &Desk,
        from: &Repository,
        folder: &str,
        branch: &str,
        head: &CommitId,
    ) -> Result<Option<EventBody>, Trouble> {
        let files = match Files::read(from, head).await {
            Ok(files) => files,
            Err(error) => {
                tracing::info!(run = %self.run, error = error.message, "the repository's lint is not known");
                return Ok(None);
            }
        };
        let Some(lint) = lint(&files) else { return Ok(None) };
        let cut = |error: &dyn std::fmt::Display| Trouble::Cut(error.to_string());
        let short: String = head.as_str().chars().take(12).collect();
        let id = job_id(&format!("{}-lint-{short}", self.run));
        let job = match desk.channel.attach(&id, 0).await {
            Ok(job) => job,
            Err(AttachError::NoSuchJob) => {
                let command = Command::shell(id, lint.script())
                    .user(GuestUser::Agent)
                    .folder(folder)
                    .output(OutputMode::Merged)
                    .time_limit(WITHIN);
                match desk.channel.start(command).await {
                    Ok(job) => job,
                    Err(StartJobError::Channel(error)) => return Err(cut(&error)),
                    Err(refused) => {
                        tracing::info!(run = %self.run, %refused, "the repository's lint did not start");
                        return Ok(None);
                    }
                }
            }
            Err(error) => return Err(cut(&error)),
        };
        let ended = ended(job).await?;
        // A lint may mend what it finds; what is delivered is what the agent committed, and that is out already.
        match repository::put_back(&desk.channel, &self.run, folder, branch, head).await {
            Ok(()) => {}
            Err(TransferError::Cut(what)) => return Err(Trouble::Cut(what)),
            Err(error) => tracing::warn!(run = %self.run, %error, "what the lint changed is still there"),
        }
        let Some((exit_code, output_tail)) = ended else { return Ok(None) };
        if exit_code.is_some_and(|code| NOT_RUN.contains(&code)) {
            tracing::info!(run = %self.run, command = lint.command, "the repository's lint is not installed");
            return Ok(None);
        }
        let output_tail = last_of(&self.shared.settings.delivery.redactor.redact(&output_tail));
        Ok(Some(EventBody::LintRan { head: head.clone(), command: lint.command, exit_code, output_tail }))
    }
}

/// How a command ended, and the last of what it printed; `None` where the machine was restarted meanwhile.
async fn ended(mut job: Job) -> Result<Option<(Option<i32>, String)>, Trouble> {
    let mut tail = Vec::new();
    loop {
        match job.next().await {
            Some(JobEvent::Output { bytes, .. }) => {
                tail.extend_from_slice(&bytes);
                let over = tail.len().saturating_sub(LOOKED_THROUGH);
                tail.drain(..over);
            }
            Some(JobEvent::Exited(exit)) => {
                let code = match exit.status {
                    JobStatus::Code(code) => Some(code),
                    JobStatus::Signal(_) | JobStatus::TimedOut => None,
                    JobStatus::Lost => return Ok(None),
                };
                return Ok(Some((code, String::from_utf8_lossy(&tail).into_owned())));
            }
            None => return Err(Trouble::Cut("the channel was cut while the lint ran".to_owned())),
        }
    }
}

/// The end of an output, from the beginning of a line where there is one.
fn last_of(output: &str) -> String {
    let Some(over) = output.len().checked_sub(TAIL) else { return output.to_owned() };
    let from = output.char_indices().map(|(at, _)| at).find(|at| *at >= over).unwrap_or(output.len());
    let end = output.get(from..).unwrap_or_default();
    end.split_once('\n').filter(|(_, rest)| !rest.is_empty()).map_or(end, |(_, rest)| rest).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_an_output_begins_with_a_line_and_is_short() {
        assert_eq!(last_of("2 problems\n"), "2 problems\n");
        let long = format!("{}\n", "é".repeat(40)).repeat(1_000);
        let kept = last_of(&long);
        assert!(kept.len() <= TAIL && kept.len() > TAIL - 100 && kept.starts_with("éé"), "{}", kept.len());
        assert_eq!(kept.lines().next().map(|line| line.chars().count()), Some(40));
        let one_line = "é".repeat(TAIL);
        assert!(last_of(&one_line).len() <= TAIL && one_line.ends_with(&last_of(&one_line)));
    }
}
