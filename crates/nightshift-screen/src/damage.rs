//! Following the screen's changes.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::activity::{Activity, Condition, Damage, Ended};
use crate::settle::{Settle, SettleEvent, SettleLimits, Settled, Verdict};

/// Follows the screen's changes from the moment it was made.
///
/// A slow reader gets the union of what it missed; nothing queues up for it.
#[derive(Debug, Clone)]
pub struct DamageReceiver {
    activity: watch::Receiver<Activity>,
    seen: u64,
}

impl DamageReceiver {
    pub(crate) fn new(mut activity: watch::Receiver<Activity>) -> Self {
        let seen = activity.borrow_and_update().generation();
        Self { activity, seen }
    }

    /// Waits for the next change; several that came since the last call are one. May be dropped without loss.
    pub async fn next(&mut self) -> Result<Damage, Ended> {
        loop {
            if let Some(damage) = self.take(|activity, seen| activity.damage_since(seen))? {
                return Ok(damage);
            }
            self.wait().await;
        }
    }

    /// Takes every change until now as seen.
    pub(crate) fn forget(&mut self) {
        self.seen = self.activity.borrow_and_update().generation();
    }

    /// Waits until the screen has settled; changes since the last call of [`Self::next`] count as happening now.
    ///
    /// Make the receiver before the action whose effect is waited for: a fast guest repaints before the action's
    /// future returns.
    pub async fn settle(&mut self, limits: SettleLimits) -> Result<Settled, Ended> {
        self.settle_while(limits, &|| None).await
    }

    /// The same, with somebody who tells how much processor time the guest has asked for since its start, as long as
    /// that is known; see [`crate::AtRest`].
    pub async fn settle_while(
        &mut self,
        limits: SettleLimits,
        asked_for: &(dyn Fn() -> Option<Duration> + Sync),
    ) -> Result<Settled, Ended> {
        let start = Instant::now();
        let mut settle = Settle::new(limits);
        let mut work = limits.at_rest.and_then(|_| Some(Work { asked_for: asked_for()?, looked: start }));
        loop {
            let worked = work.as_mut().is_some_and(|work| work.look(asked_for));
            let changes = self.take(|activity, seen| activity.changes_since(seen))?;
            let now = start.elapsed();
            // Without somebody who tells, the guest never rests.
            let worked = (worked || work.is_none()).then_some(SettleEvent::Worked);
            let events =
                changes.into_iter().map(SettleEvent::Changed).chain(worked).chain([SettleEvent::Tick]);
            // Later events repeat the verdict once it has fallen, so the last one is the verdict.
            let verdict = events.fold(Verdict::WaitUntil(now), |_, event| settle.handle(event, now));
            match verdict {
                Verdict::Settled(settled) => return Ok(settled),
                Verdict::WaitUntil(deadline) => {
                    let next_look = work.as_ref().map(|work| work.looked + LOOK_PAUSE);
                    let deadline = next_look.map_or(start + deadline, |look| look.min(start + deadline));
                    // Whether a change or the deadline woke us is seen above.
                    let _woken = tokio::time::timeout_at(deadline, self.wait()).await;
                }
            }
        }
    }

    /// Reads what there is since the last time, and remembers it as seen.
    fn take<T>(&mut self, read: impl FnOnce(&Activity, u64) -> T) -> Result<T, Ended> {
        let activity = self.activity.borrow_and_update();
        if let Condition::Ended(why) = activity.condition() {
            return Err(Ended { why: why.clone() });
        }
        let answer = read(&activity, self.seen);
        self.seen = activity.generation();
        Ok(answer)
    }

    async fn wait(&mut self) {
        if self.activity.changed().await.is_err() {
            // The task that owns the frame was torn down without a word, as when its runtime stops.
            std::future::pending::<()>().await;
        }
    }
}

/// The time between two looks at the guest's processors.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// A guest that asks for less than one part in so many of the time works on nothing that will be seen.
const RESTS_BELOW: u32 = 5;

/// What was last seen of the guest's processors.
struct Work {
    asked_for: Duration,
    looked: Instant,
}

impl Work {
    /// Whether they have worked since the last look; too soon after it there is nothing to see yet.
    fn look(&mut self, asked_for: &(dyn Fn() -> Option<Duration> + Sync)) -> bool {
        let now = Instant::now();
        let passed = now.duration_since(self.looked);
        if passed < LOOK_PAUSE {
            return false;
        }
        // A machine that has ended tells nothing; the screen will say so.
        let Some(total) = asked_for() else { return false };
        let worked = total.saturating_sub(self.asked_for);
        *self = Self { asked_for: total, looked: now };
        worked * RESTS_BELOW > passed
    }
}
