use super::*;
use crate::LineCounts;

fn change(path: &str, added: u64, removed: u64) -> FileChange {
    FileChange { path: path.to_owned(), lines: Some(LineCounts { added, removed }) }
}

fn found(
    changed: &[FileChange],
    diff: &str,
    commands: &[(String, Option<i32>)],
) -> Vec<(PreReviewKind, Vec<String>)> {
    let forbidden = ["deploy/".to_owned(), "*.pem".to_owned()];
    let facts = DiffFacts {
        changed_files: changed,
        diff,
        history: diff,
        binary_sizes: &[],
        messages: "",
        commands,
        lint: None,
        forbidden: &forbidden,
    };
    pre_review(&facts, &Redactor::default())
        .into_iter()
        .map(|finding| (finding.kind, finding.paths))
        .collect()
}

#[test]
fn a_small_change_with_its_test_and_lint_has_only_good_news() {
    let changed = [change("src/a.js", 5, 1), change("test/a.test.js", 9, 0)];
    let lint = [("npm run lint".to_owned(), Some(0))];
    assert_eq!(found(&changed, "", &lint), [(PreReviewKind::Lint, vec![])]);
}

#[test]
fn what_needs_a_look_is_named_in_order() {
    let diff = "diff --git a/test/b.test.js b/test/b.test.js\ndeleted file mode 100644\n--- a/test/b.test.js\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n\
                diff --git a/src/c.js b/src/c.js\n--- a/src/c.js\n+++ b/src/c.js\n@@ -1,2 +1,3 @@\n a\n+// SPDX-License-Identifier: GPL-3.0\n b\n";
    let changed = [
        change("deploy/keys/x.pem", 1, 0),
        change("src/auth/login.js", 500, 0),
        change("test/b.test.js", 0, 1),
        change("test/c.test.js", 1, 4),
        change("src/c.js", 1, 0),
        change("package-lock.json", 9_000, 0),
    ];
    let kinds: Vec<_> = found(&changed, diff, &[]).into_iter().map(|(kind, _)| kind).collect();
    use PreReviewKind::*;
    assert_eq!(kinds, [ForbiddenPath, Sensitive, Licence, TestsDeleted, TestsChanged, Size, Generated, Lint]);
}

#[test]
fn a_secret_is_named_by_file_and_line_and_never_shown() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let diff = format!(
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -3,2 +7,3 @@\n a\n+token {token}\n-gone {token}\n b\n"
    );
    let facts = DiffFacts {
        changed_files: &[],
        diff: &diff,
        history: &diff,
        binary_sizes: &[],
        messages: &token,
        commands: &[],
        lint: None,
        forbidden: &[],
    };
    let places = secrets_in(&facts, &Redactor::default());
    let named: Vec<&str> = places.iter().map(|place| place.place.as_str()).collect();
    assert_eq!(named, ["x line 8", "the message of a commit"]);
    assert!(!format!("{places:?}").contains(&token));
}

#[test]
fn a_secret_that_a_later_commit_takes_away_and_one_between_zero_bytes_are_found_once() {
    let token = format!("ghp_{}", "a1B2".repeat(9));
    let wide: String = token.chars().flat_map(|letter| [letter, '\0']).collect();
    let added = format!("diff --git a/.env b/.env\n--- /dev/null\n+++ b/.env\n@@ -0,0 +1 @@\n+{token}\n");
    let removed = format!("diff --git a/.env b/.env\n--- a/.env\n+++ /dev/null\n@@ -1 +0,0 @@\n-{token}\n");
    let utf_16 = format!("diff --git a/w b/w\n--- /dev/null\n+++ b/w\n@@ -0,0 +1 @@\n+{wide}\n");
    let facts = DiffFacts {
        changed_files: &[],
        diff: &utf_16,
        history: &format!("{removed}{added}{utf_16}"),
        binary_sizes: &[],
        messages: "",
        commands: &[],
        lint: None,
        forbidden: &[],
    };
    let places = secrets_in(&facts, &Redactor::default());
    let named: Vec<&str> = places.iter().map(|place| place.place.as_str()).collect();
    assert_eq!(named, ["w line 1", ".env, as an earlier commit has it, line 1"]);
}

#[test]
fn what_only_looks_like_a_secret_is_named_by_its_place_and_never_shown() {
    let likely = "aB3dE5gH7jK9mN1pQ3sT";
    let lines: String = (0..10).map(|_| format!("+API_KEY = \"{likely}\"\n")).collect();
    let diff = format!("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -3,2 +7,12 @@\n a\n{lines} b\n");
    let facts = DiffFacts {
        changed_files: &[],
        diff: &diff,
        history: &diff,
        binary_sizes: &[],
        messages: "postgres://app:s3cr3t-pw@db/app",
        commands: &[],
        lint: None,
        forbidden: &[],
    };
    assert_eq!(secrets_in(&facts, &Redactor::default()), []);
    let findings = pre_review(&facts, &Redactor::default());
    let [PreReviewFinding { kind: PreReviewKind::PossibleSecret, paths, words }] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    let places: Vec<String> = (8..16).map(|line| format!("secret in x line {line}")).collect();
    let expected = format!("This looks like a secret, and may be none: {}; and 3 more.", places.join("; "));
    assert_eq!((paths.len(), words.as_str()), (0, expected.as_str()));
    assert!(!words.contains(likely));
    let known = Redactor::new([("DEPLOY_KEY".to_owned(), crate::secrets::Secret::new(likely))]);
    assert_eq!(secrets_in(&facts, &known).len(), 10, "what this host knows is certain");
}

#[test]
fn the_lint_of_what_is_delivered_counts_before_what_the_agent_ran() {
    let ran = |exit_code, output: &str| LintRun {
        command: "npm run lint".to_owned(),
        exit_code,
        output_tail: output.to_owned(),
    };
    let code = [change("src/a.js", 1, 0), change("test/a.js", 1, 0)];
    let said = |lint: Option<&LintRun>, commands: &[(String, Option<i32>)]| {
        let facts = DiffFacts {
            changed_files: &code,
            diff: "",
            history: "",
            binary_sizes: &[],
            messages: "",
            commands,
            lint,
            forbidden: &[],
        };
        let mut found = pre_review(&facts, &Redactor::default());
        assert_eq!(found.len(), 1, "{found:?}");
        let found = found.remove(0);
        (found.kind, found.words)
    };
    use PreReviewKind::{Lint, LintFailed};
    let agent = [("npx eslint .".to_owned(), Some(0)), ("ls".to_owned(), Some(1))];
    let on = "on what is delivered";
    for (lint, commands, expected) in [
        (
            Some(ran(Some(0), "")),
            &agent[..],
            (Lint, format!("The repository's lint passed {on}: npm run lint.")),
        ),
        (
            Some(ran(Some(1), "a.js\n 2 problems\n\n")),
            &agent[..],
            (
                LintFailed,
                format!(
                    "The repository's lint failed {on}, with exit code 1: npm run lint. It ended with: 2 problems"
                ),
            ),
        ),
        (
            Some(ran(None, "")),
            &agent[..],
            (LintFailed, format!("The repository's lint did not end by itself {on}: npm run lint.")),
        ),
        (None, &agent[..], (Lint, "The last lint of the agent passed: npx eslint .".to_owned())),
        (None, &[], (Lint, "No lint was run.".to_owned())),
    ] {
        assert_eq!(said(lint.as_ref(), commands), expected);
    }
}

#[test]
fn a_lint_is_what_a_command_runs_and_not_what_it_says_or_forgives() {
    for lint in
        ["cargo clippy -- -D warnings", "cd ui && CI=1 npm run lint", "npx eslint .", "time ruff check"]
    {
        assert!(is_lint(lint), "{lint}");
    }
    for other in ["echo cargo clippy", "npm run lint || true", "npm run lint; true", "grep -r eslint .", "ls"]
    {
        assert!(!is_lint(other), "{other}");
    }
}

#[test]
fn a_pattern_is_a_folder_a_file_or_has_stars() {
    assert!(matches("deploy/", "deploy/a") && matches("deploy", "deploy/a") && matches("a.txt", "a.txt"));
    assert!(matches("*.pem", "x/y.pem") && matches("src/*/generated/*", "src/a/b/generated/c"));
    assert!(!matches("deploy", "deployment/a") && !matches("*.pem", "x.pem.txt"));
}
