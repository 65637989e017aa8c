//! Changes of files in the sandbox.

use nightshift_agent::{EditAction, EditRequest, edits};
use nightshift_channel::{Command, FileError, FileMode, GuestUser, JobStatus};
use nightshift_protocol::{ArtifactId, IntendedWrite, Reconciled};
use nightshift_store::GetError;

use super::{Bench, StepEnd, StepTrouble};

/// The largest file that is edited as text, in bytes.
const LARGEST: u64 = 4 * 1024 * 1024;

/// An edit as it was worked out by reading only.
pub(crate) struct Prepared {
    /// What is going to be written; `None` when nothing is.
    pub(crate) write: Option<IntendedWrite>,
    text: Option<String>,
    mode: u32,
    end: StepEnd,
}

/// The mode of a file that was not there before.
const NEW_FILE: u32 = 0o644;

impl Prepared {
    fn answer(end: StepEnd) -> Self {
        Self { write: None, text: None, mode: NEW_FILE, end }
    }
}

/// Reads the file and works the edit out; nothing is written in the sandbox.
pub(super) async fn prepare(bench: &Bench, request: &EditRequest) -> Result<Prepared, StepTrouble> {
    let path = absolute(&bench.folder, &request.path);
    let before = match bench.desk.channel.read_file(&path, LARGEST).await {
        Ok(bytes) => Some(bytes),
        Err(FileError::NotFound) => None,
        Err(FileError::Channel(error)) => return Err(StepTrouble::Cut(error.to_string())),
        Err(refused) => return Ok(refuse(&path, &refused)),
    };
    let text = match before.as_deref().map(std::str::from_utf8) {
        None => None,
        Some(Ok(text)) => Some(text),
        Some(Err(_)) => return Ok(refuse(&path, &"no text in UTF-8; use the shell for it")),
    };
    let (after, said) = match (&request.action, text) {
        (EditAction::Create { text: whole }, None) => (Some(whole.clone()), format!("Created {path}.")),
        (EditAction::Create { text: whole }, Some(_)) => {
            (Some(whole.clone()), format!("Replaced all of {path}."))
        }
        (EditAction::Undo, _) => match bench.writes.iter().rfind(|write| write.path == path) {
            None => return Ok(refuse(&path, &"no change of yours is left to be undone")),
            Some(write) => match &write.before {
                None => (None, format!("Removed {path}, which was not there before.")),
                Some(earlier) => {
                    let bytes = bench.store.get(earlier).await.map_err(host)?;
                    (
                        Some(String::from_utf8_lossy(&bytes).into_owned()),
                        format!("{path} is as it was before."),
                    )
                }
            },
        },
        (EditAction::View(_) | EditAction::Change(_), None) => {
            return Ok(refuse(&path, &"there is no such file"));
        }
        (EditAction::View(range), Some(text)) => {
            return Ok(match edits::view(text, *range) {
                Ok(view) => Prepared::answer(StepEnd::done(view)),
                Err(refused) => refuse(&path, &refused),
            });
        }
        (EditAction::Change(change), Some(text)) => match edits::apply(text, change) {
            Ok(edited) => (Some(edited.text), format!("{}\n{}", edited.summary, edited.excerpt)),
            Err(refused) => return Ok(refuse(&path, &refused)),
        },
    };
    let before = match before {
        Some(bytes) => Some(bench.keep(bytes, "text/plain").await?),
        None => None,
    };
    let kept = match &after {
        Some(text) => Some(bench.keep(text.clone().into_bytes(), "text/plain").await?),
        None => None,
    };
    let mode = mode_of(bench, &path).await?;
    let write = IntendedWrite { path, before, after: kept };
    Ok(Prepared { write: Some(write), text: after, mode, end: StepEnd::done(said) })
}

fn refuse(path: &str, why: &dyn std::fmt::Display) -> Prepared {
    Prepared::answer(StepEnd::failed(format!("{path}: {why}")))
}

fn host(error: GetError) -> StepTrouble {
    StepTrouble::Host(crate::trouble::getting(&error))
}

/// Writes what was prepared.
pub(super) async fn write(bench: &Bench, prepared: Prepared) -> Result<StepEnd, StepTrouble> {
    match prepared.write {
        None => Ok(prepared.end),
        Some(write) => {
            let bytes = prepared.text.as_deref().map(str::as_bytes);
            put(bench, &write.path, bytes, prepared.mode, prepared.end).await
        }
    }
}

/// Finds out whether a write that was begun has happened, and does it if it has not.
pub(super) async fn reconcile(bench: &Bench, write: &IntendedWrite) -> Result<StepEnd, StepTrouble> {
    let now = match bench.desk.channel.hash_file(&write.path).await {
        Ok(hash) => hash.map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
        Err(FileError::Channel(error)) => return Err(StepTrouble::Cut(error.to_string())),
        Err(refused) => return Ok(StepEnd::failed(format!("{}: {refused}", write.path))),
    };
    let changed = StepEnd::done(format!("{} was changed.", write.path));
    let (mut end, reconciled) = match found(now.as_deref(), write) {
        Found::After => (changed, Reconciled::Found),
        Found::Before => {
            let bytes = match &write.after {
                Some(after) => Some(bench.store.get(after).await.map_err(host)?),
                None => None,
            };
            let mode = mode_of(bench, &write.path).await?;
            (put(bench, &write.path, bytes.as_deref(), mode, changed).await?, Reconciled::NotBegun)
        }
        Found::Neither => {
            let said = format!(
                "{} was changed by something else while this edit was under way; view it and decide again.",
                write.path
            );
            (StepEnd::failed(said), Reconciled::Unknown)
        }
    };
    end.reconciled = Some(reconciled);
    Ok(end)
}

/// How a file was found that was to be written when the owner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    After,
    Before,
    Neither,
}

/// `now` is the file's SHA-256, or `None` when there is no file.
fn found(now: Option<&str>, write: &IntendedWrite) -> Found {
    let is = |then: &Option<ArtifactId>| now == then.as_ref().map(ArtifactId::as_str);
    if is(&write.after) {
        Found::After
    } else if is(&write.before) {
        Found::Before
    } else {
        Found::Neither
    }
}

/// The permissions of a file, which an edit keeps.
async fn mode_of(bench: &Bench, path: &str) -> Result<u32, StepTrouble> {
    match bench.desk.channel.stat(path).await {
        Ok(found) => Ok(found.map_or(NEW_FILE, |found| found.mode & 0o777)),
        Err(FileError::Channel(error)) => Err(StepTrouble::Cut(error.to_string())),
        Err(_) => Ok(NEW_FILE),
    }
}

/// Leaves the file with these bytes, or removes it.
async fn put(
    bench: &Bench,
    path: &str,
    bytes: Option<&[u8]>,
    mode: u32,
    end: StepEnd,
) -> Result<StepEnd, StepTrouble> {
    let Some(bytes) = bytes else { return remove(bench, path, end).await };
    let mode = FileMode { mode, owner: GuestUser::Agent };
    match bench.desk.channel.write_file(path, bytes, mode).await {
        Ok(()) => Ok(end),
        Err(FileError::Channel(error)) => Err(StepTrouble::Cut(error.to_string())),
        Err(refused) => Ok(StepEnd::failed(format!("{path}: {refused}"))),
    }
}

async fn remove(bench: &Bench, path: &str, end: StepEnd) -> Result<StepEnd, StepTrouble> {
    let job = bench.small_job("remove");
    let command = Command::new(job.clone(), ["rm", "-f", "--", path]).user(GuestUser::Agent);
    let cut = |error: &dyn std::fmt::Display| StepTrouble::Cut(error.to_string());
    let removed = bench.desk.channel.start(command).await.map_err(|error| cut(&error))?;
    let removed = removed.collect(4_096).await.map_err(|error| cut(&error))?;
    let _forgotten = bench.desk.channel.forget(&job).await;
    if removed.exit.status == JobStatus::Code(0) {
        Ok(end)
    } else {
        Ok(StepEnd::failed(String::from_utf8_lossy(&removed.stderr).trim().to_owned()))
    }
}

/// A path as the agent gave it, from the repository's folder on.
fn absolute(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(digit: &str) -> ArtifactId {
        digit.repeat(64).parse().unwrap()
    }

    fn write(before: Option<&str>, after: Option<&str>) -> IntendedWrite {
        IntendedWrite { path: "/a".to_owned(), before: before.map(artifact), after: after.map(artifact) }
    }

    #[test]
    fn a_file_that_is_as_intended_was_written() {
        assert_eq!(found(Some(&"b".repeat(64)), &write(Some("a"), Some("b"))), Found::After);
    }

    #[test]
    fn a_file_that_is_as_before_was_not_written() {
        assert_eq!(found(Some(&"a".repeat(64)), &write(Some("a"), Some("b"))), Found::Before);
        assert_eq!(found(None, &write(None, Some("b"))), Found::Before);
    }

    #[test]
    fn a_file_that_is_neither_is_left_alone() {
        assert_eq!(found(Some(&"c".repeat(64)), &write(Some("a"), Some("b"))), Found::Neither);
        assert_eq!(found(None, &write(Some("a"), Some("b"))), Found::Neither);
    }

    #[test]
    fn a_file_that_was_to_be_removed_and_is_gone_was_removed() {
        assert_eq!(found(None, &write(Some("a"), None)), Found::After);
    }

    #[test]
    fn relative_paths_begin_at_the_repository() {
        assert_eq!(absolute("/home/agent/work/app", "src/a.js"), "/home/agent/work/app/src/a.js");
        assert_eq!(absolute("/home/agent/work/app", "/etc/hosts"), "/etc/hosts");
    }
}
