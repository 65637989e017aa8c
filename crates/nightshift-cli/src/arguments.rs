//! The command line, as it is typed.

mod checkpoint;
mod environment;
mod review;
mod settings;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use nightshift_protocol::StepId;

pub(crate) use self::checkpoint::Checkpoint;
pub(crate) use self::environment::{Environment, EnvironmentRepository};
pub(crate) use self::review::Review;
pub(crate) use self::settings::{Key, Settings};

/// Background coding agents, each in a Linux desktop virtual machine of its own.
#[derive(Debug, Parser)]
#[command(name = "nightshift", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Print JSON (lists and objects), or JSON Lines (what goes on) instead of text for people.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  nightshift exec \"Add a dark mode toggle that persists to localStorage\" --repo ~/src/app
  nightshift exec --background \"Fix the flaky login test\"
  nightshift tasks
  nightshift watch run-4k2
  nightshift review show run-4k2
  nightshift review merge run-4k2
  nightshift open

Exit codes: 0 done, 1 failed, 2 wrong use, 3 paused and waiting for you, 4 cancelled.";

/// Which commands need a yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ApprovalChoice {
    /// None.
    Never,
    /// Those listed under [approval] in config.toml.
    Listed,
    /// These, and those that reach beyond the sandbox or work as root.
    Risky,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a task to an agent; waits for its pull request unless told otherwise.
    #[command(after_help = "\
Examples:
  nightshift exec \"Add a dark mode toggle that persists to localStorage\"
  nightshift exec --repo ~/src/app --background \"Translate the error pages to German\"
  nightshift exec \"Add a dark mode toggle\" --criterion \"A button switches it\" --criterion \"It survives a reload\"
  nightshift exec --json \"Raise test coverage of src/parser\" | jq .type
  nightshift exec --engine claude-code \"Fix the flaky login test\"
  nightshift exec --attempts 3 \"Make the search faster\"
  nightshift exec resume --last \"Now do the same for the settings page\"

In a terminal, Ctrl+B leaves the run to the background; `nightshift watch` shows it again.
Ctrl+C interrupts what it does now; once more within ten seconds gives the run up.
In a script, or with several attempts, Ctrl+C stops the waiting and not the runs.")]
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Exec {
        #[command(subcommand)]
        command: Option<Exec>,
        /// What is to be done: what to change, how one sees that it is done, which tests to run.
        #[arg(required = true)]
        description: Option<String>,
        /// How one sees that it is done, in one sentence; may be given several times. Each needs evidence of its own
        /// [default: what the description lists under "Acceptance criteria"].
        #[arg(long = "criterion", value_name = "SENTENCE")]
        criteria: Vec<String>,
        /// How often a critic with a fresh context may look at the finished work before it is delivered; 0 for never
        /// [default: 2 where there are acceptance criteria, else 0].
        #[arg(long, value_name = "ROUNDS",
            value_parser = clap::value_parser!(u32).range(0..=i64::from(nightshift_supervisor::MOST_SELF_REVIEWS)))]
        self_review: Option<u32>,
        /// Which commands of the agent need your yes before they run [default: as configured].
        #[arg(long, value_enum, value_name = "POLICY")]
        approval: Option<ApprovalChoice>,
        /// The repository: a folder on this machine, a URL, or OWNER/NAME at GitHub.
        #[arg(long, default_value = ".")]
        repo: String,
        /// The branch to start from [default: the one that is checked out].
        #[arg(long)]
        base: Option<String>,
        /// The model, as `nightshift models` lists them [default: from the configuration].
        #[arg(long)]
        model: Option<String>,
        /// The agent that works: nightshift, claude-code, codex, or one of [engines] in the configuration; `nightshift
        /// doctor` says which can [default: from the configuration].
        #[arg(long, value_name = "NAME")]
        engine: Option<String>,
        /// What the task may use; of several attempts, each by itself.
        #[command(flatten)]
        limits: LimitArguments,
        /// How many agents attempt it side by side, each in a sandbox and on a branch of its own; `nightshift review
        /// attempts` ranks what they deliver.
        #[arg(long, value_name = "N", default_value_t = 1,
            value_parser = clap::value_parser!(u32).range(1..=i64::from(nightshift_protocol::MOST_ATTEMPTS)))]
        attempts: u32,
        /// Start from the last commit although there are changes that are not committed.
        #[arg(long)]
        leave_out_uncommitted: bool,
        /// Return the run's id at once, or those of all attempts, and let them work.
        #[arg(long)]
        background: bool,
        /// Print only the result, as one line of JSON; what goes on is told on standard error.
        #[arg(long)]
        result_json: bool,
    },
    /// List tasks and what their runs and subagents are doing.
    #[command(after_help = "\
Examples:
  nightshift tasks --all
  nightshift tasks --watch            until Ctrl+C
  nightshift tasks --watch --json     each run that changes, as a line")]
    Tasks {
        /// Also those that are merged, closed, cancelled or failed.
        #[arg(long)]
        all: bool,
        /// Show them anew whenever something changes, until Ctrl+C.
        #[arg(long)]
        watch: bool,
    },
    /// Show one run: plan, evidence, what it used, what comes next.
    #[command(after_help = "\
Examples:
  nightshift show run-4k2
  nightshift show run-4k2 --events            # all that happened, one event a line
  nightshift show run-4k2 --json | jq .plan")]
    Show {
        /// The run's or task's id, or how it begins.
        run: String,
        /// Also every event.
        #[arg(long)]
        events: bool,
    },
    /// Follow a run as it works.
    #[command(after_help = "\
Examples:
  nightshift watch run-4k2
  nightshift watch run-4k2 --json | jq .type

It ends when the run waits for you or is over. Ctrl+C stops the watching, not the run.")]
    Watch {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Write to a run without stopping it, or answer its question.
    #[command(after_help = "\
Examples:
  nightshift steer run-4k2 \"Use the existing i18n helper\"
  nightshift steer run-4k2 --queue \"When that works, update the docs too\"
  nightshift steer run-4k2 --interrupt \"Stop: that is the production database\"

Without a flag the agent reads it when the tool calls of its present answer are done.")]
    Steer {
        /// The run's or task's id, or how it begins.
        run: String,
        /// What to tell the agent.
        text: String,
        /// Let the agent read it when it is done with what it does.
        #[arg(long, conflicts_with = "interrupt")]
        queue: bool,
        /// Stop what the agent does now, so that it reads it at once.
        #[arg(long)]
        interrupt: bool,
    },
    /// Say yes to the command that a run waits with; it is run, this once.
    #[command(after_help = "\
Examples:
  nightshift show run-4k2                   # what it asks for
  nightshift approve run-4k2
  nightshift approve run-4k2 --step 4.1     # only if it still waits with that step")]
    Approve {
        /// The run's or task's id, or how it begins.
        run: String,
        /// The step you looked at; refused when the run waits with another one by now.
        #[arg(long)]
        step: Option<StepId>,
    },
    /// Say no to the command that a run waits with; the agent is told and goes on without it.
    #[command(after_help = "\
Example:
  nightshift deny run-4k2 \"Leave publishing to me\"")]
    Deny {
        /// The run's or task's id, or how it begins.
        run: String,
        /// Why, or what to do instead.
        #[arg(default_value = "", hide_default_value = true)]
        words: String,
        /// The step you looked at; refused when the run waits with another one by now.
        #[arg(long)]
        step: Option<StepId>,
    },
    /// Stop what a run does now: a command is ended and keeps its output, and the agent goes on from there.
    #[command(after_help = "\
Example:
  nightshift interrupt run-4k2

`nightshift steer --interrupt` does the same and says why.")]
    Interrupt {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Stop a run for now; its sandbox is kept.
    #[command(after_help = "\
Example:
  nightshift pause run-4k2                    # and nightshift continue run-4k2")]
    Pause {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Let a paused run go on, with new limits if any are named.
    #[command(after_help = "\
Examples:
  nightshift continue run-4k2
  nightshift continue run-4k2 --budget 20      # the task may cost 20 dollars in all")]
    Continue {
        /// The run's or task's id, or how it begins.
        run: String,
        /// What the task may use from now on, in all.
        #[command(flatten)]
        limits: LimitArguments,
    },
    /// Suspend the sandbox of a paused run to disk: it gives its memory back, and `continue` brings it back.
    #[command(after_help = "\
A run that has waited for ten minutes is suspended by itself. A suspended sandbox survives a restart of this machine.
Example:
  nightshift pause run-4k2 && nightshift suspend run-4k2")]
    Suspend {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Save a run's sandbox, go back to a moment that was saved, or try something else from there.
    Checkpoint {
        #[command(subcommand)]
        command: Checkpoint,
    },
    /// Open a shell in a run's sandbox, beside the agent, which goes on.
    #[command(after_help = "\
The shell is the agent's user's, in the repository's folder; what is done there is not recorded. It is kept for 15
minutes when the connection is cut, and comes back by itself. `exit` ends it. Where input or output is no terminal it
prints only what its commands print, ends where its input ends, and its exit status is this program's.
Examples:
  nightshift shell run-4k2
  echo 'git log --oneline | head' | nightshift shell run-4k2")]
    Shell {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Give a run up and remove its sandbox.
    #[command(after_help = "\
Example:
  nightshift cancel run-4k2

One whose pull request is open is given up with it: nightshift review close run-4k2")]
    Cancel {
        /// The run's or task's id, or how it begins.
        run: String,
    },
    /// Look at pull requests and decide on them.
    Review {
        #[command(subcommand)]
        command: Review,
    },
    /// Sum up what tasks and their reviews came to: merged, changes asked for, times, cost.
    #[command(after_help = "\
\"unchanged\" counts what was merged with less than a tenth of its changed lines altered after the
first delivery. \"review\" is the median time that a pull request was open for a decision, without the
agent's own time; \"agent\" the median time that an agent worked.
Examples:
  nightshift stats
  nightshift stats --by week --since 12w
  nightshift stats --by model --since 2026-11-01 --json | jq '.rows[].mergedUnchanged'")]
    Stats {
        /// What tells the rows apart.
        #[arg(long, value_enum, default_value = "repository")]
        by: StatisticsKind,
        /// Only tasks given since then: a day as 2026-11-01, or so many days or weeks ago as 30d or 4w.
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
    },
    /// Look at the definitions of subagents: .nightshift/agents, .claude/agents, and those of the user.
    Agents {
        #[command(subcommand)]
        command: Agents,
    },
    /// Make image and template ready before the first task needs them.
    Template {
        #[command(subcommand)]
        command: Template,
    },
    /// Set a repository up once, prove it by its checks, and let its tasks start from there.
    Environment {
        #[command(subcommand)]
        command: Environment,
    },
    /// Remove images and templates that nobody needs any more; they can be made again.
    #[command(after_help = "\
What the next sandbox is made of stays, and what a sandbox, a checkpoint or an environment rests on. After a new template the
newest before it is kept and older ones go by themselves.
Examples:
  nightshift prune --dry-run      # what would go, what stays and why
  nightshift prune")]
    Prune {
        /// Only say what would be removed and how much that frees.
        #[arg(long)]
        dry_run: bool,
    },
    /// Run the owner in the foreground (the other commands start it by themselves).
    #[command(after_help = "\
Examples:
  nightshift serve
  nightshift serve --port 7100
  nightshift serve --listen 192.168.1.20 --name build-box.lan   # reachable from the network, without encryption")]
    Serve {
        /// The port [default: the one before, or any free one].
        #[arg(long)]
        port: Option<u16>,
        /// The address to listen on [default: 127.0.0.1]. Anything else lets other machines ask, over plain HTTP.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<std::net::IpAddr>,
        /// A name under which requests may come in, beside localhost and the address; may be given several times.
        #[arg(long, value_name = "NAME")]
        name: Vec<String>,
    },
    /// Serve other agents by the Model Context Protocol: they give tasks, follow them, and use sandboxes.
    #[command(after_help = MCP_EXAMPLES)]
    Mcp(McpArguments),
    /// Open the web UI: prints an address that lets one browser in, once, within two minutes.
    #[command(after_help = "\
Examples:
  nightshift open
  xdg-open \"$(nightshift open)\"")]
    Open,
    /// End the owner; runs stop where they are and go on when it is started again.
    #[command(after_help = "\
Example:
  nightshift stop

Any other command starts it again; `nightshift restart` does both.")]
    Stop,
    /// Start the owner again, with the settings and keys as they are now; runs go on.
    #[command(after_help = "\
Example:
  nightshift key set ANTHROPIC_API_KEY && nightshift restart")]
    Restart,
    /// Show or change settings: models, budgets, sandboxes, what they may reach.
    #[command(after_help = "\
Examples:
  nightshift settings
  nightshift settings set sandboxes 4
  nightshift settings set limits.dollars 5
  nightshift settings set egress.allow example.org \"*.example.net\"
  nightshift settings undo

They are kept in config.toml, where comments and everything else stay as they are; the owner takes them up when it starts
again: `nightshift restart`.")]
    Settings {
        #[command(subcommand)]
        command: Option<Settings>,
    },
    /// Keep keys of providers and of GitHub, in the desktop's key ring or in a file that only you may read.
    #[command(after_help = "\
Examples:
  nightshift key list
  nightshift key set ANTHROPIC_API_KEY            # asks for it
  pass show anthropic | nightshift key set ANTHROPIC_API_KEY
  nightshift key remove ANTHROPIC_API_KEY

A variable of that name in the owner's environment comes first.")]
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// List the models that tasks can be given to, with window and price.
    #[command(after_help = "\
Examples:
  nightshift models
  nightshift models openai/
  nightshift models --json | jq -r '.models[].name'

Providers are anthropic, openai and ollama, and those of [providers.NAME] in config.toml.")]
    Models {
        /// Only those whose names have this in them.
        containing: Option<String>,
    },
    /// Look whether this machine can run sandboxes, and say what to do if not.
    #[command(after_help = "\
Examples:
  nightshift doctor
  nightshift doctor --model ollama/qwen3-vl:8b    # one small call: streaming, tools, pictures")]
    Doctor {
        /// Try this model instead, by one small call that costs a fraction of a cent.
        #[arg(long)]
        model: Option<String>,
    },
}

/// What tells the rows of statistics apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum StatisticsKind {
    /// The workflow a task went through; so far there is one.
    Blueprint,
    /// The model.
    Model,
    /// The repository.
    Repository,
    /// The week in which the task was given.
    Week,
}

const MCP_EXAMPLES: &str = "\
A client starts it by itself, over standard input and output, without a shell and its aliases. Claude Code:
  claude mcp add nightshift -- nightshift mcp
  claude mcp add nightshift -- \"$PWD/dev\" nightshift mcp     # from a checkout

Codex, in ~/.codex/config.toml:
  [mcp_servers.nightshift]
  command = \"nightshift\"
  args = [\"mcp\"]

Claude Desktop, Cursor, and others that read mcpServers (VS Code: servers, in .vscode/mcp.json):
  { \"mcpServers\": { \"nightshift\": { \"command\": \"nightshift\", \"args\": [\"mcp\"] } } }

Over HTTP, for clients elsewhere; the token is in ~/.local/share/nightshift/access.json:
  nightshift mcp --http --port 7200
  claude mcp add --transport http nightshift http://127.0.0.1:7200/mcp --header \"Authorization: Bearer TOKEN\"

Sandboxes that a client opened are closed when it hangs up; tasks go on. Merging is left to people unless you say
--allow-merge.";

/// How other agents are served.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct McpArguments {
    #[command(subcommand)]
    pub(crate) command: Option<crate::mcp::McpCommand>,
    /// Serve over HTTP instead of standard input and output.
    #[arg(long)]
    pub(crate) http: bool,
    /// The port [default: any free one].
    #[arg(long, requires = "http")]
    pub(crate) port: Option<u16>,
    /// The address to listen on [default: 127.0.0.1]. Anything else lets other machines ask, over plain HTTP.
    #[arg(long, value_name = "ADDRESS", requires = "http")]
    pub(crate) listen: Option<std::net::IpAddr>,
    /// A name under which requests may come in, beside localhost and the address; may be given several times.
    #[arg(long, value_name = "NAME", requires = "http")]
    pub(crate) name: Vec<String>,
    /// Offer the tool that merges a pull request.
    #[arg(long)]
    pub(crate) allow_merge: bool,
}

/// What a task may use.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct LimitArguments {
    /// Money the task may cost, in US dollars.
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    pub(crate) budget: Option<f64>,
    /// Model calls the task may make, at most 9000.
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(nightshift_protocol::Limits::MOST_TURNS)))]
    pub(crate) turns: Option<u32>,
    /// Tokens that all model calls together may use, cached ones counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tokens: Option<u64>,
    /// Minutes the agent may work.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) minutes: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Exec {
    /// Take a run up again in its sandbox, with everything it knows, and follow it.
    #[command(override_usage = "\
nightshift exec resume [OPTIONS] <RUN> <TEXT>
       nightshift exec resume [OPTIONS] --last <TEXT>")]
    #[command(after_help = "\
Examples:
  nightshift exec resume run-4k2 \"Use the other port\"
  nightshift exec resume --last \"Go on, and mind the failing test\"

One that works is told, one that asked is answered, one that was paused goes on, one in review goes back to work; a
suspended sandbox comes back.")]
    Resume {
        /// The run's or task's id, or how it begins; left out with --last. Then: what to tell its agent.
        #[arg(value_names = ["RUN", "TEXT"], num_args = 1..=2, required = true)]
        what: Vec<String>,
        /// The run that was submitted last.
        #[arg(long)]
        last: bool,
        /// Return at once and let it work.
        #[arg(long)]
        background: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Agents {
    /// List the definitions that count, of this repository and of the user.
    #[command(after_help = "\
Examples:
  nightshift agents list
  nightshift agents list --json | jq '.[].name'")]
    List,
    /// Check definitions: every field that is misspelt or means nothing, with line and column.
    #[command(after_help = "\
Examples:
  nightshift agents lint
  nightshift agents lint .claude/agents/reviewer.md
  nightshift agents lint --json | jq '.[].findings'

Ends with 1 when a definition cannot be used as it is; what is only pointed out is a warning.")]
    Lint {
        /// Definitions, or folders with definitions [default: those of this repository and of the user].
        paths: Vec<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Template {
    /// Build image and template if they are missing (minutes, once).
    #[command(after_help = "\
Example:
  nightshift template build")]
    Build,
}

#[cfg(test)]
mod tests;
