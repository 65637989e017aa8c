//! What a model call that is under way counts as when its turn is broken off: by a pause, by the run's end, by an owner's end.

use nightshift_protocol::{EngineModelCall, EngineModelRequest, Event, EventBody, RunId, RunState};
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, names};

use super::{NOTE, assert_no_breach, night, open_proxy, shown, submit};

/// A model that begins its first answer and does not go on.
fn stalled() -> Value {
    json!({"turns": [{"say": "Hello.", "fault": {"stallAfterEvents": 3}}]})
}

/// An agent that waits for a model, and in the turn after that does its work.
fn agent() -> Value {
    let mut second = vec![json!({"expectPrompt": "broken off"}), json!({"run": NOTE})];
    second.extend(shown(1, 101));
    json!({"turns": [[{"model": "Hello?"}], second]})
}

/// A run whose foreign agent's model call is under way.
async fn calling() -> (Night, RunId) {
    let night = night(agent(), stalled()).await;
    let run = submit(&night, |task| task).await;
    open_proxy(&night, &run).await;
    let asked = async {
        while !night.model.requests().iter().any(|request| request.path == "/v1/messages") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(suite::WITHIN, asked).await.unwrap();
    (night, run)
}

fn intended(events: &[Event]) -> Vec<EngineModelRequest> {
    let call = |event: &Event| match &event.body {
        EventBody::EngineCallIntended { call, .. } => Some(call.clone()),
        _ => None,
    };
    events.iter().filter_map(call).collect()
}

fn ended(events: &[Event]) -> Vec<EngineModelCall> {
    let call = |event: &Event| match &event.body {
        EventBody::EngineCalledModel { call, .. } => Some(call.clone()),
        _ => None,
    };
    events.iter().filter_map(call).collect()
}

/// The one call, intended and ended under one number.
fn only(events: &[Event]) -> (EngineModelRequest, EngineModelCall) {
    let ([intended], [ended]) = (&intended(events)[..], &ended(events)[..]) else {
        panic!("{:?}", names(events))
    };
    assert_eq!((intended.number, ended.number), (1, 1));
    (intended.clone(), ended.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_counts_what_a_model_call_has_used_at_once_and_nothing_has_to_follow() {
    let (night, run) = calling().await;
    night.owner.api.pause(run.as_str()).await.unwrap();
    let events =
        night.until(&run, "the call's end", |events| names(events).contains(&"engineCalledModel")).await;
    assert!(matches!(night.state(&run).await, RunState::Paused { .. }));
    let (intended, ended) = only(&events);
    assert!(ended.usage.input_tokens > 0 && ended.usage.cost_microdollars > 0, "{ended:?}");
    assert!(ended.usage.cost_microdollars <= intended.worst.cost_microdollars, "{ended:?}");
    let paid = night.owner.api.summary(run.as_str()).await.unwrap().usage;
    assert_eq!(paid, ended.usage);
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
    assert_eq!(only(&events).1, ended, "it is counted once");
    assert_eq!(night.owner.api.summary(run.as_str()).await.unwrap().usage, paid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_call_used_belongs_to_a_run_before_it_is_cancelled() {
    let (night, run) = calling().await;
    night.owner.api.cancel(run.as_str()).await.unwrap();
    let events = night.events(&run).await;
    let (_, ended) = only(&events);
    assert!(ended.usage.cost_microdollars > 0, "{ended:?}");
    let place = |is: &dyn Fn(&EventBody) -> bool| events.iter().position(|event| is(&event.body)).unwrap();
    let cancelled = place(&|body| matches!(body, EventBody::StateChanged { state: RunState::Cancelled }));
    assert!(place(&|body| matches!(body, EventBody::EngineCalledModel { .. })) < cancelled);
    assert_eq!(night.owner.api.summary(run.as_str()).await.unwrap().usage, ended.usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_call_that_was_under_way_when_the_owner_ended_counts_as_the_most_it_may_have_used() {
    let (mut night, run) = calling().await;
    night.owner_restarts().await;
    let events = night.until_in_review(&run).await;
    assert_no_breach(&night);
    assert_exactly_once(&events);
    let (intended, ended) = only(&events);
    assert_eq!((ended.status, ended.usage), (None, intended.worst));
    assert!(ended.usage.output_tokens == 100 && ended.usage.cost_microdollars > 0, "{ended:?}");
    assert_eq!(night.owner.api.summary(run.as_str()).await.unwrap().usage, intended.worst);
}
