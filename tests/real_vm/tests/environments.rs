//! An environment of a real repository with dependencies, by the program as people run it.

use std::process::Command;

use real_vm::{Night, git, root};
use serde_json::{Value, json};

fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command, "timeout_seconds": 300}})
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
    assert!(text.contains("not on the list"), "no registry is open for an agent: {text}");
    night.said(&["cancel", &run]).await;
    night.said(&["environment", "remove", ready["environment"].as_str().unwrap()]).await;
}
