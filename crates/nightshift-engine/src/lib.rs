//! Foreign agents as the engine of a run: the client's side of the Agent Client Protocol, as a pure machine.
//!
//! Lines of the agent's program go in, lines for it and news of it come out. The crate never starts a program, reads a
//! clock, or decides what an agent may do; and it believes nothing that an agent says.

mod line;
mod settings;
mod turn;
mod words;

pub use line::{LONGEST_LINE, Lines, TooLong};
pub use settings::{Engine, InvalidEngine, Launch, built_in, check_name};
pub use turn::{Ending, EngineTurn, Input, Output, Stop, Tools, Trouble, TurnSettings};
