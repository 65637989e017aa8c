//! Nightshift for other agents, by the Model Context Protocol: give and follow tasks, review, and use a sandbox.
//!
//! It translates tool calls to the owner's HTTP API and nothing else: it decides nothing about tasks, keeps nothing
//! but the sandboxes that were opened through it, and never merges unless the person who configured it said so.
//! Both generations of the protocol are served, with and without `initialize`; so every tool names what it works on
//! and no tool depends on a session.

mod arguments;
mod keeper;
mod owner;
mod reply;
mod reviews;
mod sandboxes;
mod server;
mod tasks;
mod transport;
mod wait;
mod words;

pub use keeper::Keeper;
pub use owner::Owner;
pub use server::{Merging, Nightshift, Settings};
pub use transport::{Http, http, serve, serve_on};
