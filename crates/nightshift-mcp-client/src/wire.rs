//! JSON-RPC in lines over a byte stream, as the protocol has it for programs. Lines that are too long are passed over.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use rmcp::RoleClient;
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::admission::{Admission, LONGEST_MESSAGE, Noticed};

/// How much is read at once, in bytes.
const BATCH: usize = 64 * 1024;

/// A connection to a server.
pub(crate) struct Wire<S> {
    reader: ReadHalf<S>,
    writer: Arc<tokio::sync::Mutex<WriteHalf<S>>>,
    buffer: BytesMut,
    /// Bytes of the buffer that hold no line end.
    looked_at: usize,
    /// Whether the rest of a line that was too long is passed over.
    passing_over: bool,
    admission: Admission,
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
            admission: Admission::new(noticed),
        }
    }

    /// The next whole line that has come, without its end.
    fn next_line(&mut self) -> Option<BytesMut> {
        loop {
            let unseen = self.buffer.get(self.looked_at..).unwrap_or_default();
            let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.looked_at = self.buffer.len();
                if self.buffer.len() > LONGEST_MESSAGE {
                    self.buffer.clear();
                    self.looked_at = 0;
                    self.passing_over = true;
                    self.admission.notice(|noticed| noticed.too_long = true);
                }
                return None;
            };
            let mut taken = self.buffer.split_to(self.looked_at + end + 1);
            self.looked_at = 0;
            taken.truncate(taken.len() - 1);
            if std::mem::take(&mut self.passing_over) {
                self.admission.pass_over(1);
                continue;
            }
            return Some(taken);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + 'static> Transport<RoleClient> for Wire<S> {
    type Error = io::Error;

    fn send(
        &mut self,
        message: ClientJsonRpcMessage,
    ) -> impl Future<Output = Result<(), io::Error>> + Send + 'static {
        if let JsonRpcMessage::Request(request) = &message {
            self.admission.expect(&request.request, &request.id);
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
                if let Some(message) = self.admission.admit(&text) {
                    return Some(message);
                }
            }
            if self.admission.is_flooded() {
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
    use rmcp::model::{ClientRequest, NumberOrString, PingRequest};
    use tokio::io::DuplexStream;
    use tokio::time::Duration;

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
        wire.admission.expect(&ClientRequest::PingRequest(ping), &NumberOrString::Number(id));
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
            server.write_all(&vec![b'x'; 3 * LONGEST_MESSAGE]).await.unwrap();
            server.write_all(b"\n{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n").await.unwrap();
            server
        });
        assert!(wire.receive().await.is_some());
        assert!(wire.buffer.capacity() <= 2 * LONGEST_MESSAGE + BATCH, "{}", wire.buffer.capacity());
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
        let long = request(0, &"x".repeat(16 * 1024));
        let many: String = (1..1_000).map(|id| request(id, "")).collect();
        assert_eq!(heard(&mut ends, &(long + &many)).await.len(), 99);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_pings_now_and_then_is_answered_for_hours() {
        let Ends { mut wire, mut server, .. } = ends();
        for id in 0..300 {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let ping = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n");
            server.write_all(ping.as_bytes()).await.unwrap();
            assert!(wire.receive().await.is_some(), "{id}");
        }
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
    }

    fn ends_without_runtime() -> Wire<DuplexStream> {
        Wire::new(tokio::io::duplex(64).0, Arc::default())
    }
}
