//! What is told of connections: all of them, in few words.
//!
//! A sandbox may make thousands of connections a second under made-up names. So connections to the same host and port
//! with the same fate are counted together, hosts beyond a number are not told apart, and how often something is told
//! is limited; nothing is left out of the counts.

use std::collections::BTreeMap;
use std::time::Duration;

use nightshift_protocol::{ConnectionRecord, ConnectionVerdict, NetworkPhase};

use crate::bucket::Bucket;

/// How many hosts, ports and fates are told apart in one record.
const TOLD_APART: usize = 64;

/// Records that may follow each other at once, and how many seconds one more takes: under attack there is one a minute,
/// which with at most [`TOLD_APART`] lines is some ten kilobytes.
const RECORDS_AT_ONCE: f64 = 60.0;
const SECONDS_A_RECORD: f64 = 60.0;

/// How long connections are gathered before they are told.
const GATHER: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    phase: NetworkPhase,
    verdict: ConnectionVerdict,
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    begun: u32,
    ended: u32,
    sent_bytes: u64,
    received_bytes: u64,
    open: Duration,
}

/// What was not told yet. Times are since some fixed moment.
#[derive(Debug)]
pub struct Journal {
    sums: BTreeMap<Key, Sum>,
    since: Option<Duration>,
    records: Bucket,
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            sums: BTreeMap::new(),
            since: None,
            records: Bucket::full(RECORDS_AT_ONCE, 1.0 / SECONDS_A_RECORD),
        }
    }
}

/// One connection's part of a record.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Part {
    pub(crate) begun: bool,
    pub(crate) ended: bool,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) open: Duration,
}

impl Journal {
    /// Notes a part of a connection.
    pub(crate) fn note(
        &mut self,
        (host, port): (&str, u16),
        phase: NetworkPhase,
        verdict: ConnectionVerdict,
        part: Part,
        now: Duration,
    ) {
        let mut key = Key { phase, verdict, host: host.to_owned(), port };
        // Room is left for each fate without a host, so that the number stays bounded.
        if !self.sums.contains_key(&key) && self.sums.len() >= TOLD_APART {
            key = Key { host: String::new(), port: 0, ..key };
        }
        let sum = self.sums.entry(key).or_default();
        sum.begun = sum.begun.saturating_add(u32::from(part.begun));
        sum.ended = sum.ended.saturating_add(u32::from(part.ended));
        sum.sent_bytes = sum.sent_bytes.saturating_add(part.sent_bytes);
        sum.received_bytes = sum.received_bytes.saturating_add(part.received_bytes);
        sum.open = sum.open.saturating_add(part.open);
        self.since.get_or_insert(now);
    }

    /// Returns what is to be told now, if anything is and the time for it has come.
    pub fn take(&mut self, now: Duration) -> Option<Vec<ConnectionRecord>> {
        let since = self.since?;
        if now.saturating_sub(since) < GATHER || !self.records.try_take(1.0, now) {
            return None;
        }
        Some(self.take_all())
    }

    /// Returns all that was not told, for the end.
    pub fn take_all(&mut self) -> Vec<ConnectionRecord> {
        self.since = None;
        let sums = std::mem::take(&mut self.sums);
        sums.into_iter()
            .map(|(key, sum)| ConnectionRecord {
                host: key.host,
                port: key.port,
                phase: key.phase,
                verdict: key.verdict,
                begun: sum.begun,
                ended: sum.ended,
                sent_bytes: sum.sent_bytes,
                received_bytes: sum.received_bytes,
                open_ms: u64::try_from(sum.open.as_millis()).unwrap_or(u64::MAX),
            })
            .collect()
    }

    /// Takes back what was taken and could not be written down.
    pub fn give_back(&mut self, records: Vec<ConnectionRecord>, now: Duration) {
        for record in records {
            let key =
                Key { phase: record.phase, verdict: record.verdict, host: record.host, port: record.port };
            let sum = self.sums.entry(key).or_default();
            sum.begun = sum.begun.saturating_add(record.begun);
            sum.ended = sum.ended.saturating_add(record.ended);
            sum.sent_bytes = sum.sent_bytes.saturating_add(record.sent_bytes);
            sum.received_bytes = sum.received_bytes.saturating_add(record.received_bytes);
            sum.open = sum.open.saturating_add(Duration::from_millis(record.open_ms));
            self.since.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::RefusalReason;

    use super::*;

    const NOT_LISTED: ConnectionVerdict = ConnectionVerdict::Refused { reason: RefusalReason::NotListed };

    fn refused(journal: &mut Journal, host: &str, now: Duration) {
        let part = Part { begun: true, ended: true, ..Part::default() };
        journal.note((host, 443), NetworkPhase::Work, NOT_LISTED, part, now);
    }

    #[test]
    fn connections_with_the_same_fate_are_counted_together() {
        let mut journal = Journal::default();
        for _ in 0..3 {
            refused(&mut journal, "evil.example", Duration::ZERO);
        }
        let part = Part { begun: true, ended: true, sent_bytes: 10, received_bytes: 20, open: GATHER };
        journal.note(("a.org", 443), NetworkPhase::Work, ConnectionVerdict::Allowed, part, Duration::ZERO);
        assert_eq!(journal.take(GATHER / 2), None, "they are gathered first");
        let told = journal.take(GATHER).unwrap();
        let line = |host: &str, verdict, begun, sent_bytes, received_bytes, open_ms| ConnectionRecord {
            host: host.to_owned(),
            port: 443,
            phase: NetworkPhase::Work,
            verdict,
            begun,
            ended: begun,
            sent_bytes,
            received_bytes,
            open_ms,
        };
        let expected = [
            line("a.org", ConnectionVerdict::Allowed, 1, 10, 20, 500),
            line("evil.example", NOT_LISTED, 3, 0, 0, 0),
        ];
        assert_eq!(told, expected);
        assert_eq!(journal.take(10 * GATHER), None, "told once");
    }

    #[test]
    fn a_million_made_up_names_make_few_lines_and_lose_no_count() {
        let mut journal = Journal::default();
        let (mut records, mut lines, mut begun) = (0, 0, 0);
        for number in 0..1_000_000_u32 {
            let now = Duration::from_millis(u64::from(number) * 7);
            refused(&mut journal, &format!("h{number}.example"), now);
            if let Some(told) = journal.take(now) {
                records += 1;
                lines += told.len();
                begun += told.iter().map(|record| record.begun).sum::<u32>();
            }
        }
        begun += journal.take_all().iter().map(|record| record.begun).sum::<u32>();
        assert_eq!(begun, 1_000_000);
        // Two hours: 60 at once and one a minute.
        assert!(records <= 60 + 117 && lines <= records * 65, "{records} records, {lines} lines");
    }

    #[test]
    fn what_could_not_be_written_is_told_later() {
        let mut journal = Journal::default();
        refused(&mut journal, "a.org", Duration::ZERO);
        let told = journal.take(GATHER).unwrap();
        journal.give_back(told.clone(), GATHER);
        assert_eq!(journal.take(GATHER * 2), Some(told));
    }
}
