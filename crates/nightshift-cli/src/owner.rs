//! The owner: found, started on demand, or run in the foreground.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nightshift_api::Api;
use nightshift_forge::{Forge, Git};
use nightshift_model::Model;
use nightshift_protocol::{Clock, Entropy, ErrorCode, OffsetDateTime, OwnerAddress, RunId, UserError};
use nightshift_qemu::{QemuDriver, QemuProgram, QemuSettings};
use nightshift_sandbox::MachineSize;
use nightshift_server::{Access, Guard};
use nightshift_store::Store;
use nightshift_supervisor::{Images, Supervisor, SupervisorParts, SupervisorSettings};

use crate::access::{self, Kept, Listen};
use crate::accounts;
use crate::client::Client;
use crate::configuration::{self, Configuration};
use crate::egress;
use crate::folders::{Environment, Folders, beside};
use crate::providers;

/// How long a started owner may take until it answers. It opens its history and listens; it builds nothing.
const START_WITHIN: Duration = Duration::from_secs(20);

/// How long an owner that was told to end may take: it closes its history and leaves its machines running.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether an owner answers or has ended.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// The system's clock.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
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
    Folders::of(environment).ok_or_else(|| {
        UserError::new(
            ErrorCode::InvalidRequest,
            "neither HOME nor NIGHTSHIFT_HOME is set",
            "Set one of them.",
        )
    })
}

/// Connects to the owner, starting it when none runs. One that is just ending is waited for.
pub(crate) async fn connect(environment: &Environment) -> Result<Client, UserError> {
    let folders = folders(environment)?;
    let deadline = tokio::time::Instant::now() + START_WITHIN;
    let mut started: Option<Child> = None;
    loop {
        if let Some(client) = running(&folders).await {
            return Ok(client);
        }
        match started.as_mut() {
            None => started = Some(start(environment, &folders)?),
            Some(owner) => {
                if let Some(reason) = gone(owner, &folders) {
                    // Another owner was first, or one that was told to end still holds the lock.
                    if reason.code != ErrorCode::OwnerRunning {
                        return Err(reason);
                    }
                    started = None;
                }
            }
        }
        if tokio::time::Instant::now() > deadline {
            return Err(UserError::new(
                ErrorCode::OwnerUnreachable,
                format!("the owner was started and did not answer within {} s", START_WITHIN.as_secs()),
                format!("Its log is {}; `nightshift serve` shows the reason.", folders.owner_log().display()),
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
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

/// Tells the owner to end and waits until it has let its folders go. Returns whether there was one.
pub(crate) async fn stop(environment: &Environment) -> Result<bool, UserError> {
    let folders = folders(environment)?;
    let deadline = tokio::time::Instant::now() + END_WITHIN;
    let mut told: Option<OwnerAddress> = None;
    let mut found = false;
    while is_held(&folders) {
        found = true;
        let answers = running(&folders).await.and_then(|_| address(&folders));
        match (&told, answers) {
            (None, Some(owner)) => {
                let pid = i32::try_from(owner.pid).ok().and_then(rustix::process::Pid::from_raw);
                if let Some(pid) = pid {
                    // It answered a moment ago at the address it wrote, so the process is the owner and not a later
                    // one.
                    let _already_gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
                told = Some(owner);
            }
            // Somebody has started another one since.
            (Some(told), Some(owner)) if *told != owner => return Ok(true),
            _ => {}
        }
        if tokio::time::Instant::now() > deadline {
            return Err(UserError::new(
                ErrorCode::OwnerRunning,
                format!("the owner did not end within {} s", END_WITHIN.as_secs()),
                format!("Try again; its log is {}.", folders.owner_log().display()),
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(found)
}

/// Connects to the owner if one runs.
pub(crate) async fn running(folders: &Folders) -> Option<Client> {
    let client = Client::new(address(folders)?).ok()?;
    client.get::<serde_json::Value>("/health").await.ok()?;
    Some(client)
}

/// The address the owner left.
pub(crate) fn address(folders: &Folders) -> Option<OwnerAddress> {
    serde_json::from_slice(&std::fs::read(folders.owner_file()).ok()?).ok()
}

fn start(environment: &Environment, folders: &Folders) -> Result<Child, UserError> {
    let trouble = |error: &std::io::Error| {
        UserError::new(
            ErrorCode::OwnerUnreachable,
            format!("the owner could not be started: {error}"),
            "`nightshift serve` in another terminal shows the reason.",
        )
    };
    private_folder(&folders.data).map_err(|error| trouble(&error))?;
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(folders.owner_log())
        .map_err(|error| trouble(&error))?;
    let executable = environment.executable.as_deref().unwrap_or(Path::new("nightshift"));
    Command::new(executable)
        .args(["serve", "--json"])
        .stdin(Stdio::null())
        // It says nothing there but why it cannot start.
        .stdout(Stdio::piped())
        .stderr(log)
        // A session of its own: closing the terminal that happened to start it must not end it.
        .process_group(0)
        .spawn()
        .map_err(|error| trouble(&error))
}

/// Why a started owner is gone, or `None` while it is there.
fn gone(owner: &mut Child, folders: &Folders) -> Option<UserError> {
    #[derive(serde::Deserialize)]
    struct Said {
        error: UserError,
    }
    let status = owner.try_wait().ok()??;
    let mut said = String::new();
    if let Some(output) = owner.stdout.take() {
        let _what_was_read_counts = output.take(64 * 1024).read_to_string(&mut said);
    }
    let said = said.lines().find_map(|line| serde_json::from_str::<Said>(line).ok());
    let unsaid = || {
        UserError::new(
            ErrorCode::OwnerUnreachable,
            format!("the owner was started and ended at once: {status}"),
            format!("Its log is {}.", folders.owner_log().display()),
        )
    };
    Some(said.map_or_else(unsaid, |said| said.error))
}

/// Runs the owner until it is told to end.
pub(crate) async fn serve(environment: &Environment, listen: Listen) -> Result<(), UserError> {
    let folders = folders(environment)?;
    let io = |what: &'static str| {
        move |error: std::io::Error| {
            UserError::new(
                ErrorCode::Internal,
                format!("{what}: {error}"),
                "Look at the folder's owner and mode.",
            )
        }
    };
    private_folder(&folders.data).map_err(io("creating the data folder"))?;
    let _lock = take_lock(&folders)?;
    let configuration = configuration::read(&folders.configuration)?;
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let kept = access::read(&folders.access_file(), entropy.as_ref());
    let listener = access::listen(&listen, kept.port).await?;
    let socket = listener.local_addr().map_err(io("listening"))?;
    let port = socket.port();
    access::write(&folders.access_file(), &Kept { port, ..kept.clone() })
        .map_err(io("writing access.json"))?;
    let (api, supervisor) = assemble(environment, &folders, &configuration, &entropy).await?;
    supervisor.resume().await?;
    supervisor.watch_forge().await;

    let mut names = listen.names;
    // A request to 0.0.0.0 names the address it came to, which is not known here: --name says it.
    if !socket.ip().is_loopback() {
        tracing::warn!(%socket, "the owner can be reached from other machines, over HTTP without encryption");
        names.push(if socket.is_ipv6() { format!("[{}]", socket.ip()) } else { socket.ip().to_string() });
    }
    let address = OwnerAddress {
        pid: std::process::id(),
        url: if socket.ip().is_unspecified() || socket.ip().is_loopback() {
            format!("http://127.0.0.1:{port}")
        } else {
            format!("http://{socket}")
        },
        token: kept.token,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let access = Access { token: address.token.clone(), port, names };
    let guard = Guard::new(access, Arc::new(SystemClock));
    let ui =
        beside(environment.executable.as_deref(), environment.ui.as_deref(), &["../share/nightshift/ui"]);
    let ui = ui.filter(|folder| folder.join("index.html").is_file());
    let router = nightshift_server::router(Arc::new(api), guard, ui.as_deref());
    write_address(&folders, &address).map_err(io("writing owner.json"))?;
    tracing::info!(url = address.url, "the owner listens");
    let served = axum::serve(listener, router).with_graceful_shutdown(told_to_end()).into_future();
    // Watchers keep their streams open for as long as they can: an owner that was told to end does not wait for them.
    let ended = tokio::select! {
        served = served => served,
        () = async { told_to_end().await; tokio::time::sleep(Duration::from_secs(2)).await } => Ok(()),
    };
    let _gone = std::fs::remove_file(folders.owner_file());
    supervisor.rest().await;
    ended.map_err(io("serving"))
}

async fn told_to_end() {
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
    let github = accounts::github(environment, &configuration.github, Arc::clone(&clock))?;
    let mut git = Git::new(std::env::vars_os());
    if let Some(github) = &github {
        git = git.with_credential(github.git_credential());
    }
    let store = Store::open(&folders.data).await.map_err(|error| opening(&error))?;
    let mut forge = Forge::open(&folders.data.join("repositories"), git.clone())
        .await
        .map_err(|error| nightshift_supervisor::trouble::forge(&error))?;
    if let Some(github) = github {
        forge = forge.with_github(github);
    }
    let images = Images::new(recipe, folders.cache.join("images"));
    let driver = QemuDriver::new(QemuSettings {
        program: QemuProgram::OnPath(environment.path.clone().unwrap_or_default()),
        guest_program: guest,
        templates: folders.cache.join("templates"),
        sandboxes: folders.sandboxes.clone(),
        trial_kernel: images.find().await.ok().flatten().map(|image| image.folder.join("vmlinux")),
    });
    let model: Arc<dyn Model> =
        Arc::new(providers::providers(&configuration.providers, environment, &clock, entropy)?);
    let redactor = accounts::redactor(std::env::vars_os(), configuration.github.app_key.as_deref());
    let supervisor = Supervisor::new(
        SupervisorParts {
            store: store.clone(),
            forge: forge.clone(),
            git,
            driver: Arc::new(driver),
            model,
            images,
            clock,
            entropy: Arc::clone(entropy),
        },
        SupervisorSettings {
            default_model: configuration.model.clone(),
            context_tokens: configuration.context_tokens,
            sandboxes: configuration.sandboxes,
            size: MachineSize {
                memory_mib: configuration.sandbox.memory_mib,
                processors: configuration.sandbox.processors,
            },
            spare: configuration.sandbox.spare,
            host_memory_mib: host_memory_mib(),
            data: folders.data.clone(),
            cache: folders.cache.clone(),
            network: egress::settings(&configuration.egress, environment.proxy.as_deref()).map_err(
                |why| UserError::new(ErrorCode::InvalidRequest, why, "Mend [egress] in the configuration."),
            )?,
            scratch: folders.data.join("scratch"),
            delivery: accounts::delivery(
                configuration,
                environment.variable("NIGHTSHIFT_WEBHOOK_SECRET"),
                redactor,
            ),
        },
        environment.path.clone(),
    );
    Ok((Api::new(supervisor.clone(), store, forge), supervisor))
}

fn opening(error: &nightshift_store::OpenError) -> UserError {
    let mut message = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message += &format!(": {cause}");
        source = cause.source();
    }
    UserError::new(
        ErrorCode::Internal,
        message,
        "Nothing was changed. Look at the data folder's disk, owner and mode.",
    )
}

/// The host's memory as proc_meminfo(5) tells it, in MiB.
fn host_memory_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Whether an owner holds the lock.
fn is_held(folders: &Folders) -> bool {
    File::open(folders.owner_lock()).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Holds the lock that makes this the only owner of its folders.
fn take_lock(folders: &Folders) -> Result<File, UserError> {
    let path = folders.owner_lock();
    let lock = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(
        |error| {
            UserError::new(
                ErrorCode::Internal,
                format!("{}: {error}", path.display()),
                "Look at its owner and mode.",
            )
        },
    )?;
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

fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folders_in(folder: &Path) -> Folders {
        let environment = Environment {
            home: Some(folder.to_path_buf()),
            nightshift_home: Some(folder.to_path_buf()),
            ..Environment::default()
        };
        let folders = Folders::of(&environment).unwrap();
        private_folder(&folders.data).unwrap();
        folders
    }

    #[test]
    fn a_second_owner_of_the_same_folders_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        let first = take_lock(&folders).unwrap();
        assert_eq!(take_lock(&folders).unwrap_err().code, ErrorCode::OwnerRunning);
        assert!(is_held(&folders));
        drop(first);
        assert!(!is_held(&folders));
        assert!(take_lock(&folders).is_ok());
    }

    #[tokio::test]
    async fn an_owner_that_was_stopped_is_not_started_again_by_those_who_follow() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment {
            nightshift_home: Some(folder.path().to_path_buf()),
            home: Some("/".into()),
            ..Environment::default()
        };
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
        assert_eq!(super::address(&folders), Some(address));
    }

    #[test]
    fn entropy_differs_from_call_to_call() {
        let (mut first, mut second) = ([0_u8; 32], [0_u8; 32]);
        SystemEntropy.fill(&mut first);
        SystemEntropy.fill(&mut second);
        assert_ne!(first, second);
    }
}
