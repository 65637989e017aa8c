//! Model calls, and tries of them, that bring no answer: what they used is paid all the same.

use std::sync::{Mutex, PoisonError};

use nightshift_protocol::{EventBody, Usage};
use tokio::sync::mpsc;

use crate::engine::Aside;

/// A model call that is under way. However it ends without an answer, also when nobody waits for it any more, what it used is
/// told to the run.
#[derive(Debug)]
pub(super) struct Unanswered {
    turn: u32,
    model: String,
    used: Mutex<Usage>,
    run: mpsc::UnboundedSender<Aside>,
}

impl Unanswered {
    pub(super) fn new(turn: u32, model: String, run: mpsc::UnboundedSender<Aside>) -> Self {
        Self { turn, model, used: Mutex::default(), run }
    }

    /// Notes what it has used that brought no answer.
    pub(super) fn has_used(&self, usage: Usage) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// It was answered: what the answer used is told with it, and only what tries before it had `lost` by itself.
    pub(super) fn answered(self, lost: Usage) {
        self.has_used(lost);
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let usage = *self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if usage != Usage::default() {
            let lost = EventBody::TurnLost { turn: self.turn, usage, model: self.model.clone() };
            let _nobody_writes = self.run.send(Aside::passing(lost));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(end: impl FnOnce(Unanswered)) -> Vec<EventBody> {
        let (sender, mut told) = mpsc::unbounded_channel();
        let call = Unanswered::new(3, "m".to_owned(), sender);
        call.has_used(Usage { input_tokens: 9, ..Usage::default() });
        call.has_used(Usage { input_tokens: 9, output_tokens: 4, cost_microdollars: 70, ..Usage::default() });
        end(call);
        std::iter::from_fn(|| told.try_recv().ok()).flat_map(|aside| aside.bodies).collect()
    }

    #[test]
    fn what_a_call_used_that_is_let_go_of_is_told_and_of_an_answered_one_only_what_its_tries_lost() {
        let lost = |usage| EventBody::TurnLost { turn: 3, usage, model: "m".to_owned() };
        let usage = Usage { input_tokens: 9, output_tokens: 4, cost_microdollars: 70, ..Usage::default() };
        assert_eq!(told(drop), [lost(usage)]);
        assert_eq!(told(|call| call.answered(Usage::default())), []);
        let tries = Usage { input_tokens: 5, ..Usage::default() };
        assert_eq!(told(|call| call.answered(tries)), [lost(tries)]);
    }
}
