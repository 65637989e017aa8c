//! Images and templates that nobody needs any more.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A wish to remove what nobody needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prune {
    /// Only say what would be removed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What was removed, and what was kept and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PruneReport {
    /// Whether nothing was removed, only looked at.
    pub dry_run: bool,
    /// What that frees, in bytes. Files that a checkpoint shares are freed with it, and not counted.
    pub freed_bytes: u64,
    /// Every image and template there is, the newest first.
    pub builds: Vec<PrunedBuild>,
}

/// An image or a template, and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PrunedBuild {
    /// What it is.
    pub kind: BuildKind,
    /// The name of its folder in the cache.
    pub name: String,
    /// Its size on disk, in bytes.
    pub bytes: u64,
    /// Why it is kept; absent when it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<KeptBecause>,
}

/// What was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum BuildKind {
    /// The disk that templates start from.
    Image,
    /// A frozen machine that sandboxes are cloned from.
    Template,
    /// One of them that was never finished.
    Unfinished,
}

/// Why an image or a template is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum KeptBecause {
    /// The next sandbox is made of it.
    Current,
    /// Something rests on it.
    Needed {
        /// What: a sandbox, a checkpoint, an environment's template, a process.
        by: String,
    },
    /// It is one of the newest.
    Newest,
    /// It was written to a moment ago, so it may be in the making.
    Recent,
}
