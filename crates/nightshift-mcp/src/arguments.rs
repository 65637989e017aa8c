//! What the tools take. The comments are what the calling model reads.

use rmcp::schemars::{self, JsonSchema};
use serde::Deserialize;

/// A run by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneRun {
    /// The run's or task's id, or how it begins.
    pub(crate) run: String,
}

/// A task.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Submit {
    /// What is to be done: what to change, how one sees that it is done, which tests to run.
    pub(crate) description: String,
    /// How one sees that it is done, one sentence each: the agent shows each by evidence, and a critic with a fresh
    /// context checks them before the work is handed over. What the description lists under acceptance criteria if absent.
    #[serde(default)]
    pub(crate) criteria: Vec<String>,
    /// How often that critic may look, 0 to 5; as configured if absent.
    pub(crate) self_review_rounds: Option<u32>,
    /// The repository: an absolute folder on the owner's machine, a URL, or OWNER/NAME at GitHub. The folder this
    /// server was started in if absent.
    pub(crate) repository: Option<String>,
    /// The branch to start from; the one that is checked out if absent.
    pub(crate) base_branch: Option<String>,
    /// The model; the configured one if absent. An engine that calls models of another provider uses its own then.
    pub(crate) model: Option<String>,
    /// The agent that works on it: nightshift, claude-code, codex, or another that is configured; the configured one if
    /// absent. One that cannot work, because it has no key for instance, is refused with the reason.
    pub(crate) engine: Option<String>,
    /// How many agents attempt it side by side, 1 to 8, each in a sandbox and on a branch of its own; one if absent. Budget
    /// and minutes hold for each by itself. review_attempts ranks what they deliver.
    #[serde(default = "one")]
    pub(crate) attempts: u32,
    /// US dollars the task may cost.
    pub(crate) budget_usd: Option<f64>,
    /// Minutes the agent may work.
    pub(crate) minutes: Option<u32>,
    /// Start from the last commit although there are changes that are not committed.
    #[serde(default)]
    pub(crate) leave_out_uncommitted: bool,
}

fn one() -> u32 {
    1
}

/// A task by its name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneTask {
    /// The id of the task or of a run of it, or how it begins.
    pub(crate) task: String,
}

/// Which tasks are wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    /// Also those that are merged, closed, cancelled or failed.
    #[serde(default)]
    pub(crate) all: bool,
}

/// What to wait for, and how long.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wait {
    /// The run's or task's id, or how it begins.
    pub(crate) run: String,
    /// Seconds to wait at most, up to 3600; 50 if absent, because many clients give up after 60.
    pub(crate) timeout_seconds: Option<u32>,
}

/// How a message reaches the agent.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Delivery {
    /// After the tool calls of its present answer.
    #[default]
    Steer,
    /// When it is done with what it does.
    Queue,
    /// At once: what it does now is stopped.
    Interrupt,
}

/// A message to an agent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Steer {
    /// The run's or task's id, or how it begins.
    pub(crate) run: String,
    /// What to tell the agent.
    pub(crate) text: String,
    /// When it reads it.
    #[serde(default)]
    pub(crate) delivery: Delivery,
}

/// An answer to an agent's question.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The run's or task's id, or how it begins.
    pub(crate) run: String,
    /// The answer.
    pub(crate) text: String,
}

/// Which diff is wanted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Diff {
    /// The run's or task's id, or how it begins.
    pub(crate) run: String,
    /// One file of it; all of them if absent.
    pub(crate) path: Option<String>,
}

/// What is to be merged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Merge {
    /// The run's or task's id, or how it begins.
    pub(crate) run: String,
    /// The commit that was reviewed, in full, as `head` of review_show gives it. A branch that has moved since is not
    /// merged.
    pub(crate) head: String,
}

/// A sandbox.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneSandbox {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
}

/// What to look at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Look {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// A part of the screen at full resolution: left, top, right, bottom in pixels; the whole screen if absent.
    pub(crate) region: Option<[u32; 4]>,
}

/// A button of the mouse.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Button {
    #[default]
    Left,
    Right,
    Middle,
}

/// A click.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Click {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// Pixels from the left.
    pub(crate) x: u32,
    /// Pixels from the top.
    pub(crate) y: u32,
    /// Which button.
    #[serde(default)]
    pub(crate) button: Button,
    /// 1, 2 or 3 clicks in quick succession; 1 if absent. Only the left button clicks more than once.
    pub(crate) clicks: Option<u8>,
    /// Keys held meanwhile, for example `ctrl+shift`.
    pub(crate) modifiers: Option<String>,
}

/// A drag with the left button.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drag {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// Where the button goes down: x and y.
    pub(crate) from: [u32; 2],
    /// Where it goes up: x and y.
    pub(crate) to: [u32; 2],
}

/// A text to type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Type {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// The text, at most 5,000 characters; a line end is the Return key.
    pub(crate) text: String,
}

/// Keys to press together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// Names as the X Window System has them, joined by `+`: `Return`, `ctrl+s`, `alt+F4`.
    pub(crate) keys: String,
}

/// Where the wheel turns to.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Up,
    #[default]
    Down,
    Left,
    Right,
}

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

/// A turn of the wheel.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scroll {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// Pixels from the left.
    pub(crate) x: u32,
    /// Pixels from the top.
    pub(crate) y: u32,
    /// Which way; down if absent.
    #[serde(default)]
    pub(crate) direction: Direction,
    /// How many notches, 1 to 50; 3 if absent.
    pub(crate) notches: Option<u8>,
}

/// A command.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shell {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// The command line, for bash; it begins in the home folder.
    pub(crate) command: String,
    /// Seconds after which it is ended, 1 to 1800; 45 if absent, because many clients give up after 60.
    pub(crate) time_limit_seconds: Option<u32>,
}

/// A file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// Its path: absolute, or from the home folder.
    pub(crate) path: String,
}

/// A file to write.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    /// The sandbox, as sandbox_open named it.
    pub(crate) sandbox: String,
    /// Its path: absolute, or from the home folder. Folders above it are made.
    pub(crate) path: String,
    /// The whole text; a file that is there is replaced.
    pub(crate) text: String,
}
