//! How many tests there are for how many lines: `cargo xtask tests`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::tidy::rust_files;

/// Attributes that make a function a test. A property is one, however many cases it tries.
const ATTRIBUTES: [&str; 3] = ["#[test]", "#[tokio::test]", "#[tokio::test("];

/// Lines of Rust and the tests in them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) lines: usize,
    pub(crate) tests: usize,
}

impl Count {
    /// Counts in one file.
    fn of(text: &str) -> Self {
        let is_test =
            |line: &&str| ATTRIBUTES.iter().any(|attribute| line.trim_start().starts_with(attribute));
        Self { lines: text.lines().count(), tests: text.lines().filter(is_test).count() }
    }

    fn and(self, other: Self) -> Self {
        Self { lines: self.lines + other.lines, tests: self.tests + other.tests }
    }

    /// Tests for a thousand lines, in tenths, rounded down.
    pub(crate) fn tenths(self) -> usize {
        (self.tests * 10_000).checked_div(self.lines).unwrap_or(0)
    }
}

/// The counts of every package, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts(Vec<(String, Count)>);

impl Counts {
    /// Counts in all packages of the repository at `root`.
    pub(crate) fn read(root: &Path) -> std::io::Result<Self> {
        let mut packages = vec![PathBuf::from("xtask")];
        for folder in ["crates", "tests"] {
            for entry in std::fs::read_dir(root.join(folder))? {
                packages.push(Path::new(folder).join(entry?.file_name()));
            }
        }
        packages.sort();
        let mut counts = Vec::new();
        for package in packages {
            let mut count = Count::default();
            for file in rust_files(&root.join(&package))? {
                count = count.and(Count::of(&std::fs::read_to_string(file)?));
            }
            if count.lines > 0 {
                counts.push((package.display().to_string(), count));
            }
        }
        Ok(Self(counts))
    }

    /// All of them together.
    pub(crate) fn sum(&self) -> Count {
        self.0.iter().fold(Count::default(), |sum, (_, count)| sum.and(*count))
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{:<32}{:>8}{:>8}{:>10}", "package", "lines", "tests", "per 1000")?;
        let rows = self.0.iter().map(|(package, count)| (package.as_str(), *count));
        for (package, count) in rows.chain([("all", self.sum())]) {
            let rate = format!("{}.{}", count.tenths() / 10, count.tenths() % 10);
            writeln!(formatter, "{package:<32}{:>8}{:>8}{rate:>10}", count.lines, count.tests)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // In pieces, so that this file is not counted by its own examples.
    fn example() -> String {
        format!(
            "{0}\nfn a() {{}}\n    {1}\n    async fn b() {{}}\n    {2}flavor = \"x\")]\n// {0}\n",
            ATTRIBUTES[0], ATTRIBUTES[1], ATTRIBUTES[2]
        )
    }

    #[test]
    fn tests_are_counted_by_their_attributes_and_comments_are_none() {
        assert_eq!(Count::of(&example()), Count { lines: 6, tests: 3 });
    }

    #[test]
    fn a_rate_is_rounded_down_and_nothing_has_none() {
        assert_eq!(Count { lines: 1_000, tests: 14 }.tenths(), 140);
        assert_eq!(Count { lines: 81_208, tests: 1_110 }.tenths(), 136);
        assert_eq!(Count::default().tenths(), 0);
    }

    #[test]
    fn the_table_ends_with_the_sum() {
        let count = |lines, tests| Count { lines, tests };
        let counts =
            Counts(vec![("crates/a".to_owned(), count(1_000, 20)), ("xtask".to_owned(), count(500, 5))]);
        let expected = "package                            lines   tests  per 1000\n\
                        crates/a                            1000      20      20.0\n\
                        xtask                                500       5      10.0\n\
                        all                                 1500      25      16.6\n";
        assert_eq!(counts.to_string(), expected);
    }
}
