//! Errors as a person meets them.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stable name of what went wrong, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ErrorCode {
    /// The request makes no sense as it is.
    InvalidRequest,
    /// The request's body is too large.
    TooLarge,
    /// No or a wrong token.
    NotAuthorized,
    /// Nothing has that id.
    NotFound,
    /// The thing is in a state in which this cannot be done.
    Conflict,
    /// No repository at that path or URL.
    RepositoryNotFound,
    /// The folder is there but is no git repository.
    NotARepository,
    /// The repository has no commit yet.
    EmptyRepository,
    /// The branch is not in the repository.
    BranchNotFound,
    /// The model's name is not known to the provider.
    UnknownModel,
    /// There is no key for the model's provider.
    MissingKey,
    /// The provider refused the key.
    WrongKey,
    /// The provider cannot be reached or keeps failing.
    ModelUnavailable,
    /// The provider refused the request for another reason.
    ModelRefused,
    /// QEMU is not installed, or too old, or lacks a module.
    QemuMissing,
    /// A virtual machine did not start or died.
    SandboxFailed,
    /// The image or template could not be made.
    ImageFailed,
    /// The disk is full or nearly so.
    DiskFull,
    /// There is no room in memory.
    OutOfMemory,
    /// Another program is missing.
    ToolMissing,
    /// The work came back in a form that is refused (wrong branch, damaged pack, forbidden path).
    DeliveryRefused,
    /// The remote forge refuses: the token, what it may do, or what was asked.
    ForgeRefused,
    /// The remote forge cannot be reached, fails, or takes no more requests for now.
    ForgeUnavailable,
    /// The branches conflict.
    MergeConflict,
    /// Another owner runs with the same folders.
    OwnerRunning,
    /// The owner cannot be reached.
    OwnerUnreachable,
    /// A limit of the task was reached.
    LimitReached,
    /// A defect of Nightshift.
    Internal,
}

/// What failed, why, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserError {
    /// The stable name.
    pub code: ErrorCode,
    /// What failed and why, in one or two sentences.
    pub message: String,
    /// What to do next; empty when nothing can be done but to report it.
    pub hint: String,
}

impl UserError {
    /// Makes an error with its hint.
    pub fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for UserError {}
