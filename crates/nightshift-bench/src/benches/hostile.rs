//! How soon the owner answers, and a neighbour works, while a sandbox does its worst.
//!
//! ```text
//!   a run that attacks   begins ─▶ its disk is full ─▶ it floods its channel and forks ─▶ its channel is closed ─▶ paused
//!   questions to the API ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪ ▪  p99, worst
//!   a lent sandbox       true  true  true  true  true  true  true  true  true  true  true  true  true
//! ```
//!
//! The same is asked for a while before each attack. A round in which the attacker was not cut off is no result: then there
//! was no attack.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use nightshift_protocol::{CommandAnswer, RunState, SandboxLoan};
use nightshift_testing::scripted_model::{Script, ScriptedModel};
use serde_json::{Value, json};

use crate::bench::{Bar, Bench, BenchError, Measure, Samples};
use crate::ground::{Ground, say};
use crate::owner::Owner;

const API: &str = "api_p99_ms";
const WORST: &str = "api_worst_ms";
const API_QUIET: &str = "api_quiet_p99_ms";
const NEIGHBOUR: &str = "neighbour_ms";
const NEIGHBOUR_QUIET: &str = "neighbour_quiet_ms";

const MEASURES: &[Measure] = &[
    Measure { name: API, about: "99 of 100 answers of the API", unit: "ms", bar: Some(Bar::AtMost(100.0)) },
    Measure { name: WORST, about: "the slowest of them", unit: "ms", bar: None },
    Measure { name: API_QUIET, about: "99 of 100 before the attack", unit: "ms", bar: None },
    Measure { name: NEIGHBOUR, about: "a command in another sandbox, median", unit: "ms", bar: None },
    Measure { name: NEIGHBOUR_QUIET, about: "the same before the attack", unit: "ms", bar: None },
];

const ATTACK: &str = include_str!("hostile/attack.sh");

/// How long is measured: the attack takes about so long.
const LASTS: Duration = Duration::from_secs(100);

/// How long is measured before it.
const BEFORE: Duration = Duration::from_secs(15);

/// The time between two questions, so that asking alone is no load.
const ASKS_EVERY: Duration = Duration::from_millis(20);

/// The time between two commands of the neighbour.
const WORKS_EVERY: Duration = Duration::from_millis(250);

/// How long a run may take to get somewhere.
const WITHIN: Duration = Duration::from_secs(240);

/// See the module.
pub(crate) struct Hostile;

#[async_trait]
impl Bench for Hostile {
    fn name(&self) -> &'static str {
        "hostile"
    }

    fn about(&self) -> &'static str {
        "the owner's answers and another sandbox while one fills its disk, floods, forks and hangs up"
    }

    fn measures(&self) -> &'static [Measure] {
        MEASURES
    }

    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError> {
        // Made before, so that no run waits for it.
        ground.template().await?;
        // Short, because sockets live below it.
        let home = tempfile::Builder::new().prefix("nsb").tempdir_in("/tmp");
        let home = home.map_err(BenchError::io("making a home"))?;
        let model = ScriptedModel::start(script()?).await;
        let variables =
            [("ANTHROPIC_BASE_URL", model.base_url().into()), ("ANTHROPIC_API_KEY", "scripted".into())];
        let owner = Owner::start(home.path(), &variables).await?;
        let repository = suite::small_repository(home.path());
        let lent = owner.post("/sandboxes", &json!({ "leaseSeconds": 3_600 })).await?;
        let lent: SandboxLoan =
            serde_json::from_slice(&lent).map_err(BenchError::during("reading the loan"))?;
        let mut samples = Samples::default();
        let mut measured = Ok(());
        for round in 1..=ground.samples() {
            say(&format!("attack {round} of {}: two minutes", ground.samples()));
            measured = attack(&owner, &repository, &lent, &mut samples).await;
            if measured.is_err() {
                break;
            }
        }
        // Its machine ends with it, whatever happened.
        owner.delete(&format!("/sandboxes/{}", lent.sandbox)).await?;
        owner.end().await?;
        measured.map(|()| samples)
    }
}

async fn attack(
    owner: &Owner,
    repository: &std::path::Path,
    lent: &SandboxLoan,
    samples: &mut Samples,
) -> Result<(), BenchError> {
    let quiet = tokio::try_join!(ask(owner, "/runs", BEFORE), work(owner, lent, BEFORE))?;
    let run = owner.submit("Attack", repository).await?;
    let attacked = async {
        owner.until(&run, WITHIN, |summary| summary.steps > 0).await?;
        let one = format!("/runs/{run}");
        let seen = tokio::try_join!(ask(owner, &one, LASTS), work(owner, lent, LASTS))?;
        owner.until(&run, WITHIN, |summary| matches!(summary.state, RunState::Paused { .. })).await?;
        Ok::<_, BenchError>(seen)
    };
    let attacked = attacked.await;
    let cancelled = owner.post(&format!("/runs/{run}/cancel"), &json!({})).await;
    owner.until(&run, WITHIN, |summary| summary.sandbox.is_none()).await?;
    cancelled?;
    let attacked = attacked?;
    for ((answers, commands), [nearly_all, worst, neighbour]) in
        [(quiet, [API_QUIET, "", NEIGHBOUR_QUIET]), (attacked, [API, WORST, NEIGHBOUR])]
    {
        samples.add(nearly_all, rank(&answers, 99)?);
        samples.add(neighbour, rank(&commands, 50)?);
        if !worst.is_empty() {
            samples.add(worst, rank(&answers, 100)?);
        }
    }
    Ok(())
}

/// Asks for all runs and for `path` in turn for a while, and returns how long each answer took, in milliseconds.
async fn ask(owner: &Owner, path: &str, lasts: Duration) -> Result<Vec<f64>, BenchError> {
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < lasts {
        let asked = Instant::now();
        owner.get(if times.len() % 2 == 0 { "/runs" } else { path }).await?;
        times.push(milliseconds(asked));
        tokio::time::sleep(ASKS_EVERY).await;
    }
    Ok(times)
}

/// Runs a command in a lent sandbox again and again for a while, and returns how long each took.
async fn work(owner: &Owner, lent: &SandboxLoan, lasts: Duration) -> Result<Vec<f64>, BenchError> {
    let (path, wish) = (format!("/sandboxes/{}/commands", lent.sandbox), json!({ "command": "true" }));
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < lasts {
        let asked = Instant::now();
        answered(&owner.post(&path, &wish).await?)?;
        times.push(milliseconds(asked));
        tokio::time::sleep(WORKS_EVERY).await;
    }
    Ok(times)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// Fails unless the neighbour's command did what it was to.
fn answered(answer: &[u8]) -> Result<(), BenchError> {
    let answer: CommandAnswer =
        serde_json::from_slice(answer).map_err(BenchError::during("reading what a command did"))?;
    match answer.exit_code {
        Some(0) => Ok(()),
        _ => Err(BenchError::Unexpected(format!("the neighbour's command: {}", answer.ending))),
    }
}

/// The least value that so many of a hundred do not exceed (the nearest-rank percentile).
fn rank(values: &[f64], of_hundred: usize) -> Result<f64, BenchError> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (sorted.len() * of_hundred).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().ok_or_else(|| BenchError::Unexpected("nothing was answered".to_owned()))
}

/// The model begins the attack, and waits for a command that never ends.
fn script() -> Result<Script, BenchError> {
    let shell =
        |command: &str| -> Value { json!({"calls": [{"tool": "shell", "input": {"command": command}}]}) };
    let begin =
        format!("cat >/tmp/attack <<'END'\n{ATTACK}END\nsudo systemd-run -q bash /tmp/attack && echo begun");
    let script = json!({"turns": [shell(&begin), shell("sleep 1000")]});
    Script::parse(&script.to_string()).map_err(|error| BenchError::Unexpected(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_are_no_slower_than_what_is_said_of_them() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let ranks = [50, 99, 100].map(|of_hundred| rank(&values, of_hundred).unwrap());
        assert_eq!(ranks, [100.0, 198.0, 200.0]);
        assert_eq!((rank(&[7.0], 99).unwrap(), rank(&[1.0, 9.0], 99).unwrap()), (7.0, 9.0));
        assert!(rank(&[], 99).is_err());
    }

    #[test]
    fn the_attack_is_a_script_that_bash_reads_and_the_model_begins() {
        let script = script().unwrap();
        assert_eq!(script.turns.len(), 2);
        let read = std::process::Command::new("bash").args(["-n", "-c", ATTACK]).status().unwrap();
        assert!(read.success());
        assert!(!ATTACK.contains("\nEND\n"), "it would end early");
    }

    #[test]
    fn a_neighbour_whose_command_fails_is_harmed_and_no_figure() {
        let answer = |exit_code: Option<i32>| {
            let answer = CommandAnswer { exit_code, ending: "it ended".to_owned(), output: String::new() };
            answered(&serde_json::to_vec(&answer).unwrap()).map_err(|error| error.whole())
        };
        assert_eq!(answer(Some(0)), Ok(()));
        for code in [Some(1), None] {
            assert_eq!(answer(code), Err("the neighbour's command: it ended".to_owned()));
        }
        assert!(answered(b"{").is_err());
    }
}
