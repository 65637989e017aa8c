//! Who is let in, and what a browser is told about what it gets.

use nightshift_protocol::{ErrorCode, Ticket};
use reqwest::header::{COOKIE, SET_COOKIE};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::quiet;
use crate::get;
use crate::served::{Served, TOKEN};

async fn ticket(served: &Served) -> Ticket {
    let (status, body) = served.ask(Method::POST, "/api/v1/session/tickets", None).await;
    assert_eq!(status, StatusCode::OK);
    serde_json::from_slice(&body).unwrap()
}

/// Opens a session and returns the status and the cookie.
async fn open(served: &Served, ticket: &str) -> (StatusCode, Option<String>) {
    let url = format!("{}/api/v1/session", served.url);
    let answer = served.http.post(url).json(&json!({"ticket": ticket})).send().await.unwrap();
    let cookie = answer.headers().get(SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
    (answer.status(), cookie)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_lets_one_browser_in_and_serves_once() {
    let served = quiet().await;
    let ticket = ticket(&served).await;
    assert_eq!(ticket.url, format!("{}/#ticket={}", served.url, ticket.ticket));
    let (status, cookie) = open(&served, &ticket.ticket).await;
    let cookie = cookie.unwrap();
    assert_eq!(status, StatusCode::OK);
    for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert_eq!(open(&served, &ticket.ticket).await, (StatusCode::UNAUTHORIZED, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_ticket_of_this_owner_opens_nothing() {
    let served = quiet().await;
    let other = quiet().await;
    let foreign = ticket(&other).await.ticket;
    let own = ticket(&served).await.ticket;
    let altered = own.replacen(|digit: char| digit.is_ascii_digit(), "9", 1);
    // Both owners of these tests have the same token, as one has that was started again: it does not know which tickets of the
    // one before were used.
    let (cut, more, long) = (&own[..own.len() - 1], format!("{own}0"), "9".repeat(10_000));
    for odd in ["", "x", TOKEN, &altered, cut, &more, &long, &foreign] {
        assert_eq!(open(&served, odd).await, (StatusCode::UNAUTHORIZED, None), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_reads_and_changes_only_from_its_own_page() {
    let served = quiet().await;
    let (_, cookie) = open(&served, &ticket(&served).await.ticket).await;
    let cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
    let ask = async |method: Method, headers: &[(&str, &str)]| {
        let url = format!("{}/api/v1/session/tickets", served.url);
        let url = if method == Method::GET { format!("{}/api/v1/runs", served.url) } else { url };
        let request = served.http.request(method, url).header(COOKIE, &cookie);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().await.unwrap().status()
    };
    assert_eq!(ask(Method::GET, &[]).await, StatusCode::OK);
    assert_eq!(ask(Method::GET, &[("sec-fetch-site", "same-site")]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Method::POST, &[]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Method::POST, &[("origin", &served.url)]).await, StatusCode::OK);
    assert_eq!(ask(Method::POST, &[("origin", "http://127.0.0.1:1")]).await, StatusCode::UNAUTHORIZED);
    // A token that is wrong is not made good by a session.
    assert_eq!(ask(Method::GET, &[("authorization", "Bearer wrong")]).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_says_how_long_it_lasts_and_ends_when_asked() {
    let served = quiet().await;
    let (_, cookie) = open(&served, &ticket(&served).await.ticket).await;
    let cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
    let url = format!("{}/api/v1/session", served.url);
    let shown = served.http.get(&url).header(COOKIE, &cookie).send().await.unwrap();
    let shown: Value = shown.json().await.unwrap();
    assert!(shown["expiresAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{shown}");
    let ended =
        served.http.delete(&url).header(COOKIE, &cookie).header("origin", &served.url).send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert!(ended.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let by_token = served.refused(Method::GET, "/api/v1/session", None).await;
    assert_eq!(by_token, (StatusCode::NOT_FOUND, ErrorCode::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_what_a_page_made_of_it_may_do() {
    let served = quiet().await;
    for path in ["/", "/api/v1/health", "/api/v1/nothing", "/elsewhere"] {
        let answer =
            served.http.get(format!("{}{path}", served.url)).bearer_auth(TOKEN).send().await.unwrap();
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        assert_eq!(headers["cross-origin-resource-policy"], "same-origin", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        if path.starts_with("/api/") {
            assert_eq!(headers["cache-control"], "no-store", "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_asset_is_kept_for_good_and_one_that_is_not_there_is_not_answered_with_the_page() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("assets")).unwrap();
    std::fs::write(folder.path().join("index.html"), "the page").unwrap();
    std::fs::write(folder.path().join("assets/a.js"), "1").unwrap();
    let served = Served::serving(suite::Night::begin(json!({"turns": []})).await, Some(folder.path())).await;
    let ask = async |path: &str| {
        let answer = served.http.get(format!("{}{path}", served.url)).send().await.unwrap();
        let kept = answer.headers()["cache-control"].to_str().unwrap().to_owned();
        (answer.status(), kept, answer.text().await.unwrap())
    };
    let forever = "public, max-age=31536000, immutable".to_owned();
    assert_eq!(ask("/assets/a.js").await, (StatusCode::OK, forever, "1".to_owned()));
    let (status, kept, _) = ask("/assets/of-another-version.js").await;
    assert_eq!((status, kept.as_str()), (StatusCode::NOT_FOUND, "no-cache"));
    assert_eq!(ask("/runs/run-1").await, (StatusCode::OK, "no-cache".to_owned(), "the page".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_come_from_a_sandbox_runs_nothing_in_a_browser() {
    let served = quiet().await;
    let script = &b"<script>alert(1)</script>"[..];
    let id = served.night.owner.store.put(script, "text/html").await.unwrap();
    let url = format!("{}/api/v1/artifacts/{id}", served.url);
    let answer = served.http.get(url).bearer_auth(TOKEN).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert_eq!(answer.headers()["content-security-policy"], "sandbox; default-src 'none'");
    assert!(answer.headers()["cache-control"].to_str().unwrap().contains("immutable"));
    assert_eq!(answer.bytes().await.unwrap(), script);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_served_as_it_is_kept() {
    let served = quiet().await;
    let document: Value = get(&served, "/openapi.json").await;
    let kept: Value = serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    assert!(document == kept, "docs/openapi.json is not what is served");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_says_the_version_and_nothing_else() {
    let served = quiet().await;
    let health: Value = get(&served, "/health").await;
    assert_eq!(health, json!({"version": env!("CARGO_PKG_VERSION")}));
}
