//! Starts a QEMU in a sandbox's folder, and finds one that an earlier owner started.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_protocol::SandboxId;
use nightshift_sandbox::{Expendable, Machine, StartError};
use rustix::process::{PTracer, nice, set_ptracer};
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::checkpoint::{self, LoadError};
use crate::command_line::{Start, arguments};
use crate::disk;
use crate::failure;
use crate::folder::{Purpose, Record, SandboxFolder, name, remove_folder};
use crate::machine::QemuMachine;
use crate::prepare::Prepared;
use crate::process::{Process, own_badness};
use crate::program::Qemu;
use crate::qmp::{Qmp, QmpError};

/// The width and the height of every screen for an absolute pointer (`INPUT_EVENT_ABS_MAX` in QEMU's include/ui/input.h).
const ABSOLUTE_RANGE: u32 = 0x7fff;

/// How much less of a processor a machine gets than its owner when both want it (nice(2)): a third.
const NICENESS: i32 = 5;

/// How long after the end of its connection a QEMU that ends may take to be gone.
const DEATH_LIMIT: Duration = Duration::from_secs(5);

/// What a start has made so far. Dropped before the start has finished, it undoes all of it.
#[derive(Debug, Default)]
pub(crate) struct Unfinished {
    process: Option<Arc<Process>>,
    folders: Vec<PathBuf>,
}

impl Unfinished {
    /// Notes a folder that was made.
    pub(crate) fn made(&mut self, folder: impl Into<PathBuf>) {
        self.folders.push(folder.into());
    }

    /// The start has finished: nothing is undone.
    pub(crate) fn finished(mut self) {
        self.process = None;
        self.folders.clear();
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.kill();
        }
        for folder in &self.folders {
            if let Err(error) = remove_folder(folder) {
                tracing::warn!(folder = %folder.display(), %error, "what a failed start left could not be removed");
            }
        }
    }
}

/// A machine that has all it needs to run. Dropped before it runs, it leaves nothing.
#[derive(Debug)]
pub(crate) struct Standing {
    machine: QemuMachine,
    unfinished: Unfinished,
}

impl Standing {
    /// Gives it to `sandbox`, whose folder its own becomes: QEMU works in the folder, whatever it is called.
    pub(crate) fn give_to(&mut self, sandbox: SandboxId, sandboxes: &Path) -> io::Result<()> {
        let place = sandboxes.join(sandbox.as_str());
        self.machine.give_to(sandbox, place.clone())?;
        self.unfinished.folders = vec![place];
        Ok(())
    }

    /// Lets its guest run for a while, in which the pointer goes along this way over its screen (in thousandths of its width and
    /// height), and stops it again.
    pub(crate) async fn run_for(&self, time: Duration, way: &[(u32, u32)]) -> Result<(), StartError> {
        self.execute("cont", serde_json::json!({})).await?;
        let steps = u32::try_from(way.len()).unwrap_or(u32::MAX).saturating_add(1);
        for (x, y) in way {
            let axis = |axis: &str, thousandths: u32| serde_json::json!({"type": "abs", "data": {"axis": axis, "value": thousandths * ABSOLUTE_RANGE / 1_000}});
            let events = serde_json::json!({"events": [axis("x", *x), axis("y", *y)]});
            self.execute("input-send-event", events).await?;
            tokio::time::sleep(time / steps).await;
        }
        tokio::time::sleep(time / steps).await;
        self.execute("stop", serde_json::json!({})).await
    }

    /// Tells the kernel how soon to end it when memory runs out.
    pub(crate) fn set_expendable(&self, expendable: Expendable) {
        self.machine.set_expendable(expendable);
    }

    async fn execute(&self, command: &str, arguments: serde_json::Value) -> Result<(), StartError> {
        match self.machine.qmp().execute(command, arguments).await {
            Ok(_) => Ok(()),
            Err(error) => Err(explain(&self.machine, error).await),
        }
    }

    /// Lets its guest run.
    pub(crate) async fn go_on(self) -> Result<QemuMachine, StartError> {
        self.execute("cont", serde_json::json!({})).await?;
        Ok(self.started())
    }

    fn started(self) -> QemuMachine {
        self.machine.started();
        self.unfinished.finished();
        self.machine
    }
}

/// Starts a machine that has been prepared, and returns it when its guest runs.
pub(crate) async fn start(qemu: &Qemu, prepared: Prepared, start: Start) -> Result<QemuMachine, StartError> {
    let standing = make(qemu, prepared, start).await?;
    match start {
        Start::Restore => standing.go_on().await,
        // One runs from its beginning; whether the other does was settled when it was loaded.
        Start::Boot | Start::Resume { .. } => Ok(standing.started()),
    }
}

/// Starts the QEMU of a machine that has been prepared, and puts into it what it begins with. The guest of a clone
/// stands still afterwards.
pub(crate) async fn make(qemu: &Qemu, prepared: Prepared, start: Start) -> Result<Standing, StartError> {
    let began = Instant::now();
    let Prepared { folder, record, load, mut unfinished } = prepared;
    let (sandbox, place) = (record.sandbox.clone(), folder.join(name::MONITOR));
    let failed = |what: &str, source| failure::io(what, &place, source);

    // The socket is there before QEMU is, and as long as somebody listens on it QEMU lives.
    let monitor =
        folder.listen(name::MONITOR).map_err(|source| failed("a socket could not be made", source))?;
    let stream =
        folder.connect(name::MONITOR).map_err(|source| failed("QEMU could not be reached", source))?;
    let arguments = arguments(sandbox.as_str(), &record.plan, start);
    let (process, status) = spawn(qemu, &folder, monitor.into(), &arguments)
        .map_err(|source| failed("QEMU could not be started", source))?;
    let process = Arc::new(process);
    unfinished.process = Some(Arc::clone(&process));

    let qmp = match Qmp::connect(stream).await {
        Ok(qmp) => qmp,
        Err(error) => return Err(why(&process, &folder, error).await),
    };
    let greeted = began.elapsed();

    let machine = QemuMachine::new(record, folder, qmp, process, Some(status));
    if start == Start::Restore
        && let Err(error) = machine.restore().await
    {
        return Err(explain(&machine, error).await);
    }
    if let Some(load) = load
        && let Err(error) = checkpoint::load_into(&machine, load).await
    {
        return Err(match error {
            LoadError::Qemu(error) => explain(&machine, error).await,
            LoadError::Other(error) => error,
        });
    }
    tracing::info!(%sandbox, ?greeted, made = ?began.elapsed(), "a machine is made");
    Ok(Standing { machine, unfinished })
}

/// Says why a machine did not start: what QEMU printed when it ended, or what its monitor answered.
async fn explain(machine: &QemuMachine, error: QmpError) -> StartError {
    why(machine.process(), machine.folder(), error).await
}

async fn why(process: &Process, folder: &SandboxFolder, error: QmpError) -> StartError {
    match timeout(DEATH_LIMIT, process.ended()).await {
        Ok(()) => failure::from_log(&folder.log().tail(), folder.path()),
        Err(_) => failure::from_monitor(error),
    }
}

fn spawn(
    qemu: &Qemu,
    folder: &SandboxFolder,
    monitor: OwnedFd,
    arguments: &[String],
) -> io::Result<(Process, oneshot::Receiver<ExitStatus>)> {
    let log = folder.open_log()?;
    let mut command = Command::new(&qemu.program);
    #[expect(
        unsafe_code,
        reason = "there is no safe way to do something in a child before it becomes a program"
    )]
    // SAFETY: between fork and exec the child makes system calls and touches no memory but its stack.
    unsafe {
        command.pre_exec(|| {
            // Where a process may look only into its descendants (Yama, `kernel.yama.ptrace_scope` = 1), an owner that
            // comes later could save no checkpoint. Others of this user may look then too: what is in a sandbox is no
            // secret from them. A kernel without Yama knows nothing of this, and allows it.
            let _ = set_ptracer(PTracer::Any);
            // A guest that keeps its processors busy, with a fork bomb say, does not keep the owner or a person at
            // this machine waiting. It fails only where it is that nice already.
            let _ = nice(NICENESS);
            Ok(())
        });
    }
    let child = command
        .args(arguments)
        .current_dir(folder.path())
        // The owner's environment holds keys.
        .env_clear()
        .stdin(Stdio::from(monitor))
        .stdout(log.try_clone()?)
        .stderr(log)
        // What ends the owner's terminal or its foreground group does not end a machine.
        .process_group(0)
        .spawn()?;
    let (process, status) = Process::of_child(child)?;
    if let Err(error) = process.set_expendable(Expendable::Works, own_badness()) {
        tracing::debug!(%error, "the kernel is not told that a machine ends before its owner");
    }
    Ok((process, status))
}

/// Finds the machine an earlier owner started in `folder`. When none runs there, or one that nobody finished
/// starting or freezing, what it left is removed.
pub(crate) async fn adopt(folder: SandboxFolder) -> Result<Option<QemuMachine>, StartError> {
    let path = folder.path().to_owned();
    let failed = |what: &str, source| failure::io(what, &path, source);
    let record = folder.read_record();
    let stream = match folder.connect(name::MONITOR) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            clear_away(&folder, &record, None);
            return Ok(None);
        }
        Err(error) => return Err(failed("a machine's socket could not be opened", error)),
    };
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    match take_hold(&folder, stream, peer).await {
        Ok((qmp, process, usable)) => match record {
            Ok(record) if usable => {
                let machine = QemuMachine::new(record, folder, qmp, Arc::new(process), None);
                machine.started();
                Ok(Some(machine))
            }
            record => {
                clear_away(&folder, &record, Some(process));
                Ok(None)
            }
        },
        // It ended just now.
        Err(QmpError::Closed) => {
            clear_away(&folder, &record, None);
            Ok(None)
        }
        Err(error) => {
            // It lives and does not answer. The kernel says who listens on the socket; if that is whom the file
            // names, it is this QEMU.
            let id = folder.read_process_id().ok().filter(|id| Some(*id) == peer);
            match id.map(Process::open) {
                Some(Ok(process)) => {
                    tracing::warn!(folder = %path.display(), %error, "a machine does not answer and is ended");
                    clear_away(&folder, &record, Some(process));
                    Ok(None)
                }
                Some(Err(_)) | None => Err(failure::from_monitor(error)),
            }
        }
    }
}

/// Ends and removes all that is left of a machine. It waits for nothing: who looks for a machine may stop at any moment, and
/// the machine must outlive that.
fn clear_away(folder: &SandboxFolder, record: &io::Result<Record>, process: Option<Process>) {
    let mut leftovers = Unfinished::default();
    leftovers.made(folder.path());
    leftovers.process = process.map(Arc::new);
    if let Ok(Record { purpose: Purpose::Template { staging, .. }, .. }) = record {
        leftovers.made(staging);
    }
}

/// Connects to the QEMU behind `stream` and takes hold of its process; tells whether the machine is one that
/// works, or one that an owner left half made.
async fn take_hold(
    folder: &SandboxFolder,
    stream: tokio::net::UnixStream,
    peer: Option<i32>,
) -> Result<(Qmp, Process, bool), QmpError> {
    let qmp = Qmp::connect(stream).await?;
    // QEMU writes the file before it greets. Without it, the kernel knows who listens.
    let id = folder.read_process_id().ok().or(peer).ok_or(QmpError::Closed)?;
    let process = Process::open(id).map_err(|_| QmpError::Closed)?;
    // An answer after the process was taken hold of proves that it is the one that answers: while it lives, its
    // number can go to no other.
    let answer = qmp.execute("query-status", serde_json::json!({})).await?;
    let usable = match answer["status"].as_str() {
        // QEMU stands still by itself with `io-error` when the disk is full, and can go on.
        Some("running" | "io-error") => {
            // A mark that an owner had no time to take away.
            let _mostly_not_there = disk::unmark(folder.path());
            true
        }
        // It was made to stand still, and goes on doing so. The second is what QEMU calls it when it saved all of it since.
        Some("paused" | "postmigrate") if disk::read_hold(folder.path()).is_some() => {
            let _of_a_checkpoint = checkpoint::take_mark(folder.path());
            true
        }
        // An owner that died while it saved a checkpoint left the guest standing. Nothing is lost by going on.
        Some("paused" | "save-vm" | "postmigrate") if checkpoint::take_mark(folder.path()) => {
            qmp.execute("cont", serde_json::json!({})).await.is_ok()
        }
        _ => false,
    };
    Ok((qmp, process, usable))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use nightshift_sandbox::{Hold, MachineSize};
    use serde_json::{Value, json};

    use super::*;
    use crate::command_line::{MachinePlan, Processor};
    use crate::image::Screen;

    /// The folder of a machine that an earlier owner left, with the monitor that its QEMU listens on.
    struct Left {
        above: tempfile::TempDir,
        monitor: UnixListener,
        qemu: std::process::Child,
    }

    impl Left {
        fn new() -> Self {
            let above = tempfile::tempdir().unwrap();
            let folder = SandboxFolder::create(above.path().join("sandbox")).unwrap();
            let plan = MachinePlan {
                processor: Processor::translated(),
                size: MachineSize::default(),
                screen: Screen { width: 1280, height: 800 },
                kernel_command_line: "quiet".to_owned(),
            };
            let purpose = Purpose::Work { hypervisor: "QEMU".to_owned(), below: Vec::new() };
            folder
                .write_record(&Record { sandbox: "sandbox-0123456789".parse().unwrap(), plan, purpose })
                .unwrap();
            let monitor = folder.listen(name::MONITOR).unwrap();
            let qemu = std::process::Command::new("sleep").arg("60").spawn().unwrap();
            folder.write(name::PROCESS_ID, qemu.id().to_string().as_bytes()).unwrap();
            Self { above, monitor, qemu }
        }

        fn folder(&self) -> SandboxFolder {
            SandboxFolder::open(self.path()).unwrap()
        }

        fn path(&self) -> PathBuf {
            self.above.path().join("sandbox")
        }

        /// Answers each command of who connects; the guest's status is `status`.
        fn answers(&self, status: &'static str) {
            let monitor = self.monitor.try_clone().unwrap();
            std::thread::spawn(move || {
                let stream = monitor.accept().unwrap().0;
                answer_all(&stream, status);
            });
        }
    }

    impl Drop for Left {
        fn drop(&mut self) {
            self.qemu.kill().unwrap();
            self.qemu.wait().unwrap();
        }
    }

    fn answer_all(mut stream: &UnixStream, status: &str) {
        use std::io::{BufRead, BufReader, Write};

        stream.write_all(b"{\"QMP\": {\"version\": {}, \"capabilities\": []}}\n").unwrap();
        for line in BufReader::new(stream).lines() {
            // It hangs up when it has seen enough.
            let Ok(line) = line else { return };
            let command: Value = serde_json::from_str(&line).unwrap();
            let answer = json!({ "return": { "status": status }, "id": command["id"] });
            if writeln!(stream, "{answer}").is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_machine_outlives_whoever_stops_looking_for_it_before_it_answers() {
        let mut left = Left::new();
        let waited = timeout(Duration::from_millis(50), adopt(left.folder())).await;
        assert!(waited.is_err(), "its monitor says nothing");
        assert!(left.path().join(name::RECORD).exists());
        assert_eq!(left.qemu.try_wait().unwrap(), None);
    }

    #[tokio::test]
    async fn a_guest_that_stands_still_is_taken_over_only_if_it_was_made_to() {
        for status in ["paused", "postmigrate"] {
            let held = Left::new();
            let hold = Hold::Quota { written_bytes: 3, quota_bytes: 2 };
            disk::mark_held(&held.path(), hold).unwrap();
            held.answers(status);
            let machine = adopt(held.folder()).await.unwrap().unwrap();
            assert_eq!(machine.held(), Some(hold), "{status}");
            let stall = timeout(DEATH_LIMIT, machine.stalled()).await.unwrap();
            assert_eq!(stall.held, Some(hold), "{status}");
            machine.go_on().await.unwrap();
            assert_eq!(machine.held(), None, "{status}");

            let half_made = Left::new();
            half_made.answers(status);
            assert!(adopt(half_made.folder()).await.unwrap().is_none(), "{status}");
            assert!(!half_made.path().exists(), "{status}");
        }
    }

    #[tokio::test]
    async fn a_held_guest_keeps_its_mark_while_it_is_saved_and_when_its_state_is_not_known() {
        use nightshift_sandbox::{AfterSave, MachineEvent};

        let hold = Hold::Quota { written_bytes: 3, quota_bytes: 2 };
        let left = Left::new();
        left.answers("paused");
        disk::mark_held(&left.path(), hold).unwrap();
        let machine = adopt(left.folder()).await.unwrap().unwrap();
        machine.apply(MachineEvent::CheckpointRequested { then: AfterSave::GoOn }).unwrap();
        assert!(machine.go_on().await.is_err());
        assert_eq!(machine.held(), Some(hold));
        machine.apply(MachineEvent::StateSaved).unwrap();
        machine.go_on().await.unwrap();
        assert_eq!(machine.held(), None);

        let silent = Left::new();
        disk::mark_held(&silent.path(), hold).unwrap();
        let monitor = silent.monitor.try_clone().unwrap();
        let (hang_up, told) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let stream = monitor.accept().unwrap().0;
            let other = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                let _dropped = told.recv();
                other.shutdown(std::net::Shutdown::Both).unwrap();
            });
            answer_all(&stream, "paused");
        });
        let machine = adopt(silent.folder()).await.unwrap().unwrap();
        drop(hang_up);
        while machine.qmp().execute("query-status", json!({})).await.is_ok() {}
        assert!(machine.go_on().await.is_err());
        assert_eq!(machine.held(), Some(hold));
    }
}
