//! `nightshift review`, as it is typed.

use std::path::PathBuf;

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Review {
    /// List pull requests that wait, the one to take first at the top, and why.
    #[command(after_help = "\
What can be decided now comes first, then what is small, then what is sure, then what waits longest.
While as many wait as review_limit in config.toml allows, new tasks stay queued.
Examples:
  nightshift review list
  nightshift review show $(nightshift review list --json | jq -r '.entries[0].pullRequest.run')")]
    List {
        /// Also merged and closed ones.
        #[arg(long)]
        all: bool,
    },
    /// Show a pull request: what, evidence, commits.
    #[command(after_help = "\
Examples:
  nightshift review show run-4k2
  nightshift review show run-4k2 --pictures /tmp/pictures")]
    Show {
        /// The run's or task's id, or how it begins.
        run: String,
        /// Write the evidence's pictures and the recording into this folder.
        #[arg(long, value_name = "FOLDER")]
        pictures: Option<PathBuf>,
    },
    /// Show the whole diff of a pull request.
    #[command(after_help = "\
Examples:
  nightshift review diff run-4k2 | less
  nightshift review diff run-4k2 | git apply --stat")]
    Diff {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Comment on a line; the comment waits until changes are asked for.
    #[command(after_help = "\
Example:
  nightshift review comment run-4k2 --file src/theme.js --line 12 \"Use the existing storage module\"
  nightshift review ask run-4k2")]
    Comment {
        /// The run's or task's id, or how it begins.
        run: String,
        /// A file that the pull request changes.
        #[arg(long, value_name = "PATH")]
        file: String,
        /// The line in that file.
        #[arg(long)]
        line: u64,
        /// Count lines as they were before the change, to comment on one that was removed.
        #[arg(long)]
        removed: bool,
        /// What is to be different.
        words: String,
    },
    /// Take a comment back that was not sent.
    #[command(after_help = "\
Example:
  nightshift review uncomment run-4k2 f2")]
    Uncomment {
        /// The run's or task's id, or how it begins.
        run: String,
        /// The comment's name, as `review show` tells it, for example f2.
        comment: String,
    },
    /// Ask for changes: the agent goes on in its sandbox, with your words and all comments that wait.
    #[command(after_help = "\
The agent deals with each comment or explains why not; then the pull request is there again, with new evidence.
Example:
  nightshift review ask run-4k2 \"Also keep the choice when the page is opened in a second tab\"")]
    Ask {
        /// The run's or task's id, or how it begins.
        run: String,
        /// What is to be different; may be left out where comments wait.
        words: Option<String>,
    },
    /// Note that the work is good, without merging it.
    #[command(after_help = "\
Examples:
  nightshift review approve run-4k2
  nightshift review approve run-4k2 \"Small and clear; merge it after the release\"")]
    Approve {
        /// The run's or task's id, or how it begins.
        run: String,
        /// Words for the record.
        words: Option<String>,
    },
    /// Tell what came of the attempts at a task, the best at the top, and why.
    #[command(after_help = "\
Checks count first (commands named as evidence and the repository's lint), then the criteria that the
critic found met, then the smaller change. Equal ones share a place.
Examples:
  nightshift exec --attempts 3 --background \"Make the search faster\"
  nightshift review attempts run-4k2
  nightshift review attempts task-7c1 --json | jq -r '.attempts[] | select(.rank == 1).run.run'
  nightshift review merge run-4k2 --close-others")]
    Attempts {
        /// The id of the task or of a run of it, or how it begins.
        task: String,
    },
    /// Merge a pull request into the base branch of Nightshift's copy of the repository.
    #[command(after_help = "\
Examples:
  nightshift review merge run-4k2
  nightshift review merge run-4k2 --close-others   # of several attempts, this one")]
    Merge {
        /// The run's or task's id, or how it begins.
        run: String,
        /// Give the other attempts at the task up: open pull requests are closed, unfinished runs cancelled.
        #[arg(long)]
        close_others: bool,
    },
    /// Close a pull request without merging; its branch is kept.
    #[command(after_help = "\
Examples:
  nightshift review close run-4k2
  nightshift review close --others-of run-4k2      # every other attempt at its task; this one stays")]
    Close {
        /// The run's or task's id, or how it begins.
        #[arg(required_unless_present = "others_of")]
        run: Option<String>,
        /// Give up every other attempt at the task of this run instead: open pull requests are closed, unfinished runs
        /// cancelled.
        #[arg(long, value_name = "RUN", conflicts_with = "run")]
        others_of: Option<String>,
    },
}
