//! The boundary to whoever delivers pictures: what a source says, whatever its protocol.
//!
//! There are two: QEMU's D-Bus display, and with the feature `vnc` a VNC server, for hosts that have only that. A source
//! is a task that sends these events, and devices that take [`crate::input`]'s.

use crate::geometry::{Size, WireRect};
use crate::memory::SharedPicture;

/// What a source says. Pictures are checked before they are said; rectangles are checked by whoever hears them,
/// who knows the present size.
#[derive(Debug)]
pub(crate) enum SourceEvent {
    /// A new picture: its pixels, blue, green, red, 255, and where later ones can be read if its source shares them.
    Lit { size: Size, pixels: Vec<u8>, memory: Option<SharedPicture> },
    /// The shared picture was written there.
    SharedChanged(WireRect),
    /// A part of a picture that is not shared: as many pixels as `size` has, at `x`, `y`.
    Painted { x: u32, y: u32, size: Size, pixels: Vec<u8> },
    /// Nothing is shown any more.
    Dark,
    /// The source has ended, for that reason.
    Ended(String),
}
