//! What goes wrong on request.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::json;

use super::server::Reply;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The token is not accepted: 401.
    NotAuthorized,
    /// It is not there, or the token may not see it: 404.
    NotFound,
    /// The token may not do that: 403.
    NoPermission,
    /// The hour's requests are used up: 403, with the time at which there are new ones.
    RateLimited {
        /// Seconds from now until then.
        resets_in: u64,
    },
    /// Too many requests in a short time: 429 with `retry-after`.
    SecondaryLimit {
        /// Seconds to wait.
        retry_after: u64,
    },
    /// GitHub is ill: 502.
    ServerError,
    /// The operation is carried out, and the connection is cut before the answer is there.
    CutAfterActing,
}

impl Fault {
    /// All kinds, for tests that try each.
    pub const ALL: [Self; 7] = [
        Self::NotAuthorized,
        Self::NotFound,
        Self::NoPermission,
        Self::RateLimited { resets_in: 1 },
        Self::SecondaryLimit { retry_after: 1 },
        Self::ServerError,
        Self::CutAfterActing,
    ];

    /// The answer instead of the operation's; `None` where the operation is carried out all the same.
    pub(super) fn reply(self, now_unix: i64) -> Option<Reply> {
        let say = |status: StatusCode, message: &str| {
            let documentation = "https://docs.github.com/rest";
            Reply::json(
                status,
                json!({ "message": message, "documentation_url": documentation, "status": status.as_str() }),
            )
        };
        Some(match self {
            Self::NotAuthorized => say(StatusCode::UNAUTHORIZED, "Bad credentials"),
            Self::NotFound => say(StatusCode::NOT_FOUND, "Not Found"),
            Self::NoPermission => {
                say(StatusCode::FORBIDDEN, "Resource not accessible by personal access token")
            }
            Self::RateLimited { resets_in } => {
                let resets = now_unix.saturating_add_unsigned(resets_in);
                say(StatusCode::FORBIDDEN, "API rate limit exceeded for user ID 1.")
                    .header("x-ratelimit-remaining", "0")
                    .header("x-ratelimit-reset", &resets.to_string())
            }
            Self::SecondaryLimit { retry_after } => {
                say(StatusCode::TOO_MANY_REQUESTS, "You have exceeded a secondary rate limit.")
                    .header("retry-after", &retry_after.to_string())
            }
            Self::ServerError => say(StatusCode::BAD_GATEWAY, "Server Error"),
            Self::CutAfterActing => return None,
        })
    }
}

impl Fault {
    /// The same as GraphQL says it: with status 200 ("Rate limits and query limits for the GraphQL API").
    pub(super) fn graphql_reply(self, now_unix: i64) -> Option<Reply> {
        let (kind, message) = match self {
            Self::NotFound => ("NOT_FOUND", "Could not resolve to a node"),
            Self::NoPermission => ("FORBIDDEN", "Resource not accessible by personal access token"),
            Self::RateLimited { .. } => ("RATE_LIMITED", "API rate limit exceeded for user ID 1."),
            Self::NotAuthorized | Self::SecondaryLimit { .. } | Self::ServerError | Self::CutAfterActing => {
                return self.reply(now_unix);
            }
        };
        let errors = json!([{ "type": kind, "message": message }]);
        let reply = Reply::json(StatusCode::OK, json!({ "data": null, "errors": errors }));
        Some(match self {
            Self::RateLimited { resets_in } => {
                let resets = now_unix.saturating_add_unsigned(resets_in);
                reply.header("x-ratelimit-remaining", "0").header("x-ratelimit-reset", &resets.to_string())
            }
            _ => reply,
        })
    }
}

/// The faults that are still to happen, by operation.
#[derive(Debug, Default)]
pub(super) struct Faults(HashMap<String, (Fault, u32)>);

impl Faults {
    pub(super) fn plan(&mut self, operation: &str, fault: Fault, times: u32) {
        self.0.insert(operation.to_owned(), (fault, times));
    }

    pub(super) fn next(&mut self, operation: &str) -> Option<Fault> {
        let (fault, times) = self.0.get_mut(operation)?;
        *times = times.checked_sub(1)?;
        Some(*fault)
    }
}
