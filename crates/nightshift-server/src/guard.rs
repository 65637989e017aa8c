//! Who may ask: only who has the token or a session, and only under the owner's own address.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, UPGRADE};
use axum::http::{HeaderMap, HeaderName, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use nightshift_protocol::{Clock, ErrorCode, OffsetDateTime, UserError};

use crate::reply::Refusal;
use crate::session::{Seal, Sealed, Tickets};

/// How the owner is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The token that every request carries, or a session signed with it.
    pub token: String,
    /// The port.
    pub port: u16,
    /// Names and addresses beside loopback under which a request may come in, without port.
    pub names: Vec<String>,
}

/// What a request must carry.
#[derive(Clone)]
pub struct Guard {
    inner: Arc<Inner>,
}

struct Inner {
    token: String,
    port: u16,
    hosts: Vec<String>,
    seal: Seal,
    tickets: Mutex<Tickets>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guard").field("hosts", &self.inner.hosts).finish_non_exhaustive()
    }
}

/// What a request is, as far as it matters for who may make it.
struct Asked<'a> {
    method: &'a Method,
    path: &'a str,
    headers: &'a HeaderMap,
}

impl Guard {
    /// Admits requests as `access` says.
    pub fn new(access: Access, clock: Arc<dyn Clock>) -> Self {
        let names = ["127.0.0.1", "localhost", "[::1]"].map(str::to_owned).into_iter().chain(access.names);
        let hosts = names.map(|name| format!("{name}:{}", access.port)).collect();
        let (seal, tickets) = (Seal::new(&access.token), Mutex::new(Tickets::new(clock.now())));
        let (token, port) = (access.token, access.port);
        Self { inner: Arc::new(Inner { token, port, hosts, seal, tickets, clock }) }
    }

    /// Makes a ticket and the address that has it.
    pub(crate) fn ticket(&self) -> (Sealed, String) {
        let mut tickets = self.inner.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = tickets.make(&self.inner.seal, self.inner.clock.now());
        let url = format!("http://127.0.0.1:{}/#ticket={}", self.inner.port, ticket.text);
        (ticket, url)
    }

    /// Opens a session by a ticket, which is used up.
    pub(crate) fn open(&self, ticket: &str) -> Option<Sealed> {
        let now = self.inner.clock.now();
        let mut tickets = self.inner.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.take(&self.inner.seal, ticket, now).then(|| self.inner.seal.session(now))
    }

    /// When the session that a request carries expires.
    pub(crate) fn session(&self, headers: &HeaderMap) -> Option<OffsetDateTime> {
        let name = self.cookie();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut ours = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(known, _)| *known == name);
        let now = self.inner.clock.now();
        ours.find_map(|(_, value)| self.inner.seal.read_session(value, now))
    }

    /// The cookie's name. Cookies are not kept apart by port, so it is in the name.
    pub(crate) fn cookie(&self) -> String {
        format!("nightshift-{}", self.inner.port)
    }

    /// Says why a request is refused, or nothing if it is admitted.
    fn refusal(&self, asked: &Asked<'_>) -> Option<UserError> {
        let refuse = |message: &str| {
            Some(UserError::new(
                ErrorCode::NotAuthorized,
                message,
                "`nightshift open` lets a browser in. The command line reads address and token by itself; scripts \
                 find both in owner.json in ~/.local/share/nightshift.",
            ))
        };
        let host = text(asked.headers, &HOST).unwrap_or_default();
        if !self.inner.hosts.iter().any(|known| known == host) {
            return refuse("the request is addressed to another host");
        }
        let origin = text(asked.headers, &ORIGIN);
        if origin.is_some_and(|origin| !self.is_own(origin)) {
            return refuse("the request comes from another site's page");
        }
        let opens = asked.method == Method::POST && asked.path == "/api/v1/session";
        let tells = asked.method == Method::POST && asked.path == "/api/v1/webhooks/github";
        // The UI's own files are no secret, whoever opens a session has none yet, and a webhook proves itself by its
        // signature.
        let ours = asked.path.starts_with("/api/") || asked.path == "/mcp";
        if opens || tells || !ours {
            return None;
        }
        if let Some(value) = text(asked.headers, &AUTHORIZATION) {
            let given = value.strip_prefix("Bearer ").unwrap_or_default();
            let right = same(given.as_bytes(), self.inner.token.as_bytes());
            return if right { None } else { refuse("the token is wrong") };
        }
        if self.session(asked.headers).is_none() {
            return refuse("the request carries no token and no session, or the session has expired");
        }
        // A page of another port of this host is the same site to a browser, which sends it the cookie.
        let site = text(asked.headers, &HeaderName::from_static("sec-fetch-site"));
        if site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return refuse("the request comes from another site's page");
        }
        let changes =
            !matches!(*asked.method, Method::GET | Method::HEAD) || asked.headers.contains_key(UPGRADE);
        if changes && origin.is_none() {
            return refuse("a request with a session has to say which page it comes from");
        }
        None
    }

    fn is_own(&self, origin: &str) -> bool {
        origin.strip_prefix("http://").is_some_and(|rest| self.inner.hosts.iter().any(|known| known == rest))
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
    let asked = Asked { method: request.method(), path: request.uri().path(), headers: request.headers() };
    match guard.refusal(&asked) {
        Some(error) => Refusal(error).into_response(),
        None => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(OffsetDateTime);

    impl Clock for At {
        fn now(&self) -> OffsetDateTime {
            self.0
        }
    }

    fn guard() -> Guard {
        let access =
            Access { token: "secret".to_owned(), port: 7000, names: vec!["night.example".to_owned()] };
        Guard::new(access, Arc::new(At(OffsetDateTime::UNIX_EPOCH)))
    }

    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    const US: (HeaderName, &str) = (HOST, "127.0.0.1:7000");
    const TOKEN: (HeaderName, &str) = (AUTHORIZATION, "Bearer secret");

    fn refused_at(
        guard: &Guard,
        method: &Method,
        path: &str,
        pairs: &[(HeaderName, &str)],
    ) -> Option<String> {
        let headers: HeaderMap =
            pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        guard.refusal(&Asked { method, path, headers: &headers }).map(|error| error.message)
    }

    fn refused(pairs: &[(HeaderName, &str)]) -> Option<String> {
        refused_at(&guard(), &Method::GET, "/api/v1/runs", pairs)
    }

    #[test]
    fn the_token_at_the_own_address_is_let_in() {
        assert_eq!(refused(&[US, TOKEN]), None);
        assert_eq!(refused(&[(HOST, "localhost:7000"), (ORIGIN, "http://localhost:7000"), TOKEN]), None);
        assert_eq!(refused(&[(HOST, "night.example:7000"), TOKEN]), None);
    }

    #[test]
    fn a_name_that_was_rebound_to_loopback_is_refused_for_every_path() {
        let pairs = [(HOST, "evil.example:7000"), TOKEN];
        for path in ["/api/v1/runs", "/api/v1/session", "/", "/index.html"] {
            let refused = refused_at(&guard(), &Method::POST, path, &pairs).unwrap();
            assert_eq!(refused, "the request is addressed to another host");
        }
    }

    #[test]
    fn another_site_s_page_is_refused_even_with_the_token() {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:3000", "https://127.0.0.1:7000"] {
            let said = refused(&[US, (ORIGIN, origin), TOKEN]).unwrap();
            assert_eq!(said, "the request comes from another site's page");
        }
    }

    #[test]
    fn no_token_and_a_wrong_token_are_told_apart() {
        assert!(refused(&[US]).unwrap().contains("no token and no session"));
        assert_eq!(refused(&[US, (AUTHORIZATION, "Bearer secreT")]).unwrap(), "the token is wrong");
        assert_eq!(refused(&[US, (AUTHORIZATION, "Basic secret")]).unwrap(), "the token is wrong");
    }

    #[test]
    fn only_the_ui_the_begin_of_a_session_and_what_is_signed_go_without_a_token() {
        assert_eq!(refused_at(&guard(), &Method::GET, "/", &[US]), None);
        assert_eq!(refused_at(&guard(), &Method::GET, "/assets/index.js", &[US]), None);
        assert_eq!(refused_at(&guard(), &Method::POST, "/api/v1/session", &[US]), None);
        assert_eq!(refused_at(&guard(), &Method::POST, "/api/v1/webhooks/github", &[US]), None);
        assert!(refused_at(&guard(), &Method::GET, "/api/v1/webhooks/github", &[US]).is_some());
        assert!(refused_at(&guard(), &Method::GET, "/api/v1/session", &[US]).is_some());
        assert!(refused_at(&guard(), &Method::POST, "/mcp", &[US]).is_some());
        assert!(refused_at(&guard(), &Method::POST, "/api/v1/session/tickets", &[US]).is_some());
    }

    #[test]
    fn a_session_reads_and_from_the_own_page_changes() {
        let guard = guard();
        let (ticket, url) = guard.ticket();
        assert_eq!(url, format!("http://127.0.0.1:7000/#ticket={}", ticket.text));
        let session = guard.open(&ticket.text).unwrap();
        assert_eq!(guard.open(&ticket.text), None);
        let cookie = format!("theme=dark; nightshift-7000={}", session.text);
        let with = |more: &[(HeaderName, &str)], method: Method| {
            let pairs: Vec<_> =
                [US, (COOKIE, cookie.as_str())].into_iter().chain(more.iter().cloned()).collect();
            refused_at(&guard, &method, "/api/v1/runs", &pairs)
        };
        let own = (ORIGIN, "http://127.0.0.1:7000");
        assert_eq!(with(&[], Method::GET), None);
        assert_eq!(with(std::slice::from_ref(&own), Method::POST), None);
        assert!(with(&[], Method::POST).is_some());
        assert!(with(&[(UPGRADE, "websocket")], Method::GET).is_some());
        assert_eq!(with(&[(UPGRADE, "websocket"), own], Method::GET), None);
        assert!(with(&[(SITE, "same-site")], Method::GET).is_some());
        assert!(with(&[(SITE, "cross-site")], Method::GET).is_some());
        assert_eq!(with(&[(SITE, "same-origin")], Method::GET), None);
    }

    #[test]
    fn a_session_of_another_owner_is_none() {
        let other = Access { token: "other".to_owned(), port: 7000, names: Vec::new() };
        let other = Guard::new(other, Arc::new(At(OffsetDateTime::UNIX_EPOCH)));
        let session = other.open(&other.ticket().0.text).unwrap();
        let cookie = format!("nightshift-7000={}", session.text);
        assert!(refused(&[US, (COOKIE, &cookie)]).is_some());
    }

    #[test]
    fn a_guard_does_not_show_its_token() {
        assert!(!format!("{:?}", guard()).contains("secret"));
    }

    #[test]
    fn a_host_without_the_port_or_with_another_one_is_another_host() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:7001",
            "localhost",
            "[::1]",
            "night.example",
            "127.0.0.1:7000.evil.example",
            "",
        ] {
            assert_eq!(
                refused(&[(HOST, host), TOKEN]).unwrap(),
                "the request is addressed to another host",
                "{host}"
            );
        }
        assert!(refused(&[TOKEN]).is_some(), "a request without a host");
        assert_eq!(refused(&[(HOST, "[::1]:7000"), TOKEN]), None);
    }

    #[test]
    fn a_page_under_a_name_that_was_allowed_is_the_own_one() {
        let own = (ORIGIN, "http://night.example:7000");
        assert_eq!(refused(&[(HOST, "night.example:7000"), own, TOKEN]), None);
        assert!(refused(&[US, (ORIGIN, "http://night.example"), TOKEN]).is_some());
    }

    #[test]
    fn a_cookie_of_another_port_or_with_nothing_in_it_is_no_session() {
        let guard = guard();
        let session = guard.open(&guard.ticket().0.text).unwrap().text;
        for cookie in [
            format!("nightshift-7001={session}"),
            format!("nightshift-7000 ={session}"),
            "nightshift-7000=".to_owned(),
            "nightshift-7000".to_owned(),
            String::new(),
        ] {
            let said = refused_at(&guard, &Method::GET, "/api/v1/runs", &[US, (COOKIE, &cookie)]);
            assert!(said.is_some(), "{cookie}");
        }
        let twice = format!("nightshift-7000=old; nightshift-7000={session}");
        assert_eq!(refused_at(&guard, &Method::GET, "/api/v1/runs", &[US, (COOKIE, &twice)]), None);
    }

    #[test]
    fn a_wrong_token_is_not_made_good_by_a_session() {
        let guard = guard();
        let cookie = format!("nightshift-7000={}", guard.open(&guard.ticket().0.text).unwrap().text);
        let pairs = [US, (COOKIE, cookie.as_str()), (AUTHORIZATION, "Bearer wrong")];
        assert_eq!(refused_at(&guard, &Method::GET, "/api/v1/runs", &pairs).unwrap(), "the token is wrong");
    }

    #[test]
    fn a_session_changes_nothing_by_any_method_without_its_page() {
        let guard = guard();
        let cookie = format!("nightshift-7000={}", guard.open(&guard.ticket().0.text).unwrap().text);
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
            let pairs = [US, (COOKIE, cookie.as_str())];
            assert!(refused_at(&guard, &method, "/api/v1/runs", &pairs).is_some(), "{method}");
        }
        assert_eq!(refused_at(&guard, &Method::HEAD, "/api/v1/runs", &[US, (COOKIE, &cookie)]), None);
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"secret", b"secret"));
        for given in [&b""[..], b"secre", b"secret1", b"Secret", b"secreT"] {
            assert!(!same(given, b"secret"), "{given:?}");
        }
    }
}
