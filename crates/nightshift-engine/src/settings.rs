//! Which agents there are, and how one is started.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A foreign agent that speaks the Agent Client Protocol, as `[engines.NAME]` has it.
///
/// In `args` and in the values of `env`, `{url}` is where the provider's API is in the sandbox, `{pass}` what a program has
/// to show there instead of a key, and `{model}` the model of the task, where it is one of that provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub struct Engine {
    /// The program, as it is found in the sandbox.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<String>,
    /// Variables of its environment. No secrets: all of it is in the sandbox.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables that are there beside those of `env`, or in their place, where the task names a model.
    #[serde(default)]
    pub env_with_model: BTreeMap<String, String>,
    /// The provider whose models it uses.
    pub provider: String,
    /// The step for `.nightshift/environment.toml` that puts it into the sandbox.
    #[serde(default)]
    pub install: String,
}

/// What is filled into an engine's arguments and variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Launch<'a> {
    /// Where the provider's API is in the sandbox.
    pub url: &'a str,
    /// What has to be shown there.
    pub pass: &'a str,
    /// The model, where one of the provider was asked for.
    pub model: Option<&'a str>,
}

/// Why an engine of a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEngine {
    /// The name of our own engine, or no name.
    #[error("an engine's name has 1 to 40 small letters, digits and dashes, and is not {OWN}")]
    Name,
    /// There is no program.
    #[error("the engine {name} has no command")]
    NoCommand {
        /// Its name.
        name: String,
    },
}

/// The name of the engine that needs no other program.
const OWN: &str = "nightshift";

/// Checks the name of an engine.
///
/// # Errors
///
/// [`InvalidEngine::Name`].
pub fn check_name(name: &str) -> Result<(), InvalidEngine> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=40).contains(&name.len()) && name.bytes().all(plain) && name != OWN;
    fits.then_some(()).ok_or(InvalidEngine::Name)
}

impl Engine {
    /// The engine's command line for a turn. An argument or variable that asks for a model which was not chosen is left out.
    pub fn argv(&self, launch: Launch<'_>) -> Vec<String> {
        let args = self.args.iter().filter_map(|arg| filled(arg, launch));
        std::iter::once(self.command.clone()).chain(args).collect()
    }

    /// The variables of its environment, likewise.
    pub fn variables(&self, launch: Launch<'_>) -> Vec<(String, String)> {
        let mut templates: BTreeMap<&String, &String> = self.env.iter().collect();
        if launch.model.is_some() {
            templates.extend(&self.env_with_model);
        }
        let filled = |(name, value): (&String, &String)| Some((name.clone(), filled(value, launch)?));
        templates.into_iter().filter_map(filled).collect()
    }

    /// Whether it can be told which model to use.
    pub fn takes_model(&self) -> bool {
        let texts = self.args.iter().chain(self.env.values()).chain(self.env_with_model.values());
        texts.into_iter().any(|text| text.contains(MODEL))
    }
}

/// Where the task's model goes.
const MODEL: &str = "{model}";

fn filled(text: &str, Launch { url, pass, model }: Launch<'_>) -> Option<String> {
    if text.contains(MODEL) && model.is_none() {
        return None;
    }
    Some(text.replace("{url}", url).replace("{pass}", pass).replace(MODEL, model.unwrap_or_default()))
}

/// What Codex is configured with, as its adapter merges `CODEX_CONFIG` into the configuration of a session: the gateway as a
/// provider of its own, because the built-in one wants an account.
const CODEX: &str = concat!(
    r#"{"model_provider":"nightshift","model_providers":{"nightshift":{"name":"Nightshift","#,
    r#""base_url":"{url}/v1","env_key":"CODEX_API_KEY","wire_api":"responses"}}}"#
);

/// Where Claude Code's adapter has a folder of its own, with the Node that it wants.
const CLAUDE_NODE: &str = "/opt/claude-code/bin/node";
const CLAUDE_ADAPTER: &str = "/opt/claude-code/bin/claude-agent-acp";

/// The engines that are there without being configured.
///
/// Packages and variables are those of npm as of November 2026: `@agentclientprotocol/claude-agent-acp` with Claude Code in
/// it, `@agentclientprotocol/codex-acp` with Codex, and Gemini CLI, which has no provider of ours and so has to be
/// configured.
///
/// Claude Code's adapter wants a newer Node than the sandbox has. It comes from npm too, into a folder of its own, so that the
/// repository's programs keep theirs. With `@latest`, because npm otherwise chooses the newest version that the Node fits that
/// npm itself runs on.
pub fn built_in() -> BTreeMap<String, Engine> {
    let engine = |command: &str, env: &[(&str, &str)], provider: &str, install: &str| Engine {
        command: command.to_owned(),
        args: Vec::new(),
        env: env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        env_with_model: BTreeMap::new(),
        provider: provider.to_owned(),
        install: install.to_owned(),
    };
    let mut claude = engine(
        CLAUDE_NODE,
        &[
            ("ANTHROPIC_BASE_URL", "{url}"),
            ("ANTHROPIC_API_KEY", "{pass}"),
            ("ANTHROPIC_MODEL", "{model}"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
        ],
        "anthropic",
        "sudo npm install --global --prefix /opt/claude-code node@22 @agentclientprotocol/claude-agent-acp@latest",
    );
    claude.args.push(CLAUDE_ADAPTER.to_owned());
    let mut codex = engine(
        "codex-acp",
        &[("CODEX_API_KEY", "{pass}"), ("CODEX_CONFIG", CODEX), ("NO_BROWSER", "1")],
        "openai",
        "sudo npm install --global @agentclientprotocol/codex-acp",
    );
    let with_model = CODEX.replacen('{', r#"{"model":"{model}","#, 1);
    codex.env_with_model.insert("CODEX_CONFIG".to_owned(), with_model);
    [("claude-code", claude), ("codex", codex)].map(|(name, engine)| (name.to_owned(), engine)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAUNCH: Launch<'_> =
        Launch { url: "http://127.0.0.1:3128/anthropic", pass: "pass-1", model: Some("claude-opus-5-5") };

    #[test]
    fn a_built_in_engine_is_started_with_the_gateway_for_its_provider() {
        let variables = built_in()["claude-code"].variables(LAUNCH);
        let expected = [
            ("ANTHROPIC_API_KEY", "pass-1"),
            ("ANTHROPIC_BASE_URL", "http://127.0.0.1:3128/anthropic"),
            ("ANTHROPIC_MODEL", "claude-opus-5-5"),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("DISABLE_AUTOUPDATER", "1"),
        ];
        assert_eq!(variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let argv = ["/opt/claude-code/bin/node", "/opt/claude-code/bin/claude-agent-acp"];
        assert_eq!(built_in()["claude-code"].argv(LAUNCH), argv);
    }

    #[test]
    fn a_model_that_was_not_chosen_leaves_its_variable_and_argument_out() {
        let mut engine = built_in()["claude-code"].clone();
        engine.args = vec!["--model={model}".to_owned(), "--acp".to_owned()];
        let launch = Launch { model: None, ..LAUNCH };
        assert_eq!(engine.argv(launch), ["/opt/claude-code/bin/node", "--acp"]);
        assert!(engine.variables(launch).iter().all(|(name, _)| name != "ANTHROPIC_MODEL"));
    }

    /// What Codex is configured with, where the task names this model.
    fn codex(model: Option<&str>) -> serde_json::Value {
        let launch = Launch { url: "http://127.0.0.1:3128/openai", model, ..LAUNCH };
        let variables = built_in()["codex"].variables(launch);
        let names: Vec<&str> = variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["CODEX_API_KEY", "CODEX_CONFIG", "NO_BROWSER"]);
        assert_eq!(variables[0].1, "pass-1");
        serde_json::from_str(&variables[1].1).unwrap()
    }

    #[test]
    fn codex_has_the_gateway_as_its_provider_and_the_task_s_model_where_one_is_named() {
        let gateway = serde_json::json!({
            "name": "Nightshift", "base_url": "http://127.0.0.1:3128/openai/v1", "env_key": "CODEX_API_KEY",
            "wire_api": "responses",
        });
        let mut expected =
            serde_json::json!({"model_provider": "nightshift", "model_providers": {"nightshift": gateway}});
        assert_eq!(codex(None), expected);
        expected["model"] = "gpt-6.1-sol".into();
        assert_eq!(codex(Some("gpt-6.1-sol")), expected);
    }

    #[test]
    fn an_engine_takes_a_model_where_something_of_its_start_names_one() {
        let mut engine = Engine {
            command: "goose".to_owned(),
            args: vec!["acp".to_owned()],
            env: BTreeMap::new(),
            env_with_model: BTreeMap::new(),
            provider: "openai".to_owned(),
            install: String::new(),
        };
        assert!(!engine.takes_model());
        engine.env_with_model.insert("GOOSE_MODEL".to_owned(), "{model}".to_owned());
        assert!(engine.takes_model() && built_in().values().all(Engine::takes_model));
        assert_eq!(engine.variables(Launch { model: None, ..LAUNCH }), []);
        let named = [("GOOSE_MODEL".to_owned(), "claude-opus-5-5".to_owned())];
        assert_eq!(engine.variables(LAUNCH), named);
    }

    #[test]
    fn names_are_plain_and_our_own_engine_s_name_is_taken() {
        assert_eq!(check_name("claude-code"), Ok(()));
        for odd in ["", "nightshift", "Claude", "a b", "../x", &"x".repeat(41)] {
            assert_eq!(check_name(odd), Err(InvalidEngine::Name), "{odd}");
        }
    }

    #[test]
    fn every_built_in_engine_has_a_good_name_and_says_how_it_is_installed() {
        for (name, engine) in built_in() {
            assert_eq!(check_name(&name), Ok(()));
            assert!(engine.install.starts_with("sudo npm install --global "), "{name}");
            // It stands in quotes in a file of TOML.
            assert!(!engine.install.contains(['"', '\\']), "{name}");
        }
    }

    #[test]
    fn what_is_installed_for_claude_code_is_what_is_started() {
        let claude = &built_in()["claude-code"];
        let mut words = claude.install.split_whitespace().skip_while(|word| *word != "--prefix").skip(1);
        let folder = words.next().unwrap();
        for path in claude.argv(LAUNCH) {
            let program = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix("/bin/")).unwrap();
            assert!(claude.install.contains(program), "{path}");
        }
    }
}
