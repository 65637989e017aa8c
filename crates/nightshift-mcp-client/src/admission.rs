//! What of a server's messages is taken in, in whatever way they come, against a server that may send anything.
//!
//! What nobody asked for is passed over: notifications other than of progress, answers to nothing, what is no JSON. Of what a
//! server says of its own accord only so much is taken; then it is hung up on.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use nightshift_protocol::json_values;
use rmcp::model::{ClientRequest, RequestId, ServerJsonRpcMessage};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Duration, Instant};

use crate::http::HttpError;
use crate::text::line;

/// The longest message that is taken in, in bytes: a picture of 3 MiB fits.
pub(crate) const LONGEST_MESSAGE: usize = 4 * 1024 * 1024;

/// Messages nobody asked for which are passed over before the server is hung up on.
const MOST_UNASKED: u32 = 100_000;

/// Requests of the server that are answered, each with a refusal; more are passed over.
const MOST_REQUESTS: u32 = 100;

/// The longest such request in bytes, which also bounds its id.
const LONGEST_REQUEST: usize = 16 * 1024;

/// How long the two hold: then as many may come again.
const MEASURED_FOR: Duration = Duration::from_secs(60);

/// The longest id of a message in bytes.
const LONGEST_ID: usize = 64;

/// Values that a message may have: each costs a hundred times the byte or two that it is written in.
const MOST_VALUES: usize = 50_000;

/// What is said in the place of an answer that says nothing.
pub(crate) const NOT_UNDERSTOOD: &str = "its answer is not what the protocol has";

/// What was noticed on a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Noticed {
    /// How the first message began that is no JSON.
    pub(crate) no_json: Option<String>,
    /// Whether a message was too long.
    pub(crate) too_long: bool,
    /// Whether the server was hung up on for what it said of its own accord.
    pub(crate) flooded: bool,
    /// Why the last exchange over HTTP that failed did.
    pub(crate) trouble: Option<HttpError>,
    /// How many sessions were begun with `initialize`.
    pub(crate) sessions: u32,
}

/// Decides which messages of one server are taken in.
#[derive(Debug)]
pub(crate) struct Admission {
    unasked: u32,
    requests: u32,
    measured_since: Instant,
    awaited: HashSet<String>,
    noticed: Arc<Mutex<Noticed>>,
}

/// What of a message has to be known before it is taken in.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
}

impl Admission {
    pub(crate) fn new(noticed: Arc<Mutex<Noticed>>) -> Self {
        Self { unasked: 0, requests: 0, measured_since: Instant::now(), awaited: HashSet::new(), noticed }
    }

    pub(crate) fn notice(&self, notice: impl FnOnce(&mut Noticed)) {
        notice(&mut self.noticed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What a message says, if somebody waits for it.
    pub(crate) fn admit(&mut self, text: &[u8]) -> Option<ServerJsonRpcMessage> {
        let text = text.trim_ascii();
        if text.is_empty() {
            return None;
        }
        match serde_json::from_slice::<Glance>(text) {
            Ok(glance) if self.is_awaited(&glance, text.len()) => {
                let message = unfolded(text).or_else(|| not_understood(&glance));
                return message.or_else(|| self.passed_over());
            }
            Ok(_) => {}
            Err(_) => {
                let begins = line(&String::from_utf8_lossy(text.get(..400).unwrap_or(text)), 120);
                self.notice(|noticed| {
                    noticed.no_json.get_or_insert(begins);
                });
            }
        }
        self.passed_over()
    }

    fn passed_over(&mut self) -> Option<ServerJsonRpcMessage> {
        self.pass_over(1);
        None
    }

    /// Notes what costs the server of its measure.
    pub(crate) fn pass_over(&mut self, messages: u32) {
        self.unasked = self.unasked.saturating_add(messages);
    }

    /// Whether the server is to be hung up on for what it said of its own accord.
    pub(crate) fn is_flooded(&mut self) -> bool {
        if self.measured_since.elapsed() > MEASURED_FOR {
            (self.unasked, self.requests, self.measured_since) = (0, 0, Instant::now());
        }
        let flooded = self.unasked > MOST_UNASKED;
        if flooded {
            self.notice(|noticed| noticed.flooded = true);
        }
        flooded
    }

    fn is_awaited(&mut self, glance: &Glance<'_>, length: usize) -> bool {
        let id = glance.id.map(RawValue::get);
        if id.is_some_and(|id| id.len() > LONGEST_ID) {
            return false;
        }
        match (glance.method.as_deref(), id) {
            (Some("notifications/progress"), None) => {
                // It is passed on, and costs the server of its measure all the same.
                self.unasked += 1;
                length <= LONGEST_REQUEST
            }
            (Some(_), None) => false,
            (Some(_), Some(_)) => {
                self.requests += 1;
                self.unasked += 1;
                self.requests <= MOST_REQUESTS && length <= LONGEST_REQUEST
            }
            // A number may come back as a text.
            (None, Some(id)) => self.awaited.remove(id.trim_matches('"')),
            (None, None) => false,
        }
    }

    /// Notes whose answer is awaited. Where the older generation's beginning follows the newer's, nobody waits for that any more.
    pub(crate) fn expect(&mut self, request: &ClientRequest, id: &RequestId) {
        if matches!(request, ClientRequest::InitializeRequest(_)) {
            self.awaited.clear();
            self.notice(|noticed| noticed.sessions += 1);
        }
        self.awaited.insert(id.to_string());
    }
}

/// The message, where it has no more values than one may have.
pub(crate) fn unfolded(text: &[u8]) -> Option<ServerJsonRpcMessage> {
    (json_values(text) <= MOST_VALUES).then(|| serde_json::from_slice(text).ok()).flatten()
}

/// Who waits for an answer that says nothing is told so at once.
fn not_understood(glance: &Glance<'_>) -> Option<ServerJsonRpcMessage> {
    let id = glance.id.filter(|_| glance.method.is_none())?;
    let error = serde_json::json!({"code": -32603, "message": NOT_UNDERSTOOD});
    serde_json::from_value(serde_json::json!({"jsonrpc": "2.0", "id": id, "error": error})).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_message_is_too_odd_to_be_looked_at(text in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(Admission::new(Arc::default()).admit(&text).is_none());
        }
    }
}
