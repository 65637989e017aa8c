//! Host names, and patterns of them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// The longest name in bytes, without the dot that may end it (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;

/// The longest label in bytes.
const LONGEST_LABEL: usize = 63;

/// The name of a host: ASCII, in lower case, without the dot that may end it; never an address in disguise.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(String);

/// A text that names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostName {
    /// It is an address, or what some resolver takes for one (`127.1`, `0x7f000001`, `2130706433`).
    #[error("it is an address and not a name")]
    Address,
    /// It breaks the rules of names.
    #[error("it is no host name")]
    Name,
}

impl HostName {
    /// Reads a name as a program wrote it.
    pub fn parse(text: &str) -> Result<Self, InvalidHostName> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if bare.parse::<IpAddr>().is_ok() || text.contains(':') || text.starts_with('[') {
            return Err(InvalidHostName::Address);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(InvalidHostName::Name);
        }
        if !name.split('.').all(is_label) {
            return Err(InvalidHostName::Name);
        }
        // What ends in a number is an address to inet_aton(3) and to browsers (WHATWG URL, "ends in a number").
        let last = name.rsplit('.').next().unwrap_or_default();
        let hexadecimal =
            last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidHostName::Address);
        }
        Ok(Self(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        // The underscore is in no host's name by RFC 952, and in many by practice.
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

impl fmt::Display for HostName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Which names a rule is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one: `example.org`.
    Exactly(HostName),
    /// Every name below this one, and not itself: `*.example.org`.
    Below(HostName),
    /// Every name: `*`.
    Every,
}

/// A text that is no pattern of host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// What stands there is no name.
    #[error(transparent)]
    Name(#[from] InvalidHostName),
    /// A star stands elsewhere than in place of the first labels.
    #[error("a star stands for whole labels at the beginning, as in *.example.org")]
    Star,
    /// The star would stand for all names below a top-level domain.
    #[error("a star needs at least two labels after it, as in *.example.org")]
    TooWide,
}

impl HostPattern {
    /// Whether the pattern is about that name.
    pub fn matches(&self, name: &HostName) -> bool {
        match self {
            Self::Exactly(exactly) => exactly == name,
            Self::Below(above) => is_below(name, above),
            Self::Every => true,
        }
    }

    /// Whether every name that `other` is about is one this is about.
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Every, _) => true,
            (_, Self::Exactly(name)) => self.matches(name),
            (Self::Below(above), Self::Below(name)) => above == name || is_below(name, above),
            (Self::Exactly(_), Self::Below(_)) | (Self::Exactly(_) | Self::Below(_), Self::Every) => false,
        }
    }
}

fn is_below(name: &HostName, above: &HostName) -> bool {
    name.0.strip_suffix(above.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

impl FromStr for HostPattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let (text, below) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        if text.contains('*') {
            return Err(InvalidPattern::Star);
        }
        let name = HostName::parse(text)?;
        match below {
            true if !name.as_str().contains('.') => Err(InvalidPattern::TooWide),
            true => Ok(Self::Below(name)),
            false => Ok(Self::Exactly(name)),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => name.fmt(formatter),
            Self::Below(name) => write!(formatter, "*.{name}"),
            Self::Every => formatter.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    #[test]
    fn a_name_is_the_same_in_any_case_and_with_its_last_dot() {
        assert_eq!(name("Packages.EXAMPLE.org."), name("packages.example.org"));
    }

    #[test]
    fn addresses_are_none_in_any_disguise() {
        let disguises = [
            "127.0.0.1",
            "127.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "1.2.3.0x4",
            "[::1]",
            "::1",
            "::ffff:127.0.0.1",
            "[::ffff:7f00:1]",
            "fe80::1%eth0",
            "example.1",
            "0x",
        ];
        for disguise in disguises {
            assert_eq!(HostName::parse(disguise), Err(InvalidHostName::Address), "{disguise}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_no_name() {
        let long = "a".repeat(64);
        let longer = ["a"; 128].join(".");
        let broken = [
            "",
            ".",
            "a..b",
            ".a",
            "-a.org",
            "a-.org",
            "a b",
            "exämple.org",
            "a\0.org",
            "a/b",
            "a@b",
            &long,
            &longer,
            "a\r\nb",
        ];
        for text in broken {
            assert_eq!(HostName::parse(text), Err(InvalidHostName::Name), "{text:?}");
        }
    }

    #[test]
    fn a_star_stands_for_whole_labels_and_not_for_the_name_itself() {
        let pattern: HostPattern = "*.example.org".parse().unwrap();
        let matching = ["a.example.org", "a.b.example.org"].map(|text| pattern.matches(&name(text)));
        assert_eq!(matching, [true, true]);
        let others = ["example.org", "badexample.org", "a.example.org.evil.test", "xexample.org"];
        assert_eq!(others.map(|text| pattern.matches(&name(text))), [false; 4]);
    }

    #[test]
    fn a_star_elsewhere_or_too_wide_is_refused() {
        let parsed =
            ["a.*.org", "*a.org", "*.org", "**", "*."].map(|text| text.parse::<HostPattern>().unwrap_err());
        let name = InvalidPattern::Name(InvalidHostName::Name);
        assert_eq!(
            parsed,
            [InvalidPattern::Star, InvalidPattern::Star, InvalidPattern::TooWide, InvalidPattern::Star, name]
        );
    }

    #[test]
    fn a_pattern_covers_what_is_narrower() {
        let covers = |wide: &str, narrow: &str| {
            wide.parse::<HostPattern>().unwrap().covers(&narrow.parse::<HostPattern>().unwrap())
        };
        assert!(
            covers("*", "*.example.org") && covers("*", "*") && covers("*.example.org", "*.a.example.org")
        );
        assert!(covers("*.example.org", "*.example.org") && covers("*.example.org", "a.example.org"));
        assert!(!covers("*.example.org", "example.org") && !covers("*.a.example.org", "*.example.org"));
        assert!(!covers("a.example.org", "*.a.example.org") && !covers("*.example.org", "*"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_name_that_reads_back_or_is_refused(text in ".{0,80}") {
            if let Ok(name) = HostName::parse(&text) {
                prop_assert_eq!(HostName::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(name.as_str().parse::<IpAddr>().is_err());
            }
        }

        #[test]
        fn what_a_covered_pattern_matches_the_covering_one_matches(
            labels in prop::collection::vec("[ab]{1,2}", 1..5), wide in "(\\*\\.)?[ab]{1,2}\\.[ab]", narrow in "(\\*\\.)?[ab]{1,2}\\.[ab]{1,2}\\.[ab]",
        ) {
            let (wide, narrow): (HostPattern, HostPattern) = (wide.parse().unwrap(), narrow.parse().unwrap());
            let name = name(&labels.join("."));
            prop_assert!(!wide.covers(&narrow) || !narrow.matches(&name) || wide.matches(&name));
        }
    }
}
