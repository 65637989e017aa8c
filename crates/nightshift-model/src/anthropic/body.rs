//! The body of a request, put together from a conversation that is remembered as JSON.

use bytes::Bytes;
use serde_json::{Value, json};

use super::names::{CONTEXT_MANAGEMENT, Forms, thinks_adaptively};
use super::trained::wire_tools;
use crate::fragment::{Translated, assemble, json_of};
use crate::heads::{RequestHeads, with_tools};
use crate::{TurnRequest, Unsendable};

/// The provider's limits on a request (documentation, "Images and vision" and "Errors"). The number of pictures is
/// that of models with the smallest window; larger ones take more.
const MAX_REQUEST_BYTES: usize = 32 * 1024 * 1024;
const MAX_IMAGES: usize = 100;
/// Above this many pictures, each must keep to the stricter limit on its edges.
const MANY_IMAGES: usize = 20;
const MAX_EDGE: u32 = 8000;
const MAX_EDGE_OF_MANY: u32 = 2000;

/// Asks the provider to cache everything up to this place. Four are allowed; three are used: behind system and tools,
/// behind the newest message, and behind the user's message before that, where the last turn's mark was.
const CACHE_MARK: &str = r#","cache_control":{"type":"ephemeral"}"#;

/// The newest tool calls whose results are kept when older ones are cleared.
const KEPT_TOOL_USES: u32 = 8;

/// Everything of the body that comes before the messages' list.
fn head(request: &TurnRequest, forms: Forms) -> String {
    let mut head = json!({
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "stream": true,
    });
    if thinks_adaptively(&request.model) {
        // Without `display` newer models send their reasoning, and what they say between calls, as empty blocks.
        head["thinking"] = json!({"type": "adaptive", "display": "summarized"});
    }
    let cached = json!({"type": "ephemeral"});
    let has_system = !request.system.trim().is_empty();
    if has_system {
        head["system"] = json!([{"type": "text", "text": request.system, "cache_control": cached}]);
    }
    if let Some(above) =
        request.clear_results_above.filter(|_| forms.clears_context && !request.tools.is_empty())
    {
        // Clearing makes the cache's end worthless, so it is done seldom and then thoroughly.
        head[CONTEXT_MANAGEMENT] = json!({"edits": [{
            "type": "clear_tool_uses_20250919",
            "trigger": {"type": "input_tokens", "value": above},
            "keep": {"type": "tool_uses", "value": KEPT_TOOL_USES},
            "clear_at_least": {"type": "input_tokens", "value": above / 4},
            "exclude_tools": ["plan", "evidence", "ask"],
        }]});
    }
    if request.tools.is_empty() {
        return json_of(&head);
    }
    let mut tools: Vec<Value> = request.tools.iter().flat_map(|tool| wire_tools(tool, forms)).collect();
    if let Some(last) = tools.last_mut().filter(|_| !has_system) {
        last["cache_control"] = cached;
    }
    with_tools(&head, &tools)
}

/// Checks what the provider would refuse.
pub(crate) fn check_images(conversation: &Translated) -> Result<(), Unsendable> {
    let images = conversation.pictures().map(|pictures| pictures.count).sum();
    if images > MAX_IMAGES {
        return Err(Unsendable::TooManyImages { images, limit: MAX_IMAGES });
    }
    let limit = if images > MANY_IMAGES { MAX_EDGE_OF_MANY } else { MAX_EDGE };
    let longest = conversation.pictures().filter_map(|pictures| pictures.longest.as_ref());
    let longest = longest.max_by_key(|(_, edge)| *edge);
    match longest {
        Some((artifact, edge)) if *edge > limit => {
            Err(Unsendable::ImageTooLarge { artifact: artifact.clone(), edge: *edge, images, limit })
        }
        _ => Ok(()),
    }
}

/// Puts a body together.
pub(crate) fn body(
    request: &TurnRequest,
    forms: Forms,
    heads: &RequestHeads<Forms>,
    conversation: &Translated,
) -> Result<Bytes, Unsendable> {
    let head = heads.of(request, forms, || head(request, forms));
    // The two newest messages of the user get one.
    let marked = conversation.marks().take(2).collect();
    assemble(&head, "messages", None, conversation, marked, CACHE_MARK, MAX_REQUEST_BYTES)
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
