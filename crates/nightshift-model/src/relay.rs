//! Calls of other programs' clients, carried to a provider with the owner's key.
//!
//! ```text
//!   a program's request ─▶ weigh: is it a call of the API, what may it cost ─▶ relay: with the key, without the program's own
//!                                                                                │
//!   the program ◀─ the answer as it comes, without the key in it ◀─ counted ◀────┘
//! ```
//!
//! Nothing of the request is trusted: only the API's own calls are carried, and of its headers only those that choose among
//! the API's versions. Nothing of the answer that could tell the key is given back.

mod count;
mod hide;
mod weigh;

use std::time::Duration;

use bytes::Bytes;
use nightshift_protocol::Usage;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use tokio::time::timeout;

use crate::Price;
use crate::price::Kept;
use count::Counter;
pub(crate) use count::streamed;
use hide::Hider;
pub(crate) use weigh::{estimated, read_by, weigh};

/// The longest request that is carried, in bytes: what Anthropic takes.
pub const LONGEST_RELAYED: usize = 32 * 1024 * 1024;

/// Headers of a request that go on.
const SENT: [&str; 4] = ["anthropic-version", "anthropic-beta", "openai-beta", "accept"];

/// Headers of an answer that go back.
const GIVEN_BACK: [&str; 5] = ["content-type", "request-id", "x-request-id", "retry-after", "x-should-retry"];

/// The API that a provider speaks, as far as a foreign client has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayApi {
    /// Anthropic's Messages.
    Messages,
    /// OpenAI's, with Responses and Chat Completions.
    OpenAi,
}

impl RelayApi {
    /// The body of an error as this API writes it, of a kind that its clients show and do not try again.
    pub fn error(self, message: &str) -> String {
        let error = match self {
            Self::Messages => serde_json::json!({
                "type": "error", "error": {"type": "invalid_request_error", "message": message},
            }),
            Self::OpenAi => serde_json::json!({
                "error": {"message": message, "type": "invalid_request_error", "param": null, "code": null},
            }),
        };
        error.to_string()
    }
}

/// A request of a foreign client.
#[derive(Debug, Clone)]
pub struct RelayRequest {
    /// Its method.
    pub method: Method,
    /// Its path below the provider's address, beginning with a slash.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, at most [`LONGEST_RELAYED`] bytes.
    pub body: Bytes,
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// The model that answers; `None` for calls that cost nothing, as for the list of models.
    pub model: Option<String>,
    /// What it may use at worst, by a generous estimate of its tokens.
    pub worst: Usage,
    pub(crate) kept: Kept,
    /// The body as it is sent.
    body: Bytes,
}

/// Why a request is not carried, or has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// No such provider is configured.
    #[error("there is no provider {provider}")]
    UnknownProvider {
        /// Its name.
        provider: String,
    },
    /// There is no key for it.
    #[error("there is no key for the provider {provider}: {variable} is not set")]
    MissingKey {
        /// Its name.
        provider: String,
        /// The environment variable that would hold it.
        variable: String,
    },
    /// It is no call of the provider's API that programs may make.
    #[error("this is no call that is carried")]
    NotCarried,
    /// Its body is no JSON object.
    #[error("the request's body is no JSON object")]
    NotJson,
    /// Its body holds more values than any request of an agent has.
    #[error("requests of more than {limit} values are not carried")]
    TooManyValues {
        /// How many are.
        limit: usize,
    },
    /// A limit, or the number of answers, is none that can be counted with.
    #[error("{what} has to be a whole number")]
    NoNumber {
        /// The field.
        what: &'static str,
    },
    /// It would have the provider fetch or keep something.
    #[error("requests with {what} are not carried")]
    Reaches {
        /// The field.
        what: &'static str,
    },
    /// The provider could not be reached, or its answer was cut.
    #[error("the provider cannot be reached")]
    Unreachable,
    /// It was sent the request and gave no answer, which may be paid all the same.
    #[error("the provider gave no answer")]
    Unanswered,
}

/// An answer that is coming.
#[derive(Debug)]
pub struct RelayAnswer {
    /// Its status.
    pub status: u16,
    /// Headers for the client.
    pub headers: HeaderMap,
    response: reqwest::Response,
    hider: Hider,
    counter: Counter,
    /// The longest that the provider may send nothing at all.
    silence: Duration,
    ended: bool,
}

impl RelayAnswer {
    pub(crate) fn new(response: reqwest::Response, key: &[u8], worst: Usage, silence: Duration) -> Self {
        let hider = Hider::new(key);
        let status = response.status().as_u16();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let streams = kind.is_some_and(|kind| kind.starts_with("text/event-stream"));
        let counter = Counter::new(streams, worst);
        let shown = |name: &str| {
            let value = response.headers().get(name).filter(|value| !hider.is_in(value.as_bytes()))?;
            Some((HeaderName::try_from(name).ok()?, value.clone()))
        };
        let headers = GIVEN_BACK.iter().filter_map(|name| shown(name)).collect();
        Self { status, headers, response, hider, counter, silence, ended: false }
    }

    /// The next bytes for the client; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`RelayError::Unreachable`] when the answer was cut, or the provider sent nothing for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, RelayError> {
        while !self.ended {
            match timeout(self.silence, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    self.counter.take(&bytes);
                    let shown = self.hider.pass(&bytes);
                    if !shown.is_empty() {
                        return Ok(Some(shown.into()));
                    }
                }
                Ok(Ok(None)) => {
                    self.ended = true;
                    self.counter.end();
                    let rest = self.hider.rest();
                    if !rest.is_empty() {
                        return Ok(Some(rest.into()));
                    }
                }
                Ok(Err(_)) | Err(_) => {
                    self.ended = true;
                    return Err(RelayError::Unreachable);
                }
            }
        }
        Ok(None)
    }

    /// What the call has used so far, without its price, and the model as the answer names it. Where the provider does
    /// not say it is estimated, before the answer's end also from the time that it `took` since it was sent; of an answer that is an
    /// error it is nothing.
    pub fn counted(&self, took: Duration) -> (Usage, Option<String>) {
        if (200..300).contains(&self.status) { self.counter.counted(took) } else { (Usage::default(), None) }
    }
}

/// Betas that have the provider reach hosts, run programs, keep files, sum conversations up, or answer at another price.
const NOT_SENT: [&str; 9] = [
    "mcp-client",
    "web-",
    "code-execution",
    "files-api",
    "skills",
    "container",
    "compact-",
    "fast-mode",
    "context-1m",
];

/// The headers of a request that go on.
pub(crate) fn sent_headers(headers: &HeaderMap) -> HeaderMap {
    let sent = SENT.iter().filter_map(|name| {
        let value: &HeaderValue = headers.get(*name)?;
        let value = if name.ends_with("-beta") { harmless(value)? } else { value.clone() };
        Some((HeaderName::try_from(*name).ok()?, value))
    });
    sent.collect()
}

/// The betas of a header without those that are not sent; `None` where none is left.
fn harmless(value: &HeaderValue) -> Option<HeaderValue> {
    let betas = value.to_str().ok()?.split(',').map(str::trim);
    let sent = betas.filter(|beta| !NOT_SENT.iter().any(|beginning| beta.starts_with(beginning)));
    let sent: Vec<&str> = sent.filter(|beta| !beta.is_empty()).collect();
    if sent.is_empty() { None } else { HeaderValue::try_from(sent.join(",")).ok() }
}

/// What a call with that usage costs, where the price is known.
pub(crate) fn priced(usage: Usage, price: Option<Price>) -> Usage {
    Usage { cost_microdollars: price.map_or(0, |price| price.cost(&usage)), ..usage }
}

impl Weight {
    pub(crate) fn body(&self) -> Bytes {
        self.body.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_program_s_headers_only_those_that_choose_a_version_go_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-api-key", "sk-ant-of-the-program"),
            ("authorization", "Bearer sk-of-the-program"),
            ("cookie", "session=1"),
            ("proxy-authorization", "Basic eA=="),
            ("host", "127.0.0.1:3128"),
            ("accept-encoding", "gzip"),
            ("anthropic-version", "2023-06-01"),
            ("anthropic-beta", "a,mcp-client-2025-11-20, compact-2026-01-12, b"),
            ("openai-beta", "files-api-1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let sent = sent_headers(&headers);
        let mut names: Vec<&str> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["anthropic-beta", "anthropic-version"]);
        assert_eq!(sent["anthropic-beta"], "a,b");
    }

    #[test]
    fn an_error_has_the_form_of_the_api_that_the_client_speaks() {
        assert_eq!(
            RelayApi::Messages.error("no \"more\""),
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no \"more\""}}"#
        );
        let error: serde_json::Value = serde_json::from_str(&RelayApi::OpenAi.error("no")).unwrap();
        assert_eq!(error["error"]["message"], "no");
    }
}
