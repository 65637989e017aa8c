//! Counts over all runs, and what changed since somebody looked.

use nightshift_protocol::{Overview, RunChanged, RunCounts};

use crate::runs::read_summary;
use crate::{ReadError, Store};

impl Store {
    /// How many runs are in each state, as of now.
    pub async fn overview(&self) -> Result<Overview, ReadError> {
        // The position is read first: what happens in between is told again, and never left out.
        let position: i64 = sqlx::query_scalar("SELECT coalesce(max(position), 0) FROM events")
            .fetch_one(self.inner.database.readers())
            .await?;
        let rows: Vec<(String, i64)> = sqlx::query_as("SELECT state, count(*) FROM runs GROUP BY state")
            .fetch_all(self.inner.database.readers())
            .await?;
        let mut counts = RunCounts::default();
        for (state, count) in rows {
            let place = match state.as_str() {
                "queued" => &mut counts.queued,
                "preparing" => &mut counts.preparing,
                "working" => &mut counts.working,
                "waiting" => &mut counts.waiting,
                "paused" => &mut counts.paused,
                "delivering" => &mut counts.delivering,
                "inReview" => &mut counts.in_review,
                "merged" => &mut counts.merged,
                "closed" => &mut counts.closed,
                "cancelled" => &mut counts.cancelled,
                "failed" => &mut counts.failed,
                _ => continue,
            };
            *place = count.cast_unsigned();
        }
        // Whoever paused a run knows that it rests.
        let rests: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM runs WHERE state = 'paused' AND json ->> '$.state.reason.type' = 'person'",
        )
        .fetch_one(self.inner.database.readers())
        .await?;
        let paused = counts.paused.saturating_sub(rests.cast_unsigned());
        let waits_for_you = counts.waiting + paused + counts.in_review;
        Ok(Overview { position: position.cast_unsigned(), counts, waits_for_you })
    }

    /// How many pull requests wait for a review.
    pub async fn count_in_review(&self) -> Result<u64, ReadError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM runs WHERE state = 'inReview'")
            .fetch_one(self.inner.database.readers())
            .await?;
        Ok(count.cast_unsigned())
    }

    /// The runs that changed after `position`, each as it is now, in the order of their newest events.
    pub async fn changed_runs(&self, position: u64, limit: u32) -> Result<Vec<RunChanged>, ReadError> {
        let rows: Vec<(String, i64, String)> = sqlx::query_as(
            "SELECT run, last_position, json FROM runs WHERE last_position > ? ORDER BY last_position LIMIT ?",
        )
        .bind(i64::try_from(position).unwrap_or(i64::MAX))
        .bind(limit)
        .fetch_all(self.inner.database.readers())
        .await?;
        rows.iter()
            .map(|(run, position, json)| {
                Ok(RunChanged { position: position.cast_unsigned(), run: read_summary(run, json)? })
            })
            .collect()
    }
}
