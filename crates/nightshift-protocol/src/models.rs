//! Models as lists show them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::UserError;

/// The models of all providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelList {
    /// What a task can be given to.
    pub models: Vec<ModelSummary>,
    /// The providers that could not be asked.
    pub troubles: Vec<ProviderTrouble>,
    /// The model of a task that names none.
    pub default_model: String,
}

/// A model as its provider describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ModelSummary {
    /// The name to give to a task, `PROVIDER/MODEL`.
    pub name: String,
    /// The name for people.
    pub display_name: String,
    /// The size of its window in tokens, where told.
    pub max_input_tokens: Option<u64>,
    /// The most it can write in one turn in tokens, where told.
    pub max_output_tokens: Option<u64>,
    /// Whether it reads pictures, where told.
    pub reads_images: Option<bool>,
    /// Millionths of a US dollar for a million tokens read, where known.
    pub input_price: Option<u64>,
    /// Millionths of a US dollar for a million tokens written, where known.
    pub output_price: Option<u64>,
}

/// Why a provider could not be asked for its models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderTrouble {
    /// The provider's name.
    pub provider: String,
    /// What is wrong and what to do.
    pub error: UserError,
}

/// Which model is to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TryModel {
    /// The model's name; the default model when absent.
    #[serde(default)]
    pub model: Option<String>,
}
