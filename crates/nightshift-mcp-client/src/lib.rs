//! The client's side of the Model Context Protocol, for servers that nobody trusts.
//!
//! A repository names its servers in `.mcp.json` ([`Configuration`]). Their tools become tools of a model
//! ([`offer`]): under names that every provider takes, with schemas that every provider takes, and not too many.
//! [`Client`] speaks with one server, a program over any byte stream or one at an address over connections that are made for it
//! ([`Dial`]), in both generations of the protocol.
//!
//! Everything that a server says is hostile: each message is bounded in size, what nobody asked for is dropped, a server that
//! says too much of it is hung up on. It never knows a sandbox or an agent, and never opens a connection itself.

mod admission;
mod answer;
mod client;
mod configuration;
mod endpoint;
mod error;
mod expand;
mod http;
mod keys;
mod offer;
mod schema;
mod text;
mod wire;

pub use answer::{Answer, Part};
pub use client::{Client, Generation, Patience, Server, ServerTool};
pub use configuration::{
    Configuration, ConfiguredServer, FILE, Finding, LARGEST, Launch, Refusal, Severity, Transport, Unreadable,
};
pub use endpoint::{Endpoint, Remote};
pub use error::{CallError, ConnectError};
pub use expand::NotSet;
pub use http::{Address, AddressError, ByteStream, Dial, NotReached, system_trust};
pub use keys::{KeyRefusal, Keys};
pub use offer::{LONGEST_NAME, MOST_TOOLS, Offer, OfferedTool, offer};
