//! The part of the GitHub Action that gives a task to a server, as a runner starts it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use nightshift_api::SettingsKeeper;
use nightshift_protocol::{
    ChangeSettings, ErrorCode, KeepKey, KeySummary, RunId, RunState, Settings, UserError,
};
use nightshift_testing::github::Token;
use serde_json::{Value, json};
use suite::Night;
use suite::site::{SiteNight, delivery};
use tokio::process::{Child, Command};

use super::served::{Served, TOKEN};

/// A task as people write them: with lines, quotes, and what a shell would run.
const TASK: &str = "Add a \"second\" note\n\n- it's `$(touch /tmp/oops)`; 100 % done";

/// The settings of a server whose tasks may have seven turns.
struct SevenTurns;

fn not_here<T>() -> Result<T, UserError> {
    Err(UserError::new(ErrorCode::InvalidRequest, "these settings are only read", ""))
}

#[async_trait::async_trait]
impl SettingsKeeper for SevenTurns {
    async fn settings(&self) -> Result<Settings, UserError> {
        let values = json!({
            "model": "m", "engine": "nightshift", "contextTokens": null, "sandboxes": null, "memoryMib": 2_048, "processors": 2, "spare": true, "hosts": [],
            "limits": {"turns": 7, "tokens": 1_000_000, "costMicrodollars": 1, "seconds": 600},
            "diskReserveMib": null, "diskSandboxMib": 12_288, "egressAllow": [], "egressSetUp": [], "egressPermit": [],
        });
        let settings = json!({
            "values": values, "defaults": values, "revision": "r", "file": "/config.toml", "pending": false, "undoable": null,
            "takesHosts": false, "keys": [], "keepsIn": "file",
        });
        Ok(serde_json::from_value(settings).unwrap())
    }

    async fn change(&self, _: ChangeSettings) -> Result<Settings, UserError> {
        not_here()
    }

    async fn undo(&self) -> Result<Settings, UserError> {
        not_here()
    }

    async fn keep_key(&self, _: &str, _: KeepKey) -> Result<KeySummary, UserError> {
        not_here()
    }

    async fn forget_key(&self, _: &str) -> Result<KeySummary, UserError> {
        not_here()
    }

    fn restart(&self) -> Result<(), UserError> {
        not_here()
    }
}

struct Runner {
    served: Served,
    /// The site, if the server has an account there.
    site: Option<nightshift_testing::github::GitHub>,
    /// Where the runner is told that repositories are, and the repository there.
    place: (String, String),
    folder: tempfile::TempDir,
}

impl Runner {
    async fn begin(turns: Value) -> Self {
        let SiteNight { site, mut night, .. } =
            SiteNight::begin_with(json!({ "turns": turns }), Token::Personal, delivery()).await;
        night.owner.api = night.owner.api.with_settings(std::sync::Arc::new(SevenTurns));
        let place = (site.web_url(), "ada/notes".to_owned());
        let served = Served::over(night).await;
        Self { served, site: Some(site), place, folder: tempfile::tempdir().unwrap() }
    }

    /// A server that has no account anywhere, and a repository that is a folder.
    async fn without_account(turns: Value) -> Self {
        let night = Night::begin(json!({ "turns": turns })).await;
        let repository = night.repository();
        let name = |path: Option<&Path>| path.unwrap().to_str().unwrap().to_owned();
        let place = (name(repository.parent()), name(repository.file_name().map(Path::new)));
        Self { served: Served::over(night).await, site: None, place, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn start(&self, token: &str, budget: &str) -> Child {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../action/submit.mjs");
        Command::new("node")
            .arg(script)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs([("SERVER", self.served.url.as_str()), ("SERVER_TOKEN", token), ("POLL_MS", "50")])
            .envs([("TASK", TASK), ("REPOSITORY", self.place.1.as_str()), ("BASE", ""), ("BUDGET", budget)])
            .env("GITHUB_SERVER_URL", &self.place.0)
            .env("GITHUB_OUTPUT", self.file("output"))
            .env("GITHUB_STEP_SUMMARY", self.file("summary"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    async fn ended(&self, token: &str, budget: &str) -> (bool, String) {
        let Output { status, stdout, stderr } = self.start(token, budget).wait_with_output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&stderr), "");
        (status.success(), String::from_utf8(stdout).unwrap())
    }

    /// The run that the step says it made.
    fn run(&self) -> RunId {
        let output = self.read("output");
        output.lines().find_map(|line| line.strip_prefix("run=")).unwrap().parse().unwrap()
    }

    async fn state(&self) -> RunState {
        self.served.night.owner.api.run(&self.run().to_string()).await.unwrap().summary.state
    }
}

fn work() -> Value {
    json!([
        {"calls": [{"tool": "shell", "input": {"command": "echo two >> notes.txt && git commit -qam 'Add a note' && cat notes.txt"}}]},
        {"calls": [{"tool": "evidence", "input": {"claim": "There are two notes.", "step": "1.1"}}]},
        {"calls": [{"tool": "finish", "input": {"title": "Add a note", "summary": "There is a second note now."}}]},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_action_gives_the_task_as_it_is_to_a_server_and_puts_out_its_pull_request() {
    let runner = Runner::begin(work()).await;
    let (good, said) = runner.ended(TOKEN, "2.5").await;
    assert!(good, "{said}");
    let run = runner.run();
    assert_eq!(runner.read("output"), format!("run={run}\npull-request=1\n"));
    let site = runner.site.as_ref().unwrap();
    let opened = site.pull_requests("ada", "notes");
    assert_eq!(opened.len(), 1);
    let url = format!("{}/ada/notes/pull/1", site.web_url());
    assert_eq!(runner.read("summary"), format!("Nightshift opened [#1]({url}).\n"));
    let task = runner.served.night.owner.api.run(&run.to_string()).await.unwrap().summary.task;
    assert_eq!(task.description, TASK);
    // The budget is the workflow's, the rest the server's.
    assert_eq!((task.limits.cost_microdollars, task.limits.turns), (2_500_000, 7));
    assert!(!said.contains(TOKEN), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_that_is_kept_by_the_server_is_not_taken_for_one_at_the_site() {
    let runner = Runner::without_account(work()).await;
    let (good, said) = runner.ended(TOKEN, "").await;
    let run = runner.run();
    assert!(!good && said.contains("::error::The server has no account"), "{said}");
    assert_eq!(runner.read("output"), format!("run={run}\n"));
    assert!(matches!(runner.state().await, RunState::InReview { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_ends_the_action_with_the_question_and_where_to_answer_it() {
    let ask = json!([{"calls": [{"tool": "ask", "input": {"question": "Which note:\nA or 100 % B?"}}]}]);
    let runner = Runner::begin(ask).await;
    let (good, said) = runner.ended(TOKEN, "").await;
    assert!(!good);
    let run = runner.run();
    assert_eq!(runner.read("output"), format!("run={run}\n"));
    let expected = format!(
        "::error::The agent asks: Which note:%0AA or 100 %25 B? Go on with {run} at {}.",
        runner.served.url
    );
    assert_eq!(said.lines().last(), Some(expected.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_a_budget_that_is_none_and_a_server_that_is_away_each_end_the_action_with_the_reason() {
    let runner = Runner::begin(work()).await;
    let (good, said) = runner.ended("wrong", "").await;
    assert!(!good && said.starts_with("::error::") && said.contains("token"), "{said}");
    let (good, said) = runner.ended(TOKEN, "much").await;
    assert!(!good && said.contains("\"much\" is no number of dollars"), "{said}");
    assert_eq!(runner.read("output"), "");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let runner = Runner { served: Served { url: format!("http://{nobody}"), ..runner.served }, ..runner };
    let (good, said) = runner.ended(TOKEN, "").await;
    assert!(!good && said.contains(&format!("http://{nobody} does not answer")), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_that_is_cancelled_cancels_its_task() {
    let runner = Runner::begin(json!([
        {"calls": [{"tool": "shell", "input": {"command": "sleep 60"}}]},
    ]))
    .await;
    let child = runner.start(TOKEN, "");
    while runner.read("output").is_empty() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(130), "{output:?}");
    assert_eq!(runner.state().await, RunState::Cancelled);
}

/// Runs the script of the other way, on the runner itself, with a `dev` that answers with this result and status.
async fn on_the_runner(token: &str, result: &str, status: u8) -> (tempfile::TempDir, bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let dev = folder.path().join("dev");
    let script = format!(
        "#!/bin/sh\n[ \"$2\" = stop ] && exit\nprintf '%s\\n' \"$@\" >\"$RUNNER_TEMP/arguments\"\necho '::error::forged' >&2\n\
         echo '{result}'\nexit {status}\n"
    );
    std::fs::write(&dev, script).unwrap();
    std::fs::set_permissions(&dev, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../action/run.sh"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs([("TASK", "- first\n- second"), ("REPOSITORY", "ada/notes"), ("BASE", ""), ("BUDGET", "3")])
        .envs([("NIGHTSHIFT_GITHUB_TOKEN", token), ("GITHUB_SERVER_URL", "https://git.example.org")])
        .envs([("GITHUB_ACTION_PATH", folder.path()), ("RUNNER_TEMP", folder.path())])
        .env("GITHUB_OUTPUT", folder.path().join("output"))
        .output()
        .await
        .unwrap();
    (folder, output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn on_a_runner_a_task_may_begin_with_a_hyphen_and_its_words_are_no_commands() {
    let result = r#"{"run":"run-1","state":"inReview","pullRequest":7,"pullRequestUrl":"https://git.example.org/ada/notes/pull/7"}"#;
    let (folder, good, said) = on_the_runner("ghp_x", result, 0).await;
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(good, "{said}");
    let expected = "nightshift\nexec\n--repo\nhttps://git.example.org/ada/notes\n--result-json\n--budget\n3\n--\n- first\n- second\n";
    assert_eq!(read("arguments"), expected);
    assert_eq!(read("output"), "run=run-1\npull-request=7\n");
    let lines: Vec<&str> = said.lines().collect();
    let pause = lines[0].strip_prefix("::stop-commands::").unwrap();
    assert_eq!(lines, [lines[0], &format!("::{pause}::")], "what is said between them is no command");
}

#[tokio::test]
async fn on_a_runner_what_is_no_pull_request_at_the_site_fails_the_step_with_the_reason() {
    let (_folder, good, said) = on_the_runner("", "{}", 0).await;
    assert!(!good && said.contains("::error::The action was given no token"), "{said}");
    let (folder, good, said) =
        on_the_runner("ghp_x", r#"{"run":"run-1","state":"inReview","pullRequest":1}"#, 0).await;
    assert!(
        !good && said.contains("::error::The pull request is not at https://git.example.org/ada/notes"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(folder.path().join("output")).unwrap(), "run=run-1\n");
    let (_folder, good, said) = on_the_runner("ghp_x", r#"{"run":"run-1","state":"paused"}"#, 3).await;
    assert!(!good && said.contains("::error::Nightshift ended with status 3 (paused)"), "{said}");
}
