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
}

/// The smallest number of a key that is given: `xdotool` takes a number of one digit for the digit's key.
const LOWEST: u8 = 10;

/// What the guest's keys mean, and above it which of them were given: an owner before this one may have given some.
pub(crate) const ASK: &str = "cat /tmp/.nightshift-keys 2>/dev/null; exec xmodmap -pke";

impl SpareKeys {
    /// The key that a character has.
    pub(crate) fn known(&mut self, character: char) -> Option<SpareKey> {
        let at = self.given.iter().position(|(given, _)| *given == character)?;
        let (character, code) = self.given.remove(at);
        self.given.push((character, code));
        Some(SpareKey { character, code })
    }

    /// Gives a key to a character that has none; `keys` is what the guest answered to [`ASK`]. `None` where all have a
    /// meaning and none of them from here.
    pub(crate) fn give(&mut self, character: char, keys: &str) -> Option<SpareKey> {
        for (character, code) in keys.lines().filter_map(given) {
            if !self.has(code) {
                self.given.retain(|(other, _)| *other != character);
                self.given.insert(0, (character, code));
            }
        }
        if let Some(key) = self.known(character) {
            return Some(key);
        }
        let free = keys.lines().filter_map(meaningless).find(|code| *code >= LOWEST && !self.has(*code));
        let code = match free {
            Some(code) => code,
            None if self.given.is_empty() => return None,
            None => self.given.remove(0).1,
        };
        self.given.push((character, code));
        Some(SpareKey { character, code })
    }

    fn has(&self, code: u8) -> bool {
        self.given.iter().any(|(_, given)| *given == code)
    }
}

impl SpareKey {
    /// The command that types it, and before that gives the key its meaning where it does not have it: not yet, or not any
    /// more, for the guest may have been given another layout since. It has it on every level, so that what a person holds
    /// changes nothing.
    pub(crate) fn script(self) -> String {
        let (code, symbol, number) =
            (self.code, format!("U{:04X}", u32::from(self.character)), keysym(self.character));
        format!(
            "xmodmap -pk | grep -Eq '^ *{code}[[:blank:]]+0x{number:04x} ' || {{ \
             echo 'given {code} {symbol}' >>/tmp/.nightshift-keys; \
             xmodmap -e 'keycode {code} = {symbol} {symbol} {symbol} {symbol}' || exit; }}; \
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

/// The character and the key of a line that says that it was given: `given 97 U00FC`.
fn given(line: &str) -> Option<(char, u8)> {
    let (code, symbol) = line.strip_prefix("given ")?.split_once(" U")?;
    let character = u32::from_str_radix(symbol, 16).ok().and_then(char::from_u32)?;
    let code = code.parse().ok().filter(|code| *code >= LOWEST)?;
    Some((character, code))
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
    fn keys_that_an_owner_before_gave_are_known_and_given_on() {
        let full = "given 97 U00FC\ngiven 120 U0436\ngiven 97 U00F6\ngiven 3 U00E4\ngiven 400 U00E4\ngiven 99 Uxyz\n\
            keycode  38 = a A a A\nkeycode  97 = odiaeresis odiaeresis\nkeycode 120 = Cyrillic_zhe\n";
        let mut keys = SpareKeys::default();
        assert_eq!(code(keys.give('ж', full)), Some(120));
        assert_eq!(code(keys.give('я', full)), Some(97), "the one whose character was not typed lately");
        assert_eq!((code(keys.known('ж')), keys.known('ö')), (Some(120), None));
    }

    #[test]
    fn where_every_key_means_something_none_is_given() {
        let full = "keycode  38 = a A a A\nkeycode   8 =\n";
        assert_eq!(SpareKeys::default().give('ä', full), None);
        assert_eq!(SpareKeys::default().give('ä', ""), None);
    }

    #[test]
    fn a_key_is_given_its_meaning_unless_it_has_it() {
        let mut keys = SpareKeys::default();
        assert_eq!(
            keys.give('😀', KEYMAP).unwrap().script(),
            "xmodmap -pk | grep -Eq '^ *97[[:blank:]]+0x101f600 ' || { echo 'given 97 U1F600' >>/tmp/.nightshift-keys; \
             xmodmap -e 'keycode 97 = U1F600 U1F600 U1F600 U1F600' || exit; }; exec xdotool key --delay 12 97"
        );
        assert!(keys.give('ü', KEYMAP).unwrap().script().contains("120[[:blank:]]+0x00fc "));
    }
}
