//! How late and how often a person sees what a sandbox draws, beside noVNC; and what a viewer costs that stops reading.
//!
//! ```text
//!                          ┌─ D-Bus display ─▶ owner ─ WebSocket ─▶ the app's canvas ─┐
//!  guest: drawing.py ─▶ QEMU                                                          ├─ tests/ui/live-view.mjs
//!  (each change has its    └─ VNC ─────────▶ bridge ─ WebSocket ─▶ noVNC's canvas ────┘  reads the time off it
//!   time in it)
//! ```
//!
//! One machine, one browser, one way of looking at a canvas. The two viewers take turns, each alone and for a whole round
//! of the drawing, and a ratio is that of two neighbours. What the guest's clock is off by is measured and taken off.

mod guest_clock;
mod stalled;
mod vnc;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::{RunId, SandboxId};
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde::Deserialize;
use serde_json::json;

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::benches::ui::{browser, checkout};
use crate::ground::{Ground, say};
use crate::owner::Owner;

const SMALL: &str = "small_change_ms";
const SMALL_NOVNC: &str = "novnc_small_change_ms";
const SMALL_RATIO: &str = "small_change_novnc_ratio";
const OWN: &str = "small_change_own_ms";
const CLOCK: &str = "clock_uncertainty_ms";
const FULL: &str = "full_change_fps";
const FULL_NOVNC: &str = "novnc_full_change_fps";
const FULL_RATIO: &str = "full_change_novnc_ratio";
const DRAWN: &str = "full_change_drawn_fps";
const DRAWN_NOVNC: &str = "novnc_full_change_drawn_fps";
const GROWTH: &str = "stalled_growth_mb";
const CATCH_UP: &str = "catch_up_ms";

const MEASURES: &[Measure] = &[
    Measure { name: SMALL, about: "guest to canvas, small change", unit: "ms", bar: Some(Bar::AtMost(12.0)) },
    Measure { name: SMALL_NOVNC, about: "the same in noVNC", unit: "ms", bar: None },
    Measure { name: SMALL_RATIO, about: "noVNC's / ours", unit: "times", bar: Some(Bar::AtLeast(2.0)) },
    Measure { name: OWN, about: "of ours, from pixels taken to canvas", unit: "ms", bar: None },
    Measure { name: CLOCK, about: "of both, what they may be too large by", unit: "ms", bar: None },
    Measure { name: FULL, about: "whole screens shown", unit: "1/s", bar: Some(Bar::AtLeast(30.0)) },
    Measure { name: FULL_NOVNC, about: "the same in noVNC", unit: "1/s", bar: None },
    Measure { name: FULL_RATIO, about: "ours / noVNC's", unit: "times", bar: Some(Bar::AtLeast(1.5)) },
    Measure { name: DRAWN, about: "whole screens the guest drew meanwhile", unit: "1/s", bar: None },
    Measure { name: DRAWN_NOVNC, about: "the same while noVNC showed them", unit: "1/s", bar: None },
    Measure {
        name: GROWTH,
        about: "owner's growth, viewer stalled 10 s",
        unit: "MB",
        bar: Some(Bar::AtMost(8.0)),
    },
    Measure { name: CATCH_UP, about: "newest picture after that", unit: "ms", bar: Some(Bar::AtMost(200.0)) },
];

const DRAWING: &str = include_str!("live_view/drawing.py");

/// How long the run may take until its program draws.
const DRAWS_WITHIN: Duration = Duration::from_secs(120);

/// See the module.
pub(crate) struct LiveView;

#[async_trait]
impl Bench for LiveView {
    fn name(&self) -> &'static str {
        "live-view"
    }

    fn about(&self) -> &'static str {
        "a sandbox's screen in the app: how late, how many, beside noVNC; a viewer that stops reading"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        // Made before, so that the run does not wait for it.
        ground.template().await?;
        // Short, because sockets live below it.
        let home = tempfile::Builder::new().prefix("nsb").tempdir_in("/tmp");
        let home = home.map_err(BenchError::io("making a home"))?;
        let model = ScriptedModel::start(script()?).await;
        let path = vnc::path_to_qemu_that_serves_vnc(home.path(), ground.qemu(), ground.path())?;
        let owner = Owner::start(
            home.path(),
            &[
                ("PATH", path),
                ("NIGHTSHIFT_UI", checkout().join("ui/dist").into()),
                ("ANTHROPIC_BASE_URL", model.base_url().into()),
                ("ANTHROPIC_API_KEY", "scripted".into()),
            ],
        )
        .await?;
        let repository = suite::small_repository(home.path());
        let (run, sandbox) = submit(&owner, &repository).await?;
        let folder = home.path().join("sandboxes").join(sandbox.as_str());
        let measured = measure(ground, &owner, &run, &folder).await;
        // Its machine ends with it, whatever happened.
        let cancelled = owner.post(&format!("/runs/{run}/cancel"), &json!({})).await;
        owner.until(&run, DRAWS_WITHIN, |summary| summary.sandbox.is_none()).await?;
        owner.end().await?;
        cancelled?;
        measured
    }
}

async fn measure(ground: &Ground, owner: &Owner, run: &RunId, machine: &Path) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    say("the sandbox's clock is compared with this machine's");
    let before = guest_clock::read(owner, run).await?;
    let bridge = vnc::Bridge::open(machine).await?;
    let rounds = ground.samples();
    say(&format!("the app and noVNC take turns, {rounds} times: half a minute each time"));
    let arguments = [owner.window().await?, run.to_string(), bridge.url(), rounds.to_string()];
    let seen: Seen = browser("live-view.mjs", &arguments).await?;
    let after = guest_clock::read(owner, run).await?;
    for clock in [before, after] {
        samples.add(CLOCK, clock.width());
    }
    // Whatever it was meanwhile, no change is counted as seen earlier than it was.
    let ahead_ms = before.or(after).most;
    for round in seen.rounds {
        round.add_to(&mut samples, ahead_ms)?;
    }
    for _ in 0..rounds.min(3) {
        say("a viewer reads, stops for ten seconds, and goes on");
        let stall = stalled::stall(owner, run).await?;
        samples.add(GROWTH, stall.growth_mb);
        samples.add_time(CATCH_UP, stall.catch_up);
    }
    Ok(samples)
}

/// The host's clock, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "compared with stamps that another process or the guest made")]
fn host_ms() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64() * 1_000.0)
}

/// What the browser saw.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Seen {
    rounds: Vec<Round>,
}

/// What it saw of one round of the drawing in either viewer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Round {
    app: Viewed,
    novnc: Viewed,
}

/// What it saw in one viewer. Times of changes are by the guest's clock and ours.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewed {
    small_ms: Vec<f64>,
    own_ms: Vec<f64>,
    full_shown: f64,
    full_drawn: f64,
    full_seconds: f64,
}

impl Round {
    /// Adds the round: the medians of its small changes, its rates of whole screens, and how the viewers compare. The
    /// guest's clock was `ahead_ms` ahead.
    fn add_to(self, samples: &mut Samples, ahead_ms: f64) -> Result<(), BenchError> {
        let (app, novnc) = (self.app.figures("the app", ahead_ms)?, self.novnc.figures("noVNC", ahead_ms)?);
        for (name, value) in [
            (SMALL, app.small_ms),
            (SMALL_NOVNC, novnc.small_ms),
            (SMALL_RATIO, novnc.small_ms / app.small_ms),
            (FULL, app.shown),
            (FULL_NOVNC, novnc.shown),
            (FULL_RATIO, app.shown / novnc.shown),
            (DRAWN, app.drawn),
            (DRAWN_NOVNC, novnc.drawn),
        ] {
            samples.add(name, value);
        }
        if let Some(own) = app.own_ms {
            samples.add(OWN, own);
        }
        Ok(())
    }
}

/// One viewer in one round.
struct Figures {
    small_ms: f64,
    own_ms: Option<f64>,
    /// Whole screens in a second.
    shown: f64,
    drawn: f64,
}

impl Viewed {
    fn figures(self, viewer: &str, ahead_ms: f64) -> Result<Figures, BenchError> {
        // A change cannot be seen before it was made; then the clocks were not compared.
        let small_ms = median(self.small_ms).map(|late| late + ahead_ms);
        let small_ms = small_ms
            .filter(|late| *late > 0.0 && self.full_seconds > 0.0 && self.full_shown > 0.0)
            .ok_or_else(|| BenchError::Unexpected(format!("{viewer} showed too little to measure it")))?;
        let a_second = |count: f64| count / self.full_seconds;
        Ok(Figures {
            small_ms,
            own_ms: median(self.own_ms),
            shown: a_second(self.full_shown),
            drawn: a_second(self.full_drawn),
        })
    }
}

/// The middle of at least five values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    if values.len() < 5 { None } else { values.get(values.len() / 2).copied() }
}

/// The model starts the drawing, and then thinks for longer than the bench takes.
fn script() -> Result<Script, BenchError> {
    let start = format!(
        "cat >/tmp/drawing.py <<'END'\n{DRAWING}\nEND\nDISPLAY=:0 setsid python3 /tmp/drawing.py >/tmp/drawing.log 2>&1 </dev/null &\nsleep 2; cat /tmp/drawing.log"
    );
    let script = json!({"turns": [
        {"calls": [{"tool": "shell", "input": {"command": start}}]},
        {"say": "It draws.", "delayMs": 3_600_000},
    ]});
    Script::parse(&script.to_string()).map_err(|error| BenchError::Unexpected(error.to_string()))
}

/// Returns when the program draws.
async fn submit(owner: &Owner, repository: &Path) -> Result<(RunId, SandboxId), BenchError> {
    let run = owner.submit("Draw", repository).await?;
    let summary = owner.until(&run, DRAWS_WITHIN, |summary| summary.steps > 0).await?;
    let sandbox =
        summary.sandbox.ok_or_else(|| BenchError::Unexpected("the run has no sandbox".to_owned()))?;
    Ok((run, sandbox))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn viewed(small: f64, shown: f64) -> Viewed {
        Viewed {
            small_ms: vec![small; 9],
            own_ms: vec![small / 2.0; 9],
            full_shown: shown,
            full_drawn: 240.0,
            full_seconds: 8.0,
        }
    }

    #[test]
    fn a_round_is_two_medians_and_two_rates_and_how_they_compare() {
        let mut samples = Samples::default();
        let round = Round { app: viewed(10.0, 240.0), novnc: viewed(30.0, 120.0) };
        round.add_to(&mut samples, 0.0).unwrap();
        assert_eq!(
            [SMALL, SMALL_NOVNC, SMALL_RATIO, OWN].map(|name| samples.of(name)[0]),
            [10.0, 30.0, 3.0, 5.0]
        );
        assert_eq!(
            [FULL, FULL_NOVNC, FULL_RATIO, DRAWN].map(|name| samples.of(name)[0]),
            [30.0, 15.0, 2.0, 30.0]
        );
    }

    #[test]
    fn what_the_guests_clock_is_off_by_is_taken_off_both_but_not_off_our_own_part() {
        let mut samples = Samples::default();
        let round = Round { app: viewed(110.0, 240.0), novnc: viewed(130.0, 240.0) };
        round.add_to(&mut samples, -100.0).unwrap();
        assert_eq!(
            [SMALL, SMALL_NOVNC, SMALL_RATIO, OWN].map(|name| samples.of(name)[0]),
            [10.0, 30.0, 3.0, 55.0]
        );
    }

    #[test]
    fn a_viewer_that_showed_next_to_nothing_is_no_result() {
        let few = Viewed { small_ms: vec![1.0; 4], ..viewed(1.0, 240.0) };
        let no_screens = Viewed { full_shown: 0.0, ..viewed(1.0, 240.0) };
        let before_it_was_made = viewed(-3.0, 240.0);
        for none in [few, no_screens, before_it_was_made] {
            for round in [
                Round { app: none.clone(), novnc: viewed(1.0, 240.0) },
                Round { app: viewed(1.0, 240.0), novnc: none.clone() },
            ] {
                let mut samples = Samples::default();
                assert!(round.add_to(&mut samples, 0.0).is_err());
                assert_eq!(samples, Samples::default());
            }
        }
    }

    #[test]
    fn the_browsers_line_names_both_viewers() {
        let viewer = r#"{"smallMs":[1],"ownMs":[],"fullShown":2,"fullDrawn":3,"fullSeconds":4}"#;
        let line = format!(r#"{{"rounds":[{{"app":{viewer},"novnc":{viewer}}}]}}"#);
        let seen: Seen = serde_json::from_str(&line).unwrap();
        let expected = Viewed {
            small_ms: vec![1.0],
            own_ms: vec![],
            full_shown: 2.0,
            full_drawn: 3.0,
            full_seconds: 4.0,
        };
        assert_eq!(seen.rounds, [Round { app: expected.clone(), novnc: expected }]);
    }

    #[test]
    fn the_models_script_is_one() {
        assert_eq!(script().unwrap().turns.len(), 2);
    }
}
