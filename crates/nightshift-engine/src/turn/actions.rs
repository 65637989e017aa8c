//! What an agent does by its own tools, by the ids it gives, and what it asks leave for.

use std::collections::BTreeMap;

use agent_client_protocol_schema::v1::PermissionOption;
use nightshift_protocol::{EngineAction, EngineActionKind, EngineActionStatus};
use serde_json::Value;

use super::wire::{Call, CallStatus, TOOLS, command};
use crate::words::{cut, kind, one_line};

/// Actions of one turn that are told of; an agent that does more is not followed further.
const MOST_ACTIONS: u32 = 2_000;

/// Actions that are under way at once, and questions that wait.
const MOST_OPEN: usize = 64;

/// Better names of an action that are told.
const MOST_RENAMES: u8 = 3;

/// Files of an action that are told.
const MOST_FILES: usize = 20;

/// What is under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Actions {
    told: u32,
    open: BTreeMap<String, Open>,
    questions: Vec<(Value, Vec<PermissionOption>)>,
}

#[derive(Debug, Clone)]
struct Open {
    /// `None` for what is told another way.
    action: Option<EngineAction>,
    command: Option<String>,
    renames: u8,
}

impl Actions {
    /// Takes in what is said of a call, and gives what is to be told: its beginning and its end.
    pub(super) fn note(&mut self, call: Call) -> Option<EngineAction> {
        let known = self.open.remove(&call.id);
        let is_new = known.is_none();
        if is_new && (self.open.len() >= MOST_OPEN || self.told >= MOST_ACTIONS) {
            return None;
        }
        let mut open = match known {
            Some(open) => open,
            None if is_ours(&call) => Open { action: None, command: None, renames: 0 },
            None => {
                self.told += 1;
                let action = EngineAction {
                    number: self.told,
                    kind: EngineActionKind::Other,
                    title: String::new(),
                    status: EngineActionStatus::Begun,
                    files: Vec::new(),
                    detail: None,
                };
                Open { action: Some(action), command: None, renames: 0 }
            }
        };
        open.command = call.command.or(open.command);
        let before = open.action.as_ref().map(|action| action.title.clone());
        if let Some(action) = &mut open.action {
            if let Some(title) =
                call.title.map(|title| one_line(&title, 300)).filter(|title| !title.is_empty())
            {
                action.title = title;
            }
            if let Some(name) = call.kind {
                action.kind = kind(&name);
            }
            if let Some(files) = call.files {
                action.files = files.iter().take(MOST_FILES).map(|file| one_line(file, 300)).collect();
            }
            action.detail = call.detail.map(|text| cut(&text, 2_000)).or(action.detail.take());
            action.status = match call.status {
                Some(CallStatus::Done) => EngineActionStatus::Done,
                Some(CallStatus::Failed) => EngineActionStatus::Failed,
                Some(CallStatus::Begun) | None => EngineActionStatus::Begun,
            };
            if action.title.is_empty() {
                action.title =
                    open.command.as_deref().map_or("(no title)".to_owned(), |text| one_line(text, 300));
            }
        }
        let action = open.action.clone();
        let renamed =
            before.is_some_and(|before| action.as_ref().is_some_and(|action| action.title != before));
        let renamed = renamed && !is_new && open.renames < MOST_RENAMES;
        open.renames += u8::from(renamed);
        let ended = action.as_ref().is_some_and(|action| action.status != EngineActionStatus::Begun)
            || (open.action.is_none() && matches!(call.status, Some(CallStatus::Done | CallStatus::Failed)));
        if !ended {
            self.open.insert(call.id, open);
        }
        // Beginnings of what is going on are told once, and again under a better name.
        action.filter(|_| is_new || ended || renamed)
    }

    /// Notes a question for leave and gives the command it is about, if it is one. `None` when there are too many, or it
    /// offers nothing that is understood.
    pub(super) fn ask(&mut self, id: Value, params: &Value) -> Option<Option<String>> {
        let options = params.get("options").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let options: Vec<PermissionOption> = options
            .iter()
            .take(20)
            .filter_map(|option| serde_json::from_value(option.clone()).ok())
            .collect();
        let again = self.questions.iter().any(|(asked, _)| *asked == id);
        if options.is_empty() || again || self.questions.len() >= MOST_OPEN {
            return None;
        }
        self.questions.push((id, options));
        let call = params.get("toolCall");
        let known = call
            .and_then(|call| call.get("toolCallId"))
            .and_then(Value::as_str)
            .and_then(|id| self.open.get(id));
        let said = command(call.and_then(|call| call.get("rawInput")));
        Some(said.or_else(|| known.and_then(|open| open.command.clone())))
    }

    /// The options of a question that waits, which is answered now.
    pub(super) fn answer(&mut self, id: &Value) -> Option<Vec<PermissionOption>> {
        let place = self.questions.iter().position(|(asked, _)| asked == id)?;
        Some(self.questions.remove(place).1)
    }

    /// The questions that wait, which are not answered any more.
    pub(super) fn give_up_asking(&mut self) -> Vec<Value> {
        self.questions.drain(..).map(|(id, _)| id).collect()
    }

    /// What is under way and will not be told the end of: as failed.
    pub(super) fn give_up(&mut self) -> Vec<EngineAction> {
        let mut left: Vec<EngineAction> =
            std::mem::take(&mut self.open).into_values().filter_map(|open| open.action).collect();
        left.sort_by_key(|action| action.number);
        left.iter_mut().for_each(|action| action.status = EngineActionStatus::Failed);
        left
    }
}

/// Whether a call is one of the sandbox's own tools, which are told as steps.
fn is_ours(call: &Call) -> bool {
    // As Claude Code and Codex write them.
    let ours = |text: &String| {
        text.contains(&format!("mcp__{TOOLS}__")) || text.starts_with(&format!("Tool: {TOOLS}/"))
    };
    call.name.as_ref().is_some_and(ours) || call.title.as_ref().is_some_and(ours)
}
