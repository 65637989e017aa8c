//! What models there are, and whether one of them works.

use std::time::{Duration, Instant};

use nightshift_model::{ModelFacts, Probe, probe};
use nightshift_protocol::{
    Check, CheckOutcome, DoctorReport, ErrorCode, ModelList, ModelSummary, ProviderTrouble, UserError,
};

use crate::doctor::{good, named};
use crate::shared::Shared;

/// How long all providers together may take to list their models.
const LIST_WITHIN: Duration = Duration::from_secs(30);
/// How long a provider may take to say whether it has a model.
const CHECK_WITHIN: Duration = Duration::from_secs(20);
/// Tokens of a model's window that are used, where a person sets no number: more are dearer than they are of use.
const USUAL_WINDOW: u64 = 200_000;
/// The fewest with which an agent can work.
const SMALLEST_WINDOW: u64 = 16_000;
/// How long the trial may take; a model on this machine may have to be loaded first.
const TRIAL_WITHIN: Duration = Duration::from_secs(180);

pub(crate) async fn list(shared: &Shared) -> Result<ModelList, UserError> {
    let listed = tokio::time::timeout(LIST_WITHIN, shared.model.models())
        .await
        .map_err(|_| late("listing models", LIST_WITHIN))?
        .map_err(|error| error.user_error())?;
    let troubles = listed.troubles.into_iter();
    Ok(ModelList {
        models: listed.models.into_iter().map(summary).collect(),
        troubles: troubles
            .map(|(provider, error)| ProviderTrouble { provider, error: error.user_error() })
            .collect(),
        default_model: shared.settings.default_model.clone(),
    })
}

/// Asks a model's provider whether key and model are good.
pub(crate) async fn check(shared: &Shared, model: &str) -> Result<ModelFacts, UserError> {
    match tokio::time::timeout(CHECK_WITHIN, shared.model.check(model)).await {
        Ok(checked) => checked.map_err(|error| error.user_error()),
        Err(_) => Err(UserError::new(
            ErrorCode::ModelUnavailable,
            format!("the model's provider did not answer within {} s", CHECK_WITHIN.as_secs()),
            "Look at the network, or try again later.",
        )),
    }
}

/// Tokens of a model's window that a conversation may use: what a person set, or the usual number, but no more than the model has.
pub(crate) fn window(of_model: Option<u64>, set: Option<u64>) -> u64 {
    set.unwrap_or(USUAL_WINDOW).min(of_model.unwrap_or(u64::MAX)).max(SMALLEST_WINDOW)
}

fn summary(facts: ModelFacts) -> ModelSummary {
    // Rates are in thousandths of a dollar.
    let price = |rate: u64| rate.saturating_mul(1_000);
    ModelSummary {
        name: facts.id,
        display_name: facts.display_name,
        max_input_tokens: facts.max_input_tokens,
        max_output_tokens: facts.max_output_tokens,
        reads_images: facts.reads_images,
        input_price: facts.price.map(|known| price(known.rates.input)),
        output_price: facts.price.map(|known| price(known.rates.output)),
    }
}

fn late(what: &str, within: Duration) -> UserError {
    UserError::new(
        ErrorCode::ModelUnavailable,
        format!("{what} took longer than {} s", within.as_secs()),
        "Look at the network and at the provider's server, or try again later.",
    )
}

/// Makes one small call and says what works.
///
/// What a task would be refused for is told at once: a call is made again for minutes where nobody answers.
pub(crate) async fn examine(shared: &Shared, model: &str) -> DoctorReport {
    if let Err(error) = check(shared, model).await {
        return bad(error);
    }
    let began = Instant::now();
    let tried = match tokio::time::timeout(TRIAL_WITHIN, probe(shared.model.as_ref(), model)).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(error)) => return bad(error.user_error()),
        Err(_) => return bad(late("the trial", TRIAL_WITHIN)),
    };
    let price = shared.model.price(model).is_some();
    DoctorReport { checks: checks(&tried, began.elapsed(), price) }
}

fn bad(error: UserError) -> DoctorReport {
    DoctorReport { checks: vec![named("answer", CheckOutcome::Bad { error })] }
}

fn checks(tried: &Probe, took: Duration, has_price: bool) -> Vec<Check> {
    let usage = &tried.usage;
    let tokens = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens;
    let answer = format!(
        "{} answered in {:.1} s ({tokens} tokens read, {} written)",
        tried.model,
        took.as_secs_f64(),
        usage.output_tokens
    );
    let weak =
        |found: &str, hint: &str| CheckOutcome::Weak { found: found.to_owned(), hint: hint.to_owned() };
    let streaming = if tried.streams {
        good("the answer arrives while it is written")
    } else {
        weak("the answer came in one piece", "Runs work, but nothing is seen of a turn before it is whole.")
    };
    let tools = if tried.calls_tools {
        good("it called the tool it was offered")
    } else {
        let said = if tried.said.is_empty() { String::new() } else { format!(" and said: {}", tried.said) };
        CheckOutcome::Bad {
            error: UserError::new(
                ErrorCode::ModelRefused,
                format!("it called no tool{said}"),
                "An agent works by tools: choose a model that calls them, or start its server with its tool template.",
            ),
        }
    };
    let images = if tried.reads_images {
        good("it saw the colour of a picture")
    } else {
        weak(
            "it did not see what is on a picture",
            "Tasks without a screen work. For others choose a model that reads pictures, or load its vision part.",
        )
    };
    let price = if has_price {
        good(format!("this call cost ${:.6}", usage.cost_microdollars as f64 / 1e6))
    } else {
        weak(
            "its price is not known",
            "A limit on money cannot hold it. Set input_usd and output_usd in config.toml (docs/models.md).",
        )
    };
    let parts = [("streaming", streaming), ("tools", tools), ("images", images), ("price", price)];
    std::iter::once(named("answer", good(answer)))
        .chain(parts.into_iter().map(|(name, outcome)| named(name, outcome)))
        .collect()
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::Usage;

    use super::*;

    fn tried() -> Probe {
        Probe {
            model: "qwen3:8b".to_owned(),
            streams: true,
            calls_tools: true,
            reads_images: true,
            said: String::new(),
            usage: Usage { input_tokens: 120, output_tokens: 9, cost_microdollars: 331, ..Usage::default() },
        }
    }

    fn outcomes(tried: &Probe, has_price: bool) -> Vec<&'static str> {
        let kind = |check: &Check| match check.outcome {
            CheckOutcome::Good { .. } => "good",
            CheckOutcome::Weak { .. } => "weak",
            CheckOutcome::Bad { .. } => "bad",
        };
        checks(tried, Duration::from_millis(1_240), has_price).iter().map(kind).collect()
    }

    #[test]
    fn a_conversation_uses_no_more_of_a_window_than_the_model_has() {
        let used =
            [(None, None), (Some(32_768), None), (Some(1_000_000), None), (Some(1_000_000), Some(400_000))]
                .map(|(of_model, set)| window(of_model, set));
        assert_eq!(used, [200_000, 32_768, 200_000, 400_000]);
        assert_eq!([window(Some(32_768), Some(400_000)), window(Some(0), None)], [32_768, 16_000]);
    }

    #[test]
    fn each_part_of_the_trial_has_its_own_verdict() {
        assert_eq!(outcomes(&tried(), true), ["good"; 5]);
        let chatty = Probe { calls_tools: false, streams: false, ..tried() };
        assert_eq!(outcomes(&chatty, true), ["good", "weak", "bad", "good", "good"]);
        let blind = Probe { reads_images: false, ..tried() };
        assert_eq!(outcomes(&blind, false), ["good", "good", "good", "weak", "weak"]);
    }

    #[test]
    fn the_answer_names_the_model_and_its_use() {
        let CheckOutcome::Good { found } = &checks(&tried(), Duration::from_millis(1_240), true)[0].outcome
        else {
            panic!("an answer is good")
        };
        assert_eq!(found, "qwen3:8b answered in 1.2 s (120 tokens read, 9 written)");
    }
}
