//! The disk below a sandbox fills up while a program in it writes.

use real_vm::{Night, SmallDisk, assert_exactly_once, small_repository};
use serde_json::{Value, json};

/// Writes more than there is room for, and then looks whether all of it is there.
fn script() -> Value {
    let shell =
        |command: &str| json!({"tool": "shell", "input": {"command": command, "timeout_seconds": 600}});
    json!({"model": "claude-sonnet-5-5", "turns": [
        {"calls": [shell("yes nightshift | head -c 500M > ~/much && sync && echo written")]},
        {"expect": [{"lastResultContains": "written"}],
         "calls": [shell("yes nightshift | head -c 500M | cmp - ~/much && echo the same > notes.txt && git commit -qam Fill && echo whole")]},
        {"expect": [{"lastResultContains": "whole"}],
         "calls": [{"tool": "evidence", "input": {"claim": "Every byte is there.", "step": "2.1"}}]},
        {"calls": [{"tool": "finish", "input": {"title": "Fill the disk", "summary": "It was full for a while."}}]},
    ]})
}

fn is_in(state: &'static str) -> impl Fn(&[Value]) -> bool {
    move |events| {
        let mut states = events.iter().filter(|event| event["type"] == "stateChanged");
        states.next_back().is_some_and(|event| event["state"]["type"] == state)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_the_sandbox_stand_still_and_room_lets_it_go_on_with_every_byte() {
    let night = Night::begin(script()).await;
    let disk = SmallDisk::below(&night, 3_000);
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());
    let run = night.submit("Fill the disk", &repository).await;
    night.until(&run, "a step", |events| events.iter().any(|event| event["type"] == "stepIntended")).await;
    disk.resize(disk.used_mib() + 200);

    let events = night.until(&run, "the run to pause", is_in("paused")).await;
    let paused = events.iter().rfind(|event| event["type"] == "stateChanged").unwrap();
    let error = &paused["state"]["reason"]["error"];
    assert_eq!(error["code"], "diskFull", "{paused}");
    assert!(error["message"].as_str().unwrap().starts_with("the sandbox stands still: the disk that holds "));
    assert_eq!(night.machines().len(), 1, "the sandbox waits");

    disk.resize(3_000);
    let events = night.until(&run, "the run to deliver", is_in("inReview")).await;
    night.assert_no_breach();
    assert_exactly_once(&events);
    night.said(&["stop"]).await;
    assert_eq!(night.machines(), Vec::<u32>::new());
}
