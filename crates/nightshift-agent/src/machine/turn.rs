//! The tool calls of one answer, one after another.

use std::collections::VecDeque;

use nightshift_protocol::{ResultPart, StepId, ToolCall, ToolOutcome};

use super::{AgentMachine, Effect, Ending, Part, Position, going_in_circles};
use crate::history::Answered;
use crate::stuck::Verdict;
use crate::tools::{COMPUTER, FINISH, InputError, ToolInput, ToolRequest, Toolset, parse};

/// Calls carried out of one answer; a model that asks for more has lost the thread.
const MAX_CALLS: u32 = 50;

/// An answer whose calls are being carried out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Running {
    turn: u32,
    end: AnswerEnd,
    answered: Vec<Answered>,
    current: ToolCall,
    awaited: Awaited,
    rest: VecDeque<ToolCall>,
    fate: Fate,
}

/// Whether the model came to the end of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    Whole,
    Cut,
}

/// What the current call waits for.
#[derive(Debug, Clone, PartialEq)]
enum Awaited {
    /// A tool.
    Run(ToolRequest),
    /// A person, who was not shown the question yet.
    Question(String),
    /// A person, who was shown it.
    Asked(String),
    /// The record of a person's answer.
    PersonAnswered(String),
    /// The record of a refusal.
    Refused(String),
    /// The record that it is not carried out for what happened before it.
    NotExecuted(&'static str),
    /// The record that what ends the machine is accepted.
    Accepted(Ending),
}

/// What a foreign agent's call is.
pub(super) enum Foreseen {
    Run(ToolRequest),
    Refused(String),
    /// It ends the turn.
    Ends,
}

/// What the calls so far mean for the rest.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Going,
    ActionFailed,
    Interrupted,
    HandedOver(Ending),
}

impl Running {
    pub(super) fn turn(&self) -> u32 {
        self.turn
    }

    fn step(&self) -> StepId {
        step_after(self.turn, &self.answered)
    }

    pub(super) fn awaits(&self, step: StepId, call: &str) -> bool {
        self.step() == step && self.current.id == call
    }

    pub(super) fn call_of(&self, step: StepId) -> Option<&str> {
        (self.step() == step).then_some(self.current.id.as_str())
    }

    /// Notes that a person was shown the question, if it waits with one.
    pub(super) fn put_question(&mut self) {
        if let Awaited::Question(question) = &mut self.awaited {
            self.awaited = Awaited::Asked(std::mem::take(question));
        }
    }

    /// Whether a person's words are an answer: to what nobody was shown they are none.
    pub(super) fn awaits_answer(&self) -> bool {
        matches!(self.awaited, Awaited::Asked(_))
    }

    /// Takes a person's words for the answer, and returns them with the question.
    pub(super) fn answer_question(&mut self, text: String) -> String {
        let Awaited::Asked(question) = &self.awaited else { return text };
        let said = format!("{text} (your question was: {question})");
        self.awaited = Awaited::PersonAnswered(text);
        said
    }

    /// Lets the current call end and carries none behind it out.
    pub(super) fn interrupt(&mut self) {
        self.fate = Fate::Interrupted;
    }

    pub(super) fn effect(&self) -> Effect {
        let (step, call) = (self.step(), self.current.clone());
        let answer = |outcome, text: String| Effect::Answer {
            step,
            call: self.current.clone(),
            outcome,
            content: vec![ResultPart::Text { text }],
        };
        match &self.awaited {
            Awaited::Run(request) => Effect::RunTool { step, call, request: request.clone() },
            Awaited::Question(question) | Awaited::Asked(question) => {
                Effect::AskPerson { step, call, question: question.clone() }
            }
            Awaited::PersonAnswered(text) => {
                answer(ToolOutcome::Done, format!("The person answers:\n\n{text}"))
            }
            Awaited::Refused(reason) => answer(ToolOutcome::Failed, reason.clone()),
            Awaited::NotExecuted(reason) => answer(ToolOutcome::Failed, (*reason).to_owned()),
            Awaited::Accepted(Ending::Verdict { .. }) => {
                answer(ToolOutcome::Done, "Noted: the review is over.".to_owned())
            }
            Awaited::Accepted(Ending::Handover(_) | Ending::Report(_) | Ending::GaveUp(_)) => {
                answer(ToolOutcome::Done, "Accepted: the work is handed over.".to_owned())
            }
        }
    }
}

/// Whether a call lets the mouse's button go.
fn lets_go(call: &ToolCall) -> bool {
    call.name == COMPUTER && call.input["action"] == "left_mouse_up"
}

fn step_after(turn: u32, answered: &[Answered]) -> StepId {
    StepId { turn, call: u32::try_from(answered.len() + 1).unwrap_or(u32::MAX) }
}

impl AgentMachine {
    pub(super) fn first_step(
        &self,
        turn: u32,
        first: ToolCall,
        rest: VecDeque<ToolCall>,
        end: AnswerEnd,
    ) -> Position {
        let fate = Fate::Going;
        let awaited = self.decide(step_after(turn, &[]), &first, end, &fate);
        Position::Running(Box::new(Running {
            turn,
            end,
            answered: Vec::new(),
            current: first,
            awaited,
            rest,
            fate,
        }))
    }

    pub(super) fn step_finished(
        &mut self,
        running: Running,
        outcome: ToolOutcome,
        content: Vec<ResultPart>,
        exit_code: Option<i32>,
    ) -> Position {
        let step = running.step();
        let Running { turn, end, mut answered, current, awaited, mut rest, mut fate } = running;
        if !matches!(awaited, Awaited::NotExecuted(_)) {
            self.stuck.note(&current, outcome, &content);
            if current.name == COMPUTER && outcome == ToolOutcome::Failed && fate == Fate::Going {
                fate = Fate::ActionFailed;
            }
        }
        match awaited {
            Awaited::Run(request) => self.record.note(step, request, outcome, &content, exit_code),
            // Who records the answer may still refuse, for example for changes that are not committed.
            Awaited::Accepted(ending) if outcome == ToolOutcome::Done => fate = Fate::HandedOver(ending),
            Awaited::Question(_)
            | Awaited::Asked(_)
            | Awaited::PersonAnswered(_)
            | Awaited::Refused(_)
            | Awaited::NotExecuted(_)
            | Awaited::Accepted(_) => {}
        }
        answered.push(Answered { step, call: current, outcome, content });
        match rest.pop_front() {
            Some(current) => {
                let awaited = self.decide(step_after(turn, &answered), &current, end, &fate);
                Position::Running(Box::new(Running { turn, end, answered, current, awaited, rest, fate }))
            }
            None => self.all_answered(turn, answered, fate),
        }
    }

    fn all_answered(&mut self, turn: u32, answered: Vec<Answered>, fate: Fate) -> Position {
        let refused_to_leave =
            |answered: &Answered| answered.call.name == FINISH && answered.outcome == ToolOutcome::Failed;
        if answered.iter().any(refused_to_leave) {
            self.hear_queued();
        }
        self.history.results(answered);
        let turn = turn.saturating_add(1);
        if let Fate::HandedOver(ending) = fate {
            return Position::Leaving { turn, ending };
        }
        match self.stuck.verdict() {
            Verdict::Going => {}
            Verdict::Hint(circle) => self.history.say(format!(
                "Note from Nightshift: you {}. More of the same will not help. Step back: read what the results say, \
                 look at the state of files, processes and screen, and take another way; wait longer in one call if \
                 something needs time; or {}.",
                circle.description(),
                match self.part {
                    Part::Worker => "call ask",
                    Part::Critic { .. } => "call verdict",
                    Part::Subagent { .. } => "report what you found and where you stopped",
                }
            )),
            Verdict::Pause(circle) => self.pause(going_in_circles(circle)),
        }
        Position::Ready { turn }
    }

    /// Decides what a call waits for. Nothing that happens before its result changes the decision, but for a
    /// person's answer to a question.
    fn decide(&self, step: StepId, call: &ToolCall, end: AnswerEnd, fate: &Fate) -> Awaited {
        match fate {
            Fate::ActionFailed => {
                return Awaited::NotExecuted("Not executed: an earlier action of this turn failed.");
            }
            Fate::Interrupted => {
                return Awaited::NotExecuted("Not executed: the person interrupted you before it.");
            }
            Fate::HandedOver(_) => {
                return Awaited::NotExecuted("Not executed: the work was handed over before it.");
            }
            // A button that stayed down would turn every later move into a drag.
            Fate::Going if step.call > MAX_CALLS && !lets_go(call) => {
                return Awaited::NotExecuted("Not executed: at most 50 calls of one turn are carried out.");
            }
            Fate::Going => {}
        }
        let toolset = match self.part {
            Part::Worker => Toolset::Worker,
            Part::Critic { .. } => Toolset::Critic,
            Part::Subagent { grant, .. } => Toolset::Subagent(grant),
        };
        let read = self.mcp.read(call).unwrap_or_else(|| parse(call, self.settings.screen, toolset));
        match read {
            Err(InputError::Malformed { .. }) if end == AnswerEnd::Cut => Awaited::Refused(
                "Not executed: your answer was cut at the limit on tokens in the middle of this call. Make it again in \
                 smaller parts, for example a file by several edits."
                    .to_owned(),
            ),
            Err(error) => Awaited::Refused(error.to_string()),
            Ok(input) => self.decide_input(input),
        }
    }

    pub(super) fn foreseen(&self, input: ToolInput) -> Foreseen {
        match self.decide_input(input) {
            Awaited::Run(request) => Foreseen::Run(request),
            Awaited::Refused(why) => Foreseen::Refused(why),
            Awaited::NotExecuted(why) => Foreseen::Refused(why.to_owned()),
            Awaited::Question(_) | Awaited::Asked(_) | Awaited::PersonAnswered(_) | Awaited::Accepted(_) => {
                Foreseen::Ends
            }
        }
    }

    fn decide_input(&self, input: ToolInput) -> Awaited {
        let founded = match input {
            ToolInput::Run(ToolRequest::ShellOutput { job }) => {
                self.record.job(job).map(|()| Awaited::Run(ToolRequest::ShellOutput { job }))
            }
            ToolInput::Run(ToolRequest::ShellStop { job }) => {
                self.record.job(job).map(|()| Awaited::Run(ToolRequest::ShellStop { job }))
            }
            ToolInput::Run(ToolRequest::Edit(edit)) if !self.may_change(&edit) => Ok(Awaited::Refused(
                "Not done: you may view files and change none. Say in your report what should be changed.".to_owned(),
            )),
            ToolInput::Run(request) => Ok(Awaited::Run(request)),
            ToolInput::Evidence(claim) => {
                self.record.back(claim, self.settings.criteria).map(|evidence| Awaited::Run(ToolRequest::Evidence(evidence)))
            }
            ToolInput::Ask { question } => Ok(Awaited::Question(question)),
            ToolInput::Finish(_) if !(self.words.is_empty() && self.queued.is_empty()) => Ok(Awaited::Refused(
                "Not finished: the person wrote to you meanwhile. Read it first; it follows these results."
                    .to_owned(),
            )),
            ToolInput::Finish(_) if !self.running.is_empty() => Ok(Awaited::Refused(format!(
                "Not finished: these subagents of yours still work: {}. End your turn without a call to wait for them, or \
                 stop them with the subagents tool.",
                self.running.join(", ")
            ))),
            ToolInput::Finish(_) if !self.notes.is_empty() => Ok(Awaited::Refused(
                "Not finished: a subagent reported meanwhile. Read it first; it follows these results.".to_owned(),
            )),
            ToolInput::Finish(handover) => {
                let allowed = self.record.may_finish(&handover, self.settings.criteria);
                allowed.map(|()| Awaited::Accepted(Ending::Handover(handover)))
            }
            ToolInput::Verdict { judgements, words } => {
                let judged = self.record.judge(judgements, self.settings.criteria);
                judged.map(|verdicts| Awaited::Accepted(Ending::Verdict { verdicts, words }))
            }
        };
        founded.unwrap_or_else(|unfounded| Awaited::Refused(unfounded.to_string()))
    }
}
