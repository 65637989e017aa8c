//! The tools by which an agent starts subagents and has to do with them, and the one by which these write to it.

use serde_json::{Value, json};

use super::definitions::object;
use super::fields::{Fields, InputError};
use super::{MAX_PAGE, MAX_TITLE, ToolInput, ToolRequest};

pub(super) const SPAWN_DESCRIPTION: &str = "Starts a subagent in this machine: an agent with a fresh context that does one thing and reports. \
     Give it a part of the work that can be told in full and checked, such as a search through much code, a review, or a change \
     that touches other files than yours. It knows nothing but what you write in task: name files, commands, what is to come \
     back, and what it shall leave alone. Without background you wait for its report, which is the result. With background you go \
     on, and the report comes when it is done; several work at once so. One that may change files and works in the background \
     has a working tree of its own, from your newest commit on; its commits come onto your branch when it is done. Only one that \
     you wait for has mouse, keyboard and browser. You answer for what it did: check it.";

pub(super) const SUBAGENTS_DESCRIPTION: &str = "Has to do with the subagents that you started in the background. list shows how each stands. message \
     writes to one; it reads it before its next call. stop ends one; what it did so far is kept. To wait for them, end your turn \
     without a call.";

pub(super) const TELL_DESCRIPTION: &str = "Writes to the agent that started you, which goes on meanwhile, when it should know something before you are \
     done. Your report is not given so: it is what you write when you end your turn without a call.";

const MAX_NAME: usize = 80;

/// A subagent that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnRequest {
    /// The name of its definition; the one that is built in if `None`.
    pub agent: Option<String>,
    /// What it is to do, in a few words.
    pub title: String,
    /// What it is to do, in full.
    pub task: String,
    /// Whether the agent goes on meanwhile; as the definition says if `None`.
    pub background: Option<bool>,
    /// Model calls it may make, if fewer than it might.
    pub max_turns: Option<u32>,
    /// Tokens it may use, if fewer than the task may.
    pub max_tokens: Option<u64>,
    /// US cents it may cost, if fewer than the task may.
    pub max_cents: Option<u32>,
    /// Minutes it may work, if fewer than the task may.
    pub max_minutes: Option<u32>,
    /// The number of the routing rule that it is started for.
    pub rule: Option<u32>,
}

/// Something that has to do with subagents which run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubagentsRequest {
    /// How they stand.
    List,
    /// Write to one.
    Message {
        /// Its name.
        name: String,
        /// The words.
        text: String,
    },
    /// End one.
    Stop {
        /// Its name.
        name: String,
    },
}

pub(super) fn spawn_schema() -> Value {
    object(
        &["title", "task"],
        json!({
            "agent": {"type": "string", "description": "The name of a definition that you were told of; without it a general one."},
            "title": {"type": "string", "maxLength": MAX_TITLE, "description": "What it does, in a few words, for the person."},
            "task": {"type": "string", "description": "What it does, in full: all it has to know."},
            "background": {"type": "boolean", "description": "Go on meanwhile."},
            "max_turns": {"type": "integer", "minimum": 1, "description": "Model calls it may make."},
            "max_tokens": {"type": "integer", "minimum": 1, "description": "Tokens of the task's that it may use."},
            "max_cents": {"type": "integer", "minimum": 1, "description": "US cents of the task's money that it may cost."},
            "max_minutes": {"type": "integer", "minimum": 1, "description": "Minutes of the task's time that it may work."},
            "rule": {"type": "integer", "minimum": 1, "description": "The number of the routing rule that you follow, if one decides this."},
        }),
    )
}

pub(super) fn subagents_schema() -> Value {
    object(
        &["action"],
        json!({
            "action": {"type": "string", "enum": ["list", "message", "stop"]},
            "name": {"type": "string", "description": "message, stop: its name, for example \"reviewer-1\"."},
            "text": {"type": "string", "description": "message: the words."},
        }),
    )
}

pub(super) fn tell_schema() -> Value {
    object(&["text"], json!({"text": {"type": "string"}}))
}

pub(super) fn spawn(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let most = u64::from(nightshift_protocol::TURNS_OF_SUBAGENT) - 1;
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    let request = SpawnRequest {
        agent: fields.optional_text("agent", MAX_NAME),
        title: fields.text("title", MAX_TITLE),
        task: fields.text("task", MAX_PAGE),
        background: fields.optional_flag("background"),
        max_turns: fields.optional_whole("max_turns", 1..=most).map(number),
        max_tokens: fields.optional_whole("max_tokens", 1..=u64::MAX / 2),
        max_cents: fields.optional_whole("max_cents", 1..=10_000_000).map(number),
        max_minutes: fields.optional_whole("max_minutes", 1..=100_000).map(number),
        rule: fields.optional_whole("rule", 1..=1_000).map(number),
    };
    fields.done(ToolInput::Run(ToolRequest::Spawn(request)))
}

pub(super) fn subagents(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let request = match fields.action(&["list", "message", "stop"])? {
        "list" => SubagentsRequest::List,
        "message" => SubagentsRequest::Message {
            name: fields.text("name", MAX_NAME),
            text: fields.text("text", MAX_PAGE),
        },
        _ => SubagentsRequest::Stop { name: fields.text("name", MAX_NAME) },
    };
    fields.done(ToolInput::Run(ToolRequest::Subagents(request)))
}

pub(super) fn tell(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let text = fields.text("text", MAX_PAGE);
    fields.done(ToolInput::Run(ToolRequest::Tell { text }))
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::ToolCall;

    use super::*;
    use crate::subagents::{Grant, Granted};
    use crate::tools::{Toolset, parse};

    fn read(name: &str, input: Value, toolset: Toolset) -> Result<ToolInput, InputError> {
        let call = ToolCall { id: "call".to_owned(), name: name.to_owned(), input, malformed: None };
        parse(&call, (1280, 800), toolset)
    }

    #[test]
    fn a_subagent_is_asked_for_with_all_that_may_be_said_of_it() {
        let input = json!({"agent": "reviewer", "title": "Review", "task": "Read it.", "background": false, "max_turns": 9,
            "max_tokens": 1_000, "max_cents": 25, "max_minutes": 8, "rule": 2});
        let expected = SpawnRequest {
            agent: Some("reviewer".to_owned()),
            title: "Review".to_owned(),
            task: "Read it.".to_owned(),
            background: Some(false),
            max_turns: Some(9),
            max_tokens: Some(1_000),
            max_cents: Some(25),
            max_minutes: Some(8),
            rule: Some(2),
        };
        assert_eq!(read("spawn", input, Toolset::Worker), Ok(ToolInput::Run(ToolRequest::Spawn(expected))));
    }

    #[test]
    fn all_that_is_wrong_with_it_is_said_at_once() {
        let said = read("spawn", json!({"task": "", "max_turns": 10_000, "tools": []}), Toolset::Worker)
            .unwrap_err()
            .to_string();
        for part in ["\"title\" is missing", "\"task\"", "\"max_turns\"", "\"tools\" is not a field here"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(read("subagents", json!({"action": "message", "name": "a"}), Toolset::Worker).is_err());
    }

    #[test]
    fn a_subagent_starts_none_and_a_worker_has_nobody_to_tell() {
        let granted = Toolset::Subagent(Grant::ALL);
        for name in ["spawn", "subagents", "finish", "ask", "plan", "evidence"] {
            assert!(matches!(read(name, json!({}), granted), Err(InputError::UnknownTool { .. })), "{name}");
        }
        assert!(matches!(
            read("tell", json!({"text": "x"}), Toolset::Worker),
            Err(InputError::UnknownTool { .. })
        ));
        let told = ToolInput::Run(ToolRequest::Tell { text: "x".to_owned() });
        assert_eq!(read("tell", json!({"text": "x"}), granted), Ok(told));
    }

    #[test]
    fn what_was_not_granted_is_no_tool() {
        let only = Toolset::Subagent(Grant::default().with(Granted::View));
        let refused = read("shell", json!({"command": "ls"}), only).unwrap_err().to_string();
        assert_eq!(refused, "There is no tool \"shell\". The tools are: edit, tell.");
    }
}
