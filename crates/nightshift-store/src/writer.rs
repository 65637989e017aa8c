//! The connection that writes.
//!
//! It is rusqlite's and not sqlx's, for it belongs to a thread that does nothing else ([`crate::group`]): through sqlx every
//! statement goes to a second thread and back. Both link the same SQLite. `docs/decisions/0026` has the figures.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::database::BUSY;
use crate::heads::Heads;

/// Statements that are kept prepared: those of an append are fewer.
const PREPARED: usize = 32;

/// Writes one transaction after another.
#[derive(Debug)]
pub(crate) struct Writer {
    file: PathBuf,
    /// `None` before the first transaction.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    connection: Connection,
    /// What is known of the runs by what was written through it.
    heads: Heads,
    /// Whether its last transaction ended well.
    is_sound: bool,
}

impl Writer {
    /// One for a database that is there and has its tables.
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, open: None }
    }

    /// Does `work` in a transaction: all of it is on the disk when this returns. After an error of `work` nothing of it was done;
    /// after one of the disk's at the end it may have been, which the tables say.
    ///
    /// Behind one that failed or panicked comes another connection. After a full disk SQLite has undone the transaction by
    /// itself while the connection still believes in it, which the next transaction must not inherit; and what is known of
    /// the runs has become wrong.
    pub(crate) fn transaction<T, E: From<rusqlite::Error>>(
        &mut self,
        work: impl FnOnce(&Connection, &mut Heads) -> Result<T, E>,
    ) -> Result<T, E> {
        let (connection, heads, is_sound) = match &mut self.open {
            Some(Open { connection, heads, is_sound: is_sound @ true }) => (connection, heads, is_sound),
            replaced => {
                let (connection, heads) = (connect(&self.file)?, Heads::default());
                // The other one ends only now: with the last connection SQLite's index of the log would end, and where the disk
                // is full it could not be made again.
                let Open { connection, heads, is_sound } =
                    replaced.insert(Open { connection, heads, is_sound: true });
                (connection, heads, is_sound)
            }
        };
        *is_sound = false;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction, heads)?;
        transaction.commit()?;
        *is_sound = true;
        Ok(done)
    }

    /// Ends the connection.
    pub(crate) fn close(self) {
        if let Some(Open { connection, .. }) = self.open
            && let Err((_, error)) = connection.close()
        {
            tracing::warn!(%error, "the history was not closed in an orderly way; its log is replayed when it is opened");
        }
    }
}

/// A connection that waits for the disk with every commit; see [`crate::database`]. That the log is a WAL is written in the
/// file.
fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}
