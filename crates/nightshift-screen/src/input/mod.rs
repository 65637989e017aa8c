//! Mouse and keyboard: what may be asked, decided in pure code, and one task that plays it to the guest.

mod devices;
mod gesture;
mod keys;
mod layout;
mod person;
mod player;

pub(crate) use devices::Devices;
pub(crate) use gesture::DeviceEvent;
pub use gesture::{Button, Clicks, Gesture, GestureRefused, NotOnKeyboard, Scroll};
#[cfg(all(test, feature = "vnc"))]
pub(crate) use keys::every_key;
pub use keys::{Key, KeyChord, KeyError};
#[cfg(feature = "vnc")]
pub(crate) use layout::{Level, character};
pub use person::{KeyAction, PersonKeyboard};
pub(crate) use player::Player;
pub use player::{InputError, PointerTrace, TypeError};
