//! What a foreign agent does, in lines.

use nightshift_protocol::{EngineActionKind, EngineActionStatus, EventBody, Usage};

use super::line;

/// An event of a foreign agent in one line, or nothing where a person need not see it.
pub(super) fn event(body: &EventBody) -> Option<String> {
    match body {
        EventBody::EngineStarted { engine, agent, resumed, .. } => {
            let how = if *resumed { "goes on" } else { "begins" };
            Some(format!("· {engine} {how} ({})", line(agent)))
        }
        EventBody::EngineSaid { text, .. } => Some(line(text)),
        EventBody::EngineActed { action, .. } => {
            let verb = match action.kind {
                EngineActionKind::Read => "reads",
                EngineActionKind::Edit => "edits",
                EngineActionKind::Delete => "removes",
                EngineActionKind::Move => "moves",
                EngineActionKind::Search => "searches",
                EngineActionKind::Execute => "runs",
                EngineActionKind::Think => "thinks",
                EngineActionKind::Fetch => "fetches",
                EngineActionKind::Other => "does",
            };
            match action.status {
                EngineActionStatus::Begun => Some(format!("  {verb}: {}", line(&action.title))),
                EngineActionStatus::Done => None,
                EngineActionStatus::Failed => {
                    let why = action.detail.as_deref().map(|detail| format!(": {}", line(detail)));
                    Some(format!("  failed: {}{}", line(&action.title), why.unwrap_or_default()))
                }
            }
        }
        EventBody::EngineCalledModel { call, .. } => match (&call.refused, call.status) {
            (Some(why), _) => Some(format!("· a call of {} was not made: {}", line(&call.model), line(why))),
            (None, Some(status)) if !(200..300).contains(&status) => {
                Some(format!("· {} answered with status {status}", line(&call.model)))
            }
            (None, None) if call.usage != Usage::default() => Some(format!(
                "· {} gave no answer that is known; it counts as the most it may have used",
                line(&call.model)
            )),
            (None, None) => Some(format!("· {} gave no answer", line(&call.model))),
            (None, Some(_)) => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{EngineAction, EngineModelCall};

    use super::*;

    fn acted(status: EngineActionStatus) -> EventBody {
        let action = EngineAction {
            number: 1,
            kind: EngineActionKind::Execute,
            title: "npm test\u{1b}[2J".to_owned(),
            status,
            files: Vec::new(),
            detail: Some("1 failed\nat a.js".to_owned()),
        };
        EventBody::EngineActed { turn: 1, action }
    }

    fn called(status: Option<u16>, refused: Option<&str>) -> Option<String> {
        let call = EngineModelCall {
            number: 1,
            provider: "anthropic".to_owned(),
            model: "claude-opus-5-5".to_owned(),
            status,
            refused: refused.map(str::to_owned),
            usage: Usage::default(),
            took_ms: 1,
        };
        event(&EventBody::EngineCalledModel { turn: 1, call })
    }

    #[test]
    fn what_a_foreign_agent_begins_is_a_line_and_its_end_only_where_it_failed() {
        let begun = event(&acted(EngineActionStatus::Begun)).unwrap();
        assert!(begun.starts_with("  runs: npm test") && !begun.contains('\u{1b}'), "{begun:?}");
        assert_eq!(event(&acted(EngineActionStatus::Done)), None);
        let failed = event(&acted(EngineActionStatus::Failed)).unwrap();
        assert!(failed.starts_with("  failed: npm test") && failed.contains("1 failed"), "{failed:?}");
    }

    #[test]
    fn a_model_call_is_a_line_only_where_something_is_wrong_with_it() {
        assert_eq!(called(Some(200), None), None);
        assert_eq!(called(Some(529), None).unwrap(), "· claude-opus-5-5 answered with status 529");
        assert_eq!(called(None, None).unwrap(), "· claude-opus-5-5 gave no answer");
        let refused = called(None, Some("the task may use $5")).unwrap();
        assert_eq!(refused, "· a call of claude-opus-5-5 was not made: the task may use $5");
    }

    #[test]
    fn a_call_whose_answer_nobody_knows_says_what_it_counts_as() {
        let usage = Usage { output_tokens: 300, ..Usage::default() };
        let call = EngineModelCall {
            number: 2,
            provider: "openai".to_owned(),
            model: "gpt-6.1-sol".to_owned(),
            status: None,
            refused: None,
            usage,
            took_ms: 0,
        };
        let said = event(&EventBody::EngineCalledModel { turn: 1, call }).unwrap();
        assert_eq!(
            said,
            "· gpt-6.1-sol gave no answer that is known; it counts as the most it may have used"
        );
    }

    #[test]
    fn a_session_that_begins_and_one_that_goes_on_are_told_apart() {
        let started = |resumed| EventBody::EngineStarted {
            turn: 1,
            engine: "claude-code".to_owned(),
            agent: "Claude 1.2".to_owned(),
            session: "s".to_owned(),
            resumed,
        };
        assert_eq!(event(&started(false)).unwrap(), "· claude-code begins (Claude 1.2)");
        assert_eq!(event(&started(true)).unwrap(), "· claude-code goes on (Claude 1.2)");
    }
}
