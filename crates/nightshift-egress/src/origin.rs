//! Requests to the proxy itself, which name no other host: origin-form of RFC 9112, section 3.2.1.

use async_trait::async_trait;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;
use hyper::{Request, Response};

/// A body that is read or written while it comes.
pub type OriginBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// Answers what programs in a sandbox ask of the proxy itself.
///
/// What it is given is as hostile as all that comes out of a sandbox: only the head is held to a size. Whose request it
/// is cannot be told from the connection: pages in the sandbox's browser can make requests too.
#[async_trait]
pub trait Origin: Send + Sync {
    /// Answers one request.
    async fn answer(&self, request: Request<OriginBody>) -> Response<OriginBody>;
}
