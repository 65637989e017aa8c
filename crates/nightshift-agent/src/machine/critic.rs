//! The machine of a critic: made from a worker's that has finished, with the same limits and a fresh conversation.

use nightshift_protocol::TURNS_OF_SUBAGENT;

use super::{AgentMachine, AgentSettings, Part, Position};
use crate::stuck::Occupation;
use crate::tools::critic_definitions;

/// Model calls of one review at most.
const MOST_TURNS: u32 = 40;

/// Said where a critic ends its turn without a call.
pub(super) const NUDGE: &str = "Note from Nightshift: your turn ended without a tool call, and nobody reads along. If you have \
                                judged every criterion, call verdict. Otherwise go on.";

/// Says of a critic what is said of agents.
pub(super) fn at_a_loss(trouble: &str) -> String {
    trouble.strip_prefix("The agent ").map_or_else(|| trouble.to_owned(), |rest| format!("It {rest}"))
}

impl AgentMachine {
    /// A critic of the work that this machine has finished. It judges `criteria` criteria, uses what is left of the same
    /// limits, and numbers its calls on from this machine's.
    #[must_use]
    pub fn critic(&self, criteria: u32) -> Self {
        let first = self.next_turn();
        let settings = AgentSettings { criteria, occupation: Occupation::Looks, ..self.settings };
        let mut critic = Self::new(settings);
        critic.tools = critic_definitions(settings.screen).into();
        let until = first.saturating_add(MOST_TURNS).min(TURNS_OF_SUBAGENT);
        critic.part = Part::Critic { first, until };
        critic.budget.carry(&self.budget);
        critic
    }

    /// Goes on after a critic: what that used is used, and its numbers are not given again.
    pub fn go_on_after(&mut self, critic: &Self) {
        self.budget.carry(&critic.budget);
        if let Position::Finished { turn, .. } = &mut self.position {
            *turn = critic.next_turn();
        }
    }

    /// The steps that started commands in the background.
    pub fn background_commands(&self) -> Vec<nightshift_protocol::StepId> {
        self.record.jobs()
    }

    pub(super) fn first_turn(&self) -> u32 {
        match self.part {
            Part::Worker => 1,
            Part::Critic { first, .. } | Part::Subagent { first, .. } => first,
        }
    }

    /// The number of a call that was not made yet.
    pub(super) fn next_turn(&self) -> u32 {
        match &self.position {
            Position::New | Position::Failed(_) | Position::Cancelled => self.first_turn(),
            Position::Ready { turn }
            | Position::Compacting { turn }
            | Position::Resting { turn }
            | Position::Leaving { turn, .. }
            | Position::Finished { turn, .. } => *turn,
            Position::Asking { turn } => turn.saturating_add(1),
            Position::Running(running) => running.turn().saturating_add(1),
        }
    }

    /// Why a critic that would make call number `turn` ends instead, if it does.
    pub(super) fn gives_up(&self, turn: u32) -> Option<String> {
        match self.part {
            Part::Critic { first, until } if turn >= until => {
                Some(format!("It made {} model calls and judged nothing.", until.saturating_sub(first)))
            }
            Part::Subagent { first, until, .. } if turn >= until => Some(format!(
                "It made {} model calls, as many as it may, and reported nothing.",
                until.saturating_sub(first)
            )),
            Part::Critic { .. } | Part::Subagent { .. } => self.gives_up.clone(),
            Part::Worker => None,
        }
    }
}

#[cfg(test)]
mod tests;
