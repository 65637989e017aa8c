//! Stand-ins for the world outside Nightshift: they speak the real protocols on the wire, and they police them.
//!
//! It is only ever a dependency of tests, knows nothing of how Nightshift works inside, and never reaches beyond
//! this machine: everything listens on the loopback address, or is a process of this host.

pub mod github;
pub mod host_sandbox;
pub mod scripted_model;

/// A foreign agent for Python that plays a script over the Agent Client Protocol and polices its client.
pub const SCRIPTED_AGENT: &str = include_str!("scripted_agent.py");
