//! What operations take: short forms, and what is refused.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{
    CheckOutcome, ErrorCode, ForkRun, Limits, ListRuns, Live, LiveBody, MessageDelivery, OffsetDateTime,
    OpenSession, PullRequestState, RaiseLimits, RewindRun, SayToRun, SearchFor, Session, SubmitTask,
    TryModel, Uncommitted, UserError,
};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

/// Adds a field that nobody knows to a request that is understood, and says how it is refused.
fn refusal<T: DeserializeOwned>(mut request: Value) -> String {
    assert!(serde_json::from_value::<T>(request.clone()).is_ok(), "{request}");
    request["colour"] = json!("red");
    match serde_json::from_value::<T>(request) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn written(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn a_misspelt_field_of_a_request_is_refused_by_name_and_not_passed_over() {
    let refusals = [
        refusal::<SubmitTask>(json!({"description": "x", "repository": "/src"})),
        refusal::<SayToRun>(json!({"text": "x"})),
        refusal::<RaiseLimits>(json!({})),
        refusal::<ForkRun>(json!({"checkpoint": "1.1"})),
        refusal::<RewindRun>(json!({"checkpoint": "1.1"})),
        refusal::<OpenSession>(json!({"ticket": "x"})),
        refusal::<TryModel>(json!({})),
        refusal::<ListRuns>(json!({})),
        refusal::<SearchFor>(json!({"q": "x"})),
    ];
    for refusal in refusals {
        assert!(refusal.starts_with("unknown field `colour`"), "{refusal}");
    }
}

#[test]
fn a_task_needs_a_description_and_a_repository_and_nothing_else() {
    let task: SubmitTask = read(json!({"description": "Add dark mode", "repository": "/src/app"}));
    let expected = SubmitTask {
        description: "Add dark mode".to_owned(),
        repository: "/src/app".to_owned(),
        base_branch: None,
        model: None,
        limits: RaiseLimits::default(),
        attempts: 1,
        self_review_rounds: None,
        approval: None,
        engine: None,
        issue: None,
        criteria: Vec::new(),
        uncommitted: Uncommitted::Refuse,
    };
    assert_eq!(task, expected);
    assert_eq!(written(&task).get("limits"), None);
    assert!(serde_json::from_value::<SubmitTask>(json!({"description": "x"})).is_err());
    assert!(serde_json::from_value::<SubmitTask>(json!({"repository": "x"})).is_err());
}

#[test]
fn several_attempts_are_asked_for_by_their_number_and_one_is_not_written() {
    let several = json!({"description": "x", "repository": "/src", "attempts": 3});
    let task: SubmitTask = read(several);
    assert_eq!((task.attempts, written(&task)["attempts"].clone()), (3, json!(3)));
    let one: SubmitTask = read(json!({"description": "x", "repository": "/src", "attempts": 1}));
    assert_eq!(written(&one).get("attempts"), None);
    let odd = json!({"description": "x", "repository": "/src", "attempts": -1});
    assert!(serde_json::from_value::<SubmitTask>(odd).is_err());
}

#[test]
fn what_is_not_committed_stops_a_task_unless_it_is_to_be_left_out() {
    assert_eq!(read::<Uncommitted>(json!("leaveOut")), Uncommitted::LeaveOut);
    assert!(serde_json::from_value::<Uncommitted>(json!("takeAlong")).is_err());
}

#[test]
fn limits_of_a_task_are_given_whole() {
    let whole = json!({"turns": 1, "tokens": 2, "costMicrodollars": 3, "seconds": 4});
    assert_eq!(read::<Limits>(whole), Limits { turns: 1, tokens: 2, cost_microdollars: 3, seconds: 4 });
    for odd in [json!({"turns": 1}), json!({"turns": -1, "tokens": 2, "costMicrodollars": 3, "seconds": 4})] {
        assert!(serde_json::from_value::<Limits>(odd.clone()).is_err(), "{odd}");
    }
}

#[test]
fn limits_that_are_not_raised_stay_as_they_are() {
    let before = Limits { turns: 1, tokens: 2, cost_microdollars: 3, seconds: 4 };
    assert_eq!(RaiseLimits::default().over(before), before);
    let each = [
        (RaiseLimits { turns: Some(9), ..RaiseLimits::default() }, Limits { turns: 9, ..before }),
        (RaiseLimits { tokens: Some(9), ..RaiseLimits::default() }, Limits { tokens: 9, ..before }),
        (
            RaiseLimits { cost_microdollars: Some(9), ..RaiseLimits::default() },
            Limits { cost_microdollars: 9, ..before },
        ),
        (RaiseLimits { seconds: Some(9), ..RaiseLimits::default() }, Limits { seconds: 9, ..before }),
    ];
    for (raised, after) in each {
        assert_eq!(raised.over(before), after, "{raised:?}");
    }
}

#[test]
fn of_a_task_s_limits_some_may_be_named() {
    let some = json!({"description": "x", "repository": "/src", "limits": {"seconds": 60}});
    let task: SubmitTask = read(some);
    assert_eq!(task.limits, RaiseLimits { seconds: Some(60), ..RaiseLimits::default() });
    let odd = json!({"description": "x", "repository": "/src", "limits": {"dollars": 1}});
    assert!(serde_json::from_value::<SubmitTask>(odd).is_err());
}

#[test]
fn limits_that_are_absent_are_not_written() {
    assert_eq!(written(&RaiseLimits::default()), json!({}));
    let turns = RaiseLimits { turns: Some(3), ..RaiseLimits::default() };
    assert_eq!(written(&turns), json!({"turns": 3}));
}

#[test]
fn a_message_steers_unless_it_says_otherwise() {
    assert_eq!(read::<SayToRun>(json!({"text": "x"})).delivery, MessageDelivery::Steer);
    for (word, delivery) in [("interrupt", MessageDelivery::Interrupt), ("queue", MessageDelivery::Queue)] {
        assert_eq!(read::<SayToRun>(json!({"text": "x", "delivery": word})).delivery, delivery);
    }
}

#[test]
fn a_fork_is_one_run_unless_more_are_asked_for() {
    let fork: ForkRun = read(json!({"checkpoint": "1.1"}));
    assert_eq!(fork, ForkRun { checkpoint: "1.1".to_owned(), count: 1, text: None });
    assert_eq!(read::<ForkRun>(json!({"checkpoint": "1.1", "count": 0})).count, 0);
}

#[test]
fn a_list_of_runs_may_ask_for_nothing_in_particular() {
    assert_eq!(read::<ListRuns>(json!({})), ListRuns::default());
}

#[test]
fn an_error_is_code_message_and_hint_and_shows_its_message() {
    let error = UserError::new(ErrorCode::DiskFull, "the disk is full", "Make room.");
    let wire = json!({"code": "diskFull", "message": "the disk is full", "hint": "Make room."});
    assert_eq!(written(&error), wire);
    assert_eq!(read::<UserError>(wire), error);
    assert_eq!(error.to_string(), "the disk is full");
}

#[test]
fn a_code_that_nobody_knows_is_no_error_of_ours() {
    assert!(serde_json::from_value::<ErrorCode>(json!("teapot")).is_err());
    assert!(serde_json::from_value::<ErrorCode>(json!("DiskFull")).is_err());
}

#[test]
fn what_passes_is_told_beside_its_run() {
    let run: crate::RunId = "run-0000000000".parse().unwrap();
    let bodies = [
        (
            LiveBody::SetUpProgress {
                what: "template".to_owned(),
                phase: "boot".to_owned(),
                number: 1,
                of: 3,
            },
            json!({"run": "run-0000000000", "type": "setUpProgress", "what": "template", "phase": "boot",
                "number": 1, "of": 3}),
        ),
        (
            LiveBody::ModelText { text: "I".to_owned() },
            json!({"run": "run-0000000000", "type": "modelText", "text": "I"}),
        ),
        (
            LiveBody::StepOutput { step: "2.1".parse().unwrap(), text: "ok".to_owned() },
            json!({"run": "run-0000000000", "type": "stepOutput", "step": "2.1", "text": "ok"}),
        ),
    ];
    for (body, wire) in bodies {
        let live = Live { run: run.clone(), body };
        assert_eq!(written(&live), wire);
        assert_eq!(read::<Live>(wire), live);
    }
}

#[test]
fn a_check_is_good_weak_or_bad() {
    let error = UserError::new(ErrorCode::QemuMissing, "no QEMU", "Install it.");
    for (outcome, wire) in [
        (CheckOutcome::Good { found: "kvm".to_owned() }, json!({"type": "good", "found": "kvm"})),
        (
            CheckOutcome::Weak { found: "tcg".to_owned(), hint: "x".to_owned() },
            json!({"type": "weak", "found": "tcg", "hint": "x"}),
        ),
        (CheckOutcome::Bad { error: error.clone() }, json!({"type": "bad", "error": written(&error)})),
    ] {
        assert_eq!(written(&outcome), wire);
        assert_eq!(read::<CheckOutcome>(wire), outcome);
    }
}

#[test]
fn a_merged_pull_request_names_its_commit() {
    let commit: crate::CommitId = "c".repeat(40).parse().unwrap();
    for (state, wire) in [
        (PullRequestState::Open, json!({"type": "open"})),
        (PullRequestState::Merged { commit }, json!({"type": "merged", "commit": "c".repeat(40)})),
        (PullRequestState::Closed, json!({"type": "closed"})),
    ] {
        assert_eq!(written(&state), wire);
        assert_eq!(read::<PullRequestState>(wire), state);
    }
}

#[test]
fn times_are_written_in_utc_and_read_in_any_zone() {
    let session = Session { expires_at: OffsetDateTime::UNIX_EPOCH };
    assert_eq!(written(&session), json!({"expiresAt": "1970-01-01T00:00:00Z"}));
    assert_eq!(read::<Session>(json!({"expiresAt": "1970-01-01T02:00:00+02:00"})), session);
    assert!(serde_json::from_value::<Session>(json!({"expiresAt": "tomorrow"})).is_err());
    assert!(serde_json::from_value::<Session>(json!({"expiresAt": 0})).is_err());
}
