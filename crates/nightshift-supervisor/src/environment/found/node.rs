//! `package.json`: which package manager, and which script is the check.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::{Found, present, step};
use crate::environment::files::Files;
use crate::environment::plan::PlanError;

const PATH: &str = "package.json";
/// What npm writes for a package that has no test.
const NO_TEST: &str = "no test specified";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Package {
    scripts: BTreeMap<String, String>,
    dependencies: BTreeMap<String, serde_json::Value>,
    dev_dependencies: BTreeMap<String, serde_json::Value>,
    optional_dependencies: BTreeMap<String, serde_json::Value>,
    workspaces: Option<serde_json::Value>,
    package_manager: Option<String>,
}

pub(super) fn find(files: &Files) -> Result<Found, PlanError> {
    let text = files.text(PATH).unwrap_or_default();
    let package: Package = serde_json::from_str(&text).map_err(|error| PlanError::new(PATH, error))?;
    let lock =
        files.first(&["pnpm-lock.yaml", "yarn.lock", "bun.lock", "package-lock.json", "npm-shrinkwrap.json"]);
    let pinned = package.package_manager.as_deref().and_then(pinned);
    let (manager, install) = match (pinned, lock) {
        (Some(("pnpm", version)), _) => pnpm(version),
        (Some(("yarn", version)), _) => yarn(version),
        (None | Some(_), Some("pnpm-lock.yaml")) => pnpm("latest"),
        (None | Some(_), Some("yarn.lock")) if files.has(".yarnrc.yml") => yarn("4"),
        (None | Some(_), Some("yarn.lock")) => yarn("1"),
        (None | Some(_), Some("bun.lock")) => ("npm", "npx --yes bun@1 install --frozen-lockfile".to_owned()),
        (None | Some(_), Some(_)) => ("npm", "npm ci --no-audit --no-fund".to_owned()),
        // Without a lock file none is left behind, which the agent would have to explain.
        (None | Some(_), None) => ("npm", "npm install --no-package-lock --no-audit --no-fund".to_owned()),
    };
    let depends = lock.is_some()
        || package.workspaces.is_some()
        || [&package.dependencies, &package.dev_dependencies, &package.optional_dependencies]
            .iter()
            .any(|list| !list.is_empty());
    let script = |name: &str| package.scripts.get(name).filter(|script| !script.contains(NO_TEST));
    let check = ["test", "check", "build"].into_iter().find(|name| script(name).is_some());
    let check = check.map(|name| match name {
        "test" => step("npm test", "npm test"),
        name => step(&format!("npm run {name}"), format!("npm run {name}")),
    });
    Ok(Found {
        steps: if depends { vec![step(&format!("install {manager} packages"), install)] } else { Vec::new() },
        checks: check.into_iter().collect(),
        inputs: present(
            files,
            &[
                "package-lock.json",
                "npm-shrinkwrap.json",
                "pnpm-lock.yaml",
                "pnpm-workspace.yaml",
                "yarn.lock",
                ".yarnrc.yml",
                "bun.lock",
                ".npmrc",
            ],
        ),
    })
}

/// Reads `pnpm@9.1.0+sha512.…` (Node.js documentation, "packageManager"). What is no plain version is left out: it would
/// be part of a command.
fn pinned(text: &str) -> Option<(&str, &str)> {
    let (name, version) = text.split_once('@')?;
    let version = version.split('+').next().unwrap_or_default();
    let plain = |character: char| character.is_ascii_alphanumeric() || ".-".contains(character);
    (!version.is_empty() && version.chars().all(plain)).then_some((name, version))
}

fn pnpm(version: &str) -> (&'static str, String) {
    ("pnpm", format!("npx --yes pnpm@{version} install --frozen-lockfile"))
}

/// Versions from 2 on are published under another name.
fn yarn(version: &str) -> (&'static str, String) {
    let command = if version == "1" || version.starts_with("1.") {
        format!("npx --yes yarn@{version} install --frozen-lockfile")
    } else {
        format!("npx --yes -p @yarnpkg/cli-dist@{version} yarn install --immutable")
    };
    ("yarn", command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(files: &[(&str, &str)]) -> Vec<String> {
        let found = find(&Files::of(files)).unwrap();
        found.steps.into_iter().chain(found.checks).map(|step| step.run).collect()
    }

    #[test]
    fn the_package_manager_is_the_one_that_is_pinned_or_whose_lock_file_is_there() {
        let plain = ("package.json", "{}");
        for (files, install) in [
            (vec![plain, ("package-lock.json", "")], "npm ci --no-audit --no-fund"),
            (vec![plain, ("pnpm-lock.yaml", "")], "npx --yes pnpm@latest install --frozen-lockfile"),
            (vec![plain, ("yarn.lock", "")], "npx --yes yarn@1 install --frozen-lockfile"),
            (
                vec![plain, ("yarn.lock", ""), (".yarnrc.yml", "")],
                "npx --yes -p @yarnpkg/cli-dist@4 yarn install --immutable",
            ),
            (vec![plain, ("bun.lock", "")], "npx --yes bun@1 install --frozen-lockfile"),
            (
                vec![
                    ("package.json", r#"{"packageManager": "pnpm@9.1.0+sha512.ab"}"#),
                    ("package-lock.json", ""),
                ],
                "npx --yes pnpm@9.1.0 install --frozen-lockfile",
            ),
        ] {
            assert_eq!(commands(&files), [install], "{files:?}");
        }
    }

    #[test]
    fn a_version_that_would_be_a_command_is_not_taken() {
        let package = r#"{"packageManager": "pnpm@1; curl evil", "dependencies": {"a": "1"}}"#;
        assert_eq!(
            commands(&[("package.json", package)]),
            ["npm install --no-package-lock --no-audit --no-fund"]
        );
    }

    #[test]
    fn the_check_is_the_test_or_else_the_build_and_never_the_one_npm_made_up() {
        let made_up =
            r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1", "build": "tsc"}}"#;
        assert_eq!(commands(&[("package.json", made_up)]), ["npm run build"]);
        assert_eq!(
            commands(&[("package.json", r#"{"scripts": {"test": "vitest", "build": "x"}}"#)]),
            ["npm test"]
        );
    }

    #[test]
    fn a_package_without_dependencies_installs_nothing() {
        assert_eq!(commands(&[("package.json", "{}")]), Vec::<String>::new());
    }

    #[test]
    fn a_manifest_that_is_no_json_is_named() {
        assert_eq!(find(&Files::of(&[("package.json", "{")])).unwrap_err().path, "package.json");
    }
}
