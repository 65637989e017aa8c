//! Checkpoints of a run: its sandbox's memory and disk as they were at one moment, to go back to or to fork from.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use utoipa::ToSchema;

use crate::{CheckpointId, RunId, StepId};

/// Why a checkpoint is saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum CheckpointCause {
    /// A person asked for it.
    Asked,
    /// The agent has taken several steps since the one before.
    Steps,
    /// The run was paused.
    Paused,
    /// The work is about to be delivered.
    BeforeDelivery,
    /// The run is about to go back to another checkpoint: what it leaves is kept here.
    BeforeRewind,
    /// The run failed, and its sandbox is removed: the work in it is kept here.
    Failed,
    /// The run rests, and its sandbox gives its memory back: it is suspended to disk.
    Suspended,
}

impl CheckpointCause {
    /// The cause in a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Asked => "asked for",
            Self::Steps => "after steps",
            Self::Paused => "on pause",
            Self::BeforeDelivery => "before delivery",
            Self::BeforeRewind => "before a rewind",
            Self::Failed => "on failure",
            Self::Suspended => "suspended",
        }
    }
}

/// Why a run's sandbox was suspended to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum SuspendReason {
    /// A person asked for it.
    Asked,
    /// Nothing has happened in the run for so long.
    Rested {
        /// How long, in minutes.
        minutes: u32,
    },
    /// Another task waited for its room.
    RoomWanted,
    /// The host had little memory left.
    MemoryScarce {
        /// What could still be had, in MiB.
        available_mib: u64,
    },
    /// The host lost much of its time waiting for memory.
    MemoryStalled {
        /// How much of it, in percent.
        percent: u32,
    },
}

impl SuspendReason {
    /// The reason in a few words.
    pub fn words(self) -> String {
        match self {
            Self::Asked => "asked for".to_owned(),
            Self::Rested { minutes } => format!("nothing happened in it for {minutes} minutes"),
            Self::RoomWanted => "another task waited for its room".to_owned(),
            Self::MemoryScarce { available_mib } => {
                format!("the host had {available_mib} MiB of memory left")
            }
            Self::MemoryStalled { percent } => {
                format!("the host spent {percent} % of its time waiting for memory")
            }
        }
    }
}

/// A sandbox that is on the disk and uses no memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// What it is brought back from.
    pub checkpoint: CheckpointId,
    /// Why it is there; `None` where the history does not say.
    pub reason: Option<SuspendReason>,
}

/// What a checkpoint cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointCost {
    /// Memory that changed since the checkpoint before it, or since the template, in bytes.
    pub changed_bytes: u64,
    /// What was written to disk for it, in bytes.
    pub written_bytes: u64,
    /// How long the guest stood still, in milliseconds.
    pub paused_ms: u64,
    /// How long all of it took, in milliseconds.
    pub took_ms: u64,
}

/// A checkpoint as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointSummary {
    /// Its id.
    pub checkpoint: CheckpointId,
    /// Why it was saved.
    pub cause: CheckpointCause,
    /// The last step that had ended by then; `None` before the first.
    pub step: Option<StepId>,
    /// The number of the event that says it is saved.
    pub seq: u64,
    /// When it was saved.
    #[serde(with = "time::serde::rfc3339")]
    #[schema(value_type = String, format = DateTime)]
    pub at: OffsetDateTime,
    /// What it cost.
    pub cost: CheckpointCost,
}

/// A wish to go back to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RewindRun {
    /// The checkpoint, by its id, how that begins, or the step after which it was saved.
    pub checkpoint: String,
    /// Whether what the run is at now is given up. If absent it is saved first, and the run can come back to it.
    #[serde(default)]
    pub discard: bool,
}

/// A wish for runs that go on from a checkpoint of this one, beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ForkRun {
    /// The checkpoint, by its id, how that begins, or the step after which it was saved.
    pub checkpoint: String,
    /// How many; one if absent, sixteen at most.
    #[serde(default = "one")]
    pub count: u32,
    /// What to tell their agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

fn one() -> u32 {
    1
}

/// The runs that were made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForkReply {
    /// Their ids.
    pub runs: Vec<RunId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_to_suspend_has_words_that_say_what_lacked() {
        let reasons = [
            r#"{"type":"asked"}"#,
            r#"{"type":"rested","minutes":10}"#,
            r#"{"type":"roomWanted"}"#,
            r#"{"type":"memoryScarce","availableMib":500}"#,
            r#"{"type":"memoryStalled","percent":35}"#,
        ];
        let read = reasons.map(|text| serde_json::from_str::<SuspendReason>(text).unwrap());
        assert_eq!(read.map(|reason| serde_json::to_string(&reason).unwrap()), reasons);
        assert_eq!(
            read.map(SuspendReason::words),
            [
                "asked for",
                "nothing happened in it for 10 minutes",
                "another task waited for its room",
                "the host had 500 MiB of memory left",
                "the host spent 35 % of its time waiting for memory",
            ]
        );
    }

    #[test]
    fn every_cause_has_words_of_its_own() {
        let causes = ["asked", "steps", "paused", "beforeDelivery", "failed", "suspended"];
        let words =
            causes.map(|cause| serde_json::from_value::<CheckpointCause>(cause.into()).unwrap().words());
        assert_eq!(
            words,
            ["asked for", "after steps", "on pause", "before delivery", "on failure", "suspended"]
        );
    }
}
