//! A server that answers by a script and polices the client: what breaks the protocol is written down.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nightshift_mcp_client::{Client, ConnectError, Generation, Patience};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

/// How long anything may take on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) const PATIENT: Patience = Patience { silence: SOON, total: SOON };

/// What a server does about a request: the lines it writes, or its end.
pub(crate) enum Does {
    Says(Vec<String>),
    Ends,
}

/// Answers a method with its parameters; the id of the request is given.
pub(crate) type Script = Box<dyn FnMut(&str, &Value, &Value) -> Does + Send>;

/// The generations that a server knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Newest,
    Initialize,
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) methods: Vec<String>,
    pub(crate) breaches: Vec<String>,
    pub(crate) cancelled: Vec<Value>,
}

pub(crate) type Log = Arc<Mutex<Heard>>;

pub(crate) fn result(id: &Value, result: Value) -> Does {
    Does::Says(vec![json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()])
}

pub(crate) fn error(id: &Value, code: i32, message: &str) -> Does {
    Does::Says(vec![
        json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string(),
    ])
}

pub(crate) fn tool(name: &str) -> Value {
    json!({"name": name, "description": format!("Does {name}."), "inputSchema": {"type": "object"}})
}

/// Starts one and connects to it.
pub(crate) async fn connected(speaks: Speaks, script: Script) -> (Client, Log) {
    let (client, log) = connect(speaks, script, Generation::Newest, SOON).await;
    (client.unwrap(), log)
}

pub(crate) async fn connect(
    speaks: Speaks,
    script: Script,
    generation: Generation,
    within: Duration,
) -> (Result<Client, ConnectError>, Log) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let log = Log::default();
    tokio::spawn(serve(theirs, speaks, script, Arc::clone(&log)));
    (Client::connect(ours, generation, within).await, log)
}

async fn serve(stream: DuplexStream, speaks: Speaks, mut script: Script, log: Log) {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut lines = BufReader::new(reader).lines();
    let (mut begun, mut ids) = (false, Vec::new());
    while let Ok(Some(text)) = lines.next_line().await {
        let message: Value = serde_json::from_str(&text).unwrap();
        let breach = |what: &str| log.lock().unwrap().breaches.push(format!("{what}: {text}"));
        if message["jsonrpc"] != "2.0" {
            breach("no JSON-RPC 2.0");
        }
        let (method, id) = (message["method"].as_str().unwrap_or_default().to_owned(), message["id"].clone());
        log.lock().unwrap().methods.push(method.clone());
        if id.is_null() {
            if method == "notifications/cancelled" {
                log.lock().unwrap().cancelled.push(message["params"]["requestId"].clone());
            }
            continue;
        }
        if ids.contains(&id) {
            breach("an id is used twice");
        }
        ids.push(id.clone());
        let does = match (method.as_str(), speaks) {
            ("server/discover", Speaks::Newest) => {
                begun = true;
                let version = &message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"];
                if version != "2026-07-28" {
                    breach("no version");
                }
                let server = json!({"name": "scripted", "version": "1"});
                result(
                    &id,
                    json!({
                        "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                        "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": server},
                    }),
                )
            }
            ("initialize", Speaks::Initialize) => {
                begun = true;
                let server = json!({"name": "scripted", "version": "1"});
                let version = &message["params"]["protocolVersion"];
                result(
                    &id,
                    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server}),
                )
            }
            ("initialize" | "server/discover", _) => error(&id, -32601, "Method not found"),
            (method, _) => {
                if !begun {
                    breach("a request before the beginning");
                }
                script(method, &message["params"], &id)
            }
        };
        let Does::Says(lines) = does else { return };
        for text in lines {
            if writer.write_all(format!("{text}\n").as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
