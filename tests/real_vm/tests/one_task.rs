//! One task, end to end: from a sentence to a merged pull request, in a real desktop machine.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use nightshift_testing::github::{GitHub, Token};
use real_vm::{
    Night, Picture, assert_exactly_once, body, fingerprint, git, root, small_repository, trailhead,
};
use serde_json::{Value, json};

mod engine;

fn demo_script() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("examples/dark-mode/script.json")).unwrap()).unwrap()
}

const TASK: &str = "Add a dark mode toggle that persists to localStorage";

/// What the example task of the app has as well.
const CRITERIA: [&str; 3] = [
    "A toggle at the top right switches the page to dark",
    "The choice persists after a reload",
    "All tests pass",
];

/// Each criterion's verdict of the newest self-review, with the kind of evidence that shows it.
async fn verdicts(night: &Night, run: &str) -> Vec<(String, String)> {
    let detail = night.json(&["show", run, "--json"]).await;
    let reviews = detail["selfReviews"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let of = |found: &Value| (text(&found["verdict"]), text(&found["evidence"]["type"]));
    reviews.last().unwrap()["verdicts"].as_array().unwrap().iter().map(of).collect()
}

/// The evidence's pictures by their labels.
async fn pictures(night: &Night, run: &str, into: &Path) -> Vec<(String, Picture)> {
    night.said(&["review", "show", run, "--pictures", into.to_str().unwrap()]).await;
    let detail = night.json(&["review", "show", run, "--json"]).await;
    let evidence = detail["evidence"].as_array().unwrap().iter();
    let screenshots = evidence.filter(|evidence| evidence["source"]["type"] == "screenshot");
    let labels = screenshots.map(|evidence| evidence["source"]["label"].as_str().unwrap().to_owned());
    let mut files: Vec<_> = std::fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    labels.zip(files).map(|(label, file)| (label, Picture::read(&file))).collect()
}

/// The token of the account at the site. It looks like one, and is known to the owner alone.
const TOKEN: &str = "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC2dF4gH6";

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_s_task_becomes_a_pull_request_that_shows_its_proof_and_whose_merge_passes_the_tests() {
    let folder = tempfile::tempdir().unwrap();
    let site = GitHub::start(&folder.path().join("site")).await;
    site.admit(TOKEN, Token::Personal, "nightshift-bot");
    let bare = site.add_repository("ada", "trailhead", &trailhead(folder.path())).unwrap();
    let configuration =
        format!("[github]\nurl = \"{}\"\nuploads_url = \"{}\"\n", site.web_url(), site.uploads_url());
    let night =
        Night::begin_with(demo_script(), &configuration, vec![("GITHUB_TOKEN", TOKEN.to_owned())]).await;
    // As the GitHub Action does it on a runner.
    let result = by_the_action(&night, folder.path(), &site.web_url()).await;
    assert_eq!(result["state"], "inReview", "{result}\n{}", night.log());
    night.assert_no_breach();
    assert_eq!(site.breaches(), Vec::<String>::new());
    assert_eq!(result["commits"], 1);
    assert_eq!(result["evidence"].as_array().unwrap().len(), 4);
    assert!(result["sandboxReadyMs"].as_u64().unwrap() < 3_000, "{result}");
    let run = result["run"].as_str().unwrap();
    assert_exactly_once(&night.events(run).await);
    let met = |kind: &str| ("met".to_owned(), kind.to_owned());
    assert_eq!(verdicts(&night, run).await, [met("screenshot"), met("screenshot"), met("command")]);
    let shots = pictures(&night, run, &folder.path().join("pictures")).await;
    let violet =
        |label: &str| shots.iter().find(|(found, _)| found == label).unwrap().1.count([0x7c, 0x3a, 0xed]);
    assert!(violet("before") == 0 && violet("after") > 1_000, "{} {}", violet("before"), violet("after"));
    let opened = site.pull_requests("ada", "trailhead");
    assert_eq!(opened.len(), 1);
    assert_eq!(site.branches("ada", "trailhead"), ["main", &opened[0].head]);

    let read = body::read(&opened[0].body);
    assert_eq!((&read.broken, &read.html), (&Vec::new(), &Vec::new()), "{}", opened[0].body);
    let titles = ["Evidence", "Where to look first", "Commands run", "Not verified", "Cost and time"];
    assert!(titles.iter().all(|title| read.headings.iter().any(|heading| heading == title)), "{read:?}");
    // A picture before and one after side by side, one after the reload, and the recording.
    assert!(read.tables == 1 && read.pictures.len() == 4, "{read:?}");
    let mut brightness = Vec::new();
    for (alt, url) in &read.pictures {
        assert!(!alt.is_empty(), "{url} has no description");
        let bytes = body::fetch(url).await;
        if bytes.starts_with(b"GIF8") {
            let mut recording = gif::DecodeOptions::new().read_info(&bytes[..]).unwrap();
            let mut frames = 0;
            while recording.read_next_frame().unwrap().is_some() {
                frames += 1;
            }
            assert!(frames >= 2, "{frames} frames");
        } else {
            // A part of the page beside its cards, far from bars and panels.
            brightness.push((alt.as_str(), Picture::of(&bytes).brightness(60, 400, 180, 600)));
        }
    }
    let of = |label: &str| brightness.iter().find(|(alt, _)| alt.starts_with(label)).unwrap().1;
    assert!(of("before:") > 200.0 && of("after:") < 60.0 && of("after reload:") < 60.0, "{brightness:?}");
    for url in &read.links {
        let bytes = body::fetch(url).await;
        assert_eq!(bytes.get(4..8), Some(&b"ftyp"[..]), "{url} is no video");
    }
    // The token is nowhere that others see.
    assert!(!opened[0].body.contains(TOKEN) && !opened[0].title.contains(TOKEN));

    let mut changed = site.changed_files("ada", "trailhead", "main", &opened[0].head);
    changed.sort();
    let expected =
        ["README.md", "src/app.js", "src/index.html", "src/styles.css", "src/theme.js", "test/theme.test.js"];
    assert_eq!(changed, expected);

    night.said(&["review", "merge", run]).await;
    let checkout = folder.path().join("merged");
    git(folder.path(), &["clone", "-q", bare.to_str().unwrap(), checkout.to_str().unwrap()]);
    assert!(checkout.join("src/theme.js").is_file());
    let tests = Command::new("node").arg("--test").current_dir(&checkout).output().unwrap();
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stdout));

    night.said(&["stop"]).await;
    assert_eq!(night.machines(), Vec::<u32>::new());
    assert!(night.sandbox_folders().is_empty());
}

/// Runs the action's own script, with `./dev nightshift` being the program, and returns the result after a look at the outputs.
async fn by_the_action(night: &Night, folder: &Path, site: &str) -> Value {
    let dev = folder.join("dev");
    std::fs::write(&dev, "#!/bin/sh\nshift\nexec \"$NIGHTSHIFT_PROGRAM\" \"$@\"\n").unwrap();
    std::fs::set_permissions(&dev, std::fs::Permissions::from_mode(0o755)).unwrap();
    let command = night.command(&[]);
    let script = std::fs::canonicalize(root().join("action/run.sh")).unwrap();
    let environment =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let mut action = Command::new(script);
    action
        .envs(environment.collect::<Vec<_>>())
        .env("NIGHTSHIFT_PROGRAM", command.get_program())
        .env("TASK", format!("{TASK}\n\nAcceptance criteria:\n- {}\n", CRITERIA.join("\n- ")))
        .envs([("REPOSITORY", "ada/trailhead"), ("BASE", "main"), ("BUDGET", "3")])
        .envs([("GITHUB_SERVER_URL", site), ("NIGHTSHIFT_GITHUB_TOKEN", TOKEN)])
        .env("GITHUB_STEP_SUMMARY", folder.join("summary"))
        .envs([("GITHUB_ACTION_PATH", folder), ("RUNNER_TEMP", folder)])
        .env("GITHUB_OUTPUT", folder.join("output"));
    let output = tokio::task::spawn_blocking(move || action.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", night.log());
    let result = std::fs::read(folder.join("nightshift.json")).unwrap();
    let result: Value = serde_json::from_slice(&result).unwrap();
    let outputs = std::fs::read_to_string(folder.join("output")).unwrap();
    assert_eq!(
        outputs,
        format!("run={}\npull-request={}\n", result["run"].as_str().unwrap(), result["pullRequest"])
    );
    let summary = std::fs::read_to_string(folder.join("summary")).unwrap();
    assert_eq!(summary, format!("Nightshift opened [#1]({site}/ada/trailhead/pull/1).\n"));
    result
}

/// A script that writes a line into the notes by each kind of step, slowly enough to be killed in the middle.
fn slow_script() -> Value {
    let shell = |command: &str| json!({"tool": "shell", "input": {"command": command}});
    let mut turns = vec![
        json!({"calls": [{"tool": "plan", "input": {"steps": [{"title": "Write", "state": "done"}]}}]}),
        json!({"delayMs": 1_500, "calls": [shell("echo first >> notes.txt; sleep 3; echo second >> notes.txt")]}),
        json!({"calls": [
            {"tool": "edit", "input": {"action": "insert", "path": "notes.txt", "after_line": 0, "text": "zero"}},
            shell("sleep 2; echo third >> notes.txt"),
        ]}),
        json!({"delayMs": 1_500, "calls": [{"tool": "computer", "input": {"action": "screenshot"}}]}),
        json!({"calls": [shell("sleep 1; git add -A && git commit -q -m 'Write notes' && cat notes.txt")]}),
    ];
    turns.push(
        json!({"calls": [{"tool": "evidence", "input": {"claim": "The notes are written.", "step": "5.1"}}]}),
    );
    turns.push(
        json!({"calls": [{"tool": "finish", "input": {"title": "Write notes", "summary": "Three notes."}}]}),
    );
    json!({"model": "claude-sonnet-5-5", "turns": turns})
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_killed_again_and_again_loses_nothing_and_repeats_nothing() {
    let night = Night::begin(slow_script()).await;
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());
    let before = fingerprint(&repository);
    let run = night.submit("Write notes", &repository).await;

    // In the middle of a command, of another command, of a model call, and of the commit.
    for step in ["2.1", "3.2", "4.1", "5.1"] {
        night
            .until(&run, step, |events| {
                events.iter().any(|event| event["type"] == "stepIntended" && event["step"] == step)
            })
            .await;
        night.kill_owner();
        assert_eq!(night.machines().len(), 1, "the sandbox must outlive its owner");
    }
    assert_eq!(night.watch(&run).await, "inReview", "{}", night.log());
    night.assert_no_breach();
    let events = night.events(&run).await;
    assert_exactly_once(&events);
    let resumed = events.iter().filter(|event| event["type"] == "ownerResumed").count();
    assert!(resumed >= 3, "the owner was taken over from {resumed} times");
    assert_eq!(fingerprint(&repository), before, "the person's checkout was touched");

    let bare = night.json(&["review", "merge", &run, "--json"]).await;
    let notes = git(Path::new(bare["bareRepository"].as_str().unwrap()), &["show", "trunk:notes.txt"]);
    assert_eq!(notes, "zero\none\nfirst\nsecond\nthird\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_leaves_neither_a_machine_nor_a_file() {
    let script = json!({"model": "claude-sonnet-5-5", "turns": [
        {"calls": [{"tool": "shell", "input": {"command": "sleep 600"}}]},
    ]});
    let night = Night::begin(script).await;
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());
    let run = night.submit("Wait", &repository).await;
    night.until(&run, "a step", |events| events.iter().any(|event| event["type"] == "stepIntended")).await;
    night.said(&["cancel", &run]).await;
    night
        .until(&run, "the sandbox to go", |events| {
            events.iter().any(|event| event["type"] == "sandboxStopped")
        })
        .await;
    assert_eq!(night.machines(), Vec::<u32>::new());
    assert!(night.sandbox_folders().is_empty());
    assert_eq!(night.watch(&run).await, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_not_committed_is_sent_back_and_a_question_waits_for_its_answer() {
    let shell = |command: &str| json!({"tool": "shell", "input": {"command": command}});
    let finish = json!({"tool": "finish", "input": {"title": "Greet", "summary": "A greeting."}});
    let script = json!({"model": "claude-sonnet-5-5", "turns": [
        {"calls": [{"tool": "ask", "input": {"question": "Which name?"}}]},
        {"expect": [{"lastResultContains": "Grace"}], "calls": [shell("echo Hello Grace > hello.txt && cat hello.txt")]},
        {"calls": [{"tool": "evidence", "input": {"claim": "It greets.", "step": "2.1"}}]},
        {"calls": [finish]},
        {"expect": [{"lastResultIsError": true}, {"lastResultContains": "hello.txt"}],
         "calls": [shell("git add -A && git commit -q -m Greet")]},
        {"calls": [finish]},
    ]});
    let night = Night::begin(script).await;
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());
    let run = night.submit("Greet somebody", &repository).await;
    assert_eq!(night.watch(&run).await, "waiting", "{}", night.log());
    night.said(&["steer", &run, "Grace"]).await;
    assert_eq!(night.watch(&run).await, "inReview", "{}", night.log());
    night.assert_no_breach();
    let diff = night.said(&["review", "diff", &run]).await;
    assert!(diff.contains("+Hello Grace"), "{diff}");
    night.said(&["review", "close", &run]).await;
    assert_eq!(night.watch(&run).await, "closed");
}
