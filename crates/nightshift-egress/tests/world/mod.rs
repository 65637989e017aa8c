//! A program at one end of the proxy and a host at the other.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use nightshift_egress::{Egress, EgressLimits, EgressSettings, HostName, Policy, Resolver};
use nightshift_protocol::{ConnectionRecord, ConnectionVerdict, NetworkPhase};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

const WITHIN: Duration = Duration::from_secs(20);

/// What a resolver answers, one after the other; the last for ever.
pub(crate) struct Answers(pub(crate) Vec<Vec<IpAddr>>);

#[derive(Clone)]
struct Names {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, name: &HostName) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_string());
        let answers = &mut self.answers.lock().unwrap().0;
        if answers.len() > 1 { Ok(answers.remove(0)) } else { Ok(answers[0].clone()) }
    }
}

/// A host on this machine, and the proxy before it.
pub(crate) struct World {
    pub(crate) egress: Egress,
    pub(crate) port: u16,
    names: Names,
    reached: Arc<AtomicUsize>,
    heard: Arc<Mutex<Vec<u8>>>,
    impatient: Arc<AtomicBool>,
}

impl World {
    /// The lists have `PORT` in place of the host's port.
    pub(crate) async fn new(allow: &[&str], private: &[&str]) -> Self {
        Self::with_limits(allow, private, EgressLimits::default()).await
    }

    pub(crate) async fn with_limits(allow: &[&str], private: &[&str], limits: EgressLimits) -> Self {
        Self::make(allow, private, limits, false).await
    }

    /// The host is also the owner's own proxy.
    pub(crate) async fn behind_a_proxy(allow: &[&str], private: &[&str]) -> Self {
        Self::make(allow, private, EgressLimits::default(), true).await
    }

    async fn make(allow: &[&str], private: &[&str], limits: EgressLimits, proxied: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (reached, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let impatient = Arc::new(AtomicBool::new(false));
        tokio::spawn({
            let (reached, heard) = (Arc::clone(&reached), Arc::clone(&heard));
            let impatient = Arc::clone(&impatient);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    reached.fetch_add(1, Ordering::SeqCst);
                    if impatient.load(Ordering::SeqCst) {
                        tokio::spawn(impatient_host(stream, Arc::clone(&heard)));
                        continue;
                    }
                    tokio::spawn(host(stream, Arc::clone(&heard)));
                }
            }
        });
        let answers = Arc::new(Mutex::new(Answers(vec![vec!["127.0.0.1".parse().unwrap()]])));
        let names = Names { answers, asked: Arc::default() };
        let upstream = proxied.then(|| format!("http://a:b@127.0.0.1:{port}").parse().unwrap());
        let policy = policy(port, allow, private);
        let egress =
            Egress::new(EgressSettings { policy, limits, resolver: Arc::new(names.clone()), upstream });
        Self { egress, port, names, reached, heard, impatient }
    }

    pub(crate) fn policy(&self, allow: &[&str], private: &[&str]) -> Policy {
        policy(self.port, allow, private)
    }

    pub(crate) fn text(&self, text: &str) -> String {
        with_port(self.port, text)
    }

    /// A program connects to the proxy.
    pub(crate) fn program(&self) -> Program {
        let (program, stream) = tokio::io::duplex(64 * 1024);
        let ended = Arc::new(AtomicBool::new(false));
        let stream = Carried { stream, ended: Arc::clone(&ended) };
        let egress = self.egress.clone();
        tokio::spawn(async move {
            let admitted = egress.admit().await;
            egress.serve(stream, admitted).await;
        });
        Program { stream: program, ended }
    }

    pub(crate) fn answer_with(&self, addresses: Vec<IpAddr>) {
        self.answer_in_turn(Answers(vec![addresses]));
    }

    pub(crate) fn answer_in_turn(&self, answers: Answers) {
        *self.names.answers.lock().unwrap() = answers;
    }

    /// From now on the host hangs up on who says nothing for a moment.
    pub(crate) fn lose_patience(&self) {
        self.impatient.store(true, Ordering::SeqCst);
    }

    /// The names that were looked up.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.names.asked.lock().unwrap().clone()
    }

    /// How often the host was connected to.
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// What the host heard since it was asked last.
    pub(crate) fn heard(&self) -> Vec<u8> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }

    /// What is told, once it is enough.
    pub(crate) async fn told_after(
        &self,
        enough: impl Fn(&[ConnectionRecord]) -> bool,
    ) -> Vec<ConnectionRecord> {
        let told = async {
            let mut told: Vec<ConnectionRecord> = Vec::new();
            loop {
                for line in self.egress.take_all_records() {
                    let same = |known: &&mut ConnectionRecord| {
                        (&known.host, known.port, known.verdict) == (&line.host, line.port, line.verdict)
                    };
                    match told.iter_mut().find(same) {
                        Some(known) => {
                            known.begun += line.begun;
                            known.ended += line.ended;
                            known.sent_bytes += line.sent_bytes;
                            known.received_bytes += line.received_bytes;
                        }
                        None => told.push(line),
                    }
                }
                if enough(&told) {
                    return told;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(WITHIN, told).await.unwrap()
    }

    /// Host, port and verdict of what was told since the last time, in the order of verdicts.
    pub(crate) async fn verdicts(&self) -> Vec<(String, u16, ConnectionVerdict)> {
        let told = self.told_after(|told| !told.is_empty()).await;
        told.into_iter().map(|line| (line.host, line.port, line.verdict)).collect()
    }
}

fn with_port(port: u16, text: &str) -> String {
    text.replace("PORT", &port.to_string())
}

fn policy(port: u16, allow: &[&str], private: &[&str]) -> Policy {
    Policy {
        phase: NetworkPhase::SetUp,
        allow: allow.iter().map(|rule| with_port(port, rule).parse().unwrap()).collect(),
        private: private.iter().map(|target| with_port(port, target).parse().unwrap()).collect(),
    }
}

/// How long the impatient host waits.
pub(crate) const PATIENCE: Duration = Duration::from_millis(100);

/// Hangs up on who says nothing.
async fn impatient_host(stream: TcpStream, heard: Arc<Mutex<Vec<u8>>>) {
    if tokio::time::timeout(PATIENCE, stream.peek(&mut [0])).await.is_ok() {
        host(stream, heard).await;
    }
}

/// Answers requests and tunnels, and echoes everything else.
async fn host(mut stream: TcpStream, heard: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut first = true;
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        let said = &buffer[..length];
        let text = String::from_utf8_lossy(said).into_owned();
        if first && text.starts_with("CONNECT ") {
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            first = false;
            continue;
        }
        heard.lock().unwrap().extend_from_slice(said);
        let request = text.starts_with("GET ") || text.starts_with("POST ");
        if !(first && request) {
            if stream.write_all(said).await.is_err() {
                return;
            }
            first = false;
            continue;
        }
        first = false;
        if text.contains("/upgrade") && text.contains("upgrade: websocket") {
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
                )
                .await
                .unwrap();
            continue;
        }
        let path = text.split(' ').nth(1).unwrap_or_default();
        let length = path.trim_start_matches('/').parse().unwrap_or(2);
        // The whole request is heard before it is answered.
        if text.contains("content-length") && text.ends_with("\r\n\r\n") {
            let more = stream.read(&mut buffer).await.unwrap();
            heard.lock().unwrap().extend_from_slice(&buffer[..more]);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        let _gone = stream.write_all(&[head.into_bytes(), vec![b'x'; length]].concat()).await;
    }
}

/// The proxy's end of a stream of the guest channel: let go of before its end was said, it is cut.
struct Carried {
    stream: DuplexStream,
    ended: Arc<AtomicBool>,
}

impl AsyncRead for Carried {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Carried {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended.store(true, Ordering::SeqCst);
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A program in the sandbox.
pub(crate) struct Program {
    pub(crate) stream: DuplexStream,
    ended: Arc<AtomicBool>,
}

impl Program {
    pub(crate) async fn say(&mut self, text: &str) {
        self.say_bytes(text.as_bytes()).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        // A proxy that has heard enough hears no more.
        let _closed = self.stream.write_all(bytes).await;
    }

    /// Says that nothing more comes.
    pub(crate) async fn end(&mut self) {
        let _closed = self.stream.shutdown().await;
    }

    pub(crate) async fn hang_up(self) {
        drop(self);
    }

    /// The head of an answer.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.hear(1).await);
        }
        String::from_utf8(head).unwrap()
    }

    pub(crate) async fn hear(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        tokio::time::timeout(WITHIN, self.stream.read_exact(&mut bytes)).await.unwrap().unwrap();
        bytes
    }

    /// Everything until the connection ends; nothing if it is cut, which in a sandbox may overtake what was said before.
    pub(crate) async fn all_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _cut = tokio::time::timeout(WITHIN, self.stream.read_to_end(&mut bytes)).await.unwrap();
        if self.ended.load(Ordering::SeqCst) { bytes } else { Vec::new() }
    }

    pub(crate) async fn all(&mut self) -> String {
        String::from_utf8_lossy(&self.all_bytes().await).into_owned()
    }
}

/// A TLS hello that names a server.
pub(crate) fn hello(name: &str) -> Vec<u8> {
    let long = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat();
    let entry = [vec![0], long(name.as_bytes())].concat();
    let extension = [vec![0, 0], long(&long(&entry))].concat();
    let body = [vec![3, 3], vec![7; 32], vec![0], long(&[0x13, 1]), vec![1, 0], long(&extension)].concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let message = [vec![1, length[1], length[2], length[3]], body].concat();
    [vec![22, 3, 1], long(&message)].concat()
}
