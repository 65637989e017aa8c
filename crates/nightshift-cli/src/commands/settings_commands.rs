//! Commands about settings, keys, and starting the owner again.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use nightshift_protocol::{ChangeSettings, ErrorCode, KeepKey, KeySummary, Restarting, Settings, UserError};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;

use super::{Status, print};
use crate::arguments::{Key, Settings as Wanted};
use crate::environment::Environment;
use crate::follow::beside;
use crate::owner;
use crate::show::settings as text;

/// How long the owner may take to be back.
const BACK_WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn settings(environment: &Environment, json: bool, command: Option<Wanted>) -> Status {
    let client = owner::connect(environment).await?;
    let mut settings: Settings = client.get("/settings").await?;
    match command {
        None => {}
        Some(Wanted::Set { name, values }) => {
            if text::is_by_hand(&name) {
                return Err(UserError::new(
                    ErrorCode::InvalidRequest,
                    format!("{name} is not set by a command"),
                    format!(
                        "It is set by hand in {}, then `nightshift restart`; docs/configuration.md tells how.",
                        settings.file
                    ),
                ));
            }
            let defaults = settings.defaults.clone();
            text::set(&mut settings.values, &name, &values, &defaults).map_err(|why| {
                UserError::new(ErrorCode::InvalidRequest, why, "`nightshift settings` shows all of them.")
            })?;
            let wish = ChangeSettings { values: settings.values, revision: settings.revision };
            settings = client.put("/settings", &wish).await?;
        }
        Some(Wanted::Undo) => settings = client.post("/settings/undo", &json!({})).await?,
    }
    print(json, &settings, || text::settings(&settings));
    Ok(0)
}

pub(super) async fn key(environment: &Environment, json: bool, command: Key) -> Status {
    let client = owner::connect(environment).await?;
    let summary: KeySummary = match command {
        Key::List => {
            let settings: Settings = client.get("/settings").await?;
            print(json, &settings.keys, || text::keys(&settings));
            return Ok(0);
        }
        Key::Set { name } => {
            let asked = name.clone();
            let key =
                tokio::task::spawn_blocking(move || ask(&asked)).await.map_err(unread)?.map_err(unread)?;
            client.put(&format!("/keys/{}", path(&name)?), &KeepKey { key }).await?
        }
        Key::Remove { name } => client.delete(&format!("/keys/{}", path(&name)?)).await?,
    };
    print(json, &summary, || format!("{}: {}", summary.name, text::place(&summary)));
    if summary.pending && !json {
        beside("`nightshift restart` has the owner use it; runs go on.");
    }
    Ok(0)
}

/// A name as it is in an address: names of variables have no other characters.
fn path(name: &str) -> Result<&str, UserError> {
    if !name.is_empty() && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_') {
        return Ok(name);
    }
    Err(UserError::new(
        ErrorCode::InvalidRequest,
        format!("{name:?} is no name of a variable"),
        "`nightshift key list` shows those that are used.",
    ))
}

fn unread(error: impl std::fmt::Display) -> UserError {
    UserError::new(
        ErrorCode::InvalidRequest,
        format!("the key could not be read: {error}"),
        "Type it when it is asked for, or give it on standard input.",
    )
}

/// Reads a line, which a terminal does not show.
fn ask(name: &str) -> std::io::Result<String> {
    let input = std::io::stdin();
    let hidden = if input.is_terminal() {
        beside(&format!("{name} (it is not shown): "));
        Some(Hidden::new()?)
    } else {
        None
    };
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    drop(hidden);
    Ok(line)
}

/// A terminal that does not show what is typed, until it is dropped.
struct Hidden(Termios);

impl Hidden {
    fn new() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        hidden.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _terminal_gone = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Has the owner start again and waits until it answers.
pub(super) async fn restart(environment: &Environment, json: bool) -> Status {
    let client = owner::connect(environment).await?;
    let restarting: Restarting = client.post("/restart", &json!({})).await?;
    let back = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let settings = async { owner::connect(environment).await?.get::<Settings>("/settings").await };
            if let Ok(settings) = settings.await
                && !settings.pending
                && settings.keys.iter().all(|key| !key.pending)
            {
                return;
            }
        }
    };
    tokio::time::timeout(BACK_WITHIN, back).await.map_err(|_| {
        UserError::new(
            ErrorCode::OwnerUnreachable,
            format!("the owner is not back after {} s", BACK_WITHIN.as_secs()),
            "Any nightshift command tells why it does not start.",
        )
    })?;
    print(json, &restarting, || match restarting.running {
        0 => "The owner is back.".to_owned(),
        1 => "The owner is back; one run goes on.".to_owned(),
        runs => format!("The owner is back; {runs} runs go on."),
    });
    Ok(0)
}
