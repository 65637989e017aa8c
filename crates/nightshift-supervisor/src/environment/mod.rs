//! Environments: a repository is set up once in a clone, proved by its own checks, and frozen; its tasks start from
//! there.
//!
//! ```text
//!   Files ─▶ plan() ─▶ SetUpPlan ─▶ phases: sandbox ─▶ repository ─▶ step … ─▶ check … ─▶ server ─▶ freeze
//!     └────▶ fingerprint()  ─▶ stale?           └─ failed: machine kept, retried from here
//! ```
//!
//! What is done is decided of files read from the host's copy at a commit: what is in a sandbox could be changed there.

mod devcontainer;
mod files;
mod fingerprint;
mod found;
mod lint;
mod log;
mod own;
mod plan;
mod progress;
mod registries;
mod serving;
mod set_up;
mod stall;

pub(crate) use files::Files;
use fingerprint::changed;
pub(crate) use fingerprint::fingerprint;
pub(crate) use lint::lint;
pub(crate) use log::Log;
pub(crate) use plan::plan;
pub(crate) use progress::EnvironmentProgress;
pub use registries::{PackageRegistries, RegistryKind, RegistrySettings};
pub(crate) use serving::{all, begin, carry_on, machine, serving, take_away};
pub(crate) use set_up::load;
