//! One element of a page: found by its reference, clicked, filled.
//!
//! What is asked of an element runs in a world of its own, in which the page's changes to built-in functions have no
//! effect. Clicks and keys are the browser's own input, as from mouse and keyboard.

use serde_json::{Value, json};

use crate::connection::{BrowserError, Connection};
use crate::reference::{Document, Reference};
use crate::text::line;

/// The frames of a page that are looked at; a page with more is an advertisement.
const MAX_FRAMES: usize = 12;

/// A frame with the document in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) id: String,
    pub(crate) document: Document,
    pub(crate) url: String,
}

/// The frames of a page, the page itself first.
pub(crate) async fn frames(connection: &mut Connection) -> Result<Vec<Frame>, BrowserError> {
    let tree = connection.ask("Page.getFrameTree", json!({})).await?;
    let mut frames = Vec::new();
    gather(&tree["frameTree"], &mut frames);
    Ok(frames)
}

fn gather(tree: &Value, frames: &mut Vec<Frame>) {
    if frames.len() >= MAX_FRAMES {
        return;
    }
    let text = |field: &str| tree["frame"][field].as_str().unwrap_or_default().to_owned();
    frames.push(Frame { id: text("id"), document: Document::of(&text("loaderId")), url: text("url") });
    for child in tree["childFrames"].as_array().into_iter().flatten() {
        gather(child, frames);
    }
}

/// An element that is there.
pub(crate) struct Element {
    backend: u64,
    object: String,
}

impl Element {
    /// Finds the element a reference means.
    pub(crate) async fn find(
        connection: &mut Connection,
        reference: Reference,
    ) -> Result<Self, BrowserError> {
        let frames = frames(connection).await?;
        let found = frames.iter().find_map(|frame| Some((frame, reference.in_document(frame.document)?)));
        let (frame, backend) = found.ok_or(BrowserError::OldReference)?;
        let world = json!({"frameId": frame.id, "worldName": "nightshift"});
        let world = connection.ask("Page.createIsolatedWorld", world).await?;
        let asked = json!({"backendNodeId": backend, "executionContextId": world["executionContextId"]});
        let resolved = match connection.ask("DOM.resolveNode", asked).await {
            Ok(resolved) => resolved,
            Err(BrowserError::Refused { .. }) => return Err(BrowserError::Gone),
            Err(error) => return Err(error),
        };
        let object = resolved["object"]["objectId"].as_str().ok_or(BrowserError::Gone)?.to_owned();
        Ok(Self { backend, object })
    }

    async fn call(
        &self,
        connection: &mut Connection,
        function: &str,
        arguments: Value,
    ) -> Result<String, BrowserError> {
        let asked = json!({"objectId": self.object, "functionDeclaration": function, "arguments": arguments,
            "returnByValue": true});
        let answer = connection.ask("Runtime.callFunctionOn", asked).await?;
        if answer.get("exceptionDetails").is_some() {
            return Err(BrowserError::Gone);
        }
        Ok(line(answer["result"]["value"].as_str().unwrap_or_default(), 600))
    }

    /// What it is, as the outline has it.
    pub(crate) async fn name(&self, connection: &mut Connection) -> Result<String, BrowserError> {
        let asked = json!({"backendNodeId": self.backend, "fetchRelatives": false});
        let tree = connection.ask("Accessibility.getPartialAXTree", asked).await?;
        let text = |field: &str, limit| {
            let value = tree["nodes"][0][field]["value"].as_str();
            line(value.unwrap_or_default(), limit)
        };
        let (role, name) = (text("role", 40), text("name", 160));
        Ok(if name.is_empty() { role } else { format!("{role} {name:?}") })
    }

    /// Clicks its middle with the left button.
    pub(crate) async fn click(&self, connection: &mut Connection) -> Result<(), BrowserError> {
        let node = json!({"backendNodeId": self.backend});
        match connection.ask("DOM.scrollIntoViewIfNeeded", node.clone()).await {
            Ok(_) => {}
            Err(BrowserError::Refused { .. }) => return Err(not_usable("the element is not shown")),
            Err(error) => return Err(error),
        }
        let covered = self.call(connection, HIT, json!([])).await?;
        match covered.as_str() {
            "" => {}
            "disabled" => return Err(not_usable("the element is disabled")),
            "outside" => return Err(not_usable("the element is outside of what can be scrolled to")),
            by => return Err(not_usable(&format!("the element is covered by <{by}>"))),
        }
        let quads = connection.ask("DOM.getContentQuads", node).await?;
        let (x, y) = middle(&quads["quads"]).ok_or_else(|| not_usable("the element has no size"))?;
        for (kind, buttons) in [("mouseMoved", 0), ("mousePressed", 1), ("mouseReleased", 0)] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event =
                json!({"type": kind, "x": x, "y": y, "button": button, "buttons": buttons, "clickCount": 1});
            connection.ask("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Replaces its text, or chooses an option by its words.
    pub(crate) async fn fill(&self, connection: &mut Connection, text: &str) -> Result<(), BrowserError> {
        let done = self.call(connection, FILL, json!([{ "value": text }])).await?;
        match done.split_once(':').unwrap_or((&done, "")) {
            ("done", _) => Ok(()),
            ("type", _) => {
                connection.ask("Input.insertText", json!({ "text": text })).await?;
                Ok(())
            }
            ("disabled", _) => Err(not_usable("the element is disabled")),
            ("readonly", _) => Err(not_usable("the element is read-only")),
            ("options", has) => Err(not_usable(&format!("it has no such option; it has: {has}"))),
            ("kind", kind) => {
                Err(not_usable(&format!("an input of the kind {kind} is not filled but clicked")))
            }
            ("value", value) => Err(not_usable(&format!("it did not take the value and has now {value:?}"))),
            _ => Err(not_usable("it takes no text")),
        }
    }
}

fn not_usable(why: &str) -> BrowserError {
    BrowserError::NotUsable { why: why.to_owned() }
}

/// The middle of the first quadrilateral that has a size: eight numbers, four corners.
fn middle(quads: &Value) -> Option<(f64, f64)> {
    quads.as_array()?.iter().find_map(|quad| {
        let numbers: Vec<f64> = quad.as_array()?.iter().filter_map(Value::as_f64).collect();
        let [x1, y1, x2, y2, x3, y3, x4, y4] = numbers[..] else { return None };
        // The shoelace formula.
        let area =
            ((x1 * y2 - x2 * y1) + (x2 * y3 - x3 * y2) + (x3 * y4 - x4 * y3) + (x4 * y1 - x1 * y4)).abs();
        let (x, y) = ((x1 + x2 + x3 + x4) / 4.0, (y1 + y2 + y3 + y4) / 4.0);
        (area >= 2.0 && x.is_finite() && y.is_finite()).then_some((x, y))
    })
}

/// Says what is in the way of a click, or nothing.
const HIT: &str = "function () {
    const own = this.nodeType === 1 ? this : this.parentElement;
    if (!own) return 'outside';
    if (own.disabled) return 'disabled';
    const box = own.getBoundingClientRect();
    const root = own.getRootNode();
    const at = root.elementFromPoint ? root : document;
    const hit = at.elementFromPoint(box.left + box.width / 2, box.top + box.height / 2);
    if (!hit) return 'outside';
    if (hit === own || own.contains(hit) || hit.contains(own)) return '';
    const label = hit.closest('label');
    if (label && label.control === own) return '';
    return hit.tagName.toLowerCase() + (hit.id ? '#' + hit.id : '');
}";

/// Fills what can be set, prepares what is typed into, and says which it was.
const FILL: &str = "function (text) {
    const own = this.nodeType === 1 ? this : this.parentElement;
    if (!own) return 'none';
    if (own.disabled) return 'disabled';
    if (own.readOnly) return 'readonly';
    const changed = () => {
        for (const kind of ['input', 'change']) own.dispatchEvent(new Event(kind, { bubbles: true }));
    };
    if (own instanceof HTMLSelectElement) {
        const options = [...own.options];
        const found = options.find((option) => [option.label.trim(), option.text.trim(), option.value].includes(text));
        if (!found) return 'options:' + options.slice(0, 30).map((option) => option.text.trim()).join(' | ');
        own.value = found.value;
        changed();
        return 'done';
    }
    if (own instanceof HTMLInputElement) {
        if (['checkbox', 'radio', 'button', 'submit', 'reset', 'image', 'file'].includes(own.type)) return 'kind:' + own.type;
        if (['date', 'time', 'month', 'week', 'datetime-local', 'color', 'range'].includes(own.type)) {
            own.value = text;
            changed();
            return own.value === text ? 'done' : 'value:' + own.value;
        }
    }
    if (own instanceof HTMLInputElement || own instanceof HTMLTextAreaElement) {
        own.focus();
        own.select();
    } else if (own.isContentEditable) {
        own.focus();
        getSelection().selectAllChildren(own);
    } else {
        return 'none';
    }
    if (text === '') {
        document.execCommand('delete');
        return 'done';
    }
    return 'type';
}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_click_goes_to_the_middle_of_the_first_part_that_has_a_size() {
        let quads = json!([[5, 5, 5, 5, 5, 5, 5, 5], [10, 20, 30, 20, 30, 40, 10, 40]]);
        assert_eq!(middle(&quads), Some((20.0, 30.0)));
        assert_eq!(middle(&json!([[1, 2, 3]])), None);
        assert_eq!(middle(&json!(null)), None);
    }

    #[test]
    fn frames_are_gathered_from_the_page_inwards_and_not_without_end() {
        let frame = |id: &str| json!({"id": id, "loaderId": id, "url": "about:blank"});
        let mut tree = json!({"frame": frame("z")});
        for depth in 0..40 {
            tree = json!({"frame": frame(&depth.to_string()), "childFrames": [tree]});
        }
        let mut frames = Vec::new();
        gather(&tree, &mut frames);
        assert_eq!((frames.len(), frames[0].id.as_str(), frames[1].id.as_str()), (MAX_FRAMES, "39", "38"));
    }
}
