//! A viewer that stops reading while the screen changes, and goes on.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use nightshift_protocol::{RunId, ViewerMessage};
use nightshift_screen::live::Update;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::bench::BenchError;
use crate::owner::{Owner, Socket};

use super::host_ms;

/// How long nothing is read.
const STALLED: Duration = Duration::from_secs(10);

/// How long a viewer reads before it stops.
const READS: Duration = Duration::from_secs(3);

/// How long the newest picture may take at most.
const WITHIN: Duration = Duration::from_secs(20);

/// How often the owner's memory is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What was seen.
pub(super) struct Stall {
    /// How much the owner's memory grew at most, in MiB.
    pub(super) growth_mb: f64,
    /// From going on until a picture of that moment or a later one was there.
    pub(super) catch_up: Duration,
}

pub(super) async fn stall(owner: &Owner, run: &RunId) -> Result<Stall, BenchError> {
    let mut viewer = Viewer::open(owner, run).await?;
    let until = Instant::now() + READS;
    while Instant::now() < until {
        viewer.draw().await?;
    }
    let before = owner.resident_mb()?;
    let mut most = before;
    let goes_on = Instant::now() + STALLED;
    while Instant::now() < goes_on {
        tokio::time::sleep(LOOK_EVERY).await;
        most = most.max(owner.resident_mb()?);
    }
    let began = Instant::now();
    let now_ms = host_ms();
    while viewer.draw().await? < now_ms {}
    Ok(Stall { growth_mb: most - before, catch_up: began.elapsed() })
}

struct Viewer(Socket);

impl Viewer {
    async fn open(owner: &Owner, run: &RunId) -> Result<Self, BenchError> {
        Ok(Self(owner.open(&format!("/runs/{run}/screen")).await?))
    }

    /// Takes one picture, acknowledges it, and says when its pixels were taken. Where nothing changes there is none:
    /// then it is the time of the last one.
    async fn draw(&mut self) -> Result<f64, BenchError> {
        loop {
            let message = timeout(WITHIN, self.0.next()).await;
            let message = message.map_err(BenchError::during("waiting for a picture"))?;
            let Some(message) = message else {
                return Err(BenchError::Unexpected("the live screen was closed".to_owned()));
            };
            let message = message.map_err(BenchError::during("reading the live screen"))?;
            if let Message::Binary(bytes) = message {
                let update = Update::decode(&bytes).map_err(BenchError::during("reading a picture"))?;
                let drawn = ViewerMessage::Acknowledge { sequence: update.sequence };
                let drawn = serde_json::to_string(&drawn).map_err(BenchError::during("acknowledging"))?;
                self.0.send(Message::text(drawn)).await.map_err(BenchError::during("acknowledging"))?;
                return Ok(update.taken_ms);
            }
        }
    }
}
