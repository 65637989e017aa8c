//! Conversations with scripted servers over a byte stream, some in good order and some not.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod faults;
mod good_order;
mod server;
