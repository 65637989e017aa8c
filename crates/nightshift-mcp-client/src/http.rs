//! Servers at an address: the protocol's Streamable HTTP, over connections that somebody else makes.
//!
//! ```text
//!   Client ─▶ rmcp's worker: sessions, versions, one new beginning after 404 ─▶ Http: one connection for each request
//!                                                                                │
//!                                       Dial, passed in: which roads there are ◀─┘─▶ TLS, HTTP/1.1, bounded answers
//! ```
//!
//! A connection serves one request. One that is kept may be ended by its server just when a request is sent on it, and
//! then nobody knows whether a call was carried out.

mod address;
mod error;
mod events;
mod exchange;
mod reply;
mod transport;

pub use address::{Address, AddressError};
pub(crate) use error::HttpError;
pub(crate) use exchange::Exchange;
pub use exchange::{ByteStream, Dial, NotReached, system_trust};
pub(crate) use transport::Http;
