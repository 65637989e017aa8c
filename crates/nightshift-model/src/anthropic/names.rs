//! What a model's name tells about it, and the names the provider gives to its tools.

/// The trained tool for screen, mouse and keyboard: one entry that gives the model a family of member tools.
pub(crate) const COMPUTER_TOOLSET: &str = "computer_toolset_20260801";

/// The family's name in calls and results.
pub(crate) const COMPUTER_FAMILY: &str = "computer";

/// The input under which a call with malformed JSON goes back, as the provider's documentation advises: a call must
/// have an object as input, and the model shall see what it wrote.
pub(crate) const INVALID_JSON: &str = "INVALID_JSON";

/// The form in which a model is offered the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ComputerForm {
    /// The provider's trained toolset.
    Toolset,
    /// A function with an `action`, for models that know no trained tool.
    Function,
}

/// The form a model is offered first, by its name.
pub(crate) fn computer_form(model: &str) -> ComputerForm {
    if generation(model).is_some_and(|generation| generation >= 5) {
        ComputerForm::Toolset
    } else {
        ComputerForm::Function
    }
}

/// Whether a model decides by itself when to think, and wants to be told so.
pub(crate) fn thinks_adaptively(model: &str) -> bool {
    generation(model).is_some_and(|generation| generation >= 5)
}

/// The 5 of `claude-sonnet-5-5`; gateways may write something in front of `claude-`.
fn generation(model: &str) -> Option<u32> {
    let (_, name) = model.split_once("claude-")?;
    name.split('-').find_map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_of_the_fifth_generation_are_offered_the_trained_toolset() {
        let toolset =
            ["claude-sonnet-5-5", "claude-opus-5", "anthropic/claude-haiku-5-5", "claude-fable-5-1"];
        assert_eq!(toolset.map(computer_form), [ComputerForm::Toolset; 4]);
        let function = ["claude-opus-4-8", "claude-haiku-4-5-20251001", "claude-3-5-sonnet", "qwen3-vl-32b"];
        assert_eq!(function.map(computer_form), [ComputerForm::Function; 4]);
    }
}
