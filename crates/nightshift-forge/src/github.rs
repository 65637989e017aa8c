//! Pull requests, reviews and pictures on GitHub, and on GitHub Enterprise Server.
//!
//! ```text
//! GitHub ── one account (a token or an App) at one site: requests one after the other, limits honoured, tags kept
//!   └─ Remote ── one repository there: pull requests, comments and checks, pictures, issues
//! ```
//!
//! Reads are tried again; what changes something never is: whether it happened is looked for first
//! ([`Remote::find_pull_request`]), because a cut connection does not tell. Everything that comes back is written by
//! others and only ever data.

mod account;
mod address;
mod app;
mod call;
mod error;
mod feedback;
mod issues;
mod limits;
mod pictures;
mod pull_requests;
mod webhook;
mod wire;

pub use account::{Addresses, AppKey, Credential, GitHub, GitHubSettings, InvalidGitHubSettings, TokenKind};
pub use address::Address;
pub use error::GitHubError;
pub use feedback::{CheckFailure, Checks, Conversation, RemoteState, ReviewThread, ThreadComment};
pub use issues::{AskingComment, Association, IssueDeed, IssueHistory, RemoteIssue, TaskRequest};
pub use pictures::{PictureFile, UploadError};
pub use pull_requests::{NewRemotePullRequest, Remote, RemotePullRequest};
pub use webhook::{WebhookError, WebhookEvent, read_webhook};
