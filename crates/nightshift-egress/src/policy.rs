//! What a sandbox may reach, as a value.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use nightshift_protocol::{NetworkPhase, RefusalReason};

use crate::address::AddressKind;
use crate::name::{HostName, HostPattern, InvalidHostName, InvalidPattern};

/// The longest text that is told of as an address in disguise, in bytes; inet_aton(3) takes four numbers.
const LONGEST_DISGUISE: usize = 64;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The host.
    pub host: HostName,
    /// The port, not 0.
    pub port: u16,
}

impl Target {
    /// Reads `host:port` or `host`, with `default` for a port that is left out.
    pub fn parse(text: &str, default: Option<u16>) -> Result<Self, RefusalReason> {
        let (host, port) = match text.rsplit_once(':') {
            // The colon of an address in brackets is none of a port.
            Some((host, port)) if !port.ends_with(']') => (host, port_of(port)),
            _ => (text, default),
        };
        let host = HostName::parse(host).map_err(refusal)?;
        let port = port.ok_or(RefusalReason::Malformed)?;
        Ok(Self { host, port })
    }
}

/// The host and the port of a text that names an address, for the record of its refusal: as `host:port` in [`Target::parse`].
///
/// The address is as its own type writes it, or as it was written where only some resolvers take it for one; empty, with
/// no port, where it is neither.
pub(crate) fn bare_address(text: &str, default: Option<u16>) -> (String, u16) {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port_of(port)),
        _ => (text, default),
    };
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let named = match bare.parse::<IpAddr>() {
        Ok(address) => of_address(address),
        Err(_) if disguises_an_address(host) => host.to_ascii_lowercase(),
        Err(_) => return (String::new(), 0),
    };
    (named, port.unwrap_or(0))
}

/// An address as it is written before a port (RFC 3986, section 3.2.2).
pub(crate) fn of_address(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Whether a text is one or a few numbers that are taken for an address, and nothing that could not stand in a name.
fn disguises_an_address(text: &str) -> bool {
    let plain = text.len() <= LONGEST_DISGUISE
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    plain && HostName::parse(text) == Err(InvalidHostName::Address)
}

/// Digits only: `parse` alone would take a plus sign too.
fn port_of(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u16>().ok().filter(|port| digits && *port != 0)
}

/// The refusal that an unusable name leads to.
pub(crate) fn refusal(invalid: InvalidHostName) -> RefusalReason {
    match invalid {
        InvalidHostName::Address => RefusalReason::BareAddress,
        InvalidHostName::Name => RefusalReason::InvalidName,
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

impl FromStr for Target {
    type Err = RefusalReason;

    fn from_str(text: &str) -> Result<Self, RefusalReason> {
        Self::parse(text, None)
    }
}

/// One line of a list: `example.org`, `*.example.org`, `example.org:8443`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Which hosts.
    pub hosts: HostPattern,
    /// Which port; 80 and 443 when absent.
    pub port: Option<u16>,
}

/// A text that is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRule {
    /// Its host is not understood.
    #[error("{rule:?} lists no host: {why}")]
    Host {
        /// The rule.
        rule: String,
        /// Why.
        why: InvalidPattern,
    },
    /// It is a URL.
    #[error("{rule:?} is a URL: name the host alone, as in example.org or example.org:8443")]
    Url {
        /// The rule.
        rule: String,
    },
    /// Its port is not understood.
    #[error("{rule:?} has a port that is not between 1 and 65535")]
    Port {
        /// The rule.
        rule: String,
    },
}

impl Rule {
    /// Whether it lists the target.
    pub fn lists(&self, target: &Target) -> bool {
        let port = self.port.map_or(matches!(target.port, 80 | 443), |port| port == target.port);
        port && self.hosts.matches(&target.host)
    }

    /// Whether it lists all that `other` lists.
    pub fn covers(&self, other: &Self) -> bool {
        let ports = match (self.port, other.port) {
            (None, None) => true,
            (None, Some(port)) => matches!(port, 80 | 443),
            (Some(_), None) => false,
            (Some(one), Some(other)) => one == other,
        };
        ports && self.hosts.covers(&other.hosts)
    }
}

impl FromStr for Rule {
    type Err = InvalidRule;

    fn from_str(text: &str) -> Result<Self, InvalidRule> {
        if text.contains('/') {
            return Err(InvalidRule::Url { rule: text.to_owned() });
        }
        let (hosts, port) = match text.split_once(':') {
            Some((hosts, port)) if !port.contains(':') => {
                let port = port_of(port).ok_or_else(|| InvalidRule::Port { rule: text.to_owned() })?;
                (hosts, Some(port))
            }
            _ => (text, None),
        };
        let hosts = hosts.parse().map_err(|why| InvalidRule::Host { rule: text.to_owned(), why })?;
        Ok(Self { hosts, port })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => self.hosts.fmt(formatter),
            Some(port) => write!(formatter, "{}:{port}", self.hosts),
        }
    }
}

/// How far a target that is allowed may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// To public addresses only.
    Public,
    /// Also to private ones and to this machine: a person said so for this very host and port.
    Private,
}

impl Reach {
    /// Whether an address of that kind may be connected to.
    pub fn admits(self, kind: AddressKind) -> bool {
        match (self, kind) {
            (_, AddressKind::Public) | (Self::Private, AddressKind::Private | AddressKind::Loopback) => true,
            (Self::Public, AddressKind::Private | AddressKind::Loopback)
            | (_, AddressKind::LinkLocal | AddressKind::Special) => false,
        }
    }
}

/// What may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What the sandbox is at.
    pub phase: NetworkPhase,
    /// What it may reach; everything else is refused.
    pub allow: Vec<Rule>,
    /// Listed hosts that may have private addresses.
    pub private: Vec<Target>,
}

impl Policy {
    /// A policy that allows nothing.
    pub fn closed(phase: NetworkPhase) -> Self {
        Self { phase, allow: Vec::new(), private: Vec::new() }
    }

    /// Decides on a target. Nothing but what is listed is allowed.
    pub fn decide(&self, target: &Target) -> Result<Reach, RefusalReason> {
        if !self.allow.iter().any(|rule| rule.lists(target)) {
            return Err(RefusalReason::NotListed);
        }
        Ok(if self.private.contains(target) { Reach::Private } else { Reach::Public })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> Rule {
        text.parse().unwrap()
    }

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn policy(allow: &[&str], private: &[&str]) -> Policy {
        Policy {
            phase: NetworkPhase::Work,
            allow: allow.iter().map(|text| rule(text)).collect(),
            private: private.iter().map(|text| target(text)).collect(),
        }
    }

    #[test]
    fn a_closed_policy_refuses_all() {
        let decided = Policy::closed(NetworkPhase::Work).decide(&target("example.org:443"));
        assert_eq!(decided, Err(RefusalReason::NotListed));
    }

    #[test]
    fn a_rule_without_a_port_is_about_the_web_s_two() {
        let policy = policy(&["example.org", "other.org:8443"], &[]);
        let decided =
            ["example.org:80", "example.org:443", "example.org:22", "other.org:8443", "other.org:443"]
                .map(|text| policy.decide(&target(text)).is_ok());
        assert_eq!(decided, [true, true, false, true, false]);
    }

    #[test]
    fn a_private_address_is_for_the_host_and_port_that_were_named_and_must_be_listed_too() {
        let policy = policy(
            &["mirror.example:443", "other.example:443"],
            &["mirror.example:443", "unlisted.example:443"],
        );
        assert_eq!(policy.decide(&target("mirror.example:443")), Ok(Reach::Private));
        assert_eq!(policy.decide(&target("other.example:443")), Ok(Reach::Public));
        assert_eq!(policy.decide(&target("unlisted.example:443")), Err(RefusalReason::NotListed));
    }

    #[test]
    fn no_exception_reaches_metadata() {
        assert!(Reach::Private.admits(AddressKind::Loopback) && Reach::Private.admits(AddressKind::Private));
        assert!(
            !Reach::Private.admits(AddressKind::LinkLocal) && !Reach::Private.admits(AddressKind::Special)
        );
        assert!(!Reach::Public.admits(AddressKind::Private) && !Reach::Public.admits(AddressKind::Loopback));
    }

    #[test]
    fn a_rule_covers_what_is_narrower_in_host_and_port() {
        assert!(
            rule("*.example.org").covers(&rule("a.example.org")) && rule("a.org").covers(&rule("a.org:443"))
        );
        assert!(
            !rule("*.example.org").covers(&rule("a.example.org:22"))
                && !rule("a.org:443").covers(&rule("a.org"))
        );
        assert!(!rule("a.org:443").covers(&rule("a.org:80")));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        let said =
            ["exam ple.org", "a.org:0", "a.org:70000", "10.0.0.1", "a.org:+80", "*.org", "http://a.org"]
                .map(|text| text.parse::<Rule>().unwrap_err().to_string());
        assert_eq!(
            said,
            [
                "\"exam ple.org\" lists no host: it is no host name",
                "\"a.org:0\" has a port that is not between 1 and 65535",
                "\"a.org:70000\" has a port that is not between 1 and 65535",
                "\"10.0.0.1\" lists no host: it is an address and not a name",
                "\"a.org:+80\" has a port that is not between 1 and 65535",
                "\"*.org\" lists no host: a star needs at least two labels after it, as in *.example.org",
                "\"http://a.org\" is a URL: name the host alone, as in example.org or example.org:8443",
            ]
        );
    }

    #[test]
    fn a_target_is_a_name_with_a_port() {
        let refused = [
            "example.org",
            "example.org:",
            "example.org:+1",
            "[::1]:443",
            "[::1]",
            "127.0.0.1:443",
            ":443",
            "a b:1",
        ]
        .map(|text| text.parse::<Target>().unwrap_err());
        use RefusalReason::{BareAddress, InvalidName, Malformed};
        let expected = [
            Malformed,
            Malformed,
            Malformed,
            BareAddress,
            BareAddress,
            BareAddress,
            InvalidName,
            InvalidName,
        ];
        assert_eq!(refused, expected);
    }

    #[test]
    fn an_address_that_is_refused_is_told_of_with_its_port() {
        let told = [
            ("127.0.0.1:443", None),
            ("169.254.169.254", Some(80)),
            ("[::1]:8080", None),
            ("[::ffff:127.0.0.1]", Some(80)),
            ("::1:22", None),
            ("2130706433:443", None),
            ("0X7F.1", Some(80)),
            ("127.0.0.1:0", None),
        ]
        .map(|(text, default)| bare_address(text, default));
        let expected = [
            ("127.0.0.1", 443),
            ("169.254.169.254", 80),
            ("[::1]", 8080),
            ("[::ffff:127.0.0.1]", 80),
            ("[::1]", 22),
            ("2130706433", 443),
            ("0x7f.1", 80),
            ("127.0.0.1", 0),
        ];
        assert_eq!(told, expected.map(|(host, port)| (host.to_owned(), port)));
    }

    #[test]
    fn what_is_written_like_no_address_is_not_told_of() {
        let long = format!("{}.1:80", "1".repeat(80));
        for text in ["[\u{1b}[31m]:80", "a:b:c:80", "example.org:80", "[x", "", &long] {
            assert_eq!(bare_address(text, Some(80)), (String::new(), 0), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_told_of_an_address_is_short_and_plain(text in ".{0,90}") {
            let (host, _) = bare_address(&text, Some(80));
            let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:[]".contains(&byte));
            prop_assert!(plain && host.len() <= LONGEST_DISGUISE, "{:?}", host);
        }

        #[test]
        fn nothing_that_is_not_listed_is_ever_allowed(text in "[-a-z0-9.:*\\[\\]%@]{0,30}") {
            let policy = policy(&["listed.example", "*.below.example"], &["listed.example:443"]);
            if let Ok(target) = text.parse::<Target>() && policy.decide(&target).is_ok() {
                let listed = target.host.as_str() == "listed.example" || target.host.as_str().ends_with(".below.example");
                prop_assert!(listed && matches!(target.port, 80 | 443), "{}", target);
            }
        }
    }
}
