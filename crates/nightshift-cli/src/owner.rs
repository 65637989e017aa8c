//! The owner: put together from its parts and run in the foreground; `nightshift-client` finds it and starts it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use nightshift_api::Api;
use nightshift_client::{Client, Folders, beside, private_folder, unusable};
use nightshift_forge::{Forge, Git};
use nightshift_model::Model;
use nightshift_protocol::{Clock, Entropy, ErrorCode, OffsetDateTime, OwnerAddress, RunId, UserError};
use nightshift_qemu::{QemuDriver, QemuProgram, QemuSettings};
use nightshift_sandbox::{Driver, MachineSize};
use nightshift_server::{Access, Guard};
use nightshift_store::Store;
use nightshift_supervisor::{Images, Supervisor, SupervisorParts, SupervisorSettings};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

use crate::access::{self, Kept, Listen};
use crate::accounts;
use crate::configuration::{self, Configuration};
use crate::egress;
use crate::environment::Environment;
use crate::hosts;
use crate::providers;
use crate::settings::Keeper;

/// The system's clock.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }

    fn slept(&self) -> Duration {
        // One goes on while the computer sleeps and the other does not (clock_gettime(2)). Neither is negative.
        let [with, without] = [ClockId::Boottime, ClockId::Monotonic]
            .map(|clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default());
        with.saturating_sub(without)
    }
}

/// The kernel's random numbers.
#[derive(Debug)]
struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut filled = 0;
        while filled < bytes.len() {
            // Only a signal interrupts it; the pool is initialised long before a user logs in.
            if let Ok(more) =
                rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
            {
                filled += more;
            }
        }
    }
}

/// Finds the folders, or says why there are none.
pub(crate) fn folders(environment: &Environment) -> Result<Folders, UserError> {
    Folders::of(&environment.base)
}

/// Connects to the owner, starting it when none runs. One that is just ending is waited for.
pub(crate) async fn connect(environment: &Environment) -> Result<Client, UserError> {
    let path = environment.executable.clone().unwrap_or_else(|| PathBuf::from("nightshift"));
    let when_missing = "It was replaced or removed while it ran: start the command again.".to_owned();
    let program = nightshift_client::Program { path, when_missing, ..nightshift_client::Program::default() };
    nightshift_client::connect(&folders(environment)?, &program).await
}

/// Connects again while `run` is followed. An owner that crashed is started again; one that was stopped stays so.
pub(crate) async fn reconnect(environment: &Environment, run: &RunId) -> Result<Client, UserError> {
    // An owner that ends as it was told takes its address away.
    if !folders(environment)?.owner_file().exists() {
        return Err(UserError::new(
            ErrorCode::OwnerUnreachable,
            format!("the owner was stopped while {run} was followed"),
            format!("The run is kept. `nightshift watch {run}` starts the owner and the run goes on."),
        ));
    }
    connect(environment).await
}

/// Connects again while all runs are watched, likewise.
pub(crate) async fn connect_again(environment: &Environment) -> Result<Client, UserError> {
    if !folders(environment)?.owner_file().exists() {
        return Err(UserError::new(
            ErrorCode::OwnerUnreachable,
            "the owner was stopped while its runs were watched",
            "They are kept. Any nightshift command starts the owner, and they go on.",
        ));
    }
    connect(environment).await
}

/// Tells the owner to end and waits until it has let its folders go. Returns whether there was one.
pub(crate) async fn stop(environment: &Environment) -> Result<bool, UserError> {
    nightshift_client::stop(&folders(environment)?).await
}

/// Runs the owner until it is told to end.
pub(crate) async fn serve(environment: &Environment, listen: Listen) -> Result<(), UserError> {
    let folders = folders(environment)?;
    let io = |what: &'static str| {
        move |error: std::io::Error| {
            UserError::new(ErrorCode::Internal, format!("{what}: {error}"), "Start it again.")
        }
    };
    let file = |path: PathBuf| move |error: std::io::Error| unusable(ErrorCode::Internal, &path, &error);
    private_folder(&folders.data).map_err(file(folders.data.clone()))?;
    let _lock = take_lock(&folders)?;
    let configuration = configuration::read(&folders.configuration)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let kept = access::read(&folders.access_file(), entropy.as_ref());
    let listener = access::listen(&listen, kept.port).await?;
    let socket = listener.local_addr().map_err(io("listening"))?;
    let port = socket.port();
    access::write(&folders.access_file(), &Kept { port, ..kept.clone() })
        .map_err(file(folders.access_file()))?;
    let url = if socket.ip().is_unspecified() || socket.ip().is_loopback() {
        format!("http://127.0.0.1:{port}")
    } else {
        format!("http://{socket}")
    };
    let (api, supervisor) = assemble(environment, &folders, &configuration, &entropy, &url).await?;
    let restart = Arc::new(Notify::new());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let told = Arc::clone(&restart);
    let keeper = Keeper::new(environment, &folders, configuration, clock, Arc::clone(&entropy), told);
    let api = api.with_settings(Arc::new(keeper));
    supervisor.resume().await?;
    supervisor.watch_forge().await;

    if !socket.ip().is_loopback() {
        tracing::warn!(%socket, "the owner can be reached from other machines, over HTTP without encryption");
    }
    let names = names(listen.names, socket);
    let address = OwnerAddress {
        pid: std::process::id(),
        url,
        token: kept.token,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let access = Access { token: address.token.clone(), port, names };
    let guard = Guard::new(access, Arc::new(SystemClock));
    let ui =
        beside(environment.executable.as_deref(), environment.ui.as_deref(), &["../share/nightshift/ui"]);
    let ui = ui.filter(|folder| folder.join("index.html").is_file());
    let router = nightshift_server::router(Arc::new(api), guard, ui.as_deref());
    write_address(&folders, &address).map_err(file(folders.owner_file()))?;
    tracing::info!(url = address.url, "the owner listens");
    // A picture of the live screen, or a letter of a terminal, does not wait for what may come after it.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "small messages of a connection may be late");
        }
    });
    let (end, ends) = tokio::sync::watch::channel(None);
    tokio::spawn(async move {
        let why = tokio::select! {
            () = told_to_end() => End::Stop,
            () = restart.notified() => End::Restart,
        };
        let _nobody_waits = end.send(Some(why));
    });
    let ending = |mut ends: tokio::sync::watch::Receiver<Option<End>>| async move {
        let _sender_gone = ends.wait_for(Option::is_some).await;
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(ending(ends.clone())).into_future();
    // Watchers keep their streams open for as long as they can: an owner that was told to end does not wait for them.
    let ended = tokio::select! {
        served = served => served,
        () = async { ending(ends.clone()).await; tokio::time::sleep(Duration::from_secs(2)).await } => Ok(()),
    };
    let restarts = *ends.borrow() == Some(End::Restart);
    // An owner without an address was stopped, and nobody who follows it starts another: one that comes back keeps it.
    if !restarts {
        let _gone = std::fs::remove_file(folders.owner_file());
    }
    supervisor.rest().await;
    ended.map_err(io("serving"))?;
    if restarts { Err(start_again(environment)) } else { Ok(()) }
}

/// Why an owner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stop,
    /// Another is to take its place, with what is set now.
    Restart,
}

/// Becomes the owner anew: the same process, and nothing else of what it was. Returns only what kept it from that.
///
/// The lock goes with the files, which are all closed; port and token are kept in `access.json`.
fn start_again(environment: &Environment) -> UserError {
    use std::os::unix::process::CommandExt;
    let program = environment.executable.as_deref().unwrap_or(Path::new("nightshift"));
    tracing::info!("the owner starts again");
    let error = std::process::Command::new(program).args(&environment.words).exec();
    UserError::new(
        ErrorCode::Internal,
        format!("the owner ended and could not start again: {error}"),
        "Any nightshift command starts it; runs go on then.",
    )
}

/// The names under which requests may come in beside loopback's: those that were given, and the address itself.
pub(crate) fn names(mut given: Vec<String>, socket: std::net::SocketAddr) -> Vec<String> {
    // A request to 0.0.0.0 names the address it came to, which is not known here: --name says it.
    if !socket.ip().is_loopback() {
        given.push(if socket.is_ipv6() { format!("[{}]", socket.ip()) } else { socket.ip().to_string() });
    }
    given
}

/// The system's clock.
pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// Returns when the process is told to end.
pub(crate) async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}

async fn assemble(
    environment: &Environment,
    folders: &Folders,
    configuration: &Configuration,
    entropy: &Arc<dyn Entropy>,
    url: &str,
) -> Result<(Api, Supervisor), UserError> {
    let executable = environment.executable.as_deref();
    let missing = |what: &str, variable: &str| {
        UserError::new(
            ErrorCode::ToolMissing,
            format!("{what} was not found beside the nightshift program"),
            format!("Start it by ./dev in its checkout, or set {variable}."),
        )
    };
    let guest = beside(
        executable,
        environment.guest.as_deref(),
        &["nightshift-guest", "../libexec/nightshift-guest"],
    )
    .ok_or_else(|| missing("nightshift-guest", "NIGHTSHIFT_GUEST"))?;
    let recipe = beside(executable, environment.vm_images.as_deref(), &["../share/nightshift/vm-images"])
        .ok_or_else(|| missing("the vm-images folder", "NIGHTSHIFT_VM_IMAGES"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    accounts::teach(&environment.redactor, environment.secrets(), configuration.github.app_key.as_deref());
    let github = accounts::github(environment, &configuration.github, Arc::clone(&clock))?;
    let mut git = Git::new(std::env::vars_os());
    if let Some(github) = &github {
        git = git.with_credential(github.git_credential());
    }
    let store = Store::open(&folders.data).await.map_err(|error| opening(&error, &folders.data))?;
    let mut forge = Forge::open(&folders.data.join("repositories"), git.clone())
        .await
        .map_err(|error| nightshift_supervisor::trouble::forge(&error))?;
    if let Some(github) = github {
        forge = forge.with_github(github);
    }
    let images = Images::new(recipe, folders.cache.join("images"));
    let driver: Arc<dyn Driver> = if configuration.hosts.is_empty() {
        Arc::new(QemuDriver::new(QemuSettings {
            program: QemuProgram::OnPath(environment.path.clone().unwrap_or_default()),
            guest_program: guest,
            templates: folders.cache.join("templates"),
            sandboxes: folders.sandboxes.clone(),
            trial_kernel: images.find().await.ok().flatten().map(|image| image.folder.join("vmlinux")),
        }))
    } else {
        hosts::driver(&configuration.hosts, guest, folders)?
    };
    let model: Arc<dyn Model> =
        Arc::new(providers::providers(&configuration.providers, environment, &clock, entropy)?);
    let supervisor = Supervisor::new(
        SupervisorParts {
            store: store.clone(),
            forge: forge.clone(),
            git,
            driver,
            model,
            images,
            clock,
            entropy: Arc::clone(entropy),
        },
        SupervisorSettings {
            default_model: configuration.model.clone(),
            default_engine: configuration.engine.clone(),
            context_tokens: configuration.context_tokens,
            limits: configuration.limits.limits(),
            sandboxes: configuration.sandboxes,
            size: MachineSize {
                memory_mib: configuration.sandbox.memory_mib,
                processors: configuration.sandbox.processors,
            },
            spare: configuration.sandbox.spare,
            disk: configuration.disk.settings(),
            kernel: "/proc".into(),
            host_memory_mib: if configuration.hosts.is_empty() { host_memory_mib() } else { None },
            data: folders.data.clone(),
            cache: folders.cache.clone(),
            registries: egress::registries(configuration, std::env::vars_os().collect()).map_err(|why| {
                UserError::new(ErrorCode::InvalidRequest, why, "Mend [egress] in the configuration.")
            })?,
            network: egress::settings(&configuration.egress, environment.proxy.as_deref()).map_err(
                |why| UserError::new(ErrorCode::InvalidRequest, why, "Mend [egress] in the configuration."),
            )?,
            mcp_keys: crate::mcp::keys(&configuration.mcp, environment),
            scratch: folders.data.join("scratch"),
            approval: configuration.approval.clone(),
            routing: configuration.agents.routing.clone(),
            engines: configuration::engines(&configuration.engines).map_err(|why| {
                UserError::new(ErrorCode::InvalidRequest, why, "Mend [engines] in the configuration.")
            })?,
            agents: Arc::new(crate::agents::OfUser::new(environment)),
            model_names: configuration.agents.models.clone(),
            delivery: accounts::delivery(
                configuration,
                environment.variable("NIGHTSHIFT_WEBHOOK_SECRET"),
                environment.redactor.clone(),
                url,
            ),
        },
        environment.path.clone(),
    );
    Ok((Api::new(supervisor.clone(), store, forge), supervisor))
}

fn opening(error: &nightshift_store::OpenError, data: &Path) -> UserError {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    UserError::new(
        ErrorCode::Internal,
        message,
        format!("Nothing was changed. Look at disk, owner and mode of {}.", data.display()),
    )
}

/// The host's memory as proc_meminfo(5) tells it, in MiB.
fn host_memory_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Holds the lock that makes this the only owner of its folders.
fn take_lock(folders: &Folders) -> Result<File, UserError> {
    let path = folders.owner_lock();
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(|error| unusable(ErrorCode::Internal, &path, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(_) => Err(UserError::new(
            ErrorCode::OwnerRunning,
            format!("another owner already runs with {}", folders.data.display()),
            "Use it (every nightshift command does), end it with `nightshift stop`, or set NIGHTSHIFT_HOME for a second one.",
        )),
    }
}

fn write_address(folders: &Folders, address: &OwnerAddress) -> std::io::Result<()> {
    use std::io::Write;
    let staged = folders.data.join("owner.json.new");
    let _left_over = std::fs::remove_file(&staged);
    let mut file = File::options().create_new(true).write(true).mode(0o600).open(&staged)?;
    file.write_all(&serde_json::to_vec(address)?)?;
    std::fs::rename(staged, folders.owner_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use nightshift_client::BaseDirectories;

    use super::*;

    fn base_in(folder: &Path) -> BaseDirectories {
        let folder = Some(folder.to_path_buf());
        BaseDirectories { home: folder.clone(), nightshift_home: folder, ..BaseDirectories::default() }
    }

    fn folders_in(folder: &Path) -> Folders {
        let folders = Folders::of(&base_in(folder)).unwrap();
        private_folder(&folders.data).unwrap();
        folders
    }

    #[test]
    fn a_second_owner_of_the_same_folders_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        let first = take_lock(&folders).unwrap();
        assert_eq!(take_lock(&folders).unwrap_err().code, ErrorCode::OwnerRunning);
        assert!(nightshift_client::is_held(&folders));
        drop(first);
        assert!(!nightshift_client::is_held(&folders));
        assert!(take_lock(&folders).is_ok());
    }

    #[tokio::test]
    async fn an_owner_that_was_stopped_is_not_started_again_by_those_who_follow() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment { base: base_in(folder.path()), ..Environment::default() };
        let error = reconnect(&environment, &"run-0000000000".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.message, "the owner was stopped while run-0000000000 was followed");
        assert!(!folder.path().join("data").exists());
    }

    #[test]
    fn nobody_else_may_read_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        let address = OwnerAddress {
            pid: 1,
            url: "http://127.0.0.1:1".to_owned(),
            token: "secret".to_owned(),
            version: "0".to_owned(),
        };
        write_address(&folders, &address).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folders.owner_file()), mode(&folders.data)), (0o600, 0o700));
        assert_eq!(nightshift_client::address(&folders), Some(address));
    }

    #[test]
    fn entropy_differs_from_call_to_call() {
        let (mut first, mut second) = ([0_u8; 32], [0_u8; 32]);
        SystemEntropy.fill(&mut first);
        SystemEntropy.fill(&mut second);
        assert_ne!(first, second);
    }
}
