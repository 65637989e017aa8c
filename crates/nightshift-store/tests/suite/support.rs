//! What the tests of the store share.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{Approval, EventBody, Limits, OffsetDateTime, RunId, Task};

pub(crate) fn at(second: u32) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(i64::from(second))
}

pub(crate) fn run(number: u32) -> RunId {
    format!("run-{number:010}").parse().unwrap()
}

pub(crate) fn submitted(task: u32, repository: &str) -> EventBody {
    let task = Task {
        id: format!("task-{task:010}").parse().unwrap(),
        description: "Add dark mode".to_owned(),
        repository: repository.to_owned(),
        base_branch: "main".to_owned(),
        base_commit: "a".repeat(40).parse().unwrap(),
        model: "claude-sonnet-5-5".to_owned(),
        limits: Limits::default(),
        self_review_rounds: 0,
        approval: Approval::default(),
        engine: None,
        issue: None,
        criteria: Vec::new(),
        created_at: at(0),
    };
    EventBody::RunSubmitted {
        task,
        branch: "nightshift/add-dark-mode-0000000000".to_owned(),
        attempt: None,
        context_tokens: None,
    }
}

pub(crate) fn said(text: impl Into<String>) -> EventBody {
    EventBody::PersonSaid { text: text.into() }
}
