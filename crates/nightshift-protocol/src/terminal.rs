//! What a person's terminal and owner say to each other beside the bytes (`docs/terminal.md`).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::UserError;

/// How large a terminal is, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TerminalSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl TerminalSize {
    /// The size when nothing is said about it.
    pub const USUAL: Self = Self { columns: 80, rows: 24 };

    /// The same size, or the nearest that programs can work with: 2 to 1000 columns, 1 to 1000 rows.
    pub fn usable(self) -> Self {
        Self { columns: self.columns.clamp(2, 1_000), rows: self.rows.clamp(1, 1_000) }
    }
}

/// What a person's terminal says, as JSON in a text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TerminalRequest {
    /// It has another size now.
    Resize {
        /// Characters in a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
    /// Nothing more will be typed. A shell without a terminal ends when it has done what it read.
    End,
}

/// What the owner says to a person's terminal, as JSON in a text message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TerminalMessage {
    /// The shell is there. What it has printed lately follows, after which the terminal is as if it had never been away.
    Open {
        /// Its name: who connects with it again comes back to this shell.
        session: String,
    },
    /// Some output was missed: clear the terminal; what was printed lately follows.
    Missed,
    /// The shell has ended. Nothing follows.
    Ended {
        /// Its exit status; absent when it did not end by itself.
        code: Option<i32>,
    },
    /// There is no shell, and why. Nothing follows.
    Refused {
        /// What failed, why, and what to do.
        error: UserError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_no_program_can_work_with_becomes_the_nearest_one() {
        let size = |columns, rows| TerminalSize { columns, rows }.usable();
        assert_eq!(size(0, 0), TerminalSize { columns: 2, rows: 1 });
        assert_eq!(size(u16::MAX, u16::MAX), TerminalSize { columns: 1_000, rows: 1_000 });
        assert_eq!(size(120, 40), TerminalSize { columns: 120, rows: 40 });
    }

    #[test]
    fn messages_have_the_form_that_is_documented() {
        let resize: TerminalRequest =
            serde_json::from_str(r#"{"type":"resize","columns":120,"rows":40}"#).unwrap();
        assert_eq!(resize, TerminalRequest::Resize { columns: 120, rows: 40 });
        let end: TerminalRequest = serde_json::from_str(r#"{"type":"end"}"#).unwrap();
        assert_eq!(end, TerminalRequest::End);
        let ended = serde_json::to_string(&TerminalMessage::Ended { code: Some(1) }).unwrap();
        assert_eq!(ended, r#"{"type":"ended","code":1}"#);
    }
}
