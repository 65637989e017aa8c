use std::sync::Arc;

use nightshift_protocol::{Clock, Entropy, OffsetDateTime};

use super::*;
use crate::{ChatSettings, ProviderSettings, SafetyChecks};

struct Still;

impl Clock for Still {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH
    }
}

impl Entropy for Still {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

fn settings() -> ProviderSettings {
    ProviderSettings::new("http://127.0.0.1:1/v1", None, Arc::new(Still), Arc::new(Still))
}

fn providers() -> Providers {
    let mut providers = Providers::default();
    providers.add("openai", Provider::responses(settings(), SafetyChecks::Acknowledge).unwrap());
    providers.add("ollama", Provider::chat(settings(), ChatSettings::default()).unwrap());
    providers.add_without_key("anthropic", "ANTHROPIC_API_KEY");
    providers
}

#[test]
fn a_name_is_the_provider_s_and_what_follows_is_the_model_s() {
    let providers = providers();
    let model =
        |name: &'static str| providers.of(name).map(|(_, model)| model).map_err(|error| error.to_string());
    assert_eq!(model("ollama/qwen3-vl:8b"), Ok("qwen3-vl:8b"));
    assert_eq!(model("ollama/Qwen/Qwen3-VL"), Ok("Qwen/Qwen3-VL"));
    assert_eq!(model("openai/gpt-6.1-sol"), Ok("gpt-6.1-sol"));
    assert_eq!(model("gpt-6.1-sol"), Ok("gpt-6.1-sol"));
    assert_eq!(model("claude-opus-5-5"), Err("there is no key for the provider anthropic".to_owned()));
    assert_eq!(model("Qwen/Qwen3-VL"), Err("there is no provider \"Qwen\"".to_owned()));
    assert_eq!(model("qwen3"), Err("there is no provider \"qwen3\"".to_owned()));
}
