//! The browser by its pages' structure: what may be asked of it.

use super::MAX_PAGE;
use super::fields::{Fields, InputError};
use crate::output::excerpt;

/// Every action, in the order the schema lists them.
pub(super) const ACTIONS: [&str; 6] = ["open", "read", "click", "fill", "evaluate", "problems"];

/// Characters of an address.
pub(super) const MAX_URL: usize = 4_096;
/// Characters of a reference.
const MAX_REFERENCE: usize = 40;

/// One thing to be done with the browser's page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrowserAction {
    /// Go to an address and read what is there.
    Open {
        /// The address.
        url: String,
    },
    /// Read the page as an outline.
    Read {
        /// The element to read; the whole page when `None`.
        within: Option<String>,
    },
    /// Click an element.
    Click {
        /// The element, as the outline names it.
        reference: String,
    },
    /// Replace an element's text, or choose an option.
    Fill {
        /// The element, as the outline names it.
        reference: String,
        /// The text, possibly empty.
        text: String,
    },
    /// Evaluate an expression in the page.
    Evaluate {
        /// The expression, JavaScript.
        expression: String,
    },
    /// Tell console errors, failed requests and uncaught exceptions.
    Problems,
}

/// What begins the words for what a look into the browser shows.
const LOOK: &str = "browser: ";

impl BrowserAction {
    /// Whether evidence's words tell of a look into the browser, which has no exit status of its own.
    pub fn is_look(command: &str) -> bool {
        command.starts_with(LOOK)
    }

    /// What the action shows, in a few words, for evidence; nothing where it only does something.
    pub(crate) fn shows(&self) -> Option<String> {
        match self {
            Self::Open { url } => Some(format!("{LOOK}open {}", excerpt(url, 200))),
            Self::Read { .. } => Some(format!("{LOOK}read the page")),
            Self::Evaluate { expression } => Some(format!("{LOOK}evaluate {}", excerpt(expression, 200))),
            Self::Problems => Some(format!("{LOOK}console errors, failed requests, exceptions")),
            Self::Click { .. } | Self::Fill { .. } => None,
        }
    }
}

pub(super) fn action(mut fields: Fields<'_>) -> Result<BrowserAction, InputError> {
    let action = match fields.action(&ACTIONS)? {
        "open" => BrowserAction::Open { url: fields.text("url", MAX_URL) },
        "read" => BrowserAction::Read { within: fields.optional_text("reference", MAX_REFERENCE) },
        "click" => BrowserAction::Click { reference: fields.text("reference", MAX_REFERENCE) },
        "fill" => BrowserAction::Fill {
            reference: fields.text("reference", MAX_REFERENCE),
            text: fields.any_text("text"),
        },
        "evaluate" => BrowserAction::Evaluate { expression: fields.text("expression", MAX_PAGE) },
        _ => BrowserAction::Problems,
    };
    fields.done(action)
}
