use std::time::Duration;

use nightshift_mcp_client::{Answer, CallError, Client, ConnectError, Generation, Patience};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use crate::http_server::{Asked, Does, EVENTS, Script, Server, answer, event, json_answer, streamed, words};
use crate::server::{PATIENT, SOON, Speaks};

fn never() -> std::future::Pending<()> {
    std::future::pending()
}

async fn call(client: &Client) -> Result<Answer, CallError> {
    client.call("echo", Map::new(), PATIENT, never(), |_| {}).await
}

fn on_call(mut does: impl FnMut(&Value) -> Vec<Does> + Send + 'static) -> Script {
    Box::new(move |asked: &Asked| (asked.what() == "tools/call").then(|| does(&asked.body["id"])))
}

/// What comes of one call where the server does that about it, and how often it was called.
async fn one(speaks: Speaks, does: impl FnMut(&Value) -> Vec<Does> + Send + 'static) -> (String, usize) {
    let server = Server::start(speaks, on_call(does)).await;
    let client = server.reached().await;
    let refused = call(&client).await.unwrap_err();
    assert_eq!(server.breaches(), Vec::<String>::new());
    (refused.to_string(), server.calls())
}

fn lost(why: &str) -> (String, usize) {
    (format!("the server's answer is lost: {why}"), 1)
}

#[tokio::test]
async fn a_call_whose_connection_is_cut_anywhere_is_lost_and_not_made_again() {
    let whole = "the connection ended before the answer was whole";
    for speaks in [Speaks::Newest, Speaks::Initialize] {
        let (before, times) = one(speaks, |_| Vec::new()).await;
        assert!(
            before.starts_with("the server's answer is lost: the connection ended before the answer came: "),
            "{before}"
        );
        assert_eq!(times, 1);
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"jsonrpc\"";
        let (in_the_middle, times) = one(speaks, |_| vec![Does::Sends(head.to_vec())]).await;
        assert!(in_the_middle.contains("the connection ended before the answer came"), "{in_the_middle}");
        assert_eq!(times, 1);
        assert_eq!(one(speaks, |_| streamed([])).await, lost(whole));
        assert_eq!(one(speaks, |id| streamed([event(&words(id, "x"))[..20].to_vec()])).await, lost(whole));
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_and_the_call_is_not_made_again() {
    let page = |id: &Value| answer("200 OK", "Content-Type: text/html\r\n", &words(id, "x").to_string());
    let kind = "it answered with text/html and not with JSON or a stream of events";
    assert_eq!(one(Speaks::Newest, page).await, lost(kind));
    let nothing = |_: &Value| answer("202 Accepted", "", "");
    assert_eq!(one(Speaks::Newest, nothing).await, lost("it took the request and answers nothing"));
    let broken = |_: &Value| {
        answer("500 Internal Server Error", "Content-Type: text/plain\r\n", "no\n\u{1b}[2Jdatabase")
    };
    assert_eq!(one(Speaks::Initialize, broken).await, lost("it answered HTTP 500: no [2Jdatabase"));
    let busy = |_: &Value| answer("429 Too Many Requests", "Retry-After: 1\r\n", "<html>busy</html>");
    assert_eq!(one(Speaks::Initialize, busy).await, lost("it answered HTTP 429"));
    let odd = "the server's answer is not what the protocol has".to_owned();
    for body in ["{}", "no json", "[]", r#"{"jsonrpc":"2.0","id":77,"result":{}}"#] {
        let does = move |_: &Value| answer("200 OK", "Content-Type: application/json\r\n", body);
        assert_eq!(one(Speaks::Newest, does).await, (odd.clone(), 1), "{body}");
    }
}

#[tokio::test]
async fn a_refusal_in_the_protocols_words_is_one_by_whatever_status_it_comes() {
    for status in ["200 OK", "400 Bad Request", "500 Internal Server Error"] {
        let does = move |id: &Value| {
            let error = json!({"code": -32602, "message": "No such table."});
            let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
            answer(status, "Content-Type: application/json\r\n", &body)
        };
        let refused = "the server refused it: No such table. (-32602)".to_owned();
        assert_eq!(one(Speaks::Initialize, does).await, (refused, 1), "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_lost_and_not_kept() {
    let long = |id: &Value| words(id, &"x".repeat(5 << 20));
    let does = move |id: &Value| json_answer(id, long(id)["result"].clone());
    assert_eq!(one(Speaks::Newest, does).await, lost("its answer is longer than 4 MiB"));
    let does = move |id: &Value| streamed([event(&long(id))]);
    assert_eq!(one(Speaks::Newest, does).await, lost("its answer is longer than 4 MiB"));
    // One that never ends is hung up on.
    let endless = |_: &Value| {
        let comments = b": still here\n".repeat(80_000);
        let all = std::iter::once(Does::Sends(EVENTS.to_vec()));
        all.chain((0..1_000).map(|_| Does::Sends(comments.clone()))).collect()
    };
    assert_eq!(one(Speaks::Newest, endless).await, lost("its answer is longer than 4 MiB"));
}

#[tokio::test]
async fn a_redirect_to_anywhere_else_is_not_followed_and_nobody_there_is_spoken_to() {
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let private = format!("http://127.0.0.1:{}/mcp", inner.local_addr().unwrap().port());
    for (status, to) in [
        ("307 Temporary Redirect", private.as_str()),
        ("308 Permanent Redirect", "http://169.254.169.254/latest"),
        ("302 Found", "http://10.0.0.1/"),
        ("307 Temporary Redirect", "https://mcp.test/mcp"),
        ("302 Found", "http://mcp.test/login"),
    ] {
        let location = format!("Location: {to}\r\n");
        let does = move |_: &Value| answer(status, &location, "");
        let refused =
            format!("the server was not reached: it redirects to {to}, which .mcp.json does not name");
        assert_eq!(one(Speaks::Newest, does).await, (refused, 1));
    }
    let accepted = tokio::time::timeout(Duration::from_millis(20), inner.accept()).await;
    assert!(accepted.is_err(), "somebody came");
    let round = |_: &Value| answer("307 Temporary Redirect", "Location: /mcp\r\n", "");
    let refused = "the server was not reached: it redirects more than 3 times".to_owned();
    let server = Server::start(Speaks::Newest, on_call(round)).await;
    let client = server.reached().await;
    assert_eq!(call(&client).await.unwrap_err().to_string(), refused);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_that_nobody_is_there_to_sign_in() {
    let challenge = "WWW-Authenticate: Bearer resource_metadata=\"https://mcp.test/x\"\r\n";
    let server = Server::start(
        Speaks::Newest,
        Box::new(move |_| Some(answer("401 Unauthorized", challenge, "invalid_token"))),
    )
    .await;
    for generation in [Generation::Newest, Generation::Initialize] {
        let refused = server.reach(generation).await.unwrap_err();
        assert_eq!(
            refused.to_string(),
            "it does not begin as the protocol has it: it does not let this client in (HTTP 401: invalid_token): give it a \
             key in headers, nobody is there to sign in"
        );
    }
}

#[tokio::test]
async fn a_server_that_nobody_reaches_is_told_with_the_reason() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(Speaks::Newest, Box::new(|_| None)).await;
    let client = server.reached().await;
    let mut nowhere = server.clone();
    nowhere.at = gone.local_addr().unwrap();
    drop(gone);
    let refused = nowhere.reach(Generation::Newest).await.unwrap_err();
    assert!(matches!(&refused, ConnectError::NotReached { why } if why.contains("refused")), "{refused}");
    drop(client);
}

#[tokio::test]
async fn a_server_that_answers_the_beginning_with_a_page_is_odd() {
    let server = Server::start(
        Speaks::Newest,
        Box::new(|_| Some(answer("404 Not Found", "Content-Type: text/html\r\n", "<h1>Not here</h1>"))),
    )
    .await;
    let refused = server.reach(Generation::Newest).await.unwrap_err();
    assert_eq!(refused, ConnectError::Odd { what: "it answered HTTP 404".to_owned() });
}

#[tokio::test]
async fn a_session_that_ends_with_an_answer_under_way_loses_the_call_and_does_not_repeat_it() {
    let server = Server::start(
        Speaks::Initialize,
        Box::new(|asked| match asked.what().as_str() {
            "tools/call" => Some(streamed([b"id: 1\nretry: 1\ndata:\n\n".to_vec()])),
            "GET" => Some(answer("404 Not Found", "", "")),
            _ => None,
        }),
    )
    .await;
    let client = server.reached().await;
    let refused = call(&client).await.unwrap_err();
    let why = "the connection ended before the answer came: it was not taken up again: HTTP 404".to_owned();
    assert_eq!(refused, CallError::Lost { why });
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_server_that_lets_its_stream_be_taken_up_for_ever_is_hung_up_on() {
    let server = Server::start(
        Speaks::Initialize,
        Box::new(|asked| match asked.what().as_str() {
            "tools/call" | "GET" => Some(streamed([b"id: 1\nretry: 1\ndata:\n\n".to_vec()])),
            _ => None,
        }),
    )
    .await;
    let client = server.reached().await;
    assert_eq!(call(&client).await, Err(CallError::Flooded));
    let taken_up = server.whats().iter().filter(|what| *what == "GET").count();
    assert!((90..=101).contains(&taken_up), "{taken_up}");
    assert!(client.is_closed());
}

#[tokio::test]
async fn a_flood_of_events_ends_the_conversation_and_is_named() {
    let server = Server::start(
        Speaks::Newest,
        on_call(|_| {
            let unasked = b"data: {}\n\n".repeat(10_000);
            let all = std::iter::once(Does::Sends(EVENTS.to_vec()));
            all.chain((0..100).map(|_| Does::Sends(unasked.clone()))).collect()
        }),
    )
    .await;
    let client = server.reached().await;
    assert_eq!(call(&client).await, Err(CallError::Flooded));
    assert_eq!(call(&client).await, Err(CallError::Flooded));
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn lists_of_tools_that_have_no_end_are_given_up() {
    for streams in [false, true] {
        let server = Server::start(
            Speaks::Newest,
            Box::new(move |asked| {
                (asked.what() == "tools/list").then(|| {
                    let mut huge = crate::server::tool("t");
                    huge["description"] = "x".repeat(3 << 20).into();
                    let result = json!({"tools": [huge], "nextCursor": "more"});
                    let id = &asked.body["id"];
                    match streams {
                        true => streamed([event(&json!({"jsonrpc": "2.0", "id": id, "result": result}))]),
                        false => json_answer(id, result),
                    }
                })
            }),
        )
        .await;
        let client = server.reached().await;
        assert!(client.tools(SOON).await.is_err());
        let asked = server.whats().iter().filter(|what| *what == "tools/list").count();
        assert_eq!(asked, 3, "{streams}");
    }
}

#[tokio::test]
async fn an_answer_that_drips_for_ever_is_waited_for_only_so_long() {
    let server = Server::start(
        Speaks::Newest,
        on_call(|_| {
            let mut all = vec![Does::Sends(EVENTS.to_vec())];
            for _ in 0..10_000 {
                all.extend([Does::Sends(b":\n".to_vec()), Does::Waits(Duration::from_millis(5))]);
            }
            all
        }),
    )
    .await;
    let client = server.reached().await;
    let patience = Patience { silence: Duration::from_millis(150), total: SOON };
    let refused = client.call("echo", Map::new(), patience, never(), |_| {}).await;
    assert_eq!(refused, Err(CallError::Silent { after: patience.silence }));
    server.until("it was hung up on", |server| server.hung_up() == 1).await;
}
