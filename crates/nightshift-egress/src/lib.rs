//! The way out of a sandbox: a proxy whose other end is the owner.
//!
//! ```text
//!   program in the sandbox ──▶ its port 3128 ──▶ channel ──▶ Egress::serve
//!                                                              │  first byte: SOCKS5 │ HTTP
//!                                                              ▼
//!                                         Policy::decide(host, port)        pure, passed in
//!                                                              ▼
//!                                         resolve once ──▶ address allowed? ──▶ connect to that address
//!                                                              ▼
//!                                         inside a tunnel: TLS whose server name is the host, or HTTP whose Host is
//! ```
//!
//! Everything a sandbox says is hostile until it is parsed here, in safe Rust and with a limit on every length. The
//! crate never decides what is allowed: the [`Policy`] is passed in, and what it does not list is refused. It knows
//! neither runs nor the channel, and never sends anything but what the program in the sandbox said.

mod address;
mod bucket;
mod client_hello;
mod egress;
mod http;
mod journal;
mod meter;
mod name;
mod origin;
mod policy;
mod reach;
mod socks;
mod tunnel;

pub use address::{AddressKind, kind_of};
pub use bucket::Bucket;
pub use client_hello::{HelloError, server_name};
pub use egress::{Admitted, Egress, EgressLimits, EgressSettings};
pub use journal::Journal;
pub use name::{HostName, HostPattern, InvalidHostName, InvalidPattern};
pub use origin::{Origin, OriginBody};
pub use policy::{InvalidRule, Policy, Reach, Rule, Target};
pub use reach::{InvalidUpstream, Resolver, SystemResolver, Upstream};
pub use socks::{SocksAddress, SocksError, SocksGreeting, SocksRequest};
