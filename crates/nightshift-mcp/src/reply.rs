//! What a tool answers.

use nightshift_protocol::{ErrorCode, UserError};
use rmcp::model::{CallToolResult, ContentBlock, IntoContents};
use serde::Serialize;

/// What went wrong, as the calling model reads it: what failed, why, what to do next.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) UserError);

impl From<UserError> for Refused {
    fn from(error: UserError) -> Self {
        Self(error)
    }
}

impl IntoContents for Refused {
    fn into_contents(self) -> Vec<ContentBlock> {
        let UserError { message, hint, .. } = self.0;
        vec![ContentBlock::text(if hint.is_empty() { message } else { format!("{message}\n{hint}") })]
    }
}

/// What a tool answers.
pub(crate) type Reply = Result<CallToolResult, Refused>;

/// An object, as text and as structured content.
pub(crate) fn object(value: &impl Serialize) -> Reply {
    let value = serde_json::to_value(value).map_err(|error| invalid(error.to_string(), ""))?;
    Ok(CallToolResult::structured(value))
}

/// Plain text.
pub(crate) fn text(text: impl Into<String>) -> Reply {
    Ok(CallToolResult::success(vec![ContentBlock::text(text)]))
}

pub(crate) fn invalid(message: impl Into<String>, hint: &str) -> Refused {
    Refused(UserError::new(ErrorCode::InvalidRequest, message, hint))
}
