//! What a person sees when something is wrong before a sandbox is even wanted: the real program, a real owner, real
//! git, and a scripted model on the wire.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a failed step is a failed test")]

mod attempts;
mod keyboard;
mod mcp;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::{Value, json};

struct Bench {
    home: tempfile::TempDir,
    url: String,
    key: &'static str,
    path: Option<PathBuf>,
    _model: ScriptedModel,
}

impl Bench {
    async fn new() -> Self {
        Self::with(json!({"model": "claude-sonnet-5-5", "key": "good", "turns": []})).await
    }

    async fn with(script: Value) -> Self {
        let model = ScriptedModel::start(Script::parse(&script.to_string()).unwrap()).await;
        let home = tempfile::Builder::new().prefix("ns").tempdir_in("/tmp").unwrap();
        Self { home, url: model.base_url(), key: "good", path: None, _model: model }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightshift"));
        command
            .args(arguments)
            .env("NIGHTSHIFT_HOME", self.home.path())
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("NIGHTSHIFT_VM_IMAGES", env!("CARGO_MANIFEST_DIR"))
            .env("NIGHTSHIFT_GUEST", "/bin/true")
            .env("ANTHROPIC_BASE_URL", &self.url)
            .env("ANTHROPIC_API_KEY", self.key)
            .stdin(Stdio::null());
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Gives a task that must be refused, and returns the error.
    async fn refused(&self, repository: &Path, more: &[&str]) -> Value {
        let arguments = ["exec", "Fix it", "--json", "--repo", repository.to_str().unwrap()];
        let output = self.run(&[&arguments, more].concat()).await;
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let said = String::from_utf8(output.stdout).unwrap();
        let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        assert_eq!(last["type"], "error", "{said}");
        assert_ne!(last["error"]["hint"], "", "an error must say what to do: {said}");
        last["error"].clone()
    }

    /// What is said on standard error to who uses a command wrongly.
    async fn wrong_use(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        said
    }

    /// No run may have been made.
    async fn assert_nothing_was_begun(&self) {
        let output = self.run(&["tasks", "--all", "--json"]).await;
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[]");
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let mut stop = self.command(&["stop"]);
        let _stopped = stop.env_remove("PATH").output();
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
    assert!(Command::new("git").arg("-C").arg(folder).args(who).args(arguments).status().unwrap().success());
}

fn repository(into: &Path) -> PathBuf {
    let folder = into.join("app");
    std::fs::create_dir(&folder).unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    std::fs::write(folder.join("a.txt"), "a\n").unwrap();
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-q", "-m", "First"]);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_cannot_be_worked_in_is_named_with_what_to_do() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let missing = bench.refused(&folder.path().join("nowhere"), &[]).await;
    assert_eq!(missing["code"], "repositoryNotFound");

    let plain = folder.path().join("plain");
    std::fs::create_dir(&plain).unwrap();
    assert_eq!(bench.refused(&plain, &[]).await["code"], "notARepository");

    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    git(&empty, &["init", "-q"]);
    assert_eq!(bench.refused(&empty, &[]).await["code"], "emptyRepository");

    let good = repository(folder.path());
    assert_eq!(bench.refused(&good, &["--base", "nope"]).await["code"], "branchNotFound");
    bench.assert_nothing_was_begun().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_are_not_committed_are_not_left_out_silently() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let dirty = repository(folder.path());
    std::fs::write(dirty.join("a.txt"), "changed\n").unwrap();
    let error = bench.refused(&dirty, &[]).await;
    assert_eq!(error["code"], "conflict");
    assert!(error["message"].as_str().unwrap().contains("1 change that is not committed"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("--leave-out-uncommitted"), "{error}");
    assert_eq!(std::fs::read_to_string(dirty.join("a.txt")).unwrap(), "changed\n");
    bench.assert_nothing_was_begun().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_model_and_a_wrong_key_are_found_before_anything_is_begun() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let unknown = bench.refused(&repository, &["--model", "claude-nonesuch"]).await;
    assert_eq!(unknown["code"], "unknownModel");
    bench.assert_nothing_was_begun().await;
    bench.run(&["stop"]).await;
    bench.key = "bad";
    assert_eq!(bench.refused(&repository, &[]).await["code"], "wrongKey");
    bench.assert_nothing_was_begun().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_that_is_down_is_named_and_no_key_at_all_too() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    // A port nobody listens on: it was free a moment ago and is not reused so soon.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    bench.url = format!("http://{free}");
    assert_eq!(bench.refused(&repository, &[]).await["code"], "modelUnavailable");
    bench.run(&["stop"]).await;
    bench.key = "";
    let error = bench.refused(&repository, &[]).await;
    assert_eq!(error["code"], "missingKey");
    assert!(error["hint"].as_str().unwrap().contains("ANTHROPIC_API_KEY"), "{error}");
}

/// A folder with what the owner needs, but no QEMU.
fn programs(into: &Path) -> PathBuf {
    let programs = into.join("bin");
    std::fs::create_dir(&programs).unwrap();
    for program in ["git", "sh", "bash", "env"] {
        let found = std::env::split_paths(&std::env::var_os("PATH").unwrap())
            .map(|folder| folder.join(program))
            .find(|path| path.is_file())
            .unwrap();
        std::os::unix::fs::symlink(found, programs.join(program)).unwrap();
    }
    programs
}

#[tokio::test(flavor = "multi_thread")]
async fn without_qemu_the_run_fails_before_an_image_is_built_and_says_how_to_install_it() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    bench.path = Some(programs(folder.path()));
    let output = bench.run(&["exec", "Fix it", "--repo", repository.to_str().unwrap()]).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("qemu-system-x86_64 is not installed"), "{said}");
    assert!(said.contains("apt install"), "{said}");
    let doctor = bench.run(&["doctor"]).await;
    assert_eq!(doctor.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&doctor.stdout).contains("[bad]  acceleration"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_for_scripts_is_alone_on_standard_output_and_a_failure_is_told_beside_it() {
    let mut bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    bench.path = Some(programs(folder.path()));
    let output =
        bench.run(&["exec", "Fix it", "--result-json", "--repo", repository.to_str().unwrap()]).await;
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((result["state"].as_str(), output.status.code()), (Some("failed"), Some(1)));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("error: qemu-system-x86_64 is not installed"), "{said}");
    assert!(said.contains("what to do:"), "{said}");
    // What is decided already is shown, and not waited for.
    let watched = bench.run(&["watch", result["run"].as_str().unwrap()]).await;
    assert_eq!(watched.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&watched.stdout).contains("· failed: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_refuses_a_task_and_loses_nothing() {
    let bench = Bench::new().await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let small = folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    // A disk of 40 MB of its own, in a mount namespace that ends with the command.
    let script = format!(
        "mount -t tmpfs -o size=40m none {small} && export NIGHTSHIFT_HOME={small} && \
         {program} exec 'Fix it' --json --repo {repository}; status=$?; {program} stop > /dev/null; exit $status",
        small = small.display(),
        program = env!("CARGO_BIN_EXE_nightshift"),
        repository = repository.display(),
    );
    let mut command = bench.command(&[]);
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]).stdin(Stdio::null());
    for (name, value) in environment {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error: Value = serde_json::from_str(said.lines().last().unwrap_or_default())
        .unwrap_or_else(|_| panic!("{said} {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(error["error"]["code"], "diskFull", "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_does_not_exist_and_a_wish_that_makes_no_sense_are_told_apart() {
    let bench = Bench::new().await;
    for arguments in [["show", "run-zzz"], ["cancel", "task-zzz"], ["watch", "nonsense"]] {
        let output = bench.run(&arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("what to do:"), "{arguments:?}: {said}");
    }
    let wrong = bench.run(&["exec", "Fix it", "--budget", "-3"]).await;
    assert_eq!(wrong.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_owner_of_the_same_folders_is_refused_by_name() {
    let bench = Bench::new().await;
    bench.run(&["tasks"]).await;
    let output = bench.run(&["serve"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("another owner already runs"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_configuration_keeps_the_owner_from_starting_and_is_named() {
    let bench = Bench::new().await;
    std::fs::write(bench.home.path().join("config.toml"), "modle = \"x\"\n").unwrap();
    let output = bench.run(&["serve"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("modle"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_cannot_start_tells_why_to_whoever_wanted_it() {
    let bench = Bench::new().await;
    std::fs::write(bench.home.path().join("config.toml"), "modle = \"x\"\n").unwrap();
    let output = bench.run(&["tasks"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("modle") && said.contains("what to do:"), "{said}");
    let log = std::fs::read_to_string(bench.home.path().join("data/owner.log")).unwrap();
    assert!(log.contains("modle"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_starts_an_owner_that_cannot_start_is_told_once() {
    let bench = Bench::new().await;
    std::fs::write(bench.home.path().join("config.toml"), "modle = \"x\"\n").unwrap();
    let seen = bench.home.path().join("seen");
    let file = std::fs::File::create(&seen).unwrap();
    let mut serve = bench.command(&["serve", "--json"]);
    serve.stdout(file.try_clone().unwrap()).stderr(file);
    let status = tokio::task::spawn_blocking(move || serve.status().unwrap()).await.unwrap();
    assert_eq!(status.code(), Some(2));
    let seen = std::fs::read_to_string(&seen).unwrap();
    let said: Value = serde_json::from_str(&seen).unwrap();
    assert_eq!(said["error"]["code"], "invalidRequest", "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_named_from_where_one_is_means_the_same_from_elsewhere() {
    let bench = Bench::new().await;
    let (above, name) = (bench.home.path().parent().unwrap(), bench.home.path().file_name().unwrap());
    let mut near = bench.command(&["tasks", "--json"]);
    near.env("NIGHTSHIFT_HOME", name).current_dir(above);
    let near = tokio::task::spawn_blocking(move || near.output().unwrap()).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&near.stdout).trim(), "[]");
    // The owner that was started there is the one that is found by the whole path.
    let stopped = bench.run(&["stop", "--json"]).await;
    assert_eq!(String::from_utf8_lossy(&stopped.stdout).trim(), r#"{"stopped":true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_no_folder_is_named_with_the_variable_that_names_it() {
    let bench = Bench::new().await;
    let home = bench.home.path().join("file");
    std::fs::write(&home, "").unwrap();
    for word in ["tasks", "serve"] {
        let mut command = bench.command(&[word]);
        command.env("NIGHTSHIFT_HOME", &home);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{word}: {said}");
        assert!(said.contains(&format!("{}/data cannot be used", home.display())), "{word}: {said}");
        assert!(said.contains("NIGHTSHIFT_HOME"), "{word}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_no_command_sets_are_told_with_their_file_and_others_by_their_names() {
    let bench = Bench::new().await;
    let by_hand = bench.wrong_use(&["settings", "set", "delivery.review_limit", "5"]).await;
    assert!(by_hand.contains("delivery.review_limit is not set by a command"), "{by_hand}");
    assert!(by_hand.contains("config.toml, then `nightshift restart`"), "{by_hand}");
    let misspelt = bench.wrong_use(&["settings", "set", "delivery.reviw_limit", "5"]).await;
    assert!(misspelt.contains("no setting is called"), "{misspelt}");
    let nobody = bench.wrong_use(&["settings", "set", "model", "nope/x"]).await;
    assert!(nobody.contains("model: nope/x names no provider that there is"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_stop_returns_the_owner_has_let_its_folders_go() {
    let bench = Bench::new().await;
    bench.run(&["tasks"]).await;
    let lock = std::fs::File::open(bench.home.path().join("data/owner.lock")).unwrap();
    assert!(lock.try_lock().is_err());
    let stopped = bench.run(&["stop", "--json"]).await;
    assert_eq!(String::from_utf8_lossy(&stopped.stdout).trim(), r#"{"stopped":true}"#);
    lock.try_lock().unwrap();
    drop(lock);
    let again = bench.run(&["stop", "--json"]).await;
    assert_eq!(String::from_utf8_lossy(&again.stdout).trim(), r#"{"stopped":false}"#);
}
