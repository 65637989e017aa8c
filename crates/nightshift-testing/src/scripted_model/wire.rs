//! A request as the Messages API takes it. Whatever is not written here is refused.
//!
//! Source: the types of the vendor's TypeScript client 1.12.0, as far as Nightshift has a use for them.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// `POST /v1/messages`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) struct Request {
    pub(super) model: String,
    pub(super) max_tokens: u64,
    pub(super) messages: Vec<Message>,
    #[serde(default)]
    pub(super) stream: bool,
    #[serde(default, deserialize_with = "blocks")]
    pub(super) system: Vec<Block>,
    #[serde(default)]
    pub(super) tools: Vec<Tool>,
    pub(super) thinking: Option<Thinking>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) metadata: Option<Metadata>,
    pub(super) stop_sequences: Option<Vec<String>>,
    pub(super) output_config: Option<OutputConfig>,
    pub(super) service_tier: Option<String>,
    pub(super) cache_control: Option<CacheControl>,
    pub(super) context_management: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) role: Role,
    #[serde(deserialize_with = "blocks")]
    pub(super) content: Vec<Block>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) enum Block {
    Text {
        text: String,
        cache_control: Option<CacheControl>,
        citations: Option<Vec<Value>>,
    },
    Image {
        source: ImageSource,
        cache_control: Option<CacheControl>,
        transformations: Option<Value>,
    },
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
        caller: Option<Value>,
        toolset_name: Option<String>,
        cache_control: Option<CacheControl>,
    },
    ToolResult {
        tool_use_id: String,
        #[serde(default, deserialize_with = "blocks")]
        content: Vec<Block>,
        #[serde(default)]
        is_error: bool,
        toolset_name: Option<String>,
        cache_control: Option<CacheControl>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ImageSource {
    Base64 { media_type: String, data: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) struct CacheControl {
    #[serde(rename = "type")]
    kind: Ephemeral,
    ttl: Option<TimeToLive>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ephemeral {
    Ephemeral,
}

#[derive(Debug, Deserialize)]
enum TimeToLive {
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    OneHour,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) enum Thinking {
    Adaptive { display: Option<Display> },
    Disabled {},
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Display {
    Summarized,
    Omitted,
}

/// A forced choice is refused by the models served here.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) enum ToolChoice {
    Auto { disable_parallel_tool_use: Option<bool> },
    None {},
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) struct Metadata {
    user_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) struct OutputConfig {
    effort: Option<Effort>,
    format: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Effort {
    Low,
    Medium,
    High,
    #[serde(rename = "xhigh")]
    ExtraHigh,
    Max,
}

/// A tool; without a `type` it is a function.
#[derive(Debug)]
pub(super) enum Tool {
    Function(Function),
    Computer(ComputerToolset),
    /// Another trained tool: a shell, an editor, an older computer.
    Trained(Trained),
    /// A type that no model knows.
    Unknown(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) input_schema: Map<String, Value>,
    pub(super) description: Option<String>,
    pub(super) cache_control: Option<CacheControl>,
    pub(super) strict: Option<bool>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ComputerToolset {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) cache_control: Option<CacheControl>,
    #[serde(default)]
    pub(super) configs: Option<Map<String, Value>>,
}

/// A trained tool of one name.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that are only known, so that they are not refused")]
pub(super) struct Trained {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) cache_control: Option<CacheControl>,
    pub(super) display_width_px: Option<u32>,
    pub(super) display_height_px: Option<u32>,
    pub(super) enable_zoom: Option<bool>,
}

impl Tool {
    pub(super) fn has_cache_mark(&self) -> bool {
        match self {
            Self::Function(function) => function.cache_control.is_some(),
            Self::Computer(toolset) => toolset.cache_control.is_some(),
            Self::Trained(trained) => trained.cache_control.is_some(),
            Self::Unknown(_) => false,
        }
    }

    /// The provider's type of a trained tool.
    pub(super) fn kind(&self) -> Option<&str> {
        match self {
            Self::Computer(toolset) => Some(&toolset.kind),
            Self::Trained(trained) => Some(&trained.kind),
            Self::Function(_) | Self::Unknown(_) => None,
        }
    }
}

impl Block {
    pub(super) fn has_cache_mark(&self) -> bool {
        match self {
            Self::Text { cache_control, .. }
            | Self::Image { cache_control, .. }
            | Self::ToolUse { cache_control, .. }
            | Self::ToolResult { cache_control, .. } => cache_control.is_some(),
            Self::Thinking { .. } | Self::RedactedThinking { .. } => false,
        }
    }

    /// Whether a block is a picture or has one in it.
    pub(super) fn has_image(&self) -> bool {
        match self {
            Self::Image { .. } => true,
            Self::ToolResult { content, .. } => content.iter().any(Self::has_image),
            _ => false,
        }
    }

    /// The text of a block and of those within it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text { text, .. } => text.clone(),
            Self::ToolResult { content, .. } => joined(content),
            _ => String::new(),
        }
    }
}

/// The texts of blocks, one to a line.
pub(super) fn joined(blocks: &[Block]) -> String {
    let texts: Vec<String> = blocks.iter().map(Block::text).filter(|text| !text.is_empty()).collect();
    texts.join("\n")
}

impl<'de> Deserialize<'de> for Tool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tool = Value::deserialize(deserializer)?;
        let read = match tool.get("type").and_then(Value::as_str) {
            None | Some("custom") => serde_json::from_value(tool).map(Self::Function),
            Some("computer_toolset_20260801") => serde_json::from_value(tool).map(Self::Computer),
            Some("bash_20250124" | "text_editor_20250728" | "computer_20251124" | "computer_20250124") => {
                serde_json::from_value(tool).map(Self::Trained)
            }
            Some(kind) => Ok(Self::Unknown(kind.to_owned())),
        };
        read.map_err(serde::de::Error::custom)
    }
}

/// Content: a list of blocks, or a text that stands for one block.
fn blocks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Block>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(vec![Block::Text { text, cache_control: None, citations: None }]),
        Value::Array(blocks) => {
            let read = |(index, block)| {
                serde_json::from_value(block)
                    .map_err(|error| serde::de::Error::custom(format!("block {index}: {error}")))
            };
            blocks.into_iter().enumerate().map(read).collect()
        }
        _ => Err(serde::de::Error::custom("content has to be a text or a list of blocks")),
    }
}
