//! The foreign agent that works in the place of the run's own, as the run's events tell it.
//!
//! Its turn is a turn of the run's agent, which is told of what the foreign agent saw and used within it. Its steps are
//! numbered behind [`STEPS_OF_ENGINE`], so that those the turn ends with keep their numbers.

use std::collections::BTreeMap;

use nightshift_agent::{AgentEvent, AgentMachine};
use nightshift_protocol::{
    EngineAction, EngineActionStatus, EngineModelCall, EngineModelRequest, EventBody, Reconciled, ResultPart,
    STEPS_OF_ENGINE, StepId, ToolCall, ToolOutcome, subagent_of,
};

use super::{RanCommand, RunProgress};

/// What is known of a foreign agent.
#[derive(Debug, Clone, Default)]
pub struct EngineProgress {
    /// The session that it opened in this sandbox.
    session: Option<String>,
    /// The turn that it was given and did not end.
    given: Option<u32>,
    /// Steps of that turn.
    steps: u32,
    /// Steps that were begun and have no end.
    open: Vec<(StepId, ToolCall)>,
    /// What it began by tools of its own and did not end.
    acting: BTreeMap<u32, EngineAction>,
    /// The number of the model call that was intended last.
    calls: u32,
    /// The model calls of which it is not known what came of them, with their turns.
    open_calls: Vec<(u32, EngineModelRequest)>,
}

impl EngineProgress {
    /// The session that can go on.
    pub(crate) fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether an earlier try of this turn was broken off after the agent was told what to do.
    pub(crate) fn was_given(&self, turn: u32) -> bool {
        self.given == Some(turn)
    }

    /// Steps that were taken in the turn that is under way.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// Model calls that were intended in this run so far.
    pub(crate) fn calls(&self) -> u32 {
        self.calls
    }

    /// Whether it is not known what came of this model call of a turn.
    pub(crate) fn awaits_call(&self, turn: u32, number: u32) -> bool {
        self.place_of_call(turn, number).is_some()
    }

    fn place_of_call(&self, turn: u32, number: u32) -> Option<usize> {
        self.open_calls.iter().position(|(of, call)| (*of, call.number) == (turn, number))
    }

    /// Whether it is known what came of every model call.
    pub(crate) fn has_settled(&self) -> bool {
        self.open_calls.is_empty()
    }

    /// The ends of model calls whose real end nobody will know any more: they count as the most they may have used.
    pub(crate) fn settled_at_worst(&self) -> Vec<EventBody> {
        let end = |(turn, call): &(u32, EngineModelRequest)| {
            let EngineModelRequest { number, provider, model, worst } = call.clone();
            let (status, refused, took_ms) = (None, None, 0);
            let call = EngineModelCall { number, provider, model, status, refused, usage: worst, took_ms };
            EventBody::EngineCalledModel { turn: *turn, call }
        };
        self.open_calls.iter().map(end).collect()
    }

    /// What is known of it at an earlier moment that the run goes back to: calls that were made since stay made.
    pub(super) fn after_rewind(&self, now: &Self) -> Self {
        Self { calls: now.calls, open_calls: now.open_calls.clone(), ..self.clone() }
    }

    /// Begins anew, with a session or without one.
    fn begin_anew(&mut self, session: Option<String>) {
        let (calls, open_calls) = (self.calls, std::mem::take(&mut self.open_calls));
        *self = Self { session, calls, open_calls, ..Self::default() };
    }

    /// The ends of what was left open when the turn was broken off. Nothing of it is done again.
    pub(crate) fn left(&self, turn: u32) -> Vec<EventBody> {
        let steps = self.open.iter().map(|(step, call)| EventBody::StepFinished {
            step: *step,
            call: call.id.clone(),
            outcome: ToolOutcome::Failed,
            content: vec![ResultPart::Text {
                text: "(broken off: it may or may not have happened)".to_owned(),
            }],
            output: None,
            exit_code: None,
            took_ms: 0,
            reconciled: Some(Reconciled::Unknown),
        });
        let acted = self.acting.values().map(|action| EventBody::EngineActed {
            turn,
            action: EngineAction { status: EngineActionStatus::Failed, ..action.clone() },
        });
        steps.chain(acted).collect()
    }
}

impl RunProgress {
    /// Whether call number `turn` is a foreign agent's turn: critics and subagents are our own.
    pub(crate) fn is_engine_s_turn(&self, turn: u32) -> bool {
        self.task.engine.is_some() && subagent_of(turn).is_none() && !self.self_reviews.is_under_way()
    }

    /// Whether a step is one that a foreign agent took by our tools within its turn. One of our own agents may make as many calls
    /// in an answer.
    fn is_engine_s(&self, step: StepId) -> bool {
        step.call > STEPS_OF_ENGINE && self.is_engine_s_turn(step.turn)
    }

    /// The machine in whose place a foreign agent works now.
    pub(crate) fn engine_at_work(&self) -> Option<&AgentMachine> {
        let turn = self.open_turn?;
        self.is_engine_s_turn(turn).then_some(&self.agent)
    }

    /// Whether a model call may be intended now: in the turn that is under way, and as no other of which the end is awaited.
    /// What an ended turn left over would be taken for one of this turn.
    pub(crate) fn takes_call(&self, turn: u32, number: u32) -> bool {
        let at_work = self.engine_at_work().is_some() && self.open_turn == Some(turn);
        at_work && !self.engine.awaits_call(turn, number)
    }

    /// Takes in what an event says of a foreign agent. Returns whether it is dealt with.
    pub(super) fn apply_to_engine(&mut self, body: &EventBody) -> bool {
        match body {
            EventBody::EngineStarted { turn, session, .. } => {
                self.engine.session = Some(session.clone());
                self.engine.given = Some(*turn);
            }
            EventBody::EngineSaid { .. } => {}
            EventBody::EngineActed { action, .. } => match action.status {
                EngineActionStatus::Begun => {
                    self.engine.acting.insert(action.number, action.clone());
                }
                EngineActionStatus::Done | EngineActionStatus::Failed => {
                    self.engine.acting.remove(&action.number);
                }
            },
            EventBody::EngineCallIntended { turn, call } => {
                self.engine.calls = self.engine.calls.max(call.number);
                self.engine.open_calls.push((*turn, call.clone()));
            }
            EventBody::EngineCalledModel { turn, call } => {
                // A fork has the ends of the other run's calls, and numbers on behind them.
                self.engine.calls = self.engine.calls.max(call.number);
                if let Some(place) = self.engine.place_of_call(*turn, call.number) {
                    self.engine.open_calls.remove(place);
                }
                self.usage += call.usage;
                // One that was not made counts for nothing.
                if call.refused.is_none() {
                    self.tell(AgentEvent::Spent { usage: call.usage });
                }
            }
            EventBody::StepIntended { step, call, .. } if self.is_engine_s(*step) => {
                self.engine.steps = self.engine.steps.max(step.call - STEPS_OF_ENGINE);
                self.engine.open.push((*step, call.clone()));
            }
            EventBody::StepFinished { step, outcome, content, exit_code, .. } if self.is_engine_s(*step) => {
                self.end_engine_s_step(*step, *outcome, content, *exit_code);
            }
            EventBody::PlanChanged { plan } if self.task.engine.is_some() => {
                self.tell(AgentEvent::Planned { plan: plan.clone() });
                return false;
            }
            EventBody::TurnFinished { turn, .. } if self.is_engine_s_turn(*turn) => {
                let session = self.engine.session.take();
                self.engine.begin_anew(session);
                return false;
            }
            // What it knows is in the sandbox that is gone.
            EventBody::RepositoryImported { .. } => {
                self.engine.begin_anew(None);
                return false;
            }
            _ => return false,
        }
        true
    }

    fn end_engine_s_step(
        &mut self,
        step: StepId,
        outcome: ToolOutcome,
        content: &[ResultPart],
        exit_code: Option<i32>,
    ) {
        let Some(place) = self.engine.open.iter().position(|(open, _)| *open == step) else { return };
        let (_, call) = self.engine.open.remove(place);
        self.keep_screenshots(content);
        if let Some(command) = (call.name == "shell").then(|| call.input["command"].as_str()).flatten() {
            self.commands.push(RanCommand { step, command: command.to_owned(), exit_code });
        }
        let content = content.to_vec();
        self.tell(AgentEvent::Witnessed { step, call, outcome, content, exit_code });
    }
}

#[cfg(test)]
mod tests;
