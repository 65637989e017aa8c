//! A page's end of the debugging protocol: commands out, answers and events in.
//!
//! One command is under way at a time, so an answer is told by its number and everything else is an event. Events are
//! kept up to a bound; a page that makes more of them loses the oldest.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::endpoint::plain_id;
use crate::{Connect, PORT, Stream};

/// An answer is not larger: an accessibility tree of twenty thousand nodes has some ten megabytes.
const MAX_MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// Events that are kept.
const MAX_EVENTS: usize = 2_000;

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
    events: VecDeque<Event>,
}

/// An event of the protocol.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) method: String,
    pub(crate) params: Value,
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
        Ok(Self { socket, next: 1, deadline, within, events: VecDeque::new() })
    }

    /// Gives a command and waits for its answer.
    pub(crate) async fn ask(&mut self, method: &str, params: Value) -> Result<Value, BrowserError> {
        let id = self.command(method, params).await?;
        self.answer(id).await
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

    async fn answer(&mut self, id: u64) -> Result<Value, BrowserError> {
        loop {
            let message = self.receive().await?;
            if message["id"].as_u64() != Some(id) {
                self.take(message).await?;
                continue;
            }
            if let Some(error) = message.get("error") {
                let told = error["message"].as_str().unwrap_or("no reason given");
                return Err(BrowserError::Refused { message: crate::text::line(told, 300) });
            }
            return Ok(message["result"].clone());
        }
    }

    /// Waits for an event; `None` if it does not come until `until`.
    pub(crate) async fn event(
        &mut self,
        method: &str,
        until: Instant,
    ) -> Result<Option<Event>, BrowserError> {
        if let Some(at) = self.events.iter().position(|event| event.method == method) {
            return Ok(self.events.remove(at));
        }
        loop {
            let message = match timeout_at(until.min(self.deadline), self.receive()).await {
                Ok(message) => message?,
                Err(_) => return Ok(None),
            };
            self.take(message).await?;
            if self.events.back().is_some_and(|event| event.method == method) {
                return Ok(self.events.pop_back());
            }
        }
    }

    /// The events so far, oldest first.
    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    /// When everything has to be done.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    async fn receive(&mut self) -> Result<Value, BrowserError> {
        loop {
            let next = timeout_at(self.deadline, self.socket.next()).await;
            let message = next.map_err(|_| BrowserError::TookTooLong { within: self.within })?;
            match message {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(text.as_str())
                        .map_err(|_| BrowserError::NotUnderstood { what: "no JSON".to_owned() });
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(unreachable(&error)),
                None => return Err(BrowserError::Unreachable(io::ErrorKind::UnexpectedEof.into())),
            }
        }
    }

    /// Deals with what comes by itself.
    async fn take(&mut self, message: Value) -> Result<(), BrowserError> {
        match message["method"].as_str() {
            // Until its dialog is answered a page does nothing, not even what it is asked here.
            Some("Page.javascriptDialogOpening") => match message["params"]["type"].as_str() {
                Some("alert" | "beforeunload") => {
                    self.keep(message);
                    self.command("Page.handleJavaScriptDialog", json!({"accept": true})).await.map(|_| ())
                }
                _ => {
                    let asked = message["params"]["message"].as_str().unwrap_or_default();
                    Err(BrowserError::Asks { message: crate::text::line(asked, 300) })
                }
            },
            Some("Inspector.targetCrashed") => Err(BrowserError::Crashed),
            _ => {
                self.keep(message);
                Ok(())
            }
        }
    }

    fn keep(&mut self, mut message: Value) {
        let Some(method) = message["method"].as_str().map(str::to_owned) else { return };
        if self.events.len() >= MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event { method, params: message["params"].take() });
    }
}

fn unreachable(error: &SocketError) -> BrowserError {
    BrowserError::Unreachable(io::Error::other(crate::text::line(&error.to_string(), 200)))
}
