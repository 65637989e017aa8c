//! What waiting for the screen costs after an action: the time between the last change and the end of the wait, and
//! how often the wait ended too early.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use nightshift_screen::{Button, Clicks, DamageReceiver, Gesture, Point, Rect};
use nightshift_supervisor::Desk;
use tokio::time::Instant;

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::benches::sandbox::SUMMARY;
use crate::ground::{Ground, end, say};

const LOST: &str = "settle_lost_ms";
const WAITED: &str = "settle_ms";
const EARLY: &str = "early_percent";

const MEASURES: &[Measure] = &[
    Measure {
        name: LOST,
        about: "from the last change to the end of the wait",
        unit: "ms",
        bar: Some(Bar::AtMost(80.0)),
    },
    Measure { name: WAITED, about: "from the action to the end of the wait", unit: "ms", bar: None },
    Measure {
        name: EARLY,
        about: "waits that ended before the last change",
        unit: "%",
        bar: Some(Bar::AtMost(0.0)),
    },
];

/// How long it is watched whether the screen still changes after the wait.
const AFTER: Duration = Duration::from_millis(2_000);
/// The panel's clock changes when it wants to.
const CLOCK: (u32, u32, u32, u32) = (1_190, 756, 90, 44);

/// See the module.
pub(crate) struct Action;

#[async_trait]
impl Bench for Action {
    fn name(&self) -> &'static str {
        "action"
    }

    fn about(&self) -> &'static str {
        "time lost after the last change an action makes on the screen, until it counts as settled"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let template = ground.template().await?;
        let (desk, _facts) = ground.clone_of(&template).await?;
        let mut samples = Samples::default();
        // What a cold translation cache costs is no part of how well the wait is tuned.
        for gesture in gestures()? {
            act(&desk, gesture).await?;
        }
        for round in 1..=ground.samples() {
            say(&format!("round {round} of {}", ground.samples()));
            for gesture in gestures()? {
                let outcome = act(&desk, gesture).await?;
                samples.add_time(WAITED, outcome.waited);
                samples.add(EARLY, if outcome.early { 100.0 } else { 0.0 });
                if let Some(lost) = outcome.lost {
                    samples.add_time(LOST, lost);
                }
            }
        }
        end(desk).await?;
        Ok(samples)
    }
}

/// Actions that change a page, the browser around it, and a text field; in the end all is as before.
fn gestures() -> Result<Vec<Gesture>, BenchError> {
    let key = |chord: &str| {
        chord.parse().map(|chord| Gesture::key(&chord)).map_err(BenchError::during("naming a key"))
    };
    let click = |point| Gesture::click(point, Button::Left, Clicks::Single);
    Ok(vec![
        click(SUMMARY),
        click(SUMMARY),
        key("ctrl+l")?,
        Gesture::text("nightshift").map_err(BenchError::during("typing"))?,
        key("Escape")?,
        key("Escape")?,
        // The search field of the browser, over the page, and away again.
        key("ctrl+f")?,
        key("Escape")?,
        click(Point::new(640, 700)),
    ])
}

struct Outcome {
    waited: Duration,
    /// `None` when nothing changed.
    lost: Option<Duration>,
    early: bool,
}

async fn act(desk: &Desk, gesture: Gesture) -> Result<Outcome, BenchError> {
    let changes = Arc::new(Mutex::new(Vec::new()));
    let watch = tokio::spawn(note(desk.screen.damage(), Arc::clone(&changes)));
    let mut damage = desk.screen.damage();
    let began = Instant::now();
    desk.screen.perform(gesture).await.map_err(BenchError::during("doing an action"))?;
    desk.settle(&mut damage).await.map_err(BenchError::during("waiting for the screen"))?;
    let settled = Instant::now();
    tokio::time::sleep(AFTER).await;
    watch.abort();
    let changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
    let before = changes.iter().rfind(|at| **at <= settled);
    Ok(Outcome {
        waited: settled - began,
        lost: before.map(|last| settled - *last),
        early: changes.iter().any(|at| *at > settled),
    })
}

/// Notes when the screen changes, but for the clock.
async fn note(mut damage: DamageReceiver, changes: Arc<Mutex<Vec<Instant>>>) {
    let (x, y, width, height) = CLOCK;
    let clock = Rect::new(x, y, width, height);
    while let Ok(change) = damage.next().await {
        if clock.is_none_or(|clock| !clock.contains(change.rect)) {
            changes.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
    }
}
