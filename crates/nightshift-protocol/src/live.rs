//! What a watcher sees between events: it is shown and forgotten, and losing it loses nothing.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{RunId, StepId};

/// Something passing in a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// The run.
    pub run: RunId,
    /// What it is.
    #[serde(flatten)]
    pub body: LiveBody,
}

/// What is passing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LiveBody {
    /// A long preparation reached a named phase.
    SetUpProgress {
        /// What is being prepared, for example `guest image`.
        what: String,
        /// The phase's name.
        phase: String,
        /// Its number, from 1.
        number: u32,
        /// How many phases there are.
        of: u32,
    },
    /// Words of the model as they arrive.
    ModelText {
        /// The next piece.
        text: String,
    },
    /// Output of a running command as it arrives.
    StepOutput {
        /// The step.
        step: StepId,
        /// The next piece; invalid UTF-8 is replaced.
        text: String,
    },
}
