//! Saving a machine that goes on.
//!
//! Most of the memory is copied while the guest runs. Then it stands still, for as long as it takes to find and copy
//! what changed meanwhile, to save the devices, and to put a new layer on the disk; and then it goes on, while what
//! was copied is written to the disk and the checkpoint gets its name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_protocol::CheckpointId;
use nightshift_sandbox::{AfterSave, CheckpointError, CheckpointFacts, MachineEvent};
use serde_json::json;

use super::layers::Disk;
use super::memory::{Access, LiveMemory, RamBlock, parse_blocks};
use super::pages::{LONGEST_RUN, MemoryImage, PAGE, PagesWriter, Run};
use super::{CheckpointRecord, FORMAT, STATE_PAGES, Staging, layer, pages, share, stream, whole};
use crate::disk::{self, Account};
use crate::folder::{Purpose, name};
use crate::machine::QemuMachine;
use crate::qmp::QmpError;

/// Copying goes on while the guest runs as long as this many pages were news: less is quicker copied than looked for.
const WORTH_ANOTHER_PASS: usize = 4096;
/// A guest that writes faster than is copied is not run after for ever.
const MOST_PASSES: usize = 3;
/// Files of pages on top of one another. Then all is written once more, so that looking something up stays quick and
/// what nobody needs any more can go.
const DEEPEST: usize = 16;
/// Room on the disk that must be there beside the memory to be copied.
pub(super) const ROOM: u64 = 64 << 20;

/// What was saved while the guest stood still.
struct Still {
    writer: PagesWriter,
    devices: Vec<u8>,
}

/// How a machine's memory is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How<'a> {
    /// By looking into it while it runs: what changed since the checkpoint before. `kernel` is where the kernel shows
    /// processes, as in `/proc`.
    Changes { kernel: &'a Path },
    /// By QEMU: all of it, while the guest stands still.
    Whole,
}

/// Saves `machine`. Once begun it should be carried through: dropped in the middle it may leave the guest standing.
pub(crate) async fn save(
    machine: Arc<QemuMachine>,
    checkpoint: CheckpointId,
    then: AfterSave,
    checkpoints: PathBuf,
    how: How<'_>,
) -> Result<CheckpointFacts, CheckpointError> {
    machine.apply(MachineEvent::CheckpointRequested { then })?;
    let saved = match how {
        How::Changes { kernel } => save_running(&machine, checkpoint, then, &checkpoints, kernel).await,
        How::Whole => whole::save_standing(&machine, checkpoint, then, &checkpoints).await,
    };
    match &saved {
        Ok(_) => machine.observe(MachineEvent::StateSaved),
        Err(error) => machine.observe(MachineEvent::SaveFailed { what: error.to_string() }),
    }
    if saved.is_ok() && then == AfterSave::End {
        machine.end().await;
        machine
            .remove()
            .map_err(|source| io_error("what a suspended machine left could not be removed", source))?;
    }
    saved
}

async fn save_running(
    machine: &Arc<QemuMachine>,
    checkpoint: CheckpointId,
    then: AfterSave,
    checkpoints: &Path,
    kernel: &Path,
) -> Result<CheckpointFacts, CheckpointError> {
    let began = Instant::now();
    let Purpose::Work { hypervisor, below } = machine.record().purpose.clone() else {
        return Err(refused("it is being made into a template"));
    };
    let goes_on = goes_on(machine).await?;
    let (memory, blocks) = live_memory(machine, kernel, Access::Read).await?;
    let generation = generation(machine).await?;
    let disk = Disk::of(machine, below).await?;
    let folder = machine.folder().path().to_owned();
    let (writer, staging) = off_the_runtime({
        let (checkpoints, checkpoint, folder) = (checkpoints.to_owned(), checkpoint.clone(), folder.clone());
        let memory = Arc::clone(&memory);
        move || {
            let staging = Staging::create(&checkpoints, &checkpoint)?;
            let writer = begin(&memory, &folder, &staging)?;
            Ok((writer, staging))
        }
    })
    .await
    .map_err(|source| on_disk(checkpoints, source))?;

    let empty_layer = disk.add(machine).await?;
    fs::write(machine.folder().join(name::CHECKPOINTING), "").map_err(|source| on_disk(&folder, source))?;
    let stood_still = Instant::now();
    let still = stand_still(machine, writer, Arc::clone(&memory), &disk).await;
    if then == AfterSave::GoOn {
        go_on(machine, goes_on).await;
    }
    let paused = stood_still.elapsed();
    let outcome = match still {
        Ok(still) => {
            let record = CheckpointRecord {
                format: FORMAT,
                checkpoint,
                sandbox: machine.record().sandbox.clone(),
                hypervisor,
                plan: machine.record().plan.clone(),
                blocks,
                layers: disk.layers(),
                generation,
                paused,
                whole: false,
                // What is written last tells these.
                pages: 0,
                state_bytes: 0,
                changed_bytes: 0,
                written_bytes: 0,
                took: Duration::ZERO,
                account: Account::default(),
            };
            let layers = disk.frozen(&folder);
            let published = off_the_runtime(move || {
                publish(record, staging, still, &folder, &layers, empty_layer, began)
            });
            published.await.map_err(|source| on_disk(checkpoints, source))
        }
        Err(error) => {
            disk.forget(machine).await;
            Err(error)
        }
    };
    if then == AfterSave::End && outcome.is_err() {
        go_on(machine, goes_on).await;
    }
    outcome
}

/// Whether the guest runs, and is to run on afterwards. Somebody may have made it stand still before; then it goes on
/// standing.
pub(super) async fn goes_on(machine: &QemuMachine) -> Result<bool, CheckpointError> {
    let _turn = machine.lock_standing().await;
    let status = machine.execute("query-status", json!({})).await?["status"].clone();
    match status.as_str() {
        Some("running") => Ok(true),
        // After all of it was saved by QEMU it is the one, otherwise the other.
        Some("postmigrate" | "paused") => Ok(false),
        Some("io-error") => Err(CheckpointError::DiskFull { folder: machine.folder().path().to_owned() }),
        _ => Err(refused(format!("the guest is not running but {status}"))),
    }
}

/// What happens while the guest does nothing.
async fn stand_still(
    machine: &Arc<QemuMachine>,
    mut writer: PagesWriter,
    memory: Arc<LiveMemory>,
    disk: &Disk,
) -> Result<Still, CheckpointError> {
    machine.execute("stop", json!({})).await?;
    let live = machine.record().sandbox.clone();
    let place = machine.folder().join(name::DEVICES);
    machine.execute("xen-save-devices-state", json!({ "filename": name::DEVICES, "live": false })).await?;
    let read = place.clone();
    let (writer, devices) = off_the_runtime(move || {
        let news = memory.save(&mut writer)?;
        tracing::debug!(sandbox = %live, news, "pages copied while the guest stood still");
        let devices = fs::read(&read)?;
        fs::remove_file(&read)?;
        Ok((writer, devices))
    })
    .await
    .map_err(|source| on_disk(&place, source))?;
    disk.put_on(machine).await?;
    Ok(Still { writer, devices })
}

/// Lets the guest go on, if it is to.
pub(super) async fn go_on(machine: &QemuMachine, goes_on: bool) {
    // Somebody may have made it stand still meanwhile, but not from here on.
    let _turn = machine.lock_standing().await;
    let goes_on = goes_on && machine.held().is_none();
    if goes_on && let Err(error) = machine.execute("cont", json!({})).await {
        // It has ended, or will be found standing with the mark below, and be let go on then.
        tracing::warn!(sandbox = %machine.record().sandbox, %error, "the guest could not be let go on");
        return;
    }
    let _gone = fs::remove_file(machine.folder().join(name::CHECKPOINTING));
}

/// Opens the memory of a running machine. `kernel` is where the kernel shows processes, as in `/proc`.
pub(crate) async fn live_memory(
    machine: &QemuMachine,
    kernel: &Path,
    access: Access,
) -> Result<(Arc<LiveMemory>, Vec<RamBlock>), CheckpointError> {
    let answer = machine.execute("human-monitor-command", json!({ "command-line": "info ramblock" })).await?;
    let bytes = u64::from(machine.record().plan.size.memory_mib) << 20;
    let found = parse_blocks(answer.as_str().unwrap_or_default(), bytes)
        .map_err(|what| CheckpointError::Unsupported { what })?;
    let blocks = found.iter().map(|(block, _)| block.clone()).collect();
    // The number is the process's own and not the one in the folder, which QEMU may write.
    let opened = LiveMemory::open(kernel, machine.process().id(), access, found).and_then(|memory| {
        if machine.process().is_there() { Ok(memory) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    });
    let memory = opened.map_err(|source| match source.kind() {
        // Where processes are hidden (`hidepid`, proc(5)) there is none.
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => CheckpointError::Unsupported {
            what: "the kernel lets no process look into another's memory; `sysctl kernel.yama.ptrace_scope` says \
                   so with 2 or 3, 0 or 1 will do"
                .to_owned(),
        },
        _ => io_error("the machine's memory could not be opened", source),
    })?;
    Ok((Arc::new(memory), blocks))
}

/// Copies most of the memory while the guest runs.
fn begin(memory: &LiveMemory, folder: &Path, staging: &Staging) -> io::Result<PagesWriter> {
    let earlier = page_files(folder);
    let all = memory.pages() + STATE_PAGES;
    let mut image = MemoryImage::unknown(all);
    if earlier.len() < DEEPEST {
        for name in &earlier {
            share(&folder.join(name), &staging.join(name))?;
        }
        let paths: Vec<PathBuf> = earlier.iter().map(|name| staging.join(name)).collect();
        image = MemoryImage::open(&paths, all)?;
    }
    let number = image.depth() as u32;
    let mut writer = PagesWriter::create(image, &staging.join(&pages(number)))?;
    for _ in 0..MOST_PASSES {
        crate::prepare::require_room(&staging.folder, ROOM).map_err(|_| io::ErrorKind::StorageFull)?;
        if memory.save(&mut writer)? < WORTH_ANOTHER_PASS {
            break;
        }
    }
    Ok(writer)
}

/// Writes everything that the checkpoint is made of, and gives it its name.
fn publish(
    mut record: CheckpointRecord,
    staging: Staging,
    still: Still,
    folder: &Path,
    layers: &[PathBuf],
    empty_layer: u64,
    began: Instant,
) -> io::Result<CheckpointFacts> {
    let Still { mut writer, devices } = still;
    let state = stream::incoming(&devices, &stream::machine_type(&beginning(&folder.join(name::STATE))?)?)?;
    record.state_bytes = state.len() as u64;
    save_state(&mut writer, state, record.memory_pages())?;
    let newest = writer.image().depth() as u32 - 1;
    let saved = writer.finish()?;
    for name in [name::MEMORY, name::KERNEL, name::INITRD] {
        share(&folder.join(name), &staging.join(name))?;
    }
    for (number, file) in layers.iter().enumerate() {
        share(file, &staging.join(&layer(number as u32)))?;
    }
    if let Some(written_to) = layers.last() {
        File::open(written_to)?.sync_all()?;
    }
    record.pages = newest + 1;
    let of_memory = saved.pages.iter().filter(|page| **page < record.memory_pages()).count();
    record.changed_bytes = (of_memory * PAGE) as u64;
    record.written_bytes = saved.bytes + empty_layer;
    record.account = disk::to_take_along(folder)?;
    record.took = began.elapsed();
    let place = staging.place.join(pages(newest));
    staging.publish(&record)?;
    if newest == 0 {
        for earlier in page_files(folder) {
            fs::remove_file(folder.join(earlier))?;
        }
    }
    // The next checkpoint has only what changes from here on.
    share(&place, &folder.join(pages(newest)))?;
    Ok(record.facts())
}

/// What a state begins with. Of a machine that was saved whole all the rest is its memory.
fn beginning(state: &Path) -> io::Result<Vec<u8>> {
    let mut beginning = Vec::new();
    File::open(state)?.take(4_096).read_to_end(&mut beginning)?;
    Ok(beginning)
}

/// Saves the state of the devices as if it were memory behind the machine's own: most of it is pictures of the
/// screen, and those mostly stay.
fn save_state(writer: &mut PagesWriter, mut state: Vec<u8>, first: u32) -> io::Result<()> {
    if state.len() > STATE_PAGES as usize * PAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the state of the devices is too large"));
    }
    state.resize(state.len().next_multiple_of(PAGE), 0);
    for (number, content) in state.chunks(LONGEST_RUN * PAGE).enumerate() {
        let run = Run { first: first + (number * LONGEST_RUN) as u32, count: content.len() / PAGE };
        writer.take(run, content)?;
    }
    Ok(())
}

/// The names of the files of pages in a folder, the oldest first.
fn page_files(folder: &Path) -> Vec<String> {
    (0..).map(pages).take_while(|name| folder.join(name).exists()).collect()
}

/// The machine's generation id as a number.
pub(super) async fn generation(machine: &QemuMachine) -> Result<u128, CheckpointError> {
    let answer = machine.execute("query-vm-generation-id", json!({})).await?;
    let digits = answer["guid"].as_str().unwrap_or_default().replace('-', "");
    let number = Some(digits).filter(|digits| digits.len() == 32);
    number
        .and_then(|digits| u128::from_str_radix(&digits, 16).ok())
        .ok_or_else(|| refused("QEMU does not tell the machine's generation"))
}

impl QemuMachine {
    /// Executes a command, with the errors that saving has.
    pub(super) async fn execute(
        &self,
        command: &str,
        arguments: serde_json::Value,
    ) -> Result<serde_json::Value, CheckpointError> {
        self.qmp().execute(command, arguments).await.map_err(|error| match error {
            QmpError::Refused { description, .. } if description.contains("No space left") => {
                CheckpointError::DiskFull { folder: self.folder().path().to_owned() }
            }
            error => refused(error.to_string()),
        })
    }
}

pub(super) fn refused(what: impl Into<String>) -> CheckpointError {
    CheckpointError::Refused { what: what.into() }
}

pub(super) fn io_error(what: &str, source: io::Error) -> CheckpointError {
    CheckpointError::Io { what: what.to_owned(), source }
}

pub(super) fn on_disk(place: &Path, source: io::Error) -> CheckpointError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            CheckpointError::DiskFull { folder: place.to_owned() }
        }
        _ => io_error("the checkpoint could not be written", source),
    }
}

pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
