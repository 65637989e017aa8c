//! Sandboxes that ended by themselves: where the run goes back to, and what its agents are told of it.
//!
//! ```text
//!   the sandbox ends ─▶ rewindIntended ─▶ rewound ─▶ sandboxRestored      the first time at a checkpoint
//!          └──────────▶ rewindIntended ─▶ paused  ─▶ rewound              again at the same: a person lets it go on
//! ```

use std::fmt::Write as _;

use nightshift_agent::{AgentEvent, shorten};
use nightshift_protocol::CheckpointId;

use super::RunProgress;

/// How the reason begins of a run that goes back because its sandbox ended.
const ENDED: &str = "the sandbox ended: ";

/// Characters of a command that agents are told.
const LONGEST_COMMAND: usize = 500;

/// Where a run goes back to whose sandbox was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refuge {
    /// The newest checkpoint on the run's road.
    pub(crate) checkpoint: CheckpointId,
    /// Whether the sandbox was lost after that one before: what is done again there may end it again, for ever.
    pub(crate) lost_before: bool,
}

/// Why a run goes back whose sandbox ended, as its history has it.
pub(crate) fn sandbox_ended(why: &str) -> String {
    format!("{ENDED}{why}")
}

/// Why the sandbox ended, if that is the reason to go back.
pub(super) fn why_sandbox_ended(reason: &str) -> Option<&str> {
    reason.strip_prefix(ENDED)
}

impl RunProgress {
    /// What the agents are to be told of a sandbox that ended, so often after the same checkpoint.
    pub(super) fn loss_in_words(&self, why: &str, times: u32) -> String {
        let mut text = format!(
            "Note from Nightshift: your sandbox ended ({why}). It was brought back as it was at this moment: what was done in it since \
             then is undone, and is not in this conversation."
        );
        if times > 1 {
            let _ = write!(text, " That happened {times} times at this moment.");
        }
        let open = self.open_step.iter().chain(self.subagents.open_steps());
        for command in open.filter_map(|open| open.command.as_deref()) {
            let _ = write!(text, "\n\nThis ran when it ended:\n\n{}", shorten(command, LONGEST_COMMAND));
        }
        text.push_str("\n\nIf you ended it, do not do the same again: take another way, or ask.");
        text
    }

    /// Tells all agents something before they do anything else. Nothing is under way.
    pub(super) fn tell_first(&mut self, text: String) {
        self.tell_all(AgentEvent::Told { text });
        self.agent.tell_with_next_call();
        self.subagents.tell_with_next_call();
    }
}
