//! Ids: strings with a prefix that says what they name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::Entropy;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so an id can be read aloud and typed.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A text that is no id of the kind asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidId {
    /// What was expected, for example `task-` and ten characters.
    pub expected: &'static str,
    /// What was given, cut to 80 characters.
    pub given: String,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\" is no id of the form {}", self.given, self.expected)
    }
}

impl std::error::Error for InvalidId {}

fn invalid(expected: &'static str, given: &str) -> InvalidId {
    InvalidId { expected, given: given.chars().take(80).collect() }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes a new id with 50 bits of randomness.
            pub fn new(entropy: &dyn Entropy) -> Self {
                let mut bytes = [0_u8; 10];
                entropy.fill(&mut bytes);
                let tail: String = bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
                Self(format!(concat!($prefix, "-{}"), tail))
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let tail = text
                    .strip_prefix(concat!($prefix, "-"))
                    .ok_or_else(|| invalid(concat!($prefix, "-xxxxxxxxxx"), text))?;
                if tail.len() == 10 && tail.bytes().all(|byte| ALPHABET.contains(&byte)) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(invalid(concat!($prefix, "-xxxxxxxxxx"), text))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

random_id!(
    /// Names a task: what a person asked for.
    TaskId,
    "task"
);
random_id!(
    /// Names a run: one attempt at a task.
    RunId,
    "run"
);
random_id!(
    /// Names a sandbox: one virtual machine.
    SandboxId,
    "sandbox"
);
random_id!(
    /// Names a checkpoint: the saved disk and memory of a sandbox at one moment.
    CheckpointId,
    "checkpoint"
);
random_id!(
    /// Names an environment: a repository's set-up, frozen.
    EnvironmentId,
    "environment"
);

macro_rules! hexadecimal_id {
    ($(#[$doc:meta])* $name:ident, $lengths:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as lower-case hexadecimal text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let lengths: &[usize] = &$lengths;
                let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if digits && lengths.contains(&text.len()) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(invalid($expected, text))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

hexadecimal_id!(
    /// Names a stored file by the SHA-256 of its bytes.
    ArtifactId,
    [64],
    "64 lower-case hexadecimal digits"
);
hexadecimal_id!(
    /// Names a git commit by its full object name (SHA-1, or SHA-256 in repositories that use it).
    CommitId,
    [40, 64],
    "40 or 64 lower-case hexadecimal digits"
);

/// Names a step within a run: the turn it belongs to and its place in that turn, both from 1.
///
/// It is also the idempotency key of the step's effect: the same step is never carried out twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StepId {
    /// The model call that asked for the step, from 1.
    pub turn: u32,
    /// The tool call's place among those of its turn, from 1.
    pub call: u32,
}

// Derived, it would be described as the fields it has here and not as the text it is on the wire.
impl utoipa::PartialSchema for StepId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::Type::String)
            .description(Some("Names a step within a run: `TURN.CALL`, both from 1."))
            .examples(["4.1"])
            .into()
    }
}

impl ToSchema for StepId {}

impl fmt::Display for StepId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.turn, self.call)
    }
}

impl FromStr for StepId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let parts =
            text.split_once('.').and_then(|(turn, call)| Some((turn.parse().ok()?, call.parse().ok()?)));
        let step = parts.map(|(turn, call)| Self { turn, call });
        // One step has one name: `01.+2` is none.
        step.filter(|step| step.to_string() == text).ok_or_else(|| invalid("TURN.CALL", text))
    }
}

impl TryFrom<String> for StepId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<StepId> for String {
    fn from(id: StepId) -> Self {
        id.to_string()
    }
}

/// Names a pull request of the built-in forge by its number within the repository, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct PullRequestId(pub u64);

impl fmt::Display for PullRequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl FromStr for PullRequestId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix('#').unwrap_or(text);
        let number = digits.parse().ok().filter(|number: &u64| *number > 0 && number.to_string() == digits);
        number.map(Self).ok_or_else(|| invalid("a pull request's number", text))
    }
}

#[cfg(test)]
mod tests;
