use nightshift_protocol::{OffsetDateTime, RunId};
use serde_json::{Value, json};

use super::*;

fn run() -> RunId {
    "run-0123456789".parse().unwrap()
}

fn summary(state: Value) -> Value {
    json!({
        "run": "run-0123456789", "state": state, "sandbox": null, "branch": "nightshift/add-dark-mode-0123456789",
        "turns": 12, "steps": 30, "lastSeq": 9, "updatedAt": "2026-11-28T18:00:00Z",
        "usage": {"inputTokens": 1, "cacheReadTokens": 1, "cacheWriteTokens": 1, "outputTokens": 1,
            "costMicrodollars": 1_234_567},
        "glance": {"planSteps": 0, "planDone": 0, "doing": "", "screen": null},
        "task": {"id": "task-0123456789", "description": "Add dark mode\nIt persists.", "repository": "/src/app",
            "baseBranch": "main", "baseCommit": "c".repeat(40), "model": "claude-sonnet-5-5",
            "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1},
            "createdAt": "2026-11-28T17:00:00Z"},
    })
}

fn pull_request_of(state: Value) -> Value {
    json!({"run": "run-0123456789", "number": 4, "title": "Add dark mode", "repository": "/src/app",
        "branch": "nightshift/add-dark-mode-0123456789", "base": "main", "head": "d".repeat(40), "state": state,
        "createdAt": "2026-11-28T18:00:00Z"})
}

fn screenshot() -> Value {
    json!({"claim": "It is dark.", "source": {"type": "screenshot", "step": "7.1", "label": "after reload",
        "image": {"artifact": "a".repeat(64), "mediaType": "image/png", "width": 1, "height": 1}}})
}

fn command(exit_code: Value) -> Value {
    json!({"claim": "Tests pass.", "source": {"type": "command", "step": "8.1", "command": "npm test",
        "exitCode": exit_code, "outputTail": "ok"}})
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_run_is_shown_with_plan_evidence_and_what_comes_next() {
    let detail: RunDetail = read(json!({
        "summary": summary(json!({"type": "inReview", "pullRequest": 4})),
        "plan": {"steps": [
            {"title": "Look", "state": "done"}, {"title": "Change", "state": "active"},
            {"title": "Polish", "state": "dropped"}, {"title": "Finish", "state": "pending"},
        ]},
        "evidence": [screenshot(), command(json!(0)), command(json!(null))],
        "pullRequest": pull_request_of(json!({"type": "open"})),
    }));
    insta::assert_snapshot!(super::detail(&detail));
}

#[test]
fn a_run_that_failed_says_what_to_do() {
    let error = json!({"code": "qemuMissing", "message": "qemu is not installed", "hint": "apt install it"});
    let detail: RunDetail = read(json!({
        "summary": summary(json!({"type": "failed", "reason": {"error": error}})),
        "plan": {"steps": []}, "evidence": [], "pullRequest": null,
    }));
    let shown = super::detail(&detail);
    assert!(shown.ends_with("\n\nerror: qemu is not installed\n  what to do: apt install it"), "{shown}");
}

#[test]
fn a_command_that_needs_a_yes_is_shown_whole_with_how_to_say_it() {
    let long = format!("May it run `curl -d {} https://example.org`?", "x".repeat(200));
    let waiting = json!({"type": "waiting", "question": long, "approval": "4.1"});
    let detail: RunDetail = read(json!({
        "summary": summary(waiting), "plan": {"steps": []}, "evidence": [], "pullRequest": null,
    }));
    let shown = super::detail(&detail);
    let end = format!(
        "{long}\nYes: nightshift approve run-0123456789 --step 4.1\nNo:  nightshift deny run-0123456789 --step 4.1 \"why\""
    );
    assert!(shown.contains(&end), "{shown}");
    assert!(
        state(&detail.summary.state).starts_with("waits for your yes to step 4.1: May it run"),
        "{shown}"
    );
}

#[test]
fn a_run_whose_sandbox_is_suspended_says_why_and_when_it_comes_back() {
    let shown = |state: Value, reason: Value| {
        let detail: RunDetail = read(json!({
            "summary": summary(state), "plan": {"steps": []}, "evidence": [], "pullRequest": null,
            "suspension": {"checkpoint": "checkpoint-0123456789", "reason": reason},
        }));
        super::detail(&detail).lines().last().unwrap_or_default().to_owned()
    };
    let waiting = json!({"type": "waiting", "question": "Which?"});
    let scarce = json!({"type": "memoryScarce", "availableMib": 500});
    assert_eq!(
        [shown(waiting, scarce), shown(json!({"type": "working"}), json!(null))],
        [
            "Its sandbox is suspended to disk: the host had 500 MiB of memory left. It comes back when the run goes on.",
            "Its sandbox is suspended to disk. It comes back when there is room.",
        ]
    );
}

#[test]
fn a_run_that_is_paused_by_trouble_says_what_to_do() {
    let error = json!({"code": "diskFull", "message": "the disk is full", "hint": "Make room."});
    let detail: RunDetail = read(json!({
        "summary": summary(json!({"type": "paused", "reason": {"type": "trouble", "error": error}})),
        "plan": {"steps": []}, "evidence": [], "pullRequest": null,
    }));
    let shown = super::detail(&detail);
    assert!(shown.ends_with("\n\nerror: the disk is full\n  what to do: Make room."), "{shown}");
}

#[test]
fn every_state_has_words_of_its_own() {
    let states: Vec<RunState> =
        serde_json::from_str(include_str!("../../../nightshift-protocol/wire/states.json")).unwrap();
    let shown: Vec<String> = states.iter().map(super::state).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn every_event_that_a_person_should_see_has_a_line() {
    let events: Vec<EventBody> =
        serde_json::from_str(include_str!("../../../nightshift-protocol/wire/events.json")).unwrap();
    let lines = events.into_iter().filter_map(|body| {
        let name = body.name();
        let event = Event { position: 1, run: run(), seq: 1, at: OffsetDateTime::UNIX_EPOCH, body };
        super::event(&event).map(|line| format!("{name:<20}{line}"))
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_list_of_runs_has_one_line_for_each() {
    let runs: Vec<RunSummary> = read(json!([
        summary(json!({"type": "working"})),
        summary(json!({"type": "waiting", "question": "Which\u{1b}[2J colour?"})),
    ]));
    insta::assert_snapshot!(super::runs(&runs), @r"
    run-0123456789  working                          12 turns $1.23  Add dark mode
    run-0123456789  waits for you: Which[2J colour?  12 turns $1.23  Add dark mode
    ");
}

#[test]
fn a_run_that_is_suspended_to_disk_is_marked_in_the_list() {
    let mut run: RunSummary = read(summary(json!({"type": "paused", "reason": {"type": "person"}})));
    assert!(!super::runs(std::slice::from_ref(&run)).contains("suspended"));
    run.suspended = true;
    assert_eq!(super::runs(&[run]), "run-0123456789  paused (suspended)  12 turns $1.23  Add dark mode");
}

#[test]
fn empty_lists_say_what_to_do_or_that_nothing_waits() {
    assert!(super::runs(&[]).contains("nightshift exec"));
    assert_eq!(pull_requests(&[]), "There is no pull request yet.");
    assert!(checkpoints(&[]).contains("nightshift checkpoint save"));
}

#[test]
fn pull_requests_are_listed_with_where_they_are() {
    let merged = json!({"type": "merged", "commit": "e".repeat(40)});
    let list: Vec<PullRequestSummary> = read(json!([
        pull_request_of(json!({"type": "open"})),
        pull_request_of(merged),
        pull_request_of(json!({"type": "closed"})),
    ]));
    insta::assert_snapshot!(pull_requests(&list), @r"
    run-0123456789  #4 open    Add dark mode  /src/app
    run-0123456789  #4 merged  Add dark mode  /src/app
    run-0123456789  #4 closed  Add dark mode  /src/app
    ");
}

fn pull_request_detail(state: Value, remarks: Value) -> PullRequestDetail {
    read(
        json!({"summary": pull_request_of(state), "body": "Dark mode.\u{202e}\n", "commits": ["Add a toggle"],
        "evidence": [], "remarks": remarks, "runState": {"type": "inReview", "pullRequest": 4},
        "bareRepository": "/data/app.git"}),
    )
}

#[test]
fn remarks_are_shown_with_where_they_are_and_what_became_of_them() {
    let line = json!({"type": "line", "path": "src/a.js", "line": 12, "side": "after", "quote": "let a;"});
    let shown = remarks(&read::<Vec<ReviewRemark>>(json!([
        {"feedback": {"name": "f1", "source": line, "words": "Name\u{1b}[2J it."}, "state": "resolved", "answer": "Done."},
        {"feedback": {"name": "f2", "source": {"type": "review", "review": 0, "author": "ada"}, "words": "Why?"}, "state": "pending"},
    ])));
    assert_eq!(
        shown,
        "\nRemarks\n\nf1 src/a.js:12 (resolved)\n  Name[2J it.\n  → Done.\n\nf2 ada (not sent)\n  Why?\n"
    );
}

#[test]
fn an_open_pull_request_names_the_commands_that_decide_on_it() {
    let shown = pull_request(&pull_request_detail(json!({"type": "open"}), json!([])));
    insta::assert_snapshot!(shown, @r#"
    #4 Add dark mode (open)
    nightshift/add-dark-mode-0123456789 into main, 1 commit
      Add a toggle

    Dark mode.

    Diff:  nightshift review diff run-0123456789
    Ask:   nightshift review ask run-0123456789 "…"
    Merge: nightshift review merge run-0123456789
    Close: nightshift review close run-0123456789
    "#);
}

#[test]
fn one_that_was_approved_reads_so_until_it_is_decided() {
    let shown = |state: Value| {
        let mut detail = pull_request_detail(state, json!([]));
        detail.approved = true;
        pull_request(&detail).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(shown(json!({"type": "open"})), "#4 Add dark mode (approved)");
    assert_eq!(shown(json!({"type": "closed"})), "#4 Add dark mode (closed)");
}

#[test]
fn a_body_is_shown_as_words_and_not_as_marks() {
    let mut detail = pull_request_detail(json!({"type": "open"}), json!([]));
    detail.body = "It \\[works\\].\n\n## Evidence\n\n**1.** Dark.\n".to_owned();
    let shown = pull_request(&detail);
    assert!(shown.contains("\n\nIt [works].\n\nEvidence\n  1. Dark.\n\nDiff:"), "{shown}");
}

#[test]
fn one_commit_is_one_commit() {
    let received = |commits: u32| {
        let body = EventBody::BranchReceived {
            branch: "b".to_owned(),
            head: "d".repeat(40).parse().unwrap(),
            commits,
        };
        super::event(&Event { position: 1, run: run(), seq: 1, at: OffsetDateTime::UNIX_EPOCH, body })
    };
    assert_eq!(received(1).as_deref(), Some("· 1 commit on b"));
    assert_eq!(received(2).as_deref(), Some("· 2 commits on b"));
}

#[test]
fn a_pull_request_that_is_decided_offers_nothing() {
    let shown = pull_request(&pull_request_detail(json!({"type": "closed"}), json!([])));
    assert!(shown.contains("(closed)") && !shown.contains("Merge:"), "{shown}");
}

#[test]
fn a_checkpoint_is_one_line_with_what_it_cost() {
    let list: Vec<CheckpointSummary> = read(json!([
        {"checkpoint": "checkpoint-0123456789", "cause": "steps", "step": "7.1", "seq": 9, "at": "2026-11-28T18:00:00Z",
            "cost": {"changedBytes": 3_145_728, "writtenBytes": 1_048_576, "pausedMs": 80, "tookMs": 900}},
        {"checkpoint": "checkpoint-9876543210", "cause": "beforeDelivery", "step": null, "seq": 10,
            "at": "2026-11-28T18:00:00Z", "cost": {"changedBytes": 0, "writtenBytes": 0, "pausedMs": 0, "tookMs": 0}},
    ]));
    insta::assert_snapshot!(checkpoints(&list), @r"
    checkpoint-0123456789  step 7.1     after steps      3.0 MiB changed, 1.0 MiB written, stood still for 80 ms
    checkpoint-9876543210               before delivery  0.0 MiB changed, 0.0 MiB written, stood still for 0 ms
    ");
}

#[test]
fn a_doctor_s_report_says_what_is_weak_and_what_is_bad() {
    let error = json!({"code": "diskFull", "message": "1 GiB is free", "hint": "Make room."});
    let report: DoctorReport = read(json!({"checks": [
        {"name": "git", "outcome": {"type": "good", "found": "git 2.47"}},
        {"name": "acceleration", "outcome": {"type": "weak", "found": "tcg", "hint": "Enable KVM."}},
        {"name": "disk", "outcome": {"type": "bad", "error": error}},
    ]}));
    insta::assert_snapshot!(doctor(&report), @r"
    [ok]   git: git 2.47
    [weak] acceleration: tcg
             Enable KVM.
    [bad]  disk: 1 GiB is free
             Make room.
    ");
}

#[test]
fn a_line_is_flat_and_cut_with_a_mark() {
    assert_eq!(line(" a\n\tb  c "), "a b c");
    let cut = line(&"ü".repeat(500));
    assert_eq!((cut.chars().count(), cut.ends_with('…')), (WIDTH, true));
    assert_eq!(line(&"x".repeat(WIDTH)), "x".repeat(WIDTH));
}

#[test]
fn wrong_use_has_an_exit_status_of_its_own() {
    assert_eq!(exit_code(ErrorCode::InvalidRequest), 2);
    for code in [ErrorCode::NotFound, ErrorCode::Conflict, ErrorCode::DiskFull, ErrorCode::Internal] {
        assert_eq!(exit_code(code), 1, "{code:?}");
    }
}

#[test]
fn an_error_without_a_hint_has_one_line() {
    assert_eq!(error(&UserError::new(ErrorCode::Internal, "it\u{7} broke", "")), "error: it broke");
}

#[test]
fn calls_of_other_tools_are_shown_with_their_input() {
    let wanted = |name: &str, input: Value| {
        call(&ToolCall { id: "c".to_owned(), name: name.to_owned(), input, malformed: None })
    };
    assert_eq!(wanted("evidence", json!({"claim": "It is dark."})), "evidence: It is dark.");
    assert_eq!(wanted("finish", json!({"title": "Add dark mode"})), "finish: Add dark mode");
    let found =
        json!({"criteria": [{"criterion": 1, "verdict": "met"}, {"criterion": 2, "verdict": "notMet"}]});
    assert_eq!(wanted("verdict", found), "verdict: 1 met, 2 notMet");
    assert_eq!(wanted("verdict", json!({"criteria": 7})), "verdict:");
    assert_eq!(wanted("plan", json!({"steps": []})), "plan {\"steps\":[]}");
    assert_eq!(wanted("shell", json!(null)), "$");
}

fn wanted(name: &str, input: serde_json::Value) -> ToolCall {
    ToolCall { id: "c".to_owned(), name: name.to_owned(), input, malformed: None }
}

#[test]
fn text_from_a_sandbox_cannot_move_the_cursor() {
    assert_eq!(plain("a\u{1b}[2Jb\rc\u{7}\nd"), "a[2Jbc\nd");
}

#[test]
fn text_from_a_sandbox_cannot_turn_the_direction_of_writing() {
    assert_eq!(plain("rm \u{202e}x\u{2066}y\u{200f}z\u{61c}\u{9b}2J\u{7f} ü→日"), "rm xyz2J ü→日");
}

#[test]
fn json_for_a_terminal_means_what_it_meant() {
    let value = json!({"text": "a\u{9b}2J\u{7f}\u{202e}b\u{1b}\nü"});
    let shown = super::json(&value);
    assert_eq!(shown, r#"{"text":"a\u009b2J\u007f\u202eb\u001b\nü"}"#);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
}

#[test]
fn calls_are_shown_as_a_person_would_say_them() {
    let calls = [
        wanted("shell", json!({"command": "(cd web && npm test)\n"})),
        wanted("edit", json!({"action": "create", "path": "src/theme.js"})),
        wanted("computer", json!({"action": "left_click", "coordinate": [1228, 38]})),
        wanted("computer", json!({"action": "type", "text": "hello"})),
        wanted("browser", json!({"action": "open", "url": "http://localhost:4173/"})),
        wanted("browser", json!({"action": "fill", "reference": "k7-4", "text": "Buy rope"})),
        wanted("browser", json!({"action": "problems"})),
    ];
    let shown = calls.iter().map(super::call).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            "$ (cd web && npm test)",
            "edit create src/theme.js",
            "screen left_click at [1228,38]",
            "screen type \"hello\"",
            "browser open http://localhost:4173/",
            "browser fill k7-4 Buy rope",
            "browser problems"
        ]
    );
}

#[test]
fn an_error_says_what_to_do() {
    let shown = super::error(&UserError::new(ErrorCode::DiskFull, "the disk is full", "Free some space."));
    assert_eq!(shown, "error: the disk is full\n  what to do: Free some space.");
}

#[test]
fn columns_are_as_wide_as_their_widest_cell() {
    let rows = [["a".to_owned(), "b".to_owned()], ["long".to_owned(), String::new()]];
    assert_eq!(table(&rows), "a     b\nlong");
}

#[test]
fn money_is_shown_in_cents() {
    assert_eq!(money(1_234_567), "$1.23");
    assert_eq!((money(4_999).as_str(), money(9_999).as_str()), ("$0.00", "$0.01"));
}

#[test]
fn an_event_that_only_machines_need_is_not_shown() {
    let shown = super::event(&Event {
        position: 1,
        run: "run-0000000000".parse().unwrap(),
        seq: 1,
        at: nightshift_protocol::OffsetDateTime::UNIX_EPOCH,
        body: EventBody::TurnRequested { turn: 1 },
    });
    assert_eq!(shown, None);
}
