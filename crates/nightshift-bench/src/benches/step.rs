//! What a turn costs the owner itself: the time from the last byte of a model's answer to the last byte of the next
//! request, seen from the wire, with a model that answers at once and tools that do nothing.

pub(super) mod instant_model;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nightshift_protocol::{Limits, RunId, SubmitTask};
use nightshift_sandbox::Driver;
use nightshift_supervisor::NetworkSettings;
use nightshift_testing::host_sandbox::{HostDriver, SCREEN};
use suite::{Owner, small_repository, task};

use self::instant_model::{InstantModel, Turn};
use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, say};

const OWN: &str = "turn_own_p95_ms";
const GROWTH: &str = "growth_us_per_1k_tokens";
const RSS: &str = "long_run_rss_mb";
const REQUEST: &str = "max_request_mb";
const FIFTY: &str = "fifty_runs_p95_ms";
const SPREAD: &str = "fifty_runs_slowest_to_fastest";

const MEASURES: &[Measure] = &[
    Measure {
        name: OWN,
        about: "the owner's own time for a turn, 95th percentile, with 200,000 tokens of transcript",
        unit: "ms",
        bar: Some(Bar::AtMost(5.0)),
    },
    Measure {
        name: GROWTH,
        about: "what 1,000 more tokens of transcript add to a turn",
        unit: "µs",
        bar: Some(Bar::AtMost(10.0)),
    },
    Measure {
        name: RSS,
        about: "memory at its highest in a run of 400 turns with screenshots, sandbox and model included",
        unit: "MiB",
        bar: Some(Bar::AtMost(150.0)),
    },
    Measure {
        name: REQUEST,
        about: "the largest request of that run",
        unit: "MiB",
        bar: Some(Bar::AtMost(8.0)),
    },
    Measure {
        name: FIFTY,
        about: "the owner's own time for a turn, 95th percentile, with 50 runs at once",
        unit: "ms",
        bar: Some(Bar::AtMost(20.0)),
    },
    Measure {
        name: SPREAD,
        about: "turns of the run that got furthest to those of the one that got least far, of the 50",
        unit: "",
        bar: Some(Bar::AtMost(2.0)),
    },
];

/// Turns that are measured at a length of transcript.
const TURNS: usize = 100;
/// Tokens of the long transcript.
const LONG: usize = 200_000;
/// Turns of the long run.
const LONG_RUN: usize = 400;
const RUNS: usize = 50;
/// Turns of each of the 50 runs.
const TURNS_OF_EACH: usize = 40;
/// How often the 50 runs are measured.
const TIMES: usize = 5;
/// How long a part of the bench may take at most.
const WITHIN: Duration = Duration::from_secs(900);

const NO_LIMIT: Limits =
    Limits { turns: Limits::MOST_TURNS, tokens: u64::MAX, cost_microdollars: u64::MAX, seconds: u64::MAX };

/// See the module.
pub(crate) struct Step;

#[async_trait]
impl Bench for Step {
    fn name(&self) -> &'static str {
        "step"
    }

    fn about(&self) -> &'static str {
        "the owner's own time for a turn, its memory in a long run, and 50 runs at once"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, _: &Ground) -> Result<Samples, BenchError> {
        let mut samples = Samples::default();
        // The runs are driven by the runtime's own tasks; this one only waits, and may wait where it stands.
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                // First, so that nothing else is in the process's memory.
                long_run(&mut samples).await?;
                long_transcript(&mut samples).await?;
                fifty_runs(&mut samples).await
            })
        })?;
        Ok(samples)
    }
}

/// An owner over sandboxes of this host, with a model that answers at once.
struct Night {
    folder: tempfile::TempDir,
    driver: Arc<HostDriver>,
    model: InstantModel,
    owner: Owner,
}

impl Night {
    async fn begin(
        screen: (u32, u32),
        together: usize,
        answer: impl Fn(usize) -> Turn + Send + Sync + 'static,
    ) -> Result<Self, BenchError> {
        let folder = tempfile::Builder::new()
            .prefix("ns")
            .tempdir_in("/tmp")
            .map_err(BenchError::io("making a folder for the runs"))?;
        let model =
            InstantModel::start(together, answer).await.map_err(BenchError::io("starting the model"))?;
        let driver = Arc::new(HostDriver::new(folder.path().join("sandboxes"), screen));
        // A window in which nothing is summed up.
        let network = NetworkSettings::default();
        let owner = Owner::start(folder.path(), &driver, &model.base_url(), Some(1_000_000), network).await;
        Ok(Self { folder, driver, model, owner })
    }

    async fn submit(&self, number: usize) -> Result<RunId, BenchError> {
        let request = SubmitTask {
            attempts: 1,
            limits: NO_LIMIT.into(),
            ..task(&InstantModel::description(number), &small_repository(self.folder.path()))
        };
        Ok(self.owner.api.submit_task(request).await?.run)
    }

    /// Lets `runs` runs go on until each had `turns` turns, then gives them up.
    async fn play(&self, runs: usize, turns: usize) -> Result<(), BenchError> {
        let mut ids = Vec::new();
        for number in 0..runs {
            ids.push(self.submit(number).await?);
        }
        let waited = tokio::time::timeout(WITHIN, self.model.until(runs, turns)).await;
        let states = match waited {
            Ok(()) => None,
            Err(_) => Some(self.owner.api.run(ids[0].as_str()).await?.summary.state),
        };
        for id in ids {
            // One that has paused or failed meanwhile shows in the error below.
            let _given_up = self.owner.api.cancel(id.as_str()).await;
        }
        match states {
            None if self.model.asked_again() > 0 => Err(BenchError::Unexpected(format!(
                "{} model calls were given up and made again: the runs did not go on together",
                self.model.asked_again()
            ))),
            None => Ok(()),
            Some(state) => Err(BenchError::Unexpected(format!("the runs did not come to an end: {state:?}"))),
        }
    }
}

impl Night {
    /// Ends it when its sandboxes are gone: what they still do would be measured with whatever comes next.
    async fn end(self) -> Result<(), BenchError> {
        let gone = async {
            while !self.driver.list().await.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let gone = tokio::time::timeout(WITHIN, gone).await;
        self.owner.supervisor.rest().await;
        gone.map_err(|_| {
            BenchError::Unexpected("the sandboxes of runs that were given up do not end".to_owned())
        })
    }

    /// The owner's own times for turns of a run whose tool does nothing.
    fn own_times(&self, run: usize, turns: std::ops::Range<usize>) -> Vec<Duration> {
        let all = self.model.own_times(run);
        let quick = turns.filter(|turn| !Turn::runs_a_command(*turn));
        quick.filter_map(|turn| all.get(turn).copied()).collect()
    }
}

async fn long_run(samples: &mut Samples) -> Result<(), BenchError> {
    say("a run of 400 turns with screenshots …");
    let night = Night::begin(SCREEN, 1, |turn| match turn % 20 {
        0 => Turn::note(turn, 0),
        _ => Turn::click(turn),
    })
    .await?;
    night.play(1, LONG_RUN).await?;
    samples.add(RSS, night.model.peak_kib() as f64 / 1_024.0);
    samples.add(REQUEST, night.model.largest_request() as f64 / 1_048_576.0);
    night.end().await
}

async fn long_transcript(samples: &mut Samples) -> Result<(), BenchError> {
    say("a transcript of 200,000 tokens …");
    // Answers of 40,000 characters, 10,000 tokens, until it is long enough.
    let grow = LONG / 10_000;
    let night = Night::begin((320, 200), 1, move |turn| {
        let characters = if (TURNS..TURNS + grow).contains(&turn) { 40_000 } else { 0 };
        Turn::note(turn, characters)
    })
    .await?;
    night.play(1, 2 * TURNS + grow + 1).await?;
    let (short, long) = (night.own_times(0, 5..TURNS), night.own_times(0, TURNS + grow..2 * TURNS + grow));
    samples.add(OWN, percentile(&long, 95));
    let grown = night.model.tokens_between(0, TURNS, TURNS + grow) as f64 / 1_000.0;
    samples.add(GROWTH, (percentile(&long, 50) - percentile(&short, 50)) * 1_000.0 / grown);
    night.end().await
}

async fn fifty_runs(samples: &mut Samples) -> Result<(), BenchError> {
    // They take a second, in which whatever else the host does is a large part.
    for time in 1..=TIMES {
        say(&format!("50 runs at once, {time} of {TIMES} …"));
        fifty_runs_once(samples).await?;
    }
    Ok(())
}

async fn fifty_runs_once(samples: &mut Samples) -> Result<(), BenchError> {
    // No commands: a sandbox that is a machine of its own has its own processors for them.
    let night = Night::begin((320, 200), RUNS, Turn::plan).await?;
    night.play(RUNS, TURNS_OF_EACH).await?;
    let all = |run| night.model.own_times(run).into_iter().take(TURNS_OF_EACH);
    let own: Vec<Duration> = (0..RUNS).flat_map(all).collect();
    samples.add(FIFTY, percentile(&own, 95));
    let turns: Vec<usize> = (0..RUNS).map(|run| night.model.own_times(run).len()).collect();
    let (least, most) = (turns.iter().min().copied().unwrap_or(0), turns.iter().max().copied().unwrap_or(0));
    samples.add(SPREAD, most as f64 / least.max(1) as f64);
    night.end().await
}

/// A percentile in milliseconds, by the nearest rank.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(rank).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_sample_of_the_nearest_rank() {
        let times: Vec<Duration> = (1..=20).map(Duration::from_millis).collect();
        assert_eq!([5, 50, 95, 100].map(|percent| percentile(&times, percent)), [1.0, 10.0, 19.0, 20.0]);
    }

    #[test]
    fn a_percentile_of_nothing_is_nothing_and_of_one_that_one() {
        assert_eq!(percentile(&[], 95), 0.0);
        assert_eq!([0, 50, 100].map(|percent| percentile(&[Duration::from_millis(7)], percent)), [7.0; 3]);
    }
}
