//! The owner, as this crate asks it.

use async_trait::async_trait;
use nightshift_protocol::{ErrorCode, Event, UserError};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;

/// Asks the owner; paths are those below `/api/v1`.
#[async_trait]
pub trait Owner: Send + Sync + 'static {
    /// Gets what is at a path.
    async fn get(&self, path: &str) -> Result<Vec<u8>, UserError>;

    /// Posts JSON to a path.
    async fn post(&self, path: &str, body: Value) -> Result<Vec<u8>, UserError>;

    /// Puts bytes to a path.
    async fn put(&self, path: &str, body: Vec<u8>) -> Result<Vec<u8>, UserError>;

    /// Deletes what is at a path.
    async fn delete(&self, path: &str) -> Result<Vec<u8>, UserError>;

    /// Follows a run's events after `after`. The receiver ends when the owner ends the stream; whoever follows asks
    /// again from the last event it has.
    async fn follow(&self, run: &str, after: u64) -> Result<mpsc::Receiver<Event>, UserError>;
}

/// Reads what the owner answered.
pub(crate) fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, UserError> {
    serde_json::from_slice(answer).map_err(|error| {
        let message = format!("the owner answered what this version does not read: {error}");
        UserError::new(ErrorCode::Internal, message, "End the owner with `nightshift stop`, then try again.")
    })
}

const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A caller's text as one segment of a path or one value of a query: nothing in it leads elsewhere.
pub(crate) fn segment(text: &str) -> String {
    // A segment of dots alone would be taken for a way up.
    if !text.is_empty() && text.bytes().all(|byte| byte == b'.') {
        return text.replace('.', "%2E");
    }
    utf8_percent_encode(text, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_to_another_operation() {
        assert_eq!(segment("run-4k2"), "run-4k2");
        assert_eq!(segment("../tasks?x=1#y"), "..%2Ftasks%3Fx%3D1%23y");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("a b/ü"), "a%20b%2F%C3%BC");
    }

    #[test]
    fn an_answer_of_another_version_is_named_as_such() {
        let error = read::<Vec<u8>>(b"{}").unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal);
    }
}
