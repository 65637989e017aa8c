//! Sandboxes that no run has: lent to whoever asks, for as long as they are used.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use crate::SandboxId;

/// A wish for a sandbox without an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BorrowSandbox {
    /// Seconds after which it is closed unless it is used or renewed, from 1 to 3600; 600 if absent.
    #[serde(default)]
    pub lease_seconds: Option<u32>,
}

/// A sandbox that is lent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxLoan {
    /// The sandbox.
    pub sandbox: SandboxId,
    /// The screen's width in pixels.
    pub width: u32,
    /// The screen's height in pixels.
    pub height: u32,
    /// The home folder inside, where commands begin.
    pub home: String,
    /// Seconds after its last use or renewal at which it is closed.
    pub lease_seconds: u32,
}

/// One action on a lent sandbox's screen, in the words of the agent's `computer` tool: `action`, and the fields that
/// go with it, for example `{"action": "left_click", "coordinate": [640, 400]}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct ScreenAction(pub Map<String, Value>);

/// What an action led to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScreenAnswer {
    /// What there is to say in words, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The screen once it has settled, or the part that was asked for: a PNG in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<String>,
}

/// A command for a lent sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RunCommand {
    /// The command line, for `bash -c`; it begins in the home folder.
    pub command: String,
    /// Seconds after which it is ended, from 1 to 1800; 120 if absent.
    #[serde(default)]
    pub time_limit_seconds: Option<u32>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandAnswer {
    /// Its exit status; `null` when it was ended by a signal or its time limit.
    pub exit_code: Option<i32>,
    /// How it ended, in words.
    pub ending: String,
    /// What it printed, both outputs as they came; the middle is left out of what is longer than 16,000 characters.
    pub output: String,
}

/// Which file of a lent sandbox is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SandboxFile {
    /// Its path: absolute, or from the home folder.
    pub path: String,
}
