//! Which engine works on a task.

use std::collections::BTreeMap;

use nightshift_engine::Engine;
use nightshift_model::{Model, Pricing, RelayError};
use nightshift_protocol::{EngineList, EngineSummary, ErrorCode, OWN_ENGINE, UserError};

use crate::shared::Shared;
use crate::trouble;

/// The engines of an owner, and what decides whether one can work on a task.
#[derive(Clone, Copy)]
pub(crate) struct Engines<'a> {
    engines: &'a BTreeMap<String, Engine>,
    model: &'a dyn Model,
    /// That of a task which names none.
    usual: &'a str,
}

impl<'a> Engines<'a> {
    pub(crate) fn of(shared: &'a Shared) -> Self {
        let settings = &shared.settings;
        Self { engines: &settings.engines, model: shared.model.as_ref(), usual: &settings.default_engine }
    }

    /// Looks whether a task can have the engine it asks for, with the model it asks for; `None` is our own engine.
    ///
    /// # Errors
    ///
    /// That there is none of that name, no provider for it, or that it cannot be given that model.
    pub(crate) fn choose(
        self,
        asked: Option<String>,
        model: Option<&str>,
    ) -> Result<Option<String>, UserError> {
        let name = asked.unwrap_or_else(|| self.usual.to_owned());
        if name == OWN_ENGINE {
            return Ok(None);
        }
        let Some(engine) = self.engines.get(&name) else {
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                format!("there is no engine {}", name.chars().take(60).collect::<String>()),
                format!(
                    "There are {}; [engines] in the configuration adds others (docs/engines.md).",
                    self.names().join(", ")
                ),
            ));
        };
        if let Some(trouble) = self.trouble(&name, engine) {
            return Err(trouble);
        }
        match model.and_then(|model| not_taken(&name, engine, model)) {
            Some(refused) => Err(refused),
            None => Ok(Some(name)),
        }
    }

    /// Why a task's engine would be refused every call of the task's model, if it would: nobody knows what those cost.
    pub(crate) fn unpriced(self, name: &str, model: &str) -> Option<UserError> {
        let engine = self.engines.get(name).filter(|engine| engine.takes_model())?;
        let (provider, model) = (engine.provider.as_str(), model_for(&engine.provider, model)?);
        let unknown = self.model.pricing(provider, &model) == Pricing::Unknown;
        unknown.then(|| trouble::no_price_for_engine(name, provider, &model))
    }

    /// All of them, with what stands in the way of those that cannot work now.
    pub(crate) fn list(self) -> EngineList {
        let own = EngineSummary {
            name: OWN_ENGINE.to_owned(),
            provider: None,
            takes_model: true,
            install: None,
            trouble: None,
        };
        let foreign = self.engines.iter().map(|(name, engine)| EngineSummary {
            name: name.clone(),
            provider: Some(engine.provider.clone()),
            takes_model: engine.takes_model(),
            install: Some(engine.install.clone()).filter(|install| !install.is_empty()),
            trouble: self.trouble(name, engine),
        });
        let engines = std::iter::once(own).chain(foreign).collect();
        EngineList { engines, default_engine: self.usual.to_owned() }
    }

    /// The same in words.
    pub(crate) fn in_words(self) -> String {
        let one = |(name, engine): (&String, &Engine)| match self.model.relay_api(&engine.provider) {
            Ok(_) => format!("{name} by {}", engine.provider),
            Err(RelayError::MissingKey { variable, .. }) => format!("{name} if {variable} were set"),
            Err(error) => format!("not {name}: {error}"),
        };
        std::iter::once(OWN_ENGINE.to_owned())
            .chain(self.engines.iter().map(one))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn names(self) -> Vec<&'a str> {
        std::iter::once(OWN_ENGINE).chain(self.engines.keys().map(String::as_str)).collect()
    }

    /// Why an engine cannot work on any task now.
    fn trouble(self, name: &str, engine: &Engine) -> Option<UserError> {
        match self.model.relay_api(&engine.provider) {
            Ok(_) => None,
            Err(error @ RelayError::MissingKey { .. }) => Some(UserError::new(
                ErrorCode::MissingKey,
                format!("the engine {name} cannot work: {error}"),
                "Set it with `nightshift key set`, then `nightshift restart`. It stays in the owner.",
            )),
            Err(error) => Some(UserError::new(
                ErrorCode::InvalidRequest,
                format!("the engine {name} cannot work: {error}"),
                "Name a configured provider in [engines] (docs/engines.md).",
            )),
        }
    }
}

/// Why an engine is not given the model that a person named.
fn not_taken(name: &str, engine: &Engine, model: &str) -> Option<UserError> {
    let shown: String = model.chars().filter(|letter| !letter.is_control()).take(80).collect();
    let provider = &engine.provider;
    if !engine.takes_model() {
        return Some(UserError::new(
            ErrorCode::InvalidRequest,
            format!("the engine {name} cannot be told to use {shown}: nothing of its start names a model"),
            format!(
                "Put {{model}} into args or env of [engines.{name}] (docs/engines.md), or leave the model out: then the engine uses its own."
            ),
        ));
    }
    let hint = format!("Name one as `nightshift models {provider}/` lists it, or leave the model out.");
    if !is_plain(model) {
        let message = format!("the engine {name} cannot be told to use {shown}: that is no name of a model");
        return Some(UserError::new(ErrorCode::InvalidRequest, message, hint));
    }
    model_for(provider, model).is_none().then(|| {
        let message = format!("the engine {name} cannot use {shown}: it calls models of {provider}");
        UserError::new(ErrorCode::InvalidRequest, message, hint)
    })
}

/// Whether it is a name and nothing else: it becomes part of a configuration.
fn is_plain(model: &str) -> bool {
    model.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:/@+".contains(letter))
}

/// The task's model as its provider calls it, where it is one of that provider. The configured one, which is the task's where a
/// person named none, is not looked at before.
pub(crate) fn model_for(provider: &str, model: &str) -> Option<String> {
    if !is_plain(model) {
        return None;
    }
    let of_anthropic = model.starts_with("claude-");
    match model.split_once('/') {
        Some((name, rest)) if name == provider => Some(rest.to_owned()),
        Some(_) => None,
        None if (provider == "anthropic") == of_anthropic && matches!(provider, "anthropic" | "openai") => {
            Some(model.to_owned())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use nightshift_model::{Key, Provider, ProviderSettings, Providers, SafetyChecks};
    use nightshift_protocol::{Clock, Entropy, OffsetDateTime};

    use super::*;

    /// The engines of an owner that has a key for openai and none for anthropic.
    fn with<T>(change: impl FnOnce(&mut BTreeMap<String, Engine>), ask: impl FnOnce(Engines<'_>) -> T) -> T {
        let mut engines = nightshift_engine::built_in();
        change(&mut engines);
        let mut providers = Providers::default();
        providers.add_without_key("anthropic", "ANTHROPIC_API_KEY");
        let settings = ProviderSettings::new(
            "http://127.0.0.1:9",
            Some(Key::new("k").unwrap()),
            Arc::new(Still),
            Arc::new(Still),
        );
        providers.add("openai", Provider::responses(settings, SafetyChecks::Refuse).unwrap());
        ask(Engines { engines: &engines, model: &providers, usual: "codex" })
    }

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

    fn chosen(
        name: Option<&str>,
        model: Option<&str>,
    ) -> Result<Option<String>, (ErrorCode, String, String)> {
        let asked = name.map(str::to_owned);
        let chosen = with(|_| {}, |engines| engines.choose(asked, model));
        chosen.map_err(|error| (error.code, error.message, error.hint))
    }

    #[test]
    fn our_own_engine_is_chosen_by_its_name_and_the_usual_one_by_none() {
        assert_eq!(chosen(Some("nightshift"), Some("claude-opus-5-5")), Ok(None));
        assert_eq!(chosen(None, None), Ok(Some("codex".to_owned())));
    }

    #[test]
    fn an_engine_that_is_not_there_is_refused_with_those_that_are() {
        let (code, message, hint) = chosen(Some("clod-code"), None).unwrap_err();
        assert_eq!((code, message.as_str()), (ErrorCode::InvalidRequest, "there is no engine clod-code"));
        assert!(hint.starts_with("There are nightshift, claude-code, codex;"), "{hint}");
    }

    #[test]
    fn an_engine_without_a_key_or_a_provider_is_refused_before_a_run_begins() {
        let (code, message, _) = chosen(Some("claude-code"), None).unwrap_err();
        assert_eq!(code, ErrorCode::MissingKey);
        assert!(message.contains("ANTHROPIC_API_KEY is not set"), "{message}");
        let odd = |engines: &mut BTreeMap<String, Engine>| {
            engines.get_mut("codex").unwrap().provider = "gpu".to_owned();
        };
        let error = with(odd, |engines| engines.choose(Some("codex".to_owned()), None)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(error.message.contains("there is no provider gpu"), "{}", error.message);
    }

    #[test]
    fn a_model_that_an_engine_cannot_be_given_is_refused_before_a_run_begins() {
        assert_eq!(chosen(Some("codex"), Some("gpt-6.1-sol")), Ok(Some("codex".to_owned())));
        let (code, message, hint) = chosen(None, Some("claude-opus-5-5")).unwrap_err();
        assert_eq!(code, ErrorCode::InvalidRequest);
        assert_eq!(message, "the engine codex cannot use claude-opus-5-5: it calls models of openai");
        assert_eq!(hint, "Name one as `nightshift models openai/` lists it, or leave the model out.");
        let (_, message, _) = chosen(Some("codex"), Some("openai/x\",\"a\":\"b")).unwrap_err();
        assert!(message.ends_with("that is no name of a model"), "{message}");
    }

    #[test]
    fn a_model_without_a_price_that_an_engine_would_call_is_refused_before_a_run_begins() {
        let unpriced = |name: &str, model: &str| with(|_| {}, |engines| engines.unpriced(name, model));
        let refused = unpriced("codex", "gpt-of-tomorrow").unwrap();
        assert_eq!(
            refused.message,
            "the price of gpt-of-tomorrow is not known, so the engine codex may not call it: no limit in money would be held"
        );
        assert!(
            refused.hint.contains("[providers.openai.models.\"gpt-of-tomorrow\"] in config.toml"),
            "{}",
            refused.hint
        );
        assert_eq!(unpriced("codex", "gpt-6.1-sol"), None);
        assert_eq!(unpriced("codex", "claude-of-tomorrow"), None, "the engine uses its own model then");
        let without = |engines: &mut BTreeMap<String, Engine>| {
            engines.get_mut("codex").unwrap().env_with_model.clear();
        };
        assert_eq!(with(without, |engines| engines.unpriced("codex", "gpt-of-tomorrow")), None);
    }

    #[test]
    fn an_engine_that_has_no_place_for_a_model_is_not_given_one_in_silence() {
        let without = |engines: &mut BTreeMap<String, Engine>| {
            engines.get_mut("codex").unwrap().env_with_model.clear();
        };
        let (refused, silent) = with(without, |engines| {
            let named = engines.choose(Some("codex".to_owned()), Some("gpt-6.1-sol"));
            (named.unwrap_err(), engines.choose(Some("codex".to_owned()), None))
        });
        assert_eq!(silent, Ok(Some("codex".to_owned())));
        assert!(refused.message.contains("nothing of its start names a model"), "{}", refused.message);
        assert!(
            refused.hint.starts_with("Put {model} into args or env of [engines.codex]"),
            "{}",
            refused.hint
        );
    }

    #[test]
    fn the_list_has_all_of_them_with_what_stands_in_their_way() {
        let add = |engines: &mut BTreeMap<String, Engine>| {
            let mine = Engine {
                provider: "gpu".to_owned(),
                install: String::new(),
                env_with_model: BTreeMap::new(),
                ..engines["codex"].clone()
            };
            engines.insert("mine".to_owned(), mine);
        };
        let list = with(add, |engines| engines.list());
        assert_eq!(list.default_engine, "codex");
        let shown: Vec<_> = list
            .engines
            .iter()
            .map(|engine| {
                let trouble = engine.trouble.as_ref().map(|error| error.code);
                (
                    engine.name.as_str(),
                    engine.provider.as_deref(),
                    engine.takes_model,
                    engine.install.is_some(),
                    trouble,
                )
            })
            .collect();
        let expected = [
            ("nightshift", None, true, false, None),
            ("claude-code", Some("anthropic"), true, true, Some(ErrorCode::MissingKey)),
            ("codex", Some("openai"), true, true, None),
            ("mine", Some("gpu"), false, false, Some(ErrorCode::InvalidRequest)),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn doctor_says_which_engines_have_a_key() {
        let odd = |engines: &mut BTreeMap<String, Engine>| {
            let odd = Engine { provider: "gpu".to_owned(), ..engines["codex"].clone() };
            engines.insert("odd".to_owned(), odd);
        };
        assert_eq!(
            with(odd, |engines| engines.in_words()),
            "nightshift; claude-code if ANTHROPIC_API_KEY were set; codex by openai; not odd: there is no provider gpu"
        );
    }

    #[test]
    fn a_model_is_passed_on_where_the_engine_s_provider_has_it() {
        assert_eq!(model_for("anthropic", "claude-opus-5-5").as_deref(), Some("claude-opus-5-5"));
        assert_eq!(model_for("anthropic", "anthropic/claude-opus-5-5").as_deref(), Some("claude-opus-5-5"));
        assert_eq!(model_for("openai", "gpt-6.1-sol").as_deref(), Some("gpt-6.1-sol"));
        assert_eq!(model_for("openai", "claude-opus-5-5"), None);
        assert_eq!(model_for("gpu", "claude-opus-5-5"), None);
        assert_eq!(model_for("anthropic", "openai/gpt-6.1-sol"), None);
    }

    #[test]
    fn a_configured_model_that_is_no_name_does_not_get_into_an_engine_s_configuration() {
        assert_eq!(model_for("openai", "openai/x\",\"a\":\"b"), None);
        assert_eq!(model_for("anthropic", "claude-opus-5-5 --flag"), None);
        assert_eq!(
            model_for("gpu", "gpu/org/m_1.5:free@v+2").as_deref(),
            Some("org/m_1.5:free@v+2"),
            "names of other vendors"
        );
    }
}
