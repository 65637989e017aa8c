//! Subagents: below their run in lists, and their events in one line.

use nightshift_protocol::{
    RunSummary, StepId, SubagentOutcome, SubagentStart, SubagentSummary, SubagentWork, subagent_of,
};

use super::{counted, line};

/// Subagents that a list shows of one run at most: the newest.
const MOST: usize = 12;

/// A run's subagents as the branches of a tree, one a line.
pub(super) fn tree(run: &RunSummary) -> Vec<String> {
    let hidden = run.subagents.len().saturating_sub(MOST);
    let shown = &run.subagents[hidden..];
    let branch = |(place, subagent): (usize, &SubagentSummary)| {
        let corner = if place + 1 == shown.len() { "└─" } else { "├─" };
        let beside = if subagent.background { ", beside" } else { "" };
        format!(
            "  {corner} {}  {}{beside}  {}  {}",
            line(&subagent.name),
            subagent.state(),
            counted(subagent.turns, "turn"),
            line(&subagent.title)
        )
    };
    let earlier = (hidden > 0).then(|| format!("  ├─ {hidden} earlier"));
    earlier.into_iter().chain(shown.iter().enumerate().map(branch)).collect()
}

/// What stands before a step, so that it is seen whose it is.
pub(super) fn mark(turn: u32) -> &'static str {
    if subagent_of(turn).is_some() { "    ↳ " } else { "  " }
}

/// A step that begins.
pub(super) fn begun(step: StepId, what: &str) -> String {
    format!("{}{step} {what}", mark(step.turn))
}

/// A subagent that was started.
pub(super) fn started(start: &SubagentStart) -> String {
    let beside = if start.background { " beside the agent" } else { "" };
    let rule = start.rule.as_deref().map(|rule| format!(" (rule: {})", line(rule))).unwrap_or_default();
    format!("· {} works{beside}: {}{rule}", line(&start.name), line(&start.title))
}

/// A subagent that has ended.
pub(super) fn ended(
    number: u32,
    outcome: &SubagentOutcome,
    report: &str,
    work: Option<&SubagentWork>,
) -> String {
    let how = match outcome {
        SubagentOutcome::Reported => format!("reports: {}", line(report)),
        SubagentOutcome::GaveUp { reason } => format!("ended without a report: {}", line(reason)),
    };
    let work = match work {
        Some(SubagentWork::Joined { commits }) => format!(" ({} joined)", counted(*commits, "commit")),
        Some(SubagentWork::Apart { commits, .. }) => format!(" ({} apart)", counted(*commits, "commit")),
        Some(SubagentWork::Nothing) | None => String::new(),
    };
    format!("· subagent {number} {how}{work}")
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::OffsetDateTime;

    use super::*;

    fn subagent(number: u32, outcome: Option<SubagentOutcome>) -> SubagentSummary {
        SubagentSummary {
            number,
            name: format!("reviewer-{number}"),
            title: "Review\u{1b}[2J the diff".to_owned(),
            background: number.is_multiple_of(2),
            outcome,
            turns: number,
            steps: 0,
            started_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn run(subagents: Vec<SubagentSummary>) -> RunSummary {
        let mut runs: Vec<RunSummary> = serde_json::from_value(serde_json::json!([{
            "run": "run-0000000000",
            "task": {"id": "task-0000000000", "description": "Add it", "repository": "/src", "baseBranch": "main",
                "baseCommit": "a".repeat(40), "model": "m", "createdAt": "1970-01-01T00:00:00Z",
                "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1}},
            "state": {"type": "working"}, "sandbox": null, "branch": "b", "turns": 1, "steps": 1,
            "usage": {"inputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "outputTokens": 0, "costMicrodollars": 0},
            "glance": {"planSteps": 0, "planDone": 0, "doing": "", "screen": null}, "lastSeq": 1,
            "updatedAt": "1970-01-01T00:00:00Z"
        }]))
        .unwrap();
        RunSummary { subagents, ..runs.remove(0) }
    }

    #[test]
    fn a_run_s_subagents_are_a_tree_below_it() {
        let gave_up = SubagentOutcome::GaveUp { reason: "It went in circles.".to_owned() };
        let run = run(vec![
            subagent(1, Some(SubagentOutcome::Reported)),
            subagent(2, None),
            subagent(3, Some(gave_up)),
        ]);
        insta::assert_snapshot!(super::super::runs(&[run]), @r"
        run-0000000000  working  1 turn $0.00  Add it
          ├─ reviewer-1  reported  1 turn  Review[2J the diff
          ├─ reviewer-2  working, beside  2 turns  Review[2J the diff
          └─ reviewer-3  gave up  3 turns  Review[2J the diff
        ");
    }

    #[test]
    fn of_many_the_newest_are_shown() {
        let lines = tree(&run((1..=20).map(|number| subagent(number, None)).collect()));
        assert_eq!((lines.len(), lines[0].as_str()), (13, "  ├─ 8 earlier"));
        assert!(lines[12].starts_with("  └─ reviewer-20  working"), "{}", lines[12]);
    }

    #[test]
    fn whose_step_it_is_is_seen() {
        let step = |text: &str| begun(text.parse().unwrap(), "ls");
        assert_eq!([step("4.1"), step("10004.1")], ["  4.1 ls", "    ↳ 10004.1 ls"]);
    }

    #[test]
    fn how_a_subagent_ended_is_one_line() {
        let joined = SubagentWork::Joined { commits: 2 };
        assert_eq!(
            ended(1, &SubagentOutcome::Reported, "Two\nfindings.", Some(&joined)),
            "· subagent 1 reports: Two findings. (2 commits joined)"
        );
        let gave_up = SubagentOutcome::GaveUp { reason: "It was stopped.".to_owned() };
        assert_eq!(ended(2, &gave_up, "", None), "· subagent 2 ended without a report: It was stopped.");
    }
}
