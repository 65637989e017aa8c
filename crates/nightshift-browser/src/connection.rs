//! A page's end of the debugging protocol: commands out, answers and events in.
//!
//! One command is under way at a time, so an answer is told by its number and everything else is an event. Of events only what
//! went wrong is kept. Whatever may answer at the port: a message is taken apart only where somebody waits for it, and only
//! so far as it holds no more values than it should, for each costs a hundred times the byte or two that it is written in.

use std::borrow::Cow;
use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use nightshift_protocol::json_values;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message, Utf8Bytes};

use crate::endpoint::plain_id;
use crate::problems::{Problem, Problems};
use crate::{Connect, PORT, Stream};

/// An answer is not larger: an accessibility tree of twenty thousand nodes has some ten megabytes.
const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// Values of an answer, but where it is said how many it may have.
const MAX_VALUES: usize = 100_000;
/// Values of an event that is looked into.
const MAX_EVENT_VALUES: usize = 20_000;

/// Why the browser did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// Nothing listens at the browser's port, or the connection broke.
    #[error("the browser cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// No page is open.
    #[error("the browser has no page open")]
    NoPage,
    /// It did not answer in time; a page that keeps its main thread busy answers nothing.
    #[error("the page did not answer within {} s", within.as_secs())]
    TookTooLong {
        /// How long it was waited for.
        within: Duration,
    },
    /// The browser refused a command.
    #[error("the browser refused: {message}")]
    Refused {
        /// Its explanation, one line.
        message: String,
    },
    /// An answer was not what the protocol promises.
    #[error("the browser's answer makes no sense: {what}")]
    NotUnderstood {
        /// Which answer.
        what: String,
    },
    /// An answer holds more than is taken in.
    #[error("the page's answer holds more than {limit} values; ask for less of it")]
    TooMuch {
        /// How many are taken in.
        limit: usize,
    },
    /// The reference belongs to a page that was left.
    #[error("the reference is of a page that was left or loaded again; read the page for new ones")]
    OldReference,
    /// The element is gone.
    #[error("the element is no longer on the page; read the page for what is there now")]
    Gone,
    /// The element cannot be used as asked.
    #[error("{why}")]
    NotUsable {
        /// Why, as a sentence without its full stop.
        why: String,
    },
    /// The page waits for an answer in a dialog.
    #[error("the page asks {message:?} in a dialog, which stands on the screen until it is answered there")]
    Asks {
        /// What it asks, one line.
        message: String,
    },
    /// The page's process ended.
    #[error("the page has crashed; open it again")]
    Crashed,
    /// The address is none that may be opened.
    #[error("\"{url}\" is no address to open: it begins with http://, https://, file:// or about:")]
    BadAddress {
        /// What was given, cut.
        url: String,
    },
}

/// A connection to one page.
pub(crate) struct Connection {
    socket: WebSocketStream<Box<dyn Stream>>,
    next: u64,
    deadline: Instant,
    within: Duration,
    problems: Problems,
    has_loaded: bool,
}

/// What of a message has to be known before it is taken apart.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(default)]
    id: Option<u64>,
    #[serde(default, borrow)]
    method: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
    #[serde(default, borrow)]
    result: Option<&'a RawValue>,
    #[serde(default, borrow)]
    error: Option<&'a RawValue>,
}

/// Why a command was refused.
#[derive(Deserialize)]
struct Refusal<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
}

impl<'a> Glance<'a> {
    fn at(text: &'a str) -> Result<Self, BrowserError> {
        serde_json::from_str(text).map_err(|_| BrowserError::NotUnderstood { what: "no JSON".to_owned() })
    }

    /// What an event says; nothing where it says too much.
    fn said(&self) -> Value {
        let params = self.params.map_or("null", RawValue::get);
        if json_values(params.as_bytes()) > MAX_EVENT_VALUES {
            return Value::Null;
        }
        serde_json::from_str(params).unwrap_or_default()
    }
}

impl Connection {
    /// Connects to a page; everything asked of it together may take `within`.
    pub(crate) async fn open(
        connect: Connect<'_>,
        page: &str,
        within: Duration,
    ) -> Result<Self, BrowserError> {
        let deadline = Instant::now() + within;
        let stream = connect().await.map_err(BrowserError::Unreachable)?;
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        let url = format!("ws://127.0.0.1:{PORT}/devtools/page/{}", plain_id(page));
        let shake = tokio_tungstenite::client_async_with_config(url, stream, Some(limits));
        let (socket, _) = timeout_at(deadline, shake)
            .await
            .map_err(|_| BrowserError::TookTooLong { within })?
            .map_err(|error| unreachable(&error))?;
        Ok(Self { socket, next: 1, deadline, within, problems: Problems::default(), has_loaded: false })
    }

    /// Gives a command and waits for its answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Result<Value, BrowserError> {
        self.ask_for(method, params, MAX_VALUES).await
    }

    /// Gives a command and waits for its answer, which may hold so many values.
    pub(crate) async fn ask_for<T: DeserializeOwned>(
        &mut self,
        method: &str,
        params: Value,
        limit: usize,
    ) -> Result<T, BrowserError> {
        let id = self.command(method, params).await?;
        loop {
            let text = self.receive().await?;
            let message = Glance::at(text.as_str())?;
            if message.id != Some(id) {
                self.take(message).await?;
                continue;
            }
            if let Some(error) = message.error {
                let refusal = serde_json::from_str::<Refusal>(error.get());
                let told = refusal.map_or(Cow::from("no reason given"), |refusal| refusal.message);
                return Err(BrowserError::Refused { message: crate::text::line(&told, 300) });
            }
            let result = message.result.map_or("null", RawValue::get);
            if json_values(result.as_bytes()) > limit {
                return Err(BrowserError::TooMuch { limit });
            }
            return serde_json::from_str(result)
                .map_err(|_| BrowserError::NotUnderstood { what: method.to_owned() });
        }
    }

    async fn command(&mut self, method: &str, params: Value) -> Result<u64, BrowserError> {
        let id = self.next;
        self.next += 1;
        let command = json!({"id": id, "method": method, "params": params}).to_string();
        let sent = timeout_at(self.deadline, self.socket.send(Message::text(command))).await;
        sent.map_err(|_| BrowserError::TookTooLong { within: self.within })?
            .map_err(|error| unreachable(&error))?;
        Ok(id)
    }

    /// Waits until the page has loaded; whether it did until `until`.
    pub(crate) async fn loaded(&mut self, until: Instant) -> Result<bool, BrowserError> {
        while !self.has_loaded {
            let text = match timeout_at(until.min(self.deadline), self.receive()).await {
                Ok(text) => text?,
                Err(_) => return Ok(false),
            };
            self.take(Glance::at(text.as_str())?).await?;
        }
        Ok(true)
    }

    /// What has gone wrong on the page so far.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        self.problems.so_far()
    }

    /// When everything has to be done.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    async fn receive(&mut self) -> Result<Utf8Bytes, BrowserError> {
        loop {
            let next = timeout_at(self.deadline, self.socket.next()).await;
            let message = next.map_err(|_| BrowserError::TookTooLong { within: self.within })?;
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(unreachable(&error)),
                None => return Err(BrowserError::Unreachable(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Deals with what comes by itself.
    async fn take(&mut self, message: Glance<'_>) -> Result<(), BrowserError> {
        match message.method.as_deref() {
            // Until its dialog is answered a page does nothing, not even what it is asked here.
            Some("Page.javascriptDialogOpening") => {
                let said = message.said();
                if matches!(said["type"].as_str(), Some("alert" | "beforeunload")) {
                    self.command("Page.handleJavaScriptDialog", json!({"accept": true})).await?;
                    return Ok(());
                }
                let asked = said["message"].as_str().unwrap_or_default();
                Err(BrowserError::Asks { message: crate::text::line(asked, 300) })
            }
            Some("Inspector.targetCrashed") => Err(BrowserError::Crashed),
            Some("Page.loadEventFired") => {
                self.has_loaded = true;
                Ok(())
            }
            Some(method) if Problems::are_told_by(method) => {
                self.problems.take(method, &message.said());
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn unreachable(error: &SocketError) -> BrowserError {
    BrowserError::Unreachable(io::Error::other(crate::text::line(&error.to_string(), 200)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_says_too_much_says_nothing() {
        let event = |values: usize| {
            let args = "{},".repeat(values);
            format!(r#"{{"method":"Runtime.consoleAPICalled","params":{{"type":"error","args":[{args}0]}}}}"#)
        };
        let (small, large) = (event(10), event(MAX_EVENT_VALUES));
        assert_eq!(Glance::at(&small).unwrap().said()["type"], "error");
        assert_eq!(Glance::at(&large).unwrap().said(), Value::Null);
    }
}
