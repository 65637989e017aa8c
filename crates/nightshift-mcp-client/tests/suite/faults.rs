use std::time::Duration;

use nightshift_mcp_client::{Answer, CallError, Client, ConnectError, Generation, Patience};
use serde_json::{Map, json};

use crate::server::{Does, PATIENT, SOON, Script, Speaks, connect, connected, result, tool};

const IMPATIENT: Patience = Patience { silence: Duration::from_millis(50), total: Duration::from_secs(5) };

fn never() -> std::future::Pending<()> {
    std::future::pending()
}

fn silent() -> Script {
    Box::new(|_, _, _| Does::Says(Vec::new()))
}

#[tokio::test]
async fn a_server_that_ends_in_the_middle_of_a_call_is_noticed() {
    let (client, _) = connected(Speaks::Initialize, Box::new(|_, _, _| Does::Ends)).await;
    assert_eq!(client.call("x", Map::new(), PATIENT, never(), |_| {}).await, Err(CallError::HungUp));
    // The task that serves it ends a moment later.
    while !client.is_closed() {
        tokio::task::yield_now().await;
    }
    assert_eq!(client.call("x", Map::new(), PATIENT, never(), |_| {}).await, Err(CallError::HungUp));
}

#[tokio::test]
async fn a_server_that_never_answers_is_waited_for_only_so_long() {
    let (client, log) = connected(Speaks::Newest, silent()).await;
    let call = client.call("x", Map::new(), IMPATIENT, never(), |_| {}).await;
    assert_eq!(call, Err(CallError::Silent { after: IMPATIENT.silence }));
    let list = client.tools(IMPATIENT.silence).await;
    assert_eq!(list, Err(CallError::Silent { after: IMPATIENT.silence }));
    assert_eq!(log.lock().unwrap().cancelled.len(), 1);
}

#[tokio::test]
async fn what_is_no_json_or_too_long_is_passed_over_and_the_answer_behind_it_is_heard() {
    let (client, _) = connected(
        Speaks::Newest,
        Box::new(|_, _, id| {
            let answer = json!({"jsonrpc": "2.0", "id": id, "result": {"content": []}}).to_string();
            Does::Says(vec![
                "Server ready!".to_owned(),
                "{\"jsonrpc\":".to_owned(),
                "x".repeat(9 << 20),
                answer,
            ])
        }),
    )
    .await;
    let answer = client.call("x", Map::new(), PATIENT, never(), |_| {}).await;
    assert_eq!(answer, Ok(Answer { parts: Vec::new(), failed: false }));
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_no_answer() {
    let (client, _) = connected(
        Speaks::Newest,
        Box::new(|_, _, id| result(id, json!({"content": [{"type": "text", "text": "x".repeat(9 << 20)}]}))),
    )
    .await;
    let call = client
        .call("x", Map::new(), Patience { silence: Duration::from_secs(3), ..PATIENT }, never(), |_| {})
        .await;
    assert_eq!(call, Err(CallError::Silent { after: Duration::from_secs(3) }));
}

#[tokio::test]
async fn of_ten_million_tools_only_so_many_are_looked_at() {
    let (client, log) = connected(
        Speaks::Newest,
        Box::new(|_, _, id| {
            let page: Vec<_> = (0..300).map(|number| tool(&format!("t{number}"))).collect();
            result(id, json!({"tools": page, "nextCursor": "more"}))
        }),
    )
    .await;
    assert_eq!(client.tools(SOON).await.unwrap().len(), 500);
    let asked = log.lock().unwrap().methods.iter().filter(|method| *method == "tools/list").count();
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn of_a_huge_tool_no_more_is_kept_than_could_be_offered() {
    let (client, _) = connected(
        Speaks::Initialize,
        Box::new(|_, _, id| {
            let mut huge = tool("t");
            huge["description"] = "x".repeat(2 << 20).into();
            huge["inputSchema"]["properties"] = json!({"a": {"description": "x".repeat(1 << 20)}});
            result(id, json!({"tools": [huge]}))
        }),
    )
    .await;
    let tools = client.tools(SOON).await.unwrap();
    assert_eq!(tools[0].description.chars().count(), 1_001);
    assert!(tools[0].schema.as_ref().unwrap().to_string().len() < 1_200);
}

#[tokio::test]
async fn an_answer_of_a_million_small_things_is_not_unfolded() {
    let (client, _) = connected(
        Speaks::Newest,
        Box::new(|_, _, id| result(id, json!({"content": [], "structuredContent": vec![0; 1_000_000]}))),
    )
    .await;
    // It was carried out, perhaps: that is no refusal.
    assert_eq!(client.call("x", Map::new(), PATIENT, never(), |_| {}).await, Err(CallError::Odd));
}

#[tokio::test]
async fn a_slow_server_of_the_newest_generation_alone_is_waited_for() {
    let (client, log) = connect(Speaks::Newest, silent(), Generation::NewestOnly, SOON).await;
    assert_eq!(client.unwrap().server().protocol, "2026-07-28");
    assert_eq!(log.lock().unwrap().methods, ["server/discover"]);
}

#[tokio::test]
async fn answers_that_are_none_are_odd() {
    let odd = |answer: serde_json::Value| async move {
        let (client, _) =
            connected(Speaks::Newest, Box::new(move |_, _, id| result(id, answer.clone()))).await;
        client.call("x", Map::new(), PATIENT, never(), |_| {}).await.unwrap_err()
    };
    assert_eq!(odd(json!({"tools": []})).await, CallError::Odd);
    let wants = json!({"resultType": "input_required", "inputRequests": {}, "requestState": "s"});
    assert_eq!(odd(wants).await, CallError::Wants { what: "an answer of a person" });
}

#[tokio::test]
async fn a_flood_ends_the_conversation_and_is_named() {
    let (client, _) =
        connected(Speaks::Newest, Box::new(|_, _, _| Does::Says(vec!["{}".to_owned(); 100_200]))).await;
    assert_eq!(client.call("x", Map::new(), PATIENT, never(), |_| {}).await, Err(CallError::Flooded));
}

#[tokio::test]
async fn a_program_that_is_no_server_is_told_by_what_it_writes() {
    let (ours, mut theirs) = tokio::io::duplex(1 << 16);
    tokio::io::AsyncWriteExt::write_all(&mut theirs, b"usage: server [--port PORT]\n").await.unwrap();
    drop(theirs);
    let error = Client::connect(ours, Generation::Newest, SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "it ended before it answered; it wrote: usage: server [--port PORT]");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_says_nothing_is_given_up() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let error = Client::connect(ours, Generation::Newest, Duration::from_secs(30)).await.unwrap_err();
    assert_eq!(error.to_string(), "it did not answer within 30 s");
    drop(theirs);
}

#[tokio::test]
async fn a_server_that_refuses_both_generations_is_odd() {
    // One that knows the newest only, asked for the older.
    let (refused, _) = connect(Speaks::Newest, silent(), Generation::Initialize, SOON).await;
    assert_eq!(refused.unwrap_err(), ConnectError::Odd { what: "Method not found (-32601)".to_owned() });
}
