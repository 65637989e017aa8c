//! Several attempts at one task: which were begun, how they rank, what became of the others.

use nightshift_protocol::{AttemptList, AttemptSummary, GivenUp, OthersClosed, RunState, SubmitReply};

use super::{line, money, plain, state, table};

/// What was just begun, and how to follow it.
pub(crate) fn submitted(reply: &SubmitReply) -> String {
    if reply.attempts.len() < 2 {
        return format!("{}\nFollow it: nightshift watch {}", reply.run, reply.run);
    }
    let runs: Vec<String> = reply.attempts.iter().map(|attempt| attempt.run.to_string()).collect();
    format!(
        "{}\nFollow one:   nightshift watch {}\nCompare them: nightshift review attempts {}",
        runs.join("\n"),
        reply.run,
        reply.task
    )
}

/// The attempts, the best at the top and those without a place at the end.
pub(crate) fn attempts(list: &AttemptList) -> String {
    let mut ranked: Vec<&AttemptSummary> = list.attempts.iter().collect();
    ranked.sort_by_key(|attempt| (attempt.rank.unwrap_or(u32::MAX), attempt.number));
    let head = ["place", "attempt", "run", "state", "cost", "why"].map(str::to_owned);
    let row = |attempt: &&AttemptSummary| {
        let fork = attempt.fork_of.as_ref().map(|of| format!(" (fork of {of})")).unwrap_or_default();
        [
            attempt.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string()),
            format!("{}{fork}", attempt.number),
            attempt.run.run.to_string(),
            state(&attempt.run.state),
            money(attempt.run.usage.cost_microdollars),
            // Not cut: the end of it says what it is behind.
            plain(&attempt.why).split_whitespace().collect::<Vec<_>>().join(" "),
        ]
    };
    let mut text = table(&[head].into_iter().chain(ranked.iter().map(row)).collect::<Vec<_>>());
    let best =
        ranked.iter().find(|one| one.rank.is_some() && matches!(one.run.state, RunState::InReview { .. }));
    if let Some(best) = best {
        let run = &best.run.run;
        text += &format!(
            "\n\nLook at it:        nightshift review show {run}\nMerge that alone:  nightshift review merge {run} --close-others"
        );
    }
    text
}

/// What became of the other attempts, a line each.
pub(crate) fn others(closed: &OthersClosed) -> String {
    if closed.others.is_empty() {
        return format!("{} is the only attempt at its task.", closed.kept);
    }
    let rows: Vec<[String; 3]> = closed
        .others
        .iter()
        .map(|other| {
            let said = match &other.outcome {
                GivenUp::PullRequestClosed => "pull request closed; its branch is kept".to_owned(),
                GivenUp::Cancelled => "cancelled".to_owned(),
                GivenUp::OverBefore { state } => format!("over before: {}", plain(state)),
                GivenUp::Refused { error } => format!("not given up: {}", line(&error.message)),
            };
            [format!("attempt {}", other.number), other.run.to_string(), said]
        })
        .collect();
    let mut text = table(&rows);
    if closed.others.iter().any(|other| matches!(other.outcome, GivenUp::Refused { .. })) {
        text += &format!("\nTry again: nightshift review close --others-of {}", closed.kept);
    }
    text
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{
        Attempt, ErrorCode, OtherAttempt, PullRequestId, RunId, RunSummary, SubmittedAttempt, UserError,
    };

    use super::*;

    fn id(number: u32) -> RunId {
        format!("run-{number:010}").parse().unwrap()
    }

    fn run(number: u32, state: &RunState) -> RunSummary {
        serde_json::from_value(serde_json::json!({
            "run": id(number), "attempt": {"number": number, "of": 3},
            "task": {"id": "task-0000000000", "description": "Add it", "repository": "/src", "baseBranch": "main",
                "baseCommit": "a".repeat(40), "model": "m", "createdAt": "1970-01-01T00:00:00Z",
                "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1}},
            "state": state, "sandbox": null, "branch": "b", "turns": 1, "steps": 1,
            "usage": {"inputTokens": 0, "cacheReadTokens": 0, "cacheWriteTokens": 0, "outputTokens": 0,
                "costMicrodollars": 120_000 * number},
            "glance": {"planSteps": 0, "planDone": 0, "doing": "", "screen": null}, "lastSeq": 1,
            "updatedAt": "1970-01-01T00:00:00Z"
        }))
        .unwrap()
    }

    fn attempt(number: u32, rank: Option<u32>, state: &RunState, why: &str) -> AttemptSummary {
        AttemptSummary {
            number,
            run: run(number, state),
            fork_of: None,
            change: None,
            checks: None,
            critic: None,
            rank,
            why: why.to_owned(),
        }
    }

    #[test]
    fn attempts_are_a_table_with_the_best_at_the_top_and_say_what_to_do_with_it() {
        let in_review = |number| RunState::InReview { pull_request: PullRequestId(number) };
        let mut fork = attempt(4, Some(1), &in_review(2), "1 check passed; shares its place with 2");
        fork.fork_of = Some(id(1));
        let list = AttemptList {
            task: "task-0000000000".parse().unwrap(),
            attempts: vec![
                attempt(1, None, &RunState::Working, "has delivered nothing\u{1b}[2J yet"),
                attempt(2, Some(1), &in_review(1), "1 check passed; shares its place with 4"),
                attempt(3, Some(3), &in_review(3), "1 of 2 checks failed; behind 2 by its checks"),
                fork,
            ],
        };
        insta::assert_snapshot!(attempts(&list), @r#"
        place  attempt                     run             state                       cost   why
        1      2                           run-0000000002  in review: pull request #1  $0.24  1 check passed; shares its place with 4
        1      4 (fork of run-0000000001)  run-0000000004  in review: pull request #2  $0.48  1 check passed; shares its place with 2
        3      3                           run-0000000003  in review: pull request #3  $0.36  1 of 2 checks failed; behind 2 by its checks
        -      1                           run-0000000001  working                     $0.12  has delivered nothing[2J yet

        Look at it:        nightshift review show run-0000000002
        Merge that alone:  nightshift review merge run-0000000002 --close-others
        "#);
        let merged = AttemptList {
            attempts: vec![attempt(1, Some(1), &RunState::Merged { pull_request: PullRequestId(1) }, "x")],
            ..list
        };
        assert!(!attempts(&merged).contains("nightshift"), "nothing is left to merge");
    }

    #[test]
    fn what_became_of_the_others_is_told_one_by_one_with_a_way_on() {
        let error = UserError::new(ErrorCode::Conflict, "it is\u{1b} ending", "Try again.");
        let other = |number, outcome| OtherAttempt { number, run: id(number), outcome };
        let closed = OthersClosed {
            kept: id(1),
            others: vec![
                other(2, GivenUp::PullRequestClosed),
                other(3, GivenUp::Cancelled),
                other(4, GivenUp::OverBefore { state: "failed".to_owned() }),
                other(5, GivenUp::Refused { error }),
            ],
        };
        insta::assert_snapshot!(others(&closed), @r#"
        attempt 2  run-0000000002  pull request closed; its branch is kept
        attempt 3  run-0000000003  cancelled
        attempt 4  run-0000000004  over before: failed
        attempt 5  run-0000000005  not given up: it is ending
        Try again: nightshift review close --others-of run-0000000001
        "#);
        let alone = OthersClosed { kept: id(1), others: Vec::new() };
        assert_eq!(others(&alone), "run-0000000001 is the only attempt at its task.");
    }

    #[test]
    fn what_was_begun_is_told_with_how_to_follow_and_compare_it() {
        let begun = |number| SubmittedAttempt { run: id(number), branch: "b".to_owned() };
        let one = SubmitReply {
            task: "task-0000000000".parse().unwrap(),
            run: id(1),
            branch: "b".to_owned(),
            attempts: vec![begun(1)],
            notes: Vec::new(),
        };
        assert_eq!(submitted(&one), "run-0000000001\nFollow it: nightshift watch run-0000000001");
        let two = SubmitReply { attempts: vec![begun(1), begun(2)], ..one };
        insta::assert_snapshot!(submitted(&two), @r#"
        run-0000000001
        run-0000000002
        Follow one:   nightshift watch run-0000000001
        Compare them: nightshift review attempts task-0000000000
        "#);
    }

    #[test]
    fn lists_of_tasks_say_which_attempt_a_run_is() {
        let second = run(2, &RunState::Working);
        assert_eq!(second.attempt, Some(Attempt { number: 2, of: 3 }));
        let alone = RunSummary { attempt: None, ..run(1, &RunState::Working) };
        insta::assert_snapshot!(super::super::runs(&[second, alone]), @r#"
        run-0000000002  working  1 turn $0.24  [2/3] Add it
        run-0000000001  working  1 turn $0.12  Add it
        "#);
    }
}
