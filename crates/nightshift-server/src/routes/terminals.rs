//! A person's terminal in a sandbox, over a WebSocket. `docs/terminal.md` describes what is said.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use nightshift_api::{Terminal, TerminalEvent};
use nightshift_protocol::{ErrorCode, TerminalMessage, TerminalRequest, TerminalSize, UserError};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::Shared;
use crate::extract::{Parameters, Path};
use crate::reply::Refusal;

/// The longest message of a terminal, in bytes: a text that is pasted.
const LONGEST_MESSAGE: usize = 256 * 1024;

/// How often a terminal is asked whether it is there.
const PING: Duration = Duration::from_secs(10);

/// A terminal that was silent for so long, or takes nothing for so long, is gone. Its shell is not.
const SILENCE: Duration = Duration::from_secs(40);

/// Which shell, and how large the terminal is.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The shell that was open under this name; a new one if absent.
    session: Option<String>,
    /// Characters in a line; 80 if absent.
    columns: Option<u16>,
    /// Lines; 24 if absent.
    rows: Option<u16>,
    /// Whether the shell is to have no terminal: no prompt, no colours, and an end where its input ends.
    #[serde(default)]
    plain: bool,
}

/// Opens a shell in a run's sandbox: a WebSocket. Binary messages are what the shell prints and what is typed; everything
/// else both ways is JSON (`TerminalMessage` and `TerminalRequest`). See docs/terminal.md.
#[utoipa::path(
    get, path = "/runs/{run}/terminal", tag = "screen",
    params(("run" = String, Path, description = "The run"), Wanted),
    responses((status = 101, description = "The WebSocket is open")),
)]
pub(super) async fn terminal(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(wanted): Parameters<Wanted>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let run = api.summary(&run).await?.run;
    let upgrade = upgrade.map_err(|why| {
        Refusal(UserError::new(ErrorCode::InvalidRequest, why.body_text(), "Open it as a WebSocket."))
    })?;
    let usual = TerminalSize::USUAL;
    let size = TerminalSize {
        columns: wanted.columns.unwrap_or(usual.columns),
        rows: wanted.rows.unwrap_or(usual.rows),
    };
    Ok(upgrade.max_message_size(LONGEST_MESSAGE).on_upgrade(async move |socket| {
        let mut person = Person { socket, heard: Instant::now() };
        // A browser is not told why a WebSocket was refused, so it is told inside.
        let opened = if wanted.plain {
            api.plain_shell(run.as_str()).await
        } else {
            api.terminal(run.as_str(), wanted.session, size).await
        };
        let _gone = match opened {
            Ok(terminal) => person.serve(terminal).await,
            Err(error) => person.say(&TerminalMessage::Refused { error }).await,
        };
    }))
}

/// The connection of one terminal.
struct Person {
    socket: WebSocket,
    heard: Instant,
}

/// The terminal is gone, or has broken the rules.
struct Gone;

impl Person {
    async fn serve(&mut self, mut terminal: Terminal) -> Result<(), Gone> {
        self.say(&TerminalMessage::Open { session: terminal.session().to_owned() }).await?;
        let mut ping = tokio::time::interval(PING);
        loop {
            tokio::select! {
                event = terminal.next() => match event {
                    TerminalEvent::Output(bytes) => self.send(Message::Binary(bytes)).await?,
                    TerminalEvent::Missed => self.say(&TerminalMessage::Missed).await?,
                    TerminalEvent::Ended(code) => return self.say(&TerminalMessage::Ended { code }).await,
                },
                // A guest that does not read is told no more than it can hold, and its person is no less there.
                message = self.socket.recv(), if !terminal.is_full() => {
                    self.heard = Instant::now();
                    match message {
                        Some(Ok(Message::Binary(keys))) => terminal.keys(keys),
                        Some(Ok(Message::Text(text))) => {
                            match serde_json::from_str(&text).map_err(|_| Gone)? {
                                TerminalRequest::Resize { columns, rows } => {
                                    terminal.resize(TerminalSize { columns, rows });
                                }
                                TerminalRequest::End => terminal.end_input(),
                            }
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(Gone),
                    }
                }
                _ = ping.tick() => {
                    if terminal.is_full() {
                        self.heard = Instant::now();
                    }
                    if self.heard.elapsed() > SILENCE {
                        return Err(Gone);
                    }
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    async fn say(&mut self, message: &TerminalMessage) -> Result<(), Gone> {
        let text = serde_json::to_string(message).map_err(|_| Gone)?;
        self.send(Message::Text(text.into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        match tokio::time::timeout(SILENCE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Gone),
        }
    }
}
