//! `pyproject.toml` and `requirements.txt`: a virtual environment in `.venv`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Found, present, step};
use crate::environment::files::Files;
use crate::environment::plan::PlanError;

const PATH: &str = "pyproject.toml";
const PIP: &str = ".venv/bin/python -m pip install --disable-pip-version-check";
/// The names under which what the checks need is usually listed, the likeliest first.
const GROUPS: [&str; 4] = ["dev", "test", "tests", "testing"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Project {
    project: Option<Details>,
    tool: BTreeMap<String, toml::Value>,
    #[serde(rename = "dependency-groups")]
    groups: BTreeMap<String, toml::Value>,
    #[serde(rename = "build-system")]
    build: Option<toml::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    #[serde(rename = "optional-dependencies")]
    extras: BTreeMap<String, toml::Value>,
}

pub(super) fn pyproject(files: &Files) -> Result<Found, PlanError> {
    let text = files.text(PATH).unwrap_or_default();
    let project: Project = toml::from_str(&text).map_err(|error| PlanError::toml(PATH, &text, &error))?;
    let details = project.project.unwrap_or_default();
    let first = |map: &BTreeMap<String, toml::Value>| {
        GROUPS.into_iter().find(|group| map.contains_key(*group)).map(str::to_owned)
    };
    let install = if files.has("uv.lock") {
        format!("{PIP} uv && .venv/bin/uv sync --frozen --inexact")
    } else if files.has("poetry.lock") || project.tool.contains_key("poetry") {
        format!("{PIP} poetry && .venv/bin/poetry install --no-interaction")
    } else {
        let extra = first(&details.extras).map(|extra| format!("[{extra}]")).unwrap_or_default();
        let group = first(&project.groups).map(|group| format!(" --group {group}")).unwrap_or_default();
        match (project.build.is_some() || files.has("setup.py"), group.is_empty()) {
            (true, _) => format!("{PIP} --editable '.{extra}'{group}"),
            (false, false) => format!("{PIP}{group}"),
            (false, true) => format!("{PIP} --editable '.{extra}'"),
        }
    };
    Ok(Found {
        steps: vec![virtual_environment(), step("install Python packages", install)],
        checks: check(files, project.tool.contains_key("pytest")),
        inputs: present(files, &["uv.lock", "poetry.lock", "setup.py"]),
    })
}

pub(super) fn requirements(files: &Files) -> Result<Found, PlanError> {
    let lists = present(files, &["requirements.txt", "requirements-dev.txt"]);
    let install: String = lists.iter().map(|list| format!(" -r {list}")).collect();
    Ok(Found {
        steps: vec![virtual_environment(), step("install Python packages", format!("{PIP}{install}"))],
        checks: check(files, files.text("requirements-dev.txt").is_some_and(|list| list.contains("pytest"))),
        inputs: lists,
    })
}

fn virtual_environment() -> nightshift_protocol::SetUpStep {
    step("make a virtual environment", "python3 -m venv .venv")
}

fn check(files: &Files, pytest: bool) -> Vec<nightshift_protocol::SetUpStep> {
    let tests = files.has_folder("tests") || files.has_folder("test");
    match (pytest, tests) {
        (true, _) => vec![step("pytest", ".venv/bin/python -m pytest -q")],
        // Where nobody says what runs the tests, what can be had with Python alone does unless pytest was installed.
        (false, true) => {
            let folder = if files.has_folder("tests") { "tests" } else { "test" };
            let run = format!(
                "if .venv/bin/python -c 'import pytest' 2>/dev/null; then .venv/bin/python -m pytest -q; \
                 else .venv/bin/python -m unittest discover -s {folder} -t .; fi"
            );
            vec![step("Python tests", run)]
        }
        (false, false) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(files: &[(&str, &str)]) -> Vec<String> {
        let found = pyproject(&Files::of(files)).unwrap();
        found.steps.into_iter().chain(found.checks).skip(1).map(|step| step.run).collect()
    }

    #[test]
    fn what_locks_the_packages_installs_them() {
        let project = ("pyproject.toml", "[tool.pytest.ini_options]\n[build-system]\nrequires = []\n");
        let pip = ".venv/bin/python -m pip install --disable-pip-version-check";
        for (files, install) in [
            (vec![project, ("uv.lock", "")], format!("{pip} uv && .venv/bin/uv sync --frozen --inexact")),
            (
                vec![project, ("poetry.lock", "")],
                format!("{pip} poetry && .venv/bin/poetry install --no-interaction"),
            ),
            (vec![project], format!("{pip} --editable '.'")),
        ] {
            assert_eq!(commands(&files), [install, ".venv/bin/python -m pytest -q".to_owned()], "{files:?}");
        }
    }

    #[test]
    fn extras_and_groups_for_tests_are_installed_too() {
        let text = "[project]\nname = 'x'\n[project.optional-dependencies]\ntest = ['pytest']\n\
                    [dependency-groups]\ndev = ['ruff']\n[build-system]\nrequires = []\n";
        assert_eq!(
            commands(&[("pyproject.toml", text)]),
            [".venv/bin/python -m pip install --disable-pip-version-check --editable '.[test]' --group dev"]
        );
    }

    #[test]
    fn a_list_of_requirements_is_installed_and_tests_are_found_by_their_folder() {
        let files = Files::of(&[("requirements.txt", "six"), ("tests/test_x.py", "")]);
        let found = requirements(&files).unwrap();
        assert_eq!(
            found.steps[1].run,
            ".venv/bin/python -m pip install --disable-pip-version-check -r requirements.txt"
        );
        assert!(found.checks[0].run.contains("unittest discover -s tests"), "{:?}", found.checks);
    }

    #[test]
    fn a_manifest_that_is_no_toml_is_named() {
        assert_eq!(pyproject(&Files::of(&[("pyproject.toml", "[")])).unwrap_err().path, "pyproject.toml");
    }
}
