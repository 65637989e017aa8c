//! `config.toml`: what a person may set once instead of on every command.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nightshift_engine::Engine;
use nightshift_libvirt::{HostSettings, check_hosts};
use nightshift_protocol::{Approval, ErrorCode, Limits, OWN_ENGINE, UserError};
use nightshift_supervisor::{DiskSettings, MOST_SELF_REVIEWS, RegistryKind, check_approval};
use serde::Deserialize;

use crate::egress::{self, EgressConfiguration};
use crate::providers::{self, ProviderConfiguration};

/// The model of a task that names none.
pub(crate) const DEFAULT_MODEL: &str = "claude-sonnet-5-5";

/// Seconds between two looks at a pull request at least: the site asks programs to be sparing.
const LEAST_POLL_SECONDS: u64 = 10;

/// The configuration file. Unknown keys are refused: a misspelt one would be silently without effect.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Configuration {
    /// The model of a task that names none.
    pub(crate) model: String,
    /// The agent that works on a task which names none.
    pub(crate) engine: String,
    /// Tokens the model's window has; 200,000 when absent.
    pub(crate) context_tokens: Option<u64>,
    /// What a task may use that says nothing of it.
    pub(crate) limits: LimitConfiguration,
    /// Sandboxes that may run at once; by default what three quarters of the memory hold.
    pub(crate) sandboxes: Option<u32>,
    /// The machines.
    pub(crate) sandbox: SandboxConfiguration,
    /// What they may take of the disk.
    pub(crate) disk: DiskConfiguration,
    /// The libvirt hosts they are on; none means this machine, by QEMU.
    pub(crate) hosts: Vec<HostSettings>,
    /// What they may reach.
    pub(crate) egress: EgressConfiguration,
    /// What servers of the Model Context Protocol may have of the person's.
    pub(crate) mcp: McpConfiguration,
    /// Addresses of package registries by kind, where they are not this machine's own.
    pub(crate) registries: BTreeMap<RegistryKind, Vec<String>>,
    /// Providers of models beside those that are built in, and what is different about those.
    pub(crate) providers: BTreeMap<String, ProviderConfiguration>,
    /// Foreign agents beside those that are built in, and what is different about those.
    pub(crate) engines: BTreeMap<String, Engine>,
    /// The account at GitHub.
    pub(crate) github: GitHubConfiguration,
    /// Which commands of a task need a person's yes.
    pub(crate) approval: Approval,
    /// Which subagents are for what.
    pub(crate) agents: AgentsConfiguration,
    /// How work is delivered.
    pub(crate) delivery: DeliveryConfiguration,
    /// Which issues become tasks.
    pub(crate) issues: IssueConfiguration,
}

/// What servers of the Model Context Protocol at an address may have of the person's. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct McpConfiguration {
    /// Keys that their headers may name, each with the hosts that it is for.
    pub(crate) keys: BTreeMap<String, Vec<String>>,
}

/// What a task may use that says nothing of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LimitConfiguration {
    /// US dollars, from 0.01 to 100,000.
    pub(crate) dollars: f64,
    /// Model calls, at least 1.
    pub(crate) turns: u32,
    /// Tokens of all model calls together, at least 1000.
    pub(crate) tokens: u64,
    /// Minutes while the run works, from 1 to 100,000.
    pub(crate) minutes: u64,
}

impl Default for LimitConfiguration {
    fn default() -> Self {
        let Limits { turns, tokens, cost_microdollars, seconds } = Limits::default();
        Self { dollars: cost_microdollars as f64 / 1e6, turns, tokens, minutes: seconds / 60 }
    }
}

/// Which issues become tasks. By default none do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct IssueConfiguration {
    /// The repositories that are looked at.
    pub(crate) repositories: Vec<String>,
    /// The label that asks for a task.
    pub(crate) label: Option<String>,
    /// The name that a comment mentions to ask for a task.
    pub(crate) mention: Option<String>,
    /// Who may ask by a mention, by login.
    pub(crate) who: Vec<String>,
}

/// The account at GitHub. A token is not in here but in `GITHUB_TOKEN`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct GitHubConfiguration {
    /// The site.
    pub(crate) url: String,
    /// Where attachments are uploaded, if not where github.com takes them.
    pub(crate) uploads_url: Option<String>,
    /// The id of a GitHub App, instead of a token.
    pub(crate) app: Option<String>,
    /// The file with its private key.
    pub(crate) app_key: Option<PathBuf>,
    /// Which of its installations; found by the repository if absent.
    pub(crate) installation: Option<u64>,
}

/// How work is delivered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeliveryConfiguration {
    /// Whether pull requests at GitHub begin as drafts.
    pub(crate) draft: bool,
    /// Labels of pull requests at GitHub.
    pub(crate) labels: Vec<String>,
    /// Who is asked to review, by login.
    pub(crate) reviewers: Vec<String>,
    /// Paths that agents may not change.
    pub(crate) forbidden_paths: Vec<String>,
    /// How many pull requests may wait for a review before new tasks stay queued; 0 means any number.
    pub(crate) review_limit: u32,
    /// How often a critic may look at finished work whose task has acceptance criteria, 5 times at most; 0 for never.
    pub(crate) self_review_rounds: u32,
    /// How often the agent deals with failing checks before a person has to.
    pub(crate) check_rounds: u32,
    /// Seconds between two looks at an open pull request at GitHub, at least 10.
    pub(crate) poll_seconds: u64,
    /// Which screenshots leave the machine.
    pub(crate) screenshots: Screenshots,
    /// Whether the recording is made as a video too, where ffmpeg is installed.
    pub(crate) video: bool,
}

/// Which screenshots leave the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Screenshots {
    /// Those that were read for secrets.
    Read,
    /// All as they are.
    Unread,
    /// None.
    Never,
}

impl Default for GitHubConfiguration {
    fn default() -> Self {
        Self {
            url: "https://github.com".to_owned(),
            uploads_url: None,
            app: None,
            app_key: None,
            installation: None,
        }
    }
}

impl Default for DeliveryConfiguration {
    fn default() -> Self {
        Self {
            draft: false,
            labels: vec!["nightshift".to_owned()],
            reviewers: Vec::new(),
            forbidden_paths: vec![".github/workflows/".to_owned()],
            review_limit: 20,
            self_review_rounds: 2,
            check_rounds: 2,
            poll_seconds: 60,
            screenshots: Screenshots::Read,
            video: true,
        }
    }
}

/// Which subagents are for what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentsConfiguration {
    /// Rules in words, for every repository; at most 50 of at most 500 characters.
    pub(crate) routing: Vec<String>,
    /// What names of models in definitions mean, such as `opus`; at most 50.
    pub(crate) models: BTreeMap<String, String>,
}

/// The machines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SandboxConfiguration {
    /// Memory in MiB.
    pub(crate) memory_mib: u32,
    /// Virtual processors.
    pub(crate) processors: u32,
    /// Whether a clone waits for the next task.
    pub(crate) spare: bool,
}

/// What the machines may take of the disk.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DiskConfiguration {
    /// What stays free, in MiB; 2048 when absent, or a twentieth of a disk of less than 40 GiB.
    pub(crate) reserve_mib: Option<u64>,
    /// What one may write, in MiB; 0 for any amount.
    pub(crate) sandbox_mib: u64,
}

impl DiskConfiguration {
    /// As the supervisor takes it.
    pub(crate) fn settings(&self) -> DiskSettings {
        DiskSettings { reserve_mib: self.reserve_mib, sandbox_mib: self.sandbox_mib }
    }
}

impl Default for DiskConfiguration {
    fn default() -> Self {
        let DiskSettings { reserve_mib, sandbox_mib } = DiskSettings::default();
        Self { reserve_mib, sandbox_mib }
    }
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            model: DEFAULT_MODEL.to_owned(),
            engine: OWN_ENGINE.to_owned(),
            context_tokens: None,
            limits: LimitConfiguration::default(),
            sandboxes: None,
            sandbox: SandboxConfiguration::default(),
            disk: DiskConfiguration::default(),
            hosts: Vec::new(),
            egress: EgressConfiguration::default(),
            mcp: McpConfiguration::default(),
            registries: BTreeMap::new(),
            providers: BTreeMap::new(),
            engines: BTreeMap::new(),
            github: GitHubConfiguration::default(),
            approval: Approval::default(),
            agents: AgentsConfiguration::default(),
            delivery: DeliveryConfiguration::default(),
            issues: IssueConfiguration::default(),
        }
    }
}

impl Default for SandboxConfiguration {
    fn default() -> Self {
        Self { memory_mib: 2048, processors: 2, spare: true }
    }
}

/// Reads the configuration; no file is the same as an empty one.
pub(crate) fn read(path: &Path) -> Result<Configuration, UserError> {
    let refuse = |why: String, hint: &str| {
        let message = format!("the configuration {} cannot be used: {why}", path.display());
        UserError::new(ErrorCode::InvalidRequest, message, hint)
    };
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&text)
            .map_err(|why| refuse(why, "Mend what it names; docs/configuration.md lists what may be set.")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Configuration::default()),
        Err(error) => {
            Err(refuse(error.to_string(), "It has to be a text file that you may read: look at its mode."))
        }
    }
}

/// Reads the text of a configuration.
///
/// # Errors
///
/// What is wrong in it, and where.
pub(crate) fn parse(text: &str) -> Result<Configuration, String> {
    let configuration: Configuration = toml::from_str(text).map_err(|error| error.to_string())?;
    check(&configuration).map_or(Ok(configuration), Err)
}

/// Whether the file may have a key of that name, such as `delivery.review_limit`.
pub(crate) fn has_key(name: &str) -> bool {
    let is_bare = |word: &str| {
        let fits = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'_' | b'-');
        !word.is_empty() && word.bytes().all(fits)
    };
    // A value that hardly a key can have: where there is such a key, that is what is wrong.
    let read = |text: String| toml::from_str::<Configuration>(&text).err();
    name.split('.').all(is_bare)
        && read(format!("{name} = true")).is_none_or(|error| {
            let said = error.message();
            !said.contains("unknown field") && !said.contains("invalid type: map")
        })
}

fn check(configuration: &Configuration) -> Option<String> {
    if configuration.model.trim().is_empty() {
        return Some("the model has no name".to_owned());
    }
    if let Err(why) = providers::check_model(&configuration.model, &configuration.providers) {
        return Some(format!("model: {why}"));
    }
    let limits = &configuration.limits;
    if !(0.01..=100_000.0).contains(&limits.dollars) {
        return Some("limits.dollars must be between 0.01 and 100000".to_owned());
    }
    if limits.turns == 0 || limits.tokens < 1_000 || !(1..=100_000).contains(&limits.minutes) {
        return Some(
            "limits must leave a task at least one turn, 1000 tokens and one minute, and 100000 minutes at most".to_owned(),
        );
    }
    if limits.turns > Limits::MOST_TURNS {
        return Some(format!("limits.turns must be at most {}", Limits::MOST_TURNS));
    }
    if configuration.context_tokens.is_some_and(|tokens| !(16_000..=10_000_000).contains(&tokens)) {
        return Some("context_tokens must be between 16000 and 10000000".to_owned());
    }
    let machine = &configuration.sandbox;
    if !(512..=65_536).contains(&machine.memory_mib) {
        return Some("sandbox.memory_mib must be between 512 and 65536".to_owned());
    }
    if !(1..=64).contains(&machine.processors) {
        return Some("sandbox.processors must be between 1 and 64".to_owned());
    }
    // Less would stop a sandbox that has only come up.
    if (1..256).contains(&configuration.disk.sandbox_mib) {
        return Some("disk.sandbox_mib must be 0 (any amount) or at least 256".to_owned());
    }
    if configuration.delivery.self_review_rounds > MOST_SELF_REVIEWS {
        return Some(format!("delivery.self_review_rounds must be between 0 and {MOST_SELF_REVIEWS}"));
    }
    if configuration.delivery.poll_seconds < LEAST_POLL_SECONDS {
        return Some(format!("delivery.poll_seconds must be at least {LEAST_POLL_SECONDS}"));
    }
    if let Err(error) = check_hosts(&configuration.hosts) {
        return Some(error.to_string());
    }
    let named = &configuration.engine;
    match engines(&configuration.engines) {
        Err(why) => return Some(why),
        Ok(engines) if named != OWN_ENGINE && !engines.contains_key(named) => {
            let known: Vec<&str> =
                std::iter::once(OWN_ENGINE).chain(engines.keys().map(String::as_str)).collect();
            return Some(format!(
                "engine: there is no {}; there are {}",
                named.chars().filter(|letter| !letter.is_control()).take(60).collect::<String>(),
                known.join(", ")
            ));
        }
        Ok(_) => {}
    }
    if let Err(error) = check_approval(&configuration.approval) {
        return Some(format!("approval.commands: {}", error.message));
    }
    let routing = &configuration.agents.routing;
    if routing.len() > 50 || routing.iter().any(|rule| !(1..=500).contains(&rule.trim().chars().count())) {
        return Some("agents.routing may have 50 rules, each of 1 to 500 characters".to_owned());
    }
    let models = &configuration.agents.models;
    if models.len() > 50
        || models.iter().any(|(name, model)| name.trim().is_empty() || model.trim().is_empty())
    {
        return Some("agents.models may have 50 names, each with a model".to_owned());
    }
    if let Err(why) = egress::settings(&configuration.egress, None) {
        return Some(why);
    }
    if let Err(why) = egress::registries(configuration, Vec::new()) {
        return Some(why);
    }
    (configuration.sandboxes == Some(0)).then(|| "sandboxes must be at least 1".to_owned())
}

/// All foreign agents there are: those that are built in, and those that are configured in their place or beside them.
///
/// # Errors
///
/// What is wrong with one of them.
pub(crate) fn engines(configured: &BTreeMap<String, Engine>) -> Result<BTreeMap<String, Engine>, String> {
    let mut engines = nightshift_engine::built_in();
    for (name, engine) in configured {
        nightshift_engine::check_name(name).map_err(|error| format!("engines: {error}"))?;
        if engine.command.trim().is_empty() {
            return Err(format!("engines.{name}.command is empty"));
        }
        engines.insert(name.clone(), engine.clone());
    }
    Ok(engines)
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::ApprovalPolicy;

    use super::*;

    fn read_text(text: &str) -> Result<Configuration, UserError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn no_file_means_the_defaults() {
        assert_eq!(read(Path::new("/nowhere/config.toml")).unwrap(), Configuration::default());
    }

    #[test]
    fn a_part_that_is_left_out_keeps_its_default() {
        let read = read_text("[sandbox]\nmemory_mib = 4096\n").unwrap();
        assert_eq!(read.sandbox, SandboxConfiguration { memory_mib: 4096, processors: 2, spare: true });
        assert_eq!(read.model, DEFAULT_MODEL);
    }

    #[test]
    fn the_disk_keeps_what_it_is_told_to_and_a_sandbox_may_write_twelve_gibibytes_unless_told_otherwise() {
        let disk = read_text("[disk]\nreserve_mib = 0\n").unwrap().disk;
        assert_eq!(disk.settings(), DiskSettings { reserve_mib: Some(0), sandbox_mib: 12_288 });
        let disk = read_text("[disk]\nsandbox_mib = 4096\n").unwrap().disk;
        assert_eq!(disk.settings(), DiskSettings { reserve_mib: None, sandbox_mib: 4_096 });
    }

    #[test]
    fn delivery_and_account_have_their_parts() {
        let text = "[github]\nurl = \"https://git.example.org\"\n[delivery]\nscreenshots = \"never\"\n";
        let read = read_text(text).unwrap();
        assert_eq!(read.github.url, "https://git.example.org");
        assert_eq!((read.delivery.screenshots, read.delivery.review_limit), (Screenshots::Never, 20));
    }

    #[test]
    fn commands_need_a_yes_where_they_are_listed_and_an_empty_one_is_refused() {
        let read = read_text("[approval]\npolicy = \"risky\"\ncommands = [\"npm publish\"]\n").unwrap();
        let commands = vec!["npm publish".to_owned()];
        assert_eq!(read.approval, Approval { policy: ApprovalPolicy::Risky, commands });
        let error = read_text("[approval]\ncommands = [\" \"]\n").unwrap_err();
        assert!(error.message.contains("approval.commands: \" \" is no command"), "{}", error.message);
        assert!(read_text("[approval]\npolicy = \"sometimes\"\n").is_err());
    }

    #[test]
    fn rules_which_agent_is_for_what_are_read_and_held_to_a_size() {
        let read = read_text("[agents]\nrouting = [\"Reviews go to reviewer.\"]\n").unwrap();
        assert_eq!(read.agents.routing, ["Reviews go to reviewer."]);
        let error = read_text("[agents]\nrouting = [\" \"]\n").unwrap_err();
        assert!(error.message.contains("agents.routing may have 50 rules"), "{}", error.message);
    }

    #[test]
    fn names_of_models_in_definitions_are_read_and_none_is_empty() {
        let read = read_text("[agents.models]\nopus = \"gpt-6.1-sol\"\n").unwrap();
        assert_eq!(read.agents.models, BTreeMap::from([("opus".to_owned(), "gpt-6.1-sol".to_owned())]));
        let error = read_text("[agents.models]\nopus = \" \"\n").unwrap_err();
        assert!(error.message.contains("agents.models may have 50 names"), "{}", error.message);
    }

    #[test]
    fn issues_become_tasks_for_nobody_unless_somebody_is_named() {
        let read = read_text("[issues]\nrepositories = [\"o/r\"]\nmention = \"bot\"\n").unwrap();
        assert_eq!((read.issues.label, read.issues.who), (None, Vec::new()));
    }

    #[test]
    fn hosts_have_a_name_and_an_address_and_the_rest_may_be_left_out() {
        let text = "[[hosts]]\nname = \"attic\"\nuri = \"qemu+ssh://ada@attic/system\"\n";
        let hosts = read_text(text).unwrap().hosts;
        assert_eq!(hosts.len(), 1);
        assert_eq!(
            (hosts[0].pool.as_str(), hosts[0].memory_mib, hosts[0].acceleration),
            ("default", None, None)
        );
        let error = read_text(&text.replace("qemu+ssh", "vbox")).unwrap_err();
        assert!(error.message.contains("use qemu://"), "{}", error.message);
        let error = read_text(&format!("{text}{text}")).unwrap_err();
        assert!(error.message.contains("two hosts are called attic"), "{}", error.message);
    }

    #[test]
    fn engines_are_those_that_are_built_in_and_those_that_are_configured() {
        let text = "[engines.goose]\ncommand = \"goose\"\nargs = [\"acp\"]\nprovider = \"openai\"\n\
            env = { OPENAI_HOST = \"{url}\" }\n[engines.codex]\ncommand = \"my-codex\"\nprovider = \"openai\"\n";
        let engines = engines(&read_text(text).unwrap().engines).unwrap();
        assert_eq!(engines.keys().collect::<Vec<_>>(), ["claude-code", "codex", "goose"]);
        assert_eq!(engines["codex"].command, "my-codex");
        assert_eq!(engines["goose"].env["OPENAI_HOST"], "{url}");
    }

    #[test]
    fn the_engine_of_tasks_that_name_none_is_our_own_or_one_that_there_is() {
        let engine = |text: &str| read_text(text).unwrap().engine;
        assert_eq!(engine(""), "nightshift");
        assert_eq!(engine("engine = \"codex\"\n"), "codex");
        let configured = "engine = \"goose\"\n[engines.goose]\ncommand = \"goose\"\nprovider = \"openai\"\n";
        assert_eq!(engine(configured), "goose");
        let said = refused("engine = \"goose\"\n");
        assert!(
            said.contains("engine: there is no goose; there are nightshift, claude-code, codex"),
            "{said}"
        );
    }

    #[test]
    fn an_engine_without_a_command_or_with_our_own_name_is_refused() {
        let engine = "command = \" \"\nprovider = \"openai\"\n";
        assert!(refused(&format!("[engines.goose]\n{engine}")).contains("engines.goose.command is empty"));
        assert!(refused(&format!("[engines.nightshift]\n{engine}")).contains("is not nightshift"));
        assert!(refused("[engines.goose]\ncommand = \"goose\"\n").contains("provider"));
    }

    #[test]
    fn a_misspelt_key_is_named() {
        let error = read_text("modle = \"x\"\n").unwrap_err();
        assert!(error.message.contains("modle"), "{}", error.message);
    }

    #[test]
    fn a_machine_that_could_not_boot_is_refused() {
        let error = read_text("[sandbox]\nmemory_mib = 64\n").unwrap_err();
        assert!(error.message.contains("between 512 and 65536"), "{}", error.message);
    }

    fn refused(text: &str) -> String {
        let error = read_text(text).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        error.message
    }

    #[test]
    fn numbers_out_of_range_are_refused_by_name() {
        for (text, named) in [
            ("context_tokens = 15999", "context_tokens must be between"),
            ("context_tokens = 10000001", "context_tokens must be between"),
            ("sandboxes = 0", "sandboxes must be at least 1"),
            ("[sandbox]\nmemory_mib = 511", "sandbox.memory_mib must be between"),
            ("[sandbox]\nmemory_mib = 65537", "sandbox.memory_mib must be between"),
            ("[sandbox]\nprocessors = 0", "sandbox.processors must be between"),
            ("[sandbox]\nprocessors = 65", "sandbox.processors must be between"),
            ("[disk]\nsandbox_mib = 255", "disk.sandbox_mib must be 0 (any amount) or at least 256"),
            ("[delivery]\nself_review_rounds = 6", "delivery.self_review_rounds must be between 0 and 5"),
            ("[delivery]\npoll_seconds = 9", "delivery.poll_seconds must be at least 10"),
        ] {
            let said = refused(text);
            assert!(said.contains(named), "{text}: {said}");
        }
    }

    #[test]
    fn numbers_at_the_edge_of_their_range_are_taken() {
        for text in [
            "context_tokens = 16000",
            "context_tokens = 10000000",
            "sandboxes = 1",
            "[sandbox]\nmemory_mib = 512\nprocessors = 1",
            "[sandbox]\nmemory_mib = 65536\nprocessors = 64",
            "[disk]\nsandbox_mib = 0",
            "[disk]\nsandbox_mib = 256",
            "[delivery]\nself_review_rounds = 5\npoll_seconds = 10",
            "[delivery]\nself_review_rounds = 0",
        ] {
            assert!(read_text(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_model_of_tasks_that_name_none_is_of_a_provider_that_there_is() {
        let lab = "[providers.lab]\nbase_url = \"http://127.0.0.1:9/v1\"\n";
        for (model, more) in [
            ("gpt-6.1-sol", ""),
            ("ollama/qwen3:8b", ""),
            ("claude-of-tomorrow", ""),
            ("lab/Qwen/Qwen3", lab),
        ] {
            let text = format!("model = \"{model}\"\n{more}");
            assert!(read_text(&text).is_ok(), "{text}");
        }
        for model in ["lab/Qwen/Qwen3", "qwen3:8b", "nope/x"] {
            let said = refused(&format!("model = \"{model}\"\n"));
            let wanted = format!(
                "model: {model} names no provider that there is; there are anthropic, ollama, openai"
            );
            assert!(said.ends_with(&wanted), "{said}");
        }
        assert!(refused("model = \" \"\n").ends_with("the model has no name"));
    }

    /// The example of the documentation, with every key that is not in a comment.
    fn documented() -> &'static str {
        let text = include_str!("../../../docs/configuration.md");
        let (_, block) = text.split_once("```toml\n").unwrap();
        block.split_once("```").unwrap().0
    }

    #[test]
    fn the_file_that_is_documented_is_good() {
        parse(documented()).unwrap();
    }

    #[test]
    fn every_key_that_is_documented_is_known_by_its_name_and_a_misspelt_one_is_not() {
        fn keys(table: &toml::Table, above: &str, into: &mut Vec<String>) {
            for (key, value) in table {
                let name = format!("{above}{key}");
                if let Some(below) = value.as_table() {
                    keys(below, &format!("{name}."), into);
                }
                into.push(name);
            }
        }
        let mut names = Vec::new();
        let table: toml::Table = toml::from_str(documented()).unwrap();
        keys(&table, "", &mut names);
        assert!(names.contains(&"delivery.review_limit".to_owned()), "{names:?}");
        for name in &names {
            assert!(has_key(name), "{name}");
        }
        let odd =
            ["delivery.reviw_limit", "modle", "model.name", "limits.dollars.more", "", ".", "model =", "a b"];
        for name in odd {
            assert!(!has_key(name), "{name}");
        }
    }

    #[test]
    fn a_value_of_another_kind_is_refused_with_its_line() {
        let said = refused("model = 5\n");
        assert!(said.contains("line 1") && said.contains("expected a string"), "{said}");
        assert!(refused("[delivery]\nscreenshots = \"sometimes\"\n").contains("sometimes"));
        assert!(refused("[sandbox\n").contains("line 1"));
    }

    #[test]
    fn a_misspelt_key_of_a_part_is_named() {
        for (part, key) in [
            ("sandbox", "memory"),
            ("disk", "reserve"),
            ("github", "token"),
            ("delivery", "lables"),
            ("egress", "alow"),
        ] {
            let said = refused(&format!("[{part}]\n{key} = 1\n"));
            assert!(said.contains(key), "{said}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err();
        assert!(error.message.contains("cannot be used") && error.hint.contains("text file"), "{error:?}");
    }
}
