//! Evidence: what backs a claim in a pull request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Image, StepId};

/// One claim and the recorded thing that backs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// The acceptance criterion or statement that is backed, in one sentence.
    pub claim: String,
    /// The number of the task's acceptance criterion that it is about, from 1, if it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criterion: Option<u32>,
    /// What backs it.
    pub source: EvidenceSource,
}

/// What backs a claim. Each kind points at a recorded step of the same run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum EvidenceSource {
    /// A picture of the screen.
    Screenshot {
        /// The step that took it.
        step: StepId,
        /// A word or two under the picture, for example `after reload`.
        label: String,
        /// The picture.
        image: Image,
    },
    /// A command with its exit status.
    Command {
        /// The step that ran it.
        step: StepId,
        /// The command line.
        command: String,
        /// Its exit status; `None` when it was ended by a signal or the time limit.
        exit_code: Option<i32>,
        /// The last lines of its output, at most 4,000 characters.
        output_tail: String,
    },
}
