//! What sandboxes write to the disk of their host, and why one of them stands still for it.

use std::path::PathBuf;

use nightshift_protocol::SandboxId;
use serde::{Deserialize, Serialize};

/// What sandboxes have written to the disk of their host, and what is left of that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskUse {
    /// The folder they write to.
    pub folder: PathBuf,
    /// What is free there, in bytes.
    pub free_bytes: u64,
    /// How large the disk is, in bytes.
    pub total_bytes: u64,
    /// What each of them has written.
    pub sandboxes: Vec<Written>,
}

/// What one sandbox has written to the disk of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// What its own disk takes on the host's, in bytes: without what it shares with others, and with what it wrote more
    /// than once where checkpoints keep what was there before.
    pub bytes: u64,
    /// Why it stands still, if it was made to.
    pub held: Option<Hold>,
}

/// Why a guest was made to stand still while the disk below it still had room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Hold {
    /// The disk of the host is nearly full, and it filled it fastest.
    Reserve {
        /// What it had written, in bytes.
        written_bytes: u64,
        /// What the disk had left, in bytes.
        free_bytes: u64,
        /// What has to be free for it to go on by itself, in bytes.
        enough_bytes: u64,
    },
    /// It wrote as much as one sandbox may.
    Quota {
        /// What it had written, in bytes.
        written_bytes: u64,
        /// What it may write, in bytes.
        quota_bytes: u64,
    },
}

/// A machine that stands still because of the disk below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The folder that was written to.
    pub folder: PathBuf,
    /// How much is free there, in MiB, where that is known.
    pub free_mib: Option<u64>,
    /// Why it was made to stand still; `None` where it stopped by itself at a write for which there was no room.
    pub held: Option<Hold>,
}
