//! A sandbox in use: its machine with the guest channel and the screen attached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nightshift_channel::{Channel, Command, Completed, GuestUser, Identity, JobStatus};
use nightshift_protocol::{Clock, Entropy, ErrorCode, SandboxFacts, UserError};
use nightshift_sandbox::{CloneRequest, DisplayEndpoint, Driver, Machine, RestoreRequest, StartError};
use nightshift_screen::{DamageReceiver, Ended, Screen, Settled};
use tokio::runtime::Handle;

use crate::intake::there;
use crate::pace;
use crate::spare_keys::SpareKeys;
use crate::tools::job_id;

/// How long a guest may take to answer after its machine runs. Cloned guests answer in tens of milliseconds.
const CHANNEL_WITHIN: Duration = Duration::from_secs(20);

/// The same of a guest that boots: a minute under emulation on a busy host, and another until its browser is open.
pub(crate) const BOOT_WITHIN: Duration = Duration::from_secs(600);
const FRAME_WITHIN: Duration = Duration::from_secs(20);

/// A sandbox in use.
#[derive(Clone)]
pub struct Desk {
    /// The machine.
    pub machine: Arc<dyn Machine>,
    /// The guest channel.
    pub channel: Channel,
    /// Its screen.
    pub screen: Screen,
    /// Its keys that characters were given.
    pub(crate) spare_keys: Arc<tokio::sync::Mutex<SpareKeys>>,
}

/// A sandbox cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// The machine is gone.
    #[error("the sandbox has ended: {reason}")]
    Ended {
        /// Why.
        reason: String,
    },
    /// The guest program does not answer.
    #[error("the sandbox does not answer on its channel: {what}")]
    Silent {
        /// What was tried and why it failed.
        what: String,
    },
    /// The screen cannot be seen.
    #[error("the sandbox's screen cannot be reached: {what}")]
    Dark {
        /// What was tried and why it failed.
        what: String,
    },
    /// The machine did not start.
    #[error("{0}")]
    Start(#[from] StartError),
}

impl Desk {
    /// Attaches to a running machine; what it sends is taken in on `threads`.
    pub async fn attach(
        machine: Arc<dyn Machine>,
        entropy: &dyn Entropy,
        channel_within: Duration,
        threads: &Handle,
    ) -> Result<Self, DeskError> {
        let (channel, screen) = tokio::join!(
            open_channel(machine.as_ref(), entropy, channel_within, threads),
            open_screen(machine.as_ref(), threads)
        );
        Ok(Self { machine, channel: channel?, screen: screen?, spare_keys: Arc::default() })
    }

    /// Waits until the screen has settled after an action, of which `damage` has followed the effects since before.
    pub async fn settle(&self, damage: &mut DamageReceiver) -> Result<Settled, Ended> {
        let limits = pace::limits(self.machine.acceleration());
        damage.settle_while(limits, &|| self.machine.processor_time()).await
    }

    /// Clones a template, gives the clone an identity of its own, and returns it once it shows its desktop and
    /// has answered a shell command.
    pub async fn clone_template(
        driver: &dyn Driver,
        request: CloneRequest,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        threads: &Handle,
    ) -> Result<(Self, SandboxFacts), DeskError> {
        let began = Instant::now();
        let template = request.template.key.to_string();
        let sandbox = request.sandbox.clone();
        let machine = driver.clone_template(request).await?;
        tracing::debug!(after = ?began.elapsed(), "the clone runs");
        let shown = async {
            let screen = open_screen(machine.as_ref(), threads).await?;
            tracing::debug!(after = ?began.elapsed(), "the clone's display is attached");
            screen
                .first_frame(FRAME_WITHIN)
                .await
                .map_err(|error| DeskError::Dark { what: error.to_string() })?;
            Ok::<_, DeskError>((screen, began.elapsed()))
        };
        let answered = async {
            let within = if machine.booted() { BOOT_WITHIN } else { CHANNEL_WITHIN };
            let channel = open_channel(machine.as_ref(), entropy, within, threads).await?;
            tracing::debug!(after = ?began.elapsed(), "the clone's guest program answers");
            let identified = async {
                let identity = identity(sandbox.as_str(), clock, entropy);
                channel
                    .set_identity(identity)
                    .await
                    .map_err(|error| DeskError::Silent { what: format!("giving it an identity: {error}") })?;
                tracing::debug!(after = ?began.elapsed(), "the clone has an identity");
                Ok(())
            };
            // The first command is ours and does nothing, so it need not wait for the identity: the guest has two
            // processors.
            let answer = shell(&channel, "first-answer", "true", GuestUser::Agent, Duration::from_secs(20));
            tokio::try_join!(identified, answer)?;
            let answered = began.elapsed();
            if machine.booted() {
                open_browser(&channel, &|| {}).await?;
            }
            Ok::<_, DeskError>((channel, answered))
        };
        let ((screen, first_frame), (channel, shell)) = tokio::try_join!(shown, answered)?;
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let facts = SandboxFacts {
            checkpoints: driver.checkpoints().is_some(),
            environment: None,
            driver: driver.name().to_owned(),
            acceleration: machine.acceleration().to_string(),
            template,
            first_frame_ms: milliseconds(first_frame),
            shell_ms: milliseconds(shell),
            ready_ms: milliseconds(first_frame.max(shell)),
        };
        Ok((Self { machine, channel, screen, spare_keys: Arc::default() }, facts))
    }
}

impl Desk {
    /// Brings a sandbox back from a checkpoint and gives it fresh randomness, the time and its name, before anything
    /// else is done in it.
    pub(crate) async fn restore(
        driver: &dyn Driver,
        request: RestoreRequest,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        threads: &Handle,
    ) -> Result<Self, DeskError> {
        let sandbox = request.sandbox.clone();
        let checkpoints = driver.checkpoints().ok_or_else(|| DeskError::Ended {
            reason: format!("the driver {} has no checkpoints", driver.name()),
        })?;
        let machine = checkpoints.restore(request).await?;
        let desk = Self::attach(machine, entropy, CHANNEL_WITHIN, threads).await?;
        let identity = identity(sandbox.as_str(), clock, entropy);
        desk.channel
            .set_identity(identity)
            .await
            .map_err(|error| DeskError::Silent { what: format!("giving it an identity: {error}") })?;
        Ok(desk)
    }
}

async fn open_channel(
    machine: &dyn Machine,
    entropy: &dyn Entropy,
    within: Duration,
    threads: &Handle,
) -> Result<Channel, DeskError> {
    let silent = |error: &dyn std::error::Error| DeskError::Silent { what: error.to_string() };
    let stream = machine.channel().await.map_err(|error| silent(&error))?;
    let mut nonce = [0_u8; 16];
    entropy.fill(&mut nonce);
    let opened = there(threads, async move { Channel::open(stream, nonce, within).await }).await;
    opened.map_err(|error| silent(&error))?.map_err(|error| silent(&error))
}

async fn open_screen(machine: &dyn Machine, threads: &Handle) -> Result<Screen, DeskError> {
    let dark = |error: &dyn std::error::Error| DeskError::Dark { what: error.to_string() };
    let endpoint = machine.display().await.map_err(|error| dark(&error))?;
    let opened = there(threads, async move {
        match endpoint {
            DisplayEndpoint::Dbus(socket) => {
                Screen::attach(socket).await.map_err(|error| DeskError::Dark { what: error.to_string() })
            }
            DisplayEndpoint::Vnc(socket) => open_vnc(socket).await,
        }
    });
    opened.await.map_err(|error| dark(&error))?
}

#[cfg(feature = "vnc")]
async fn open_vnc(socket: std::os::fd::OwnedFd) -> Result<Screen, DeskError> {
    let dark = |what: String| DeskError::Dark { what };
    let stream = std::os::unix::net::UnixStream::from(socket);
    let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
    let stream = stream.map_err(|error| dark(error.to_string()))?;
    Screen::attach_vnc(stream).await.map_err(|error| dark(error.to_string()))
}

#[cfg(not(feature = "vnc"))]
async fn open_vnc(_: std::os::fd::OwnedFd) -> Result<Screen, DeskError> {
    Err(DeskError::Dark { what: "its host has only VNC, and this program is built without it".to_owned() })
}

/// Waits for the desktop of a machine that boots, starts the browser and waits for its start page.
pub(crate) async fn open_browser(
    channel: &Channel,
    at_the_browser: &(dyn Fn() + Sync),
) -> Result<(), DeskError> {
    let until_desktop = "until [ -e /run/nightshift/desktop-ready ]; do sleep 0.3; done";
    shell(channel, "desktop", until_desktop, GuestUser::Agent, BOOT_WITHIN).await?;
    at_the_browser();
    let browser = Command::shell(job_id("browser"), "exec nightshift-browser").user(GuestUser::Agent);
    channel
        .start(browser)
        .await
        .map_err(|error| DeskError::Silent { what: format!("starting the browser: {error}") })?;
    // The start page has a title of its own once it is loaded.
    let until_page = "until curl -sf http://127.0.0.1:9222/json/list | grep -q '\"title\": \"Nightshift\"'; do sleep 0.5; done";
    shell(channel, "browser-page", until_page, GuestUser::Agent, BOOT_WITHIN).await.map(drop)
}

/// What makes a clone unlike its siblings.
fn identity(name: &str, clock: &dyn Clock, entropy: &dyn Entropy) -> Identity {
    let mut seed = vec![0_u8; 64];
    entropy.fill(&mut seed);
    let mut machine_id = [0_u8; 16];
    entropy.fill(&mut machine_id);
    Identity {
        host_name: name.to_owned(),
        machine_id,
        entropy: seed,
        // 64 bits of nanoseconds reach to the year 2262.
        clock_unix_nanoseconds: i64::try_from(clock.now().unix_timestamp_nanos()).unwrap_or(i64::MAX),
    }
}

/// Runs a short script to its end and returns its output; anything but exit status 0 is an error.
pub async fn shell(
    channel: &Channel,
    job: &str,
    script: &str,
    user: GuestUser,
    within: Duration,
) -> Result<Completed, DeskError> {
    let silent = |what: String| DeskError::Silent { what };
    let command = Command::shell(job_id(job), script).user(user).time_limit(within);
    let started = channel.start(command).await.map_err(|error| silent(format!("starting {job}: {error}")))?;
    let completed =
        started.collect(64 * 1024).await.map_err(|error| silent(format!("waiting for {job}: {error}")))?;
    if completed.exit.status == JobStatus::Code(0) {
        Ok(completed)
    } else {
        let output = String::from_utf8_lossy(&completed.stdout);
        Err(silent(format!("{job} ended with {:?}: {}", completed.exit.status, output.trim())))
    }
}

/// What a person is told of a sandbox that cannot be used.
impl From<DeskError> for UserError {
    fn from(error: DeskError) -> Self {
        match &error {
            DeskError::Start(
                StartError::ProgramMissing { remedy, .. } | StartError::Unsuitable { remedy, .. },
            ) => Self::new(ErrorCode::QemuMissing, error.to_string(), remedy.0.clone()),
            DeskError::Start(StartError::NoRoom { remedy, .. }) => {
                Self::new(ErrorCode::OutOfMemory, error.to_string(), remedy.0.clone())
            }
            DeskError::Start(StartError::DiskFull { .. }) => Self::new(
                ErrorCode::DiskFull,
                error.to_string(),
                "Free some space, then `nightshift continue` the run.",
            ),
            DeskError::Start(_) => Self::new(
                ErrorCode::SandboxFailed,
                error.to_string(),
                "`nightshift doctor` tries a virtual machine and says what is wrong.",
            ),
            DeskError::Ended { .. } | DeskError::Silent { .. } | DeskError::Dark { .. } => Self::new(
                ErrorCode::SandboxFailed,
                error.to_string(),
                "Work that was not delivered is gone with the sandbox; submit the task again.",
            ),
        }
    }
}
