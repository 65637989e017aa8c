//! `nightshift mcp` as an agent meets it: the real program and a real owner, a real client of the protocol.

use std::process::Stdio;
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::RunningService;
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::Bench;

/// How long anything may take on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

fn generations() -> [ClientLifecycleMode; 2] {
    let preferred_versions = vec![ProtocolVersion::V_2026_07_28];
    [ClientLifecycleMode::Discover { preferred_versions }, ClientLifecycleMode::Initialize]
}

fn started(bench: &Bench, arguments: &[&str]) -> Child {
    let mut command = Command::from(bench.command(arguments));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// What a tool that must fail says.
async fn refused(client: &RunningService<RoleClient, ()>, tool: &'static str, arguments: Value) -> String {
    let call = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    let result = tokio::time::timeout(WITHIN, client.call_tool(call)).await.unwrap().unwrap();
    assert_eq!(result.is_error, Some(true), "{result:?}");
    result.content[0].as_text().unwrap().text.clone()
}

/// The tools' names, in alphabetical order.
async fn tools(client: &RunningService<RoleClient, ()>) -> Vec<String> {
    let tools = client.list_all_tools().await.unwrap();
    let mut names: Vec<String> = tools.iter().map(|tool| tool.name.to_string()).collect();
    names.sort();
    for tool in &tools {
        assert!(
            tool.description.as_ref().is_some_and(|text| text.len() > 20),
            "{} says what it does",
            tool.name
        );
        assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
    }
    names
}

/// Those that are offered unless a person allows merging.
const TOOLS: [&str; 25] = [
    "review_attempts",
    "review_diff",
    "review_list",
    "review_show",
    "sandbox_click",
    "sandbox_close",
    "sandbox_drag",
    "sandbox_key",
    "sandbox_list",
    "sandbox_open",
    "sandbox_read_file",
    "sandbox_screenshot",
    "sandbox_scroll",
    "sandbox_shell",
    "sandbox_type",
    "sandbox_write_file",
    "task_answer",
    "task_cancel",
    "task_continue",
    "task_list",
    "task_screen",
    "task_show",
    "task_steer",
    "task_submit",
    "task_wait",
];

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_it_finds_the_tools_and_is_told_what_is_wrong() {
    for generation in generations() {
        let bench = Bench::new().await;
        let mut server = started(&bench, &["mcp"]);
        let pipes = (server.stdout.take().unwrap(), server.stdin.take().unwrap());
        let client = tokio::time::timeout(WITHIN, ().serve_with_lifecycle(pipes, generation)).await;
        let client = client.expect("it answers").unwrap();
        assert_eq!(tools(&client).await, TOOLS);

        let nowhere = json!({"description": "Fix it", "repository": "/nowhere/at/all"});
        let said = refused(&client, "task_submit", nowhere).await;
        assert!(said.contains("/nowhere/at/all"), "{said}");
        let said = refused(&client, "sandbox_open", json!({})).await;
        assert_eq!(
            said,
            "the guest image and its template are not made yet\n`nightshift template build` makes them, once; it takes \
             minutes."
        );
        client.cancel().await.unwrap();
        let status = tokio::time::timeout(WITHIN, server.wait()).await.expect("it ends with its client");
        assert!(status.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_it_answers_both_generations_and_only_those_who_have_the_token() {
    let bench = Bench::new().await;
    let mut server = started(&bench, &["mcp", "--http"]);
    let mut said = BufReader::new(server.stderr.take().unwrap()).lines();
    let first = tokio::time::timeout(WITHIN, said.next_line()).await.expect("it listens").unwrap().unwrap();
    let url = first.strip_prefix("MCP is served at ").unwrap().to_owned();
    let owner = std::fs::read(bench.home.path().join("data/owner.json")).unwrap();
    let token = serde_json::from_slice::<Value>(&owner).unwrap()["token"].as_str().unwrap().to_owned();
    // That one is set already is no error.
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();

    for generation in generations() {
        let config = StreamableHttpClientTransportConfig::with_uri(url.clone()).auth_header(token.clone());
        let transport = StreamableHttpClientTransport::with_client(http.clone(), config);
        let client = tokio::time::timeout(WITHIN, ().serve_with_lifecycle(transport, generation)).await;
        let client = client.expect("it answers").unwrap();
        assert_eq!(tools(&client).await, TOOLS);
        let said = refused(&client, "task_show", json!({"run": "run-none"})).await;
        assert!(said.contains("run-none"), "{said}");
        client.cancel().await.unwrap();
    }

    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let post = || http.post(&url).json(&body).header("accept", "application/json, text/event-stream");
    let wrong = post().bearer_auth("wrong").send().await.unwrap();
    assert_eq!(post().send().await.unwrap().status(), 401);
    assert_eq!(wrong.status(), 401);
    let elsewhere = post().bearer_auth(&token).header("host", "evil.example:80").send().await.unwrap();
    assert_eq!(elsewhere.status(), 401);
    let page = post().bearer_auth(&token).header("origin", "https://evil.example").send().await.unwrap();
    assert_eq!(page.status(), 401);
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_starts_it_by_hand_is_told_how_it_is_used() {
    let bench = Bench::new().await;
    let output = bench.run(&["mcp"]).await;
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("`nightshift mcp --help` shows how it is configured"), "{said}");
    let help = String::from_utf8(bench.run(&["mcp", "--help"]).await.stdout).unwrap();
    for client in
        ["claude mcp add nightshift -- nightshift mcp", "[mcp_servers.nightshift]", "\"mcpServers\""]
    {
        assert!(help.contains(client), "{client}: {help}");
    }
}
