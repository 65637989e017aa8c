//! People who come in while an agent works: steer, queue, interrupt, limits.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod rewinds;

use nightshift_protocol::{
    Event, EventBody, Limits, LiveBody, Merge, MessageDelivery, PauseReason, RaiseLimits, ResultPart,
    ResumeRun, RunId, RunState, SayToRun, ToolOutcome,
};
use serde_json::json;
use suite::{Night, assert_exactly_once, ending, evidence, finish, names, screenshot, script, shell};

async fn say(night: &Night, run: &RunId, text: &str, delivery: MessageDelivery) {
    night.owner.api.say(run.as_str(), SayToRun { text: text.to_owned(), delivery }).await.unwrap();
}

/// What the model read of a step.
async fn result_of(night: &Night, run: &RunId, wanted: &str) -> (ToolOutcome, String) {
    let events = night.events(run).await;
    let found = events.into_iter().find_map(|event| match event.body {
        EventBody::StepFinished { step, outcome, content, .. } if step.to_string() == wanted => {
            let texts = content.iter().filter_map(|part| match part {
                ResultPart::Text { text } => Some(text.as_str()),
                ResultPart::Image { .. } => None,
            });
            Some((outcome, texts.collect::<Vec<_>>().join("\n")))
        }
        _ => None,
    });
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_command_ends_with_what_it_has_printed_and_the_agent_goes_on_with_what_was_said() {
    let expect = json!([{"lastTextContains": "Use the other file."}]);
    let turns = vec![
        json!({"calls": [shell("echo begun; sleep 600; echo never"), screenshot()]}),
        json!({"expect": expect, "calls": [screenshot()]}),
    ];
    let night = Night::begin(script(turns, "2.1")).await;
    let mut live = night.owner.supervisor.live();
    let run = night.submit("Work").await;
    loop {
        match live.recv().await.unwrap().body {
            LiveBody::StepOutput { text, .. } if text.contains("begun") => break,
            _ => {}
        }
    }
    say(&night, &run, "Use the other file.", MessageDelivery::Interrupt).await;
    assert_exactly_once(&night.until_in_review(&run).await);
    let (outcome, text) = result_of(&night, &run, "1.1").await;
    assert_eq!(outcome, ToolOutcome::Failed);
    assert!(text.starts_with("begun") && text.ends_with("(interrupted by the person)"), "{text}");
    let (_, text) = result_of(&night, &run, "1.2").await;
    assert_eq!(text, "Not executed: the person interrupted you before it.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_does_not_want_to_end_is_made_to() {
    let turns = vec![
        json!({"calls": [shell("trap '' TERM; echo stubborn; while :; do sleep 0.2; done"), screenshot()]}),
    ];
    let night = Night::begin(script([turns, vec![json!({"calls": [screenshot()]})]].concat(), "2.1")).await;
    let run = night.submit("Work").await;
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    night.owner.api.interrupt(run.as_str()).await.unwrap();
    night.until_in_review(&run).await;
    assert!(result_of(&night, &run, "1.1").await.1.ends_with("(interrupted by the person)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_that_was_recorded_counts_although_the_owner_ended_before_it_took_place() {
    let turns = vec![json!({"calls": [shell("echo begun; sleep 600")]}), json!({"calls": [screenshot()]})];
    let mut night = Night::begin(script(turns, "2.1")).await;
    let run = night.submit("Work").await;
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    night.owner.supervisor.rest().await;
    let owner = suite::Owner::start(
        night.folder.path(),
        &night.driver,
        &night.model.base_url(),
        None,
        Default::default(),
    )
    .await;
    let clock = nightshift_protocol::OffsetDateTime::now_utc();
    owner.store.append(&run, clock, &[EventBody::Interrupted]).await.unwrap();
    night.owner = owner;
    night.owner.supervisor.resume().await.unwrap();
    assert_exactly_once(&night.until_in_review(&run).await);
    assert!(result_of(&night, &run, "1.1").await.1.ends_with("(interrupted by the person)"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_model_call_is_made_again_with_what_was_said() {
    // On a busy machine the answer may come before the interruption: then it is tried again.
    for _ in 0..5 {
        let turns = vec![json!({"delayMs": 1500, "say": "Thinking.", "calls": [screenshot()]})];
        let night = Night::begin(script(turns, "1.1")).await;
        let run = night.submit("Work").await;
        night.until(&run, "the model call", |events| names(events).contains(&"turnRequested")).await;
        say(&night, &run, "Hurry up.", MessageDelivery::Interrupt).await;
        let events = night.until_in_review(&run).await;
        let place = |name: &str| names(&events).iter().position(|found| *found == name);
        if place("interrupted").is_none_or(|interrupted| place("turnFinished") < Some(interrupted)) {
            continue;
        }
        // The server may write down the call that was cut after the one that took its place.
        let mut first_turn = night.model.requests().into_iter().filter(|request| request.turn == Some(0));
        assert!(first_turn.any(|request| request.body.to_string().contains("Hurry up.")));
        return;
    }
    panic!("the answer came before the interruption five times");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_under_way_an_interruption_is_refused_by_name() {
    let night =
        Night::begin(json!({"turns": [{"calls": [{"tool": "ask", "input": {"question": "Which?"}}]}]})).await;
    let run = night.submit("Work").await;
    night.until_state(&run, "the question", |state| matches!(state, RunState::Waiting { .. })).await;
    let refused = night.owner.api.interrupt(run.as_str()).await.unwrap_err();
    assert_eq!(refused.message, "nothing is under way that could be interrupted: the run is waiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_waits_until_the_agent_wants_to_finish() {
    let turns = [
        vec![json!({"calls": [shell("sleep 1; echo ok")]}), json!({"calls": [screenshot()]})],
        ending("2.1"),
        vec![json!({"expect": [{"lastTextContains": "Then update the docs."}], "calls": [shell("true")]})],
    ]
    .concat();
    let night = Night::begin(script(turns, "2.1")).await;
    let run = night.submit("Work").await;
    night.until(&run, "the command", |events| names(events).contains(&"stepIntended")).await;
    say(&night, &run, "Then update the docs.", MessageDelivery::Queue).await;
    night.until_in_review(&run).await;
    let early =
        night.model.requests().into_iter().filter(|request| request.turn.is_some_and(|turn| turn < 4));
    assert!(early.into_iter().all(|request| !request.body.to_string().contains("update the docs")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_at_its_limit_pauses_before_the_call_and_goes_on_when_the_limit_is_raised() {
    let turns = (0..4).map(|turn| json!({"calls": [shell(&format!("echo {turn}"))]})).collect();
    let night = Night::begin(script(turns, "1.1")).await;
    let run = night.submit_with("Work", Limits { turns: 3, ..Limits::default() }).await;
    let RunState::Paused { reason: PauseReason::Limit { limit } } = night.until_paused(&run).await else {
        panic!("a limit was reached")
    };
    assert_eq!(limit, "3 model calls, all made. Raise it with --turns to go on.");
    let asked =
        |night: &Night| night.model.requests().iter().filter(|request| request.turn.is_some()).count();
    assert_eq!(asked(&night), 3);

    night.owner.api.continue_run(run.as_str()).await.unwrap();
    night
        .until(&run, "the same pause", |events| {
            names(events).iter().filter(|name| **name == "stateChanged").count() > 7
        })
        .await;
    night.until_paused(&run).await;
    assert_eq!(asked(&night), 3, "continuing without a higher limit makes no call");

    let too_many = RaiseLimits { turns: Some(9_001), ..RaiseLimits::default() };
    let refused = night.owner.api.raise_limits(run.as_str(), too_many).await.unwrap_err();
    assert!(refused.message.starts_with("9001 model calls are more than"), "{refused:?}");
    let raise = RaiseLimits { turns: Some(50), ..RaiseLimits::default() };
    let summary = night.owner.api.raise_limits(run.as_str(), raise).await.unwrap();
    assert_eq!(summary.task.limits.turns, 50);
    night.owner.api.continue_run(run.as_str()).await.unwrap();
    assert_exactly_once(&night.until_in_review(&run).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_could_cost_more_than_is_left_is_not_made() {
    let night = Night::begin(script(vec![json!({"calls": [screenshot()]})], "1.1")).await;
    let limits = Limits { cost_microdollars: 100_000, ..Limits::default() };
    let run = night.submit_with("Work", limits).await;
    let RunState::Paused { reason: PauseReason::Limit { limit } } = night.until_paused(&run).await else {
        panic!("a limit was reached")
    };
    assert!(limit.starts_with("$0.10: $0.00 are spent and the next call may cost $0."), "{limit}");
    assert!(night.model.requests().iter().all(|request| request.turn.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_up_again_with_words_whether_it_asked_was_paused_or_is_in_review() {
    let ask = || json!({"tool": "ask", "input": {"question": "Which?"}});
    let expect = |text: &str| json!([{"lastResultContains": text}]);
    let turns = vec![
        json!({"calls": [ask()]}),
        json!({"expect": expect("The second."), "calls": [ask()]}),
        json!({"expect": expect("Go on without it."), "calls": [screenshot()]}),
    ];
    let mut end = finish("Add a note");
    end["input"]["answers"] = json!([{"name": "f1", "words": "Done.", "settled": true}]);
    let more = shell("echo more >> notes.txt && git commit -qam 'One more'");
    let mut script = script(turns, "3.1");
    let again = [json!({"calls": [more, evidence("It is there.", "3.1")]}), json!({"calls": [end]})];
    script["turns"].as_array_mut().unwrap().extend(again);
    let night = Night::begin(script).await;
    let run = night.submit("Work").await;
    let resume = async |text: &str| {
        night.owner.api.resume_run(run.as_str(), ResumeRun { text: text.to_owned() }).await
    };
    let asks = || night.until_state(&run, "a question", |state| matches!(state, RunState::Waiting { .. }));
    asks().await;
    assert_eq!(resume("The second.").await.unwrap().state, RunState::Working);
    asks().await;
    night.owner.api.pause(run.as_str()).await.unwrap();
    let resumed = resume("Go on without it.").await.unwrap();
    assert!(!matches!(resumed.state, RunState::Paused { .. }), "{:?}", resumed.state);
    night.until_in_review(&run).await;
    let state = resume("More.").await.unwrap().state;
    assert!(!matches!(state, RunState::InReview { .. }), "{state:?}");
    let commits = |events: &[Event]| {
        let delivered = |event: &Event| {
            matches!(&event.body, EventBody::StateChanged { state: RunState::InReview { .. } })
        };
        events.iter().filter(|event| delivered(event)).count()
    };
    assert_exactly_once(&night.until(&run, "the second delivery", |events| commits(events) == 2).await);
    let pull_request = night.owner.api.pull_request(run.as_str()).await.unwrap();
    assert_eq!(pull_request.remarks[0].feedback.words, "More.");
    night.owner.api.merge(run.as_str(), Merge::default()).await.unwrap();
    assert!(resume("More.").await.unwrap_err().message.contains("the run is merged and its sandbox is gone"));
    assert!(resume(" ").await.unwrap_err().message.contains("nothing to go on with"));
}
