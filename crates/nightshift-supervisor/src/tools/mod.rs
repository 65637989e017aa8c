//! Carries out an agent's tool calls in its sandbox, each at most once.
//!
//! A step is written down before it is begun and again with its outcome. When a step is found that was begun and
//! has no outcome, [`Intention::Open`] says so, and the tool *looks* before it acts: a command is known to the
//! guest by the step's id, a write by the file's hash; a click cannot be known, so the agent is told to look.

mod browser;
pub(crate) mod computer;
mod edit;
mod interrupt;
mod mcp;
mod shell;

use std::sync::Arc;

use nightshift_agent::ToolRequest;
use nightshift_channel::JobId;
use nightshift_protocol::{
    ArtifactId, CommitId, EventBody, IntendedWrite, Live, LiveBody, Reconciled, ResultPart, RunId, StepId,
    ToolCall, ToolOutcome, UserError,
};
use nightshift_store::Store;
use tokio::sync::broadcast;

use crate::desk::Desk;
use crate::mcp::Servers;
use crate::progress::{Intention, Jobs};
use crate::repository::{TransferError, undelivered};

/// What a tool works with.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) run: RunId,
    /// The ids of its commands.
    pub(crate) jobs: Jobs,
    pub(crate) desk: Desk,
    pub(crate) store: Store,
    pub(crate) live: broadcast::Sender<Live>,
    /// The step that is carried out.
    pub(crate) step: StepId,
    /// The repository's folder in the sandbox: where commands begin and relative paths start.
    pub(crate) folder: String,
    /// The branch the work has to be on.
    pub(crate) branch: String,
    /// The commit it starts from.
    pub(crate) base: CommitId,
    /// The writes of this run that are not undone, oldest first.
    pub(crate) writes: Vec<IntendedWrite>,
    /// Whether a person interrupts the step.
    pub(crate) interrupt: Interrupt,
    /// The servers that the repository names.
    pub(crate) mcp: Arc<Servers>,
}

impl Bench {
    /// The id under which the guest knows the command of a step.
    pub(crate) fn job(&self, step: StepId) -> JobId {
        self.jobs.of(step)
    }

    /// The id of something short that is done for a step, forgotten when it is done.
    pub(crate) fn small_job(&self, what: &str) -> JobId {
        job_id(&format!("{}-{}-{what}", self.run, self.step))
    }

    pub(crate) fn say(&self, body: LiveBody) {
        // Nobody may be watching.
        let _watchers = self.live.send(Live { run: self.run.clone(), body });
    }

    pub(crate) async fn keep(&self, bytes: Vec<u8>, media_type: &str) -> Result<ArtifactId, StepTrouble> {
        self.store
            .put(bytes, media_type)
            .await
            .map_err(|error| StepTrouble::Host(crate::trouble::putting(&error)))
    }
}

/// A job's id made of letters, digits, dots and dashes, which is all that ids of runs and steps have.
#[expect(
    clippy::expect_used,
    reason = "the callers' texts are made of our own ids; a test makes one of each"
)]
pub(crate) fn job_id(text: &str) -> JobId {
    JobId::new(text).expect("ids of runs and steps are valid ids of jobs")
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StepEnd {
    pub(crate) outcome: ToolOutcome,
    pub(crate) content: Vec<ResultPart>,
    pub(crate) output: Option<ArtifactId>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) reconciled: Option<Reconciled>,
    /// Events that belong to the step's outcome: a changed plan, a piece of evidence.
    pub(crate) notes: Vec<EventBody>,
}

impl StepEnd {
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self::with(ToolOutcome::Done, text)
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::with(ToolOutcome::Failed, text)
    }

    fn with(outcome: ToolOutcome, text: impl Into<String>) -> Self {
        Self {
            outcome,
            content: vec![ResultPart::Text { text: text.into() }],
            output: None,
            exit_code: None,
            reconciled: None,
            notes: Vec::new(),
        }
    }
}

/// A step has no outcome, for a reason that is not the agent's.
#[derive(Debug)]
pub(crate) enum StepTrouble {
    /// The channel or the screen was cut: attach again and look what happened.
    Cut(String),
    /// The host is in trouble: the run pauses.
    Host(UserError),
}

/// What a step is going to write, found by reading only; for steps that write no file, `None`.
pub(crate) async fn intended_write(
    bench: &Bench,
    request: &ToolRequest,
) -> Result<Option<edit::Prepared>, StepTrouble> {
    match request {
        ToolRequest::Edit(request) => edit::prepare(bench, request).await.map(Some),
        _ => Ok(None),
    }
}

pub(crate) use edit::Prepared;
pub(crate) use interrupt::{Interrupt, Interrupter};

/// Carries a step out, or finds out how it ended.
pub(crate) async fn perform(
    bench: Arc<Bench>,
    step: StepId,
    request: ToolRequest,
    prepared: Option<Prepared>,
    intention: Intention,
) -> Result<StepEnd, StepTrouble> {
    match request {
        ToolRequest::Shell(request) => shell::run(&bench, step, &request, &intention).await,
        ToolRequest::ShellOutput { job: earlier } => shell::output(&bench, earlier).await,
        ToolRequest::ShellStop { job: earlier } => shell::stop(&bench, earlier).await,
        ToolRequest::Edit(request) => match (intention, prepared) {
            (Intention::Open(Some(write)), _) => edit::reconcile(&bench, &write).await,
            (Intention::New | Intention::Open(None), Some(prepared)) => edit::write(&bench, prepared).await,
            // An edit that was going to write nothing only reads, and may read again.
            (Intention::New | Intention::Open(None), None) => {
                edit::write(&bench, edit::prepare(&bench, &request).await?).await
            }
        },
        ToolRequest::Computer(action) => computer::act(&bench, &action, &intention).await,
        ToolRequest::Browser(action) => browser::act(&bench, &action, &intention).await,
        ToolRequest::Mcp(request) => mcp::call(&bench, step, request, &intention).await,
        ToolRequest::Plan(plan) => {
            let mut end = StepEnd::done("The plan is noted.");
            end.notes.push(EventBody::PlanChanged { plan });
            Ok(end)
        }
        // They are answered from the run's own records, by its driver.
        ToolRequest::Spawn(_) | ToolRequest::Subagents(_) | ToolRequest::Tell { .. } => {
            Ok(StepEnd::failed("Not done: there is nobody to whom this applies."))
        }
        ToolRequest::Evidence(evidence) => {
            let mut end = StepEnd::done("The evidence is noted.");
            end.notes.push(EventBody::EvidenceNoted { evidence });
            Ok(end)
        }
    }
}

pub(crate) fn write_of(prepared: Option<&Prepared>) -> Option<IntendedWrite> {
    prepared.and_then(|prepared| prepared.write.clone())
}

/// Looks whether the answer to a call that is not carried out may stand: work is finished only when it is committed.
pub(crate) async fn confirm(bench: &Bench, call: &ToolCall, answer: StepEnd) -> Result<StepEnd, StepTrouble> {
    if call.name != "finish" || answer.outcome != ToolOutcome::Done {
        return Ok(answer);
    }
    match undelivered(&bench.desk.channel, &bench.run, &bench.folder, &bench.branch, &bench.base).await {
        Ok(None) => Ok(answer),
        Ok(Some(blocker)) => Ok(StepEnd::failed(blocker)),
        Err(TransferError::Cut(what)) => Err(StepTrouble::Cut(what)),
        Err(error) => Ok(StepEnd::failed(format!("Not finished: {error}"))),
    }
}
