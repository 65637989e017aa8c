use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nightshift_mcp_client::{Answer, CallError, Client, ConnectError, Dial, Generation, Part, system_trust};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, json};
use tokio::net::TcpListener;

use crate::http_server::{
    Asked, Does, EVENTS, Server, To, answer, endpoint, event, json_answer, streamed, words,
};
use crate::server::{PATIENT, SOON, Speaks};

fn never() -> std::future::Pending<()> {
    std::future::pending()
}

fn said(text: &str) -> Result<Answer, CallError> {
    Ok(Answer { parts: vec![Part::Text(text.to_owned())], failed: false })
}

async fn call(client: &Client) -> Result<Answer, CallError> {
    client.call("echo", Map::new(), PATIENT, never(), |_| {}).await
}

fn is_call(asked: &Asked) -> bool {
    asked.what() == "tools/call"
}

#[tokio::test]
async fn both_generations_are_spoken_over_http_and_sessions_end_with_the_client() {
    for (speaks, protocol) in [(Speaks::Newest, "2026-07-28"), (Speaks::Initialize, "2025-11-25")] {
        let mut calls = 0;
        let server = Server::start(
            speaks,
            Box::new(move |asked| {
                is_call(asked).then(|| {
                    calls += 1;
                    let answer = words(&asked.body["id"], &format!("call {calls}"));
                    match calls {
                        1 => json_answer(&asked.body["id"], answer["result"].clone()),
                        _ => streamed([event(&answer)]),
                    }
                })
            }),
        )
        .await;
        let client = server.reached().await;
        assert_eq!(client.server().protocol, protocol);
        let tools = client.tools(SOON).await.unwrap();
        assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["echo"]);
        assert_eq!((call(&client).await, call(&client).await), (said("call 1"), said("call 2")));
        let begins: &[&str] = match speaks {
            Speaks::Newest => &["server/discover"],
            Speaks::Initialize => &["server/discover", "initialize", "notifications/initialized"],
        };
        let all = [begins, &["tools/list", "tools/call", "tools/call"]].concat();
        assert_eq!(server.whats(), all);
        drop(client);
        if speaks == Speaks::Initialize {
            server.until("the session's end", |server| server.whats().contains(&"DELETE".to_owned())).await;
        }
        assert_eq!(server.breaches(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn progress_and_comments_in_a_stream_of_events_are_told_and_passed_over() {
    let server = Server::start(
        Speaks::Initialize,
        Box::new(|asked| {
            is_call(asked).then(|| {
                let token = &asked.body["params"]["_meta"]["progressToken"];
                let params = json!({"progressToken": token, "progress": 1, "message": "half way"});
                let progress =
                    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
                let unasked = json!({"jsonrpc": "2.0", "id": 99, "result": {}});
                let before = [
                    EVENTS.to_vec(),
                    b": still here\n\n".to_vec(),
                    b"event: ping\ndata: {}\n\n".to_vec(),
                    event(&progress),
                    event(&unasked),
                    b"data: no json\n\n".to_vec(),
                ];
                let answer = event(&words(&asked.body["id"], "done"));
                vec![
                    Does::Sends(before.concat()),
                    Does::Waits(Duration::from_millis(100)),
                    Does::Sends(answer),
                ]
            })
        }),
    )
    .await;
    let client = server.reached().await;
    let heard = Mutex::new(Vec::new());
    let told = |words: &str| heard.lock().unwrap().push(words.to_owned());
    assert_eq!(client.call("echo", Map::new(), PATIENT, never(), told).await, said("done"));
    assert_eq!(*heard.lock().unwrap(), ["half way"]);
}

#[tokio::test]
async fn an_answer_that_drips_is_heard_when_it_is_whole() {
    let server = Server::start(
        Speaks::Newest,
        Box::new(|asked| {
            is_call(asked).then(|| {
                let bytes = [EVENTS, &event(&words(&asked.body["id"], "slowly"))].concat();
                let drops = bytes
                    .chunks(3)
                    .flat_map(|drop| [Does::Sends(drop.to_vec()), Does::Waits(Duration::from_millis(2))]);
                drops.collect()
            })
        }),
    )
    .await;
    assert_eq!(call(&server.reached().await).await, said("slowly"));
    assert_eq!(server.calls(), 1);
}

#[tokio::test]
async fn a_session_that_is_gone_is_begun_anew_once_and_the_call_that_was_not_taken_is_made_in_it() {
    let mut forgot = false;
    let server = Server::start(
        Speaks::Initialize,
        Box::new(move |asked| match asked.what().as_str() {
            "tools/call" if !std::mem::replace(&mut forgot, true) => Some(answer("404 Not Found", "", "")),
            "tools/call" => Some(streamed([event(&words(&asked.body["id"], "in the second"))])),
            _ => None,
        }),
    )
    .await;
    let client = server.reached().await;
    assert_eq!(client.sessions(), 1);
    assert_eq!(call(&client).await, said("in the second"));
    assert_eq!(client.sessions(), 2);
    let whats = server.whats();
    let after = whats.iter().skip_while(|what| *what != "tools/call").map(String::as_str).collect::<Vec<_>>();
    assert_eq!(after, ["tools/call", "initialize", "notifications/initialized", "tools/call"]);
    let last = server.asked().last().unwrap().clone();
    assert!(server.is_in_session(&last), "{last:?}");
    assert_eq!(server.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_session_that_is_gone_again_and_again_is_given_up() {
    let server = Server::start(
        Speaks::Initialize,
        Box::new(|asked| is_call(asked).then(|| answer("404 Not Found", "", ""))),
    )
    .await;
    let client = server.reached().await;
    let why = "it does not know the session that it had begun".to_owned();
    assert_eq!(call(&client).await, Err(CallError::NotReached { why }));
    assert_eq!((server.calls(), client.sessions()), (2, 2));
}

#[tokio::test]
async fn a_server_that_has_moved_within_its_origin_is_followed_and_asked_there_from_then_on() {
    let server = Server::start(
        Speaks::Newest,
        Box::new(|asked| {
            (asked.path == "/mcp").then(|| answer("307 Temporary Redirect", "Location: /mcp/\r\n", ""))
        }),
    )
    .await;
    let client = server.reached().await;
    client.tools(SOON).await.unwrap();
    let paths: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/mcp", "/mcp/", "/mcp/"]);
}

#[tokio::test]
async fn a_stream_that_was_cut_is_taken_up_where_it_was_without_asking_again() {
    let mut id = json!(null);
    let server = Server::start(
        Speaks::Initialize,
        Box::new(move |asked| match asked.what().as_str() {
            "tools/call" => {
                id = asked.body["id"].clone();
                Some(streamed([b"id: 7\nretry: 10\ndata:\n\n".to_vec()]))
            }
            "GET" => Some(streamed([event(&words(&id, "taken up"))])),
            _ => None,
        }),
    )
    .await;
    let client = server.reached().await;
    assert_eq!(call(&client).await, said("taken up"));
    let taken_up = server.asked().into_iter().find(|asked| asked.method == "GET").unwrap();
    assert_eq!(taken_up.fields["last-event-id"], "7");
    assert_eq!((server.calls(), server.breaches()), (1, Vec::<String>::new()));
}

/// A server's certificate for `mcp.test`, its key, and the authority that both are of.
fn certificate(folder: &std::path::Path) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 \
        -subj /CN=mcp.test -addext subjectAltName=DNS:mcp.test -addext basicConstraints=critical,CA:FALSE";
    let made =
        Command::new("openssl").current_dir(folder).args(arguments.split_whitespace()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let certificate = CertificateDer::from_pem_file(folder.join("cert.pem")).unwrap();
    (certificate, PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap())
}

#[tokio::test]
async fn a_server_by_https_is_spoken_with_when_its_certificate_is_trusted_and_told_nothing_when_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = certificate(folder.path());
    let provider = || Arc::new(ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let (server, listener) = (
        Server::start(Speaks::Newest, Box::new(|_| None)).await,
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    );
    let dial: Arc<dyn Dial> = Arc::new(To(listener.local_addr().unwrap()));
    let (serving, acceptor) = (server.clone(), tokio_rustls::TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serving.clone().serve(stream));
            }
        }
    });
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let trust = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let trust = Arc::new(trust.with_root_certificates(roots).with_no_client_auth());
    let reach =
        |url: &str, trust| Client::reach(endpoint(url), Arc::clone(&dial), trust, Generation::Newest, SOON);
    for (url, trust) in
        [("https://mcp.test/mcp", system_trust().unwrap()), ("https://other.test/mcp", Arc::clone(&trust))]
    {
        let refused = reach(url, trust).await.unwrap_err();
        assert!(
            matches!(&refused, ConnectError::NotReached { why } if why.starts_with("no TLS with it: ")),
            "{refused}"
        );
        assert_eq!(server.whats(), Vec::<String>::new());
    }
    let client = reach("https://mcp.test/mcp", trust).await.unwrap();
    assert_eq!(client.tools(SOON).await.unwrap().len(), 1);
    assert_eq!(server.breaches(), Vec::<String>::new());
}
