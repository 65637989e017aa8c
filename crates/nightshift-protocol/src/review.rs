//! What a review works with: changed files, files of a commit, comments.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::CommitId;

/// The files a pull request changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedFiles {
    /// The commit they are compared with.
    pub base: CommitId,
    /// The newest commit.
    pub head: CommitId,
    /// The files, ordered by path.
    pub files: Vec<ChangedFile>,
}

/// A file that differs. A rename is a removed and an added file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChangedFile {
    /// Its path in the repository.
    pub path: String,
    /// Added lines; `null` for binary files.
    pub added: Option<u64>,
    /// Removed lines; `null` for binary files.
    pub removed: Option<u64>,
}

/// A folder of a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// The commit.
    pub commit: CommitId,
    /// The folder's path; empty for the top.
    pub path: String,
    /// What is in it: folders first, each by name.
    pub entries: Vec<TreeEntry>,
    /// Whether there are more than could be listed.
    pub cut: bool,
}

/// A thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TreeEntry {
    /// Its name.
    pub name: String,
    /// Its path in the repository.
    pub path: String,
    /// What it is.
    pub kind: TreeEntryKind,
    /// Size in bytes, for files.
    pub size: Option<u64>,
}

/// What a thing in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum TreeEntryKind {
    /// A folder.
    Folder,
    /// A file.
    File,
    /// A symbolic link.
    Link,
    /// A commit of another repository.
    Submodule,
}
