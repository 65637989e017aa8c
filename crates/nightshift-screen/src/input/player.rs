//! Plays gestures to the guest, one after the other.
//!
//! QEMU says when it has taken an event, never when the guest has: events that a busy guest leaves in its queue
//! until the queue is full are lost without a word. So long gestures come in bursts, and after each the player
//! waits for the screen to change, which is a sign that the guest runs.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::devices::{DeviceError, Devices};
use super::gesture::{DeviceEvent, Gesture, GestureRefused, NotOnKeyboard, Step, releases};
use super::keys::KeyError;
use crate::activity::Ended;
use crate::damage::DamageReceiver;
use crate::geometry::{OutOfScreen, Point};

/// How long a guest that shows nothing of what is typed, as at a prompt for a password, is waited for.
const ECHO_WITHIN: Duration = Duration::from_secs(1);

/// Input was not, or not wholly, done.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The screen has no such place. Nothing was done.
    #[error(transparent)]
    OutOfScreen(#[from] OutOfScreen),
    /// The gesture is not made. Nothing was done.
    #[error(transparent)]
    Refused(#[from] GestureRefused),
    /// The text of a chord names no key. Nothing was done.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Nothing is shown, so places mean nothing. Nothing was done.
    #[error("the screen shows nothing yet, so it has no places to point at")]
    Dark,
    /// The other end has gone.
    #[error(transparent)]
    Ended(#[from] Ended),
    /// The machine refused a step or did not answer; what was pressed until then has been released.
    #[error("the machine did not take the input at step {step} of {of}")]
    NotTaken {
        /// Which step failed, counted from 1.
        step: usize,
        /// How many steps the gesture has.
        of: usize,
        /// What the machine answered.
        #[source]
        source: DeviceError,
    },
}

/// Text was not, or not wholly, typed.
#[derive(Debug, thiserror::Error)]
pub enum TypeError {
    /// It has characters without a key. Nothing was typed.
    #[error(transparent)]
    NotOnKeyboard(#[from] NotOnKeyboard),
    /// The keys could not be pressed.
    #[error(transparent)]
    Input(#[from] InputError),
}

/// What was done with the pointer through a screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PointerTrace {
    /// Where it was moved to last.
    pub at: Option<Point>,
    /// Where it was when a button was pressed last.
    pub pressed_at: Option<Point>,
    /// How often a button was pressed.
    pub presses: u64,
}

/// A gesture to be played, and where to answer.
pub(crate) struct Performance {
    gesture: Gesture,
    done: oneshot::Sender<Result<(), InputError>>,
}

/// The way to the task that plays gestures.
#[derive(Debug, Clone)]
pub(crate) struct Player {
    performances: mpsc::Sender<Performance>,
    traces: watch::Receiver<PointerTrace>,
}

impl Player {
    /// Starts the task; it ends when the last player is dropped.
    pub(crate) fn start(devices: Devices, echo: DamageReceiver) -> Self {
        // Gestures come from one agent or one person; a few in flight are plenty, and senders wait.
        let (performances, queue) = mpsc::channel(4);
        let (trace, traces) = watch::channel(PointerTrace::default());
        tokio::spawn(Hand { devices, echo, trace }.play_all(queue));
        Self { performances, traces }
    }

    /// Where the pointer was last moved to.
    pub(crate) fn pointer(&self) -> Option<Point> {
        self.traces.borrow().at
    }

    /// Follows what is done with the pointer.
    pub(crate) fn traces(&self) -> watch::Receiver<PointerTrace> {
        self.traces.clone()
    }

    /// Plays a gesture to its end, even when the returned future is dropped before: then what is held is let go at once.
    pub(crate) async fn perform(&self, gesture: Gesture) -> Result<(), InputError> {
        let gone = || Ended { why: "the task that plays input has stopped".to_owned() };
        let (done, outcome) = oneshot::channel();
        self.performances.send(Performance { gesture, done }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

/// What the task holds.
struct Hand {
    devices: Devices,
    echo: DamageReceiver,
    trace: watch::Sender<PointerTrace>,
}

impl Hand {
    async fn play_all(mut self, mut queue: mpsc::Receiver<Performance>) {
        while let Some(Performance { gesture, mut done }) = queue.recv().await {
            let outcome = self.play(gesture.steps(), &mut done).await;
            // Whoever asked may have stopped waiting.
            let _unheard = done.send(outcome);
        }
    }

    async fn play(
        &mut self,
        steps: &[Step],
        asker: &mut oneshot::Sender<Result<(), InputError>>,
    ) -> Result<(), InputError> {
        for (index, step) in steps.iter().enumerate() {
            match step {
                Step::Tell(event) => {
                    self.echo.forget();
                    if let Err(source) = self.devices.tell(*event).await {
                        self.let_go(&steps[..=index]).await;
                        return Err(if self.devices.closed() {
                            Ended { why: "the machine closed its display".to_owned() }.into()
                        } else {
                            InputError::NotTaken { step: index + 1, of: steps.len(), source }
                        });
                    }
                    match event {
                        DeviceEvent::Move(point) => self.trace.send_modify(|trace| trace.at = Some(*point)),
                        DeviceEvent::ButtonDown(_) => self.trace.send_modify(|trace| {
                            trace.pressed_at = trace.at;
                            trace.presses += 1;
                        }),
                        DeviceEvent::ButtonUp(_)
                        | DeviceEvent::WheelUp
                        | DeviceEvent::WheelDown
                        | DeviceEvent::KeyDown(_)
                        | DeviceEvent::KeyUp(_) => {}
                    }
                }
                Step::Pause(duration) => tokio::time::sleep(*duration).await,
                Step::Hold(duration) => {
                    let _time_is_over = tokio::time::timeout(*duration, asker.closed()).await;
                }
                Step::AwaitEcho => {
                    // Not everything typed is shown; and whether the screen has ended the next step will tell.
                    let _silent = tokio::time::timeout(ECHO_WITHIN, self.echo.next()).await;
                }
            }
        }
        Ok(())
    }

    /// Releases what `tried` left pressed. One that fails does not keep the others from being released.
    async fn let_go(&self, tried: &[Step]) {
        for release in releases(tried) {
            if let Err(error) = self.devices.tell(release).await {
                tracing::debug!(%error, ?release, "could not be released");
            }
        }
    }
}
