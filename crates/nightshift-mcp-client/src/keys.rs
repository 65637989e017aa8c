//! Keys of the person, which go to the hosts that they are for and to nobody else.

use std::collections::BTreeMap;
use std::fmt;

use crate::http::Address;

/// The keys that headers of servers at an address may name. They never enter a sandbox: whoever sends a request puts them in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Keys {
    keys: BTreeMap<String, Key>,
}

#[derive(Clone, PartialEq, Eq)]
struct Key {
    /// `None` where nobody has given it.
    text: Option<String>,
    /// The hosts that it is for, with a port where that is not 443.
    hosts: Vec<String>,
}

/// A key is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// It is for others.
    #[error("the key {name} is not for {host}: [mcp.keys] of config.toml says which hosts a key is for")]
    NotFor {
        /// The key.
        name: String,
        /// The host that was to have it.
        host: String,
    },
    /// Everybody on the way could read it.
    #[error("the key {name} is sent by https:// only")]
    InClear {
        /// The key.
        name: String,
    },
    /// It is not there.
    #[error("the key {name} of [mcp.keys] was not given: `nightshift key set {name}` keeps it")]
    NotGiven {
        /// The key.
        name: String,
    },
}

impl fmt::Debug for Keys {
    /// Shows names and no key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.keys.iter().map(|(name, key)| (name, &key.hosts))).finish()
    }
}

impl Keys {
    /// Adds a key with the hosts that it is for: `example.org`, or `example.org:8443`.
    pub fn add(&mut self, name: &str, text: Option<String>, hosts: &[String]) {
        let hosts = hosts.iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        self.keys.insert(name.to_owned(), Key { text, hosts });
    }

    /// Whether one has that name, whoever may have it.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.keys.contains_key(name)
    }

    /// The key for a server.
    pub(crate) fn of(&self, name: &str, address: &Address) -> Result<&str, KeyRefusal> {
        let not_for = || KeyRefusal::NotFor { name: name.to_owned(), host: address.host().to_owned() };
        let key = self.keys.get(name).ok_or_else(not_for)?;
        let with_port = format!("{}:{}", address.host(), address.port());
        let is_for = |host: &String| *host == with_port || (address.port() == 443 && host == address.host());
        // What is in the sandbox would have it.
        if address.is_inside() || !(key.hosts.iter().any(is_for)) {
            return Err(not_for());
        }
        if !address.is_encrypted() {
            return Err(KeyRefusal::InClear { name: name.to_owned() });
        }
        key.text.as_deref().ok_or_else(|| KeyRefusal::NotGiven { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_to_the_hosts_that_it_is_for_by_https_and_to_nobody_else() {
        let mut keys = Keys::default();
        let hosts = ["MCP.example.org", "example.org:8443", "localhost"].map(str::to_owned);
        keys.add("TOKEN", Some("s3cret".to_owned()), &hosts);
        keys.add("NONE", None, &hosts);
        let of = |name: &str, address: &str| keys.of(name, &Address::parse(address).unwrap());
        assert_eq!(of("TOKEN", "https://mcp.example.org/a"), Ok("s3cret"));
        assert_eq!(of("TOKEN", "https://example.org:8443/"), Ok("s3cret"));
        let not_for =
            |host: &str| Err(KeyRefusal::NotFor { name: "TOKEN".to_owned(), host: host.to_owned() });
        for (elsewhere, host) in [
            ("https://example.org/", "example.org"),
            ("https://mcp.example.org:8443/", "mcp.example.org"),
            ("https://mcp.example.org.evil.test/", "mcp.example.org.evil.test"),
            ("http://localhost/", "localhost"),
            ("http://mcp.example.org/", "mcp.example.org"),
        ] {
            assert_eq!(of("TOKEN", elsewhere), not_for(host), "{elsewhere}");
        }
        assert_eq!(
            of("TOKEN", "http://example.org:8443/"),
            Err(KeyRefusal::InClear { name: "TOKEN".to_owned() })
        );
        let not_given = of("NONE", "https://mcp.example.org/").unwrap_err();
        assert_eq!(
            not_given.to_string(),
            "the key NONE of [mcp.keys] was not given: `nightshift key set NONE` keeps it"
        );
        assert!(of("OTHER", "https://mcp.example.org/").is_err());
    }

    #[test]
    fn nothing_shows_a_key() {
        let mut keys = Keys::default();
        keys.add("TOKEN", Some("s3cret".to_owned()), &["example.org".to_owned()]);
        assert_eq!(format!("{keys:?}"), r#"{"TOKEN": ["example.org"]}"#);
    }
}
