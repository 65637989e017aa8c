//! The layers of a running machine's disk: a checkpoint freezes the top one and puts another on it.
//!
//! ```text
//!   image, template, environment │ layer-4 … layer-N   disk   disk-1 … │ disk-M    written to now
//!      below, kept as they are   │ merged into the top one when there  │
//!                                │ are many: copied, never changed     │
//! ```
//!
//! Merging copies what the layers between have into the top one, while the guest runs, and leaves them out from then on.
//! The files of the layers are not changed: checkpoints that share them by hard links keep them.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightshift_sandbox::CheckpointError;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::layer;
use super::pages::PAGE;
use super::save::{on_disk, refused};
use crate::folder::name;
use crate::machine::QemuMachine;
use crate::qcow2;
use crate::qmp::{Qmp, QmpError};

/// Layers of a disk above which those in the middle are merged; each costs QEMU a file, tables in memory and time to
/// look something up.
const MANY_LAYERS: usize = 48;
/// Layers above which no checkpoint is saved, where they could not be merged.
const MOST_LAYERS: usize = 200;
/// The lowest layers of a machine that was brought back, which are never merged: the image's, the template's and the
/// environment's are large, and others share them.
const KEPT_BELOW: usize = 4;
/// How long merging may take.
const MERGE_WITHIN: Duration = Duration::from_secs(600);
const JOB: &str = "merge";

/// The disk of a machine: layers below it, and those in its folder, of which the last is written to.
pub(super) struct Disk {
    below: Vec<PathBuf>,
    /// The numbers of its own layers, the lowest first.
    own: Vec<u32>,
    /// The number of the layer that is written to now.
    active: u32,
}

impl Disk {
    /// Looks at the layers of a machine that has `below` under its own, and merges them when they are many.
    pub(super) async fn of(machine: &QemuMachine, below: Vec<PathBuf>) -> Result<Self, CheckpointError> {
        let disk = Self::found(machine, below.clone()).await?;
        if disk.count() < MANY_LAYERS {
            return Ok(disk);
        }
        let sandbox = &machine.record().sandbox;
        match disk.merge(machine).await {
            Ok(()) => tracing::info!(%sandbox, layers = disk.count(), "the layers of its disk are merged"),
            // It can be saved all the same, for a while.
            Err(error) => tracing::warn!(%sandbox, %error, "the layers of its disk could not be merged"),
        }
        let disk = Self::found(machine, below).await?;
        if disk.count() >= MOST_LAYERS {
            return Err(refused(format!("its disk has {MOST_LAYERS} layers already")));
        }
        Ok(disk)
    }

    async fn found(machine: &QemuMachine, mut below: Vec<PathBuf>) -> Result<Self, CheckpointError> {
        let answer = machine.execute("query-block", json!({})).await?;
        let devices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut names = devices.iter().filter_map(|device| device["inserted"]["node-name"].as_str());
        let active =
            names.find_map(number_of).ok_or_else(|| refused("QEMU does not tell what its disk is"))?;
        let folder = machine.folder();
        if folder.join(name::MERGED).exists() {
            below.truncate(KEPT_BELOW);
        }
        let own = (0..=active).filter(|number| folder.join(&file(*number)).exists()).collect();
        Ok(Self { below, own, active })
    }

    /// How many layers lie below the one that will be written to next.
    pub(super) fn layers(&self) -> u32 {
        u32::try_from(self.count()).unwrap_or(u32::MAX)
    }

    fn count(&self) -> usize {
        self.below.len() + self.own.len()
    }

    /// The files of those layers, the lowest first.
    pub(super) fn frozen(&self, folder: &Path) -> Vec<PathBuf> {
        let own = self.own.iter().map(|number| PathBuf::from(file(*number)));
        self.below.iter().cloned().chain(own).map(|path| folder.join(path)).collect()
    }

    /// Makes QEMU know the next layer, and returns the bytes it takes on the disk.
    pub(super) async fn add(&self, machine: &QemuMachine) -> Result<u64, CheckpointError> {
        self.forget(machine).await;
        let (below, next) = (file(self.active), file(self.active + 1));
        let place = machine.folder().join(&next);
        let size =
            qcow2::disk_size(&machine.folder().join(&below)).map_err(|source| on_disk(&place, source))?;
        let empty = qcow2::overlay(Path::new(&below), size).map_err(|error| refused(error.to_string()))?;
        let written = write_with_holes(&place, &empty).map_err(|source| on_disk(&place, source))?;
        let node = json!({
            "driver": "qcow2", "node-name": node(self.active + 1), "discard": "unmap",
            "cache": { "no-flush": true }, "file": { "driver": "file", "filename": next }, "backing": null,
        });
        machine.execute("blockdev-add", node).await.map(|_| written)
    }

    /// Lets QEMU write to the next layer from now on.
    pub(super) async fn put_on(&self, machine: &QemuMachine) -> Result<(), CheckpointError> {
        let layers = json!({ "node": node(self.active), "overlay": node(self.active + 1) });
        machine.execute("blockdev-snapshot", layers).await.map(drop)
    }

    /// Removes a next layer that came to nothing.
    pub(super) async fn forget(&self, machine: &QemuMachine) {
        let next = self.active + 1;
        let gone = match machine.execute("blockdev-del", json!({ "node-name": node(next) })).await {
            Ok(_) => true,
            // Mostly there is none. One that is in use is not let go of, and its file must stay.
            Err(CheckpointError::Refused { what }) => what.contains("Failed to find node"),
            Err(_) => false,
        };
        if gone {
            let _mostly_not_there = fs::remove_file(machine.folder().join(&file(next)));
        }
    }

    /// Copies what lies between the lowest layers and the top one into the top one, and lets go of it.
    async fn merge(&self, machine: &QemuMachine) -> Result<(), CheckpointError> {
        let Some(plan) = plan(&self.below, &self.own) else { return Ok(()) };
        merge_into(machine.qmp(), &node(self.active), &plan.base).await?;
        if plan.below_too {
            let mark = machine.folder().join(name::MERGED);
            fs::write(&mark, "").map_err(|source| on_disk(&mark, source))?;
        }
        // From here on every file that is left out is one that the top one has all of.
        for (node, file) in plan.merged {
            let _stays_open = machine.execute("blockdev-del", json!({ "node-name": node })).await;
            let _stays = fs::remove_file(machine.folder().join(&file));
        }
        Ok(())
    }
}

/// What merging takes out.
#[derive(Debug, PartialEq, Eq)]
struct MergePlan {
    /// QEMU's name for the highest layer that stays below the top one.
    base: String,
    /// Whether layers go that are not the machine's own.
    below_too: bool,
    /// Nodes and files that go, the highest first.
    merged: Vec<(String, String)>,
}

/// Decides what is merged: all between the lowest layers and the top one. QEMU knows the layers below only of a machine
/// that was brought back by name; of another it is all between its own lowest and highest.
fn plan(below: &[PathBuf], own: &[u32]) -> Option<MergePlan> {
    let (_, own) = own.split_last()?;
    let numbers = 0..u32::try_from(below.len()).ok()?;
    let named = numbers.clone().zip(below).all(|(number, path)| *path == Path::new(&layer(number)));
    let own_names = |own: &[u32]| own.iter().rev().map(|number| (node(*number), file(*number))).collect();
    if named && below.len() > KEPT_BELOW {
        let mut merged: Vec<(String, String)> = own_names(own);
        let above = numbers.skip(KEPT_BELOW).rev();
        merged.extend(above.map(|number| (format!("layer-{number}"), layer(number))));
        return Some(MergePlan { base: format!("layer-{}", KEPT_BELOW - 1), below_too: true, merged });
    }
    let (base, between) = own.split_first()?;
    (!between.is_empty()).then(|| MergePlan {
        base: node(*base),
        below_too: false,
        merged: own_names(between),
    })
}

/// Copies what lies above the node `base` and below the node `top` into `top`, which then lies on `base`.
async fn merge_into(qmp: &Qmp, top: &str, base: &str) -> Result<(), CheckpointError> {
    let words = |error: QmpError| refused(error.to_string());
    let mut events = qmp.events();
    let job = json!({ "job-id": JOB, "device": top, "base-node": base });
    if let Err(error) = qmp.execute("block-stream", job).await {
        // An owner that died may have begun it; a layer cannot be put on before it is over.
        let over = async {
            while qmp.execute("query-block-jobs", json!({})).await.map_err(words)? != json!([]) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(words(error))
        };
        return in_time(qmp, over).await;
    }
    let ended = async {
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(_)) => return Err(refused("QEMU said too much meanwhile")),
                Err(RecvError::Closed) => return Err(refused("QEMU has ended")),
            };
            match (event.name.as_str(), event.data["device"].as_str(), &event.data["error"]) {
                ("BLOCK_JOB_COMPLETED", Some(JOB), Value::Null) => return Ok(()),
                ("BLOCK_JOB_COMPLETED", Some(JOB), error) => return Err(refused(error.to_string())),
                ("BLOCK_JOB_CANCELLED", Some(JOB), _) => return Err(refused("it was cancelled")),
                _ => {}
            }
        }
    };
    in_time(qmp, ended).await
}

/// Waits for a job, and cancels it when it takes too long.
async fn in_time(
    qmp: &Qmp,
    job: impl Future<Output = Result<(), CheckpointError>>,
) -> Result<(), CheckpointError> {
    match tokio::time::timeout(MERGE_WITHIN, job).await {
        Ok(ended) => ended,
        Err(_) => {
            let _over_by_now = qmp.execute("block-job-cancel", json!({ "device": JOB })).await;
            Err(refused("it took too long"))
        }
    }
}

/// Writes a file without the pages that are all zeroes, and returns the bytes it takes.
fn write_with_holes(path: &Path, content: &[u8]) -> io::Result<u64> {
    let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.set_len(content.len() as u64)?;
    for (number, page) in content.chunks(PAGE).enumerate() {
        if page.iter().any(|byte| *byte != 0) {
            file.write_all_at(page, (number * PAGE) as u64)?;
        }
    }
    Ok(file.metadata()?.blocks() * 512)
}

/// The name of a layer's file in a sandbox's folder. The first has the name that a clone's disk has.
fn file(number: u32) -> String {
    if number == 0 { name::DISK.to_owned() } else { format!("disk-{number}.qcow2") }
}

fn node(number: u32) -> String {
    if number == 0 { name::DISK_NODE.to_owned() } else { format!("{}-{number}", name::DISK_NODE) }
}

fn number_of(node: &str) -> Option<u32> {
    match node.strip_prefix(name::DISK_NODE)? {
        "" => Some(0),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use sha2::{Digest, Sha256};

    use super::*;

    fn below(count: u32) -> Vec<PathBuf> {
        (0..count).map(|number| layer(number).into()).collect()
    }

    fn names(list: &[&str]) -> Vec<(String, String)> {
        let file = |name: &&str| if *name == "disk" { file(0) } else { format!("{name}.qcow2") };
        list.iter().map(|name| ((*name).to_owned(), file(name))).collect()
    }

    #[test]
    fn of_a_clone_all_between_its_lowest_and_highest_layer_is_merged() {
        let template = ["/images/disk.qcow2", "/templates/disk.qcow2"].map(PathBuf::from);
        let expected =
            MergePlan { base: "disk".to_owned(), below_too: false, merged: names(&["disk-2", "disk-1"]) };
        assert_eq!(plan(&template, &[0, 1, 2, 3]), Some(expected));
        assert_eq!(
            [plan(&template, &[0, 1]), plan(&template, &[0]), plan(&template, &[])],
            [None, None, None]
        );
    }

    #[test]
    fn of_a_machine_that_was_brought_back_all_above_the_template_is_merged() {
        let expected = MergePlan {
            base: "layer-3".to_owned(),
            below_too: true,
            merged: names(&["disk-1", "disk", "layer-5", "layer-4"]),
        };
        assert_eq!(plan(&below(6), &[0, 1, 2]), Some(expected));
        let few = MergePlan { base: "disk".to_owned(), below_too: false, merged: names(&["disk-1"]) };
        assert_eq!(plan(&below(4), &[0, 1, 2]), Some(few));
    }

    #[test]
    fn what_was_merged_before_is_not_merged_again() {
        // The machine's own lowest layers went with those below.
        let expected =
            MergePlan { base: "disk-7".to_owned(), below_too: false, merged: names(&["disk-9", "disk-8"]) };
        assert_eq!(plan(&below(4), &[7, 8, 9, 10]), Some(expected));
    }

    /// A QEMU without a machine that has a stack of layers in a folder.
    struct Stack {
        folder: tempfile::TempDir,
        qemu: Child,
        qmp: Qmp,
    }

    impl Stack {
        async fn of(layers: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for number in 0..layers {
                let mut create = Command::new("qemu-img");
                create.current_dir(&folder).args(["create", "-qf", "qcow2"]);
                if number > 0 {
                    create.args(["-F", "qcow2", "-b", &file(number - 1)]);
                }
                assert!(create.arg(file(number)).arg("1M").status().unwrap().success());
                // Each has a part of its own and writes over one of the layer below it.
                for at in [number, number + 1] {
                    let write = format!("write -q -P {} {}k 64k", number + 1, at * 64);
                    let mut io = Command::new("qemu-io");
                    io.current_dir(&folder).args(["-f", "qcow2", "-c", &write, &file(number)]);
                    assert!(io.status().unwrap().success());
                }
            }
            let mut command = Command::new("qemu-system-x86_64");
            command.current_dir(&folder).args(["-machine", "none", "-nodefaults", "-display", "none", "-S"]);
            command.args(["-qmp", "unix:monitor.sock,server=on,wait=off"]);
            let mut backing = String::new();
            for number in 0..layers {
                let (node, file) = (node(number), file(number));
                let read_only = if number + 1 < layers { "on" } else { "off" };
                command.args(["-blockdev", &format!("driver=qcow2,node-name={node},read-only={read_only},file.driver=file,file.filename={file}{backing}")]);
                backing = format!(",backing={node}");
            }
            let qemu = command.stdin(Stdio::null()).spawn().unwrap();
            let socket = folder.path().join("monitor.sock");
            let stream = loop {
                match tokio::net::UnixStream::connect(&socket).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
            Self { folder, qemu, qmp: Qmp::connect(stream).await.unwrap() }
        }

        fn hashes(&self, layers: u32) -> Vec<Vec<u8>> {
            let content = |number| fs::read(self.folder.path().join(file(number))).unwrap();
            (0..layers).map(|number| Sha256::digest(content(number)).to_vec()).collect()
        }

        /// The whole content of the disk whose top layer is `number`, as another reader finds it.
        fn content(&self, number: u32) -> Vec<u8> {
            let raw = self.folder.path().join("raw");
            let mut convert = Command::new("qemu-img");
            convert.current_dir(&self.folder).args(["convert", "-U", "-O", "raw", &file(number), "raw"]);
            assert!(convert.status().unwrap().success());
            fs::read(raw).unwrap()
        }
    }

    impl Drop for Stack {
        fn drop(&mut self) {
            let _ended = self.qemu.kill();
            let _status = self.qemu.wait();
        }
    }

    #[tokio::test]
    async fn a_merged_disk_has_the_same_content_without_the_layers_between_which_stay_as_they_are() {
        let mut stack = Stack::of(6).await;
        let (before, frozen) = (stack.content(5), stack.hashes(5));
        let of_the_third = stack.content(2);
        merge_into(&stack.qmp, "disk-5", "disk").await.unwrap();
        for number in (1..5).rev() {
            stack.qmp.execute("blockdev-del", json!({ "node-name": node(number) })).await.unwrap();
        }
        assert_eq!(stack.hashes(5), frozen, "checkpoints share these files");
        assert!(stack.content(2) == of_the_third);
        stack.qmp.execute("quit", json!({})).await.unwrap();
        stack.qemu.wait().unwrap();
        for number in 1..5 {
            fs::remove_file(stack.folder.path().join(file(number))).unwrap();
        }
        assert!(stack.content(5) == before);
    }

    #[tokio::test]
    async fn what_cannot_be_merged_is_refused_in_qemu_s_words_and_nothing_is_lost() {
        let stack = Stack::of(3).await;
        let before = stack.content(2);
        let refused = merge_into(&stack.qmp, "disk-2", "elsewhere").await.unwrap_err().to_string();
        assert!(refused.contains("block-stream") && refused.contains("elsewhere"), "{refused}");
        assert!(stack.content(2) == before);
    }
}
