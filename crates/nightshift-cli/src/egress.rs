//! `[egress]` in `config.toml`: what sandboxes may reach.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use nightshift_egress::{EgressLimits, HostName, SystemResolver, Target, Upstream};
use nightshift_supervisor::{NetworkSettings, RegistrySettings};
use serde::Deserialize;

use crate::configuration::Configuration;

/// What sandboxes may reach. By default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct EgressConfiguration {
    /// Hosts that every sandbox may reach at any time.
    pub(crate) allow: Vec<String>,
    /// Hosts that a repository may ask for.
    pub(crate) permit: Vec<String>,
    /// Hosts that every set-up of an environment may reach, beside package registries.
    pub(crate) set_up: Vec<String>,
    /// `host:port` of listed hosts that may have a private address.
    pub(crate) allow_private: Vec<String>,
    /// Addresses of hosts that are not looked up.
    pub(crate) addresses: BTreeMap<String, IpAddr>,
    /// The proxy the owner itself stands behind; `HTTPS_PROXY` if absent, none if empty.
    pub(crate) upstream: Option<String>,
    /// How much one sandbox may transfer, in MiB a second.
    pub(crate) mib_per_second: u32,
}

impl Default for EgressConfiguration {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            permit: Vec::new(),
            set_up: Vec::new(),
            allow_private: Vec::new(),
            addresses: BTreeMap::new(),
            upstream: None,
            mib_per_second: 64,
        }
    }
}

/// Turns what was written into what is used, or says which line is wrong. `proxy` is that of the owner's environment.
pub(crate) fn settings(
    configuration: &EgressConfiguration,
    proxy: Option<&str>,
) -> Result<NetworkSettings, String> {
    if configuration.mib_per_second == 0 {
        return Err("egress.mib_per_second must be at least 1".to_owned());
    }
    let private = configuration.allow_private.iter().map(|text| {
        text.parse::<Target>().map_err(|_| {
            format!("egress.allow_private: {text:?} is no host with a port, as in \"mirror.example:443\"")
        })
    });
    let fixed = configuration.addresses.iter().map(|(name, address)| {
        let host = HostName::parse(name).map_err(|why| format!("egress.addresses: {name:?}: {why}"))?;
        Ok::<_, String>((host, *address))
    });
    let upstream = match (configuration.upstream.as_deref(), proxy) {
        (Some(""), _) | (None, None) => None,
        (Some(text), _) => {
            // The text may hold a password: it is not repeated.
            Some(text.parse::<Upstream>().map_err(|why| format!("egress.upstream: {why}"))?)
        }
        (None, Some(text)) => match text.parse::<Upstream>() {
            Ok(upstream) => Some(upstream),
            Err(why) => {
                tracing::warn!(%why, "HTTPS_PROXY is not used for sandboxes");
                None
            }
        },
    };
    Ok(NetworkSettings {
        allow: list("allow", &configuration.allow)?,
        permit: list("permit", &configuration.permit)?,
        private: private.collect::<Result<_, _>>()?,
        upstream,
        resolver: Arc::new(SystemResolver { fixed: fixed.collect::<Result<_, _>>()? }),
        limits: EgressLimits {
            bytes_a_second: u64::from(configuration.mib_per_second) << 20,
            ..EgressLimits::default()
        },
    })
}

/// What set-ups may reach. `variables` is the owner's environment, in which package managers are asked.
pub(crate) fn registries(
    configuration: &Configuration,
    variables: Vec<(OsString, OsString)>,
) -> Result<RegistrySettings, String> {
    Ok(RegistrySettings {
        configured: configuration.registries.clone(),
        hosts: list("set_up", &configuration.egress.set_up)?,
        machine: Some(variables),
    })
}

fn list<T: FromStr<Err: std::fmt::Display>>(key: &str, texts: &[String]) -> Result<Vec<T>, String> {
    texts.iter().map(|text| text.parse().map_err(|error| format!("egress.{key}: {error}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<NetworkSettings, String> {
        settings(&toml::from_str(text).unwrap(), None)
    }

    #[test]
    fn by_default_nothing_is_named() {
        let settings = read("").unwrap();
        assert_eq!((settings.allow.len(), settings.permit.len(), settings.private.len()), (0, 0, 0));
        assert_eq!(settings.upstream, None);
    }

    #[test]
    fn a_mirror_may_have_a_private_address_that_is_not_looked_up() {
        let settings = read(
            "allow = ['mirror.example']\nallow_private = ['mirror.example:443']\n\
             addresses = { 'mirror.example' = '10.0.0.7' }\nmib_per_second = 2\n",
        )
        .unwrap();
        assert_eq!(settings.allow, ["mirror.example".parse().unwrap()]);
        assert_eq!(settings.private, ["mirror.example:443".parse().unwrap()]);
        assert_eq!(settings.limits.bytes_a_second, 2 << 20);
    }

    #[test]
    fn a_line_that_is_wrong_is_named_with_what_is_wrong() {
        let said = [
            "allow = ['http://a.org']",
            "permit = ['*.org']",
            "allow_private = ['mirror.example']",
            "addresses = { '10.0.0.1' = '10.0.0.7' }",
            "upstream = 'socks5://user:secret@proxy'",
            "mib_per_second = 0",
        ]
        .map(|text| read(text).err().unwrap());
        assert_eq!(
            said,
            [
                "egress.allow: \"http://a.org\" is a URL: name the host alone, as in example.org or example.org:8443",
                "egress.permit: \"*.org\" lists no host: a star needs at least two labels after it, as in *.example.org",
                "egress.allow_private: \"mirror.example\" is no host with a port, as in \"mirror.example:443\"",
                "egress.addresses: \"10.0.0.1\": it is an address and not a name",
                "egress.upstream: it is no address of an HTTP proxy, as in http://proxy.example:3128",
                "egress.mib_per_second must be at least 1",
            ]
        );
    }

    #[test]
    fn the_owner_s_own_proxy_is_used_unless_the_configuration_says_otherwise() {
        let with = |text: &str, proxy| settings(&toml::from_str(text).unwrap(), proxy).unwrap().upstream;
        let proxy = Some("http://proxy.example:8080");
        assert_eq!(with("", proxy), Some("http://proxy.example:8080".parse().unwrap()));
        assert_eq!(with("upstream = ''", proxy), None);
        assert_eq!(with("upstream = 'http://other'", proxy), Some("http://other".parse().unwrap()));
        assert_eq!(with("", Some("socks5://proxy")), None, "of a kind that is not used");
    }
}
