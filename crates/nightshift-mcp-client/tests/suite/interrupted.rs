//! Calls that nobody waits for any more, and whether their server still answers.

use std::time::Duration;

use nightshift_mcp_client::CallError;
use serde_json::{Map, Value};

use crate::http_server::{Does, EVENTS, Server};
use crate::server::{self, PATIENT, SOON, Speaks};

#[tokio::test]
async fn a_call_over_http_that_is_interrupted_is_called_off_in_either_generation() {
    for (speaks, streams) in [
        (Speaks::Newest, false),
        (Speaks::Newest, true),
        (Speaks::Initialize, false),
        (Speaks::Initialize, true),
    ] {
        let server = Server::start(
            speaks,
            Box::new(move |asked| {
                let begins = streams.then(|| Does::Sends(EVENTS.to_vec()));
                (asked.what() == "tools/call").then(|| begins.into_iter().chain([Does::Holds]).collect())
            }),
        )
        .await;
        let client = server.reached().await;
        let called = server.until("the call", |server| server.calls() == 1);
        assert_eq!(
            client.call("echo", Map::new(), PATIENT, called, |_| {}).await,
            Err(CallError::Interrupted)
        );
        match speaks {
            Speaks::Newest => server.until("it was hung up on", |server| server.hung_up() == 1).await,
            Speaks::Initialize => {
                let told = |server: &Server| server.whats().contains(&"notifications/cancelled".to_owned());
                server.until("it is called off", told).await;
            }
        }
        assert_eq!(server.breaches(), Vec::<String>::new(), "{streams}");
    }
}

#[tokio::test]
async fn a_server_is_asked_whether_it_still_answers_by_what_its_generation_has() {
    for (speaks, question) in [(Speaks::Newest, "server/discover"), (Speaks::Initialize, "ping")] {
        let (client, log) =
            server::connected(speaks, Box::new(|_, _, id| server::error(id, -32601, "no"))).await;
        assert!(client.answers(SOON).await);
        let heard = log.lock().unwrap();
        assert_eq!((heard.methods.last().map(String::as_str), heard.breaches.len()), (Some(question), 0));
    }
}

#[tokio::test]
async fn a_server_that_reads_nothing_any_more_does_not_answer() {
    let silent: server::Script = Box::new(|_: &str, _: &Value, _: &Value| server::Does::Says(Vec::new()));
    let (client, _) = server::connected(Speaks::Initialize, silent).await;
    assert!(!client.answers(Duration::from_millis(50)).await);
    let (client, _) = server::connected(Speaks::Initialize, Box::new(|_, _, _| server::Does::Ends)).await;
    assert!(!client.answers(SOON).await);
}
