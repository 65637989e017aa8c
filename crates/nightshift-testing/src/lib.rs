//! Stand-ins for the world outside Nightshift: they speak the real protocols on the wire, and they police them.
//!
//! It is only ever a dependency of tests, knows nothing of how Nightshift works inside, and never reaches beyond
//! this machine: everything listens on the loopback address, or is a process of this host.

pub mod github;
pub mod host_sandbox;
pub mod scripted_model;
