//! Which engine works on a task.

use std::collections::BTreeMap;

use nightshift_engine::Engine;
use nightshift_model::{Model, RelayError};
use nightshift_protocol::{ErrorCode, UserError};

/// The name of our own agent, where one is named.
const OWN: &str = "nightshift";

/// Looks whether a task can have the engine it asks for; `None` is our own.
///
/// # Errors
///
/// That there is none of that name, or no provider for it.
pub(crate) fn chosen(
    engines: &BTreeMap<String, Engine>,
    model: &dyn Model,
    asked: Option<String>,
) -> Result<Option<String>, UserError> {
    let Some(name) = asked.filter(|name| name != OWN) else { return Ok(None) };
    let Some(engine) = engines.get(&name) else {
        let known: Vec<&str> = std::iter::once(OWN).chain(engines.keys().map(String::as_str)).collect();
        return Err(UserError::new(
            ErrorCode::InvalidRequest,
            format!("there is no engine {}", name.chars().take(60).collect::<String>()),
            format!(
                "There are {}; [engines] in the configuration adds others (docs/engines.md).",
                known.join(", ")
            ),
        ));
    };
    match model.relay_api(&engine.provider) {
        Ok(_) => Ok(Some(name)),
        Err(error @ RelayError::MissingKey { .. }) => Err(UserError::new(
            ErrorCode::MissingKey,
            format!("the engine {name} cannot work: {error}"),
            "Set it with `nightshift key set`, then `nightshift restart`. It stays in the owner.",
        )),
        Err(error) => Err(UserError::new(
            ErrorCode::InvalidRequest,
            format!("the engine {name} cannot work: {error}"),
            "Name a configured provider in [engines] (docs/engines.md).",
        )),
    }
}

/// The engines there are, in words.
pub(crate) fn in_words(engines: &BTreeMap<String, Engine>, model: &dyn Model) -> String {
    let one = |(name, engine): (&String, &Engine)| match model.relay_api(&engine.provider) {
        Ok(_) => format!("{name} by {}", engine.provider),
        Err(RelayError::MissingKey { variable, .. }) => format!("{name} if {variable} were set"),
        Err(error) => format!("not {name}: {error}"),
    };
    std::iter::once(OWN.to_owned()).chain(engines.iter().map(one)).collect::<Vec<_>>().join("; ")
}

/// The task's model as its provider calls it, where it is one of that provider.
pub(crate) fn model_for(provider: &str, model: &str) -> Option<String> {
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
    use nightshift_model::Providers;

    use super::*;

    fn refused(name: &str) -> (ErrorCode, String, String) {
        let mut engines = nightshift_engine::built_in();
        engines.get_mut("codex").unwrap().provider = "gpu".to_owned();
        let mut providers = Providers::default();
        providers.add_without_key("anthropic", "ANTHROPIC_API_KEY");
        let error = chosen(&engines, &providers, Some(name.to_owned())).unwrap_err();
        (error.code, error.message, error.hint)
    }

    #[test]
    fn our_own_engine_is_chosen_by_its_name_or_by_none() {
        let (engines, providers) = (nightshift_engine::built_in(), Providers::default());
        assert_eq!(chosen(&engines, &providers, None), Ok(None));
        assert_eq!(chosen(&engines, &providers, Some("nightshift".to_owned())), Ok(None));
    }

    #[test]
    fn an_engine_that_is_not_there_is_refused_with_those_that_are() {
        let (code, message, hint) = refused("clod-code");
        assert_eq!((code, message.as_str()), (ErrorCode::InvalidRequest, "there is no engine clod-code"));
        assert!(hint.starts_with("There are nightshift, claude-code, codex;"), "{hint}");
    }

    #[test]
    fn an_engine_without_a_key_or_a_provider_is_refused_before_a_run_begins() {
        let (code, message, _) = refused("claude-code");
        assert_eq!(code, ErrorCode::MissingKey);
        assert!(message.contains("ANTHROPIC_API_KEY is not set"), "{message}");
        let (code, message, _) = refused("codex");
        assert_eq!(code, ErrorCode::InvalidRequest);
        assert!(message.contains("there is no provider gpu"), "{message}");
    }

    #[test]
    fn doctor_says_which_engines_have_a_key() {
        let mut engines = nightshift_engine::built_in();
        let odd = Engine { provider: "gpu".to_owned(), ..engines["codex"].clone() };
        engines.insert("odd".to_owned(), odd);
        let mut providers = Providers::default();
        providers.add_without_key("anthropic", "ANTHROPIC_API_KEY");
        providers.add_without_key("openai", "OPENAI_API_KEY");
        assert_eq!(
            in_words(&engines, &providers),
            "nightshift; claude-code if ANTHROPIC_API_KEY were set; codex if OPENAI_API_KEY were set; \
             not odd: there is no provider gpu"
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
}
