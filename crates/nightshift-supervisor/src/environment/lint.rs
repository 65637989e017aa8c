//! How a repository is linted: the one decision, of its files alone.

use std::collections::BTreeMap;

use nightshift_forge::is_lint;
use serde::Deserialize;

use super::files::Files;
use super::plan;

/// A repository's lint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lint {
    /// The command.
    pub(crate) command: String,
    /// A command that fails where the program is not installed, if the lint itself does not tell.
    pub(crate) needs: Option<&'static str>,
}

impl Lint {
    fn of(command: &str) -> Self {
        Self { command: command.to_owned(), needs: None }
    }

    /// What is run: its exit status is the lint's, or 127 where the program is not there, as shells have it (POSIX,
    /// "Exit Status for Commands").
    pub(crate) fn script(&self) -> String {
        let virtual_environment = "PATH=\"$PWD/.venv/bin:$PATH\"";
        match self.needs {
            Some(needs) => {
                format!("{virtual_environment}; {needs} > /dev/null 2>&1 || exit 127\n{}", self.command)
            }
            None => format!("{virtual_environment}\n{}", self.command),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Package {
    scripts: BTreeMap<String, String>,
}

/// Finds the lint that a repository has: a check of its own that is one, its package's script, its Makefile's target, or
/// what it configures a linter for. `None` when it has none, or its files are not understood.
pub(crate) fn lint(files: &Files) -> Option<Lint> {
    let checks = plan(files).map(|plan| plan.checks).unwrap_or_default();
    if let Some(check) = checks.into_iter().find(|check| is_lint(&check.run)) {
        return Some(Lint { command: check.run, needs: None });
    }
    let package = files.text("package.json").and_then(|text| serde_json::from_str::<Package>(&text).ok());
    if package.is_some_and(|package| package.scripts.contains_key("lint")) {
        return Some(Lint::of("npm run lint"));
    }
    let makefile = files.first(&["Makefile", "makefile"]).and_then(|name| files.text(name));
    let target = |line: &str| {
        let rest = line.strip_prefix("lint").map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(':') && !rest.starts_with(":="))
    };
    if makefile.is_some_and(|text| text.lines().any(target)) {
        return Some(Lint { command: "make lint".to_owned(), needs: Some("command -v make") });
    }
    let table = |path: &str| files.text(path).and_then(|text| toml::from_str::<toml::Table>(&text).ok());
    let python = table("pyproject.toml");
    let ruff = python.as_ref().and_then(|python| python.get("tool")?.get("ruff")).is_some();
    if ruff || files.first(&["ruff.toml", ".ruff.toml"]).is_some() {
        return Some(Lint { command: "ruff check .".to_owned(), needs: Some("command -v ruff") });
    }
    let cargo = table("Cargo.toml")?;
    let lints = |of: &toml::Table| of.get("lints").is_some_and(|lints| lints.get("clippy").is_some());
    let of_workspace = cargo.get("workspace").and_then(toml::Value::as_table).is_some_and(lints);
    let configured = lints(&cargo) || of_workspace || files.first(&["clippy.toml", ".clippy.toml"]).is_some();
    configured.then(|| Lint {
        command: "cargo clippy --workspace --all-targets --offline".to_owned(),
        needs: Some("cargo clippy --version"),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(files: &[(&str, &str)]) -> Option<String> {
        lint(&Files::of(files)).map(|lint| lint.command)
    }

    #[test]
    fn the_repository_s_own_check_goes_before_its_script_and_that_before_what_is_configured() {
        let own = (".nightshift/environment.toml", "checks = ['npm test', 'npx eslint src']");
        let package = ("package.json", r#"{"scripts": {"lint": "eslint .", "test": "x"}}"#);
        let make = ("Makefile", "all:\n\ttrue\nlint: all\n\tprove\n");
        let python = ("pyproject.toml", "[tool.ruff]\nline-length = 100\n");
        let cargo =
            ("Cargo.toml", "[workspace]\nmembers = []\n[workspace.lints.clippy]\nunwrap_used = 'deny'\n");
        let mut files = vec![own, package, make, python, cargo];
        let mut all = Vec::new();
        while !files.is_empty() {
            all.extend(found(&files));
            files.remove(0);
        }
        assert_eq!(
            all,
            [
                "npx eslint src",
                "npm run lint",
                "make lint",
                "ruff check .",
                "cargo clippy --workspace --all-targets --offline"
            ]
        );
    }

    #[test]
    fn a_linter_s_own_file_is_enough_and_a_manifest_alone_is_not() {
        assert_eq!(found(&[("ruff.toml", "")]).as_deref(), Some("ruff check ."));
        let crate_ = ("Cargo.toml", "[package]\nname = 'x'\n");
        assert!(found(&[crate_, (".clippy.toml", "")]).is_some());
        for files in [
            &[crate_][..],
            &[("package.json", r#"{"scripts": {"test": "x"}}"#)],
            &[("Makefile", "CC := lint:\nlint := x\ntest:\n\tlint: x\n")],
            &[("pyproject.toml", "[tool.black]\n")],
            &[("package.json", "{ broken")],
        ] {
            assert_eq!(found(files), None, "{files:?}");
        }
    }

    #[test]
    fn a_script_ends_with_127_where_its_program_is_not_there() {
        let status = |lint: Lint| {
            let run = std::process::Command::new("sh").args(["-c", &lint.script()]).output().unwrap();
            run.status.code()
        };
        assert_eq!(status(Lint { needs: Some("command -v no-such-program"), ..Lint::of("true") }), Some(127));
        assert_eq!(status(Lint { needs: Some("command -v sh"), ..Lint::of("exit 3") }), Some(3));
        assert_eq!(status(Lint::of("true && exit 4")), Some(4));
    }

    proptest! {
        /// Whatever a repository writes, the command is one of those that are known, or a check of its own.
        #[test]
        fn hostile_files_lead_to_no_other_command(package in ".{0,120}", make in ".{0,120}", python in ".{0,120}") {
            let files = [("package.json", &*package), ("Makefile", &make), ("pyproject.toml", &python)];
            let known = ["npm run lint", "make lint", "ruff check ."];
            prop_assert!(found(&files).is_none_or(|command| known.contains(&command.as_str())));
        }
    }
}
