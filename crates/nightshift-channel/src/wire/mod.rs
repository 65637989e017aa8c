//! What both ends agree on: frames, streams with credit, and the requests they carry. No IO, no clock, no threads.

pub mod frame;
pub mod greeting;
pub mod service;
pub mod session;

/// The version of everything in this module; ends of different versions do not talk.
pub const VERSION: u16 = 1;
