//! A person's mouse and keyboard on their way into a sandbox.
//!
//! ```text
//!   viewer ─ input ─▶ waits here ─▶ Lease ─▶ sandbox
//!          ◀─ what was refused, the clipboard ─┘
//! ```
//!
//! What a person does is done by a task of its own: a guest that does not answer keeps what is done next waiting, and
//! nothing else. Pictures go on, whoever is gone is noticed, and what was taken over can be handed back.

use std::time::Duration;

use nightshift_api::{IDLE, Lease};
use nightshift_protocol::{ErrorCode, ScreenMessage, UserError, ViewerMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Clicks, keys and texts that wait for the guest at most.
const WAITING: usize = 256;

/// How long the guest is waited for to take what was done before mouse and keyboard are handed back.
const LAST_WITHIN: Duration = Duration::from_secs(3);

/// Mouse and keyboard, in the hands of the person at one viewer. Dropped, they are the agent's again.
pub(super) struct Hold {
    input: mpsc::Sender<ViewerMessage>,
    told: mpsc::Receiver<ScreenMessage>,
    note: oneshot::Sender<String>,
    handed_back: JoinHandle<Result<(), UserError>>,
    used: Instant,
}

/// So much waits for the guest that mouse and keyboard are of no use.
pub(super) struct Stuck;

impl Hold {
    /// Holds what was taken over.
    pub(super) fn new(lease: Lease) -> Self {
        let (input, comes) = mpsc::channel(WAITING);
        let (tells, told) = mpsc::channel(WAITING);
        let (note, ends) = oneshot::channel();
        let handed_back = tokio::spawn(serve(lease, comes, tells, ends));
        Self { input, told, note, handed_back, used: Instant::now() }
    }

    /// Whether the person has done nothing for so long that they have gone away.
    pub(super) fn is_idle(&self) -> bool {
        self.used.elapsed() > IDLE
    }

    /// Takes what the person did. While the guest is behind, the pointer is where it is told to be next.
    pub(super) fn take(&mut self, message: ViewerMessage) -> Result<(), Stuck> {
        self.used = Instant::now();
        if matches!(message, ViewerMessage::Pointer { .. }) && self.input.capacity() < WAITING / 2 {
            return Ok(());
        }
        self.input.try_send(message).map_err(|_| Stuck)
    }

    /// What the person is to be told of what they did; `None` when mouse and keyboard are no longer theirs.
    pub(super) async fn tells(&mut self) -> Option<ScreenMessage> {
        self.told.recv().await
    }

    /// Hands back what was taken over, after what was done before: the guest has some seconds for it.
    pub(super) async fn hand_back(self, note: &str) -> Result<(), UserError> {
        let Self { input, told, note: ends, handed_back, used: _ } = self;
        // Whoever hands back hears no more of what they did.
        drop((input, told));
        // It has ended by itself only if it panicked.
        let _ended = ends.send(note.to_owned());
        handed_back.await.unwrap_or_else(|_| {
            Err(UserError::new(
                ErrorCode::Internal,
                "mouse and keyboard were lost by a defect",
                "The agent goes on; take over again.",
            ))
        })
    }
}

async fn serve(
    mut lease: Lease,
    mut comes: mpsc::Receiver<ViewerMessage>,
    tells: mpsc::Sender<ScreenMessage>,
    mut ends: oneshot::Receiver<String>,
) -> Result<(), UserError> {
    let note = {
        let work = async {
            while let Some(message) = comes.recv().await {
                let outcome = match message {
                    ViewerMessage::GetClipboard => {
                        lease.clipboard().await.map(|text| Some(ScreenMessage::Clipboard { text }))
                    }
                    input => lease.input(&input).await.map(|()| None),
                };
                let told = outcome.unwrap_or_else(|error| Some(ScreenMessage::Refused { error }));
                if let Some(told) = told {
                    // Whoever does not read it is gone, or hands back.
                    let _unread = tells.try_send(told);
                }
            }
        };
        tokio::pin!(work);
        // A viewer that is gone leaves no note.
        tokio::select! {
            () = &mut work => ends.await.unwrap_or_default(),
            note = &mut ends => {
                let _or_not = tokio::time::timeout(LAST_WITHIN, &mut work).await;
                note.unwrap_or_default()
            }
        }
    };
    lease.hand_back(&note).await
}
