//! A channel: greeting, then two tasks that move frames between the socket and the session.
//!
//! Neither task waits for whoever uses a stream: what arrives is kept within the stream's window, and what is to be
//! sent waits in the session. So a slow user of one stream holds up nobody else.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::wire::frame::{Body, Decoder, End, Frame, ResetReason, StreamId, padding};
use crate::wire::greeting::{Hello, Welcome, session_of};
use crate::wire::service::{ConnectAnswer, Identity, IdentityAnswer, Request};
use crate::wire::session::{Event, Session};
use crate::wire::{VERSION, service};

use super::connections::Connections;
use super::error::{ChannelError, CloseReason, ConnectError, IdentityError, OpenError};
use super::stream::{GuestStream, Stream};

/// How often the hello is said until it is answered: the guest's program may not have started yet.
const HELLO_EVERY: Duration = Duration::from_millis(100);

/// How much is read or written at once, in bytes. Between two batches others have their turn: a guest that never
/// stops sending would otherwise keep a thread for as many batches as the runtime lets a task go on (128).
const BATCH_BYTES: usize = 64 * 1024;

/// How much is passed over at most in search of the welcome, in bytes. What an earlier session can have left is what
/// the sockets and queues on the way hold, less than 1 MiB; whoever sends more is not answering.
const MAX_HUNTED_BYTES: usize = 16 * 1024 * 1024;

/// The host's end of the channel to one guest. Clones share it; it closes when the last of them and of its streams
/// and jobs is dropped. Jobs in the guest go on without it.
#[derive(Clone)]
pub struct Channel {
    link: Arc<Link>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Channel").field("boot_id", &self.link.boot_id).finish_non_exhaustive()
    }
}

/// What keeps a channel open.
pub(super) struct Link {
    shared: Arc<Shared>,
    boot_id: String,
    tasks: [AbortHandle; 2],
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.close(CloseReason::ByHost);
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What users of streams share with the two tasks.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rung when there may be something to write.
    outgoing: Notify,
    closed: watch::Sender<Option<CloseReason>>,
}

pub(super) struct State {
    pub(super) session: Session,
    pub(super) waiting: HashMap<StreamId, Waiting>,
    /// What the guest opened, for whoever takes connections; refused while nobody does.
    pub(super) offered: Option<Offered>,
}

/// Streams the guest opened that nobody has taken yet, at most [`service::MAX_CONNECTIONS`].
#[derive(Default)]
pub(super) struct Offered {
    /// Which of those who took connections one after the other takes these.
    pub(super) taking: u64,
    pub(super) streams: VecDeque<StreamId>,
    pub(super) taker: Option<Waker>,
}

/// Who waits for a stream to change.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Waiting {
    fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Channel {
    /// Greets the guest on a byte stream that ends at its program, and returns when it has answered.
    ///
    /// `nonce` must be fresh randomness. The streams of an earlier session end in the guest; its jobs go on. The hello
    /// is repeated until `within` is over, so the guest may still be starting.
    pub async fn open(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        nonce: [u8; 16],
        within: Duration,
    ) -> Result<Self, OpenError> {
        let mut greeting = Greeting::new(stream, nonce);
        let welcome = tokio::time::timeout(within, greeting.run())
            .await
            .map_err(|_| OpenError::TimedOut { within })??;
        if welcome.version != VERSION {
            return Err(OpenError::OtherVersion { guest: welcome.version });
        }
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                session: Session::new(End::Host, session_of(&nonce)),
                waiting: HashMap::new(),
                offered: None,
            }),
            outgoing: Notify::new(),
            closed: watch::Sender::new(None),
        });
        let Greeting { reader, writer, decoder, unsent, .. } = greeting;
        let reading = tokio::spawn(read(Arc::clone(&shared), reader, decoder)).abort_handle();
        let writing = tokio::spawn(write(Arc::clone(&shared), writer, unsent)).abort_handle();
        let boot_id = welcome.boot_id.chars().filter(|character| !character.is_control()).take(64).collect();
        Ok(Self { link: Arc::new(Link { shared, boot_id, tasks: [reading, writing] }) })
    }

    /// The guest kernel's name for its boot. It changes when the guest restarts; clones of a template share it.
    pub fn boot_id(&self) -> &str {
        &self.link.boot_id
    }

    /// Returns when the channel is closed, with the reason.
    pub async fn closed(&self) -> CloseReason {
        let mut closed = self.link.shared.closed.subscribe();
        // The sender lives as long as this channel, so the wait ends with a reason.
        closed
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or(CloseReason::ByHost)
    }

    /// Measures how long the guest takes to answer.
    pub async fn ping(&self) -> Result<Duration, ChannelError> {
        let begun = Instant::now();
        self.ask::<()>(&Request::Ping).await?;
        Ok(begun.elapsed())
    }

    /// Gives a clone its own host name, machine id, randomness and time. Setting it again is safe.
    pub async fn set_identity(&self, identity: Identity) -> Result<(), IdentityError> {
        self.ask::<IdentityAnswer>(&Request::Identity(identity)).await??;
        Ok(())
    }

    /// Connects to a TCP port of the guest's loopback interface.
    pub async fn connect(&self, port: u16) -> Result<GuestStream, ConnectError> {
        let mut stream = self.request(&Request::Connect { port }).await?;
        stream.answer::<ConnectAnswer>().await??;
        Ok(GuestStream::new(stream))
    }

    /// Opens the guest's proxy port and takes the connections that programs make to it. Taking them again ends what
    /// took them before.
    pub async fn take_connections(&self) -> Result<Connections, ChannelError> {
        let connections = Connections::new(Arc::clone(&self.link))?;
        self.ask::<()>(&Request::TakeConnections).await?;
        Ok(connections)
    }

    /// Opens a stream and sends a request on it.
    pub(super) async fn request(&self, request: &Request) -> Result<Stream, ChannelError> {
        let message = serde_json::to_vec(request).map_err(|_| ChannelError::TooLong)?;
        if message.len() > service::MAX_REQUEST_BYTES {
            return Err(ChannelError::TooLong);
        }
        let mut stream = Stream::open(Arc::clone(&self.link))?;
        stream.send_message(&message).await?;
        Ok(stream)
    }

    /// Sends a request that has one answer.
    pub(super) async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, ChannelError> {
        let mut stream = self.request(request).await?;
        stream.end();
        stream.answer().await
    }
}

impl Link {
    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Shared {
    /// Changes the session, or tells why it is closed.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T, CloseReason> {
        let mut state = self.lock();
        // Looked at under the lock: who is told that it is open is woken when it closes.
        if let Some(reason) = self.closed.borrow().clone() {
            return Err(reason);
        }
        let result = change(&mut state);
        if state.session.wants_to_send() {
            self.outgoing.notify_one();
        }
        Ok(result)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes it for a reason, unless it is closed.
    fn close(&self, reason: CloseReason) {
        let mut state = self.lock();
        self.closed.send_if_modified(|closed| {
            let first = closed.is_none();
            closed.get_or_insert(reason);
            first
        });
        state.waiting.drain().for_each(|(_, mut waiting)| waiting.wake());
        if let Some(taker) = state.offered.as_mut().and_then(|offered| offered.taker.take()) {
            taker.wake();
        }
    }

    async fn until_closed(&self) {
        let mut closed = self.closed.subscribe();
        // An error would mean that the sender, which is a field of this, is gone.
        let _ = closed.wait_for(Option::is_some).await;
    }

    /// Takes a frame from the guest.
    fn take(&self, frame: Frame) -> Result<(), CloseReason> {
        match frame.body {
            // An answer to one of the hellos repeated before the first answer came.
            Body::Welcome(_) => return Ok(()),
            Body::NoSession => return Err(CloseReason::LostByGuest),
            Body::Hello(_)
            | Body::Open { .. }
            | Body::Data { .. }
            | Body::Credit { .. }
            | Body::End { .. }
            | Body::Reset { .. } => {}
        }
        self.change(|state| match state.session.handle(frame.body)? {
            Event::Opened(stream) => {
                match &mut state.offered {
                    Some(offered) if offered.streams.len() < service::MAX_CONNECTIONS => {
                        offered.streams.push_back(stream);
                        offered.taker.take().into_iter().for_each(Waker::wake);
                    }
                    // Streams that the guest opens and cuts at once no longer count as open, and must not pile up.
                    Some(_) | None => {
                        state.session.reset(stream, ResetReason::Refused);
                        state.session.release(stream);
                    }
                }
                Ok(())
            }
            Event::Changed(stream) | Event::Cut(stream) => {
                if let Some(waiting) = state.waiting.get_mut(&stream) {
                    waiting.wake();
                }
                Ok(())
            }
            Event::Nothing => Ok(()),
        })?
        .map_err(CloseReason::Violation)
    }

    /// Encodes frames into `out` until a batch is full or there is nothing to send.
    fn fill(&self, out: &mut Vec<u8>) {
        let mut state = self.lock();
        while out.len() < BATCH_BYTES {
            let Some(frame) = state.session.next_frame() else { return };
            frame.encode(out);
            if let Body::Data { stream, .. } | Body::End { stream } | Body::Reset { stream, .. } = frame.body
                && let Some(waiting) = state.waiting.get_mut(&stream)
                && let Some(writer) = waiting.writer.take()
            {
                writer.wake();
            }
        }
    }
}

/// Moves what arrives into the session.
async fn read<S: AsyncRead>(shared: Arc<Shared>, mut reader: ReadHalf<S>, mut decoder: Decoder) {
    let reason = tokio::select! {
        reason = take_all(&shared, &mut reader, &mut decoder) => reason,
        () = shared.until_closed() => return,
    };
    shared.close(reason);
}

async fn take_all<S: AsyncRead>(
    shared: &Shared,
    reader: &mut ReadHalf<S>,
    decoder: &mut Decoder,
) -> CloseReason {
    let mut buffer = vec![0; BATCH_BYTES];
    loop {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    if let Err(reason) = shared.take(frame) {
                        return reason;
                    }
                }
                Ok(None) => break,
                Err(error) => return CloseReason::BadFrame(error),
            }
        }
        match reader.read(&mut buffer).await {
            Ok(0) => return CloseReason::HungUp,
            Ok(length) => decoder.push(buffer.get(..length).unwrap_or_default()),
            Err(error) => return CloseReason::Socket(error.to_string()),
        }
        tokio::task::yield_now().await;
    }
}

/// Moves what the session has to send out.
async fn write<S: AsyncWrite>(shared: Arc<Shared>, mut writer: WriteHalf<S>, mut unsent: Vec<u8>) {
    let reason = tokio::select! {
        reason = send_all(&shared, &mut writer, &mut unsent) => reason,
        () = shared.until_closed() => return,
    };
    shared.close(reason);
}

async fn send_all<S: AsyncWrite>(
    shared: &Shared,
    writer: &mut WriteHalf<S>,
    batch: &mut Vec<u8>,
) -> CloseReason {
    loop {
        if batch.is_empty() {
            shared.outgoing.notified().await;
        } else {
            let written = async {
                writer.write_all(batch).await?;
                writer.flush().await
            };
            if let Err(error) = written.await {
                return CloseReason::Socket(error.to_string());
            }
            batch.clear();
        }
        shared.fill(batch);
    }
}

/// The two halves of a socket while they are being greeted through.
struct Greeting<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    decoder: Decoder,
    nonce: [u8; 16],
    /// What is still to be written; a hello is added only when nothing is.
    unsent: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite> Greeting<S> {
    fn new(stream: S, nonce: [u8; 16]) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, decoder: Decoder::new(End::Host), nonce, unsent: padding() }
    }

    /// Says hello until it is welcomed.
    async fn run(&mut self) -> Result<Welcome, OpenError> {
        let mut every = tokio::time::interval(HELLO_EVERY);
        let mut buffer = vec![0; BATCH_BYTES];
        let mut hunted = 0;
        Hello::new(self.nonce).frame().encode(&mut self.unsent);
        every.tick().await;
        loop {
            if let Some(welcome) = self.welcomed() {
                return Ok(welcome);
            }
            tokio::select! {
                read = self.reader.read(&mut buffer) => match read.map_err(OpenError::Socket)? {
                    0 => return Err(OpenError::HungUp),
                    _ if hunted > MAX_HUNTED_BYTES => return Err(OpenError::Flooded),
                    length => {
                        hunted += length;
                        self.decoder.push(buffer.get(..length).unwrap_or_default());
                    }
                },
                written = self.writer.write(&self.unsent), if !self.unsent.is_empty() => {
                    let written = written.map_err(OpenError::Socket)?;
                    self.unsent.drain(..written);
                }
                _ = every.tick(), if self.unsent.is_empty() => Hello::new(self.nonce).frame().encode(&mut self.unsent),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Looks for the welcome to this very hello among what has arrived.
    fn welcomed(&mut self) -> Option<Welcome> {
        // While hunting, a decoder returns greetings and no errors.
        while let Ok(Some(frame)) = self.decoder.next_frame() {
            if let Body::Welcome(payload) = frame.body
                && let Some(welcome) = Welcome::read(&payload)
                && welcome.nonce == self.nonce
            {
                self.decoder.lock(session_of(&self.nonce));
                return Some(welcome);
            }
        }
        None
    }
}
