//! Checkpoints: a running machine's memory and disk as they are at one moment, and machines brought back from there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::{CheckpointId, SandboxId};

use crate::driver::{Machine, StartError};
use crate::state::RequestDenied;

/// Saves machines and brings them back.
///
/// A checkpoint stands on its own: it outlives the machine, its template and other checkpoints of the same machine,
/// and removing it takes nothing from any of them.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Saves a machine. When that fails the machine goes on as if nothing had been asked of it, and nothing of the
    /// checkpoint is left.
    async fn save(&self, request: SaveRequest) -> Result<CheckpointFacts, CheckpointError>;

    /// Makes a running machine out of a checkpoint. No machine of that sandbox may be there.
    async fn restore(&self, request: RestoreRequest) -> Result<Arc<dyn Machine>, StartError>;

    /// Returns what is known of a checkpoint, if it is there and whole.
    async fn find_checkpoint(&self, checkpoint: &CheckpointId) -> Option<CheckpointFacts>;

    /// Makes another checkpoint of the same moment, which costs next to nothing and outlives the first.
    async fn copy(&self, from: &CheckpointId, to: &CheckpointId) -> std::io::Result<CheckpointFacts>;

    /// The checkpoints on this host, and what is left of those that were never finished.
    async fn list_checkpoints(&self) -> Vec<CheckpointId>;

    /// Removes a checkpoint. Removing what is gone is no error.
    async fn remove_checkpoint(&self, checkpoint: &CheckpointId) -> std::io::Result<()>;
}

/// A wish for a checkpoint.
#[derive(Clone)]
pub struct SaveRequest {
    /// The new checkpoint's id.
    pub checkpoint: CheckpointId,
    /// What is to be saved.
    pub machine: Arc<dyn Machine>,
    /// What is to become of it.
    pub then: AfterSave,
}

/// What becomes of a machine once it is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSave {
    /// It goes on.
    GoOn,
    /// It ends, and gives its memory back: it is suspended to disk. The checkpoint is on the disk by then, so that it
    /// survives the host's end too.
    End,
}

/// A wish for a machine as it was at a checkpoint.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The machine's id: that of the machine which was saved, or a new one.
    pub sandbox: SandboxId,
    /// What it is brought back from.
    pub checkpoint: CheckpointId,
    /// Whether it continues the machine that was saved.
    pub generation: Generation,
}

/// Whether a machine continues the one that was saved or is another beside it, as its kernel is told
/// (Virtual Machine Generation ID, ACPI device `VM_GEN_COUNTER`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// The same machine: its memory is to the byte what was saved. Whoever brings it back gives it fresh randomness.
    Kept,
    /// Another machine: its kernel draws new random numbers at once.
    Fresh,
}

/// What is known of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFacts {
    /// Its id.
    pub checkpoint: CheckpointId,
    /// The machine that was saved.
    pub sandbox: SandboxId,
    /// Memory that changed since the checkpoint before it, or since the template, in bytes.
    pub changed_bytes: u64,
    /// What was written for it to disk, all in all, in bytes.
    pub written_bytes: u64,
    /// How long the guest stood still.
    pub paused: Duration,
    /// How long all of it took.
    pub took: Duration,
}

/// A machine could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The machine's state forbids it.
    #[error("{0}")]
    Denied(#[from] RequestDenied),
    /// The machine is none of this driver's.
    #[error("{sandbox} is no running machine of this host")]
    NotRunning {
        /// The machine.
        sandbox: SandboxId,
    },
    /// This host does not let a machine be saved.
    #[error("this host does not let a machine be saved: {what}")]
    Unsupported {
        /// What is missing, and how to get it.
        what: String,
    },
    /// The disk is full.
    #[error("the disk that holds {folder} is full")]
    DiskFull {
        /// The folder that was written to.
        folder: PathBuf,
    },
    /// The hypervisor refused.
    #[error("the machine's state could not be saved: {what}")]
    Refused {
        /// What was tried and the answer.
        what: String,
    },
    /// Reading or writing failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}
