//! Folders and files of a commit.

use nightshift_protocol::{CommitId, Tree, TreeEntry, TreeEntryKind};

use crate::git::Place;
use crate::{DiffText, GitError, PullRequest, Repository};

/// Entries of a folder that are listed at most.
const ENTRIES: usize = 5_000;

/// What a folder's list may have in bytes: entries with the longest names there are.
const LIST_LIMIT: usize = 8 << 20;

/// The longest path, in bytes: Linux's `PATH_MAX`.
const LONGEST_PATH: usize = 4_096;

/// Why a folder or a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum BrowseError {
    /// The path is no path within a repository.
    #[error("\"{path}\" is no path within the repository")]
    InvalidPath {
        /// What was given, cut to 80 characters.
        path: String,
    },
    /// The commit has nothing there, or something else.
    #[error("{commit} has no {what} \"{path}\"")]
    NotThere {
        /// The commit.
        commit: CommitId,
        /// What was looked for: `folder` or `file`.
        what: &'static str,
        /// Where.
        path: String,
    },
    /// The file is larger than the caller takes.
    #[error("\"{path}\" has more than {limit} bytes")]
    TooLarge {
        /// The file.
        path: String,
        /// What the caller takes.
        limit: usize,
    },
    /// Git failed.
    #[error(transparent)]
    Git(#[from] GitError),
}

impl Repository {
    /// Lists a folder of a commit; the empty path is the top.
    pub async fn tree(&self, commit: &CommitId, path: &str) -> Result<Tree, BrowseError> {
        let path = path.trim_matches('/');
        check(path)?;
        let not_there =
            || BrowseError::NotThere { commit: commit.clone(), what: "folder", path: path.to_owned() };
        let folder = format!("{path}/");
        let mut list = vec!["ls-tree", "-z", "-l", "--full-tree", commit.as_str()];
        if !path.is_empty() {
            list.extend(["--", &folder]);
        }
        let bare = self.bare_repository();
        let output = self.git.call(Place::Ours(&bare), list).output_limit(LIST_LIMIT).run().await?;
        if output.code != Some(0) && !output.cut {
            // The first for a name that is none, the second for one in full that nothing has.
            let unknown = ["Not a valid object name", "not a tree object"];
            return Err(if unknown.iter().any(|said| output.complaint.contains(said)) {
                not_there()
            } else {
                output.failed("ls-tree").into()
            });
        }
        let mut entries: Vec<TreeEntry> =
            output.stdout.split(|byte| *byte == 0).filter_map(entry).take(ENTRIES + 1).collect();
        if entries.is_empty() && !path.is_empty() {
            return Err(not_there());
        }
        let cut = output.cut || entries.len() > ENTRIES;
        entries.truncate(ENTRIES);
        entries.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        Ok(Tree { commit: commit.clone(), path: path.to_owned(), entries, cut })
    }

    /// Reads a file of a commit, of at most `limit` bytes. Of a symbolic link it is where the link points to.
    pub async fn blob(&self, commit: &CommitId, path: &str, limit: usize) -> Result<Vec<u8>, BrowseError> {
        check(path)?;
        let not_there =
            || BrowseError::NotThere { commit: commit.clone(), what: "file", path: path.to_owned() };
        if path.is_empty() {
            return Err(not_there());
        }
        let bare = self.bare_repository();
        let named = format!("{commit}:{path}");
        let output =
            self.git.call(Place::Ours(&bare), ["cat-file", "blob", &named]).output_limit(limit).run().await?;
        if output.cut {
            return Err(BrowseError::TooLarge { path: path.to_owned(), limit });
        }
        // Git has one exit status for all of it: no such commit, no such path, a folder.
        if output.code == Some(0) { Ok(output.stdout) } else { Err(not_there()) }
    }

    /// The diff of one file of a pull request, cut after `limit` bytes.
    pub async fn file_diff(
        &self,
        pull_request: &PullRequest,
        path: &str,
        limit: usize,
    ) -> Result<DiffText, BrowseError> {
        check(path)?;
        let compare = ["diff-tree", "-p", "-r", "--no-color", "--no-ext-diff", "--no-textconv"];
        let ends = [pull_request.base_commit.as_str(), pull_request.head.as_str(), "--", path];
        let bare = self.bare_repository();
        let output = self
            .git
            .call(Place::Ours(&bare), compare.into_iter().chain(ends))
            .variable("GIT_LITERAL_PATHSPECS", "1")
            .output_limit(limit)
            .run()
            .await?;
        if output.code != Some(0) && !output.cut {
            return Err(output.failed("diff-tree").into());
        }
        Ok(DiffText { text: String::from_utf8_lossy(&output.stdout).into_owned(), cut: output.cut })
    }
}

/// Refuses what git would read as something else than a path below the top: `./x` is relative to a folder.
fn check(path: &str) -> Result<(), BrowseError> {
    let named = |part: &str| !matches!(part, "" | "." | "..");
    let good =
        path.is_empty() || (path.len() <= LONGEST_PATH && !path.contains('\0') && path.split('/').all(named));
    if good { Ok(()) } else { Err(BrowseError::InvalidPath { path: path.chars().take(80).collect() }) }
}

/// Reads `MODE TYPE ID SIZE TAB PATH` (git-ls-tree(1), `--long`).
fn entry(line: &[u8]) -> Option<TreeEntry> {
    let line = String::from_utf8_lossy(line);
    let (facts, path) = line.split_once('\t')?;
    let mut facts = facts.split_whitespace();
    let (mode, kind, _, size) = (facts.next()?, facts.next()?, facts.next()?, facts.next()?);
    let kind = match (mode, kind) {
        (_, "tree") => TreeEntryKind::Folder,
        (_, "commit") => TreeEntryKind::Submodule,
        ("120000", _) => TreeEntryKind::Link,
        _ => TreeEntryKind::File,
    };
    let name = path.rsplit('/').next()?.to_owned();
    Some(TreeEntry { name, path: path.to_owned(), kind, size: size.parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_ls_tree_becomes_an_entry() {
        let file =
            entry(b"100644 blob 8ab686eafeb1f44702738c8b0f24f2567c36da6d     120\tsrc/a b.rs").unwrap();
        let expected = TreeEntry {
            name: "a b.rs".to_owned(),
            path: "src/a b.rs".to_owned(),
            kind: TreeEntryKind::File,
            size: Some(120),
        };
        assert_eq!(file, expected);
        let kinds = ["040000 tree x -\ta", "120000 blob x 3\tb", "160000 commit x -\tc"]
            .map(|line| entry(line.as_bytes()).unwrap().kind);
        assert_eq!(kinds, [TreeEntryKind::Folder, TreeEntryKind::Link, TreeEntryKind::Submodule]);
        assert_eq!(entry(b"nonsense"), None);
    }

    #[test]
    fn a_path_that_leaves_the_repository_or_is_relative_is_refused() {
        for path in ["../a", "a/../b", "./a", "/a", "a//b", "a\0b", "."] {
            assert!(check(path).is_err(), "{path}");
        }
        assert!(check(&"x".repeat(5_000)).is_err());
        for path in ["", "a", "a/b c/ü.rs", ".github/workflows", ":(glob)*"] {
            assert!(check(path).is_ok(), "{path}");
        }
    }
}
