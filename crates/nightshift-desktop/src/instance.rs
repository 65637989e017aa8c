//! One window for each Nightshift: who starts a second one is handed over to the first.
//!
//! ```text
//!   first:   lock window.lock ─▶ listen on window.sock ─▶ a line of JSON from each later start
//!   second:  window.lock is held ─▶ write to window.sock ─▶ "ok" ─▶ end
//! ```
//!
//! The lock decides, not the socket: the kernel lets it go with the process, so that a crash leaves nothing to clean.
//! Both files are in the data folder (mode 0700), so a second Nightshift (`NIGHTSHIFT_HOME`) has a window of its own.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nightshift_client::private_folder;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, sleep, timeout};

/// A line is no longer, in bytes: the longest link and its wrapping.
const LONGEST: u64 = 16 * 1024;

/// How long the other side may take to say its line.
const WITHIN: Duration = Duration::from_secs(2);

/// How long a first one may take from its lock to its socket.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

/// What a later start tells the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Told {
    /// The link it was started with.
    pub link: Option<String>,
}

/// Which start this is.
#[derive(Debug)]
pub enum Instance {
    /// The first: it has the window.
    First(First),
    /// A later one, and the first knows: there is nothing left to do.
    Later,
}

/// The first instance, as long as it is kept.
#[derive(Debug)]
pub struct First {
    _lock: File,
    listener: UnixListener,
}

/// Why it cannot be found out, or the first one not told.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// The files cannot be made.
    #[error("{path}: {source}")]
    Files {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The first one has the lock and does not answer.
    #[error("a window of this Nightshift is open already, and does not answer")]
    Silent,
}

/// Becomes the first instance in the folder `data`, or tells the one that is.
///
/// # Errors
///
/// See [`InstanceError`].
pub async fn claim(data: &Path, told: &Told) -> Result<Instance, InstanceError> {
    let files = |path: &Path| {
        let path = path.display().to_string();
        move |source| InstanceError::Files { path, source }
    };
    private_folder(data).map_err(files(data))?;
    let (lock_path, socket) = (data.join("window.lock"), data.join("window.sock"));
    let deadline = Instant::now() + STARTS_WITHIN;
    loop {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(files(&lock_path))?;
        if lock.try_lock().is_ok() {
            // Whoever listened there is gone: its lock is ours.
            let _left_over = std::fs::remove_file(&socket);
            let listener = UnixListener::bind(&socket).map_err(files(&socket))?;
            return Ok(Instance::First(First { _lock: lock, listener }));
        }
        if tell(&socket, told).await.is_ok() {
            return Ok(Instance::Later);
        }
        // It is just starting or just ending.
        if Instant::now() > deadline {
            return Err(InstanceError::Silent);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn tell(socket: &Path, told: &Told) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket).await?;
    let line = serde_json::to_string(told)? + "\n";
    stream.write_all(line.as_bytes()).await?;
    let mut answer = String::new();
    timeout(WITHIN, BufReader::new(stream.take(16)).read_line(&mut answer)).await??;
    if answer.trim_end() == "ok" { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

impl First {
    /// Waits for the next later start.
    pub async fn next(&self) -> Told {
        loop {
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of file descriptors, most likely: there is no use in asking at once.
                sleep(Duration::from_secs(1)).await;
                continue;
            };
            // Who says nothing or something else holds nobody up for long.
            if let Ok(Ok(told)) = timeout(WITHIN, hear(stream)).await {
                return told;
            }
        }
    }
}

async fn hear(stream: UnixStream) -> io::Result<Told> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LONGEST)).read_line(&mut line).await?;
    let told = serde_json::from_str(&line)?;
    writer.write_all(b"ok\n").await?;
    Ok(told)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn told(link: &str) -> Told {
        Told { link: Some(link.to_owned()) }
    }

    async fn first(data: &Path) -> First {
        match claim(data, &Told::default()).await.unwrap() {
            Instance::First(first) => first,
            Instance::Later => panic!("there is another one"),
        }
    }

    #[tokio::test]
    async fn a_later_start_tells_the_first_what_it_was_started_with() {
        let folder = tempfile::tempdir().unwrap();
        let first = first(folder.path()).await;
        let what = told("nightshift://doctor");
        let (later, heard) = tokio::join!(claim(folder.path(), &what), first.next());
        assert!(matches!(later.unwrap(), Instance::Later));
        assert_eq!(heard, what);
    }

    #[tokio::test]
    async fn when_the_first_is_gone_the_next_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        drop(first(folder.path()).await);
        assert!(folder.path().join("window.sock").exists(), "as a crash leaves it");
        drop(first(folder.path()).await);
    }

    #[tokio::test]
    async fn of_many_starts_at_once_exactly_one_is_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_path_buf();
        let starts: Vec<_> = (0..8)
            .map(|number| {
                let data = data.clone();
                tokio::spawn(async move { claim(&data, &told(&number.to_string())).await.unwrap() })
            })
            .collect();
        let (mut heard, mut later) = (0, 0);
        let mut listening = None;
        for start in starts {
            // The first answers the others while they are waited for.
            match start.await.unwrap() {
                Instance::First(first) => {
                    listening = Some(tokio::spawn(async move {
                        for _ in 0..7 {
                            first.next().await;
                        }
                        first
                    }));
                    heard += 1;
                }
                Instance::Later => later += 1,
            }
        }
        assert_eq!((heard, later), (1, 7));
        listening.unwrap().await.unwrap();
    }

    #[tokio::test]
    async fn who_says_nothing_or_nonsense_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let first = first(folder.path()).await;
        let socket = folder.path().join("window.sock");
        let _silent = UnixStream::connect(&socket).await.unwrap();
        let mut endless = UnixStream::connect(&socket).await.unwrap();
        endless.write_all(&vec![b'x'; LONGEST as usize + 1]).await.unwrap();
        let heard = tokio::spawn(async move { first.next().await });
        let mut good = UnixStream::connect(&socket).await.unwrap();
        good.write_all(b"{\"link\":\"nightshift:new\",\"later\":1}\n").await.unwrap();
        assert_eq!(heard.await.unwrap(), told("nightshift:new"));
    }

    #[tokio::test]
    async fn nobody_else_can_knock() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let _first = first(&data).await;
        assert_eq!(std::fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_made_is_named() {
        let error = claim(Path::new("/proc/nowhere"), &Told::default()).await.unwrap_err();
        assert!(error.to_string().starts_with("/proc/nowhere: "), "{error}");
    }
}
