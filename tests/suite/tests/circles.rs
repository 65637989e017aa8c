//! Agents that go in circles: each pattern leads to a hint, and when it goes on, to a pause with the reason.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use nightshift_protocol::{PauseReason, RunState};
use serde_json::{Value, json};
use suite::{Night, click, shell};

/// Plays the turns and returns the hints the model was given and the pause's reason.
async fn hint_and_pause(turns: Vec<Value>) -> (usize, String) {
    let night = Night::begin(json!({ "turns": turns })).await;
    let run = night.submit("Work").await;
    let state = night.until_paused(&run).await;
    night.assert_no_breach();
    let RunState::Paused { reason: PauseReason::Trouble { error } } = state else { panic!("{state:?}") };
    let last = night.model.requests().pop().unwrap().body.to_string();
    (last.matches("Note from Nightshift: you ").count(), error.message)
}

fn one_call_each(count: usize, call: impl Fn(usize) -> Value) -> Vec<Value> {
    (0..count).map(|turn| json!({"calls": [call(turn)]})).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_again_and_again() {
    let (hints, reason) = hint_and_pause(one_call_each(6, |_| shell("cat notes.txt"))).await;
    assert_eq!(hints, 1);
    assert!(reason.contains("made the same call with the same result three times in a row"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_error_from_different_calls() {
    let calls = one_call_each(6, |turn| shell(&format!("test {turn} -lt 0; cat /nowhere")));
    let (hints, reason) = hint_and_pause(calls).await;
    assert_eq!(hints, 1);
    assert!(reason.contains("met the same error three times in a row"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_states_in_turn() {
    let calls = one_call_each(12, |turn| shell(if turn % 2 == 0 { "echo one" } else { "echo two" }));
    let (hints, reason) = hint_and_pause(calls).await;
    assert_eq!(hints, 1);
    assert!(reason.contains("went back and forth between the same two states"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn three_steps_in_turn() {
    let calls = one_call_each(18, |turn| shell(["echo one", "echo two", "echo three"][turn % 3]));
    let (hints, reason) = hint_and_pause(calls).await;
    assert_eq!(hints, 1);
    assert!(reason.contains("went round the same three steps three times"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_stays_as_it_is() {
    // A wheel moves nothing on this screen, wherever the pointer is not moved to another place.
    let scroll = |notches: usize| {
        json!({"tool": "computer", "input": {
            "action": "scroll", "coordinate": [50, 100], "scroll_direction": "down", "scroll_amount": notches + 1,
        }})
    };
    let (hints, reason) = hint_and_pause(one_call_each(14, scroll)).await;
    assert_eq!(hints, 1);
    assert!(reason.contains("used mouse and keyboard five times in a row and the screen stayed"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_turns_without_a_change() {
    let calls = one_call_each(60, |turn| shell(&format!("grep -c word{turn} notes.txt; echo {turn}")));
    let (hints, reason) = hint_and_pause(calls).await;
    assert_eq!(hints, 1);
    assert!(reason.contains("changed no file and ran nothing new for thirty turns"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_pause_a_person_s_word_lets_it_go_on() {
    let turns = [
        one_call_each(6, |_| shell("cat notes.txt")),
        one_call_each(1, |_| click(9, 99)),
        suite::ending("7.1"),
    ];
    let turns = turns.concat();
    let night = Night::begin(json!({ "turns": turns })).await;
    let run = night.submit("Work").await;
    night.until_paused(&run).await;
    let words = nightshift_protocol::SayToRun {
        text: "Just add a line.".to_owned(),
        delivery: nightshift_protocol::MessageDelivery::Steer,
    };
    night.owner.api.say(run.as_str(), words).await.unwrap();
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    night.until_in_review(&run).await;
}
