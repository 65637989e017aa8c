//! Words of a server, as they may be shown.

/// The text without control characters other than line ends and tabs, cut after so many characters.
pub(crate) fn plain(text: &str, longest: usize) -> String {
    let shown = |character: &char| !character.is_control() || matches!(character, '\n' | '\t');
    let mut characters = text.chars().filter(shown);
    let mut plain: String = characters.by_ref().take(longest).collect();
    if characters.next().is_some() {
        plain.push('…');
    }
    plain
}

/// The same in one line.
pub(crate) fn line(text: &str, longest: usize) -> String {
    plain(&text.split_whitespace().collect::<Vec<_>>().join(" "), longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_drives_no_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\nc", 100), "a[31mb\nc");
        assert_eq!(plain("abcdef", 3), "abc…");
        assert_eq!(plain("abc", 3), "abc");
        assert_eq!(line("  a\n\n b\u{7}  ", 100), "a b");
    }
}
