//! One request and its answer, over a connection of its own.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::address::Address;
use super::error::HttpError;
use crate::text::line;

/// How often a server may say that it is elsewhere before a request is given up.
const MOST_REDIRECTS: u32 = 3;

/// The longest head of an answer in bytes.
const LONGEST_HEAD: usize = 64 * 1024;

/// A connection, as far as it is used here.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// There is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct NotReached {
    /// Why, in a sentence without its end.
    pub why: String,
}

/// Makes connections to one server: who makes them decides whether they may be.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// Makes a connection to the server's host and port, without encryption.
    async fn dial(&self) -> Result<Box<dyn ByteStream>, NotReached>;
}

/// Trusts whom this machine's system trusts, for [`Client::reach`](crate::Client::reach).
///
/// # Errors
///
/// That the system's certificates cannot be read.
pub fn system_trust() -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?.with_platform_verifier()?;
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// Speaks HTTP with one server.
pub(crate) struct Exchange {
    /// Where it is now: it may have moved within its origin.
    address: Mutex<Address>,
    dial: Arc<dyn Dial>,
    trust: Arc<ClientConfig>,
    /// Fields of every request.
    fields: HeaderMap,
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Ends a connection when it is dropped.
#[derive(Debug)]
pub(crate) struct Open(AbortHandle);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Exchange {
    pub(crate) fn new(
        address: Address,
        mut fields: HeaderMap,
        dial: Arc<dyn Dial>,
        trust: Arc<ClientConfig>,
    ) -> Self {
        let name = HeaderValue::from_static(concat!("nightshift/", env!("CARGO_PKG_VERSION")));
        fields.entry(USER_AGENT).or_insert(name);
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
        Self { address: Mutex::new(address), dial, trust, fields }
    }

    fn address(&self) -> Address {
        self.address.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks, and returns the answer's head; its body comes as long as the second is held.
    pub(crate) async fn ask(
        &self,
        method: Method,
        fields: &HeaderMap,
        body: Bytes,
    ) -> Result<(Response<Incoming>, Open), HttpError> {
        for _ in 0..=MOST_REDIRECTS {
            let address = self.address();
            let request = self.request(&address, &method, fields, body.clone())?;
            let (answer, open) = self.send(&address, request).await?;
            if !answer.status().is_redirection() {
                return Ok((answer, open));
            }
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let to = location.ok_or_else(|| status(&answer))?;
            // Other redirects are followed by asking for a page, which a call is not.
            if !matches!(answer.status().as_u16(), 307 | 308) {
                let to = address.moved(to).map_or_else(|to| to, |moved| moved.to_string());
                return Err(HttpError::Redirected { to });
            }
            let moved = address.moved(to).map_err(|to| HttpError::Redirected { to })?;
            *self.address.lock().unwrap_or_else(PoisonError::into_inner) = moved;
        }
        Err(HttpError::NotReached { why: format!("it redirects more than {MOST_REDIRECTS} times") })
    }

    fn request(
        &self,
        address: &Address,
        method: &Method,
        fields: &HeaderMap,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpError> {
        let odd = |error: http::Error| HttpError::NotReached { why: format!("it cannot be asked: {error}") };
        let mut request = Request::builder()
            .method(method)
            .uri(address.target())
            .header(HOST, address.authority())
            .body(Full::new(body))
            .map_err(odd)?;
        for (name, value) in self.fields.iter().chain(fields) {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }

    async fn send(
        &self,
        address: &Address,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Open), HttpError> {
        let not_reached = |why: String| HttpError::NotReached { why };
        let mut stream = self.dial.dial().await.map_err(|error| not_reached(error.why))?;
        if address.is_encrypted() {
            let name = ServerName::try_from(address.host().to_owned());
            let name = name.map_err(|error| not_reached(error.to_string()))?;
            let connected = TlsConnector::from(Arc::clone(&self.trust)).connect(name, stream).await;
            stream = Box::new(connected.map_err(|error| not_reached(format!("no TLS with it: {error}")))?);
        }
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(LONGEST_HEAD)
            .handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|error| not_reached(error.to_string()))?;
        let open = Open(tokio::spawn(connection).abort_handle());
        // From here on nobody knows whether the server has heard it.
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| HttpError::Cut { why: line(&error.to_string(), 200) })?;
        Ok((answer, open))
    }
}

/// The status of an answer as the reason why it is none.
fn status(answer: &Response<Incoming>) -> HttpError {
    HttpError::Status { status: answer.status().as_u16(), said: String::new() }
}
