//! The self-review of finished work: a critic's machine takes the place of the agent's until it has judged.
//!
//! ```text
//!   agent finishes ─▶ selfReviewBegun ─▶ the critic's turns and steps ─▶ selfReviewed ─┬▶ passed, disagreed, no verdict: delivery
//!         ▲                                                                            └▶ sent back, broken off
//!         └────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! While it is under way the agent rests in [`SelfReviews`], and what people write waits for it: the critic is not to be
//! talked round. What the critic changed is taken back in the end, unless a person had mouse and keyboard meanwhile.
//!
//! Who writes to an agent that has finished, before the next review or the delivery begins, sends its work back as a review does.

use nightshift_agent::prompt::sent_back;
use nightshift_agent::{AgentEvent, AgentMachine, Effect};
use nightshift_protocol::{
    CommitId, CriterionVerdict, EventBody, RunState, SelfReview, SelfReviewOutcome, StepId, Verdict,
};

use super::{Action, Intention, RunProgress};

/// What is added to what the agent is told where a person worked in the sandbox while a critic did.
const BY_HAND: &str = "\n\n(Note from Nightshift: a person worked in the sandbox while the critic did. So nothing was taken back in \
                       the repository, also not what the critic changed: look at it before you go on.)";

/// The self-reviews of one delivery.
#[derive(Debug, Clone, Default)]
pub struct SelfReviews {
    /// Those that came to an end, the oldest first.
    done: Vec<SelfReview>,
    /// Rounds that were begun.
    rounds: u32,
    /// Whether the work may be delivered as it is.
    settled: bool,
    under_way: Option<UnderWay>,
    /// The agent as it had finished, from when a person spoke to it then until it goes on.
    before_words: Option<Box<AgentMachine>>,
}

/// A self-review that is under way.
#[derive(Debug, Clone)]
struct UnderWay {
    round: u32,
    head: CommitId,
    agent: Box<AgentMachine>,
    /// What people wrote meanwhile.
    said: Vec<String>,
    /// What they wrote for when the agent is done.
    queued: Vec<String>,
    /// Whether a person had mouse and keyboard meanwhile: nobody can tell what they changed from what the critic did.
    by_hand: bool,
}

impl SelfReviews {
    /// Those of the work that is delivered or about to be, the oldest first.
    pub fn list(&self) -> &[SelfReview] {
        &self.done
    }

    /// Whether turns and steps are a critic's now.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Keeps what the agent is to be told while a critic is at work; gives it back while none is.
    pub(super) fn keep(&mut self, text: String) -> Option<String> {
        let Some(under_way) = &mut self.under_way else { return Some(text) };
        under_way.said.push(text);
        None
    }

    /// The commit that the repository is put back to when the review that is under way is over; `None` where a person's work would
    /// be lost with the critic's.
    pub(crate) fn put_back_to(&self) -> Option<&CommitId> {
        self.under_way.as_ref().filter(|under_way| !under_way.by_hand).map(|under_way| &under_way.head)
    }

    /// Notes that a person has mouse and keyboard, or had them.
    fn note_hand(&mut self) {
        if let Some(under_way) = &mut self.under_way {
            under_way.by_hand = true;
        }
    }
}

impl RunProgress {
    /// Takes in what an event says of self-reviews. Returns whether it is dealt with.
    pub(super) fn apply_to_self_review(&mut self, body: &EventBody) -> bool {
        match body {
            // There is one at a time: a second one would lose the agent.
            EventBody::SelfReviewBegun { .. } if self.self_reviews.is_under_way() => {}
            EventBody::SelfReviewBegun { round, head, system, message } => {
                self.go_on_unheard();
                let critic = self.agent.critic(self.criteria_to_judge());
                let agent = Box::new(std::mem::replace(&mut self.agent, critic));
                self.self_reviews.rounds = *round;
                self.self_reviews.under_way = Some(UnderWay {
                    round: *round,
                    head: head.clone(),
                    agent,
                    said: Vec::new(),
                    queued: Vec::new(),
                    by_hand: self.taken_over,
                });
                self.tell(AgentEvent::Started { system: system.clone(), message: message.clone() });
            }
            EventBody::SelfReviewed { review } => self.end_self_review(review),
            EventBody::PersonSaid { text } | EventBody::MessageQueued { text }
                if self.is_finished_unseen() =>
            {
                self.send_back_with(text);
            }
            EventBody::HandedBack { summary, .. } if self.is_finished_unseen() => {
                self.taken_over = false;
                self.send_back_with(summary);
            }
            EventBody::PersonSaid { text } => return self.self_reviews.keep(text.clone()).is_none(),
            EventBody::MessageQueued { text } => match &mut self.self_reviews.under_way {
                Some(under_way) => under_way.queued.push(text.clone()),
                None => return false,
            },
            EventBody::TakenOver { .. } | EventBody::HandedBack { .. } => {
                self.self_reviews.note_hand();
                return false;
            }
            EventBody::TurnRequested { .. } => {
                self.self_reviews.before_words = None;
                return false;
            }
            EventBody::WorkFinished { .. } => {
                self.go_on_unheard();
                return false;
            }
            EventBody::FeedbackReceived { .. } => {
                // Only delivered work is commented on; were a critic at work, the agent would be who is told.
                let _words = self.put_agent_back();
                self.self_reviews = SelfReviews::default();
                return false;
            }
            _ => return false,
        }
        true
    }

    /// Whether its agent has finished, and neither a critic nor the delivery has begun with what it did.
    fn is_finished_unseen(&self) -> bool {
        self.finished.is_none() && !self.self_reviews.is_under_way() && self.has_handed_over()
    }

    /// Has an agent that had finished go on with what a person says.
    fn send_back_with(&mut self, words: &str) {
        let unseen = SelfReview {
            round: self.self_reviews.rounds,
            of: self.task.self_review_rounds,
            verdicts: Vec::new(),
            words: String::new(),
            outcome: SelfReviewOutcome::BrokenOff,
        };
        self.self_reviews.before_words = Some(Box::new(self.agent.clone()));
        // What a person asks for is new work, and is looked at anew.
        self.self_reviews.rounds = 0;
        self.self_reviews.settled = false;
        self.tell(AgentEvent::SentBack { text: sent_back(&unseen, &[words.to_owned()]) });
        // It heard of no pause while it had finished.
        if let RunState::Paused { reason } = self.state.clone() {
            self.tell(AgentEvent::Paused { reason });
        }
    }

    /// Owners before this one told an agent that had finished nothing: where their history goes on with its work, it is who had
    /// finished.
    fn go_on_unheard(&mut self) {
        if let Some(finished) = self.self_reviews.before_words.take() {
            self.agent.rewind(&finished);
        }
    }

    fn end_self_review(&mut self, review: &SelfReview) {
        let by_hand = self.self_reviews.put_back_to().is_none();
        let Some(words) = self.put_agent_back() else { return };
        if review.outcome != SelfReviewOutcome::BrokenOff {
            self.self_reviews.done.push(review.clone());
        }
        if !words.is_empty() {
            // What a person asks for is new work, and is looked at anew.
            self.self_reviews.rounds = 0;
        } else if review.outcome != SelfReviewOutcome::SentBack {
            self.self_reviews.settled = true;
            return;
        }
        let mut text = sent_back(review, &words);
        if by_hand {
            text.push_str(BY_HAND);
        }
        self.tell(AgentEvent::SentBack { text });
    }

    /// Puts the agent back into its place, if a critic is there, and returns what people wrote to it meanwhile.
    fn put_agent_back(&mut self) -> Option<Vec<String>> {
        let UnderWay { agent, said, queued, .. } = self.self_reviews.under_way.take()?;
        let critic = std::mem::replace(&mut self.agent, *agent);
        self.agent.go_on_after(&critic);
        Some([said, queued].concat())
    }

    /// How many criteria a critic judges: a task without any has one, that it is done as described.
    fn criteria_to_judge(&self) -> u32 {
        u32::try_from(self.task.criteria.len()).unwrap_or(u32::MAX).max(1)
    }

    /// What the self-review has to do with an effect that the machine at work wants, if anything.
    pub(super) fn next_in_self_review(&self, effect: &Effect) -> Option<Action> {
        let Some(under_way) = &self.self_reviews.under_way else {
            let due = !self.self_reviews.settled && self.self_reviews.rounds < self.task.self_review_rounds;
            let finishes = matches!(effect, Effect::Finish { .. });
            return (finishes && due).then(|| Action::BeginSelfReview(self.self_reviews.rounds + 1));
        };
        let over = |verdicts: Vec<CriterionVerdict>, words: String, outcome| {
            let (round, of) = (under_way.round, self.task.self_review_rounds);
            Some(Action::EndSelfReview(SelfReview { round, of, verdicts, words, outcome }))
        };
        match effect {
            Effect::Judge { verdicts, words } => {
                let faulty = verdicts.iter().any(|found| found.verdict == Verdict::NotMet);
                let outcome = match (faulty, under_way.round < self.task.self_review_rounds) {
                    (false, _) => SelfReviewOutcome::Passed,
                    (true, true) => SelfReviewOutcome::SentBack,
                    (true, false) => SelfReviewOutcome::Disagreed,
                };
                over(verdicts.clone(), words.clone(), outcome)
            }
            Effect::GiveUp { reason } => {
                over(Vec::new(), String::new(), SelfReviewOutcome::NoVerdict { reason: reason.clone() })
            }
            // What was begun in the sandbox comes to its end first.
            Effect::RunTool { step, .. } if self.is_open(*step) => None,
            Effect::AskModel { .. }
            | Effect::Compact { .. }
            | Effect::RunTool { .. }
            | Effect::Answer { .. }
            | Effect::Pause { .. }
                if !under_way.said.is_empty() =>
            {
                over(Vec::new(), String::new(), SelfReviewOutcome::BrokenOff)
            }
            Effect::AskModel { .. }
            | Effect::Compact { .. }
            | Effect::RunTool { .. }
            | Effect::Answer { .. }
            | Effect::AskPerson { .. }
            | Effect::Pause { .. }
            | Effect::AwaitSubagents
            | Effect::Report { .. }
            | Effect::Finish { .. }
            | Effect::Fail { .. } => None,
        }
    }

    fn is_open(&self, step: StepId) -> bool {
        self.open_step.as_ref().is_some_and(|open| open.step == step)
    }

    /// Whether a step that is intended is one that was begun before.
    pub(super) fn intention(&self, step: StepId) -> Intention {
        match self.open_step_of(step) {
            Some(open) => Intention::Open(open.write.clone()),
            None => Intention::New,
        }
    }
}

#[cfg(test)]
mod tests;
