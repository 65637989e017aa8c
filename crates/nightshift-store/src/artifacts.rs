//! The table `artifacts` and the files it knows.
//!
//! A file is complete under its name or not there: it is written beside, brought to the disk, and renamed. The
//! event that names it is appended afterwards, so a crash in between leaves a file that nothing points at.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use nightshift_protocol::{ArtifactId, InvalidId};
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::group::Entry;
use crate::{AppendError, ReadError, Store};

/// What is known of a stored file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArtifactFacts {
    /// Its media type, for example `image/png`: the one it was first stored with.
    pub media_type: String,
    /// Its size in bytes.
    pub size: u64,
}

/// Why bytes were not stored.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The disk is full, or a quota or a limit on the size of files is reached.
    #[error("the disk is full")]
    DiskFull(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The file could not be written.
    #[error("cannot write an artifact")]
    File(#[source] io::Error),
    /// The name could not be made.
    #[error("cannot name an artifact")]
    Name(#[from] InvalidId),
    /// Whether it is known already could not be read.
    #[error("cannot look up an artifact")]
    LookUp(#[from] sqlx::Error),
    /// What is known of it could not be written.
    #[error("cannot record an artifact")]
    Record(#[source] AppendError),
}

impl From<io::Error> for PutError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::DiskFull(error.into())
            }
            _ => Self::File(error),
        }
    }
}

impl From<AppendError> for PutError {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::DiskFull(error) => Self::DiskFull(error.into()),
            error => Self::Record(error),
        }
    }
}

/// Why a stored file was not read.
#[derive(Debug, thiserror::Error)]
pub enum GetError {
    /// There is no such file.
    #[error("there is no artifact {0}")]
    NotFound(ArtifactId),
    /// The file's bytes are not those it is named by.
    #[error("artifact {0} is damaged")]
    Damaged(ArtifactId),
    /// The file could not be read.
    #[error("cannot read an artifact")]
    File(#[source] io::Error),
}

/// What is known of a stored file, on its way into the table.
#[derive(Debug)]
pub(crate) struct ArtifactRow {
    pub(crate) id: ArtifactId,
    pub(crate) media_type: String,
    pub(crate) size: i64,
}

impl ArtifactRow {
    /// Writes it, if nothing is known of the file yet.
    pub(crate) fn write(&self, connection: &Connection) -> Result<(), rusqlite::Error> {
        connection
            .prepare_cached(
                "INSERT INTO artifacts (id, media_type, size) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
            )?
            .execute(params![self.id.as_str(), self.media_type, self.size])?;
        Ok(())
    }
}

impl Store {
    /// Stores bytes and returns their name. Storing the same bytes again changes nothing.
    pub async fn put(&self, bytes: impl Into<Bytes>, media_type: &str) -> Result<ArtifactId, PutError> {
        let bytes = bytes.into();
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let artifacts = self.inner.artifacts.clone();
        let id = in_background(move || write(&artifacts, &bytes)).await?;
        if self.read_facts(&id).await?.is_some() {
            return Ok(id);
        }
        let row = ArtifactRow { id: id.clone(), media_type: media_type.to_owned(), size };
        self.inner.queue.write(Entry::Artifact(row)).await.map_err(AppendError::from)?;
        Ok(id)
    }

    /// Reads a stored file and proves that its bytes are those it is named by.
    pub async fn get(&self, id: &ArtifactId) -> Result<Bytes, GetError> {
        let (path, id) = (self.path(id), id.clone());
        in_background(move || {
            let bytes = fs::read(path).map_err(|error| match error.kind() {
                ErrorKind::NotFound => GetError::NotFound(id.clone()),
                _ => GetError::File(error),
            })?;
            if hash(&bytes) == id.as_str() { Ok(Bytes::from(bytes)) } else { Err(GetError::Damaged(id)) }
        })
        .await
    }

    /// What is known of a stored file, if there is one of that name.
    pub async fn artifact(&self, id: &ArtifactId) -> Result<Option<ArtifactFacts>, ReadError> {
        Ok(self.read_facts(id).await?)
    }

    /// Where a file of that name is, if it is stored.
    pub fn path(&self, id: &ArtifactId) -> PathBuf {
        file_of(&self.inner.artifacts, id)
    }

    async fn read_facts(&self, id: &ArtifactId) -> Result<Option<ArtifactFacts>, sqlx::Error> {
        let row: Option<(String, i64)> =
            sqlx::query_as("SELECT media_type, size FROM artifacts WHERE id = ?")
                .bind(id.as_str())
                .fetch_optional(self.inner.database.readers())
                .await?;
        Ok(row.map(|(media_type, size)| ArtifactFacts { media_type, size: size.cast_unsigned() }))
    }
}

fn file_of(artifacts: &Path, id: &ArtifactId) -> PathBuf {
    artifacts.join(&id.as_str()[..2]).join(id.as_str())
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write(artifacts: &Path, bytes: &[u8]) -> Result<ArtifactId, PutError> {
    let id: ArtifactId = hash(bytes).parse()?;
    let path = file_of(artifacts, &id);
    if fs::metadata(&path).is_ok_and(|found| found.len() == bytes.len() as u64) {
        return Ok(id);
    }
    let folder = path.parent().unwrap_or(artifacts);
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        File::open(artifacts)?.sync_all()?;
    }
    let mut file = NamedTempFile::new_in(artifacts)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|failed| failed.error)?;
    File::open(folder)?.sync_all()?;
    Ok(id)
}

/// Runs what waits for the disk where it holds up nobody.
async fn in_background<T, E>(work: impl FnOnce() -> Result<T, E> + Send + 'static) -> Result<T, E>
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

impl From<io::Error> for GetError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SHA-256 of nothing, FIPS 180-4's example.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[tokio::test]
    async fn the_same_bytes_are_stored_once_under_the_name_of_their_hash() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let id = store.put(Bytes::new(), "text/plain").await.unwrap();
        assert_eq!(id.as_str(), EMPTY);
        assert_eq!(store.put(Bytes::new(), "image/png").await.unwrap(), id);
        assert_eq!(store.path(&id), folder.path().join("artifacts/e3").join(EMPTY));
        assert_eq!(store.get(&id).await.unwrap(), Bytes::new());
        let facts = ArtifactFacts { media_type: "text/plain".to_owned(), size: 0 };
        assert_eq!(store.artifact(&id).await.unwrap(), Some(facts));
    }

    #[tokio::test]
    async fn nothing_but_finished_files_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let id = store.put(&b"one"[..], "text/plain").await.unwrap();
        let names: Vec<_> = fs::read_dir(folder.path().join("artifacts"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, [&id.as_str()[..2]]);
    }

    #[tokio::test]
    async fn a_file_with_other_bytes_than_its_name_says_is_not_handed_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let id = store.put(&b"screenshot"[..], "image/png").await.unwrap();
        fs::write(store.path(&id), b"screenshoT").unwrap();
        assert!(matches!(store.get(&id).await.unwrap_err(), GetError::Damaged(damaged) if damaged == id));
        fs::remove_file(store.path(&id)).unwrap();
        assert!(matches!(store.get(&id).await.unwrap_err(), GetError::NotFound(missing) if missing == id));
    }

    #[test]
    fn a_full_disk_and_a_full_quota_are_named() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
            assert!(matches!(PutError::from(io::Error::from(kind)), PutError::DiskFull(_)));
        }
        assert!(matches!(PutError::from(io::Error::from(ErrorKind::PermissionDenied)), PutError::File(_)));
    }
}
