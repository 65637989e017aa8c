//! JSON-RPC in lines over a byte stream, as the protocol has it for programs, against a server that may send anything.
//!
//! Lines that are too long are passed over, and so is what nobody asked for: notifications other than of progress, answers to
//! nothing, what is no JSON. Of what a server says of its own accord only so much is taken; then it is hung up on.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use rmcp::RoleClient;
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::{Duration, Instant};

use crate::text::line;

/// The longest line that is taken in, in bytes: a picture of 3 MiB fits.
pub(crate) const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// Lines nobody asked for which are passed over before the server is hung up on.
const MOST_UNASKED: u32 = 100_000;

/// Requests of the server that are answered, each with a refusal; more are passed over.
const MOST_REQUESTS: u32 = 100;

/// The longest such request in bytes, which also bounds its id.
const LONGEST_REQUEST: usize = 16 * 1024;

/// How long the two hold: then as many may come again.
const MEASURED_FOR: Duration = Duration::from_secs(60);

/// The longest id of a message in bytes.
const LONGEST_ID: usize = 64;

/// Values that a line may have: each costs a hundred times the byte or two that it is written in.
const MOST_VALUES: usize = 50_000;

/// How much is read at once, in bytes.
const BATCH: usize = 64 * 1024;

/// What was noticed on a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// How the first line began that is no JSON.
    pub(crate) no_json: Option<String>,
    /// Whether a line was too long.
    pub(crate) too_long: bool,
    /// Whether the server was hung up on for what it said of its own accord.
    pub(crate) flooded: bool,
}

/// A connection to a server.
pub(crate) struct Wire<S> {
    reader: ReadHalf<S>,
    writer: Arc<tokio::sync::Mutex<WriteHalf<S>>>,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line end.
    looked_at: usize,
    /// Whether the rest of a line that was too long is passed over.
    passing_over: bool,
    unasked: u32,
    requests: u32,
    measured_since: Instant,
    awaited: HashSet<String>,
    noticed: Arc<Mutex<Noticed>>,
}

/// What of a line has to be known before it is taken in.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
}

impl<S: AsyncRead + AsyncWrite> Wire<S> {
    pub(crate) fn new(stream: S, noticed: Arc<Mutex<Noticed>>) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader,
            writer: Arc::new(tokio::sync::Mutex::new(writer)),
            buffer: BytesMut::new(),
            looked_at: 0,
            passing_over: false,
            unasked: 0,
            requests: 0,
            measured_since: Instant::now(),
            awaited: HashSet::new(),
            noticed,
        }
    }

    fn notice(&self, notice: impl FnOnce(&mut Noticed)) {
        notice(&mut self.noticed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The next whole line that has come, without its end.
    fn next_line(&mut self) -> Option<BytesMut> {
        loop {
            let unseen = self.buffer.get(self.looked_at..).unwrap_or_default();
            let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.looked_at = self.buffer.len();
                if self.buffer.len() > LONGEST_LINE {
                    self.buffer.clear();
                    self.looked_at = 0;
                    self.passing_over = true;
                    self.notice(|noticed| noticed.too_long = true);
                }
                return None;
            };
            let mut taken = self.buffer.split_to(self.looked_at + end + 1);
            self.looked_at = 0;
            taken.truncate(taken.len() - 1);
            if std::mem::take(&mut self.passing_over) {
                self.unasked += 1;
                continue;
            }
            return Some(taken);
        }
    }

    /// What a line says, if somebody waits for it.
    fn admit(&mut self, text: &[u8]) -> Option<ServerJsonRpcMessage> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return None;
        }
        match serde_json::from_slice::<Glance>(text) {
            Ok(glance) if self.is_awaited(&glance, text.len()) => {
                let unfolded =
                    (values(text) <= MOST_VALUES).then(|| serde_json::from_slice(text).ok()).flatten();
                let message = unfolded.or_else(|| not_understood(&glance));
                return message.or_else(|| self.passed_over());
            }
            Ok(_) => {}
            Err(_) => {
                let begins = line(&String::from_utf8_lossy(text.get(..400).unwrap_or(text)), 120);
                self.notice(|noticed| {
                    noticed.no_json.get_or_insert(begins);
                });
            }
        }
        self.passed_over()
    }

    fn passed_over(&mut self) -> Option<ServerJsonRpcMessage> {
        self.unasked += 1;
        None
    }

    fn is_awaited(&mut self, glance: &Glance<'_>, length: usize) -> bool {
        let id = glance.id.map(RawValue::get);
        if id.is_some_and(|id| id.len() > LONGEST_ID) {
            return false;
        }
        match (glance.method.as_deref(), id) {
            (Some("notifications/progress"), None) => {
                // It is passed on, and costs the server of its measure all the same.
                self.unasked += 1;
                length <= LONGEST_REQUEST
            }
            (Some(_), None) => false,
            (Some(_), Some(_)) => {
                self.requests += 1;
                self.unasked += 1;
                self.requests <= MOST_REQUESTS && length <= LONGEST_REQUEST
            }
            // A number may come back as a text.
            (None, Some(id)) => self.awaited.remove(id.trim_matches('"')),
            (None, None) => false,
        }
    }

    /// Notes whose answer is awaited. Where the older generation's beginning follows the newer's, nobody waits for that any more.
    fn expect(&mut self, request: &ClientRequest, id: &RequestId) {
        if matches!(request, ClientRequest::InitializeRequest(_)) {
            self.awaited.clear();
        }
        self.awaited.insert(id.to_string());
    }
}

/// Who waits for an answer that says nothing is told so at once.
fn not_understood(glance: &Glance<'_>) -> Option<ServerJsonRpcMessage> {
    let id = glance.id.filter(|_| glance.method.is_none())?;
    let error = serde_json::json!({"code": -32603, "message": "its answer is not what the protocol has"});
    serde_json::from_value(serde_json::json!({"jsonrpc": "2.0", "id": id, "error": error})).ok()
}

/// How many values a line of JSON has at least, counted by what parts them, outside of its texts.
fn values(text: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Transport<RoleClient> for Wire<S> {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        if let JsonRpcMessage::Request(request) = &message {
            self.expect(&request.request, &request.id);
        }
        let encoded = serde_json::to_vec(&message);
        let writer = Arc::clone(&self.writer);
        async move {
            let mut encoded = encoded?;
            encoded.push(b'\n');
            let mut writer = writer.lock().await;
            // That the server takes no more is known by its end, before which it may have said why.
            if writer.write_all(&encoded).await.is_ok() {
                let _flushed = writer.flush().await;
            }
            Ok(())
        }
    }

    async fn receive(&mut self) -> Option<ServerJsonRpcMessage> {
        // Whoever waits may stop at each await: all that has come by then is in the buffer.
        loop {
            while let Some(text) = self.next_line() {
                if let Some(message) = self.admit(&text) {
                    return Some(message);
                }
            }
            if self.measured_since.elapsed() > MEASURED_FOR {
                (self.unasked, self.requests, self.measured_since) = (0, 0, Instant::now());
            }
            if self.unasked > MOST_UNASKED {
                self.notice(|noticed| noticed.flooded = true);
                return None;
            }
            self.buffer.reserve(BATCH);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    }

    async fn close(&mut self) -> Result<(), io::Error> {
        self.writer.lock().await.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rmcp::model::{NumberOrString, PingRequest};
    use tokio::io::DuplexStream;

    use super::*;

    struct Ends {
        wire: Wire<DuplexStream>,
        server: DuplexStream,
        noticed: Arc<Mutex<Noticed>>,
    }

    fn ends() -> Ends {
        let (ours, server) = tokio::io::duplex(1 << 20);
        let noticed = Arc::default();
        Ends { wire: Wire::new(ours, Arc::clone(&noticed)), server, noticed }
    }

    fn awaiting(wire: &mut Wire<DuplexStream>, id: i64) {
        let ping = PingRequest { method: Default::default(), extensions: Default::default() };
        wire.expect(&ClientRequest::PingRequest(ping), &NumberOrString::Number(id));
    }

    /// What comes out of what a server says before it hangs up.
    async fn heard(ends: &mut Ends, said: &str) -> Vec<String> {
        ends.server.write_all(said.as_bytes()).await.unwrap();
        ends.server.shutdown().await.unwrap();
        let mut heard = Vec::new();
        while let Some(message) = ends.wire.receive().await {
            heard.push(serde_json::to_string(&message).unwrap());
        }
        heard
    }

    #[tokio::test]
    async fn only_what_was_asked_for_is_heard_and_once() {
        let mut ends = ends();
        awaiting(&mut ends.wire, 1);
        awaiting(&mut ends.wire, 2);
        let said = [
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            "listening on port 3000",
            "",
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"x"}}"#,
            "{\"jsonrpc\":\"2.0\",\"id\":\"2\",\"result\":{}}\r",
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"x"}}"#,
        ];
        let heard = heard(&mut ends, &format!("{}\n", said.join("\n"))).await;
        assert_eq!(
            heard,
            [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":"2","result":{}}"#]
        );
        let noticed = Noticed { no_json: Some("listening on port 3000".to_owned()), ..Noticed::default() };
        assert_eq!(*ends.noticed.lock().unwrap(), noticed);
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_passed_over_and_the_next_is_heard() {
        let (ours, mut server) = tokio::io::duplex(1 << 16);
        let noticed: Arc<Mutex<Noticed>> = Arc::default();
        let mut wire = Wire::new(ours, Arc::clone(&noticed));
        awaiting(&mut wire, 1);
        let saying = tokio::spawn(async move {
            server.write_all(&vec![b'x'; 3 * LONGEST_LINE]).await.unwrap();
            server.write_all(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n").await.unwrap();
            server
        });
        assert!(wire.receive().await.is_some());
        assert!(wire.buffer.capacity() <= 2 * LONGEST_LINE + BATCH, "{}", wire.buffer.capacity());
        assert!(noticed.lock().unwrap().too_long);
        drop(saying.await.unwrap());
    }

    #[tokio::test]
    async fn a_server_that_says_too_much_of_its_own_accord_is_hung_up_on() {
        let (ours, mut server) = tokio::io::duplex(1 << 16);
        let noticed: Arc<Mutex<Noticed>> = Arc::default();
        let mut wire = Wire::new(ours, Arc::clone(&noticed));
        tokio::spawn(async move { while server.write_all(b"{}\n{}\n{}\n{}\n{}\n{}\n").await.is_ok() {} });
        assert!(wire.receive().await.is_none());
        assert!(noticed.lock().unwrap().flooded);
    }

    #[tokio::test]
    async fn a_servers_own_requests_are_heard_as_long_as_they_are_few_and_short() {
        let mut ends = ends();
        let request = |id: usize, more: &str| {
            format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\",\"params\":{{\"a\":\"{more}\"}}}}\n"
            )
        };
        let long = request(0, &"x".repeat(LONGEST_REQUEST));
        let many: String = (1..1_000).map(|id| request(id, "")).collect();
        assert_eq!(heard(&mut ends, &(long + &many)).await.len(), 99);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_pings_now_and_then_is_answered_for_hours() {
        let Ends { mut wire, mut server, .. } = ends();
        for id in 0..(3 * MOST_REQUESTS) {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let ping = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
            server.write_all(ping.as_bytes()).await.unwrap();
            assert!(wire.receive().await.is_some(), "{id}");
        }
    }

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(values(br#"{"a": [1, 2], "b": "x,y[{\",", "c": {}}"#), 6);
        assert_eq!(values(b""), 0);
    }

    #[tokio::test]
    async fn who_stops_waiting_in_the_middle_of_a_line_hears_it_later() {
        let Ends { mut wire, mut server, .. } = ends();
        awaiting(&mut wire, 1);
        let text = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n";
        for byte in text.iter().take(text.len() - 1) {
            server.write_all(&[*byte]).await.unwrap();
            let waited = tokio::time::timeout(std::time::Duration::from_millis(1), wire.receive()).await;
            assert!(waited.is_err());
        }
        server.write_all(b"\n").await.unwrap();
        assert!(wire.receive().await.is_some());
    }

    #[tokio::test]
    async fn an_answer_that_comes_too_late_for_the_newer_beginning_disturbs_the_older_one_not() {
        let mut ends = ends();
        awaiting(&mut ends.wire, 0);
        let begin = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"n","version":"1"}}}"#;
        ends.wire.send(serde_json::from_str(begin).unwrap()).await.unwrap();
        let late = r#"{"jsonrpc":"2.0","id":0,"error":{"code":-32601,"message":"no"}}"#;
        let answer = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
        assert_eq!(heard(&mut ends, &format!("{late}\n{answer}\n")).await, [answer]);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_come(lines in prop::collection::vec("[a-z{}\": ]{0,20}", 0..8), cuts in prop::collection::vec(1_usize..9, 1..40)) {
            let mut wire = ends_without_runtime();
            let all = lines.iter().map(|text| format!("{text}\n")).collect::<String>();
            let (mut rest, mut found) = (all.as_bytes(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                wire.buffer.extend_from_slice(piece);
                rest = after;
                while let Some(text) = wire.next_line() {
                    found.push(String::from_utf8(text.to_vec()).unwrap());
                }
            }
            prop_assert_eq!(found, lines);
        }

        #[test]
        fn no_line_is_too_odd_to_be_looked_at(text in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(ends_without_runtime().admit(&text).is_none());
        }
    }

    fn ends_without_runtime() -> Wire<DuplexStream> {
        Wire::new(tokio::io::duplex(64).0, Arc::default())
    }
}
