//! The host's end of the channel.

mod connections;
mod error;
mod file;
mod job;
mod link;
mod stream;
mod tree;
mod unpack;

pub use connections::Connections;
pub use error::{
    AttachError, ChannelError, CloseReason, ConnectError, FileError, ForgetError, IdentityError, KillError,
    OpenError, StartJobError, TreeError,
};
pub use file::FileMode;
pub use job::{Command, Completed, Followed, Input, Job, JobEvent, OutputMode};
pub use link::Channel;
pub use stream::GuestStream;
pub use tree::TreeLimits;
pub use unpack::HostileTree;
