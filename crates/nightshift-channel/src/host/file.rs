//! The guest's files, one at a time.

use crate::wire::frame::Lane;
use crate::wire::service::{FileAnswer, FileRefusal, FileStat, GuestUser, Request};

use super::error::{ChannelError, FileError};
use super::link::Channel;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode {
    /// Its permissions, for example `0o644`.
    pub mode: u32,
    /// With whose rights it is written, and whose it is.
    pub owner: GuestUser,
}

impl Channel {
    /// Reads a file of at most `limit` bytes; `path` is absolute.
    pub async fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, FileError> {
        let mut stream = self.request(&Request::ReadFile { path: path.to_owned(), limit }).await?;
        stream.end();
        stream.answer::<FileAnswer<()>>().await??;
        let mut content = Vec::new();
        loop {
            match stream.receive().await? {
                Some((Lane::Bytes, bytes)) => content.extend_from_slice(&bytes),
                Some((lane, bytes)) => {
                    return Err(stream.message_from::<FileRefusal>(lane, bytes).await?.into());
                }
                None => return Ok(content),
            }
            if u64::try_from(content.len()).unwrap_or(u64::MAX) > limit {
                return Err(FileError::TooLarge);
            }
        }
    }

    /// Writes a file in one step: whoever looks sees the old content or the new, also after a crash. Missing folders
    /// above it are made. `path` is absolute.
    pub async fn write_file(&self, path: &str, content: &[u8], mode: FileMode) -> Result<(), FileError> {
        let FileMode { mode, owner } = mode;
        let mut stream = self.request(&Request::WriteFile { path: path.to_owned(), mode, owner }).await?;
        match stream.send(content).await {
            // The guest may refuse before it has all; its answer says why.
            Ok(()) | Err(ChannelError::Cut) => {}
            Err(error) => return Err(error.into()),
        }
        stream.end();
        stream.answer::<FileAnswer<()>>().await??;
        Ok(())
    }

    /// Looks at what is at an absolute path, without following a link there; `None` when nothing is.
    pub async fn stat(&self, path: &str) -> Result<Option<FileStat>, FileError> {
        match self.ask::<FileAnswer<FileStat>>(&Request::Stat { path: path.to_owned() }).await? {
            Ok(stat) => Ok(Some(stat)),
            Err(FileRefusal::NotFound) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }

    /// Returns the SHA-256 of a file at an absolute path; `None` when nothing is there.
    pub async fn hash_file(&self, path: &str) -> Result<Option<[u8; 32]>, FileError> {
        match self.ask::<FileAnswer<[u8; 32]>>(&Request::HashFile { path: path.to_owned() }).await? {
            Ok(hash) => Ok(Some(hash)),
            Err(FileRefusal::NotFound) => Ok(None),
            Err(refusal) => Err(refusal.into()),
        }
    }
}
