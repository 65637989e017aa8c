//! The characters of the US keyboard layout: which key gives which, alone or with Shift.

use super::keys::Key;

/// How a character is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stroke {
    pub(crate) key: Key,
    pub(crate) level: Level,
}

/// Whether Shift is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Plain,
    Shifted,
}

/// Runs of neighbouring keys: the first one's number, their characters alone, their characters with Shift.
const RUNS: [(u8, &str, &str); 5] = [
    (0x02, "1234567890-=", "!@#$%^&*()_+"),
    (0x10, "qwertyuiop[]", "QWERTYUIOP{}"),
    (0x1e, "asdfghjkl;'`", "ASDFGHJKL:\"~"),
    (0x2b, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (0x39, " ", ""),
];

/// Returns how `character` is typed, or `None` when the layout lacks it.
pub(crate) fn stroke(character: char) -> Option<Stroke> {
    match character {
        '\n' => return Some(Stroke { key: Key::RETURN, level: Level::Plain }),
        '\t' => return Some(Stroke { key: Key::TAB, level: Level::Plain }),
        _ => {}
    }
    RUNS.iter().find_map(|(first, plain, shifted)| {
        [(plain, Level::Plain), (shifted, Level::Shifted)].into_iter().find_map(|(characters, level)| {
            let key = (*first..).zip(characters.chars()).find(|(_, known)| *known == character)?.0;
            Some(Stroke { key: Key::numbered(key), level })
        })
    })
}

/// Returns what a key types, or `None` when it types no character.
#[cfg(feature = "vnc")]
pub(crate) fn character(key: Key, level: Level) -> Option<char> {
    RUNS.iter().find_map(|(first, plain, shifted)| {
        let characters = match level {
            Level::Plain => plain,
            // The space bar types the same with Shift.
            Level::Shifted if shifted.is_empty() => plain,
            Level::Shifted => shifted,
        };
        let index = key.number().checked_sub(u32::from(*first))?;
        characters.chars().nth(index as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_ascii_character_has_a_stroke_of_its_own() {
        let mut strokes = Vec::new();
        for character in (' '..='~').chain(['\n', '\t']) {
            let stroke = stroke(character).expect("a US keyboard types all of ASCII");
            assert!(!strokes.contains(&stroke), "{character:?} shares {stroke:?}");
            strokes.push(stroke);
        }
    }

    #[test]
    fn the_runs_lie_where_the_scan_codes_are() {
        // From the set 1 column of the keyboard scan code specification.
        let known =
            [('1', 0x02), ('=', 0x0d), (']', 0x1b), ('a', 0x1e), ('`', 0x29), ('\\', 0x2b), ('/', 0x35)];
        for (character, code) in known {
            let expected = Stroke { key: Key::numbered(code), level: Level::Plain };
            assert_eq!(stroke(character), Some(expected), "{character}");
        }
        assert_eq!(stroke('?'), Some(Stroke { key: Key::numbered(0x35), level: Level::Shifted }));
        assert_eq!(stroke('€'), None);
    }
}
