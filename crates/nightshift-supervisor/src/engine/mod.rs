//! Foreign agents as the engine of a run.
//!
//! ```text
//!   sandbox                                          owner
//!   the agent's program ◀── lines, by the channel ──▶ conduct ──▶ news into the history
//!     │  its model calls ──▶ proxy's port ──▶ gateway ──▶ provider, with the key; counted, within the limits
//!     └─ its tool calls ───▶ proxy's port ──▶ tools ────▶ steps of the run, as our own agent's
//! ```
//!
//! For the run a foreign agent's turn is what a model call is for our own agent: asked for, then finished, and asked for again
//! when an owner or a person broke it off. What ends the turn (a question, the finished work, a command that needs a yes) is
//! a tool call of the turn's answer, and dealt with as our own agent's is.

mod choose;
mod conduct;
mod gateway;
mod intake;
mod link;
mod program;
mod tools;

pub(crate) use choose::{Engines, model_for};
pub(crate) use conduct::{Conduct, EngineWork, conduct};
pub(crate) use link::{Aside, Link, Teller};
