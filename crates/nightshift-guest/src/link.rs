//! The session with the host: greeting, reading, writing, and its end, which no job notices.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightshift_channel::wire::VERSION;
use nightshift_channel::wire::frame::{Body, Decoder, End, Frame, FrameError, SessionId, StreamId, padding};
use nightshift_channel::wire::greeting::{Hello, Welcome, session_of};
use nightshift_channel::wire::session::{Event, Session, Violation};

use crate::bell::Bell;
use crate::port::{self, Arrived, PortReader, PortWriter};
use crate::stream::{Stream, User};

/// How much is read or written at once, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// Serves one port until the host hangs up for good; each stream the host opens goes to `serve_stream`.
pub(crate) fn serve(port: OwnedFd, boot_id: &str, serve_stream: &dyn Fn(Stream)) -> io::Result<()> {
    let (reader, writer) = port::split(port)?;
    let link = Arc::new(Link::default());
    let writing = std::thread::Builder::new().name("writer".to_owned()).spawn({
        let link = Arc::clone(&link);
        move || link.write(&writer)
    })?;
    let result = link.read(reader, boot_id, serve_stream);
    link.give_up();
    link.finished.store(true, Ordering::Release);
    link.outgoing.ring();
    // A writer that panicked has nothing to say: the program aborts on panic.
    let _ = writing.join();
    result
}

/// What reader and writer share.
#[derive(Default)]
struct Link {
    due: Mutex<Due>,
    /// Rung when there may be something to write.
    outgoing: Arc<Bell>,
    finished: AtomicBool,
}

/// What the writer has to send, and for whom.
#[derive(Default)]
struct Due {
    live: Option<Arc<Live>>,
    no_session: bool,
    welcome: Option<Frame>,
}

/// A session that goes on, or is over.
pub(crate) struct Live {
    nonce: [u8; 16],
    state: Mutex<State>,
    outgoing: Arc<Bell>,
}

pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) users: HashMap<StreamId, Arc<User>>,
    pub(crate) over: bool,
}

impl Link {
    /// Takes what arrives until the port is closed.
    fn read(&self, reader: PortReader, boot_id: &str, serve_stream: &dyn Fn(Stream)) -> io::Result<()> {
        let mut decoder = Decoder::new(End::Guest);
        let mut buffer = vec![0; BATCH_BYTES];
        // A host that talked to an earlier instance of this program learns that its session is over.
        self.say_no_session();
        loop {
            match reader.read(&mut buffer)? {
                Arrived::Bytes(length) => decoder.push(buffer.get(..length).unwrap_or_default()),
                Arrived::Closed => return Ok(()),
            }
            loop {
                match decoder.next_frame() {
                    Ok(None) => break,
                    Ok(Some(Frame { session: _, body: Body::Hello(payload) })) => {
                        if let Some(session) = self.greet(&payload, boot_id) {
                            decoder.lock(session);
                        }
                    }
                    Ok(Some(frame)) => {
                        if self.take(frame, serve_stream).is_err() {
                            self.lose(&mut decoder);
                        }
                    }
                    Err(
                        FrameError::NotAFrame
                        | FrameError::UnknownForm { .. }
                        | FrameError::TooLong { .. }
                        | FrameError::OtherSession
                        | FrameError::Torn,
                    ) => self.lose(&mut decoder),
                }
            }
        }
    }

    /// Answers a hello. The first with its nonce ends the session before it and begins a new one.
    fn greet(&self, payload: &[u8], boot_id: &str) -> Option<SessionId> {
        let hello = Hello::read(payload)?;
        let session = session_of(&hello.nonce);
        let welcome = Welcome::answering(&hello, boot_id).frame();
        let before = {
            let mut due = self.due();
            due.welcome = Some(welcome);
            if hello.version == VERSION && due.live.as_ref().is_none_or(|live| live.nonce != hello.nonce) {
                due.live.replace(Arc::new(Live::new(hello.nonce, Arc::clone(&self.outgoing))))
            } else {
                None
            }
        };
        if let Some(before) = before {
            before.finish();
        }
        self.outgoing.ring();
        (hello.version == VERSION).then_some(session)
    }

    fn take(&self, frame: Frame, serve_stream: &dyn Fn(Stream)) -> Result<(), Violation> {
        let live = self.due().live.clone();
        let Some(live) = live else { return Ok(()) };
        let opened = live.change(|state| state.take(frame.body)).transpose()?.flatten();
        if let Some(opened) = opened {
            serve_stream(Stream::new(Arc::clone(&live), opened));
        }
        Ok(())
    }

    /// Ends the session because what arrived made no sense, and tells the host.
    fn lose(&self, decoder: &mut Decoder) {
        self.give_up();
        decoder.hunt();
        self.say_no_session();
    }

    fn say_no_session(&self) {
        self.due().no_session = true;
        self.outgoing.ring();
    }

    /// Ends the session.
    fn give_up(&self) {
        let before = self.due().live.take();
        if let Some(before) = before {
            before.finish();
        }
    }

    /// Writes what is due until the port is closed.
    fn write(&self, writer: &PortWriter) {
        let mut batch = Vec::new();
        while !self.finished.load(Ordering::Acquire) {
            batch.clear();
            self.fill(&mut batch);
            if batch.is_empty() {
                self.outgoing.wait();
            } else if writer.write(&batch).is_err() {
                // The port is gone, and the reader meets the same.
                return;
            }
        }
    }

    /// Encodes what is due into `out`, up to a batch.
    fn fill(&self, out: &mut Vec<u8>) {
        let live = {
            let mut due = self.due();
            if std::mem::take(&mut due.no_session) {
                // A host in the middle of a frame takes the padding for its rest, and finds the frame torn.
                Frame { session: SessionId(0), body: Body::NoSession }.encode(out);
                out.extend_from_slice(&padding());
            }
            if let Some(welcome) = due.welcome.take() {
                welcome.encode(out);
            }
            due.live.clone()
        };
        if let Some(live) = live {
            live.fill(out);
        }
    }

    fn due(&self) -> MutexGuard<'_, Due> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    fn new(nonce: [u8; 16], outgoing: Arc<Bell>) -> Self {
        let session = Session::new(End::Guest, session_of(&nonce));
        Self { nonce, state: Mutex::new(State { session, users: HashMap::new(), over: false }), outgoing }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session and lets the writer look at it; `None` when it is over.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.lock();
        if state.over {
            return None;
        }
        let result = change(&mut state);
        if state.session.wants_to_send() {
            self.outgoing.ring();
        }
        Some(result)
    }

    /// Ends it: whoever uses a stream is told.
    fn finish(&self) {
        let users: Vec<_> = {
            let mut state = self.lock();
            state.over = true;
            state.users.drain().collect()
        };
        users.into_iter().for_each(|(_, user)| user.cut());
    }

    fn fill(&self, out: &mut Vec<u8>) {
        let mut state = self.lock();
        if state.over {
            return;
        }
        while out.len() < BATCH_BYTES {
            let Some(frame) = state.session.next_frame() else { return };
            frame.encode(out);
            if let Body::Data { stream, .. } | Body::End { stream } | Body::Reset { stream, .. } = frame.body
                && let Some(user) = state.users.get(&stream)
            {
                user.writer.ring();
            }
        }
    }
}

impl State {
    /// Takes a frame from the host; returns the stream it opens.
    fn take(&mut self, body: Body) -> Result<Option<StreamId>, Violation> {
        match self.session.handle(body)? {
            Event::Opened(stream) => return Ok(Some(stream)),
            Event::Changed(stream) => {
                if let Some(user) = self.users.get(&stream) {
                    user.reader.ring();
                    user.writer.ring();
                }
            }
            Event::Cut(stream) => {
                if let Some(user) = self.users.get(&stream) {
                    user.cut();
                }
            }
            Event::Nothing => {}
        }
        Ok(None)
    }
}
