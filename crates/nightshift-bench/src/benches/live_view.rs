//! How late and how often a person sees what a sandbox draws, and what a viewer costs that stops reading.
//!
//! ```text
//!  guest: drawing.py ─▶ QEMU ─ D-Bus display ─▶ owner ─▶ WebSocket ─▶ the app's canvas
//!  (each change has its time)                            tests/ui/live-view.mjs reads the time off it
//! ```
//!
//! The guest's clock was set by the owner over the channel and is behind by what that took, so that what is measured is
//! never too little.

mod stalled;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::{RunId, RunState, RunSummary, SubmitReply};
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde::Deserialize;
use serde_json::json;

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::benches::ui::{browser, checkout};
use crate::ground::{Ground, say};
use crate::owner::Owner;

const SMALL: &str = "small_change_ms";
const OWN: &str = "small_change_own_ms";
const FULL: &str = "full_change_fps";
const DRAWN: &str = "full_change_drawn_fps";
const GROWTH: &str = "stalled_growth_mb";
const CATCH_UP: &str = "catch_up_ms";

const MEASURES: &[Measure] = &[
    Measure { name: SMALL, about: "guest to canvas, small change", unit: "ms", bar: Some(Bar::AtMost(12.0)) },
    Measure { name: OWN, about: "of it, from pixels taken to canvas", unit: "ms", bar: None },
    Measure { name: FULL, about: "whole screens shown", unit: "1/s", bar: Some(Bar::AtLeast(30.0)) },
    Measure { name: DRAWN, about: "whole screens the guest drew meanwhile", unit: "1/s", bar: None },
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
        "a sandbox's screen in the app: how late, how many; a viewer that stops reading"
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
        let owner = Owner::start(
            home.path(),
            &[
                ("NIGHTSHIFT_UI", checkout().join("ui/dist").into()),
                ("ANTHROPIC_BASE_URL", model.base_url().into()),
                ("ANTHROPIC_API_KEY", "scripted".into()),
            ],
        )
        .await?;
        let repository = suite::small_repository(home.path());
        let run = submit(&owner, &repository).await?;
        let measured = measure(ground, &owner, &run).await;
        // Its machine ends with it, whatever happened.
        let cancelled = owner.post(&format!("/runs/{run}/cancel"), &json!({})).await;
        until(&owner, &run, |summary| summary.sandbox.is_none()).await?;
        owner.end().await?;
        cancelled?;
        measured
    }
}

async fn measure(ground: &Ground, owner: &Owner, run: &RunId) -> Result<Samples, BenchError> {
    let mut samples = Samples::default();
    let rounds = ground.samples().min(3);
    for round in 1..=rounds {
        say(&format!("round {round} of {rounds}: half a minute"));
        let window = owner.window().await?;
        let arguments = [window, run.to_string()];
        let seen: Viewed = browser("live-view.mjs", &arguments).await?;
        seen.add_to(&mut samples)?;
    }
    for _ in 0..rounds {
        say("a viewer reads, stops for ten seconds, and goes on");
        let stall = stalled::stall(owner, run).await?;
        samples.add(GROWTH, stall.growth_mb);
        samples.add_time(CATCH_UP, stall.catch_up);
    }
    Ok(samples)
}

/// What the browser saw.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewed {
    small_ms: Vec<f64>,
    own_ms: Vec<f64>,
    full_shown: f64,
    full_drawn: f64,
    full_seconds: f64,
}

impl Viewed {
    /// Adds this round: the median of its small changes, and its rates of whole screens.
    fn add_to(self, samples: &mut Samples) -> Result<(), BenchError> {
        let small = median(self.small_ms)
            .filter(|_| self.full_seconds > 0.0)
            .ok_or_else(|| BenchError::Unexpected("the viewer showed too little to measure it".to_owned()))?;
        samples.add(SMALL, small);
        if let Some(own) = median(self.own_ms) {
            samples.add(OWN, own);
        }
        samples.add(FULL, self.full_shown / self.full_seconds);
        samples.add(DRAWN, self.full_drawn / self.full_seconds);
        Ok(())
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

async fn submit(owner: &Owner, repository: &Path) -> Result<RunId, BenchError> {
    let task = json!({ "description": "Draw", "repository": repository.to_string_lossy() });
    let answer = owner.post("/tasks", &task).await?;
    let reply: SubmitReply =
        serde_json::from_slice(&answer).map_err(BenchError::during("reading the run"))?;
    until(owner, &reply.run, |summary| summary.steps > 0).await?;
    Ok(reply.run)
}

/// Waits until the run is as wanted; one that failed never will be.
async fn until(owner: &Owner, run: &RunId, wanted: impl Fn(&RunSummary) -> bool) -> Result<(), BenchError> {
    #[derive(Deserialize)]
    struct Detail {
        summary: RunSummary,
    }
    let deadline = tokio::time::Instant::now() + DRAWS_WITHIN;
    loop {
        let answer = owner.get(&format!("/runs/{run}")).await?;
        let detail: Detail =
            serde_json::from_slice(&answer).map_err(BenchError::during("reading the run's state"))?;
        if wanted(&detail.summary) {
            return Ok(());
        }
        if let RunState::Failed { reason, .. } = &detail.summary.state {
            return Err(BenchError::Unexpected(format!("the run failed: {reason:?}")));
        }
        if tokio::time::Instant::now() > deadline {
            return Err(BenchError::Unexpected("the run is not where it should be".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
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
    fn a_round_is_its_median_and_its_rates() {
        let mut samples = Samples::default();
        viewed(10.0, 240.0).add_to(&mut samples).unwrap();
        assert_eq!([SMALL, OWN, FULL, DRAWN].map(|name| samples.of(name)[0]), [10.0, 5.0, 30.0, 30.0]);
    }

    #[test]
    fn a_viewer_that_showed_next_to_nothing_is_no_result() {
        let none = Viewed {
            small_ms: vec![1.0; 4],
            own_ms: Vec::new(),
            full_shown: 0.0,
            full_drawn: 0.0,
            full_seconds: 0.0,
        };
        let mut samples = Samples::default();
        assert!(none.add_to(&mut samples).is_err());
        assert_eq!(samples, Samples::default());
    }

    #[test]
    fn the_models_script_is_one() {
        assert_eq!(script().unwrap().turns.len(), 2);
    }
}
