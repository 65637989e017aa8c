//! OpenAI's Responses API, streaming, without state at the provider: the conversation is sent whole, reasoning in it
//! encrypted.

mod actions;
mod answer;
mod item;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use nightshift_protocol::ToolDefinition;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use self::answer::Answer;
use self::item::Items;
use crate::dialect::{Arriving, Dialect};
use crate::failure::{ErrorAnswer, Failure};
use crate::fragment::{Conversations, Translated, assemble, json_of, translated};
use crate::heads::{RequestHeads, with_tools};
use crate::openai::MAX_REQUEST_BYTES;
use crate::settings::KeyHeader;
use crate::tools::{in_pixels, plain};
use crate::{ImageSource, ModelFacts, Price, RelayApi, TurnRequest, Unsendable, openai, price};

/// What is done when the provider wants a person to confirm an action on the screen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SafetyChecks {
    /// They are acknowledged: the action happens in a sandbox, whose walls are not the model's good will.
    #[default]
    Acknowledge,
    /// The turn counts as refused, with the provider's words: a person says which other way to go. It cannot be confirmed.
    Refuse,
}

/// The Responses API.
#[derive(Debug)]
pub(crate) struct Responses {
    checks: SafetyChecks,
    /// The models that turned out not to know the trained computer tool.
    without_computer: Mutex<HashSet<String>>,
    /// The models whose reasoning turned out not to be summed up, be it for them or for the one whose key it is.
    without_summaries: Mutex<HashSet<String>>,
    /// The models that turned out not to seal what they reason.
    without_sealed: Mutex<HashSet<String>>,
    heads: RequestHeads<Form>,
}

impl Responses {
    pub(crate) fn new(checks: SafetyChecks) -> Self {
        Self {
            checks,
            without_computer: Mutex::default(),
            without_summaries: Mutex::default(),
            without_sealed: Mutex::default(),
            heads: RequestHeads::default(),
        }
    }

    fn head(request: &TurnRequest, form: Form) -> String {
        let mut head = json!({
            "model": request.model,
            "max_output_tokens": request.max_output_tokens,
            "stream": true,
            "store": false,
            // The same for the whole conversation, and for all conversations with the same instructions.
            "prompt_cache_key": cache_key(&request.system),
        });
        if form.seals {
            head["include"] = json!(["reasoning.encrypted_content"]);
        }
        if form.sums_up {
            head["reasoning"] = json!({"summary": "auto"});
        }
        if !request.system.trim().is_empty() {
            head["instructions"] = json!(request.system);
        }
        if let Some(above) = request.clear_results_above {
            head["context_management"] = json!([{"type": "compaction", "compact_threshold": above}]);
        }
        if request.tools.is_empty() {
            return json_of(&head);
        }
        let tools: Vec<Value> = request.tools.iter().map(|tool| wire_tool(tool, form.has_computer)).collect();
        with_tools(&head, &tools)
    }
}

/// What a model is not known to refuse.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Form {
    has_computer: bool,
    sums_up: bool,
    seals: bool,
}

fn is_in(models: &Mutex<HashSet<String>>, model: &str) -> bool {
    models.lock().unwrap_or_else(PoisonError::into_inner).contains(model)
}

fn wire_tool(tool: &ToolDefinition, trained: bool) -> Value {
    if trained && matches!(tool, ToolDefinition::Computer { .. }) {
        return json!({"type": "computer"});
    }
    let (name, description, schema) = plain(tool);
    // Strict schemas know no optional properties, and ours have some.
    json!({"type": "function", "name": name, "description": in_pixels(tool, description), "parameters": schema,
        "strict": false})
}

/// A short name of the instructions (FNV-1a): requests of the same name go to the machine that has them cached.
fn cache_key(system: &str) -> String {
    let hash = system.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("nightshift-{hash:016x}")
}

#[async_trait]
impl Dialect for Responses {
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
        &["responses"]
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
        translated(&Items, request, remembered, images).await
    }

    fn body(&self, request: &TurnRequest, conversation: &Translated) -> Result<Bytes, Unsendable> {
        let form = Form {
            has_computer: !is_in(&self.without_computer, &request.model),
            sums_up: !is_in(&self.without_summaries, &request.model),
            seals: !is_in(&self.without_sealed, &request.model),
        };
        let head = self.heads.of(request, form, || Self::head(request, form));
        assemble(&head, "input", None, conversation, Vec::new(), "", MAX_REQUEST_BYTES)
    }

    fn headers(&self, _request: &TurnRequest) -> HeaderMap {
        HeaderMap::new()
    }

    fn step_down(&self, request: &TurnRequest, message: &str) -> bool {
        let has_screen = request.tools.iter().any(|tool| matches!(tool, ToolDefinition::Computer { .. }));
        let message = message.to_lowercase();
        let refused = if has_screen && message.contains("computer") {
            vec![&self.without_computer]
        } else if message.contains("summar") {
            // An organisation that is not verified is told no summaries, and has its models' reasoning sealed all the same.
            vec![&self.without_summaries]
        } else if message.contains("encrypted") && !message.contains("could not be") {
            // What was sealed elsewhere "could not be verified", which is no matter of what is asked for.
            vec![&self.without_sealed]
        } else if message.contains("reasoning") {
            vec![&self.without_summaries, &self.without_sealed]
        } else {
            return false;
        };
        let mut is_simpler = false;
        for models in refused {
            is_simpler |= models.lock().unwrap_or_else(PoisonError::into_inner).insert(request.model.clone());
        }
        is_simpler
    }

    fn answer(&self, _request: &TurnRequest) -> Box<dyn Arriving> {
        Box::new(Answer::new(self.checks))
    }

    fn read_error(&self, answer: &ErrorAnswer<'_>) -> Failure {
        openai::read_error_answer(answer)
    }

    fn read_streamed_error(&self, kind: &str, message: String) -> Failure {
        openai::read_streamed_error(kind, message)
    }

    fn model_facts(&self, facts: &Value, asked: &str) -> ModelFacts {
        openai::model_facts(facts, asked, price::openai)
    }

    fn price(&self, model: &str) -> Option<Price> {
        price::openai(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for of reasoning after these refusals, and whether each of them led to a simpler form.
    fn asked_after(refusals: &[&str]) -> (Value, Value, Vec<bool>) {
        let responses = Responses::new(SafetyChecks::default());
        let request = TurnRequest {
            model: "gpt-6.1-sol".to_owned(),
            system: "Work.".into(),
            tools: Arc::default(),
            messages: Arc::default(),
            max_output_tokens: 1,
            clear_results_above: None,
        };
        let steps = refusals.iter().map(|refusal| responses.step_down(&request, refusal)).collect();
        let body = responses.body(&request, &Translated::default()).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (body["include"].clone(), body["reasoning"].clone(), steps)
    }

    #[test]
    fn of_reasoning_only_what_is_refused_is_not_asked_for_again() {
        let (sealed, summary) = (json!(["reasoning.encrypted_content"]), json!({"summary": "auto"}));
        let unverified = "Your organization must be verified to generate reasoning summaries.";
        let unsealed = "Encrypted content is not supported with this model.";
        let no_summary =
            "Unsupported parameter: 'reasoning.summary' is not supported with the 'gpt-4.1' model.";
        let nothing = "Reasoning is not supported with this model.";
        assert_eq!(asked_after(&[]), (sealed.clone(), summary.clone(), vec![]));
        assert_eq!(asked_after(&[unverified]), (sealed.clone(), Value::Null, vec![true]));
        assert_eq!(asked_after(&[unsealed]), (Value::Null, summary.clone(), vec![true]));
        assert_eq!(asked_after(&[no_summary, unsealed]), (Value::Null, Value::Null, vec![true; 2]));
        assert_eq!(asked_after(&[nothing, nothing]), (Value::Null, Value::Null, vec![true, false]));
        assert_eq!(asked_after(&[unverified, unverified]), (sealed.clone(), Value::Null, vec![true, false]));
        let foreign = "The encrypted content gAAA...CwHs could not be verified.";
        assert_eq!(asked_after(&[foreign]), (sealed, summary, vec![false]));
    }
}
