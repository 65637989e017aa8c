//! Reaching a host that is allowed: resolved once, checked, and connected to at exactly the address that was checked.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::header::{HeaderValue, PROXY_AUTHORIZATION};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use nightshift_protocol::{ConnectionFailure, ConnectionVerdict, RefusalReason};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::address::{AddressKind, kind_of};
use crate::name::HostName;
use crate::policy::{Reach, Target};

/// How long name and connection may take together.
const WITHIN: Duration = Duration::from_secs(20);

/// How long one address may take when there are others.
const ADDRESS_WITHIN: Duration = Duration::from_secs(6);

/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 6;

/// Finds the addresses of names.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a name, in the order they are to be tried.
    async fn resolve(&self, name: &HostName) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver, after a list of names a person gave addresses to.
#[derive(Debug, Default, Clone)]
pub struct SystemResolver {
    /// Names that are not looked up.
    pub fixed: Vec<(HostName, IpAddr)>,
}

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, name: &HostName) -> io::Result<Vec<IpAddr>> {
        let fixed: Vec<IpAddr> =
            self.fixed.iter().filter(|(known, _)| known == name).map(|(_, address)| *address).collect();
        if !fixed.is_empty() {
            return Ok(fixed);
        }
        let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// A proxy through which the owner itself reaches the world.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    host: String,
    port: u16,
    authorization: Option<HeaderValue>,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The password has no place in a log.
        formatter
            .debug_struct("Upstream")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// A text that names no proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no address of an HTTP proxy, as in http://proxy.example:3128")]
pub struct InvalidUpstream;

impl FromStr for Upstream {
    type Err = InvalidUpstream;

    fn from_str(text: &str) -> Result<Self, InvalidUpstream> {
        let uri: Uri = text.parse().map_err(|_| InvalidUpstream)?;
        let authority = uri.authority().ok_or(InvalidUpstream)?;
        if uri.scheme_str().is_some_and(|scheme| scheme != "http") || !matches!(uri.path(), "" | "/") {
            return Err(InvalidUpstream);
        }
        let authorization = authority.as_str().rsplit_once('@').map(|(who, _)| {
            let encoded = base64::engine::general_purpose::STANDARD.encode(percent_decoded(who));
            HeaderValue::try_from(format!("Basic {encoded}"))
        });
        let authorization = authorization.transpose().map_err(|_| InvalidUpstream)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(3128), authorization })
    }
}

/// Undoes percent encoding, as URLs need it in passwords.
fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (byte, value) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Any connection.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a host, or to a proxy that is to be asked for each request.
pub(crate) enum Reached {
    /// To the host itself.
    Host(Box<dyn Stream>),
    /// To the owner's proxy, which takes requests with whole URLs.
    Proxy(Box<dyn Stream>, Option<HeaderValue>),
}

/// What the connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Bytes both ways.
    Tunnel,
    /// One HTTP request without encryption.
    Request,
}

/// Reaches the world for sandboxes.
pub(crate) struct Way {
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) upstream: Option<Upstream>,
}

impl Way {
    /// Connects to a target that the policy allows.
    pub(crate) async fn reach(
        &self,
        target: &Target,
        reach: Reach,
        purpose: Purpose,
    ) -> Result<Reached, ConnectionVerdict> {
        let reaching = async {
            // What may be private is near: the proxy to the world is not asked for it.
            match &self.upstream {
                Some(upstream) if reach == Reach::Public => self.through(upstream, target, purpose).await,
                Some(_) | None => self.straight(target, reach).await,
            }
        };
        match tokio::time::timeout(WITHIN, reaching).await {
            Ok(reached) => reached,
            Err(_) => Err(failed(ConnectionFailure::NotReached)),
        }
    }

    async fn straight(&self, target: &Target, reach: Reach) -> Result<Reached, ConnectionVerdict> {
        let found = self.resolver.resolve(&target.host).await.unwrap_or_default();
        if found.is_empty() {
            return Err(failed(ConnectionFailure::NotResolved));
        }
        let admitted: Vec<IpAddr> = found
            .into_iter()
            .filter(|address| reach.admits(kind_of(*address)))
            .take(MOST_ADDRESSES)
            .collect();
        if admitted.is_empty() {
            return Err(refused(RefusalReason::ForbiddenAddress));
        }
        for address in &admitted {
            let connecting = TcpStream::connect(SocketAddr::new(*address, target.port));
            let within = if admitted.len() == 1 { WITHIN } else { ADDRESS_WITHIN };
            let Ok(Ok(stream)) = tokio::time::timeout(within, connecting).await else { continue };
            if is_myself(&stream) && !reach.admits(AddressKind::Loopback) {
                return Err(refused(RefusalReason::ForbiddenAddress));
            }
            // Only a matter of speed.
            let _ = stream.set_nodelay(true);
            return Ok(Reached::Host(Box::new(stream)));
        }
        Err(failed(ConnectionFailure::NotReached))
    }

    /// The owner's proxy resolves names by itself. What this machine knows to be near or here is not asked of it, for it
    /// may stand where near is nearer still: one address of a name that is not public is enough.
    async fn through(
        &self,
        upstream: &Upstream,
        target: &Target,
        purpose: Purpose,
    ) -> Result<Reached, ConnectionVerdict> {
        let known = tokio::time::timeout(ADDRESS_WITHIN, self.resolver.resolve(&target.host)).await;
        let known = known.ok().and_then(Result::ok).unwrap_or_default();
        if known.iter().any(|address| kind_of(*address) != AddressKind::Public) {
            return Err(refused(RefusalReason::ForbiddenAddress));
        }
        let unreached = |_| failed(ConnectionFailure::NotReached);
        let stream = TcpStream::connect((upstream.host.as_str(), upstream.port)).await.map_err(unreached)?;
        let _ = stream.set_nodelay(true);
        if purpose == Purpose::Request {
            return Ok(Reached::Proxy(Box::new(stream), upstream.authorization.clone()));
        }
        tunnel(stream, target, upstream.authorization.as_ref()).await.map(Reached::Host)
    }
}

/// Asks a proxy for a tunnel.
async fn tunnel(
    stream: TcpStream,
    target: &Target,
    authorization: Option<&HeaderValue>,
) -> Result<Box<dyn Stream>, ConnectionVerdict> {
    let refused = |_| failed(ConnectionFailure::RefusedUpstream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(refused)?;
    tokio::spawn(async move {
        // Its end shows in what is read from the tunnel.
        let _ = connection.with_upgrades().await;
    });
    let authority = target.to_string();
    let mut request = Request::builder().method(Method::CONNECT).uri(&authority).header("Host", &authority);
    if let Some(authorization) = authorization {
        request = request.header(PROXY_AUTHORIZATION, authorization);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|_| failed(ConnectionFailure::RefusedUpstream))?;
    let response = sender.send_request(request).await.map_err(refused)?;
    if !response.status().is_success() {
        return Err(failed(ConnectionFailure::RefusedUpstream));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(refused)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

/// Whether both ends of a connection are on this machine: an address of its own may be public and stand behind a
/// firewall that this connection has already passed.
fn is_myself(stream: &TcpStream) -> bool {
    match (stream.local_addr(), stream.peer_addr()) {
        (Ok(here), Ok(there)) => here.ip() == there.ip(),
        // Who cannot be told apart from this machine is taken for it.
        _ => true,
    }
}

fn refused(reason: RefusalReason) -> ConnectionVerdict {
    ConnectionVerdict::Refused { reason }
}

fn failed(reason: ConnectionFailure) -> ConnectionVerdict {
    ConnectionVerdict::Failed { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_has_a_host_a_port_and_perhaps_a_password() {
        let plain: Upstream = "http://proxy.example".parse().unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.authorization), ("proxy.example", 3128, None));
        let full: Upstream = "http://ada:p%40ss@10.0.0.1:8080/".parse().unwrap();
        // printf 'ada:p@ss' | base64
        let expected = HeaderValue::from_static("Basic YWRhOnBAc3M=");
        assert_eq!((full.host.as_str(), full.port, full.authorization), ("10.0.0.1", 8080, Some(expected)));
    }

    #[test]
    fn a_password_is_not_shown() {
        let upstream: Upstream = "http://ada:secret@proxy.example:1".parse().unwrap();
        assert_eq!(format!("{upstream:?}"), "Upstream { host: \"proxy.example\", port: 1, .. }");
    }

    #[test]
    fn what_is_no_proxy_is_refused() {
        for text in ["", "socks5://a:1", "https://a", "http://a/path", "http://"] {
            assert_eq!(text.parse::<Upstream>(), Err(InvalidUpstream), "{text}");
        }
    }
}
