//! What a reviewer should know of a diff before reading it: found by rules, not by a model.

use std::borrow::Cow;
use std::collections::HashSet;

use nightshift_protocol::{PreReviewFinding, PreReviewKind};

use crate::FileChange;
use crate::secrets::Redactor;

/// Changed lines above which a diff is called large; of more, reviewers find less ("Modern Code Review: A Case Study
/// at Google", 2018, reports a median far below).
const LARGE: u64 = 400;

/// The size above which a binary file is named, in bytes.
const LARGE_BINARY: u64 = 1 << 20;

/// Paths named in one finding at most.
const NAMED: usize = 8;

/// What is known of a diff.
#[derive(Debug, Clone, Copy)]
pub struct DiffFacts<'a> {
    /// The files that differ.
    pub changed_files: &'a [FileChange],
    /// The diff as text, in git's form.
    pub diff: &'a str,
    /// The diffs of all commits, one after the other: what is pushed.
    pub history: &'a str,
    /// Sizes of the binary files in it, in bytes.
    pub binary_sizes: &'a [(String, u64)],
    /// The messages of its commits.
    pub messages: &'a str,
    /// The commands the agent ran, and their exit statuses.
    pub commands: &'a [(String, Option<i32>)],
    /// The repository's lint as it was run on the work, if it has one.
    pub lint: Option<&'a LintRun>,
    /// Paths that agents may not change; `*` stands for any characters.
    pub forbidden: &'a [String],
}

/// The repository's lint, run on what is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LintRun {
    /// The command.
    pub command: String,
    /// Its exit status; `None` when it was ended by a signal or the time limit.
    pub exit_code: Option<i32>,
    /// The last of what it printed.
    pub output_tail: String,
}

/// A secret in what is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SecretPlace {
    /// What kind, for example `GitHub token`.
    pub kind: String,
    /// Where, for example `src/app.js line 7`.
    pub place: String,
}

/// Finds the secrets that a delivery would give away: in lines that any of its commits adds, names of files and messages
/// of commits. Each place is named once.
pub fn secrets_in(facts: &DiffFacts<'_>, redactor: &Redactor) -> Vec<SecretPlace> {
    places(facts, redactor, true)
}

/// The places of what is certain to be a secret, or of what only looks like one.
fn places(facts: &DiffFacts<'_>, redactor: &Redactor, certain: bool) -> Vec<SecretPlace> {
    let mut places = Vec::new();
    // A diff may be made of nothing else: what was seen is looked up and not searched for.
    let mut seen = HashSet::new();
    let mut look = |text: &str, place: &dyn Fn() -> String| {
        // Text of two bytes a letter is searched as text of one.
        let text = if text.contains('\0') { Cow::Owned(text.replace('\0', "")) } else { Cow::Borrowed(text) };
        for found in redactor.find(&text).into_iter().filter(|found| found.certain == certain) {
            let place = SecretPlace { kind: found.kind, place: place() };
            if seen.insert(place.clone()) {
                places.push(place);
            }
        }
    };
    let mut now = HashSet::new();
    for added in added_lines(facts.diff) {
        look(added.text, &|| format!("{} line {}", added.path, added.line));
        now.insert((added.path, added.text));
    }
    for added in added_lines(facts.history).filter(|added| !now.contains(&(added.path, added.text))) {
        look(added.text, &|| format!("{}, as an earlier commit has it, line {}", added.path, added.line));
        look(added.path, &|| "the name of a file".to_owned());
    }
    for change in facts.changed_files {
        look(&change.path, &|| "the name of a file".to_owned());
    }
    look(facts.messages, &|| "the message of a commit".to_owned());
    places
}

/// Looks a diff through. The findings are ordered: what stops a delivery first, what is only good to know last.
pub fn pre_review(facts: &DiffFacts<'_>, redactor: &Redactor) -> Vec<PreReviewFinding> {
    let mut findings = Vec::new();
    let mut add = |kind: PreReviewKind, paths: Vec<&str>, words: &str| {
        let more = paths.len().saturating_sub(NAMED);
        let mut named: Vec<String> = paths.into_iter().take(NAMED).map(str::to_owned).collect();
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        findings.push(PreReviewFinding { kind, paths: named, words: words.to_owned() });
    };
    let of = |is: &dyn Fn(&str) -> bool| -> Vec<&str> {
        facts.changed_files.iter().map(|change| change.path.as_str()).filter(|path| is(path)).collect()
    };
    let forbidden = of(&|path| facts.forbidden.iter().any(|pattern| matches(pattern, path)));
    if !forbidden.is_empty() {
        add(PreReviewKind::ForbiddenPath, forbidden, "Agents may not change these paths here.");
    }
    let likely = places(facts, redactor, false);
    if !likely.is_empty() {
        let more = likely.len().saturating_sub(NAMED);
        let mut named: Vec<String> =
            likely.iter().take(NAMED).map(|one| format!("{} in {}", one.kind, one.place)).collect();
        if more > 0 {
            named.push(format!("and {more} more"));
        }
        let words = format!("This looks like a secret, and may be none: {}.", named.join("; "));
        add(PreReviewKind::PossibleSecret, Vec::new(), &words);
    }
    let lint = lint(facts);
    if let Some((PreReviewKind::LintFailed, words)) = &lint {
        add(PreReviewKind::LintFailed, Vec::new(), words);
    }
    let sensitive = of(&is_sensitive);
    if !sensitive.is_empty() {
        add(
            PreReviewKind::Sensitive,
            sensitive,
            "These decide over access, deployment or data: read them first.",
        );
    }
    let licence = of(&is_licence);
    let foreign: Vec<&str> =
        added_lines(facts.diff).filter(|line| speaks_of_licence(line.text)).map(|line| line.path).collect();
    let licence: Vec<&str> = dedup(licence.into_iter().chain(foreign));
    if !licence.is_empty() {
        add(PreReviewKind::Licence, licence, "A licence was changed, or code with a licence text came in.");
    }
    let deleted = deleted_files(facts.diff);
    let deleted_tests: Vec<&str> = deleted.iter().copied().filter(|path| is_test(path)).collect();
    if !deleted_tests.is_empty() {
        add(PreReviewKind::TestsDeleted, deleted_tests, "Tests were deleted.");
    }
    let shrunk: Vec<&str> = facts
        .changed_files
        .iter()
        .filter(|change| is_test(&change.path) && !deleted.contains(&change.path.as_str()))
        .filter(|change| change.lines.is_some_and(|lines| lines.removed > lines.added))
        .map(|change| change.path.as_str())
        .collect();
    if !shrunk.is_empty() {
        add(PreReviewKind::TestsChanged, shrunk, "Tests lost more lines than they won.");
    }
    let binaries: Vec<&str> = facts
        .binary_sizes
        .iter()
        .filter(|(_, size)| *size > LARGE_BINARY)
        .map(|(path, _)| path.as_str())
        .collect();
    if !binaries.is_empty() {
        add(
            PreReviewKind::LargeBinary,
            binaries,
            "Binary files of more than 1 MiB stay in the history for ever.",
        );
    }
    let by_hand = facts.changed_files.iter().filter(|change| !is_generated(&change.path));
    let lines: u64 = by_hand.map(FileChange::size).sum();
    if lines > LARGE {
        add(PreReviewKind::Size, Vec::new(), &format!("{lines} changed lines are much for one review."));
    }
    let generated = of(&is_generated);
    if !generated.is_empty() {
        add(PreReviewKind::Generated, generated, "Made by programs: their sources are what is to be read.");
    }
    let code = of(&|path| is_code(path) && !is_test(path));
    if !code.is_empty() && of(&is_test).is_empty() {
        add(PreReviewKind::NoTests, Vec::new(), "Code changed and no test did.");
    }
    if let Some((PreReviewKind::Lint, words)) = &lint {
        add(PreReviewKind::Lint, Vec::new(), words);
    }
    findings
}

/// How the repository's lint ended: as it was run on the work, or else as the agent ran one last.
fn lint(facts: &DiffFacts<'_>) -> Option<(PreReviewKind, String)> {
    if let Some(LintRun { command, exit_code, output_tail }) = facts.lint {
        let last = output_tail.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let said = last.map(|line| format!(" It ended with: {line}")).unwrap_or_default();
        return Some(match exit_code {
            Some(0) => (
                PreReviewKind::Lint,
                format!("The repository's lint passed on what is delivered: {command}."),
            ),
            Some(code) => (
                PreReviewKind::LintFailed,
                format!(
                    "The repository's lint failed on what is delivered, with exit code {code}: {command}.{said}"
                ),
            ),
            None => (
                PreReviewKind::LintFailed,
                format!("The repository's lint did not end by itself on what is delivered: {command}.{said}"),
            ),
        });
    }
    match facts.commands.iter().rev().find(|(command, _)| is_lint(command)) {
        Some((command, Some(0))) => {
            Some((PreReviewKind::Lint, format!("The last lint of the agent passed: {command}")))
        }
        Some((command, _)) => {
            Some((PreReviewKind::LintFailed, format!("The last lint of the agent failed: {command}")))
        }
        None => {
            let code = facts.changed_files.iter().any(|one| is_code(&one.path) && !is_test(&one.path));
            code.then(|| (PreReviewKind::Lint, "No lint was run.".to_owned()))
        }
    }
}

/// A line that a diff adds.
struct AddedLine<'a> {
    path: &'a str,
    line: u64,
    text: &'a str,
}

fn added_lines(diff: &str) -> impl Iterator<Item = AddedLine<'_>> {
    let (mut path, mut line, mut in_hunk) = ("", 0, false);
    diff.lines().filter_map(move |text| {
        if text.starts_with("diff --git ") {
            in_hunk = false;
        } else if let Some(name) = text.strip_prefix("+++ ").filter(|_| !in_hunk) {
            path = name.strip_prefix("b/").unwrap_or(name);
        } else if let Some(hunk) = text.strip_prefix("@@ ") {
            in_hunk = true;
            let start = hunk.split('+').nth(1).and_then(|rest| rest.split([',', ' ']).next());
            line = start.and_then(|start| start.parse().ok()).unwrap_or(0);
        } else if in_hunk {
            match text.as_bytes().first() {
                Some(b'+') => {
                    line += 1;
                    return Some(AddedLine { path, line: line - 1, text: &text[1..] });
                }
                Some(b' ') => line += 1,
                _ => {}
            }
        }
        None
    })
}

fn deleted_files(diff: &str) -> Vec<&str> {
    let mut deleted = Vec::new();
    let mut lines = diff.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(names) = line.strip_prefix("diff --git a/") else { continue };
        if lines.peek().is_some_and(|next| next.starts_with("deleted file mode")) {
            // Both names are the same: half of what is left without the ` b/` between them.
            deleted.push(&names[..(names.len().saturating_sub(3)) / 2]);
        }
    }
    deleted
}

fn dedup<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = paths.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a path fits a pattern, in which `*` stands for any characters, slashes too.
fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| path.strip_prefix(first)) else { return false };
    if !pattern.contains('*') {
        return rest.is_empty() || rest.starts_with('/') || pattern.ends_with('/');
    }
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return true };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn is_test(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let folder = lower
        .split('/')
        .rev()
        .skip(1)
        .any(|part| matches!(part, "test" | "tests" | "spec" | "specs" | "__tests__" | "e2e"));
    let words: Vec<&str> = file_name(&lower).split(['.', '_', '-']).collect();
    folder || words.contains(&"test") || words.contains(&"tests") || words.contains(&"spec")
}

fn is_code(path: &str) -> bool {
    const ENDINGS: [&str; 24] = [
        "rs", "js", "jsx", "mjs", "ts", "tsx", "py", "go", "java", "kt", "rb", "php", "c", "h", "cc", "cpp",
        "cs", "swift", "scala", "ex", "sh", "vue", "svelte", "sql",
    ];
    file_name(path).rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
        && !is_generated(path)
}

fn is_generated(path: &str) -> bool {
    const NAMES: [&str; 11] = [
        "package-lock.json",
        "yarn.lock",
        "pnpm-lock.yaml",
        "bun.lock",
        "Cargo.lock",
        "poetry.lock",
        "uv.lock",
        "go.sum",
        "composer.lock",
        "Gemfile.lock",
        "flake.lock",
    ];
    let folder = path
        .split('/')
        .rev()
        .skip(1)
        .any(|part| matches!(part, "dist" | "node_modules" | "vendor" | "__snapshots__" | "generated"));
    let name = file_name(path);
    folder
        || NAMES.contains(&name)
        || name.ends_with(".min.js")
        || name.ends_with(".min.css")
        || name.contains(".pb.")
        || name.contains(".generated.")
}

fn is_sensitive(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let starts = [".github/", ".gitlab-ci", ".circleci/", "terraform/", "infra/", "deploy/", "k8s/", "helm/"];
    let words: Vec<&str> = lower.split(['/', '.', '_', '-']).collect();
    let about = [
        "auth",
        "authentication",
        "authorization",
        "login",
        "session",
        "crypto",
        "password",
        "permission",
        "permissions",
        "security",
        "secrets",
        "migration",
        "migrations",
        "codeowners",
        "dockerfile",
        "payment",
        "payments",
        "billing",
    ];
    starts.iter().any(|start| lower.starts_with(start)) || words.iter().any(|word| about.contains(word))
}

fn is_licence(path: &str) -> bool {
    let name = file_name(path).to_ascii_uppercase();
    ["LICENSE", "LICENCE", "COPYING", "NOTICE"].iter().any(|start| name.starts_with(start))
}

fn speaks_of_licence(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    ["spdx-license-identifier:", "gnu general public license", "gnu affero", "all rights reserved"]
        .iter()
        .any(|words| lower.contains(words))
}

/// Whether a command's exit status is that of a lint: it ends with one, and nothing forgives its failure.
pub fn is_lint(command: &str) -> bool {
    const LINTS: [&str; 16] = [
        "npm run lint",
        "make lint",
        "yarn lint",
        "pnpm lint",
        "cargo clippy",
        "cargo fmt",
        "ruff",
        "eslint",
        "biome",
        "prettier --check",
        "flake8",
        "mypy",
        "golangci-lint",
        "go vet",
        "rubocop",
        "pre-commit run",
    ];
    // What runs another program.
    const BEFORE: [&str; 9] = ["npx", "pnpm", "yarn", "bunx", "uv", "poetry", "run", "time", "env"];
    let forgiving = ["||", ";", "\n", "|"].iter().any(|join| command.trim_end().contains(join));
    let last = command.rsplit("&&").next().unwrap_or_default();
    let words = last.split_whitespace().skip_while(|word| {
        let variable =
            word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains(['-', '/']));
        variable
            || (BEFORE.contains(word)
                && !["yarn lint", "pnpm lint"].iter().any(|lint| last.trim().starts_with(lint)))
    });
    let run = words.collect::<Vec<_>>().join(" ");
    let starts = |lint: &str| run == lint || run.strip_prefix(lint).is_some_and(|rest| rest.starts_with(' '));
    !forgiving && LINTS.iter().any(|lint| starts(lint))
}

#[cfg(test)]
mod tests;
