//! One machine: a QEMU process, the connection to it, and its state.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::SandboxId;
use nightshift_sandbox::{
    Acceleration, ByteStream, DisplayEndpoint, Expendable, FreezeError, Hold, Machine, MachineEvent,
    MachineState, RequestDenied, Stall, Template,
};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard, broadcast, oneshot, watch};
use tokio::time::timeout;

use crate::channel::ChannelSlot;
use crate::command_line::{CONSOLE, CONSOLE_BYTES};
use crate::disk;
use crate::folder::{Log, Purpose, Record, SandboxFolder, name, remove_folder};
use crate::process::{Process, own_badness};
use crate::qmp::{Qmp, QmpError, QmpEvent};
use crate::template;

/// How long a state may take to be saved or restored. It is a few megabytes; a busy disk may take seconds.
const MIGRATION_LIMIT: Duration = Duration::from_secs(60);
/// How long a state with all of the memory may take to be saved or restored: some gigabytes.
const WHOLE_LIMIT: Duration = Duration::from_secs(600);
/// What may be written of it in a second, in bytes: QEMU spares a network, and there is none.
const WHOLE_BANDWIDTH: u64 = 16 << 30;
/// How long QEMU may take to close its disk and end.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

/// Where the guest's memory is when a state is saved or restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Memory {
    /// In its file: what is shared with a file stays out of the state.
    InItsFile,
    /// In the state, or nowhere in it: all that QEMU knows of is in what it writes and reads.
    AsTheStateHasIt,
}

/// One QEMU, which lives on when this is dropped.
#[derive(Debug)]
pub(crate) struct QemuMachine {
    record: Record,
    folder: SandboxFolder,
    qmp: Qmp,
    process: Arc<Process>,
    state: watch::Sender<MachineState>,
    channel: ChannelSlot,
    /// Held by whoever makes the guest stand still or go on, from looking at it to the end.
    standing: Mutex<()>,
}

impl QemuMachine {
    /// Takes over a QEMU that has been started, and begins to watch for its end. The status is that of a child
    /// of this process.
    pub(crate) fn new(
        record: Record,
        folder: SandboxFolder,
        qmp: Qmp,
        process: Arc<Process>,
        status: Option<oneshot::Receiver<ExitStatus>>,
    ) -> Self {
        let (state, _) = watch::channel(MachineState::Starting);
        // The watcher holds no connection: when the machine is dropped, another owner can connect.
        tokio::spawn(watch_for_end(Arc::clone(&process), status, qmp.events(), folder.log(), state.clone()));
        Self {
            record,
            folder,
            qmp,
            process,
            state,
            channel: ChannelSlot::default(),
            standing: Mutex::default(),
        }
    }

    /// What it is.
    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &SandboxFolder {
        &self.folder
    }

    /// The connection to QEMU.
    pub(crate) fn qmp(&self) -> &Qmp {
        &self.qmp
    }

    /// Moves its state on, if the event is legal in it.
    pub(crate) fn apply(&self, event: MachineEvent) -> Result<(), RequestDenied> {
        apply(&self.state, event)
    }

    /// Notes that the guest runs.
    pub(crate) fn started(&self) {
        self.observe(MachineEvent::Started);
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Makes it the machine of another sandbox while its guest stands still.
    pub(crate) fn give_to(&mut self, sandbox: SandboxId, place: PathBuf) -> io::Result<()> {
        let record = Record { sandbox, ..self.record.clone() };
        // An owner that dies in between leaves a guest that stands still, and the next one removes it.
        self.folder.replace_record(&record)?;
        self.folder.rename(place)?;
        self.record = record;
        Ok(())
    }

    /// Restores the frozen state in the sandbox's folder. The guest stands still.
    pub(crate) async fn restore(&self) -> Result<(), QmpError> {
        let mut events = self.qmp.events();
        self.migrate("migrate-incoming", name::STATE, Memory::InItsFile, &mut events).await
    }

    /// Loads the state in the sandbox's folder into a machine: of the devices, when it has its memory already, or of both.
    pub(crate) async fn load_devices(&self) -> Result<(), QmpError> {
        let mut events = self.qmp.events();
        self.migrate("migrate-incoming", name::STATE, Memory::AsTheStateHasIt, &mut events).await
    }

    /// Writes the state of devices and memory to a file in the sandbox's folder. The guest must stand still.
    pub(crate) async fn save_whole(&self, file: &str) -> Result<(), QmpError> {
        let mut events = self.qmp.events();
        self.qmp.execute("migrate-set-parameters", json!({ "max-bandwidth": WHOLE_BANDWIDTH })).await?;
        self.migrate("migrate", file, Memory::AsTheStateHasIt, &mut events).await
    }

    /// Freezes it into the template it was booted for, and ends it.
    pub(crate) async fn freeze(&self, templates: &Path) -> Result<Template, FreezeError> {
        let not_freezable = || FreezeError::NotFreezable { sandbox: self.record.sandbox.clone() };
        let Purpose::Template { key, staging, image, hypervisor } = self.record.purpose.clone() else {
            return Err(not_freezable());
        };
        apply(&self.state, MachineEvent::FreezeRequested).map_err(|_: RequestDenied| not_freezable())?;

        let saved = self.save().await;
        match &saved {
            Ok(()) => self.observe(MachineEvent::StateSaved),
            Err(error) => self.observe(MachineEvent::SaveFailed { what: error.to_string() }),
        }
        self.end().await;
        let published = match saved {
            Ok(()) => {
                let (templates, staging, plan) =
                    (templates.to_owned(), staging.clone(), self.record.plan.clone());
                tokio::task::spawn_blocking(move || {
                    template::publish(&templates, &staging, key, hypervisor, plan, image)
                })
                .await
                .map_err(io::Error::other)
                .and_then(|published| published)
                .map_err(|source| FreezeError::Io {
                    what: "the template could not be written".to_owned(),
                    source,
                })
            }
            Err(error) => Err(FreezeError::Refused { what: error.to_string() }),
        };
        let removed = self.remove();
        let template = published?;
        removed.map_err(|source| FreezeError::Io {
            what: format!("{} could not be removed", self.folder.path().display()),
            source,
        })?;
        Ok(template)
    }

    async fn save(&self) -> Result<(), QmpError> {
        let mut events = self.qmp.events();
        self.qmp.execute("stop", json!({})).await?;
        self.migrate("migrate", name::STATE, Memory::InItsFile, &mut events).await?;
        match timeout(QUIT_LIMIT, self.qmp.execute("quit", json!({}))).await {
            // It may end before its answer is read.
            Ok(Ok(_) | Err(QmpError::Closed)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                tracing::warn!(sandbox = %self.record.sandbox, "QEMU does not quit after saving its state")
            }
        }
        let _ = timeout(QUIT_LIMIT, self.process.ended()).await;
        Ok(())
    }

    /// Saves the state to its file, or restores it, and waits until that is done.
    async fn migrate(
        &self,
        command: &str,
        file: &str,
        memory: Memory,
        events: &mut broadcast::Receiver<QmpEvent>,
    ) -> Result<(), QmpError> {
        let ignored = memory == Memory::InItsFile;
        let set = |capability: &str, state: bool| json!({ "capability": capability, "state": state });
        let capabilities = json!({ "capabilities": [set("x-ignore-shared", ignored), set("events", true)] });
        self.qmp.execute("migrate-set-capabilities", capabilities).await?;
        self.qmp.execute(command, json!({ "uri": format!("file:{file}") })).await?;
        let limit = match memory {
            Memory::InItsFile => MIGRATION_LIMIT,
            Memory::AsTheStateHasIt => WHOLE_LIMIT,
        };
        match timeout(limit, self.migration_ended(events)).await {
            Ok(result) => result,
            Err(_) => Err(QmpError::Silent { command: command.to_owned() }),
        }
    }

    async fn migration_ended(&self, events: &mut broadcast::Receiver<QmpEvent>) -> Result<(), QmpError> {
        loop {
            let status = match events.recv().await {
                Ok(QmpEvent { name, data }) if name == "MIGRATION" => data["status"].clone(),
                Ok(_) => continue,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    self.qmp.execute("query-migrate", json!({})).await?["status"].clone()
                }
                Err(broadcast::error::RecvError::Closed) => return Err(QmpError::Closed),
            };
            match status.as_str() {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => {
                    let answer = self.qmp.execute("query-migrate", json!({})).await?;
                    let description = answer["error-desc"].as_str().unwrap_or("no reason given").to_owned();
                    return Err(QmpError::Refused { command: "to migrate".to_owned(), description });
                }
                _ => {}
            }
        }
    }

    /// Whether the guest stands still because of its disk, and why somebody made it, if that is the cause.
    ///
    /// QEMU stops it when a write found no room, and by itself for no other cause (`-device virtio-blk,werror=enospc`, its
    /// default; qemu(1)).
    async fn stands_still(&self) -> Result<Option<Option<Hold>>, QmpError> {
        let answer = self.qmp.execute("query-status", json!({})).await?;
        Ok(match answer["status"].as_str() {
            Some("io-error") => Some(None),
            // A guest that stands still for a moment of a checkpoint is not marked. After all of it was saved by QEMU it
            // is the second.
            Some("paused" | "postmigrate") => self.held().map(Some),
            _ => None,
        })
    }

    /// Waits until nobody else makes the guest stand still or go on, and keeps it so until the guard is dropped.
    pub(crate) async fn lock_standing(&self) -> MutexGuard<'_, ()> {
        self.standing.lock().await
    }

    /// Why it was made to stand still, if it is to.
    pub(crate) fn held(&self) -> Option<Hold> {
        disk::read_hold(self.folder.path())
    }

    /// Writes down, for an owner that comes after, that a person lets it go on while its disk is as it was.
    fn remember_who_let_it_go_on(&self) {
        let folder = self.folder.path();
        let free = rustix::fs::statvfs(folder).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        let overruled = self.held().filter(|hold| free.is_ok_and(|free| hold.is_overruled(free)));
        if let Some(hold) = overruled
            && let Err(error) = disk::remember(folder, hold)
        {
            tracing::warn!(sandbox = %self.record.sandbox, %error, "what a person allowed ends with this owner");
        }
    }

    /// Whether it is no more.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.state.borrow(), MachineState::Ended { .. })
    }

    /// Ends the process, if it has not ended, and waits until that is known. There is nothing to save: its files
    /// go with it.
    pub(crate) async fn end(&self) {
        self.process.kill();
        let mut state = self.state.subscribe();
        // The sender is `self`'s, so it is there.
        let _ = state.wait_for(|state| matches!(state, MachineState::Ended { .. })).await;
    }

    /// Removes all it has on disk.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if let Purpose::Template { staging, .. } = &self.record.purpose {
            remove_folder(staging)?;
        }
        self.folder.remove()
    }

    /// Takes note of something seen.
    pub(crate) fn observe(&self, event: MachineEvent) {
        if let Err(denied) = apply(&self.state, event) {
            tracing::error!(%denied, "an observation was denied");
        }
    }
}

#[async_trait]
impl Machine for QemuMachine {
    fn sandbox(&self) -> &SandboxId {
        &self.record.sandbox
    }

    fn acceleration(&self) -> Acceleration {
        self.record.plan.processor.acceleration
    }

    async fn channel(&self) -> io::Result<Box<dyn ByteStream>> {
        Ok(Box::new(self.channel.replace(|| self.folder.connect(name::CHANNEL))?))
    }

    async fn display(&self) -> io::Result<DisplayEndpoint> {
        const DESCRIPTOR: &str = "display";
        let (ours, theirs) = UnixStream::pair()?;
        self.qmp.give_descriptor(DESCRIPTOR, OwnedFd::from(theirs)).await.map_err(io::Error::other)?;
        let arguments = json!({ "protocol": "@dbus-display", "fdname": DESCRIPTOR, "skipauth": true });
        self.qmp.execute("add_client", arguments).await.map_err(io::Error::other)?;
        Ok(DisplayEndpoint::Dbus(OwnedFd::from(ours)))
    }

    async fn stop(&self) -> io::Result<()> {
        match apply(&self.state, MachineEvent::StopRequested) {
            Ok(()) => tracing::debug!(sandbox = %self.record.sandbox, "the machine is stopped"),
            // Whoever else stops it, it is over when it has ended.
            Err(denied) => tracing::debug!(sandbox = %self.record.sandbox, %denied, "no need to stop"),
        }
        self.end().await;
        self.remove()
    }

    fn processor_time(&self) -> Option<Duration> {
        self.process.processor_time()
    }

    async fn ended(&self) -> String {
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| matches!(state, MachineState::Ended { .. })).await;
        match ended.as_deref() {
            Ok(MachineState::Ended { reason }) => reason.to_string(),
            // The sender is `self`'s and the condition is the one above.
            Ok(_) | Err(_) => String::new(),
        }
    }

    async fn stalled(&self) -> Stall {
        let mut events = self.qmp.events();
        // It is asked first: an owner before this one may have heard of it.
        let held = loop {
            // One that does not answer may still tell when it stops.
            if let Ok(Some(held)) = self.stands_still().await {
                break held;
            }
            loop {
                match events.recv().await {
                    // The second comes after the first, when the guest has been stopped.
                    Ok(event) if matches!(event.name.as_str(), "BLOCK_IO_ERROR" | "STOP") => break,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    // It has ended, which others tell.
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        let folder = self.folder.path().to_owned();
        let free_mib = rustix::fs::statvfs(&folder).ok().map(|disk| free_mib(disk.f_bavail, disk.f_frsize));
        Stall { folder, free_mib, held }
    }

    async fn hold(&self, why: Hold) -> io::Result<()> {
        let _turn = self.lock_standing().await;
        let runs = matches!(*self.state.borrow(), MachineState::Running | MachineState::Checkpointing { .. });
        if !runs || !matches!(self.record.purpose, Purpose::Work { .. }) {
            return Err(io::Error::other("it is being made or ended"));
        }
        // The mark comes first: whoever sees the guest stand still without it may take it for one that was left half made.
        disk::mark_held(self.folder.path(), why)?;
        let stopped = self.qmp.execute("stop", json!({})).await;
        if let Err(QmpError::Refused { .. }) = &stopped {
            // Whether it stands still is not known otherwise, and the mark stays.
            let _mostly_gone = disk::unmark(self.folder.path());
        }
        stopped.map(drop).map_err(io::Error::other)
    }

    async fn go_on(&self) -> io::Result<()> {
        let _turn = self.lock_standing().await;
        if matches!(*self.state.borrow(), MachineState::Checkpointing { .. }) {
            return Err(io::Error::other("it is being saved and goes on after that"));
        }
        if self.stands_still().await.map_err(io::Error::other)?.is_some() {
            self.remember_who_let_it_go_on();
            self.qmp.execute("cont", json!({})).await.map_err(io::Error::other)?;
        }
        // Last, so that an owner which dies in between leaves nothing that could not go on.
        disk::unmark(self.folder.path())
    }

    fn set_expendable(&self, expendable: Expendable) {
        if let Err(error) = self.process.set_expendable(expendable, own_badness()) {
            tracing::debug!(sandbox = %self.record.sandbox, %error, "the kernel is not told what may be ended first");
        }
    }

    async fn console(&self) -> io::Result<String> {
        let arguments = json!({ "device": CONSOLE, "size": CONSOLE_BYTES, "format": "utf8" });
        let answer = self.qmp.execute("ringbuf-read", arguments).await.map_err(io::Error::other)?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }
}

/// Moves the state on, if the event is legal in it.
fn apply(state: &watch::Sender<MachineState>, event: MachineEvent) -> Result<(), RequestDenied> {
    let mut outcome = Ok(());
    state.send_if_modified(|state| match state.after(event) {
        Ok(next) => {
            let modified = next != *state;
            *state = next;
            modified
        }
        Err(denied) => {
            outcome = Err(denied);
            false
        }
    });
    outcome
}

async fn watch_for_end(
    process: Arc<Process>,
    status: Option<oneshot::Receiver<ExitStatus>>,
    mut events: broadcast::Receiver<QmpEvent>,
    log: Log,
    state: watch::Sender<MachineState>,
) {
    let mut shutdown = None;
    let mut note = |event: QmpEvent| match event.name.as_str() {
        "SHUTDOWN" => shutdown = event.data["reason"].as_str().map(str::to_owned),
        "BLOCK_IO_ERROR" if event.data["nospace"] == json!(true) => {
            tracing::warn!(log = %log.path().display(), "a machine stands still because the disk is full");
        }
        _ => {}
    };
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Ok(event) => note(event),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            },
            () = process.ended() => break,
        }
    }
    process.ended().await;
    while let Ok(event) = events.try_recv() {
        note(event);
    }
    let status = match status {
        Some(status) => status.await.ok(),
        None => None,
    };
    let what = describe_end(shutdown.as_deref(), status, &log.tail());
    // A process's end is never denied.
    let _ = apply(&state, MachineEvent::ProcessEnded { what });
}

fn free_mib(blocks: u64, block_bytes: u64) -> u64 {
    blocks.saturating_mul(block_bytes) >> 20
}

/// Says in one sentence why a QEMU that nobody asked to ended.
fn describe_end(shutdown: Option<&str>, status: Option<ExitStatus>, log: &str) -> String {
    let cause = match (shutdown, status.and_then(|status| status.signal())) {
        (Some("guest-shutdown"), _) => return "the guest shut itself down".to_owned(),
        (Some("guest-reset"), _) => return "the guest restarted itself".to_owned(),
        (Some("guest-panic"), _) => return "the guest's kernel panicked".to_owned(),
        (_, Some(9)) => "QEMU was killed (signal 9), perhaps because memory ran out".to_owned(),
        (_, Some(signal)) => format!("QEMU was ended by signal {signal}"),
        (_, None) => "QEMU ended by itself".to_owned(),
    };
    if log.is_empty() { cause } else { format!("{cause}; it printed: {log}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_machine_names_who_ended_it() {
        let killed = Some(ExitStatus::from_raw(9));
        let aborted = Some(ExitStatus::from_raw(6));
        let failed = Some(ExitStatus::from_raw(1 << 8));
        let said = [
            describe_end(Some("guest-shutdown"), failed, "noise"),
            describe_end(Some("guest-panic"), None, ""),
            describe_end(None, killed, ""),
            describe_end(None, aborted, "assertion failed"),
            describe_end(Some("host-error"), failed, "no memory"),
            describe_end(None, None, ""),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        the guest shut itself down
        the guest's kernel panicked
        QEMU was killed (signal 9), perhaps because memory ran out
        QEMU was ended by signal 6; it printed: assertion failed
        QEMU ended by itself; it printed: no memory
        QEMU ended by itself
        ");
    }

    #[test]
    fn free_space_is_counted_in_whole_mebibytes() {
        assert_eq!(
            [(0, 4096), (255, 4096), (256, 4096), (u64::MAX, 4096)]
                .map(|(blocks, size)| free_mib(blocks, size)),
            [0, 0, 1, u64::MAX >> 20]
        );
    }
}
