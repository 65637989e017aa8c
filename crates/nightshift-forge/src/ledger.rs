//! The files pull requests are kept in: one each, replaced whole.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nightshift_protocol::PullRequestId;
use tempfile::NamedTempFile;

use crate::PullRequest;
use crate::forge::in_background;

/// Why a record was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// A file is no record of a pull request.
    #[error("{} is damaged, or a newer version wrote it", path.display())]
    Damaged {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull(#[source] io::Error),
    /// A file could not be read or written.
    #[error("cannot read or write the records of pull requests")]
    File(#[source] io::Error),
}

impl From<io::Error> for LedgerError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ => Self::File(error),
        }
    }
}

/// All records in a folder, ordered by number; none where there is no folder.
pub(crate) async fn read_all(folder: PathBuf) -> Result<Vec<PullRequest>, LedgerError> {
    let mut all = read_newest(folder, usize::MAX, |_| true).await?;
    all.reverse();
    Ok(all)
}

/// The records in a folder that fit, from the highest number down, at most `most`; what comes after them is not read.
pub(crate) async fn read_newest(
    folder: PathBuf,
    most: usize,
    fits: impl Fn(&PullRequest) -> bool + Send + 'static,
) -> Result<Vec<PullRequest>, LedgerError> {
    in_background(move || {
        let mut newest = Vec::new();
        for number in numbers(&folder)?.into_iter().rev() {
            if newest.len() >= most {
                break;
            }
            newest.extend(read_file(&folder.join(format!("{number}.json")))?.filter(&fits));
        }
        Ok(newest)
    })
    .await
}

/// The numbers of a folder's records, in order.
fn numbers(folder: &Path) -> Result<Vec<u64>, LedgerError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        // What has another name is none of ours: a half-written file, or somebody's copy.
        let number = name.to_str().and_then(|name| name.strip_suffix(".json")?.parse().ok());
        numbers.extend(number.filter(|number: &u64| name.to_str() == Some(&format!("{number}.json"))));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(crate) async fn read(folder: PathBuf, id: PullRequestId) -> Result<Option<PullRequest>, LedgerError> {
    in_background(move || read_file(&folder.join(format!("{id}.json")))).await
}

/// Replaces a record; whoever reads meanwhile gets the old or the new one, also after a loss of power.
pub(crate) async fn write(folder: PathBuf, pull_request: PullRequest) -> Result<(), LedgerError> {
    in_background(move || {
        let path = folder.join(format!("{}.json", pull_request.id));
        let damaged = |source| LedgerError::Damaged { path: path.clone(), source };
        let json = serde_json::to_vec_pretty(&pull_request).map_err(damaged)?;
        if !folder.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            File::open(folder.parent().unwrap_or(&folder))?.sync_all()?;
        }
        let mut file = NamedTempFile::new_in(&folder)?;
        file.write_all(&json)?;
        file.as_file().sync_all()?;
        file.persist(&path).map_err(|failed| failed.error)?;
        Ok(File::open(&folder)?.sync_all()?)
    })
    .await
}

fn read_file(path: &Path) -> Result<Option<PullRequest>, LedgerError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = |source| LedgerError::Damaged { path: path.to_owned(), source };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}
