//! Plays gestures to the guest, one after the other.

use tokio::sync::{mpsc, oneshot, watch};

use super::gesture::{Gesture, GestureRefused, NotOnKeyboard, Step, releases};
use super::keys::KeyError;
use crate::activity::Ended;
use crate::dbus::Devices;
use crate::geometry::{OutOfScreen, Point};

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
        source: zbus::Error,
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

/// A gesture to be played, and where to answer.
pub(crate) struct Performance {
    gesture: Gesture,
    done: oneshot::Sender<Result<(), InputError>>,
}

/// The way to the task that plays gestures.
#[derive(Debug, Clone)]
pub(crate) struct Player {
    performances: mpsc::Sender<Performance>,
    pointer: watch::Receiver<Option<Point>>,
}

impl Player {
    /// Starts the task; it ends when the last player is dropped.
    pub(crate) fn start(devices: Devices) -> Self {
        // Gestures come from one agent or one person; a few in flight are plenty, and senders wait.
        let (performances, queue) = mpsc::channel(4);
        let (moved, pointer) = watch::channel(None);
        tokio::spawn(play_all(devices, queue, moved));
        Self { performances, pointer }
    }

    /// Where the pointer was last moved to.
    pub(crate) fn pointer(&self) -> Option<Point> {
        *self.pointer.borrow()
    }

    /// Plays a gesture to its end, even when the returned future is dropped before.
    pub(crate) async fn perform(&self, gesture: Gesture) -> Result<(), InputError> {
        let gone = || Ended { why: "the task that plays input has stopped".to_owned() };
        let (done, outcome) = oneshot::channel();
        self.performances.send(Performance { gesture, done }).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }
}

async fn play_all(
    devices: Devices,
    mut queue: mpsc::Receiver<Performance>,
    moved: watch::Sender<Option<Point>>,
) {
    while let Some(Performance { gesture, done }) = queue.recv().await {
        let outcome = play(&devices, gesture.steps(), &moved).await;
        // Whoever asked may have stopped waiting.
        let _unheard = done.send(outcome);
    }
}

async fn play(
    devices: &Devices,
    steps: &[Step],
    moved: &watch::Sender<Option<Point>>,
) -> Result<(), InputError> {
    for (index, step) in steps.iter().enumerate() {
        if let Err(source) = devices.apply(*step).await {
            for release in releases(&steps[..=index]) {
                // One that fails must not keep the others from being released.
                let _failed = devices.apply(release).await;
            }
            return Err(match devices.closed() {
                true => Ended { why: "the machine closed its display".to_owned() }.into(),
                false => InputError::NotTaken { step: index + 1, of: steps.len(), source },
            });
        }
        if let Step::Move(point) = step {
            moved.send_replace(Some(*point));
        }
    }
    Ok(())
}
