//! Runs the night: takes tasks in, gives each run a sandbox, carries out what its agent wants, delivers, recovers.
//!
//! It knows no HTTP, no Tauri and no hypervisor: drivers, models and stores are passed in. Nothing about a run is
//! kept but its events; [`progress`](crate::RunProgress) folds them, one function decides what comes next, and an
//! owner that was killed goes on the same way as one that was not.

mod acts;
mod admission;
mod approval;
mod criteria;
mod delivery;
mod desk;
mod disk;
mod doctor;
mod engine;
mod environment;
mod images;
mod intake;
mod lease;
mod loans;
mod mcp;
mod models;
mod network;
mod pace;
mod progress;
mod prune;
mod repository;
pub mod reviewing;
mod run;
mod shared;
mod spare;
mod spare_keys;
mod supervisor;
mod templates;
mod terminal;
mod tools;
mod transition;
pub mod trouble;
mod watching;

pub use approval::check_approval;
pub use delivery::{DeliveryProgress, DeliverySettings, IssueSettings, PicturePolicy, pictures};
pub use desk::{Desk, DeskError, shell};
pub use disk::DiskSettings;
pub use environment::{PackageRegistries, RegistryKind, RegistrySettings};
pub use images::{Images, OnPhase, SetUpPhase};
pub use lease::{IDLE, Lease};
pub use network::NetworkSettings;
pub use nightshift_agent::subagents::DefinitionFile;
pub use nightshift_screen::live;
pub use progress::{Approvals, EngineProgress, RunCheckpoints, RunProgress, SelfReviews, Subagents};
pub use shared::{OwnDefinitions, SupervisorParts, SupervisorSettings};
pub use supervisor::{MOST_SELF_REVIEWS, Supervisor, Webhook};
pub use templates::Templates;
pub use terminal::{Terminal, TerminalEvent};
pub use watching::RunScreen;
