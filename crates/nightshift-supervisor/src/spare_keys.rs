//! Keys of the guest that mean nothing, given to characters for which its keyboard has no key.
//!
//! A program of the guest that hears of a key looks up what the key means, and may do so late. Were one key given to one
//! character after the other, a person who types `ö` and `ü` quickly would find `ü` twice. So a character keeps the key that
//! it was given, and only when there is no other left does it lose it, to the one that waits longest for being typed again.

/// The keys that were given, the one that was typed longest ago first.
#[derive(Debug, Default)]
pub(crate) struct SpareKeys {
    given: Vec<(char, u8)>,
}

/// How a character is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpareKey {
    character: char,
    /// The X server's number of the key, 8 to 255.
    code: u8,
    /// Whether it means something else until now, or nothing.
    is_new: bool,
}

/// The smallest number of a key that is given: `xdotool` takes a number of one digit for the digit's key.
const LOWEST: u8 = 10;

impl SpareKeys {
    /// The key that a character has.
    pub(crate) fn known(&mut self, character: char) -> Option<SpareKey> {
        let at = self.given.iter().position(|(given, _)| *given == character)?;
        let (character, code) = self.given.remove(at);
        self.given.push((character, code));
        Some(SpareKey { character, code, is_new: false })
    }

    /// Gives a key to a character that has none; `keymap` is what `xmodmap -pke` tells of the guest's keys. `None` where all
    /// have a meaning and none of them from here.
    pub(crate) fn give(&mut self, character: char, keymap: &str) -> Option<SpareKey> {
        let given = |code: &u8| self.given.iter().any(|(_, given)| given == code);
        let free = keymap.lines().filter_map(meaningless).find(|code| *code >= LOWEST && !given(code));
        let code = match free {
            Some(code) => code,
            None if self.given.is_empty() => return None,
            None => self.given.remove(0).1,
        };
        self.given.push((character, code));
        Some(SpareKey { character, code, is_new: true })
    }
}

impl SpareKey {
    /// The command that types it, and before that gives the key its meaning where it does not have it (yet, or any more: the
    /// guest may have been given another layout since). It has it on every level, so that what a person holds changes nothing.
    pub(crate) fn script(self) -> String {
        let (code, symbol) = (self.code, format!("U{:04X}", u32::from(self.character)));
        let lost = if self.is_new {
            String::new()
        } else {
            let number = keysym(self.character);
            format!("xmodmap -pk | grep -Eq '^ *{code}[[:blank:]]+0x{number:04x} ' || ")
        };
        format!(
            "{lost}xmodmap -e 'keycode {code} = {symbol} {symbol} {symbol} {symbol}' || exit; \
             exec xdotool key --delay 12 {code}"
        )
    }
}

/// The number of the meaning: that of Latin-1 is the character's own, others have a range of their own (X protocol, appendix
/// A, "Keysyms").
fn keysym(character: char) -> u32 {
    let number = u32::from(character);
    if number < 0x100 { number } else { 0x0100_0000 | number }
}

/// The number of a key of which a line says that it means nothing: `keycode  97 =`.
fn meaningless(line: &str) -> Option<u8> {
    let (code, meaning) = line.strip_prefix("keycode")?.split_once('=')?;
    if meaning.trim().is_empty() { code.trim().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `xmodmap -pke` prints, as far as it matters.
    const KEYMAP: &str = "keycode   8 =\nkeycode   9 = Escape NoSymbol Escape\nkeycode  38 = a A a A\nkeycode  97 =\n\
        keycode 120 =\nkeycode 149 =\nnonsense\nkeycode 999 =\n";

    fn code(key: Option<SpareKey>) -> Option<u8> {
        key.map(|key| key.code)
    }

    #[test]
    fn each_character_has_a_key_of_its_own_and_keeps_it() {
        let mut keys = SpareKeys::default();
        let first = ['ä', 'ö', 'ü'].map(|character| code(keys.give(character, KEYMAP)));
        assert_eq!(first, [Some(97), Some(120), Some(149)]);
        assert_eq!(
            ['ü', 'ä', 'ö'].map(|character| code(keys.known(character))),
            [Some(149), Some(97), Some(120)]
        );
        assert_eq!(keys.known('ß'), None);
    }

    #[test]
    fn the_character_that_was_typed_longest_ago_loses_its_key_when_no_other_is_left() {
        let mut keys = SpareKeys::default();
        for character in ['ä', 'ö', 'ü'] {
            keys.give(character, KEYMAP);
        }
        keys.known('ä');
        assert_eq!(code(keys.give('ß', KEYMAP)), Some(120), "that of ö");
        assert_eq!(keys.known('ö'), None);
        assert_eq!(code(keys.give('ö', KEYMAP)), Some(149), "that of ü");
    }

    #[test]
    fn where_every_key_means_something_none_is_given() {
        let full = "keycode  38 = a A a A\nkeycode   8 =\n";
        assert_eq!(SpareKeys::default().give('ä', full), None);
        assert_eq!(SpareKeys::default().give('ä', ""), None);
    }

    #[test]
    fn a_key_is_given_its_meaning_once_and_again_when_it_was_lost() {
        let mut keys = SpareKeys::default();
        let given =
            "xmodmap -e 'keycode 97 = U1F600 U1F600 U1F600 U1F600' || exit; exec xdotool key --delay 12 97";
        assert_eq!(keys.give('😀', KEYMAP).unwrap().script(), given);
        let known = keys.known('😀').unwrap().script();
        assert_eq!(known, format!("xmodmap -pk | grep -Eq '^ *97[[:blank:]]+0x101f600 ' || {given}"));
        keys.give('ü', KEYMAP);
        assert!(keys.known('ü').unwrap().script().contains("120[[:blank:]]+0x00fc "));
    }
}
