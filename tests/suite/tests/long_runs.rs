//! A run of 400 turns, in a window that holds a few of them.

use nightshift_protocol::Limits;
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, click, names, script, shell};

/// Tokens the model takes.
const WINDOW: usize = 40_000;

#[tokio::test(flavor = "multi_thread")]
async fn four_hundred_turns_stay_under_the_window_and_lead_to_a_pull_request() {
    // Long plans fill the window, a look at the screen now and then, and a change often enough to be no circle.
    let plan = |number: u32| {
        let step = |step: u32| json!({"title": format!("{number}.{step} {}", "count on ".repeat(40)), "state": "done"});
        let steps: Vec<Value> = (0..30).map(step).collect();
        json!({"tool": "plan", "input": {"steps": steps}})
    };
    let turn = |number: u32| match number % 20 {
        1 => json!({"say": format!("Turn {number}."), "calls": [shell(&format!("echo {number} > log"))]}),
        5 | 10 | 15 => json!({"calls": [click(number % 300, 30 + number % 150)]}),
        _ => json!({"calls": [plan(number)]}),
    };
    let mut turns: Vec<Value> = (1..400).map(turn).collect();
    turns.push(json!({"calls": [shell("wc -l < log; rm log")]}));
    let mut whole = script(turns, "400.1");
    whole["asides"] = json!([{"lastTextContains": "will be replaced by a summary", "say": "I counted on."}]);
    whole["maxInputTokens"] = json!(WINDOW);
    whole["turns"][400]["expect"] = json!([]);
    let night = Night::with_window(whole, WINDOW as u64).await;
    let limits = Limits { turns: 1_000, tokens: u64::MAX, cost_microdollars: u64::MAX, seconds: u64::MAX };
    let run = night.submit_with("Count", limits).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let summaries = names(&events).iter().filter(|name| **name == "compacted").count();
    assert!((5..60).contains(&summaries), "{summaries} summaries");
    let largest = night.model.requests().iter().map(|request| request.body.to_string().len()).max().unwrap();
    assert!(largest < WINDOW * 4, "{largest} bytes");
}
