//! Who may ask: only who has the token, and only under the owner's own address.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nightshift_protocol::{ErrorCode, UserError};

use crate::reply::Refusal;

/// What a request must carry.
#[derive(Clone)]
pub struct Guard {
    token: Arc<str>,
    hosts: Arc<[String]>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guard").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Guard {
    /// Admits requests with `token` that are addressed to loopback at `port`.
    pub fn new(token: &str, port: u16) -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"].map(|host| format!("{host}:{port}"));
        Self { token: token.into(), hosts: hosts.into() }
    }

    /// Says why a request with these headers is refused, or nothing if it is admitted.
    fn refusal(&self, headers: &HeaderMap) -> Option<UserError> {
        let refuse = |message: &str| {
            Some(UserError::new(
                ErrorCode::NotAuthorized,
                message,
                "The command line reads address and token by itself; scripts find both in owner.json.",
            ))
        };
        let host = text(headers, &HOST).unwrap_or_default();
        if !self.hosts.iter().any(|known| known == host) {
            return refuse("the request is addressed to another host");
        }
        if let Some(origin) = text(headers, &ORIGIN) {
            let own = origin
                .strip_prefix("http://")
                .is_some_and(|rest| self.hosts.iter().any(|known| known == rest));
            if !own {
                return refuse("the request comes from another site's page");
            }
        }
        let given = text(headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        match given {
            Some(given) if same(given.as_bytes(), self.token.as_bytes()) => None,
            Some(_) => refuse("the token is wrong"),
            None => refuse("the request carries no token"),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Compares without telling by its time how much is right.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    given.len() == wanted.len()
        && given.iter().zip(wanted).fold(0, |sum, (left, right)| sum | (left ^ right)) == 0
}

/// Lets a request through or answers it.
pub(crate) async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.refusal(request.headers()) {
        Some(error) => Refusal(error).into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn refused(pairs: &[(HeaderName, &str)]) -> Option<String> {
        Guard::new("secret", 7000).refusal(&headers(pairs)).map(|error| error.message)
    }

    #[test]
    fn the_token_at_the_own_address_is_let_in() {
        assert_eq!(refused(&[(HOST, "127.0.0.1:7000"), (AUTHORIZATION, "Bearer secret")]), None);
        let own_page =
            [(HOST, "localhost:7000"), (ORIGIN, "http://localhost:7000"), (AUTHORIZATION, "Bearer secret")];
        assert_eq!(refused(&own_page), None);
    }

    #[test]
    fn a_name_that_was_rebound_to_loopback_is_refused() {
        let pairs = [(HOST, "evil.example:7000"), (AUTHORIZATION, "Bearer secret")];
        assert_eq!(refused(&pairs).unwrap(), "the request is addressed to another host");
    }

    #[test]
    fn another_site_s_page_is_refused_even_with_the_token() {
        let pairs =
            [(HOST, "127.0.0.1:7000"), (ORIGIN, "https://evil.example"), (AUTHORIZATION, "Bearer secret")];
        assert_eq!(refused(&pairs).unwrap(), "the request comes from another site's page");
    }

    #[test]
    fn no_token_and_a_wrong_token_are_told_apart() {
        assert_eq!(refused(&[(HOST, "127.0.0.1:7000")]).unwrap(), "the request carries no token");
        let wrong = [(HOST, "127.0.0.1:7000"), (AUTHORIZATION, "Bearer secreT")];
        assert_eq!(refused(&wrong).unwrap(), "the token is wrong");
    }

    #[test]
    fn a_guard_does_not_show_its_token() {
        assert!(!format!("{:?}", Guard::new("secret", 1)).contains("secret"));
    }
}
