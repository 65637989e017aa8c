//! The result, as one line for scripts and as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::bench::{Bar, BenchError, Measure, Samples};
use crate::figure::Figure;
use crate::host::HostFacts;

/// What a bench found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    bench: &'static str,
    metrics: BTreeMap<&'static str, Figure>,
    machine: HostFacts,
    #[serde(skip)]
    measures: &'static [Measure],
}

impl Report {
    /// Sums up the samples. A measure that was declared and has none is an error: a bench does not keep quiet about
    /// what it did not measure.
    pub(crate) fn new(
        bench: &'static str,
        measures: &'static [Measure],
        samples: &Samples,
        machine: HostFacts,
    ) -> Result<Self, BenchError> {
        let mut metrics = BTreeMap::new();
        for measure in measures {
            let figure = Figure::of(samples.of(measure.name))
                .ok_or_else(|| BenchError::Unexpected(format!("{} has no sample", measure.name)))?;
            metrics.insert(measure.name, figure);
        }
        Ok(Self { bench, metrics, machine, measures })
    }

    /// One line.
    pub(crate) fn json(&self) -> Result<String, BenchError> {
        let mut line =
            serde_json::to_string(self).map_err(BenchError::during("writing the result as JSON"))?;
        line.push('\n');
        Ok(line)
    }

    /// The table, and below it the machine.
    pub(crate) fn table(&self) -> String {
        let header = ["", "median", "min", "max", "samples", "bar", ""].map(str::to_owned);
        let mut rows = vec![header];
        for measure in self.measures {
            let Some(figure) = self.metrics.get(measure.name) else { continue };
            let (bar, verdict) = match measure.bar {
                None => (String::new(), ""),
                Some(bar) => (shown_bar(bar), if bar.is_met_by(figure.median) { "met" } else { "missed" }),
            };
            let unit = if measure.unit.is_empty() { String::new() } else { format!(" ({})", measure.unit) };
            rows.push([
                format!("{}{unit}", measure.about),
                shown(figure.median),
                shown(figure.min),
                shown(figure.max),
                figure.samples.to_string(),
                bar,
                verdict.to_owned(),
            ]);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        let mut table = format!("{}\n\n", self.bench);
        for row in &rows {
            let mut line = format!("  {:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                // Writing to a string cannot fail.
                let _written = write!(line, "  {cell:>width$}");
            }
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table.push('\n');
        table.push_str(&self.machine.shown());
        table
    }
}

fn shown_bar(bar: Bar) -> String {
    match bar {
        Bar::AtMost(limit) => format!("<= {}", shown(limit)),
        Bar::AtLeast(limit) => format!(">= {}", shown(limit)),
    }
}

/// As many digits as say something.
fn shown(value: f64) -> String {
    match value.abs() {
        size if value == value.trunc() && size < 1e9 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEASURES: &[Measure] = &[
        Measure { name: "first_ms", about: "to the first frame", unit: "ms", bar: Some(Bar::AtMost(350.0)) },
        Measure { name: "ratio", about: "faster than booting", unit: "times", bar: Some(Bar::AtLeast(60.0)) },
        Measure { name: "answering", about: "sandboxes that answer", unit: "", bar: None },
    ];

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for value in [301.4, 344.0, 298.25] {
            samples.add("first_ms", value);
        }
        samples.add("ratio", 59.126);
        samples.add("answering", 12.0);
        samples
    }

    fn machine() -> HostFacts {
        HostFacts {
            cpu: "Example CPU".to_owned(),
            cores: 2,
            memory_mib: 24_000,
            acceleration: "tcg".to_owned(),
            because: "there is no /dev/kvm".to_owned(),
            qemu: "QEMU 10.0.2".to_owned(),
            kernel: "6.12.0".to_owned(),
            load_before: [0.5, 0.25, 0.0],
            load_after: [1.5, 0.75, 0.25],
        }
    }

    #[test]
    fn a_table_shows_each_measure_beside_its_bar_and_then_the_machine() {
        let report = Report::new("sandbox", MEASURES, &samples(), machine()).unwrap();
        insta::assert_snapshot!(report.table(), @r"
        sandbox

                                       median   min   max  samples     bar
          to the first frame (ms)         301   298   344        3  <= 350     met
          faster than booting (times)    59.1  59.1  59.1        1   >= 60  missed
          sandboxes that answer            12    12    12        1

          Example CPU, 2 cores, 24000 MiB; Linux 6.12.0; QEMU 10.0.2
          guests run by tcg (there is no /dev/kvm); load 0.5 before, 1.5 after
        ");
    }

    #[test]
    fn scripts_get_one_line_with_the_four_numbers_of_each_measure() {
        let line = Report::new("sandbox", MEASURES, &samples(), machine()).unwrap().json().unwrap();
        assert_eq!(line.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "bench": "sandbox",
            "metrics": {
                "first_ms": {"median": 301.4, "min": 298.25, "max": 344.0, "samples": 3},
                "ratio": {"median": 59.126, "min": 59.126, "max": 59.126, "samples": 1},
                "answering": {"median": 12.0, "min": 12.0, "max": 12.0, "samples": 1},
            },
            "machine": {
                "cpu": "Example CPU", "cores": 2, "memoryMib": 24_000, "acceleration": "tcg",
                "because": "there is no /dev/kvm", "qemu": "QEMU 10.0.2", "kernel": "6.12.0",
                "loadBefore": [0.5, 0.25, 0.0], "loadAfter": [1.5, 0.75, 0.25],
            },
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_measure_without_a_sample_is_an_error_and_not_left_out() {
        let error = Report::new("sandbox", MEASURES, &Samples::default(), machine()).unwrap_err();
        assert_eq!(error.to_string(), "first_ms has no sample");
    }

    #[test]
    fn numbers_have_as_many_digits_as_say_something() {
        let numbers = [0.0, 0.126, 1.0, 9.876, 10.06, 99.96, 100.4, 12_345.6, -3.126, 2e9];
        let expected = ["0", "0.13", "1", "9.88", "10.1", "100.0", "100", "12346", "-3.13", "2000000000"];
        assert_eq!(numbers.map(shown), expected);
    }

    #[test]
    fn a_bar_is_shown_by_the_side_it_must_be_on() {
        assert_eq!(shown_bar(Bar::AtMost(0.5)), "<= 0.50");
        assert_eq!(shown_bar(Bar::AtLeast(60.0)), ">= 60");
    }

    #[test]
    fn a_sample_that_no_measure_declares_is_left_out() {
        let mut samples = samples();
        samples.add("undeclared", 1.0);
        let line = Report::new("sandbox", MEASURES, &samples, machine()).unwrap().json().unwrap();
        assert!(!line.contains("undeclared"));
    }
}
