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

impl BrowserAction {
    /// What the action shows, in a few words, for evidence; nothing where it only does something.
    pub(crate) fn shows(&self) -> Option<String> {
        match self {
            Self::Open { url } => Some(format!("browser: open {}", excerpt(url, 200))),
            Self::Read { .. } => Some("browser: read the page".to_owned()),
            Self::Evaluate { expression } => Some(format!("browser: evaluate {}", excerpt(expression, 200))),
            Self::Problems => Some("browser: console errors, failed requests, exceptions".to_owned()),
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
