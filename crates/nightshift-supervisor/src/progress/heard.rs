//! What people said since a run's checkpoints: it is told again when the run goes back because its sandbox was lost. Whoever
//! takes a run back wants what was said since undone with the rest.

use nightshift_agent::{AgentEvent, Effect};
use nightshift_protocol::{Event, EventBody, FeedbackItem, RunState};

use super::RunProgress;
use crate::delivery::news;

/// What people said, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Vec<Words>);

/// Something that was said.
#[derive(Debug, Clone)]
pub(super) struct Words {
    seq: u64,
    body: EventBody,
    /// The question that it answered.
    question: Option<String>,
}

impl Words {
    fn feedback(&mut self) -> Option<(&mut u32, &mut Vec<FeedbackItem>)> {
        match &mut self.body {
            EventBody::FeedbackReceived { round, items } => Some((round, items)),
            _ => None,
        }
    }
}

impl Heard {
    /// Notes what was said while the run was in `state`.
    pub(super) fn note(&mut self, event: &Event, state: &RunState) {
        let question = match (&event.body, state) {
            (EventBody::PersonSaid { .. }, RunState::Waiting { question, approval: None }) => {
                Some(question.clone())
            }
            _ => None,
        };
        self.0.push(Words { seq: event.seq, body: event.body.clone(), question });
    }

    /// Forgets what was said after an event.
    pub(super) fn forget_after(&mut self, seq: u64) {
        self.0.retain(|words| words.seq <= seq);
    }

    /// What was said after an event. All feedback is one round there, because nothing of it was dealt with by then.
    pub(super) fn since(&self, seq: u64) -> Vec<Words> {
        let mut since: Vec<Words> = Vec::new();
        for words in self.0.iter().filter(|words| words.seq > seq) {
            if let EventBody::FeedbackReceived { round, items } = &words.body
                && let Some((of, all)) = since.iter_mut().find_map(Words::feedback)
            {
                *of = *round;
                all.extend(items.iter().cloned());
                continue;
            }
            since.push(words.clone());
        }
        since
    }

    /// Whether feedback was received after an event.
    pub(super) fn has_feedback_since(&self, seq: u64) -> bool {
        let feedback = |words: &Words| matches!(words.body, EventBody::FeedbackReceived { .. });
        self.0.iter().any(|words| words.seq > seq && feedback(words))
    }
}

impl RunProgress {
    /// Tells the agent what was said since the moment that it is back at.
    pub(super) fn hear_again(&mut self, since: Vec<Words>) {
        for Words { body, question, .. } in since {
            if question.is_some() {
                // Where it is back at that question, nobody was shown it there.
                self.tell(AgentEvent::Asked);
            }
            let body = match (body, question) {
                (EventBody::PersonSaid { text }, Some(question)) if !self.asks_person() => {
                    // The question is not in this conversation.
                    EventBody::PersonSaid { text: format!("{text}\n\n(You had asked: {question})") }
                }
                (body, _) => body,
            };
            if !self.apply_to_self_review(&body) {
                self.apply_to_agent(&body);
            }
        }
        // What waited for the answer to a question need not wait any more.
        self.tell_untold();
    }

    /// Has the agent deal with feedback. Where it is back at a moment at which it had not finished, it reads it beside its task.
    pub(super) fn hear_feedback(&mut self, round: u32, items: &[FeedbackItem]) {
        let text = news::message(round, items);
        if matches!(self.agent.outstanding().first(), Some(Effect::Finish { .. })) {
            let names = items.iter().map(|item| item.name.clone()).collect();
            return self.tell(AgentEvent::Reopened { text, names });
        }
        self.tell(AgentEvent::Told { text });
        if self.open_turn.is_none() {
            self.agent.tell_with_next_call();
        }
    }

    /// Whether the agent waits for the answer to a question.
    pub(super) fn asks_person(&self) -> bool {
        matches!(self.agent.outstanding().first(), Some(Effect::AskPerson { .. }))
    }
}

#[cfg(test)]
mod tests;
