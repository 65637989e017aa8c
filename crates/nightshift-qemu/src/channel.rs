//! The byte stream to the guest program, of which one is open at a time.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use rustix::net::Shutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// Remembers the open stream, to end it when another is opened: QEMU serves one connection, and would let the
/// next one wait for ever.
#[derive(Debug, Default)]
pub(crate) struct ChannelSlot {
    open: Mutex<Weak<UnixStream>>,
}

impl ChannelSlot {
    /// Ends the stream that is open and opens another by `connect`.
    pub(crate) fn replace(
        &self,
        connect: impl FnOnce() -> io::Result<UnixStream>,
    ) -> io::Result<ChannelStream> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = open.upgrade() {
            // It may have ended by itself already; then there is nothing to end.
            let _ = rustix::net::shutdown(&*earlier, Shutdown::Both);
        }
        let stream = Arc::new(connect()?);
        *open = Arc::downgrade(&stream);
        Ok(ChannelStream(stream))
    }
}

/// The stream. Dropping it hangs up; the guest notices.
#[derive(Debug)]
pub(crate) struct ChannelStream(Arc<UnixStream>);

impl AsyncRead for ChannelStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match self.0.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self.0, Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_go_both_ways_and_more_than_a_socket_holds() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut stream = ChannelSlot::default().replace(|| Ok(ours)).unwrap();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        let mut received = vec![0; sent.len()];
        let (written, read) = tokio::join!(stream.write_all(&sent), theirs.read_exact(&mut received));
        written.unwrap();
        read.unwrap();
        assert!(received == sent);
        theirs.write_all(b"back").await.unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).await.unwrap();
        assert_eq!(&back, b"back");
    }

    #[tokio::test]
    async fn opening_another_ends_the_first() {
        let slot = ChannelSlot::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut first = slot.replace(|| Ok(ours)).unwrap();
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let _second = slot.replace(|| Ok(ours)).unwrap();
        assert_eq!(first.read(&mut [0; 1]).await.unwrap(), 0);
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn dropping_the_stream_hangs_up() {
        let slot = ChannelSlot::default();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        drop(slot.replace(|| Ok(ours)).unwrap());
        assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
