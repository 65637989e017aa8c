//! Where things are on this machine, and what limits hold.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::account::Account;

/// What the program has to know of the machine it runs on.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder for jobs and their output; only root may look into it.
    pub spool: PathBuf,
    /// The root below which a new identity is written: `/`, but for tests.
    pub root: PathBuf,
    /// The user the agent works as, if there is one.
    pub agent: Option<Account>,
    /// The user who may do everything.
    pub administrator: Account,
    /// The control group (version 2) below which each job gets its own, if one was delegated.
    pub cgroup: Option<PathBuf>,
    /// The kernel's name for this boot.
    pub boot_id: String,
    /// How much of a job's output is kept, in bytes.
    pub output_bytes: u64,
    /// How many jobs that have ended are kept.
    pub kept_jobs: usize,
}

impl Settings {
    /// Looks around on this machine: user `agent` from `/etc/passwd`, the service's own control group.
    pub fn of_this_machine() -> io::Result<Self> {
        let root = Path::new("/");
        Ok(Self {
            spool: PathBuf::from("/var/lib/nightshift"),
            root: root.to_owned(),
            agent: Account::find(root, "agent")?,
            administrator: Account::find(root, "root")?.unwrap_or_else(Account::root),
            cgroup: own_cgroup(),
            boot_id: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim_end().to_owned(),
            output_bytes: 64 * 1024 * 1024,
            kept_jobs: 1_000,
        })
    }
}

/// The control group this process is in, when it is one of version 2 (cgroups(7)).
fn own_cgroup() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = Path::new("/sys/fs/cgroup").join(path);
    folder.join("cgroup.kill").exists().then_some(folder)
}
