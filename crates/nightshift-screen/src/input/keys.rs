//! Keys by name, and chords of them.
//!
//! A key is known by QEMU's number for it: the scan code of set 1, with the high bit in place of the `e0` prefix
//! (`org.qemu.Display1.Keyboard`). Names are those of X keysyms as xdotool takes them, with the synonyms that models
//! are fond of, in any case; a browser's `KeyboardEvent.code` is known too, for a person who types.

use std::str::FromStr;

use super::layout::{Level, stroke};

/// The most keys of a chord: all modifiers and two more.
const MOST_KEYS: usize = 6;

/// A key of the guest's keyboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u8);

impl Key {
    pub(crate) const TAB: Self = Self(0x0f);
    pub(crate) const RETURN: Self = Self(0x1c);
    pub(crate) const SHIFT: Self = Self(0x2a);
    #[cfg(feature = "vnc")]
    pub(crate) const SHIFT_RIGHT: Self = Self(0x36);

    pub(crate) const fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// QEMU's number for the key.
    pub(crate) fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// Finds a key by a browser's `KeyboardEvent.code`, for example `KeyA` or `ShiftLeft` (W3C UI Events codes).
    pub fn from_code(code: &str) -> Option<Self> {
        let one = |prefix| code.strip_prefix(prefix).filter(|rest: &&str| rest.len() == 1);
        if let Some(character) = one("Key").or_else(|| one("Digit")) {
            return stroke(character.to_ascii_lowercase().chars().next()?).map(|stroke| stroke.key);
        }
        KEYS.iter().find(|(_, known, _)| *known == code).map(|(number, _, _)| Self(*number))
    }

    fn from_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        KEYS.iter().find(|(_, _, names)| names.contains(&name.as_str())).map(|(number, _, _)| Self(*number))
    }
}

/// Keys pressed together: in order, and released in the opposite order.
///
/// Parsed from names joined by `+`: `ctrl+shift+t`, `Return`, `F5`, `super`, `ctrl++`. A single character stands for
/// the key that types it; where that takes Shift, as for `T` or `?`, Shift becomes part of the chord.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChord {
    keys: Vec<Key>,
}

/// A chord's text does not name keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text, or a part between two `+`, is empty.
    #[error("a key's name is missing in \"{chord}\"")]
    Missing {
        /// The whole text, cut to 64 characters.
        chord: String,
    },
    /// No key has that name.
    #[error(
        "no key is named \"{name}\"; names are those of X keysyms, for example Return, Page_Down, F5, ctrl, super"
    )]
    Unknown {
        /// The name, cut to 64 characters.
        name: String,
    },
    /// More keys than a chord may have.
    #[error("a chord has at most {MOST_KEYS} keys")]
    TooMany,
}

impl KeyChord {
    /// The keys in the order they are pressed.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl From<Key> for KeyChord {
    fn from(key: Key) -> Self {
        Self { keys: vec![key] }
    }
}

impl FromStr for KeyChord {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        // A plus at the end is the key itself: "+", "ctrl++".
        let (names, plus) = match text.strip_suffix('+') {
            Some("") => (None, Some("plus")),
            Some(rest) => match rest.strip_suffix('+') {
                Some(names) => (Some(names), Some("plus")),
                None => return Err(KeyError::Missing { chord: shown(text) }),
            },
            None => (Some(text), None),
        };
        let mut keys = Vec::new();
        for name in names.into_iter().flat_map(|names| names.split('+')).chain(plus) {
            let name = name.trim();
            if name.is_empty() {
                return Err(KeyError::Missing { chord: shown(text) });
            }
            let stroke = character(name).and_then(stroke);
            let (key, shift) = match (Key::from_name(name), stroke) {
                (Some(key), _) => (key, None),
                (None, Some(stroke)) => (stroke.key, (stroke.level == Level::Shifted).then_some(Key::SHIFT)),
                (None, None) => return Err(KeyError::Unknown { name: shown(name) }),
            };
            for key in shift.into_iter().chain([key]) {
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
            if keys.len() > MOST_KEYS {
                return Err(KeyError::TooMany);
            }
        }
        Ok(Self { keys })
    }
}

/// The character a name stands for: itself, or the one its keysym names.
fn character(name: &str) -> Option<char> {
    let mut characters = name.chars();
    match (characters.next(), characters.next()) {
        (Some(only), None) => Some(only),
        _ => {
            let name = name.to_ascii_lowercase();
            CHARACTERS.iter().find(|(known, _)| *known == name).map(|(_, character)| *character)
        }
    }
}

/// A text from outside, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Every key there is.
#[cfg(all(test, feature = "vnc"))]
pub(crate) fn every_key() -> impl Iterator<Item = Key> {
    let typed = (' '..='~').filter_map(stroke).map(|stroke| stroke.key);
    KEYS.iter().map(|(number, _, _)| Key(*number)).chain(typed)
}

/// The keys that no character names: number, browser's code, names in lower case. The last block has the keys whose
/// character is their name, for the browser's code alone.
const KEYS: &[(u8, &str, &[&str])] = &[
    (0x1d, "ControlLeft", &["ctrl", "control", "control_l", "ctrl_l"]),
    (0x2a, "ShiftLeft", &["shift", "shift_l"]),
    (0x38, "AltLeft", &["alt", "alt_l", "option"]),
    (0xdb, "MetaLeft", &["super", "super_l", "meta", "meta_l", "win", "windows", "cmd", "command"]),
    (0x9d, "ControlRight", &["control_r", "ctrl_r"]),
    (0x36, "ShiftRight", &["shift_r"]),
    (0xb8, "AltRight", &["alt_r", "altgr", "iso_level3_shift"]),
    (0xdc, "MetaRight", &["super_r", "meta_r"]),
    (0xdd, "ContextMenu", &["menu", "contextmenu", "apps"]),
    (0x1c, "Enter", &["return", "enter"]),
    (0x01, "Escape", &["escape", "esc"]),
    (0x0e, "Backspace", &["backspace"]),
    (0x0f, "Tab", &["tab", "iso_left_tab"]),
    (0x39, "Space", &["space", "spacebar"]),
    (0xd2, "Insert", &["insert", "ins"]),
    (0xd3, "Delete", &["delete", "del"]),
    (0xc7, "Home", &["home"]),
    (0xcf, "End", &["end"]),
    (0xc9, "PageUp", &["page_up", "pageup", "prior", "pgup"]),
    (0xd1, "PageDown", &["page_down", "pagedown", "next", "pgdn", "pgdown"]),
    (0xc8, "ArrowUp", &["up", "arrowup", "uparrow", "arrow_up"]),
    (0xd0, "ArrowDown", &["down", "arrowdown", "downarrow", "arrow_down"]),
    (0xcb, "ArrowLeft", &["left", "arrowleft", "leftarrow", "arrow_left"]),
    (0xcd, "ArrowRight", &["right", "arrowright", "rightarrow", "arrow_right"]),
    (0x3a, "CapsLock", &["caps_lock", "capslock"]),
    (0x45, "NumLock", &["num_lock", "numlock"]),
    (0x46, "ScrollLock", &["scroll_lock", "scrolllock"]),
    (0x54, "PrintScreen", &["print", "sys_req", "printscreen", "prtsc"]),
    (0xc6, "Pause", &["pause", "break"]),
    (0x3b, "F1", &["f1"]),
    (0x3c, "F2", &["f2"]),
    (0x3d, "F3", &["f3"]),
    (0x3e, "F4", &["f4"]),
    (0x3f, "F5", &["f5"]),
    (0x40, "F6", &["f6"]),
    (0x41, "F7", &["f7"]),
    (0x42, "F8", &["f8"]),
    (0x43, "F9", &["f9"]),
    (0x44, "F10", &["f10"]),
    (0x57, "F11", &["f11"]),
    (0x58, "F12", &["f12"]),
    (0x52, "Numpad0", &["kp_0", "kp_insert"]),
    (0x4f, "Numpad1", &["kp_1", "kp_end"]),
    (0x50, "Numpad2", &["kp_2", "kp_down"]),
    (0x51, "Numpad3", &["kp_3", "kp_next", "kp_page_down"]),
    (0x4b, "Numpad4", &["kp_4", "kp_left"]),
    (0x4c, "Numpad5", &["kp_5", "kp_begin"]),
    (0x4d, "Numpad6", &["kp_6", "kp_right"]),
    (0x47, "Numpad7", &["kp_7", "kp_home"]),
    (0x48, "Numpad8", &["kp_8", "kp_up"]),
    (0x49, "Numpad9", &["kp_9", "kp_prior", "kp_page_up"]),
    (0x53, "NumpadDecimal", &["kp_decimal", "kp_delete"]),
    (0x4e, "NumpadAdd", &["kp_add"]),
    (0x4a, "NumpadSubtract", &["kp_subtract"]),
    (0x37, "NumpadMultiply", &["kp_multiply"]),
    (0xb5, "NumpadDivide", &["kp_divide"]),
    (0x9c, "NumpadEnter", &["kp_enter"]),
    (0x56, "IntlBackslash", &[]),
    (0x0c, "Minus", &[]),
    (0x0d, "Equal", &[]),
    (0x1a, "BracketLeft", &[]),
    (0x1b, "BracketRight", &[]),
    (0x27, "Semicolon", &[]),
    (0x28, "Quote", &[]),
    (0x29, "Backquote", &[]),
    (0x2b, "Backslash", &[]),
    (0x33, "Comma", &[]),
    (0x34, "Period", &[]),
    (0x35, "Slash", &[]),
];

/// Keysyms of the characters that are no letter or digit, in lower case (X.org `keysymdef.h`).
const CHARACTERS: &[(&str, char)] = &[
    ("exclam", '!'),
    ("at", '@'),
    ("numbersign", '#'),
    ("dollar", '$'),
    ("percent", '%'),
    ("asciicircum", '^'),
    ("ampersand", '&'),
    ("asterisk", '*'),
    ("parenleft", '('),
    ("parenright", ')'),
    ("minus", '-'),
    ("underscore", '_'),
    ("equal", '='),
    ("plus", '+'),
    ("bracketleft", '['),
    ("bracketright", ']'),
    ("braceleft", '{'),
    ("braceright", '}'),
    ("semicolon", ';'),
    ("colon", ':'),
    ("apostrophe", '\''),
    ("quotedbl", '"'),
    ("grave", '`'),
    ("asciitilde", '~'),
    ("backslash", '\\'),
    ("bar", '|'),
    ("comma", ','),
    ("less", '<'),
    ("period", '.'),
    ("greater", '>'),
    ("slash", '/'),
    ("question", '?'),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(chord: &str) -> Result<Vec<u32>, KeyError> {
        Ok(chord.parse::<KeyChord>()?.keys().iter().map(|key| key.number()).collect())
    }

    #[test]
    fn chords_are_read_as_xdotool_reads_them() {
        let cases: [(&str, &[u32]); 14] = [
            ("ctrl+shift+t", &[0x1d, 0x2a, 0x14]),
            ("Return", &[0x1c]),
            ("F5", &[0x3f]),
            ("F11", &[0x57]),
            ("Page_Down", &[0xd1]),
            ("super", &[0xdb]),
            ("alt+Tab", &[0x38, 0x0f]),
            ("ctrl++", &[0x1d, 0x2a, 0x0d]),
            ("+", &[0x2a, 0x0d]),
            ("ctrl+minus", &[0x1d, 0x0c]),
            ("T", &[0x2a, 0x14]),
            ("ctrl+?", &[0x1d, 0x2a, 0x35]),
            (" ctrl + a ", &[0x1d, 0x1e]),
            ("KP_Enter", &[0x9c]),
        ];
        for (chord, expected) in cases {
            assert_eq!(numbers(chord).as_deref(), Ok(expected), "{chord}");
        }
    }

    #[test]
    fn synonyms_mean_the_same_key_in_any_case() {
        for (one, other) in [
            ("Enter", "return"),
            ("ESC", "Escape"),
            ("CMD+L", "super+L"),
            ("ArrowUp", "Up"),
            ("pgdn", "Next"),
        ] {
            assert_eq!(numbers(one), numbers(other), "{one}");
        }
    }

    #[test]
    fn a_key_named_twice_is_pressed_once() {
        assert_eq!(numbers("shift+T"), Ok(vec![0x2a, 0x14]));
        assert_eq!(numbers("ctrl+ctrl"), Ok(vec![0x1d]));
    }

    #[test]
    fn what_names_no_key_is_refused_with_the_name() {
        assert_eq!(numbers("ctrl+hyper9"), Err(KeyError::Unknown { name: "hyper9".to_owned() }));
        assert_eq!(numbers("ü"), Err(KeyError::Unknown { name: "ü".to_owned() }));
        for chord in ["", "ctrl+", "+a", "ctrl++a"] {
            assert_eq!(numbers(chord), Err(KeyError::Missing { chord: chord.to_owned() }), "{chord}");
        }
        assert_eq!(numbers("a+b+c+d+e+f+g"), Err(KeyError::TooMany));
        let long = KeyError::Unknown { name: "x".repeat(64) };
        assert_eq!(numbers(&"x".repeat(100_000)), Err(long));
    }

    #[test]
    fn a_browsers_codes_name_the_same_keys() {
        let cases =
            [("KeyA", 0x1e), ("Digit0", 0x0b), ("ShiftRight", 0x36), ("Slash", 0x35), ("ArrowLeft", 0xcb)];
        for (code, number) in cases {
            assert_eq!(Key::from_code(code), Some(Key::numbered(number)), "{code}");
        }
        for code in ["", "Key", "KeyAB", "Keyü", "BrowserHome"] {
            assert_eq!(Key::from_code(code), None, "{code}");
        }
    }

    #[test]
    fn no_name_and_no_number_is_in_the_table_twice() {
        let mut names: Vec<&str> = KEYS.iter().flat_map(|(_, _, names)| names.iter().copied()).collect();
        names.extend(CHARACTERS.iter().map(|(name, _)| *name));
        let mut numbers: Vec<u8> = KEYS.iter().map(|(number, _, _)| *number).collect();
        let (all_names, all_numbers) = (names.len(), numbers.len());
        names.sort_unstable();
        names.dedup();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!((names.len(), numbers.len()), (all_names, all_numbers));
        assert!(names.iter().all(|name| name.to_ascii_lowercase() == *name));
    }
}
