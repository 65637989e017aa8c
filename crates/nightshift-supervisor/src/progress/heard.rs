//! What people said since a run's checkpoints: it is told again when the run goes back because its sandbox was lost. Whoever
//! takes a run back wants what was said since undone with the rest. Forks of such a run know it as well.

use nightshift_agent::{AgentEvent, Effect};
use nightshift_protocol::{Event, EventBody, FeedbackItem, PauseReason, RunState};

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
    to: Listener,
}

/// Who something was said to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Listener {
    /// A run that had asked nothing.
    Run,
    /// One that had asked this.
    Asking(String),
    /// One that had just been forked: it is what the fork is made for.
    Fork,
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
    /// Notes what was said while the run was in `state`, or had come into none since it was forked.
    pub(super) fn note(&mut self, event: &Event, state: &RunState, just_forked: bool) {
        let to = match (&event.body, state) {
            (EventBody::PersonSaid { .. }, _) if just_forked => Listener::Fork,
            (EventBody::PersonSaid { .. }, RunState::Waiting { question, approval: None }) => {
                Listener::Asking(question.clone())
            }
            _ => Listener::Run,
        };
        self.0.push(Words { seq: event.seq, body: event.body.clone(), to });
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

    /// What the history of a fork has in place of what was said after an event, where the run came back to that: the agent was
    /// told it before it did anything else, as it is after a pause.
    pub(super) fn told_again_since(&self, seq: u64) -> Vec<EventBody> {
        let mut told = Vec::new();
        for Words { body, to, .. } in self.since(seq) {
            match (body, to) {
                (EventBody::PersonSaid { text }, Listener::Asking(question)) => {
                    // Events do not tell whether the question is in the conversation there: if it is, it was shown.
                    let text = with_question(&text, &question);
                    let state = RunState::Waiting { question, approval: None };
                    told.extend([EventBody::StateChanged { state }, EventBody::PersonSaid { text }]);
                }
                (body, _) => told.push(body),
            }
        }
        if !told.is_empty() {
            let paused = RunState::Paused { reason: PauseReason::Person };
            told.extend([paused, RunState::Working].map(|state| EventBody::StateChanged { state }));
        }
        told
    }

    /// Whether something was said after an event that finished work is taken up again for: feedback, or what a fork of it is
    /// made for.
    pub(super) fn reopens_since(&self, seq: u64) -> bool {
        let reopens = |words: &Words| {
            words.to == Listener::Fork || matches!(words.body, EventBody::FeedbackReceived { .. })
        };
        self.0.iter().any(|words| words.seq > seq && reopens(words))
    }
}

/// An answer for who does not know any more what it had asked.
fn with_question(text: &str, question: &str) -> String {
    format!("{text}\n\n(You had asked: {question})")
}

impl RunProgress {
    /// Tells the agent what was said since the moment that it is back at.
    pub(super) fn hear_again(&mut self, since: Vec<Words>) {
        for Words { body, to, .. } in since {
            if matches!(to, Listener::Asking(_)) {
                // Where it is back at that question, nobody was shown it there.
                self.tell(AgentEvent::Asked);
            }
            self.just_forked = to == Listener::Fork;
            let body = match (body, to) {
                (EventBody::PersonSaid { text }, Listener::Asking(question)) if !self.asks_person() => {
                    // The question is not in this conversation.
                    EventBody::PersonSaid { text: with_question(&text, &question) }
                }
                (body, _) => body,
            };
            if !self.apply_to_self_review(&body) {
                self.apply_to_agent(&body);
            }
        }
        self.just_forked = false;
        // What waited for the answer to a question need not wait any more.
        self.tell_untold();
    }

    /// Has the agent deal with feedback. Where it is back at a moment at which it had not finished, it reads it beside its task.
    pub(super) fn hear_feedback(&mut self, round: u32, items: &[FeedbackItem]) {
        let text = news::message(round, items);
        if self.has_handed_over() {
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

    /// Whether the agent has finished: it hears nothing more unless its work is taken up again.
    pub(super) fn has_handed_over(&self) -> bool {
        matches!(self.agent.outstanding().first(), Some(Effect::Finish { .. }))
    }
}

#[cfg(test)]
mod tests;
