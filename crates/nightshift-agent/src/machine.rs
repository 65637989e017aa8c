//! The agent loop.
//!
//! ```text
//!            ┌────────────────────────── no calls: a nudge, or a person's words ─────────────┐
//!            ▼                                                                               │
//! new ─▶ ready ─ within limits ─▶ asking ─ answer ─▶ running (one call after another) ─▶ results
//!         ▲  ▲                      │                                                        │
//!         │  └─ may pass ───────────┤                        finish was accepted ┌───────────┤
//!         │                         └─ final ─▶ failed                           ▼           │
//!         ├── a person wrote meanwhile ─────────────────────────────────────── leaving ─▶ finished
//!         └──────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Where the conversation has come near the size of the model's window, ready leads to `compacting` first: the model
//! sums its older part up, and the summary takes that part's place.
//!
//! A *critic* is a machine of its own, made from one that has finished, with a fresh conversation: it ends with a verdict
//! on the work, or without one, and the machine it was made from goes on after it.
//!
//! A *subagent* is a machine of its own as well, made from one that goes on meanwhile or waits in a step for it: it ends with
//! a report. A machine whose turn ends without a call while subagents of it run is `resting` until one of them reports. All
//! machines of a task share its limits: [`balance`] tells each what the others use.
//!
//! Beside it stands a gate. While it is closed (by a person, a limit, trouble) what is under way may still end, but
//! nothing new begins. A model call that a pause, an interruption or an owner's end broke off goes back to ready: the budget is
//! asked before every call. `cancelled`, `failed` and `finished` are final: every later event is ignored, but that
//! `reopened` leads from finished to ready, when others had something to say about the work. What was used and what may be
//! used is counted until then.
//!
//! At most one effect is awaited at a time, and it is a function of the state. [`AgentMachine::handle`] returns it
//! when it is new, [`AgentMachine::outstanding`] at any time.

mod compaction;
mod critic;
mod engine;
mod event;
mod mcp;
mod subagent;
mod turn;

use std::collections::VecDeque;
use std::sync::Arc;

use nightshift_protocol::{
    AssistantBlock, CriterionVerdict, ErrorCode, Evidence, Limits, Message, PauseReason, Plan, StopReason,
    TURNS_OF_SUBAGENT, ToolCall, ToolDefinition, Usage, UserError,
};

use crate::budget::{Admission, Budget, CallPrice, Spending, context_full};
use crate::history::{History, PictureLimits};
use crate::record::Record;
use crate::stuck::{Circle, Occupation, Stuck};
use crate::subagents::Grant;
use crate::tools::{Handover, McpTools, tool_definitions};
use turn::{AnswerEnd, Running};

pub use event::{AgentEvent, Effect, ModelTrouble};
pub use subagent::{SubagentFacts, balance};

/// Reminders to go on or to finish before a person is asked.
const MAX_NUDGES: u32 = 3;

/// Tokens that a model may write in one answer, where its window is large enough.
const MAX_OUTPUT_TOKENS: u32 = 16_000;

const NUDGE: &str = "Note from Nightshift: your turn ended without a tool call, and nobody reads along. If the work is \
                     done, verified and committed, call finish. If you need an answer from the person, call ask. \
                     Otherwise go on.";

const CUT: &str = "Note from Nightshift: your answer was cut at the limit on tokens of one answer. Go on where it \
                   stopped, in smaller parts.";

/// What a machine has to know of its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentSettings {
    /// What the task may use.
    pub limits: Limits,
    /// Width and height of the screen in pixels.
    pub screen: (u32, u32),
    /// Pictures the conversation may hold; of more, the older ones are replaced by a line of text.
    pub max_images: usize,
    /// Bytes that all its pictures together may have, likewise.
    pub max_image_bytes: u64,
    /// Tokens that the conversation may have, by the provider's count: the model's window less room for an answer.
    pub context_tokens: u64,
    /// Tokens from which on its older part is summed up.
    pub compact_tokens: u64,
    /// Tokens the model may write in one answer.
    pub max_output_tokens: u32,
    /// What a call may cost at most, where the model's price is known.
    pub price: Option<CallPrice>,
    /// Whether it changes files or only looks.
    pub occupation: Occupation,
    /// How many acceptance criteria the task has.
    pub criteria: u32,
}

impl Default for AgentSettings {
    /// A screen of 1280 by 800, 16 pictures of 4 MiB together, and a window of 200,000 tokens with room for an answer
    /// of 16,000, summed up from 140,000 on.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            screen: (1280, 800),
            max_images: 16,
            max_image_bytes: 4 * 1024 * 1024,
            context_tokens: 180_000,
            compact_tokens: 140_000,
            max_output_tokens: MAX_OUTPUT_TOKENS,
            price: None,
            occupation: Occupation::Works,
            criteria: 0,
        }
    }
}

impl AgentSettings {
    /// Settings for a model whose window has this many tokens: nine tenths of it may be sent, less where the answer
    /// needs more room beside that, and from seven tenths on the older part is summed up. An answer may have a fifth of it.
    pub fn in_window(self, tokens: u64) -> Self {
        let max_output_tokens = MAX_OUTPUT_TOKENS.min(u32::try_from(tokens / 5).unwrap_or(u32::MAX));
        Self {
            // Servers count what may be answered as a part of the window.
            context_tokens: (tokens / 10 * 9).min(tokens.saturating_sub(max_output_tokens.into())),
            compact_tokens: tokens / 10 * 7,
            max_output_tokens,
            ..self
        }
    }
}

/// What a model is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Conversation<'a> {
    /// The system prompt.
    pub system: &'a Arc<str>,
    /// The messages. They only grow at the end, except where old pictures are dropped; a message that changes while
    /// its allocation is shared gets a new one, so a client that keeps a clone may know a message by its address.
    pub messages: &'a Arc<Vec<Arc<Message>>>,
    /// The tools, the same in every turn.
    pub tools: &'a Arc<[ToolDefinition]>,
}

/// The agent loop of one run. See the module's documentation for its states.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentMachine {
    tools: Arc<[ToolDefinition]>,
    mcp: McpTools,
    system: Arc<str>,
    history: History,
    budget: Budget,
    record: Record,
    stuck: Stuck,
    settings: AgentSettings,
    part: Part,
    /// Why a critic ends without a verdict, once it does.
    gives_up: Option<String>,
    /// A person's words the model has not been told yet.
    words: Vec<String>,
    /// What it is told of its delivered work.
    feedback: Vec<String>,
    /// What it is told of its subagents, or by who started it.
    notes: Vec<String>,
    /// The subagents that run beside it, by name.
    running: Vec<String>,
    /// A person's words for when the agent is done.
    queued: Vec<String>,
    /// What the person wrote so far, which no summary may lose.
    said: Vec<String>,
    context: Context,
    /// Turns without a tool call since the last with one.
    idle_turns: u32,
    gate: Gate,
    position: Position,
}

/// How large the conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Context {
    /// As the provider counted at the last call, and what came behind it.
    Counted,
    /// It was summed up for that call and not counted since.
    Compacted { turn: u32 },
    /// The provider refused it for its size.
    Overflowed,
}

/// Where the loop is.
#[derive(Debug, Clone, PartialEq)]
enum Position {
    New,
    /// The model is called as soon as the gate is open and the budget allows it.
    Ready {
        turn: u32,
    },
    /// The model's summary of the older part is awaited.
    Compacting {
        turn: u32,
    },
    /// The model's answer is awaited.
    Asking {
        turn: u32,
    },
    /// The calls of an answer are carried out.
    Running(Box<Running>),
    /// It has nothing to do until a subagent reports; `turn` is the call that comes next.
    Resting {
        turn: u32,
    },
    /// The work is handed over as soon as the gate is open, unless a person wrote; `turn` would be the next.
    Leaving {
        turn: u32,
        ending: Ending,
    },
    /// `turn` is the call that comes next if it goes on.
    Finished {
        turn: u32,
        ending: Ending,
    },
    Failed(UserError),
    Cancelled,
}

/// Whose machine it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// It does the task's work.
    Worker,
    /// It looks at finished work. Its calls are numbered from `first`, and end before `until`.
    Critic { first: u32, until: u32 },
    /// It does what another gave it to do. Its calls are numbered likewise.
    Subagent { first: u32, until: u32, grant: Grant },
}

/// What a machine ends with.
#[derive(Debug, Clone, PartialEq)]
enum Ending {
    Handover(Handover),
    Verdict { verdicts: Vec<CriterionVerdict>, words: String },
    Report(String),
    GaveUp(String),
}

impl Ending {
    fn effect(&self) -> Effect {
        match self {
            Self::Handover(Handover { title, summary, not_verified, answers }) => Effect::Finish {
                title: title.clone(),
                summary: summary.clone(),
                not_verified: not_verified.clone(),
                answers: answers.clone(),
            },
            Self::Verdict { verdicts, words } => {
                Effect::Judge { verdicts: verdicts.clone(), words: words.clone() }
            }
            Self::Report(text) => Effect::Report { text: text.clone() },
            Self::GaveUp(reason) => Effect::GiveUp { reason: reason.clone() },
        }
    }
}

/// Whether something new may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Gate {
    Open,
    /// The machine wants a pause that was not yet recorded.
    Closing(PauseReason),
    Closed(PauseReason),
}

impl AgentMachine {
    /// Makes a machine that waits for `Started`.
    pub fn new(settings: AgentSettings) -> Self {
        let AgentSettings { limits, screen, max_images, max_image_bytes, max_output_tokens, price, .. } =
            settings;
        Self {
            tools: tool_definitions(screen).into(),
            mcp: McpTools::default(),
            system: "".into(),
            history: History::new(PictureLimits { images: max_images, bytes: max_image_bytes }),
            budget: Budget::new(limits, max_output_tokens, price),
            record: Record::default(),
            stuck: Stuck::new(settings.occupation),
            settings,
            part: Part::Worker,
            gives_up: None,
            words: Vec::new(),
            feedback: Vec::new(),
            notes: Vec::new(),
            running: Vec::new(),
            queued: Vec::new(),
            said: Vec::new(),
            context: Context::Counted,
            idle_turns: 0,
            gate: Gate::Open,
            position: Position::New,
        }
    }

    /// Takes an event as [`AgentMachine::apply`] does and returns the effect that is awaited now, if it was not awaited before.
    ///
    /// `Resumed` returns what is awaited then, mostly what was before the pause; an owner that still carries it out knows it
    /// by its turn or step.
    pub fn handle(&mut self, event: AgentEvent) -> Vec<Effect> {
        let resumes = event == AgentEvent::Resumed && self.gate != Gate::Open;
        let before = if resumes { Vec::new() } else { self.outstanding() };
        self.apply(event);
        let after = self.outstanding();
        if after == before { Vec::new() } else { after }
    }

    /// The effects that are awaited now: at most one. After a replay they are to be performed or reconciled; `Finish`
    /// and `Fail` stay for good, and an owner that has recorded them is done.
    pub fn outstanding(&self) -> Vec<Effect> {
        let effect = match (&self.position, &self.gate) {
            (Position::Finished { ending, .. }, _) => ending.effect(),
            (Position::Failed(error), _) => Effect::Fail { error: error.clone() },
            (Position::Cancelled, _) => return Vec::new(),
            (_, Gate::Closing(reason)) => Effect::Pause { reason: reason.clone() },
            (_, Gate::Closed(_)) => return Vec::new(),
            (Position::Compacting { turn }, Gate::Open) => Effect::Compact { turn: *turn },
            (Position::Asking { turn }, Gate::Open) => Effect::AskModel { turn: *turn },
            (Position::Running(running), Gate::Open) => running.effect(),
            // One that is ready and not asking waits for what the others of its task use.
            (Position::Resting { .. } | Position::Ready { .. }, Gate::Open) => Effect::AwaitSubagents,
            (Position::New | Position::Leaving { .. }, Gate::Open) => return Vec::new(),
        };
        vec![effect]
    }

    /// What the model is to be sent. It is complete, each tool call with its result, whenever `AskModel` is awaited.
    pub fn conversation(&self) -> Conversation<'_> {
        Conversation { system: &self.system, messages: self.history.messages(), tools: &self.tools }
    }

    /// Tokens the model may write in one answer.
    pub fn max_output_tokens(&self) -> u32 {
        self.settings.max_output_tokens
    }

    /// The plan as the agent last recorded it.
    pub fn plan(&self) -> &Plan {
        self.record.plan()
    }

    /// The evidence noted so far, in order.
    pub fn evidence(&self) -> &[Evidence] {
        self.record.evidence()
    }

    /// What all model calls together have used.
    pub fn used(&self) -> Usage {
        self.budget.used()
    }

    /// Goes back to `earlier`, a state it was in. What was spent since then stays spent, so the budget is asked anew before the call
    /// that was next then: with the next event, when those beside it are told of, who are others now.
    pub fn rewind(&mut self, earlier: &Self) {
        let budget = std::mem::replace(self, earlier.clone()).budget;
        self.budget.carry(&budget);
        self.budget.set_others(Spending::default());
        self.let_go();
    }

    /// Takes what it is to be told into the model call that is awaited and was not made yet.
    pub fn tell_with_next_call(&mut self) {
        if let Position::Asking { turn } = self.position {
            self.position = Position::Ready { turn };
            self.advance();
        }
    }

    /// Takes an event; what is awaited then, [`AgentMachine::outstanding`] says.
    ///
    /// An event that does not fit the state (late, repeated, out of order) changes nothing.
    pub fn apply(&mut self, event: AgentEvent) {
        if let (Position::Finished { turn, .. }, AgentEvent::Reopened { text, names }) =
            (&self.position, &event)
        {
            self.position = Position::Ready { turn: *turn };
            self.record.ask(names);
            self.said.push(text.clone());
            self.feedback.push(text.clone());
            self.advance();
            return;
        }
        if let (Position::Finished { turn, .. }, Part::Worker, AgentEvent::SentBack { text }) =
            (&self.position, self.part, &event)
        {
            self.position = Position::Ready { turn: *turn };
            self.said.push(text.clone());
            self.feedback.push(text.clone());
            self.advance();
            return;
        }
        if matches!(self.position, Position::Failed(_) | Position::Cancelled) {
            return;
        }
        match event {
            AgentEvent::TimeUsed { seconds } => self.budget.time_used(seconds),
            AgentEvent::LimitsRaised { limits } => {
                self.budget.set_limits(limits);
                if let Gate::Closing(PauseReason::Limit { .. }) | Gate::Closed(PauseReason::Limit { .. }) =
                    self.gate
                {
                    self.gate = Gate::Open;
                }
            }
            AgentEvent::Spent { usage } => self.budget.relayed(usage),
            AgentEvent::Lost { usage } => self.budget.lost(usage),
            // Only what counts for the budget is for who has finished as well: it may be opened again.
            _ if matches!(self.position, Position::Finished { .. }) => {}
            AgentEvent::McpServersStarted { servers } => {
                if self.position == Position::New {
                    self.offer(McpTools::of(&servers));
                }
            }
            AgentEvent::Started { system, message } => {
                if self.position == Position::New {
                    self.system = system.into();
                    self.history.begin(message);
                    self.position = Position::Ready { turn: self.first_turn() };
                }
            }
            AgentEvent::TurnFinished { turn, message, stop, usage } => {
                if self.awaits_turn(turn) {
                    self.position = self.turn_finished(turn, message, stop, usage);
                }
            }
            AgentEvent::Compacted { turn, summary, usage } => {
                if self.awaits_turn(turn) {
                    self.compacted(turn, summary.as_deref(), usage);
                }
            }
            AgentEvent::TurnFailed { turn, trouble } => {
                if self.position == (Position::Asking { turn }) {
                    self.position = self.turn_failed(turn, trouble);
                }
            }
            AgentEvent::StepFinished { step, call, outcome, content, exit_code } => {
                self.position = match std::mem::replace(&mut self.position, Position::New) {
                    Position::Running(running) if running.awaits(step, &call) => {
                        self.step_finished(*running, outcome, content, exit_code)
                    }
                    unmoved => unmoved,
                };
            }
            AgentEvent::Asked => {
                if let Position::Running(running) = &mut self.position {
                    running.put_question();
                }
            }
            AgentEvent::PersonSaid { text } => match &mut self.position {
                Position::Running(running) if running.awaits_answer() => {
                    self.said.push(running.answer_question(text));
                }
                _ => self.hear(text),
            },
            AgentEvent::PersonQueued { text } => self.queued.push(text),
            AgentEvent::Interrupted => match &mut self.position {
                Position::Running(running) => running.interrupt(),
                // What is asked again holds what the person wrote meanwhile.
                Position::Asking { .. } => self.let_go(),
                Position::New
                | Position::Ready { .. }
                // A summary is of what was there when it was asked for.
                | Position::Compacting { .. }
                | Position::Resting { .. }
                | Position::Leaving { .. }
                | Position::Finished { .. }
                | Position::Failed(_)
                | Position::Cancelled => {}
            },
            AgentEvent::LetGo => self.let_go(),
            AgentEvent::Paused { reason } => {
                self.let_go();
                self.gate = Gate::Closed(reason);
            }
            AgentEvent::Resumed => {
                if self.gate != Gate::Open {
                    self.gate = Gate::Open;
                    self.idle_turns = 0;
                }
            }
            AgentEvent::Witnessed { step, call, outcome, content, exit_code } => {
                self.witness(step, &call, outcome, &content, exit_code);
            }
            AgentEvent::Planned { plan } => self.record.set_plan(plan),
            AgentEvent::Told { text } => self.notes.push(text),
            AgentEvent::SubagentBegan { name } => self.running.push(name),
            AgentEvent::SubagentEnded { name, report } => {
                self.running.retain(|running| *running != name);
                self.notes.push(report);
            }
            AgentEvent::Stopped { reason } => {
                let turn = self.next_turn();
                self.position = Position::Finished { turn, ending: Ending::GaveUp(reason) };
            }
            AgentEvent::OthersSpent { spending } => self.budget.set_others(spending),
            // Only who is finished can be opened again.
            AgentEvent::Reopened { .. } | AgentEvent::SentBack { .. } => {}
            AgentEvent::Cancelled => self.position = Position::Cancelled,
        }
        self.advance();
    }

    /// Goes from a boundary to what comes next, if the gate is open.
    fn advance(&mut self) {
        if self.gate != Gate::Open {
            return;
        }
        if let Position::Leaving { turn, ending } = &self.position {
            self.position = if self.words.is_empty() && self.queued.is_empty() && self.notes.is_empty() {
                Position::Finished { turn: *turn, ending: ending.clone() }
            } else {
                Position::Ready { turn: *turn }
            };
        }
        if let Position::Resting { turn } = self.position
            && (self.running.is_empty() || !self.notes.is_empty() || !self.words.is_empty())
        {
            self.position = Position::Ready { turn };
        }
        if let Position::Ready { turn } = self.position {
            if let Some(reason) = self.gives_up(turn) {
                self.position = Position::Finished { turn, ending: Ending::GaveUp(reason) };
                return;
            }
            if matches!(self.part, Part::Worker) && turn >= TURNS_OF_SUBAGENT {
                return self.pause(numbers_used_up());
            }
            match self.budget.admission(self.conversation_tokens().saturating_add(self.untold_tokens())) {
                Admission::Allowed => {}
                Admission::Later => return,
                Admission::Refused(reason) => return self.pause(reason),
                Admission::ShareUsed(reason) => {
                    self.position = Position::Finished { turn, ending: Ending::GaveUp(reason) };
                    return;
                }
            }
            for text in self.feedback.drain(..).chain(self.notes.drain(..)) {
                self.history.say(text);
            }
            for text in self.words.drain(..) {
                self.history.say(format!("The person who gave you the task writes:\n\n{text}"));
            }
            self.history.drop_old_pictures();
            self.position = self.ask_or_compact(turn);
        }
    }

    /// Whether call number `turn` may have been made. One that a limit of today would refuse, or has wait, was made before it was
    /// set, and one that was let go of had begun: what the log tells has happened. One that failed is over.
    fn awaits_turn(&self, turn: u32) -> bool {
        match (&self.position, &self.gate) {
            (Position::Asking { turn: asked } | Position::Compacting { turn: asked }, _) => *asked == turn,
            (
                Position::Ready { turn: next },
                Gate::Open | Gate::Closed(_) | Gate::Closing(PauseReason::Limit { .. }),
            ) => *next == turn,
            (_, _) => false,
        }
    }

    /// Nobody waits for the model's answer any more: the call is made again, and may be only if the budget allows it then.
    fn let_go(&mut self) {
        if let Position::Asking { turn } | Position::Compacting { turn } = self.position {
            self.position = Position::Ready { turn };
        }
    }

    /// Tokens of what the model is told with the next call and is not in the conversation yet.
    fn untold_tokens(&self) -> u64 {
        let texts = self.feedback.iter().chain(&self.notes).chain(&self.words);
        texts.map(|text| crate::history::tokens_of(text)).fold(0, u64::saturating_add)
    }

    fn hear(&mut self, text: String) {
        self.said.push(text.clone());
        self.words.push(text);
    }

    /// Lets the model read what was kept for the end.
    fn hear_queued(&mut self) {
        for text in std::mem::take(&mut self.queued) {
            self.hear(text);
        }
    }

    /// Asks for a pause, unless there is one.
    fn pause(&mut self, reason: PauseReason) {
        match (self.part, reason) {
            // The work is there: nobody has to come because its critic is at a loss.
            (Part::Critic { .. } | Part::Subagent { .. }, PauseReason::Trouble { error }) => {
                self.gives_up = Some(critic::at_a_loss(&error.message));
            }
            (_, reason) => {
                if self.gate == Gate::Open {
                    self.gate = Gate::Closing(reason);
                }
            }
        }
    }

    fn turn_failed(&mut self, turn: u32, trouble: ModelTrouble) -> Position {
        match trouble {
            ModelTrouble::MayPass(error) => {
                self.pause(PauseReason::Trouble { error });
                Position::Ready { turn }
            }
            ModelTrouble::Final(error) => Position::Failed(error),
        }
    }

    fn turn_finished(&mut self, turn: u32, message: Message, stop: StopReason, usage: Usage) -> Position {
        let Message::Assistant { blocks, verbatim } = message else {
            return Position::Failed(UserError::new(
                ErrorCode::Internal,
                "The model's answer arrived as a message to the model.",
                "",
            ));
        };
        // A call that a limit of today would refuse was made: the pause is asked for again before the next one.
        if matches!(self.gate, Gate::Closing(PauseReason::Limit { .. })) {
            self.gate = Gate::Open;
        }
        self.budget.called(usage);
        let ready = Position::Ready { turn: turn.saturating_add(1) };
        match &stop {
            // These answers are no part of the conversation: a refused one would be refused again for what is in it.
            StopReason::Refusal { explanation } => {
                self.pause(refused(explanation));
                return ready;
            }
            StopReason::ContextExceeded => {
                self.context = match self.context {
                    // It was summed up for this very call: nothing more can be taken away.
                    Context::Compacted { turn: of } if of == turn => {
                        self.pause(context_full());
                        Context::Overflowed
                    }
                    Context::Compacted { .. } | Context::Counted | Context::Overflowed => Context::Overflowed,
                };
                return ready;
            }
            StopReason::EndTurn
            | StopReason::ToolUse
            | StopReason::MaxTokens
            | StopReason::PauseTurn
            | StopReason::Other { .. } => {}
        }
        self.context = Context::Counted;
        let mut calls: VecDeque<ToolCall> = blocks.iter().filter_map(tool_call).collect();
        let words = words_of(&blocks);
        self.history.answer(blocks, verbatim);
        match calls.pop_front() {
            Some(first) => {
                self.idle_turns = 0;
                let end = if stop == StopReason::MaxTokens { AnswerEnd::Cut } else { AnswerEnd::Whole };
                self.first_step(turn, first, calls, end)
            }
            None => {
                let ends = !matches!(stop, StopReason::PauseTurn | StopReason::MaxTokens);
                if ends && matches!(self.part, Part::Subagent { .. }) && !words.is_empty() {
                    return Position::Leaving { turn: turn.saturating_add(1), ending: Ending::Report(words) };
                }
                if ends && !self.running.is_empty() {
                    self.hear_queued();
                    return Position::Resting { turn: turn.saturating_add(1) };
                }
                if stop != StopReason::PauseTurn {
                    self.idle_turn(&stop);
                }
                ready
            }
        }
    }

    /// Deals with an answer without a tool call: a person's words come first; else the model is reminded, and at
    /// last a person.
    fn idle_turn(&mut self, stop: &StopReason) {
        self.hear_queued();
        if !self.words.is_empty() || !self.notes.is_empty() {
            self.idle_turns = 0;
            return;
        }
        self.idle_turns += 1;
        let nudge = match self.part {
            Part::Worker => NUDGE,
            Part::Critic { .. } => critic::NUDGE,
            Part::Subagent { .. } => subagent::NUDGE,
        };
        self.history.say(if *stop == StopReason::MaxTokens { CUT } else { nudge }.to_owned());
        if self.idle_turns > MAX_NUDGES {
            self.pause(idle());
        }
    }
}

fn tool_call(block: &AssistantBlock) -> Option<ToolCall> {
    match block {
        AssistantBlock::ToolCall { call } => Some(call.clone()),
        AssistantBlock::Text { .. } | AssistantBlock::Thinking { .. } | AssistantBlock::Unknown { .. } => {
            None
        }
    }
}

/// What an answer says, without its calls.
fn words_of(blocks: &[AssistantBlock]) -> String {
    let words = blocks.iter().filter_map(|block| match block {
        AssistantBlock::Text { text } => Some(text.trim()),
        AssistantBlock::Thinking { .. }
        | AssistantBlock::ToolCall { .. }
        | AssistantBlock::Unknown { .. } => None,
    });
    words.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n")
}

fn refused(explanation: &str) -> PauseReason {
    let message = match explanation.trim() {
        "" => "The model declined to go on and gave no reason.".to_owned(),
        reason => format!("The model declined to go on: {reason}"),
    };
    let hint =
        "Write to the agent what is meant and resume, or cancel the run and word the task differently.";
    PauseReason::Trouble { error: UserError::new(ErrorCode::ModelRefused, message, hint) }
}

fn idle() -> PauseReason {
    let message = format!(
        "The agent ended its turn {} times in a row without doing anything or finishing.",
        MAX_NUDGES + 1
    );
    let hint = "Read its last words, write to it what to do, and resume; or cancel the run.";
    PauseReason::Trouble { error: UserError::new(ErrorCode::LimitReached, message, hint) }
}

/// The pause of a run whose next call would have a number that is a subagent's.
fn numbers_used_up() -> PauseReason {
    let message =
        format!("The agent made {} model calls, as many as there are in a run.", TURNS_OF_SUBAGENT - 1);
    let hint = "Start a new run from the branch, with what is left of the task.";
    PauseReason::Trouble { error: UserError::new(ErrorCode::LimitReached, message, hint) }
}

fn going_in_circles(circle: Circle) -> PauseReason {
    let message = format!("The agent goes in circles: it {}, again after a hint.", circle.description());
    let hint = "Write to it what to try instead and resume; or cancel the run.";
    PauseReason::Trouble { error: UserError::new(ErrorCode::LimitReached, message, hint) }
}

#[cfg(test)]
mod long_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
