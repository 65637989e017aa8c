//! The live screen for people: what changed, encoded for a viewer, no faster than the viewer takes it.
//!
//! ```text
//!   activity ──changed──▶ Pacing: at most 2 updates unacknowledged ──plan──▶ copy, encode ──▶ LiveView::next
//!                             ▲                                                                  │ sent
//!                             └───────────────────────── acknowledge(sequence) ◀─────────────────┘
//! ```
//!
//! A viewer that stops acknowledging costs nothing but what it was already sent: nothing is copied, encoded or
//! queued for it, and when it goes on it gets everything that changed meanwhile as one update. Any number of viewers
//! share one [`Screen`](crate::Screen), which is read and never disturbed.
//!
//! Small changes go as they are, in plain pixels: on one machine that is the fastest way to a canvas. Large ones go
//! as JPEG, and when the place has been quiet for a moment it is sent once more without loss.

mod encode;
mod pacing;
mod thumbnail;
mod view;
mod wire;

pub use thumbnail::thumbnail;
pub use view::LiveView;
pub use wire::{DecodeError, Encoding, HEADER, RECT_HEADER, Tile, Update};
