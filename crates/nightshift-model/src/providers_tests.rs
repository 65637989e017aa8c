use std::sync::Arc;

use nightshift_protocol::{Clock, Entropy, OffsetDateTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

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
    settings_at("http://127.0.0.1:1/v1")
}

fn settings_at(url: &str) -> ProviderSettings {
    ProviderSettings::new(url, None, Arc::new(Still), Arc::new(Still))
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

#[tokio::test]
async fn a_provider_that_says_nothing_is_named_and_hides_no_other() {
    let [silent, lists] =
        [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
    let provider = |listener: &TcpListener| {
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        Provider::chat(settings_at(&url), ChatSettings::default()).unwrap()
    };
    let mut providers = Providers::default();
    // By name it would be asked first.
    providers.add("attic", provider(&silent));
    providers.add("ollama", provider(&lists));
    tokio::spawn(async move {
        let list = r#"{"object":"list","data":[{"id":"qwen3","object":"model"}]}"#;
        while let Ok((mut stream, _)) = lists.accept().await {
            let mut request = [0; 4096];
            let _read = stream.read(&mut request).await;
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", list.len());
            let _written = stream.write_all(format!("{head}{list}").as_bytes()).await;
        }
    });
    let listed = providers.listed(Duration::from_secs(2)).await;
    let models: Vec<&str> = listed.models.iter().map(|facts| facts.id.as_str()).collect();
    let troubles: Vec<String> =
        listed.troubles.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    assert_eq!(models, ["ollama/qwen3"]);
    assert_eq!(troubles, ["attic: the provider fell silent for 2 seconds (tries: 1)"]);
}
