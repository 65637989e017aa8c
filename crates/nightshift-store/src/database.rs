//! The database file: one connection that writes, several that read beside it.
//!
//! `synchronous=FULL` makes every commit wait for the disk. With the faster `NORMAL` a commit survives the end of
//! the process but may be undone by a loss of power; then an effect that reached the outside (a push, a paid model
//! call) would be in the world and not in the log, and would be done twice. One `fsync` per append is the price, and
//! appends that come together share it.
//! <https://sqlite.org/pragma.html#pragma_synchronous>

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use crate::RebuildError;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Readers beside the one writer: each is a thread and a page cache.
const READERS: u32 = 4;

/// A reader's page cache, in KiB as SQLite writes it: behind it is the system's, which the readers share.
/// <https://sqlite.org/pragma.html#pragma_cache_size>
const READER_CACHE: &str = "-1024";

/// After how long without use a reader gives its memory back.
const READER_IDLE: Duration = Duration::from_secs(15);

/// How long a connection waits for a lock that another process (a backup, a person's `sqlite3`) holds.
pub(crate) const BUSY: Duration = Duration::from_secs(10);

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or the file could not be made.
    #[error("cannot make {}", path.display())]
    Folder {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A newer version of Nightshift changed the tables.
    #[error("the history has schema {found} and this version knows {known}: a newer Nightshift wrote it")]
    NewerSchema {
        /// The newest migration in the database.
        found: i64,
        /// The newest migration this version has.
        known: i64,
    },
    /// The tables could not be brought up to date.
    #[error("cannot bring the history's tables up to date")]
    Migrate(#[source] MigrateError),
    /// The runs could not be derived anew from the events.
    #[error("cannot derive the runs from the events")]
    Rebuild(#[source] RebuildError),
    /// The thread that writes could not be started.
    #[error("cannot start the thread that writes the history")]
    Thread(#[source] io::Error),
    /// The database could not be opened.
    #[error("cannot open the history")]
    Database(#[from] sqlx::Error),
}

/// What a check of the database found.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The file is damaged.
    #[error("the history is damaged: {}", findings.join("; "))]
    Damaged {
        /// What SQLite found, at most 100 lines.
        findings: Vec<String>,
    },
    /// The check could not be made.
    #[error("cannot check the history")]
    Database(#[from] sqlx::Error),
}

/// What the tables are made and read by; [`crate::writer`] writes.
#[derive(Debug)]
pub(crate) struct Database {
    readers: SqlitePool,
}

impl Database {
    pub(crate) async fn open(file: &Path) -> Result<Self, OpenError> {
        // SQLite would create it readable for everybody; its side files take over the mode of this one.
        OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(file)
            .map_err(|source| OpenError::Folder { path: file.to_owned(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        refuse_newer_schema(&mut connection).await?;
        MIGRATIONS.run(&mut connection).await.map_err(OpenError::Migrate)?;
        connection.close().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .idle_timeout(READER_IDLE)
            .connect_lazy_with(options.pragma("query_only", "on").pragma("cache_size", READER_CACHE));
        Ok(Self { readers })
    }

    /// The connections for reading; a write through them fails.
    pub(crate) fn readers(&self) -> &SqlitePool {
        &self.readers
    }

    pub(crate) async fn check(&self) -> Result<(), CheckError> {
        let findings: Vec<String> =
            sqlx::query_scalar("PRAGMA quick_check(100)").fetch_all(self.readers()).await?;
        if findings == ["ok"] { Ok(()) } else { Err(CheckError::Damaged { findings }) }
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
    }
}

async fn refuse_newer_schema(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let migrated: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !migrated {
        return Ok(());
    }
    let found: i64 = sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await?;
    let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    if found > known { Err(OpenError::NewerSchema { found, known }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use nightshift_protocol::{EventBody, IssueReference, OffsetDateTime, RunId};
    use rusqlite::types::Value;

    use crate::writer::Writer;
    use crate::{AppendError, OpenError, Store};

    const AT: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    /// The first event of every run here.
    fn submitted() -> EventBody {
        serde_json::from_value(serde_json::json!({
            "type": "runSubmitted", "branch": "nightshift/x-0000000000",
            "task": {
                "id": "task-0000000000", "description": "x", "repository": "/src/app", "baseBranch": "main",
                "baseCommit": "a".repeat(40), "model": "m", "createdAt": "2026-11-01T00:00:00Z",
                "limits": {"turns": 1, "tokens": 1, "costMicrodollars": 1, "seconds": 1},
            },
        }))
        .unwrap()
    }

    fn run() -> RunId {
        "run-0000000000".parse().unwrap()
    }

    /// Runs a statement on the connection that writes, as nobody outside this package can.
    async fn execute(store: &Store, statement: &'static str) -> Result<(), rusqlite::Error> {
        let execute = move |writer: &mut Writer| {
            writer.transaction(|connection, _| connection.execute_batch(statement))
        };
        store.inner.queue.work(execute).await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_refuses_an_append_by_name_and_the_next_one_works_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(), AT, &[submitted()]).await.unwrap();
        // SQLite never takes fewer pages than there are, so this is the limit "not one more".
        execute(&store, "PRAGMA max_page_count = 1").await.unwrap();
        let mut bodies = vec![EventBody::PersonSaid { text: "x".repeat(1 << 20) }];
        let refused = store.append_from(&run(), AT, &mut bodies).await.unwrap_err();
        assert!(matches!(refused, AppendError::DiskFull(_)), "{refused:?}");
        assert_eq!(bodies.len(), 1, "what was refused is given back");

        let appended = store.append_from(&run(), AT, &mut bodies).await.unwrap();
        assert!(bodies.is_empty());
        assert_eq!(appended[0].seq, 2);
        assert_eq!(store.replay(&run()).await.unwrap().len(), 2);
    }

    #[tokio::test]
    async fn an_event_is_neither_changed_nor_removed_nor_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let said = EventBody::PersonSaid { text: "hello".to_owned() };
        let written = store.append(&run(), AT, &[submitted(), said]).await.unwrap();
        for statement in [
            "UPDATE events SET json = '{}' WHERE seq = 2",
            "DELETE FROM events WHERE seq = 2",
            "INSERT OR REPLACE INTO events (run, seq, at, type, json) VALUES ('run-0000000000', 2, '', '', '')",
            "INSERT OR REPLACE INTO events (position, run, seq, at, type, json) VALUES (2, 'run-0000000000', 3, '', '', '')",
            "INSERT INTO events (run, seq, at, type, json) VALUES ('run-0000000000', 4, '', '', '')",
        ] {
            let refused = execute(&store, statement).await.unwrap_err().to_string();
            assert!(refused.contains("events are append-only"), "{statement}: {refused}");
        }
        let kept = store.replay(&run()).await.unwrap();
        assert_eq!(kept.into_iter().map(Arc::new).collect::<Vec<_>>(), written);
    }

    #[tokio::test]
    async fn a_database_of_a_newer_version_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        execute(
            &store,
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', 1, x'00', 0)",
        )
        .await
        .unwrap();
        store.close().await;
        let refused = Store::open(folder.path()).await.unwrap_err();
        assert!(matches!(refused, OpenError::NewerSchema { found: 9999, known: 8 }), "{refused:?}");
    }

    #[tokio::test]
    async fn an_event_of_a_newer_version_is_left_out_of_lists_and_stops_a_replay_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        store.append(&run(), AT, &[submitted()]).await.unwrap();
        execute(
            &store,
            "INSERT INTO events (run, seq, at, type, json)
             VALUES ('run-0000000000', 2, '2026-11-01T00:00:00Z', 'teleported', '{\"type\":\"teleported\"}')",
        )
        .await
        .unwrap();
        let said = EventBody::PersonSaid { text: "hello".to_owned() };
        store.append(&run(), AT, &[said]).await.unwrap();

        let seqs = |events: Vec<nightshift_protocol::Event>| {
            events.iter().map(|event| event.seq).collect::<Vec<_>>()
        };
        assert_eq!(seqs(store.events(&run(), 0, 2).await.unwrap()), [1, 3]);
        let refused = store.replay(&run()).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "event 2 of run-0000000000 has type \"teleported\" in a form that this version cannot read"
        );
        assert_eq!(store.rebuild().await.unwrap_err().to_string(), refused);
        assert_eq!(
            store.run(&run()).await.unwrap().unwrap().last_seq,
            3,
            "the failed rebuild changed nothing"
        );
    }

    #[tokio::test]
    async fn the_issues_of_runs_are_known_after_a_history_of_an_earlier_version_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let mut asked_for = submitted();
        let EventBody::RunSubmitted { task, .. } = &mut asked_for else { unreachable!() };
        task.issue =
            Some(IssueReference { number: 7, url: "https://forge.test/7".to_owned(), comment: None });
        store.append(&run(), AT, &[asked_for]).await.unwrap();
        execute(
            &store,
            "DROP INDEX runs_of_issues; ALTER TABLE runs DROP COLUMN issue;
             CREATE INDEX runs_of_issues ON runs (repository) WHERE json_extract(json, '$.task.issue') IS NOT NULL;
             DELETE FROM _sqlx_migrations WHERE version = 8",
        )
        .await
        .unwrap();
        store.close().await;
        let store = Store::open(folder.path()).await.unwrap();
        let numbers = store.issues_of("/src/app").await.unwrap().into_iter().map(|issue| issue.number);
        assert_eq!(numbers.collect::<Vec<_>>(), [7]);
    }

    #[tokio::test]
    async fn folder_and_database_are_for_their_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("state").join("nightshift");
        let store = Store::open(&home).await.unwrap();
        store.append(&run(), AT, &[submitted()]).await.unwrap();
        let mode = |name: &str| home.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(""), mode("artifacts")], [0o700, 0o700]);
        assert_eq!([mode("nightshift.db"), mode("nightshift.db-wal")], [0o600, 0o600]);
    }

    #[tokio::test]
    async fn every_connection_that_writes_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let settings = |writer: &mut Writer| {
            writer.transaction(|connection, _| {
                let one = |name| connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0));
                Ok::<_, rusqlite::Error>(["synchronous", "journal_mode", "foreign_keys"].map(one))
            })
        };
        // 2 is FULL, <https://sqlite.org/pragma.html#pragma_synchronous>.
        let wanted = [Value::from(2), Value::from("wal".to_owned()), Value::from(1)];
        for _ in 0..2 {
            let found = store.inner.queue.work(settings).await.unwrap().unwrap();
            assert_eq!(found.map(Result::unwrap), wanted);
            // A transaction that fails takes its connection with it; the next one is on a new connection.
            execute(&store, "INSERT INTO nowhere VALUES (1)").await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_damaged_database_is_found_by_a_check() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        let said: Vec<_> =
            (0..2000).map(|number| EventBody::PersonSaid { text: format!("message {number}") }).collect();
        store.append(&run(), AT, &[submitted()]).await.unwrap();
        store.append(&run(), AT, &said).await.unwrap();
        store.check().await.unwrap();
        store.close().await;

        let file = folder.path().join("nightshift.db");
        let mut bytes = std::fs::read(&file).unwrap();
        let half = bytes.len() / 2;
        bytes[half..half + 8192].fill(0x5a);
        std::fs::write(&file, bytes).unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        assert!(store.check().await.is_err());
    }
}
