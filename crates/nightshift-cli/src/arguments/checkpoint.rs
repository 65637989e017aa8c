//! `nightshift checkpoint`, as it is typed.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Checkpoint {
    /// List a run's checkpoints.
    #[command(after_help = "\
Example:
  nightshift checkpoint list run-4k2")]
    List {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Save memory, disk and browser of a run's sandbox as they are after the step that is being taken.
    #[command(after_help = "\
Example:
  nightshift checkpoint save run-4k2")]
    Save {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Let a run go back to a checkpoint: sandbox and conversation are what they were then.
    #[command(after_help = "\
What the machine is at now is saved first, and going back to that undoes it.
What happened since stays in the history. A paused run stays paused, so that it can be told something first.
Examples:
  nightshift checkpoint rewind run-4k2 7.1
  nightshift pause run-4k2 && nightshift checkpoint rewind run-4k2 checkpoint-9d && \\
    nightshift steer run-4k2 \"Do not touch the parser\" && nightshift continue run-4k2")]
    Rewind {
        /// The run's or task's id, or how it begins.
        run: String,
        /// The checkpoint's id, how it begins, or the step after which it was saved.
        checkpoint: String,
        /// Give up what the machine is at now instead of saving it first.
        #[arg(long)]
        discard: bool,
    },
    /// Start new runs from a checkpoint, each with a sandbox and a branch of its own; the run itself goes on.
    #[command(after_help = "\
Example:
  nightshift checkpoint fork run-4k2 7.1 --count 3 --say \"Try it without a new dependency\"")]
    Fork {
        /// The run's or task's id, or how it begins.
        run: String,
        /// The checkpoint's id, how it begins, or the step after which it was saved.
        checkpoint: String,
        /// How many runs, 16 at most.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// What to tell their agents.
        #[arg(long, value_name = "TEXT")]
        say: Option<String>,
    },
    /// Remove a checkpoint.
    #[command(after_help = "\
Examples:
  nightshift checkpoint remove run-4k2 7.1
  nightshift checkpoint remove run-4k2 checkpoint-9d")]
    Remove {
        /// The run's or task's id, or how it begins.
        run: String,
        /// The checkpoint's id, how it begins, or the step after which it was saved.
        checkpoint: String,
    },
}
