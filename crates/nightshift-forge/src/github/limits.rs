//! A site's limits: read from its answers, waited for where it is short.
//!
//! GitHub asks of programs to send one request at a time that changes something, to stop when it says so, and to
//! honour `retry-after` ("Best practices for using the REST API").

use std::time::Duration;

use nightshift_protocol::OffsetDateTime;
use reqwest::header::HeaderMap;
use tokio::sync::{Mutex, MutexGuard};

/// The longest wait that is waited out; for a longer one the caller is told.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long to stay away after a secondary limit that names no time.
const UNNAMED_WAIT: Duration = Duration::from_secs(60);

/// The longest that a site is stayed away from at its word: it resets its limits every hour, and a figure beyond reason is none.
const LONGEST_TOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Lets through who may ask now.
#[derive(Debug, Default)]
pub(super) struct Gate {
    changing: Mutex<()>,
    closed_until: Mutex<Option<OffsetDateTime>>,
}

impl Gate {
    /// Waits until no other change is under way.
    pub(super) async fn one_change_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// When requests are taken again, if they are not now.
    pub(super) async fn closed_until(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        self.closed_until.lock().await.filter(|until| *until > now)
    }

    pub(super) async fn close_until(&self, until: OffsetDateTime) {
        *self.closed_until.lock().await = Some(until);
    }
}

/// Until when an answer tells to stay away; `None` when it speaks of no limit.
pub(super) fn told_to_wait(
    status: u16,
    headers: &HeaderMap,
    message: &str,
    now: OffsetDateTime,
) -> Option<OffsetDateTime> {
    if status != 403 && status != 429 {
        return None;
    }
    let number = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<i64>().ok())
    };
    if let Some(seconds) = number("retry-after") {
        return Some(now + Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST_TOLD));
    }
    if number("x-ratelimit-remaining") == Some(0) {
        let reset = number("x-ratelimit-reset").and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
        // A second more, because the site tells whole ones.
        return Some(
            reset.map_or(now + UNNAMED_WAIT, |at| at.min(now + LONGEST_TOLD) + Duration::from_secs(1)),
        );
    }
    let said = message.to_ascii_lowercase();
    (status == 429 || said.contains("secondary rate limit")).then(|| now + UNNAMED_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn seconds(status: u16, pairs: &[(&'static str, &str)], message: &str) -> Option<i64> {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(100);
        told_to_wait(status, &headers(pairs), message, now).map(|until| (until - now).whole_seconds())
    }

    #[test]
    fn the_site_s_own_time_is_kept() {
        assert_eq!(seconds(429, &[("retry-after", "7")], ""), Some(7));
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "160")];
        assert_eq!(seconds(403, &used_up, ""), Some(61));
    }

    #[test]
    fn a_time_beyond_reason_is_a_day_and_overflows_nothing() {
        let day = 24 * 60 * 60;
        for ages in ["86401", "999999999999", "9223372036854775807"] {
            assert_eq!(seconds(429, &[("retry-after", ages)], ""), Some(day), "{ages}");
        }
        // The last second of the year 9999.
        let used_up = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "253402300799")];
        assert_eq!(seconds(403, &used_up, ""), Some(day + 1));
    }

    #[test]
    fn a_limit_without_a_time_is_waited_for_a_minute() {
        assert_eq!(seconds(403, &[], "You have exceeded a secondary rate limit"), Some(60));
        assert_eq!(seconds(429, &[], ""), Some(60));
    }

    #[test]
    fn a_missing_permission_is_no_limit() {
        let left = [("x-ratelimit-remaining", "4999")];
        assert_eq!(seconds(403, &left, "Resource not accessible"), None);
        assert_eq!(seconds(200, &[("x-ratelimit-remaining", "0")], ""), None);
    }
}
