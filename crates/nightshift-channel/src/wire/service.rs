//! What the host asks for on a stream, and what the guest answers: JSON messages.
//!
//! The host opens a stream and sends one [`Request`]. What follows depends on it:
//!
//! | request | the host then sends | the guest answers |
//! |---|---|---|
//! | `exec` | the input's bytes, then the end | [`ExecAnswer`], output, [`JobExit`], the end |
//! | `attach` | | [`AttachAnswer`], output from the offset on, [`JobExit`], the end |
//! | `readFile` | | [`FileAnswer`]`<()>`, the file's bytes, the end |
//! | `writeFile` | the file's bytes, then the end | [`FileAnswer`]`<()>` after it is in place, the end |
//! | `putTree` | a tar stream, then the end | [`TreeAnswer`] after it is unpacked, the end |
//! | `getTree` | | [`TreeAnswer`], a tar stream, [`TreeAnswer`] whether it is whole, the end |
//! | `connect` | bytes both ways, each with its own end | [`ConnectAnswer`] first |
//! | the others | | one answer, the end |
//!
//! After `takeConnections` the guest opens streams too: one for each connection that a program of the sandbox makes
//! to [`PROXY_PORT`], with bytes both ways, each with its own end. What they say is for the host to understand.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The longest request in bytes: a command's arguments and environment fit.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The TCP port of the guest's loopback interface at which programs find a proxy, whose other end is the host.
pub const PROXY_PORT: u16 = 3128;

/// The most connections to [`PROXY_PORT`] that the guest hands to the host at once; the others wait.
pub const MAX_CONNECTIONS: usize = 128;

/// The longest answer in bytes.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// What the host asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "service", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// Starts a job, or attaches to it from its first byte when it was started before.
    Exec(ExecRequest),
    /// Follows a job's output.
    Attach {
        /// The job.
        job: JobId,
        /// How many bytes of its output to pass over.
        offset: u64,
    },
    /// Ends a job, or interrupts it.
    Kill {
        /// The job.
        job: JobId,
        /// How.
        signal: Signal,
    },
    /// Asks for a job's state.
    Job {
        /// The job.
        job: JobId,
    },
    /// Removes what is kept of a job that has ended.
    Forget {
        /// The job.
        job: JobId,
    },
    /// Reads a file.
    ReadFile {
        /// Its absolute path.
        path: String,
        /// The most bytes it may have.
        limit: u64,
    },
    /// Replaces a file in one step; missing folders above it are made.
    WriteFile {
        /// Its absolute path.
        path: String,
        /// Its permissions.
        mode: u32,
        /// With whose rights it is written.
        owner: GuestUser,
    },
    /// Asks what is at a path; a link is not followed.
    Stat {
        /// The absolute path.
        path: String,
    },
    /// Asks for a file's SHA-256.
    HashFile {
        /// Its absolute path.
        path: String,
    },
    /// Unpacks a tar stream into a folder, which is made when missing.
    PutTree {
        /// The folder's absolute path.
        path: String,
        /// With whose rights it is unpacked.
        owner: GuestUser,
    },
    /// Packs a folder's content as a tar stream.
    GetTree {
        /// The folder's absolute path.
        path: String,
    },
    /// Connects to a TCP port of the guest's loopback interface.
    Connect {
        /// The port.
        port: u16,
    },
    /// Opens the proxy's port: from now on, until the session ends, connections to it come to the host.
    TakeConnections,
    /// Makes a clone a machine of its own.
    Identity(Identity),
    /// Asks for an answer.
    Ping,
}

/// A job to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExecRequest {
    /// Its id: the host's idempotency key.
    pub job: JobId,
    /// The program, looked up in the environment's `PATH`, and its arguments.
    pub argv: Vec<String>,
    /// The folder it starts in; the user's home when absent.
    pub folder: Option<String>,
    /// Variables set over those the user has by default.
    pub environment: Vec<(String, String)>,
    /// The user it runs as.
    pub user: GuestUser,
    /// When it is ended, in milliseconds from its start.
    pub time_limit_milliseconds: Option<u64>,
    /// Whether its two outputs become one, in the order they were written.
    pub merge_output: bool,
    /// Where its input comes from.
    pub input: InputKind,
}

/// Where a job's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum InputKind {
    /// It has none.
    None,
    /// The stream's bytes up to its end, all of which are there before the job starts.
    Whole,
    /// The stream's bytes as they come; a stream that is cut ends the input.
    Stream,
}

/// A user of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GuestUser {
    /// The one the agent works as, who owns the desktop.
    Agent,
    /// The one who may do everything.
    Root,
}

/// What is sent to a job's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Signal {
    /// SIGINT, as control-C does; the job decides what it makes of it.
    Interrupt,
    /// SIGTERM to all it started, and SIGKILL to what is left after 2 seconds or when its first process has ended.
    Terminate,
    /// SIGKILL to all it started.
    Kill,
}

/// Names a job: 1 to 128 letters, digits, `.`, `_` or `-`, of which the first is no dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JobId(String);

/// A text that cannot name a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} cannot name a job: it takes 1 to 128 letters, digits, `.`, `_` or `-`, the first no dot")]
pub struct InvalidJobId {
    /// What was given, cut to 128 characters.
    pub given: String,
}

impl JobId {
    /// Reads an id.
    pub fn new(text: &str) -> Result<Self, InvalidJobId> {
        let fits = (1..=128).contains(&text.len()) && !text.starts_with('.');
        if fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidJobId { given: text.chars().take(128).collect() })
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JobId {
    type Err = InvalidJobId;

    fn from_str(text: &str) -> Result<Self, InvalidJobId> {
        Self::new(text)
    }
}

impl TryFrom<String> for JobId {
    type Error = InvalidJobId;

    fn try_from(text: String) -> Result<Self, InvalidJobId> {
        Self::new(&text)
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which of a job's outputs bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Both, as one.
    Merged,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobStatus {
    /// Its first process ended with this code.
    Code(i32),
    /// A signal of this number ended its first process.
    Signal(i32),
    /// It was ended because its time was over.
    TimedOut,
    /// It has ended, and how is not known: the guest's program or the machine restarted meanwhile.
    Lost,
}

/// The end of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobExit {
    /// How it ended.
    pub status: JobStatus,
    /// How many bytes of output were not kept, for want of room.
    pub dropped_bytes: u64,
    /// How long it ran; zero when that is not known.
    pub wall: Duration,
}

/// What is known of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum JobState {
    /// Its first process runs.
    Running {
        /// How many bytes of output are kept so far.
        output_bytes: u64,
    },
    /// Its first process has ended. Processes it left behind may still run.
    Exited {
        /// How many bytes of output are kept.
        output_bytes: u64,
        /// How it ended.
        exit: JobExit,
    },
}

/// What makes a clone a machine of its own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its host name: 1 to 63 letters, digits or hyphens.
    pub host_name: String,
    /// Its machine id (machine-id(5)).
    pub machine_id: [u8; 16],
    /// Fresh randomness for the kernel's pool, at least 32 bytes and at most 512.
    pub entropy: Vec<u8>,
    /// The time, in nanoseconds since 1970 in UTC.
    pub clock_unix_nanoseconds: i64,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The entropy seeds keys: it has no place in a log.
        formatter.debug_struct("Identity").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileStat {
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes.
    pub length: u64,
    /// Its permissions.
    pub mode: u32,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

/// Whether a job was started, or followed.
pub type ExecAnswer = Result<Started, ExecRefusal>;

/// What became of an `exec`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Started {
    /// It was started now.
    Now,
    /// It had been started before.
    Before,
}

/// Why a job was not started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ExecRefusal {
    /// The program is not there.
    NoSuchProgram,
    /// The folder is not there.
    NoSuchFolder,
    /// The guest has no such user.
    NoSuchUser,
    /// The user may not run it, or not there.
    PermissionDenied,
    /// Arguments, environment or input are larger than the system takes.
    TooLarge,
    /// Something else.
    Other {
        /// What, in one sentence.
        what: String,
    },
}

/// Whether a job is followed.
pub type AttachAnswer = Result<(), AttachRefusal>;

/// Why a job is not followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AttachRefusal {
    /// No job has that id.
    NoSuchJob,
    /// Its output is shorter than the offset.
    OutputIsShorter {
        /// How many bytes there are.
        output_bytes: u64,
    },
}

/// What became of a request about a job.
pub type JobAnswer<T> = Result<T, JobRefusal>;

/// Why nothing was done about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobRefusal {
    /// No job has that id.
    NoSuchJob,
    /// It still runs.
    StillRunning,
}

/// What became of a request about a file.
pub type FileAnswer<T> = Result<T, FileRefusal>;

/// Why nothing was done about a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum FileRefusal {
    /// Nothing is there.
    NotFound,
    /// A folder is there.
    IsAFolder,
    /// Something on the way is no folder.
    NotAFolder,
    /// The user may not.
    PermissionDenied,
    /// It is longer than the limit.
    TooLarge,
    /// The disk is full.
    NoSpace,
    /// Something else.
    Other {
        /// What, in one sentence.
        what: String,
    },
}

/// What became of a tree.
pub type TreeAnswer = Result<(), TreeRefusal>;

/// Why a tree did not travel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TreeRefusal {
    /// The folder is not there.
    NotFound,
    /// The guest has no such user.
    NoSuchUser,
    /// The guest's `tar` failed.
    TarFailed {
        /// What it printed, cut to 2,000 characters.
        what: String,
    },
}

/// Whether a port was reached.
pub type ConnectAnswer = Result<(), ConnectRefusal>;

/// Why a port was not reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ConnectRefusal {
    /// No program listens on it.
    NobodyListens,
    /// Something else.
    Other {
        /// What, in one sentence.
        what: String,
    },
}

/// What became of a new identity.
pub type IdentityAnswer = Result<(), IdentityRefusal>;

/// Why a machine did not get its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum IdentityRefusal {
    /// A part of it is out of its range.
    Invalid {
        /// Which part.
        what: String,
    },
    /// A step failed; those before it are done, and all can be repeated.
    Failed {
        /// Which step, and why.
        what: String,
    },
}
