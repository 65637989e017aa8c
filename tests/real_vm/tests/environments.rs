//! An environment of a real repository with dependencies, by the program as people run it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::process::Command;

use real_vm::{Night, git, root};
use serde_json::{Value, json};

fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command, "timeout_seconds": 300}})
}

/// The host of the registry that npm uses here, and so in the sandbox.
fn registry() -> String {
    let asked = Command::new("npm").args(["config", "get", "registry"]).output().unwrap();
    let address = String::from_utf8(asked.stdout).unwrap();
    let host = address.trim().split("://").nth(1).unwrap();
    host.split(['/', ':']).next().unwrap().to_owned()
}

/// Waits until the run's history says that `host` was refused.
async fn refused(night: &Night, run: &str, host: &str) -> bool {
    for _ in 0..60 {
        let events = night.events(run).await;
        let mut records = events.iter().filter_map(|event| event["connections"].as_array()).flatten();
        if records.any(|record| record["host"] == host && record["verdict"]["type"] == "refused") {
            return true;
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_dependencies_is_set_up_proved_and_frozen_and_its_task_finds_all_of_it() {
    let look = "ls node_modules | wc -l; curl -s http://localhost:4100/0; npm test 2>&1 | grep '^# pass'; \
                git status --porcelain; curl -sS -m 20 $(npm config get registry) 2>&1 | head -c 300";
    let night = Night::begin(json!({"model": "claude-sonnet-5-5", "turns": [
        {"calls": [shell(look)]},
        {"calls": [{"tool": "ask", "input": {"question": "Done?"}}]},
    ]}))
    .await;
    let folder = tempfile::tempdir().unwrap();
    let repository = folder.path().join("signpost");
    let copied =
        Command::new("cp").arg("-r").arg(root().join("examples/signpost")).arg(&repository).status().unwrap();
    assert!(copied.success());
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Signpost"]);

    let said = night.said(&["environment", "set-up", "--repo", repository.to_str().unwrap(), "--json"]).await;
    let ready: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(ready["state"]["type"], "ready", "{said}");
    assert!(said.contains("added 163 packages"), "the log is shown: {said}");
    assert_eq!(night.machines(), Vec::<u32>::new(), "the machine became a template");

    // The repository goes on.
    std::fs::write(repository.join("NEWS.md"), "Newer.\n").unwrap();
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Go on"]);
    let run = night.submit("Look around", &repository).await;
    assert_eq!(night.watch(&run).await, "waiting", "{}", night.log());
    night.assert_no_breach();
    let events = night.events(&run).await;
    let of = |kind: &str| events.iter().find(|event| event["type"] == kind).unwrap().clone();
    assert_eq!(of("sandboxReady")["facts"]["environment"], ready["environment"]);
    let text = of("stepFinished")["content"][0]["text"].as_str().unwrap().to_owned();
    assert!(text.contains("Bridge closed"), "the development server runs: {text}");
    assert!(text.contains("# pass 5"), "the dependencies are there: {text}");
    assert!(text.contains("CONNECT"), "no registry is open for an agent: {text}");
    assert!(refused(&night, &run, &registry()).await, "the refusal is recorded: {text}");
    night.said(&["cancel", &run]).await;
    night.said(&["environment", "remove", ready["environment"].as_str().unwrap()]).await;
}
