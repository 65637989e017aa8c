//! The log of a set-up: one file beside the history, to which is written as it goes.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};

use nightshift_protocol::EnvironmentId;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

/// The most that is kept, in bytes; what a set-up prints beyond is left out.
const MOST: u64 = 16 << 20;
/// The most that is read at once, in bytes.
const PIECE: u64 = 256 << 10;
/// The end that a failure shows, in lines and in bytes.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 8 << 10;

/// A log.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    path: PathBuf,
}

impl Log {
    /// The log of an environment, in the folder with everything that must not be lost.
    pub(crate) fn of(data: &Path, id: &EnvironmentId) -> Self {
        Self { path: data.join("environments").join(format!("{id}.log")) }
    }

    /// Writes a line of our own.
    pub(crate) async fn line(&self, text: &str) {
        self.output(format!("{text}\n").as_bytes()).await;
    }

    /// Writes what a program printed. What cannot be written is lost, and the set-up goes on.
    pub(crate) async fn output(&self, bytes: &[u8]) {
        if let Err(error) = self.append(bytes).await {
            tracing::warn!(log = %self.path.display(), %error, "a set-up's log could not be written");
        }
    }

    async fn append(&self, bytes: &[u8]) -> std::io::Result<()> {
        let length = match tokio::fs::metadata(&self.path).await {
            Ok(file) => file.len(),
            Err(_) => {
                if let Some(folder) = self.path.parent() {
                    tokio::fs::create_dir_all(folder).await?;
                }
                0
            }
        };
        let room = usize::try_from(MOST.saturating_sub(length)).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        if bytes.is_empty() {
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path).await?;
        file.write_all(bytes).await?;
        file.flush().await
    }

    /// Reads a piece from `after` on, and says where the next one begins. No log is an empty one.
    pub(crate) async fn read(&self, after: u64) -> (String, u64) {
        match self.piece(after, PIECE).await {
            Ok(bytes) => (shown(&bytes), after + bytes.len() as u64),
            Err(_) => (String::new(), after),
        }
    }

    async fn piece(&self, after: u64, most: u64) -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&self.path).await?;
        file.seek(SeekFrom::Start(after)).await?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).await?;
        Ok(bytes)
    }

    /// Its last lines.
    pub(crate) async fn tail(&self) -> String {
        let length = tokio::fs::metadata(&self.path).await.map_or(0, |file| file.len());
        let bytes = self.piece(length.saturating_sub(TAIL_BYTES), TAIL_BYTES).await.unwrap_or_default();
        let text = shown(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Removes it.
    pub(crate) async fn remove(&self) {
        let _mostly_there = tokio::fs::remove_file(&self.path).await;
    }
}

/// What a guest printed, as it may be shown: without what steers a terminal.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|character| !character.is_control() || matches!(character, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path) -> Log {
        Log::of(folder, &"environment-0000000000".parse().unwrap())
    }

    #[tokio::test]
    async fn it_is_read_piece_by_piece_as_it_grows() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        assert_eq!(log.read(0).await, (String::new(), 0));
        log.line("one").await;
        let (text, next) = log.read(0).await;
        assert_eq!((text.as_str(), next), ("one\n", 4));
        log.output(b"two\x1b[31m").await;
        assert_eq!(log.read(next).await, ("two[31m".to_owned(), 12));
    }

    #[tokio::test]
    async fn its_end_is_twenty_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        for number in 0..30 {
            log.line(&format!("line {number}")).await;
        }
        let tail = log.tail().await;
        assert!(tail.starts_with("line 10\n") && tail.ends_with("line 29"), "{tail}");
    }

    #[tokio::test]
    async fn it_does_not_grow_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = log(folder.path());
        let much = vec![b'x'; 9 << 20];
        log.output(&much).await;
        log.output(&much).await;
        log.output(b"more").await;
        assert_eq!(tokio::fs::metadata(&log.path).await.unwrap().len(), MOST);
    }
}
