//! Runs from the task to the pull request and the merge, in sandboxes of this host.

mod approvals;
mod engines;
mod mcp_servers;
mod self_reviews;
mod subagents;

use nightshift_protocol::{EventBody, Merge, ResultPart, RunState};
use serde_json::json;
use suite::{Night, SystemClock, assert_exactly_once, evidence, finish, git, names, shell};

#[tokio::test(flavor = "multi_thread")]
async fn a_task_becomes_a_pull_request_and_its_merge_has_the_work() {
    let night = Night::begin(json!({"turns": [
        {"calls": [shell("echo two >> notes.txt && git commit -qam 'Add a note' && cat notes.txt")]},
        {"expect": [{"lastResultContains": "one\ntwo"}], "calls": [
            {"tool": "computer", "input": {"action": "left_click", "coordinate": [100, 100]}},
            evidence("There are two notes.", "1.1"),
            evidence("The screen shows the click.", "2.1"),
        ]},
        {"calls": [finish("Add a note")]},
    ]}))
    .await;
    let run = night.submit("Add a note").await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let pictures = events.iter().filter(|event| match &event.body {
        EventBody::StepFinished { content, .. } => {
            content.iter().any(|part| matches!(part, ResultPart::Image { .. }))
        }
        _ => false,
    });
    assert_eq!(pictures.count(), 1);

    let merged = night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert_eq!(git(&merged.bare_repository, &["show", "trunk:notes.txt"]), "one\ntwo\n");
    assert!(matches!(night.state(&run).await, RunState::Merged { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_under_way_when_the_owner_ends_is_found_again_and_not_repeated() {
    let mut night = Night::begin(json!({"turns": [
        {"calls": [shell("echo two >> notes.txt; sleep 1; git commit -qam 'Add a note'; cat notes.txt")]},
        {"expect": [{"lastResultContains": "one\ntwo"}], "calls": [evidence("Two notes.", "1.1")]},
        {"calls": [finish("Add a note")]},
    ]}))
    .await;
    let run = night.submit("Add a note").await;
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    night.owner_restarts().await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    assert!(names(&events).contains(&"ownerResumed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computer_that_slept_during_a_run_is_written_down_once() {
    let night = Night::begin(json!({"turns": [
        {"calls": [shell("echo two >> notes.txt; sleep 1; git commit -qam 'Add a note'; cat notes.txt")]},
        {"calls": [evidence("Two notes.", "1.1")]},
        {"calls": [finish("Add a note")]},
    ]}))
    .await;
    let run = night.submit("Add a note").await;
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    SystemClock::sleep(28_800);
    let events = night.until_in_review(&run).await;
    let slept = events.iter().filter_map(|event| match event.body {
        EventBody::HostSlept { seconds } => Some(seconds),
        _ => None,
    });
    assert_eq!(slept.collect::<Vec<_>>(), [28_800]);
    assert_exactly_once(&events);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_criteria_a_description_lists_are_shown_one_by_one_or_the_work_is_not_done() {
    let shows = |criterion: u32, claim: &str, step: &str| json!({"tool": "evidence", "input": {"claim": claim, "criterion": criterion, "step": step}});
    let night = Night::begin(json!({"turns": [
        {"calls": [shell("echo two >> notes.txt && git commit -qam 'Add a note' && cat notes.txt")]},
        {"calls": [shows(1, "There are two notes.", "1.1"), shows(3, "No such criterion.", "1.1")]},
        {"expect": [{"lastResultContains": "There is no criterion 3: the task has 1 to 2."}], "calls": [finish("Add a note")]},
        {"expect": [{"lastResultContains": "no evidence names acceptance criterion 2"}], "calls": [
            {"tool": "finish", "input": {"title": "Add a note", "summary": "A note.",
                "not_verified": "2: there is no printer here."}}]},
    ]}))
    .await;
    let description = "Add a note\n\nAcceptance criteria:\n- It is committed.\n- It can be printed.\n";
    let run = night.submit(description).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let body = night.owner.api.pull_request(run.as_str()).await.unwrap().body;
    let expected = "## Acceptance criteria\n\n1. It is committed. (evidence 1)\n2. It can be printed. (**no evidence**)\n\n## Evidence";
    assert!(body.contains(expected), "{body}");
    night.assert_no_breach();
}
