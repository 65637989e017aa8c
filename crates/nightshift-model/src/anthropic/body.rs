//! The body of a request, put together from remembered fragments.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use nightshift_protocol::ToolDefinition;
use serde_json::{Value, json};

use super::fragment::{Fragment, Fragments, json_of, translate};
use super::names::{COMPUTER_FAMILY, COMPUTER_TOOLSET, ComputerForm, thinks_adaptively};
use crate::{ImageSource, TurnRequest, Unsendable};

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

/// Everything of the body that comes before the messages' list.
fn head(request: &TurnRequest, form: ComputerForm) -> String {
    let mut head = json!({
        "model": request.model,
        "max_tokens": request.max_output_tokens,
        "stream": true,
    });
    if thinks_adaptively(&request.model) {
        // Without `display` newer models send their reasoning, and what they say between calls, as empty blocks.
        head["thinking"] = json!({"type": "adaptive", "display": "summarized"});
    }
    let mut tools: Vec<Value> = request.tools.iter().map(|tool| wire_tool(tool, form)).collect();
    let cached = json!({"type": "ephemeral"});
    if !request.system.trim().is_empty() {
        head["system"] = json!([{"type": "text", "text": request.system, "cache_control": cached}]);
    } else if let Some(last) = tools.last_mut() {
        last["cache_control"] = cached;
    }
    if !tools.is_empty() {
        head["tools"] = Value::Array(tools);
    }
    json_of(&head)
}

fn wire_tool(tool: &ToolDefinition, form: ComputerForm) -> Value {
    match (tool, form) {
        (ToolDefinition::Function { name, description, schema }, _) => {
            json!({"name": name, "description": description, "input_schema": schema})
        }
        (ToolDefinition::Computer { .. }, ComputerForm::Toolset) => {
            json!({"type": COMPUTER_TOOLSET, "configs": {"zoom": {"enabled": true}}})
        }
        (ToolDefinition::Computer { description, schema, .. }, ComputerForm::Function) => {
            json!({"name": COMPUTER_FAMILY, "description": description, "input_schema": schema})
        }
    }
}

/// Translates what is new in a conversation, and gives the fragments of all its messages.
pub(crate) async fn fragments(
    request: &TurnRequest,
    remembered: &Mutex<Fragments>,
    images: &dyn ImageSource,
) -> Result<Vec<Fragment>, Unsendable> {
    let lock = || remembered.lock().unwrap_or_else(PoisonError::into_inner);
    lock().forget_dropped();
    let mut fragments = Vec::with_capacity(request.messages.len());
    let mut before = None;
    for (index, message) in request.messages.iter().enumerate() {
        let known = lock().get(before, message);
        let fragment = match known {
            Some(fragment) => fragment,
            None => {
                let fragment = translate(before.map(|before| &**before), message, index, images).await?;
                lock().put(before, message, fragment.clone());
                fragment
            }
        };
        fragments.push(fragment);
        before = Some(message);
    }
    check_images(&fragments)?;
    Ok(fragments)
}

fn check_images(fragments: &[Fragment]) -> Result<(), Unsendable> {
    let images = fragments.iter().map(|fragment| fragment.images).sum();
    if images > MAX_IMAGES {
        return Err(Unsendable::TooManyImages { images, limit: MAX_IMAGES });
    }
    let limit = if images > MANY_IMAGES { MAX_EDGE_OF_MANY } else { MAX_EDGE };
    let longest =
        fragments.iter().filter_map(|fragment| fragment.longest.as_ref()).max_by_key(|(_, edge)| *edge);
    match longest {
        Some((artifact, edge)) if *edge > limit => {
            Err(Unsendable::ImageTooLarge { artifact: artifact.clone(), edge: *edge, images, limit })
        }
        _ => Ok(()),
    }
}

/// Puts a body together.
pub(crate) fn assemble(
    request: &TurnRequest,
    form: ComputerForm,
    fragments: &[Fragment],
) -> Result<Bytes, Unsendable> {
    let head = head(request, form);
    let open = head.strip_suffix('}').unwrap_or(&head);
    let marked = marked(fragments);
    let size = fragments.iter().map(|fragment| fragment.json.len() + 1).sum::<usize>() + head.len() + 200;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(open.as_bytes());
    body.extend_from_slice(br#","messages":["#);
    for (index, fragment) in fragments.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        match fragment.mark_at {
            Some(at) if marked.contains(&index) => {
                let (front, back) = fragment.json.split_at(at);
                body.extend_from_slice(front);
                body.extend_from_slice(CACHE_MARK.as_bytes());
                body.extend_from_slice(back);
            }
            _ => body.extend_from_slice(&fragment.json),
        }
    }
    body.extend_from_slice(b"]}");
    if body.len() > MAX_REQUEST_BYTES {
        return Err(Unsendable::TooLarge { limit: MAX_REQUEST_BYTES });
    }
    Ok(body.into())
}

/// The places of the messages that get a cache mark: the two newest of the user.
fn marked(fragments: &[Fragment]) -> Vec<usize> {
    let markable = fragments.iter().enumerate().rev().filter(|(_, fragment)| fragment.mark_at.is_some());
    markable.take(2).map(|(index, _)| index).collect()
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
