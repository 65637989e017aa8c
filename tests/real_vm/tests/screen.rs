//! Mouse and keyboard in a real desktop: what arrives there is read back from its X selections.

use real_vm::{Night, small_repository};
use serde_json::{Value, json};

fn computer(input: Value) -> Value {
    json!({"tool": "computer", "input": input})
}

fn key(chord: &str) -> Value {
    computer(json!({"action": "key", "text": chord}))
}

/// A turn that is taken when the result before it contains `text`.
fn seeing(text: &str, calls: Vec<Value>) -> Value {
    json!({"expect": [{"lastResultContains": text}], "calls": calls})
}

#[tokio::test(flavor = "multi_thread")]
async fn clicks_double_clicks_and_text_without_a_key_arrive_in_the_browser_as_they_were_meant() {
    let shell = |command: &str| json!({"tool": "shell", "input": {"command": command}});
    let script = json!({"model": "claude-sonnet-5-5", "turns": [
        // The one control of the start page opens what is below it, which only then can be selected.
        {"calls": [
            computer(json!({"action": "left_click", "coordinate": [640, 386]})),
            key("ctrl+a"),
            key("ctrl+c"),
            shell("xsel --clipboard --output"),
        ]},
        seeing("sudo without a password", vec![
            computer(json!({"action": "double_click", "coordinate": [640, 262]})),
            shell("xsel --primary --output"),
        ]),
        seeing("Nightshift", vec![
            key("ctrl+l"),
            computer(json!({"action": "type", "text": "naïve ☕ 世界"})),
            key("ctrl+a"),
            key("ctrl+c"),
            shell("xsel --clipboard --output"),
        ]),
        seeing("naïve ☕ 世界", vec![json!({"tool": "ask", "input": {"question": "Go on?"}})]),
    ]});
    let night = Night::begin(script).await;
    let folder = tempfile::tempdir().unwrap();
    let run = night.submit("Use the browser", &small_repository(folder.path())).await;
    assert_eq!(night.watch(&run).await, "waiting", "{}", night.log());
    night.assert_no_breach();
    night.said(&["cancel", &run]).await;
}
