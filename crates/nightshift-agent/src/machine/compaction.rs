//! What happens when the conversation comes near the size of the model's window.

use std::fmt::Write as _;
use std::sync::Arc;

use nightshift_protocol::{EvidenceSource, Message, PauseReason, PlanStepState, Usage};

use super::{AgentMachine, Context, Gate, Position};
use crate::budget::context_full;
use crate::output::excerpt;

/// The share of what may be sent that the newest messages keep, word for word.
const TAIL: u64 = 6;

/// Tokens of instructions and tools, which are sent with every call, estimated.
const HEAD_TOKENS: u64 = 8_000;

/// Characters that a result keeps when even the newest results do not fit.
const SHORT_RESULT: usize = 2_000;

/// Characters kept of what a person wrote, and how much of it.
const SAID_CHARACTERS: usize = 2_000;
const SAID: usize = 20;

const INSTRUCTION: &str = "Note from Nightshift: this conversation comes near the size of your window. Its older part, \
    which ends here, will be replaced by a summary that you write now; your newest steps stay as they are. Answer with \
    the summary alone and call no tool. Write it for yourself, so that you can go on without the older part:\n\n\
    1. The task as you understand it, every constraint and wish the person gave, and what the repository's guidance asks.\n\
    2. What you did and found out, with the names of files, functions, commands and ports that matter.\n\
    3. The state now: what works, what runs in the background (with its step), what is committed.\n\
    4. Open problems, and ways that were tried and did not lead on.\n\
    5. What comes next.\n\nLeave out what the files themselves tell. Invent nothing: what you did not see, you do not know.";

impl AgentMachine {
    /// What the model is to be sent while `Compact` is awaited: the older part with the wish for a summary.
    pub fn summary_request(&self) -> Arc<Vec<Arc<Message>>> {
        match self.older_part() {
            Some(end) => Arc::new(self.history.older_with(end, INSTRUCTION)),
            None => Arc::clone(self.history.messages()),
        }
    }

    /// Tokens that the next call will read, as far as is known.
    pub(super) fn conversation_tokens(&self) -> u64 {
        match self.context {
            Context::Counted if self.budget.last_tokens() > 0 => {
                self.budget.last_tokens().saturating_add(self.history.fresh_tokens())
            }
            Context::Counted | Context::Compacted { .. } | Context::Overflowed => {
                HEAD_TOKENS.saturating_add(self.history.all_tokens())
            }
        }
    }

    /// What comes before call number `turn`: a summary, or the call itself.
    pub(super) fn ask_or_compact(&mut self, turn: u32) -> Position {
        let tokens = self.conversation_tokens();
        let overflowed = self.context == Context::Overflowed;
        let done = matches!(self.context, Context::Compacted { turn: of } if of == turn);
        if done || (!overflowed && tokens < self.settings.compact_tokens) {
            return Position::Asking { turn };
        }
        match self.older_part() {
            Some(_) => Position::Compacting { turn },
            None => {
                if overflowed && !self.history.shorten_newest(SHORT_RESULT) {
                    self.pause(context_full());
                } else {
                    self.make_room(turn);
                }
                if self.gate == Gate::Open { Position::Asking { turn } } else { Position::Ready { turn } }
            }
        }
    }

    pub(super) fn compacted(&mut self, turn: u32, summary: Option<&str>, usage: Usage) {
        if matches!(self.gate, Gate::Closing(PauseReason::Limit { .. })) {
            self.gate = Gate::Open;
        }
        self.budget.spend(usage);
        if let Some(end) = self.older_part() {
            let kept = self.kept(summary);
            self.history.replace_older(end, kept);
        }
        self.position = Position::Ready { turn };
        self.make_room(turn);
    }

    /// Makes sure that the call after a summary fits, or asks for a pause.
    fn make_room(&mut self, turn: u32) {
        self.context = Context::Compacted { turn };
        if self.conversation_tokens() > self.settings.context_tokens {
            self.history.shorten_newest(SHORT_RESULT);
        }
        if self.conversation_tokens() > self.settings.context_tokens {
            self.pause(context_full());
        }
    }

    fn older_part(&self) -> Option<usize> {
        self.history.older_part(self.settings.compact_tokens / TAIL)
    }

    /// What takes the older part's place: the model's summary, and what Nightshift knows by itself.
    fn kept(&self, summary: Option<&str>) -> String {
        let mut text = "# What happened so far\n\nNote from Nightshift: the older part of this conversation was replaced by this \
             summary. Steps keep their numbers, so evidence can still name them.\n"
            .to_owned();
        match summary.map(str::trim).filter(|summary| !summary.is_empty()) {
            Some(summary) => {
                let _ = write!(text, "\n## Your summary\n\n{summary}\n");
            }
            None => text.push_str(
                "\nThere is no summary in your own words. Look at the repository (`git log`, `git status`, `git diff`) \
                 to see what was done.\n",
            ),
        }
        if !self.said.is_empty() {
            text.push_str("\n## What the person wrote to you, newest last\n\n");
            for said in self.said.iter().skip(self.said.len().saturating_sub(SAID)) {
                let _ = writeln!(text, "- {}", excerpt(said, SAID_CHARACTERS).replace('\n', "\n  "));
            }
        }
        if !self.plan().steps.is_empty() {
            text.push_str("\n## Your plan\n\n");
            for step in &self.plan().steps {
                let state = match step.state {
                    PlanStepState::Pending => "pending",
                    PlanStepState::Active => "active",
                    PlanStepState::Done => "done",
                    PlanStepState::Dropped => "dropped",
                };
                let _ = writeln!(text, "- {} ({state})", step.title);
            }
        }
        if !self.running.is_empty() {
            text.push_str("\n## Subagents that work for you\n\n");
            for name in &self.running {
                let _ = writeln!(text, "- {name}");
            }
        }
        if !self.record.files().is_empty() {
            text.push_str("\n## Files you changed with the edit tool\n\n");
            for file in self.record.files() {
                let _ = writeln!(text, "- {file}");
            }
        }
        if !self.evidence().is_empty() {
            text.push_str("\n## Evidence you noted\n\n");
            for evidence in self.evidence() {
                let (EvidenceSource::Screenshot { step, .. } | EvidenceSource::Command { step, .. }) =
                    &evidence.source;
                let _ = writeln!(text, "- {} (step {step})", evidence.claim);
            }
        }
        text
    }
}
