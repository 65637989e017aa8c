//! A machine's screen, keyboard and pointer: frames, what changed since when, whether it has settled, and input.
//!
//! It takes one socket on which QEMU serves its D-Bus display, or with the feature `vnc` a VNC server, and knows nothing of sandboxes, runs or agents. It
//! never draws, never decides what to click, and never moves a place to the edge of the screen: a
//! place that is not on it is refused. The other end is not trusted: QEMU may have been taken over by its guest.
//! What it says of sizes and memory is checked first, and what it makes us hold has bounds.
//!
//! ```text
//!   QEMU ──calls──▶ listener ──events──▶ keeper: owns the picture ──publishes──▶ activity (what changed when)
//!        ◀──calls── player ◀──gestures── Screen ──asks for copies──▶ │              │
//!                                          └──reads: size, damage, tiles, settle ◀──┘
//! ```
//!
//! Measured at 1280x800 with two busy cores, QEMU 10.0 and its translator (no KVM), optimised as in the development
//! profile: a frame is copied in 0.1-0.2 ms; QEMU's report that the whole screen was written becomes known damage after
//! 1.2-1.9 ms, one of a letter's size after 0.3-0.6 ms; a desktop with a terminal becomes a PNG of 125 KB in 2-4 ms; the
//! first frame is there 6-26 ms after the start of attaching (once 184 ms on a host that was overloaded).

mod activity;
mod compare;
mod damage;
mod dbus;
mod frame;
mod geometry;
mod input;
pub mod live;
mod memory;
mod picture;
mod pixels;
mod screen;
mod settle;
mod source;
#[cfg(feature = "vnc")]
mod vnc;

pub use activity::{Condition, Damage, Ended, TILE, TileChanges};
pub use compare::{Difference, SizesDiffer, compare};
pub use damage::DamageReceiver;
pub use dbus::AttachError;
pub use frame::{EncodeError, Frame, WrongLength};
pub use geometry::{MAX_SIDE, OutOfScreen, Point, Rect, Size};
pub use input::{
    Button, Clicks, Gesture, GestureRefused, InputError, Key, KeyAction, KeyChord, KeyError, NotOnKeyboard,
    PersonKeyboard, PointerTrace, Scroll, TypeError,
};
pub use screen::{FrameError, Screen};
pub use settle::{AtRest, Repeats, Settle, SettleEvent, SettleLimits, SettleReason, Settled, Verdict};
#[cfg(feature = "vnc")]
pub use vnc::VncAttachError;
