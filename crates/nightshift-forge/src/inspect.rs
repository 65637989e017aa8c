//! What a person's repository looks like, without touching it.

use std::io;
use std::path::{Path, PathBuf};

use nightshift_protocol::CommitId;

use crate::branch::InvalidBranchName;
use crate::git::Place;
use crate::{BranchName, Git, GitError, Source, SourceError};

/// Which branch the work starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseBranch<'a> {
    /// The one that is checked out; at a URL the default one.
    Current,
    /// The one of this name.
    Named(&'a str),
}

/// A repository as it was found, and where work in it would start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The repository: the top of the working tree, the bare repository, or the URL.
    pub source: Source,
    /// The branch the work starts from.
    pub branch: BranchName,
    /// Its newest commit.
    pub commit: CommitId,
    /// How many files are changed or new and not committed, and so not part of `commit`. Always 0 for a branch
    /// that is not checked out.
    pub uncommitted: u32,
}

impl Checkout {
    /// Whether the working tree has changes that work starting from `commit` would not see.
    pub fn is_dirty(&self) -> bool {
        self.uncommitted > 0
    }
}

/// Why work cannot start in a repository.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// There is no such folder.
    #[error("there is no folder {}", path.display())]
    NoSuchFolder {
        /// What was given.
        path: PathBuf,
    },
    /// The folder is not in a git repository.
    #[error("{} is not in a git repository", path.display())]
    NotARepository {
        /// What was given.
        path: PathBuf,
    },
    /// The repository belongs to somebody else, whose settings git would follow.
    #[error("the repository at {} belongs to another user of this machine", path.display())]
    ForeignOwner {
        /// What was given.
        path: PathBuf,
    },
    /// The repository has no commit.
    #[error("the repository has no commit yet")]
    Empty,
    /// No branch is checked out and none was named.
    #[error("no branch is checked out (HEAD is detached at {commit}): name the branch to work from")]
    DetachedHead {
        /// What is checked out instead.
        commit: CommitId,
    },
    /// The branch is not there.
    #[error("there is no branch \"{branch}\"")]
    BranchNotFound {
        /// What was asked for.
        branch: String,
    },
    /// The branch has a name that cannot be used.
    #[error(transparent)]
    BranchName(#[from] InvalidBranchName),
    /// The history was cut off when the repository was cloned, and what is missing cannot be given to a sandbox.
    #[error("the repository is a shallow clone: run `git fetch --unshallow` in it first")]
    Shallow,
    /// The repository cannot be named.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The folder could not be read.
    #[error("cannot read {}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Looks at a repository: a working tree or any folder in it, a bare repository, or a URL. It changes nothing in it.
pub async fn inspect(git: &Git, source: &Source, base: BaseBranch<'_>) -> Result<Checkout, InspectError> {
    match source {
        Source::Folder(path) => inspect_folder(git, path, base).await,
        Source::Url(url) => inspect_url(git, url, base).await,
    }
}

async fn inspect_folder(git: &Git, given: &Path, base: BaseBranch<'_>) -> Result<Checkout, InspectError> {
    let path = match tokio::fs::canonicalize(given).await {
        Ok(path) if path.is_dir() => path,
        Ok(_) => return Err(InspectError::NoSuchFolder { path: given.to_owned() }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(InspectError::NoSuchFolder { path: given.to_owned() });
        }
        Err(source) => return Err(InspectError::Folder { path: given.to_owned(), source }),
    };
    let root = find_root(git, &path).await?;
    // A path that cannot be written down as text cannot be found again after a restart.
    let source: Source = root.to_str().ok_or(SourceError::Malformed)?.parse()?;
    let here = Place::Theirs(&root);

    let current = git.call(here, ["symbolic-ref", "-q", "--short", "HEAD"]).run().await?;
    let current = (current.code == Some(0)).then(|| trimmed(&current.stdout));
    let head = commit(git, here, "HEAD").await?;
    let (branch, commit) = match base {
        BaseBranch::Current => match (current.as_deref(), head) {
            (_, None) => return Err(InspectError::Empty),
            (None, Some(commit)) => return Err(InspectError::DetachedHead { commit }),
            (Some(branch), Some(commit)) => (branch.parse()?, commit),
        },
        BaseBranch::Named(name) => {
            let missing = || InspectError::BranchNotFound { branch: name.to_owned() };
            let branch: BranchName = name.parse().map_err(|_| missing())?;
            match commit(git, here, &branch.full()).await? {
                Some(commit) => (branch, commit),
                None if !has_commits(git, here).await? => return Err(InspectError::Empty),
                None => return Err(missing()),
            }
        }
    };
    if git.call(here, ["rev-parse", "--is-shallow-repository"]).text().await? == "true" {
        return Err(InspectError::Shallow);
    }
    let is_current = current.as_deref() == Some(branch.as_str());
    let uncommitted = if is_current { count_uncommitted(git, here).await? } else { 0 };
    Ok(Checkout { source, branch, commit, uncommitted })
}

/// The top of the working tree, or the bare repository itself.
async fn find_root(git: &Git, path: &Path) -> Result<PathBuf, InspectError> {
    let here = Place::Theirs(path);
    let question = ["rev-parse", "--is-bare-repository", "--is-inside-work-tree"];
    let output = git.call(here, question).run().await?;
    if output.code != Some(0) {
        if output.complaint.contains("dubious ownership") {
            return Err(InspectError::ForeignOwner { path: path.to_owned() });
        }
        if output.complaint.contains("not a git repository") {
            return Err(InspectError::NotARepository { path: path.to_owned() });
        }
        return Err(output.failed("rev-parse").into());
    }
    let which = match trimmed(&output.stdout).as_str() {
        "true\nfalse" => "--absolute-git-dir",
        "false\ntrue" => "--show-toplevel",
        // Inside the `.git` folder of a working tree.
        _ => return Err(InspectError::NotARepository { path: path.to_owned() }),
    };
    Ok(PathBuf::from(git.call(here, ["rev-parse", which]).text().await?))
}

async fn has_commits(git: &Git, here: Place<'_>) -> Result<bool, GitError> {
    Ok(!git.call(here, ["rev-list", "--all", "-n", "1"]).bytes().await?.is_empty())
}

async fn count_uncommitted(git: &Git, here: Place<'_>) -> Result<u32, GitError> {
    if git.call(here, ["rev-parse", "--is-bare-repository"]).text().await? == "true" {
        return Ok(0);
    }
    // One line for each file; a new folder counts as one. More than the limit is counted up to there.
    let status = ["status", "--porcelain=v2", "--untracked-files=normal", "--ignore-submodules=none"];
    let output = git.call(here, status).output_limit(8 << 20).run().await?;
    if output.code != Some(0) && !output.cut {
        return Err(output.failed("status"));
    }
    let lines = output.stdout.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).count();
    Ok(u32::try_from(lines).unwrap_or(u32::MAX))
}

async fn inspect_url(git: &Git, url: &str, base: BaseBranch<'_>) -> Result<Checkout, InspectError> {
    let wanted = match base {
        BaseBranch::Current => "HEAD".to_owned(),
        BaseBranch::Named(name) => {
            let missing = |_| InspectError::BranchNotFound { branch: name.to_owned() };
            name.parse::<BranchName>().map_err(missing)?.full()
        }
    };
    let list = git.call(Place::Nowhere, ["ls-remote", "--symref", "--", url, &wanted]).text().await?;
    let nonsense = || GitError::Nonsense { command: "ls-remote".to_owned() };
    let mut branch = wanted.strip_prefix("refs/heads/").map(str::to_owned);
    let mut commit = None;
    for line in list.lines() {
        match line.split_once('\t') {
            Some((target, "HEAD")) if target.starts_with("ref: refs/heads/") && branch.is_none() => {
                branch = target.strip_prefix("ref: refs/heads/").map(str::to_owned);
            }
            Some((object, name)) if name == wanted => {
                commit = Some(object.parse::<CommitId>().map_err(|_| nonsense())?);
            }
            _ => {}
        }
    }
    match (branch, commit, base) {
        (Some(branch), Some(commit), _) => {
            let source = Source::Url(url.to_owned());
            Ok(Checkout { source, branch: branch.parse()?, commit, uncommitted: 0 })
        }
        (None, Some(commit), _) => Err(InspectError::DetachedHead { commit }),
        (_, None, BaseBranch::Current) => Err(InspectError::Empty),
        (_, None, BaseBranch::Named(name)) => Err(InspectError::BranchNotFound { branch: name.to_owned() }),
    }
}

/// The commit that a name leads to, if there is one.
pub(crate) async fn commit(git: &Git, place: Place<'_>, name: &str) -> Result<Option<CommitId>, GitError> {
    let name = format!("{name}^{{commit}}");
    let output = git.call(place, ["rev-parse", "-q", "--verify", "--end-of-options", &name]).run().await?;
    match output.code {
        Some(0) => {
            let nonsense = |_| GitError::Nonsense { command: "rev-parse".to_owned() };
            trimmed(&output.stdout).parse().map(Some).map_err(nonsense)
        }
        Some(1) => Ok(None),
        _ => Err(output.failed("rev-parse")),
    }
}

fn trimmed(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}
