//! What the parts of a foreign agent's turn know of the run while it goes on, and how they write into its history.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightshift_agent::AgentMachine;
use nightshift_protocol::{EventBody, PauseReason, Usage};
use tokio::sync::{mpsc, oneshot};

/// Events that an act has to tell before it is over.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(crate) bodies: Vec<EventBody>,
    /// Told when they are in the history.
    pub(crate) written: Option<oneshot::Sender<()>>,
}

impl Aside {
    /// What is told in passing.
    pub(crate) fn passing(body: EventBody) -> Self {
        Self { bodies: vec![body], written: None }
    }
}

/// Writes into a run's history, by its driver.
#[derive(Debug, Clone)]
pub(crate) struct Teller(pub(crate) mpsc::UnboundedSender<Aside>);

/// Nobody writes any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NobodyWrites;

impl Teller {
    /// Returns when the events are in the history.
    pub(crate) async fn write(&self, bodies: Vec<EventBody>) -> Result<(), NobodyWrites> {
        let (written, is_written) = oneshot::channel();
        self.0.send(Aside { bodies, written: Some(written) }).map_err(|_| NobodyWrites)?;
        is_written.await.map_err(|_| NobodyWrites)
    }
}

/// The run as it is now, for those who work beside its driver. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The run's agent, which knows its limits and what its steps led to; `None` while no foreign agent works.
    machine: Option<AgentMachine>,
    taken_over: bool,
    /// What model calls that are under way may use at worst.
    under_way: Usage,
}

/// What a model call that is under way may use; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    link: Link,
    worst: Usage,
}

impl Link {
    /// Takes in how the run stands.
    pub(crate) fn follow(&self, machine: Option<&AgentMachine>, taken_over: bool) {
        let mut state = self.lock();
        state.machine = machine.cloned();
        state.taken_over = taken_over;
    }

    /// Whether somebody follows, so that it has to be told of changes.
    pub(crate) fn is_followed(&self) -> bool {
        self.lock().machine.is_some()
    }

    /// Asks the run's agent something.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&AgentMachine) -> T) -> Option<T> {
        self.lock().machine.as_ref().map(question)
    }

    /// Whether a person has mouse and keyboard.
    pub(crate) fn is_taken_over(&self) -> bool {
        self.lock().taken_over
    }

    /// Leave for a model call that uses so much at worst.
    ///
    /// # Errors
    ///
    /// The limit that it could pass.
    pub(crate) fn reserve(&self, worst: Usage) -> Result<Reserved, PauseReason> {
        let mut state = self.lock();
        let mut all = state.under_way;
        all += worst;
        let refusal = state.machine.as_ref().map(|machine| machine.relay_refusal(&all));
        match refusal {
            Some(None) => {
                state.under_way = all;
                drop(state);
                Ok(Reserved { link: self.clone(), worst })
            }
            Some(Some(reason)) => Err(reason),
            None => Err(PauseReason::Person),
        }
    }

    /// The limit that is reached, if one is.
    pub(crate) fn limit(&self) -> Option<PauseReason> {
        self.ask(|machine| machine.relay_refusal(&Usage::default())).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let under_way = &mut self.link.lock().under_way;
        let Usage { input_tokens, cache_read_tokens, cache_write_tokens, output_tokens, cost_microdollars } =
            self.worst;
        under_way.input_tokens = under_way.input_tokens.saturating_sub(input_tokens);
        under_way.cache_read_tokens = under_way.cache_read_tokens.saturating_sub(cache_read_tokens);
        under_way.cache_write_tokens = under_way.cache_write_tokens.saturating_sub(cache_write_tokens);
        under_way.output_tokens = under_way.output_tokens.saturating_sub(output_tokens);
        under_way.cost_microdollars = under_way.cost_microdollars.saturating_sub(cost_microdollars);
    }
}

#[cfg(test)]
mod tests {
    use nightshift_agent::AgentSettings;
    use nightshift_protocol::Limits;

    use super::*;

    fn followed(tokens: u64) -> Link {
        let limits = Limits { tokens, ..Limits::default() };
        let link = Link::default();
        let machine = AgentMachine::new(AgentSettings { limits, ..AgentSettings::default() });
        link.follow(Some(&machine), false);
        link
    }

    fn worst(tokens: u64) -> Usage {
        Usage { input_tokens: tokens, ..Usage::default() }
    }

    #[test]
    fn calls_that_are_under_way_together_cannot_pass_a_limit_that_each_alone_would_hold() {
        let link = followed(10_000);
        let first = link.reserve(worst(6_000)).unwrap();
        assert!(matches!(link.reserve(worst(6_000)), Err(PauseReason::Limit { .. })));
        drop(first);
        assert!(link.reserve(worst(6_000)).is_ok());
    }

    #[test]
    fn no_call_is_made_while_no_foreign_agent_works() {
        let link = Link::default();
        assert!(!link.is_followed() && link.reserve(worst(1)).is_err() && link.limit().is_none());
    }

    #[tokio::test]
    async fn what_is_told_is_known_to_be_written_or_that_nobody_writes() {
        let (sender, mut asides) = mpsc::unbounded_channel();
        let teller = Teller(sender);
        let writing = tokio::spawn({
            let teller = teller.clone();
            async move { teller.write(vec![EventBody::Interrupted]).await }
        });
        let aside = asides.recv().await.unwrap();
        assert_eq!(aside.bodies, [EventBody::Interrupted]);
        aside.written.unwrap().send(()).unwrap();
        assert_eq!(writing.await.unwrap(), Ok(()));
        drop(asides);
        assert_eq!(teller.write(Vec::new()).await, Err(NobodyWrites));
    }
}
