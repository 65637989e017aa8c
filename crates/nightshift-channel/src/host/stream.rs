//! One stream, from the host's side.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::wire::frame::{Lane, MAX_PAYLOAD_BYTES, StreamId};
use crate::wire::service::MAX_ANSWER_BYTES;
use crate::wire::session::{Received, Sent};

use super::error::ChannelError;
use super::link::{Link, Waiting};

/// A stream; dropping it cuts it. It keeps its channel open.
pub(super) struct Stream {
    link: Arc<Link>,
    id: StreamId,
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A closed channel has no streams left to release.
        let _ = self.link.shared().change(|state| {
            state.waiting.remove(&self.id);
            state.session.release(self.id);
        });
    }
}

impl Stream {
    pub(super) fn open(link: Arc<Link>) -> Result<Self, ChannelError> {
        let opened = link.shared().change(|state| {
            let id = state.session.open()?;
            state.waiting.insert(id, Waiting::default());
            Ok(id)
        });
        let id = opened
            .map_err(ChannelError::Closed)?
            .map_err(|_full: crate::wire::session::TooManyStreams| ChannelError::TooManyStreams)?;
        Ok(Self { link, id })
    }

    /// Takes a stream over that the guest opened.
    pub(super) fn adopt(link: Arc<Link>, id: StreamId) -> Self {
        // On a closed channel it is found closed when it is used.
        let _ = link.shared().change(|state| state.waiting.insert(id, Waiting::default()));
        Self { link, id }
    }

    /// Returns the next piece, or `None` after the last.
    pub(super) async fn receive(&mut self) -> Result<Option<(Lane, Bytes)>, ChannelError> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    /// Returns the next message; `None` when the stream ends instead.
    pub(super) async fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChannelError> {
        let Some((lane, bytes)) = self.receive().await? else { return Ok(None) };
        self.message_from(lane, bytes).await.map(Some)
    }

    /// Returns the message that begins with this piece.
    pub(super) async fn message_from<T: DeserializeOwned>(
        &mut self,
        mut lane: Lane,
        bytes: Bytes,
    ) -> Result<T, ChannelError> {
        let mut message = bytes.to_vec();
        while lane == Lane::MessagePart && message.len() <= MAX_ANSWER_BYTES {
            let (next, bytes) = self.receive().await?.ok_or(ChannelError::NotUnderstood)?;
            message.extend_from_slice(&bytes);
            lane = next;
        }
        if lane != Lane::Message || message.len() > MAX_ANSWER_BYTES {
            return Err(ChannelError::NotUnderstood);
        }
        serde_json::from_slice(&message).map_err(|_| ChannelError::NotUnderstood)
    }

    /// Returns the answer to a request.
    pub(super) async fn answer<T: DeserializeOwned>(&mut self) -> Result<T, ChannelError> {
        self.message().await?.ok_or(ChannelError::Cut)
    }

    /// Sends a message.
    pub(super) async fn send_message(&mut self, message: &[u8]) -> Result<(), ChannelError> {
        let mut pieces = message.chunks(MAX_PAYLOAD_BYTES).peekable();
        while let Some(piece) = pieces.next() {
            let lane = if pieces.peek().is_some() { Lane::MessagePart } else { Lane::Message };
            poll_fn(|context| self.poll_send(context, lane, piece)).await?;
        }
        Ok(())
    }

    /// Sends bytes; returns when the last of them is on its way.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), ChannelError> {
        for piece in bytes.chunks(MAX_PAYLOAD_BYTES) {
            poll_fn(|context| self.poll_send(context, Lane::Bytes, piece)).await?;
        }
        Ok(())
    }

    /// Sends bytes and takes them off; returns `None` when the last of them is on its way, and a piece that comes before.
    pub(super) async fn send_or_receive(
        &mut self,
        bytes: &mut Bytes,
    ) -> Result<Option<(Lane, Bytes)>, ChannelError> {
        poll_fn(|context| {
            while !bytes.is_empty() {
                let length = bytes.len().min(MAX_PAYLOAD_BYTES);
                let piece = bytes.slice(..length);
                if self.poll_send(context, Lane::Bytes, &piece)?.is_pending() {
                    let came = ready!(self.poll_receive(context))?.ok_or(ChannelError::Cut)?;
                    return Poll::Ready(Ok(Some(came)));
                }
                bytes.advance(length);
            }
            Poll::Ready(Ok(None))
        })
        .await
    }

    /// Says that nothing more will be sent.
    pub(super) fn end(&mut self) {
        // On a closed channel there is nobody to tell.
        let _ = self.link.shared().change(|state| state.session.end(self.id));
    }

    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Option<(Lane, Bytes)>, ChannelError>> {
        let received = self.link.shared().change(|state| {
            let received = state.session.receive(self.id);
            if received == Received::Nothing {
                state.waiting.entry(self.id).or_default().reader = Some(context.waker().clone());
            }
            received
        });
        match received {
            Ok(Received::Piece(lane, bytes)) => Poll::Ready(Ok(Some((lane, bytes)))),
            Ok(Received::Nothing) => Poll::Pending,
            Ok(Received::Ended) => Poll::Ready(Ok(None)),
            Ok(Received::Cut(_)) => Poll::Ready(Err(ChannelError::Cut)),
            Err(reason) => Poll::Ready(Err(ChannelError::Closed(reason))),
        }
    }

    /// Sends one piece of at most [`MAX_PAYLOAD_BYTES`].
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        lane: Lane,
        piece: &[u8],
    ) -> Poll<Result<(), ChannelError>> {
        let sent = self.link.shared().change(|state| {
            let sent = state.session.send(self.id, lane, Bytes::copy_from_slice(piece));
            if sent == Sent::Full {
                state.waiting.entry(self.id).or_default().writer = Some(context.waker().clone());
            }
            sent
        });
        match sent {
            Ok(Sent::Queued) => Poll::Ready(Ok(())),
            Ok(Sent::Full) => Poll::Pending,
            Ok(Sent::Gone) => Poll::Ready(Err(ChannelError::Cut)),
            Err(reason) => Poll::Ready(Err(ChannelError::Closed(reason))),
        }
    }

    /// Waits until all that was sent has left.
    fn poll_passed_on(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ChannelError>> {
        let passed_on = self.link.shared().change(|state| {
            let passed_on = state.session.is_passed_on(self.id);
            if !passed_on {
                state.waiting.entry(self.id).or_default().writer = Some(context.waker().clone());
            }
            passed_on
        });
        match passed_on {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(reason) => Poll::Ready(Err(ChannelError::Closed(reason))),
        }
    }
}

/// A connection to a port of the guest, or from one of its programs. Each direction ends on its own; dropping it cuts both.
pub struct GuestStream {
    stream: Stream,
    /// What was received and did not fit the reader's buffer.
    rest: Bytes,
}

impl std::fmt::Debug for GuestStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("GuestStream").field("stream", &self.stream.id).finish_non_exhaustive()
    }
}

impl GuestStream {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, rest: Bytes::new() }
    }
}

impl AsyncRead for GuestStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.stream.poll_receive(context)).map_err(io_error)? {
                Some((Lane::Bytes, bytes)) => self.rest = bytes,
                Some((Lane::Stdout | Lane::Stderr | Lane::MessagePart | Lane::Message, _)) => {
                    return Poll::Ready(Err(io_error(ChannelError::NotUnderstood)));
                }
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(into.remaining());
        into.put_slice(self.rest.get(..length).unwrap_or_default());
        self.rest.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for GuestStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let piece = bytes.get(..MAX_PAYLOAD_BYTES).unwrap_or(bytes);
        ready!(self.stream.poll_send(context, Lane::Bytes, piece)).map_err(io_error)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_passed_on(context).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.end();
        self.stream.poll_passed_on(context).map_err(io_error)
    }
}

fn io_error(error: ChannelError) -> io::Error {
    let kind = match error {
        ChannelError::Closed(_) => io::ErrorKind::BrokenPipe,
        ChannelError::Cut => io::ErrorKind::ConnectionReset,
        ChannelError::NotUnderstood => io::ErrorKind::InvalidData,
        ChannelError::TooLong | ChannelError::TooManyStreams => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}
