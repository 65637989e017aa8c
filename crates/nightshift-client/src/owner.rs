//! The owner: found, started on demand, told to end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightshift_protocol::{ErrorCode, OwnerAddress, UserError};

use crate::folders::Folders;
use crate::http::Client;

/// How long a started owner may take until it answers. It opens its history and listens; it builds nothing.
const START_WITHIN: Duration = Duration::from_secs(20);

/// How long an owner that was told to end may take: it closes its history and leaves its machines running.
const END_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked whether an owner answers or has ended.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// The program that is the owner, and what is different for it from who starts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Its path, or its name on `PATH`.
    pub path: PathBuf,
    /// Variables that have another value for it, or none.
    pub environment: Vec<(OsString, Option<OsString>)>,
    /// The folder it starts in; without one, where we are.
    pub folder: Option<PathBuf>,
    /// What a person does when it is not there.
    pub when_missing: String,
}

/// Connects to the owner of `folders`, starting it by `program serve` when none runs. One that is just ending is waited
/// for.
///
/// # Errors
///
/// Why the owner could not be started, as it said itself, and what to do.
pub async fn connect(folders: &Folders, program: &Program) -> Result<Client, UserError> {
    let deadline = tokio::time::Instant::now() + START_WITHIN;
    let mut started: Option<Child> = None;
    loop {
        if let Some(client) = running(folders).await {
            return Ok(client);
        }
        match started.as_mut() {
            None => started = Some(start(folders, program)?),
            Some(owner) => {
                if let Some(reason) = gone(owner, folders) {
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

/// Tells the owner to end and waits until it has let its folders go. Returns whether there was one.
///
/// # Errors
///
/// When it does not end.
pub async fn stop(folders: &Folders) -> Result<bool, UserError> {
    let deadline = tokio::time::Instant::now() + END_WITHIN;
    let mut told: Option<OwnerAddress> = None;
    let mut found = false;
    while is_held(folders) {
        found = true;
        let answers = running(folders).await.and_then(|_| address(folders));
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
pub async fn running(folders: &Folders) -> Option<Client> {
    let client = Client::new(address(folders)?).ok()?;
    client.get::<serde_json::Value>("/health").await.ok()?;
    Some(client)
}

/// The address the owner left.
pub fn address(folders: &Folders) -> Option<OwnerAddress> {
    serde_json::from_slice(&std::fs::read(folders.owner_file()).ok()?).ok()
}

fn start(folders: &Folders, program: &Program) -> Result<Child, UserError> {
    let trouble = |error: &std::io::Error| {
        UserError::new(
            ErrorCode::OwnerUnreachable,
            format!("the owner could not be started: {error}"),
            "`nightshift serve` in another terminal shows the reason.",
        )
    };
    let code = ErrorCode::OwnerUnreachable;
    private_folder(&folders.data).map_err(|error| unusable(code, &folders.data, &error))?;
    let log = folders.owner_log();
    let log = File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log)
        .map_err(|error| unusable(code, &log, &error))?;
    let mut command = Command::new(&program.path);
    command
        .args(["serve", "--json"])
        .stdin(Stdio::null())
        // It says nothing there but why it cannot start.
        .stdout(Stdio::piped())
        .stderr(log)
        // A session of its own: closing the terminal that happened to start it must not end it.
        .process_group(0);
    for (name, value) in &program.environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = &program.folder {
        command.current_dir(folder);
    }
    hold_nothing(&mut command);
    command.spawn().map_err(|error| match error.kind() {
        // The folder it starts in may be what is missing.
        ErrorKind::NotFound if program.folder.as_deref().is_none_or(Path::is_dir) => {
            UserError::new(ErrorCode::ToolMissing, not_there(&program.path), program.when_missing.clone())
        }
        _ => trouble(&error),
    })
}

fn not_there(program: &Path) -> String {
    match program.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            format!("there is no program {}", program.display())
        }
        _ => format!("the program `{}` was not found", program.display()),
    }
}

/// Lets a program have none of our descriptors but the first three: it may outlive by weeks who started it, and what
/// waits for one of them to be closed (a pipe's reader, an AppImage's mount) would wait as long.
fn hold_nothing(command: &mut Command) {
    #[expect(
        unsafe_code,
        reason = "there is no safe way to do something in a child before it becomes a program"
    )]
    // SAFETY: between fork and exec the child makes one system call, with numbers.
    unsafe {
        command.pre_exec(|| {
            // They are closed as it becomes the program, until when the standard library tells us by one that it cannot.
            // A kernel before 5.11 does not know how, and they go along.
            let _ = libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
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

/// Whether an owner holds the lock.
pub fn is_held(folders: &Folders) -> bool {
    File::open(folders.owner_lock()).is_ok_and(|lock| lock.try_lock_shared().is_err())
}

/// Why a file or folder of Nightshift's own cannot be used, and what to do.
pub fn unusable(code: ErrorCode, path: &Path, error: &std::io::Error) -> UserError {
    UserError::new(
        code,
        format!("{} cannot be used: {error}", path.display()),
        "Look at owner, mode and disk of it and of the folders above, or name another folder by NIGHTSHIFT_HOME.",
    )
}

/// Creates a folder that is for its owner only, mode 0700, with those above it.
///
/// # Errors
///
/// Those of the system.
pub fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::folders::BaseDirectories;

    fn folders_in(folder: &Path) -> Folders {
        let folder = Some(folder.to_path_buf());
        Folders::of(&BaseDirectories {
            home: folder.clone(),
            nightshift_home: folder,
            ..BaseDirectories::default()
        })
        .unwrap()
    }

    /// A program in the place of `nightshift`.
    fn program(folder: &Path, script: &str) -> Program {
        let path = folder.join("nightshift");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Program { path, ..Program::default() }
    }

    #[tokio::test]
    async fn an_owner_that_cannot_start_is_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let said = UserError::new(ErrorCode::ToolMissing, "git was not found", "Install git.");
        let line = serde_json::to_string(&serde_json::json!({ "type": "error", "error": said })).unwrap();
        let program = program(folder.path(), &format!("echo '{line}'; exit 1"));
        assert_eq!(connect(&folders_in(folder.path()), &program).await.unwrap_err(), said);
    }

    #[tokio::test]
    async fn an_owner_that_dies_without_a_word_is_told_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        let program = program(folder.path(), "echo nonsense; echo boom >&2; exit 3");
        let error = connect(&folders, &program).await.unwrap_err();
        assert_eq!(error.message, "the owner was started and ended at once: exit status: 3");
        assert_eq!(error.hint, format!("Its log is {}.", folders.owner_log().display()));
        assert_eq!(std::fs::read_to_string(folders.owner_log()).unwrap(), "boom\n");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_with_what_to_do_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for (path, message) in [
            ("/nowhere/nightshift", "there is no program /nowhere/nightshift"),
            ("no-such-nightshift", "the program `no-such-nightshift` was not found"),
        ] {
            let program =
                Program { path: path.into(), when_missing: "Install it.".to_owned(), ..Program::default() };
            let error = connect(&folders_in(folder.path()), &program).await.unwrap_err();
            assert_eq!(error, UserError::new(ErrorCode::ToolMissing, message, "Install it."));
        }
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_not_taken_for_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let program =
            Program { folder: Some(folder.path().join("gone")), ..program(folder.path(), "exit 0") };
        let error = connect(&folders_in(folder.path()), &program).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::OwnerUnreachable);
        assert!(error.message.starts_with("the owner could not be started: "), "{}", error.message);
    }

    #[tokio::test]
    async fn a_data_folder_that_cannot_be_made_is_named_with_how_to_have_another() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        std::fs::write(&folders.data, "no folder").unwrap();
        let error = connect(&folders, &program(folder.path(), "exit 0")).await.unwrap_err();
        let named = format!("{} cannot be used: ", folders.data.display());
        assert!(error.message.starts_with(&named), "{}", error.message);
        assert!(error.hint.contains("NIGHTSHIFT_HOME"), "{}", error.hint);
    }

    #[tokio::test]
    async fn an_owner_has_the_environment_and_folder_it_is_to_have_and_holds_nothing_of_who_started_it() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        let elsewhere = tempfile::tempdir().unwrap();
        // As a shell leaves one open for a program that it starts; of a number that a shell uses for nothing itself.
        let (_reader, writer) = std::io::pipe().unwrap();
        let open = rustix::io::fcntl_dupfd_cloexec(&writer, 100).unwrap();
        rustix::io::fcntl_setfd(&open, rustix::io::FdFlags::empty()).unwrap();
        let script = format!(
            "{{ pwd; echo $PATH ${{HOME-none}}; [ -e /proc/$$/fd/{} ] && echo held; }} >&2; exit 3",
            open.as_raw_fd()
        );
        let program = Program {
            environment: vec![("PATH".into(), Some("/usr/bin:/bin".into())), ("HOME".into(), None)],
            folder: Some(elsewhere.path().to_path_buf()),
            ..program(folder.path(), &script)
        };
        connect(&folders, &program).await.unwrap_err();
        let seen = format!("{}\n/usr/bin:/bin none\n", elsewhere.path().display());
        assert_eq!(std::fs::read_to_string(folders.owner_log()).unwrap(), seen);
    }

    #[tokio::test]
    async fn without_an_owner_there_is_none_to_ask_and_none_to_end() {
        let folder = tempfile::tempdir().unwrap();
        let folders = folders_in(folder.path());
        assert!(running(&folders).await.is_none());
        assert_eq!(stop(&folders).await, Ok(false));
        private_folder(&folders.data).unwrap();
        std::fs::write(folders.owner_file(), "no JSON").unwrap();
        assert!(running(&folders).await.is_none());
    }
}
