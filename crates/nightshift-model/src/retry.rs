//! Whether and when a failed try is repeated. Pure: the caller waits, tells the time and throws the dice.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The longest wait that a provider's wish is taken for: a day is longer than any turn, and nothing that is reckoned with it
/// overflows.
const LONGEST_WISH: Duration = Duration::from_secs(24 * 60 * 60);

/// How patient a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The most tries of one turn, the first included; at least 1.
    pub tries: u32,
    /// The wait before the second try; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait that is not the provider's own wish.
    pub longest_wait: Duration,
    /// The longest a connection may take to be made.
    pub connect: Duration,
    /// The longest the provider may send nothing at all, neither headers nor a ping, before the try counts as lost.
    pub silence: Duration,
    /// The longest a turn may take, all tries and waits together.
    pub total: Duration,
}

impl Default for RetryPolicy {
    /// Eight tries over at most 30 minutes: long enough to sit out a provider's bad quarter of an hour.
    fn default() -> Self {
        Self {
            tries: 8,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(120),
            connect: Duration::from_secs(15),
            silence: Duration::from_secs(120),
            total: Duration::from_secs(30 * 60),
        }
    }
}

impl RetryPolicy {
    /// How long to wait before the next try, or `None` to give up.
    ///
    /// `failed` counts the tries so far, `elapsed` is the time since the turn began, `wish` is the provider's
    /// `retry-after`, and `dice` any number, by chance: it spreads clients that failed together.
    pub(crate) fn wait(
        &self,
        failed: u32,
        elapsed: Duration,
        wish: Option<Duration>,
        dice: u32,
    ) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let wait = match wish {
            // Never sooner than the provider asked for, and up to a tenth later.
            Some(wish) => wish.saturating_add(part(wish / 10, dice)),
            None => {
                let doubled = self.first_wait.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
                let whole = doubled.min(self.longest_wait);
                whole / 2 + part(whole / 2, dice)
            }
        };
        (elapsed.saturating_add(wait) < self.total).then_some(wait)
    }
}

/// The share of `whole` that `dice` has of the greatest number.
fn part(whole: Duration, dice: u32) -> Duration {
    whole.mul_f64(f64::from(dice) / f64::from(u32::MAX))
}

/// Reads a `retry-after` header: seconds, or a date (RFC 9110, section 10.2.3). Nonsense and the past are `None`, and more than a
/// day is a day.
pub(crate) fn retry_after(header: &str, now: OffsetDateTime) -> Option<Duration> {
    let header = header.trim();
    let wish = match header.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => Duration::try_from(OffsetDateTime::parse(header, &Rfc2822).ok()? - now).ok()?,
    };
    (!wish.is_zero()).then_some(wish.min(LONGEST_WISH))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use time::macros::datetime;

    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn waits_double_up_to_the_longest() {
        let policy = RetryPolicy { tries: 20, ..RetryPolicy::default() };
        let waits = [1, 2, 3, 7, 8, 19].map(|failed| policy.wait(failed, NONE, None, u32::MAX));
        assert_eq!(waits, [1, 2, 4, 64, 120, 120].map(|seconds| Some(Duration::from_secs(seconds))));
    }

    #[test]
    fn chance_takes_at_most_half_of_a_wait_away() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, NONE, None, 0), Some(Duration::from_millis(500)));
    }

    #[test]
    fn the_providers_wish_comes_before_our_own_waits() {
        let policy = RetryPolicy::default();
        let wish = Duration::from_secs(300);
        assert_eq!(policy.wait(1, NONE, Some(wish), 0), Some(wish));
        assert_eq!(policy.wait(1, NONE, Some(wish), u32::MAX), Some(Duration::from_secs(330)));
    }

    #[test]
    fn a_wait_that_would_outlast_the_turn_is_not_begun() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, NONE, Some(Duration::from_secs(3600)), 0), None);
        assert_eq!(policy.wait(1, policy.total, None, 0), None);
    }

    #[test]
    fn a_date_in_retry_after_counts_from_now() {
        let now = datetime!(2026-11-22 14:00:00 UTC);
        assert_eq!(retry_after("Sun, 22 Nov 2026 14:00:20 GMT", now), Some(Duration::from_secs(20)));
        assert_eq!(retry_after("Sun, 22 Nov 2026 13:59:00 GMT", now), None);
    }

    #[test]
    fn seconds_in_retry_after_may_have_a_fraction_and_nonsense_is_no_wish() {
        let now = datetime!(2026-11-22 14:00:00 UTC);
        assert_eq!(retry_after(" 30 ", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("0.25", now), Some(Duration::from_millis(250)));
        assert_eq!(["0", "-1", "NaN", "1e300", "soon", ""].map(|text| retry_after(text, now)), [None; 6]);
    }

    #[test]
    fn a_wish_for_ages_is_one_for_a_day_and_overflows_nothing() {
        let now = datetime!(2026-11-22 14:00:00 UTC);
        for ages in ["9999999999999999999", "1e18", "Fri, 31 Dec 9999 23:59:59 GMT"] {
            assert_eq!(retry_after(ages, now), Some(LONGEST_WISH), "{ages}");
        }
        let policy = RetryPolicy::default();
        assert_eq!(policy.wait(1, NONE, Some(Duration::MAX), u32::MAX), None);
        assert_eq!(policy.wait(1, Duration::MAX, Some(LONGEST_WISH), u32::MAX), None);
    }

    proptest! {
        #[test]
        fn tries_and_time_are_bounded_whatever_the_provider_wishes(
            wish in proptest::option::of(0_u64..10_000),
            dice in any::<u32>(),
        ) {
            let policy = RetryPolicy::default();
            let mut elapsed = Duration::ZERO;
            let mut failed = 1;
            while let Some(wait) = policy.wait(failed, elapsed, wish.map(Duration::from_secs), dice) {
                prop_assert!(wish.is_none_or(|wish| wait >= Duration::from_secs(wish)));
                elapsed += wait;
                failed += 1;
            }
            prop_assert!(failed <= policy.tries);
            prop_assert!(elapsed < policy.total);
        }
    }
}
