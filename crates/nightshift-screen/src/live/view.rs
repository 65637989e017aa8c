//! One viewer's way to the screen.

use std::time::SystemTime;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::encode;
use super::pacing::{Pacing, Plan, Seen, Step};
use super::wire::Update;
use crate::activity::{Activity, Condition};
use crate::screen::{FrameError, Screen};

/// Follows a screen for one viewer. Dropped, it costs nothing any more.
///
/// The work is done in a task of its own, so that waiting for [`Self::next`] may be given up and taken up again.
#[derive(Debug)]
pub struct LiveView {
    updates: mpsc::Receiver<Update>,
    acknowledged: watch::Sender<u32>,
    task: tokio::task::JoinHandle<()>,
}

impl LiveView {
    /// Begins with a whole frame. Must be called within a tokio runtime.
    pub fn new(screen: &Screen) -> Self {
        // One update waits to be taken; the next is not made before. Two are unacknowledged at most.
        let (say, updates) = mpsc::channel(1);
        let (acknowledged, acknowledgements) = watch::channel(0);
        let painter = Painter { screen: screen.clone(), activity: screen.activity(), acknowledgements };
        Self { updates, acknowledged, task: tokio::spawn(painter.run(say)) }
    }

    /// Waits for the next update; `None` when the screen has ended. While it is dark nothing comes.
    pub async fn next(&mut self) -> Option<Update> {
        self.updates.recv().await
    }

    /// Says that the viewer has drawn all updates up to this one.
    pub fn acknowledge(&self, sequence: u32) {
        self.acknowledged.send_if_modified(|known| {
            let newer = sequence > *known;
            *known = sequence.max(*known);
            newer
        });
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Painter {
    screen: Screen,
    activity: watch::Receiver<Activity>,
    acknowledgements: watch::Receiver<u32>,
}

impl Painter {
    async fn run(mut self, say: mpsc::Sender<Update>) {
        let (began, mut pacing) = (Instant::now(), Pacing::new());
        loop {
            pacing.acknowledge(*self.acknowledgements.borrow_and_update());
            let seen = match self.look(pacing.generation()) {
                Look::Ended => return,
                Look::Dark => {
                    pacing.forget();
                    None
                }
                Look::Lit(seen) => Some(seen),
            };
            let step = seen.map_or(Step::Wait, |seen| pacing.step(&seen, began.elapsed()));
            match step {
                Step::Send(plan) => match self.paint(plan).await {
                    Some(update) => {
                        if say.send(update).await.is_err() {
                            return;
                        }
                    }
                    // The screen went dark or changed its size in between: what was to be sent is no more.
                    None => pacing.forget(),
                },
                Step::WaitUntil(deadline) => {
                    let waited = self.wait();
                    if let Ok(Waited::Over) = tokio::time::timeout_at(began + deadline, waited).await {
                        return;
                    }
                }
                Step::Wait => {
                    if self.wait().await == Waited::Over {
                        return;
                    }
                }
            }
        }
    }

    fn look(&mut self, since: u64) -> Look {
        let activity = self.activity.borrow_and_update();
        match activity.condition() {
            Condition::Ended(_) => Look::Ended,
            Condition::Dark => Look::Dark,
            Condition::Lit(size) => Look::Lit(Seen {
                size: *size,
                generation: activity.generation(),
                changed: activity.rects_since(since),
            }),
        }
    }

    async fn wait(&mut self) -> Waited {
        let over = tokio::select! {
            changed = self.activity.changed() => changed.is_err(),
            acknowledged = self.acknowledgements.changed() => acknowledged.is_err(),
        };
        if over { Waited::Over } else { Waited::News }
    }

    async fn paint(&self, plan: Plan) -> Option<Update> {
        let mut frames = Vec::with_capacity(plan.rects.len());
        for rect in &plan.rects {
            match self.screen.region(*rect).await {
                Ok(frame) => frames.push(frame),
                Err(FrameError::Dark | FrameError::OutOfScreen(_) | FrameError::Ended(_)) => return None,
                Err(FrameError::TooLate { .. }) => return None,
            }
        }
        let taken_ms = now_ms();
        let small = frames.iter().map(|frame| frame.pixels().len()).sum::<usize>() <= INLINE;
        let encoded = if small {
            encode::update(&plan, &frames, taken_ms)
        } else {
            let work = move || encode::update(&plan, &frames, taken_ms);
            tokio::task::spawn_blocking(work).await.ok()?
        };
        encoded.inspect_err(|error| tracing::warn!(%error, "an update of the live screen is left out")).ok()
    }
}

/// Bytes of pixels that are encoded at once: it takes less time than to hand them to another thread.
const INLINE: usize = 64 * 1024;

/// For people who measure how late a picture is; nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "a stamp for the viewer; no decision depends on it")]
fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

enum Look {
    Lit(Seen),
    Dark,
    Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Waited {
    News,
    Over,
}
