//! `nightshift models`, and `nightshift doctor --model`.

use std::fmt::Write as _;

use nightshift_protocol::{DoctorReport, ModelList, ModelSummary, TryModel, UserError};

use crate::environment::Environment;
use crate::{owner, show};

/// The models whose names have `containing` in them.
pub(crate) async fn list(
    environment: &Environment,
    containing: Option<&str>,
) -> Result<ModelList, UserError> {
    let list: ModelList = owner::connect(environment).await?.get("/models").await?;
    Ok(match containing {
        Some(part) => with(list, part),
        None => list,
    })
}

/// What of a list has to do with `part`. Where no model has it in its name every trouble stays: one of them may be why.
fn with(mut list: ModelList, part: &str) -> ModelList {
    list.models.retain(|model| model.name.contains(part));
    if !list.models.is_empty() {
        list.troubles
            .retain(|trouble| trouble.provider.contains(part) || part.starts_with(&trouble.provider));
    }
    list
}

pub(crate) async fn try_model(environment: &Environment, model: String) -> Result<DoctorReport, UserError> {
    owner::connect(environment).await?.post("/models/try", &TryModel { model: Some(model) }).await
}

/// The list as a table, and what could not be asked below it.
pub(crate) fn show(list: &ModelList, containing: Option<&str>) -> String {
    let width = list.models.iter().map(|model| model.name.chars().count()).max().unwrap_or(0).clamp(20, 48);
    let mut text = match (list.models.is_empty(), containing) {
        (true, Some(part)) => {
            format!("No model has \"{}\" in its name; `nightshift models` lists all.\n", show::plain(part))
        }
        (true, None) => "No provider lists a model.\n".to_owned(),
        (false, _) => {
            format!("{:width$}  {:>9}  {:8}  $ per million tokens\n", "MODEL", "WINDOW", "PICTURES")
        }
    };
    for model in &list.models {
        text += &row(model, width);
        let is_default = list.default_model == model.name
            || model.name.split_once('/').is_some_and(|(_, name)| name == list.default_model);
        text += if is_default { "  (default)\n" } else { "\n" };
    }
    for trouble in &list.troubles {
        let error = &trouble.error;
        let _ = writeln!(
            text,
            "\n{}: {}\n  {}",
            show::plain(&trouble.provider),
            show::plain(&error.message),
            show::plain(&error.hint)
        );
    }
    text.trim_end().to_owned()
}

fn row(model: &ModelSummary, width: usize) -> String {
    let window =
        model.max_input_tokens.map_or_else(|| "?".to_owned(), |tokens| format!("{}k", tokens / 1_000));
    let pictures = match model.reads_images {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let dollars = |micro: u64| format!("{:.2}", micro as f64 / 1e6);
    let price = match (model.input_price, model.output_price) {
        (Some(input), Some(output)) => format!("{} in, {} out", dollars(input), dollars(output)),
        _ => "not known".to_owned(),
    };
    format!("{:width$}  {window:>9}  {pictures:8}  {price}", show::plain(&model.name))
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{ErrorCode, ProviderTrouble};

    use super::*;

    #[test]
    fn a_list_shows_what_is_known_and_who_could_not_be_asked_also_where_no_name_fits() {
        let model = |name: &str| ModelSummary {
            name: name.to_owned(),
            display_name: name.to_owned(),
            max_input_tokens: Some(1_000_000),
            max_output_tokens: None,
            reads_images: Some(true),
            input_price: Some(2_000_000),
            output_price: Some(10_000_000),
        };
        let local = ModelSummary {
            max_input_tokens: None,
            reads_images: None,
            input_price: None,
            output_price: None,
            ..model("ollama/qwen3-vl:8b")
        };
        let list = ModelList {
            models: vec![model("anthropic/claude-sonnet-5-5"), local],
            troubles: vec![ProviderTrouble {
                provider: "openai".to_owned(),
                error: UserError::new(ErrorCode::MissingKey, "There is no key.", "Set OPENAI_API_KEY."),
            }],
            default_model: "claude-sonnet-5-5".to_owned(),
        };
        insta::assert_snapshot!(show(&list, None), @r"
        MODEL                           WINDOW  PICTURES  $ per million tokens
        anthropic/claude-sonnet-5-5      1000k  yes       2.00 in, 10.00 out  (default)
        ollama/qwen3-vl:8b                   ?  ?         not known

        openai: There is no key.
          Set OPENAI_API_KEY.
        ");
        let found = with(list.clone(), "ollama/");
        assert_eq!((found.models.len(), found.troubles), (1, Vec::new()));
        insta::assert_snapshot!(show(&with(list, "gpt"), Some("gpt")), @r#"
        No model has "gpt" in its name; `nightshift models` lists all.

        openai: There is no key.
          Set OPENAI_API_KEY.
        "#);
    }
}
