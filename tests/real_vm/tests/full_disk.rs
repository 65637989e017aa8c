//! The disk below a sandbox fills up while a program in it writes.

use real_vm::{Night, SmallDisk, assert_exactly_once, small_repository};
use serde_json::{Value, json};

/// Writes more than there is room for, and then looks whether all of it is there.
fn script() -> Value {
    let shell =
        |command: &str| json!({"tool": "shell", "input": {"command": command, "timeout_seconds": 600}});
    let ask = json!({"tool": "ask", "input": {"question": "Once more?"}});
    let asks = |before: &str| json!({"expect": [{"lastResultContains": before}], "calls": [ask]});
    json!({"model": "claude-sonnet-5-5", "turns": [
        {"calls": [shell("yes nightshift | head -c 400M > ~/much && sync && echo written")]},
        {"expect": [{"lastResultContains": "written"}],
         "calls": [shell("yes nightshift | head -c 400M | cmp - ~/much && echo the same > notes.txt && git commit -qam Fill && echo whole")]},
        {"expect": [{"lastResultContains": "whole"}],
         "calls": [{"tool": "evidence", "input": {"claim": "Every byte is there.", "step": "2.1"}}]},
        {"calls": [{"tool": "finish", "input": {"title": "Fill the disk", "summary": "It was full for a while."}}]},
    ], "conversations": [{"when": {"firstMessageContains": "Work beside it"}, "turns": [
        {"calls": [shell("for i in $(seq 40); do echo $i; sleep 0.2; done > ~/counted; sync; tail -1 ~/counted")]},
        asks("40"),
        {"calls": [shell("head -c 4M /dev/urandom > ~/more && sync && wc -c < ~/more")]},
        asks("4194304"),
    ]}]})
}

fn is_in(state: &'static str) -> impl Fn(&[Value]) -> bool {
    move |events| {
        let mut states = events.iter().filter(|event| event["type"] == "stateChanged");
        states.next_back().is_some_and(|event| event["state"]["type"] == state)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_makes_the_sandbox_stand_still_and_room_lets_it_go_on_with_every_byte() {
    // Nothing of it is kept free, as where others fill it faster than anybody looks.
    let night = Night::begin_with(script(), "[disk]\nreserve_mib = 0", Vec::new()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_greedy_sandbox_stands_still_before_the_disk_is_full_and_its_neighbour_works_on() {
    const RESERVE_MIB: u64 = 150;
    let configuration = format!("[disk]\nreserve_mib = {RESERVE_MIB}");
    let night = Night::begin_with(script(), &configuration, Vec::new()).await;
    let disk = SmallDisk::below(&night, 3_000);
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());
    let begun = |events: &[Value]| events.iter().any(|event| event["type"] == "stepIntended");
    let neighbour = night.submit("Work beside it", &repository).await;
    night.until(&neighbour, "the neighbour's step", begun).await;
    let greedy = night.submit("Fill the disk", &repository).await;
    night.until(&greedy, "a step", begun).await;
    disk.resize(disk.used_mib() + 2 * RESERVE_MIB);

    let events = night.until(&greedy, "the run to pause", is_in("paused")).await;
    let paused = events.iter().rfind(|event| event["type"] == "stateChanged").unwrap();
    let error = &paused["state"]["reason"]["error"];
    assert_eq!(error["code"], "diskFull", "{paused}");
    let said = error["message"].as_str().unwrap();
    assert!(said.contains("it wrote ") && said.contains("; the disk of the host has "), "{said}");
    let left = disk.free_mib();
    // Others have written and removed something since.
    assert!((RESERVE_MIB / 3..RESERVE_MIB + 5).contains(&left), "{left} MiB are left: {said}");

    // The neighbour ends what it does, and writes a file of some size beside the one that stands still.
    night.until(&neighbour, "the neighbour's question", is_in("waiting")).await;
    let before = night.events(&neighbour).await.len();
    night.said(&["steer", &neighbour, "Yes."]).await;
    let asks_again = |events: &[Value]| events.len() > before + 3 && is_in("waiting")(events);
    let events = night.until(&neighbour, "its next question", asks_again).await;
    let states = events.iter().filter(|event| event["type"] == "stateChanged");
    assert!(
        states.clone().all(|event| event["state"]["type"] != "paused"),
        "{:#?}",
        states.collect::<Vec<_>>()
    );
    assert!(is_in("paused")(&night.events(&greedy).await), "there is no more room than before");
    night.assert_no_breach();

    disk.resize(3_000);
    let events = night.until(&greedy, "the run to deliver", is_in("inReview")).await;
    night.assert_no_breach();
    assert_exactly_once(&events);
    night.said(&["cancel", &neighbour]).await;
    night.said(&["stop"]).await;
}
