//! Whole runs, from a task to a pull request, by each provider's API.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{EventBody, RaiseLimits, SubmitTask};
use serde_json::{Value, json};
use suite::{Night, task};

fn script(faults: &[Value]) -> Value {
    let fault = |turn: usize| faults.get(turn).cloned().unwrap_or(Value::Null);
    json!({"model": ["claude-sonnet-5-5", "claude-opus-4-8", "gpt-6.1-sol", "qwen3-vl:8b"], "turns": [
        {"thinking": "Look first.", "fault": fault(0), "calls": [
            {"tool": "plan", "input": {"steps": [{"title": "Add a note", "state": "active"}]}},
            {"tool": "shell", "input": {"command": "cat notes.txt"}}]},
        {"say": "I look at the screen.", "fault": fault(1), "calls": [
            {"tool": "computer", "input": {"action": "screenshot"}}]},
        {"fault": fault(2), "calls": [
            {"tool": "edit", "input": {"action": "insert", "path": "notes.txt", "after_line": 1, "text": "two"}},
            {"tool": "shell", "input": {"command": "git add -A && git commit -qm 'Add a note' && cat notes.txt"}}]},
        {"calls": [
            {"tool": "evidence", "input": {"claim": "There are two notes.", "step": "3.2"}},
            {"tool": "evidence", "input": {"claim": "The desktop is there.", "step": "2.1", "label": "desktop"}},
            {"tool": "plan", "input": {"steps": [{"title": "Add a note", "state": "done"}]}}]},
        {"calls": [{"tool": "finish", "input": {"title": "Add a note", "summary": "As asked."}}]},
    ]})
}

async fn delivered(model: &str, faults: &[Value]) -> Vec<EventBody> {
    let night = Night::begin(script(faults)).await;
    let request = SubmitTask { model: Some(model.to_owned()), ..task("Add a note", &night.repository()) };
    let run = night.owner.api.submit_task(request).await.unwrap().run;
    let events = night.until_in_review(&run).await;
    events.into_iter().map(|event| event.body).collect()
}

const MODELS: [&str; 4] =
    ["claude-sonnet-5-5", "anthropic/claude-opus-4-8", "openai/gpt-6.1-sol", "local/qwen3-vl:8b"];

#[tokio::test(flavor = "multi_thread")]
async fn a_task_becomes_a_pull_request_by_every_api() {
    for model in MODELS {
        let events = delivered(model, &[]).await;
        let noted = events.iter().filter(|body| matches!(body, EventBody::EvidenceNoted { .. })).count();
        assert_eq!(noted, 2, "{model}");
        let window = |body: &EventBody| match body {
            EventBody::RunSubmitted { context_tokens, .. } => *context_tokens,
            _ => None,
        };
        assert_eq!(events.iter().find_map(window), Some(200_000), "{model}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_the_wire_repeat_no_step() {
    let faults = [
        json!({"status": 429, "retryAfter": "0.01"}),
        json!({"cutAfterEvents": 2}),
        json!({"errorAfterEvents": 1}),
    ];
    for model in MODELS {
        let events = delivered(model, &faults).await;
        let retried = events.iter().filter(|body| matches!(body, EventBody::TurnRetried { .. })).count();
        assert_eq!(retried, 3, "{model}");
        let mut steps: Vec<_> = events
            .iter()
            .filter_map(|body| match body {
                EventBody::StepFinished { step, .. } => Some(*step),
                _ => None,
            })
            .collect();
        let all = steps.len();
        steps.dedup();
        assert_eq!(steps.len(), all, "{model}: a step ran twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_money_is_refused_for_a_model_whose_price_is_not_known() {
    let night = Night::begin(script(&[])).await;
    let local = |limits| SubmitTask {
        model: Some("local/qwen3-vl:8b".to_owned()),
        limits,
        ..task("Add a note", &night.repository())
    };
    let a_dollar = RaiseLimits { cost_microdollars: Some(1_000_000), ..RaiseLimits::default() };
    let refused = night.owner.api.submit_task(local(a_dollar)).await.unwrap_err();
    assert_eq!(
        refused.message,
        "the price of local/qwen3-vl:8b is not known, so a limit in money would not be held"
    );
    let begun = night.owner.api.submit_task(local(RaiseLimits::default())).await.unwrap();
    let said = "The price of local/qwen3-vl:8b is not known: what the task costs is not counted, and its limit of $10.00";
    assert!(begun.notes.iter().any(|note| note.starts_with(said)), "{:?}", begun.notes);
    let run = begun.run;
    let more = RaiseLimits { cost_microdollars: Some(2_000_000), ..RaiseLimits::default() };
    let refused_later = night.owner.api.raise_limits(run.as_str(), more).await.unwrap_err();
    assert_eq!(refused_later, refused);
    night.until_in_review(&run).await;
}
