//! Many streams on one port, as a pure machine: what to send next, what to take, when the other end breaks the rules.
//!
//! ```text
//!   each direction of a stream:   Open ──▶ Ended            the sender has said all
//!                                  └─────▶ Reset            the sender neither sends nor takes any more
//! ```
//!
//! A stream is over when both directions are. Every stream and direction has its own credit, so an end that reads
//! one stream slowly holds up that stream alone, and what it has to keep is bounded. Streams that have something
//! to send take turns, a frame each. A reset is answered by a reset or an end, which tells that nothing follows.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::frame::{
    Body, End, Frame, HEADER_BYTES, Lane, MAX_PAYLOAD_BYTES, ResetReason, SessionId, StreamId,
};

/// What an end may have sent on a stream that the other has not taken yet, in bytes. A frame counts with its header,
/// so that many small frames are bounded too.
pub const WINDOW_BYTES: u32 = 256 * 1024;

/// The most streams that can be open at once of those one end opened.
pub const MAX_STREAMS: usize = 256;

/// What an end keeps of a stream until its turn comes, in bytes.
const QUEUE_BYTES: usize = 128 * 1024;

/// What must have been taken before more is granted: often enough that a sender never stops, seldom enough to be cheap.
const GRANT_BYTES: u32 = WINDOW_BYTES / 4;

/// The other end broke the rules; the session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// It opened a stream under a number that is not its own, or not a new one.
    #[error("stream {0} was opened under a number that is not free")]
    WrongStreamNumber(u32),
    /// It opened more streams than allowed.
    #[error("more than {MAX_STREAMS} streams were opened")]
    TooManyStreams,
    /// It sent on a stream that is not open.
    #[error("stream {0} is not open")]
    UnknownStream(u32),
    /// It sent on a stream it had ended.
    #[error("stream {0} was ended before")]
    AfterEnd(u32),
    /// It sent more than it had been granted.
    #[error("stream {0} carried more than was granted")]
    CreditOverrun(u32),
    /// It granted more than a window.
    #[error("stream {0} was granted more than a window")]
    CreditOverflow(u32),
    /// It sent a greeting where none may be.
    #[error("a greeting came within a session")]
    Greeting,
}

/// No stream can be opened now: [`MAX_STREAMS`] are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{MAX_STREAMS} streams are open already")]
pub struct TooManyStreams;

/// What a frame from the other end changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// It opened this stream.
    Opened(StreamId),
    /// There may be more to take from this stream, or room to send on it.
    Changed(StreamId),
    /// It cut this stream, which also changed.
    Cut(StreamId),
    /// Nothing that concerns a stream in use.
    Nothing,
}

/// What became of a piece handed over for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It will be sent.
    Queued,
    /// There is no room; try again after the stream has changed.
    Full,
    /// It was dropped: the stream was cut, ended or is unknown.
    Gone,
}

/// What a stream has for its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// The next piece.
    Piece(Lane, Bytes),
    /// Nothing yet.
    Nothing,
    /// The other end has said all.
    Ended,
    /// The other end cut the stream.
    Cut(ResetReason),
}

/// The streams of one session, at one end.
#[derive(Debug)]
pub struct Session {
    end: End,
    id: SessionId,
    streams: BTreeMap<StreamId, Stream>,
    turns: VecDeque<StreamId>,
    next_own: u32,
    last_other: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    EndDue,
    Ended,
    ResetDue(ResetReason),
    Reset,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Open,
    Ended,
    Reset(ResetReason),
}

#[derive(Debug)]
struct Stream {
    open_due: bool,
    sending: Sending,
    unsent: VecDeque<(Lane, Bytes)>,
    unsent_bytes: usize,
    /// What may still be sent.
    credit: u32,
    receiving: Receiving,
    unread: VecDeque<(Lane, Bytes)>,
    /// What the other end may still send.
    allowance: u32,
    /// What was taken and is not yet granted again.
    taken: u32,
    /// Whether it stands in the row of those that have something to send.
    in_turn: bool,
    /// Whether nobody here uses it any more.
    released: bool,
}

/// What a piece of `length` bytes costs.
fn cost(length: usize) -> u32 {
    u32::try_from(length + HEADER_BYTES).unwrap_or(u32::MAX)
}

fn opener_of(id: StreamId) -> End {
    if id.0 % 2 == 1 { End::Host } else { End::Guest }
}

impl Stream {
    fn new(open_due: bool) -> Self {
        Self {
            open_due,
            sending: Sending::Open,
            unsent: VecDeque::new(),
            unsent_bytes: 0,
            credit: WINDOW_BYTES,
            receiving: Receiving::Open,
            unread: VecDeque::new(),
            allowance: WINDOW_BYTES,
            taken: 0,
            in_turn: false,
            released: false,
        }
    }

    /// Whether neither end has anything to say on it.
    fn is_over(&self) -> bool {
        matches!(self.sending, Sending::Ended | Sending::Reset) && self.receiving != Receiving::Open
    }

    fn was_cut_here(&self) -> bool {
        matches!(self.sending, Sending::ResetDue(_) | Sending::Reset)
    }

    fn cut(&mut self, reason: ResetReason) {
        self.unsent.clear();
        self.unsent_bytes = 0;
        self.unread.clear();
        let answered = self.sending == Sending::Ended && self.receiving != Receiving::Open;
        if !answered && !self.was_cut_here() {
            self.sending = Sending::ResetDue(reason);
        }
    }

    fn wants_turn(&self) -> bool {
        self.open_due
            || match self.sending {
                Sending::ResetDue(_) => true,
                Sending::Open => self.grant_is_due() || self.can_send_next(),
                Sending::EndDue => self.grant_is_due() || self.unsent.is_empty() || self.can_send_next(),
                Sending::Ended => self.grant_is_due(),
                Sending::Reset => false,
            }
    }

    fn grant_is_due(&self) -> bool {
        self.taken >= GRANT_BYTES && self.receiving == Receiving::Open
    }

    fn can_send_next(&self) -> bool {
        self.unsent.front().is_some_and(|(_, bytes)| cost(bytes.len()) <= self.credit)
    }

    /// Says what its turn is used for.
    fn take_turn(&mut self, stream: StreamId) -> Option<Body> {
        if self.open_due {
            self.open_due = false;
            return Some(Body::Open { stream });
        }
        if let Sending::ResetDue(reason) = self.sending {
            self.sending = Sending::Reset;
            return Some(Body::Reset { stream, reason });
        }
        if self.grant_is_due() {
            let bytes = std::mem::take(&mut self.taken);
            self.allowance += bytes;
            return Some(Body::Credit { stream, bytes });
        }
        if self.can_send_next() {
            let (lane, bytes) = self.unsent.pop_front()?;
            self.unsent_bytes -= bytes.len();
            self.credit -= cost(bytes.len());
            return Some(Body::Data { stream, lane, bytes });
        }
        if self.sending == Sending::EndDue && self.unsent.is_empty() {
            self.sending = Sending::Ended;
            return Some(Body::End { stream });
        }
        None
    }
}

impl Session {
    /// Begins a session without streams.
    pub fn new(end: End, id: SessionId) -> Self {
        let (next_own, last_other) = match end {
            End::Host => (1, 0),
            End::Guest => (2, 0),
        };
        Self { end, id, streams: BTreeMap::new(), turns: VecDeque::new(), next_own, last_other }
    }

    /// Its id.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Opens a stream.
    pub fn open(&mut self) -> Result<StreamId, TooManyStreams> {
        if self.open_streams(self.end) >= MAX_STREAMS {
            return Err(TooManyStreams);
        }
        let id = StreamId(self.next_own);
        self.next_own = self.next_own.checked_add(2).ok_or(TooManyStreams)?;
        self.streams.insert(id, Stream::new(true));
        self.queue(id);
        Ok(id)
    }

    /// Hands over a piece of 1 to [`MAX_PAYLOAD_BYTES`] bytes for sending; an empty one is nothing to send.
    pub fn send(&mut self, id: StreamId, lane: Lane, bytes: Bytes) -> Sent {
        debug_assert!(bytes.len() <= MAX_PAYLOAD_BYTES, "a caller cuts what it sends");
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.sending == Sending::Open) else {
            return Sent::Gone;
        };
        if bytes.is_empty() {
            return Sent::Queued;
        }
        if stream.unsent_bytes + bytes.len() > QUEUE_BYTES {
            return Sent::Full;
        }
        stream.unsent_bytes += bytes.len();
        stream.unsent.push_back((lane, bytes));
        self.queue(id);
        Sent::Queued
    }

    /// Says that nothing more will be sent on a stream; what was handed over before still goes out.
    pub fn end(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.sending == Sending::Open) {
            stream.sending = Sending::EndDue;
            self.queue(id);
        }
    }

    /// Cuts a stream: what was not sent or not taken is dropped, and so is what still arrives.
    pub fn reset(&mut self, id: StreamId, reason: ResetReason) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.cut(reason);
            self.queue(id);
        }
    }

    /// Says that nobody here uses the stream any more. It is cut unless it is over, or has only its end to send
    /// and the other end has said all.
    pub fn release(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.released = true;
            stream.unread.clear();
            if stream.receiving == Receiving::Open || stream.sending == Sending::Open {
                stream.cut(ResetReason::Abandoned);
            }
            self.queue(id);
            self.remove_if_over(id);
        }
    }

    /// Takes the next piece of a stream.
    pub fn receive(&mut self, id: StreamId) -> Received {
        let Some(stream) = self.streams.get_mut(&id) else { return Received::Cut(ResetReason::Abandoned) };
        if stream.was_cut_here() && stream.receiving == Receiving::Open {
            return Received::Cut(ResetReason::Abandoned);
        }
        if let Some((lane, bytes)) = stream.unread.pop_front() {
            stream.taken += cost(bytes.len());
            self.queue(id);
            return Received::Piece(lane, bytes);
        }
        match stream.receiving {
            Receiving::Open => Received::Nothing,
            Receiving::Ended => Received::Ended,
            Receiving::Reset(reason) => Received::Cut(reason),
        }
    }

    /// Whether the other end still takes what is sent on the stream.
    pub fn is_wanted(&self, id: StreamId) -> bool {
        self.streams
            .get(&id)
            .is_some_and(|stream| !matches!(stream.receiving, Receiving::Reset(_)) && !stream.was_cut_here())
    }

    /// Whether either end cut the stream before the other had said all, or it is unknown.
    pub fn was_cut_short(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_none_or(|stream| match stream.receiving {
            Receiving::Open => stream.was_cut_here(),
            Receiving::Ended => false,
            Receiving::Reset(_) => true,
        })
    }

    /// Whether the other end has said all it had to say, which may not be taken yet.
    pub fn has_said_all(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.receiving == Receiving::Ended)
    }

    /// Whether all that was handed over has been passed on, the end of the stream too if it was said.
    pub fn is_passed_on(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_none_or(|stream| {
            stream.unsent.is_empty()
                && matches!(stream.sending, Sending::Open | Sending::Ended | Sending::Reset)
        })
    }

    /// Takes a frame from the other end.
    pub fn handle(&mut self, body: Body) -> Result<Event, Violation> {
        match body {
            Body::Hello(_) | Body::Welcome(_) | Body::NoSession => Err(Violation::Greeting),
            Body::Open { stream } => self.opened(stream),
            Body::Data { stream: id, lane, bytes } => {
                let stream = self.receiving(id)?;
                stream.allowance =
                    stream.allowance.checked_sub(cost(bytes.len())).ok_or(Violation::CreditOverrun(id.0))?;
                if stream.was_cut_here() || stream.released {
                    return Ok(Event::Nothing);
                }
                stream.unread.push_back((lane, bytes));
                Ok(Event::Changed(id))
            }
            Body::Credit { stream: id, bytes } => self.granted(id, bytes),
            Body::End { stream: id } => {
                self.receiving(id)?.receiving = Receiving::Ended;
                self.remove_if_over(id);
                Ok(Event::Changed(id))
            }
            Body::Reset { stream: id, reason } => self.cut_by_other(id, reason),
        }
    }

    /// Whether [`Session::next_frame`] may have something to return.
    pub fn wants_to_send(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Returns the next frame to send: streams take turns.
    pub fn next_frame(&mut self) -> Option<Frame> {
        while let Some(id) = self.turns.pop_front() {
            let Some(stream) = self.streams.get_mut(&id) else { continue };
            stream.in_turn = false;
            let Some(body) = stream.take_turn(id) else { continue };
            self.queue(id);
            self.remove_if_over(id);
            return Some(Frame { session: self.id, body });
        }
        None
    }

    /// How many streams that `opener` opened are not over.
    fn open_streams(&self, opener: End) -> usize {
        self.streams.iter().filter(|(id, stream)| opener_of(**id) == opener && !stream.is_over()).count()
    }

    fn is_own(&self, id: StreamId) -> bool {
        opener_of(id) == self.end
    }

    fn was_used(&self, id: StreamId) -> bool {
        if self.is_own(id) { id.0 < self.next_own } else { id.0 != 0 && id.0 <= self.last_other }
    }

    fn opened(&mut self, id: StreamId) -> Result<Event, Violation> {
        if id.0 == 0 || self.is_own(id) || id.0 <= self.last_other {
            return Err(Violation::WrongStreamNumber(id.0));
        }
        let other = match self.end {
            End::Host => End::Guest,
            End::Guest => End::Host,
        };
        if self.open_streams(other) >= MAX_STREAMS {
            return Err(Violation::TooManyStreams);
        }
        self.last_other = id.0;
        self.streams.insert(id, Stream::new(false));
        Ok(Event::Opened(id))
    }

    /// The stream, if the other end may still send on it.
    fn receiving(&mut self, id: StreamId) -> Result<&mut Stream, Violation> {
        let used = self.was_used(id);
        match self.streams.get_mut(&id) {
            Some(stream) if stream.receiving == Receiving::Open => Ok(stream),
            Some(_) => Err(Violation::AfterEnd(id.0)),
            None if used => Err(Violation::AfterEnd(id.0)),
            None => Err(Violation::UnknownStream(id.0)),
        }
    }

    fn granted(&mut self, id: StreamId, bytes: u32) -> Result<Event, Violation> {
        let used = self.was_used(id);
        match self.streams.get_mut(&id) {
            Some(stream) => {
                let credit = stream.credit.checked_add(bytes).filter(|credit| *credit <= WINDOW_BYTES);
                stream.credit = credit.ok_or(Violation::CreditOverflow(id.0))?;
                self.queue(id);
                Ok(Event::Changed(id))
            }
            // It was granted before the other end learnt that the stream is over.
            None if used => Ok(Event::Nothing),
            None => Err(Violation::UnknownStream(id.0)),
        }
    }

    fn cut_by_other(&mut self, id: StreamId, reason: ResetReason) -> Result<Event, Violation> {
        let used = self.was_used(id);
        let Some(stream) = self.streams.get_mut(&id) else {
            return if used { Ok(Event::Nothing) } else { Err(Violation::UnknownStream(id.0)) };
        };
        if stream.receiving == Receiving::Open {
            stream.receiving = Receiving::Reset(reason);
        }
        stream.unsent.clear();
        stream.unsent_bytes = 0;
        if matches!(stream.sending, Sending::Open | Sending::EndDue) {
            stream.sending = Sending::ResetDue(ResetReason::Abandoned);
        }
        self.queue(id);
        self.remove_if_over(id);
        Ok(Event::Cut(id))
    }

    fn queue(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id)
            && !stream.in_turn
            && stream.wants_turn()
        {
            stream.in_turn = true;
            self.turns.push_back(id);
        }
    }

    fn remove_if_over(&mut self, id: StreamId) {
        if self.streams.get(&id).is_some_and(|stream| stream.released && stream.is_over()) {
            self.streams.remove(&id);
        }
    }
}
