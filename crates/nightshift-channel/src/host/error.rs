//! What can go wrong, one enum per operation. Text that came from the guest is cut before it gets here.

use std::io;
use std::time::Duration;

use crate::wire::frame::FrameError;
use crate::wire::service::{
    AttachRefusal, ConnectRefusal, ExecRefusal, FileRefusal, IdentityRefusal, JobRefusal, TreeRefusal,
};
use crate::wire::session::Violation;

use super::unpack::HostileTree;

/// Why a channel is closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// Nobody on the host uses it any more.
    #[error("the channel was closed here")]
    ByHost,
    /// The machine or its hypervisor hung up.
    #[error("the sandbox hung up")]
    HungUp,
    /// The guest's program has no session: it restarted, or gave the session up. Opening a channel anew helps.
    #[error("the program in the sandbox lost the session")]
    LostByGuest,
    /// The guest sent bytes that are no frame. Opening a channel anew may help.
    #[error("the sandbox sent what is no frame")]
    BadFrame(#[source] FrameError),
    /// The guest broke the rules of streams.
    #[error("the sandbox broke the channel's rules")]
    Violation(#[source] Violation),
    /// Reading or writing failed on the host.
    #[error("the channel's socket failed: {0}")]
    Socket(String),
}

/// A channel did not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The guest did not answer.
    #[error("the sandbox did not answer on its channel within {within:?}")]
    TimedOut {
        /// How long was waited.
        within: Duration,
    },
    /// The machine or its hypervisor hung up.
    #[error("the sandbox hung up before it answered")]
    HungUp,
    /// The guest sends without end and answers nothing.
    #[error("the sandbox sends without end what is no answer")]
    Flooded,
    /// The guest's program speaks another version.
    #[error("the program in the sandbox speaks version {guest} of the channel, not {}", crate::wire::VERSION)]
    OtherVersion {
        /// Its version.
        guest: u16,
    },
    /// Reading or writing failed on the host.
    #[error("the channel's socket failed")]
    Socket(#[source] io::Error),
}

/// Something was asked and no answer came, or none that makes sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// The channel is closed.
    #[error("the channel to the sandbox is closed")]
    Closed(#[source] CloseReason),
    /// The guest gave the request up.
    #[error("the sandbox gave the request up")]
    Cut,
    /// The guest's answer is none that this request can have.
    #[error("the sandbox's answer is not understood")]
    NotUnderstood,
    /// The request is longer than 1 MiB.
    #[error("the request is too long for the channel")]
    TooLong,
    /// 256 requests are under way.
    #[error("too many requests are under way on the channel")]
    TooManyStreams,
}

/// A job was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartJobError {
    /// The program is not there.
    #[error("there is no such program")]
    NoSuchProgram,
    /// The folder is not there.
    #[error("there is no such folder")]
    NoSuchFolder,
    /// The guest has no such user.
    #[error("the sandbox has no such user")]
    NoSuchUser,
    /// The user may not run it, or not there.
    #[error("permission denied")]
    PermissionDenied,
    /// Arguments, environment or input are larger than the guest takes.
    #[error("arguments, environment or input are too large")]
    TooLarge,
    /// Something else.
    #[error("the sandbox could not start it: {what}")]
    Other {
        /// What, as the guest says it.
        what: String,
    },
    /// No answer came. The job may have been started: start or attach tells.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<ExecRefusal> for StartJobError {
    fn from(refusal: ExecRefusal) -> Self {
        match refusal {
            ExecRefusal::NoSuchProgram => Self::NoSuchProgram,
            ExecRefusal::NoSuchFolder => Self::NoSuchFolder,
            ExecRefusal::NoSuchUser => Self::NoSuchUser,
            ExecRefusal::PermissionDenied => Self::PermissionDenied,
            ExecRefusal::TooLarge => Self::TooLarge,
            ExecRefusal::Other { what } => Self::Other { what: cut(&what) },
        }
    }
}

/// A job cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// No job has that id.
    #[error("the sandbox has no such job")]
    NoSuchJob,
    /// The job's output is shorter than the offset, as after a return to an earlier checkpoint.
    #[error("the job has only {output_bytes} bytes of output")]
    OutputIsShorter {
        /// How many bytes there are.
        output_bytes: u64,
    },
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<AttachRefusal> for AttachError {
    fn from(refusal: AttachRefusal) -> Self {
        match refusal {
            AttachRefusal::NoSuchJob => Self::NoSuchJob,
            AttachRefusal::OutputIsShorter { output_bytes } => Self::OutputIsShorter { output_bytes },
        }
    }
}

/// A job was not ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KillError {
    /// No job has that id.
    #[error("the sandbox has no such job")]
    NoSuchJob,
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

/// A job was not forgotten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgetError {
    /// No job has that id.
    #[error("the sandbox has no such job")]
    NoSuchJob,
    /// It still runs.
    #[error("the job still runs")]
    StillRunning,
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<JobRefusal> for ForgetError {
    fn from(refusal: JobRefusal) -> Self {
        match refusal {
            JobRefusal::NoSuchJob => Self::NoSuchJob,
            JobRefusal::StillRunning => Self::StillRunning,
        }
    }
}

/// A file was not read, written or looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Nothing is there.
    #[error("there is no such file")]
    NotFound,
    /// A folder is there.
    #[error("it is a folder")]
    IsAFolder,
    /// Something on the way is no folder.
    #[error("something on the way is no folder")]
    NotAFolder,
    /// The user may not.
    #[error("permission denied")]
    PermissionDenied,
    /// It is longer than the limit.
    #[error("it is longer than the limit")]
    TooLarge,
    /// The guest's disk is full.
    #[error("the sandbox's disk is full")]
    NoSpace,
    /// Something else.
    #[error("{what}")]
    Other {
        /// What, as the guest says it.
        what: String,
    },
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<FileRefusal> for FileError {
    fn from(refusal: FileRefusal) -> Self {
        match refusal {
            FileRefusal::NotFound => Self::NotFound,
            FileRefusal::IsAFolder => Self::IsAFolder,
            FileRefusal::NotAFolder => Self::NotAFolder,
            FileRefusal::PermissionDenied => Self::PermissionDenied,
            FileRefusal::TooLarge => Self::TooLarge,
            FileRefusal::NoSpace => Self::NoSpace,
            FileRefusal::Other { what } => Self::Other { what: cut(&what) },
        }
    }
}

/// A tree did not travel.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The guest has no such folder.
    #[error("the sandbox has no such folder")]
    NotFound,
    /// The guest has no such user.
    #[error("the sandbox has no such user")]
    NoSuchUser,
    /// The guest's `tar` failed.
    #[error("tar failed in the sandbox: {what}")]
    TarFailed {
        /// What it printed.
        what: String,
    },
    /// The tree holds what must not be unpacked on the host.
    #[error("the sandbox's tree is refused")]
    Hostile(#[from] HostileTree),
    /// Reading or writing failed on the host.
    #[error("reading or writing the tree failed on this side")]
    Local(#[source] io::Error),
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<TreeRefusal> for TreeError {
    fn from(refusal: TreeRefusal) -> Self {
        match refusal {
            TreeRefusal::NotFound => Self::NotFound,
            TreeRefusal::NoSuchUser => Self::NoSuchUser,
            TreeRefusal::TarFailed { what } => Self::TarFailed { what: cut(&what) },
        }
    }
}

/// A port of the guest was not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No program listens on it.
    #[error("nobody listens on that port in the sandbox")]
    NobodyListens,
    /// Something else.
    #[error("{what}")]
    Other {
        /// What, as the guest says it.
        what: String,
    },
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<ConnectRefusal> for ConnectError {
    fn from(refusal: ConnectRefusal) -> Self {
        match refusal {
            ConnectRefusal::NobodyListens => Self::NobodyListens,
            ConnectRefusal::Other { what } => Self::Other { what: cut(&what) },
        }
    }
}

/// A machine did not get its identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A part of it is out of its range.
    #[error("the identity is not valid: {what}")]
    Invalid {
        /// Which part.
        what: String,
    },
    /// A step failed; setting it again is safe.
    #[error("the sandbox could not take the identity: {what}")]
    Failed {
        /// Which step, and why.
        what: String,
    },
    /// No answer came.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl From<IdentityRefusal> for IdentityError {
    fn from(refusal: IdentityRefusal) -> Self {
        match refusal {
            IdentityRefusal::Invalid { what } => Self::Invalid { what: cut(&what) },
            IdentityRefusal::Failed { what } => Self::Failed { what: cut(&what) },
        }
    }
}

/// Cuts a text of the guest to what a person will read, without control characters.
fn cut(text: &str) -> String {
    text.chars().filter(|character| *character == '\n' || !character.is_control()).take(2_000).collect()
}
