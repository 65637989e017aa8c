//! What comes out of a sandbox. Whoever made it may have meant to harm: nothing of it is believed.
//!
//! ```text
//! file ─▶ size ─▶ header (read by us) ─▶ quarantine: index-pack --strict ─▶ limits, descent, paths ─▶ our repository ─▶ ref
//! ```
//!
//! The quarantine is a repository of its own that borrows our objects and is thrown away. Git works on hostile
//! objects only there, with limited memory and time, and our repository sees nothing before all checks are passed.

use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::Path;

use nightshift_protocol::CommitId;

use crate::diff::{FileChange, parse_numstat};
use crate::forge::in_background;
use crate::git::{Call, LONG, Place};
use crate::inspect::commit;
use crate::{BranchName, BundleHeader, GitError, HeaderError, Repository};

/// Address space of git while it works on hostile objects, in bytes. Commits and trees are unpacked in memory.
const MEMORY: u64 = 2 << 30;

/// What is taken from a sandbox at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveLimits {
    /// Size of the bundle in bytes.
    pub bundle_bytes: u64,
    /// Commits since the base.
    pub commits: u32,
    /// New objects (commits, folders, versions of files).
    pub objects: u32,
    /// Size of each version of a file in bytes.
    pub file_bytes: u64,
    /// Files that differ from the base.
    pub changed_files: u32,
    /// Length of a path in bytes.
    pub path_bytes: usize,
}

impl Default for ReceiveLimits {
    /// 512 MiB in 1,000 commits and 100,000 objects, files of 100 MiB (as public forges have it), 5,000 of them.
    fn default() -> Self {
        Self {
            bundle_bytes: 512 << 20,
            commits: 1_000,
            objects: 100_000,
            file_bytes: 100 << 20,
            changed_files: 5_000,
            path_bytes: 1_024,
        }
    }
}

/// What is expected to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The branch; one of a run.
    pub branch: BranchName,
    /// The commit the work started from, which must be among what the new commits build on.
    pub base: CommitId,
    /// Where the branch is in the forge by now; `None` at the first delivery.
    pub previous: Option<CommitId>,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The newest commit.
    pub head: CommitId,
    /// How many commits it is ahead of the base.
    pub commits: u32,
    /// The files that differ from the base.
    pub changed_files: Vec<FileChange>,
}

/// Why what came was not taken. Nothing of it is in the forge.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The branch is none of a run, so a sandbox has no business with it.
    #[error("\"{branch}\" is no branch of a run")]
    ForeignBranch {
        /// The branch.
        branch: BranchName,
    },
    /// The file is too large.
    #[error("the bundle has {bytes} bytes, more than {limit}")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// What is taken.
        limit: u64,
    },
    /// The file is no bundle.
    #[error("the delivery cannot be read")]
    NotABundle(#[from] HeaderError),
    /// The bundle has other refs than the one branch.
    #[error("the delivery has {found:?} where only {expected:?} belongs")]
    WrongReferences {
        /// The first refs in it, at most five.
        found: Vec<String>,
        /// The one that belongs in it.
        expected: String,
    },
    /// Git found the objects damaged, incomplete or dangerous (for example a file named `.git`).
    #[error("the delivery's objects are refused: {complaint}")]
    BadObjects {
        /// What git said.
        complaint: String,
    },
    /// The commits do not build on the base.
    #[error("the commits do not build on {base}")]
    NotDescended {
        /// The base.
        base: CommitId,
    },
    /// There is nothing new.
    #[error("there are no commits")]
    NoCommits,
    /// A limit is passed.
    #[error("the delivery has more than {limit} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// What is taken.
        limit: u64,
    },
    /// A path is too long or has control characters.
    #[error("the delivery has the path {path:?}, which is refused")]
    UnsafePath {
        /// The path, cut to 200 characters.
        path: String,
    },
    /// The branch in the forge is not where the caller believed.
    #[error("\"{branch}\" is not where it was expected")]
    BranchMoved {
        /// The branch.
        branch: BranchName,
        /// Where it is.
        found: Option<CommitId>,
    },
    /// The file could not be read.
    #[error("cannot read the delivery")]
    File(#[source] io::Error),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl From<io::Error> for ReceiveError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Repository {
    /// Takes a bundle that came out of a sandbox and moves the run's branch to it. Taking the same one again
    /// changes nothing and answers the same.
    pub async fn receive(
        &self,
        file: &Path,
        delivery: &Delivery,
        limits: &ReceiveLimits,
    ) -> Result<Received, ReceiveError> {
        if !delivery.branch.is_of_a_run() {
            return Err(ReceiveError::ForeignBranch { branch: delivery.branch.clone() });
        }
        let (pack, head) = open(file, &delivery.branch, limits.bundle_bytes).await?;
        let _lock = self.lock().await?;
        let found = self.branch_head(&delivery.branch).await?;
        if found.as_ref() != Some(&head) && found != delivery.previous {
            return Err(ReceiveError::BranchMoved { branch: delivery.branch.clone(), found });
        }
        let quarantine = self.quarantine(&delivery.base).await?;
        let check =
            Check { repository: self, folder: quarantine.path(), head: &head, base: &delivery.base, limits };
        check.unpack(pack).await?;
        let received = check.all().await?;
        if found.as_ref() != Some(&head) {
            let bare = self.bare_repository();
            let from = quarantine.path().as_os_str();
            let fetch = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--"].map(str::as_ref);
            let fetch = fetch.into_iter().chain([from, head.as_str().as_ref()]);
            self.git.call(Place::Ours(&bare), fetch).memory_limit(MEMORY).time_limit(LONG).bytes().await?;
            self.move_branch(&delivery.branch, found.as_ref(), &head).await?;
        }
        Ok(received)
    }
}

/// Opens the file at the beginning of its pack, after its size and its header are found good.
async fn open(file: &Path, branch: &BranchName, limit: u64) -> Result<(File, CommitId), ReceiveError> {
    let (file, expected) = (file.to_owned(), branch.full());
    in_background(move || {
        // A link may lead anywhere, and a pipe never ends.
        let facts = fs::symlink_metadata(&file)?;
        if !facts.is_file() {
            return Err(HeaderError::Malformed("it is no ordinary file").into());
        }
        if facts.len() > limit {
            return Err(ReceiveError::TooLarge { bytes: facts.len(), limit });
        }
        let mut file = File::open(&file)?;
        let header = BundleHeader::read(&mut BufReader::new(&file))?;
        file.seek(SeekFrom::Start(header.length))?;
        match header.references.as_slice() {
            [(name, head)] if *name == expected => Ok((file, head.clone())),
            others => {
                let cut = |name: &String| name.chars().take(100).collect();
                let found = others.iter().take(5).map(|(name, _)| cut(name)).collect();
                Err(ReceiveError::WrongReferences { found, expected })
            }
        }
    })
    .await
}

/// The checks that are made in the quarantine.
struct Check<'a> {
    repository: &'a Repository,
    folder: &'a Path,
    head: &'a CommitId,
    base: &'a CommitId,
    limits: &'a ReceiveLimits,
}

impl Check<'_> {
    fn git<const N: usize>(&self, arguments: [&str; N]) -> Call {
        self.repository.git.call(Place::Ours(self.folder), arguments).memory_limit(MEMORY)
    }

    async fn unpack(&self, pack: File) -> Result<(), ReceiveError> {
        let most = format!("--max-input-size={}", self.limits.bundle_bytes);
        let index = ["index-pack", "--stdin", "--fix-thin", "--strict", "--threads=1", &most];
        let output = self.git(index).input_file(pack).time_limit(LONG).run().await?;
        if output.code == Some(0) { Ok(()) } else { Err(refused(output.failed("index-pack"))) }
    }

    async fn all(&self) -> Result<Received, ReceiveError> {
        let here = Place::Ours(self.folder);
        if commit(&self.repository.git, here, self.head.as_str()).await?.as_ref() != Some(self.head) {
            return Err(ReceiveError::BadObjects { complaint: format!("{} is no commit in it", self.head) });
        }
        let ancestor = ["merge-base", "--is-ancestor", self.base.as_str(), self.head.as_str()];
        if !self.git(ancestor).question().await.map_err(refused)? {
            return Err(ReceiveError::NotDescended { base: self.base.clone() });
        }
        let commits = self.count_commits().await?;
        self.check_objects().await?;
        let changed_files = self.changed_files().await?;
        Ok(Received { head: self.head.clone(), commits, changed_files })
    }

    async fn count_commits(&self) -> Result<u32, ReceiveError> {
        let range = format!("{}..{}", self.base, self.head);
        let count = self.git(["rev-list", "--count", &range]).text().await.map_err(refused)?;
        match count.parse::<u32>() {
            Ok(0) => Err(ReceiveError::NoCommits),
            Ok(count) if count <= self.limits.commits => Ok(count),
            _ => Err(ReceiveError::TooMany { what: "commits", limit: self.limits.commits.into() }),
        }
    }

    /// Walks to every new object, which proves that none is missing, and looks at each one's size.
    async fn check_objects(&self) -> Result<(), ReceiveError> {
        let too_many = ReceiveError::TooMany { what: "objects", limit: self.limits.objects.into() };
        let range = format!("{}..{}", self.base, self.head);
        let line = self.head.as_str().len() + 1;
        let most = line.saturating_mul(usize::try_from(self.limits.objects).unwrap_or(usize::MAX));
        let list = self.git(["rev-list", "--objects", "--no-object-names", &range]).output_limit(most);
        let objects = match list.bytes().await {
            Err(GitError::TooMuchOutput { .. }) => return Err(too_many),
            listed => listed.map_err(refused)?,
        };
        let question = ["cat-file", "--buffer", "--batch-check=%(objecttype) %(objectsize)"];
        let answers = self.git(question).input(objects).output_limit(most);
        for line in answers.text().await.map_err(refused)?.lines() {
            let size = line.split_once(' ').and_then(|(_, size)| size.parse::<u64>().ok());
            match size {
                Some(size) if size <= self.limits.file_bytes => {}
                Some(_) => {
                    return Err(ReceiveError::TooMany {
                        what: "bytes in a file",
                        limit: self.limits.file_bytes,
                    });
                }
                None => {
                    return Err(ReceiveError::BadObjects { complaint: "an object is missing".to_owned() });
                }
            }
        }
        Ok(())
    }

    async fn changed_files(&self) -> Result<Vec<FileChange>, ReceiveError> {
        let limit = self.limits.changed_files;
        let too_many = ReceiveError::TooMany { what: "changed files", limit: limit.into() };
        // Two numbers of ten digits and three separators beside the path.
        let entry = self.limits.path_bytes + 23;
        let most = entry.saturating_mul(usize::try_from(limit).unwrap_or(usize::MAX));
        let compare =
            ["diff-tree", "-r", "-z", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv"];
        let compare = compare.into_iter().chain([self.base.as_str(), self.head.as_str()]);
        let call = self.repository.git.call(Place::Ours(self.folder), compare);
        let listed = match call.memory_limit(MEMORY).output_limit(most).bytes().await {
            Err(GitError::TooMuchOutput { .. }) => return Err(too_many),
            listed => listed.map_err(refused)?,
        };
        let changes =
            parse_numstat(&listed).ok_or_else(|| GitError::Nonsense { command: "diff-tree".to_owned() })?;
        if changes.len() > usize::try_from(limit).unwrap_or(usize::MAX) {
            return Err(too_many);
        }
        let is_unsafe = |path: &str| {
            path.len() > self.limits.path_bytes
                || path.contains(char::is_control)
                || path.split('/').any(|part| part.len() > 255)
        };
        match changes.iter().find(|change| is_unsafe(&change.path)) {
            Some(change) => Err(ReceiveError::UnsafePath { path: change.path.chars().take(200).collect() }),
            None => Ok(changes),
        }
    }
}

/// A failure of git over hostile objects is the objects' fault, unless the machine is at fault.
fn refused(error: GitError) -> ReceiveError {
    match error {
        GitError::Failed { complaint, .. } => ReceiveError::BadObjects { complaint },
        other => ReceiveError::Git(other),
    }
}
