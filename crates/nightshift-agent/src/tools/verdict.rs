//! A critic's verdict: what it found of each acceptance criterion, and the step that shows it.

use nightshift_protocol::{StepId, Verdict};
use serde_json::{Value, json};

use super::definitions::object;
use super::fields::{Fields, InputError};
use super::{MAX_CRITERIA, MAX_PAGE, MAX_SENTENCE, ToolInput};

/// What the model is told of the tool.
pub(super) const DESCRIPTION: &str = "Ends your review. Judges every acceptance criterion once, each by its number: met and notMet name the step of yours \
     that shows it (a screenshot, or a command that ended); notVerifiable is for what cannot be told in this machine. \
     Call it alone, as the last thing.";

/// What is said of one criterion, before its step was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) criterion: u32,
    pub(crate) verdict: Verdict,
    pub(crate) words: String,
    pub(crate) step: Option<StepId>,
}

pub(super) fn schema() -> Value {
    object(
        &["criteria"],
        json!({
            "criteria": {
                "type": "array", "minItems": 1, "maxItems": MAX_CRITERIA,
                "items": object(&["criterion", "verdict", "why"], json!({
                    "criterion": {"type": "integer", "minimum": 1, "description": "Its number."},
                    "verdict": {"type": "string", "enum": ["met", "notMet", "notVerifiable"]},
                    "why": {
                        "type": "string", "maxLength": MAX_SENTENCE,
                        "description": "What you saw; for notMet also what would have to be seen instead.",
                    },
                    "step": {
                        "type": "string",
                        "description": "The step that shows it, as it stands at the end of its result, for example \"9.1\".",
                    },
                })),
            },
            "summary": {
                "type": "string",
                "description": "What else the agent or the reviewer should know: defects beyond the criteria. May be empty.",
            },
        }),
    )
}

pub(super) fn read(mut fields: Fields<'_>) -> Result<ToolInput, InputError> {
    let most = usize::try_from(MAX_CRITERIA).unwrap_or(usize::MAX);
    let judgements = fields.list("criteria", most, |item| Judgement {
        criterion: u32::try_from(item.whole("criterion", 1..=MAX_CRITERIA)).unwrap_or(u32::MAX),
        verdict: item.choice(
            "verdict",
            &[("met", Verdict::Met), ("notMet", Verdict::NotMet), ("notVerifiable", Verdict::NotVerifiable)],
            Verdict::NotVerifiable,
        ),
        words: item.text("why", MAX_SENTENCE),
        step: item.optional_step("step"),
    });
    let words = fields.optional_text("summary", MAX_PAGE).unwrap_or_default();
    fields.done(ToolInput::Verdict { judgements, words })
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{ToolCall, ToolDefinition};

    use super::*;
    use crate::subagents::Grant;
    use crate::tools::{Toolset, VERDICT, parse};

    fn read(input: Value) -> Result<ToolInput, InputError> {
        let call = ToolCall { id: "call".to_owned(), name: VERDICT.to_owned(), input, malformed: None };
        parse(&call, (1280, 800), Toolset::Critic)
    }

    #[test]
    fn a_verdict_is_read_with_its_steps() {
        let input = json!({"criteria": [
            {"criterion": 1, "verdict": "met", "why": "It is dark.", "step": "9.1"},
            {"criterion": 2, "verdict": "notVerifiable", "why": "It needs a printer."},
        ]});
        let first = Judgement {
            criterion: 1,
            verdict: Verdict::Met,
            words: "It is dark.".to_owned(),
            step: Some("9.1".parse().unwrap()),
        };
        let second = Judgement {
            criterion: 2,
            verdict: Verdict::NotVerifiable,
            words: "It needs a printer.".to_owned(),
            step: None,
        };
        let judgements = vec![first, second];
        assert_eq!(read(input), Ok(ToolInput::Verdict { judgements, words: String::new() }));
    }

    #[test]
    fn all_that_is_wrong_with_a_verdict_is_said_at_once() {
        let input = json!({"criteria": [{"criterion": 0, "verdict": "fine", "step": "last"}], "grade": 1});
        let said = read(input).unwrap_err().to_string();
        for part in [
            "\"criteria[0].criterion\" has to be",
            "\"criteria[0].verdict\" has to be one of met, notMet, notVerifiable",
            "\"criteria[0].why\" is missing",
            "\"criteria[0].step\" has to be the number of a step",
            "\"grade\" is not a field here",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(read(json!({"criteria": []})).is_err());
    }

    #[test]
    fn a_critic_has_no_tool_that_changes_files_or_ends_the_work() {
        for name in ["edit", "finish", "plan", "evidence", "ask"] {
            let call =
                ToolCall { id: "call".to_owned(), name: name.to_owned(), input: json!({}), malformed: None };
            let refused = parse(&call, (1280, 800), Toolset::Critic).unwrap_err().to_string();
            assert_eq!(
                refused,
                format!(
                    "There is no tool \"{name}\". The tools are: shell, shell_output, shell_stop, computer, browser, verdict."
                )
            );
        }
        let call =
            ToolCall { id: "c".to_owned(), name: VERDICT.to_owned(), input: json!({}), malformed: None };
        assert!(matches!(parse(&call, (1280, 800), Toolset::Worker), Err(InputError::UnknownTool { .. })));
    }

    #[test]
    fn the_tools_that_are_offered_are_those_that_are_taken() {
        for (offered, toolset) in [
            (crate::tools::tool_definitions((1280, 800)), Toolset::Worker),
            (crate::tools::critic_definitions((1280, 800)), Toolset::Critic),
            (crate::tools::subagent_definitions((1280, 800), Grant::ALL), Toolset::Subagent(Grant::ALL)),
            (
                crate::tools::subagent_definitions((1280, 800), Grant::default()),
                Toolset::Subagent(Grant::default()),
            ),
        ] {
            let name = |tool: &ToolDefinition| match tool {
                ToolDefinition::Shell { .. } => "shell".to_owned(),
                ToolDefinition::Editor { .. } => "edit".to_owned(),
                ToolDefinition::Computer { .. } => "computer".to_owned(),
                ToolDefinition::Function { name, .. } => name.clone(),
            };
            let names: Vec<String> = offered.iter().map(name).collect();
            assert_eq!(names, toolset.names());
        }
    }
}
