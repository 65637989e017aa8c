//! A conversation with a model in a form no provider owns: the agent writes it, a provider's client translates it.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ArtifactId;

/// One message of a conversation. Roles alternate, beginning with the user's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// What the model is told: instructions, results of its tool calls, a person's words.
    User {
        /// The parts in order; results of tool calls come first.
        content: Vec<UserPart>,
    },
    /// What the model answered.
    Assistant {
        /// The answer as Nightshift reads it.
        blocks: Vec<AssistantBlock>,
        /// The answer's content as the provider sent it. It goes back untouched, because providers sign and
        /// check parts of it (thinking) that mean nothing to us.
        verbatim: Value,
    },
}

/// A part of a message to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum UserPart {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A picture.
    Image {
        /// Which picture.
        image: Image,
    },
    /// The result of one tool call of the message before.
    ToolResult {
        /// The result.
        result: ToolResult,
    },
}

/// A picture kept as an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The stored file.
    pub artifact: ArtifactId,
    /// `image/png`, `image/webp` or `image/jpeg`.
    pub media_type: String,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Length of the file in bytes; 0 where it is not known.
    #[serde(default)]
    pub bytes: u64,
}

/// A part of a model's answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum AssistantBlock {
    /// Words for the reader.
    Text {
        /// The words.
        text: String,
    },
    /// Reasoning, where the provider shows it; empty where it is sealed.
    Thinking {
        /// The reasoning.
        text: String,
    },
    /// A wish to run a tool.
    ToolCall {
        /// The call.
        call: ToolCall,
    },
    /// A block of a kind this version does not know; it is kept in the message's verbatim content.
    Unknown {
        /// The provider's name of the kind.
        kind: String,
    },
}

/// A wish of the model to run a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolCall {
    /// The provider's id of the call; the result names it.
    pub id: String,
    /// The tool, by our name (`computer`, also where a provider has one tool for each action).
    pub name: String,
    /// The input as JSON; `null` with `malformed` set where the provider sent no valid JSON.
    pub input: Value,
    /// The text that was to be JSON and was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
}

/// What a tool call led to, for the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ToolResult {
    /// The id of the call this answers.
    pub call: String,
    /// Whether it went well.
    pub outcome: ToolOutcome,
    /// What the model reads.
    pub content: Vec<ResultPart>,
}

/// Whether a tool call went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ToolOutcome {
    /// The tool did what was asked.
    Done,
    /// The tool failed or refused; the content says why.
    Failed,
}

/// A part of a tool's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ResultPart {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// A picture.
    Image {
        /// Which picture.
        image: Image,
    },
}

/// A tool as it is offered to the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToolDefinition {
    /// A tool described by a JSON schema.
    Function {
        /// The name, `[a-z_]+`.
        name: String,
        /// What it does and when to use it.
        description: String,
        /// JSON schema of the input, an object.
        schema: Value,
    },
    /// The tool `shell`: commands in the sandbox. Providers that trained their models on such a tool offer their own form
    /// of it.
    Shell {
        /// What it does, for models without a trained form.
        description: String,
        /// JSON schema of the input, for models without a trained form.
        schema: Value,
    },
    /// The tool `edit`: text files in the sandbox. Providers that trained their models on such a tool offer their own form
    /// of it.
    Editor {
        /// What it does, for models without a trained form.
        description: String,
        /// JSON schema of the input, for models without a trained form.
        schema: Value,
    },
    /// The tool `computer`: screen, mouse and keyboard. Providers that trained their models on such a tool offer their own
    /// form of it.
    Computer {
        /// What it does, for models without a trained form. The client adds what coordinates mean.
        description: String,
        /// JSON schema of the input, for models without a trained form.
        schema: Value,
        /// Width of the screen in pixels.
        width: u32,
        /// Height of the screen in pixels.
        height: u32,
    },
}

/// Why the model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StopReason {
    /// It had no more to say.
    EndTurn,
    /// It waits for its tool calls' results.
    ToolUse,
    /// The limit on tokens of one answer was reached; the last tool call may be cut.
    MaxTokens,
    /// The provider paused a long turn; the conversation is sent again as it is.
    PauseTurn,
    /// The model declined.
    Refusal {
        /// The provider's explanation, possibly empty.
        explanation: String,
    },
    /// The conversation no longer fits the model's window.
    ContextExceeded,
    /// A reason this version does not know.
    Other {
        /// The provider's word for it.
        reason: String,
    },
}

/// What one model call used, and cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens read that were not cached.
    pub input_tokens: u64,
    /// Tokens read from the provider's cache.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Those of them that are kept for an hour, which cost more.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_hour_tokens: u64,
    /// Tokens written by the model, thinking included.
    pub output_tokens: u64,
    /// Price in millionths of a US dollar; 0 where the model has no known price.
    pub cost_microdollars: u64,
}

fn is_zero(tokens: &u64) -> bool {
    *tokens == 0
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.cache_read_tokens = self.cache_read_tokens.saturating_add(other.cache_read_tokens);
        self.cache_write_tokens = self.cache_write_tokens.saturating_add(other.cache_write_tokens);
        self.cache_write_hour_tokens =
            self.cache_write_hour_tokens.saturating_add(other.cache_write_hour_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_microdollars = self.cost_microdollars.saturating_add(other.cost_microdollars);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage() -> impl Strategy<Value = Usage> {
        any::<[u64; 6]>().prop_map(|[input, read, written, hour, output, cost]| Usage {
            input_tokens: input,
            cache_read_tokens: read,
            cache_write_tokens: written,
            cache_write_hour_tokens: hour,
            output_tokens: output,
            cost_microdollars: cost,
        })
    }

    fn sum(parts: &[Usage]) -> Usage {
        let mut sum = Usage::default();
        parts.iter().for_each(|part| sum += *part);
        sum
    }

    #[test]
    fn usage_is_added_field_by_field() {
        let one = Usage {
            input_tokens: 1,
            cache_read_tokens: 2,
            cache_write_tokens: 3,
            cache_write_hour_tokens: 2,
            output_tokens: 4,
            cost_microdollars: 5,
        };
        let three = Usage {
            input_tokens: 3,
            cache_read_tokens: 6,
            cache_write_tokens: 9,
            cache_write_hour_tokens: 6,
            output_tokens: 12,
            cost_microdollars: 15,
        };
        assert_eq!(sum(&[one, one, one]), three);
    }

    #[test]
    fn usage_that_a_provider_exaggerates_stops_at_the_largest_number() {
        let most = Usage { input_tokens: u64::MAX, ..Usage::default() };
        let more = Usage { input_tokens: 1, output_tokens: 1, ..Usage::default() };
        assert_eq!(
            sum(&[most, more]),
            Usage { input_tokens: u64::MAX, output_tokens: 1, ..Usage::default() }
        );
    }

    proptest! {
        #[test]
        fn the_order_of_calls_does_not_change_what_they_used(mut parts in prop::collection::vec(usage(), 0..6)) {
            let there = sum(&parts);
            parts.reverse();
            prop_assert_eq!(sum(&parts), there);
        }
    }
}
