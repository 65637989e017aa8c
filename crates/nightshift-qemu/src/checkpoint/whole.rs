//! Saving a machine whose memory nobody may look into: QEMU writes all of it, while the guest stands still.
//!
//! A kernel may forbid a process to look into another's memory (`kernel.yama.ptrace_scope`, hidden processes, a security
//! module). Then a checkpoint costs all memory in use and the time to write it, and is as good as any other.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_protocol::CheckpointId;
use nightshift_sandbox::{AfterSave, CheckpointError, CheckpointFacts, CheckpointMemory};
use serde_json::json;

use super::layers::Disk;
use super::save::{ROOM, generation, go_on, goes_on, io_error, off_the_runtime, on_disk, refused};
use super::{CheckpointRecord, FORMAT, Staging, layer, share};
use crate::disk::{self, Account};
use crate::folder::{Purpose, name};
use crate::machine::QemuMachine;
use crate::prepare::require_room;
use crate::qmp::QmpError;

/// The capability to look into any process, by its number (capabilities(7), `CAP_SYS_PTRACE`).
const LOOK_INTO_ANY: u32 = 19;

pub(super) async fn save_standing(
    machine: &Arc<QemuMachine>,
    checkpoint: CheckpointId,
    then: AfterSave,
    checkpoints: &Path,
) -> Result<CheckpointFacts, CheckpointError> {
    let began = Instant::now();
    let Purpose::Work { hypervisor, below } = machine.record().purpose.clone() else {
        return Err(refused("it is being made into a template"));
    };
    let goes_on = goes_on(machine).await?;
    let generation = generation(machine).await?;
    let disk = Disk::of(machine, below).await?;
    let folder = machine.folder().path().to_owned();
    let memory = u64::from(machine.record().plan.size.memory_mib) << 20;
    let staging = off_the_runtime({
        let (folder, checkpoints, checkpoint) = (folder.clone(), checkpoints.to_owned(), checkpoint.clone());
        move || {
            require_room(&folder, memory + ROOM).map_err(|_| ErrorKind::StorageFull)?;
            Staging::create(&checkpoints, &checkpoint)
        }
    });
    let staging = staging.await.map_err(|source| on_disk(checkpoints, source))?;
    let empty_layer = disk.add(machine).await?;
    fs::write(machine.folder().join(name::CHECKPOINTING), "").map_err(|source| on_disk(&folder, source))?;
    let stood_still = Instant::now();
    let written = write(machine, &disk).await;
    if then == AfterSave::GoOn {
        go_on(machine, goes_on).await;
    }
    let paused = stood_still.elapsed();
    let outcome = match written {
        Ok(()) => {
            let record = CheckpointRecord {
                format: FORMAT,
                checkpoint,
                sandbox: machine.record().sandbox.clone(),
                hypervisor,
                plan: machine.record().plan.clone(),
                blocks: Vec::new(),
                layers: disk.layers(),
                pages: 0,
                whole: true,
                generation,
                paused,
                changed_bytes: memory,
                // What is written last tells these.
                state_bytes: 0,
                written_bytes: 0,
                took: Duration::ZERO,
                account: Account::default(),
            };
            let layers = disk.frozen(&folder);
            let published =
                off_the_runtime(move || publish(record, staging, &folder, &layers, empty_layer, began));
            published.await.map_err(|source| on_disk(checkpoints, source))
        }
        Err(error) => {
            disk.forget(machine).await;
            let _half = fs::remove_file(folder.join(name::DEVICES));
            Err(error)
        }
    };
    if then == AfterSave::End && outcome.is_err() {
        go_on(machine, goes_on).await;
    }
    outcome
}

async fn write(machine: &QemuMachine, disk: &Disk) -> Result<(), CheckpointError> {
    machine.execute("stop", json!({})).await?;
    disk.put_on(machine).await?;
    machine.save_whole(name::DEVICES).await.map_err(|error| match error {
        QmpError::Refused { description, .. } if description.contains("No space left") => {
            CheckpointError::DiskFull { folder: machine.folder().path().to_owned() }
        }
        error => io_error("the machine's memory could not be written", io::Error::other(error)),
    })
}

/// Brings everything that the checkpoint is made of together, and gives it its name.
fn publish(
    mut record: CheckpointRecord,
    staging: Staging,
    folder: &Path,
    layers: &[PathBuf],
    empty_layer: u64,
    began: Instant,
) -> io::Result<CheckpointFacts> {
    let state = staging.join(name::STATE);
    fs::rename(folder.join(name::DEVICES), &state)?;
    let file = File::open(&state)?;
    file.sync_all()?;
    record.state_bytes = file.metadata()?.len();
    for name in [name::MEMORY, name::KERNEL, name::INITRD] {
        share(&folder.join(name), &staging.join(name))?;
    }
    for (number, file) in layers.iter().enumerate() {
        share(file, &staging.join(&layer(number as u32)))?;
    }
    if let Some(written_to) = layers.last() {
        File::open(written_to)?.sync_all()?;
    }
    record.written_bytes = record.state_bytes + empty_layer;
    record.account = disk::to_take_along(folder)?;
    record.took = began.elapsed();
    staging.publish(&record)?;
    Ok(record.facts())
}

/// What checkpoints have of a machine's memory on a host whose kernel shows itself at `kernel`, as in `/proc`.
pub(crate) fn memory_of_checkpoints(kernel: &Path) -> CheckpointMemory {
    let read = |path: &str| fs::read_to_string(kernel.join(path)).unwrap_or_default();
    // Without the file there is no such rule (Documentation/admin-guide/LSM/Yama.rst in Linux's source).
    memory_under(read("sys/kernel/yama/ptrace_scope").trim(), &read("self/status"))
}

fn memory_under(ptrace_scope: &str, status: &str) -> CheckpointMemory {
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities = capabilities.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    let may_look_into_any = capabilities.is_some_and(|set| set >> LOOK_INTO_ANY & 1 == 1);
    match ptrace_scope {
        "2" if may_look_into_any => CheckpointMemory::Changes,
        "2" => CheckpointMemory::Whole {
            because: "kernel.yama.ptrace_scope is 2".to_owned(),
            remedy: Some(
                "`sudo sysctl kernel.yama.ptrace_scope=1` lets the owner see what changed.".to_owned(),
            ),
        },
        "3" => CheckpointMemory::Whole {
            because: "kernel.yama.ptrace_scope is 3, until this machine restarts".to_owned(),
            remedy: Some("Set it to 0 or 1 in /etc/sysctl.d and restart.".to_owned()),
        },
        _ => CheckpointMemory::Changes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn because(ptrace_scope: &str, status: &str) -> Option<String> {
        match memory_under(ptrace_scope, status) {
            CheckpointMemory::Changes => None,
            CheckpointMemory::Whole { because, .. } => Some(because),
        }
    }

    #[test]
    fn what_forbids_to_look_into_a_machine_is_named_and_what_does_not_is_not() {
        let (user, administrator) = ("Name:\tx\nCapEff:\t0000000000000000\n", "CapEff:\t000001ffffffffff\n");
        let two = Some("kernel.yama.ptrace_scope is 2".to_owned());
        let three = Some("kernel.yama.ptrace_scope is 3, until this machine restarts".to_owned());
        assert_eq!(
            ["", "0", "1", "2", "3"].map(|scope| because(scope, user)),
            [None, None, None, two, three.clone()]
        );
        assert_eq!(["2", "3"].map(|scope| because(scope, administrator)), [None, three]);
    }

    #[test]
    fn a_host_is_looked_at_where_its_kernel_shows_itself() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(memory_of_checkpoints(folder.path()), CheckpointMemory::Changes);
        fs::create_dir_all(folder.path().join("sys/kernel/yama")).unwrap();
        fs::write(folder.path().join("sys/kernel/yama/ptrace_scope"), "3\n").unwrap();
        assert!(matches!(memory_of_checkpoints(folder.path()), CheckpointMemory::Whole { .. }));
    }
}
