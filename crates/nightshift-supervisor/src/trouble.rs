//! What a person is told when something under the supervisor fails: the one place that maps it.

use nightshift_forge::github::GitHubError;
use nightshift_forge::{
    BrowseError, GitError, ImportError, InspectError, LedgerError, MergeError, OpenError, PullRequestError,
    PushError, ReceiveError, SourceError,
};
use nightshift_protocol::{ErrorCode, Limits, RunId, UserError};
use nightshift_sandbox::{CheckpointError, Hold, Stall};
use nightshift_store::{AppendError, FindError, GetError, PutError, ReadError, ReplayError};

use crate::doctor::{LEAST_FREE_MIB, free_mib};

mod reaching;

/// A user's error for a failed read or write: a full disk is named as such.
pub(crate) fn disk_or(code: ErrorCode, what: &str, error: &std::io::Error) -> UserError {
    if matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
        disk_full(what)
    } else {
        UserError::new(code, format!("{what}: {error}"), "`nightshift doctor` looks for what may be wrong.")
    }
}

/// A limit in money for a model whose price nobody knows.
pub(crate) fn no_price(model: &str) -> UserError {
    UserError::new(
        ErrorCode::InvalidRequest,
        format!("the price of {model} is not known, so a limit in money would not be held"),
        "Name its price in the configuration (docs/models.md), or limit it with --tokens, --turns or --minutes.",
    )
}

/// Where a person names the price of a model that a foreign agent calls.
pub(crate) fn where_a_price_is_named(provider: &str, model: &str) -> String {
    format!(
        "input_usd and output_usd of [providers.{provider}.models.{model:?}] in config.toml name it (docs/models.md)"
    )
}

/// A user's error for an engine whose every call would be refused, because nobody knows what they cost.
pub(crate) fn no_price_for_engine(engine: &str, provider: &str, model: &str) -> UserError {
    UserError::new(
        ErrorCode::InvalidRequest,
        format!(
            "the price of {model} is not known, so the engine {engine} may not call it: no limit in money would be held"
        ),
        format!("Name another model, or its price: {}.", where_a_price_is_named(provider, model)),
    )
}

/// A user's error for more model calls than a task may have.
pub(crate) fn too_many_turns(turns: u32) -> UserError {
    UserError::new(
        ErrorCode::InvalidRequest,
        format!("{turns} model calls are more than the {} that a task may have", Limits::MOST_TURNS),
        "Name fewer with --turns, and divide what needs more into several tasks.",
    )
}

/// A user's error for a full disk.
pub(crate) fn disk_full(what: &str) -> UserError {
    UserError::new(
        ErrorCode::DiskFull,
        format!("the disk is full ({what})"),
        "Free some space, then let the run go on with `nightshift continue`. Nothing was lost.",
    )
}

/// A user's error for a sandbox that ended once more after the same checkpoint.
pub(crate) fn lost_again(run: &RunId, why: &str) -> UserError {
    UserError::new(
        ErrorCode::SandboxFailed,
        format!("the sandbox ended again after the same checkpoint: {why}"),
        format!(
            "Its agent may end it by what it does. `nightshift steer {run} TEXT` tells it what to leave, `nightshift continue {run}` \
             goes on from the checkpoint, and `nightshift checkpoint rewind {run}` goes further back."
        ),
    )
}

/// A user's error for a sandbox that stands still because of the disk below it.
pub(crate) fn stalled(stall: &Stall) -> UserError {
    match stall.held {
        None => stopped_by_a_full_disk(stall),
        Some(Hold::Reserve { written_bytes, free_bytes, enough_bytes }) => UserError::new(
            ErrorCode::DiskFull,
            format!(
                "the sandbox stands still: it wrote {}; the disk of the host has {} left ({})",
                in_words(written_bytes),
                in_words(free_bytes),
                stall.folder.display()
            ),
            format!(
                "Free some space, for example with `nightshift prune`. It goes on by itself when {} are free; \
                 `nightshift continue` lets it use half of what is left. Nothing was lost.",
                in_words(enough_bytes)
            ),
        ),
        Some(Hold::Quota { written_bytes, quota_bytes }) => UserError::new(
            ErrorCode::LimitReached,
            format!(
                "the sandbox stands still: it wrote {}, and one sandbox may write {}",
                in_words(written_bytes),
                in_words(quota_bytes)
            ),
            "Look at what it does. `nightshift continue` lets it write as much again; disk.sandbox_mib in the \
             configuration is the limit. Nothing was lost.",
        ),
    }
}

/// An amount in bytes as a person reads it.
fn in_words(bytes: u64) -> String {
    let mib = bytes >> 20;
    if mib < 1_024 { format!("{mib} MiB") } else { format!("{:.1} GiB", mib as f64 / 1_024.0) }
}

fn stopped_by_a_full_disk(stall: &Stall) -> UserError {
    let free = stall.free_mib.map_or(String::new(), |free| format!(" ({free} MiB are free)"));
    UserError::new(
        ErrorCode::DiskFull,
        format!("the sandbox stands still: the disk that holds {} is full{free}", stall.folder.display()),
        format!(
            "Free some space, for example with `nightshift prune`. The run goes on by itself when {LEAST_FREE_MIB} MiB are \
             free, or at once with `nightshift continue`. Nothing was lost."
        ),
    )
}

/// Why a checkpoint was not saved, in one sentence with what to do about a full disk.
pub(crate) fn unsaved(error: &CheckpointError) -> String {
    match error {
        CheckpointError::DiskFull { folder } => {
            let free = free_mib(folder).map_or(String::new(), |free| format!(" ({free} MiB are free)"));
            format!("{error}{free}; `nightshift prune` removes what nobody needs")
        }
        CheckpointError::Denied(_)
        | CheckpointError::NotRunning { .. }
        | CheckpointError::Unsupported { .. }
        | CheckpointError::Refused { .. }
        | CheckpointError::Io { .. } => error.to_string(),
    }
}

/// A user's error for a defect of ours.
pub(crate) fn internal(what: &str, error: &dyn std::error::Error) -> UserError {
    let mut message = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    UserError::new(ErrorCode::Internal, message, "This is a defect of Nightshift; please report it.")
}

pub(crate) fn appending(error: &AppendError) -> UserError {
    match error {
        AppendError::DiskFull(_) => disk_full("writing the history"),
        AppendError::Misplaced(_)
        | AppendError::Time(_)
        | AppendError::Json(_)
        | AppendError::Ending
        | AppendError::Defect
        | AppendError::Database(_) => internal("writing the history", error),
    }
}

pub(crate) fn putting(error: &PutError) -> UserError {
    match error {
        PutError::DiskFull(_) => disk_full("keeping an artifact"),
        PutError::File(_) | PutError::Name(_) | PutError::LookUp(_) | PutError::Record(_) => {
            internal("keeping an artifact", error)
        }
    }
}

/// A user's error for an artifact that cannot be read.
pub fn getting(error: &GetError) -> UserError {
    match error {
        GetError::NotFound(id) => UserError::new(
            ErrorCode::NotFound,
            format!("there is no artifact {id}"),
            "Look for a mistyped id.",
        ),
        GetError::Damaged(_) | GetError::File(_) => internal("reading an artifact", error),
    }
}

/// A user's error for history that cannot be read.
pub fn reading(error: &ReadError) -> UserError {
    internal("reading the history", error)
}

/// A user's error for a run or task that is not found by what was given.
pub fn finding(error: &FindError) -> UserError {
    match error {
        FindError::NotFound { .. } => UserError::new(
            ErrorCode::NotFound,
            error.to_string(),
            "`nightshift tasks --all` lists all of them.",
        ),
        FindError::Ambiguous { .. } => UserError::new(
            ErrorCode::InvalidRequest,
            error.to_string(),
            "Give some more characters of the one you mean.",
        ),
        FindError::Read(error) => reading(error),
    }
}

pub(crate) fn replaying(error: &ReplayError) -> UserError {
    match error {
        ReplayError::Unreadable(unreadable) => UserError::new(
            ErrorCode::Internal,
            unreadable.to_string(),
            "A newer version of Nightshift worked on this run; continue it with that version.",
        ),
        ReplayError::Database(_) => internal("reading the history", error),
    }
}

/// A user's error for a call of git that failed.
pub fn git(error: &GitError) -> UserError {
    match error {
        GitError::Missing | GitError::TooOld { .. } => {
            UserError::new(ErrorCode::ToolMissing, error.to_string(), "Install it: sudo apt-get install git")
        }
        GitError::DiskFull => disk_full("git"),
        GitError::Failed { .. }
        | GitError::TimedOut { .. }
        | GitError::TooMuchOutput { .. }
        | GitError::Nonsense { .. }
        | GitError::Run { .. } => UserError::new(
            ErrorCode::Internal,
            error.to_string(),
            "The owner's log has more; `nightshift doctor` looks for what may be wrong.",
        ),
    }
}

/// A folder or a file of a commit was not read.
pub fn browsing(error: &BrowseError) -> UserError {
    match error {
        BrowseError::Git(error) => git(error),
        BrowseError::InvalidPath { .. } => UserError::new(
            ErrorCode::InvalidRequest,
            error.to_string(),
            "Paths start at the repository's top and have no \"..\" in them.",
        ),
        BrowseError::NotThere { .. } => {
            UserError::new(ErrorCode::NotFound, error.to_string(), "List its folder to see what is there.")
        }
        BrowseError::TooLarge { .. } => UserError::new(
            ErrorCode::TooLarge,
            error.to_string(),
            "Fetch the branch and open the file in a program of yours.",
        ),
    }
}

/// A user's error for a forge whose folder cannot be read.
pub fn forge(error: &OpenError) -> UserError {
    match error {
        OpenError::Git(error) => git(error),
        other => internal("the folder of repositories", other),
    }
}

/// A user's error for pull requests that cannot be read or written.
pub fn ledger(error: &LedgerError) -> UserError {
    match error {
        LedgerError::DiskFull(_) => disk_full("writing a pull request"),
        LedgerError::Damaged { .. } | LedgerError::File(_) => internal("the records of pull requests", error),
    }
}

/// A user's error for something that cannot be done with a pull request.
pub fn pull_request(error: &PullRequestError) -> UserError {
    match error {
        PullRequestError::NotFound(_) => UserError::new(
            ErrorCode::NotFound,
            error.to_string(),
            "`nightshift review list --all` lists them.",
        ),
        PullRequestError::Refused(_) => UserError::new(
            ErrorCode::Conflict,
            error.to_string(),
            "`nightshift review list --all` shows where it is.",
        ),
        PullRequestError::Ledger(error) => ledger(error),
    }
}

pub(crate) fn merging(error: &MergeError) -> UserError {
    match error {
        MergeError::NotFound(_) => UserError::new(
            ErrorCode::NotFound,
            error.to_string(),
            "`nightshift review list --all` lists them.",
        ),
        MergeError::AlreadyMerged { .. } | MergeError::Closed | MergeError::BaseMoved { .. } => {
            UserError::new(
                ErrorCode::Conflict,
                error.to_string(),
                "`nightshift review list --all` shows where it is.",
            )
        }
        MergeError::Changed { .. } => UserError::new(
            ErrorCode::Conflict,
            error.to_string(),
            "Nothing is merged. Look at what has changed, and merge it then.",
        ),
        MergeError::Conflict { .. } => UserError::new(
            ErrorCode::MergeConflict,
            error.to_string(),
            "Nothing was changed. Give a new task from the present state of the base branch, or merge by hand.",
        ),
        MergeError::BaseMissing { .. } => UserError::new(
            ErrorCode::BranchNotFound,
            error.to_string(),
            "Make the branch again in the bare repository, or close the pull request.",
        ),
        MergeError::Ledger(error) => ledger(error),
        MergeError::Git(error) => git(error),
    }
}

/// A user's error for a text that names no repository.
pub fn sourcing(given: &str, error: &SourceError) -> UserError {
    // What is said here is logged and printed: a password that was typed by mistake is not said again.
    let named = match (error, given.split_once("://").zip(given.rsplit_once('@'))) {
        (SourceError::Credentials, Some(((scheme, _), (_, host)))) => format!("{scheme}://…@{host}"),
        _ => given.to_owned(),
    };
    UserError::new(
        ErrorCode::RepositoryNotFound,
        format!("{named}: {error}"),
        "Name a folder on this machine, or a URL that git can fetch.",
    )
}

pub(crate) fn inspecting(error: &InspectError) -> UserError {
    let (code, hint) = match error {
        InspectError::NoSuchFolder { .. } | InspectError::Folder { .. } => {
            (ErrorCode::RepositoryNotFound, "Look at the path, or name another folder with --repo.")
        }
        InspectError::NotARepository { .. } => (
            ErrorCode::NotARepository,
            "Make it one: git init, git add -A, git commit. Or name another folder with --repo.",
        ),
        InspectError::ForeignOwner { .. } => {
            (ErrorCode::NotARepository, "Clone it as yourself, and give the clone with --repo.")
        }
        InspectError::Empty => {
            (ErrorCode::EmptyRepository, "Commit something first: the work starts from a commit.")
        }
        InspectError::DetachedHead { .. } => (ErrorCode::BranchNotFound, "Name the branch with --base."),
        InspectError::BranchNotFound { .. } | InspectError::BranchName(_) => {
            (ErrorCode::BranchNotFound, "`git branch` lists the branches; name one with --base.")
        }
        InspectError::Shallow => (ErrorCode::InvalidRequest, "Then give the task again."),
        InspectError::Source(_) => {
            (ErrorCode::RepositoryNotFound, "Name a folder on this machine, or a URL that git can fetch.")
        }
        InspectError::Git(error) => return reaching::reaching(error).unwrap_or_else(|| git(error)),
    };
    UserError::new(code, error.to_string(), hint)
}

/// A user's error for a remote forge that did not do what was asked.
pub fn github(error: &GitHubError) -> UserError {
    let (code, hint) = match error {
        GitHubError::NotAuthorized { .. } => (
            ErrorCode::ForgeRefused,
            "Make a new token (docs/github.md says what it has to be good for), give it by `nightshift key set \
             GITHUB_TOKEN`, then `nightshift restart`.",
        ),
        GitHubError::NoPermission { .. } | GitHubError::NotFound { .. } => (
            ErrorCode::ForgeRefused,
            "Give the token the repository and the permissions that docs/github.md lists, then `nightshift continue`.",
        ),
        GitHubError::Refused { .. } | GitHubError::Nonsense { .. } => {
            (ErrorCode::ForgeRefused, "Mend what it names, then `nightshift continue`.")
        }
        GitHubError::RateLimited { .. } | GitHubError::Server { .. } | GitHubError::Cut { .. } => {
            (ErrorCode::ForgeUnavailable, "Nothing was lost. `nightshift continue` tries again.")
        }
    };
    UserError::new(code, error.to_string(), hint)
}

pub(crate) fn pushing(error: &PushError) -> UserError {
    match error {
        PushError::Moved { .. } => UserError::new(
            ErrorCode::Conflict,
            error.to_string(),
            "Nothing was overwritten. Merge that commit into the base branch or remove the remote branch, then `nightshift continue`.",
        ),
        PushError::Git(GitError::Failed { complaint, .. }) => UserError::new(
            ErrorCode::ForgeRefused,
            format!("the branch was not pushed: {complaint}"),
            "Look at what the remote says: the token needs to write contents (and workflows, where those changed).",
        ),
        PushError::Git(error) => git(error),
    }
}

pub(crate) fn importing(error: &ImportError) -> UserError {
    match error {
        ImportError::CommitGone { .. } => {
            UserError::new(ErrorCode::Conflict, error.to_string(), "Give the task again.")
        }
        ImportError::Lock(error) => disk_or(ErrorCode::Internal, "locking the repository's copy", error),
        ImportError::Git(error) => reaching::reaching(error).unwrap_or_else(|| git(error)),
    }
}

pub(crate) fn receiving(error: &ReceiveError) -> UserError {
    match error {
        ReceiveError::Git(error) => git(error),
        ReceiveError::File(error) => disk_or(ErrorCode::Internal, "reading the work", error),
        ReceiveError::ForeignBranch { .. }
        | ReceiveError::TooLarge { .. }
        | ReceiveError::NotABundle(_)
        | ReceiveError::WrongReferences { .. }
        | ReceiveError::BadObjects { .. }
        | ReceiveError::NotDescended { .. }
        | ReceiveError::NoCommits
        | ReceiveError::TooMany { .. }
        | ReceiveError::UnsafePath { .. }
        | ReceiveError::BranchMoved { .. } => UserError::new(
            ErrorCode::DeliveryRefused,
            format!("what came out of the sandbox was refused: {error}"),
            "Nothing of it was taken over. Give the task again, and say what it must not contain.",
        ),
    }
}

#[cfg(test)]
mod tests;
