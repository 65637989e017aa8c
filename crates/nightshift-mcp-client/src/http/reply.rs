//! What the head of an answer means: decided purely, of status, kind and what was asked.

use http::StatusCode;

/// What was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Whether somebody waits for an answer: it was a request and no notification.
    pub(super) awaits: bool,
    /// Whether it named a session.
    pub(super) in_session: bool,
    /// Whether it asked what the server knows, as 2026-07-28 begins: older servers refuse that in all sorts of ways.
    pub(super) discovers: bool,
}

/// What comes behind the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing that matters: it was taken.
    Taken,
    /// One message of JSON.
    Message,
    /// A stream of events, each with a message.
    Events,
    /// The session is gone.
    SessionGone,
    /// What an older server says to a question that it does not know.
    Older,
    /// The client is not let in.
    NotLetIn,
    /// An error, which may be told as a message of JSON.
    Refused {
        /// Whether it is one.
        told: bool,
    },
    /// A request was taken, and nothing is answered.
    Nothing,
    /// It is in something else.
    OtherKind,
}

/// Decides it. `kind` is the field `Content-Type`.
pub(super) fn reply(status: StatusCode, kind: Option<&str>, sent: Sent) -> Reply {
    let is = |expected: &str| {
        kind.and_then(|kind| kind.split(';').next())
            .is_some_and(|kind| kind.trim().eq_ignore_ascii_case(expected))
    };
    match status.as_u16() {
        404 if sent.in_session => Reply::SessionGone,
        401 | 403 | 407 => Reply::NotLetIn,
        200..=299 if !sent.awaits => Reply::Taken,
        202 | 204 => Reply::Nothing,
        200..=299 if is("text/event-stream") => Reply::Events,
        200..=299 if is("application/json") => Reply::Message,
        200..=299 => Reply::OtherKind,
        400..=499 if sent.discovers => Reply::Older,
        _ => Reply::Refused { told: sent.awaits && is("application/json") },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALL: Sent = Sent { awaits: true, in_session: true, discovers: false };
    const FIRST: Sent = Sent { awaits: true, in_session: false, discovers: true };
    const NOTE: Sent = Sent { awaits: false, in_session: true, discovers: false };

    fn of(status: u16, kind: Option<&str>, sent: Sent) -> Reply {
        reply(StatusCode::from_u16(status).unwrap(), kind, sent)
    }

    #[test]
    fn an_answer_is_json_or_events_by_its_kind_however_that_is_written() {
        assert_eq!(of(200, Some("application/json"), CALL), Reply::Message);
        assert_eq!(of(200, Some("Application/JSON; charset=utf-8"), CALL), Reply::Message);
        assert_eq!(of(200, Some("text/event-stream;charset=UTF-8"), CALL), Reply::Events);
        for other in [None, Some("text/html"), Some("application/jsonl"), Some("")] {
            assert_eq!(of(200, other, CALL), Reply::OtherKind, "{other:?}");
        }
    }

    #[test]
    fn a_session_is_gone_only_where_there_was_one() {
        assert_eq!(of(404, None, CALL), Reply::SessionGone);
        assert_eq!(of(404, None, NOTE), Reply::SessionGone);
        assert_eq!(of(404, None, Sent { in_session: false, ..CALL }), Reply::Refused { told: false });
        assert_eq!(of(404, Some("application/json"), FIRST), Reply::Older);
    }

    #[test]
    fn an_older_server_may_refuse_the_first_question_in_any_way_but_that_nobody_is_let_in() {
        for status in [400, 404, 405, 406, 415, 422] {
            assert_eq!(of(status, Some("text/plain"), FIRST), Reply::Older, "{status}");
        }
        assert_eq!((of(401, None, FIRST), of(403, None, FIRST)), (Reply::NotLetIn, Reply::NotLetIn));
        assert_eq!(of(500, None, FIRST), Reply::Refused { told: false });
    }

    #[test]
    fn what_only_has_to_be_taken_is_taken_whatever_stands_in_the_answer() {
        assert_eq!(of(202, None, NOTE), Reply::Taken);
        assert_eq!(of(200, Some("text/html"), NOTE), Reply::Taken);
        assert_eq!(of(202, None, CALL), Reply::Nothing);
        assert_eq!(of(500, Some("application/json"), NOTE), Reply::Refused { told: false });
        assert_eq!(of(400, Some("application/json"), CALL), Reply::Refused { told: true });
    }

    proptest! {
        #[test]
        fn no_error_is_ever_an_answer(status in 300_u16..600, kind in prop::option::of("[a-z/;= -]{0,20}"), awaits: bool, in_session: bool, discovers: bool) {
            let reply = of(status, kind.as_deref(), Sent { awaits, in_session, discovers });
            prop_assert!(!matches!(reply, Reply::Taken | Reply::Message | Reply::Events), "{:?}", reply);
        }
    }
}
