//! The way machines are usually brought back: QEMU's own snapshot in the disk, `savevm` and `-loadvm`.
//!
//! The machine that is saved is a clone, so both ways bring back the same desktop with the same devices. Only what the
//! two ways differ in is changed in its command line: the memory is ordinary, and is filled from the snapshot.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::Driver;
use nightshift_supervisor::Desk;
use serde_json::json;

use crate::bench::BenchError;
use crate::ground::Ground;
use crate::monitor::{Monitor, SOCKET};

const SNAPSHOT: &str = "bench";

/// After that, a machine that does not run never will: the slowest seen took 6 s.
const RUNNING_WITHIN: std::time::Duration = std::time::Duration::from_secs(60);

/// A machine saved in its disk.
pub(crate) struct Saved {
    sandbox: SandboxId,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Saved {
    /// Saves the machine of `desk` and ends it.
    pub(crate) async fn save(ground: &Ground, desk: Desk) -> Result<Self, BenchError> {
        let sandbox = desk.machine.sandbox().clone();
        let folder = ground.sandboxes().join(sandbox.as_str());
        let pid = std::fs::read_to_string(folder.join("pid"))
            .map_err(BenchError::io("reading QEMU's process id"))?;
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim()))
            .map_err(BenchError::io("reading QEMU's command line"))?;
        // QEMU's monitor serves one connection: the driver's ends with the last handle of the machine.
        drop(desk);
        let mut monitor = Monitor::connect(&folder).await?;
        monitor.ask("stop", json!({})).await?;
        // The clone left its memory out of what it restored; a snapshot holds it.
        let off = |capability: &str| json!({ "capability": capability, "state": false });
        let capabilities = json!({ "capabilities": [off("x-ignore-shared"), off("events")] });
        monitor.ask("migrate-set-capabilities", capabilities).await?;
        let saved = monitor
            .ask("human-monitor-command", json!({ "command-line": format!("savevm {SNAPSHOT}") }))
            .await?;
        if saved.as_str().is_none_or(|said| !said.trim().is_empty()) {
            return Err(BenchError::Unexpected(format!("savevm said {saved}")));
        }
        monitor.ask("quit", json!({})).await?;
        monitor.ended().await?;
        Ok(Self { sandbox, folder, arguments: restoring(&line)? })
    }

    /// Starts QEMU, which brings the machine back from its disk, and returns the process with the machine once it
    /// runs.
    pub(crate) async fn load(&self, ground: &Ground) -> Result<Desk, BenchError> {
        // A socket's path may have at most 107 bytes.
        let folder = File::open(&self.folder).map_err(BenchError::io("opening the machine's folder"))?;
        for left in [SOCKET, "channel.sock", "pid"] {
            match std::fs::remove_file(self.folder.join(left)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(BenchError::io("removing what the last QEMU left")(error));
                }
                _ => {}
            }
        }
        let listener = UnixListener::bind(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
            .map_err(BenchError::io("making the monitor's socket"))?;
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.folder.join("qemu.log"))
            .map_err(BenchError::io("opening QEMU's log"))?;
        let child: Child = Command::new(ground.qemu())
            .args(&self.arguments)
            .current_dir(&self.folder)
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(BenchError::io("starting QEMU"))?;
        reap(child);
        self.running().await.map_err(|error| self.with_log(error))?;
        let found =
            ground.driver().find(&self.sandbox).await.map_err(BenchError::during("finding the machine"))?;
        let machine =
            found.ok_or_else(|| BenchError::Unexpected("-loadvm brought no running machine".to_owned()))?;
        Ok(Desk::attach(
            machine,
            ground.entropy(),
            std::time::Duration::from_secs(60),
            &tokio::runtime::Handle::current(),
        )
        .await?)
    }

    /// Returns when the machine runs. QEMU answers while it still reads the snapshot.
    async fn running(&self) -> Result<(), BenchError> {
        let mut monitor = Monitor::connect(&self.folder).await?;
        let began = std::time::Instant::now();
        loop {
            let answer = monitor.ask("query-status", json!({})).await?;
            match answer["status"].as_str() {
                Some("running") => return Ok(()),
                Some("restore-vm" | "paused" | "prelaunch" | "inmigrate")
                    if began.elapsed() < RUNNING_WITHIN => {}
                _ => return Err(BenchError::Unexpected(format!("-loadvm left the machine {answer}"))),
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// Adds what QEMU printed.
    fn with_log(&self, error: BenchError) -> BenchError {
        let log = std::fs::read_to_string(self.folder.join("qemu.log")).unwrap_or_default();
        BenchError::Unexpected(format!("{}; QEMU printed: {}", error.whole(), log.trim()))
    }

    /// Ends a machine that was brought back, and keeps what it was brought back from.
    pub(crate) async fn unload(&self, desk: Desk) -> Result<(), BenchError> {
        drop(desk);
        let mut monitor = Monitor::connect(&self.folder).await?;
        monitor.ask("quit", json!({})).await?;
        monitor.ended().await
    }
}

/// Waits for a child without holding anybody up, so that it does not stay as a zombie.
fn reap(mut child: Child) {
    std::thread::spawn(move || {
        // How it ended is seen by its connection.
        let _status = child.wait();
    });
}

/// The command line that brings a clone's snapshot back, from the clone's own (arguments end with a zero byte).
fn restoring(command_line: &[u8]) -> Result<Vec<String>, BenchError> {
    let unknown = || BenchError::Unexpected("QEMU's command line is not the one expected".to_owned());
    let text = std::str::from_utf8(command_line).map_err(|_| unknown())?;
    let mut arguments = Vec::new();
    let (mut memory, mut incoming) = (false, false);
    let mut words = text.trim_end_matches('\0').split('\0').skip(1);
    while let Some(word) = words.next() {
        match word {
            "-incoming" => {
                words.next().ok_or_else(unknown)?;
                incoming = true;
            }
            "-object" => {
                let object = words.next().ok_or_else(unknown)?;
                let size = object.split(',').find(|part| part.starts_with("size=")).ok_or_else(unknown)?;
                memory = object.starts_with("memory-backend-file,id=memory,");
                arguments.extend(["-object".to_owned(), format!("memory-backend-ram,id=memory,{size}")]);
            }
            // A clone is told to go on when its state is there; a snapshot that is loaded runs at once.
            "-S" => {}
            word => arguments.push(word.to_owned()),
        }
    }
    if !memory || !incoming {
        return Err(unknown());
    }
    arguments.extend(["-loadvm".to_owned(), SNAPSHOT.to_owned()]);
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_is_restored_by_the_clone_s_own_devices_into_ordinary_memory() {
        let line = b"qemu\0-m\x002048M\0-object\0memory-backend-file,id=memory,size=2048M,mem-path=memory,share=off\0-device\0vmgenid\0-S\0-incoming\0defer\0";
        let expected = [
            "-m",
            "2048M",
            "-object",
            "memory-backend-ram,id=memory,size=2048M",
            "-device",
            "vmgenid",
            "-loadvm",
            "bench",
        ];
        assert_eq!(restoring(line).unwrap(), expected);
    }

    #[test]
    fn a_command_line_of_another_kind_is_refused() {
        for line in [&b"qemu\0-m\x002048M\0"[..], b"qemu\0-incoming\0defer\0", b"qemu\0-object", b"\xff"] {
            assert!(restoring(line).is_err());
        }
    }
}
