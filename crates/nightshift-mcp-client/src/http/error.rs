//! Why an exchange over HTTP has no answer.

use crate::error::CallError;

/// An exchange has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    /// Nothing was asked: there is no connection.
    #[error("{why}")]
    NotReached { why: String },
    /// It says that it is elsewhere, where it is not followed.
    #[error("it redirects to {to}, which .mcp.json does not name")]
    Redirected { to: String },
    /// It wants to know who asks, or knows it and does not let them.
    #[error(
        "it does not let this client in (HTTP {status}{said}): give it a key in headers, nobody is there to sign in"
    )]
    NotLetIn { status: u16, said: String },
    /// It does not know the session that it had begun, and not the next one either.
    #[error("it does not know the session that it had begun")]
    SessionGone,
    /// It answered with a status that is no answer.
    #[error("it answered HTTP {status}{said}")]
    Status { status: u16, said: String },
    /// It answered in something that is neither JSON nor a stream of events.
    #[error("it answered with {kind} and not with JSON or a stream of events")]
    OtherKind { kind: String },
    /// It took the request and said nothing.
    #[error("it took the request and answers nothing")]
    Nothing,
    /// The answer is longer than one may be.
    #[error("its answer is longer than {} MiB", .most / (1024 * 1024))]
    TooLong { most: usize },
    /// The answer is something else than one.
    #[error("its answer is not what the protocol has")]
    Odd,
    /// The connection ended before there was an answer.
    #[error("the connection ended before the answer came: {why}")]
    Cut { why: String },
    /// It said too much of its own accord.
    #[error("it sent too much that nobody asked for")]
    Flooded,
}

impl HttpError {
    /// What it means for a call that was asked for by it.
    pub(crate) fn of_call(self) -> CallError {
        match self {
            Self::NotReached { .. } | Self::Redirected { .. } | Self::NotLetIn { .. } | Self::SessionGone => {
                CallError::NotReached { why: self.to_string() }
            }
            Self::Status { .. }
            | Self::OtherKind { .. }
            | Self::Nothing
            | Self::TooLong { .. }
            | Self::Cut { .. } => CallError::Lost { why: self.to_string() },
            Self::Odd => CallError::Odd,
            Self::Flooded => CallError::Flooded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_that_was_surely_not_carried_out_is_told_as_such() {
        let why = "nobody listens".to_owned();
        let call = |error: HttpError| error.of_call();
        assert_eq!(
            call(HttpError::NotReached { why: why.clone() }),
            CallError::NotReached { why: why.clone() }
        );
        let elsewhere = HttpError::Redirected { to: "http://10.0.0.1/".to_owned() };
        assert!(matches!(call(elsewhere), CallError::NotReached { .. }));
        for lost in [
            HttpError::Cut { why },
            HttpError::Status { status: 500, said: String::new() },
            HttpError::TooLong { most: 4 << 20 },
            HttpError::Nothing,
        ] {
            let said = lost.to_string();
            assert_eq!(call(lost), CallError::Lost { why: said });
        }
        assert_eq!((call(HttpError::Odd), call(HttpError::Flooded)), (CallError::Odd, CallError::Flooded));
    }
}
