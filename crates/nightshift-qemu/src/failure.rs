//! Tells failures apart and gives each a name.

use std::io;
use std::path::Path;

use nightshift_sandbox::{Remedy, StartError};

use crate::qmp::QmpError;

/// An input or output error, or a full disk.
pub(crate) fn io(what: impl Into<String>, place: &Path, source: io::Error) -> StartError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StartError::DiskFull { folder: place.parent().unwrap_or(place).to_owned() }
        }
        _ => StartError::Io { what: what.into(), source },
    }
}

/// Names what a QEMU that ended during its start complained about.
pub(crate) fn from_log(log: &str, folder: &Path) -> StartError {
    if log.contains("Display 'dbus' is not available") || log.contains("does not accept value 'dbus'") {
        return StartError::Unsuitable {
            what: "QEMU lacks its D-Bus display".to_owned(),
            remedy: Remedy(
                "Install it: on Debian and Ubuntu `apt install qemu-system-modules-opengl`, on Fedora \
                 `dnf install qemu-ui-dbus`."
                    .to_owned(),
            ),
        };
    }
    if ["Could not access KVM", "failed to initialize kvm", "kvm_buf_set_msrs"]
        .iter()
        .any(|sign| log.contains(sign))
    {
        return StartError::Unsuitable {
            what: format!("KVM could be used before and cannot now: {log}"),
            remedy: Remedy("Run `nightshift doctor` to try again what this host can do.".to_owned()),
        };
    }
    if log.contains("No space left on device") {
        return StartError::DiskFull { folder: folder.to_owned() };
    }
    let said = if log.is_empty() { "it printed nothing" } else { log };
    StartError::Refused { what: format!("QEMU ended during its start: {said}") }
}

/// Names why QEMU did not do what it was told while it lived.
pub(crate) fn from_monitor(error: QmpError) -> StartError {
    match error {
        QmpError::Silent { .. } => {
            StartError::TimedOut { what: error.to_string(), seconds: crate::qmp::ANSWER_LIMIT.as_secs() }
        }
        QmpError::Socket(source) => {
            StartError::Io { what: "the connection to QEMU failed".to_owned(), source }
        }
        QmpError::Refused { .. } | QmpError::Closed | QmpError::NotQemu => {
            StartError::Refused { what: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qemu_without_its_display_module_is_told_from_other_failures() {
        let log = "Display 'dbus' is not available. Perhaps you want to install qemu-system-modules-opengl package?";
        let StartError::Unsuitable { what, remedy } = from_log(log, Path::new("/s")) else { panic!() };
        assert_eq!(what, "QEMU lacks its D-Bus display");
        insta::assert_snapshot!(remedy.0);
    }

    #[test]
    fn a_full_disk_is_named_whoever_notices_it() {
        let seen = io("a file", Path::new("/s/file"), rustix::io::Errno::NOSPC.into());
        let quota = io("a file", Path::new("/s/file"), rustix::io::Errno::DQUOT.into());
        let told = from_log("write: No space left on device", Path::new("/s"));
        for error in [seen, quota, told] {
            assert_eq!(error.to_string(), "the disk that holds /s is full");
        }
    }

    #[test]
    fn a_kvm_that_went_away_says_how_to_try_again() {
        let error =
            from_log("Could not access KVM kernel module: No such file or directory", Path::new("/s"));
        assert!(matches!(error, StartError::Unsuitable { .. }), "{error:?}");
    }

    #[test]
    fn any_other_end_quotes_what_qemu_printed() {
        insta::assert_snapshot!(from_log("-device foo: no such device", Path::new("/s")), @"the virtual machine did not start: QEMU ended during its start: -device foo: no such device");
        insta::assert_snapshot!(from_log("", Path::new("/s")), @"the virtual machine did not start: QEMU ended during its start: it printed nothing");
    }
}
