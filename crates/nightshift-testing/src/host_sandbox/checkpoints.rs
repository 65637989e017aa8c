//! Checkpoints of sandboxes without a machine: copies of their folders. What runs in one ends with it.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use nightshift_protocol::{CheckpointId, SandboxId};
use nightshift_sandbox::{
    AfterSave, CheckpointError, CheckpointFacts, Checkpoints, Hold, Machine, RestoreRequest, SaveRequest,
    StartError,
};

use super::{HostDriver, copy};

/// The name under which a checkpoint's folder has that of its sandbox, which is in the file beside it.
const CONTENT: &str = "content";
const OF: &str = "sandbox";
/// The file with what the sandbox had written and in spite of what a person let it go on.
const ACCOUNT: &str = "account";

impl HostDriver {
    fn checkpoint_folder(&self, checkpoint: &CheckpointId) -> PathBuf {
        self.folder.with_extension("checkpoints").join(checkpoint.as_str())
    }

    fn facts(&self, checkpoint: &CheckpointId) -> Option<CheckpointFacts> {
        // It is written last.
        let of = std::fs::read_to_string(self.checkpoint_folder(checkpoint).join(OF)).ok()?;
        let sandbox: SandboxId = of.parse().ok()?;
        Some(CheckpointFacts {
            checkpoint: checkpoint.clone(),
            sandbox,
            changed_bytes: 0,
            written_bytes: 0,
            paused: Duration::ZERO,
            took: Duration::ZERO,
        })
    }
}

#[async_trait]
impl Checkpoints for HostDriver {
    async fn save(&self, request: SaveRequest) -> Result<CheckpointFacts, CheckpointError> {
        let SaveRequest { checkpoint, machine, then } = request;
        let began = Instant::now();
        if let Some(what) = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(CheckpointError::Refused { what });
        }
        let own = self.machine(machine.sandbox());
        let own = own.ok_or_else(|| CheckpointError::NotRunning { sandbox: machine.sandbox().clone() })?;
        let folder = self.checkpoint_folder(&checkpoint);
        let account = (own.written.load(Ordering::Relaxed), own.held().or(own.let_go()));
        copy(&own.folder, &folder.join(CONTENT))
            .and_then(|()| std::fs::write(folder.join(ACCOUNT), serde_json::to_vec(&account)?))
            .and_then(|()| std::fs::write(folder.join(OF), own.sandbox.as_str()))
            .map_err(|source| CheckpointError::Io {
                what: "copying a sandbox's folder".to_owned(),
                source,
            })?;
        if then == AfterSave::End {
            own.end();
        }
        let facts = self.facts(&checkpoint);
        let facts = facts.ok_or_else(|| CheckpointError::Refused { what: "it was removed".to_owned() })?;
        Ok(CheckpointFacts { took: began.elapsed(), ..facts })
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Arc<dyn Machine>, StartError> {
        self.require_room()?;
        let failed = |source| StartError::Io { what: "bringing a sandbox back".to_owned(), source };
        if self.facts(&request.checkpoint).is_none() {
            return Err(failed(io::ErrorKind::NotFound.into()));
        }
        let folder = self.folder.join(request.sandbox.as_str());
        copy(&self.checkpoint_folder(&request.checkpoint).join(CONTENT), &folder).map_err(failed)?;
        let account = std::fs::read(self.checkpoint_folder(&request.checkpoint).join(ACCOUNT));
        let read = account.and_then(|account| Ok(serde_json::from_slice(&account)?));
        let (written, let_go): (u64, Option<Hold>) = read.map_err(failed)?;
        let machine = self.start(&request.sandbox).map_err(failed)?;
        machine.has_written(written);
        *machine.let_go.lock().unwrap_or_else(PoisonError::into_inner) = let_go;
        Ok(machine)
    }

    async fn find_checkpoint(&self, checkpoint: &CheckpointId) -> Option<CheckpointFacts> {
        self.facts(checkpoint)
    }

    async fn copy(&self, from: &CheckpointId, to: &CheckpointId) -> io::Result<CheckpointFacts> {
        copy(&self.checkpoint_folder(from), &self.checkpoint_folder(to))?;
        self.facts(to).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    async fn list_checkpoints(&self) -> Vec<CheckpointId> {
        let entries = std::fs::read_dir(self.folder.with_extension("checkpoints")).into_iter().flatten();
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok()).collect()
    }

    async fn remove_checkpoint(&self, checkpoint: &CheckpointId) -> io::Result<()> {
        match std::fs::remove_dir_all(self.checkpoint_folder(checkpoint)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
