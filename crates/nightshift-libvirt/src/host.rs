//! What a person says of a host: its name, its address, and what Nightshift may use of it.

use std::fmt;

use nightshift_sandbox::Acceleration;
use serde::Deserialize;

/// One libvirt host, as `[[hosts]]` in `config.toml` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostSettings {
    /// What people call it; letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Where it is, as libvirt writes it: `qemu:///system`, `qemu+unix:///system?socket=…`, `qemu+ssh://user@host/system`.
    pub uri: String,
    /// The storage pool on it that holds images and disks; it must be a folder.
    #[serde(default = "default_pool")]
    pub pool: String,
    /// Memory of it that sandboxes may use, in MiB; all that is free if it is left out.
    #[serde(default)]
    pub memory_mib: Option<u64>,
    /// What runs instructions there, instead of what a trial finds.
    #[serde(default)]
    pub acceleration: Option<Acceleration>,
}

fn default_pool() -> String {
    "default".to_owned()
}

/// How a host's libvirt is reached, which decides how a machine's screen is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Road {
    /// Through a Unix socket on this machine: descriptors can be handed over it.
    Here,
    /// Through OpenSSH.
    Ssh {
        /// Whom to be there, if it is said.
        user: Option<String>,
        /// The host, without brackets.
        host: String,
        /// The port, if it is said.
        port: Option<u16>,
        /// The private key to use, if it is said (`keyfile=` in the address).
        key: Option<String>,
    },
    /// Into the client library: libvirt's mock-up `test:///…`, which has no machines.
    Mock,
}

/// A host's description cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    /// The name is empty, too long or has other characters.
    #[error("{name:?} is no name for a host: use letters, digits, '-', '_' and '.', at most 40")]
    Name {
        /// It.
        name: String,
    },
    /// Two hosts have the name.
    #[error("two hosts are called {name}")]
    Twice {
        /// It.
        name: String,
    },
    /// The address is none that sandboxes can be run at.
    #[error("{uri:?} is no address of a QEMU host: {why}")]
    Address {
        /// It.
        uri: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A limit is smaller than the smallest sandbox.
    #[error("memory_mib of {name} is less than 512")]
    Memory {
        /// The host.
        name: String,
    },
}

impl fmt::Display for HostSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl HostSettings {
    /// How it is reached.
    ///
    /// # Errors
    ///
    /// When the address is not of QEMU, or of a transport that is not supported.
    pub fn road(&self) -> Result<Road, BadHost> {
        let refuse = |why| BadHost::Address { uri: self.uri.clone(), why };
        let (scheme, rest) = self.uri.split_once("://").ok_or_else(|| refuse("it has no \"://\""))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) =
            place.split_once('/').ok_or_else(|| refuse("it ends in no /system or /session"))?;
        if scheme == "test" {
            return Ok(Road::Mock);
        }
        if !matches!(path, "system" | "session") {
            return Err(refuse("it ends in no /system or /session"));
        }
        match scheme {
            "qemu" | "qemu+unix" if authority.is_empty() => Ok(Road::Here),
            "qemu" => Err(refuse("TLS is not supported; use qemu+ssh://")),
            "qemu+unix" => {
                Err(refuse("a Unix socket is on this machine: write qemu+unix:///system?socket=…"))
            }
            "qemu+ssh" => ssh(authority, query).ok_or_else(|| refuse("it names no host")),
            _ => Err(refuse("use qemu://, qemu+unix:// or qemu+ssh://")),
        }
    }
}

fn ssh(authority: &str, query: &str) -> Option<Road> {
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, authority),
    };
    let (host, port) = match place.strip_prefix('[') {
        // RFC 3986, 3.2.2: an IPv6 address is in brackets.
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        Some(port) => Some(port.parse().ok()?),
        None => None,
    };
    // A name that begins with a dash would be an option to ssh.
    let plain =
        |word: &str| !word.is_empty() && !word.starts_with('-') && !word.contains(char::is_whitespace);
    let key = query.split('&').find_map(|pair| pair.strip_prefix("keyfile=")).map(str::to_owned);
    (plain(host) && user.as_deref().is_none_or(plain)).then(|| Road::Ssh {
        user,
        host: host.to_owned(),
        port,
        key,
    })
}

/// Checks all hosts of a configuration.
///
/// # Errors
///
/// Names the first that cannot be used.
pub fn check_hosts(hosts: &[HostSettings]) -> Result<(), BadHost> {
    for (index, host) in hosts.iter().enumerate() {
        let name = host.name.clone();
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if name.is_empty() || name.len() > 40 || !name.chars().all(allowed) {
            return Err(BadHost::Name { name });
        }
        if hosts[..index].iter().any(|earlier| earlier.name == name) {
            return Err(BadHost::Twice { name });
        }
        if host.memory_mib.is_some_and(|memory| memory < 512) {
            return Err(BadHost::Memory { name });
        }
        host.road()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, uri: &str) -> HostSettings {
        HostSettings {
            name: name.to_owned(),
            uri: uri.to_owned(),
            pool: default_pool(),
            memory_mib: None,
            acceleration: None,
        }
    }

    fn road(uri: &str) -> Result<Road, BadHost> {
        host("a", uri).road()
    }

    fn ssh_road(
        user: Option<&str>,
        host: &str,
        port: Option<u16>,
        key: Option<&str>,
    ) -> Result<Road, BadHost> {
        let [user, key] = [user, key].map(|text| text.map(str::to_owned));
        Ok(Road::Ssh { user, host: host.to_owned(), port, key })
    }

    #[test]
    fn each_form_of_an_address_is_a_road() {
        assert_eq!(road("qemu:///system"), Ok(Road::Here));
        assert_eq!(road("qemu:///session"), Ok(Road::Here));
        assert_eq!(road("qemu+unix:///system?socket=/run/other/libvirt-sock"), Ok(Road::Here));
        assert_eq!(road("test:///default"), Ok(Road::Mock));
        assert_eq!(road("qemu+ssh://build/system"), ssh_road(None, "build", None, None));
        assert_eq!(
            road("qemu+ssh://ada@build.example:2222/system?socket=/s&keyfile=/k"),
            ssh_road(Some("ada"), "build.example", Some(2222), Some("/k"))
        );
        assert_eq!(road("qemu+ssh://[fd00::1]:22/system"), ssh_road(None, "fd00::1", Some(22), None));
    }

    #[test]
    fn an_address_that_cannot_work_says_why() {
        let why = |uri: &str| road(uri).unwrap_err().to_string();
        let said = [
            why("build"),
            why("qemu:///"),
            why("qemu://build/system"),
            why("qemu+unix://build/system"),
            why("qemu+tcp://build/system"),
            why("qemu+ssh:///system"),
            why("qemu+ssh://build:x/system"),
            why("xen:///system"),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
        "build" is no address of a QEMU host: it has no "://"
        "qemu:///" is no address of a QEMU host: it ends in no /system or /session
        "qemu://build/system" is no address of a QEMU host: TLS is not supported; use qemu+ssh://
        "qemu+unix://build/system" is no address of a QEMU host: a Unix socket is on this machine: write qemu+unix:///system?socket=…
        "qemu+tcp://build/system" is no address of a QEMU host: use qemu://, qemu+unix:// or qemu+ssh://
        "qemu+ssh:///system" is no address of a QEMU host: it names no host
        "qemu+ssh://build:x/system" is no address of a QEMU host: it names no host
        "xen:///system" is no address of a QEMU host: use qemu://, qemu+unix:// or qemu+ssh://
        "#);
    }

    #[test]
    fn what_would_be_an_option_of_ssh_is_no_host_and_no_user() {
        for uri in
            ["qemu+ssh://-oProxyCommand=x/system", "qemu+ssh://-l@build/system", "qemu+ssh://a b/system"]
        {
            assert!(road(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn hosts_have_names_of_their_own_and_room_for_a_sandbox() {
        let good = host("a", "qemu:///system");
        let named = |name: &str| HostSettings { name: name.to_owned(), ..good.clone() };
        assert_eq!(check_hosts(&[good.clone(), named("b.c_d-1")]), Ok(()));
        assert_eq!(check_hosts(&[good.clone(), named("a")]), Err(BadHost::Twice { name: "a".to_owned() }));
        for name in ["", "a b", "ü", &"x".repeat(41)] {
            assert_eq!(check_hosts(&[named(name)]), Err(BadHost::Name { name: name.to_owned() }));
        }
        let small = HostSettings { memory_mib: Some(511), ..good };
        assert_eq!(check_hosts(&[small]), Err(BadHost::Memory { name: "a".to_owned() }));
    }
}
