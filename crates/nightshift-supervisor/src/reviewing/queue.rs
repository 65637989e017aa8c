//! The order of open pull requests: what can be decided now, then what is small, then what is sure, then what waits
//! longest. A reviewer who begins at the top decides on most in the time there is.

use nightshift_agent::grouped;
use nightshift_protocol::{
    DeliveryMeasure, PreReviewKind, PullRequestSummary, QueueReason, ReviewEntry, ReviewQueue, ReviewSize,
    RunState, RunSummary,
};

/// Puts open pull requests, each with its run, in the order in which they are to be reviewed. `unfinished` are all runs
/// that are not over; `limit` is how many may wait.
pub fn queue(
    open: Vec<(PullRequestSummary, RunSummary)>,
    unfinished: &[RunSummary],
    limit: Option<u32>,
) -> ReviewQueue {
    let mut entries: Vec<ReviewEntry> = open.into_iter().map(|(request, run)| entry(request, run)).collect();
    entries.sort_by_key(|entry| {
        // A small one that is not sure still comes before a large one: it is quickly read.
        (!entry.ready, entry.size, entry.doubts.len(), entry.since, entry.pull_request.number.0)
    });
    let count = |is: fn(&RunState) -> bool| {
        u32::try_from(unfinished.iter().filter(|run| is(&run.state)).count()).unwrap_or(u32::MAX)
    };
    let held_back =
        |state: &RunState| matches!(state, RunState::Queued { reason: QueueReason::ReviewLimit { .. } });
    ReviewQueue {
        limit,
        waiting: count(|state| matches!(state, RunState::InReview { .. })),
        held_back: count(held_back),
        entries,
    }
}

fn entry(pull_request: PullRequestSummary, run: RunSummary) -> ReviewEntry {
    let RunSummary { state: run_state, reviewing, .. } = run;
    let measure = reviewing.delivered.unwrap_or_default();
    let lines = measure.lines();
    let doubts = doubts(&measure, &reviewing.findings);
    let (ready, size) = (matches!(run_state, RunState::InReview { .. }), ReviewSize::of(lines));
    let counted =
        |count: u64, one: &str| format!("{} {one}{}", grouped(count), if count == 1 { "" } else { "s" });
    let readiness = match &run_state {
        RunState::InReview { .. } => "ready",
        RunState::Paused { .. } => "its run is paused",
        _ => "the agent is at it again",
    };
    let certainty =
        if doubts.is_empty() { "nothing speaks against it".to_owned() } else { doubts.join(", ") };
    let why = format!(
        "{readiness}; {} ({} in {}); {certainty}",
        size.word(),
        counted(lines, "line"),
        counted(measure.files, "file")
    );
    ReviewEntry {
        pull_request,
        run_state,
        ready,
        size,
        files: measure.files,
        lines,
        doubts,
        since: reviewing.since,
        why,
    }
}

/// What speaks against merging at once. The size is told by itself, and a lint that passed is no doubt.
fn doubts(measure: &DeliveryMeasure, findings: &[PreReviewKind]) -> Vec<String> {
    let words = |kind: &PreReviewKind| match kind {
        PreReviewKind::ForbiddenPath => Some("forbidden paths"),
        PreReviewKind::PossibleSecret => Some("a possible secret"),
        PreReviewKind::LintFailed => Some("the lint failed"),
        PreReviewKind::Sensitive => Some("sensitive files"),
        PreReviewKind::Licence => Some("a licence"),
        PreReviewKind::TestsDeleted => Some("tests deleted"),
        PreReviewKind::TestsChanged => Some("tests shrunk"),
        PreReviewKind::LargeBinary => Some("large binaries"),
        PreReviewKind::Generated => Some("generated files"),
        PreReviewKind::NoTests => Some("no test changed"),
        PreReviewKind::Size | PreReviewKind::Lint => None,
    };
    let mut doubts: Vec<String> = match measure.unbacked_criteria {
        0 => Vec::new(),
        1 => vec!["1 criterion without evidence".to_owned()],
        many => vec![format!("{many} criteria without evidence")],
    };
    if measure.not_verified {
        doubts.push("something not verified".to_owned());
    }
    if measure.disputed {
        doubts.push("agent and critic disagree".to_owned());
    }
    doubts.extend(findings.iter().filter_map(words).map(str::to_owned));
    doubts.dedup();
    doubts
}
