//! What is known here of machines, templates and checkpoints on the hosts, and which of their files are still needed.
//!
//! Disks are layers, and a layer may be part of a machine, of checkpoints of it, and of machines brought back from
//! those. It is removed when the last that names it is.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::TemplateKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::DomainPlan;

/// A machine on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRecord {
    /// The host's name.
    pub host: String,
    /// What it was started as; its disk is that of the moment of its start.
    pub plan: DomainPlan,
    /// The volumes that are its disk above the image's, the lowest first.
    pub layers: Vec<String>,
    /// Whether it began by booting, and not as it was saved.
    pub booted: bool,
    /// The folder of the image it is made of, here.
    pub image: PathBuf,
    /// The template it is to become, if it is to become one.
    pub becomes: Option<TemplateKey>,
}

/// A machine's memory and disk at one moment, on a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedRecord {
    /// The host's name.
    pub host: String,
    /// The machine that was saved.
    pub sandbox: SandboxId,
    /// What it was, with the disk it had then.
    pub plan: DomainPlan,
    /// The volumes that are its disk above the image's, the lowest first.
    pub layers: Vec<String>,
    /// The volume with its memory.
    pub memory: String,
    /// The folder of the image it was made of, here.
    pub image: PathBuf,
    /// Whether a machine that boots is no substitute for a clone of it: somebody has worked in it.
    pub moved_on: bool,
    /// What was written for it, in bytes.
    pub written_bytes: u64,
    /// How long its guest stood still, in milliseconds.
    pub paused_ms: u64,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
}

/// The volumes on one host that something needs.
pub trait Volumes {
    /// The host's name.
    fn host(&self) -> &str;
    /// The volumes.
    fn volumes(&self) -> Vec<&str>;
}

impl Volumes for MachineRecord {
    fn host(&self) -> &str {
        &self.host
    }

    fn volumes(&self) -> Vec<&str> {
        self.layers.iter().map(String::as_str).collect()
    }
}

impl Volumes for SavedRecord {
    fn host(&self) -> &str {
        &self.host
    }

    fn volumes(&self) -> Vec<&str> {
        self.layers.iter().chain([&self.memory]).map(String::as_str).collect()
    }
}

/// Returns which volumes of `gone` nothing of `left` on the same host names.
pub fn unneeded(gone: &dyn Volumes, left: &[&dyn Volumes]) -> Vec<String> {
    let kept: BTreeSet<&str> =
        left.iter().filter(|one| one.host() == gone.host()).flat_map(|one| one.volumes()).collect();
    // The highest first, so that a layer is never there without what it lies on.
    gone.volumes().into_iter().rev().filter(|volume| !kept.contains(volume)).map(str::to_owned).collect()
}

/// Returns a name for a new layer of a machine's disk that is not taken.
pub fn next_layer(sandbox: &SandboxId, taken: &BTreeSet<String>) -> String {
    let names = (0_u32..).map(|number| format!("{sandbox}.{number}.qcow2"));
    names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}

/// The folder with the records.
#[derive(Debug, Clone)]
pub struct Records(PathBuf);

/// What a record is of: the folder it lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A machine.
    Machines,
    /// A template.
    Templates,
    /// A checkpoint.
    Checkpoints,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Machines => "machines",
            Self::Templates => "templates",
            Self::Checkpoints => "checkpoints",
        }
    }
}

impl Records {
    /// Records in `folder`.
    pub fn new(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// The folder of one kind.
    pub fn folder(&self, kind: Kind) -> PathBuf {
        self.0.join(kind.folder())
    }

    fn file(&self, kind: Kind, name: &str) -> PathBuf {
        self.folder(kind).join(format!("{name}.json"))
    }

    /// Writes a record, whole or not at all; nobody else may read it.
    ///
    /// # Errors
    ///
    /// When the disk does not take it.
    pub fn write(&self, kind: Kind, name: &str, record: &impl Serialize) -> io::Result<()> {
        let folder = self.folder(kind);
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let (file, partial) = (self.file(kind, name), folder.join(format!("{name}.partial")));
        let mut writing = fs::File::options();
        let mut writing = writing.write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
        io::Write::write_all(&mut writing, &serde_json::to_vec_pretty(record)?)?;
        writing.sync_all()?;
        fs::rename(partial, file)
    }

    /// Reads a record; `None` when there is none or it is damaged.
    pub fn read<T: DeserializeOwned>(&self, kind: Kind, name: &str) -> Option<T> {
        serde_json::from_slice(&fs::read(self.file(kind, name)).ok()?).ok()
    }

    /// Removes a record. Removing what is gone is no error.
    ///
    /// # Errors
    ///
    /// When it is there and stays.
    pub fn remove(&self, kind: Kind, name: &str) -> io::Result<()> {
        match fs::remove_file(self.file(kind, name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// The names of all records of a kind, sorted.
    pub fn names(&self, kind: Kind) -> Vec<String> {
        let entries = fs::read_dir(self.folder(kind)).into_iter().flatten().flatten();
        let name = |path: &Path| {
            (path.extension()? == "json").then(|| path.file_stem()?.to_str().map(str::to_owned))?
        };
        let mut names: Vec<String> = entries.filter_map(|entry| name(&entry.path())).collect();
        names.sort();
        names
    }

    /// The names of all records of a kind, the one written last first.
    pub fn newest_first(&self, kind: Kind) -> Vec<String> {
        let written =
            |name: &String| fs::metadata(self.file(kind, name)).and_then(|file| file.modified()).ok();
        let mut names = self.names(kind);
        names.sort_by_key(|name| std::cmp::Reverse(written(name)));
        names
    }

    /// The records of that kind and name; those that are gone or damaged are left out.
    pub fn of(&self, wanted: &[(Kind, String)]) -> Vec<Box<dyn Volumes + Send + Sync>> {
        let read = |(kind, name): &(Kind, String)| -> Option<Box<dyn Volumes + Send + Sync>> {
            match kind {
                Kind::Machines => Some(Box::new(self.read::<MachineRecord>(*kind, name)?)),
                Kind::Templates | Kind::Checkpoints => Some(Box::new(self.read::<SavedRecord>(*kind, name)?)),
            }
        };
        wanted.iter().filter_map(read).collect()
    }

    /// Which records there are.
    pub fn index(&self) -> Vec<(Kind, String)> {
        let of = |kind| self.names(kind).into_iter().map(move |name| (kind, name));
        [Kind::Machines, Kind::Templates, Kind::Checkpoints].into_iter().flat_map(of).collect()
    }

    /// Every volume that a record names.
    pub fn taken(&self) -> BTreeSet<String> {
        self.of(&self.index()).iter().flat_map(|record| record.volumes()).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Files, Uuid};
    use nightshift_sandbox::{Acceleration, MachineSize};
    use proptest::prelude::*;

    fn machine(host: &str, layers: &[&str]) -> MachineRecord {
        MachineRecord {
            host: host.to_owned(),
            plan: DomainPlan {
                name: "sandbox-0123456789".to_owned(),
                uuid: Uuid(u128::MAX),
                acceleration: Acceleration::Tcg,
                size: MachineSize::default(),
                screen: (1280, 800),
                files: Files { kernel: "/k".to_owned(), initrd: "/i".to_owned(), disk: "/d".to_owned() },
                kernel_command_line: "quiet".to_owned(),
                disk_bytes: 1 << 30,
            },
            layers: layers.iter().map(|layer| (*layer).to_owned()).collect(),
            booted: true,
            image: "/image".into(),
            becomes: None,
        }
    }

    fn saved(host: &str, layers: &[&str], memory: &str) -> SavedRecord {
        let MachineRecord { host, plan, layers, .. } = machine(host, layers);
        SavedRecord {
            host,
            sandbox: "sandbox-0123456789".parse().unwrap(),
            plan,
            layers,
            memory: memory.to_owned(),
            image: "/image".into(),
            moved_on: false,
            written_bytes: 1,
            paused_ms: 2,
            took_ms: 3,
        }
    }

    #[test]
    fn a_layer_goes_with_the_last_that_needs_it_the_highest_first() {
        let (gone, checkpoint) = (machine("a", &["0", "1", "2"]), saved("a", &["0"], "m"));
        assert_eq!(unneeded(&gone, &[&checkpoint]), ["2", "1"]);
        assert_eq!(unneeded(&checkpoint, &[&gone]), ["m"]);
        assert_eq!(unneeded(&gone, &[]), ["2", "1", "0"]);
    }

    #[test]
    fn what_another_host_has_of_the_same_name_keeps_nothing() {
        assert_eq!(unneeded(&machine("a", &["0"]), &[&machine("b", &["0"])]), ["0"]);
    }

    #[test]
    fn a_new_layer_has_a_name_that_no_checkpoint_keeps() {
        let sandbox: SandboxId = "sandbox-0123456789".parse().unwrap();
        let taken = ["sandbox-0123456789.0.qcow2", "sandbox-0123456789.2.qcow2"].map(str::to_owned).into();
        assert_eq!(next_layer(&sandbox, &taken), "sandbox-0123456789.1.qcow2");
    }

    #[test]
    fn records_read_back_and_a_half_written_one_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("libvirt"));
        assert_eq!(records.names(Kind::Machines), Vec::<String>::new());
        let (one, two) = (machine("a", &["0"]), saved("b", &["0", "1"], "m"));
        records.write(Kind::Machines, "one", &one).unwrap();
        records.write(Kind::Checkpoints, "two", &two).unwrap();
        fs::write(records.folder(Kind::Machines).join("three.partial"), "{").unwrap();
        fs::write(records.folder(Kind::Machines).join("four.json"), "{").unwrap();
        assert_eq!(records.read(Kind::Machines, "one"), Some(one));
        assert_eq!(records.read(Kind::Checkpoints, "two"), Some(two));
        assert_eq!(records.read::<MachineRecord>(Kind::Machines, "four"), None);
        assert_eq!(records.names(Kind::Machines), ["four", "one"]);
        assert_eq!(records.taken(), ["0", "1", "m"].map(str::to_owned).into());
        records.remove(Kind::Machines, "one").unwrap();
        records.remove(Kind::Machines, "one").unwrap();
        assert_eq!(records.names(Kind::Machines), ["four"]);
    }

    #[test]
    fn what_was_written_last_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("libvirt"));
        for (name, seconds) in [("b", 30), ("c", 10), ("a", 20)] {
            records.write(Kind::Templates, name, &saved("a", &["0"], "m")).unwrap();
            let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            fs::File::options()
                .write(true)
                .open(records.file(Kind::Templates, name))
                .unwrap()
                .set_modified(at)
                .unwrap();
        }
        assert_eq!(records.newest_first(Kind::Templates), ["b", "a", "c"]);
    }

    #[test]
    fn nobody_else_may_read_the_records() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let records = Records::new(folder.path().join("libvirt"));
        records.write(Kind::Machines, "one", &machine("a", &[])).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let machines = records.folder(Kind::Machines);
        assert_eq!((mode(&machines), mode(&machines.join("one.json"))), (0o700, 0o600));
    }

    fn some_layers() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec("[a-e]", 0..4)
    }

    proptest! {
        #[test]
        fn nothing_that_is_needed_is_removed_and_nothing_else_is_kept(
            gone in some_layers(),
            left in prop::collection::vec(some_layers(), 0..4),
        ) {
            let record = |layers: &[String]| machine("a", &layers.iter().map(String::as_str).collect::<Vec<_>>());
            let (gone, left) = (record(&gone), left.iter().map(|one| record(one)).collect::<Vec<_>>());
            let left: Vec<&dyn Volumes> = left.iter().map(|one| one as &dyn Volumes).collect();
            let removed = unneeded(&gone, &left);
            for layer in &gone.layers {
                let needed = left.iter().any(|one| one.volumes().contains(&layer.as_str()));
                prop_assert_eq!(removed.contains(layer), !needed);
            }
        }
    }
}
