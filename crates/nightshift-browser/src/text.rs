//! Texts of a page, made safe to give on.

/// A text in one line, without control and direction characters, cut to `limit` characters.
pub(crate) fn line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    for word in text.split(|character: char| character.is_whitespace() || character.is_control()) {
        let word: String = word.chars().filter(|character| !is_invisible(*character)).collect();
        if word.is_empty() {
            continue;
        }
        if count > 0 {
            line.push(' ');
            count += 1;
        }
        for character in word.chars() {
            if count >= limit {
                line.push('…');
                return line;
            }
            line.push(character);
            count += 1;
        }
    }
    line
}

/// Characters that are not seen and can make a text read differently from what it is (Unicode, "Bidirectional
/// formatting characters", zero-width characters and tags).
fn is_invisible(character: char) -> bool {
    matches!(character,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line_without_what_cannot_be_seen() {
        assert_eq!(line(" Save\n\tall\u{202e} files\u{1b}[31m ", 100), "Save all files [31m");
        assert_eq!(line("a\u{e0041}b\u{200b}c", 100), "abc");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(line("größer", 3), "grö…");
        assert_eq!(line("größer", 6), "größer");
        assert_eq!(line("", 0), "");
    }
}
