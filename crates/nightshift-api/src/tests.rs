use futures_util::FutureExt;
use nightshift_protocol::{EventBody, LiveBody, OffsetDateTime};

use super::*;

fn event(run: &RunId, seq: u64) -> Happening {
    let body = EventBody::PersonSaid { text: "hello".to_owned() };
    let at = OffsetDateTime::UNIX_EPOCH;
    Happening::Event(Box::new(Event { position: seq, run: run.clone(), seq, at, body }))
}

#[test]
fn a_read_error_ends_the_stream_although_what_passes_goes_on() -> Result<(), nightshift_protocol::InvalidId> {
    let run: RunId = "run-0000000000".parse()?;
    let passing =
        Happening::Live(Live { run: run.clone(), body: LiveBody::ModelText { text: "x".to_owned() } });
    let live = stream::once(ready(passing.clone())).chain(stream::pending());
    let events = [Some(event(&run, 1)), Some(event(&run, 2)), None, Some(event(&run, 4))];
    let seen: Option<Vec<Happening>> =
        merged(stream::iter(events).chain(stream::pending()), live).collect().now_or_never();
    assert_eq!(seen, Some(vec![event(&run, 1), passing, event(&run, 2)]));
    Ok(())
}

#[test]
fn the_end_of_the_events_ends_the_stream() {
    let seen: Option<Vec<Happening>> = merged(stream::empty(), stream::pending()).collect().now_or_never();
    assert_eq!(seen, Some(Vec::new()));
}

fn refused<T: std::fmt::Debug>(outcome: Result<T, UserError>) -> ErrorCode {
    let error = outcome.unwrap_err();
    assert!(!error.message.is_empty() && !error.hint.is_empty(), "{error:?}");
    error.code
}

#[test]
fn a_cursor_is_a_number_of_this_list() {
    assert_eq!(cursor(None), Ok(None));
    assert_eq!(cursor(Some("7")), Ok(Some(7)));
    for odd in ["", "x", "-1", "1.5", " 7", "18446744073709551616"] {
        assert_eq!(refused(cursor(Some(odd))), ErrorCode::InvalidRequest, "{odd}");
    }
}

#[test]
fn states_are_named_alone_or_joined_by_commas() {
    let named = |names: &[&str]| Ok(RunStates::Named(names.iter().map(|&name| name.to_owned()).collect()));
    assert_eq!(states(None), Ok(RunStates::All));
    assert_eq!(states(Some("")), Ok(RunStates::All));
    assert_eq!(states(Some("unfinished")), Ok(RunStates::Unfinished));
    assert_eq!(states(Some("working")), named(&["working"]));
    assert_eq!(states(Some("working, inReview")), named(&["working", "inReview"]));
    for name in RunState::NAMES {
        assert_eq!(states(Some(name)), named(&[name]));
    }
}

#[test]
fn a_state_that_is_none_is_named_cut_and_with_those_there_are() {
    for odd in ["asleep", "working,", "unfinished,working", "In Review"] {
        assert_eq!(refused(states(Some(odd))), ErrorCode::InvalidRequest, "{odd}");
    }
    let long = states(Some(&"x".repeat(500))).unwrap_err();
    assert_eq!(long.message, format!("no state is named \"{}\"", "x".repeat(80)));
    assert!(long.hint.contains("queued, preparing, working") && long.hint.ends_with("or unfinished."));
}

#[test]
fn a_search_without_a_word_is_refused() {
    for odd in ["", " ", "\"*", "-+/"] {
        assert_eq!(refused(words(odd)), ErrorCode::InvalidRequest, "{odd:?}");
    }
    assert_eq!(words("dark mode"), Ok(SearchWords::of("dark mode").unwrap()));
}
