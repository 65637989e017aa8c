//! A browser driven over Chromium's debugging protocol, on any byte stream that leads to its port.
//!
//! It opens pages, reads a page as an outline of its accessibility tree, clicks and fills by reference, evaluates
//! expressions, and tells what went wrong on a page: errors in the console, failed requests, uncaught exceptions.
//!
//! Everything that comes from a page is hostile: each answer is bounded in size and time, and texts are cut and
//! stripped of control characters before they are given on. It never knows a sandbox or an agent, and keeps nothing
//! between connections: a reference means an element of one document, and says which.

mod connection;
mod element;
mod endpoint;
mod outline;
mod page;
mod problems;
mod reference;
mod text;

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

pub use connection::BrowserError;
pub use outline::Outline;
pub use page::{Browser, Loaded, OpenPage, Touched};
pub use problems::{Problem, ProblemKind};
pub use reference::{InvalidReference, Reference};

/// A connection to the browser's debugging port.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Makes connections to the browser's debugging port.
pub type Connect<'a> = &'a (dyn Fn() -> Connecting<'a> + Send + Sync);

/// A connection that is being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// The port that Chromium listens on in a sandbox.
pub const PORT: u16 = 9222;
