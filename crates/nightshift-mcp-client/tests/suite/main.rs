//! Conversations with scripted servers, programs and ones at an address, some in good order and some not.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod faults;
mod good_order;
mod http;
mod http_faults;
mod http_server;
mod interrupted;
mod server;
