//! The rules, each a pure function over the files it reads.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::counts::{Count, Counts};

/// A file of ours is split before it has more lines than this.
const LONGEST_FILE: usize = 800;

/// Which crates of ours each crate may depend on. The programs at the end may use them all.
const GRAPH: &[(&str, &[&str])] = &[
    ("nightshift-protocol", &[]),
    ("nightshift-allocator", &[]),
    ("nightshift-agent", &["nightshift-protocol"]),
    ("nightshift-model", &["nightshift-protocol"]),
    ("nightshift-sandbox", &["nightshift-protocol"]),
    ("nightshift-browser", &["nightshift-protocol"]),
    ("nightshift-channel", &["nightshift-protocol"]),
    ("nightshift-screen", &["nightshift-protocol"]),
    ("nightshift-store", &["nightshift-protocol"]),
    ("nightshift-egress", &["nightshift-protocol"]),
    ("nightshift-engine", &["nightshift-protocol"]),
    ("nightshift-forge", &["nightshift-protocol"]),
    ("nightshift-mcp", &["nightshift-protocol"]),
    ("nightshift-mcp-client", &["nightshift-protocol"]),
    ("nightshift-testing", &["nightshift-guest", "nightshift-protocol", "nightshift-sandbox"]),
    ("nightshift-client", &["nightshift-protocol"]),
    ("nightshift-desktop", &["nightshift-client", "nightshift-protocol"]),
    ("nightshift-app", &["nightshift-client", "nightshift-desktop", "nightshift-protocol"]),
    ("nightshift-guest", &["nightshift-channel"]),
    ("nightshift-image", &["nightshift-sandbox"]),
    ("nightshift-qemu", &["nightshift-image", "nightshift-protocol", "nightshift-sandbox"]),
    ("nightshift-libvirt", &["nightshift-image", "nightshift-protocol", "nightshift-sandbox"]),
    (
        "nightshift-supervisor",
        &[
            "nightshift-agent",
            "nightshift-browser",
            "nightshift-channel",
            "nightshift-egress",
            "nightshift-engine",
            "nightshift-forge",
            "nightshift-mcp-client",
            "nightshift-model",
            "nightshift-protocol",
            "nightshift-sandbox",
            "nightshift-screen",
            "nightshift-store",
        ],
    ),
    (
        "nightshift-api",
        &["nightshift-forge", "nightshift-protocol", "nightshift-store", "nightshift-supervisor"],
    ),
    ("nightshift-server", &["nightshift-api", "nightshift-protocol"]),
    (
        "nightshift-cli",
        &[
            "nightshift-agent",
            "nightshift-allocator",
            "nightshift-api",
            "nightshift-client",
            "nightshift-egress",
            "nightshift-engine",
            "nightshift-forge",
            "nightshift-libvirt",
            "nightshift-mcp",
            "nightshift-mcp-client",
            "nightshift-model",
            "nightshift-protocol",
            "nightshift-qemu",
            "nightshift-sandbox",
            "nightshift-server",
            "nightshift-store",
            "nightshift-supervisor",
        ],
    ),
    (
        "nightshift-bench",
        &[
            "nightshift-allocator",
            "nightshift-channel",
            "nightshift-protocol",
            "nightshift-qemu",
            "nightshift-sandbox",
            "nightshift-screen",
            "nightshift-store",
            "nightshift-supervisor",
            "nightshift-testing",
        ],
    ),
    ("xtask", &[]),
];

/// Tests that there are for a thousand lines of Rust at the least, in tenths.
const FEWEST_TESTS: usize = 150;

/// Words that name a role and not a thing (`docs/style.md`, rule 11).
const FORBIDDEN_ENDINGS: [&str; 6] = ["Manager", "Helper", "Helpers", "Util", "Utils", "Processor"];

/// Module and crate names that gather what has no place.
const FORBIDDEN_MODULES: [&str; 6] = ["core", "common", "util", "utils", "helpers", "types"];

/// A rule that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    file: PathBuf,
    what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.file.display(), self.what)
    }
}

/// Checks the whole repository at `root`.
pub(crate) fn check(root: &Path) -> std::io::Result<Vec<Breach>> {
    let mut found = Vec::new();
    let mut packages = vec![root.join("xtask"), root.join("app")];
    for entry in std::fs::read_dir(root.join("crates"))? {
        packages.push(entry?.path());
    }
    packages.sort();
    for package in packages {
        let manifest = package.join("Cargo.toml");
        found.extend(check_manifest(&manifest, &std::fs::read_to_string(&manifest)?));
        for file in rust_files(&package)? {
            found.extend(check_source(&file, &std::fs::read_to_string(&file)?));
        }
    }
    found.extend(check_tests(Counts::read(root)?.sum()));
    for breach in &mut found {
        breach.file = breach.file.strip_prefix(root).unwrap_or(&breach.file).to_path_buf();
    }
    Ok(found)
}

/// There are enough tests for the lines there are: `cargo xtask tests` shows where they are few.
fn check_tests(sum: Count) -> Option<Breach> {
    let what = format!("{} tests in {} lines of Rust are fewer than 15 in a thousand", sum.tests, sum.lines);
    (sum.tenths() < FEWEST_TESTS).then(|| Breach { file: PathBuf::from("crates"), what })
}

/// The Rust files in a folder and those in it, in order.
pub(crate) fn rust_files(package: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![package.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The crate graph: a manifest names only the crates of ours that its place allows, and takes the workspace's lints.
fn check_manifest(file: &Path, text: &str) -> Vec<Breach> {
    let breach = |what: String| Breach { file: file.to_path_buf(), what };
    let manifest: toml::Table = match text.parse() {
        Ok(manifest) => manifest,
        Err(error) => return vec![breach(format!("is no TOML: {error}"))],
    };
    let name = manifest.get("package").and_then(|package| package.get("name")).and_then(|name| name.as_str());
    let Some(name) = name else { return vec![breach("names no package".to_owned())] };
    let mut found = Vec::new();
    let lints = manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool);
    if lints != Some(true) {
        found.push(breach("does not take the workspace's lints".to_owned()));
    }
    let folder = file.parent().and_then(Path::file_name).and_then(|folder| folder.to_str());
    // The window is a program at the top, beside the web UI it shows.
    if folder != Some(name) && (folder, name) != (Some("app"), "nightshift-app") {
        found.push(breach(format!("the package {name} is in a folder of another name")));
    }
    let Some((_, allowed)) = GRAPH.iter().find(|(known, _)| *known == name) else {
        found.push(breach(format!("the crate graph in xtask does not know {name}")));
        return found;
    };
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    for dependency in dependencies.into_iter().flatten().map(|(key, _)| key.as_str()) {
        if dependency.starts_with("nightshift-") && !allowed.contains(&dependency) {
            found.push(breach(format!("{name} may not depend on {dependency}")));
        }
    }
    found
}

fn check_source(file: &Path, text: &str) -> Vec<Breach> {
    let breach = |what: String| Breach { file: file.to_path_buf(), what };
    let mut found = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        found.push(breach(format!("has {lines} lines, more than {LONGEST_FILE}: split it")));
    }
    let is_root = file.ends_with("src/lib.rs") || file.ends_with("src/main.rs");
    if is_root && !text.starts_with("//! ") {
        found.push(breach("a crate's first line says what it is".to_owned()));
    }
    if let Some(stem) = file.file_stem().and_then(|stem| stem.to_str())
        && FORBIDDEN_MODULES.contains(&stem)
    {
        found.push(breach(format!("a module named {stem} gathers what has no place")));
    }
    for (number, line) in text.lines().enumerate() {
        if let Some(name) = declared(line)
            && FORBIDDEN_ENDINGS.iter().any(|ending| name.len() > ending.len() && name.ends_with(ending))
        {
            found.push(breach(format!("line {}: {name} names a role and not a thing", number + 1)));
        }
    }
    found
}

/// The name of the type that a line declares.
fn declared(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| word.starts_with("pub"));
    let keyword = words.next()?;
    if !matches!(keyword, "struct" | "enum" | "trait" | "type" | "union") {
        return None;
    }
    let name = words.next()?;
    let end =
        name.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(name.len());
    Some(&name[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(name: &str, rest: &str) -> String {
        format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n[dependencies]\n{rest}")
    }

    fn said(found: &[Breach]) -> Vec<&str> {
        found.iter().map(|breach| breach.what.as_str()).collect()
    }

    #[test]
    fn this_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        let found = check(root).unwrap_or_default();
        assert!(found.is_empty(), "{}", found.iter().map(|breach| format!("{breach}\n")).collect::<String>());
    }

    #[test]
    fn siblings_may_not_see_each_other() {
        let text = manifest("nightshift-agent", "nightshift-model.workspace = true\n");
        let found = check_manifest(Path::new("crates/nightshift-agent/Cargo.toml"), &text);
        assert_eq!(said(&found), ["nightshift-agent may not depend on nightshift-model"]);
    }

    #[test]
    fn what_only_tests_use_may_be_a_sibling() {
        let text =
            manifest("nightshift-model", "") + "[dev-dependencies]\nnightshift-testing.workspace = true\n";
        assert_eq!(check_manifest(Path::new("crates/nightshift-model/Cargo.toml"), &text), []);
    }

    #[test]
    fn a_crate_nobody_placed_is_named() {
        let text = manifest("nightshift-extra", "");
        let found = check_manifest(Path::new("crates/nightshift-extra/Cargo.toml"), &text);
        assert_eq!(said(&found), ["the crate graph in xtask does not know nightshift-extra"]);
    }

    #[test]
    fn lints_cannot_be_left_out() {
        let text = "[package]\nname = \"xtask\"\n";
        let found = check_manifest(Path::new("xtask/Cargo.toml"), text);
        assert_eq!(said(&found), ["does not take the workspace's lints"]);
    }

    #[test]
    fn a_file_that_grew_too_long_is_named() {
        let found = check_source(Path::new("src/a.rs"), &"\n".repeat(LONGEST_FILE + 1));
        assert_eq!(said(&found), ["has 801 lines, more than 800: split it"]);
    }

    #[test]
    fn a_type_named_by_its_role_is_refused_and_others_are_not() {
        let found = check_source(
            Path::new("src/a.rs"),
            "pub struct RunManager<T> {\nstruct Managers;\n// struct XManager\n",
        );
        assert_eq!(said(&found), ["line 1: RunManager names a role and not a thing"]);
    }

    #[test]
    fn a_module_of_leftovers_is_refused() {
        let found = check_source(Path::new("src/utils.rs"), "fn main() {}\n");
        assert_eq!(said(&found), ["a module named utils gathers what has no place"]);
    }

    #[test]
    fn too_few_tests_are_found_and_just_enough_are_not() {
        let found = check_tests(Count { lines: 10_000, tests: 149 });
        assert_eq!(
            found.map(|breach| breach.to_string()).as_deref(),
            Some("crates: 149 tests in 10000 lines of Rust are fewer than 15 in a thousand")
        );
        assert_eq!(check_tests(Count { lines: 10_000, tests: 150 }), None);
    }
}
