//! Bringing a machine back: a new QEMU with the template's memory, into which what the checkpoint has is put before
//! the guest does anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{CheckpointError, Generation, Remedy, StartError};
use serde_json::json;

use super::memory::{Access, RamBlock};
use super::pages::{MemoryImage, PAGE, Run};
use super::save::live_memory;
use super::{CheckpointRecord, STATE_PAGES, layer, pages, share};
use crate::command_line::Start;
use crate::folder::{Purpose, Record, name};
use crate::machine::QemuMachine;
use crate::prepare::{Prepared, folder, require_room, unwritable};
use crate::qmp::QmpError;
use crate::{failure, qcow2};

/// Room on the disk that a machine needs to be worth bringing back.
const ROOM: u64 = 64 << 20;

/// What has to be put into a machine before its guest may do anything.
#[derive(Debug)]
pub(crate) struct Load {
    blocks: Vec<RamBlock>,
    /// What its memory comes to hold; `None` where that is in the state that QEMU reads.
    image: Option<MemoryImage>,
    guest: Guest,
}

/// What the guest does once its machine is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    /// It goes on.
    GoesOn,
    /// It stands still, to be looked at.
    StandsStill,
}

/// Why nothing could be put into a machine.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// QEMU did not do what it was told.
    Qemu(QmpError),
    /// Anything else.
    Other(StartError),
}

impl From<QmpError> for LoadError {
    fn from(error: QmpError) -> Self {
        Self::Qemu(error)
    }
}

/// Makes the files of a machine that is to be as it was at the checkpoint in the folder `source`.
pub(crate) fn prepare(
    sandbox: SandboxId,
    source: &Path,
    record: CheckpointRecord,
    generation: Generation,
    guest: Guest,
    sandboxes: &Path,
) -> Result<(Prepared, Start), StartError> {
    require_room(sandboxes, ROOM)?;
    let below: Vec<PathBuf> = (0..record.layers).map(|number| PathBuf::from(layer(number))).collect();
    let purpose = Purpose::Work { hypervisor: record.hypervisor.clone(), below: below.clone() };
    let mut prepared = folder(sandboxes, Record { sandbox, plan: record.plan.clone(), purpose })?;
    let mut shared: Vec<String> = [name::MEMORY, name::KERNEL, name::INITRD].map(str::to_owned).into();
    if record.whole {
        shared.push(name::STATE.to_owned());
    }
    let page_files: Vec<String> = (0..record.pages).map(pages).collect();
    for name in shared.into_iter().chain(page_files.clone()).chain((0..record.layers).map(layer)) {
        let place = prepared.folder.join(&name);
        share(&source.join(&name), &place).map_err(|source| unwritable(&place, source))?;
    }
    let files: Vec<PathBuf> = page_files.iter().map(|name| prepared.folder.join(name)).collect();
    let mut image = None;
    if !record.whole {
        let written = write_state(&prepared, &files, &record);
        image = Some(written.map_err(|error| unwritable(&prepared.folder.join(name::STATE), error))?);
    }
    if let Some(top) = below.last() {
        let unusable = |source| {
            failure::io("the checkpoint's disk cannot be used", &prepared.folder.join(name::DISK), source)
        };
        let size = qcow2::disk_size(&prepared.folder.path().join(top)).map_err(unusable)?;
        let disk = qcow2::overlay(top, size).map_err(|error| unusable(io::Error::other(error)))?;
        prepared.folder.write(name::DISK, &disk).map_err(unusable)?;
    }
    if !record.account.is_empty() {
        let written = record.account.to_file().and_then(|text| prepared.folder.write(name::ACCOUNT, &text));
        written.map_err(|error| unwritable(&prepared.folder.join(name::ACCOUNT), error))?;
    }
    prepared.load = Some(Load { blocks: record.blocks, image, guest });
    let generation = match generation {
        Generation::Kept => Some(record.generation),
        Generation::Fresh => None,
    };
    Ok((prepared, Start::Resume { layers: record.layers, generation }))
}

/// Writes the state of the devices, which is saved as if it were memory, and returns all that was saved.
fn write_state(prepared: &Prepared, files: &[PathBuf], record: &CheckpointRecord) -> io::Result<MemoryImage> {
    let first = record.memory_pages();
    let image = MemoryImage::open(files, first + STATE_PAGES)?;
    let count = usize::try_from(record.state_bytes).map_err(io::Error::other)?.div_ceil(PAGE);
    if count > STATE_PAGES as usize {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the checkpoint is damaged"));
    }
    let mut state = vec![0; count * PAGE];
    image.read(Run { first, count }, &mut state)?;
    state.truncate(record.state_bytes as usize);
    prepared.folder.write(name::STATE, &state)?;
    Ok(image)
}

/// Puts memory and devices into a machine, and lets its guest go on.
pub(crate) async fn load_into(machine: &QemuMachine, load: Load) -> Result<(), LoadError> {
    let Load { blocks, image, guest } = load;
    if let Some(image) = image {
        load_memory(machine, blocks, image).await?;
    }
    machine.load_devices().await?;
    match guest {
        Guest::GoesOn => machine.qmp().execute("cont", json!({})).await.map(drop)?,
        Guest::StandsStill => {}
    }
    Ok(())
}

/// Puts what was saved into the memory of a machine.
async fn load_memory(
    machine: &QemuMachine,
    blocks: Vec<RamBlock>,
    image: MemoryImage,
) -> Result<(), LoadError> {
    let opened = live_memory(machine, Path::new("/proc"), Access::Write).await;
    let (memory, found) = opened.map_err(|error| LoadError::Other(from_saving(error)))?;
    if found != blocks {
        return Err(LoadError::Other(StartError::Refused {
            what: "QEMU has other memory than the machine that was saved".to_owned(),
        }));
    }
    let loading = tokio::task::spawn_blocking(move || memory.load(&image));
    let loaded = loading.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    loaded.map_err(|source| {
        LoadError::Other(StartError::Io {
            what: "the checkpoint's memory could not be put back".to_owned(),
            source,
        })
    })
}

fn from_saving(error: CheckpointError) -> StartError {
    match error {
        CheckpointError::Unsupported { what } => StartError::Unsuitable {
            what: "this host does not let a machine be brought back".to_owned(),
            remedy: Remedy(what),
        },
        error => StartError::Refused { what: error.to_string() },
    }
}

/// The error for a checkpoint that is not there.
pub(crate) fn missing(checkpoint: &nightshift_protocol::CheckpointId) -> StartError {
    StartError::Unsuitable {
        what: format!("{checkpoint} is missing or damaged"),
        remedy: Remedy("Take another one: `nightshift checkpoint list` shows what is there.".to_owned()),
    }
}

/// Removes the mark of a checkpoint in the making; tells whether there was one.
pub(crate) fn take_mark(folder: &Path) -> bool {
    let mark = folder.join(name::CHECKPOINTING);
    let _devices_of_a_checkpoint_that_came_to_nothing = fs::remove_file(folder.join(name::DEVICES));
    fs::remove_file(mark).is_ok()
}
