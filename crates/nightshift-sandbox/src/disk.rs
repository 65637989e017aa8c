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
    /// The last reason to stand still in spite of which a person let it go on: it may use what that allows.
    pub let_go: Option<Hold>,
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

impl Hold {
    /// Whether only a person can have let a machine go on that stood still for this, with so many bytes free on its disk:
    /// nothing else does before there is room.
    pub fn is_overruled(&self, free_bytes: u64) -> bool {
        match self {
            Self::Reserve { enough_bytes, .. } => free_bytes < *enough_bytes,
            Self::Quota { .. } => true,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_on_the_disk_lets_go_on_what_was_held_for_it_and_a_quota_only_a_person_overrules() {
        let reserve = Hold::Reserve { written_bytes: 9, free_bytes: 3, enough_bytes: 5 };
        let quota = Hold::Quota { written_bytes: 9, quota_bytes: 8 };
        let overruled = |free| [reserve, quota].map(|hold| hold.is_overruled(free));
        assert_eq!([4, 5, u64::MAX].map(overruled), [[true, true], [false, true], [false, true]]);
    }
}
