//! What the machine has to do with a foreign agent that works in its place: the machine's turn is the agent's, which uses
//! tools within it. The machine foresees what they are asked for, remembers what they led to, and counts what was used.

use nightshift_protocol::{PauseReason, ResultPart, StepId, ToolCall, ToolOutcome, Usage};

use super::AgentMachine;
use super::turn::Foreseen;
use crate::tools::{ToolInput, ToolRequest, Toolset, parse};

impl AgentMachine {
    /// What a foreign agent's call is to be carried out as.
    ///
    /// # Errors
    ///
    /// Why it is not carried out, for the agent.
    pub fn foresee(&self, call: &ToolCall) -> Result<ToolRequest, String> {
        let input = parse(call, self.settings.screen, Toolset::Engine).map_err(|error| error.to_string())?;
        match self.foreseen(input) {
            Foreseen::Run(request) => Ok(request),
            Foreseen::Refused(why) => Err(why),
            Foreseen::Ends => Err(format!("{} is no tool that is carried out within a turn.", call.name)),
        }
    }

    /// Whether a foreign agent's work could be handed over by this call.
    ///
    /// # Errors
    ///
    /// What is missing, for the agent.
    pub fn may_hand_over(&self, call: &ToolCall) -> Result<(), String> {
        match parse(call, self.settings.screen, Toolset::Engine) {
            Ok(ToolInput::Finish(handover)) => self
                .record
                .may_finish(&handover, self.settings.criteria)
                .map_err(|missing| missing.to_string()),
            Ok(_) => Err("Call finish to hand the work over.".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Why `calls` more model calls of a foreign agent may not be made after `seconds` more, which use so much at worst all
    /// together, if they may not.
    pub fn relay_refusal(&self, worst: &Usage, calls: u32, seconds: u64) -> Option<PauseReason> {
        self.budget.relay_refusal(worst, calls, seconds)
    }

    /// Whether the task's limit on money is another than the usual one, so that a person wished it.
    pub fn is_limited_in_money(&self) -> bool {
        self.budget.is_limited_in_money()
    }

    pub(super) fn witness(
        &mut self,
        step: StepId,
        call: &ToolCall,
        outcome: ToolOutcome,
        content: &[ResultPart],
        exit_code: Option<i32>,
    ) {
        if let Ok(request) = self.foresee(call) {
            self.record.note(step, request, outcome, content, exit_code);
        }
    }
}

#[cfg(test)]
mod tests;
