//! What the tests of whole turns share: a client with little patience, and a server that sends given bytes.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_model::{
    ImageSource, Key, Model, Progress, Provider, ProviderSettings, RetryPolicy, Turn, TurnError, TurnRequest,
};
use nightshift_protocol::{Clock, Entropy, Image, Message, OffsetDateTime, ToolDefinition, UserPart};
use serde_json::json;
use time::macros::datetime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// 22 November 2026, 14:00 UTC, for ever.
struct Still;

impl Clock for Still {
    fn now(&self) -> OffsetDateTime {
        datetime!(2026-11-22 14:00:00 UTC)
    }
}

/// No chance at all.
struct Zeroes;

impl Entropy for Zeroes {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

/// A patience that fits a test: waits of milliseconds.
pub(crate) fn impatient() -> RetryPolicy {
    RetryPolicy {
        tries: 3,
        first_wait: Duration::from_millis(4),
        longest_wait: Duration::from_millis(4),
        connect: Duration::from_secs(5),
        silence: Duration::from_secs(5),
        total: Duration::from_secs(20),
    }
}

pub(crate) fn settings(base_url: String, retry: RetryPolicy) -> ProviderSettings {
    let key = Key::new("sk-ant-secret").unwrap();
    ProviderSettings {
        retry,
        ..ProviderSettings::new(base_url, Some(key), Arc::new(Still), Arc::new(Zeroes))
    }
}

pub(crate) fn client(base_url: String) -> Provider {
    Provider::messages(settings(base_url, impatient())).unwrap()
}

pub(crate) fn says(text: &str) -> Arc<Message> {
    Arc::new(Message::User { content: vec![UserPart::Text { text: text.to_owned() }] })
}

pub(crate) fn request() -> TurnRequest {
    let shell = ToolDefinition::Shell {
        description: "Runs a command.".to_owned(),
        schema: json!({"type": "object", "properties": {"command": {"type": "string"}}}),
    };
    let edit = ToolDefinition::Editor {
        description: "Changes a file.".to_owned(),
        schema: json!({"type": "object", "properties": {"action": {"type": "string"}}}),
    };
    let plan = ToolDefinition::Function {
        name: "plan".to_owned(),
        description: "Notes the plan.".to_owned(),
        schema: json!({"type": "object", "properties": {"steps": {"type": "array"}}}),
    };
    let computer = ToolDefinition::Computer {
        description: "The screen.".to_owned(),
        schema: json!({"type": "object", "properties": {"action": {"type": "string"}}}),
        width: 1280,
        height: 800,
    };
    TurnRequest {
        model: "claude-sonnet-5-5".to_owned(),
        system: "Work.".into(),
        tools: [shell, edit, computer, plan].into(),
        messages: vec![says("Begin.")].into(),
        max_output_tokens: 1000,
        clear_results_above: Some(100_000),
    }
}

/// The same picture for every name: one violet pixel as PNG.
pub(crate) struct Pictures;

#[async_trait]
impl ImageSource for Pictures {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        Ok(Bytes::from_static(
            b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\
              \x00\x01\x08\x02\x00\x00\x00\x90\x77\x53\xde\x00\x00\x00\x0c\x49\x44\x41\x54\x78\xda\x63\
              \xa8\xb1\x7a\x0b\x00\x02\xd9\x01\xa4\x38\xd4\x07\xa6\x00\x00\x00\x00\x49\x45\x4e\x44\xae\
              \x42\x60\x82",
        ))
    }
}

/// A turn with everything that was told of it.
pub(crate) async fn turn(
    client: &Provider,
    request: &TurnRequest,
) -> (Result<Turn, TurnError>, Vec<Progress>) {
    let told = Mutex::new(Vec::new());
    let turn = client.turn(request, &Pictures, &|progress| told.lock().unwrap().push(progress)).await;
    (turn, told.into_inner().unwrap())
}

/// What a server does after it has sent its bytes.
#[derive(Clone, Copy)]
pub(crate) enum Then {
    Close,
    /// Sends nothing more, until the client goes.
    Hold,
    /// Sends a ping every few milliseconds, until the client goes.
    Ping,
}

/// A server that answers each connection with the next of the given bytes.
pub(crate) struct Canned {
    pub(crate) address: SocketAddr,
    /// The requests, as text.
    pub(crate) requests: mpsc::UnboundedReceiver<String>,
    /// A word for each connection that the client closed while the server held it.
    pub(crate) gone: mpsc::UnboundedReceiver<()>,
}

impl Canned {
    pub(crate) async fn start(answers: Vec<(String, Then)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (request_sender, requests) = mpsc::unbounded_channel();
        let (gone_sender, gone) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for (answer, then) in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let _ = request_sender.send(read_request(&mut connection).await);
                connection.write_all(answer.as_bytes()).await.unwrap();
                match then {
                    Then::Close => {}
                    Then::Hold => {
                        while connection.read_u8().await.is_ok() {}
                        let _ = gone_sender.send(());
                    }
                    Then::Ping => {
                        while connection
                            .write_all(b"event: ping\ndata: {\"type\":\"ping\"}\n\n")
                            .await
                            .is_ok()
                        {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        let _ = gone_sender.send(());
                    }
                }
            }
        });
        Self { address, requests, gone }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn read_request(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ").map(str::to_owned));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text.into_owned();
            }
        }
        if connection.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return String::from_utf8_lossy(&bytes).into_owned();
        }
    }
}

/// An answer without a length, which ends with the connection.
pub(crate) fn stream(events: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n{events}")
}

/// An error with these headers.
pub(crate) fn error(status: u16, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// The events of an answer that says "Hello."
pub(crate) const HELLO: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-sonnet-5-5\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello.\"}}\n\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);
