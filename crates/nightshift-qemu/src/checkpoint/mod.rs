//! Checkpoints on disk.
//!
//! ```text
//!   checkpoints/checkpoint-…/
//!     memory  kernel  initrd      the template's and the image's, by hard link
//!     layer-0.qcow2 … layer-N     the disk, the lowest first: image, template, what was written since
//!     pages-0 … pages-M           the memory that is not as the template has it, and the state of the devices
//!     state                       instead of pages where QEMU's memory cannot be looked into: devices and all of the memory
//!     checkpoint.json             what it is; written last
//! ```
//!
//! Everything a checkpoint shares with others, with its machine or with the template is a hard link, so each stands
//! on its own and the file system counts who still needs what. A checkpoint is made in a folder beside its place and
//! gets its name by one rename.

mod layers;
mod memory;
mod pages;
mod restore;
mod save;
mod stream;
mod template;
mod whole;

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_protocol::{CheckpointId, SandboxId};
use nightshift_sandbox::CheckpointFacts;
use serde::{Deserialize, Serialize};

pub(crate) use memory::Access;
use memory::RamBlock;
pub(crate) use restore::{Guest, Load, LoadError, load_into, missing, prepare, take_mark};
pub(crate) use save::{How, live_memory, save};
pub(crate) use template::{freeze, load_template};
pub(crate) use whole::memory_of_checkpoints;

use crate::command_line::MachinePlan;
use crate::disk::Account;
use crate::folder::remove_folder;

/// The version of what a checkpoint's folder holds.
const FORMAT: u32 = 1;
pub(crate) const RECORD: &str = "checkpoint.json";
const PARTIAL: &str = ".partial";
/// Pages behind those of the memory that hold the state of the devices: 64 MiB, of which some 5 are used.
const STATE_PAGES: u32 = 16_384;

/// What a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CheckpointRecord {
    format: u32,
    checkpoint: CheckpointId,
    sandbox: SandboxId,
    /// QEMU and its version, as it says it: another QEMU may not understand the state.
    pub(crate) hypervisor: String,
    pub(crate) plan: MachinePlan,
    blocks: Vec<RamBlock>,
    /// How many layers the disk has.
    layers: u32,
    /// How many files of pages there are.
    pages: u32,
    /// The length of the state of the devices, or of devices and memory, in bytes.
    state_bytes: u64,
    /// Whether it is that of devices and memory, in a file of its own; then there are no pages.
    #[serde(default)]
    whole: bool,
    /// The machine's generation id, a UUID.
    #[serde(with = "uuid")]
    generation: u128,
    changed_bytes: u64,
    written_bytes: u64,
    paused: Duration,
    took: Duration,
    /// How much the sandbox had written to the disk of its host, and was allowed to.
    #[serde(default)]
    account: Account,
}

impl CheckpointRecord {
    fn memory_pages(&self) -> u32 {
        self.blocks.iter().map(|block| block.pages).sum()
    }

    fn facts(&self) -> CheckpointFacts {
        CheckpointFacts {
            checkpoint: self.checkpoint.clone(),
            sandbox: self.sandbox.clone(),
            changed_bytes: self.changed_bytes,
            written_bytes: self.written_bytes,
            paused: self.paused,
            took: self.took,
        }
    }
}

/// A UUID in JSON: a number of that size is not safe there.
mod uuid {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(uuid: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{uuid:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

/// The name of a layer of the disk, the lowest being 0.
pub(crate) fn layer(number: u32) -> String {
    format!("layer-{number}.qcow2")
}

/// The name of a file of pages, the oldest being 0.
pub(crate) fn pages(number: u32) -> String {
    format!("pages-{number}")
}

/// The folder with all checkpoints of the machines in `sandboxes`: beside it, because hard links do not reach to
/// another file system.
pub(crate) fn place(sandboxes: &Path) -> PathBuf {
    sandboxes.with_file_name("checkpoints")
}

/// Returns what a checkpoint is, if it is there and whole.
pub(crate) fn load(checkpoints: &Path, checkpoint: &CheckpointId) -> Option<CheckpointRecord> {
    let text = fs::read(checkpoints.join(checkpoint.as_str()).join(RECORD)).ok()?;
    let record: CheckpointRecord = serde_json::from_slice(&text).ok()?;
    (record.format == FORMAT && record.checkpoint == *checkpoint).then_some(record)
}

/// What is known of a checkpoint that is there and whole.
pub(crate) fn facts(checkpoints: &Path, checkpoint: &CheckpointId) -> Option<CheckpointFacts> {
    load(checkpoints, checkpoint).map(|record| record.facts())
}

/// The checkpoints that are there, whole or not.
pub(crate) fn list(checkpoints: &Path) -> Vec<CheckpointId> {
    let entries = fs::read_dir(checkpoints).into_iter().flatten().flatten();
    let mut list: Vec<CheckpointId> = entries
        .filter_map(|entry| entry.file_name().to_str()?.trim_end_matches(PARTIAL).parse().ok())
        .collect();
    list.sort();
    list.dedup();
    list
}

/// Makes another checkpoint of all that one has.
pub(crate) fn copy(
    checkpoints: &Path,
    from: &CheckpointId,
    to: &CheckpointId,
) -> io::Result<CheckpointFacts> {
    let mut record = load(checkpoints, from).ok_or(io::ErrorKind::NotFound)?;
    record.checkpoint = to.clone();
    let staging = Staging::create(checkpoints, to)?;
    for entry in fs::read_dir(checkpoints.join(from.as_str()))? {
        let entry = entry?;
        if entry.file_name() != RECORD {
            share(&entry.path(), &staging.folder.join(entry.file_name()))?;
        }
    }
    staging.publish(&record)?;
    Ok(record.facts())
}

/// Removes a checkpoint, whole or not.
pub(crate) fn remove(checkpoints: &Path, checkpoint: &CheckpointId) -> io::Result<()> {
    let folder = checkpoints.join(checkpoint.as_str());
    // The record first: what is removed by half must not be taken for whole.
    match fs::remove_file(folder.join(RECORD)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    remove_folder(&folder)?;
    remove_folder(&staging(checkpoints, checkpoint))
}

fn staging(checkpoints: &Path, checkpoint: &CheckpointId) -> PathBuf {
    checkpoints.join(format!("{checkpoint}{PARTIAL}"))
}

/// A checkpoint in the making; dropped before it is published, it is removed.
#[derive(Debug)]
struct Staging {
    folder: PathBuf,
    place: PathBuf,
}

impl Staging {
    /// Makes its folder; what an owner that died left of the same checkpoint is removed.
    fn create(checkpoints: &Path, checkpoint: &CheckpointId) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(checkpoints)?;
        remove(checkpoints, checkpoint)?;
        let folder = staging(checkpoints, checkpoint);
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self { folder, place: checkpoints.join(checkpoint.as_str()) })
    }

    fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes what it is, and gives it its name.
    fn publish(self, record: &CheckpointRecord) -> io::Result<()> {
        let path = self.join(RECORD);
        fs::write(&path, serde_json::to_vec_pretty(record)?)?;
        File::open(&path)?.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        fs::rename(&self.folder, &self.place)?;
        self.place.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After it was published there is none.
        if let Err(error) = remove_folder(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a half made checkpoint could not be removed");
        }
    }
}

/// Makes `link` another name of the file that `target` leads to. On another file system it can only lead there.
fn share(target: &Path, link: &Path) -> io::Result<()> {
    let target = target.canonicalize()?;
    match fs::hard_link(&target, link) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            std::os::unix::fs::symlink(target, link)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(letter: char) -> CheckpointId {
        format!("checkpoint-{}", String::from(letter).repeat(10)).parse().unwrap()
    }

    #[test]
    fn a_half_made_checkpoint_is_listed_but_not_found_and_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let checkpoints = folder.path().join("checkpoints");
        let staging = Staging::create(&checkpoints, &id('a')).unwrap();
        // An owner that dies runs no destructor.
        std::mem::forget(staging);
        assert_eq!((list(&checkpoints), facts(&checkpoints, &id('a'))), (vec![id('a')], None));
        remove(&checkpoints, &id('a')).unwrap();
        remove(&checkpoints, &id('a')).unwrap();
        assert_eq!(list(&checkpoints), []);
    }

    #[test]
    fn a_shared_file_is_there_as_long_as_one_of_its_names_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "content").unwrap();
        std::os::unix::fs::symlink(path("file"), path("symbolic")).unwrap();
        share(&path("symbolic"), &path("shared")).unwrap();
        fs::remove_file(path("file")).unwrap();
        assert_eq!(fs::read_to_string(path("shared")).unwrap(), "content");
    }
}
