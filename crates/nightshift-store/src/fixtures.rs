//! What the tests of several modules begin with.

use nightshift_protocol::{EventBody, OffsetDateTime, RunId};

pub(crate) const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

pub(crate) fn run(number: usize) -> RunId {
    format!("run-{number:010}").parse().unwrap()
}

/// The first event of a run.
pub(crate) fn submitted(number: usize) -> EventBody {
    serde_json::from_value(serde_json::json!({
        "type": "runSubmitted", "branch": "nightshift/x-0000000000",
        "task": {
            "id": format!("task-{number:010}"), "description": "x", "repository": "/src/app",
            "baseBranch": "main", "baseCommit": "a".repeat(40), "model": "m",
            "createdAt": "2026-11-01T00:00:00Z",
            "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1},
        },
    }))
    .unwrap()
}
