//! Carries out what is decided.

use std::path::PathBuf;

use nightshift_client::{Client, address};
use nightshift_desktop::{Effect, Event, Order, Outside, Place, ShellPage, Tray};
use nightshift_protocol::{ErrorCode, Ticket, UserError};
use tauri::{AppHandle, Url, WebviewWindow};
use tokio::sync::{mpsc, watch};

use crate::Surroundings;

/// What effects are done to.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) surroundings: Surroundings,
    pub(crate) app: AppHandle,
    pub(crate) window: WebviewWindow,
    /// Where preferences are kept.
    pub(crate) preferences: PathBuf,
    pub(crate) happened: mpsc::UnboundedSender<Event>,
    pub(crate) attach: mpsc::Sender<()>,
    pub(crate) orders: mpsc::Sender<Order>,
    pub(crate) trays: watch::Sender<Tray>,
}

impl Hands {
    pub(crate) async fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let named = format!("{effect:?}");
            if let Err(error) = self.one(effect).await {
                tracing::warn!(effect = named, error, "not done");
            }
        }
    }

    async fn one(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Attach => self.attach.try_send(()).map_err(said),
            Effect::Show(page) => self.show(&page),
            Effect::Open(place) => {
                if let Err(error) = self.open(place.as_ref()).await {
                    let _ended = self.happened.send(Event::NotOpened(error));
                }
                Ok(())
            }
            // The UI's router listens to its own history.
            Effect::Go(place) => self
                .window
                .eval(format!("history.pushState(null, '', {})", quoted(&place.path())))
                .map_err(said),
            Effect::OpenOutside(address) => open_outside(&address, &self.surroundings.outside),
            Effect::Raise => {
                self.window.show().map_err(said)?;
                self.window.unminimize().map_err(said)?;
                self.window.set_focus().map_err(said)
            }
            Effect::Hide => self.window.hide().map_err(said),
            Effect::Notify(news) => self.orders.try_send(Order::Show(news)).map_err(said),
            Effect::Withdraw(run) => self.orders.try_send(Order::Withdraw(run)).map_err(said),
            Effect::Draw(tray) => {
                self.trays.send_replace(tray);
                Ok(())
            }
            Effect::Keep(preferences) => preferences.write(&self.preferences).map_err(said),
            Effect::Exit => {
                self.app.exit(0);
                Ok(())
            }
        }
    }

    fn show(&self, page: &ShellPage) -> Result<(), String> {
        let address = format!("tauri://localhost/index.html#{}", page.fragment());
        self.window.navigate(Url::parse(&address).map_err(said)?).map_err(said)
    }

    /// Loads the owner's UI and lets it in.
    async fn open(&self, place: Option<&Place>) -> Result<(), UserError> {
        let folders = &self.surroundings.folders;
        let owner = address(folders).ok_or_else(|| defect("the owner has gone"))?;
        // A window that has loaded nothing yet is at no address.
        let here = self.window.url().ok();
        let is_there =
            here.as_ref().is_some_and(|here| here.as_str().starts_with(&format!("{}/", owner.url)));
        let path = match (place, here) {
            (Some(place), _) => place.path(),
            (None, Some(here)) if here.scheme() == "http" => {
                format!(
                    "{}{}",
                    here.path(),
                    here.query().map(|query| format!("?{query}")).unwrap_or_default()
                )
            }
            (None, _) => Place::Home.path(),
        };
        let client = Client::new(owner.clone())?;
        let ticket: Ticket = client.post("/session/tickets", &serde_json::json!({})).await?;
        let address = format!("{path}#ticket={}", ticket.ticket);
        if is_there {
            // Only the part behind # would be another: that alone loads nothing.
            let script = format!("history.replaceState(null, '', {}); location.reload()", quoted(&address));
            return self.window.eval(script).map_err(defect);
        }
        let address = Url::parse(&format!("{}{address}", owner.url)).map_err(defect)?;
        self.window.navigate(address).map_err(defect)
    }
}

/// Opens an address in the browser or mail program that the person uses.
fn open_outside(address: &str, outside: &Outside) -> Result<(), String> {
    let mut opener = tokio::process::Command::new("xdg-open");
    opener.arg(address).stdin(std::process::Stdio::null());
    for (name, value) in &outside.environment {
        match value {
            Some(value) => opener.env(name, value),
            None => opener.env_remove(name),
        };
    }
    if let Some(folder) = &outside.folder {
        opener.current_dir(folder);
    }
    let mut child = opener.spawn().map_err(|error| format!("xdg-open: {error}"))?;
    tokio::spawn(async move { child.wait().await });
    Ok(())
}

/// A text as a literal of JavaScript.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn defect(error: impl std::fmt::Display) -> UserError {
    UserError::new(
        ErrorCode::Internal,
        format!("the window cannot show the owner's page: {error}"),
        "Try again.",
    )
}
