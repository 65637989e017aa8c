//! What Nightshift remembers: the events of every run, the state of each run derived from them, and the large
//! files they point at.
//!
//! ```text
//! folder/ nightshift.db      events (append-only) ─ project() ─▶ runs        one transaction
//!         artifacts/ab/ab…   files named by the SHA-256 of their bytes       written before the event that names them
//! ```
//!
//! It never updates or deletes an event, never decides what happens next in a run, and never reads the clock.
//! An append that returned is on the disk: it survives the end of the process and the loss of power.

mod artifacts;
mod batch;
mod database;
mod environments;
mod events;
#[cfg(test)]
mod fixtures;
mod follow;
mod group;
mod heads;
mod overview;
mod project;
mod reviewing;
mod runs;
mod search;
mod statistics;
mod writer;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightshift_protocol::Event;
use tokio::sync::broadcast;

pub use artifacts::{ArtifactFacts, GetError, PutError};
pub use database::{CheckError, OpenError};
pub use events::{AppendError, ReadError, ReplayError, UnreadableEvent};
pub use project::{Misplaced, project};
pub use runs::{FindError, RebuildError, RunCursor, RunFilter, RunPage, RunStates};
pub use search::{SearchCursor, SearchPage, SearchWords};

use database::Database;
use writer::Writer;

/// How many events a subscriber may be behind before it has to read the table again.
const LIVE_EVENTS: usize = 1024;

/// A folder with the history. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    artifacts: PathBuf,
    live: broadcast::Sender<Arc<Event>>,
    queue: group::Queue,
}

impl Store {
    /// Opens the store in `folder`, making folder (mode 0700), database (0600) and tables where they are missing.
    ///
    /// A database that a newer version of Nightshift has changed is refused by [`OpenError::NewerSchema`].
    pub async fn open(folder: &Path) -> Result<Self, OpenError> {
        let artifacts = folder.join("artifacts");
        for path in [folder, &artifacts] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|source| OpenError::Folder { path: path.to_owned(), source })?;
        }
        let file = folder.join("nightshift.db");
        let database = Database::open(&file).await?;
        let live = broadcast::channel(LIVE_EVENTS).0;
        let queue = group::Queue::start(Writer::new(file), live.clone()).map_err(OpenError::Thread)?;
        let store = Self { inner: Arc::new(Inner { database, artifacts, live, queue }) };
        if !store.projection_is_current().await? {
            store.rebuild().await.map_err(OpenError::Rebuild)?;
        }
        Ok(store)
    }

    /// Looks through the whole database for damage (SQLite's `quick_check`: structure, not indexes).
    pub async fn check(&self) -> Result<(), CheckError> {
        self.inner.database.check().await
    }

    /// Closes the database after the appends that were asked for before; whatever is asked of any clone later fails.
    pub async fn close(&self) {
        self.inner.database.close().await;
        self.inner.queue.close().await;
    }
}
