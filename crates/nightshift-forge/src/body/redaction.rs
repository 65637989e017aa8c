//! The facts of a body without the secrets in them.
//!
//! They are looked through before anything is escaped: a password with an asterisk in it is written as `\\*` in Markdown, and
//! no longer what is looked for, but a reader sees it whole.

use nightshift_protocol::{Evidence, PreReviewFinding, SelfReview};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{BodyFacts, CommandFact};
use crate::FileChange;
use crate::secrets::Redactor;

/// The words of a body's facts, each without what looks like a secret.
pub(super) struct Clean {
    summary: String,
    criteria: Vec<String>,
    evidence: Vec<Evidence>,
    self_reviews: Vec<SelfReview>,
    commands: Vec<CommandFact>,
    changed_files: Vec<FileChange>,
    findings: Vec<PreReviewFinding>,
    not_verified: String,
}

impl Clean {
    pub(super) fn of(facts: &BodyFacts<'_>) -> Self {
        let redactor = facts.redactor;
        let changed = facts.changed_files.iter();
        Self {
            summary: redactor.redact(facts.summary).into_owned(),
            criteria: cleaned(facts.criteria, redactor),
            evidence: cleaned(facts.evidence, redactor),
            self_reviews: cleaned(facts.self_reviews, redactor),
            commands: cleaned(facts.commands, redactor),
            changed_files: changed
                .map(|change| FileChange {
                    path: redactor.redact(&change.path).into_owned(),
                    lines: change.lines,
                })
                .collect(),
            findings: cleaned(facts.findings, redactor),
            not_verified: redactor.redact(facts.not_verified).into_owned(),
        }
    }

    /// The same facts with these words.
    pub(super) fn facts<'a>(&'a self, of: &BodyFacts<'a>) -> BodyFacts<'a> {
        BodyFacts {
            summary: &self.summary,
            criteria: &self.criteria,
            evidence: &self.evidence,
            self_reviews: &self.self_reviews,
            commands: &self.commands,
            changed_files: &self.changed_files,
            findings: &self.findings,
            not_verified: &self.not_verified,
            ..of.clone()
        }
    }
}

/// Each with every text in it looked through. What would then no longer be what it is stays, for the body as a whole is
/// looked through after.
fn cleaned<T: Serialize + DeserializeOwned + Clone>(all: &[T], redactor: &Redactor) -> Vec<T> {
    let clean = |one: &T| {
        let mut value = serde_json::to_value(one).ok()?;
        scrub(&mut value, redactor);
        serde_json::from_value(value).ok()
    };
    all.iter().map(|one| clean(one).unwrap_or_else(|| one.clone())).collect()
}

fn scrub(value: &mut Value, redactor: &Redactor) {
    match value {
        Value::String(text) => *text = redactor.redact(text).into_owned(),
        Value::Array(items) => items.iter_mut().for_each(|item| scrub(item, redactor)),
        Value::Object(fields) => fields.iter_mut().for_each(|(_, field)| scrub(field, redactor)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{
        CriterionVerdict, EvidenceSource, PreReviewKind, SelfReviewOutcome, Usage, Verdict,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::secrets::Secret;
    use crate::{LineCounts, compose_body};

    /// Writes a body in which a password stands wherever words come from elsewhere.
    fn body_with(password: &str, redactor: &Redactor) -> String {
        let words = format!("It logs in with {password} now.");
        let command = format!("curl -u ada:{password} example.org");
        let source = EvidenceSource::Command {
            step: "6.2".parse().unwrap(),
            command: command.clone(),
            exit_code: Some(0),
            output_tail: words.clone(),
        };
        let found = CriterionVerdict {
            criterion: 1,
            verdict: Verdict::Met,
            words: words.clone(),
            evidence: Some(source.clone()),
        };
        let review = SelfReview {
            round: 1,
            of: 2,
            verdicts: vec![found],
            words: words.clone(),
            outcome: SelfReviewOutcome::Passed,
        };
        let finding = PreReviewFinding {
            kind: PreReviewKind::Sensitive,
            paths: vec![format!("src/{password}.js")],
            words: words.clone(),
        };
        let lines = Some(LineCounts { added: 1, removed: 0 });
        compose_body(&BodyFacts {
            summary: &words,
            criteria: std::slice::from_ref(&words),
            evidence: &[Evidence { claim: words.clone(), criterion: Some(1), source }],
            self_reviews: &[review],
            commands: &[CommandFact { command, exit_code: Some(0) }],
            changed_files: &[FileChange { path: format!("src/{password}.js"), lines }],
            findings: &[finding],
            recording: None,
            video: None,
            settles: "",
            not_verified: &words,
            run: &"run-0123456789".parse().unwrap(),
            model: "claude-sonnet-5-5",
            turns: 1,
            usage: Usage::default(),
            seconds: 1,
            redactor,
        })
    }

    #[test]
    fn a_password_that_markdown_would_escape_is_in_no_part_of_a_body() {
        let password = "hunter_2*[x]`#@y";
        let redactor = Redactor::new([("DEPLOY_PASSWORD".to_owned(), Secret::new(password))]);
        let body = body_with(password, &redactor);
        assert!(!body.contains("hunter"), "{body}");
        // Without it, the same body has it in each of these places.
        let hidden = body.matches("DEPLOY\\_PASSWORD").count() + body.matches("DEPLOY_PASSWORD").count();
        let shown = body_with(password, &Redactor::default()).matches("hunter").count();
        assert!(shown == hidden && shown >= 12, "{shown} and {hidden}");
    }

    proptest! {
        #[test]
        fn no_characters_of_a_password_help_it_through(password in "[!-~]{6}[a-z]{12}[!-~]{6}") {
            let redactor = Redactor::new([("P_W".to_owned(), Secret::new(&password))]);
            let body = body_with(&password, &redactor);
            prop_assert!(!body.contains(&password[6..18]), "{body}");
        }
    }
}
