//! The session with the host: greeting, reading, writing, and its end, which no job notices.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nightshift_channel::wire::VERSION;
use nightshift_channel::wire::frame::{Body, Decoder, End, Frame, FrameError, SessionId, StreamId, padding};
use nightshift_channel::wire::greeting::{Hello, Welcome, session_of};
use nightshift_channel::wire::session::{Event, Session, Violation};

use crate::port::{Arrived, Doorbell, Port, Woken};
use crate::stream::{Cut, Stream, User};

/// How much is read or written at once, in bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// Serves one port until the host hangs up for good; each stream the host opens goes to `serve_stream`.
pub(crate) fn serve(port: OwnedFd, boot_id: &str, serve_stream: &dyn Fn(Stream)) -> io::Result<()> {
    let doorbell = Arc::new(Doorbell::new()?);
    let mut link = Link {
        boot_id,
        serve_stream,
        doorbell: Arc::clone(&doorbell),
        decoder: Decoder::new(End::Guest),
        live: None,
        // A host that talked to an earlier life of this program learns that its session is over.
        no_session_due: true,
        welcome_due: None,
        unsent: Vec::new(),
    };
    let result = Port::new(port, &doorbell).and_then(|port| link.run(&port));
    link.give_up();
    result
}

/// What the thread that serves the port knows.
struct Link<'a> {
    boot_id: &'a str,
    serve_stream: &'a dyn Fn(Stream),
    doorbell: Arc<Doorbell>,
    decoder: Decoder,
    live: Option<Arc<Live>>,
    no_session_due: bool,
    welcome_due: Option<Frame>,
    /// What the port has no room for yet.
    unsent: Vec<u8>,
}

/// A session that goes on, or is over.
pub(crate) struct Live {
    nonce: [u8; 16],
    state: Mutex<State>,
    doorbell: Arc<Doorbell>,
}

pub(crate) struct State {
    pub(crate) session: Session,
    pub(crate) users: HashMap<StreamId, Arc<User>>,
    pub(crate) over: bool,
}

impl Link<'_> {
    /// Moves bytes both ways until the port is closed.
    fn run(&mut self, port: &Port<'_>) -> io::Result<()> {
        let mut buffer = vec![0; BATCH_BYTES];
        let (mut may_read, mut may_write) = (true, true);
        loop {
            let mut moved = false;
            if may_read {
                match port.read(&mut buffer)? {
                    Arrived::Bytes(length) => {
                        self.take_bytes(buffer.get(..length).unwrap_or_default());
                        moved = true;
                    }
                    Arrived::Nothing => may_read = false,
                    Arrived::Closed => return Ok(()),
                }
            }
            if self.unsent.is_empty() {
                self.fill();
            }
            if may_write && !self.unsent.is_empty() {
                match port.write(&self.unsent)? {
                    Some(length) => {
                        self.unsent.drain(..length);
                        moved = true;
                    }
                    None => may_write = false,
                }
            }
            if !moved && port.wait()? == Woken::ByPort {
                (may_read, may_write) = (true, true);
            }
        }
    }

    fn take_bytes(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
        loop {
            let taken = match self.decoder.next_frame() {
                Ok(None) => return,
                Ok(Some(Frame { session: _, body: Body::Hello(payload) })) => {
                    self.greet(&payload);
                    Ok(())
                }
                Ok(Some(frame)) => self.take(frame).map_err(drop),
                Err(
                    FrameError::NotAFrame
                    | FrameError::UnknownForm { .. }
                    | FrameError::TooLong { .. }
                    | FrameError::OtherSession
                    | FrameError::Torn,
                ) => Err(()),
            };
            if taken.is_err() {
                self.give_up();
                self.decoder.hunt();
                self.no_session_due = true;
            }
        }
    }

    /// Answers a hello. The first with its nonce ends the session before it and begins a new one.
    fn greet(&mut self, payload: &[u8]) {
        let Some(hello) = Hello::read(payload) else { return };
        self.welcome_due = Some(Welcome::answering(&hello, self.boot_id).frame());
        if hello.version == VERSION {
            self.decoder.lock(session_of(&hello.nonce));
            if self.live.as_ref().is_none_or(|live| live.nonce != hello.nonce) {
                self.give_up();
                self.live = Some(Arc::new(Live::new(hello.nonce, Arc::clone(&self.doorbell))));
            }
        }
    }

    fn take(&self, frame: Frame) -> Result<(), Violation> {
        let Some(live) = &self.live else { return Ok(()) };
        let opened = live.change(|state| state.take(frame.body)).transpose()?.flatten();
        if let Some(opened) = opened {
            (self.serve_stream)(Stream::new(Arc::clone(live), opened));
        }
        Ok(())
    }

    /// Ends the session.
    fn give_up(&mut self) {
        if let Some(live) = self.live.take() {
            live.finish();
        }
    }

    /// Encodes what is due, up to a batch.
    fn fill(&mut self) {
        let out = &mut self.unsent;
        if std::mem::take(&mut self.no_session_due) {
            // A host in the middle of a frame takes the padding for its rest, and finds the frame torn.
            Frame { session: SessionId(0), body: Body::NoSession }.encode(out);
            out.extend_from_slice(&padding());
        }
        if let Some(welcome) = self.welcome_due.take() {
            welcome.encode(out);
        }
        if let Some(live) = &self.live {
            live.fill(out);
        }
    }
}

impl Live {
    fn new(nonce: [u8; 16], doorbell: Arc<Doorbell>) -> Self {
        let session = Session::new(End::Guest, session_of(&nonce));
        Self { nonce, state: Mutex::new(State { session, users: HashMap::new(), over: false }), doorbell }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the session and lets the port's thread look at it; `None` when it is over.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Option<T> {
        let mut state = self.lock();
        if state.over {
            return None;
        }
        let result = change(&mut state);
        if state.session.wants_to_send() {
            self.doorbell.ring();
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
        users.into_iter().for_each(|(_, user)| user.cut(Cut::Short));
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
                    let after = self.session.has_said_all(stream);
                    user.cut(if after { Cut::AfterTheEnd } else { Cut::Short });
                }
            }
            Event::Nothing => {}
        }
        Ok(None)
    }
}
