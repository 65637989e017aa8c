//! A disk of its own below the sandboxes of a night, small enough to be filled.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Night, program};

/// A file system in memory, in a mount namespace in which the night's owner runs. Making one needs root, or user
/// namespaces for everybody.
#[derive(Debug)]
pub struct SmallDisk {
    owner: Child,
    folder: PathBuf,
    as_root: bool,
}

impl SmallDisk {
    /// Starts the owner of a night that has none, with so many MiB below its sandboxes.
    pub fn below(night: &Night, mib: u64) -> Self {
        let folder = night.home.path().join("sandboxes");
        std::fs::create_dir_all(&folder).unwrap();
        let as_root = rustix::process::geteuid().is_root();
        let mounts = format!(r#"mount -t tmpfs -o size={mib}M small "$1" && exec "$2" serve"#);
        let serve = night.command(&[]);
        let owner = Command::new("unshare")
            .arg(if as_root { "-m" } else { "-rm" })
            .args(["--", "sh", "-c", &mounts, "sh"])
            .arg(&folder)
            .arg(program())
            .envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare is installed");
        let began = Instant::now();
        while night.owner_pid() != Some(owner.id()) {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "no owner in a mount namespace of its own: are user namespaces allowed here?"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { owner, folder, as_root }
    }

    /// Gives it another size, in MiB.
    pub fn resize(&self, mib: u64) {
        self.inside(&["mount", "-o", &format!("remount,size={mib}M")]);
    }

    /// What is used of it, in MiB.
    pub fn used_mib(&self) -> u64 {
        self.mib("used")
    }

    /// What is free of it, in MiB.
    pub fn free_mib(&self) -> u64 {
        self.mib("avail")
    }

    fn mib(&self, column: &str) -> u64 {
        let said = self.inside(&["df", &format!("--output={column}"), "-BM"]);
        said.lines().last().unwrap().trim().trim_end_matches('M').parse().unwrap()
    }

    /// Runs a command about the folder where the disk is mounted, and returns what it printed.
    fn inside(&self, command: &[&str]) -> String {
        let mut enter = Command::new("nsenter");
        enter.args(["-m", "-t", &self.owner.id().to_string()]);
        if !self.as_root {
            enter.args(["-U", "--preserve-credentials"]);
        }
        let output = enter.args(command).arg(&self.folder).output().expect("nsenter is installed");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The namespace and the disk go with the last process in it.
        let _gone = self.owner.kill();
        let _reaped = self.owner.wait();
    }
}
