//! Mouse and keyboard: what may be asked, decided in pure code, and one task that plays it to the guest.

mod gesture;
mod keys;
mod layout;
mod player;

pub(crate) use gesture::DeviceEvent;
pub use gesture::{Button, Clicks, Gesture, GestureRefused, NotOnKeyboard, Scroll};
pub use keys::{Key, KeyChord, KeyError};
pub(crate) use player::Player;
pub use player::{InputError, TypeError};
