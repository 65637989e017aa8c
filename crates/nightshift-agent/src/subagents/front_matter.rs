//! The two parts of a definition's file, and values of the first with their places.

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};

use super::{Finding, Severity};

/// The line on which front matter begins and after which it ends.
const FENCE: &str = "---";

/// Front matter and text.
pub(super) struct Parts<'a> {
    pub(super) entries: Vec<Entry<'a>>,
    pub(super) prompt: &'a str,
    /// The line on which the text begins.
    pub(super) prompt_line: usize,
}

/// A field as it is written.
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) value: MarkedYaml<'a>,
}

/// A place in the file, line and column from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    pub(super) fn at(line: usize, column: usize) -> Self {
        Self { line, column }
    }

    /// Where a node of the front matter is: it begins in the file's second line.
    pub(super) fn of(node: &MarkedYaml<'_>) -> Self {
        Self { line: node.span.start.line() + 1, column: node.span.start.col() + 1 }
    }

    pub(super) fn error(self, message: impl Into<String>) -> Finding {
        self.finding(Severity::Error, message)
    }

    pub(super) fn warning(self, message: impl Into<String>) -> Finding {
        self.finding(Severity::Warning, message)
    }

    fn finding(self, severity: Severity, message: impl Into<String>) -> Finding {
        Finding { line: self.line, column: self.column, severity, message: message.into() }
    }
}

pub(super) fn split(text: &str) -> Result<Parts<'_>, Finding> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let begin = Place::at(1, 1);
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    if first.trim_end() != FENCE {
        return Err(
            begin.error("the file does not begin with front matter: a line ---, then name and description")
        );
    }
    let (start, mut end, mut line) = (first.len(), first.len(), 1);
    for next in lines {
        line += 1;
        if next.trim_end() == FENCE {
            let entries = entries(&text[start..end])?;
            return Ok(Parts { entries, prompt: &text[end + next.len()..], prompt_line: line + 1 });
        }
        end += next.len();
    }
    Err(begin.error("the front matter has no end: a second line --- is missing"))
}

fn entries(yaml: &str) -> Result<Vec<Entry<'_>>, Finding> {
    let documents = MarkedYaml::load_from_str(yaml).map_err(|error| {
        let at = Place::at(error.marker().line() + 1, error.marker().col() + 1);
        let hint = "put a text with a colon in it in quotes, or write it below its field: description: |";
        at.error(format!("the front matter is no YAML: {}; {hint}", error.info()))
    })?;
    let Some(document) = documents.into_iter().next() else { return Ok(Vec::new()) };
    let at = Place::of(&document);
    let YamlData::Mapping(fields) = document.data else {
        return Err(at.error("the front matter has to be fields, such as name: reviewer"));
    };
    fields
        .into_iter()
        .map(|(key, value)| {
            let at = Place::of(&key);
            let name = text(&key).ok_or_else(|| at.error("the name of a field has to be a word"))?;
            Ok(Entry { name, at, value })
        })
        .collect()
}

/// A scalar as a person wrote it.
pub(super) fn text(node: &MarkedYaml<'_>) -> Option<String> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text.to_string()),
        YamlData::Value(Scalar::Integer(number)) => Some(number.to_string()),
        YamlData::Value(Scalar::Boolean(flag)) => Some(flag.to_string()),
        YamlData::Value(Scalar::FloatingPoint(number)) => Some(number.to_string()),
        _ => None,
    }
}
