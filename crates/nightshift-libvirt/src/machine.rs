//! One machine on a host.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::SandboxId;
use nightshift_sandbox::{
    Acceleration, ByteStream, DisplayEndpoint, EndReason, Machine, MachineEvent, MachineState, RequestDenied,
};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::connection::{ANSWER_WITHIN, Host};
use crate::domain::{CHANNEL_PORT, attribute};
use crate::host::Road;
use crate::records::{Kind, MachineRecord, Records, Volumes, unneeded};
use crate::stream;
use crate::trouble::HostError;

/// The time between two looks whether a machine still runs.
const LOOK_EVERY: Duration = Duration::from_millis(700);

/// How many looks may fail for want of the host before it is said that the machine ended: half an hour of an
/// unreachable host is no end of its machines, but nobody learns otherwise.
const LOOKS_IN_VAIN: u32 = 2_500;

/// How long ssh may take to reach the host and open its way.
const TUNNEL_WITHIN: Duration = Duration::from_secs(30);

/// A machine.
#[derive(Debug)]
pub(crate) struct LibvirtMachine {
    pub(crate) sandbox: SandboxId,
    pub(crate) host: Arc<Host>,
    pub(crate) records: Records,
    /// What is known of it now: a checkpoint puts a layer on its disk. Held while that happens.
    pub(crate) record: tokio::sync::Mutex<MachineRecord>,
    acceleration: Acceleration,
    booted: bool,
    state: watch::Sender<MachineState>,
    /// The ssh that leads to the screen.
    tunnel: Mutex<Option<(Child, tempfile::TempDir)>>,
}

impl LibvirtMachine {
    /// A machine that runs.
    pub(crate) fn running(
        sandbox: SandboxId,
        host: Arc<Host>,
        records: Records,
        record: MachineRecord,
    ) -> Arc<Self> {
        let machine = Arc::new(Self {
            sandbox,
            acceleration: record.plan.acceleration,
            booted: record.booted,
            host,
            records,
            record: tokio::sync::Mutex::new(record),
            state: watch::Sender::new(MachineState::Running),
            tunnel: Mutex::default(),
        });
        let (weak, host, name) =
            (Arc::downgrade(&machine), Arc::clone(&machine.host), machine.sandbox.to_string());
        tokio::spawn(async move {
            let mut in_vain = 0;
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let looked = name.clone();
                let looked = host.call(ANSWER_WITHIN, move |connection| connection.exists(&looked)).await;
                let Some(machine) = weak.upgrade() else { return };
                let what = match looked {
                    Ok(true) => {
                        in_vain = 0;
                        continue;
                    }
                    Ok(false) => "its virtual machine ended: it switched itself off, crashed, or was ended by somebody on its host".to_owned(),
                    Err(error) => {
                        in_vain += 1;
                        if in_vain < LOOKS_IN_VAIN {
                            continue;
                        }
                        error.to_string()
                    }
                };
                // A machine's end is never denied.
                let _ = machine.apply(MachineEvent::ProcessEnded { what });
                return;
            }
        });
        machine
    }

    /// Moves the state on, if the event is legal in it.
    pub(crate) fn apply(&self, event: MachineEvent) -> Result<(), RequestDenied> {
        let mut outcome = Ok(());
        self.state.send_if_modified(|state| match state.after(event) {
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

    pub(crate) fn has_ended(&self) -> bool {
        matches!(*self.state.borrow(), MachineState::Ended { .. })
    }

    /// Ends the machine and removes what only it needs. The layers that checkpoints need stay.
    pub(crate) async fn remove(&self) -> Result<(), HostError> {
        let record = self.record.lock().await.clone();
        remove(&self.host, &self.records, &self.sandbox, &record).await?;
        let _ = self.apply(MachineEvent::ProcessEnded { what: EndReason::Stopped.to_string() });
        Ok(())
    }

    /// Opens a way to the screen's socket on another host, by OpenSSH's forwarding of Unix sockets (ssh(1), `-L`).
    async fn tunnel(&self, road: &Road, socket: &str) -> io::Result<std::os::unix::net::UnixStream> {
        let Road::Ssh { user, host, port, key } = road else {
            return Err(io::Error::other("there is no way to the screen of such a host"));
        };
        let folder = tempfile::Builder::new().prefix("nightshift-").tempdir()?;
        let local = folder.path().join("vnc");
        let mut command = Command::new("ssh");
        command.args(["-N", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]);
        command.args(["-o", "ServerAliveInterval=15"]);
        if let Some(user) = user {
            command.args(["-l", user]);
        }
        if let Some(port) = port {
            command.args(["-p", &port.to_string()]);
        }
        if let Some(key) = key {
            command.args(["-i", key]);
        }
        command.arg("-L").arg(format!("{}:{socket}", local.display())).arg("--").arg(host);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut ssh = command.spawn()?;
        let deadline = tokio::time::Instant::now() + TUNNEL_WITHIN;
        let stream = loop {
            if let Ok(stream) = std::os::unix::net::UnixStream::connect(&local) {
                break stream;
            }
            if ssh.try_wait()?.is_some() || tokio::time::Instant::now() > deadline {
                ssh.start_kill().ok();
                let said = ssh.wait_with_output().await?;
                let said = String::from_utf8_lossy(&said.stderr).trim().to_owned();
                return Err(io::Error::other(format!("ssh opened no way to the screen: {said}")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        *self.tunnel.lock().unwrap_or_else(PoisonError::into_inner) = Some((ssh, folder));
        Ok(stream)
    }
}

/// Ends a machine and removes what only it needs.
pub(crate) async fn remove(
    host: &Arc<Host>,
    records: &Records,
    sandbox: &SandboxId,
    record: &MachineRecord,
) -> Result<(), HostError> {
    let name = sandbox.to_string();
    host.call(ANSWER_WITHIN, move |connection| connection.destroy(&name)).await?;
    forget(host, records, Kind::Machines, sandbox.as_str(), record).await
}

/// Removes a record and the volumes that no other needs.
pub(crate) async fn forget(
    host: &Arc<Host>,
    records: &Records,
    kind: Kind,
    name: &str,
    record: &(impl Volumes + Sync),
) -> Result<(), HostError> {
    let _one_at_a_time = host.forgetting.lock().await;
    let here = |error: io::Error| HostError::Refused {
        host: host.settings.name.clone(),
        what: format!("the record of it here could not be removed: {error}"),
    };
    let (volumes, kept) = {
        // All others, and not this one: the volumes go first, so that what fails can be tried again.
        let others: Vec<(Kind, String)> = records
            .index()
            .into_iter()
            .filter(|(other, one)| (*other, one.as_str()) != (kind, name))
            .collect();
        let left = records.of(&others);
        let left: Vec<&dyn Volumes> = left.iter().map(|one| &**one as &dyn Volumes).collect();
        let kept: BTreeSet<String> = left.iter().flat_map(|one| one.volumes()).map(str::to_owned).collect();
        (unneeded(record, &left), kept)
    };
    // An owner that ended in the middle of something may have left more of it than was written down.
    let stray = format!("{name}.");
    let pool = host.settings.pool.clone();
    host.call(ANSWER_WITHIN, move |connection| {
        let pool = connection.pool(&pool)?;
        pool.refresh()?;
        volumes.iter().try_for_each(|volume| pool.delete(volume))?;
        let names = pool.names()?;
        let strays = names.iter().filter(|volume| volume.starts_with(&stray) && !kept.contains(*volume));
        strays.into_iter().try_for_each(|volume| pool.delete(volume))
    })
    .await?;
    records.remove(kind, name).map_err(here)
}

#[async_trait]
impl Machine for LibvirtMachine {
    fn sandbox(&self) -> &SandboxId {
        &self.sandbox
    }

    fn acceleration(&self) -> Acceleration {
        self.acceleration
    }

    fn booted(&self) -> bool {
        self.booted
    }

    async fn channel(&self) -> io::Result<Box<dyn ByteStream>> {
        let name = self.sandbox.to_string();
        let opened = self.host.call_apart(move |connection| stream::open(connection, &name, CHANNEL_PORT));
        let socket = opened.await.map_err(io::Error::other)?;
        Ok(Box::new(tokio::net::UnixStream::from_std(socket)?))
    }

    async fn display(&self) -> io::Result<DisplayEndpoint> {
        let name = self.sandbox.to_string();
        let road = self.host.settings.road().map_err(io::Error::other)?;
        if road == Road::Here {
            let handed = self.host.call(ANSWER_WITHIN, move |connection| connection.graphics(&name)).await;
            return handed.map(DisplayEndpoint::Vnc).map_err(io::Error::other);
        }
        let described = self.host.call(ANSWER_WITHIN, move |connection| connection.description(&name)).await;
        let described = described.map_err(io::Error::other)?;
        let socket = attribute(&described, "<listen type='socket'", "socket")
            .ok_or_else(|| io::Error::other("the host does not say where the screen is"))?;
        Ok(DisplayEndpoint::Vnc(OwnedFd::from(self.tunnel(&road, &socket).await?)))
    }

    async fn stop(&self) -> io::Result<()> {
        let _ = self.apply(MachineEvent::StopRequested);
        self.remove().await.map_err(io::Error::other)
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
}
