//! What people decided about commands that need a yes, until these were run or not.

use std::collections::BTreeMap;

use nightshift_agent::ToolRequest;
use nightshift_protocol::{ApprovalDecision, ResultPart, StepId, ToolCall, ToolOutcome};

use super::{Action, Intention, RunProgress};
use crate::approval::needed;

/// Decisions about steps that have no outcome yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    decided: BTreeMap<StepId, ApprovalDecision>,
}

impl Approvals {
    pub(super) fn note(&mut self, step: StepId, decision: ApprovalDecision) {
        self.decided.insert(step, decision);
    }

    /// A yes is for one step: what has an outcome is over.
    pub(super) fn forget(&mut self, step: StepId) {
        self.decided.remove(&step);
    }
}

impl RunProgress {
    /// What is to be done about a tool call: it is run, or a person is asked first, or the agent is told that it may not.
    pub(super) fn run_if_allowed(&self, step: StepId, call: ToolCall, request: ToolRequest) -> Action {
        let intention = self.intention(step);
        // What was begun was allowed.
        if matches!(intention, Intention::Open(_)) {
            return Action::RunStep { step, call, request, intention };
        }
        match (self.approvals.decided.get(&step), needed(&self.task.approval, &request)) {
            (Some(ApprovalDecision::Approved), _) | (None, None) => {
                Action::RunStep { step, call, request, intention }
            }
            (None, Some(question)) => Action::Ask { question, approval: Some(step) },
            (Some(ApprovalDecision::Denied { words }), _) => {
                let content = vec![ResultPart::Text { text: denied(words) }];
                Action::AnswerStep { step, call, outcome: ToolOutcome::Failed, content }
            }
        }
    }
}

/// What the agent reads instead of a result.
fn denied(words: &str) -> String {
    let why = match words.trim() {
        "" => String::new(),
        words => format!(" The person writes: {words}"),
    };
    format!(
        "Not run: the person who gave you the task does not allow this command.{why} Do not try to reach the same by another \
         command. If the task cannot be done without it, say so in not_verified, or ask."
    )
}

#[cfg(test)]
mod tests;
