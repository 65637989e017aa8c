//! `nightshift settings` and `nightshift key`, as they are typed.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Settings {
    /// Change one setting, by its name in config.toml.
    #[command(after_help = "\
These can be set: model, engine, context_tokens, limits.dollars, limits.turns, limits.tokens,
limits.minutes, sandboxes, sandbox.memory_mib, sandbox.processors, sandbox.spare, disk.reserve_mib,
disk.sandbox_mib, egress.allow, egress.set_up, egress.permit. What else docs/configuration.md lists
is set by hand in config.toml.
Examples:
  nightshift settings set sandboxes 4
  nightshift settings set egress.allow example.org \"*.example.net\"
  nightshift settings set limits.dollars       # what it is by default")]
    Set {
        /// Its name, for example sandbox.memory_mib; `nightshift settings` lists them.
        name: String,
        /// The new value; for a list any number of them. Without one the default is set.
        values: Vec<String>,
    },
    /// Take the last change back; done twice, it is made again.
    #[command(after_help = "\
Example:
  nightshift settings undo")]
    Undo,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// List the keys that are used, and where each is kept; no key is shown.
    #[command(after_help = "\
Example:
  nightshift key list")]
    List,
    /// Keep a key: it is asked for, or read from standard input.
    #[command(after_help = "\
Examples:
  nightshift key set ANTHROPIC_API_KEY
  pass show github | nightshift key set GITHUB_TOKEN

The owner uses it from its next start on: nightshift restart")]
    Set {
        /// The variable it is known by, for example ANTHROPIC_API_KEY.
        name: String,
    },
    /// Forget a key.
    #[command(after_help = "\
Example:
  nightshift key remove ANTHROPIC_API_KEY")]
    Remove {
        /// The variable it is known by.
        name: String,
    },
}
