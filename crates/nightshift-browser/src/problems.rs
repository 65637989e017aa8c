//! What went wrong on a page: errors in the console, failed requests, uncaught exceptions. Pure.
//!
//! The browser keeps what it has logged for a page and tells it again to whoever asks, so nobody has to listen while
//! the page loads.

use std::collections::VecDeque;
use std::fmt;

use serde_json::Value;

use crate::text::line;

/// Problems that are kept; of more, the newest.
const MAX_PROBLEMS: usize = 60;
/// Characters of one.
const MAX_TEXT: usize = 400;

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing.
    pub kind: ProblemKind,
    /// What the page or the browser says, one line. It is the page's text.
    pub text: String,
    /// Where, as `URL:LINE`, if that is known. Lines count from 1.
    pub place: Option<String>,
}

/// The kinds of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// An exception that nothing caught.
    Exception,
    /// An error the page wrote to the console.
    ConsoleError,
    /// A request that failed.
    FailedRequest,
    /// Another error of the browser's own.
    Browser,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ProblemKind::Exception => "uncaught exception",
            ProblemKind::ConsoleError => "console error",
            ProblemKind::FailedRequest => "failed request",
            ProblemKind::Browser => "browser error",
        };
        write!(formatter, "{kind}: {}", self.text)?;
        match &self.place {
            Some(place) => write!(formatter, " ({place})"),
            None => Ok(()),
        }
    }
}

/// What events have told: the same one once, and of many the newest.
#[derive(Debug, Default)]
pub(crate) struct Problems(VecDeque<Problem>);

impl Problems {
    /// Whether events of this name may tell of one.
    pub(crate) fn are_told_by(method: &str) -> bool {
        matches!(method, "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded")
    }

    /// Keeps what an event tells.
    pub(crate) fn take(&mut self, method: &str, params: &Value) {
        let Some(problem) = problem(method, params).filter(|problem| !self.0.contains(problem)) else {
            return;
        };
        if self.0.len() >= MAX_PROBLEMS {
            self.0.pop_front();
        }
        self.0.push_back(problem);
    }

    /// What is kept, oldest first.
    pub(crate) fn so_far(&self) -> Vec<Problem> {
        self.0.iter().cloned().collect()
    }
}

fn problem(method: &str, params: &Value) -> Option<Problem> {
    match method {
        "Runtime.exceptionThrown" => {
            let details = &params["exceptionDetails"];
            let text = details["exception"]["description"].as_str().or(details["text"].as_str());
            let place = place(&details["url"], &details["lineNumber"]);
            Some(Problem { kind: ProblemKind::Exception, text: line(text?, MAX_TEXT), place })
        }
        "Runtime.consoleAPICalled" if matches!(params["type"].as_str(), Some("error" | "assert")) => {
            let said: Vec<String> = params["args"].as_array().into_iter().flatten().map(argument).collect();
            let frame = &params["stackTrace"]["callFrames"][0];
            let place = place(&frame["url"], &frame["lineNumber"]);
            Some(Problem { kind: ProblemKind::ConsoleError, text: line(&said.join(" "), MAX_TEXT), place })
        }
        "Log.entryAdded" if params["entry"]["level"] == "error" => {
            let entry = &params["entry"];
            // The browser asks for it by itself.
            if entry["url"].as_str().is_some_and(|url| url.ends_with("/favicon.ico")) {
                return None;
            }
            let kind = match entry["source"].as_str() {
                Some("network") => ProblemKind::FailedRequest,
                // Told as an exception already.
                Some("javascript") => return None,
                _ => ProblemKind::Browser,
            };
            Some(Problem {
                kind,
                text: line(entry["text"].as_str()?, MAX_TEXT),
                place: place(&entry["url"], &entry["lineNumber"]),
            })
        }
        _ => None,
    }
}

/// An argument of `console.error`, as the console would show it.
fn argument(argument: &Value) -> String {
    match (&argument["value"], argument["description"].as_str()) {
        (Value::String(text), _) => text.clone(),
        (Value::Null, Some(description)) => description.to_owned(),
        (Value::Null, None) => argument["type"].as_str().unwrap_or_default().to_owned(),
        (value, _) => value.to_string(),
    }
}

/// The protocol's lines count from 0.
fn place(url: &Value, at: &Value) -> Option<String> {
    let url = url.as_str().filter(|url| !url.is_empty())?;
    let url = line(url, 200);
    Some(match at.as_u64() {
        Some(at) => format!("{url}:{}", at.saturating_add(1)),
        None => url,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(method: &'static str, params: Value) -> (&'static str, Value) {
        (method, params)
    }

    fn told(events: &[(&str, Value)]) -> Vec<String> {
        let mut problems = Problems::default();
        for (method, params) in events {
            assert!(Problems::are_told_by(method), "{method}");
            problems.take(method, params);
        }
        problems.so_far().iter().map(Problem::to_string).collect()
    }

    #[test]
    fn each_kind_of_problem_is_told_with_its_place() {
        let events = [
            event(
                "Runtime.exceptionThrown",
                json!({"exceptionDetails": {"text": "Uncaught", "lineNumber": 6,
                "url": "http://127.0.0.1/app.js", "exception": {"description": "TypeError: x is null\n    at f"}}}),
            ),
            event(
                "Runtime.consoleAPICalled",
                json!({"type": "error", "args": [{"type": "string", "value": "no note"},
                {"type": "number", "value": 3}, {"type": "object", "description": "Error: y"}], "stackTrace": {"callFrames": []}}),
            ),
            event(
                "Log.entryAdded",
                json!({"entry": {"level": "error", "source": "network",
                "text": "Failed to load resource: 404", "url": "http://127.0.0.1/icon.svg"}}),
            ),
        ];
        assert_eq!(
            told(&events),
            [
                "uncaught exception: TypeError: x is null at f (http://127.0.0.1/app.js:7)",
                "console error: no note 3 Error: y",
                "failed request: Failed to load resource: 404 (http://127.0.0.1/icon.svg)",
            ]
        );
    }

    #[test]
    fn what_is_no_error_is_none_and_the_same_one_counts_once() {
        let log = |text: &str, level: &str| {
            event(
                "Runtime.consoleAPICalled",
                json!({"type": level, "args": [{"type": "string", "value": text}]}),
            )
        };
        assert_eq!(
            told(&[log("a", "log"), log("b", "error"), log("b", "error"), log("c", "warning")]),
            ["console error: b"]
        );
    }

    #[test]
    fn a_page_that_floods_the_console_is_shown_in_part() {
        let flood: Vec<(&str, Value)> = (0..500)
            .map(|number| {
                let text = format!("{number} {}", "x".repeat(9_000));
                event(
                    "Runtime.consoleAPICalled",
                    json!({"type": "error", "args": [{"type": "string", "value": text}]}),
                )
            })
            .collect();
        let told = told(&flood);
        assert_eq!(told.len(), MAX_PROBLEMS);
        assert!(told[59].starts_with("console error: 499 x") && told[59].chars().count() < 450);
    }
}
