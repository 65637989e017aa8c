//! What the app asks of an owner with a long history behind it: Home in a browser, lists, searches, and little while
//! nobody asks.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::Deserialize;

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, say};
use crate::history;
use crate::owner::Owner;

const HOME: &str = "home_interactive_ms";
const LIST: &str = "list_p95_ms";
const SEARCH: &str = "search_p95_ms";
const RESIDENT: &str = "owner_rss_mb";
const IDLE: &str = "owner_idle_cpu_percent";
const BUNDLE: &str = "bundle_kb";

const MEASURES: &[Measure] = &[
    Measure { name: HOME, about: "Home until it answers a key", unit: "ms", bar: Some(Bar::AtMost(1_000.0)) },
    Measure { name: LIST, about: "list of runs, 95th percentile", unit: "ms", bar: Some(Bar::AtMost(20.0)) },
    Measure { name: SEARCH, about: "search, 95th percentile", unit: "ms", bar: Some(Bar::AtMost(50.0)) },
    Measure { name: RESIDENT, about: "owner's memory while idle", unit: "MB", bar: Some(Bar::AtMost(40.0)) },
    Measure { name: IDLE, about: "owner's processor while idle", unit: "%", bar: Some(Bar::AtMost(0.5)) },
    Measure { name: BUNDLE, about: "the first page, compressed", unit: "KB", bar: Some(Bar::AtMost(350.0)) },
];

/// Requests of each kind in one sample.
const REQUESTS: u32 = 100;

/// How long an owner is watched doing nothing.
const WATCHED: Duration = Duration::from_secs(10);

/// How long it is left alone before: it is idle when nobody asked it anything for half a minute, after which its
/// connections to the history are closed and what was free is given back.
const LEFT_ALONE: Duration = Duration::from_secs(40);

/// The lists that the app asks for, and one in the middle of the history.
const LISTS: [&str; 5] = [
    "/runs?limit=100",
    "/runs?state=unfinished&limit=100",
    "/runs?state=inReview,waiting,paused&limit=100",
    "/runs?state=merged&limit=100&cursor=500000",
    "/runs?text=toggle&limit=100",
];

/// See the module.
pub(crate) struct Ui;

#[async_trait]
impl Bench for Ui {
    fn name(&self) -> &'static str {
        "ui"
    }

    fn about(&self) -> &'static str {
        "Home, lists and searches with 10,000 tasks and 1,000,000 events in history; the owner while nobody asks"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        let home = history::prepare(ground.cache().to_owned()).await?;
        let owner = Owner::start(&home, &[("NIGHTSHIFT_UI", checkout().join("ui/dist").into())]).await?;
        let mut samples = Samples::default();
        for sample in 0..ground.samples() {
            let lists = (0..REQUESTS).map(|number| LISTS[number as usize % LISTS.len()].to_owned());
            samples.add(LIST, p95(&owner, lists).await?);
            let searches = (0..REQUESTS).map(|number| history::query(sample * REQUESTS + number));
            samples.add(SEARCH, p95(&owner, searches).await?);
        }
        let arguments = [owner.window().await?, ground.samples().to_string()];
        let seen: Seen = browser("measure.mjs", &arguments).await?;
        for (measure, values) in [(HOME, seen.home_interactive_ms), (BUNDLE, seen.bundle_kb)] {
            for value in values {
                samples.add(measure, value);
            }
        }
        // What was read and sent has left its traces in the owner's memory: it is the larger figure.
        tokio::time::sleep(LEFT_ALONE).await;
        for _ in 0..ground.samples().min(3) {
            let before = owner.processor_seconds()?;
            tokio::time::sleep(WATCHED).await;
            let used = owner.processor_seconds()? - before;
            samples.add(IDLE, used / WATCHED.as_secs_f64() * 100.0);
            samples.add(RESIDENT, owner.resident_mb()?);
        }
        say(&format!("the history is kept in {}", home.display()));
        owner.end().await?;
        Ok(samples)
    }
}

/// The checkout this program was built in: the browser's half of a bench is a script there.
pub(crate) fn checkout() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What the browser saw.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    home_interactive_ms: Vec<f64>,
    bundle_kb: Vec<f64>,
}

/// Runs a script of the folder `tests/ui` and reads the line it prints.
pub(crate) async fn browser<T: serde::de::DeserializeOwned>(
    script: &str,
    arguments: &[String],
) -> Result<T, BenchError> {
    let output = tokio::process::Command::new("node")
        .arg(checkout().join("tests/ui").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(BenchError::io("starting node for the browser"))?
        .wait_with_output()
        .await
        .map_err(BenchError::io("waiting for the browser"))?;
    if !output.status.success() {
        return Err(BenchError::Unexpected(format!("the browser's half ended: {}", output.status)));
    }
    serde_json::from_slice(&output.stdout).map_err(BenchError::during("reading what the browser saw"))
}

/// Asks one after the other and returns the 95th percentile in milliseconds.
async fn p95(owner: &Owner, paths: impl Iterator<Item = String> + Send) -> Result<f64, BenchError> {
    let mut took = Vec::new();
    for path in paths {
        let began = Instant::now();
        owner.get(&path).await?;
        took.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    percentile(took, 95).ok_or_else(|| BenchError::Unexpected("nothing was asked".to_owned()))
}

/// The smallest value that `percent` of all do not exceed.
fn percentile(mut values: Vec<f64>, percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(index).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(values, 95), Some(95.0));
        assert_eq!((percentile(vec![7.0], 95), percentile(vec![], 95)), (Some(7.0), None));
    }

    #[test]
    fn the_browsers_line_is_read_whole_or_refused() {
        let line = r#"{"homeInteractiveMs":[412,398],"bundleKb":[251,251]}"#;
        let seen: Seen = serde_json::from_str(line).unwrap();
        assert_eq!(seen, Seen { home_interactive_ms: vec![412.0, 398.0], bundle_kb: vec![251.0, 251.0] });
        assert!(serde_json::from_str::<Seen>(r#"{"bundleKb":[1]}"#).is_err());
    }

    #[test]
    fn the_browsers_half_is_in_the_checkout() {
        for script in ["measure.mjs", "live-view.mjs"] {
            assert!(checkout().join("tests/ui").join(script).is_file());
        }
    }
}
