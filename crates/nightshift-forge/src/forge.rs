//! The folder with all repositories of the forge.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nightshift_protocol::CommitId;
use sha2::{Digest, Sha256};

use crate::branch::slug;
use crate::git::Place;
use crate::github::{Address, GitHub, Remote};
use crate::inspect::commit;
use crate::{BranchName, Git, GitError, Source, SourceError};

/// Why the forge was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder could not be made or read.
    #[error("cannot use {}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Git is missing or too old.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// The built-in forge.
#[derive(Debug, Clone)]
pub struct Forge {
    root: PathBuf,
    git: Git,
    github: Option<GitHub>,
}

impl Forge {
    /// Opens the forge in a folder, making it (mode 0700) where it is missing.
    pub async fn open(root: &Path, git: Git) -> Result<Self, OpenError> {
        git.version().await?;
        let failed = |source| OpenError::Folder { path: root.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        let root = root.canonicalize().map_err(failed)?;
        Ok(Self { root, git, github: None })
    }

    /// Delivers work in repositories of this site there, and not to this machine.
    #[must_use]
    pub fn with_github(mut self, github: GitHub) -> Self {
        self.github = Some(github);
        self
    }

    /// The account at a remote site, if there is one.
    pub fn github(&self) -> Option<&GitHub> {
        self.github.as_ref()
    }

    /// The repository at a remote site that a source is, if there is an account for that site.
    pub fn remote(&self, source: &Source) -> Option<Remote> {
        self.github.as_ref()?.remote(source)
    }

    /// Reads how a person names a repository. Beside paths and URLs it may be `OWNER/NAME` at GitHub or the site of
    /// the account; an SSH address of that site becomes the one that the account's token is good for.
    pub fn source(&self, named: &str) -> Result<Source, SourceError> {
        let site = self.github.as_ref().map_or("https://github.com", GitHub::web);
        let host = site.split_once("://").map_or(site, |(_, host)| host);
        if let Some(address) = Address::short(named, host) {
            return Ok(Source::Url(format!("{site}/{}", address.full_name())));
        }
        let source: Source = named.parse()?;
        Ok(match self.remote(&source) {
            Some(remote) => remote.github().source(remote.address()),
            None => source,
        })
    }

    /// The forge's repository for a source, as [`crate::inspect`] gave it. It need not exist until something is
    /// imported into it.
    pub fn repository(&self, source: &Source) -> Repository {
        let text = source.to_string();
        let last = text.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
        let slug = slug(last.trim_end_matches(".git"), 40);
        let hash: String =
            Sha256::digest(text.as_bytes()).iter().take(5).map(|byte| format!("{byte:02x}")).collect();
        let name = if slug.is_empty() { hash } else { format!("{slug}-{hash}") };
        Repository { git: self.git.clone(), root: self.root.clone(), name, source: source.clone() }
    }

    /// All repositories something was imported into, ordered by name.
    pub fn repositories(&self) -> Result<Vec<Repository>, OpenError> {
        let failed = |source| OpenError::Folder { path: self.root.clone(), source };
        let mut repositories = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "git") {
                let text = fs::read_to_string(path.join(SOURCE)).map_err(failed)?;
                if let Ok(source) = text.trim_end_matches('\n').parse() {
                    repositories.push(self.repository(&source));
                }
            }
        }
        repositories.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(repositories)
    }
}

/// The file in a bare repository that says what it is of; other programs show it too (gitweb(1)).
const SOURCE: &str = "description";

/// One repository of the forge. It has no state but what is on the disk.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(crate) git: Git,
    pub(crate) root: PathBuf,
    name: String,
    source: Source,
}

impl Repository {
    /// Its name in the forge: words of the source and the beginning of its SHA-256.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is of.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Where its bare repository is, for `git fetch` by a person.
    pub fn bare_repository(&self) -> PathBuf {
        self.root.join(format!("{}.git", self.name))
    }

    /// Whether something was ever imported into it.
    pub fn exists(&self) -> bool {
        self.bare_repository().is_dir()
    }

    /// The same repository in a new folder below `within`, which is made where it is missing: for who only wants to read
    /// what may never be worked on. Nothing is in it yet.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub fn apart(&self, within: &Path) -> io::Result<Apart> {
        DirBuilder::new().recursive(true).mode(0o700).create(within)?;
        let folder = tempfile::Builder::new().prefix("apart-").tempdir_in(within)?;
        Ok(Apart { repository: Self { root: folder.path().to_owned(), ..self.clone() }, _folder: folder })
    }

    /// The newest commit of a branch, if there is such a branch.
    pub async fn branch_head(&self, branch: &BranchName) -> Result<Option<CommitId>, GitError> {
        let bare = self.bare_repository();
        if bare.is_dir() { commit(&self.git, Place::Ours(&bare), &branch.full()).await } else { Ok(None) }
    }

    pub(crate) fn pulls(&self) -> PathBuf {
        self.root.join(format!("{}.pulls", self.name))
    }

    /// Waits until nobody else changes refs or pull requests of this repository, in this process or another.
    pub(crate) async fn lock(&self) -> io::Result<Lock> {
        let path = self.root.join(format!("{}.lock", self.name));
        in_background(move || {
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            file.lock()?;
            Ok(Lock { _file: file })
        })
        .await
    }

    /// Makes the bare repository if it is missing; there is never a half-made one under its name.
    pub(crate) async fn create(&self, commit: &CommitId) -> Result<(), GitError> {
        let bare = self.bare_repository();
        if bare.is_dir() {
            return Ok(());
        }
        let failed = |source| GitError::Run { command: "init".to_owned(), source };
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.root).map_err(failed)?;
        init_bare(&self.git, new.path(), commit).await?;
        fs::write(new.path().join(SOURCE), format!("{}\n", self.source)).map_err(failed)?;
        fs::rename(new.keep(), bare).map_err(failed)?;
        File::open(&self.root).and_then(|root| root.sync_all()).map_err(failed)
    }

    /// A new bare repository that borrows all objects of this one and is gone when dropped.
    pub(crate) async fn quarantine(&self, commit: &CommitId) -> Result<tempfile::TempDir, GitError> {
        let failed = |source| GitError::Run { command: "init".to_owned(), source };
        let folder =
            tempfile::Builder::new().prefix(".quarantine-").tempdir_in(&self.root).map_err(failed)?;
        init_bare(&self.git, folder.path(), commit).await?;
        let objects = self.bare_repository().join("objects");
        let alternates = folder.path().join("objects/info/alternates");
        fs::create_dir_all(folder.path().join("objects/info")).map_err(failed)?;
        fs::write(alternates, format!("{}\n", objects.display())).map_err(failed)?;
        Ok(folder)
    }
}

/// A repository that is gone when this is dropped.
#[derive(Debug)]
pub struct Apart {
    repository: Repository,
    _folder: tempfile::TempDir,
}

impl Apart {
    /// The repository, as long as this is there.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }
}

/// Held while refs or pull requests of a repository change. The end of the process releases it too.
pub(crate) struct Lock {
    _file: File,
}

async fn init_bare(git: &Git, folder: &Path, commit: &CommitId) -> Result<(), GitError> {
    // Object names tell the format: SHA-1 has 40 digits, SHA-256 has 64.
    let format = if commit.as_str().len() == 64 { "--object-format=sha256" } else { "--object-format=sha1" };
    let init = ["init", "--quiet", "--bare", "--template=", "--initial-branch=main", format];
    git.call(Place::Ours(folder), init).bytes().await.map(|_| ())
}

/// Runs what waits for the disk or a lock where it holds up nobody.
pub(crate) async fn in_background<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<io::Error> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(io::Error::other("the program is ending").into()),
        },
    }
}
