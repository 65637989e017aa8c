//! The live screen over a WebSocket, and small pictures of it. `docs/live-screen.md` describes what is said.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use nightshift_api::live::{LiveView, thumbnail};
use nightshift_api::{Api, RunScreen};
use nightshift_protocol::{ErrorCode, LeaseHolder, RunId, ScreenMessage, UserError, ViewerMessage};
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::Shared;
use super::hold::{Hold, Stuck};
use crate::extract::{Parameters, Path};
use crate::reply::Refusal;

/// The longest message a viewer may send, in bytes: a text for the clipboard.
const LONGEST_MESSAGE: usize = 512 * 1024;

/// How often a viewer is asked whether it is there.
const PING: Duration = Duration::from_secs(10);

/// A viewer that was silent for so long, or takes nothing for so long, is gone.
const SILENCE: Duration = Duration::from_secs(40);

/// How often it is looked whether a run has a screen again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Shows a run's screen, live: a WebSocket. Pictures come as binary messages, everything else both ways as JSON
/// (`ScreenMessage` and `ViewerMessage`). See docs/live-screen.md.
#[utoipa::path(
    get, path = "/runs/{run}/screen", tag = "screen",
    params(("run" = String, Path, description = "The run")),
    responses((status = 101, description = "The WebSocket is open")),
)]
pub(super) async fn screen(
    State(api): Shared,
    Path(run): Path<String>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let run = api.summary(&run).await?.run;
    let upgrade = upgrade.map_err(|why| {
        Refusal(UserError::new(ErrorCode::InvalidRequest, why.body_text(), "Open it as a WebSocket."))
    })?;
    Ok(upgrade.max_message_size(LONGEST_MESSAGE).on_upgrade(move |socket| {
        Viewer { api, run, socket, heard: Instant::now(), lease: None, dark: None }.serve()
    }))
}

/// How large a thumbnail is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ThumbnailSize {
    /// At most so many pixels wide, from 64 to 1280; 320 if absent.
    width: Option<u32>,
}

/// Gives a small picture of a run's screen as it is now, a JPEG; with `if-none-match` nothing when it is the same.
#[utoipa::path(
    get, path = "/runs/{run}/thumbnail", tag = "screen",
    params(("run" = String, Path, description = "The run"), ThumbnailSize),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), (status = 304)),
)]
pub(super) async fn small(
    State(api): Shared,
    Path(run): Path<String>,
    Parameters(size): Parameters<ThumbnailSize>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let screen = api.screen(&run).await?;
    let width = size.width.unwrap_or(320).clamp(64, 1_280);
    let tag = format!("\"{:x}-{}-{width}\"", screen.identity(), screen.screen().generation());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let labels = [(header::ETAG, tag.clone()), (header::CACHE_CONTROL, "private, no-cache".to_owned())];
    if known == Some(tag.as_str()) {
        return Ok((StatusCode::NOT_MODIFIED, labels).into_response());
    }
    let dark = |why: String| UserError::new(ErrorCode::Conflict, why, "Try again in a moment.");
    let frame = screen.screen().frame().await.map_err(|error| dark(error.to_string()))?;
    let made = tokio::task::spawn_blocking(move || thumbnail(&frame, width)).await.ok().flatten();
    let picture = made.ok_or_else(|| dark("the picture could not be encoded".to_owned()))?;
    Ok((labels, [(header::CONTENT_TYPE, "image/jpeg")], picture).into_response())
}

/// One viewer's connection.
struct Viewer {
    api: Arc<Api>,
    run: RunId,
    socket: WebSocket,
    heard: Instant,
    lease: Option<Hold>,
    /// Why nothing is shown, as the viewer was told.
    dark: Option<String>,
}

/// The viewer is gone, or has broken the rules.
struct Gone;

/// Why a screen is not shown any more.
enum Next {
    LookAgain,
}

impl Viewer {
    async fn serve(mut self) {
        // Whoever holds mouse and keyboard loses them with the connection: the lease is dropped.
        while let Ok(Next::LookAgain) = self.show().await {}
    }

    /// Shows the run's screen until it goes, or says why there is none.
    async fn show(&mut self) -> Result<Next, Gone> {
        match self.api.screen(self.run.as_str()).await {
            Ok(screen) => {
                self.dark = None;
                let shown = self.follow(&screen).await;
                self.drop_lease().await;
                shown
            }
            Err(error) => {
                let over = match self.api.summary(self.run.as_str()).await {
                    Ok(summary) => summary.state.is_final() && summary.sandbox.is_none(),
                    Err(_) => true,
                };
                if over || self.dark.as_ref() != Some(&error.message) {
                    self.dark = Some(error.message.clone());
                    self.say(&ScreenMessage::Dark { reason: error.message, over }).await?;
                }
                self.wait_for_screen(over).await
            }
        }
    }

    /// Waits until the run may have a screen again; an ended run's viewer closes by itself.
    async fn wait_for_screen(&mut self, over: bool) -> Result<Next, Gone> {
        let mut look = tokio::time::interval_at(Instant::now() + LOOK_AGAIN, LOOK_AGAIN);
        let mut ping = tokio::time::interval(PING);
        loop {
            tokio::select! {
                message = self.socket.recv() => {
                    let Some(message) = self.read(message)? else { continue };
                    if !matches!(message, ViewerMessage::Acknowledge { .. }) {
                        self.say(&refused(ErrorCode::Conflict, "nothing is shown at the moment")).await?;
                    }
                }
                _ = look.tick(), if !over => {
                    let summary = self.api.summary(self.run.as_str()).await.map_err(|_| Gone)?;
                    if summary.sandbox.is_some() || summary.state.is_final() {
                        return Ok(Next::LookAgain);
                    }
                }
                _ = ping.tick() => self.ping().await?,
            }
        }
    }

    async fn follow(&mut self, screen: &RunScreen) -> Result<Next, Gone> {
        let mut view = LiveView::new(screen.screen());
        let mut traces = screen.screen().traces();
        let mut presses = traces.borrow().presses;
        traces.mark_changed();
        self.tell_holder(screen).await?;
        let mut holder = tokio::time::interval(Duration::from_secs(1));
        let mut told = self.holder(screen);
        let mut ping = tokio::time::interval(PING);
        loop {
            tokio::select! {
                update = view.next() => match update {
                    Some(update) => self.send(Message::Binary(update.encode().into())).await?,
                    None => {
                        let reason = "the sandbox's screen has ended".to_owned();
                        self.say(&ScreenMessage::Dark { reason, over: false }).await?;
                        tokio::time::sleep(LOOK_AGAIN).await;
                        return Ok(Next::LookAgain);
                    }
                },
                message = self.socket.recv() => {
                    if let Some(message) = self.read(message)? {
                        self.hear(message, screen, &view).await?;
                    }
                }
                changed = traces.changed() => {
                    let trace = *traces.borrow_and_update();
                    if changed.is_ok() && let Some(at) = trace.at {
                        self.say(&ScreenMessage::Pointer { x: at.x, y: at.y }).await?;
                    }
                    if trace.presses != presses && let Some(at) = trace.pressed_at {
                        self.say(&ScreenMessage::Press { x: at.x, y: at.y }).await?;
                    }
                    presses = trace.presses;
                }
                told = told_of(&mut self.lease) => match told {
                    Some(told) => self.say(&told).await?,
                    None => self.drop_lease().await,
                },
                _ = holder.tick() => {
                    if self.lease.as_ref().is_some_and(Hold::is_idle) {
                        self.drop_lease().await;
                    }
                    let now = self.holder(screen);
                    if now != told {
                        told = now;
                        self.tell_holder(screen).await?;
                    }
                }
                _ = ping.tick() => self.ping().await?,
            }
        }
    }

    async fn hear(
        &mut self,
        message: ViewerMessage,
        screen: &RunScreen,
        view: &LiveView,
    ) -> Result<(), Gone> {
        let outcome = match message {
            ViewerMessage::Acknowledge { sequence } => {
                view.acknowledge(sequence);
                return Ok(());
            }
            ViewerMessage::TakeOver if self.lease.is_some() => return self.tell_holder(screen).await,
            ViewerMessage::TakeOver => match self.api.take_over(self.run.as_str()).await {
                Ok(lease) => {
                    self.lease = Some(Hold::new(lease));
                    return self.tell_holder(screen).await;
                }
                Err(error) => Err(error),
            },
            ViewerMessage::HandBack { note } => match self.lease.take() {
                Some(held) => {
                    let handed = held.hand_back(&note).await;
                    self.tell_holder(screen).await?;
                    handed
                }
                None => Ok(()),
            },
            input => match self.lease.as_mut().map(|held| held.take(input)) {
                Some(Ok(())) => return Ok(()),
                Some(Err(Stuck)) => {
                    self.drop_lease().await;
                    self.tell_holder(screen).await?;
                    Err(stuck())
                }
                None => Err(not_yours()),
            },
        };
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.say(&ScreenMessage::Refused { error }).await,
        }
    }

    async fn drop_lease(&mut self) {
        if let Some(held) = self.lease.take()
            && let Err(error) = held.hand_back("").await
        {
            tracing::warn!(run = %self.run, %error, "mouse and keyboard were not handed back");
        }
    }

    fn holder(&self, screen: &RunScreen) -> LeaseHolder {
        match (&self.lease, screen.is_leased()) {
            (Some(_), _) => LeaseHolder::You,
            (None, true) => LeaseHolder::Somebody,
            (None, false) => LeaseHolder::Agent,
        }
    }

    async fn tell_holder(&mut self, screen: &RunScreen) -> Result<(), Gone> {
        let holder = self.holder(screen);
        self.say(&ScreenMessage::Lease { holder }).await
    }

    /// Reads a message; `None` for those that only say that the viewer is there.
    fn read(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<Option<ViewerMessage>, Gone> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).map(Some).map_err(|error| {
                tracing::debug!(%error, "a viewer said what is no message");
                Gone
            }),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
            Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => Err(Gone),
        }
    }

    async fn ping(&mut self) -> Result<(), Gone> {
        if self.heard.elapsed() > SILENCE {
            return Err(Gone);
        }
        self.send(Message::Ping(Vec::new().into())).await
    }

    async fn say(&mut self, message: &ScreenMessage) -> Result<(), Gone> {
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

/// What the person at a viewer is to be told of what they did; never, while mouse and keyboard are not theirs.
async fn told_of(lease: &mut Option<Hold>) -> Option<ScreenMessage> {
    match lease {
        Some(held) => held.tells().await,
        None => std::future::pending().await,
    }
}

fn stuck() -> UserError {
    UserError::new(
        ErrorCode::SandboxFailed,
        "the sandbox does not take what you do, so mouse and keyboard were handed back",
        "See whether it stands still for the disk (nightshift doctor); take over again when it goes on.",
    )
}

fn not_yours() -> UserError {
    UserError::new(
        ErrorCode::Conflict,
        "mouse and keyboard are not yours",
        "Take over first; the agent then waits.",
    )
}

fn refused(code: ErrorCode, message: &str) -> ScreenMessage {
    ScreenMessage::Refused { error: UserError::new(code, message, "Wait until the screen is shown.") }
}
