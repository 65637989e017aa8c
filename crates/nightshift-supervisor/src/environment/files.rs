//! The files of a repository that say how it is set up, as they are at a commit.

use std::collections::BTreeMap;

use nightshift_forge::{BrowseError, Repository};
use nightshift_protocol::{CommitId, TreeEntryKind, UserError};

use crate::trouble;

/// Where a repository says how it is set up.
pub(crate) const OWN: &str = ".nightshift/environment.toml";
/// Where a development container is described, in the order they are looked for (containers.dev, "devcontainer.json").
pub(crate) const DEVCONTAINERS: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];

/// Files at the top of a repository that are read, when they are there.
const TOP: [&str; 26] = [
    "package.json",
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "yarn.lock",
    ".yarnrc.yml",
    "bun.lock",
    ".npmrc",
    "Cargo.toml",
    "Cargo.lock",
    "clippy.toml",
    ".clippy.toml",
    "rust-toolchain.toml",
    "pyproject.toml",
    "uv.lock",
    "poetry.lock",
    "requirements.txt",
    "requirements-dev.txt",
    "setup.py",
    "ruff.toml",
    ".ruff.toml",
    "go.mod",
    "go.sum",
    "Makefile",
    "makefile",
];

/// The longest file that is read, in bytes: lock files are long.
const LONGEST: usize = 16 << 20;
/// Further files that a repository may name as inputs.
const MOST_INPUTS: usize = 50;

/// Files by their path, and the names of the folders at the top.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Files {
    content: BTreeMap<String, Vec<u8>>,
    folders: Vec<String>,
}

impl Files {
    /// Reads them from the host's copy at a commit.
    pub(crate) async fn read(repository: &Repository, commit: &CommitId) -> Result<Self, UserError> {
        let failed = |error: BrowseError| trouble::browsing(&error);
        let mut files = Self::default();
        let top = repository.tree(commit, "").await.map_err(failed)?;
        for entry in top.entries {
            match entry.kind {
                TreeEntryKind::Folder => files.folders.push(entry.name),
                TreeEntryKind::File if TOP.contains(&entry.name.as_str()) => {
                    files.add(repository, commit, &entry.name).await?;
                }
                TreeEntryKind::File | TreeEntryKind::Link | TreeEntryKind::Submodule => {}
            }
        }
        for path in DEVCONTAINERS.into_iter().chain([OWN]) {
            files.add(repository, commit, path).await?;
        }
        Ok(files)
    }

    /// Reads the further files that a plan names.
    pub(crate) async fn read_inputs(
        &mut self,
        repository: &Repository,
        commit: &CommitId,
        inputs: &[String],
    ) -> Result<(), UserError> {
        for path in inputs.iter().take(MOST_INPUTS) {
            if !self.content.contains_key(path) {
                self.add(repository, commit, path).await?;
            }
        }
        Ok(())
    }

    async fn add(&mut self, repository: &Repository, commit: &CommitId, path: &str) -> Result<(), UserError> {
        match repository.blob(commit, path, LONGEST).await {
            Ok(content) => {
                self.content.insert(path.to_owned(), content);
                Ok(())
            }
            Err(BrowseError::NotThere { .. } | BrowseError::InvalidPath { .. }) => Ok(()),
            Err(error) => Err(trouble::browsing(&error)),
        }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.content.contains_key(path)
    }

    pub(crate) fn has_folder(&self, name: &str) -> bool {
        self.folders.iter().any(|folder| folder == name)
    }

    pub(crate) fn bytes(&self, path: &str) -> Option<&[u8]> {
        self.content.get(path).map(Vec::as_slice)
    }

    /// A file as text; what is no UTF-8 in it is replaced.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        self.bytes(path).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The first of several that is there.
    pub(crate) fn first<'a>(&self, paths: &[&'a str]) -> Option<&'a str> {
        paths.iter().copied().find(|path| self.has(path))
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut folders: Vec<String> =
            files.iter().filter_map(|(path, _)| Some(path.split_once('/')?.0.to_owned())).collect();
        folders.sort();
        folders.dedup();
        let content =
            files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        Self { content, folders }
    }
}
