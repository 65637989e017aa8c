//! Finds QEMU and asks it for its version.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use nightshift_sandbox::{Remedy, StartError};
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use tokio::time::timeout;

use crate::failure;

/// QEMU's program for x86-64 guests.
const PROGRAM: &str = "qemu-system-x86_64";
/// The first version that migrates to and from a file (docs/about/removed-features and the 8.2 change log).
const OLDEST: Version = Version { major: 8, minor: 2 };
/// QEMU says its version in 20 ms; a busy machine may take long.
const VERSION_LIMIT: Duration = Duration::from_secs(20);
const INSTALL: &str = "Install QEMU 8.2 or newer for x86-64 guests: on Debian and Ubuntu \
     `apt install qemu-system-x86 qemu-system-modules-opengl` (Debian 12: from its backports), on Fedora \
     `dnf install qemu-system-x86-core qemu-ui-dbus`.";

/// Where QEMU is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QemuProgram {
    /// In one of these folders, written as `PATH` is.
    OnPath(OsString),
    /// This program.
    At(PathBuf),
}

/// A QEMU that is installed and not too old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Qemu {
    /// Its program.
    pub(crate) program: PathBuf,
    /// QEMU and its version without the packager's remarks, for example `QEMU 10.0.2`.
    pub(crate) name: String,
    /// All that it says about its version: a packager's patch may change what a saved state means.
    pub(crate) version: String,
    stamp: Stamp,
}

/// Tells whether a program is still the same file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    length: u64,
    modified: SystemTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
}

impl Qemu {
    /// Finds QEMU; `known` is returned when its program has not changed.
    pub(crate) async fn find(wanted: &QemuProgram, known: Option<Self>) -> Result<Self, StartError> {
        let program = locate(wanted).ok_or_else(|| missing(wanted))?;
        let stamp = Stamp::of(&program).map_err(|_| missing(wanted))?;
        if let Some(known) = known.filter(|known| known.program == program && known.stamp == stamp) {
            return Ok(known);
        }
        let text = ask_version(&program).await?;
        let (name, version) = parse_version(&text).ok_or_else(|| StartError::Unsuitable {
            what: format!("{} does not say what version of QEMU it is", program.display()),
            remedy: Remedy(INSTALL.to_owned()),
        })?;
        if version < OLDEST {
            return Err(StartError::Unsuitable {
                what: format!(
                    "{name} is too old: saving a machine's state in a file needs {}.{}",
                    OLDEST.major, OLDEST.minor
                ),
                remedy: Remedy(INSTALL.to_owned()),
            });
        }
        let version = text.lines().next().unwrap_or_default().to_owned();
        Ok(Self { program, name, version, stamp })
    }
}

impl Stamp {
    fn of(program: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(program)?;
        Ok(Self { length: metadata.len(), modified: metadata.modified()? })
    }
}

fn locate(wanted: &QemuProgram) -> Option<PathBuf> {
    match wanted {
        QemuProgram::At(program) => Some(program.clone()).filter(|program| is_executable(program)),
        QemuProgram::OnPath(path) => std::env::split_paths(path)
            .map(|folder| folder.join(PROGRAM))
            .find(|program| is_executable(program)),
    }
}

fn is_executable(program: &Path) -> bool {
    rustix::fs::access(program, rustix::fs::Access::EXEC_OK).is_ok() && program.is_file()
}

fn missing(wanted: &QemuProgram) -> StartError {
    let program = match wanted {
        QemuProgram::At(program) => program.display().to_string(),
        QemuProgram::OnPath(_) => PROGRAM.to_owned(),
    };
    StartError::ProgramMissing { program, remedy: Remedy(INSTALL.to_owned()) }
}

async fn ask_version(program: &Path) -> Result<String, StartError> {
    let asked =
        Command::new(program).arg("--version").env_clear().stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(VERSION_LIMIT, asked)
        .await
        .map_err(|_| StartError::TimedOut {
            what: format!("{} --version", program.display()),
            seconds: VERSION_LIMIT.as_secs(),
        })?
        .map_err(|source| {
            failure::io(format!("{} could not be started", program.display()), program, source)
        })?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads `QEMU emulator version 10.0.2 (Debian …)`.
fn parse_version(text: &str) -> Option<(String, Version)> {
    let version = text.strip_prefix("QEMU emulator version ")?.split_whitespace().next()?;
    let mut numbers = version.split('.').map(str::parse);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some((format!("QEMU {version}"), Version { major, minor }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program that answers anything with `text`.
    fn fake(folder: &Path, text: &str) -> QemuProgram {
        let program = folder.join(PROGRAM);
        // Written under another name first: a running program must not be open for writing.
        let partial = folder.join("partial");
        std::fs::write(&partial, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
        std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&partial, &program).unwrap();
        QemuProgram::OnPath(folder.into())
    }

    #[tokio::test]
    async fn a_missing_qemu_is_named_with_how_to_install_it() {
        let empty = tempfile::tempdir().unwrap();
        let error = Qemu::find(&QemuProgram::OnPath(empty.path().into()), None).await.unwrap_err();
        let StartError::ProgramMissing { program, remedy } = error else { panic!("{error:?}") };
        assert_eq!(program, PROGRAM);
        insta::assert_snapshot!(remedy.0);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_executed_is_no_qemu() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("qemu");
        std::fs::write(&file, "").unwrap();
        let error = Qemu::find(&QemuProgram::At(file), None).await.unwrap_err();
        assert!(matches!(error, StartError::ProgramMissing { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn an_old_qemu_is_refused_and_one_just_new_enough_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let old = fake(folder.path(), "QEMU emulator version 7.2.11 (Debian 1:7.2+dfsg-7)");
        let error = Qemu::find(&old, None).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU 7.2.11 is too old: saving a machine's state in a file needs 8.2");
        let new = fake(folder.path(), "QEMU emulator version 8.2.2 (Debian 1:8.2.2)");
        let qemu = Qemu::find(&new, None).await.unwrap();
        assert_eq!(
            (qemu.name.as_str(), qemu.version.as_str()),
            ("QEMU 8.2.2", "QEMU emulator version 8.2.2 (Debian 1:8.2.2)")
        );
    }

    #[tokio::test]
    async fn a_program_that_is_replaced_is_asked_again() {
        let folder = tempfile::tempdir().unwrap();
        let first = Qemu::find(&fake(folder.path(), "QEMU emulator version 9.0.0"), None).await.unwrap();
        let wanted = fake(folder.path(), "QEMU emulator version 10.0.12");
        let second = Qemu::find(&wanted, Some(first.clone())).await.unwrap();
        assert_eq!(second.name, "QEMU 10.0.12");
        assert_eq!(Qemu::find(&wanted, Some(second.clone())).await.unwrap(), second);
    }

    #[tokio::test]
    async fn another_program_of_that_name_is_unsuitable() {
        let folder = tempfile::tempdir().unwrap();
        let error = Qemu::find(&fake(folder.path(), "hello"), None).await.unwrap_err();
        assert!(matches!(error, StartError::Unsuitable { .. }), "{error:?}");
    }
}
