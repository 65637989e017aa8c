//! A sandbox's folder: everything QEMU opens has a fixed name in it, and nobody but its owner may enter.
//!
//! Memory, kernel, initrd and state are symbolic links to a template's or an image's files, so that the command
//! line can name them without a path. Sockets are reached through the folder's descriptor, because a socket's
//! path may have at most 108 bytes (unix(7)) and a home folder may be deeper than that.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightshift_protocol::SandboxId;
use nightshift_sandbox::TemplateKey;
use serde::{Deserialize, Serialize};

use crate::command_line::MachinePlan;

/// The fixed names.
pub(crate) mod name {
    /// The guest's memory.
    pub(crate) const MEMORY: &str = "memory";
    /// The state of the devices, saved or to be restored.
    pub(crate) const STATE: &str = "state";
    /// The disk, on top of an image's or a template's.
    pub(crate) const DISK: &str = "disk.qcow2";
    /// QEMU's name for the disk; that of a layer put on later has its number behind it.
    pub(crate) const DISK_NODE: &str = "disk";
    /// How the names of all layers of the disk end.
    pub(crate) const DISK_ENDING: &str = ".qcow2";
    /// The state of the devices, for a moment of a checkpoint.
    pub(crate) const DEVICES: &str = "devices";
    /// Is there while the guest may stand still for a checkpoint.
    pub(crate) const CHECKPOINTING: &str = "checkpointing";
    /// Says why the guest was made to stand still, while it is to.
    pub(crate) const HELD: &str = "held";
    /// What it wrote before it was brought back, and what a person allowed it to write.
    pub(crate) const ACCOUNT: &str = "account";
    /// Says that of the layers it began with all but the lowest were merged into one of its own.
    pub(crate) const MERGED: &str = "merged";
    /// The kernel.
    pub(crate) const KERNEL: &str = "kernel";
    /// The kernel's first root file system, with the guest program.
    pub(crate) const INITRD: &str = "initrd";
    /// The socket QEMU is controlled through.
    pub(crate) const MONITOR: &str = "monitor.sock";
    /// The socket that ends at the guest program.
    pub(crate) const CHANNEL: &str = "channel.sock";
    /// What QEMU printed.
    pub(crate) const LOG: &str = "qemu.log";
    /// QEMU's process id, written by QEMU.
    pub(crate) const PROCESS_ID: &str = "pid";
    /// What the machine is, for an owner that comes later.
    pub(crate) const RECORD: &str = "machine.json";
}

/// What is read of a log's end at most, in bytes.
const LOG_TAIL_BYTES: u64 = 4096;
/// What is quoted of a log at most, in lines.
const LOG_TAIL_LINES: usize = 5;

/// What a machine is, for an owner that comes later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// The machine's sandbox.
    pub(crate) sandbox: SandboxId,
    /// What it was started as.
    pub(crate) plan: MachinePlan,
    /// What it is for.
    pub(crate) purpose: Purpose,
}

/// What a machine is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Purpose {
    /// It is a machine to work in: a clone, or brought back from a checkpoint.
    Work {
        /// QEMU and its version, as QEMU says it.
        hypervisor: String,
        /// The disks below the one in the folder, the lowest first; a relative path begins in the folder.
        below: Vec<PathBuf>,
    },
    /// It is to become a template.
    Template {
        /// The template's key.
        key: TemplateKey,
        /// The folder in which the template is made.
        staging: PathBuf,
        /// The image it booted from.
        image: PathBuf,
        /// QEMU and its version, as QEMU says it.
        hypervisor: String,
    },
}

/// An open sandbox folder.
#[derive(Debug)]
pub(crate) struct SandboxFolder {
    path: PathBuf,
    directory: Arc<OwnedFd>,
}

impl SandboxFolder {
    /// Makes the folder, which must not be there yet, and what is above it.
    pub(crate) fn create(path: PathBuf) -> io::Result<Self> {
        if let Some(above) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(above)?;
        }
        DirBuilder::new().mode(0o700).create(&path)?;
        Self::open(path)
    }

    /// Opens a folder made earlier.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let directory = Arc::new(File::open(&path)?.into());
        Ok(Self { path, directory })
    }

    /// Gives it another place on the same disk, which must be free.
    pub(crate) fn rename(&mut self, place: PathBuf) -> io::Result<()> {
        // An empty folder would be replaced without a word.
        if place.exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.path, &place)?;
        self.path = place;
        Ok(())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of `name` in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes `name` a symbolic link to `target`, an absolute path.
    pub(crate) fn link(&self, name: &str, target: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(target, self.join(name))
    }

    /// Writes a file nobody else may read.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(self.join(name))?;
        io::Write::write_all(&mut file, content)
    }

    /// Makes a socket and listens on it.
    pub(crate) fn listen(&self, name: &str) -> io::Result<UnixListener> {
        UnixListener::bind(self.short_path(name))
    }

    /// Connects to a socket in the folder.
    pub(crate) fn connect(&self, name: &str) -> io::Result<tokio::net::UnixStream> {
        let stream = UnixStream::connect(self.short_path(name))?;
        stream.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(stream)
    }

    /// Opens the file that takes what QEMU prints.
    pub(crate) fn open_log(&self) -> io::Result<File> {
        File::options().append(true).create(true).mode(0o600).open(self.join(name::LOG))
    }

    /// What QEMU printed.
    pub(crate) fn log(&self) -> Log {
        Log { directory: Arc::clone(&self.directory), path: self.join(name::LOG) }
    }

    /// Writes what the machine is.
    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        self.write(name::RECORD, &serde_json::to_vec_pretty(record)?)
    }

    /// Writes what the machine is in place of what it was.
    pub(crate) fn replace_record(&self, record: &Record) -> io::Result<()> {
        const NEW: &str = "machine.json.new";
        self.write(NEW, &serde_json::to_vec_pretty(record)?)?;
        fs::rename(self.join(NEW), self.join(name::RECORD))
    }

    /// Reads what the machine is.
    pub(crate) fn read_record(&self) -> io::Result<Record> {
        Ok(serde_json::from_slice(&fs::read(self.join(name::RECORD))?)?)
    }

    /// Reads the process id QEMU wrote.
    pub(crate) fn read_process_id(&self) -> io::Result<i32> {
        let text = fs::read_to_string(self.join(name::PROCESS_ID))?;
        text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Removes it with all that is in it; what is gone already is no error.
    pub(crate) fn remove(&self) -> io::Result<()> {
        remove_folder(&self.path)
    }

    fn short_path(&self, name: &str) -> PathBuf {
        inside(&self.directory, name)
    }
}

/// The path of `name` in an open folder, wherever that is now.
fn inside(directory: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

/// The file with what QEMU printed, found also after its folder got another place.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    directory: Arc<OwnedFd>,
    path: PathBuf,
}

impl Log {
    /// Where it was when it was asked for.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns its last lines, joined into one; empty when there are none.
    pub(crate) fn tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(inside(&self.directory, name::LOG))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(LOG_TAIL_BYTES).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        last_lines(&read().unwrap_or_default())
    }
}

/// Removes a folder with all that is in it; what is gone already is no error.
pub(crate) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Returns the last lines with something in them, joined by `; `, without QEMU's name before each.
pub(crate) fn last_lines(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text
        .lines()
        .map(|line| line.trim().trim_start_matches("qemu-system-x86_64: "))
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_works_in_a_folder_too_deep_for_its_path() {
        let above = tempfile::tempdir().unwrap();
        let deep = above.path().join("deep".repeat(30)).join("deep".repeat(30));
        let folder = SandboxFolder::create(deep).unwrap();
        let listener = folder.listen(name::MONITOR).unwrap();
        let _stream = folder.connect(name::MONITOR).unwrap();
        assert!(listener.accept().is_ok());
    }

    #[test]
    fn nobody_else_may_enter_and_a_folder_is_made_once() {
        use std::os::unix::fs::PermissionsExt;

        let above = tempfile::tempdir().unwrap();
        let folder = SandboxFolder::create(above.path().join("a/b")).unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let again = SandboxFolder::create(above.path().join("a/b")).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_folder_that_got_another_place_keeps_its_log_and_its_sockets() {
        let above = tempfile::tempdir().unwrap();
        let mut folder = SandboxFolder::create(above.path().join("a")).unwrap();
        let log = folder.log();
        io::Write::write_all(&mut folder.open_log().unwrap(), b"printed\n").unwrap();
        fs::create_dir(above.path().join("taken")).unwrap();
        assert_eq!(
            folder.rename(above.path().join("taken")).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        folder.rename(above.path().join("b")).unwrap();
        assert_eq!(folder.path(), above.path().join("b"));
        assert_eq!(log.tail(), "printed");
        folder.listen(name::CHANNEL).unwrap();
        assert!(above.path().join("b").join(name::CHANNEL).exists());
    }

    #[test]
    fn removing_what_is_gone_is_no_error() {
        let above = tempfile::tempdir().unwrap();
        let folder = SandboxFolder::create(above.path().join("sandbox")).unwrap();
        folder.remove().unwrap();
        folder.remove().unwrap();
    }

    #[test]
    fn a_log_is_quoted_by_its_last_lines() {
        let log = b"1\n\n2\n3\nqemu-system-x86_64: four\n5\n  6\n\xff\n";
        assert_eq!(last_lines(log), "3; four; 5; 6; \u{fffd}");
        assert_eq!(last_lines(b""), "");
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let above = tempfile::tempdir().unwrap();
        let folder = SandboxFolder::create(above.path().join("sandbox")).unwrap();
        let record = Record {
            sandbox: "sandbox-0123456789".parse().unwrap(),
            plan: MachinePlan {
                processor: crate::command_line::Processor::translated(),
                size: nightshift_sandbox::MachineSize::default(),
                screen: crate::image::Screen { width: 1280, height: 800 },
                kernel_command_line: "quiet".to_owned(),
            },
            purpose: Purpose::Template {
                key: TemplateKey("k".to_owned()),
                staging: "/s".into(),
                image: "/i".into(),
                hypervisor: "QEMU 10.0.2".to_owned(),
            },
        };
        folder.write_record(&record).unwrap();
        assert_eq!(folder.read_record().unwrap(), record);
    }
}
