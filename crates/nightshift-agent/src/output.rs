//! Output of programs, made fit for a model: no control sequences, and no longer than it is worth.

/// How many characters of a command's output a model is shown.
pub const OUTPUT_LIMIT: usize = 16_000;

/// Characters set aside for the line that says what was left out.
const NOTICE_ROOM: usize = 100;

/// Strips control sequences from `output` and, when more than `limit` characters are left, keeps its beginning and
/// its end (the end a little longer: errors stand there) around a line that says how much was left out.
///
/// Cuts fall on line ends where one is near, otherwise between characters. The result has at most `limit`
/// characters, or 100 when `limit` is smaller than that.
pub fn shorten(output: &str, limit: usize) -> String {
    let clean = strip_controls(output);
    let total = clean.chars().count();
    if total <= limit {
        return clean;
    }
    let room = limit.saturating_sub(NOTICE_ROOM);
    let head = head(&clean, room * 2 / 5);
    let tail = tail(&clean, room - room * 2 / 5);
    let left_out = &clean[head.len()..clean.len() - tail.len()];
    let characters = counted(left_out.chars().count() as u64, "character");
    let lines = counted(left_out.lines().count() as u64, "line");
    let break_before = if head.is_empty() || head.ends_with('\n') { "" } else { "\n" };
    format!("{head}{break_before}[… {characters} in {lines} left out …]\n{tail}")
}

/// Removes terminal control sequences (ECMA-48) and control characters but for tab and line feed, and keeps of a
/// line that was overwritten by carriage returns, as progress bars do, what a terminal would show last.
pub(crate) fn strip_controls(output: &str) -> String {
    let mut clean = String::with_capacity(output.len());
    let mut line_start = 0;
    let mut characters = output.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.peek() {
                Some('[') => {
                    characters.next();
                    skip_control_sequence(&mut characters);
                }
                Some(']' | 'P' | 'X' | '^' | '_') => skip_control_string(&mut characters),
                Some('\n') | None => {}
                Some(_) => {
                    characters.next();
                }
            },
            '\u{9b}' => skip_control_sequence(&mut characters),
            '\n' => {
                clean.push('\n');
                line_start = clean.len();
            }
            '\r' => {
                if !matches!(characters.peek(), None | Some('\n' | '\r')) {
                    clean.truncate(line_start);
                }
            }
            '\t' => clean.push('\t'),
            other if other.is_control() => {}
            other => clean.push(other),
        }
    }
    clean
}

type Characters<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// Skips parameters and intermediates up to the final byte. A character outside the grammar ends it unskipped.
fn skip_control_sequence(characters: &mut Characters<'_>) {
    while characters.next_if(|character| matches!(character, '\u{20}'..='\u{3f}')).is_some() {}
    characters.next_if(|character| matches!(character, '\u{40}'..='\u{7e}'));
}

/// Skips to the string's terminator, but never past the end of the line: an unterminated string must not hide the
/// rest of the output.
fn skip_control_string(characters: &mut Characters<'_>) {
    while let Some(character) = characters.next_if(|character| *character != '\n') {
        match character {
            '\u{7}' | '\u{9c}' => return,
            '\u{1b}' if characters.next_if_eq(&'\\').is_some() => return,
            _ => {}
        }
    }
}

/// The first `room` characters, or fewer so that they end with a line, when that costs less than half of them.
fn head(text: &str, room: usize) -> &str {
    let cut = text.char_indices().nth(room).map_or(text.len(), |(index, _)| index);
    let head = &text[..cut];
    match head.rfind('\n') {
        Some(newline) if newline + 1 > cut / 2 => &text[..=newline],
        Some(_) | None => head,
    }
}

/// The last `room` characters, or fewer so that they begin a line, when that costs less than half of them.
fn tail(text: &str, room: usize) -> &str {
    let Some(last) = room.checked_sub(1) else { return "" };
    let cut = text.char_indices().nth_back(last).map_or(0, |(index, _)| index);
    let tail = &text[cut..];
    match tail.find('\n') {
        Some(newline) if newline < tail.len() / 2 => &tail[newline + 1..],
        Some(_) | None => tail,
    }
}

/// The first `limit` characters of `text`, with an ellipsis where something was cut.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// The last `limit` characters of `text`.
pub(crate) fn last_characters(text: &str, limit: usize) -> &str {
    let Some(last) = limit.checked_sub(1) else { return "" };
    text.char_indices().nth_back(last).map_or(text, |(index, _)| &text[index..])
}

/// A number of things, with the noun's plural where it is not one.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// A number with commas between its thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_output_stays_as_it_is() {
        assert_eq!(shorten("one\ntwo\n", 100), "one\ntwo\n");
    }

    #[test]
    fn long_output_keeps_whole_lines_of_its_beginning_and_its_end() {
        let output: String = (1..=1_000).map(|line| format!("line {line}\n")).collect();
        assert_eq!(
            shorten(&output, 160),
            "line 1\nline 2\nline 3\n[… 8,844 characters in 994 lines left out …]\nline 998\nline 999\nline 1000\n"
        );
    }

    #[test]
    fn colours_titles_and_overwritten_progress_are_not_shown() {
        let output =
            "\u{1b}[1;32mok\u{1b}[0m\r\n\u{1b}]0;title\u{7}10%\r50%\r100%\r\n\u{1b}(Bbell\u{7}\u{8}\n";
        assert_eq!(shorten(output, 100), "ok\n100%\nBbell\n");
    }

    #[test]
    fn a_control_string_without_an_end_hides_no_more_than_its_line() {
        assert_eq!(shorten("a\u{1b}]0;hidden\nshown\n", 100), "a\nshown\n");
    }

    #[test]
    fn one_line_without_end_is_cut_between_characters() {
        let shortened = shorten(&"ä".repeat(50_000), 200);
        assert!(shortened.starts_with(&"ä".repeat(40)));
        assert!(shortened.ends_with(&"ä".repeat(60)));
        assert!(shortened.contains("[… 49,900 characters in 1 line left out …]"));
    }

    #[test]
    fn a_number_has_a_comma_at_each_thousand() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    proptest! {
        #[test]
        fn no_output_becomes_longer_than_the_limit_or_keeps_a_control_character(
            output in "(.|\n|\r|\u{1b}|\u{1b}\\[|\u{1b}\\]){0,200}",
            limit in 100_usize..150,
        ) {
            let shortened = shorten(&output, limit);
            prop_assert!(shortened.chars().count() <= limit);
            prop_assert!(!shortened.chars().any(|character| character.is_control() && !"\n\t".contains(character)));
        }
    }
}
