//! The agent loop as a pure machine: events in, wanted effects out.
//!
//! It never does IO, never reads the clock or the environment, never calls a model or runs a tool, and knows no
//! provider. Fed the same events it comes to the same state, which is how an owner goes on after a crash.
//!
//! [`AgentMachine`] decides what comes next; [`ToolRequest`] is what it asks to be carried out; [`edits`] and
//! [`shorten`] are the pure halves of two tools; [`prompt`] writes what the model is told first; [`subagents`] reads what
//! a repository says of agents that may be started.

mod budget;
pub mod edits;
mod history;
mod machine;
mod output;
pub mod prompt;
mod record;
mod stuck;
pub mod subagents;
mod tools;

pub use budget::{CallPrice, Share, Spending};
pub use machine::{
    AgentEvent, AgentMachine, AgentSettings, Conversation, Effect, ModelTrouble, SubagentFacts, balance,
};
pub use output::{OUTPUT_LIMIT, grouped, shorten};
pub use stuck::Occupation;
pub use tools::{
    BrowserAction, ClickCount, ComputerAction, EditAction, EditRequest, FieldProblem, InputError, McpRequest,
    McpTools, MouseButton, Point, Region, ScrollDirection, ShellMode, ShellRequest, SpawnRequest,
    SubagentsRequest, ToolRequest, computer_action, engine_definitions, tool_definitions,
};
