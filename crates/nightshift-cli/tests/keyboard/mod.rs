//! A person at the keyboard while `nightshift exec` follows a run: the real program in a real terminal, made by
//! script(1), before an owner whose sandboxes are folders of this host.

use std::io::{PipeWriter, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nightshift_protocol::{EventBody, OwnerAddress, ResultPart, RunId, RunState};
use nightshift_server::{Access, Guard};
use serde_json::{Value, json};
use suite::{Night, SystemClock, ending, shell};
use tokio::io::{AsyncReadExt, BufReader};

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

const TOKEN: &str = "secret";

/// A command that would run for ten minutes, then an ending.
fn a_long_command() -> Value {
    let long = json!({"calls": [shell("echo begun; sleep 600; echo never")]});
    let more = json!({"calls": [shell("echo again")]});
    let turns = [vec![long, more], ending("2.1")].concat();
    json!({"turns": turns})
}

/// An owner and, in a terminal before it, a program.
struct Terminal {
    night: Night,
    home: tempfile::TempDir,
    program: tokio::process::Child,
    keys: PipeWriter,
    seen: String,
    output: BufReader<tokio::process::ChildStdout>,
}

impl Terminal {
    async fn with_exec(script: Value) -> Self {
        let night = Night::begin(script).await;
        let home = home_of(&night).await;
        let repository = night.repository();
        let line =
            format!("exec {} exec Work --repo {}", env!("CARGO_BIN_EXE_nightshift"), repository.display());
        let (mut program, keys) = in_terminal(&line, home.path());
        let output = BufReader::new(program.stdout.take().unwrap());
        Self { night, home, program, keys, seen: String::new(), output }
    }

    fn press(&mut self, key: u8) {
        self.keys.write_all(&[key]).unwrap();
        self.keys.flush().unwrap();
    }

    /// Reads what the terminal shows until `text` is on it.
    async fn until(&mut self, text: &str) {
        let read = async {
            let mut bytes = [0_u8; 1_024];
            while !self.seen.contains(text) {
                let count = self.output.read(&mut bytes).await.unwrap();
                assert_ne!(count, 0, "the program ended before it said {text:?}: {}", self.seen);
                self.seen += &String::from_utf8_lossy(&bytes[..count]);
            }
        };
        if tokio::time::timeout(WITHIN, read).await.is_err() {
            panic!("{text:?} was not said: {}", self.seen);
        }
    }

    /// Reads what else the terminal shows, until its program has ended.
    async fn ends(&mut self) -> ExitStatus {
        let mut rest = Vec::new();
        tokio::time::timeout(WITHIN, self.output.read_to_end(&mut rest)).await.unwrap().unwrap();
        self.seen += &String::from_utf8_lossy(&rest);
        tokio::time::timeout(WITHIN, self.program.wait()).await.unwrap().unwrap()
    }

    async fn run(&self) -> RunId {
        let list = self.night.owner.api.runs(&nightshift_protocol::ListRuns::default()).await.unwrap();
        list.runs[0].run.clone()
    }
}

/// Serves the API of a night, and makes a home from which the program finds it.
pub(crate) async fn home_of(night: &Night) -> tempfile::TempDir {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let access = Access { token: TOKEN.to_owned(), port, names: Vec::new() };
    let guard = Guard::new(access, Arc::new(SystemClock));
    let router = nightshift_server::router(Arc::new(night.owner.api.clone()), guard, None);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let home = tempfile::Builder::new().prefix("ns").tempdir_in("/tmp").unwrap();
    let address = OwnerAddress {
        pid: std::process::id(),
        url: format!("http://127.0.0.1:{port}"),
        token: TOKEN.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    std::fs::create_dir_all(home.path().join("data")).unwrap();
    std::fs::write(home.path().join("data/owner.json"), serde_json::to_vec(&address).unwrap()).unwrap();
    home
}

/// Starts a command line in a terminal of its own.
fn in_terminal(line: &str, home: &Path) -> (tokio::process::Child, PipeWriter) {
    let (typed, keys) = std::io::pipe().unwrap();
    let mut command = Command::new("script");
    command.args(["--quiet", "--flush", "--return", "--command", line, "/dev/null"]);
    command
        .env("NIGHTSHIFT_HOME", home)
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(typed)
        .stdout(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    let program = command.kill_on_drop(true).spawn().unwrap();
    (program, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_b_leaves_the_run_to_the_background() {
    let mut terminal = Terminal::with_exec(a_long_command()).await;
    terminal.until("echo begun").await;
    terminal.press(0x02);
    terminal.until("goes on in the background.").await;
    assert_eq!(terminal.ends().await.code(), Some(0));
    let run = terminal.run().await;
    assert_eq!(terminal.night.state(&run).await, RunState::Working);
    assert!(terminal.seen.contains(&format!("Follow it: nightshift watch {run}")), "{}", terminal.seen);
    assert!(terminal.home.path().join("data/owner.json").exists(), "the owner was not touched");
    terminal.night.owner.api.cancel(run.as_str()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_ctrl_c_interrupts_and_the_run_goes_on_to_its_pull_request() {
    let mut terminal = Terminal::with_exec(a_long_command()).await;
    terminal.until("echo begun").await;
    terminal.press(0x03);
    terminal.until("Interrupted. Ctrl+C again gives the run up; Ctrl+B leaves it to the background.").await;
    assert_eq!(terminal.ends().await.code(), Some(0));
    let events = terminal.night.events(&terminal.run().await).await;
    let first = events.iter().find_map(|event| match &event.body {
        EventBody::StepFinished { content, .. } => Some(content.clone()),
        _ => None,
    });
    let said = ResultPart::Text { text: "(interrupted by the person)".to_owned() };
    assert_eq!(first.unwrap().last(), Some(&said));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_ctrl_c_gives_the_run_up() {
    let mut script = a_long_command();
    // What comes after the interruption is as long again.
    script["turns"][1] = script["turns"][0].clone();
    let mut terminal = Terminal::with_exec(script).await;
    terminal.until("echo begun").await;
    terminal.press(0x03);
    terminal.until("Interrupted.").await;
    terminal.press(0x03);
    terminal.until("Given up.").await;
    assert_eq!(terminal.ends().await.code(), Some(4));
    assert_eq!(terminal.night.state(&terminal.run().await).await, RunState::Cancelled);
}
