//! The machine of a subagent: made from that of the agent which starts it, with a fresh conversation and a part of the same
//! limits.

use nightshift_protocol::{Message, StepId, TURNS_OF_SUBAGENT};

use super::{AgentEvent, AgentMachine, AgentSettings, Part, Position, words_of};
use crate::budget::{CallPrice, Share, Spending};
use crate::stuck::Occupation;
use crate::subagents::{Grant, Granted};
use crate::tools::{EditAction, EditRequest, subagent_definitions};

/// Said where a subagent ends its turn without a call and without words.
pub(super) const NUDGE: &str = "Note from Nightshift: your turn ended without a tool call and without words. If you are done, write your \
                                report. Otherwise go on.";

/// What a machine has to know of the subagent that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubagentFacts {
    /// Its number in the run, from 1.
    pub number: u32,
    /// Its tools.
    pub grant: Grant,
    /// Model calls it may make, fewer than 10,000.
    pub max_turns: u32,
    /// What it may use of the task's tokens, money and time, where that is a smaller share.
    pub share: Share,
    /// What a call of its model may cost at most, where that is known.
    pub price: Option<CallPrice>,
    /// Tokens of its model's window; `None` where it is that of the agent which starts it.
    pub window: Option<u64>,
}

impl AgentMachine {
    /// A subagent that this machine starts. What it uses counts on the same limits as soon as [`balance`] is called.
    #[must_use]
    pub fn subagent(&self, facts: SubagentFacts) -> Self {
        let SubagentFacts { number, grant, max_turns, share, price, window } = facts;
        let occupation = if grant.has(Granted::Edit) { Occupation::Works } else { Occupation::Looks };
        let settings = AgentSettings { criteria: 0, occupation, price, ..self.settings };
        let settings = window.map_or(settings, |window| settings.in_window(window));
        let mut subagent = Self::new(settings);
        let first = number.saturating_mul(TURNS_OF_SUBAGENT).saturating_add(1);
        let until = first.saturating_add(max_turns.min(TURNS_OF_SUBAGENT - 1));
        subagent.tools = subagent_definitions(self.settings.screen, grant).into();
        subagent.part = Part::Subagent { first, until, grant };
        let budget = self.budget.for_subagent(share, price, self.spending());
        subagent.budget = budget.with_answers_of(settings.max_output_tokens);
        subagent
    }

    /// Takes what a subagent that is over has used upon itself.
    pub fn absorb(&mut self, subagent: &Self) {
        self.budget.absorb(&subagent.budget);
    }

    /// Forgets what it used, because another machine has taken that upon itself. Its own time begins anew where the task has been
    /// worked on for `seconds`.
    pub fn forget_spending(&mut self, seconds: u64) {
        self.budget.forget(seconds);
    }

    /// What it takes of its task's limits now.
    fn spending(&self) -> Spending {
        let calls = matches!(self.position, Position::Asking { .. } | Position::Compacting { .. });
        self.budget.spending(calls.then(|| self.conversation_tokens()))
    }

    /// What it said last, without calls; `None` before it said anything.
    pub fn last_words(&self) -> Option<String> {
        self.history.messages().iter().rev().find_map(|message| match &**message {
            Message::Assistant { blocks, .. } => Some(words_of(blocks)).filter(|words| !words.is_empty()),
            Message::User { .. } => None,
        })
    }

    /// The call whose step this is, if it is the one that is awaited.
    pub fn call_of(&self, step: StepId) -> Option<&str> {
        match &self.position {
            Position::Running(running) => running.call_of(step),
            _ => None,
        }
    }

    /// Whether it may do this to a file.
    pub(super) fn may_change(&self, edit: &EditRequest) -> bool {
        match self.part {
            Part::Worker | Part::Critic { .. } => true,
            Part::Subagent { grant, .. } => {
                grant.has(Granted::Edit) || matches!(edit.action, EditAction::View(_))
            }
        }
    }
}

/// Tells each of a task's machines what the others use of its limits.
pub fn balance(machines: &mut [&mut AgentMachine]) {
    let mut spendings: Vec<Spending> = machines.iter().map(|machine| machine.spending()).collect();
    for index in 0..machines.len() {
        let spending = all_but(index, &spendings);
        // It may begin a call thereby, which those behind it have to leave room for.
        machines[index].apply(AgentEvent::OthersSpent { spending });
        spendings[index] = machines[index].spending();
    }
    // Those before it have to know as well, though nothing begins by it.
    for (index, machine) in machines.iter_mut().enumerate() {
        machine.budget.set_others(all_but(index, &spendings));
    }
}

fn all_but(index: usize, spendings: &[Spending]) -> Spending {
    let mut others = Spending::default();
    for (_, spending) in spendings.iter().enumerate().filter(|(other, _)| *other != index) {
        others += *spending;
    }
    others
}

#[cfg(test)]
mod tests;
