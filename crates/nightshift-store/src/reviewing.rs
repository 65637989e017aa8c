//! What reviewing a run came to, folded beside its state: times, rounds, the newest delivery
//! and the pull request.

use nightshift_protocol::{Event, EventBody, OffsetDateTime, RunState, RunSummary};

/// Takes an event in; `run` is as it was before it.
pub(crate) fn review(run: &mut RunSummary, event: &Event) {
    match &event.body {
        EventBody::RunSubmitted { .. } => run.reviewing.since = event.at,
        EventBody::StateChanged { state } => {
            count_time(run, event.at);
            // One that only says more of the same state has waited since it came into it.
            if state.name() != run.state.name()
                || matches!(state, RunState::Working | RunState::InReview { .. })
            {
                run.reviewing.since = event.at;
            }
        }
        // No owner was there since the event before this one, so nobody worked.
        EventBody::OwnerResumed { .. } if run.state == RunState::Working => {
            count_time(run, run.updated_at);
            run.reviewing.since = event.at;
        }
        // It counts until the computer fell asleep.
        EventBody::HostSlept { seconds } if run.state == RunState::Working => {
            let asleep = time::Duration::seconds(i64::try_from(*seconds).unwrap_or(i64::MAX));
            count_time(run, event.at.saturating_sub(asleep));
            run.reviewing.since = event.at;
        }
        EventBody::DeliveryChecked { findings, measure, .. } => {
            run.reviewing.findings = findings.iter().map(|finding| finding.kind).collect();
            run.reviewing.delivered = Some(measure.clone());
        }
        EventBody::PullRequestOpened { pull_request, .. } => run.reviewing.pull_request = Some(*pull_request),
        EventBody::FeedbackReceived { .. } => {
            run.reviewing.rounds = run.reviewing.rounds.saturating_add(1);
        }
        // Those before it were the other run's.
        EventBody::RunForked { .. } => run.reviewing.rounds = 0,
        _ => {}
    }
}

/// Adds the time that the run was in its state until `at`, where it counts.
fn count_time(run: &mut RunSummary, at: OffsetDateTime) {
    let passed = u64::try_from((at - run.reviewing.since).whole_milliseconds()).unwrap_or(0);
    let spent = match run.state {
        RunState::InReview { .. } => &mut run.reviewing.review_ms,
        RunState::Working => &mut run.reviewing.agent_ms,
        _ => return,
    };
    *spent = spent.saturating_add(passed);
}
