//! Events on their way into the history, without the secrets in them: neither the history nor the model learns them.
//!
//! What comes out of a sandbox loses whatever looks like a secret. What the model writes itself is acted on, so it loses
//! what is certain to be one: values that this host holds, and what has an issuer's shape. It is redacted before it is
//! acted on, so that what is done is what is recorded.

use std::borrow::Cow;

use nightshift_forge::secrets::Redactor;
use nightshift_protocol::{
    EventBody, EvidenceSource, FailureReason, FeedbackItem, McpServer, McpServerState, Message, PauseReason,
    ResultPart, RunState, SubagentWork, UserPart,
};
use serde_json::Value;

/// Returns the event as it is recorded.
pub(super) fn redacted(mut body: EventBody, redactor: &Redactor) -> EventBody {
    let clean = |text: &mut String| {
        if let Cow::Owned(redacted) = redactor.redact(text) {
            *text = redacted;
        }
    };
    let clean_source = |source: &mut EvidenceSource| {
        if let EvidenceSource::Command { command, output_tail, .. } = source {
            clean(command);
            clean(output_tail);
        }
    };
    let clean_server = |server: &mut McpServer| {
        match &mut server.state {
            McpServerState::Ready { itself, .. } => itself.iter_mut().for_each(clean),
            McpServerState::Refused { reason } => clean(reason),
        }
        server.notes.iter_mut().for_each(clean);
        for tool in &mut server.tools {
            clean(&mut tool.description);
            scrub(&mut tool.schema, redactor);
        }
    };
    let clean_items = |items: &mut [FeedbackItem]| items.iter_mut().for_each(|item| clean(&mut item.words));
    match &mut body {
        EventBody::StepFinished { content, .. } => {
            for part in content {
                if let ResultPart::Text { text } = part {
                    clean(text);
                }
            }
        }
        EventBody::EvidenceNoted { evidence } => {
            clean(&mut evidence.claim);
            clean_source(&mut evidence.source);
        }
        // The diff is in it, and has not come out of the sandbox before.
        EventBody::SelfReviewBegun { message: Message::User { content }, .. }
        | EventBody::SubagentStarted { message: Message::User { content }, .. } => {
            for part in content {
                if let UserPart::Text { text } = part {
                    clean(text);
                }
            }
        }
        EventBody::SelfReviewed { review } => {
            clean(&mut review.words);
            for found in &mut review.verdicts {
                clean(&mut found.words);
                if let Some(source) = &mut found.evidence {
                    clean_source(source);
                }
            }
        }
        EventBody::SubagentFinished { report, work, .. } => {
            clean(report);
            if let Some(SubagentWork::Apart { why, .. }) = work {
                clean(why);
            }
        }
        EventBody::SubagentSaid { text, .. } | EventBody::SubagentTold { text, .. } => clean(text),
        EventBody::EngineSaid { text, .. } => clean(text),
        EventBody::EngineActed { action, .. } => {
            clean(&mut action.title);
            action.files.iter_mut().for_each(clean);
            action.detail.iter_mut().for_each(clean);
        }
        EventBody::McpServersStarted { servers, problem } => {
            problem.iter_mut().for_each(clean);
            for server in servers {
                clean_server(server);
            }
        }
        EventBody::FeedbackReceived { items, .. } => clean_items(items),
        EventBody::FeedbackNoted { item } => clean_items(std::slice::from_mut(item)),
        EventBody::FeedbackAnswered { answers } => {
            answers.iter_mut().for_each(|answer| clean(&mut answer.words));
        }
        EventBody::LintRan { command, output_tail, .. } => {
            clean(command);
            clean(output_tail);
        }
        // Programs of the sandbox, git and providers have their words in errors.
        EventBody::StateChanged {
            state:
                RunState::Paused { reason: PauseReason::Trouble { error } }
                | RunState::Failed { reason: FailureReason { error } },
        } => {
            clean(&mut error.message);
            clean(&mut error.hint);
        }
        EventBody::TurnRetried { reason, .. } => clean(reason),
        EventBody::PictureKept { why, .. } => clean(why),
        EventBody::PullRequestReadied { why_not: Some(why) } => clean(why),
        EventBody::WorkFinished { title, summary, not_verified } => {
            clean(title);
            clean(summary);
            clean(not_verified);
        }
        // What is the repository's of it lost all that looks like a secret when it was read; the rest is a person's.
        EventBody::ConversationStarted { .. }
        | EventBody::StateChanged { state: RunState::Waiting { .. } }
        | EventBody::TurnFinished { .. }
        | EventBody::Compacted { .. }
        | EventBody::StepIntended { .. }
        | EventBody::PlanChanged { .. }
        | EventBody::ApprovalDecided { .. }
        | EventBody::PersonSaid { .. }
        | EventBody::MessageQueued { .. } => return certainly(body, redactor),
        _ => {}
    }
    body
}

/// Takes what is certain to be a secret out of every text of an event.
fn certainly(body: EventBody, redactor: &Redactor) -> EventBody {
    let Ok(mut value) = serde_json::to_value(&body) else { return body };
    if !scrub(&mut value, redactor) {
        return body;
    }
    serde_json::from_value(value).unwrap_or(body)
}

/// Whether something was taken out. Reasoning is sealed by its provider and is refused when a word of it is changed, so
/// it goes as a whole.
fn scrub(value: &mut Value, redactor: &Redactor) -> bool {
    match value {
        Value::String(text) => match redactor.redact_certain(text) {
            Cow::Owned(redacted) => {
                *text = redacted;
                true
            }
            Cow::Borrowed(_) => false,
        },
        Value::Array(items) => {
            let mut any = false;
            items.retain_mut(|item| {
                let sealed = matches!(item["type"].as_str(), Some("thinking" | "reasoning"));
                let changed = scrub(item, redactor);
                any |= changed;
                !(sealed && changed)
            });
            any
        }
        Value::Object(fields) => {
            fields.iter_mut().fold(false, |any, (_, field)| scrub(field, redactor) | any)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use nightshift_forge::secrets::Secret;
    use nightshift_protocol::{
        AssistantBlock, CriterionVerdict, ErrorCode, SelfReview, SelfReviewOutcome, StopReason, ToolCall,
        Usage, UserError, Verdict,
    };
    use serde_json::json;

    use super::*;

    const KNOWN: &str = "correct-horse-battery";

    fn redactor() -> Redactor {
        Redactor::new([("DEPLOY_TOKEN".to_owned(), Secret::new(KNOWN))])
    }

    fn turn(command: &str, thinking: &str) -> EventBody {
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "shell".to_owned(),
            input: json!({"command": command}),
            malformed: None,
        };
        let blocks =
            vec![AssistantBlock::Thinking { text: thinking.to_owned() }, AssistantBlock::ToolCall { call }];
        let verbatim = json!([
            {"type": "thinking", "thinking": thinking, "signature": "sealed"},
            {"type": "tool_use", "id": "c1", "name": "bash", "input": {"command": command}},
        ]);
        EventBody::TurnFinished {
            turn: 1,
            message: Message::Assistant { blocks, verbatim },
            stop: StopReason::ToolUse,
            usage: Usage::default(),
            model: "m".to_owned(),
        }
    }

    #[test]
    fn a_token_that_the_model_writes_is_in_no_word_of_its_answer_and_is_not_acted_on() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let written = redacted(turn(&format!("curl -H {token} {KNOWN}"), "I look."), &redactor());
        assert_eq!(written, turn("curl -H [redacted: GitHub token] [redacted: DEPLOY_TOKEN]", "I look."));
    }

    #[test]
    fn sealed_reasoning_with_a_secret_goes_as_a_whole() {
        let written = redacted(turn("ls", &format!("The token is {KNOWN}.")), &redactor());
        let EventBody::TurnFinished { message: Message::Assistant { blocks, verbatim }, .. } = written else {
            panic!("another event");
        };
        assert_eq!((blocks.len(), verbatim.as_array().map(Vec::len)), (1, Some(1)));
    }

    #[test]
    fn what_only_looks_like_a_password_in_code_is_written_as_the_model_wrote_it() {
        let code = turn("echo 'password = \"a8F3kQ9zL2mN7xW4\"' > fixture.js", "");
        assert_eq!(redacted(code.clone(), &redactor()), code);
    }

    #[test]
    fn a_critic_is_shown_and_says_no_secret() {
        let begun = |diff: &str| {
            let content = vec![UserPart::Text { text: format!("+The word is {diff}") }];
            let message = Message::User { content };
            let head = "d".repeat(40).parse().unwrap();
            EventBody::SelfReviewBegun { round: 1, head, system: "You are a critic.".to_owned(), message }
        };
        let reviewed = |word: &str| {
            let evidence = EvidenceSource::Command {
                step: "9.1".parse().unwrap(),
                command: format!("echo {word}"),
                exit_code: Some(0),
                output_tail: word.to_owned(),
            };
            let found = CriterionVerdict {
                criterion: 1,
                verdict: Verdict::NotMet,
                words: format!("It prints {word}."),
                evidence: Some(evidence),
            };
            EventBody::SelfReviewed {
                review: SelfReview {
                    round: 1,
                    of: 2,
                    verdicts: vec![found],
                    words: word.to_owned(),
                    outcome: SelfReviewOutcome::SentBack,
                },
            }
        };
        assert_eq!(redacted(begun(KNOWN), &redactor()), begun("[redacted: DEPLOY_TOKEN]"));
        assert_eq!(redacted(reviewed(KNOWN), &redactor()), reviewed("[redacted: DEPLOY_TOKEN]"));
    }

    #[test]
    fn a_server_says_no_secret_of_itself_its_tools_or_its_end() {
        let started = |word: &str| {
            let tool = nightshift_protocol::McpTool {
                name: "mcp__db__query".to_owned(),
                tool: "query".to_owned(),
                description: format!("Asks {word}."),
                schema: json!({"type": "object", "properties": {"at": {"default": word}}}),
                repeatable: false,
                reaches_out: true,
            };
            let server = |state, tools| McpServer {
                name: "db".to_owned(),
                state,
                tools,
                notes: vec![word.to_owned()],
            };
            let ready =
                McpServerState::Ready { itself: Some(word.to_owned()), protocol: "2026-07-28".to_owned() };
            let refused = McpServerState::Refused { reason: format!("it wrote: {word}") };
            let servers = vec![server(ready, vec![tool]), server(refused, Vec::new())];
            EventBody::McpServersStarted { servers, problem: Some(word.to_owned()) }
        };
        assert_eq!(redacted(started(KNOWN), &redactor()), started("[redacted: DEPLOY_TOKEN]"));
    }

    #[test]
    fn a_subagent_is_told_and_reports_no_secret() {
        let finished = |word: &str| EventBody::SubagentFinished {
            number: 1,
            outcome: nightshift_protocol::SubagentOutcome::Reported,
            report: format!("The word is {word}."),
            work: Some(SubagentWork::Apart { commits: 1, why: word.to_owned() }),
        };
        let said = |word: &str| EventBody::SubagentSaid { number: 1, text: format!("It is {word}.") };
        let told = |word: &str| EventBody::SubagentTold { number: 1, text: format!("It is {word}.") };
        for event in [finished, said, told].map(|event| event as fn(&str) -> EventBody) {
            assert_eq!(redacted(event(KNOWN), &redactor()), event("[redacted: DEPLOY_TOKEN]"));
        }
    }

    #[test]
    fn a_conversation_begins_without_tokens_and_with_a_person_s_words_as_they_are() {
        let begun = |word: &str| {
            let text = format!("# Task\n\nUse {word}.\npassword = \"a8F3kQ9zL2mN7xW4\"\n");
            EventBody::ConversationStarted {
                system: format!("You work with {word}."),
                message: Message::User { content: vec![UserPart::Text { text }] },
            }
        };
        assert_eq!(redacted(begun(KNOWN), &redactor()), begun("[redacted: DEPLOY_TOKEN]"));
    }

    #[test]
    fn what_failed_and_what_is_asked_is_told_without_secrets() {
        fn error(words: &str) -> UserError {
            UserError::new(ErrorCode::ModelUnavailable, format!("it said: {words}"), format!("Mend {words}"))
        }
        let paused = |words: &str| RunState::Paused { reason: PauseReason::Trouble { error: error(words) } };
        let failed = |words: &str| RunState::Failed { reason: FailureReason { error: error(words) } };
        let waiting = |words: &str| RunState::Waiting { question: format!("Is it {words}?"), approval: None };
        for state in [paused, failed, waiting].map(|state| state as fn(&str) -> RunState) {
            let changed = |words: &str| EventBody::StateChanged { state: state(words) };
            assert_eq!(redacted(changed(KNOWN), &redactor()), changed("[redacted: DEPLOY_TOKEN]"));
        }
        let likely = |word: &str| EventBody::StateChanged { state: paused(&format!("password = {word}")) };
        assert_eq!(redacted(likely("a8F3kQ9zL2mN7xW4"), &redactor()), likely("[redacted: secret]"));
        let retried = |words: &str| EventBody::TurnRetried { turn: 1, reason: words.to_owned(), wait_ms: 5 };
        assert_eq!(redacted(retried(KNOWN), &redactor()), retried("[redacted: DEPLOY_TOKEN]"));
    }

    #[test]
    fn a_person_s_words_and_others_are_recorded_without_tokens() {
        let said = EventBody::PersonSaid { text: format!("Use {KNOWN}") };
        let clean = EventBody::PersonSaid { text: "Use [redacted: DEPLOY_TOKEN]".to_owned() };
        assert_eq!(redacted(said, &redactor()), clean);
    }
}
