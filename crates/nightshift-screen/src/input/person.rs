//! A person's keyboard: from what a browser says of keys to the guest's keys, whatever the person's layout is.
//!
//! The guest has the US layout. A key that means on the person's layout what it means on the guest's is pressed as
//! it is; of one that means another character, the key that gives this character is pressed; a character that no
//! key gives is typed through the guest. With Ctrl, Alt or Meta held the meaning counts too, so that Ctrl+Z is where
//! the person's keyboard has its Z.

use super::keys::{Key, KeyChord};
use super::layout::{Level, stroke};

/// The most keys that are held at once; of more the rest is ignored.
const MOST_HELD: usize = 16;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAction {
    /// Press a key.
    Down(Key),
    /// Release it.
    Up(Key),
    /// Type a character that the keyboard has no key for, through the guest.
    Type(char),
}

/// The keys a person holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PersonKeyboard {
    held: Vec<Held>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    code: String,
    key: Key,
}

const SHIFTS: [&str; 2] = ["ShiftLeft", "ShiftRight"];
/// Characters are sent as what they mean, so these would only swap the case of letters, or make arrows of numbers: for
/// whoever has the guest next as well.
const LOCKS: [&str; 3] = ["CapsLock", "NumLock", "ScrollLock"];
const COMMANDS: [&str; 5] = ["ControlLeft", "ControlRight", "AltLeft", "MetaLeft", "MetaRight"];

impl PersonKeyboard {
    /// A key went down: its place (`KeyboardEvent.code`) and its meaning (`KeyboardEvent.key`).
    pub fn down(&mut self, code: &str, meaning: &str) -> Vec<KeyAction> {
        if self.held.iter().any(|held| held.code == code) || self.held.len() >= MOST_HELD {
            return Vec::new();
        }
        if LOCKS.contains(&code) || LOCKS.contains(&meaning) {
            return Vec::new();
        }
        let mut characters = meaning.chars();
        let character = characters.next().filter(|_| characters.next().is_none());
        match character {
            Some(character) => self.character(code, character),
            // It only makes other characters of other keys, and those are sent as what they are.
            None if matches!(meaning, "AltGraph" | "Dead" | "Process" | "Unidentified") => Vec::new(),
            None => {
                let named = Key::from_code(code).or_else(|| {
                    let chord: KeyChord = meaning.parse().ok()?;
                    chord.keys().first().copied()
                });
                named.map(|key| self.hold(code, key)).into_iter().collect()
            }
        }
    }

    /// A key went up.
    pub fn up(&mut self, code: &str) -> Vec<KeyAction> {
        match self.held.iter().position(|held| held.code == code) {
            Some(index) => vec![KeyAction::Up(self.held.remove(index).key)],
            None => Vec::new(),
        }
    }

    /// The keys that are held and change what others mean, the one pressed first first. Text is typed without them.
    pub fn modifiers(&self) -> Vec<Key> {
        let changes =
            |held: &&Held| SHIFTS.contains(&held.code.as_str()) || COMMANDS.contains(&held.code.as_str());
        self.held.iter().filter(changes).map(|held| held.key).collect()
    }

    /// Lets all keys go, the one pressed last first.
    pub fn release(&mut self) -> Vec<KeyAction> {
        self.held.drain(..).rev().map(|held| KeyAction::Up(held.key)).collect()
    }

    fn character(&mut self, code: &str, character: char) -> Vec<KeyAction> {
        let Some(stroke) = stroke(character) else { return vec![KeyAction::Type(character)] };
        let shift = self.held.iter().find(|held| SHIFTS.contains(&held.code.as_str())).map(|held| held.key);
        let command = self.held.iter().any(|held| COMMANDS.contains(&held.code.as_str()));
        let press = [KeyAction::Down(stroke.key), KeyAction::Up(stroke.key)];
        match (stroke.level, shift) {
            _ if command => vec![self.hold(code, stroke.key)],
            (Level::Plain, None) | (Level::Shifted, Some(_)) => vec![self.hold(code, stroke.key)],
            (Level::Shifted, None) => {
                surrounded(KeyAction::Down(Key::SHIFT), press, KeyAction::Up(Key::SHIFT))
            }
            (Level::Plain, Some(shift)) => surrounded(KeyAction::Up(shift), press, KeyAction::Down(shift)),
        }
    }

    fn hold(&mut self, code: &str, key: Key) -> KeyAction {
        self.held.push(Held { code: code.to_owned(), key });
        KeyAction::Down(key)
    }
}

fn surrounded(before: KeyAction, press: [KeyAction; 2], after: KeyAction) -> Vec<KeyAction> {
    [before].into_iter().chain(press).chain([after]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::KeyAction::{Down, Type, Up};
    use super::*;

    fn key(code: &str) -> Key {
        Key::from_code(code).unwrap()
    }

    #[test]
    fn on_the_guest_s_own_layout_keys_are_pressed_as_they_are() {
        let mut keyboard = PersonKeyboard::default();
        assert_eq!(keyboard.down("KeyA", "a"), [Down(key("KeyA"))]);
        assert_eq!(keyboard.up("KeyA"), [Up(key("KeyA"))]);
        assert_eq!(keyboard.down("ShiftLeft", "Shift"), [Down(key("ShiftLeft"))]);
        assert_eq!(keyboard.down("KeyA", "A"), [Down(key("KeyA"))]);
        assert_eq!(keyboard.release(), [Up(key("KeyA")), Up(key("ShiftLeft"))]);
        assert_eq!(keyboard.down("ArrowLeft", "ArrowLeft"), [Down(key("ArrowLeft"))]);
    }

    #[test]
    fn on_a_german_layout_the_character_counts_and_not_the_place() {
        let mut keyboard = PersonKeyboard::default();
        assert_eq!(keyboard.down("KeyY", "z"), [Down(key("KeyZ"))]);
        assert_eq!(keyboard.up("KeyY"), [Up(key("KeyZ"))]);
        // The slash is on Shift and 7 there, and has no Shift on the guest's.
        let shift = key("ShiftLeft");
        keyboard.down("ShiftLeft", "Shift");
        let slash = key("Slash");
        assert_eq!(keyboard.down("Digit7", "/"), [Up(shift), Down(slash), Up(slash), Down(shift)]);
        keyboard.up("ShiftLeft");
        assert_eq!(keyboard.down("BracketLeft", "ü"), [Type('ü')]);
        assert_eq!(keyboard.down("AltRight", "AltGraph"), []);
        let two = key("Digit2");
        assert_eq!(keyboard.down("KeyQ", "@"), [Down(Key::SHIFT), Down(two), Up(two), Up(Key::SHIFT)]);
    }

    #[test]
    fn of_what_is_held_only_what_changes_other_keys_is_a_modifier() {
        let mut keyboard = PersonKeyboard::default();
        for (code, meaning) in [("ControlLeft", "Control"), ("KeyA", "a"), ("ShiftRight", "Shift")] {
            keyboard.down(code, meaning);
        }
        assert_eq!(keyboard.modifiers(), [key("ControlLeft"), key("ShiftRight")]);
        keyboard.up("ControlLeft");
        assert_eq!(keyboard.modifiers(), [key("ShiftRight")]);
    }

    #[test]
    fn with_control_held_the_meaning_of_the_key_counts() {
        let mut keyboard = PersonKeyboard::default();
        keyboard.down("ControlLeft", "Control");
        assert_eq!(keyboard.down("KeyY", "z"), [Down(key("KeyZ"))]);
        assert_eq!(keyboard.down("Backslash", "+"), [Down(key("Equal"))]);
    }

    #[test]
    fn a_repeat_and_a_release_of_what_is_not_held_do_nothing() {
        let mut keyboard = PersonKeyboard::default();
        keyboard.down("KeyA", "a");
        assert_eq!(keyboard.down("KeyA", "a"), []);
        assert_eq!(keyboard.up("KeyB"), []);
        assert_eq!(keyboard.down("Nonsense", "Nonsense"), []);
    }

    #[test]
    fn a_lock_of_the_person_s_keyboard_stays_there_and_letters_come_as_they_are_meant() {
        let mut keyboard = PersonKeyboard::default();
        for (code, meaning) in [("CapsLock", "CapsLock"), ("NumLock", "NumLock"), ("ControlLeft", "CapsLock")]
        {
            assert_eq!((keyboard.down(code, meaning), keyboard.up(code)), (vec![], vec![]), "{code}");
        }
        let a = key("KeyA");
        assert_eq!(keyboard.down("KeyA", "A"), [Down(Key::SHIFT), Down(a), Up(a), Up(Key::SHIFT)]);
    }

    fn strokes() -> impl Strategy<Value = (String, String, bool)> {
        let code =
            prop::sample::select(vec!["KeyA", "KeyY", "Digit7", "ShiftLeft", "ControlLeft", "Enter", "X"]);
        let meaning =
            prop::sample::select(vec!["a", "z", "/", "Shift", "Control", "Enter", "ü", "Dead", "Q"]);
        (code, meaning, any::<bool>()).prop_map(|(code, key, down)| (code.to_owned(), key.to_owned(), down))
    }

    proptest! {
        #[test]
        fn after_a_release_the_guest_holds_no_key(story in prop::collection::vec(strokes(), 0..60)) {
            let mut keyboard = PersonKeyboard::default();
            let mut held: Vec<Key> = Vec::new();
            let mut actions = Vec::new();
            for (code, meaning, down) in story {
                actions.extend(if down { keyboard.down(&code, &meaning) } else { keyboard.up(&code) });
            }
            actions.extend(keyboard.release());
            for action in actions {
                match action {
                    Down(key) => held.push(key),
                    Up(key) => held.retain(|other| *other != key),
                    Type(_) => {}
                }
            }
            prop_assert_eq!(held, Vec::new());
        }
    }
}
