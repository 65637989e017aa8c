//! A VNC server as the source of pictures and the way to mouse and keyboard, for hosts that have only VNC (RFC 6143).
//!
//! Only the Raw encoding is asked for: it costs the server no time, and the stream stays on the host or in a tunnel.
//! RFB names no end of an update, so the first picture, and each after a change of size, is complete when as many
//! pixels have come as it has; after that every rectangle is a change of its own. The server sends a change only when
//! it was asked for, so one request is always under way.
//!
//! ```text
//!   server ──rectangles──▶ vnc-rs ──events──▶ Assembly ──picture, changes──▶ keeper
//!          ◀──requests, input── task ◀──device events── player
//! ```

mod assembly;
mod hand;

use std::time::Duration;

use ::vnc::{PixelFormat, VncClient, VncConnector, VncEncoding, VncError, VncEvent};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use self::assembly::Assembly;
use self::hand::{Hand, NotInProtocol};
use crate::input::DeviceEvent;
use crate::source::SourceEvent;

/// The longest wait for the server's greeting.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The time between two requests: servers collect changes for about as long (QEMU: 30 ms).
const REQUEST_EVERY: Duration = Duration::from_millis(15);

/// The VNC server could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum VncAttachError {
    /// It does not speak RFB, wants a password, or closed the connection.
    #[error("the VNC server does not let us in: {why}")]
    Refused {
        /// What the protocol's library says.
        why: String,
    },
    /// It did not answer.
    #[error("the VNC server did not answer within {} s", ANSWER_WITHIN.as_secs())]
    TimedOut,
}

/// A device was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellError {
    #[error(transparent)]
    NotInProtocol(#[from] NotInProtocol),
    #[error("the connection to the VNC server has ended")]
    Closed,
}

/// What the task is asked to tell the server.
struct Told {
    event: DeviceEvent,
    done: oneshot::Sender<Result<(), TellError>>,
}

/// The way to mouse and keyboard.
#[derive(Debug)]
pub(crate) struct Devices {
    told: mpsc::Sender<Told>,
}

impl Devices {
    pub(crate) fn closed(&self) -> bool {
        self.told.is_closed()
    }

    /// Sends an event. RFB has no answer to it.
    pub(crate) async fn tell(&self, event: DeviceEvent) -> Result<(), TellError> {
        let (done, outcome) = oneshot::channel();
        self.told.send(Told { event, done }).await.map_err(|_| TellError::Closed)?;
        outcome.await.map_err(|_| TellError::Closed)?
    }
}

/// Greets the server and starts the task that reports what it shows.
pub(crate) async fn attach<S>(stream: S, say: mpsc::Sender<SourceEvent>) -> Result<Devices, VncAttachError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    let greeted = tokio::time::timeout(ANSWER_WITHIN, greet(stream)).await;
    let client = greeted
        .map_err(|_| VncAttachError::TimedOut)?
        .map_err(|error| VncAttachError::Refused { why: error.to_string() })?;
    let (told, requests) = mpsc::channel(1);
    tokio::spawn(serve(client, say, requests));
    Ok(Devices { told })
}

async fn greet<S>(stream: S) -> Result<VncClient, VncError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
{
    // A server that wants a password is refused: the sockets we are given are private ones.
    VncConnector::<S, std::future::Ready<Result<String, VncError>>>::new(stream)
        .add_encoding(VncEncoding::Raw)
        .add_encoding(VncEncoding::DesktopSizePseudo)
        .set_pixel_format(PixelFormat::bgra())
        .allow_shared(true)
        .build()?
        .try_start()
        .await?
        .finish()
}

async fn serve(client: VncClient, say: mpsc::Sender<SourceEvent>, mut told: mpsc::Receiver<Told>) {
    let mut assembly = Assembly::new();
    let mut hand = Hand::default();
    let mut every = interval(REQUEST_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let why = loop {
        // The client locks itself while it waits for an event: only one branch may speak to it at a time.
        tokio::select! {
            event = client.recv_event() => {
                let said = match event {
                    Ok(VncEvent::Error(error)) => Err(error),
                    Ok(event) => assembly.handle(event).map_err(|refused| refused.to_string()),
                    Err(error) => Err(error.to_string()),
                };
                match said {
                    Ok(None) => {}
                    Ok(Some(event)) => {
                        if say.send(event).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => break format!("the VNC server's connection ended: {error}"),
                }
            }
            request = told.recv() => match request {
                Some(Told { event, done }) => {
                    let outcome = tell(&client, &mut hand, event).await;
                    // Whoever asked may have stopped waiting.
                    let _unheard = done.send(outcome);
                }
                // The screen is gone, and its keeper with it.
                None => return,
            },
            _ = every.tick() => {
                if let Some(request) = assembly.request()
                    && let Err(error) = client.input(request).await
                {
                    break format!("the VNC server's connection ended: {error}");
                }
            }
        }
    };
    let _nobody_listens = say.send(SourceEvent::Ended(why)).await;
}

async fn tell(client: &VncClient, hand: &mut Hand, event: DeviceEvent) -> Result<(), TellError> {
    for message in hand.play(event)? {
        client.input(message).await.map_err(|_| TellError::Closed)?;
    }
    Ok(())
}
