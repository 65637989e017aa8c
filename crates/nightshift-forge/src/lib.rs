//! Git repositories, branches and pull requests: the built-in forge on this machine, and GitHub.
//!
//! ```text
//! root/ app-1f2e3d4c5b.git      a bare repository for each repository tasks were given in
//!         refs/heads/main                    the forge's own base branch: merges go here
//!         refs/heads/nightshift/…            what agents delivered
//!         refs/nightshift/source/main        the person's branch as it was imported last
//!       app-1f2e3d4c5b.pulls/7.json          a file for each pull request
//!       app-1f2e3d4c5b.lock                  held while refs or pull requests change
//! ```
//!
//! All work is done by the host's `git` program. The person's own repository is only ever read: its working tree,
//! index, refs and configuration stay as they are, byte by byte. What comes out of a sandbox is hostile until
//! [`Repository::receive`] has looked at it in a quarantine of its own.
//!
//! It never knows sandboxes, never runs a hook or a program that a repository names, and never reads the clock.

mod body;
mod branch;
mod browse;
mod bundle;
mod credential;
mod diff;
mod example;
mod forge;
mod git;
pub mod github;
mod import;
mod inspect;
mod ledger;
mod merge;
mod prereview;
mod pull_request;
mod receive;
mod remote_git;
mod rework;
pub mod secrets;
mod source;

pub use body::{BodyFacts, CommandFact, compose_answer, compose_body, compose_title};
pub use branch::{BranchName, InvalidBranchName};
pub use browse::BrowseError;
pub use bundle::{BundleError, BundleHeader, HeaderError};
pub use credential::GitCredential;
pub use diff::{CommitFacts, DiffText, FileChange, LineCounts};
pub use example::begin_repository;
pub use forge::{Apart, Forge, OpenError, Repository};
pub use git::{Git, GitError, GitVersion};
pub use import::{BaseState, ImportError, Imported, NotImported};
pub use inspect::{BaseBranch, Checkout, InspectError, inspect};
pub use ledger::LedgerError;
pub use merge::{Identity, MergeError, Mergeable, Merged};
pub use prereview::{DiffFacts, LintRun, SecretPlace, is_lint, pre_review, secrets_in};
pub use pull_request::{
    NewPullRequest, PullRequest, PullRequestAction, PullRequestError, PullRequestFilter, PullRequestState,
    Revision, StateFilter, TransitionRefused,
};
pub use receive::{Delivery, ReceiveError, ReceiveLimits, Received};
pub use remote_git::{PICTURES_BRANCH, PushError};
pub use rework::reworked_percent;
pub use source::{Source, SourceError};
