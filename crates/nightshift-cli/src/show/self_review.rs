//! A self-review in a terminal: what came of it, and each criterion with the step that shows it.

use nightshift_protocol::{EvidenceSource, SelfReview};

use super::line;

/// A heading and a line for each criterion.
pub(super) fn text(review: &SelfReview) -> String {
    let mut text = format!(
        "\n\nSelf-review, round {} of {}: {}",
        review.round,
        review.of,
        line(&review.outcome_in_words())
    );
    for found in &review.verdicts {
        let step = match &found.evidence {
            Some(EvidenceSource::Screenshot { step, .. } | EvidenceSource::Command { step, .. }) => {
                format!(" (step {step})")
            }
            None => String::new(),
        };
        text += &format!("\n  {}. {}: {}{step}", found.criterion, found.verdict.words(), line(&found.words));
    }
    if !review.words.trim().is_empty() {
        text += &format!("\n  {}", line(&review.words));
    }
    text
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::{CriterionVerdict, SelfReviewOutcome, Verdict};

    use super::*;

    #[test]
    fn a_disagreement_is_said_first_and_each_criterion_with_its_step() {
        let found = |criterion, verdict, words: &str, step: Option<&str>| CriterionVerdict {
            criterion,
            verdict,
            words: words.to_owned(),
            evidence: step.map(|step| EvidenceSource::Command {
                step: step.parse().unwrap(),
                command: "npm test".to_owned(),
                exit_code: Some(1),
                output_tail: String::new(),
            }),
        };
        let review = SelfReview {
            round: 2,
            of: 2,
            verdicts: vec![
                found(1, Verdict::NotMet, "It forgets\n\u{1b}[31mit.", Some("9.1")),
                found(2, Verdict::NotVerifiable, "It needs a printer.", None),
            ],
            words: "Look at the reload.".to_owned(),
            outcome: SelfReviewOutcome::Disagreed,
        };
        insta::assert_snapshot!(text(&review), @r"


        Self-review, round 2 of 2: critic and agent disagree
          1. not met: It forgets [31mit. (step 9.1)
          2. not verifiable: It needs a printer.
          Look at the reload.
        ");
    }
}
