//! How long a loan lasts: for its length after its last use or renewal, and for as long as it is in use.

use std::time::Duration;

use tokio::time::Instant;

/// The lease of one loan. It never reads the clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lease {
    length: Duration,
    lapses: Instant,
    uses: u32,
}

impl Lease {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        Self { length, lapses: now + length, uses: 0 }
    }

    pub(super) fn length(&self) -> Duration {
        self.length
    }

    pub(super) fn renew(&mut self, now: Instant) {
        self.lapses = self.lapses.max(now + self.length);
    }

    pub(super) fn begin_use(&mut self) {
        self.uses += 1;
    }

    pub(super) fn end_use(&mut self, now: Instant) {
        self.uses = self.uses.saturating_sub(1);
        self.renew(now);
    }

    /// When it lapses; `None` while it is in use.
    pub(super) fn lapses_at(&self) -> Option<Instant> {
        (self.uses == 0).then_some(self.lapses)
    }

    pub(super) fn has_lapsed(&self, now: Instant) -> bool {
        self.lapses_at().is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(60);

    #[derive(Debug, Clone, Copy)]
    enum Happens {
        Begin,
        End,
        Renew,
    }

    fn happens() -> impl Strategy<Value = (u64, Happens)> {
        let what = prop_oneof![Just(Happens::Begin), Just(Happens::End), Just(Happens::Renew)];
        (0_u64..100, what)
    }

    proptest! {
        #[test]
        fn a_loan_that_is_in_use_never_lapses_and_one_that_is_not_always_does(
            steps in prop::collection::vec(happens(), 0..30)
        ) {
            let mut now = Instant::now();
            let mut lease = Lease::new(LENGTH, now);
            let (mut uses, mut last) = (0_u32, now);
            for (seconds, step) in steps {
                now += Duration::from_secs(seconds);
                match step {
                    Happens::Begin => { lease.begin_use(); uses += 1; }
                    Happens::End if uses > 0 => { lease.end_use(now); uses -= 1; last = now; }
                    Happens::End => {}
                    Happens::Renew => { lease.renew(now); last = now; }
                }
                prop_assert_eq!(lease.has_lapsed(now), uses == 0 && now >= last + LENGTH);
            }
            prop_assert_eq!(lease.has_lapsed(now + LENGTH), uses == 0);
        }
    }

    #[test]
    fn a_renewal_never_shortens_a_lease() {
        let now = Instant::now();
        let mut lease = Lease::new(LENGTH, now);
        lease.renew(now.checked_sub(Duration::from_secs(1)).unwrap());
        assert_eq!(lease.lapses_at(), Some(now + LENGTH));
    }

    #[test]
    fn a_use_that_outlasts_the_lease_leaves_a_whole_lease_after_it() {
        let now = Instant::now();
        let mut lease = Lease::new(LENGTH, now);
        lease.begin_use();
        assert!(!lease.has_lapsed(now + 10 * LENGTH));
        lease.end_use(now + 10 * LENGTH);
        assert!(!lease.has_lapsed(now + 10 * LENGTH));
        assert!(lease.has_lapsed(now + 11 * LENGTH));
    }
}
