//! The tools: what a model may ask for, read from JSON into typed requests.

mod browser;
mod computer;
mod definitions;
mod fields;
mod mcp;
mod subagents;
mod verdict;

use nightshift_protocol::{Evidence, FeedbackAnswer, Plan, PlanStep, PlanStepState, StepId, ToolCall};
use serde_json::Value;

pub use browser::BrowserAction;
pub use computer::{ClickCount, ComputerAction, MouseButton, Point, Region, ScrollDirection};
pub(crate) use definitions::{critic_definitions, subagent_definitions};
pub use definitions::{engine_definitions, tool_definitions};
pub use mcp::{McpRequest, McpTools};
pub use subagents::{SpawnRequest, SubagentsRequest};
pub(crate) use verdict::Judgement;

use crate::output::excerpt;
use crate::subagents::Grant;
use fields::Fields;
pub use fields::{FieldProblem, InputError};

pub(crate) const SHELL: &str = "shell";
pub(crate) const SHELL_OUTPUT: &str = "shell_output";
pub(crate) const SHELL_STOP: &str = "shell_stop";
pub(crate) const EDIT: &str = "edit";
pub(crate) const COMPUTER: &str = "computer";
pub(crate) const BROWSER: &str = "browser";
pub(crate) const PLAN: &str = "plan";
pub(crate) const EVIDENCE: &str = "evidence";
pub(crate) const SPAWN: &str = "spawn";
pub(crate) const SUBAGENTS: &str = "subagents";
pub(crate) const TELL: &str = "tell";
pub(crate) const ASK: &str = "ask";
pub(crate) const FINISH: &str = "finish";
pub(crate) const VERDICT: &str = "verdict";

/// How the names of tools begin that servers of the Model Context Protocol have.
pub(crate) const MCP: &str = "mcp__";

/// Pieces of feedback that are answered at once, at most.
const MAX_ANSWERS: usize = 60;

/// The longest answer to feedback, in characters.
const MAX_ANSWER: usize = 4_000;

const NAMES: [&str; 12] =
    [SHELL, SHELL_OUTPUT, SHELL_STOP, EDIT, COMPUTER, BROWSER, PLAN, EVIDENCE, SPAWN, SUBAGENTS, ASK, FINISH];

/// What a foreign agent may use beside its own tools.
const ENGINE_NAMES: [&str; 8] = [SHELL, SHELL_OUTPUT, SHELL_STOP, COMPUTER, BROWSER, EVIDENCE, ASK, FINISH];

/// What a critic may use: it looks and runs, and changes nothing.
const CRITIC_NAMES: [&str; 6] = [SHELL, SHELL_OUTPUT, SHELL_STOP, COMPUTER, BROWSER, VERDICT];

/// Whose tools are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Toolset {
    /// Those of the agent that does the work.
    Worker,
    /// Those that a foreign agent has beside its own.
    Engine,
    /// Those of a critic.
    Critic,
    /// Those that a subagent was granted.
    Subagent(Grant),
}

impl Toolset {
    fn names(self) -> Vec<&'static str> {
        match self {
            Self::Worker => NAMES.to_vec(),
            Self::Engine => ENGINE_NAMES.to_vec(),
            Self::Critic => CRITIC_NAMES.to_vec(),
            Self::Subagent(grant) => grant.names().into_iter().chain([TELL]).collect(),
        }
    }
}

/// Seconds a command may run when the model names no time.
const DEFAULT_TIMEOUT_SECONDS: u64 = 120;
/// Seconds a command may run at most; what takes longer belongs in the background.
const MAX_TIMEOUT_SECONDS: u64 = 1_800;
/// Steps a plan may have: more is no plan but a log.
const MAX_PLAN_STEPS: usize = 40;
/// Acceptance criteria a task may have, generously.
const MAX_CRITERIA: u64 = 100;
/// Characters of a path, the longest Linux takes.
const MAX_PATH: usize = 4_096;
/// Characters of a title or a label.
const MAX_TITLE: usize = 200;
/// Characters of a claim or a plan step.
const MAX_SENTENCE: usize = 500;
/// Characters of a question or a summary.
const MAX_PAGE: usize = 20_000;
/// Lines of a file that can be named.
const MAX_LINE: u64 = 1 << 31;

/// What the caller carries out for one tool call.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolRequest {
    /// Run a command line.
    Shell(ShellRequest),
    /// Read what a background command has written since it was last read, and whether it still runs.
    ShellOutput {
        /// The step that started it; the machine has checked that this step started one.
        job: StepId,
    },
    /// Stop a background command and all its children.
    ShellStop {
        /// The step that started it; checked as for `ShellOutput`.
        job: StepId,
    },
    /// View or change a file.
    Edit(EditRequest),
    /// Look at the screen, or use mouse and keyboard.
    Computer(ComputerAction),
    /// Use the browser's page by its structure.
    Browser(BrowserAction),
    /// Call a tool of a server of the Model Context Protocol.
    Mcp(McpRequest),
    /// Record the new plan.
    Plan(Plan),
    /// Record evidence. The machine has found the recorded step it points at.
    Evidence(Evidence),
    /// Start a subagent.
    Spawn(SpawnRequest),
    /// Have to do with those that run.
    Subagents(SubagentsRequest),
    /// Write to the agent that started this one.
    Tell {
        /// The words.
        text: String,
    },
}

/// A command line for the sandbox's shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellRequest {
    /// The command line, for `bash -c`.
    pub command: String,
    /// Whether its end is waited for.
    pub mode: ShellMode,
}

/// Whether a command's end is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellMode {
    /// The step ends with the command.
    Foreground {
        /// Seconds after which the command is stopped, 1 to 1,800.
        timeout_seconds: u32,
    },
    /// The step ends when the command has started.
    Background,
}

/// A file and what to do with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRequest {
    /// The path as the model wrote it: absolute, or relative to the repository. It holds no NUL.
    pub path: String,
    /// What to do.
    pub action: EditAction,
}

/// What to do with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EditAction {
    /// Show it with line numbers.
    View(crate::edits::LineRange),
    /// Write it whole, with the folders above it; a file that is there is replaced.
    Create {
        /// The whole text.
        text: String,
    },
    /// Change a part of it.
    Change(crate::edits::Change),
    /// Put back what was there before the newest `Create` or `Change` of this file that is not undone yet.
    Undo,
}

/// A tool call's input as it was read, before the machine has looked at its own records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum ToolInput {
    /// To be carried out as it is.
    Run(ToolRequest),
    /// A claim to be backed by a step.
    Evidence(Claim),
    /// A question to a person.
    Ask { question: String },
    /// The end of the work.
    Finish(Handover),
    /// What a critic found.
    Verdict { judgements: Vec<Judgement>, words: String },
}

/// A claim of the model, and the step that is said to back it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) claim: String,
    pub(crate) criterion: Option<u32>,
    pub(crate) step: StepId,
    pub(crate) label: Option<String>,
}

/// What the agent says when it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Handover {
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) not_verified: String,
    pub(crate) answers: Vec<FeedbackAnswer>,
}

/// Reads one action of the `computer` tool. `screen` is its width and height in pixels.
pub fn computer_action(input: &Value, screen: (u32, u32)) -> Result<ComputerAction, InputError> {
    computer::action(Fields::of(COMPUTER, input)?, screen)
}

/// Reads a call's input. `screen` is its width and height in pixels.
pub(crate) fn parse(call: &ToolCall, screen: (u32, u32), toolset: Toolset) -> Result<ToolInput, InputError> {
    if let Some(text) = &call.malformed {
        return Err(InputError::Malformed { given: excerpt(text, 200) });
    }
    let names = toolset.names();
    let tool = names
        .iter()
        .copied()
        .find(|name| *name == call.name)
        .ok_or_else(|| InputError::UnknownTool { name: excerpt(&call.name, 60), known: names.join(", ") })?;
    let fields = Fields::of(tool, &call.input)?;
    match tool {
        SHELL => shell(fields),
        SHELL_OUTPUT => job(fields).map(|job| ToolInput::Run(ToolRequest::ShellOutput { job })),
        SHELL_STOP => job(fields).map(|job| ToolInput::Run(ToolRequest::ShellStop { job })),
        EDIT => edit(fields),
        COMPUTER => {
            computer::action(fields, screen).map(|action| ToolInput::Run(ToolRequest::Computer(action)))
        }
        BROWSER => browser::action(fields).map(|action| ToolInput::Run(ToolRequest::Browser(action))),
        PLAN => plan(fields),
        EVIDENCE => claim(fields),
        ASK => ask(fields),
        VERDICT => verdict::read(fields),
        SPAWN => subagents::spawn(fields),
        SUBAGENTS => subagents::subagents(fields),
        TELL => subagents::tell(fields),
        _ => finish(fields),
    }
}

fn shell(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let command = fields.text("command", MAX_PAGE * 5);
    let timeout_seconds = fields.optional_whole("timeout_seconds", 1..=MAX_TIMEOUT_SECONDS);
    let background = fields.flag("background");
    let mode = if background {
        ShellMode::Background
    } else {
        let seconds = timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS);
        ShellMode::Foreground { timeout_seconds: u32::try_from(seconds).unwrap_or(u32::MAX) }
    };
    fields.done(ToolInput::Run(ToolRequest::Shell(ShellRequest { command, mode })))
}

fn job(mut fields: Fields<'_>) -> Result<StepId, InputError> {
    let step = fields.step("step");
    fields.done(step)
}

fn edit(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let action = fields.action(&["view", "create", "replace", "insert", "undo"])?;
    let path = fields.text("path", MAX_PATH);
    fields.check("path", "a path without NUL characters", !path.contains('\0'));
    let action = match action {
        "view" => EditAction::View(crate::edits::LineRange {
            from: fields.optional_whole("from_line", 1..=MAX_LINE),
            to: fields.optional_whole("to_line", 1..=MAX_LINE),
        }),
        "create" => EditAction::Create { text: fields.any_text("text") },
        "replace" => {
            let (old, new) = (fields.any_text("old"), fields.any_text("new"));
            let occurrences = match fields.flag("all") {
                true => crate::edits::Occurrences::All,
                false => crate::edits::Occurrences::One,
            };
            EditAction::Change(crate::edits::Change::Replace { old, new, occurrences })
        }
        "insert" => EditAction::Change(crate::edits::Change::Insert {
            after_line: fields.whole("after_line", 0..=MAX_LINE),
            text: fields.any_text("text"),
        }),
        _ => EditAction::Undo,
    };
    fields.done(ToolInput::Run(ToolRequest::Edit(EditRequest { path, action })))
}

fn plan(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let steps = fields.list("steps", MAX_PLAN_STEPS, |step| PlanStep {
        title: step.text("title", MAX_SENTENCE),
        state: step.choice(
            "state",
            &[
                ("pending", PlanStepState::Pending),
                ("active", PlanStepState::Active),
                ("done", PlanStepState::Done),
                ("dropped", PlanStepState::Dropped),
            ],
            PlanStepState::Pending,
        ),
    });
    fields.done(ToolInput::Run(ToolRequest::Plan(Plan { steps })))
}

fn claim(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let claim = Claim {
        claim: fields.text("claim", MAX_SENTENCE),
        criterion: fields
            .optional_whole("criterion", 1..=MAX_CRITERIA)
            .and_then(|number| u32::try_from(number).ok()),
        step: fields.step("step"),
        label: fields.optional_text("label", MAX_TITLE),
    };
    fields.done(ToolInput::Evidence(claim))
}

fn ask(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let question = fields.text("question", MAX_PAGE);
    fields.done(ToolInput::Ask { question })
}

fn finish(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let handover = Handover {
        title: fields.text("title", MAX_TITLE),
        summary: fields.text("summary", MAX_PAGE),
        not_verified: fields.optional_text("not_verified", MAX_PAGE).unwrap_or_default(),
        answers: fields.optional_list("answers", MAX_ANSWERS, |fields| FeedbackAnswer {
            name: fields.text("name", 20),
            words: fields.text("words", MAX_ANSWER),
            settled: fields.flag("settled"),
        }),
    };
    fields.done(ToolInput::Finish(handover))
}

#[cfg(test)]
mod tests;
