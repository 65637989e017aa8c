//! Names of branches.

use std::fmt;
use std::str::FromStr;

use nightshift_protocol::RunId;
use serde::{Deserialize, Serialize};

/// Longest name in bytes; a file of that name must fit beside `.lock` on every file system.
const LONGEST: usize = 200;

/// The name of a branch that git accepts, without `refs/heads/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BranchName(String);

/// A text that is no name of a branch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no name of a branch: {rule}")]
pub struct InvalidBranchName {
    /// What was given, cut to 80 characters.
    pub given: String,
    /// The rule it breaks.
    pub rule: &'static str,
}

impl BranchName {
    /// Makes the name of the branch a run works on: `nightshift/`, words of the task's title, the run's id.
    pub fn for_run(title: &str, run: &RunId) -> Self {
        let slug = slug(title, 40);
        let id = run.as_str().trim_start_matches("run-");
        if slug.is_empty() {
            Self(format!("nightshift/{id}"))
        } else {
            Self(format!("nightshift/{slug}-{id}"))
        }
    }

    /// Whether it is a name that [`BranchName::for_run`] can make: only such branches are taken from a sandbox.
    pub fn is_of_a_run(&self) -> bool {
        let Some(rest) = self.0.strip_prefix("nightshift/") else { return false };
        let id = rest.rsplit('-').next().unwrap_or(rest);
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        rest.bytes().all(plain) && !rest.starts_with('-') && format!("run-{id}").parse::<RunId>().is_ok()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full name of the ref.
    pub(crate) fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

/// Lower-case letters, digits and single hyphens out of any text, at most `longest`; possibly empty.
pub(crate) fn slug(text: &str, longest: usize) -> String {
    let mut slug = String::new();
    for character in text.chars() {
        if slug.len() >= longest {
            break;
        }
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// The first rule that a name breaks: those of git-check-ref-format(1) for a branch, and a length.
fn broken_rule(name: &str) -> Option<&'static str> {
    let forbidden = |character: char| character.is_control() || " ~^:?*[\\".contains(character);
    if name.is_empty() || name.len() > LONGEST {
        Some("it must have 1 to 200 bytes")
    } else if name.starts_with('-') {
        Some("it must not begin with a hyphen")
    } else if name == "@" || name == "HEAD" {
        Some("the name means something else to git")
    } else if name.contains(forbidden) {
        Some("it must have no spaces, control characters or any of ~^:?*[\\")
    } else if name.contains("..") || name.contains("@{") {
        Some("it must have no \"..\" or \"@{\"")
    } else if name.ends_with('.') {
        Some("it must not end with a dot")
    } else if name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"))
    {
        Some("no part of it may be empty, begin with a dot or end with \".lock\"")
    } else {
        None
    }
}

impl FromStr for BranchName {
    type Err = InvalidBranchName;

    fn from_str(name: &str) -> Result<Self, InvalidBranchName> {
        match broken_rule(name) {
            None => Ok(Self(name.to_owned())),
            Some(rule) => Err(InvalidBranchName { given: name.chars().take(80).collect(), rule }),
        }
    }
}

impl TryFrom<String> for BranchName {
    type Error = InvalidBranchName;

    fn try_from(name: String) -> Result<Self, InvalidBranchName> {
        name.parse()
    }
}

impl From<BranchName> for String {
    fn from(name: BranchName) -> Self {
        name.0
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run() -> RunId {
        "run-0123456789".parse().unwrap()
    }

    #[test]
    fn a_branch_of_a_run_has_the_words_of_the_title_and_the_id() {
        let name = |title: &str| BranchName::for_run(title, &run()).to_string();
        assert_eq!(name("Add a dark mode!"), "nightshift/add-a-dark-mode-0123456789");
        assert_eq!(name("../../etc/passwd"), "nightshift/etc-passwd-0123456789");
        assert_eq!(name("日本語"), "nightshift/0123456789");
        assert_eq!(name(&"long ".repeat(50)).len(), "nightshift/-0123456789".len() + 39);
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(201);
        for name in [
            "",
            "-x",
            "--upload-pack=x",
            "a..b",
            "../main",
            "a.lock",
            "a.lock/b",
            ".a",
            "a/.b",
            "a//b",
            "/a",
            "a/",
            "a b",
            "a\nb",
            "a\0b",
            "a\u{7f}",
            "a~1",
            "a^",
            "a:b",
            "a?",
            "a*",
            "a[b",
            "a\\b",
            "a@{1}",
            "@",
            "HEAD",
            "a.",
            &long,
        ] {
            assert!(name.parse::<BranchName>().is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_plain_names_with_a_run_s_id_are_of_a_run() {
        for name in [
            "main",
            "nightshift/x",
            "nightshift/x-0123456789/y",
            "nightshift/é-0123456789",
            "nightshift/X-0123456789",
            "nightshift/--0123456789",
            "refs/heads/main",
        ] {
            assert!(!name.parse::<BranchName>().unwrap().is_of_a_run(), "{name}");
        }
        assert!("nightshift/0123456789".parse::<BranchName>().unwrap().is_of_a_run());
    }

    proptest! {
        #[test]
        fn whatever_the_title_the_branch_is_valid_and_of_a_run(title in any::<String>()) {
            let name = BranchName::for_run(&title, &run());
            prop_assert!(name.is_of_a_run());
            prop_assert_eq!(name.as_str().parse::<BranchName>(), Ok(name.clone()));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn no_name_is_accepted_that_git_refuses(name in "[-a@.{}/~ é\\\\]{1,6}|[a-z]{1,3}(\\.lock|/\\.|\\.\\.)?[a-z/]{0,3}") {
            if name.parse::<BranchName>().is_ok() {
                let status = std::process::Command::new("git").args(["check-ref-format", "--branch", &name]).output().unwrap();
                prop_assert!(status.status.success(), "{:?}", name);
            }
        }
    }
}
