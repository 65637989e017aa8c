//! How large a delivery is, what backs it, and what it leaves open.

use std::collections::HashMap;

use nightshift_agent::BrowserAction;
use nightshift_forge::{FileChange, LintRun};
use nightshift_protocol::{
    CheckTally, DeliveryMeasure, Evidence, EvidenceSource, SelfReview, SelfReviewOutcome, StepId, Verdict,
    VerdictTally,
};

/// What a delivery is measured by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Delivered<'a> {
    /// What it changes.
    pub(crate) changed: &'a [FileChange],
    /// The acceptance criteria of its task.
    pub(crate) criteria: &'a [String],
    /// What the agent named as backing it.
    pub(crate) evidence: &'a [Evidence],
    /// The repository's lint, where it ran on what is delivered.
    pub(crate) lint: Option<&'a LintRun>,
    /// What critics found, the oldest first.
    pub(crate) self_reviews: &'a [SelfReview],
    /// What the agent says it could not verify.
    pub(crate) not_verified: &'a str,
    /// What changed since the first delivery.
    pub(crate) reworked_percent: u8,
}

/// Measures a delivery.
pub(crate) fn measure(delivered: Delivered<'_>) -> DeliveryMeasure {
    let Delivered { changed, criteria, evidence, lint, self_reviews, not_verified, reworked_percent } =
        delivered;
    let lines = |of: fn(nightshift_forge::LineCounts) -> u64| {
        changed.iter().filter_map(|change| change.lines.map(of)).fold(0, u64::saturating_add)
    };
    let backed = |number: &u32| evidence.iter().any(|one| one.criterion == Some(*number));
    let unbacked = (1..).take(criteria.len()).filter(|number| !backed(number)).count();
    DeliveryMeasure {
        files: changed.len() as u64,
        added: lines(|lines| lines.added),
        removed: lines(|lines| lines.removed),
        reworked_percent,
        unbacked_criteria: number(unbacked),
        not_verified: !not_verified.trim().is_empty(),
        disputed: self_reviews.last().is_some_and(|last| last.outcome == SelfReviewOutcome::Disagreed),
        checks: checks(evidence, lint),
        critic: self_reviews.last().map(|last| verdicts(last, criteria)),
    }
}

/// How the commands ended that were named as evidence, each as it ended the last time it was named, and the lint.
fn checks(evidence: &[Evidence], lint: Option<&LintRun>) -> Option<CheckTally> {
    let named = evidence.iter().filter_map(|one| match &one.source {
        // A look into the browser is evidence and no check: it cannot fail.
        EvidenceSource::Command { command, .. } if BrowserAction::is_look(command) => None,
        EvidenceSource::Command { step, command, exit_code, .. } => Some((*step, command, *exit_code)),
        EvidenceSource::Screenshot { .. } => None,
    });
    let mut named: Vec<(StepId, &String, Option<i32>)> = named.collect();
    // One that failed before the work and passes after it has passed.
    named.sort_by_key(|(step, ..)| *step);
    let mut ended: HashMap<&str, Option<i32>> =
        named.into_iter().map(|(_, command, exit_code)| (command.as_str(), exit_code)).collect();
    if let Some(lint) = lint {
        ended.insert(&lint.command, lint.exit_code);
    }
    let passed = ended.values().filter(|exit_code| **exit_code == Some(0)).count();
    let tally = CheckTally { passed: number(passed), failed: number(ended.len() - passed) };
    (!ended.is_empty()).then_some(tally)
}

fn verdicts(review: &SelfReview, criteria: &[String]) -> VerdictTally {
    let count = |wanted| number(review.verdicts.iter().filter(|one| one.verdict == wanted).count());
    VerdictTally {
        met: count(Verdict::Met),
        not_met: count(Verdict::NotMet),
        not_verifiable: count(Verdict::NotVerifiable),
        of: number(criteria.len().max(1)),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use nightshift_forge::LineCounts;
    use nightshift_protocol::CriterionVerdict;

    use super::*;

    fn ran(step: &str, command: &str, exit_code: Option<i32>, criterion: Option<u32>) -> Evidence {
        let (step, command) = (step.parse().unwrap(), command.to_owned());
        let source = EvidenceSource::Command { step, command, exit_code, output_tail: String::new() };
        Evidence { claim: "It does.".to_owned(), criterion, source }
    }

    fn review(verdicts: &[Verdict], outcome: SelfReviewOutcome) -> SelfReview {
        let verdicts = (1..).zip(verdicts).map(|(criterion, verdict)| CriterionVerdict {
            criterion,
            verdict: *verdict,
            words: "Looked.".to_owned(),
            evidence: None,
        });
        SelfReview { round: 1, of: 1, verdicts: verdicts.collect(), words: String::new(), outcome }
    }

    #[test]
    fn a_delivery_is_measured_by_its_lines_its_criteria_and_what_the_agent_owns_up_to() {
        let change = |path: &str, lines: Option<(u64, u64)>| FileChange {
            path: path.to_owned(),
            lines: lines.map(|(added, removed)| LineCounts { added, removed }),
        };
        let changed = [change("a", Some((10, 2))), change("logo.png", None), change("b", Some((1, 0)))];
        let criteria = ["One.".to_owned(), "Two.".to_owned(), "Three.".to_owned()];
        let evidence = [ran("1.1", "npm test", Some(0), Some(2)), ran("1.2", "npm test", Some(0), None)];
        let measured = measure(Delivered {
            changed: &changed,
            criteria: &criteria,
            evidence: &evidence,
            not_verified: " \n",
            reworked_percent: 7,
            ..Delivered::default()
        });
        let expected = DeliveryMeasure {
            files: 3,
            added: 11,
            removed: 2,
            reworked_percent: 7,
            unbacked_criteria: 2,
            not_verified: false,
            disputed: false,
            checks: Some(CheckTally { passed: 1, failed: 0 }),
            critic: None,
        };
        assert_eq!(measured, expected);
        let nothing = measure(Delivered { not_verified: "The colours.", ..Delivered::default() });
        assert_eq!(nothing, DeliveryMeasure { not_verified: true, ..DeliveryMeasure::default() });
    }

    #[test]
    fn a_delivery_is_disputed_where_the_last_critic_found_something_and_no_round_was_left() {
        let review = |outcome| review(&[], outcome);
        let (back, disagreed) = (review(SelfReviewOutcome::SentBack), review(SelfReviewOutcome::Disagreed));
        let passed = review(SelfReviewOutcome::Passed);
        let disputed = |self_reviews: &[SelfReview]| {
            measure(Delivered { self_reviews, ..Delivered::default() }).disputed
        };
        assert!(disputed(&[back.clone(), disagreed]));
        assert!(!disputed(&[back, passed]));
        assert!(!disputed(&[]));
    }

    #[test]
    fn of_a_command_that_was_named_several_times_the_last_run_counts_and_a_look_into_the_browser_is_no_check()
    {
        let evidence = [
            ran("4.1", "npm test", Some(0), None),
            ran("2.1", "npm test", Some(1), Some(1)),
            ran("5.1", "npm run e2e", None, None),
            ran("5.2", "cat src/app.js", Some(0), None),
            ran("5.3", "browser: open http://127.0.0.1:4173", Some(0), None),
        ];
        let failed =
            LintRun { command: "npm run lint".to_owned(), exit_code: Some(1), output_tail: String::new() };
        let tally = |lint| measure(Delivered { evidence: &evidence, lint, ..Delivered::default() }).checks;
        assert_eq!(tally(None), Some(CheckTally { passed: 2, failed: 1 }));
        assert_eq!(tally(Some(&failed)), Some(CheckTally { passed: 2, failed: 2 }));
    }

    #[test]
    fn the_last_critic_s_verdicts_count_and_what_it_came_to_no_verdict_about_is_in_the_sum() {
        let criteria = ["One.".to_owned(), "Two.".to_owned(), "Three.".to_owned()];
        let tally = |self_reviews: &[SelfReview], criteria: &[String]| {
            measure(Delivered { self_reviews, criteria, ..Delivered::default() }).critic
        };
        let first = review(&[Verdict::NotMet; 3], SelfReviewOutcome::SentBack);
        let last =
            review(&[Verdict::Met, Verdict::NotMet, Verdict::NotVerifiable], SelfReviewOutcome::Disagreed);
        let expected = VerdictTally { met: 1, not_met: 1, not_verifiable: 1, of: 3 };
        assert_eq!(tally(&[first, last], &criteria), Some(expected));
        let none = review(&[], SelfReviewOutcome::NoVerdict { reason: "it went in circles".to_owned() });
        assert_eq!(tally(&[none], &[]), Some(VerdictTally { of: 1, ..VerdictTally::default() }));
    }
}
