//! The channel between the host and the program inside a sandbox: many streams in one virtual serial port.
//!
//! ```text
//!   host: Channel ── start, attach, files, trees, connect …          nightshift-guest: services
//!            │                                                                │
//!         Session  (streams, credit, fair turns: pure)                     Session
//!            │                                                                │
//!         Frame ◀────────── unix socket │ virtio-serial port ──────────▶    Frame
//! ```
//!
//! [`wire`] is what both ends must agree on, without any IO; the rest is the host's end. What the guest sends is
//! not trusted: it is limited in length and number, and whoever breaks the protocol loses the session, never more.
//! The crate knows nothing of tasks, runs or agents, and never decides what is allowed to travel.

pub mod wire;

#[cfg(feature = "host")]
mod host;

#[cfg(feature = "host")]
pub use host::{
    AttachError, Channel, ChannelError, CloseReason, Command, Completed, ConnectError, Connections,
    FileError, FileMode, Followed, ForgetError, GuestStream, HostileTree, IdentityError, Input, Job,
    JobEvent, KillError, OpenError, OutputMode, StartJobError, TreeError, TreeLimits,
};
pub use wire::service::{
    FileKind, FileStat, GuestUser, Identity, InvalidJobId, JobExit, JobId, JobState, JobStatus, PROXY_PORT,
    Signal, Source,
};
