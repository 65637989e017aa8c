//! All processes a job started: its control group where there is one, and its process group.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use nightshift_channel::wire::service::JobId;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::ending::Act;

/// A job's processes.
#[derive(Debug)]
pub(crate) struct Group {
    cgroup: Option<PathBuf>,
}

impl Group {
    /// Makes a control group for a job, or finds the one it has; without delegation there is none.
    pub(crate) fn of(job: &JobId, delegated: Option<&Path>) -> Self {
        let cgroup = delegated.map(|delegated| delegated.join(format!("job-{job}"))).filter(|cgroup| {
            // There already, or refused: whether it serves shows when a process is put into it.
            let _ = fs::create_dir(cgroup);
            cgroup.join("cgroup.procs").exists()
        });
        Self { cgroup }
    }

    /// The file that takes a process into the group.
    pub(crate) fn entrance(&self) -> Option<File> {
        OpenOptions::new().write(true).open(self.cgroup.as_ref()?.join("cgroup.procs")).ok()
    }

    /// Does something to all processes. `leader` is the job's first process, while its number cannot be another's.
    pub(crate) fn act(&self, act: Act, leader: Option<Pid>) {
        let signal = match act {
            Act::Interrupt => Signal::INT,
            Act::Terminate => Signal::TERM,
            Act::Kill => Signal::KILL,
        };
        if let Some(leader) = leader {
            // All of these fail only for processes that are gone.
            let _ = kill_process_group(leader, signal);
        }
        match (act, &self.cgroup) {
            (Act::Interrupt, _) | (_, None) => {}
            (Act::Terminate, Some(cgroup)) => {
                for member in members(cgroup) {
                    let _ = kill_process(member, signal);
                }
            }
            (Act::Kill, Some(cgroup)) => {
                let _ = fs::write(cgroup.join("cgroup.kill"), "1");
            }
        }
    }

    /// Removes the control group, if no process is left in it.
    pub(crate) fn remove(&self) {
        if let Some(cgroup) = &self.cgroup {
            let _ = fs::remove_dir(cgroup);
        }
    }
}

fn members(cgroup: &Path) -> Vec<Pid> {
    let members = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    members.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)).collect()
}

/// When a process began, in ticks since the boot (field 22 of `/proc/PID/stat`, proc_pid_stat(5)): with its number it
/// names a process for good.
pub(crate) fn began(pid: Pid) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, after_name) = stat.rsplit_once(')').ok_or(io::ErrorKind::InvalidData)?;
    let began = after_name.split_whitespace().nth(19).and_then(|field| field.parse().ok());
    began.ok_or(io::ErrorKind::InvalidData.into())
}
