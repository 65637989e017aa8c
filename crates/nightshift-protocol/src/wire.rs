//! The wire forms that are kept in `wire/`: what one version wrote, every other version reads, and the other way round.
//!
//! A kept file holds one example of each kind with all its fields. It is changed by hand, together with the type.

mod absent;
mod requests;

use std::collections::BTreeSet;
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use utoipa::PartialSchema;

use crate::{EventBody, PullRequestId, RunState, ScreenMessage, ViewerMessage};

fn kept(file: &str) -> Value {
    serde_json::from_str(file).unwrap()
}

/// Reads every example and proves that it is written as it was read.
fn round_trip<T: DeserializeOwned + Serialize + Debug>(examples: &Value) -> Vec<T> {
    let read = |example: &Value| {
        let value: T =
            serde_json::from_value(example.clone()).unwrap_or_else(|why| panic!("{example}: {why}"));
        assert_eq!(serde_json::to_value(&value).unwrap(), *example);
        value
    };
    examples.as_array().unwrap().iter().map(read).collect()
}

/// The values of `type` in examples.
fn types(examples: &Value) -> BTreeSet<String> {
    let named = |example: &Value| example["type"].as_str().unwrap().to_owned();
    examples.as_array().unwrap().iter().map(named).collect()
}

/// The values of `type` that a tagged enum has, by its schema, which is made from the enum itself.
fn variants<T: PartialSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(T::schema()).unwrap();
    let tag = |variant: &Value| {
        let parts = variant["allOf"].as_array().cloned().unwrap_or_else(|| vec![variant.clone()]);
        let mut tags =
            parts.iter().filter_map(|part| part["properties"]["type"]["enum"][0].as_str().map(str::to_owned));
        tags.next_back().unwrap_or_else(|| panic!("no tag: {variant}"))
    };
    schema["oneOf"].as_array().unwrap().iter().map(tag).collect()
}

fn events() -> Value {
    kept(include_str!("../wire/events.json"))
}

fn states() -> Value {
    kept(include_str!("../wire/states.json"))
}

fn screen() -> Value {
    kept(include_str!("../wire/screen.json"))
}

#[test]
fn every_event_is_written_as_it_was_read_and_named_by_its_type() {
    let events = events();
    for (body, example) in round_trip::<EventBody>(&events).iter().zip(events.as_array().unwrap()) {
        assert_eq!(example["type"], body.name());
    }
}

#[test]
fn there_is_a_kept_example_of_every_event() {
    assert_eq!(types(&events()), variants::<EventBody>());
}

#[test]
fn an_event_of_a_newer_version_is_refused_and_not_taken_for_another() {
    let refused = serde_json::from_value::<EventBody>(json!({"type": "teleported", "where": "there"}));
    assert!(refused.unwrap_err().to_string().contains("unknown variant `teleported`"));
}

#[test]
fn fields_that_a_newer_version_added_to_an_event_are_passed_over() {
    let said = json!({"type": "personSaid", "text": "hello", "mood": "good"});
    assert_eq!(
        serde_json::from_value::<EventBody>(said).unwrap(),
        EventBody::PersonSaid { text: "hello".to_owned() }
    );
}

#[test]
fn every_state_is_written_as_it_was_read_and_named_by_its_type() {
    let states = states();
    for (state, example) in round_trip::<RunState>(&states).iter().zip(states.as_array().unwrap()) {
        assert_eq!(example["type"], state.name());
    }
}

#[test]
fn people_read_no_state_by_its_code_name() {
    for state in round_trip::<RunState>(&states()) {
        let words = state.words();
        assert!(words.chars().all(|letter| letter.is_ascii_lowercase() || letter == ' '), "{words}");
        assert_eq!(words.replace(' ', ""), state.name().to_ascii_lowercase());
    }
}

#[test]
fn the_list_of_names_has_every_state_once() {
    let named: BTreeSet<String> = RunState::NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(named.len(), RunState::NAMES.len());
    assert_eq!(named, variants::<RunState>());
    assert_eq!(named, types(&states()));
}

#[test]
fn after_four_states_nothing_happens_any_more() {
    let ended: BTreeSet<&str> = round_trip::<RunState>(&states())
        .iter()
        .filter(|state| state.is_final())
        .map(RunState::name)
        .collect();
    assert_eq!(ended, BTreeSet::from(["merged", "closed", "cancelled", "failed"]));
}

#[test]
fn a_pull_request_is_a_number_on_the_wire() {
    let merged = RunState::Merged { pull_request: PullRequestId(7) };
    assert_eq!(serde_json::to_value(merged).unwrap(), json!({"type": "merged", "pullRequest": 7}));
}

#[test]
fn everything_a_viewer_says_is_written_as_it_was_read() {
    let said = &screen()["viewer"];
    round_trip::<ViewerMessage>(said);
    assert_eq!(types(said), variants::<ViewerMessage>());
}

#[test]
fn everything_the_owner_says_to_a_viewer_is_written_as_it_was_read() {
    let said = &screen()["owner"];
    round_trip::<ScreenMessage>(said);
    assert_eq!(types(said), variants::<ScreenMessage>());
}

#[test]
fn what_a_viewer_says_in_other_words_is_no_message() {
    for hostile in [
        json!({"type": "reboot"}),
        json!({"type": "pointer", "x": -1, "y": 0}),
        json!({"type": "pointer", "x": 1.5, "y": 0}),
        json!({"type": "pointer", "x": 4_294_967_296_u64, "y": 0}),
        json!({"type": "button", "x": 1, "y": 1, "button": "sixth", "down": true}),
        json!({"type": "key", "code": "KeyA", "key": null, "down": true}),
        json!("takeOver"),
        json!(null),
    ] {
        assert!(serde_json::from_value::<ViewerMessage>(hostile.clone()).is_err(), "{hostile}");
    }
}
