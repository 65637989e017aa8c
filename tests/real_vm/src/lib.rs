//! The bench of the real-machine tests: the `nightshift` program as people run it, with real sandboxes and a scripted
//! model on the wire. It uses the program by its command line and files only, never its crates' insides.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a bench of tests: a failed step is a failed test, and the names say what things are"
)]

pub mod body;
mod person;
pub mod registry;
mod small_disk;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub use person::Person;
pub use small_disk::SmallDisk;

/// A Nightshift of its own: home, scripted model, and the program.
pub struct Night {
    pub home: tempfile::TempDir,
    pub model: ScriptedModel,
    variables: Vec<(&'static str, String)>,
}

impl Night {
    pub async fn begin(script: Value) -> Self {
        Self::begin_with(script, "", Vec::new()).await
    }

    /// Begins with more configuration, and variables of the environment beside those that all have.
    pub async fn begin_with(
        script: Value,
        configuration: &str,
        variables: Vec<(&'static str, String)>,
    ) -> Self {
        let script = Script::parse(&script.to_string()).expect("the script is valid");
        // Short, because sockets live below it.
        let home = tempfile::Builder::new().prefix("ns").tempdir_in("/tmp").unwrap();
        // Machines are counted: none waits for a task that does not come.
        let configuration = format!("{configuration}\n[sandbox]\nspare = false\n");
        std::fs::write(home.path().join("config.toml"), configuration).unwrap();
        Self { home, model: ScriptedModel::start(script).await, variables }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env("NIGHTSHIFT_HOME", self.home.path())
            .env("ANTHROPIC_BASE_URL", self.model.base_url())
            .env("ANTHROPIC_API_KEY", "scripted")
            .env("NIGHTSHIFT_LOG", "debug,hyper=info,zbus=info,sqlx=info")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end without blocking the scripted model.
    pub async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// Runs a command that must succeed and returns what it printed.
    pub async fn said(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?}: {}\n{out}\n{err}\n{}", output.status, self.log());
        out.into_owned()
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        let said = self.said(arguments).await;
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{arguments:?} said {said:?}: {error}"))
    }

    pub async fn events(&self, run: &str) -> Vec<Value> {
        let said = self.said(&["show", run, "--events", "--json"]).await;
        said.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Submits a task and returns its run's id at once.
    pub async fn submit(&self, task: &str, repository: &Path) -> String {
        let submitted = self
            .json(&["exec", task, "--repo", repository.to_str().unwrap(), "--background", "--json"])
            .await;
        submitted["run"].as_str().unwrap().to_owned()
    }

    /// Waits until the run's events satisfy `enough`, and returns them.
    pub async fn until(&self, run: &str, what: &str, enough: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let events = self.events(run).await;
            if enough(&events) {
                return events;
            }
            assert!(began.elapsed() < Duration::from_secs(600), "waited 600 s for {what}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the run is decided, and returns the state's name.
    pub async fn watch(&self, run: &str) -> String {
        let _status = self.run(&["watch", run]).await;
        let shown: Value = serde_json::from_str(
            self.said(&["show", run, "--json"]).await.lines().next().unwrap_or_default(),
        )
        .unwrap();
        shown["summary"]["state"]["type"].as_str().unwrap().to_owned()
    }

    pub fn owner_pid(&self) -> Option<u32> {
        let text = std::fs::read(self.home.path().join("data/owner.json")).ok()?;
        serde_json::from_slice::<Value>(&text).ok()?["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
    }

    /// Ends the owner as a crash would.
    pub fn kill_owner(&self) {
        let pid = self.owner_pid().expect("an owner runs").to_string();
        assert!(Command::new("kill").args(["-KILL", &pid]).status().unwrap().success());
        // A process that is not ours to wait for is gone when its /proc entry is, or when it is a zombie.
        let began = Instant::now();
        while is_alive(&pid) {
            assert!(began.elapsed() < Duration::from_secs(10), "the owner survived SIGKILL");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The processes of this night's sandboxes.
    pub fn machines(&self) -> Vec<u32> {
        let sandboxes = self.home.path().join("sandboxes");
        let needle = sandboxes.to_str().unwrap().as_bytes().to_vec();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let folder = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
            let named = command.windows(needle.len()).any(|window| window == needle);
            let is_qemu = command.windows(12).take(64).any(|window| window == b"qemu-system-");
            if is_qemu && (named || folder.starts_with(&sandboxes)) {
                found.push(pid);
            }
        }
        found
    }

    /// The folders of sandboxes that are left.
    pub fn sandbox_folders(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.home.path().join("sandboxes")) else { return Vec::new() };
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.home.path().join("data/owner.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Fails when a request broke the provider's rules.
    pub fn assert_no_breach(&self) {
        assert_eq!(self.model.breaches(), Vec::<String>::new());
    }
}

impl Drop for Night {
    fn drop(&mut self) {
        // Whatever a failed test left: the owner first, then its machines.
        for pid in self.owner_pid().into_iter().chain(self.machines()) {
            let _gone = Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
        }
    }
}

fn is_alive(pid: &str) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !status.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// The program that `./dev` has built: the one that is named, or the one beside this test's own.
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("NIGHTSHIFT_PROGRAM") {
        return named.into();
    }
    let own = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("nightshift");
    assert!(program.is_file(), "{} is not built; run ./dev test", program.display());
    program
}

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap().to_path_buf()
}

/// Runs git, which must succeed, and returns what it printed.
pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(who).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The example as a git repository of its own.
pub fn trailhead(into: &Path) -> PathBuf {
    let repository = into.join("trailhead");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(root().join("examples/trailhead"))
        .arg(&repository)
        .status()
        .unwrap();
    assert!(copied.success());
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Trailhead"]);
    repository
}

/// A repository with one file.
pub fn small_repository(into: &Path) -> PathBuf {
    let repository = into.join("small");
    std::fs::create_dir(&repository).unwrap();
    std::fs::write(repository.join("notes.txt"), "one\n").unwrap();
    git(&repository, &["init", "-q", "-b", "trunk"]);
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Notes"]);
    repository
}

/// The SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every file below a folder, `.git` and all, by path: mode and content's hash.
pub fn fingerprint(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let facts = std::fs::symlink_metadata(&path).unwrap();
            if facts.is_dir() {
                folders.push(path);
            } else {
                let content = std::fs::read(&path).unwrap_or_default();
                let hash: String =
                    Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
                found.insert(
                    path,
                    format!("{:o} {:?} {hash}", facts.permissions().mode(), facts.modified().unwrap()),
                );
            }
        }
    }
    found
}

/// A picture: width, height, and RGB bytes.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub rgb: Vec<u8>,
}

impl Picture {
    pub fn read(path: &Path) -> Self {
        let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()));
        let mut reader = decoder.read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let facts = reader.next_frame(&mut bytes).unwrap();
        assert_eq!((facts.color_type, facts.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        Self { width: facts.width as usize, height: facts.height as usize, rgb: bytes }
    }

    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb[at], self.rgb[at + 1], self.rgb[at + 2]]
    }

    /// Reads a PNG that is in memory.
    pub fn of(bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("picture.png");
        std::fs::write(&path, bytes).unwrap();
        Self::read(&path)
    }

    /// Mean brightness of a part, 0 to 255.
    pub fn brightness(&self, left: usize, top: usize, right: usize, bottom: usize) -> f64 {
        let mut sum = 0.0;
        for y in top..bottom {
            for x in left..right {
                sum += self.pixel(x, y).iter().map(|value| f64::from(*value)).sum::<f64>() / 3.0;
            }
        }
        sum / ((right - left) * (bottom - top)) as f64
    }

    /// How many pixels are close to a colour.
    pub fn count(&self, colour: [u8; 3]) -> usize {
        let close = |pixel: &[u8]| pixel.iter().zip(colour).all(|(have, want)| have.abs_diff(want) <= 12);
        self.rgb.chunks_exact(3).filter(|pixel| close(pixel)).count()
    }
}

/// The types of events, in order.
pub fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect()
}

/// Fails unless the events are gapless, each step was intended once and finished once, and one pull request was opened.
pub fn assert_exactly_once(events: &[Value]) {
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["seq"].as_u64(), Some(index as u64 + 1), "a gap or a repetition at {index}");
    }
    for kind in ["stepIntended", "stepFinished"] {
        let mut steps: Vec<&str> = events
            .iter()
            .filter(|event| event["type"] == kind)
            .map(|event| event["step"].as_str().unwrap())
            .collect();
        let all = steps.len();
        steps.sort_unstable();
        steps.dedup();
        assert_eq!(steps.len(), all, "a step was {kind} twice");
    }
    assert_eq!(types(events).iter().filter(|kind| **kind == "pullRequestOpened").count(), 1);
}
