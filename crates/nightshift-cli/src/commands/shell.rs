//! `nightshift shell`: this terminal becomes one of a run's sandbox.
//!
//! Bytes go both ways as they are. A cut connection is opened again to the same shell; the owner sends what it printed
//! lately once more, so the screen is cleared before. Where input or output is no terminal, the shell has none either: it
//! prints what its commands print, and ends where the input ends.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nightshift_client::Client;
use nightshift_protocol::{ErrorCode, TerminalMessage, TerminalRequest, TerminalSize, UserError};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::environment::Environment;
use crate::owner;

/// Attempts to come back to a shell, a second apart.
const ATTEMPTS: u32 = 30;
const PAUSE: Duration = Duration::from_secs(1);

/// Clears the terminal and its scrolling region: RIS of ECMA-48.
const RESET: &[u8] = b"\x1bc";

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How a connection ended.
enum Ending {
    Exited(Option<i32>),
    Refused(UserError),
    Cut,
}

/// Opens a shell in the sandbox of `run`, and returns its exit status when it ends.
pub(crate) async fn shell(environment: &Environment, run: &str) -> Result<u8, UserError> {
    let mut client = owner::connect(environment).await?;
    let kind = Kind::of(std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
    let _raw = (kind == Kind::Terminal).then(Raw::begin);
    let (say, mut typed) = mpsc::channel(16);
    // A thread, and not tokio's own reading: that one keeps the program from ending until a key is pressed.
    std::thread::spawn(move || read_keys(&say));
    let mut session = None;
    let mut attempts = 0;
    loop {
        let ending = match open(&client, run, kind, session.as_deref()).await {
            Ok(socket) => follow(socket, &mut typed, &mut session, &mut attempts).await?,
            Err(error) if session.is_none() => return Err(error),
            Err(_) => Ending::Cut,
        };
        match ending {
            Ending::Exited(code) => return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
            Ending::Refused(error) => return Err(error),
            // What was read and done is not known, and must not be done twice.
            Ending::Cut if kind == Kind::Plain => {
                return Err(UserError::new(
                    ErrorCode::OwnerUnreachable,
                    "the connection to the shell was cut, and the shell was ended",
                    "What it printed until then is above; look in the sandbox how far it came.",
                ));
            }
            Ending::Cut if attempts == ATTEMPTS => {
                return Err(UserError::new(
                    ErrorCode::OwnerUnreachable,
                    "the connection to the shell was cut and could not be opened again",
                    format!("`nightshift shell {run}` opens a new one."),
                ));
            }
            Ending::Cut => {
                attempts += 1;
                tokio::time::sleep(PAUSE).await;
                if let Ok(found) = owner::connect(environment).await {
                    client = found;
                }
            }
        }
    }
}

/// What kind of shell is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// On a terminal of its own, for a person.
    Terminal,
    /// Without one, for a program.
    Plain,
}

impl Kind {
    /// Both ends of this program decide: a person types and looks.
    fn of(typed: bool, looked_at: bool) -> Self {
        if typed && looked_at { Self::Terminal } else { Self::Plain }
    }
}

async fn open(client: &Client, run: &str, kind: Kind, session: Option<&str>) -> Result<Socket, UserError> {
    // The owner knows what a shortened name means, and says what is wrong with one.
    let summary: serde_json::Value = client.get(&format!("/runs/{run}")).await?;
    let run = summary["summary"]["run"].as_str().unwrap_or(run).to_owned();
    let address = client.address();
    let url = format!(
        "{}/api/v1/runs/{run}/terminal?{}",
        address.url.replacen("http", "ws", 1),
        wanted(kind, size(), session)
    );
    let token = format!("Bearer {}", address.token);
    let failed = |what: String| {
        UserError::new(
            ErrorCode::OwnerUnreachable,
            what,
            "`nightshift doctor` looks whether the owner is well.",
        )
    };
    let mut request = url.into_client_request().map_err(|error| failed(error.to_string()))?;
    let token = token.parse().map_err(|_| failed("the owner's token cannot be sent".to_owned()))?;
    request.headers_mut().insert("authorization", token);
    let opened = tokio_tungstenite::connect_async(request).await;
    opened.map(|(socket, _)| socket).map_err(|error| failed(format!("the shell was not opened: {error}")))
}

/// The shell that is wanted, as the owner is asked for it.
fn wanted(kind: Kind, size: TerminalSize, session: Option<&str>) -> String {
    let TerminalSize { columns, rows } = size;
    let session = session.map(|session| format!("&session={session}")).unwrap_or_default();
    match kind {
        Kind::Terminal => format!("columns={columns}&rows={rows}{session}"),
        Kind::Plain => "plain=true".to_owned(),
    }
}

async fn follow(
    mut socket: Socket,
    typed: &mut mpsc::Receiver<Vec<u8>>,
    session: &mut Option<String>,
    attempts: &mut u32,
) -> Result<Ending, UserError> {
    let mut resized = signal(SignalKind::window_change()).map_err(|error| {
        UserError::new(ErrorCode::Internal, format!("listening for signals: {error}"), "Try again.")
    })?;
    let mut open = true;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => print(&bytes),
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(TerminalMessage::Open { session: opened }) => {
                        if session.is_some() {
                            print(RESET);
                        }
                        *session = Some(opened);
                        *attempts = 0;
                    }
                    Ok(TerminalMessage::Missed) => print(RESET),
                    Ok(TerminalMessage::Ended { code }) => return Ok(Ending::Exited(code)),
                    Ok(TerminalMessage::Refused { error }) => return Ok(Ending::Refused(error)),
                    // A newer owner may say more.
                    Err(_) => {}
                },
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Ok(Ending::Cut),
            },
            keys = typed.recv(), if open => {
                open = keys.is_some();
                let message = match keys {
                    Some(keys) => Message::binary(keys),
                    None => Message::text(serde_json::to_string(&TerminalRequest::End).unwrap_or_default()),
                };
                if socket.send(message).await.is_err() {
                    return Ok(Ending::Cut);
                }
            }
            _ = resized.recv() => {
                let TerminalSize { columns, rows } = size();
                let text = serde_json::to_string(&TerminalRequest::Resize { columns, rows }).unwrap_or_default();
                if socket.send(Message::text(text)).await.is_err() {
                    return Ok(Ending::Cut);
                }
            }
        }
    }
}

/// The size of this terminal; of the usual one where the output is none.
fn size() -> TerminalSize {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_col > 0 => TerminalSize { columns: size.ws_col, rows: size.ws_row },
        _ => TerminalSize::USUAL,
    }
}

fn print(bytes: &[u8]) {
    let mut output = std::io::stdout().lock();
    // Whoever closed the output does not want to know.
    let _unseen = output.write_all(bytes).and_then(|()| output.flush());
}

fn read_keys(say: &mpsc::Sender<Vec<u8>>) {
    use std::io::Read;
    let mut input = std::io::stdin().lock();
    let mut bytes = [0; 4_096];
    while let Ok(length) = input.read(&mut bytes) {
        if length == 0 || say.blocking_send(bytes[..length].to_vec()).is_err() {
            return;
        }
    }
}

/// This terminal while every key goes to the sandbox. Dropped, it is as it was.
struct Raw(Option<Termios>);

impl Raw {
    /// Does nothing where the input is no terminal.
    fn begin() -> Self {
        let input = std::io::stdin();
        let before = if input.is_terminal() { tcgetattr(&input).ok() } else { None };
        if let Some(mut raw) = before.clone() {
            raw.make_raw();
            let _as_it_was = tcsetattr(&input, OptionalActions::Flush, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _nothing_else_to_try = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_has_a_terminal_only_where_a_person_types_and_looks() {
        let kinds = [(true, true), (true, false), (false, true), (false, false)]
            .map(|(typed, looked_at)| Kind::of(typed, looked_at));
        assert_eq!(kinds, [Kind::Terminal, Kind::Plain, Kind::Plain, Kind::Plain]);
    }

    #[test]
    fn a_terminal_is_asked_for_with_its_size_and_a_plain_shell_is_never_come_back_to() {
        let size = TerminalSize { columns: 100, rows: 30 };
        assert_eq!(wanted(Kind::Terminal, size, None), "columns=100&rows=30");
        assert_eq!(wanted(Kind::Terminal, size, Some("5f0c")), "columns=100&rows=30&session=5f0c");
        assert_eq!(wanted(Kind::Plain, size, Some("5f0c")), "plain=true");
    }
}
