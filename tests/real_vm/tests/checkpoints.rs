//! A real desktop goes back in time: what ran and what was typed is there again.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use real_vm::{Night, small_repository};
use serde_json::{Value, json};

/// Starts a web server whose page is one large field, with what was typed for its title; that server is also the process
/// that has to be there again.
const BEGIN: &str = "mkdir -p /tmp/site && echo '<title>empty</title><input \
    style=\"position:fixed;inset:0;width:100%;height:100%\" oninput=\"document.title=this.value\">' > /tmp/site/index.html; \
    (cd /tmp/site && exec python3 -m http.server 8765) >/dev/null 2>&1 & echo $! > /tmp/pid; \
    echo in memory > /dev/shm/kept; echo on disk > notes.txt; \
    until curl -sf http://127.0.0.1:8765/ >/dev/null; do sleep 0.3; done; \
    curl -s -X PUT http://127.0.0.1:9222/json/new?http://127.0.0.1:8765/ >/dev/null; \
    until curl -s http://127.0.0.1:9222/json/list | grep -q '\"title\": \"empty\"'; do sleep 0.5; done; sleep 2";

/// Whether all is as it was when the checkpoint was saved. Then it is destroyed, so that it is there again only if the
/// machine went back.
const LOOK: &str = "kill -0 $(cat /tmp/pid) && echo the process runs; \
    curl -s http://127.0.0.1:9222/json/list | grep -o 'typed by hand' | head -1; cat /dev/shm/kept notes.txt; \
    kill $(cat /tmp/pid); echo destroyed > /dev/shm/kept; echo destroyed > notes.txt; \
    for tab in $(curl -s http://127.0.0.1:9222/json/list | jq -r '.[] | select(.title == \"typed by hand\") | .id'); \
    do curl -s http://127.0.0.1:9222/json/close/$tab >/dev/null; done; sleep 1; sync";

const AS_IT_WAS: &str = "the process runs\ntyped by hand\nin memory\non disk\n";

fn script() -> Value {
    let shell = |command: &str| json!({"tool": "shell", "input": {"command": command}});
    let computer = |input: Value| json!({"tool": "computer", "input": input});
    json!({"model": "claude-sonnet-5-5", "turns": [
        {"calls": [shell(BEGIN)]},
        {"calls": [
            computer(json!({"action": "left_click", "coordinate": [640, 500]})),
            computer(json!({"action": "type", "text": "typed by hand"})),
        ]},
        {"calls": [{"tool": "ask", "input": {"question": "Shall I look?"}}]},
        {"calls": [shell(LOOK)]},
        {"calls": [{"tool": "ask", "input": {"question": "What now?"}}]},
        {"calls": [shell("echo gone on")]},
        {"calls": [{"tool": "ask", "input": {"question": "And now?"}}]},
        {"calls": [shell("echo it is lost")]},
    ]})
}

/// Waits until a run asks that question, at an event after `after`; returns the number of that event.
async fn asked(night: &Night, run: &str, question: &str, after: u64) -> u64 {
    let asks = |event: &Value| {
        event["seq"].as_u64() > Some(after) && event["state"]["question"].as_str() == Some(question)
    };
    let events = night.until(run, question, |events| events.iter().any(asks)).await;
    let newest = events.iter().rev().find(|event| asks(event)).unwrap();
    newest["seq"].as_u64().unwrap()
}

/// What the newest look found.
async fn seen(night: &Night, run: &str) -> String {
    let events = night.events(run).await;
    let looked = events.iter().rev().find(|event| event["type"] == "stepFinished" && event["step"] == "4.1");
    looked.unwrap()["content"][0]["text"].as_str().unwrap().to_owned()
}

fn assert_as_it_was(seen: &str) {
    assert!(seen.contains(AS_IT_WAS.trim_end()), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_with_typed_text_and_a_process_are_there_again_after_rewind_fork_and_suspension() {
    let night = Night::begin(script()).await;
    let folder = tempfile::tempdir().unwrap();
    let run = night.submit("Look at what is there", &small_repository(folder.path())).await;
    asked(&night, &run, "Shall I look?", 0).await;
    let saved = night.json(&["checkpoint", "save", &run, "--json"]).await;
    let checkpoint = saved["checkpoint"].as_str().unwrap();
    night.said(&["steer", &run, "yes"]).await;
    let mut last = asked(&night, &run, "What now?", 0).await;
    assert_as_it_was(&seen(&night, &run).await);

    // Back, with an owner that dies in the middle of it.
    night.said(&["checkpoint", "rewind", &run, checkpoint]).await;
    night.kill_owner();
    last = asked(&night, &run, "Shall I look?", last).await;
    assert_eq!(night.machines().len(), 1);
    night.said(&["steer", &run, "yes"]).await;
    last = asked(&night, &run, "What now?", last).await;
    assert_as_it_was(&seen(&night, &run).await);

    // Two beside one another, each of which destroys what it finds.
    let forks = night
        .json(&["checkpoint", "fork", &run, "2.2", "--count", "2", "--say", "Yes, look.", "--json"])
        .await;
    let forks: Vec<&str> =
        forks["runs"].as_array().unwrap().iter().map(|run| run.as_str().unwrap()).collect();
    assert_eq!(forks.len(), 2);
    for fork in &forks {
        asked(&night, fork, "What now?", 0).await;
        assert_as_it_was(&seen(&night, fork).await);
    }
    for fork in &forks {
        night.said(&["cancel", fork]).await;
        night
            .until(fork, "its end", |events| events.iter().any(|event| event["type"] == "sandboxStopped"))
            .await;
    }

    // To disk and back, by another owner.
    night.said(&["pause", &run]).await;
    night.json(&["suspend", &run, "--json"]).await;
    assert_eq!(night.machines(), Vec::<u32>::new());
    assert!(night.sandbox_folders().is_empty());
    night.said(&["stop"]).await;
    night.said(&["continue", &run]).await;
    last = asked(&night, &run, "What now?", last).await;
    assert_eq!(night.machines().len(), 1);
    night.said(&["steer", &run, "go on"]).await;
    last = asked(&night, &run, "And now?", last).await;

    // The host restarts, which leaves files and no process: the run goes on from the newest checkpoint, with what it was answered since.
    let machine = night.machines()[0].to_string();
    night.kill_owner();
    assert!(std::process::Command::new("kill").args(["-KILL", &machine]).status().unwrap().success());
    night.said(&["steer", &run, "go on"]).await;
    asked(&night, &run, "And now?", last).await;
    assert_eq!(night.machines().len(), 1);
    night.assert_no_breach();
    night.said(&["cancel", &run]).await;
    night.said(&["stop"]).await;
}
