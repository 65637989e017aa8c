//! Views and changes of a text, pure: who calls reads and writes the file.

use std::fmt::Write as _;

use crate::output::{counted, excerpt, strip_controls};

/// Lines shown at once.
const VIEW_LINES: usize = 500;
/// Characters shown at once.
const VIEW_CHARACTERS: usize = 24_000;
/// Characters shown of one line.
const LINE_CHARACTERS: usize = 500;
/// Unchanged lines shown before and after a change.
const AROUND: usize = 3;
/// Lines of an excerpt.
const EXCERPT_LINES: usize = 40;
/// Places named when there are several.
const PLACES: usize = 10;
/// Lines compared when the closest one is looked for.
const COMPARED_LINES: usize = 50_000;
/// Characters of a line that are compared.
const COMPARED_CHARACTERS: usize = 200;
/// Share of common pairs of characters from which a line counts as close.
const CLOSE: f64 = 0.6;

/// The part of a file to show, lines from 1, both ends shown; an absent end is the file's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineRange {
    /// The first line.
    pub from: Option<u64>,
    /// The last line; beyond the file's end is the end.
    pub to: Option<u64>,
}

/// A change of a part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Puts `new` in the place of `old`.
    Replace {
        /// What has to be there exactly. Line feeds in it match the line ends of the file.
        old: String,
        /// What takes its place.
        new: String,
        /// How many of them.
        occurrences: Occurrences,
    },
    /// Adds lines.
    Insert {
        /// The line before, from 1; 0 adds at the beginning.
        after_line: u64,
        /// The lines; a line end is added when it has none.
        text: String,
    },
}

/// How many occurrences are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrences {
    /// The only one; several are refused.
    One,
    /// Every one.
    All,
}

/// A changed text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The whole text as it is now.
    pub text: String,
    /// What was done, in one sentence.
    pub summary: String,
    /// The lines around the first change as they are now, numbered, at most 40.
    pub excerpt: String,
}

/// Why a text is not shown or changed, in words a model can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// `old` is empty.
    #[error("\"old\" is empty. Name the text to replace, or use insert.")]
    NothingToFind,
    /// `old` and `new` are the same.
    #[error("\"old\" and \"new\" are the same, so nothing would change.")]
    NothingChanges,
    /// `old` is not in the text.
    #[error("\"old\" is not in the file.{}", closest_line(.closest.as_ref()))]
    NotFound {
        /// The line most like the first line of `old`, if one is like it.
        closest: Option<ClosestLine>,
    },
    /// `old` is in the text more than once.
    #[error(
        "\"old\" is in the file {count} times, at the lines {}. Add lines around it so that it is there once, or set \
         \"all\".",
        places(.lines)
    )]
    SeveralFound {
        /// How often.
        count: usize,
        /// The lines of the first ten.
        lines: Vec<usize>,
    },
    /// There is no such line.
    #[error("There is no line {line}: the file has {}.", counted(*.total as u64, "line"))]
    NoSuchLine {
        /// The line asked for.
        line: u64,
        /// How many there are.
        total: usize,
    },
    /// The range ends before it begins.
    #[error("The last line, {to}, is before the first, {from}.")]
    BackwardRange {
        /// The first line asked for.
        from: u64,
        /// The last line asked for.
        to: u64,
    },
}

/// A line that is like the one looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosestLine {
    /// Its number, from 1.
    pub number: usize,
    /// Its text, cut to 200 characters.
    pub text: String,
    /// How it differs.
    pub difference: Difference,
}

/// How a line differs from the one looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Not, but for white space around it; what follows it differs, or the white space does.
    WhiteSpaceOrWhatFollows,
    /// In its words.
    Words,
}

/// Shows `text` with line numbers, at most 500 lines and 24,000 characters; a last line says what is not shown.
///
/// # Errors
/// When the range lies outside the text or runs backwards.
pub fn view(text: &str, range: LineRange) -> Result<String, EditError> {
    let lines: Vec<&str> = text.lines().collect();
    let total = lines.len();
    let from = range.from.unwrap_or(1);
    if let Some(to) = range.to.filter(|to| *to < from) {
        return Err(EditError::BackwardRange { from, to });
    }
    if total == 0 {
        return Ok("(the file is empty)".to_owned());
    }
    let first = position(from.saturating_sub(1));
    if first >= total {
        return Err(EditError::NoSuchLine { line: from, total });
    }
    let last = range.to.map_or(total, position).min(total);
    let mut shown = String::new();
    let mut next = first;
    while next < last && next - first < VIEW_LINES && shown.len() < VIEW_CHARACTERS {
        number_line(&mut shown, next + 1, lines[next]);
        next += 1;
    }
    if next < last {
        let _ = writeln!(
            shown,
            "(lines {} to {last} of {total} are not shown; ask for them by from_line and to_line)",
            next + 1
        );
    } else if last < total || first > 0 {
        let _ = writeln!(shown, "(lines {} to {last} of {total})", first + 1);
    }
    Ok(shown)
}

/// Changes `text`. Line ends of the file are kept: what is put in takes on those of the place, or of most lines.
///
/// # Errors
/// When the place is not found, not the only one, or nothing would change.
pub fn apply(text: &str, change: &Change) -> Result<Edited, EditError> {
    match change {
        Change::Replace { old, new, occurrences } => replace(text, old, new, *occurrences),
        Change::Insert { after_line, text: added } => insert(text, *after_line, added),
    }
}

fn replace(text: &str, old: &str, new: &str, occurrences: Occurrences) -> Result<Edited, EditError> {
    if old.is_empty() {
        return Err(EditError::NothingToFind);
    }
    let old = [old.to_owned(), LineEnd::CrLf.adopt(old), LineEnd::Lf.adopt(old)]
        .into_iter()
        .find(|candidate| text.contains(candidate.as_str()))
        .ok_or_else(|| EditError::NotFound { closest: closest(text, old) })?;
    let line_end = if old.contains('\n') { LineEnd::of(&old) } else { LineEnd::of(text) };
    let new = line_end.adopt(new);
    if old == new {
        return Err(EditError::NothingChanges);
    }
    let places: Vec<usize> = text.match_indices(&old).map(|(index, _)| index).collect();
    let count = places.len();
    if count > 1 && occurrences == Occurrences::One {
        let lines = places.iter().take(PLACES).map(|index| line_of(text, *index)).collect();
        return Err(EditError::SeveralFound { count, lines });
    }
    let first = line_of(text, places.first().copied().unwrap_or(0));
    let summary = match count {
        1 => format!("Replaced 1 occurrence at line {first}."),
        _ => format!("Replaced {count} occurrences, the first at line {first}."),
    };
    let edited = text.replace(&old, &new);
    let excerpt = around(&edited, first, new.lines().count());
    Ok(Edited { text: edited, summary, excerpt })
}

fn insert(text: &str, after_line: u64, added: &str) -> Result<Edited, EditError> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let total = lines.len();
    let after = position(after_line);
    if after > total {
        return Err(EditError::NoSuchLine { line: after_line, total });
    }
    if added.is_empty() {
        return Err(EditError::NothingChanges);
    }
    let line_end = LineEnd::of(text);
    let mut edited = lines[..after].concat();
    if !edited.is_empty() && !edited.ends_with('\n') {
        edited.push_str(line_end.text());
    }
    let added = line_end.adopt(added);
    edited.push_str(&added);
    if !added.ends_with('\n') {
        edited.push_str(line_end.text());
    }
    edited.push_str(&lines[after..].concat());
    let count = added.lines().count();
    let excerpt = around(&edited, after + 1, count);
    Ok(Edited {
        text: edited,
        summary: format!("Inserted {} after line {after_line}.", counted(count as u64, "line")),
        excerpt,
    })
}

/// How lines end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    Lf,
    CrLf,
}

impl LineEnd {
    /// The line end that most lines of `text` have.
    fn of(text: &str) -> Self {
        let all = text.matches('\n').count();
        if text.matches("\r\n").count() * 2 > all { Self::CrLf } else { Self::Lf }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }

    fn adopt(self, text: &str) -> String {
        let plain = text.replace("\r\n", "\n");
        match self {
            Self::Lf => plain,
            Self::CrLf => plain.replace('\n', "\r\n"),
        }
    }
}

/// A count of lines as an index; one too large for memory lies beyond every text.
fn position(lines: u64) -> usize {
    usize::try_from(lines).unwrap_or(usize::MAX)
}

fn line_of(text: &str, index: usize) -> usize {
    text[..index].matches('\n').count() + 1
}

fn number_line(shown: &mut String, number: usize, line: &str) {
    let line = strip_controls(line);
    let left_out = line.chars().count().saturating_sub(LINE_CHARACTERS);
    let _ = match left_out {
        0 => writeln!(shown, "{number:>6}\t{line}"),
        _ => writeln!(shown, "{number:>6}\t{} ({left_out} more characters)", excerpt(&line, LINE_CHARACTERS)),
    };
}

/// Numbered lines of `text` around the `count` lines from number `first`.
fn around(text: &str, first: usize, count: usize) -> String {
    let skipped = first.saturating_sub(AROUND + 1);
    let shown = (first - 1 - skipped + count + AROUND).min(EXCERPT_LINES);
    let mut excerpt = String::new();
    for (index, line) in text.lines().enumerate().skip(skipped).take(shown) {
        number_line(&mut excerpt, index + 1, line);
    }
    excerpt
}

/// The line of `text` most like the first line of `old` that has something in it.
fn closest(text: &str, old: &str) -> Option<ClosestLine> {
    let wanted = old.lines().map(str::trim).find(|line| !line.is_empty())?;
    let pairs = pairs(wanted);
    let mut best: Option<(f64, usize, &str)> = None;
    for (index, line) in text.lines().enumerate().take(COMPARED_LINES) {
        let likeness = if line.trim() == wanted { 2.0 } else { likeness(&pairs, line.trim()) };
        if likeness >= CLOSE && best.is_none_or(|(most, ..)| likeness > most) {
            best = Some((likeness, index + 1, line));
        }
    }
    best.map(|(likeness, number, line)| ClosestLine {
        number,
        text: excerpt(&strip_controls(line), COMPARED_CHARACTERS),
        difference: if likeness > 1.0 { Difference::WhiteSpaceOrWhatFollows } else { Difference::Words },
    })
}

/// Neighbouring characters, sorted.
fn pairs(line: &str) -> Vec<(char, char)> {
    let characters = line.chars().take(COMPARED_CHARACTERS);
    let mut pairs: Vec<_> = characters.clone().zip(characters.skip(1)).collect();
    pairs.sort_unstable();
    pairs
}

/// The Sørensen–Dice coefficient over pairs of neighbouring characters: 0 for nothing in common, 1 for all.
fn likeness(wanted: &[(char, char)], line: &str) -> f64 {
    let line = pairs(line);
    let (mut left, mut right, mut common) = (wanted.iter().peekable(), line.iter().peekable(), 0_u32);
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        match a.cmp(b) {
            std::cmp::Ordering::Less => drop(left.next()),
            std::cmp::Ordering::Greater => drop(right.next()),
            std::cmp::Ordering::Equal => {
                common += 1;
                left.next();
                right.next();
            }
        }
    }
    // At most 200 pairs on either side: exact in an f64.
    2.0 * f64::from(common) / ((wanted.len() + line.len()) as f64).max(1.0)
}

fn closest_line(closest: Option<&ClosestLine>) -> String {
    let Some(ClosestLine { number, text, difference }) = closest else {
        return " No line of it is like it: view the file.".to_owned();
    };
    let advice = match difference {
        Difference::WhiteSpaceOrWhatFollows => {
            "It begins the same, so compare the white space and the lines that follow"
        }
        Difference::Words => "Copy it exactly as it is there",
    };
    format!(" The closest line is {number}: `{text}`. {advice}.")
}

fn places(lines: &[usize]) -> String {
    let named: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let more = if lines.len() == PLACES { " and maybe more" } else { "" };
    format!("{}{more}", named.join(", "))
}

#[cfg(test)]
mod tests;
