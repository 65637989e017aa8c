//! Tells a host's failures apart by libvirt's error numbers and gives each a name.

use std::time::Duration;

use nightshift_sandbox::{Remedy, StartError};

use crate::placement::{HostRoom, NoRoom};

/// The numbers of `virErrorNumber` that are told apart (libvirt's `include/libvirt/virterror.h`).
mod number {
    pub(super) const NO_CONNECT: u32 = 5;
    pub(super) const OPERATION_DENIED: u32 = 29;
    pub(super) const SYSTEM: u32 = 38;
    pub(super) const RPC: u32 = 39;
    pub(super) const NO_DOMAIN: u32 = 42;
    pub(super) const AUTH_FAILED: u32 = 45;
    pub(super) const NO_POOL: u32 = 49;
    pub(super) const NO_VOLUME: u32 = 50;
    pub(super) const AUTH_CANCELLED: u32 = 79;
    pub(super) const AUTH_UNAVAILABLE: u32 = 93;
    pub(super) const ACCESS_DENIED: u32 = 88;
    pub(super) const INTERNAL: u32 = 1;
}

/// Something a host was asked for did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nobody answers at its address.
    #[error("the host {host} cannot be reached: {what}")]
    Unreachable {
        /// The host.
        host: String,
        /// What libvirt says.
        what: String,
    },
    /// It answers and does not let us in, or not do that.
    #[error("the host {host} does not permit it: {what}")]
    NotPermitted {
        /// The host.
        host: String,
        /// What libvirt says.
        what: String,
    },
    /// It did not answer in time.
    #[error("the host {host} did not answer within {} s", within.as_secs())]
    Silent {
        /// The host.
        host: String,
        /// How long was waited.
        within: Duration,
    },
    /// It has no such storage pool.
    #[error("the host {host} has no storage pool {pool}")]
    NoPool {
        /// The host.
        host: String,
        /// The pool.
        pool: String,
    },
    /// The machine, or a file of it, is gone.
    #[error("it is no longer on the host {host}: {what}")]
    Vanished {
        /// The host.
        host: String,
        /// What libvirt says.
        what: String,
    },
    /// Its disk is full.
    #[error("the disk of the host {host} is full")]
    DiskFull {
        /// The host.
        host: String,
    },
    /// It refused.
    #[error("the host {host} refused: {what}")]
    Refused {
        /// The host.
        host: String,
        /// What libvirt says.
        what: String,
    },
}

impl HostError {
    /// Names an error that libvirt gave, by its number and words, when `pool` was in use at `host`.
    pub fn of(host: &str, pool: &str, number: u32, message: &str) -> Self {
        let (host, what) = (host.to_owned(), one_line(message));
        let lower = what.to_lowercase();
        let denied = lower.contains("permission denied") || lower.contains("authentication");
        match number {
            _ if lower.contains("no space left on device") => Self::DiskFull { host },
            number::NO_POOL => Self::NoPool { host, pool: pool.to_owned() },
            number::NO_DOMAIN | number::NO_VOLUME => Self::Vanished { host, what },
            number::AUTH_FAILED
            | number::AUTH_CANCELLED
            | number::AUTH_UNAVAILABLE
            | number::ACCESS_DENIED
            | number::OPERATION_DENIED => Self::NotPermitted { host, what },
            number::SYSTEM | number::RPC | number::NO_CONNECT if denied => Self::NotPermitted { host, what },
            number::NO_CONNECT | number::RPC => Self::Unreachable { host, what },
            number::SYSTEM | number::INTERNAL if is_about_the_way(&lower) => Self::Unreachable { host, what },
            _ => Self::Refused { host, what },
        }
    }

    /// Whether a new connection may help.
    pub fn is_about_the_connection(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Silent { .. })
    }
}

/// Whether a message is about the way to the host and not about what was asked of it.
fn is_about_the_way(lower: &str) -> bool {
    [
        "failed to connect socket",
        "cannot recv data",
        "cannot write data",
        "end of file while reading data",
        "connection reset",
        "broken pipe",
        "unable to connect to server",
        "client socket is closed",
        "connection was closed",
    ]
    .iter()
    .any(|sign| lower.contains(sign))
}

/// A message as one line of bounded length, without control characters: part of it may come from a guest or another
/// machine's programs.
fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split_whitespace().collect();
    words.join(" ").chars().filter(|letter| !letter.is_control()).take(500).collect()
}

impl From<HostError> for StartError {
    fn from(error: HostError) -> Self {
        let what = error.to_string();
        let unsuitable =
            |what: String, remedy: &str| Self::Unsuitable { what, remedy: Remedy(remedy.to_owned()) };
        match error {
            HostError::Unreachable { host, .. } => unsuitable(
                what,
                &format!(
                    "Look whether it is up and whether `virsh -c ADDRESS list` works with the address of {host} in config.toml."
                ),
            ),
            HostError::NotPermitted { .. } => unsuitable(
                what,
                "Let your user use libvirt there: `sudo usermod --append --groups libvirt USER`, then log in again.",
            ),
            HostError::NoPool { pool, .. } => unsuitable(
                what,
                &format!(
                    "Make one: `virsh pool-create-as {pool} dir --target /var/lib/libvirt/images`, or name another as `pool` of the host."
                ),
            ),
            HostError::Silent { within, .. } => Self::TimedOut { what, seconds: within.as_secs() },
            HostError::DiskFull { host } => Self::DiskFull { folder: format!("{host}:").into() },
            HostError::Vanished { .. } | HostError::Refused { .. } => Self::Refused { what },
        }
    }
}

/// Says that none of these hosts will ever have room for a machine of so many MiB.
pub fn too_large(memory_mib: u32, hosts: &[HostRoom]) -> StartError {
    let most: Vec<String> =
        hosts.iter().map(|host| format!("{} could hold one of {} MiB", host.name, host.most_mib())).collect();
    StartError::Unsuitable {
        what: format!("a sandbox of {memory_mib} MiB fits on no host: {}", most.join("; ")),
        remedy: Remedy(
            "Set sandbox.memory_mib in config.toml to less, raise memory_mib of a host, or add a larger one."
                .to_owned(),
        ),
    }
}

/// Says that no host has room, and why each has none.
pub fn no_room(refusals: &[NoRoom]) -> StartError {
    let why: Vec<String> = refusals.iter().map(ToString::to_string).collect();
    StartError::NoRoom {
        what: format!("no host has room for another sandbox: {}", why.join("; ")),
        remedy: Remedy(
            "Wait until one ends, raise memory_mib of a host in config.toml, or add a host.".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(number: u32, message: &str) -> HostError {
        HostError::of("build", "default", number, message)
    }

    #[test]
    fn each_failure_has_its_name() {
        let named = [
            of(38, "Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory"),
            of(38, "Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied"),
            of(
                38,
                "Cannot recv data: ssh: connect to host build port 22: Connection refused: Connection reset by peer",
            ),
            of(38, "Cannot recv data: Permission denied (publickey,password)."),
            of(45, "authentication failed: no agent is available"),
            of(49, "Storage pool not found: no storage pool with matching name 'default'"),
            of(42, "Domain not found: no domain with matching name 'sandbox-1'"),
            of(1, "internal error: client socket is closed"),
            of(38, "cannot extend file '/p/disk': No space left on device"),
            of(1, "process exited while connecting to monitor: kvm_buf_set_msrs"),
        ];
        let said: Vec<String> = named.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        the host build cannot be reached: Failed to connect socket to '/run/libvirt/libvirt-sock': No such file or directory
        the host build does not permit it: Failed to connect socket to '/run/libvirt/libvirt-sock': Permission denied
        the host build cannot be reached: Cannot recv data: ssh: connect to host build port 22: Connection refused: Connection reset by peer
        the host build does not permit it: Cannot recv data: Permission denied (publickey,password).
        the host build does not permit it: authentication failed: no agent is available
        the host build has no storage pool default
        it is no longer on the host build: Domain not found: no domain with matching name 'sandbox-1'
        the host build cannot be reached: internal error: client socket is closed
        the disk of the host build is full
        the host build refused: process exited while connecting to monitor: kvm_buf_set_msrs
        ");
    }

    #[test]
    fn only_a_lost_way_is_worth_a_new_connection() {
        assert!(of(38, "Failed to connect socket to 'x'").is_about_the_connection());
        assert!(!of(42, "Domain not found").is_about_the_connection());
        assert!(!of(45, "authentication failed").is_about_the_connection());
    }

    #[test]
    fn what_a_person_can_do_goes_with_it() {
        let StartError::Unsuitable { remedy, .. } = of(49, "no pool").into() else { panic!() };
        insta::assert_snapshot!(remedy.0, @"Make one: `virsh pool-create-as default dir --target /var/lib/libvirt/images`, or name another as `pool` of the host.");
        let silent = HostError::Silent { host: "build".to_owned(), within: Duration::from_secs(60) };
        assert!(matches!(silent.into(), StartError::TimedOut { seconds: 60, .. }));
        let full = of(38, "No space left on device").into();
        assert!(matches!(full, StartError::DiskFull { .. }), "{full:?}");
    }

    #[test]
    fn no_room_says_why_of_each_host() {
        let refusals = [NoRoom::Memory { name: "a".to_owned(), free_mib: 100 }];
        insta::assert_snapshot!(no_room(&refusals), @"no host has room for another sandbox: a has 100 MiB of memory left");
    }

    proptest! {
        #[test]
        fn whatever_a_host_says_becomes_one_short_line(number in 0_u32..120, message in any::<String>()) {
            let said = of(number, &message).to_string();
            prop_assert!(said.chars().count() < 600 && !said.chars().any(char::is_control), "{:?}", said);
        }
    }
}
