//! Inside a tunnel: what a program says after it was connected decides whether it is carried on.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nightshift_protocol::RefusalReason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::client_hello::{HelloError, LONGEST_HELLO, server_name};
use crate::name::HostName;

/// How long a program may take to say what it wants. Package managers open dozens of connections and come to the last ones
/// late: where QEMU translates the guest's code, `npm ci` took longer than 20 s to begin TLS on some of 163.
pub(crate) const FIRST_WORDS_WITHIN: Duration = Duration::from_secs(120);

/// What a program speaks inside its tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    /// TLS to the very host.
    Tls,
    /// HTTP without encryption, of which every request is looked at.
    Http,
    /// Nothing: it hung up.
    Nothing,
}

/// A stream whose first bytes were read already.
pub(crate) struct Prefixed<S> {
    prefix: Vec<u8>,
    given: usize,
    inner: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(prefix: Vec<u8>, inner: S) -> Self {
        Self { prefix, given: 0, inner }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = self.prefix.get(self.given..).unwrap_or_default();
        if rest.is_empty() {
            return Pin::new(&mut self.inner).poll_read(context, into);
        }
        let length = rest.len().min(into.remaining());
        into.put_slice(rest.get(..length).unwrap_or_default());
        self.given += length;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

/// Listens to the first words in a tunnel to `host` and says what they are, with all that was read.
pub(crate) async fn listen(
    stream: &mut (impl AsyncRead + Unpin),
    host: &HostName,
) -> Result<(Inside, Vec<u8>), RefusalReason> {
    let mut heard = Vec::with_capacity(2_048);
    let listening = async {
        loop {
            match understood(&heard, host) {
                Some(Ok(inside)) => return Ok(inside),
                Some(Err(reason)) => return Err(reason),
                None => {}
            }
            // One hello and its records' headers, however finely they are cut.
            if heard.len() > 6 * LONGEST_HELLO {
                return Err(RefusalReason::UnknownProtocol);
            }
            match stream.read_buf(&mut heard).await {
                Ok(0) | Err(_) if heard.is_empty() => return Ok(Inside::Nothing),
                Ok(0) | Err(_) => return Err(RefusalReason::UnknownProtocol),
                Ok(_) => {}
            }
        }
    };
    let inside = tokio::time::timeout(FIRST_WORDS_WITHIN, listening).await;
    inside.unwrap_or(Ok(Inside::Nothing)).map(|inside| (inside, heard))
}

/// What the words are; `None` when too few were heard.
fn understood(heard: &[u8], host: &HostName) -> Option<Result<Inside, RefusalReason>> {
    match server_name(heard) {
        Ok(None) => None,
        Ok(Some(name)) if name == *host => Some(Ok(Inside::Tls)),
        Ok(Some(_)) => Some(Err(RefusalReason::OtherHost)),
        Err(HelloError::NotTls) => looks_like_http(heard),
        Err(HelloError::NoName | HelloError::Damaged) => Some(Err(RefusalReason::UnknownProtocol)),
    }
}

/// Whether the words begin a request: a method and a space. Of HTTP/2, whose requests are not looked at, the beginning
/// is a method too (`PRI`, RFC 9113, section 3.4).
fn looks_like_http(heard: &[u8]) -> Option<Result<Inside, RefusalReason>> {
    let method = heard.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    match heard.get(method) {
        None if method <= 10 => None,
        Some(b' ') if (3..=10).contains(&method) && !heard.starts_with(b"PRI ") => Some(Ok(Inside::Http)),
        None | Some(_) => Some(Err(RefusalReason::UnknownProtocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn understood_as(heard: &[u8]) -> Option<Result<Inside, RefusalReason>> {
        understood(heard, &HostName::parse("example.org").unwrap())
    }

    #[test]
    fn a_request_is_known_by_its_method() {
        assert_eq!(understood_as(b"G"), None);
        assert_eq!(understood_as(b"GET / HTTP/1.1\r\n"), Some(Ok(Inside::Http)));
    }

    #[test]
    fn what_cannot_be_looked_into_is_refused() {
        let unknown = Some(Err(RefusalReason::UnknownProtocol));
        for words in [
            b"SSH-2.0-OpenSSH".as_slice(),
            b"PRI * HTTP/2.0",
            b"\0\0\0\x08",
            b"VERYLONGMETHOD",
            b"get / ",
            b"\x16\x02\0",
        ] {
            assert_eq!(understood_as(words), unknown, "{words:?}");
        }
    }
}
