//! What a sandbox reached and tried to, in a line or a few.

use nightshift_protocol::{ConnectionFailure, ConnectionRecord, ConnectionVerdict, RefusalReason};

use super::line;

/// Lines of one record at most; the others are counted.
const LINES: usize = 6;

/// What is open.
pub(super) fn opened(allowed: &[String], not_permitted: &[String], problem: Option<&str>) -> Option<String> {
    let mut lines = Vec::new();
    if !allowed.is_empty() {
        lines.push(line(&format!("· network: open to {}", allowed.join(", "))));
    }
    if !not_permitted.is_empty() {
        lines.push(line(&format!("· network: the repository also asks for {}", not_permitted.join(", "))));
        lines.push("  Permit it with [egress] permit in your configuration.".to_owned());
    }
    lines.extend(problem.map(|problem| line(&format!("· network: {problem}"))));
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What was connected. The end of a connection alone is no news.
pub(super) fn connections(records: &[ConnectionRecord]) -> Option<String> {
    let news: Vec<&ConnectionRecord> = records.iter().filter(|record| record.begun > 0).collect();
    let mut lines: Vec<String> = news.iter().take(LINES).map(|record| line(&connection(record))).collect();
    if news.len() > LINES {
        lines.push(format!("  … and {} more", news.len() - LINES));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn connection(record: &ConnectionRecord) -> String {
    let host = match record.host.as_str() {
        "" => "some host".to_owned(),
        host => format!("{host}:{}", record.port),
    };
    let times = if record.begun > 1 { format!(" ×{}", record.begun) } else { String::new() };
    let fate = match record.verdict {
        ConnectionVerdict::Allowed => "connected".to_owned(),
        ConnectionVerdict::Refused { reason } => format!("refused, {}", refusal(reason)),
        ConnectionVerdict::Failed { reason } => format!("failed, {}", failure(reason)),
    };
    format!("· network: {host}{times} {fate}")
}

fn refusal(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::NotListed => "not listed",
        RefusalReason::BareAddress => "an address and no name",
        RefusalReason::InvalidName => "no host name",
        RefusalReason::ForbiddenAddress => "it leads to a private or special address",
        RefusalReason::OtherHost => "another host was named inside",
        RefusalReason::UnknownProtocol => "neither TLS with a name nor HTTP",
        RefusalReason::Malformed => "not understood",
        RefusalReason::PhaseOver => "no longer listed",
    }
}

fn failure(reason: ConnectionFailure) -> &'static str {
    match reason {
        ConnectionFailure::NotResolved => "the name has no address",
        ConnectionFailure::NotReached => "no answer",
        ConnectionFailure::RefusedUpstream => "the upstream proxy refused",
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::NetworkPhase;

    use super::*;

    fn record(host: &str, begun: u32, verdict: ConnectionVerdict) -> ConnectionRecord {
        ConnectionRecord {
            host: host.to_owned(),
            port: 443,
            phase: NetworkPhase::Work,
            verdict,
            begun,
            ended: 1,
            sent_bytes: 0,
            received_bytes: 0,
            open_ms: 0,
        }
    }

    #[test]
    fn connections_are_told_with_their_fate_and_ends_are_not() {
        let refused = ConnectionVerdict::Refused { reason: RefusalReason::NotListed };
        let failed = ConnectionVerdict::Failed { reason: ConnectionFailure::NotReached };
        let records = [
            record("a.org", 1, ConnectionVerdict::Allowed),
            record("b.org", 3, refused),
            record("c.org", 0, ConnectionVerdict::Allowed),
            record("", 9, failed),
        ];
        let expected = "· network: a.org:443 connected\n· network: b.org:443 ×3 refused, not listed\n\
                        · network: some host ×9 failed, no answer";
        assert_eq!(connections(&records).as_deref(), Some(expected));
        assert_eq!(connections(&records[2..3]), None);
    }

    #[test]
    fn a_closed_network_is_no_news_and_a_wish_that_is_not_permitted_is() {
        assert_eq!(opened(&[], &[], None), None);
        let said = opened(&["a.org".to_owned()], &["b.org".to_owned()], None);
        let expected = "· network: open to a.org\n· network: the repository also asks for b.org\n  \
                        Permit it with [egress] permit in your configuration.";
        assert_eq!(said.as_deref(), Some(expected));
    }
}
