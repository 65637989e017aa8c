//! Device events as RFB tells them: the whole state of the pointer at each change, and keys by X keysym. Pure.

use std::collections::HashMap;

use ::vnc::{ClientKeyEvent, ClientMouseEvent, X11Event};

use crate::input::{Button, DeviceEvent, Key, Level, character};

/// RFB cannot say that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotInProtocol {
    #[error("VNC servers know three buttons and the wheel, and not {0:?}")]
    Button(Button),
    #[error("VNC has no name for that key")]
    Key,
    #[error("the place is beyond what VNC can name")]
    Place,
}

/// The wheel's bits among the buttons (RFC 6143, 7.5.5).
const WHEEL_UP: u8 = 1 << 3;
const WHEEL_DOWN: u8 = 1 << 4;

/// What is pressed, and where the pointer is.
#[derive(Debug, Default)]
pub(crate) struct Hand {
    x: u16,
    y: u16,
    buttons: u8,
    /// The keysym with which each pressed key was pressed: it is released by the same, whatever Shift does meanwhile.
    pressed: HashMap<Key, u32>,
}

impl Hand {
    /// The messages that tell the event.
    pub(crate) fn play(&mut self, event: DeviceEvent) -> Result<Vec<X11Event>, NotInProtocol> {
        Ok(match event {
            DeviceEvent::Move(point) => {
                let place = |side: u32| u16::try_from(side).map_err(|_| NotInProtocol::Place);
                (self.x, self.y) = (place(point.x)?, place(point.y)?);
                vec![self.pointer(0)]
            }
            DeviceEvent::ButtonDown(button) => {
                self.buttons |= bit(button)?;
                vec![self.pointer(0)]
            }
            DeviceEvent::ButtonUp(button) => {
                self.buttons &= !bit(button)?;
                vec![self.pointer(0)]
            }
            DeviceEvent::WheelUp => vec![self.pointer(WHEEL_UP), self.pointer(0)],
            DeviceEvent::WheelDown => vec![self.pointer(WHEEL_DOWN), self.pointer(0)],
            DeviceEvent::KeyDown(key) => {
                let level = if self.shifted() { Level::Shifted } else { Level::Plain };
                let keysym = keysym(key, level).ok_or(NotInProtocol::Key)?;
                self.pressed.insert(key, keysym);
                vec![key_event(keysym, true)]
            }
            DeviceEvent::KeyUp(key) => {
                let keysym = self
                    .pressed
                    .remove(&key)
                    .or_else(|| keysym(key, Level::Plain))
                    .ok_or(NotInProtocol::Key)?;
                vec![key_event(keysym, false)]
            }
        })
    }

    fn shifted(&self) -> bool {
        self.pressed.contains_key(&Key::SHIFT) || self.pressed.contains_key(&Key::SHIFT_RIGHT)
    }

    fn pointer(&self, wheel: u8) -> X11Event {
        X11Event::PointerEvent(ClientMouseEvent {
            position_x: self.x,
            position_y: self.y,
            bottons: self.buttons | wheel,
        })
    }
}

fn key_event(keycode: u32, down: bool) -> X11Event {
    X11Event::KeyEvent(ClientKeyEvent { keycode, down })
}

fn bit(button: Button) -> Result<u8, NotInProtocol> {
    match button {
        Button::Left => Ok(1),
        Button::Middle => Ok(1 << 1),
        Button::Right => Ok(1 << 2),
        Button::Back | Button::Forward => Err(NotInProtocol::Button(button)),
    }
}

/// The X keysym of a key: that of the character it types, which in Latin-1 is its code, or one from the table.
fn keysym(key: Key, level: Level) -> Option<u32> {
    let named = KEYSYMS.iter().find(|(number, _)| Key::numbered(*number) == key).map(|(_, keysym)| *keysym);
    named.or_else(|| character(key, level).map(u32::from))
}

/// The keys that type no character: number and keysym (X.org `keysymdef.h`).
const KEYSYMS: &[(u8, u32)] = &[
    (0x1d, 0xffe3), // Control_L
    (0x2a, 0xffe1), // Shift_L
    (0x38, 0xffe9), // Alt_L
    (0xdb, 0xffeb), // Super_L
    (0x9d, 0xffe4), // Control_R
    (0x36, 0xffe2), // Shift_R
    (0xb8, 0xfe03), // ISO_Level3_Shift
    (0xdc, 0xffec), // Super_R
    (0xdd, 0xff67), // Menu
    (0x1c, 0xff0d), // Return
    (0x01, 0xff1b), // Escape
    (0x0e, 0xff08), // BackSpace
    (0x0f, 0xff09), // Tab
    (0xd2, 0xff63), // Insert
    (0xd3, 0xffff), // Delete
    (0xc7, 0xff50), // Home
    (0xcf, 0xff57), // End
    (0xc9, 0xff55), // Prior
    (0xd1, 0xff56), // Next
    (0xc8, 0xff52), // Up
    (0xd0, 0xff54), // Down
    (0xcb, 0xff51), // Left
    (0xcd, 0xff53), // Right
    (0x3a, 0xffe5), // Caps_Lock
    (0x45, 0xff7f), // Num_Lock
    (0x46, 0xff14), // Scroll_Lock
    (0x54, 0xff61), // Print
    (0xc6, 0xff13), // Pause
    (0x3b, 0xffbe), // F1
    (0x3c, 0xffbf),
    (0x3d, 0xffc0),
    (0x3e, 0xffc1),
    (0x3f, 0xffc2),
    (0x40, 0xffc3),
    (0x41, 0xffc4),
    (0x42, 0xffc5),
    (0x43, 0xffc6),
    (0x44, 0xffc7),
    (0x57, 0xffc8),
    (0x58, 0xffc9), // F12
    (0x52, 0xffb0), // KP_0
    (0x4f, 0xffb1),
    (0x50, 0xffb2),
    (0x51, 0xffb3),
    (0x4b, 0xffb4),
    (0x4c, 0xffb5),
    (0x4d, 0xffb6),
    (0x47, 0xffb7),
    (0x48, 0xffb8),
    (0x49, 0xffb9), // KP_9
    (0x53, 0xffae), // KP_Decimal
    (0x4e, 0xffab), // KP_Add
    (0x4a, 0xffad), // KP_Subtract
    (0x37, 0xffaa), // KP_Multiply
    (0xb5, 0xffaf), // KP_Divide
    (0x9c, 0xff8d), // KP_Enter
    (0x56, 0x003c), // less, on the key that US keyboards lack
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Point;
    use crate::input::every_key;

    /// Messages as a server reads them.
    fn told(hand: &mut Hand, events: &[DeviceEvent]) -> Vec<String> {
        let messages = events.iter().flat_map(|event| hand.play(*event).unwrap());
        messages
            .map(|message| match message {
                X11Event::PointerEvent(event) => {
                    format!("{},{} {:#07b}", event.position_x, event.position_y, event.bottons)
                }
                X11Event::KeyEvent(event) => {
                    format!("{:#x} {}", event.keycode, if event.down { "down" } else { "up" })
                }
                other => format!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn each_message_tells_the_pointer_s_whole_state() {
        let events = [
            DeviceEvent::Move(Point::new(3, 4)),
            DeviceEvent::ButtonDown(Button::Left),
            DeviceEvent::Move(Point::new(5, 4)),
            DeviceEvent::WheelDown,
            DeviceEvent::ButtonUp(Button::Left),
        ];
        let expected =
            ["3,4 0b00000", "3,4 0b00001", "5,4 0b00001", "5,4 0b10001", "5,4 0b00001", "5,4 0b00000"];
        assert_eq!(told(&mut Hand::default(), &events), expected);
    }

    #[test]
    fn a_key_is_named_by_what_it_types_and_released_by_the_same_name() {
        let one = Key::numbered(0x02);
        let events = [
            DeviceEvent::KeyDown(Key::SHIFT),
            DeviceEvent::KeyDown(one),
            DeviceEvent::KeyUp(Key::SHIFT),
            DeviceEvent::KeyUp(one),
            DeviceEvent::KeyDown(one),
        ];
        let expected = ["0xffe1 down", "0x21 down", "0xffe1 up", "0x21 up", "0x31 down"];
        assert_eq!(told(&mut Hand::default(), &events), expected);
    }

    #[test]
    fn every_key_there_is_has_a_keysym() {
        for key in every_key() {
            assert!(keysym(key, Level::Plain).is_some(), "{key:?}");
        }
    }

    #[test]
    fn what_the_protocol_cannot_say_is_refused() {
        let mut hand = Hand::default();
        let refused = hand.play(DeviceEvent::ButtonDown(Button::Back)).unwrap_err();
        assert_eq!(refused, NotInProtocol::Button(Button::Back));
        let refused = hand.play(DeviceEvent::Move(Point::new(70_000, 0))).unwrap_err();
        assert_eq!(refused, NotInProtocol::Place);
    }
}
