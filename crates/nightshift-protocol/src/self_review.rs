//! What a critic with a fresh context finds of finished work, before it is delivered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::EvidenceSource;

/// One self-review that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfReview {
    /// Which round it was, from 1.
    pub round: u32,
    /// How many rounds there may be.
    pub of: u32,
    /// What the critic found of each acceptance criterion, in their order; empty when it came to no verdict.
    pub verdicts: Vec<CriterionVerdict>,
    /// What it says of the whole, possibly empty.
    pub words: String,
    /// What came of it.
    pub outcome: SelfReviewOutcome,
}

/// What the critic found of one acceptance criterion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CriterionVerdict {
    /// The criterion's number, from 1. A task without criteria has one: that it is done as described.
    pub criterion: u32,
    /// Whether it is met.
    pub verdict: Verdict,
    /// Why, in a sentence or two.
    pub words: String,
    /// The critic's own step that shows it; there is one unless it could not be verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<EvidenceSource>,
}

/// Whether a criterion is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It is, and a step shows it.
    Met,
    /// It is not, and a step shows that.
    NotMet,
    /// It cannot be told in the sandbox.
    NotVerifiable,
}

impl Verdict {
    /// The verdict in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not met",
            Self::NotVerifiable => "not verifiable",
        }
    }
}

/// What came of a self-review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SelfReviewOutcome {
    /// Nothing was found that is not met: the work is delivered.
    Passed,
    /// Something is not met: the agent goes on with what was found.
    SentBack,
    /// Something is not met and no round is left: the work is delivered, and its reviewer is told first.
    Disagreed,
    /// The critic came to no verdict: the work is delivered, and its reviewer is told.
    NoVerdict {
        /// Why, in one sentence.
        reason: String,
    },
    /// A person wrote meanwhile: the agent goes on with that, and what it then finishes is reviewed anew.
    BrokenOff,
}

impl SelfReview {
    /// What came of it, in a few words.
    pub fn outcome_in_words(&self) -> String {
        match &self.outcome {
            SelfReviewOutcome::Passed if self.finds(Verdict::NotVerifiable) => {
                "nothing found, and not everything could be verified".to_owned()
            }
            SelfReviewOutcome::Passed => "every criterion is met".to_owned(),
            SelfReviewOutcome::SentBack => "not everything is met: back to the agent".to_owned(),
            SelfReviewOutcome::Disagreed => "critic and agent disagree".to_owned(),
            SelfReviewOutcome::NoVerdict { reason } => format!("no verdict: {reason}"),
            SelfReviewOutcome::BrokenOff => "broken off, because a person wrote".to_owned(),
        }
    }

    /// Whether any criterion got this verdict.
    pub fn finds(&self, verdict: Verdict) -> bool {
        self.verdicts.iter().any(|found| found.verdict == verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(verdicts: &[Verdict], outcome: SelfReviewOutcome) -> SelfReview {
        let verdicts = (1..).zip(verdicts).map(|(criterion, verdict)| CriterionVerdict {
            criterion,
            verdict: *verdict,
            words: "Looked.".to_owned(),
            evidence: None,
        });
        SelfReview { round: 1, of: 2, verdicts: verdicts.collect(), words: String::new(), outcome }
    }

    #[test]
    fn what_could_not_be_verified_is_not_called_met() {
        let all = review(&[Verdict::Met, Verdict::Met], SelfReviewOutcome::Passed);
        assert_eq!(all.outcome_in_words(), "every criterion is met");
        let some = review(&[Verdict::Met, Verdict::NotVerifiable], SelfReviewOutcome::Passed);
        assert_eq!(some.outcome_in_words(), "nothing found, and not everything could be verified");
    }

    #[test]
    fn an_outcome_says_who_goes_on() {
        let said = [
            SelfReviewOutcome::SentBack,
            SelfReviewOutcome::Disagreed,
            SelfReviewOutcome::NoVerdict { reason: "it went in circles".to_owned() },
            SelfReviewOutcome::BrokenOff,
        ]
        .map(|outcome| review(&[Verdict::NotMet], outcome).outcome_in_words());
        assert_eq!(
            said,
            [
                "not everything is met: back to the agent",
                "critic and agent disagree",
                "no verdict: it went in circles",
                "broken off, because a person wrote"
            ]
        );
    }
}
