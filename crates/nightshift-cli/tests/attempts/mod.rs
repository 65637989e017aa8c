//! Several attempts at one task by the command line: the real program before an owner whose sandboxes are folders of this
//! host.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use suite::Night;

use crate::keyboard::home_of;

/// Runs the program to its end.
async fn nightshift(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightshift"));
    command.args(arguments).env("NIGHTSHIFT_HOME", home).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// What it printed; it must have gone well.
async fn said(home: &Path, arguments: &[&str]) -> String {
    let output = nightshift(home, arguments).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("no single line of JSON: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_followed_side_by_side_and_compared_and_one_of_them_is_merged() {
    let night = Night::begin(suite::script(Vec::new(), "1.1")).await;
    let home = home_of(&night).await;
    let home = home.path();
    let repository = night.repository();
    let repository = repository.to_str().unwrap();
    let shown = said(home, &["exec", "Work", "--attempts", "2", "--repo", repository]).await;
    for mark in ["[1/2] · in review: pull request #", "[2/2] · in review: pull request #"] {
        assert!(shown.contains(mark), "{shown}");
    }
    let table = shown.split_once("\nplace  attempt  run").unwrap_or_else(|| panic!("no table: {shown}")).1;
    assert!(
        table.contains("shares its place with 2") && table.contains("shares its place with 1"),
        "{table}"
    );

    let tasks = said(home, &["tasks"]).await;
    assert!(tasks.contains("[1/2] Work") && tasks.contains("[2/2] Work"), "{tasks}");
    let runs = night.owner.api.runs(&nightshift_protocol::ListRuns::default()).await.unwrap().runs;
    let (kept, task) = (runs[1].run.as_str(), runs[1].task.id.as_str());
    assert!(table.contains(&format!("nightshift review merge {kept} --close-others")), "{table}");
    let merged = json_of(&said(home, &["review", "merge", kept, "--close-others", "--json"]).await);
    let other = json!({"number": 2, "run": runs[0].run, "outcome": {"type": "pullRequestClosed"}});
    assert_eq!((&merged["base"], &merged["others"]["others"]), (&json!("trunk"), &json!([other])));
    let again = said(home, &["review", "close", "--others-of", kept]).await;
    assert_eq!(again, format!("attempt 2  {}  over before: closed\n", runs[0].run));
    let list = json_of(&said(home, &["review", "attempts", task, "--json"]).await);
    let states: Vec<&Value> =
        list["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["run"]["state"]["type"]).collect();
    assert_eq!(states, ["merged", "closed"]);
    night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_several_attempts_is_their_list_in_one_line_and_in_the_background_their_ids() {
    let night = Night::begin(suite::script(Vec::new(), "1.1")).await;
    let home = home_of(&night).await;
    let home = home.path();
    let repository = night.repository();
    let repository = repository.to_str().unwrap();
    let result =
        said(home, &["exec", "Work", "--attempts", "2", "--result-json", "--repo", repository]).await;
    let result = json_of(&result);
    let ranks: Vec<&Value> =
        result["attempts"].as_array().unwrap().iter().map(|attempt| &attempt["rank"]).collect();
    assert_eq!(ranks, [1, 1]);

    let begun = said(home, &["exec", "Work", "--attempts", "3", "--background", "--repo", repository]).await;
    let ids: Vec<&str> = begun.lines().filter(|line| line.starts_with("run-")).collect();
    assert_eq!(ids.len(), 3, "{begun}");
    assert!(begun.contains("Compare them: nightshift review attempts task-"), "{begun}");
    for run in ids {
        night.until_in_review(&run.parse().unwrap()).await;
    }
}
