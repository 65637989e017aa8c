//! A guest that sends without end, whatever it sends: it costs its own channel and nobody else's time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use nightshift_channel::wire::greeting::{Hello, Welcome};
use nightshift_channel::{Channel, OpenError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const NONCE: [u8; 16] = *b"0123456789abcdef";
const MINUTE: Duration = Duration::from_secs(60);

/// A port that has always something to read, at once: `flood` again and again. It counts what was read of it.
#[derive(Debug)]
struct Flood {
    flood: Vec<u8>,
    at: usize,
    read: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while buffer.remaining() > 0 {
            let rest = &self.flood[self.at..];
            let length = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..length]);
            self.at = (self.at + length) % self.flood.len();
        }
        self.read.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Flood {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What looks like the welcome's beginning at every sixteenth byte, each 512 bytes long with a wrong check: the
/// dearest garbage to pass over.
fn nearly_welcomes() -> Vec<u8> {
    let welcome = welcome();
    let mut header = welcome[..16].to_vec();
    header[12..14].copy_from_slice(&512_u16.to_le_bytes());
    header
}

fn welcome() -> Vec<u8> {
    let mut bytes = Vec::new();
    Welcome::answering(&Hello::new(NONCE), "boot-1").frame().encode(&mut bytes);
    bytes
}

fn port(flood: Vec<u8>) -> (Flood, Arc<AtomicUsize>) {
    let read = Arc::new(AtomicUsize::new(0));
    (Flood { flood, at: 0, read: Arc::clone(&read) }, read)
}

/// The most that was read between two turns of another task on the same thread, until `enough` was read.
async fn most_in_a_row(read: &AtomicUsize, enough: usize) -> usize {
    let (mut most, mut seen) = (0, read.load(Ordering::Relaxed));
    let enough = seen + enough;
    for _ in 0..100_000 {
        if seen >= enough {
            return most;
        }
        tokio::task::yield_now().await;
        let now = read.load(Ordering::Relaxed);
        most = most.max(now - seen);
        seen = now;
    }
    panic!("only {seen} bytes were read");
}

#[tokio::test]
async fn who_floods_instead_of_answering_is_given_up_after_a_bounded_number_of_bytes() {
    for flood in [vec![0xA7], nearly_welcomes()] {
        let (flood, read) = port(flood);
        let refused = Channel::open(flood, NONCE, MINUTE).await.unwrap_err();
        assert!(matches!(refused, OpenError::Flooded), "{refused:?}");
        assert!(read.load(Ordering::Relaxed) < 17 << 20, "{read:?}");
    }
}

#[tokio::test]
async fn others_have_their_turn_after_each_batch_that_is_passed_over() {
    let (flood, read) = port(nearly_welcomes());
    let opening = tokio::spawn(Channel::open(flood, NONCE, MINUTE));
    assert!(most_in_a_row(&read, 8 << 20).await <= 64 << 10);
    opening.abort();
}

#[tokio::test]
async fn others_have_their_turn_after_each_batch_of_a_session_that_is_flooded() {
    // A welcome may come more than once.
    let (flood, read) = port(welcome());
    let channel = Channel::open(flood, NONCE, MINUTE).await.unwrap();
    assert!(most_in_a_row(&read, 1 << 20).await <= 64 << 10);
    drop(channel);
}
