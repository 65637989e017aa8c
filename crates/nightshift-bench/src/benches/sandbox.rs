//! From the request for a sandbox to its first frame, its first answer and its first click; beside the two other ways
//! to the same desktop: booting it, and QEMU's own snapshot.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use nightshift_screen::{Button, Clicks, Point, Rect};
use nightshift_supervisor::Desk;

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, end, say};
use crate::savevm::Saved;

const FIRST_FRAME: &str = "clone_first_frame_ms";
const SHELL: &str = "clone_shell_ms";
const ALONE_FIRST_FRAME: &str = "without_spare_first_frame_ms";
const ALONE_SHELL: &str = "without_spare_shell_ms";
const CLICK: &str = "click_effect_ms";
const COLD_BOOT: &str = "cold_boot_ms";
const COLD_BOOT_RATIO: &str = "cold_boot_ratio";
const LOADVM: &str = "loadvm_ms";
const LOADVM_RATIO: &str = "loadvm_ratio";

const MEASURES: &[Measure] = &[
    Measure {
        name: FIRST_FRAME,
        about: "clone: request to first frame",
        unit: "ms",
        bar: Some(Bar::AtMost(350.0)),
    },
    Measure {
        name: SHELL,
        about: "clone: request to shell answer",
        unit: "ms",
        bar: Some(Bar::AtMost(600.0)),
    },
    Measure {
        name: CLICK,
        about: "clone: request to a click's effect",
        unit: "ms",
        bar: Some(Bar::AtMost(1500.0)),
    },
    Measure {
        name: ALONE_FIRST_FRAME,
        about: "the same without a spare clone at hand, to first frame",
        unit: "ms",
        bar: None,
    },
    Measure {
        name: ALONE_SHELL,
        about: "the same without a spare clone at hand, to shell answer",
        unit: "ms",
        bar: None,
    },
    Measure { name: COLD_BOOT, about: "cold boot to the same desktop", unit: "ms", bar: None },
    Measure {
        name: COLD_BOOT_RATIO,
        about: "cold boot / clone ready",
        unit: "times",
        bar: Some(Bar::AtLeast(60.0)),
    },
    Measure { name: LOADVM, about: "loadvm to first frame", unit: "ms", bar: None },
    Measure {
        name: LOADVM_RATIO,
        about: "loadvm / clone, to first frame",
        unit: "times",
        bar: Some(Bar::AtLeast(4.0)),
    },
];

/// The start page's one control, on a screen of 1280x800: a click opens what is below it, another closes it.
pub(crate) const SUMMARY: Point = Point::new(640, 386);
/// Where that opens.
const BELOW: (u32, u32, u32, u32) = (430, 415, 420, 200);
/// After that a click had no effect.
const CLICK_LIMIT: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Sandbox;

#[async_trait]
impl Bench for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn about(&self) -> &'static str {
        "clone of the template to first frame, shell answer and click; against cold boot and loadvm"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let template = ground.template().await?;
        let mut samples = Samples::default();
        say("saving a clone by savevm, to load it again later");
        let saved = Saved::save(ground, ground.clone_of(&template).await?.0).await?;
        for round in 1..=ground.samples() {
            say(&format!("round {round} of {}: clone, loadvm, cold boot", ground.samples()));
            let (desk, facts) = ground.clone_of(&template).await?;
            end(desk).await?;
            samples.add(ALONE_FIRST_FRAME, facts.first_frame_ms as f64);
            samples.add(ALONE_SHELL, facts.shell_ms as f64);

            ground.keep_spare(&template).await?;
            let began = Instant::now();
            let (desk, facts) = ground.clone_of(&template).await?;
            click(&desk).await?;
            samples.add_time(CLICK, began.elapsed());
            end(desk).await?;
            let (first_frame, ready) = (facts.first_frame_ms as f64, facts.ready_ms as f64);
            samples.add(FIRST_FRAME, first_frame);
            samples.add(SHELL, facts.shell_ms as f64);

            let began = Instant::now();
            let desk = saved.load(ground).await?;
            desk.screen.first_frame(CLICK_LIMIT).await.map_err(BenchError::during("waiting for a frame"))?;
            let loaded = began.elapsed();
            samples.add_time(LOADVM, loaded);
            samples.add(LOADVM_RATIO, loaded.as_secs_f64() * 1000.0 / first_frame);
            saved.unload(desk).await?;

            let began = Instant::now();
            let desk = ground.boot().await?;
            desk.screen.first_frame(CLICK_LIMIT).await.map_err(BenchError::during("waiting for a frame"))?;
            let booted = began.elapsed();
            samples.add_time(COLD_BOOT, booted);
            samples.add(COLD_BOOT_RATIO, booted.as_secs_f64() * 1000.0 / ready);
            end(desk).await?;
        }
        Ok(samples)
    }
}

/// Opens what the start page has folded, and returns when the page shows it.
async fn click(desk: &Desk) -> Result<(), BenchError> {
    let (x, y, width, height) = BELOW;
    let area =
        Rect::new(x, y, width, height).ok_or_else(|| BenchError::Unexpected("no such area".to_owned()))?;
    let look = async || desk.screen.region(area).await.map_err(BenchError::during("looking at the page"));
    let before = look().await?;
    let mut damage = desk.screen.damage();
    desk.screen
        .click(SUMMARY, Button::Left, Clicks::Single)
        .await
        .map_err(BenchError::during("clicking on the page"))?;
    let effect = async {
        loop {
            let change = damage.next().await.map_err(BenchError::during("watching the page"))?;
            if change.rect.overlaps(area) && look().await?.pixels() != before.pixels() {
                return Ok(());
            }
        }
    };
    tokio::time::timeout(CLICK_LIMIT, effect)
        .await
        .map_err(|_| BenchError::Unexpected("the click changed nothing on the page".to_owned()))?
}
