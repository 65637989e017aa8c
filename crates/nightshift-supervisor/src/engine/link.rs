//! What the parts of a foreign agent's turn know of the run while it goes on, and how they write into its history.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightshift_agent::AgentMachine;
use nightshift_protocol::{EventBody, PauseReason, Usage};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

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
        self.begin(bodies)?.passed().await
    }

    /// Hands the events over at once, for who has to wait elsewhere until they are in the history.
    pub(crate) fn begin(&self, bodies: Vec<EventBody>) -> Result<Writing, NobodyWrites> {
        let (written, is_written) = oneshot::channel();
        self.0.send(Aside { bodies, written: Some(written) }).map_err(|_| NobodyWrites)?;
        Ok(Writing(is_written))
    }
}

/// Events that are on their way into the history.
#[derive(Debug)]
pub(crate) struct Writing(oneshot::Receiver<()>);

impl Writing {
    /// Returns when they are there, or will never be.
    pub(crate) async fn passed(self) -> Result<(), NobodyWrites> {
        self.0.await.map_err(|_| NobodyWrites)
    }
}

/// The run as it is now, for those who work beside its driver. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Link(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The run's agent, which knows its limits and what its steps led to; `None` while no foreign agent works.
    machine: Option<AgentMachine>,
    /// When it was told how the run stands.
    followed: Option<Instant>,
    taken_over: bool,
    /// What model calls that are under way may use at worst, and how many they are.
    under_way: Usage,
    calls: u32,
    /// The limit for which a call was refused.
    refused: Option<PauseReason>,
    /// Told when the turn is over.
    over: watch::Sender<bool>,
}

/// Knows when a turn is over.
#[derive(Debug, Clone)]
pub(crate) struct TurnOver(watch::Receiver<bool>);

impl TurnOver {
    /// Whether it is.
    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Returns when it is.
    pub(crate) async fn passed(&mut self) {
        // Who is gone without a word has ended as well.
        let _gone = self.0.wait_for(|over| *over).await;
    }
}

/// What a model call that is under way may use; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    link: Link,
    worst: Usage,
}

/// Why a model call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotReserved {
    /// What others have under way may use what is left: whether it does is known when they are done.
    Later,
    /// A limit.
    Limit(PauseReason),
    /// No foreign agent has a turn, or it is another turn than that of who asks.
    Over,
}

impl Link {
    /// Takes in how the run stands.
    pub(crate) fn follow(&self, machine: Option<&AgentMachine>, taken_over: bool) {
        let mut state = self.lock();
        if machine.is_none() {
            state.refused = None;
        }
        state.machine = machine.cloned();
        state.followed = Some(Instant::now());
        state.taken_over = taken_over;
    }

    /// Begins a turn: what was refused in another is over.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.refused = None;
        state.over = watch::Sender::new(false);
    }

    /// Ends it: its model calls are cut off and tell what they have used so far.
    pub(crate) fn end(&self) {
        self.lock().over.send_replace(true);
    }

    /// What is told when the turn that has begun is over.
    pub(crate) fn over(&self) -> TurnOver {
        TurnOver(self.lock().over.subscribe())
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

    /// Leave for a model call that uses so much at worst, for who began in the turn that `over` tells of: what a request of an
    /// earlier turn asks is neither counted nor a reason to end this one.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) fn reserve(&self, worst: Usage, over: &TurnOver) -> Result<Reserved, NotReserved> {
        let mut state = self.lock();
        if over.is_over() {
            return Err(NotReserved::Over);
        }
        let (mut all, calls) = (state.under_way, state.calls.saturating_add(1));
        all += worst;
        let seconds = state.seconds();
        let Some(machine) = &state.machine else { return Err(NotReserved::Over) };
        if let Some(reason) = machine.relay_refusal(&worst, 1, seconds) {
            state.refused = Some(reason.clone());
            return Err(NotReserved::Limit(reason));
        }
        if machine.relay_refusal(&all, calls, seconds).is_some() {
            return Err(NotReserved::Later);
        }
        (state.under_way, state.calls) = (all, calls);
        drop(state);
        Ok(Reserved { link: self.clone(), worst })
    }

    /// The limit that is reached, if one is: the turn has to end.
    pub(crate) fn limit(&self) -> Option<PauseReason> {
        let state = self.lock();
        let machine = state.machine.as_ref()?;
        machine.relay_refusal(&Usage::default(), 1, state.seconds())
    }

    /// The limit for which a call of this turn was refused.
    pub(crate) fn refused(&self) -> Option<PauseReason> {
        self.lock().refused.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Seconds that passed since it was told how the run stands: while nothing happens nobody counts them.
    fn seconds(&self) -> u64 {
        self.followed.map_or(0, |followed| followed.elapsed().as_secs())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.link.lock();
        state.calls = state.calls.saturating_sub(1);
        let under_way = &mut state.under_way;
        // How long something is cached is not known before.
        let Usage {
            input_tokens,
            cache_read_tokens,
            cache_write_tokens,
            cache_write_hour_tokens: _,
            output_tokens,
            cost_microdollars,
        } = self.worst;
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
        let first = link.reserve(worst(6_000), &link.over()).unwrap();
        assert_eq!(link.reserve(worst(6_000), &link.over()).err(), Some(NotReserved::Later));
        assert_eq!(link.refused(), None, "it may be made when the other is done");
        drop(first);
        assert!(link.reserve(worst(6_000), &link.over()).is_ok());
    }

    #[test]
    fn a_call_that_alone_could_pass_a_limit_is_refused_and_the_turn_knows_why_it_ends() {
        let link = followed(10_000);
        assert!(matches!(
            link.reserve(worst(10_001), &link.over()),
            Err(NotReserved::Limit(PauseReason::Limit { .. }))
        ));
        assert!(matches!(link.refused(), Some(PauseReason::Limit { .. })));
        assert_eq!(link.limit(), None, "smaller ones may be made");
        link.begin();
        assert_eq!(link.refused(), None);
    }

    #[tokio::test]
    async fn time_that_passes_without_a_word_reaches_the_limit_too() {
        let limits = Limits { seconds: 1, ..Limits::default() };
        let link = Link::default();
        let machine = AgentMachine::new(AgentSettings { limits, ..AgentSettings::default() });
        link.follow(Some(&machine), false);
        assert_eq!(link.limit(), None);
        link.lock().followed = Instant::now().checked_sub(std::time::Duration::from_secs(2));
        assert!(matches!(link.limit(), Some(PauseReason::Limit { .. })));
    }

    #[tokio::test]
    async fn a_turn_that_ends_is_over_for_those_who_began_in_it_and_for_nobody_else() {
        let link = Link::default();
        link.begin();
        let mut first = link.over();
        assert!(!first.is_over());
        link.end();
        first.passed().await;
        assert!(first.is_over() && link.over().is_over());
        link.begin();
        assert!(!link.over().is_over() && first.is_over());
        let mut gone = link.over();
        drop(link);
        gone.passed().await;
        assert!(gone.is_over());
    }

    #[test]
    fn who_began_in_an_earlier_turn_has_no_leave_in_a_later_one_and_does_not_end_it_at_a_limit() {
        let link = followed(10_000);
        link.begin();
        let earlier = link.over();
        link.end();
        assert_eq!(link.reserve(worst(1), &earlier).err(), Some(NotReserved::Over), "it is over");
        link.begin();
        assert_eq!(link.reserve(worst(1), &earlier).err(), Some(NotReserved::Over), "another one has begun");
        assert_eq!(link.reserve(worst(10_001), &earlier).err(), Some(NotReserved::Over));
        assert_eq!(link.refused(), None);
        assert!(link.reserve(worst(1), &link.over()).is_ok());
    }

    #[test]
    fn no_call_is_made_while_no_foreign_agent_works() {
        let link = Link::default();
        assert_eq!(link.reserve(worst(1), &link.over()).err(), Some(NotReserved::Over));
        assert!(!link.is_followed() && link.limit().is_none());
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
