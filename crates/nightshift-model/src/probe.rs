//! One cheap call that tells what works with a model: streaming, tools, pictures.

use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::{ArtifactId, AssistantBlock, Image, Message, ToolDefinition, Usage, UserPart};
use serde_json::json;

use crate::{ImageSource, Model, Progress, TurnError, TurnRequest};

/// 64 by 64 pixels of purple.
const PICTURE: &[u8] = include_bytes!("probe.png");
const COLOUR: &str = "purple";
/// Several, so that a model that sees nothing guesses wrong.
const COLOURS: [&str; 10] =
    ["red", "green", "blue", "yellow", "orange", "purple", "black", "white", "grey", "brown"];
/// Its SHA-256 is of no interest: nothing is stored under it.
const NAME: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const TOOL: &str = "name_colour";

/// The most tokens the answer may have: the call itself has thirty, some models think before it.
const MAX_OUTPUT_TOKENS: u32 = 2_000;

/// What one call has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The model that answered, by the provider's own name.
    pub model: String,
    /// Whether the answer was seen before it was whole.
    pub streams: bool,
    /// Whether it called the tool it was offered, with an input that fits the tool's schema.
    pub calls_tools: bool,
    /// Whether it saw what is on the picture.
    pub reads_images: bool,
    /// Its words where it called no tool, at most 200 characters.
    pub said: String,
    /// What the call used and cost.
    pub usage: Usage,
}

/// Makes the call.
///
/// # Errors
///
/// As [`Model::turn`].
pub async fn probe(model: &dyn Model, name: &str) -> Result<Probe, TurnError> {
    let pieces = AtomicU32::new(0);
    let count = |progress: Progress| {
        if !matches!(progress, Progress::Retrying { .. } | Progress::Used(_)) {
            pieces.fetch_add(1, Ordering::Relaxed);
        }
    };
    let turn = model.turn(&request(name), &OnePicture, &count).await?;
    let blocks = match turn.message {
        Message::Assistant { blocks, .. } => blocks,
        Message::User { .. } => Vec::new(),
    };
    let colour = blocks.iter().find_map(|block| match block {
        AssistantBlock::ToolCall { call } if call.name == TOOL => call.input["colour"].as_str(),
        _ => None,
    });
    let words = blocks.iter().filter_map(|block| match block {
        AssistantBlock::Text { text } => Some(text.as_str()),
        _ => None,
    });
    let said: String = words.collect::<Vec<_>>().join(" ").chars().take(200).collect();
    // A model that calls no tool can still see.
    let saw = colour.map_or_else(|| said.to_lowercase().contains(COLOUR), |colour| colour == COLOUR);
    Ok(Probe {
        model: turn.model,
        streams: pieces.load(Ordering::Relaxed) > 0,
        calls_tools: colour.is_some_and(|colour| COLOURS.contains(&colour)),
        reads_images: saw,
        said,
        usage: turn.usage,
    })
}

fn request(name: &str) -> TurnRequest {
    let tool = ToolDefinition::Function {
        name: TOOL.to_owned(),
        description: "Takes the colour of the picture.".to_owned(),
        schema: json!({
            "type": "object",
            "properties": {"colour": {"type": "string", "enum": COLOURS}},
            "required": ["colour"],
            "additionalProperties": false,
        }),
    };
    let mut content = vec![UserPart::Text {
        text: "Which colour fills this picture? Answer by calling the tool, once, with nothing else."
            .to_owned(),
    }];
    if let Ok(artifact) = NAME.parse::<ArtifactId>() {
        let image = Image { artifact, media_type: "image/png".to_owned(), width: 64, height: 64, bytes: 87 };
        content.push(UserPart::Image { image });
    }
    TurnRequest {
        model: name.to_owned(),
        system: "This is a test of a connection.".into(),
        tools: [tool].into(),
        messages: vec![Message::User { content }.into()].into(),
        max_output_tokens: MAX_OUTPUT_TOKENS,
        clear_results_above: None,
    }
}

struct OnePicture;

#[async_trait]
impl ImageSource for OnePicture {
    async fn read(&self, _image: &Image) -> std::io::Result<Bytes> {
        Ok(Bytes::from_static(PICTURE))
    }
}
