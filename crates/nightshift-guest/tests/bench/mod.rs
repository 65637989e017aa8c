//! A guest in this process, and hosts that connect to it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![allow(dead_code, clippy::allow_attributes, reason = "each test program uses a part of it")]

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nightshift_channel::{Channel, Command, Completed, JobId, StartJobError};
use nightshift_guest::{Account, Guest, Kernel, Settings};
use tempfile::TempDir;
use tokio::net::UnixStream;

/// How long anything may take on a busy machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A machine that tests run on without changing it.
struct NoKernel;

impl Kernel for NoKernel {
    fn set_host_name(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn add_entropy(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn set_clock(&self, _: i64) -> io::Result<()> {
        Ok(())
    }
}

/// A guest with a spool and a root of its own.
pub(crate) struct Bench {
    pub(crate) folder: TempDir,
    pub(crate) settings: Settings,
    pub(crate) guest: Arc<Guest>,
    hosts: AtomicU8,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let myself = Account {
            name: "agent".to_owned(),
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            groups: Vec::new(),
            home: folder.path().to_owned(),
            shell: PathBuf::from("/bin/bash"),
        };
        let mut settings = Settings {
            spool: folder.path().join("spool"),
            root: folder.path().join("root"),
            agent: Some(myself.clone()),
            administrator: myself,
            cgroup: None,
            boot_id: "this boot".to_owned(),
            output_bytes: 64 << 20,
            kept_jobs: 1_000,
        };
        change(&mut settings);
        std::fs::create_dir_all(&settings.spool).unwrap();
        std::fs::create_dir_all(settings.root.join("etc")).unwrap();
        let guest = Guest::new(settings.clone(), NoKernel).unwrap();
        Self { folder, settings, guest, hosts: AtomicU8::new(0) }
    }

    /// The guest's program starts anew on the same machine.
    pub(crate) fn restart(&mut self) {
        self.guest = Guest::new(self.settings.clone(), NoKernel).unwrap();
    }

    /// The guest's end of a port, as a socket whose other end is returned.
    pub(crate) fn port(&self) -> UnixStream {
        let (host, guest) = BlockingStream::pair().unwrap();
        host.set_nonblocking(true).unwrap();
        let serving = Arc::clone(&self.guest);
        std::thread::spawn(move || serving.serve(OwnedFd::from(guest)).unwrap());
        UnixStream::from_std(host).unwrap()
    }

    pub(crate) fn nonce(&self) -> [u8; 16] {
        [self.hosts.fetch_add(1, Ordering::Relaxed) + 1; 16]
    }

    /// A host connects.
    pub(crate) async fn connect(&self) -> Channel {
        Channel::open(self.port(), self.nonce(), WITHIN).await.unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

pub(crate) fn job(id: &str) -> JobId {
    JobId::new(id).unwrap()
}

/// A script for a shell that reads no profile, which is quicker.
pub(crate) fn script(id: &str, script: &str) -> Command {
    Command::new(job(id), ["/bin/bash", "-c", script])
}

/// Runs a command to its end.
pub(crate) async fn run(channel: &Channel, command: Command) -> Result<Completed, StartJobError> {
    Ok(channel.start(command).await?.collect(1 << 20).await?)
}
