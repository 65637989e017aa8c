//! Models and their providers as a person meets them: the real program, a real owner, a scripted model on the wire.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::process::{Command, Output, Stdio};

use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::{Value, json};

struct Bench {
    home: tempfile::TempDir,
    model: ScriptedModel,
}

impl Bench {
    async fn new(script: Value) -> Self {
        let model = ScriptedModel::start(Script::parse(&script.to_string()).unwrap()).await;
        let home = tempfile::Builder::new().prefix("ns").tempdir_in("/tmp").unwrap();
        let local = format!(
            "[providers.gpu]\nbase_url = \"{}\"\n[providers.gpu.models.\"qwen3:8b\"]\ninput_usd = 0.5\noutput_usd = 1\n",
            model.openai_url()
        );
        std::fs::write(home.path().join("config.toml"), local).unwrap();
        Self { home, model }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightshift"));
        command
            .args(arguments)
            .env("NIGHTSHIFT_HOME", self.home.path())
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("NIGHTSHIFT_VM_IMAGES", env!("CARGO_MANIFEST_DIR"))
            .env("NIGHTSHIFT_GUEST", "/bin/true")
            .env("ANTHROPIC_BASE_URL", self.model.base_url())
            .env("ANTHROPIC_API_KEY", "scripted")
            .env_remove("OPENAI_API_KEY")
            // Nobody listens there.
            .env("OLLAMA_BASE_URL", "http://127.0.0.1:9/v1")
            .stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _stopped = self.command(&["stop"]).output();
    }
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn models_of_all_providers_are_listed_beside_what_could_not_be_asked() {
    let bench = Bench::new(json!({"model": ["claude-sonnet-5-5", "qwen3:8b"], "turns": []})).await;
    let list = json_of(&bench.run(&["models", "--json"]).await);
    let models = list["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["anthropic/claude-sonnet-5-5", "anthropic/qwen3:8b", "gpu/claude-sonnet-5-5", "gpu/qwen3:8b"]
    );
    assert_eq!(models[3]["inputPrice"], 500_000);
    let codes: Vec<&str> = list["troubles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|trouble| trouble["error"]["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["modelUnavailable", "missingKey"]);
    let shown = bench.run(&["models", "gpu/"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("gpu/qwen3:8b") && !shown.contains("anthropic/"), "{shown}");
    let none = bench.run(&["models", "gpt"]).await;
    let said = String::from_utf8(none.stdout).unwrap();
    assert_eq!(none.status.code(), Some(1));
    assert!(said.starts_with("No model has \"gpt\" in its name"), "{said}");
    assert!(said.contains("`nightshift key set OPENAI_API_KEY`"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_of_a_provider_that_nobody_serves_ends_at_once_and_says_so() {
    let bench = Bench::new(json!({"model": "qwen3:8b", "turns": []})).await;
    let tried = bench.run(&["doctor", "--model", "ollama/nope"]);
    let tried = tokio::time::timeout(std::time::Duration::from_secs(25), tried).await.unwrap();
    let said = String::from_utf8(tried.stdout).unwrap();
    assert_eq!(tried.status.code(), Some(1), "{said}");
    assert!(said.contains("[bad]  answer: The provider cannot be reached (tries: 1)"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_small_call_tells_what_works_with_a_model() {
    let script = json!({"model": "qwen3:8b", "turns": [{"calls": [
        {"tool": "name_colour", "input": {"colour": "purple"}}]}]});
    let bench = Bench::new(script).await;
    let good = bench.run(&["doctor", "--model", "gpu/qwen3:8b"]).await;
    let said = String::from_utf8(good.stdout).unwrap();
    assert_eq!(good.status.code(), Some(0), "{said}");
    for line in ["[ok]   streaming", "[ok]   tools", "[ok]   images", "[ok]   price"] {
        assert!(said.contains(line), "{said}");
    }
    let unknown = bench.run(&["doctor", "--model", "gpu/qwen9", "--json"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert_eq!(json_of(&unknown)["checks"][0]["outcome"]["error"]["code"], "unknownModel");
    let keyless = bench.run(&["doctor", "--model", "gpt-6.1-sol"]).await;
    assert!(String::from_utf8(keyless.stdout).unwrap().contains("OPENAI_API_KEY"));
    assert_eq!(bench.model.breaches(), Vec::<String>::new());
}
