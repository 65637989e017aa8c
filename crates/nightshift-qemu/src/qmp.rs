//! Speaks QEMU's machine protocol, QMP: commands answered by id, events told to whoever listens.
//!
//! Protocol: docs/interop/qmp-spec.rst in QEMU's source. One task owns the socket. A caller that gives up
//! waiting, an event nobody knows and a line that is no JSON harm nothing; a line that never ends does end the
//! connection, because the other side may be a QEMU that the guest has taken over.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

/// A longer line ends the connection. The longest honest answers (`query-qmp-schema`) have 250 KB.
const LONGEST_LINE: usize = 1 << 20;
/// Events kept for a listener that is slow; it is told when it missed some.
const EVENT_BACKLOG: usize = 256;
/// How long QEMU may take to greet or to answer. Far above what is usual, because QEMU starts and restores on
/// machines that are busy with others of its kind.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QmpError {
    /// QEMU refused the command.
    #[error("QEMU refused {command}: {description}")]
    Refused { command: String, description: String },
    /// The connection ended first.
    #[error("QEMU ended the connection")]
    Closed,
    /// There was no answer in time.
    #[error("QEMU did not answer {command} within {} s", ANSWER_LIMIT.as_secs())]
    Silent { command: String },
    /// The other side does not speak QMP.
    #[error("what answers is no QEMU")]
    NotQemu,
    /// The socket failed.
    #[error("the connection to QEMU failed")]
    Socket(#[source] io::Error),
}

/// Something QEMU tells unasked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct QmpEvent {
    /// Its name, for example `MIGRATION`.
    pub(crate) name: String,
    /// What it says; `Null` for events that say nothing more.
    pub(crate) data: Value,
}

/// A connection to a QEMU. It ends when this is dropped; QEMU goes on.
#[derive(Debug)]
pub(crate) struct Qmp {
    outgoing: mpsc::Sender<Outgoing>,
    events: broadcast::WeakSender<QmpEvent>,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct Outgoing {
    id: u64,
    line: Vec<u8>,
    descriptor: Option<OwnedFd>,
    answer: oneshot::Sender<Result<Value, String>>,
}

impl Qmp {
    /// Waits for QEMU's greeting and makes it ready for commands.
    pub(crate) async fn connect(mut stream: UnixStream) -> Result<Self, QmpError> {
        let mut lines = Lines::default();
        let greeting = timeout(ANSWER_LIMIT, next_line(&mut stream, &mut lines))
            .await
            .map_err(|_| QmpError::Silent { command: "the connection".to_owned() })??;
        match parse(&greeting) {
            Incoming::Greeting => {}
            Incoming::Answer { .. } | Incoming::Event(_) | Incoming::Unknown => {
                return Err(QmpError::NotQemu);
            }
        }
        let (outgoing, commands) = mpsc::channel(16);
        let (events, _) = broadcast::channel(EVENT_BACKLOG);
        let connection = Self { outgoing, events: events.downgrade(), next_id: AtomicU64::new(1) };
        tokio::spawn(drive(stream, lines, commands, events));
        connection.execute("qmp_capabilities", json!({})).await?;
        Ok(connection)
    }

    /// Listens to what QEMU tells from now on; already at its end when the connection has ended.
    pub(crate) fn events(&self) -> broadcast::Receiver<QmpEvent> {
        match self.events.upgrade() {
            Some(events) => events.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Executes a command and returns what QEMU answers.
    pub(crate) async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.send(command, arguments, None).await
    }

    /// Gives QEMU a descriptor, which commands may name as `name` from then on.
    pub(crate) async fn give_descriptor(&self, name: &str, descriptor: OwnedFd) -> Result<(), QmpError> {
        self.send("getfd", json!({ "fdname": name }), Some(descriptor)).await.map(drop)
    }

    async fn send(
        &self,
        command: &str,
        arguments: Value,
        descriptor: Option<OwnedFd>,
    ) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut line =
            json!({ "execute": command, "arguments": arguments, "id": id }).to_string().into_bytes();
        line.push(b'\n');
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            self.outgoing
                .send(Outgoing { id, line, descriptor, answer })
                .await
                .map_err(|_| QmpError::Closed)?;
            answered.await.map_err(|_| QmpError::Closed)
        };
        match timeout(ANSWER_LIMIT, exchange).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(description))) => Err(QmpError::Refused { command: command.to_owned(), description }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(QmpError::Silent { command: command.to_owned() }),
        }
    }
}

/// Owns the socket until either side is done with it. Whoever waits for an answer then is told by the drop of
/// its end of the channel.
async fn drive(
    mut stream: UnixStream,
    mut lines: Lines,
    mut commands: mpsc::Receiver<Outgoing>,
    events: broadcast::Sender<QmpEvent>,
) {
    let mut waiting: HashMap<u64, oneshot::Sender<Result<Value, String>>> = HashMap::new();
    loop {
        tokio::select! {
            line = next_line(&mut stream, &mut lines) => match line.map(|line| parse(&line)) {
                Ok(Incoming::Answer { id, result }) => {
                    // Who gave up waiting does not want it; that is all right.
                    if let Some(answer) = waiting.remove(&id) { let _ = answer.send(result); }
                }
                // The same when nobody listens.
                Ok(Incoming::Event(event)) => { let _ = events.send(event); }
                Ok(Incoming::Greeting | Incoming::Unknown) => {}
                Err(error) => {
                    tracing::debug!(%error, "the connection to QEMU ended");
                    return;
                }
            },
            command = commands.recv() => {
                let Some(Outgoing { id, line, descriptor, answer }) = command else { return };
                waiting.insert(id, answer);
                // QEMU stops reading only when nobody reads its answers, which this task does; should it stop all
                // the same, the connection is of no use.
                let written = timeout(ANSWER_LIMIT, write(&mut stream, &line, descriptor)).await;
                if !matches!(written, Ok(Ok(()))) { return; }
            }
        }
    }
}

/// Writes a line; a descriptor travels with its first byte, as QEMU expects it.
async fn write(stream: &mut UnixStream, line: &[u8], descriptor: Option<OwnedFd>) -> io::Result<()> {
    let mut sent = 0;
    if let Some(descriptor) = descriptor {
        sent = stream
            .async_io(Interest::WRITABLE, || send_with_descriptor(stream.as_fd(), line, descriptor.as_fd()))
            .await?;
    }
    stream.write_all(&line[sent..]).await
}

fn send_with_descriptor(
    socket: BorrowedFd<'_>,
    line: &[u8],
    descriptor: BorrowedFd<'_>,
) -> io::Result<usize> {
    let descriptors = [descriptor];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    Ok(sendmsg(socket, &[IoSlice::new(line)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Returns the next line. Dropping the future loses nothing that was read.
async fn next_line(stream: &mut UnixStream, lines: &mut Lines) -> Result<Vec<u8>, QmpError> {
    loop {
        if let Some(line) = lines.take().map_err(QmpError::Socket)? {
            return Ok(line);
        }
        match stream.read_buf(&mut lines.buffer).await {
            Ok(0) => return Err(QmpError::Closed),
            Ok(_) => {}
            // The same, by a QEMU that ended with commands unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(QmpError::Closed),
            Err(error) => return Err(QmpError::Socket(error)),
        }
    }
}

/// Bytes on their way to becoming lines.
#[derive(Debug, Default)]
struct Lines {
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line's end.
    searched: usize,
}

impl Lines {
    fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let rest = self.buffer.split_off(self.searched + at + 1);
                self.searched = 0;
                Ok(Some(std::mem::replace(&mut self.buffer, rest)))
            }
            None if self.buffer.len() > LONGEST_LINE => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "QEMU sent a line without end"))
            }
            None => {
                self.searched = self.buffer.len();
                Ok(None)
            }
        }
    }
}

/// What QEMU may send.
#[derive(Debug, PartialEq)]
enum Incoming {
    Greeting,
    Answer { id: u64, result: Result<Value, String> },
    Event(QmpEvent),
    Unknown,
}

fn parse(line: &[u8]) -> Incoming {
    #[derive(Deserialize)]
    struct Line {
        #[serde(rename = "QMP")]
        greeting: Option<Value>,
        event: Option<String>,
        #[serde(default)]
        data: Value,
        id: Option<u64>,
        #[serde(rename = "return")]
        value: Option<Value>,
        error: Option<Refusal>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        desc: String,
    }
    match serde_json::from_slice(line) {
        Ok(Line { greeting: Some(_), .. }) => Incoming::Greeting,
        Ok(Line { event: Some(name), data, .. }) => Incoming::Event(QmpEvent { name, data }),
        Ok(Line { id: Some(id), error: Some(refusal), .. }) => {
            Incoming::Answer { id, result: Err(refusal.desc) }
        }
        Ok(Line { id: Some(id), value: Some(value), .. }) => Incoming::Answer { id, result: Ok(value) },
        Ok(_) | Err(_) => Incoming::Unknown,
    }
}

#[cfg(test)]
mod tests;
