//! Reads the fields of a tool call's input and collects everything that is wrong with them, so that a model can
//! repair a call in one go.

use std::fmt;
use std::ops::RangeInclusive;

use nightshift_protocol::StepId;
use serde_json::{Map, Value};

use super::computer::{Point, Region};
use crate::output::excerpt;

/// Why a tool call's input cannot be used, in words a model can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// No tool has that name.
    #[error("There is no tool \"{name}\". The tools are: {known}.")]
    UnknownTool {
        /// The name.
        name: String,
        /// The tools there are.
        known: String,
    },
    /// It is no JSON.
    #[error("The input is no valid JSON, so the call was not run. Send it again. It began: {given}")]
    Malformed {
        /// How it begins.
        given: String,
    },
    /// It is JSON and no object.
    #[error("{tool}: the input has to be a JSON object with named fields, not {given}.")]
    NoObject {
        /// The tool.
        tool: String,
        /// What it is instead.
        given: String,
    },
    /// Some of its fields are wrong.
    #[error("{subject}: {}.", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Fields {
        /// The tool, and its action.
        subject: String,
        /// All that is wrong.
        problems: Vec<FieldProblem>,
    },
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldProblem {
    /// It has to be there.
    Missing {
        /// The field.
        field: String,
        /// What it has to be.
        expected: String,
    },
    /// It is something else.
    Wrong {
        /// The field.
        field: String,
        /// What it has to be.
        expected: String,
        /// What it is.
        given: String,
    },
    /// No field has that name.
    Unknown {
        /// The name.
        field: String,
        /// The fields there are.
        known: Vec<&'static str>,
    },
}

impl fmt::Display for FieldProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { field, expected } => {
                write!(formatter, "\"{field}\" is missing, it has to be {expected}")
            }
            Self::Wrong { field, expected, given } => {
                write!(formatter, "\"{field}\" has to be {expected}, not {given}")
            }
            Self::Unknown { field, known } if known.is_empty() => {
                write!(formatter, "\"{field}\" is not a field here, there are none")
            }
            Self::Unknown { field, known } => {
                write!(formatter, "\"{field}\" is not a field here, the fields are {}", known.join(", "))
            }
        }
    }
}

/// The fields of one object. Each reader notes the field as known and, where something is wrong, notes the problem
/// and returns a placeholder; [`Fields::done`] lets a value made of placeholders never out.
pub(crate) struct Fields<'a> {
    subject: String,
    prefix: String,
    values: &'a Map<String, Value>,
    known: Vec<&'static str>,
    problems: Vec<FieldProblem>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(tool: &'static str, input: &'a Value) -> Result<Self, InputError> {
        let values = input
            .as_object()
            .ok_or_else(|| InputError::NoObject { tool: tool.to_owned(), given: given(input) })?;
        Ok(Self {
            subject: tool.to_owned(),
            prefix: String::new(),
            values,
            known: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// Returns `value` when nothing was wrong and no field is left over.
    pub(crate) fn done<T>(mut self, value: T) -> Result<T, InputError> {
        self.note_unknown();
        if self.problems.is_empty() {
            Ok(value)
        } else {
            Err(InputError::Fields { subject: self.subject, problems: self.problems })
        }
    }

    /// Reads `action`, which decides what the other fields are; nothing else is worth saying when it is wrong.
    pub(crate) fn action(&mut self, actions: &'static [&'static str]) -> Result<&'static str, InputError> {
        let read = |value: &Value| actions.iter().copied().find(|action| *value == **action);
        match self.need("action", &format!("one of {}", actions.join(", ")), read) {
            Some(action) => {
                self.subject = format!("{} {action}", self.subject);
                Ok(action)
            }
            None => Err(InputError::Fields {
                subject: std::mem::take(&mut self.subject),
                problems: std::mem::take(&mut self.problems),
            }),
        }
    }

    /// A text with something in it, of at most `limit` characters.
    pub(crate) fn text(&mut self, name: &'static str, limit: usize) -> String {
        self.need(name, &text_form(limit), |value| bounded_text(value, limit)).unwrap_or_default()
    }

    /// A text that may be empty, of any length.
    pub(crate) fn any_text(&mut self, name: &'static str) -> String {
        self.need(name, "a string", |value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// A text of 1 to `limit` characters that may be white space alone.
    pub(crate) fn keystrokes(&mut self, name: &'static str, limit: usize) -> String {
        self.need(name, &text_form(limit), |value| {
            value.as_str().filter(|text| (1..=limit).contains(&text.chars().count())).map(str::to_owned)
        })
        .unwrap_or_default()
    }

    /// A text that may be absent or empty.
    pub(crate) fn optional_text(&mut self, name: &'static str, limit: usize) -> Option<String> {
        self.take(name, &text_form(limit), |value| match value.as_str() {
            Some("") => Some(None),
            _ => bounded_text(value, limit).map(Some),
        })
        .flatten()
    }

    pub(crate) fn optional_flag(&mut self, name: &'static str) -> Option<bool> {
        self.take(name, "true or false", Value::as_bool)
    }

    pub(crate) fn flag(&mut self, name: &'static str) -> bool {
        self.take(name, "true or false", Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn whole(&mut self, name: &'static str, range: RangeInclusive<u64>) -> u64 {
        self.need(name, &whole_form(&range), |value| bounded_whole(value, &range)).unwrap_or_default()
    }

    pub(crate) fn optional_whole(&mut self, name: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        self.take(name, &whole_form(&range), |value| bounded_whole(value, &range))
    }

    /// A time in seconds, fractions allowed, above 0 and at most `most`, as milliseconds.
    pub(crate) fn milliseconds(&mut self, name: &'static str, most: u32) -> u64 {
        self.need(name, &format!("a number of seconds above 0 and at most {most}"), |value| {
            let seconds = value.as_f64().filter(|seconds| *seconds > 0.0 && *seconds <= f64::from(most))?;
            // Rounding up: no wait becomes none. The range is checked, so nothing is cut.
            Some((seconds * 1_000.0).ceil() as u64)
        })
        .unwrap_or_default()
    }

    pub(crate) fn step(&mut self, name: &'static str) -> StepId {
        let read = |value: &Value| value.as_str()?.trim().parse().ok();
        let nowhere = StepId { turn: 0, call: 0 };
        self.need(name, "the number of a step, for example \"4.1\"", read).unwrap_or(nowhere)
    }

    pub(crate) fn optional_step(&mut self, name: &'static str) -> Option<StepId> {
        self.take(name, "the number of a step, for example \"4.1\"", |value| {
            value.as_str()?.trim().parse().ok()
        })
    }

    pub(crate) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
        none: T,
    ) -> T {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let read = |value: &Value| choices.iter().find(|(name, _)| value == *name).map(|(_, choice)| *choice);
        self.need(name, &format!("one of {}", names.join(", ")), read).unwrap_or(none)
    }

    /// A point on the screen. One outside is refused and never moved to the edge, where it would click something
    /// the model did not mean.
    pub(crate) fn point(&mut self, name: &'static str, screen: (u32, u32)) -> Point {
        self.need(name, &point_form(screen), |value| on_screen(value, screen)).unwrap_or(Point { x: 0, y: 0 })
    }

    pub(crate) fn optional_point(&mut self, name: &'static str, screen: (u32, u32)) -> Option<Point> {
        self.take(name, &point_form(screen), |value| on_screen(value, screen))
    }

    /// A part of the screen with something in it; right and bottom edge lie just outside of it.
    pub(crate) fn region(&mut self, name: &'static str, (width, height): (u32, u32)) -> Region {
        let form = format!(
            "[left, top, right, bottom] in whole pixels, left < right <= {width}, top < bottom <= {height}"
        );
        self.need(name, &form, |value| {
            let [left, top, right, bottom] = pixels(value)?;
            let inside = left < right && right <= width && top < bottom && bottom <= height;
            inside.then_some(Region { left, top, right, bottom })
        })
        .unwrap_or(Region { left: 0, top: 0, right: 0, bottom: 0 })
    }

    /// A list of 1 to `limit` objects.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Fields<'a>) -> T,
    ) -> Vec<T> {
        let values = self.values;
        let items = |_: &Value| {
            let items = values.get(name)?.as_array()?;
            (1..=limit).contains(&items.len()).then_some(items)
        };
        let items = self.need(name, &format!("a list of 1 to {limit} objects"), items);
        let mut list = Vec::new();
        for (index, item) in items.into_iter().flatten().enumerate() {
            let Some(values) = item.as_object() else {
                self.wrong(&format!("{name}[{index}]"), "an object", item);
                continue;
            };
            let mut fields = Fields {
                subject: String::new(),
                prefix: format!("{name}[{index}]."),
                values,
                known: Vec::new(),
                problems: Vec::new(),
            };
            list.push(read(&mut fields));
            fields.note_unknown();
            self.problems.append(&mut fields.problems);
        }
        list
    }

    /// Like [`Fields::list`], and empty where the field is absent, `null` or empty.
    pub(crate) fn optional_list<T>(
        &mut self,
        name: &'static str,
        limit: usize,
        read: impl FnMut(&mut Fields<'a>) -> T,
    ) -> Vec<T> {
        let absent = match self.values.get(name) {
            None | Some(Value::Null) => true,
            Some(value) => value.as_array().is_some_and(Vec::is_empty),
        };
        if absent {
            self.known.push(name);
            return Vec::new();
        }
        self.list(name, limit, read)
    }

    /// Notes a field as wrong when a further rule does not hold.
    pub(crate) fn check(&mut self, name: &'static str, expected: &str, holds: bool) {
        if let (false, Some(value)) = (holds, self.values.get(name)) {
            self.wrong(name, expected, value);
        }
    }

    /// Reads a field that may be absent; `null` counts as absent, for models fill optional fields with it.
    fn take<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.known.push(name);
        let value = self.values.get(name).filter(|value| !value.is_null())?;
        let read = read(value);
        if read.is_none() {
            self.wrong(name, expected, value);
        }
        read
    }

    fn need<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        if self.values.get(name).is_none_or(Value::is_null) {
            let field = format!("{}{name}", self.prefix);
            self.problems.push(FieldProblem::Missing { field, expected: expected.to_owned() });
        }
        self.take(name, expected, read)
    }

    fn wrong(&mut self, name: &str, expected: &str, value: &Value) {
        let field = format!("{}{name}", self.prefix);
        self.problems.push(FieldProblem::Wrong { field, expected: expected.to_owned(), given: given(value) });
    }

    fn note_unknown(&mut self) {
        for name in self.values.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let field = format!("{}{}", self.prefix, excerpt(name, 60));
            self.problems.push(FieldProblem::Unknown { field, known: self.known.clone() });
        }
    }
}

pub(crate) fn given(value: &Value) -> String {
    match value {
        Value::String(text) if text.chars().count() > 80 => {
            format!("a string of {} characters", text.chars().count())
        }
        Value::String(text) if text.trim().is_empty() => "an empty string".to_owned(),
        other => excerpt(&other.to_string(), 80),
    }
}

fn text_form(limit: usize) -> String {
    format!("a string of 1 to {limit} characters")
}

fn bounded_text(value: &Value, limit: usize) -> Option<String> {
    let text = value.as_str()?;
    (!text.trim().is_empty() && text.chars().count() <= limit).then(|| text.to_owned())
}

fn whole_form(range: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// Some models write whole numbers as `10.0`.
fn whole_number(value: &Value) -> Option<u64> {
    let exact = |number: f64| number.fract() == 0.0 && (0.0..=9_007_199_254_740_991.0).contains(&number);
    value.as_u64().or_else(|| value.as_f64().filter(|number| exact(*number)).map(|number| number as u64))
}

fn bounded_whole(value: &Value, range: &RangeInclusive<u64>) -> Option<u64> {
    whole_number(value).filter(|number| range.contains(number))
}

fn pixels<const N: usize>(value: &Value) -> Option<[u32; N]> {
    let numbers: Option<Vec<u32>> =
        value.as_array()?.iter().map(|number| u32::try_from(whole_number(number)?).ok()).collect();
    numbers?.try_into().ok()
}

fn point_form((width, height): (u32, u32)) -> String {
    format!("[x, y] in whole pixels on the screen of {width} by {height}, counted from 0")
}

fn on_screen(value: &Value, (width, height): (u32, u32)) -> Option<Point> {
    let [x, y] = pixels(value)?;
    (x < width && y < height).then_some(Point { x, y })
}
