//! A stream that counts what passes, holds it to a bandwidth, and ends when nothing has passed for long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::bucket::Bucket;

/// What passed on a connection, in bytes.
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// From the sandbox.
    pub(crate) sent: AtomicU64,
    /// To the sandbox.
    pub(crate) received: AtomicU64,
}

/// The bandwidth that all connections of a sandbox share, in both directions together.
#[derive(Debug)]
pub(crate) struct Bandwidth {
    bucket: Mutex<Bucket>,
    begun: Instant,
}

impl Bandwidth {
    pub(crate) fn new(bytes_a_second: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a bandwidth is not that exact")]
        let rate = bytes_a_second as f64;
        Self { bucket: Mutex::new(Bucket::full(rate, rate)), begun: Instant::now() }
    }

    /// Notes bytes that passed and says when more may.
    fn spend(&self, bytes: usize) -> Option<Instant> {
        let now = Instant::now();
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        #[expect(clippy::cast_precision_loss, reason = "a buffer is far shorter than 2^52 bytes")]
        let wait = bucket.take(bytes as f64, now - self.begun);
        (!wait.is_zero()).then(|| now + wait)
    }
}

/// The sandbox's end of a connection, metered.
pub(crate) struct Metered<S> {
    inner: S,
    count: Arc<Count>,
    bandwidth: Arc<Bandwidth>,
    /// Set while the bandwidth is used up.
    paused: Option<Pin<Box<Sleep>>>,
    idle: Duration,
    last: Instant,
    deadline: Pin<Box<Sleep>>,
}

impl<S> Metered<S> {
    pub(crate) fn new(inner: S, count: Arc<Count>, bandwidth: Arc<Bandwidth>, idle: Duration) -> Self {
        let last = Instant::now();
        let deadline = Box::pin(tokio::time::sleep_until(last + idle));
        Self { inner, count, bandwidth, paused: None, idle, last, deadline }
    }

    fn passed(&mut self, bytes: usize, counter: fn(&Count) -> &AtomicU64) {
        counter(&self.count).fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.last = Instant::now();
        self.paused = self.bandwidth.spend(bytes).map(|until| Box::pin(tokio::time::sleep_until(until)));
    }

    fn poll_paused(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.paused {
            ready!(pause.as_mut().poll(context));
            self.paused = None;
            // The pause was ours, so it does not count as silence.
            self.last = Instant::now();
        }
        Poll::Ready(())
    }

    /// Fails once nothing has passed for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.deadline.as_mut().poll(context).is_ready() {
            let until = self.last + self.idle;
            if until <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.deadline.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_paused(context));
        let before = into.filled().len();
        match Pin::new(&mut self.inner).poll_read(context, into) {
            Poll::Ready(Ok(())) => {
                let length = into.filled().len() - before;
                self.passed(length, |count| &count.sent);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_idle(context),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_paused(context));
        match Pin::new(&mut self.inner).poll_write(context, bytes) {
            Poll::Ready(Ok(length)) => {
                self.passed(length, |count| &count.received);
                Poll::Ready(Ok(length))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // A program that does not read its answer ends up here.
            Poll::Pending => self.poll_idle(context).map_ok(|()| 0),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
