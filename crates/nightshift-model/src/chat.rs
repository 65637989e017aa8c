//! The Chat Completions API, streaming, as Ollama, llama.cpp, vLLM and many gateways speak it. Tools are plain
//! functions.

mod answer;
mod message;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::ToolDefinition;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use self::answer::Answer;
use self::message::{ChatForm, Shown};
use crate::dialect::{Arriving, Dialect};
use crate::failure::{ErrorAnswer, Failure};
use crate::fragment::{Conversations, Translated, assemble, json_of, translated};
use crate::heads::{RequestHeads, with_tools};
use crate::openai::{self, MAX_REQUEST_BYTES, tells_of_pictures};
use crate::settings::KeyHeader;
use crate::tools::{described, plain};
use crate::{Coordinates, ImageSource, ModelFacts, Price, RelayApi, TurnRequest, Unsendable};

/// What has to be known of the models behind a Chat API, since most servers do not tell it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatSettings {
    /// Facts of single models, by the provider's name of them.
    pub models: BTreeMap<String, ModelSettings>,
}

/// What a person says about one model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelSettings {
    /// What its coordinates mean; by default pixels, and thousandths for a model whose name says Qwen and VL.
    pub coordinates: Option<Coordinates>,
    /// The size of its window in tokens.
    pub context_tokens: Option<u64>,
    /// Whether it reads pictures; where this is not said it is tried.
    pub images: Option<bool>,
}

/// The Chat Completions API.
#[derive(Debug)]
pub(crate) struct Chat {
    settings: ChatSettings,
    /// The models that turned out to read no pictures.
    blind: Mutex<HashSet<String>>,
    /// Messages as they are told to those models.
    without_pictures: Mutex<Conversations>,
    heads: RequestHeads<Coordinates>,
}

impl Chat {
    pub(crate) fn new(settings: ChatSettings) -> Self {
        Self {
            settings,
            blind: Mutex::default(),
            without_pictures: Mutex::default(),
            heads: RequestHeads::default(),
        }
    }

    fn model(&self, model: &str) -> ModelSettings {
        self.settings.models.get(model).copied().unwrap_or_default()
    }

    fn coordinates(&self, model: &str) -> Coordinates {
        self.model(model).coordinates.unwrap_or_else(|| {
            let name = model.to_lowercase();
            // Qwen2.5-VL answers in pixels; its successors in thousandths.
            let thousandths = name.contains("qwen")
                && name.contains("vl")
                && !name.contains("2.5")
                && !name.contains("2-vl");
            if thousandths { Coordinates::Thousandths } else { Coordinates::Pixels }
        })
    }

    fn shown(&self, model: &str) -> Shown {
        let blind = self.blind.lock().unwrap_or_else(PoisonError::into_inner).contains(model);
        if blind || self.model(model).images == Some(false) { Shown::Words } else { Shown::Pictures }
    }
}

#[async_trait]
impl Dialect for Chat {
    fn relay_api(&self) -> RelayApi {
        RelayApi::OpenAi
    }

    fn key_header(&self) -> KeyHeader {
        KeyHeader::Bearer
    }

    fn fixed_headers(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    fn turn_path(&self) -> &'static [&'static str] {
        &["chat", "completions"]
    }

    fn list_path(&self) -> (&'static [&'static str], &'static [(&'static str, &'static str)]) {
        (&["models"], &[])
    }

    async fn translated(
        &self,
        request: &TurnRequest,
        remembered: &Mutex<Conversations>,
        images: &dyn ImageSource,
    ) -> Result<Arc<Translated>, Unsendable> {
        match self.shown(&request.model) {
            shown @ Shown::Pictures => translated(&ChatForm(shown), request, remembered, images).await,
            shown @ Shown::Words => {
                translated(&ChatForm(shown), request, &self.without_pictures, images).await
            }
        }
    }

    fn body(&self, request: &TurnRequest, conversation: &Translated) -> Result<Bytes, Unsendable> {
        let coordinates = self.coordinates(&request.model);
        let head = self.heads.of(request, coordinates, || {
            let head = json!({
                "model": request.model,
                // The newer name is unknown to Ollama and to older servers.
                "max_tokens": request.max_output_tokens,
                "stream": true,
                "stream_options": {"include_usage": true},
            });
            if request.tools.is_empty() {
                return json_of(&head);
            }
            let tools: Vec<Value> = request.tools.iter().map(|tool| wire_tool(tool, coordinates)).collect();
            with_tools(&head, &tools)
        });
        let system = json_of(&json!({"role": "system", "content": request.system}));
        let first = (!request.system.trim().is_empty()).then_some(system.as_str());
        assemble(&head, "messages", first, conversation, Vec::new(), "", MAX_REQUEST_BYTES)
    }

    fn headers(&self, _request: &TurnRequest) -> HeaderMap {
        HeaderMap::new()
    }

    fn step_down(&self, request: &TurnRequest, message: &str) -> bool {
        tells_of_pictures(message)
            && self.shown(&request.model) == Shown::Pictures
            && self.blind.lock().unwrap_or_else(PoisonError::into_inner).insert(request.model.clone())
    }

    fn answer(&self, request: &TurnRequest) -> Box<dyn Arriving> {
        let screen = request.tools.iter().find_map(|tool| match tool {
            ToolDefinition::Computer { width, height, .. } => Some((*width, *height)),
            _ => None,
        });
        Box::new(Answer::new(self.coordinates(&request.model), screen.unwrap_or((1, 1))))
    }

    fn read_error(&self, answer: &ErrorAnswer<'_>) -> Failure {
        openai::read_error_answer(answer)
    }

    fn read_streamed_error(&self, kind: &str, message: String) -> Failure {
        openai::read_streamed_error(kind, message)
    }

    fn model_facts(&self, facts: &Value, asked: &str) -> ModelFacts {
        let told = openai::model_facts(facts, asked, |_| None);
        let known = self.model(&told.id);
        ModelFacts {
            max_input_tokens: known.context_tokens.or(told.max_input_tokens),
            reads_images: known.images.or(told.reads_images),
            ..told
        }
    }

    /// Nobody knows what a server of one's own costs, or a gateway, but who has it.
    fn price(&self, _model: &str) -> Option<Price> {
        None
    }
}

fn wire_tool(tool: &ToolDefinition, coordinates: Coordinates) -> Value {
    let (name, description, schema) = plain(tool);
    let description = described(tool, description, coordinates);
    json!({"type": "function", "function": {"name": name, "description": description, "parameters": schema}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_model_s_coordinates_mean_follows_from_its_name_unless_it_is_said() {
        let pixels = ModelSettings { coordinates: Some(Coordinates::Pixels), ..ModelSettings::default() };
        let models = BTreeMap::from([("qwen3-vl:8b".to_owned(), pixels)]);
        let chat = Chat::new(ChatSettings { models });
        let of = |model| chat.coordinates(model);
        assert_eq!(of("Qwen/Qwen3-VL-32B-Instruct"), Coordinates::Thousandths);
        assert_eq!(of("qwen3-vl:8b"), Coordinates::Pixels);
        assert_eq!([of("qwen2.5vl:7b"), of("gemma3:27b"), of("qwen3-coder")], [Coordinates::Pixels; 3]);
    }
}
