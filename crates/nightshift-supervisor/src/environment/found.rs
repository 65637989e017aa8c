//! How repositories with the usual manifests are usually set up and checked.

mod node;
mod python;

use nightshift_protocol::{SetUpPlan, SetUpStep};

use super::files::Files;
use super::plan::PlanError;

/// What one manifest leads to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    steps: Vec<SetUpStep>,
    checks: Vec<SetUpStep>,
    inputs: Vec<String>,
}

/// Reads every manifest that is there; a Makefile counts only where there is nothing else.
pub(super) fn find(files: &Files) -> Result<SetUpPlan, PlanError> {
    let mut plan = nothing();
    for (manifest, look) in [
        ("package.json", node::find as fn(&Files) -> Result<Found, PlanError>),
        ("Cargo.toml", cargo),
        ("pyproject.toml", python::pyproject),
        ("requirements.txt", python::requirements),
        ("go.mod", go),
    ] {
        // A project's own description goes before a mere list.
        let superseded = manifest == "requirements.txt" && files.has("pyproject.toml");
        if files.has(manifest) && !superseded {
            add(&mut plan, manifest, look(files)?);
        }
    }
    if let Some(name) = files.first(&["Makefile", "makefile"])
        && plan.sources.is_empty()
    {
        add(&mut plan, name, make(&files.text(name).unwrap_or_default()));
    }
    Ok(plan)
}

/// A plan without anything in it.
pub(super) fn nothing() -> SetUpPlan {
    SetUpPlan {
        sources: Vec::new(),
        steps: Vec::new(),
        checks: Vec::new(),
        dev_server: None,
        hosts: Vec::new(),
        inputs: Vec::new(),
        notes: Vec::new(),
    }
}

fn add(plan: &mut SetUpPlan, manifest: &str, found: Found) {
    plan.sources.push(manifest.to_owned());
    plan.steps.extend(found.steps);
    plan.checks.extend(found.checks);
    plan.inputs.push(manifest.to_owned());
    plan.inputs.extend(found.inputs);
}

fn step(name: &str, run: impl Into<String>) -> SetUpStep {
    SetUpStep { name: name.to_owned(), run: run.into() }
}

/// Those of `names` that are there.
fn present(files: &Files, names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| files.has(name)).map(|name| (*name).to_owned()).collect()
}

/// Installs a distribution's packages unless a program of theirs is there.
fn program(name: &str, packages: &str) -> String {
    format!("command -v {name} || {{ sudo apt-get update -q && sudo apt-get install -q -y {packages}; }}")
}

fn cargo(files: &Files) -> Result<Found, PlanError> {
    let locked = if files.has("Cargo.lock") { " --locked" } else { "" };
    Ok(Found {
        steps: vec![
            step("install Rust", program("cargo", "cargo gcc")),
            step("fetch crates", format!("cargo fetch{locked}")),
            step("build", format!("cargo test --no-run --workspace --offline{locked}")),
        ],
        checks: vec![step("cargo test", format!("cargo test --workspace --offline{locked}"))],
        inputs: present(files, &["Cargo.lock", "rust-toolchain.toml"]),
    })
}

fn go(files: &Files) -> Result<Found, PlanError> {
    Ok(Found {
        steps: vec![
            step("install Go", program("go", "golang-go")),
            step("download Go modules", "go mod download"),
            step("build", "go build ./..."),
        ],
        checks: vec![step("go test", "go test ./...")],
        inputs: present(files, &["go.sum"]),
    })
}

/// The targets a Makefile has by the names that are common for it.
fn make(text: &str) -> Found {
    let has = |target: &str| {
        let mut lines = text.lines();
        lines.any(|line| {
            line.strip_prefix(target).is_some_and(|rest| {
                let rest = rest.trim_start();
                rest.starts_with(':') && !rest.starts_with(":=")
            })
        })
    };
    let first = |targets: &[&'static str]| targets.iter().copied().find(|target| has(target));
    let set_up = first(&["setup", "deps", "dependencies", "bootstrap"]);
    let check = first(&["check", "test"]);
    if set_up.is_none() && check.is_none() {
        return Found::default();
    }
    let mut steps = vec![step("install make", program("make", "make gcc"))];
    steps.extend(set_up.map(|target| step(&format!("make {target}"), format!("make {target}"))));
    let checks = check.map(|target| step(&format!("make {target}"), format!("make {target}")));
    Found { steps, checks: checks.into_iter().collect(), inputs: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(files: &[(&str, &str)]) -> String {
        let plan = find(&Files::of(files)).unwrap();
        let line = |kind: &str, step: &SetUpStep| format!("{kind} {}: {}\n", step.name, step.run);
        let steps = plan.steps.iter().map(|each| line("step", each));
        let checks = plan.checks.iter().map(|each| line("check", each));
        steps.chain(checks).collect::<String>() + &format!("inputs {}", plan.inputs.join(" "))
    }

    #[test]
    fn crates_are_fetched_and_built_with_the_lock_file_when_there_is_one() {
        insta::assert_snapshot!(shown(&[("Cargo.toml", ""), ("Cargo.lock", "")]), @r"
        step install Rust: command -v cargo || { sudo apt-get update -q && sudo apt-get install -q -y cargo gcc; }
        step fetch crates: cargo fetch --locked
        step build: cargo test --no-run --workspace --offline --locked
        check cargo test: cargo test --workspace --offline --locked
        inputs Cargo.toml Cargo.lock
        ");
        assert!(!shown(&[("Cargo.toml", "")]).contains("--locked"));
    }

    #[test]
    fn go_modules_are_downloaded() {
        insta::assert_snapshot!(shown(&[("go.mod", "module x"), ("go.sum", "")]), @r"
        step install Go: command -v go || { sudo apt-get update -q && sudo apt-get install -q -y golang-go; }
        step download Go modules: go mod download
        step build: go build ./...
        check go test: go test ./...
        inputs go.mod go.sum
        ");
    }

    #[test]
    fn a_makefile_counts_where_there_is_nothing_else_and_by_its_targets() {
        let makefile = ("Makefile", "CC := gcc\ntest := x\ncheck: all\n\tprove\nsetup :\n\t./get\n");
        insta::assert_snapshot!(shown(&[makefile]), @r"
        step install make: command -v make || { sudo apt-get update -q && sudo apt-get install -q -y make gcc; }
        step make setup: make setup
        check make check: make check
        inputs Makefile
        ");
        assert!(!shown(&[makefile, ("go.mod", "module x")]).contains("make"));
        assert!(find(&Files::of(&[("Makefile", "all:\n\ttrue\n")])).unwrap().is_empty());
    }

    #[test]
    fn several_manifests_are_set_up_one_after_the_other() {
        let package = r#"{"scripts": {"test": "node --test"}}"#;
        let plan = find(&Files::of(&[("package.json", package), ("go.mod", "module x")])).unwrap();
        assert_eq!(plan.sources, ["package.json", "go.mod"]);
        let checks: Vec<&str> = plan.checks.iter().map(|check| check.run.as_str()).collect();
        assert_eq!(checks, ["npm test", "go test ./..."]);
    }
}
