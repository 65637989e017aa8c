//! How large a delivery is, and what it leaves open.

use nightshift_forge::FileChange;
use nightshift_protocol::{DeliveryMeasure, Evidence, SelfReview, SelfReviewOutcome};

/// Measures a delivery. `reworked_percent` is what changed since the first one.
pub(crate) fn measure(
    changed: &[FileChange],
    criteria: &[String],
    evidence: &[Evidence],
    self_reviews: &[SelfReview],
    not_verified: &str,
    reworked_percent: u8,
) -> DeliveryMeasure {
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
        unbacked_criteria: u32::try_from(unbacked).unwrap_or(u32::MAX),
        not_verified: !not_verified.trim().is_empty(),
        disputed: self_reviews.last().is_some_and(|last| last.outcome == SelfReviewOutcome::Disagreed),
    }
}
