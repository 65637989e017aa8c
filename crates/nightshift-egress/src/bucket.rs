//! A token bucket: so much at once, so much a second. Time is passed in.

use std::time::Duration;

/// How much may pass. What was taken too much is a debt that time pays off.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// What fits in, in tokens.
    size: f64,
    /// Tokens a second.
    rate: f64,
    level: f64,
    /// When the level was right, since some fixed moment.
    at: Duration,
}

impl Bucket {
    /// A full bucket of `size` tokens that fills by `rate` a second; both are at least 1e-6.
    pub fn full(size: f64, rate: f64) -> Self {
        let size = size.max(1e-6);
        Self { size, rate: rate.max(1e-6), level: size, at: Duration::ZERO }
    }

    /// Takes tokens, into debt if need be, and says how long to wait until it is paid off.
    pub fn take(&mut self, tokens: f64, now: Duration) -> Duration {
        self.fill(now);
        self.level -= tokens;
        if self.level >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64((-self.level / self.rate).min(3_600.0))
        }
    }

    /// Takes tokens if they are there.
    pub fn try_take(&mut self, tokens: f64, now: Duration) -> bool {
        self.fill(now);
        let enough = self.level >= tokens;
        if enough {
            self.level -= tokens;
        }
        enough
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.level = (self.level + passed.as_secs_f64() * self.rate).min(self.size);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_full_bucket_gives_at_once_and_then_lets_wait() {
        let mut bucket = Bucket::full(10.0, 5.0);
        assert_eq!(bucket.take(10.0, Duration::ZERO), Duration::ZERO);
        assert_eq!(bucket.take(5.0, Duration::ZERO), SECOND);
        assert_eq!(bucket.take(0.0, SECOND), Duration::ZERO, "a second later the debt is paid");
    }

    #[test]
    fn what_is_not_there_is_not_taken() {
        let mut bucket = Bucket::full(1.0, 1.0);
        assert!(bucket.try_take(1.0, Duration::ZERO));
        assert!(!bucket.try_take(1.0, SECOND / 2));
        assert!(bucket.try_take(1.0, SECOND));
    }

    #[test]
    fn it_never_holds_more_than_its_size_and_time_does_not_run_back() {
        let mut bucket = Bucket::full(2.0, 1.0);
        assert!(bucket.try_take(2.0, 100 * SECOND));
        assert!(!bucket.try_take(1.0, 50 * SECOND));
        assert!(!bucket.try_take(1.0, 100 * SECOND));
    }

    proptest! {
        #[test]
        fn over_any_time_no_more_passes_than_size_and_rate_allow(
            steps in prop::collection::vec((0_u64..500, 0_u32..20), 1..100),
        ) {
            let mut bucket = Bucket::full(10.0, 4.0);
            let (mut now, mut passed) = (Duration::ZERO, 0.0);
            for (wait, tokens) in steps {
                now += Duration::from_millis(wait);
                if bucket.try_take(f64::from(tokens), now) {
                    passed += f64::from(tokens);
                }
                prop_assert!(passed <= 10.0 + 4.0 * now.as_secs_f64() + 1e-6);
            }
        }
    }
}
