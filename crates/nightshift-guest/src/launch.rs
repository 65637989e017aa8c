//! Starting a program as a user, in a session and a control group of its own.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Gid, Uid, chdir, setsid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::account::Account;

/// What the new process does to itself before it becomes the program.
struct Steps {
    entrance: Option<OwnedFd>,
    user: Option<(Uid, Gid, Vec<Gid>)>,
    folder: CString,
}

/// Prepares a program: its user's default environment with `variables` over it, started in `folder`, and put into the
/// control group whose `cgroup.procs` is `entrance`.
pub(crate) fn command(
    program: &str,
    account: &Account,
    folder: &Path,
    variables: &[(String, String)],
    entrance: Option<File>,
) -> io::Result<Command> {
    let user = (!account.is_current())
        .then(|| (Uid::from_raw(account.uid), Gid::from_raw(account.gid), account.group_ids()));
    let folder = CString::new(folder.as_os_str().as_bytes())?;
    let steps = Steps { entrance: entrance.map(OwnedFd::from), user, folder };
    let mut command = Command::new(program);
    command.env_clear().envs(account.environment()).envs(variables.iter().map(|(name, value)| (name, value)));
    #[expect(
        unsafe_code,
        reason = "the standard library cannot enter a control group, and would change folders as root"
    )]
    // SAFETY: between fork and exec the closure only makes system calls, on what was allocated before.
    unsafe {
        command.pre_exec(move || steps.take());
    }
    Ok(command)
}

impl Steps {
    fn take(&self) -> io::Result<()> {
        setsid()?;
        if let Some(entrance) = &self.entrance {
            // "0" stands for the writer itself (cgroups(7)). A job that cannot enter still has its process group.
            let _ = rustix::io::write(entrance, b"0");
        }
        if let Some((uid, gid, groups)) = &self.user {
            set_thread_groups(groups)?;
            set_thread_res_gid(*gid, *gid, *gid)?;
            set_thread_res_uid(*uid, *uid, *uid)?;
        }
        chdir(self.folder.as_c_str())?;
        Ok(())
    }
}
