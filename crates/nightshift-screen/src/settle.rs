//! When has the screen settled? A pure machine: it is told of changes and of the time, and never reads a clock.
//!
//! ```text
//!                   change                        change: the quiet starts anew
//!   ┌──────────┐ ──────────▶ ┌────────┐ ◀───┐
//!   │ waiting  │             │ moving │ ────┘
//!   └──────────┘             └────────┘
//!        │ grace over             │ quiet over      ceiling reached, from either
//!        ▼                        ▼                        ▼
//!   settled(untouched)       settled(quiet)         settled(still moving)
//! ```
//!
//! A spinner or a playing video never falls quiet: with [`Repeats::Count`] such a screen is waited for until the
//! ceiling, which is right for a page that is loading; with [`Repeats::Ignore`] small changes that keep coming at
//! the same place are taken for decoration after a few times and no longer start the quiet anew. A blinking caret
//! (twice a second) is slower than any sensible quiet and needs neither.
//!
//! How long a quiet must be depends on how long the guest may compute between two paints, which under emulation is a
//! third of a second and more. Whoever can tell that the guest's processors work tells so, and then shorter times are
//! enough while they rest ([`AtRest`]): a guest that computes nothing is about to paint nothing.

use std::time::Duration;

use crate::geometry::Rect;

/// How many places of small repeated changes are remembered at once; later ones count as ordinary changes.
const PLACES: usize = 8;

/// When a screen counts as settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettleLimits {
    /// After the first change, no change for this long means settled.
    pub quiet: Duration,
    /// No change at all for this long means that there will be none.
    pub grace: Duration,
    /// The longest wait, whatever happens.
    pub ceiling: Duration,
    /// What small changes at the same place mean.
    pub repeats: Repeats,
    /// What is enough while the guest's processors rest; `None` where nobody tells.
    pub at_rest: Option<AtRest>,
}

/// Times that are enough while the guest's processors rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtRest {
    /// Instead of [`SettleLimits::quiet`], counted from the last change or the last work, whichever was later.
    pub quiet: Duration,
    /// Instead of [`SettleLimits::grace`], counted from the last work.
    pub grace: Duration,
}

impl Default for SettleLimits {
    /// For a guest at the processor's speed: quiet 60 ms (almost four frames at 60 Hz), grace 250 ms, ceiling 3 s.
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(60),
            grace: Duration::from_millis(250),
            ceiling: Duration::from_secs(3),
            repeats: Repeats::Count,
            at_rest: None,
        }
    }
}

/// What small changes that come again at the same place mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// They are changes like any other.
    Count,
    /// They are decoration: once `times` changes came within the same `area`, later ones there are ignored.
    Ignore {
        /// The most pixels the place may have.
        area: u64,
        /// How many changes at a place still count.
        times: u32,
    },
}

/// Why the screen counts as settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleReason {
    /// It changed and then was quiet.
    Quiet,
    /// It did not change within the grace.
    Untouched,
    /// It was still changing, or still might, when the ceiling was reached.
    StillMoving,
}

/// The outcome of waiting for the screen to settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The smallest known rectangle that holds all that changed meanwhile; `None` when nothing did.
    pub changed: Option<Rect>,
    /// How long it was waited.
    pub waited: Duration,
    /// Why the wait is over.
    pub reason: SettleReason,
}

/// What the machine is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleEvent {
    /// The screen changed there.
    Changed(Rect),
    /// The guest's processors have worked until now.
    Worked,
    /// Time has passed.
    Tick,
}

/// What the machine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not settled; unless the screen changes, tell the time again then (since the start of the wait).
    WaitUntil(Duration),
    /// Settled. Every later event gets the same answer.
    Settled(Settled),
}

/// The machine. Times are counted from the start of the wait.
#[derive(Debug)]
pub struct Settle {
    limits: SettleLimits,
    state: State,
    /// When the guest's processors were last seen at work.
    worked: Duration,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Waiting,
    Moving { changed: Rect, last: Duration },
    Settled(Settled),
}

/// A place where small changes were seen.
#[derive(Debug)]
struct Place {
    rect: Rect,
    seen: u32,
}

impl Settle {
    /// Starts a wait at time zero.
    pub fn new(limits: SettleLimits) -> Self {
        Self { limits, state: State::Waiting, worked: Duration::ZERO, places: Vec::new() }
    }

    /// Tells the machine what happened at `at`. Tell it of changes before ticks of the same time.
    pub fn handle(&mut self, event: SettleEvent, at: Duration) -> Verdict {
        self.state = match (self.state, event) {
            (State::Settled(settled), _) => State::Settled(settled),
            (State::Waiting, SettleEvent::Changed(rect)) => {
                self.is_decoration(rect);
                State::Moving { changed: rect, last: at }
            }
            (State::Moving { changed, last }, SettleEvent::Changed(rect)) => {
                let last = if self.is_decoration(rect) { last } else { at };
                State::Moving { changed: changed.union(rect), last }
            }
            (state @ (State::Waiting | State::Moving { .. }), SettleEvent::Worked) => {
                self.worked = at;
                state
            }
            (state @ (State::Waiting | State::Moving { .. }), SettleEvent::Tick) => state,
        };
        let (changed, since, patience, at_rest, reason) = match self.state {
            State::Settled(settled) => return Verdict::Settled(settled),
            State::Waiting => {
                let at_rest = self.limits.at_rest.map(|at_rest| at_rest.grace);
                (None, Duration::ZERO, self.limits.grace, at_rest, SettleReason::Untouched)
            }
            State::Moving { changed, last } => {
                let at_rest = self.limits.at_rest.map(|at_rest| at_rest.quiet);
                (Some(changed), last, self.limits.quiet, at_rest, SettleReason::Quiet)
            }
        };
        let patient = since.saturating_add(patience);
        let at_rest = at_rest.map(|at_rest| since.max(self.worked).saturating_add(at_rest));
        let deadline = at_rest.map_or(patient, |at_rest| at_rest.min(patient));
        let reason = if at >= deadline {
            reason
        } else if at >= self.limits.ceiling {
            SettleReason::StillMoving
        } else {
            return Verdict::WaitUntil(deadline.min(self.limits.ceiling));
        };
        let settled = Settled { changed, waited: at, reason };
        self.state = State::Settled(settled);
        Verdict::Settled(settled)
    }

    /// Counts a small change at its place; answers whether the place has had its share.
    fn is_decoration(&mut self, rect: Rect) -> bool {
        let Repeats::Ignore { area, times } = self.limits.repeats else { return false };
        if rect.area() > area {
            return false;
        }
        let near = |place: &&mut Place| place.rect.overlaps(rect) && place.rect.union(rect).area() <= area;
        match self.places.iter_mut().find(near) {
            Some(place) => {
                place.rect = place.rect.union(rect);
                place.seen = place.seen.saturating_add(1);
                place.seen > times
            }
            None => {
                if self.places.len() < PLACES {
                    self.places.push(Place { rect, seen: 1 });
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: SettleLimits = SettleLimits {
        quiet: Duration::from_millis(60),
        grace: Duration::from_millis(250),
        ceiling: Duration::from_millis(3000),
        repeats: Repeats::Count,
        at_rest: None,
    };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn at(x: u32) -> Rect {
        Rect::new(x, 0, 10, 10).unwrap()
    }

    /// Plays changes at their times, ticking whenever the machine asked for it.
    fn play(limits: SettleLimits, changes: &[(u64, Rect)]) -> Settled {
        let mut settle = Settle::new(limits);
        let mut verdict = settle.handle(SettleEvent::Tick, ms(0));
        let mut changes = changes.iter().peekable();
        loop {
            verdict = match verdict {
                Verdict::Settled(settled) => return settled,
                Verdict::WaitUntil(deadline) => match changes.next_if(|(time, _)| ms(*time) <= deadline) {
                    Some((time, rect)) => settle.handle(SettleEvent::Changed(*rect), ms(*time)),
                    None => settle.handle(SettleEvent::Tick, deadline),
                },
            };
        }
    }

    #[test]
    fn a_screen_that_never_changes_settles_when_the_grace_is_over() {
        let settled = Settled { changed: None, waited: ms(250), reason: SettleReason::Untouched };
        assert_eq!(play(LIMITS, &[]), settled);
    }

    #[test]
    fn a_screen_settles_a_quiet_after_its_last_change_and_names_all_that_changed() {
        let settled = play(LIMITS, &[(30, at(0)), (80, at(100)), (400, at(500))]);
        let changed = Rect::new(0, 0, 110, 10);
        assert_eq!(settled, Settled { changed, waited: ms(140), reason: SettleReason::Quiet });
    }

    #[test]
    fn a_screen_that_keeps_moving_is_waited_for_until_the_ceiling() {
        let changes: Vec<_> = (1..200).map(|i| (i * 20, at(0))).collect();
        let settled = Settled { changed: Some(at(0)), waited: ms(3000), reason: SettleReason::StillMoving };
        assert_eq!(play(LIMITS, &changes), settled);
    }

    #[test]
    fn a_spinner_is_ignored_when_asked_but_is_named_as_changed() {
        let changes: Vec<_> = (1..200).map(|i| (i * 20, at(0))).collect();
        let limits = SettleLimits { repeats: Repeats::Ignore { area: 1024, times: 3 }, ..LIMITS };
        let settled = Settled { changed: Some(at(0)), waited: ms(120), reason: SettleReason::Quiet };
        assert_eq!(play(limits, &changes), settled);
    }

    #[test]
    fn a_page_that_loads_beside_a_spinner_is_still_waited_for() {
        let mut changes: Vec<_> = (1..30).map(|i| (i * 20, at(0))).collect();
        changes.push((110, Rect::new(0, 100, 600, 400).unwrap()));
        changes.push((150, Rect::new(0, 100, 600, 400).unwrap()));
        changes.sort_by_key(|(time, _)| *time);
        let limits = SettleLimits { repeats: Repeats::Ignore { area: 1024, times: 3 }, ..LIMITS };
        assert_eq!(play(limits, &changes).waited, ms(210));
    }

    #[test]
    fn a_change_seen_late_still_counts() {
        let mut settle = Settle::new(LIMITS);
        let verdict = settle.handle(SettleEvent::Changed(at(0)), ms(300));
        assert_eq!(verdict, Verdict::WaitUntil(ms(360)));
    }

    #[test]
    fn a_settled_screen_stays_settled() {
        let mut settle = Settle::new(LIMITS);
        let first = settle.handle(SettleEvent::Tick, ms(250));
        assert_eq!(settle.handle(SettleEvent::Changed(at(0)), ms(260)), first);
    }

    const SLOW: SettleLimits = SettleLimits {
        quiet: Duration::from_millis(350),
        grace: Duration::from_millis(1800),
        at_rest: Some(AtRest { quiet: Duration::from_millis(50), grace: Duration::from_millis(200) }),
        ..LIMITS
    };

    /// Tells a machine of events at their times, and answers the last verdict.
    fn tell(limits: SettleLimits, events: &[(SettleEvent, u64)]) -> Verdict {
        let mut settle = Settle::new(limits);
        let told = events.iter().map(|(event, time)| settle.handle(*event, ms(*time)));
        told.last().unwrap()
    }

    #[test]
    fn a_guest_that_rests_has_settled_long_before_the_patient_quiet_is_over() {
        let events =
            [(SettleEvent::Worked, 20), (SettleEvent::Changed(at(0)), 30), (SettleEvent::Worked, 40)];
        assert_eq!(tell(SLOW, &events), Verdict::WaitUntil(ms(90)));
        let settled = Settled { changed: Some(at(0)), waited: ms(90), reason: SettleReason::Quiet };
        assert_eq!(
            tell(SLOW, &[&events[..], &[(SettleEvent::Tick, 90)]].concat()),
            Verdict::Settled(settled)
        );
    }

    #[test]
    fn a_guest_that_computes_between_two_paints_is_waited_for_but_not_for_ever() {
        let mut events = vec![(SettleEvent::Changed(at(0)), 30)];
        events.extend((2..19).map(|i| (SettleEvent::Worked, i * 20)));
        // The patient quiet ends it: a guest that always computes may never paint again.
        assert_eq!(tell(SLOW, &events), Verdict::WaitUntil(ms(380)));
    }

    #[test]
    fn an_action_without_effect_on_a_resting_guest_is_soon_over() {
        let settled = Settled { changed: None, waited: ms(200), reason: SettleReason::Untouched };
        assert_eq!(play(SLOW, &[]), settled);
        assert_eq!(tell(SLOW, &[(SettleEvent::Worked, 190)]), Verdict::WaitUntil(ms(390)));
    }

    #[test]
    fn work_means_nothing_where_no_rest_is_asked_for() {
        assert_eq!(tell(LIMITS, &[(SettleEvent::Worked, 100)]), Verdict::WaitUntil(ms(250)));
    }

    proptest! {
        #[test]
        fn every_wait_ends_by_the_ceiling_with_a_reason_that_is_true(
            gaps in prop::collection::vec((0..400u64, 0..2000u32), 0..60),
            repeats in prop_oneof![
                Just(Repeats::Count),
                (0..4000u64, 0..5u32).prop_map(|(area, times)| Repeats::Ignore { area, times }),
            ],
        ) {
            let mut time = 0;
            let changes: Vec<_> = gaps.iter().map(|(gap, x)| { time += gap; (time, at(*x)) }).collect();
            let limits = SettleLimits { repeats, ..LIMITS };
            let settled = play(limits, &changes);
            let seen: Vec<_> = changes.iter().filter(|(time, _)| ms(*time) <= settled.waited).collect();
            prop_assert!(settled.waited <= limits.ceiling);
            match settled.reason {
                SettleReason::Untouched => {
                    prop_assert_eq!(settled.waited, limits.grace);
                    prop_assert!(settled.changed.is_none());
                }
                SettleReason::Quiet => {
                    prop_assert!(settled.waited >= ms(seen[0].0) + limits.quiet);
                    if repeats == Repeats::Count {
                        let last = seen.iter().rfind(|(time, _)| ms(*time) < settled.waited).unwrap();
                        prop_assert!(settled.waited >= ms(last.0) + limits.quiet);
                    }
                }
                SettleReason::StillMoving => prop_assert_eq!(settled.waited, limits.ceiling),
            }
        }
    }
}
