//! The program inside a sandbox: it runs jobs, reads and writes files and reaches ports for the host, over one virtual
//! serial port.
//!
//! ```text
//!   port ◀──▶ a thread with the Session ◀──▶ a thread for each stream ──▶ files, trees, ports, identity
//!                                                     │
//!                                                     └──▶ jobs, with a thread each: output goes to a spool on disk
//! ```
//!
//! Jobs belong to the machine, not to the session: the host may vanish and come back, and finds them by their ids.
//! The program is static and small, uses threads and no runtime, and never decides whether something is allowed: the
//! machine is the boundary, not this program.

mod account;
mod bell;
mod connect;
mod files;
mod identity;
mod jobs;
mod kernel;
mod launch;
mod link;
mod port;
mod proxy;
mod services;
mod settings;
mod stream;
mod trees;

pub use account::Account;
pub use kernel::{Kernel, LinuxKernel};
pub use services::Guest;
pub use settings::Settings;
