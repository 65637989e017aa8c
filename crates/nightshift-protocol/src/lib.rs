//! What crosses a boundary: ids, the events of a run, conversations with a model, errors a person reads.
//!
//! It depends on no other crate of ours, never does IO and never decides anything: a type is here because two
//! crates, two processes or two versions of Nightshift must agree on its shape.
//!
//! One convention for all of it on the wire: `camelCase` fields, enums tagged by `type`, ids as strings with a
//! prefix that names their kind, times as RFC 3339 in UTC.

mod agents;
mod approval;
mod attempt;
mod checkpoint;
mod conversation;
mod delivery;
mod engine;
mod environment;
mod error;
mod event;
mod evidence;
mod id;
mod json;
mod list;
mod live;
mod loan;
mod mcp;
mod models;
mod network;
mod operation;
mod plan;
mod prune;
mod review;
mod reviewing;
mod run;
mod screen;
mod self_review;
mod settings;
mod subagent;
mod task;
mod terminal;
#[cfg(test)]
mod wire;

pub use agents::{AgentFinding, AgentFound, AgentOwner, AgentSummary, AgentsFound, LookForAgents};
pub use approval::{Approval, ApprovalDecision, ApprovalPolicy, DecideApproval};
pub use attempt::{
    Attempt, AttemptChange, AttemptList, AttemptSummary, CheckTally, GivenUp, MOST_ATTEMPTS, OtherAttempt,
    OthersClosed, SubmittedAttempt, VerdictTally,
};
pub use checkpoint::{
    CheckpointCause, CheckpointCost, CheckpointSummary, ForkReply, ForkRun, RewindRun, SuspendReason,
    Suspension,
};
pub use conversation::{
    AssistantBlock, Image, Message, ResultPart, StopReason, ToolCall, ToolDefinition, ToolOutcome,
    ToolResult, Usage, UserPart,
};
pub use delivery::{
    Approve, AskForChanges, DeliveryTarget, DiffSide, FeedbackAnswer, FeedbackItem, FeedbackSource, Merge,
    NewComment, PreReviewFinding, PreReviewKind, PreparedPicture, RemarkState, ReviewRemark,
};
pub use engine::{
    EngineAction, EngineActionKind, EngineActionStatus, EngineList, EngineModelCall, EngineModelRequest,
    EngineSummary, OWN_ENGINE, STEPS_OF_ENGINE,
};
pub use environment::{
    DevServer, EnvironmentCause, EnvironmentEvent, EnvironmentEventBody, EnvironmentLog, EnvironmentState,
    EnvironmentSummary, ListEnvironments, PhaseSummary, PlannedEnvironment, ReadLog, SetUpEnvironment,
    SetUpFailure, SetUpPhaseKind, SetUpPlan, SetUpStep,
};
pub use error::{ErrorCode, UserError};
pub use event::{Event, EventBody, IntendedWrite, Reconciled, SandboxFacts};
pub use evidence::{Evidence, EvidenceSource};
pub use id::{
    ArtifactId, CheckpointId, CommitId, EnvironmentId, InvalidId, PullRequestId, RunId, SandboxId, StepId,
    TaskId,
};
pub use json::json_values;
pub use list::{
    ExcerptPart, ListRuns, Overview, RunChanged, RunCounts, RunList, SearchFor, SearchHit, SearchReply,
};
pub use live::{Live, LiveBody};
pub use loan::{
    BorrowSandbox, CommandAnswer, RunCommand, SandboxFile, SandboxLoan, ScreenAction, ScreenAnswer,
};
pub use mcp::{MCP_ANSWER, McpServer, McpServerState, McpTool, is_mcp_answer};
pub use models::{ModelList, ModelSummary, ProviderTrouble, TryModel};
pub use network::{ConnectionFailure, ConnectionRecord, ConnectionVerdict, NetworkPhase, RefusalReason};
pub use operation::{
    Check, CheckOutcome, DoctorReport, ExampleTask, Health, MergeReply, MessageDelivery, OpenSession,
    OwnerAddress, PullRequestDetail, PullRequestState, PullRequestSummary, RaiseLimits, ResumeRun, RunDetail,
    SayToRun, Session, SubmitReply, SubmitTask, TemplateReady, Ticket, Uncommitted,
};
pub use plan::{Plan, PlanStep, PlanStepState};
pub use prune::{BuildKind, KeptBecause, Prune, PruneReport, PrunedBuild};
pub use review::{ChangedFile, ChangedFiles, Tree, TreeEntry, TreeEntryKind};
pub use reviewing::{
    AskPullRequests, AskStatistics, DeliveryMeasure, ReviewEntry, ReviewQueue, ReviewSize, Reviewing,
    Statistics, StatisticsBy, StatisticsRow,
};
pub use run::{FailureReason, Glance, PauseReason, PreparingPhase, QueueReason, RunState, RunSummary};
pub use screen::{LeaseHolder, PointerButton, PressedKey, ScreenMessage, ViewerMessage};
pub use self_review::{CriterionVerdict, SelfReview, SelfReviewOutcome, Verdict};
pub use settings::{
    ChangeSettings, HostSetting, KeepKey, KeyPlace, KeySummary, Restarting, Settings, SettingsValues,
};
pub use subagent::{
    SubagentOutcome, SubagentStart, SubagentSummary, SubagentWork, TURNS_OF_SUBAGENT, WorkingTree,
    subagent_of,
};
pub use task::{IssueReference, Limits, Task};
pub use terminal::{TerminalMessage, TerminalRequest, TerminalSize};

pub use time::OffsetDateTime;

/// Tells the time; programs pass the real one in, tests their own.
pub trait Clock: Send + Sync + 'static {
    /// Returns the present time in UTC.
    fn now(&self) -> OffsetDateTime;

    /// Returns how long this computer has slept since it was started: nobody worked in that time. Clocks of tests never do.
    fn slept(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}

/// Makes bytes nobody can predict; programs pass the operating system's in, tests a counter.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` whole.
    fn fill(&self, bytes: &mut [u8]);
}
