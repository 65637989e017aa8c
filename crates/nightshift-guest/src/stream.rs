//! One stream, for a thread that reads it and perhaps another that writes it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use nightshift_channel::wire::frame::{Lane, MAX_PAYLOAD_BYTES, ResetReason, StreamId};
use nightshift_channel::wire::session::{Received, Sent};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bell::Bell;
use crate::link::Live;

/// The host has no more interest: the stream was cut, or its session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// When a stream was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// In the middle: nothing of it is of use any more.
    Short,
    /// After the host had said all, which may still be read: it only takes no more.
    AfterTheEnd,
}

/// Who uses a stream.
#[derive(Default)]
pub(crate) struct User {
    /// Rung when there may be something to read.
    pub(crate) reader: Bell,
    /// Rung when there may be room to write.
    pub(crate) writer: Arc<Bell>,
    on_cut: Mutex<OnCut>,
}

#[derive(Default)]
enum OnCut {
    #[default]
    Nothing,
    Call(Box<dyn FnOnce(Cut) + Send>),
    WasCut(Cut),
}

impl User {
    /// Tells the user that the stream is of no more use.
    pub(crate) fn cut(&self, cut: Cut) {
        let before = std::mem::replace(
            &mut *self.on_cut.lock().unwrap_or_else(PoisonError::into_inner),
            OnCut::WasCut(cut),
        );
        if let OnCut::Call(call) = before {
            call(cut);
        }
        self.reader.ring();
        self.writer.ring();
    }
}

/// A stream; dropping it cuts it.
pub(crate) struct Stream {
    live: Arc<Live>,
    id: StreamId,
    user: Arc<User>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.live.change(|state| {
            state.users.remove(&self.id);
            state.session.release(self.id);
        });
    }
}

impl Stream {
    pub(crate) fn new(live: Arc<Live>, id: StreamId) -> Self {
        let user = Arc::new(User::default());
        live.change(|state| state.users.insert(id, Arc::clone(&user)));
        Self { live, id, user }
    }

    /// The session it belongs to.
    pub(crate) fn session(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Waits for the next piece; `None` after the last.
    pub(crate) fn receive(&self) -> Result<Option<(Lane, Bytes)>, Gone> {
        loop {
            match self.live.change(|state| state.session.receive(self.id)).ok_or(Gone)? {
                Received::Piece(lane, bytes) => return Ok(Some((lane, bytes))),
                Received::Ended => return Ok(None),
                Received::Cut(_) => return Err(Gone),
                Received::Nothing => self.user.reader.wait(),
            }
        }
    }

    /// Waits for the next plain bytes; `None` after the last.
    pub(crate) fn receive_bytes(&self) -> Result<Option<Bytes>, Gone> {
        match self.receive()? {
            Some((Lane::Bytes, bytes)) => Ok(Some(bytes)),
            Some((Lane::Stdout | Lane::Stderr | Lane::MessagePart | Lane::Message, _)) => Err(Gone),
            None => Ok(None),
        }
    }

    /// Waits for a message of at most `limit` bytes.
    pub(crate) fn receive_message<T: DeserializeOwned>(&self, limit: usize) -> Result<T, Gone> {
        let mut message = Vec::new();
        loop {
            let (lane, bytes) = self.receive()?.ok_or(Gone)?;
            message.extend_from_slice(&bytes);
            match lane {
                Lane::Message if message.len() <= limit => {
                    return serde_json::from_slice(&message).map_err(|_| Gone);
                }
                Lane::MessagePart if message.len() <= limit => {}
                Lane::Bytes | Lane::Stdout | Lane::Stderr | Lane::MessagePart | Lane::Message => {
                    return Err(Gone);
                }
            }
        }
    }

    /// Sends bytes, waiting for room.
    pub(crate) fn send(&self, lane: Lane, bytes: &[u8]) -> Result<(), Gone> {
        for piece in bytes.chunks(MAX_PAYLOAD_BYTES) {
            self.send_piece(lane, Bytes::copy_from_slice(piece))?;
        }
        Ok(())
    }

    /// Sends a message, waiting for room.
    pub(crate) fn send_message(&self, message: &impl Serialize) -> Result<(), Gone> {
        let message = serde_json::to_vec(message).map_err(|_| Gone)?;
        let mut pieces = message.chunks(MAX_PAYLOAD_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let lane = if pieces.peek().is_some() { Lane::MessagePart } else { Lane::Message };
            self.send_piece(lane, Bytes::copy_from_slice(piece))?;
        }
        Ok(())
    }

    /// Says that nothing more will be sent, and waits until all that was sent has left.
    pub(crate) fn end(&self) -> Result<(), Gone> {
        self.live.change(|state| state.session.end(self.id)).ok_or(Gone)?;
        while !self.live.change(|state| state.session.is_passed_on(self.id)).ok_or(Gone)? {
            self.user.writer.wait();
        }
        Ok(())
    }

    /// Sends a message as the last.
    pub(crate) fn answer(&self, message: &impl Serialize) -> Result<(), Gone> {
        self.send_message(message)?;
        self.end()
    }

    /// Cuts it.
    pub(crate) fn reset(&self, reason: ResetReason) {
        self.live.change(|state| state.session.reset(self.id, reason));
    }

    /// Waits until something changes for who writes: room, or a ring of the bell given out by [`Stream::writer_bell`].
    pub(crate) fn wait_for_change(&self) -> Result<(), Gone> {
        let wanted = self.live.change(|state| state.session.is_wanted(self.id)).unwrap_or(false);
        if !wanted {
            return Err(Gone);
        }
        self.user.writer.wait();
        Ok(())
    }

    /// The bell that wakes who writes.
    pub(crate) fn writer_bell(&self) -> Arc<Bell> {
        Arc::clone(&self.user.writer)
    }

    /// Has `call` called once when the stream is cut or its session is over, also when that was before.
    pub(crate) fn on_cut(&self, call: impl FnOnce(Cut) + Send + 'static) {
        let gone = self.live.change(|state| state.session.was_cut_short(self.id)).unwrap_or(true);
        let mut on_cut = self.user.on_cut.lock().unwrap_or_else(PoisonError::into_inner);
        match *on_cut {
            OnCut::WasCut(cut) => {
                drop(on_cut);
                call(cut);
            }
            OnCut::Nothing | OnCut::Call(_) if gone => {
                drop(on_cut);
                call(Cut::Short);
            }
            OnCut::Nothing | OnCut::Call(_) => *on_cut = OnCut::Call(Box::new(call)),
        }
    }

    fn send_piece(&self, lane: Lane, piece: Bytes) -> Result<(), Gone> {
        loop {
            match self.live.change(|state| state.session.send(self.id, lane, piece.clone())).ok_or(Gone)? {
                Sent::Queued => return Ok(()),
                Sent::Gone => return Err(Gone),
                Sent::Full => self.user.writer.wait(),
            }
        }
    }
}
