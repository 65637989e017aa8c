//! The events of a run: all that happened, in order, and the only thing that is ever written.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{
    ApprovalDecision, ArtifactId, Attempt, CheckpointCause, CheckpointCost, CheckpointId, CommitId,
    ConnectionRecord, DeliveryMeasure, DeliveryTarget, EngineAction, EngineModelCall, EngineModelRequest,
    EnvironmentId, Evidence, FeedbackAnswer, FeedbackItem, Image, Limits, McpServer, Message, NetworkPhase,
    Plan, PreReviewFinding, PreparedPicture, PullRequestId, ResultPart, RunId, RunState, SandboxId,
    SelfReview, StepId, StopReason, SubagentOutcome, SubagentStart, SubagentWork, SuspendReason, Task,
    ToolCall, ToolOutcome, Usage,
};

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Place among all events of all runs, from 1, without promise of being gapless.
    pub position: u64,
    /// The run.
    pub run: RunId,
    /// Place within the run, from 1, gapless.
    pub seq: u64,
    /// When it was written.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened. An effect on the world is written before it is tried (`…Intended`, `…Requested`) and again when
/// its outcome is known; what has the first and not the second after a crash is reconciled, never repeated blindly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EventBody {
    /// The run began to exist. Always its first event.
    RunSubmitted {
        /// What it attempts.
        task: Task,
        /// The branch its work will be on.
        branch: String,
        /// Which attempt it is, where there are several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<Attempt>,
        /// Tokens of its model's window that it may use; absent in histories of older versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_tokens: Option<u64>,
    },
    /// The run went from one state to another.
    StateChanged {
        /// Where it is now.
        state: RunState,
    },
    /// A sandbox is going to be made for the run.
    SandboxRequested {
        /// The sandbox's id.
        sandbox: SandboxId,
    },
    /// The sandbox shows its desktop and answers commands.
    SandboxReady {
        /// The sandbox.
        sandbox: SandboxId,
        /// How it was made and how long it took.
        facts: SandboxFacts,
    },
    /// The sandbox's way out is open to these hosts, and to no other.
    NetworkOpened {
        /// What the sandbox is at.
        phase: NetworkPhase,
        /// The rules: `example.org`, `*.example.org`, `example.org:8443`.
        allowed: Vec<String>,
        /// What the repository asks for and the owner's configuration does not permit.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        not_permitted: Vec<String>,
        /// Why the repository's configuration was not followed, where it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// Programs in the sandbox made connections, or tried to. Records add up: each tells what is new since the one before.
    ConnectionsRecorded {
        /// By host, port and fate.
        connections: Vec<ConnectionRecord>,
    },
    /// The sandbox is gone.
    SandboxStopped {
        /// The sandbox.
        sandbox: SandboxId,
        /// Why, in one sentence.
        reason: String,
    },
    /// The repository is in the sandbox, on the run's branch.
    RepositoryImported {
        /// The commit that is checked out.
        commit: CommitId,
    },
    /// The servers that the repository names were started in the sandbox, or were not. What they offer is the agent's for the
    /// whole run.
    McpServersStarted {
        /// The servers, by name.
        servers: Vec<McpServer>,
        /// Why the file that names them says nothing, where it does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// The conversation began: instructions, task, repository guidance.
    ConversationStarted {
        /// The system prompt.
        system: String,
        /// The first message.
        message: Message,
    },
    /// The model is going to be called.
    TurnRequested {
        /// Which call, from 1.
        turn: u32,
    },
    /// The call failed in a way that is tried again.
    TurnRetried {
        /// Which call.
        turn: u32,
        /// What happened.
        reason: String,
        /// How long is waited before the next try, in milliseconds.
        wait_ms: u64,
    },
    /// A call, or a try of it, brought no answer: it was cut, let go of, or given up. What it used is paid all the same.
    TurnLost {
        /// Which call.
        turn: u32,
        /// What it used, as the provider had told or else by an estimate.
        usage: Usage,
        /// The model.
        model: String,
    },
    /// The model answered.
    TurnFinished {
        /// Which call.
        turn: u32,
        /// The answer, an assistant's message.
        message: Message,
        /// Why it stopped.
        stop: StopReason,
        /// What it used.
        usage: Usage,
        /// The provider's name of the model that answered.
        model: String,
    },
    /// The model is going to sum up the older part of the conversation, which comes near the size of its window.
    CompactionRequested {
        /// The call it is done before.
        turn: u32,
    },
    /// A summary took the place of the older part of the conversation.
    Compacted {
        /// The call it was done before.
        turn: u32,
        /// The model's summary; `None` where it gave none, and then only what Nightshift knows itself was kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<String>,
        /// What it used.
        usage: Usage,
        /// The provider's name of the model that answered.
        model: String,
    },
    /// A tool call is going to be carried out.
    StepIntended {
        /// Which step.
        step: StepId,
        /// The call.
        call: ToolCall,
        /// The file the step is going to write, where it writes one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        write: Option<IntendedWrite>,
    },
    /// A tool call was carried out, refused, or found to have happened.
    StepFinished {
        /// Which step.
        step: StepId,
        /// The id of the model's call it answers.
        call: String,
        /// Whether it went well.
        outcome: ToolOutcome,
        /// What the model reads.
        content: Vec<ResultPart>,
        /// The whole output where `content` is shortened.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<ArtifactId>,
        /// The exit status, where the step ran a command to its end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// How long it took, in milliseconds.
        took_ms: u64,
        /// How the outcome was found, where the owner was restarted in the middle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reconciled: Option<Reconciled>,
    },
    /// The agent changed its plan.
    PlanChanged {
        /// The plan as it is now.
        plan: Plan,
    },
    /// The agent named something as backing a claim.
    EvidenceNoted {
        /// The evidence.
        evidence: Evidence,
    },
    /// A person wrote to the run.
    PersonSaid {
        /// The words.
        text: String,
    },
    /// A person wrote to the run for when the agent is done with what it does.
    MessageQueued {
        /// The words.
        text: String,
    },
    /// A person interrupted what is under way: a tool is stopped and keeps its output, a model call is made again.
    Interrupted,
    /// A person changed what the task may use.
    LimitsRaised {
        /// What it may use from now on.
        limits: Limits,
    },
    /// A person decided about the command that the run waited with.
    ApprovalDecided {
        /// The step.
        step: StepId,
        /// The decision.
        decision: ApprovalDecision,
    },
    /// The agent says that the work is done, and a critic with a fresh context begins to look at it. Until it is over,
    /// turns and steps are the critic's.
    SelfReviewBegun {
        /// Which round, from 1.
        round: u32,
        /// The commit that is looked at.
        head: CommitId,
        /// The critic's system prompt.
        system: String,
        /// The critic's first message.
        message: Message,
    },
    /// The self-review is over, and the repository in the sandbox is again as the agent left it.
    SelfReviewed {
        /// What was found.
        review: SelfReview,
    },
    /// A subagent was started in the run's sandbox. Turns and steps of its number are its own from now on.
    SubagentStarted {
        /// What it is.
        subagent: SubagentStart,
        /// Its system prompt.
        system: String,
        /// Its first message.
        message: Message,
    },
    /// A subagent wrote to the agent which started it.
    SubagentSaid {
        /// The subagent's number.
        number: u32,
        /// The words.
        text: String,
    },
    /// The agent wrote to one of its subagents.
    SubagentTold {
        /// The subagent's number.
        number: u32,
        /// The words.
        text: String,
    },
    /// The agent wants one of its subagents to end.
    SubagentStopped {
        /// The subagent's number.
        number: u32,
    },
    /// A subagent has ended, what it left running too, and its work is where it belongs.
    SubagentFinished {
        /// The subagent's number.
        number: u32,
        /// How.
        outcome: SubagentOutcome,
        /// What it reports, or its last words.
        report: String,
        /// What became of the commits in its own working tree, where it had one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        work: Option<SubagentWork>,
    },
    /// A foreign agent's session is open in the sandbox, and it is given its turn.
    EngineStarted {
        /// Which turn.
        turn: u32,
        /// The engine, by the name the task asked for.
        engine: String,
        /// The agent's own name and version.
        agent: String,
        /// Its session.
        session: String,
        /// Whether it goes on with what it knows of earlier turns.
        resumed: bool,
    },
    /// A foreign agent wrote a message before it went on; its last one is in the turn's end.
    EngineSaid {
        /// Which turn.
        turn: u32,
        /// The words.
        text: String,
    },
    /// A foreign agent began something by a tool of its own, or came to its end.
    EngineActed {
        /// Which turn.
        turn: u32,
        /// What.
        action: EngineAction,
    },
    /// A foreign agent is about to call a model through the owner; what came of it follows.
    EngineCallIntended {
        /// Which turn.
        turn: u32,
        /// The call.
        call: EngineModelRequest,
    },
    /// A foreign agent called a model through the owner, or was refused.
    EngineCalledModel {
        /// Which turn.
        turn: u32,
        /// The call.
        call: EngineModelCall,
    },
    /// The agent says that the work is done.
    WorkFinished {
        /// Title for the pull request.
        title: String,
        /// What was done and why, for its reader.
        summary: String,
        /// What could not be verified, possibly empty.
        not_verified: String,
    },
    /// The work is going to be taken out of the sandbox.
    DeliveryIntended {
        /// The branch.
        branch: String,
    },
    /// The agent's commits were checked and are in the host's copy of the repository.
    BranchReceived {
        /// The branch.
        branch: String,
        /// Its newest commit.
        head: CommitId,
        /// How many commits it is ahead of the base.
        commits: u32,
    },
    /// The diff was looked through by rules, and nothing in it stops its delivery.
    DeliveryChecked {
        /// The commit that was looked at.
        head: CommitId,
        /// Where the work goes.
        target: DeliveryTarget,
        /// What a reviewer should know first.
        findings: Vec<PreReviewFinding>,
        /// How large it is, and what it leaves open.
        #[serde(default)]
        measure: DeliveryMeasure,
    },
    /// The pictures were made fit to leave the machine.
    PicturesPrepared {
        /// The commit they belong to.
        head: CommitId,
        /// The pictures, each once.
        pictures: Vec<PreparedPicture>,
        /// The recording among them, a moving picture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        recording: Option<ArtifactId>,
        /// The recording as a video, among them too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        video: Option<ArtifactId>,
    },
    /// The repository's lint was run in the sandbox, on what is delivered.
    LintRan {
        /// The commit.
        head: CommitId,
        /// The command.
        command: String,
        /// Its exit status; `None` when it was ended by a signal or the time limit.
        exit_code: Option<i32>,
        /// The last of what it printed.
        output_tail: String,
    },
    /// The branch is going to be pushed to the remote forge.
    PushIntended {
        /// The branch.
        branch: String,
        /// The commit it is brought to.
        head: CommitId,
    },
    /// The branch is at the remote forge.
    BranchPushed {
        /// The branch.
        branch: String,
        /// The commit it is at.
        head: CommitId,
    },
    /// A picture can be seen at the remote forge.
    PicturePublished {
        /// What was published: the prepared picture.
        artifact: ArtifactId,
        /// Where it is seen.
        url: String,
    },
    /// A picture stays on this machine, although it could leave: the remote forge does not take it.
    PictureKept {
        /// What stays: the prepared picture.
        artifact: ArtifactId,
        /// Why.
        why: String,
    },
    /// The pull request is going to be opened.
    PullRequestIntended {
        /// The commit it is opened with.
        head: CommitId,
    },
    /// The pull request is open. There is at most one of these in a run.
    PullRequestOpened {
        /// Its number.
        pull_request: PullRequestId,
        /// Where people look at it, at a remote forge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
    },
    /// The pull request's body fits newer work.
    PullRequestDescribed {
        /// The commit it fits.
        head: CommitId,
    },
    /// Labels were added and reviews asked for.
    PullRequestRouted {
        /// The labels.
        labels: Vec<String>,
        /// Who was asked, by login.
        reviewers: Vec<String>,
    },
    /// The draft is going to be made ready for reviewers: its checks have passed.
    ReadyIntended {
        /// The pull request.
        pull_request: PullRequestId,
    },
    /// The pull request is ready for reviewers.
    PullRequestReadied {
        /// Why it is not, if the remote forge did not do it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why_not: Option<String>,
    },
    /// The issue that asked for the task has a link to the pull request.
    IssueTold {
        /// The issue's number.
        number: u64,
    },
    /// People or checks said something that the run has to deal with.
    FeedbackReceived {
        /// Which round, from 1.
        round: u32,
        /// What was said, each with a name of its own.
        items: Vec<FeedbackItem>,
    },
    /// The agent answered feedback.
    FeedbackAnswered {
        /// The answers.
        answers: Vec<FeedbackAnswer>,
    },
    /// A person commented on a line, on this machine. It waits until changes are asked for.
    FeedbackNoted {
        /// What was said.
        item: FeedbackItem,
    },
    /// A comment that waited was taken back.
    FeedbackWithdrawn {
        /// The comment's name.
        name: String,
    },
    /// A person found the work good.
    ReviewApproved {
        /// What they said, possibly nothing.
        words: String,
    },
    /// The base branch's newest commit is in the sandbox, so that a conflict with it can be resolved.
    BaseBroughtIn {
        /// The commit.
        commit: CommitId,
    },
    /// An answer is where the feedback was given.
    FeedbackTold {
        /// The feedback's name.
        name: String,
    },
    /// A checkpoint of the sandbox is going to be saved.
    CheckpointIntended {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Why it is saved. One that is saved in order to suspend the sandbox ends its virtual machine.
        cause: CheckpointCause,
        /// Why the sandbox is suspended, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspended_for: Option<SuspendReason>,
    },
    /// The checkpoint is saved: the run can go back to this moment, and be forked from it.
    CheckpointSaved {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Why it was saved.
        cause: CheckpointCause,
        /// What it cost.
        cost: CheckpointCost,
    },
    /// The checkpoint could not be saved. The sandbox goes on as if it had not been tried.
    CheckpointFailed {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// What went wrong, in one sentence.
        reason: String,
    },
    /// A checkpoint that is no longer needed was removed.
    CheckpointRemoved {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// The run is going to go back to a checkpoint.
    RewindIntended {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Why, in one sentence.
        reason: String,
    },
    /// The run is back at a checkpoint: what happened since is history, but no part of the conversation any more, and
    /// step numbers begin again from there.
    Rewound {
        /// The checkpoint.
        checkpoint: CheckpointId,
    },
    /// A suspended sandbox is there again, or a fork's is for the first time.
    SandboxRestored {
        /// The sandbox.
        sandbox: SandboxId,
        /// What it was brought back from.
        checkpoint: CheckpointId,
        /// How long that took, in milliseconds.
        took_ms: u64,
    },
    /// The run is a fork: the events before this one were copied from another run's history.
    RunForked {
        /// The other run.
        from: RunId,
        /// The checkpoint of it that this run goes on from.
        checkpoint: CheckpointId,
        /// The sandbox that is to be made from it.
        sandbox: SandboxId,
        /// This run's own copy of the checkpoint.
        own: CheckpointId,
        /// The branch as it is called in the sandbox so far.
        branch: String,
    },
    /// A person took mouse and keyboard over: the agent begins nothing until they are handed back.
    TakenOver {
        /// The screen at that moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        screen: Option<Image>,
    },
    /// Mouse and keyboard are the agent's again.
    HandedBack {
        /// What the agent is told of it.
        summary: String,
        /// How long the person had them, in seconds.
        seconds: u64,
        /// The screen at that moment.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        screen: Option<Image>,
    },
    /// An owner took the run over after the one before it ended.
    OwnerResumed {
        /// What the new owner found, in one sentence.
        found: String,
    },
    /// The owner's computer slept and is awake again.
    HostSlept {
        /// For how long, in seconds.
        seconds: u64,
    },
}

impl EventBody {
    /// The event's name on the wire: the value of `type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::RunSubmitted { .. } => "runSubmitted",
            Self::StateChanged { .. } => "stateChanged",
            Self::SandboxRequested { .. } => "sandboxRequested",
            Self::SandboxReady { .. } => "sandboxReady",
            Self::NetworkOpened { .. } => "networkOpened",
            Self::ConnectionsRecorded { .. } => "connectionsRecorded",
            Self::SandboxStopped { .. } => "sandboxStopped",
            Self::RepositoryImported { .. } => "repositoryImported",
            Self::McpServersStarted { .. } => "mcpServersStarted",
            Self::ConversationStarted { .. } => "conversationStarted",
            Self::TurnRequested { .. } => "turnRequested",
            Self::TurnRetried { .. } => "turnRetried",
            Self::TurnLost { .. } => "turnLost",
            Self::TurnFinished { .. } => "turnFinished",
            Self::CompactionRequested { .. } => "compactionRequested",
            Self::Compacted { .. } => "compacted",
            Self::StepIntended { .. } => "stepIntended",
            Self::StepFinished { .. } => "stepFinished",
            Self::PlanChanged { .. } => "planChanged",
            Self::EvidenceNoted { .. } => "evidenceNoted",
            Self::PersonSaid { .. } => "personSaid",
            Self::MessageQueued { .. } => "messageQueued",
            Self::Interrupted => "interrupted",
            Self::LimitsRaised { .. } => "limitsRaised",
            Self::ApprovalDecided { .. } => "approvalDecided",
            Self::SelfReviewBegun { .. } => "selfReviewBegun",
            Self::SelfReviewed { .. } => "selfReviewed",
            Self::SubagentStarted { .. } => "subagentStarted",
            Self::SubagentSaid { .. } => "subagentSaid",
            Self::SubagentTold { .. } => "subagentTold",
            Self::SubagentStopped { .. } => "subagentStopped",
            Self::SubagentFinished { .. } => "subagentFinished",
            Self::EngineStarted { .. } => "engineStarted",
            Self::EngineSaid { .. } => "engineSaid",
            Self::EngineActed { .. } => "engineActed",
            Self::EngineCallIntended { .. } => "engineCallIntended",
            Self::EngineCalledModel { .. } => "engineCalledModel",
            Self::WorkFinished { .. } => "workFinished",
            Self::DeliveryIntended { .. } => "deliveryIntended",
            Self::BranchReceived { .. } => "branchReceived",
            Self::DeliveryChecked { .. } => "deliveryChecked",
            Self::PicturesPrepared { .. } => "picturesPrepared",
            Self::PushIntended { .. } => "pushIntended",
            Self::BranchPushed { .. } => "branchPushed",
            Self::PicturePublished { .. } => "picturePublished",
            Self::LintRan { .. } => "lintRan",
            Self::PictureKept { .. } => "pictureKept",
            Self::ReadyIntended { .. } => "readyIntended",
            Self::PullRequestReadied { .. } => "pullRequestReadied",
            Self::PullRequestIntended { .. } => "pullRequestIntended",
            Self::PullRequestOpened { .. } => "pullRequestOpened",
            Self::CheckpointIntended { .. } => "checkpointIntended",
            Self::CheckpointSaved { .. } => "checkpointSaved",
            Self::CheckpointFailed { .. } => "checkpointFailed",
            Self::CheckpointRemoved { .. } => "checkpointRemoved",
            Self::RewindIntended { .. } => "rewindIntended",
            Self::Rewound { .. } => "rewound",
            Self::SandboxRestored { .. } => "sandboxRestored",
            Self::RunForked { .. } => "runForked",
            Self::TakenOver { .. } => "takenOver",
            Self::HandedBack { .. } => "handedBack",
            Self::PullRequestDescribed { .. } => "pullRequestDescribed",
            Self::PullRequestRouted { .. } => "pullRequestRouted",
            Self::FeedbackReceived { .. } => "feedbackReceived",
            Self::FeedbackAnswered { .. } => "feedbackAnswered",
            Self::FeedbackTold { .. } => "feedbackTold",
            Self::IssueTold { .. } => "issueTold",
            Self::BaseBroughtIn { .. } => "baseBroughtIn",
            Self::FeedbackNoted { .. } => "feedbackNoted",
            Self::FeedbackWithdrawn { .. } => "feedbackWithdrawn",
            Self::ReviewApproved { .. } => "reviewApproved",
            Self::OwnerResumed { .. } => "ownerResumed",
            Self::HostSlept { .. } => "hostSlept",
        }
    }
}

/// A file as a step is going to leave it. After a crash the file's hash tells whether that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct IntendedWrite {
    /// Absolute path in the sandbox.
    pub path: String,
    /// The file's content before; `None` when there was no such file.
    pub before: Option<ArtifactId>,
    /// Its content after; `None` when it is to be removed.
    pub after: Option<ArtifactId>,
}

/// How a step's outcome was found after the owner was restarted in the middle of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Reconciled {
    /// It had happened, or was still running: its outcome was read, nothing was repeated.
    Found,
    /// It had not begun: it was carried out for the first time.
    NotBegun,
    /// It may have happened, and was carried out again: a second time changes nothing more, by the word of whoever carries it out.
    Repeated,
    /// It cannot be known: nothing was repeated, and the model was told to look.
    Unknown,
}

/// How a sandbox was made and how long it took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxFacts {
    /// The driver, for example `qemu`.
    pub driver: String,
    /// `kvm` or `tcg`.
    pub acceleration: String,
    /// The template it was cloned from.
    pub template: String,
    /// Request to first frame, in milliseconds.
    pub first_frame_ms: u64,
    /// Request to the answer of a shell command, in milliseconds.
    pub shell_ms: u64,
    /// Request to both, in milliseconds.
    pub ready_ms: u64,
    /// Whether checkpoints of it can be saved.
    #[serde(default)]
    pub checkpoints: bool,
    /// The environment it starts from, if its repository has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PreparingPhase, QueueReason};

    fn wire(body: &EventBody) -> serde_json::Value {
        serde_json::to_value(body).unwrap()
    }

    #[test]
    fn the_name_of_an_event_is_its_type_on_the_wire() {
        let bodies = [
            EventBody::StateChanged { state: RunState::Working },
            EventBody::TurnRequested { turn: 3 },
            EventBody::TurnRetried { turn: 3, reason: "overloaded".to_owned(), wait_ms: 500 },
            EventBody::PersonSaid { text: "hello".to_owned() },
            EventBody::PullRequestOpened { pull_request: PullRequestId(1), url: None },
            EventBody::TakenOver { screen: None },
            EventBody::HandedBack { summary: "clicked".to_owned(), seconds: 3, screen: None },
            EventBody::OwnerResumed { found: "the sandbox runs".to_owned() },
            EventBody::HostSlept { seconds: 7 },
        ];
        for body in bodies {
            assert_eq!(wire(&body)["type"], body.name());
        }
    }

    #[test]
    fn fields_of_an_event_are_camel_case_and_beside_its_envelope() {
        let event = Event {
            position: 9,
            run: "run-0000000000".parse().unwrap(),
            seq: 2,
            at: OffsetDateTime::UNIX_EPOCH,
            body: EventBody::TurnRetried { turn: 1, reason: "529".to_owned(), wait_ms: 250 },
        };
        let expected = serde_json::json!({
            "position": 9, "run": "run-0000000000", "seq": 2, "at": "1970-01-01T00:00:00Z",
            "type": "turnRetried", "turn": 1, "reason": "529", "waitMs": 250,
        });
        assert_eq!(serde_json::to_value(&event).unwrap(), expected);
        assert_eq!(serde_json::from_value::<Event>(expected).unwrap(), event);
    }

    #[test]
    fn a_state_carries_its_data_under_its_own_type() {
        let queued =
            wire(&EventBody::StateChanged { state: RunState::Queued { reason: QueueReason::Submitted } });
        assert_eq!(queued["state"], serde_json::json!({"type": "queued", "reason": {"type": "submitted"}}));
        let preparing = RunState::Preparing { phase: PreparingPhase::Repository };
        assert_eq!(
            serde_json::to_value(preparing).unwrap(),
            serde_json::json!({"type": "preparing", "phase": "repository"})
        );
    }
}
