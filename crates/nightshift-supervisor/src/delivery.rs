//! From commits that are out of the sandbox to a pull request.

use nightshift_forge::{
    BodyFacts, BranchName, CommandFact, Forge, Identity, NewPullRequest, Repository, Source, compose_body,
};
use nightshift_protocol::{ErrorCode, OffsetDateTime, PullRequestId, UserError};

use crate::progress::{Received, RunProgress};
use crate::trouble;

/// Who merges: the person decides, Nightshift writes the merge commit.
pub(crate) fn merger() -> Identity {
    Identity { name: "Nightshift".to_owned(), email: "merge@nightshift.invalid".to_owned() }
}

/// The repository of a recorded task.
pub(crate) fn repository_of(forge: &Forge, recorded: &str) -> Result<Repository, UserError> {
    let source: Source = recorded.parse().map_err(|error| trouble::sourcing(recorded, &error))?;
    Ok(forge.repository(&source))
}

pub(crate) fn branch(name: &str) -> Result<BranchName, UserError> {
    name.parse().map_err(|error| trouble::internal("reading a branch's name", &error))
}

/// Opens the run's pull request, or returns the one that was opened before.
pub(crate) async fn open_pull_request(
    forge: &Forge,
    facts: DeliveredWork,
    at: OffsetDateTime,
) -> Result<PullRequestId, UserError> {
    let repository = repository_of(forge, &facts.repository)?;
    let new = &facts.new;
    let changed_files =
        repository.changed_files(&new.base_commit, &new.head).await.map_err(|error| trouble::git(&error))?;
    let body = compose_body(&BodyFacts {
        summary: &facts.summary,
        evidence: &new.evidence,
        commands: &facts.commands,
        changed_files: &changed_files,
        not_verified: &facts.not_verified,
        run: &new.run,
        model: &facts.model,
        turns: facts.turns,
        usage: facts.usage,
        seconds: facts.seconds,
    });
    let opened = repository.open_pull_request(NewPullRequest { body, ..facts.new }, at).await;
    Ok(opened.map_err(|error| trouble::ledger(&error))?.id)
}

/// What is known of a run whose work is out of its sandbox.
pub(crate) struct DeliveredWork {
    repository: String,
    new: NewPullRequest,
    summary: String,
    not_verified: String,
    commands: Vec<CommandFact>,
    model: String,
    turns: u32,
    usage: nightshift_protocol::Usage,
    seconds: u64,
}

impl DeliveredWork {
    pub(crate) fn of(progress: &RunProgress, received: &Received) -> Result<Self, UserError> {
        let Some(finished) = progress.finished.clone() else {
            return Err(UserError::new(
                ErrorCode::Internal,
                "a run is delivered that is not finished",
                "Please report it.",
            ));
        };
        let commands = progress
            .commands
            .iter()
            .map(|ran| CommandFact { command: ran.command.clone(), exit_code: ran.exit_code });
        Ok(Self {
            repository: progress.task.repository.clone(),
            new: NewPullRequest {
                key: progress.run.to_string(),
                title: finished.title,
                body: String::new(),
                branch: branch(&progress.branch)?,
                base: branch(&progress.task.base_branch)?,
                base_commit: progress.task.base_commit.clone(),
                head: received.head.clone(),
                task: progress.task.id.clone(),
                run: progress.run.clone(),
                evidence: progress.evidence.clone(),
            },
            summary: finished.summary,
            not_verified: finished.not_verified,
            commands: commands.collect(),
            model: progress.task.model.clone(),
            turns: progress.turns,
            usage: progress.usage,
            seconds: progress.seconds(),
        })
    }
}
