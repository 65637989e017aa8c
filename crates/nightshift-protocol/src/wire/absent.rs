//! Fields that an older version, or a short request, leaves out.

use serde_json::{Value, json};

use super::events;
use crate::{EventBody, Image, PreparedPicture, SandboxFacts, Task, ToolCall, ViewerMessage};

/// The kept example of an event without some of its fields.
fn without(kind: &str, fields: &[&str]) -> Value {
    let mut example = events()
        .as_array()
        .unwrap()
        .iter()
        .find(|example| example["type"] == kind)
        .unwrap_or_else(|| panic!("no example of {kind}"))
        .clone();
    for field in fields {
        assert!(example.as_object_mut().unwrap().remove(*field).is_some(), "{kind} has no {field}");
    }
    example
}

/// Reads it and proves that what was absent stays absent when it is written.
fn read(example: &Value) -> EventBody {
    let body: EventBody = serde_json::from_value(example.clone()).unwrap();
    assert_eq!(serde_json::to_value(&body).unwrap(), *example);
    body
}

#[test]
fn a_network_without_refused_hosts_names_none() {
    let EventBody::NetworkOpened { not_permitted, problem, .. } =
        read(&without("networkOpened", &["notPermitted", "problem"]))
    else {
        unreachable!()
    };
    assert_eq!((not_permitted, problem), (Vec::new(), None));
}

#[test]
fn a_run_that_is_the_only_attempt_or_older_is_none_of_several() {
    let EventBody::RunSubmitted { attempt, .. } = read(&without("runSubmitted", &["attempt"])) else {
        unreachable!()
    };
    assert_eq!(attempt, None);
}

#[test]
fn histories_of_an_older_version_tell_no_window() {
    let submitted = read(&without("runSubmitted", &["contextTokens"]));
    assert!(matches!(submitted, EventBody::RunSubmitted { context_tokens: None, .. }));
    let mut example = without("subagentStarted", &[]);
    assert!(example["subagent"].as_object_mut().unwrap().remove("contextTokens").is_some());
    let EventBody::SubagentStarted { subagent, .. } = read(&example) else { unreachable!() };
    assert_eq!(subagent.context_tokens, None);
}

#[test]
fn a_delivery_of_an_older_version_has_no_tallies() {
    let mut example = without("deliveryChecked", &[]);
    for field in ["checks", "critic"] {
        assert!(example["measure"].as_object_mut().unwrap().remove(field).is_some(), "{field}");
    }
    let EventBody::DeliveryChecked { measure, .. } = read(&example) else { unreachable!() };
    assert_eq!((measure.checks, measure.critic), (None, None));
}

#[test]
fn a_step_may_end_without_stored_output_status_or_reconciliation() {
    let EventBody::StepFinished { output, exit_code, reconciled, .. } =
        read(&without("stepFinished", &["output", "exitCode", "reconciled"]))
    else {
        unreachable!()
    };
    assert_eq!((output, exit_code, reconciled), (None, None, None));
}

#[test]
fn a_step_that_writes_no_file_intends_no_write() {
    let EventBody::StepIntended { write, .. } = read(&without("stepIntended", &["write"])) else {
        unreachable!()
    };
    assert_eq!(write, None);
}

#[test]
fn a_summary_that_was_not_given_is_absent() {
    let EventBody::Compacted { summary, .. } = read(&without("compacted", &["summary"])) else {
        unreachable!()
    };
    assert_eq!(summary, None);
}

#[test]
fn a_pull_request_of_the_built_in_forge_has_no_address() {
    let EventBody::PullRequestOpened { url, .. } = read(&without("pullRequestOpened", &["url"])) else {
        unreachable!()
    };
    assert_eq!(url, None);
}

#[test]
fn pictures_need_no_recording_and_a_recording_no_video() {
    let left_out = without("picturesPrepared", &["recording", "video"]);
    let EventBody::PicturesPrepared { recording, video, .. } = read(&left_out) else { unreachable!() };
    assert_eq!((recording, video), (None, None));
}

#[test]
fn a_screen_that_could_not_be_seen_is_absent() {
    assert_eq!(read(&without("takenOver", &["screen"])), EventBody::TakenOver { screen: None });
    let EventBody::HandedBack { screen, seconds, .. } = read(&without("handedBack", &["screen"])) else {
        unreachable!()
    };
    assert_eq!((screen, seconds), (None, 3));
}

#[test]
fn a_field_that_must_be_there_is_missed() {
    for (kind, field) in [
        ("runSubmitted", "branch"),
        ("turnFinished", "usage"),
        ("stepFinished", "call"),
        ("checkpointSaved", "cost"),
        ("branchReceived", "head"),
    ] {
        let refused = serde_json::from_value::<EventBody>(without(kind, &[field])).unwrap_err();
        assert!(refused.to_string().contains(&format!("missing field `{field}`")), "{kind}: {refused}");
    }
}

#[test]
fn a_picture_without_a_length_has_none_that_is_known() {
    let image = json!({"artifact": "a".repeat(64), "mediaType": "image/png", "width": 1, "height": 1});
    assert_eq!(serde_json::from_value::<Image>(image).unwrap().bytes, 0);
}

#[test]
fn a_sandbox_of_an_older_version_has_no_checkpoints() {
    let facts = json!({"driver": "qemu", "acceleration": "kvm", "template": "t", "firstFrameMs": 1, "shellMs": 1,
        "readyMs": 1});
    assert!(!serde_json::from_value::<SandboxFacts>(facts).unwrap().checkpoints);
}

#[test]
fn a_call_with_valid_input_is_not_malformed() {
    let call: ToolCall = serde_json::from_value(json!({"id": "c", "name": "shell", "input": {}})).unwrap();
    assert_eq!(call.malformed, None);
    assert_eq!(serde_json::to_value(call).unwrap(), json!({"id": "c", "name": "shell", "input": {}}));
}

#[test]
fn a_picture_that_leaves_the_machine_says_no_reason_to_keep_it() {
    let picture = json!({"artifact": "a".repeat(64), "prepared": "b".repeat(64), "mediaType": "image/png", "masked": 0});
    let read: PreparedPicture = serde_json::from_value(picture.clone()).unwrap();
    assert_eq!(read.kept_because, None);
    assert_eq!(serde_json::to_value(read).unwrap(), picture);
}

#[test]
fn a_task_that_no_issue_asked_for_names_none() {
    let mut task = events()[0]["task"].clone();
    task.as_object_mut().unwrap().remove("issue");
    let read: Task = serde_json::from_value(task.clone()).unwrap();
    assert_eq!(read.issue, None);
    assert_eq!(serde_json::to_value(read).unwrap(), task);
}

#[test]
fn a_viewer_may_hand_back_without_a_note_and_turn_the_wheel_one_way() {
    let message = |value| serde_json::from_value::<ViewerMessage>(value).unwrap();
    assert_eq!(message(json!({"type": "handBack"})), ViewerMessage::HandBack { note: String::new() });
    assert_eq!(
        message(json!({"type": "wheel", "x": 1, "y": 2, "down": 3})),
        ViewerMessage::Wheel { x: 1, y: 2, right: 0, down: 3 }
    );
}
