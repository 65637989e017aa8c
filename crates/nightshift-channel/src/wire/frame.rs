//! Frames: how a byte stream is cut into pieces, and found again after bytes were lost.
//!
//! ```text
//!   0      2      3      4          8          12       14      16
//!   ├magic─┼─kind─┼─tag──┼─session──┼──stream──┼─length─┼─check─┼── payload, 0 to 32,768 bytes ──
//! ```
//!
//! All numbers are little-endian. A virtual serial port has no connections: it may hold bytes of an end that is
//! gone, and a frame may be cut short where that end stopped. So a decoder *hunts* for a greeting byte by byte,
//! and once greeted it is *locked*: from then on frames must follow each other without a gap. The check tells a
//! frame that was cut short and completed by what came after it.

use bytes::Bytes;

/// The length of a frame's header in bytes.
pub const HEADER_BYTES: usize = 16;

/// The longest payload in bytes: short enough that streams which share the port take turns quickly.
pub const MAX_PAYLOAD_BYTES: usize = 32 * 1024;

/// The longest greeting in bytes: while hunting, a decoder never waits for more than this.
pub const MAX_GREETING_BYTES: usize = 512;

/// Two bytes that are neither text nor common in programs.
const MAGIC: [u8; 2] = [0xA7, 0x1D];

/// Names a session: the time from one greeting to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub u32);

/// Names a stream within its session: odd when the host opened it, even when the guest did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// What a piece of a stream is, so that one stream can carry a request, its answer and a program's two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Plain bytes: input, a file, a connection, or both outputs of a program as one.
    Bytes,
    /// A program's standard output.
    Stdout,
    /// A program's standard error.
    Stderr,
    /// A part of a JSON message that is not its last.
    MessagePart,
    /// The last or only part of a JSON message.
    Message,
}

/// Why a stream was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// Whoever used it has no more interest, or answers the other end's reset.
    Abandoned,
    /// Nobody takes streams that this end did not ask for.
    Refused,
    /// It could not be served.
    Failed,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its session.
    pub session: SessionId,
    /// What it says.
    pub body: Body,
}

/// What a frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// The host begins a session.
    Hello(Bytes),
    /// The guest agrees to it.
    Welcome(Bytes),
    /// The guest has no session: it has just started, or gave the last one up.
    NoSession,
    /// A stream begins.
    Open {
        /// The stream.
        stream: StreamId,
    },
    /// A piece of a stream; never empty.
    Data {
        /// The stream.
        stream: StreamId,
        /// What the piece is.
        lane: Lane,
        /// The piece, 1 to [`MAX_PAYLOAD_BYTES`] bytes.
        bytes: Bytes,
    },
    /// The sender has room for more of a stream.
    Credit {
        /// The stream.
        stream: StreamId,
        /// How many more bytes, counted as [`crate::wire::session`] counts them.
        bytes: u32,
    },
    /// The sender will send no more on a stream.
    End {
        /// The stream.
        stream: StreamId,
    },
    /// The sender will neither send nor take more on a stream.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        reason: ResetReason,
    },
}

/// Which end of the port this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// The end that says hello.
    Host,
    /// The end that says welcome.
    Guest,
}

/// Bytes that are no frame where one had to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The two magic bytes are missing.
    #[error("no frame begins where one has to")]
    NotAFrame,
    /// The kind, its tag or the length that belongs to it is unknown.
    #[error("a frame has an unknown form (kind {kind}, tag {tag}, {length} bytes)")]
    UnknownForm {
        /// The kind's number.
        kind: u8,
        /// The tag's number.
        tag: u8,
        /// The payload's length in bytes.
        length: u16,
    },
    /// The payload is longer than allowed.
    #[error("a frame of {length} bytes is longer than {MAX_PAYLOAD_BYTES}")]
    TooLong {
        /// The payload's length in bytes.
        length: u16,
    },
    /// The frame belongs to another session.
    #[error("a frame belongs to another session")]
    OtherSession,
    /// The check does not fit: the frame was cut short.
    #[error("a frame was cut short")]
    Torn,
}

impl Frame {
    /// Appends the frame's bytes to `out`. The payload must not be longer than [`MAX_PAYLOAD_BYTES`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        let none = StreamId(0);
        let grant;
        let (kind, tag, stream, payload): (u8, u8, StreamId, &[u8]) = match &self.body {
            Body::Hello(bytes) => (1, 0, none, bytes),
            Body::Welcome(bytes) => (2, 0, none, bytes),
            Body::NoSession => (3, 0, none, &[]),
            Body::Open { stream } => (4, 0, *stream, &[]),
            Body::Data { stream, lane, bytes } => (5, lane.tag(), *stream, bytes),
            Body::Credit { stream, bytes } => {
                grant = bytes.to_le_bytes();
                (6, 0, *stream, &grant)
            }
            Body::End { stream } => (7, 0, *stream, &[]),
            Body::Reset { stream, reason } => (8, reason.tag(), *stream, &[]),
        };
        debug_assert!(payload.len() <= MAX_PAYLOAD_BYTES, "a caller cuts what it sends");
        let header = Header {
            kind,
            tag,
            session: self.session.0,
            stream: stream.0,
            length: u16::try_from(payload.len()).unwrap_or(u16::MAX),
        };
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&header.check(payload).to_le_bytes());
        out.extend_from_slice(payload);
    }

    /// How many bytes [`Frame::encode`] appends.
    pub fn encoded_length(&self) -> usize {
        HEADER_BYTES
            + match &self.body {
                Body::Hello(bytes) | Body::Welcome(bytes) | Body::Data { bytes, .. } => bytes.len(),
                Body::Credit { .. } => 4,
                Body::NoSession | Body::Open { .. } | Body::End { .. } | Body::Reset { .. } => 0,
            }
    }
}

impl Lane {
    fn tag(self) -> u8 {
        match self {
            Self::Bytes => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::MessagePart => 3,
            Self::Message => 4,
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        [Self::Bytes, Self::Stdout, Self::Stderr, Self::MessagePart, Self::Message]
            .into_iter()
            .find(|lane| lane.tag() == tag)
    }
}

impl ResetReason {
    fn tag(self) -> u8 {
        match self {
            Self::Abandoned => 0,
            Self::Refused => 1,
            Self::Failed => 2,
        }
    }

    fn from_tag(tag: u8) -> Option<Self> {
        [Self::Abandoned, Self::Refused, Self::Failed].into_iter().find(|reason| reason.tag() == tag)
    }
}

/// A header without its check.
struct Header {
    kind: u8,
    tag: u8,
    session: u32,
    stream: u32,
    length: u16,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER_BYTES - 2] {
        let [s0, s1, s2, s3] = self.session.to_le_bytes();
        let [t0, t1, t2, t3] = self.stream.to_le_bytes();
        let [l0, l1] = self.length.to_le_bytes();
        [MAGIC[0], MAGIC[1], self.kind, self.tag, s0, s1, s2, s3, t0, t1, t2, t3, l0, l1]
    }

    /// Reads a header and its check.
    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> (Self, u16) {
        let [_, _, kind, tag, s0, s1, s2, s3, t0, t1, t2, t3, l0, l1, c0, c1] = *bytes;
        let header = Self {
            kind,
            tag,
            session: u32::from_le_bytes([s0, s1, s2, s3]),
            stream: u32::from_le_bytes([t0, t1, t2, t3]),
            length: u16::from_le_bytes([l0, l1]),
        };
        (header, u16::from_le_bytes([c0, c1]))
    }

    /// A 64-bit FNV-1a taken word by word, folded to 16 bits. It need not resist malice, only tell apart a whole
    /// frame from one whose tail is something else; and it costs next to nothing under emulation.
    fn check(&self, payload: &[u8]) -> u16 {
        const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let mut sum = OFFSET;
        let mut take = |bytes: &[u8]| {
            let (words, rest) = bytes.as_chunks::<8>();
            for word in words {
                sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME);
            }
            for byte in rest {
                sum = (sum ^ u64::from(*byte)).wrapping_mul(PRIME);
            }
        };
        take(&self.to_bytes());
        take(payload);
        let halves = sum ^ (sum >> 32);
        let folded = (halves ^ (halves >> 16)) & 0xffff;
        u16::try_from(folded).unwrap_or(u16::MAX)
    }

    fn body(&self, payload: &[u8]) -> Option<Body> {
        let stream = StreamId(self.stream);
        let bare = self.tag == 0 && payload.is_empty();
        match self.kind {
            1 if self.tag == 0 => Some(Body::Hello(Bytes::copy_from_slice(payload))),
            2 if self.tag == 0 => Some(Body::Welcome(Bytes::copy_from_slice(payload))),
            3 if bare => Some(Body::NoSession),
            4 if bare => Some(Body::Open { stream }),
            5 if !payload.is_empty() => {
                // A copy, not a slice of what was read: one byte kept must not keep a whole buffer alive.
                Some(Body::Data {
                    stream,
                    lane: Lane::from_tag(self.tag)?,
                    bytes: Bytes::copy_from_slice(payload),
                })
            }
            6 if self.tag == 0 => {
                Some(Body::Credit { stream, bytes: u32::from_le_bytes(payload.try_into().ok()?) })
            }
            7 if bare => Some(Body::End { stream }),
            8 if payload.is_empty() => Some(Body::Reset { stream, reason: ResetReason::from_tag(self.tag)? }),
            _ => None,
        }
    }
}

/// Turns bytes, in pieces of any size, into frames. What it holds is bounded by one frame and one piece.
#[derive(Debug)]
pub struct Decoder {
    end: End,
    phase: Phase,
    buffer: Vec<u8>,
    taken: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Looks for the other end's greeting and passes over everything else.
    Hunting,
    /// Every byte belongs to a frame of this session, or of a greeting.
    Locked(SessionId),
}

enum Step {
    Frame(Frame),
    Skip,
    NeedMore,
}

impl Decoder {
    /// Makes a decoder for what arrives at `end`; it hunts.
    pub fn new(end: End) -> Self {
        Self { end, phase: Phase::Hunting, buffer: Vec::new(), taken: 0 }
    }

    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// From here on only whole frames of `session` may follow: its greeting was understood.
    pub fn lock(&mut self, session: SessionId) {
        self.phase = Phase::Locked(session);
    }

    /// Looks for a greeting again.
    pub fn hunt(&mut self) {
        self.phase = Phase::Hunting;
    }

    /// Returns the next frame, or `None` when more bytes are needed.
    ///
    /// While hunting it returns greetings only and never fails. A failure leaves it locked and at the same place:
    /// the caller gives the session up, or calls [`Decoder::hunt`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            let rest = self.buffer.get(self.taken..).unwrap_or_default();
            let step = match self.phase {
                Phase::Hunting => self.hunt_at(rest),
                Phase::Locked(session) => self.locked_at(session, rest)?,
            };
            match step {
                Step::Frame(frame) => {
                    self.taken += frame.encoded_length();
                    return Ok(Some(frame));
                }
                Step::Skip => self.taken += 1,
                Step::NeedMore => return Ok(None),
            }
        }
    }

    fn hunt_at(&self, rest: &[u8]) -> Step {
        let sought = match self.end {
            End::Host => 2,
            End::Guest => 1,
        };
        let begin = [MAGIC[0], MAGIC[1], sought, 0];
        let seen = rest.len().min(begin.len());
        if rest.is_empty() {
            return Step::NeedMore;
        }
        if rest[..seen] != begin[..seen] {
            return Step::Skip;
        }
        let Some((header, payload)) = rest.split_first_chunk::<HEADER_BYTES>() else { return Step::NeedMore };
        let (header, check) = Header::from_bytes(header);
        let length = usize::from(header.length);
        if length > MAX_GREETING_BYTES {
            return Step::Skip;
        }
        let Some(payload) = payload.get(..length) else { return Step::NeedMore };
        match header.body(payload) {
            Some(body) if header.check(payload) == check => {
                Step::Frame(Frame { session: SessionId(header.session), body })
            }
            _ => Step::Skip,
        }
    }

    fn locked_at(&self, session: SessionId, rest: &[u8]) -> Result<Step, FrameError> {
        let seen = rest.len().min(MAGIC.len());
        if rest[..seen] != MAGIC[..seen] {
            return Err(FrameError::NotAFrame);
        }
        let Some((header, payload)) = rest.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(Step::NeedMore);
        };
        let (header, check) = Header::from_bytes(header);
        let length = usize::from(header.length);
        if length > MAX_PAYLOAD_BYTES {
            return Err(FrameError::TooLong { length: header.length });
        }
        let Some(payload) = payload.get(..length) else { return Ok(Step::NeedMore) };
        if header.check(payload) != check {
            return Err(FrameError::Torn);
        }
        let unknown = FrameError::UnknownForm { kind: header.kind, tag: header.tag, length: header.length };
        let body = header.body(payload).ok_or(unknown)?;
        let greets = match (&body, self.end) {
            (Body::Hello(_), End::Guest) | (Body::Welcome(_) | Body::NoSession, End::Host) => true,
            (Body::Hello(_), End::Host) | (Body::Welcome(_) | Body::NoSession, End::Guest) => {
                return Err(unknown);
            }
            (
                Body::Open { .. }
                | Body::Data { .. }
                | Body::Credit { .. }
                | Body::End { .. }
                | Body::Reset { .. },
                _,
            ) => false,
        };
        if !greets && header.session != session.0 {
            return Err(FrameError::OtherSession);
        }
        Ok(Step::Frame(Frame { session: SessionId(header.session), body }))
    }
}

/// What an end sends before its greeting: enough to complete any frame that an earlier one left unfinished.
pub fn padding() -> Vec<u8> {
    vec![0; HEADER_BYTES + MAX_PAYLOAD_BYTES]
}
