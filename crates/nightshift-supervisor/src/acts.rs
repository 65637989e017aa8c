//! What a run does to the world, each act a function that returns the events it led to.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_agent::prompt::PromptFacts;
use nightshift_forge::{BundleError, Delivery, ReceiveLimits};
use nightshift_model::{ImageSource, Progress, TurnError, TurnRequest};
use nightshift_protocol::{
    AssistantBlock, CommitId, ErrorCode, EventBody, Image, Live, LiveBody, Message, RunId, SandboxId, StepId,
    StopReason, Task, Usage, UserError, UserPart, subagent_of,
};
use nightshift_sandbox::{CloneRequest, Expendable, Stall};
use nightshift_store::Store;
use tokio::sync::{Mutex, mpsc};

use crate::delivery;
use crate::desk::{Desk, DeskError};
use crate::engine::{Aside, Link};
use crate::environment;
use crate::mcp::{Servers, Unreached};
use crate::network::{self, Network, NetworkPlan};
use crate::progress::RunProgress;
use crate::repository::{self, Placement, TransferError};
use crate::shared::Shared;
use crate::spare::Wanted;
use crate::tools::{Bench, Interrupt, StepTrouble};
use crate::trouble;
use crate::watching::Slot;

mod checkpoints;
mod engine;
mod guidance;
mod lint;
pub(crate) mod room;
mod self_review;
mod start;
mod subagents;
mod unanswered;

use unanswered::Unanswered;

pub(crate) use checkpoints::{Rename, cost};
pub(crate) use engine::EngineWish;
pub(crate) use self_review::Work;
pub(crate) use subagents::{Spawn, agents};

/// Tokens of conversation above which a provider that offers to may clear old results.
const CLEAR_ABOVE_TOKENS: u64 = 100_000;

/// How long a guest that runs already may take to answer.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);

/// Why an act has no outcome.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Cut off from the sandbox: attach again, look, go on.
    Cut(String),
    /// Something that may pass: the run pauses.
    Pause(UserError),
    /// Something that does not pass: the run fails.
    Fail(UserError),
    /// The sandbox is gone.
    SandboxLost {
        /// Which.
        sandbox: SandboxId,
        /// Why.
        reason: String,
    },
}

impl From<StepTrouble> for Trouble {
    fn from(trouble: StepTrouble) -> Self {
        match trouble {
            StepTrouble::Cut(what) => Self::Cut(what),
            StepTrouble::Host(error) => Self::Pause(error),
        }
    }
}

impl From<TransferError> for Trouble {
    fn from(error: TransferError) -> Self {
        match &error {
            TransferError::Cut(what) => Self::Cut(what.clone()),
            TransferError::Guest { .. } => Self::Fail(UserError::new(
                ErrorCode::SandboxFailed,
                error.to_string(),
                "`nightshift show` with --events tells what came before it.",
            )),
            TransferError::Host { what, source } => {
                Self::Pause(trouble::disk_or(ErrorCode::Internal, what, source))
            }
        }
    }
}

/// One run's hands.
pub(crate) struct Acts {
    shared: Arc<Shared>,
    run: RunId,
    repository: String,
    base: CommitId,
    desk: Slot,
    /// The servers that the repository names, as far as they run.
    mcp: Arc<Servers>,
    /// Held while a checkpoint is saved, which goes on when nobody waits for it any more.
    saving: Mutex<()>,
    network: Mutex<Option<Network>>,
    /// The commit whose lint was tried last, with or without a result.
    linted: std::sync::Mutex<Option<CommitId>>,
    aside: mpsc::UnboundedSender<Aside>,
    asides: Arc<Mutex<mpsc::UnboundedReceiver<Aside>>>,
    /// Held while a foreign agent's program runs.
    alone: Arc<Mutex<()>>,
    /// How the run stands, for a foreign agent's turn.
    link: Link,
}

impl Acts {
    pub(crate) fn new(shared: Arc<Shared>, progress: &RunProgress) -> Self {
        let (aside, asides) = mpsc::unbounded_channel();
        let RunProgress { run, task, .. } = progress;
        let desk = shared.desks.slot(run);
        let (repository, base) = (task.repository.clone(), task.base_commit.clone());
        let mcp = Arc::new(Servers::new(Arc::clone(&shared), run.clone(), repository, base));
        Self {
            shared,
            run: run.clone(),
            repository: task.repository.clone(),
            base: task.base_commit.clone(),
            desk,
            mcp,
            saving: Mutex::new(()),
            network: Mutex::new(None),
            linted: std::sync::Mutex::default(),
            aside,
            asides: Arc::new(Mutex::new(asides)),
            alone: Arc::default(),
            link: Link::default(),
        }
    }

    /// Events that an act has to tell before it is over.
    pub(crate) fn asides(&self) -> Arc<Mutex<mpsc::UnboundedReceiver<Aside>>> {
        Arc::clone(&self.asides)
    }

    /// Lets go of channel and screen; the machine goes on.
    pub(crate) async fn detach(&self) {
        self.mcp.let_go();
        *self.desk.lock().await = None;
        if let Some(network) = self.network.lock().await.take() {
            network.close().await;
        }
    }

    /// What the run's sandbox may reach while its agent works.
    async fn plan_of_network(&self) -> NetworkPlan {
        let asked = match delivery::repository_of(&self.shared.forge, &self.repository) {
            Ok(repository) => network::asked_by(&repository, &self.base).await,
            Err(error) => Err(error.message),
        };
        network::plan(&self.shared.settings.network, asked)
    }

    /// Opens the sandbox's way out; it is closed when the sandbox is let go of.
    async fn open_network(&self, desk: &Desk) -> NetworkPlan {
        let plan = self.plan_of_network().await;
        let record = network::Record {
            store: self.shared.store.clone(),
            place: network::Place::Run(self.run.clone()),
            clock: Arc::clone(&self.shared.clock),
        };
        let egress = self.shared.settings.network.egress(plan.policy.clone());
        let opened = Network::open(desk.channel.clone(), egress, record, &self.shared.intake.handle());
        self.mcp.way_out_is(opened.egress());
        if let Some(before) = self.network.lock().await.replace(opened) {
            before.close().await;
        }
        plan
    }

    pub(crate) async fn template_is_there(&self) -> Result<bool, UserError> {
        Ok(self.shared.templates.find().await?.is_some())
    }

    /// Makes the sandbox. One that an owner before this one began and did not finish is removed first.
    pub(crate) async fn make_sandbox(&self, sandbox: SandboxId) -> Result<Vec<EventBody>, Trouble> {
        let start = start::trouble;
        if let Some(begun) = self.shared.driver.find(&sandbox).await.map_err(|error| start(error.into()))? {
            begun.stop().await.map_err(|error| start(DeskError::Ended { reason: error.to_string() }))?;
        }
        let template = self.template_when_there_is_room().await.map_err(|error| match error.code {
            ErrorCode::DiskFull => Trouble::Pause(error),
            _ => Trouble::Fail(error),
        })?;
        let environment = environment::serving(&self.shared, &self.repository, &self.base).await;
        let from = environment.as_ref().map_or_else(|| template.clone(), |one| one.template.clone());
        let from_template = environment.is_none();
        let size = self.shared.templates.size();
        let _making = self.shared.being_made.begin(&sandbox);
        let request = CloneRequest { sandbox: sandbox.clone(), template: from, size };
        match self.clone_when_there_is_room(&request).await {
            Ok((desk, mut facts)) => {
                facts.environment = environment.map(|environment| environment.id);
                let plan = self.open_network(&desk).await;
                *self.desk.lock().await = Some(desk);
                // A clone of the template is of no use where tasks start from environments.
                if from_template {
                    self.shared.keep_spare(template, Wanted::Soon);
                }
                Ok(vec![EventBody::SandboxReady { sandbox, facts }, plan.event()])
            }
            Err(error) => {
                self.remove(&sandbox).await;
                Err(start(error))
            }
        }
    }

    async fn remove(&self, sandbox: &SandboxId) {
        match self.shared.driver.find(sandbox).await {
            Ok(Some(machine)) => {
                if let Err(error) = machine.stop().await {
                    tracing::warn!(%sandbox, %error, "a sandbox that failed could not be removed");
                }
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%sandbox, %error, "a sandbox that failed could not be looked for"),
        }
    }

    /// Returns when a sandbox stands still because the disk below it is full.
    pub(crate) async fn stalled(&self, sandbox: Option<SandboxId>) -> Stall {
        let machine = match sandbox {
            Some(sandbox) => self.shared.driver.find(&sandbox).await.ok().flatten(),
            None => None,
        };
        match machine {
            Some(machine) => machine.stalled().await,
            None => std::future::pending().await,
        }
    }

    /// Lets a sandbox that stood still go on; whether it can is seen by what is done next.
    pub(crate) async fn wake(&self, sandbox: &SandboxId) {
        if let Ok(Some(machine)) = self.shared.driver.find(sandbox).await
            && let Err(error) = machine.go_on().await
        {
            tracing::warn!(run = %self.run, %sandbox, %error, "a sandbox that stood still does not go on");
        }
    }

    /// Tells the kernel how soon it may end the sandbox when memory runs out.
    pub(crate) async fn set_expendable(&self, sandbox: &SandboxId, expendable: Expendable) {
        if let Ok(Some(machine)) = self.shared.driver.find(sandbox).await {
            machine.set_expendable(expendable);
        }
    }

    /// The sandbox in use, attached to if it is not yet.
    pub(crate) async fn desk(&self, sandbox: Option<&SandboxId>) -> Result<Desk, Trouble> {
        let mut slot = self.desk.lock().await;
        if let Some(desk) = slot.as_ref() {
            // A viewer may have attached first, and gave the sandbox no way out.
            if self.network.lock().await.is_none() {
                self.open_network(desk).await;
            }
            return Ok(desk.clone());
        }
        let Some(sandbox) = sandbox else {
            return Err(Trouble::Fail(UserError::new(
                ErrorCode::Internal,
                "the run has no sandbox",
                "Please report it.",
            )));
        };
        let found =
            self.shared.driver.find(sandbox).await.map_err(|error| Trouble::Cut(error.to_string()))?;
        let Some(machine) = found else {
            let reason = "its virtual machine no longer runs".to_owned();
            return Err(Trouble::SandboxLost { sandbox: sandbox.clone(), reason });
        };
        let threads = self.shared.intake.handle();
        let desk = Desk::attach(machine, self.shared.entropy.as_ref(), ATTACH_WITHIN, &threads)
            .await
            .map_err(|error| Trouble::Cut(error.to_string()))?;
        self.open_network(&desk).await;
        *slot = Some(desk.clone());
        Ok(desk)
    }

    pub(crate) async fn bench(
        &self,
        sandbox: Option<&SandboxId>,
        step: StepId,
        progress: &RunProgress,
        interrupt: Interrupt,
    ) -> Result<Bench, Trouble> {
        let desk = self.desk(sandbox).await?;
        let subagent = progress.subagents.of_turn(step.turn);
        let own = subagent.and_then(|subagent| subagent.start.working_tree.as_ref());
        let folder = match own {
            Some(tree) => tree.folder.clone(),
            None => repository::folder(desk.machine.home(), &progress.task.repository),
        };
        Ok(Bench {
            run: self.run.clone(),
            jobs: progress.jobs(),
            step,
            desk,
            store: self.shared.store.clone(),
            live: self.shared.live.clone(),
            folder,
            branch: progress.branch.clone(),
            base: progress.task.base_commit.clone(),
            writes: subagent.map_or(&progress.writes, |subagent| &subagent.writes).clone(),
            interrupt,
            mcp: Arc::clone(&self.mcp),
        })
    }

    pub(crate) async fn import(
        &self,
        sandbox: Option<&SandboxId>,
        task: &Task,
        branch: &str,
        delivered: Option<CommitId>,
        placement: Placement,
    ) -> Result<Vec<EventBody>, Trouble> {
        let desk = self.desk(sandbox).await?;
        let bundle = self.scratch("in").await?;
        let repository =
            delivery::repository_of(&self.shared.forge, &task.repository).map_err(Trouble::Fail)?;
        let from = if delivered.is_some() { branch } else { &task.base_branch };
        let from = delivery::branch(from).map_err(Trouble::Fail)?;
        let commit = delivered.unwrap_or_else(|| task.base_commit.clone());
        repository.bundle(&commit, &from, &bundle).await.map_err(|error| match error {
            BundleError::Git(error) => Trouble::Pause(trouble::git(&error)),
            other => Trouble::Fail(trouble::internal("packing the repository", &other)),
        })?;
        let folder = repository::folder(desk.machine.home(), &task.repository);
        let run = self.run.as_str();
        let imported =
            repository::import(&desk.channel, run, &bundle, &folder, branch, &commit, placement).await;
        let _removed = tokio::fs::remove_file(&bundle).await;
        imported?;
        Ok(vec![EventBody::RepositoryImported { commit }])
    }

    /// Brings a commit of the base branch into the sandbox's repository, beside the work.
    pub(crate) async fn bring_base(
        &self,
        sandbox: Option<&SandboxId>,
        task: &Task,
        base: CommitId,
    ) -> Result<Vec<EventBody>, Trouble> {
        let desk = self.desk(sandbox).await?;
        let bundle = self.scratch("in").await?;
        let repository =
            delivery::repository_of(&self.shared.forge, &task.repository).map_err(Trouble::Fail)?;
        let branch = delivery::branch(&task.base_branch).map_err(Trouble::Fail)?;
        repository.bundle(&base, &branch, &bundle).await.map_err(|error| match error {
            BundleError::Git(error) => Trouble::Pause(trouble::git(&error)),
            other => Trouble::Fail(trouble::internal("packing the base branch", &other)),
        })?;
        let folder = repository::folder(desk.machine.home(), &task.repository);
        let brought = repository::bring_base(&desk.channel, &self.run, &bundle, &folder).await;
        let _removed = tokio::fs::remove_file(&bundle).await;
        brought?;
        Ok(vec![EventBody::BaseBroughtIn { commit: base }])
    }

    pub(crate) async fn start_conversation(
        &self,
        sandbox: Option<&SandboxId>,
        task: &Task,
        branch: &str,
    ) -> Result<Vec<EventBody>, Trouble> {
        let desk = self.desk(sandbox).await?;
        let folder = repository::folder(desk.machine.home(), &task.repository);
        let facts = self.prompt_facts(&desk, folder, task, branch).await?;
        let mut message = nightshift_agent::prompt::first_message(&facts);
        if task.engine.is_some() {
            let system = nightshift_agent::prompt::engine_system(&facts);
            return Ok(vec![EventBody::ConversationStarted { system, message }]);
        }
        let system = nightshift_agent::prompt::system(&facts);
        let roster = self.roster().await?;
        let whom = nightshift_agent::prompt::roster(&roster.definitions, &roster.unusable, &roster.rules);
        let started = self.mcp.start(&desk).await.map_err(|unreached| match unreached {
            Unreached::Cut(what) => Trouble::Cut(what),
            Unreached::Not(what) => Trouble::Pause(UserError::new(
                ErrorCode::Internal,
                format!("the servers that the repository names are not known: {what}"),
                "`nightshift continue` looks again.",
            )),
        })?;
        let servers = match &started {
            Some(EventBody::McpServersStarted { servers, .. }) => nightshift_agent::prompt::servers(servers),
            _ => String::new(),
        };
        if let Message::User { content } = &mut message {
            // Definitions of agents and descriptions of tools are the repository's.
            let redactor = &self.shared.settings.delivery.redactor;
            let told = [whom, servers].into_iter().filter(|text| !text.is_empty());
            content.extend(told.map(|text| UserPart::Text { text: redactor.redact(&text).into_owned() }));
        }
        let begun = EventBody::ConversationStarted { system, message };
        Ok(started.into_iter().chain([begun]).collect())
    }

    /// What is told of the run to whoever works in it.
    async fn prompt_facts(
        &self,
        desk: &Desk,
        folder: String,
        task: &Task,
        branch: &str,
    ) -> Result<PromptFacts, Trouble> {
        let guidance = self.guidance(desk, &folder).await;
        let size = desk.screen.size().ok_or_else(|| Trouble::Cut("the screen shows nothing".to_owned()))?;
        Ok(PromptFacts {
            task: task.description.clone(),
            criteria: task.criteria.clone(),
            folder,
            branch: branch.to_owned(),
            base_branch: task.base_branch.clone(),
            base_commit: task.base_commit.clone(),
            screen: (size.width(), size.height()),
            reachable_hosts: self.plan_of_network().await.hosts(),
            guidance,
        })
    }

    /// What the model is to be asked.
    pub(crate) fn turn_request(&self, progress: &RunProgress, turn: u32) -> TurnRequest {
        let machine = progress.machine(turn);
        let conversation = machine.conversation();
        TurnRequest {
            model: progress.model(turn).to_owned(),
            system: Arc::clone(conversation.system),
            tools: Arc::clone(conversation.tools),
            messages: Arc::clone(conversation.messages),
            max_output_tokens: machine.max_output_tokens(),
            clear_results_above: Some(CLEAR_ABOVE_TOKENS),
        }
    }

    /// What the model is to be asked for a summary of the conversation's older part.
    pub(crate) fn summary_request(&self, progress: &RunProgress, turn: u32) -> TurnRequest {
        TurnRequest {
            messages: progress.machine(turn).summary_request(),
            ..self.turn_request(progress, turn)
        }
    }

    /// Has the older part of the conversation summed up. Tools the model may call in its answer are not run.
    pub(crate) async fn compact(&self, turn: u32, request: TurnRequest) -> Result<Vec<EventBody>, Trouble> {
        let images = StoredImages(self.shared.store.clone());
        let call = Unanswered::new(turn, request.model.clone(), self.aside.clone());
        let progress = |progress: Progress| match progress {
            Progress::Used(usage) => call.has_used(usage),
            progress => self.tell_retry(turn, progress),
        };
        let answered = self.shared.model.turn(&request, &images, &progress).await;
        match answered {
            Ok(answer) => {
                call.answered(answer.lost);
                let (summary, usage) = (words_of(&answer.message), answer.usage);
                Ok(vec![EventBody::Compacted { turn, summary, usage, model: answer.model }])
            }
            // What cannot be sent cannot be summed up: the run goes on with what is known without the model.
            Err(TurnError::ContextExceeded { .. }) => Ok(vec![EventBody::Compacted {
                turn,
                summary: None,
                usage: Usage::default(),
                model: request.model,
            }]),
            Err(error) => Err(Trouble::Pause(error.user_error())),
        }
    }

    fn tell_retry(&self, turn: u32, progress: Progress) {
        if let Progress::Retrying { reason, wait, .. } = progress {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            let _driver = self.aside.send(Aside::passing(EventBody::TurnRetried { turn, reason, wait_ms }));
        }
    }

    pub(crate) async fn ask_model(&self, turn: u32, request: TurnRequest) -> Result<Vec<EventBody>, Trouble> {
        let call = Unanswered::new(turn, request.model.clone(), self.aside.clone());
        let progress = |progress: Progress| match progress {
            // What is live is the agent's: words of several at once would be nobody's.
            Progress::Text(_) if subagent_of(turn).is_some() => {}
            Progress::Text(text) => {
                let _watchers =
                    self.shared.live.send(Live { run: self.run.clone(), body: LiveBody::ModelText { text } });
            }
            Progress::Retrying { .. } => self.tell_retry(turn, progress),
            Progress::Used(usage) => call.has_used(usage),
            Progress::Thinking(_) | Progress::ToolCallStarted { .. } => {}
        };
        let images = StoredImages(self.shared.store.clone());
        let answered = self.shared.model.turn(&request, &images, &progress).await;
        match answered {
            Ok(answer) => {
                // What cut tries used is paid too, but it is no part of the conversation.
                call.answered(answer.lost);
                let (message, stop, usage, model) = (answer.message, answer.stop, answer.usage, answer.model);
                Ok(vec![EventBody::TurnFinished { turn, message, stop, usage, model }])
            }
            // The agent decides what to do about it: its conversation can be summed up.
            Err(TurnError::ContextExceeded { .. }) => Ok(vec![EventBody::TurnFinished {
                turn,
                message: Message::Assistant { blocks: Vec::new(), verbatim: serde_json::Value::Null },
                stop: StopReason::ContextExceeded,
                usage: Usage::default(),
                model: request.model,
            }]),
            Err(error) => Err(Trouble::Pause(error.user_error())),
        }
    }

    pub(crate) async fn receive(
        &self,
        sandbox: Option<&SandboxId>,
        task: &Task,
        branch: &str,
    ) -> Result<Vec<EventBody>, Trouble> {
        let desk = self.desk(sandbox).await?;
        let bundle = self.scratch("out").await?;
        let folder = repository::folder(desk.machine.home(), &task.repository);
        repository::export(&desk.channel, &self.run, &folder, branch, &task.base_commit, &bundle).await?;
        let repository =
            delivery::repository_of(&self.shared.forge, &task.repository).map_err(Trouble::Fail)?;
        let name = delivery::branch(branch).map_err(Trouble::Fail)?;
        let delivery = Delivery {
            branch: name.clone(),
            base: task.base_commit.clone(),
            // In a later round the branch is there already; nobody but this run moves it.
            previous: repository
                .branch_head(&name)
                .await
                .map_err(|error| Trouble::Pause(trouble::git(&error)))?,
        };
        let received = repository.receive(&bundle, &delivery, &ReceiveLimits::default()).await;
        let _removed = tokio::fs::remove_file(&bundle).await;
        let received = received.map_err(|error| Trouble::Fail(trouble::receiving(&error)))?;
        Ok(vec![EventBody::BranchReceived {
            branch: branch.to_owned(),
            head: received.head,
            commits: received.commits,
        }])
    }

    pub(crate) async fn stop_sandbox(
        &self,
        sandbox: SandboxId,
        reason: &str,
    ) -> Result<Vec<EventBody>, Trouble> {
        self.detach().await;
        self.remove(&sandbox).await;
        for way in ["in", "out"] {
            let _mostly_not_there = tokio::fs::remove_file(self.scratch_file(way)).await;
        }
        Ok(vec![EventBody::SandboxStopped { sandbox, reason: reason.to_owned() }])
    }

    async fn scratch(&self, way: &str) -> Result<PathBuf, Trouble> {
        let folder = &self.shared.settings.scratch;
        tokio::fs::create_dir_all(folder).await.map_err(|error| {
            Trouble::Pause(trouble::disk_or(ErrorCode::Internal, "creating the scratch folder", &error))
        })?;
        Ok(self.scratch_file(way))
    }

    fn scratch_file(&self, way: &str) -> PathBuf {
        self.shared.settings.scratch.join(format!("{}-{way}.bundle", self.run))
    }
}

/// The words of an answer, if there are any.
fn words_of(message: &Message) -> Option<String> {
    let Message::Assistant { blocks, .. } = message else { return None };
    let words = blocks.iter().filter_map(|block| match block {
        AssistantBlock::Text { text } => Some(text.trim()),
        AssistantBlock::Thinking { .. }
        | AssistantBlock::ToolCall { .. }
        | AssistantBlock::Unknown { .. } => None,
    });
    let words = words.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n");
    (!words.is_empty()).then_some(words)
}

/// The conversation's pictures, out of the artifacts.
struct StoredImages(Store);

#[async_trait]
impl ImageSource for StoredImages {
    async fn read(&self, image: &Image) -> std::io::Result<Bytes> {
        self.0.get(&image.artifact).await.map_err(std::io::Error::other)
    }
}
