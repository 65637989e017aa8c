//! Measures what Nightshift promises: `./dev bench NAME`.
//!
//! Each bench is a module in [`benches`]: it declares what it measures, in which unit and against which bar, and takes
//! samples with the same code that tasks use. Statistics and rendering are pure. A bench never decides what is good
//! enough to ship: it says what it saw, beside the bar.
//!
//! ```text
//!   benches::find(name) ─▶ Bench::run(&Ground) ─▶ Samples ─▶ Figure ─▶ Report ─▶ one JSON line, or a table
//! ```

mod bench;
mod benches;
mod figure;
mod ground;
mod history;
mod host;
mod monitor;
mod owner;
mod report;
mod savevm;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
// What the owner does is measured in this process too, with its allocator.
use nightshift_allocator as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::bench::{Bench, BenchError};
use crate::ground::{Environment, Ground};
use crate::report::Report;

/// Measures Nightshift on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "nightshift-bench",
    after_help = "Examples:\n  ./dev bench                    list the benches\n  ./dev bench sandbox            a table, with the bars\n  ./dev bench sandbox --json     one line for scripts\n  ./dev bench sandbox --samples 15\n\nTimes depend on what else runs: the load is part of what is reported. Ratios are taken side by side."
)]
struct Arguments {
    /// The bench to run; without it they are listed.
    name: Option<String>,
    /// Print one line of JSON on standard output.
    #[arg(long)]
    json: bool,
    /// How many samples to take of each measure.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    samples: u32,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let environment = Environment::read();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(environment.log.clone().unwrap_or_else(|| "warn".to_owned()))
        .init();
    let outcome = match &arguments.name {
        None => print(&list(benches::ALL)),
        Some(name) => match benches::find(name) {
            Some(bench) => run(bench, &arguments, environment),
            None => Err(BenchError::Unknown { name: name.clone(), known: names(benches::ALL) }),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ground::say(&format!("error: {}", error.whole()));
            ExitCode::FAILURE
        }
    }
}

fn run(bench: &'static dyn Bench, arguments: &Arguments, environment: Environment) -> Result<(), BenchError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("starting"))?;
    runtime.block_on(async {
        let ground = Ground::new(environment, arguments.samples)?;
        let measured = async {
            let before = host::load();
            let samples = bench.run(&ground).await?;
            let machine = host::describe(&ground, before).await?;
            Report::new(bench.name(), bench.measures(), &samples, machine)
        };
        let report = tokio::select! {
            report = measured => report,
            () = told_to_end() => Err(BenchError::Interrupted),
        };
        // Whatever happened, no machine is left running.
        ground.clear().await;
        let report = report?;
        print(&if arguments.json { report.json()? } else { report.table() })
    })
}

async fn told_to_end() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::interrupt()) => {}
    }
}

fn names(benches: &[&'static dyn Bench]) -> String {
    benches.iter().map(|bench| bench.name()).collect::<Vec<_>>().join(", ")
}

fn list(benches: &[&'static dyn Bench]) -> String {
    let widest = benches.iter().map(|bench| bench.name().len()).max().unwrap_or(0);
    benches.iter().map(|bench| format!("{:widest$}  {}\n", bench.name(), bench.about())).collect()
}

fn print(text: &str) -> Result<(), BenchError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(BenchError::io("printing the result"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_bench_has_a_name_of_its_own_and_measures_with_names_of_their_own() {
        let mut names: Vec<_> = benches::ALL.iter().map(|bench| bench.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), benches::ALL.len());
        for bench in benches::ALL {
            let mut measures: Vec<_> = bench.measures().iter().map(|measure| measure.name).collect();
            measures.sort_unstable();
            measures.dedup();
            assert_eq!(measures.len(), bench.measures().len(), "{}", bench.name());
        }
    }

    #[test]
    fn an_unknown_bench_is_answered_with_the_known_ones() {
        assert!(benches::find("no-such-bench").is_none());
        assert!(names(benches::ALL).contains("sandbox"));
    }

    #[test]
    fn benches_are_listed_by_name_with_what_they_measure() {
        let list = list(benches::ALL);
        assert_eq!(list.lines().count(), benches::ALL.len());
        for (line, bench) in list.lines().zip(benches::ALL) {
            assert!(line.starts_with(bench.name()) && line.ends_with(bench.about()), "{line}");
        }
    }

    #[test]
    fn every_bar_belongs_to_a_measure_with_a_unit_or_a_count() {
        for measure in benches::ALL.iter().flat_map(|bench| bench.measures()) {
            assert!(!measure.about.is_empty() && !measure.about.ends_with('.'), "{}", measure.name);
            let counted = |character: char| {
                character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
            };
            assert!(measure.name.chars().all(counted), "{}", measure.name);
        }
    }

    #[test]
    fn samples_are_from_one_to_a_thousand() {
        let samples = |text: &str| {
            Arguments::try_parse_from(["bench", "step", "--samples", text]).map(|read| read.samples).ok()
        };
        assert_eq!(["1", "1000", "0", "1001", "few"].map(samples), [Some(1), Some(1_000), None, None, None]);
        assert_eq!(Arguments::try_parse_from(["bench"]).unwrap().samples, 7);
    }
}
