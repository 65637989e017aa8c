//! What a bench is.

use std::collections::BTreeMap;

use async_trait::async_trait;
use nightshift_protocol::UserError;

use crate::ground::Ground;

/// Something that can be measured. Add one by a module in [`crate::benches`] and a line in its list.
#[async_trait]
pub(crate) trait Bench: Sync {
    /// Its name on the command line and in the JSON.
    fn name(&self) -> &'static str;

    /// What it measures, in one line.
    fn about(&self) -> &'static str;

    /// All it measures, in the order of the table.
    fn measures(&self) -> &'static [Measure];

    /// Takes the samples. Machines it leaves are stopped by whoever called it.
    async fn run(&self, ground: &Ground) -> Result<Samples, BenchError>;
}

/// One thing that is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measure {
    /// Its name in the JSON.
    pub(crate) name: &'static str,
    /// What it is, for the table.
    pub(crate) about: &'static str,
    /// What it is counted in, for the table; empty for a count.
    pub(crate) unit: &'static str,
    /// What its median should reach, when something was promised.
    pub(crate) bar: Option<Bar>,
}

/// What a median should reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bar {
    AtMost(f64),
    AtLeast(f64),
}

impl Bar {
    pub(crate) fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

/// What was seen, by the measures' names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Samples(BTreeMap<&'static str, Vec<f64>>);

impl Samples {
    /// Adds one sample.
    pub(crate) fn add(&mut self, measure: &'static str, value: f64) {
        self.0.entry(measure).or_default().push(value);
    }

    /// Adds a time in milliseconds.
    pub(crate) fn add_time(&mut self, measure: &'static str, time: std::time::Duration) {
        self.add(measure, time.as_secs_f64() * 1000.0);
    }

    /// The samples of a measure, oldest first.
    pub(crate) fn of(&self, measure: &str) -> &[f64] {
        self.0.get(measure).map_or(&[], Vec::as_slice)
    }
}

/// A bench did not come to an end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    #[error("there is no bench {name:?}; there are: {known}")]
    Unknown { name: String, known: String },
    #[error("it was interrupted")]
    Interrupted,
    #[error("{} ({})", .0.message, .0.hint)]
    User(UserError),
    #[error("{what}")]
    Failed {
        what: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{0}")]
    Unexpected(String),
}

impl BenchError {
    /// Says what was being done when something failed.
    pub(crate) fn during<E>(what: impl Into<String>) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let what = what.into();
        move |source| Self::Failed { what, source: source.into() }
    }

    /// The same for input and output, whose type is then known.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        Self::during(what)
    }

    /// The message with all its causes.
    pub(crate) fn whole(&self) -> String {
        let mut message = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            message += &format!(": {cause}");
            source = cause.source();
        }
        message
    }
}

impl From<UserError> for BenchError {
    fn from(error: UserError) -> Self {
        Self::User(error)
    }
}

impl From<nightshift_supervisor::DeskError> for BenchError {
    fn from(error: nightshift_supervisor::DeskError) -> Self {
        Self::User(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_at_its_very_edge() {
        assert!(Bar::AtMost(350.0).is_met_by(350.0) && !Bar::AtMost(350.0).is_met_by(350.1));
        assert!(Bar::AtLeast(60.0).is_met_by(60.0) && !Bar::AtLeast(60.0).is_met_by(59.9));
    }

    #[test]
    fn samples_keep_their_order_and_an_unknown_measure_has_none() {
        let mut samples = Samples::default();
        samples.add("a", 2.0);
        samples.add_time("a", std::time::Duration::from_micros(1500));
        assert_eq!((samples.of("a"), samples.of("b")), (&[2.0, 1.5][..], &[][..]));
    }

    #[test]
    fn an_error_names_its_causes() {
        let error = BenchError::io("starting")(std::io::Error::other("no room"));
        assert_eq!(error.whole(), "starting: no room");
    }

    #[test]
    fn an_error_of_a_person_s_kind_says_what_to_do() {
        use nightshift_protocol::ErrorCode;
        let error = BenchError::from(UserError::new(ErrorCode::QemuMissing, "no QEMU", "install it"));
        assert_eq!(error.whole(), "no QEMU (install it)");
    }

    #[test]
    fn an_unknown_bench_is_named_with_those_there_are() {
        let error = BenchError::Unknown { name: "speed".to_owned(), known: "sandbox, step".to_owned() };
        assert_eq!(error.whole(), "there is no bench \"speed\"; there are: sandbox, step");
        assert_eq!(BenchError::Interrupted.whole(), "it was interrupted");
    }
}
