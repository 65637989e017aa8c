use std::sync::Mutex;
use std::time::Duration;

use nightshift_mcp_client::{Answer, CallError, Part, Patience};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::server::{Does, PATIENT, SOON, Speaks, connected, error, result, tool};

fn never() -> std::future::Pending<()> {
    std::future::pending()
}

fn words(text: &str) -> Answer {
    Answer { parts: vec![Part::Text(text.to_owned())], failed: false }
}

#[tokio::test]
async fn both_generations_list_their_tools_and_answer_calls() {
    for (speaks, protocol) in [(Speaks::Newest, "2026-07-28"), (Speaks::Initialize, "2025-11-25")] {
        let (client, log) = connected(
            speaks,
            Box::new(|method, params, id| match method {
                "tools/list" => result(id, json!({"tools": [tool("echo")]})),
                "tools/call" => {
                    let said = format!("{} {}", params["name"].as_str().unwrap(), params["arguments"]["say"]);
                    result(id, json!({"content": [{"type": "text", "text": said}]}))
                }
                other => error(id, -32601, other),
            }),
        )
        .await;
        let server = client.server();
        assert_eq!((server.itself.as_deref(), server.protocol.as_str()), (Some("scripted 1"), protocol));
        let tools = client.tools(SOON).await.unwrap();
        assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["echo"]);
        let arguments = json!({"say": "hello"}).as_object().unwrap().clone();
        assert_eq!(
            client.call("echo", arguments, PATIENT, never(), |_| {}).await,
            Ok(words("echo \"hello\""))
        );
        let heard = log.lock().unwrap();
        assert_eq!(heard.breaches, Vec::<String>::new());
        let begins: &[&str] = match speaks {
            Speaks::Newest => &["server/discover"],
            Speaks::Initialize => &["server/discover", "initialize", "notifications/initialized"],
        };
        assert_eq!(heard.methods, [begins, &["tools/list", "tools/call"]].concat());
    }
}

#[tokio::test]
async fn hints_are_read_as_the_protocol_has_them_where_nothing_is_said() {
    let hinted = json!({"readOnlyHint": true, "idempotentHint": true, "openWorldHint": false});
    let (client, _) = connected(
        Speaks::Initialize,
        Box::new(move |_, _, id| {
            let mut looks = tool("look");
            looks["annotations"] = hinted.clone();
            result(id, json!({"tools": [looks, tool("write")]}))
        }),
    )
    .await;
    let tools = client.tools(SOON).await.unwrap();
    let hints: Vec<_> = tools.iter().map(|tool| (tool.read_only, tool.idempotent, tool.open_world)).collect();
    assert_eq!(hints, [(true, true, false), (false, false, true)]);
}

#[tokio::test]
async fn tools_are_listed_page_by_page() {
    let (client, _) = connected(
        Speaks::Newest,
        Box::new(|_, params, id| {
            let page: usize = params["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
            let next = (page < 2).then(|| (page + 1).to_string());
            result(id, json!({"tools": [tool(&format!("t{page}"))], "nextCursor": next}))
        }),
    )
    .await;
    let names: Vec<String> = client.tools(SOON).await.unwrap().into_iter().map(|tool| tool.name).collect();
    assert_eq!(names, ["t0", "t1", "t2"]);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let (client, _) =
        connected(Speaks::Newest, Box::new(|_, _, id| error(id, -32602, "No table\u{1b}[2J named x."))).await;
    let refused = client.call("query", Map::new(), PATIENT, never(), |_| {}).await;
    assert_eq!(refused, Err(CallError::Refused { code: -32602, message: "No table[2J named x.".to_owned() }));
}

#[tokio::test]
async fn who_interrupts_a_call_tells_the_server_and_the_next_call_is_answered() {
    let mut first = None;
    let (client, log) = connected(
        Speaks::Initialize,
        Box::new(move |_, _, id| match first.replace(id.clone()) {
            None => Does::Says(Vec::new()),
            Some(late) => Does::Says(vec![
                json!({"jsonrpc": "2.0", "id": late, "result": {"content": [{"type": "text", "text": "late"}]}}).to_string(),
                json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "now"}]}}).to_string(),
            ]),
        }),
    )
    .await;
    let soon = tokio::time::sleep(Duration::from_millis(30));
    assert_eq!(client.call("slow", Map::new(), PATIENT, soon, |_| {}).await, Err(CallError::Interrupted));
    assert_eq!(client.call("quick", Map::new(), PATIENT, never(), |_| {}).await, Ok(words("now")));
    assert_eq!(log.lock().unwrap().cancelled.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn progress_lengthens_the_wait_up_to_its_whole_length() {
    // The server's own time is the test's: it says something whenever it is asked for anything.
    let progress = |token: &Value| {
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1, "message": "half\nway"}})
            .to_string()
    };
    let mut token = Value::Null;
    let (client, _) = connected(
        Speaks::Newest,
        Box::new(move |method, params, _| {
            if method == "tools/call" {
                token = params["_meta"]["progressToken"].clone();
            }
            Does::Says(if method == "tools/list" { vec![progress(&token)] } else { Vec::new() })
        }),
    )
    .await;
    let patience = Patience { silence: Duration::from_secs(10), total: Duration::from_secs(25) };
    let began = Instant::now();
    let stays_silent = client.call("slow", Map::new(), patience, never(), |_| {}).await;
    assert_eq!(stays_silent, Err(CallError::Silent { after: Duration::from_secs(10) }));
    assert_eq!(began.elapsed().as_secs(), 10);
    let heard = Mutex::new(Vec::new());
    let told = |words: &str| heard.lock().unwrap().push(words.to_owned());
    let began = Instant::now();
    let nudges = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(6)).await;
            let _no_list = client.tools(Duration::from_millis(1)).await;
        }
    };
    let (goes_on, ()) = tokio::join!(client.call("slow", Map::new(), patience, never(), told), nudges);
    assert_eq!(goes_on, Err(CallError::Silent { after: Duration::from_secs(25) }));
    assert!(began.elapsed().as_secs() >= 25);
    assert_eq!(heard.lock().unwrap().first().map(String::as_str), Some("half way"));
}

#[tokio::test(start_paused = true)]
async fn progress_of_one_call_lengthens_the_wait_for_no_other() {
    let progress = |token: &Value| {
        json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}).to_string()
    };
    // The first call is the one that is told of, whatever is asked.
    let mut first = Value::Null;
    let (client, _) = connected(
        Speaks::Newest,
        Box::new(move |method, params, _| {
            if method == "tools/call" && first.is_null() {
                first = params["_meta"]["progressToken"].clone();
            }
            Does::Says(if method == "tools/list" { vec![progress(&first)] } else { Vec::new() })
        }),
    )
    .await;
    let patience = Patience { silence: Duration::from_secs(10), total: Duration::from_secs(25) };
    let nudges = async {
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(6)).await;
            let _no_list = client.tools(Duration::from_millis(1)).await;
        }
    };
    let second = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.call("slow", Map::new(), patience, never(), |_| {}).await
    };
    let (first, second, ()) =
        tokio::join!(client.call("slow", Map::new(), patience, never(), |_| {}), second, nudges);
    assert_eq!(first, Err(CallError::Silent { after: Duration::from_secs(25) }));
    assert_eq!(second, Err(CallError::Silent { after: Duration::from_secs(10) }));
}
