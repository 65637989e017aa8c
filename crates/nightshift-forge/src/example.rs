//! A repository made of files at hand: the example that a newcomer's first task works in.

use std::path::Path;

use crate::git::{Git, GitError, Place};

/// Who commits it, and when: the same files make the same commit every time.
const WHO: [(&str, &str); 6] = [
    ("GIT_AUTHOR_NAME", "Trailhead"),
    ("GIT_AUTHOR_EMAIL", "crew@trailhead.example"),
    ("GIT_AUTHOR_DATE", "2026-01-05T09:00:00Z"),
    ("GIT_COMMITTER_NAME", "Trailhead"),
    ("GIT_COMMITTER_EMAIL", "crew@trailhead.example"),
    ("GIT_COMMITTER_DATE", "2026-01-05T09:00:00Z"),
];

/// Makes a repository of everything in `folder`, with one commit on `main`.
///
/// # Errors
///
/// When git is missing or fails.
pub async fn begin_repository(git: &Git, folder: &Path, message: &str) -> Result<(), GitError> {
    git.call(Place::Theirs(folder), ["init", "--quiet", "--initial-branch=main"]).text().await?;
    git.call(Place::Theirs(folder), ["add", "--all"]).text().await?;
    let commit = git.call(Place::Theirs(folder), ["commit", "--quiet", "--message", message]);
    WHO.iter().fold(commit, |call, (name, value)| call.variable(name, value)).text().await?;
    Ok(())
}
