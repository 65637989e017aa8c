//! Nightshift for other agents: a real client of the Model Context Protocol, the server, the owner's HTTP API, runs.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use nightshift_mcp::{Merging, Nightshift, Owner, Settings};
use nightshift_protocol::{ErrorCode, Event, RunState, UserError};
use reqwest::Method;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientRequest, ProgressNotificationParam, ProtocolVersion,
    Request, ServerResult,
};
use rmcp::service::{NotificationContext, PeerRequestOptions, RunningService};
use rmcp::{ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Value, json};
use suite::{WITHIN, evidence, finish, shell};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::served::{Served, TOKEN};

/// Asks the served API as the command line does.
struct Asking {
    url: String,
    http: reqwest::Client,
}

impl Asking {
    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Vec<u8>, UserError> {
        let request = self.http.request(method, format!("{}/api/v1{path}", self.url)).bearer_auth(TOKEN);
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let good = response.status().is_success();
        let bytes = response.bytes().await.unwrap().to_vec();
        if good { Ok(bytes) } else { Err(serde_json::from_slice(&bytes).unwrap()) }
    }
}

#[async_trait]
impl Owner for Asking {
    async fn get(&self, path: &str) -> Result<Vec<u8>, UserError> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    async fn post(&self, path: &str, body: Value) -> Result<Vec<u8>, UserError> {
        self.ask(Method::POST, path, body.to_string().into_bytes()).await
    }

    async fn put(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>, UserError> {
        self.ask(Method::PUT, path, body).await
    }

    async fn delete(&self, path: &str) -> Result<Vec<u8>, UserError> {
        self.ask(Method::DELETE, path, Vec::new()).await
    }

    /// One event at a time, so that streams that end are met too.
    async fn follow(&self, run: &str, after: u64) -> Result<mpsc::Receiver<Event>, UserError> {
        let (say, events) = mpsc::channel(1);
        let page = self.get(&format!("/runs/{run}/events?after={after}&limit=1")).await?;
        let page: Vec<Event> = serde_json::from_slice(&page)
            .map_err(|error| UserError::new(ErrorCode::Internal, error.to_string(), ""))?;
        for event in page {
            say.send(event).await.unwrap();
        }
        Ok(events)
    }
}

/// A client that writes down the progress it is told.
#[derive(Clone, Default)]
struct Listening(Arc<Mutex<Vec<String>>>);

impl ClientHandler for Listening {
    async fn on_progress(&self, progress: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        self.0.lock().unwrap().extend(progress.message);
    }
}

struct Connected {
    client: RunningService<RoleClient, Listening>,
    heard: Listening,
    serving: JoinHandle<()>,
}

/// The two generations: without `initialize`, and with it.
fn generations() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [ClientLifecycleMode::Discover { preferred_versions }, ClientLifecycleMode::Initialize]
}

impl Connected {
    async fn to(served: &Served, merging: Merging, generation: ClientLifecycleMode) -> Self {
        let owner = Asking { url: served.url.clone(), http: served.http.clone() };
        let settings = Settings { folder: Some(served.night.repository()), merging };
        let server = Nightshift::new(Arc::new(owner), settings);
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let serving = tokio::spawn(async move { nightshift_mcp::serve_on(server, theirs).await.unwrap() });
        let heard = Listening::default();
        let client = heard.clone().serve_with_lifecycle(ours, generation).await.unwrap();
        Self { client, heard, serving }
    }

    async fn raw(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        let arguments = arguments.as_object().unwrap().clone();
        let call = CallToolRequestParams::new(tool).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(Request::new(call));
        let handle =
            self.client.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap();
        let answered = tokio::time::timeout(WITHIN, handle.await_response()).await.unwrap();
        match answered.unwrap() {
            ServerResult::CallToolResult(result) => result,
            other => panic!("{other:?}"),
        }
    }

    async fn call(&self, tool: &'static str, arguments: Value) -> Value {
        let result = self.raw(tool, arguments).await;
        assert_ne!(result.is_error, Some(true), "{tool}: {result:?}");
        result.structured_content.unwrap_or(Value::Null)
    }

    /// What a call that must fail says.
    async fn refused(&self, tool: &'static str, arguments: Value) -> String {
        let result = self.raw(tool, arguments).await;
        assert_eq!(result.is_error, Some(true), "{tool}: {result:?}");
        result.content[0].as_text().unwrap().text.clone()
    }

    /// Waits for a run as a caller does: again and again.
    async fn wait(&self, run: &str) -> Value {
        loop {
            let waited = self.call("task_wait", json!({"run": run, "timeout_seconds": 10})).await;
            if waited["timed_out"] == false {
                return waited["run"].clone();
            }
        }
    }
}

fn a_note() -> Value {
    json!({"turns": [
        {"calls": [shell("echo two >> notes.txt && git commit -qam 'Add a note' && cat notes.txt")]},
        {"calls": [evidence("There are two notes.", "1.1")]},
        {"calls": [finish("Add a note")]},
    ]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_goes_from_submission_to_merge_in_both_generations_of_the_protocol() {
    for generation in generations() {
        let served = Served::begin(a_note()).await;
        let agent = Connected::to(&served, Merging::Allowed, generation).await;
        let submitted = agent.call("task_submit", json!({"description": "Add a note"})).await;
        let run = submitted["run"].as_str().unwrap().to_owned();
        let stands = agent.wait(&run).await;
        assert_eq!((&stands["state"], &stands["waits_for_you"]), (&json!("inReview"), &json!(true)));
        let heard = agent.heard.0.lock().unwrap().clone();
        assert!(heard.iter().any(|said| said.starts_with("inReview: Pull request #1")), "{heard:?}");

        let listed = agent.call("task_list", json!({})).await;
        assert_eq!(listed["runs"][0]["run"], json!(run));
        let compared = agent.call("review_attempts", json!({"task": submitted["task"]})).await;
        let alone = &compared["attempts"][0];
        assert_eq!((&alone["rank"], &alone["run"]["run"]), (&json!(1), &json!(run)));
        assert_eq!(alone["why"], "1 check passed, no critic looked, 1 line in 1 file");
        assert_eq!(submitted["attempts"], json!([{"run": run, "branch": submitted["branch"]}]));
        let reviewed = agent.call("review_show", json!({"run": run})).await;
        assert_eq!(reviewed["files"][0]["path"], "notes.txt");
        let diff = agent.raw("review_diff", json!({"run": run, "path": "notes.txt"})).await;
        assert!(diff.content[0].as_text().unwrap().text.contains("\n+two\n"));
        assert_eq!(agent.call("review_list", json!({})).await["pull_requests"][0]["run"], json!(run));

        let stale = agent.refused("review_merge", json!({"run": run, "head": "0".repeat(40)})).await;
        assert!(stale.contains("not at what was reviewed"), "{stale}");
        agent.call("review_merge", json!({"run": run, "head": reviewed["head"]})).await;
        let run = run.parse().unwrap();
        served.night.until_state(&run, "the merge", |state| matches!(state, RunState::Merged { .. })).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_and_a_run_that_asks_nothing_is_not() {
    let ask = json!({"tool": "ask", "input": {"question": "Which note?"}});
    let mut script = a_note();
    script["turns"].as_array_mut().unwrap().insert(0, json!({"calls": [ask]}));
    script["turns"][1]["expect"] = json!([{"lastResultContains": "The second."}]);
    script["turns"][2]["calls"] = json!([evidence("There are two notes.", "2.1")]);
    let served = Served::begin(script).await;
    let agent = Connected::to(&served, Merging::Withheld, ClientLifecycleMode::Initialize).await;
    let submitted = agent.call("task_submit", json!({"description": "Add a note", "budget_usd": 3})).await;
    let run = submitted["run"].as_str().unwrap();
    let asks = agent.wait(run).await;
    assert_eq!(asks["detail"], "It asks: Which note?. Answer with task_answer.");
    agent.call("task_answer", json!({"run": run, "text": "The second."})).await;
    assert_eq!(agent.wait(run).await["state"], "inReview");
    let refused = agent.refused("task_answer", json!({"run": run, "text": "The third."})).await;
    assert!(refused.contains("asks nothing: it is inReview"), "{refused}");
    let shown = agent.call("task_show", json!({"run": run})).await;
    assert_eq!(shown["evidence"][0]["claim"], "There are two notes.");
    served.night.assert_no_breach();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_steered_and_given_up() {
    let served = Served::begin(json!({"turns": [{"calls": [shell("echo begun; sleep 600")]}]})).await;
    let agent = Connected::to(&served, Merging::Withheld, ClientLifecycleMode::Initialize).await;
    let submitted = agent.call("task_submit", json!({"description": "Work"})).await;
    let run = submitted["run"].as_str().unwrap();
    let steered = agent.call("task_steer", json!({"run": run, "text": "Faster", "delivery": "queue"})).await;
    assert_eq!(steered["run"], run);
    let waited = agent.call("task_wait", json!({"run": run, "timeout_seconds": 0})).await;
    assert_eq!(waited["timed_out"], true);
    assert_eq!(agent.call("task_cancel", json!({"run": run})).await["state"], "cancelled");
    assert_eq!(agent.wait(run).await["waits_for_you"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_used_over_mcp_and_closed_when_the_client_is_gone() {
    let served = Served::begin(json!({"turns": []})).await;
    let [newest, _] = generations();
    let agent = Connected::to(&served, Merging::Withheld, newest).await;
    let opened = agent.call("sandbox_open", json!({})).await;
    let sandbox = opened["sandbox"].clone();
    assert_eq!((&opened["width"], &opened["height"]), (&json!(320), &json!(200)));

    let write = json!({"sandbox": sandbox, "path": "a/b.txt", "text": "ü\n"});
    let written = agent.raw("sandbox_write_file", write).await;
    assert_eq!(written.content[0].as_text().unwrap().text, "3 bytes were written.");
    let ran =
        agent.call("sandbox_shell", json!({"sandbox": sandbox, "command": "cat a/b.txt; exit 3"})).await;
    assert_eq!((&ran["exitCode"], &ran["output"]), (&json!(3), &json!("ü\n")));
    let read = agent.raw("sandbox_read_file", json!({"sandbox": sandbox, "path": "a/b.txt"})).await;
    assert_eq!(read.content[0].as_text().unwrap().text, "ü\n");

    for (tool, more) in [
        ("sandbox_screenshot", json!({})),
        ("sandbox_screenshot", json!({"region": [0, 0, 20, 10]})),
        ("sandbox_click", json!({"x": 5, "y": 6, "clicks": 2})),
        ("sandbox_type", json!({"text": "hello"})),
        ("sandbox_key", json!({"keys": "ctrl+a"})),
        ("sandbox_scroll", json!({"x": 5, "y": 6, "direction": "up"})),
        ("sandbox_drag", json!({"from": [1, 2], "to": [3, 4]})),
    ] {
        let mut arguments = json!({"sandbox": sandbox});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let shown = agent.raw(tool, arguments).await;
        let picture = shown.content[0].as_image().unwrap_or_else(|| panic!("{tool}: {shown:?}"));
        assert_eq!(picture.mime_type, "image/png");
    }
    let outside = agent.refused("sandbox_click", json!({"sandbox": sandbox, "x": 320, "y": 0})).await;
    assert!(outside.contains("coordinate"), "{outside}");

    let machine = served.night.driver.machine(&sandbox.as_str().unwrap().parse().unwrap()).unwrap();
    agent.client.cancel().await.unwrap();
    tokio::time::timeout(WITHIN, agent.serving).await.expect("the server ends with its client").unwrap();
    assert!(!machine.runs());
}

#[tokio::test(flavor = "multi_thread")]
async fn merging_is_offered_only_where_a_person_said_so() {
    let served = Served::begin(json!({"turns": []})).await;
    let careful = Connected::to(&served, Merging::Withheld, ClientLifecycleMode::Initialize).await;
    let names = |tools: Vec<rmcp::model::Tool>| {
        tools.into_iter().map(|tool| tool.name.to_string()).collect::<Vec<_>>()
    };
    let offered = names(careful.client.list_all_tools().await.unwrap());
    assert!(!offered.contains(&"review_merge".to_owned()), "{offered:?}");
    let call = CallToolRequestParams::new("review_merge")
        .with_arguments(json!({"run": "run-x", "head": "0"}).as_object().unwrap().clone());
    assert!(careful.client.call_tool(call).await.is_err());
    let trusted = Connected::to(&served, Merging::Allowed, ClientLifecycleMode::Initialize).await;
    let more = names(trusted.client.list_all_tools().await.unwrap());
    assert_eq!(more.len(), offered.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_none_leads_nowhere() {
    let served = Served::begin(json!({"turns": []})).await;
    let agent = Connected::to(&served, Merging::Withheld, ClientLifecycleMode::Initialize).await;
    for name in ["../sandboxes", "..", "run-x?after=1", "", "run-x/cancel"] {
        let said = agent.refused("task_show", json!({"run": name})).await;
        assert!(said.contains("no ") || said.contains("not"), "{name}: {said}");
    }
    let gone = agent.refused("sandbox_close", json!({"sandbox": "sandbox-0000000000"})).await;
    assert!(gone.contains("no sandbox \"sandbox-0000000000\" is lent"), "{gone}");
    let dirty = served.night.repository().join("notes.txt");
    std::fs::write(dirty, "changed\n").unwrap();
    let odd = agent.refused("task_submit", json!({"description": "Add a note", "engine": "clod"})).await;
    assert!(odd.contains("there is no engine clod") && odd.contains("claude-code, codex"), "{odd}");
    let refused = agent.refused("task_submit", json!({"description": "Add a note"})).await;
    assert!(refused.contains("1 change that is not committed"), "{refused}");
}
