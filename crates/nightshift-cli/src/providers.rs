//! The providers of models, from the configuration and the environment.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use nightshift_forge::secrets::Secret;
use nightshift_model::{
    ChatSettings, Coordinates, Key, ModelSettings, Price, Provider, ProviderSettings, Providers, Rates,
    SafetyChecks, TurnError,
};
use nightshift_protocol::{Clock, Entropy, ErrorCode, UserError};
use serde::Deserialize;

use crate::environment::Environment;

/// A provider, as `[providers.NAME]` has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ProviderConfiguration {
    /// The API it speaks; `chat` where nothing is said of a provider that is not built in.
    pub(crate) protocol: Option<Protocol>,
    /// The address in front of the API's paths.
    pub(crate) base_url: Option<String>,
    /// The environment variable with its key; none for a server that asks for none.
    pub(crate) key_env: Option<String>,
    /// What is done when the provider wants a person to confirm an action on the screen.
    pub(crate) safety_checks: SafetyChecks,
    /// What the provider does not tell about single models.
    pub(crate) models: BTreeMap<String, ModelConfiguration>,
}

/// The API a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Protocol {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's Chat Completions, as local servers and gateways speak it.
    Chat,
}

/// One model, as `[providers.NAME.models."MODEL"]` has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModelConfiguration {
    /// What its coordinates mean.
    pub(crate) coordinates: Option<Coordinates>,
    /// The size of its window in tokens.
    pub(crate) context_tokens: Option<u64>,
    /// Whether it reads pictures.
    pub(crate) images: Option<bool>,
    /// US dollars for a million tokens read.
    pub(crate) input_usd: Option<f64>,
    /// US dollars for a million tokens read from a cache; the price of reading where it is not said.
    pub(crate) cached_input_usd: Option<f64>,
    /// US dollars for a million tokens written.
    pub(crate) output_usd: Option<f64>,
}

/// A provider that is there without being configured: its name, API, address, the variable with its key, and the one
/// with another address.
struct BuiltIn {
    name: &'static str,
    protocol: Protocol,
    base_url: &'static str,
    key_env: Option<&'static str>,
    url_env: &'static str,
}

const BUILT_IN: [BuiltIn; 3] = [
    BuiltIn {
        name: "anthropic",
        protocol: Protocol::Messages,
        base_url: ProviderSettings::ANTHROPIC,
        key_env: Some("ANTHROPIC_API_KEY"),
        url_env: "ANTHROPIC_BASE_URL",
    },
    BuiltIn {
        name: "openai",
        protocol: Protocol::Responses,
        base_url: ProviderSettings::OPENAI,
        key_env: Some("OPENAI_API_KEY"),
        url_env: "OPENAI_BASE_URL",
    },
    BuiltIn {
        name: "ollama",
        protocol: Protocol::Chat,
        base_url: "http://127.0.0.1:11434/v1",
        key_env: None,
        url_env: "OLLAMA_BASE_URL",
    },
];

/// The keys that providers want: variable and provider, those of the built-in ones first.
pub(crate) fn keys(configured: &BTreeMap<String, ProviderConfiguration>) -> Vec<(String, String)> {
    let built_in = BUILT_IN.iter().map(|known| {
        let own = configured.get(known.name).and_then(|own| own.key_env.clone());
        (own.or_else(|| known.key_env.map(str::to_owned)), known.name.to_owned())
    });
    let others =
        configured.iter().filter(|(name, _)| BUILT_IN.iter().all(|known| known.name != name.as_str()));
    let others = others.map(|(name, own)| (own.key_env.clone(), name.clone()));
    let mut keys: Vec<(String, String)> = Vec::new();
    for (variable, provider) in built_in.chain(others) {
        let Some(variable) = variable else { continue };
        // Two that share one are two purposes of it.
        match keys.iter_mut().find(|(known, _)| *known == variable) {
            Some((_, purpose)) => *purpose += &format!(", {provider}"),
            None => keys.push((variable, provider)),
        }
    }
    keys
}

/// Checks that one of the providers is that of a model by its name; nobody is asked.
///
/// # Errors
///
/// That there is none, and which there are.
pub(crate) fn check_model(
    model: &str,
    configured: &BTreeMap<String, ProviderConfiguration>,
) -> Result<(), String> {
    use nightshift_model::Model;

    let mut providers = Providers::default();
    for name in BUILT_IN.iter().map(|known| known.name).chain(configured.keys().map(String::as_str)) {
        // Without its key none can be asked, so the answer is there at once.
        providers.add_without_key(name, "");
    }
    match providers.check(model).now_or_never() {
        Some(Err(TurnError::UnknownProvider { known, .. })) => {
            let model: String = model.chars().filter(|letter| !letter.is_control()).take(60).collect();
            Err(format!("{model} names no provider that there is; there are {}", known.join(", ")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Makes the clients of all providers; no connection is made. The log and the history do not show their keys from now on.
pub(crate) fn providers(
    configured: &BTreeMap<String, ProviderConfiguration>,
    environment: &Environment,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Providers, UserError> {
    let mut providers = Providers::default();
    let names = BUILT_IN.iter().map(|known| known.name).chain(configured.keys().map(String::as_str));
    for name in names {
        let built_in = BUILT_IN.iter().find(|known| known.name == name);
        let own = configured.get(name).cloned().unwrap_or_default();
        let from_environment = built_in.and_then(|known| environment.variable(known.url_env));
        let base_url = own
            .base_url
            .clone()
            .or_else(|| from_environment.map(str::to_owned))
            .or_else(|| built_in.map(|known| known.base_url.to_owned()))
            .ok_or_else(|| refuse(name, "base_url is missing"))?;
        let key_env =
            own.key_env.clone().or_else(|| built_in.and_then(|known| known.key_env).map(str::to_owned));
        let key = match key_env {
            None => None,
            Some(variable) => match environment.variable(&variable) {
                Some(text) => {
                    environment.redactor.learn(&variable, &Secret::new(text));
                    Some(key(&variable, text)?)
                }
                None => {
                    providers.add_without_key(name, variable);
                    continue;
                }
            },
        };
        let mut settings = ProviderSettings::new(base_url, key, Arc::clone(clock), Arc::clone(entropy));
        settings.proxy.clone_from(&environment.proxy);
        settings.no_proxy.clone_from(&environment.no_proxy);
        let protocol = own.protocol.or(built_in.map(|known| known.protocol)).unwrap_or(Protocol::Chat);
        let prices = prices(name, protocol, &own)?;
        let made = match protocol {
            Protocol::Messages => Provider::messages(settings),
            Protocol::Responses => Provider::responses(settings, own.safety_checks),
            Protocol::Chat => Provider::chat(settings, chat_settings(&own)),
        };
        let made = made.map_err(|error| refuse(name, &error.to_string()))?;
        providers.add(name, made.with_prices(prices));
    }
    Ok(providers)
}

fn refuse(name: &str, why: &str) -> UserError {
    UserError::new(
        ErrorCode::InvalidRequest,
        format!("the provider {name} cannot be used: {why}"),
        "Mend [providers] in config.toml, or the address in the environment; docs/models.md has examples.",
    )
}

fn key(variable: &str, text: &str) -> Result<Key, UserError> {
    Key::new(text).map_err(|error| {
        UserError::new(
            ErrorCode::WrongKey,
            format!("{variable} holds no key: {error}"),
            "Set it to the key as the provider shows it, then `nightshift restart` and try again.",
        )
    })
}

fn chat_settings(own: &ProviderConfiguration) -> ChatSettings {
    let settings = |model: &ModelConfiguration| ModelSettings {
        coordinates: model.coordinates,
        context_tokens: model.context_tokens,
        images: model.images,
    };
    ChatSettings { models: own.models.iter().map(|(model, said)| (model.clone(), settings(said))).collect() }
}

/// The prices that are named, whichever API the provider speaks: a new model is in no table.
fn prices(
    name: &str,
    protocol: Protocol,
    own: &ProviderConfiguration,
) -> Result<BTreeMap<String, Price>, UserError> {
    let mut prices = BTreeMap::new();
    for (model, said) in &own.models {
        if let Some(price) = price(said, protocol).map_err(|why| refuse(name, why))? {
            prices.insert(model.clone(), price);
        }
    }
    Ok(prices)
}

fn price(model: &ModelConfiguration, protocol: Protocol) -> Result<Option<Price>, &'static str> {
    let (input, output) = match (model.input_usd, model.output_usd) {
        (Some(input), Some(output)) => (input, output),
        (None, None) => return Ok(None),
        _ => return Err("a price needs both input_usd and output_usd"),
    };
    let cached = model.cached_input_usd.unwrap_or(input);
    if ![input, output, cached].iter().all(|usd| (0.0..=10_000.0).contains(usd)) {
        return Err("a price is between 0 and 10000 US dollars for a million tokens");
    }
    let written = match protocol {
        // A quarter more than what is read, for every model of the vendor.
        Protocol::Messages => input * 1.25,
        Protocol::Responses | Protocol::Chat => input,
    };
    // In range, so the conversion cannot wrap.
    let thousandths = |usd: f64| (usd * 1000.0).round() as u64;
    let rates = Rates {
        input: thousandths(input),
        cache_write: thousandths(written),
        cache_read: thousandths(cached),
        output: thousandths(output),
    };
    Ok(Some(Price { rates, long: None }))
}

#[cfg(test)]
mod tests {
    use nightshift_model::{Model as _, Pricing};
    use nightshift_protocol::OffsetDateTime;

    use super::*;

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

    fn made(toml: &str, variables: &[(&str, &str)]) -> Result<Providers, UserError> {
        made_in(&environment(variables), toml)
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Environment { variables, ..Environment::default() }
    }

    fn made_in(environment: &Environment, toml: &str) -> Result<Providers, UserError> {
        #[derive(Deserialize)]
        struct File {
            providers: BTreeMap<String, ProviderConfiguration>,
        }
        let file: File = toml::from_str(toml).unwrap();
        let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(Still), Arc::new(Still));
        providers(&file.providers, environment, &clock, &entropy)
    }

    #[test]
    fn a_provider_s_key_is_not_shown_whatever_its_variable_is_called() {
        let environment = environment(&[("MISTRAL_APIKEY", "correct-horse")]);
        let toml =
            "[providers.mistral]\nbase_url = \"https://api.mistral.ai/v1\"\nkey_env = \"MISTRAL_APIKEY\"\n";
        made_in(&environment, toml).unwrap();
        assert_eq!(environment.redactor.redact("say correct-horse"), "say [redacted: MISTRAL_APIKEY]");
    }

    #[test]
    fn what_is_built_in_is_there_and_what_is_configured_comes_beside_it() {
        let providers = made("[providers.gpu]\nbase_url = \"http://gpu.lan:8000/v1\"\n", &[]).unwrap();
        assert_eq!(providers.names(), ["anthropic", "gpu", "ollama", "openai"]);
    }

    #[test]
    fn a_price_is_given_in_dollars_and_both_ways() {
        let toml = "[providers.gpu]\nbase_url = \"http://gpu.lan/v1\"\n[providers.gpu.models.\"qwen3:8b\"]\ninput_usd = 0.5\n";
        let error = made(toml, &[]).unwrap_err();
        assert!(error.message.contains("both input_usd and output_usd"), "{}", error.message);
        let priced = made(&format!("{toml}output_usd = 1.25\n"), &[]).unwrap();
        let rates = priced.price("gpu/qwen3:8b").unwrap().rates;
        assert_eq!((rates.input, rates.cache_read, rates.output), (500, 500, 1_250));
    }

    #[test]
    fn a_model_of_a_vendor_that_is_in_no_table_has_the_price_that_is_named() {
        let toml = "[providers.anthropic.models.\"claude-of-tomorrow\"]\ninput_usd = 2.0\noutput_usd = 10.0\n\
                    [providers.openai.models.\"gpt-5\"]\ninput_usd = 0.0\noutput_usd = 0.0\n";
        let keys = [("ANTHROPIC_API_KEY", "key-1"), ("OPENAI_API_KEY", "key-2")];
        let priced = made(toml, &keys).unwrap();
        let rates = priced.price("claude-of-tomorrow").unwrap().rates;
        assert_eq!((rates.input, rates.cache_write, rates.output), (2_000, 2_500, 10_000));
        let pricing = |provider: &str, model: &str| priced.pricing(provider, model);
        assert_eq!(pricing("anthropic", "claude-of-tomorrow"), Pricing::Known);
        assert_eq!(pricing("openai", "gpt-5"), Pricing::Known, "what costs nothing has a price too");
        assert_eq!(pricing("anthropic", "claude-of-next-year"), Pricing::Unknown);
        assert_eq!(pricing("ollama", "qwen3:8b"), Pricing::Keyless);
    }

    #[test]
    fn a_provider_without_an_address_and_a_key_that_is_none_are_named() {
        let error = made("[providers.gpu]\nkey_env = \"GPU_KEY\"\n", &[]).unwrap_err();
        assert_eq!(error.message, "the provider gpu cannot be used: base_url is missing");
        let error = made("[providers]\n", &[("OPENAI_API_KEY", "two\nlines")]).unwrap_err();
        assert!(error.message.starts_with("OPENAI_API_KEY holds no key"), "{}", error.message);
    }
}
