//! The host's `git` program, started in one way only.
//!
//! What a call inherits is listed here: a variable or a setting that is not is not there. Hooks, file system
//! monitors and prompts are off; time, memory and output are limited; a call that is dropped ends with all the
//! processes it started.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use crate::GitCredential;

/// Variables a call may inherit; those after the first four are for reaching remote repositories as the person does.
const INHERITED: [&str; 17] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_CONFIG_HOME",
    "USER",
    "SSH_AUTH_SOCK",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// Settings of every call, above those of any file.
const SETTINGS: [(&str, &str); 13] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.quotePath", "false"),
    // A crash or a loss of power must not undo what was reported as done.
    ("core.fsync", "all"),
    ("fetch.unpackLimit", "1"),
    ("transfer.unpackLimit", "1"),
    // Larger files are streamed, and compared as binary.
    ("core.bigFileThreshold", "32m"),
    ("core.packedGitWindowSize", "32m"),
    ("core.packedGitLimit", "512m"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("log.showSignature", "false"),
    ("commit.gpgSign", "false"),
];

/// Transports that are spoken to remote repositories. `ext::` and the like run programs that a URL names.
const TRANSPORTS: [(&str, &str); 5] = [
    ("protocol.allow", "never"),
    ("protocol.file.allow", "always"),
    ("protocol.http.allow", "always"),
    ("protocol.https.allow", "always"),
    ("protocol.ssh.allow", "always"),
];

/// `merge-tree --write-tree` came with it.
const OLDEST: GitVersion = GitVersion { major: 2, minor: 38 };

/// What is kept of a program's complaints, in bytes.
const STDERR_LIMIT: usize = 16 << 10;

/// For calls that look something up.
pub(crate) const SHORT: Duration = Duration::from_secs(60);

/// For calls that move a repository's history.
pub(crate) const LONG: Duration = Duration::from_secs(30 * 60);

/// The `git` program of this machine. It is looked up in `PATH` at each call.
#[derive(Debug, Clone)]
pub struct Git {
    environment: Vec<(OsString, OsString)>,
    credential: Option<GitCredential>,
}

/// A version of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

impl fmt::Display for GitVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// Why a call of git did not do what it was for.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` program.
    #[error("git is not installed, or not in PATH")]
    Missing,
    /// The program is too old.
    #[error("git {found} is too old: {OLDEST} or newer is needed")]
    TooOld {
        /// What was found.
        found: GitVersion,
    },
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// Git ended with an error.
    #[error("git {command} failed: {complaint}")]
    Failed {
        /// The subcommand.
        command: String,
        /// What it said, at most 2,000 characters.
        complaint: String,
    },
    /// Git took too long and was ended.
    #[error("git {command} did not end within {} s", limit.as_secs())]
    TimedOut {
        /// The subcommand.
        command: String,
        /// What it was given.
        limit: Duration,
    },
    /// Git answered more than the caller takes.
    #[error("git {command} answered more than {limit} bytes")]
    TooMuchOutput {
        /// The subcommand.
        command: String,
        /// What the caller takes.
        limit: usize,
    },
    /// Git answered something that it should not.
    #[error("git {command} gave an answer that makes no sense")]
    Nonsense {
        /// The subcommand.
        command: String,
    },
    /// The program could not be started or talked to.
    #[error("cannot run git {command}")]
    Run {
        /// The subcommand.
        command: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Git {
    /// Takes what git may inherit out of `environment`, the program's own (`std::env::vars_os()`).
    pub fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let inherited = |name: &OsStr| INHERITED.iter().any(|&known| name == known);
        let environment = environment.into_iter().filter(|(name, _)| inherited(name)).collect();
        Self { environment, credential: None }
    }

    /// Proves itself by this to the site that it is for; to other sites as the person does.
    #[must_use]
    pub fn with_credential(mut self, credential: GitCredential) -> Self {
        self.credential = Some(credential);
        self
    }

    /// Returns the version of the program, or refuses one that is too old.
    pub async fn version(&self) -> Result<GitVersion, GitError> {
        let text = self.call(Place::Nowhere, ["version"]).text().await?;
        let found = parse_version(&text).ok_or(GitError::Nonsense { command: "version".to_owned() })?;
        if found < OLDEST { Err(GitError::TooOld { found }) } else { Ok(found) }
    }

    /// The program by its whole path. A bare name beside a `PATH` of the call's own makes the standard library copy this
    /// process before it becomes git (`fork`), and an owner's memory is large; a path lets the system start it at once.
    fn program(&self) -> PathBuf {
        let path = self.environment.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_os_str());
        let folders = std::env::split_paths(path.unwrap_or_default()).filter(|folder| folder.is_absolute());
        folders.map(|folder| folder.join("git")).find(|git| git.is_file()).unwrap_or_else(|| "git".into())
    }

    pub(crate) fn call<A: AsRef<OsStr>>(
        &self,
        place: Place<'_>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Call {
        let arguments: Vec<OsString> =
            arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let mut command = Command::new(self.program());
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        place.prepare(&mut command);
        let credential = self.credential.as_ref().filter(|_| place.reaches()).map(GitCredential::settings);
        let credential = credential.iter().flatten().map(|(key, value)| (key.as_str(), OsStr::new(value)));
        let settings: Vec<_> = SETTINGS
            .iter()
            .chain(&TRANSPORTS)
            .map(|(key, value)| (*key, OsStr::new(*value)))
            .chain(place.trusted().map(|folder| ("safe.directory", folder.as_os_str())))
            .chain(credential)
            .collect();
        for (index, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command
            .env("GIT_CONFIG_COUNT", settings.len().to_string())
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("SSH_ASKPASS", "false")
            .args(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let name = arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Call {
            command,
            name,
            input: Input::Nothing,
            output_limit: 1 << 20,
            time_limit: SHORT,
            memory_limit: None,
        }
    }
}

/// Where a call runs, and whose settings it follows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// In a folder of the person's, found as git finds it, with the person's settings.
    Theirs(&'a Path),
    /// In a bare repository of ours, with no settings but those of this file.
    Ours(&'a Path),
    /// In a bare repository of ours, with the person's settings for reaching remote repositories.
    Reaching(&'a Path),
    /// In no repository, with the person's settings.
    Nowhere,
}

impl Place<'_> {
    fn prepare(self, command: &mut Command) {
        match self {
            Self::Theirs(folder) => {
                command.current_dir(folder);
            }
            Self::Ours(folder) => {
                command.current_dir(folder).env("GIT_DIR", folder);
                command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
                command.env("GIT_ATTR_NOSYSTEM", "1");
            }
            Self::Reaching(folder) => {
                command.current_dir(folder).env("GIT_DIR", folder);
            }
            Self::Nowhere => {
                command.current_dir("/");
            }
        }
    }

    /// Whether remote repositories are spoken to from there.
    fn reaches(self) -> bool {
        matches!(self, Self::Reaching(_) | Self::Nowhere)
    }

    /// A folder whose settings are followed whoever owns it: the person vouched for it by naming it. For a
    /// repository found in a folder above it git's own check of the owner stays.
    fn trusted(&self) -> Option<&Path> {
        match self {
            Self::Theirs(folder) => Some(folder),
            Self::Ours(_) | Self::Reaching(_) | Self::Nowhere => None,
        }
    }
}

enum Input {
    Nothing,
    Bytes(Vec<u8>),
    File(File),
}

/// One call of git, being put together.
pub(crate) struct Call {
    command: Command,
    name: String,
    input: Input,
    output_limit: usize,
    time_limit: Duration,
    memory_limit: Option<u64>,
}

/// What git answered.
pub(crate) struct Output {
    /// The exit status; `None` when it was ended by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    /// Whether there was more than the limit; git was ended then.
    pub(crate) cut: bool,
    pub(crate) complaint: String,
}

impl Call {
    pub(crate) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Input::Bytes(bytes);
        self
    }

    /// Feeds the rest of a file, from where it stands.
    pub(crate) fn input_file(mut self, file: File) -> Self {
        self.input = Input::File(file);
        self
    }

    pub(crate) fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    pub(crate) fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = limit;
        self
    }

    /// Limits the address space, in bytes, before the first byte of input is fed.
    pub(crate) fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = Some(bytes);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs git and returns what it answered, whatever its exit status.
    pub(crate) async fn run(self) -> Result<Output, GitError> {
        let (name, limit) = (self.name.clone(), self.time_limit);
        match tokio::time::timeout(limit, self.converse()).await {
            Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Err(GitError::Missing),
            Ok(Err(source)) => Err(GitError::Run { command: name, source }),
            Ok(Ok(output)) if output.complaint.contains("No space left on device") => Err(GitError::DiskFull),
            Ok(Ok(output)) => Ok(output),
            Err(_) => Err(GitError::TimedOut { command: name, limit }),
        }
    }

    /// Runs git and returns its whole output; any other exit status than 0 is an error.
    pub(crate) async fn bytes(self) -> Result<Vec<u8>, GitError> {
        let (command, limit) = (self.name.clone(), self.output_limit);
        let output = self.run().await?;
        if output.cut {
            return Err(GitError::TooMuchOutput { command, limit });
        }
        if output.code == Some(0) { Ok(output.stdout) } else { Err(output.failed(&command)) }
    }

    /// Like [`Call::bytes`], as text without the last line's end.
    pub(crate) async fn text(self) -> Result<String, GitError> {
        let bytes = self.bytes().await?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned())
    }

    /// Runs git for its answer yes (exit status 0) or no (1).
    pub(crate) async fn question(self) -> Result<bool, GitError> {
        let name = self.name.clone();
        let output = self.run().await?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.failed(&name)),
        }
    }

    async fn converse(mut self) -> io::Result<Output> {
        let mut child = self.command.spawn()?;
        let mut group = Group::of(&child);
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
            return Err(io::Error::other("a pipe to git is missing"));
        };
        if let (Some(limit), Some(pid)) = (self.memory_limit, group.0) {
            prlimit(Some(pid), Resource::As, Rlimit { current: Some(limit), maximum: Some(limit) })?;
        }
        let answer = async {
            let answer = read_up_to(stdout, self.output_limit).await;
            if !matches!(answer, Ok((_, false))) {
                group.kill();
            }
            answer
        };
        let (fed, answer, complaint) =
            tokio::join!(feed(stdin, self.input), answer, read_and_drain(stderr, STDERR_LIMIT));
        let status = child.wait().await?;
        group.0 = None;
        fed?;
        let (stdout, cut) = answer?;
        let complaint = String::from_utf8_lossy(&complaint?).into_owned();
        Ok(Output { code: status.code(), stdout, cut, complaint })
    }
}

impl Output {
    pub(crate) fn failed(&self, command: &str) -> GitError {
        GitError::Failed { command: command.to_owned(), complaint: readable(&self.complaint) }
    }
}

/// A complaint on one line without control characters, cut to 2,000 characters: it may quote hostile names.
fn readable(complaint: &str) -> String {
    let words: Vec<&str> = complaint.split_whitespace().collect();
    words.join(" ").chars().filter(|character| !character.is_control()).take(2_000).collect()
}

/// The processes of one call. Dropped before they were waited for, it ends them.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn kill(&self) {
        if let Some(pid) = self.0 {
            // An error says that they have ended already.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn feed(mut stdin: ChildStdin, input: Input) -> io::Result<()> {
    let fed = match input {
        Input::Nothing => Ok(()),
        Input::Bytes(bytes) => stdin.write_all(&bytes).await,
        Input::File(file) => {
            tokio::io::copy(&mut tokio::fs::File::from_std(file), &mut stdin).await.map(|_| ())
        }
    };
    match fed {
        // Git refused the rest; its exit status and complaint say why.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        fed => fed,
    }
}

async fn read_up_to(mut from: impl AsyncRead + Unpin, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    (&mut from).take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    let cut = bytes.len() > limit;
    bytes.truncate(limit);
    Ok((bytes, cut))
}

async fn read_and_drain(mut from: impl AsyncRead + Unpin, limit: usize) -> io::Result<Vec<u8>> {
    let (bytes, cut) = read_up_to(&mut from, limit).await?;
    if cut {
        tokio::io::copy(&mut from, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}

fn parse_version(text: &str) -> Option<GitVersion> {
    let mut numbers = text.strip_prefix("git version ")?.split('.');
    Some(GitVersion { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git() -> Git {
        Git::new(std::env::vars_os())
    }

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        let version = |major, minor| Some(GitVersion { major, minor });
        assert_eq!(parse_version("git version 2.47.3"), version(2, 47));
        assert_eq!(parse_version("git version 2.39.5 (Apple Git-154)"), version(2, 39));
        assert_eq!(parse_version("git version 3.0"), version(3, 0));
        assert_eq!(parse_version("bash: git: command not found"), None);
    }

    #[test]
    fn the_first_git_of_the_path_is_taken_and_folders_that_move_with_the_caller_are_not_looked_at() {
        let (empty, full) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(full.path().join("git"), "").unwrap();
        let path = |folders: &[&Path]| Git::new([("PATH".into(), std::env::join_paths(folders).unwrap())]);
        let found = path(&[empty.path(), full.path(), Path::new("/usr/bin")]).program();
        assert_eq!(found, full.path().join("git"));
        assert_eq!(path(&[Path::new("."), empty.path()]).program(), Path::new("git"));
    }

    #[tokio::test]
    async fn a_machine_without_git_is_told_so() {
        let nowhere = Git::new([(OsString::from("PATH"), OsString::from("/nonexistent"))]);
        assert!(matches!(nowhere.version().await.unwrap_err(), GitError::Missing));
    }

    #[tokio::test]
    async fn a_call_sees_nothing_of_the_environment_but_what_is_listed() {
        let path = std::env::vars_os().find(|(name, _)| name == "PATH").unwrap();
        let git = Git::new([
            path,
            ("ANTHROPIC_API_KEY".into(), "secret".into()),
            ("GIT_DIR".into(), "/elsewhere".into()),
        ]);
        let folder = tempfile::tempdir().unwrap();
        let call =
            git.call(Place::Theirs(folder.path()), ["-c", "alias.show-environment=!env", "show-environment"]);
        let seen = call.text().await.unwrap();
        assert!(seen.contains("LC_ALL=C") && seen.contains("GIT_TERMINAL_PROMPT=0"), "{seen}");
        assert!(!seen.contains("secret") && !seen.contains("/elsewhere"), "{seen}");
    }

    #[tokio::test]
    async fn a_call_that_takes_too_long_is_ended_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let call = git().call(Place::Theirs(folder.path()), ["-c", "alias.wait=!sleep 600", "wait"]);
        let limit = Duration::from_millis(50);
        let ended = call.time_limit(limit).run().await;
        assert!(matches!(ended, Err(GitError::TimedOut { limit: told, .. }) if told == limit));
    }

    #[tokio::test]
    async fn a_call_that_is_dropped_ends_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let wait = "alias.wait=!sleep 600 & echo $! > new && mv new pid; wait";
        let call = git().call(Place::Theirs(folder.path()), ["-c", wait, "wait"]);
        let started = async {
            loop {
                match std::fs::read_to_string(folder.path().join("pid")) {
                    Ok(pid) => break pid,
                    Err(_) => tokio::task::yield_now().await,
                }
            }
        };
        let pid = tokio::select! {
            pid = started => pid,
            _ = call.run() => unreachable!("it waits for ten minutes"),
        };
        let status = format!("/proc/{}/status", pid.trim());
        // A killed process lingers until whoever inherited it has looked.
        while std::fs::read_to_string(&status).is_ok_and(|status| !status.contains("State:\tZ")) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn output_above_the_limit_is_an_error_and_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let call = git().call(Place::Theirs(folder.path()), ["-c", "alias.yes=!yes", "yes"]);
        let refused = call.output_limit(1000).bytes().await.unwrap_err();
        assert!(matches!(refused, GitError::TooMuchOutput { limit: 1000, .. }), "{refused}");
    }

    #[test]
    fn a_complaint_cannot_write_to_a_terminal() {
        assert_eq!(readable("fatal: \u{1b}[2Jbad\n\tname\r\n"), "fatal: [2Jbad name");
    }
}
