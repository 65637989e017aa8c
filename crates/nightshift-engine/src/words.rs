//! An agent's words on their way into the history: not at any length, and without what would play with a terminal.

use nightshift_protocol::EngineActionKind;

/// At most `most` characters of a text, on one line.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&line, most)
}

/// At most `most` characters of a text, without control characters but line ends and tabs.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let shown = |letter: &char| !letter.is_control() || matches!(letter, '\n' | '\t');
    let mut letters = text.chars().filter(shown);
    let mut kept: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        kept.push('…');
    }
    kept
}

/// A kind by its name on the wire.
pub(crate) fn kind(name: &str) -> EngineActionKind {
    match name {
        "read" => EngineActionKind::Read,
        "edit" => EngineActionKind::Edit,
        "delete" => EngineActionKind::Delete,
        "move" => EngineActionKind::Move,
        "search" => EngineActionKind::Search,
        "execute" => EngineActionKind::Execute,
        "think" => EngineActionKind::Think,
        "fetch" => EngineActionKind::Fetch,
        _ => EngineActionKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_a_certain_length_and_rings_no_bell() {
        assert_eq!(one_line(" npm \x1b[31m test\n--all ", 300), "npm [31m test --all");
        assert_eq!(one_line(&"ä".repeat(5), 3), "äää…");
        assert_eq!(cut("a\n\tb\x07", 10), "a\n\tb");
    }

    #[test]
    fn a_kind_that_is_not_known_is_another() {
        assert_eq!((kind("execute"), kind("levitate")), (EngineActionKind::Execute, EngineActionKind::Other));
    }
}
