//! A server at an address: real connections, answers as bytes by a script, and it polices the client. What breaks the protocol is
//! written down.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use nightshift_mcp_client::{
    Address, ByteStream, Client, ConnectError, Dial, Endpoint, Generation, NotReached, system_trust,
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{SOON, Speaks};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Asked {
    /// The method of the protocol, or that of HTTP where it has no message.
    pub(crate) fn what(&self) -> String {
        self.body["method"].as_str().unwrap_or(&self.method).to_owned()
    }
}

/// What a server does about a request, one after the other; then it hangs up.
pub(crate) enum Does {
    Sends(Vec<u8>),
    Waits(Duration),
    /// Sends nothing until the client hangs up, which is written down.
    Holds,
}

/// What comes of a request; `None` for what every server does about it.
pub(crate) type Script = Box<dyn FnMut(&Asked) -> Option<Vec<Does>> + Send>;

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) asked: Vec<Asked>,
    pub(crate) breaches: Vec<String>,
    pub(crate) hung_up: u32,
}

/// A server that runs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    state: Arc<Mutex<State>>,
}

struct State {
    speaks: Speaks,
    script: Script,
    /// The session that is under way, and how many there were.
    session: Option<String>,
    sessions: u32,
    ids: Vec<Value>,
}

pub(crate) fn answer(status: &str, fields: &str, body: &str) -> Vec<Does> {
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
    vec![Does::Sends([head.as_bytes(), body.as_bytes()].concat())]
}

pub(crate) fn json_answer(id: &Value, result: Value) -> Vec<Does> {
    let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
    answer("200 OK", "Content-Type: application/json\r\n", &body)
}

/// The head of a stream of events.
pub(crate) const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";

pub(crate) fn words(id: &Value, text: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
}

pub(crate) fn event(message: &Value) -> Vec<u8> {
    format!("data: {message}\n\n").into_bytes()
}

/// A stream of events that ends.
pub(crate) fn streamed(events: impl IntoIterator<Item = Vec<u8>>) -> Vec<Does> {
    let events: Vec<Vec<u8>> = events.into_iter().collect();
    vec![Does::Sends([EVENTS, &events.concat()].concat())]
}

/// Dials that address, whatever is asked for.
pub(crate) struct To(pub(crate) SocketAddr);

#[async_trait]
impl Dial for To {
    async fn dial(&self) -> Result<Box<dyn ByteStream>, NotReached> {
        match TcpStream::connect(self.0).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(NotReached { why: error.to_string() }),
        }
    }
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    let mut headers = http::HeaderMap::new();
    headers.insert("x-team", http::HeaderValue::from_static("night"));
    Endpoint { address: Address::parse(url).unwrap(), headers, silence: None }
}

impl Server {
    pub(crate) async fn start(speaks: Speaks, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let state = State { speaks, script, session: None, sessions: 0, ids: Vec::new() };
        let server = Self { at, heard: Arc::default(), state: Arc::new(Mutex::new(state)) };
        let serving = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        server
    }

    /// A client of it.
    pub(crate) async fn reached(&self) -> Client {
        self.reach(Generation::Newest).await.unwrap()
    }

    pub(crate) async fn reach(&self, generation: Generation) -> Result<Client, ConnectError> {
        let trust = system_trust().unwrap();
        Client::reach(endpoint("http://mcp.test/mcp"), Arc::new(To(self.at)), trust, generation, SOON).await
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.heard.lock().unwrap().asked.clone()
    }

    /// What was asked, by name.
    pub(crate) fn whats(&self) -> Vec<String> {
        self.asked().iter().map(Asked::what).collect()
    }

    pub(crate) fn calls(&self) -> usize {
        self.whats().iter().filter(|what| *what == "tools/call").count()
    }

    pub(crate) fn breaches(&self) -> Vec<String> {
        self.heard.lock().unwrap().breaches.clone()
    }

    pub(crate) fn hung_up(&self) -> u32 {
        self.heard.lock().unwrap().hung_up
    }

    /// Waits until that is so.
    pub(crate) async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !is(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "{what}: {:?}", self.whats());
    }

    /// Serves one connection: one request.
    pub(crate) async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let Some(asked) = read(&mut stream).await else { return };
        self.police(&asked);
        self.heard.lock().unwrap().asked.push(asked.clone());
        let does = self.decide(&asked);
        for does in does {
            match does {
                Does::Sends(bytes) => {
                    if stream.write_all(&bytes).await.is_err() {
                        self.heard.lock().unwrap().hung_up += 1;
                        return;
                    }
                }
                Does::Waits(time) => tokio::time::sleep(time).await,
                Does::Holds => {
                    let _ended = stream.read(&mut [0; 16]).await;
                    self.heard.lock().unwrap().hung_up += 1;
                }
            }
        }
        let _hung_up = stream.shutdown().await;
    }

    fn decide(&self, asked: &Asked) -> Vec<Does> {
        let mut state = self.state.lock().unwrap();
        if let Some(does) = (state.script)(asked) {
            return does;
        }
        let id = &asked.body["id"];
        let server = json!({"name": "scripted", "version": "1"});
        match (asked.what().as_str(), state.speaks) {
            ("server/discover", Speaks::Newest) => json_answer(
                id,
                json!({
                    "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
                    "ttlMs": 0, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": server},
                }),
            ),
            // As the servers of 2025 do.
            ("server/discover", Speaks::Initialize) => answer(
                "400 Bad Request",
                "Content-Type: application/json\r\n",
                r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Missing session ID"}}"#,
            ),
            ("initialize", Speaks::Initialize) => {
                state.sessions += 1;
                state.ids.clear();
                let session = format!("session-{}", state.sessions);
                state.session = Some(session.clone());
                let version = &asked.body["params"]["protocolVersion"];
                let result =
                    json!({"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": server});
                let body = json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string();
                answer(
                    "200 OK",
                    &format!("Content-Type: application/json\r\nMcp-Session-Id: {session}\r\n"),
                    &body,
                )
            }
            ("DELETE", _) => {
                state.session = None;
                answer("200 OK", "", "")
            }
            (_, _) if id.is_null() => answer("202 Accepted", "", ""),
            ("tools/list", _) => {
                let tool = crate::server::tool("echo");
                json_answer(id, json!({"tools": [tool]}))
            }
            (what, _) => {
                let error = json!({"code": -32601, "message": format!("Method not found: {what}")});
                let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
                answer("200 OK", "Content-Type: application/json\r\n", &body)
            }
        }
    }

    /// Whether a request is in the session that is under way.
    pub(crate) fn is_in_session(&self, asked: &Asked) -> bool {
        self.state.lock().unwrap().session.as_ref() == asked.fields.get("mcp-session-id")
    }

    fn police(&self, asked: &Asked) {
        let mut state = self.state.lock().unwrap();
        let breach = |what: &str| self.heard.lock().unwrap().breaches.push(format!("{what}: {asked:?}"));
        let field = |name: &str| asked.fields.get(name).map(String::as_str).unwrap_or_default();
        if field("host") != "mcp.test" || field("x-team") != "night" {
            breach("another host, or without its headers");
        }
        let what = asked.what();
        if asked.method == "POST" {
            let accept = field("accept");
            let both = accept.contains("application/json") && accept.contains("text/event-stream");
            if !both || field("content-type") != "application/json" || asked.body["jsonrpc"] != "2.0" {
                breach("no message of JSON, or it takes only one kind of answer");
            }
            let id = asked.body["id"].clone();
            if !id.is_null() && state.ids.contains(&id) && what != "initialize" {
                breach("an id is used twice");
            }
            state.ids.push(id);
        }
        let begins = matches!(what.as_str(), "initialize" | "server/discover");
        match state.speaks {
            Speaks::Newest => {
                let named = field("mcp-method") == what && field("mcp-protocol-version") == "2026-07-28";
                let named_tool = what != "tools/call" || field("mcp-name") == asked.body["params"]["name"];
                if !(named && named_tool) || asked.fields.contains_key("mcp-session-id") {
                    breach("its version, method or tool is not in its head, or it has a session");
                }
            }
            Speaks::Initialize if begins => {
                if asked.fields.contains_key("mcp-session-id") {
                    breach("it begins in a session");
                }
            }
            Speaks::Initialize => {
                if !field("mcp-session-id").starts_with("session-")
                    || field("mcp-protocol-version") != "2025-11-25"
                {
                    breach("without session or version");
                }
            }
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 4_096]);
    let end = loop {
        if let Some(end) = heard.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        let length = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        heard.extend_from_slice(&buffer[..length]);
    };
    let head = String::from_utf8(heard[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ').map(str::to_owned);
    let (method, path) = (first.next().unwrap(), first.next().unwrap());
    let field = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    };
    let fields: BTreeMap<String, String> = lines.map(field).collect();
    let length: usize = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = heard.split_off(end + 4);
    while body.len() < length {
        let read = stream.read(&mut buffer).await.ok().filter(|length| *length > 0)?;
        body.extend_from_slice(&buffer[..read]);
    }
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    Some(Asked { method, path, fields, body })
}
