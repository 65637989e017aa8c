//! Checkpoints: a machine's memory in a file of its host, and the layers of its disk that are frozen with it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::CheckpointId;
use nightshift_sandbox::{
    AfterSave, CheckpointError, CheckpointFacts, Checkpoints, Machine, MachineEvent, Remedy, RestoreRequest,
    SaveRequest, StartError,
};

use crate::connection::Guest;
use crate::driver::LibvirtDriver;
use crate::machine::forget;
use crate::records::{Kind, SavedRecord};
use crate::trouble::HostError;

fn facts(checkpoint: &CheckpointId, saved: &SavedRecord) -> CheckpointFacts {
    CheckpointFacts {
        checkpoint: checkpoint.clone(),
        sandbox: saved.sandbox.clone(),
        // libvirt saves all memory that is in use, whatever was changed.
        changed_bytes: saved.written_bytes,
        written_bytes: saved.written_bytes,
        paused: Duration::from_millis(saved.paused_ms),
        took: Duration::from_millis(saved.took_ms),
    }
}

fn refused(error: HostError) -> CheckpointError {
    match error {
        HostError::DiskFull { host } => CheckpointError::DiskFull { folder: format!("{host}:").into() },
        error => CheckpointError::Refused { what: error.to_string() },
    }
}

impl LibvirtDriver {
    fn saved(&self, checkpoint: &CheckpointId) -> Option<SavedRecord> {
        self.records.read(Kind::Checkpoints, checkpoint.as_str())
    }
}

#[async_trait]
impl Checkpoints for LibvirtDriver {
    async fn save(&self, request: SaveRequest) -> Result<CheckpointFacts, CheckpointError> {
        let SaveRequest { checkpoint, machine, then } = request;
        let sandbox = machine.sandbox().clone();
        let own = self.own(&machine).await.ok_or(CheckpointError::NotRunning { sandbox })?;
        own.apply(MachineEvent::CheckpointRequested { then })?;
        let guest = match then {
            AfterSave::GoOn => Guest::GoesOn,
            // Nothing may happen in it after the moment that is saved.
            AfterSave::End => Guest::StandsStill,
        };
        let memory = format!("{checkpoint}.memory");
        let saved = match self.save_memory(&own, &memory, guest).await {
            Ok(saved) => {
                self.records.write(Kind::Checkpoints, checkpoint.as_str(), &saved).map(|()| saved).map_err(
                    |source| CheckpointError::Io { what: "the checkpoint's record".to_owned(), source },
                )
            }
            Err(error) => Err(refused(error)),
        };
        let event = match &saved {
            Ok(_) => MachineEvent::StateSaved,
            Err(error) => MachineEvent::SaveFailed { what: error.to_string() },
        };
        // What is observed is never denied.
        let _ = own.apply(event);
        let saved = saved?;
        if then == AfterSave::End {
            own.remove().await.map_err(refused)?;
        }
        Ok(facts(&checkpoint, &saved))
    }

    async fn restore(&self, request: RestoreRequest) -> Result<Arc<dyn Machine>, StartError> {
        // libvirt has no way to tell the kernel that it is another; whoever restores gives it fresh randomness.
        let RestoreRequest { sandbox, checkpoint, generation: _ } = request;
        let saved = self.saved(&checkpoint).ok_or_else(|| StartError::Unsuitable {
            what: format!("the checkpoint {checkpoint} is missing or damaged"),
            remedy: Remedy("Go back to another one, or submit the task again.".to_owned()),
        })?;
        let slot = self.slot(&sandbox);
        let mut slot = slot.lock().await;
        let _placing = self.placing.lock().await;
        let host = self.require_room(&saved).await?;
        let made = self.bring_back(&host, &sandbox, saved).await;
        self.settle(&mut slot, &host, sandbox, made).await
    }

    async fn find_checkpoint(&self, checkpoint: &CheckpointId) -> Option<CheckpointFacts> {
        self.saved(checkpoint).map(|saved| facts(checkpoint, &saved))
    }

    async fn copy(&self, from: &CheckpointId, to: &CheckpointId) -> io::Result<CheckpointFacts> {
        let saved = self.saved(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        // Both name the same volumes, which stay until neither does.
        self.records.write(Kind::Checkpoints, to.as_str(), &saved)?;
        Ok(facts(to, &saved))
    }

    async fn list_checkpoints(&self) -> Vec<CheckpointId> {
        let names = self.records.names(Kind::Checkpoints);
        names.iter().filter_map(|name| name.parse().ok()).collect()
    }

    async fn remove_checkpoint(&self, checkpoint: &CheckpointId) -> io::Result<()> {
        let Some(saved) = self.saved(checkpoint) else { return Ok(()) };
        let host = Arc::clone(self.host(&saved.host).map_err(io::Error::other)?);
        let removed = forget(&host, &self.records, Kind::Checkpoints, checkpoint.as_str(), &saved).await;
        removed.map_err(io::Error::other)
    }
}
