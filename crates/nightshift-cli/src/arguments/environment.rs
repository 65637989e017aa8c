//! `nightshift environment`, as it is typed.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum Environment {
    /// Set a repository up in a sandbox, prove it by its checks, and freeze it: its tasks start from there.
    #[command(after_help = "\
How is read from .nightshift/environment.toml, devcontainer.json, or the manifests that are there, as they are committed;
`nightshift environment plan` shows it. Ctrl+C stops the watching, not the set-up.
Examples:
  nightshift environment set-up --repo ~/src/app
  nightshift environment set-up --background && nightshift environment list")]
    SetUp {
        /// The repository.
        #[command(flatten)]
        repository: EnvironmentRepository,
        /// Return at once; `nightshift environment log` shows how far it is.
        #[arg(long)]
        background: bool,
    },
    /// Show how a repository would be set up; nothing is done.
    #[command(after_help = "\
Example:
  nightshift environment plan --repo ~/src/app")]
    Plan {
        /// The repository.
        #[command(flatten)]
        repository: EnvironmentRepository,
    },
    /// List environments.
    #[command(after_help = "\
Examples:
  nightshift environment list
  nightshift environment list --all --json | jq '.[].state.type'")]
    List {
        /// Also those that are gone.
        #[arg(long)]
        all: bool,
    },
    /// Show an environment: its plan, its phases, and why it failed if it did.
    #[command(after_help = "\
Example:
  nightshift environment show environment-4k2")]
    Show {
        /// The environment's id, or how it begins.
        environment: String,
    },
    /// Print what the commands of a set-up printed.
    #[command(after_help = "\
Examples:
  nightshift environment log environment-4k2
  nightshift environment log environment-4k2 --follow")]
    Log {
        /// The environment's id, or how it begins.
        environment: String,
        /// Go on until it is over.
        #[arg(long, short)]
        follow: bool,
    },
    /// Try the phase that failed again, in the machine as it was left.
    #[command(after_help = "\
Example:
  nightshift environment retry environment-4k2")]
    Retry {
        /// The environment's id, or how it begins.
        environment: String,
        /// Return at once.
        #[arg(long)]
        background: bool,
    },
    /// Remove an environment with its machine and its template; sandboxes that started from it go on.
    #[command(after_help = "\
Example:
  nightshift environment remove environment-4k2")]
    Remove {
        /// The environment's id, or how it begins.
        environment: String,
    },
}

/// The repository of an environment.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EnvironmentRepository {
    /// The repository: a folder on this machine, a URL, or OWNER/NAME at GitHub.
    #[arg(long, default_value = ".")]
    pub(crate) repo: String,
    /// The branch [default: the one that is checked out].
    #[arg(long)]
    pub(crate) base: Option<String>,
}
