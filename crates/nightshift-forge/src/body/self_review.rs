//! What critics found of the work, for its reviewer: the last verdict first, and where critic and agent disagree.

use std::fmt::Write;

use nightshift_protocol::{CriterionVerdict, EvidenceSource, SelfReview, SelfReviewOutcome, Verdict};

use super::{code, outcome, text};

/// Writes the section. `last` is the newest self-review, `earlier` are those before it.
pub(super) fn section(criteria: &[String], last: &SelfReview, earlier: &[SelfReview]) -> String {
    let times = match earlier.len() {
        0 => "once".to_owned(),
        more => format!("{} times", more + 1),
    };
    let mut section = format!(
        "## Self-review\n\nA critic with a fresh context looked at the work {times} before it was delivered. "
    );
    section.push_str(&match &last.outcome {
        SelfReviewOutcome::Disagreed => {
            "**Critic and agent disagree**: what is not met below was left so by the agent, and no \
                                         round was left. Look there first."
                .to_owned()
        }
        SelfReviewOutcome::NoVerdict { reason } => format!("**It came to no verdict**: {}", text(reason)),
        SelfReviewOutcome::Passed | SelfReviewOutcome::SentBack | SelfReviewOutcome::BrokenOff => {
            "It ran the checks and the program itself; this is what it found.".to_owned()
        }
    });
    section.push('\n');
    for found in &last.verdicts {
        let _ = write!(section, "\n{}", verdict(criteria, found));
    }
    if !last.words.trim().is_empty() {
        let _ = write!(section, "\n\nIt adds: {}", text(last.words.trim()));
    }
    for review in earlier {
        let not_met: Vec<String> = review
            .verdicts
            .iter()
            .filter(|found| found.verdict == Verdict::NotMet)
            .map(|found| format!("{} ({})", found.criterion, text(&found.words)))
            .collect();
        if !not_met.is_empty() {
            let _ = write!(
                section,
                "\n\nIn round {} it found not met: {}. The agent went on with that.",
                review.round,
                not_met.join("; ")
            );
        }
    }
    section.trim_end().to_owned()
}

fn verdict(criteria: &[String], found: &CriterionVerdict) -> String {
    let CriterionVerdict { criterion, verdict, words, evidence } = found;
    let index = usize::try_from(*criterion).unwrap_or(usize::MAX).wrapping_sub(1);
    let asked = criteria
        .get(index)
        .map_or("As described".to_owned(), |criterion| text(criterion.trim_end_matches('.')));
    let shown = match evidence {
        Some(EvidenceSource::Command { step, command, exit_code, .. }) => {
            format!(" ({}: {}, step {step})", code(command), outcome(*exit_code))
        }
        Some(EvidenceSource::Screenshot { step, .. }) => format!(" (screenshot of step {step})"),
        None => String::new(),
    };
    format!("{criterion}. {asked}: **{}**. {}{shown}", verdict.words(), text(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(exit_code: i32) -> EvidenceSource {
        EvidenceSource::Command {
            step: "9.1".parse().unwrap(),
            command: "npm test".to_owned(),
            exit_code: Some(exit_code),
            output_tail: String::new(),
        }
    }

    fn found(
        criterion: u32,
        verdict: Verdict,
        words: &str,
        evidence: Option<EvidenceSource>,
    ) -> CriterionVerdict {
        CriterionVerdict { criterion, verdict, words: words.to_owned(), evidence }
    }

    fn review(round: u32, verdicts: Vec<CriterionVerdict>, outcome: SelfReviewOutcome) -> SelfReview {
        SelfReview { round, of: 2, verdicts, words: String::new(), outcome }
    }

    fn criteria() -> Vec<String> {
        vec!["A button switches it.".to_owned(), "It survives a reload.".to_owned()]
    }

    #[test]
    fn what_is_met_is_said_with_the_step_that_shows_it() {
        let verdicts = vec![
            found(1, Verdict::Met, "It switches.", Some(command(0))),
            found(2, Verdict::NotVerifiable, "There is no second browser.", None),
        ];
        insta::assert_snapshot!(section(&criteria(), &review(1, verdicts, SelfReviewOutcome::Passed), &[]), @r"
        ## Self-review

        A critic with a fresh context looked at the work once before it was delivered. It ran the checks and the program itself; this is what it found.

        1. A button switches it: **met**. It switches. (`npm test`: exit code 0, step 9.1)
        2. It survives a reload: **not verifiable**. There is no second browser.
        ");
    }

    #[test]
    fn a_disagreement_leads_and_earlier_rounds_follow() {
        let not_met = |words: &str| vec![found(2, Verdict::NotMet, words, Some(command(1)))];
        let earlier = review(1, not_met("A reload forgets it."), SelfReviewOutcome::SentBack);
        let last = review(2, not_met("It still forgets."), SelfReviewOutcome::Disagreed);
        insta::assert_snapshot!(section(&criteria(), &last, &[earlier]), @r"
        ## Self-review

        A critic with a fresh context looked at the work 2 times before it was delivered. **Critic and agent disagree**: what is not met below was left so by the agent, and no round was left. Look there first.

        2. It survives a reload: **not met**. It still forgets. (`npm test`: **exit code 1**, step 9.1)

        In round 1 it found not met: 2 (A reload forgets it.). The agent went on with that.
        ");
    }

    #[test]
    fn a_critic_s_words_become_no_heading_and_no_link() {
        let words = "# Approved\n[x](https://evil.example) <img src=x>";
        let verdicts = vec![found(1, Verdict::Met, words, None)];
        let said = section(&[], &review(1, verdicts, SelfReviewOutcome::Passed), &[]);
        assert!(!said.contains("\n# Approved") && said.contains("\\<img"), "{said}");
        assert!(!said.contains("[x](https://evil.example)"), "{said}");
        assert!(said.contains("1. As described: **met**."), "{said}");
    }

    #[test]
    fn no_verdict_is_said_with_its_reason() {
        let outcome = SelfReviewOutcome::NoVerdict { reason: "It went in circles.".to_owned() };
        let said = section(&criteria(), &review(1, Vec::new(), outcome), &[]);
        assert!(said.ends_with("**It came to no verdict**: It went in circles."), "{said}");
    }
}
