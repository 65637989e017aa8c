//! What goes into an agent's machine, and what it wants done.

use nightshift_protocol::{
    CriterionVerdict, FeedbackAnswer, Limits, McpServer, Message, PauseReason, Plan, ResultPart, StepId,
    StopReason, ToolCall, ToolOutcome, Usage, UserError,
};

use crate::budget::Spending;
use crate::tools::ToolRequest;

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// Servers of the Model Context Protocol run, whose tools it has from the beginning of its conversation on.
    McpServersStarted {
        /// The servers.
        servers: Vec<McpServer>,
    },
    /// The conversation begins.
    Started {
        /// The system prompt.
        system: String,
        /// The first message, a user's.
        message: Message,
    },
    /// The model answered.
    TurnFinished {
        /// Which call it was.
        turn: u32,
        /// The answer, an assistant's message.
        message: Message,
        /// Why it stopped.
        stop: StopReason,
        /// What it used.
        usage: Usage,
    },
    /// The model call failed for good, or after all tries.
    TurnFailed {
        /// Which call it was.
        turn: u32,
        /// Whether another try may help.
        trouble: ModelTrouble,
    },
    /// The older part of the conversation was summed up, or could not be.
    Compacted {
        /// The call it was done before.
        turn: u32,
        /// The model's summary; `None` where it gave none, and then only what Nightshift knows itself is kept.
        summary: Option<String>,
        /// What it used.
        usage: Usage,
    },
    /// A tool call was carried out, or its answer was recorded.
    StepFinished {
        /// Which step.
        step: StepId,
        /// The id of the model's call.
        call: String,
        /// Whether it went well.
        outcome: ToolOutcome,
        /// What the model reads.
        content: Vec<ResultPart>,
        /// The exit status, where a command ended.
        exit_code: Option<i32>,
    },
    /// A model call brought no answer, and what it used is paid all the same.
    Lost {
        /// What it used.
        usage: Usage,
    },
    /// A person was shown the question that the machine waits with.
    Asked,
    /// A person wrote. It answers the question, if one was shown to a person; else it is read at the next boundary.
    PersonSaid {
        /// The words.
        text: String,
    },
    /// A person wrote something to be read when the agent is done with what it does.
    PersonQueued {
        /// The words.
        text: String,
    },
    /// A person interrupted what is under way. A tool's result still comes; calls behind it in the same answer are not
    /// carried out. A model call is made again, with what the person wrote.
    Interrupted,
    /// Nobody waits for a model call any more that may be under way, as after an owner's end. It is made again if the budget allows it
    /// by then.
    LetGo,
    /// The run was paused, on the machine's wish or another's. A model call that was under way is let go of.
    Paused {
        /// Why.
        reason: PauseReason,
    },
    /// The run goes on.
    Resumed,
    /// Wall time was used.
    TimeUsed {
        /// Seconds the run has worked so far, all together; a figure smaller than one before is ignored.
        seconds: u64,
    },
    /// The task may use more. A pause at one of these limits ends by it.
    LimitsRaised {
        /// What it may use now.
        limits: Limits,
    },
    /// The work was delivered, and others had something to say: the agent that was finished goes on.
    Reopened {
        /// What it is told.
        text: String,
        /// The names of the feedback, each of which it has to answer before it may finish again.
        names: Vec<String>,
    },
    /// A critic found something in work that is not delivered yet, or a person wrote meanwhile: the agent that was
    /// finished goes on.
    SentBack {
        /// What it is told.
        text: String,
    },
    /// A subagent begins to work beside the machine.
    SubagentBegan {
        /// Its name.
        name: String,
    },
    /// A subagent that worked beside the machine has ended.
    SubagentEnded {
        /// Its name.
        name: String,
        /// What the model is told of it, at the next boundary.
        report: String,
    },
    /// Another agent wrote, or something is to be known that no person wrote: it is read at the next boundary.
    Told {
        /// The words.
        text: String,
    },
    /// A foreign agent that works in the machine's place used a tool, within the machine's turn.
    Witnessed {
        /// Which step.
        step: StepId,
        /// The call.
        call: ToolCall,
        /// Whether it went well.
        outcome: ToolOutcome,
        /// What it led to.
        content: Vec<ResultPart>,
        /// The exit status, where a command ended.
        exit_code: Option<i32>,
    },
    /// A foreign agent that works in the machine's place has this plan.
    Planned {
        /// The plan.
        plan: Plan,
    },
    /// A foreign agent that works in the machine's place called a model.
    Spent {
        /// What the call used.
        usage: Usage,
    },
    /// Who started the machine wants it to end.
    Stopped {
        /// Why, in one sentence.
        reason: String,
    },
    /// What the other agents of the task use of its limits, all together.
    OthersSpent {
        /// It.
        spending: Spending,
    },
    /// A person cancelled the run.
    Cancelled,
}

/// Trouble with a model call, after the client's own tries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelTrouble {
    /// It may pass or be repaired: the run pauses, and resuming makes the same call again.
    MayPass(UserError),
    /// It will not: the run fails.
    Final(UserError),
}

/// What is to be done. Turn and step are the effect's idempotency key.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Call the model with [`crate::AgentMachine::conversation`]; ends with `TurnFinished` or `TurnFailed`.
    AskModel {
        /// Which call, from 1.
        turn: u32,
    },
    /// Call the model with [`crate::AgentMachine::summary_request`] and without acting on calls; ends with `Compacted`.
    Compact {
        /// The call it is done before.
        turn: u32,
    },
    /// Carry out a tool call; ends with `StepFinished`.
    RunTool {
        /// Which step.
        step: StepId,
        /// The call as the model made it.
        call: ToolCall,
        /// What to do.
        request: ToolRequest,
    },
    /// Record a result that needs no carrying out; ends with a `StepFinished` that repeats it.
    Answer {
        /// Which step.
        step: StepId,
        /// The call as the model made it.
        call: ToolCall,
        /// Whether it went well.
        outcome: ToolOutcome,
        /// What the model reads.
        content: Vec<ResultPart>,
    },
    /// Show a person a question; ends with `PersonSaid` after `Asked`, or with a `StepFinished` that says why there is no
    /// answer.
    AskPerson {
        /// Which step asks.
        step: StepId,
        /// The call as the model made it.
        call: ToolCall,
        /// The question.
        question: String,
    },
    /// Pause the run; ends with `Paused`, after which `Resumed` lets it go on.
    Pause {
        /// Why.
        reason: PauseReason,
    },
    /// Deliver the work. The machine is final, unless the work is reopened.
    Finish {
        /// Title for the pull request.
        title: String,
        /// What was done and why.
        summary: String,
        /// What could not be verified, possibly empty.
        not_verified: String,
        /// What is answered to feedback.
        answers: Vec<FeedbackAnswer>,
    },
    /// Take note of what a critic found. The machine is final.
    Judge {
        /// One for each criterion, in their order.
        verdicts: Vec<CriterionVerdict>,
        /// What it says of the whole, possibly empty.
        words: String,
    },
    /// Wait for a subagent to report, or for what the other agents of the task have under way.
    AwaitSubagents,
    /// Give a subagent's report to who started it. The machine is final.
    Report {
        /// The report.
        text: String,
    },
    /// Take note that a critic came to no verdict, or a subagent to no report. The machine is final.
    GiveUp {
        /// Why, in one sentence.
        reason: String,
    },
    /// Record that the run failed. The machine is final.
    Fail {
        /// What failed and what to do.
        error: UserError,
    },
}
