//! What can be done with the page that was used last.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Connect;
use crate::connection::{BrowserError, Connection};
use crate::element::{Element, Frame, frames};
use crate::endpoint::{Listed, pages, replace};
use crate::outline::{MAX_TREE_VALUES, Outline, Tree, outline};
use crate::problems::Problem;
use crate::reference::Reference;
use crate::text::line;

/// Characters of what an expression comes to.
const MAX_RESULT: usize = 20_000;
/// Milliseconds an expression may take.
const EVALUATE_WITHIN_MS: u64 = 10_000;

/// A browser at its debugging port.
pub struct Browser<'a> {
    connect: Connect<'a>,
    within: Duration,
}

/// A page that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPage {
    /// Its title, one line.
    pub title: String,
    /// Its address, cut.
    pub url: String,
}

/// An element that was clicked or filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// What it is, as the outline has it: `button "Add"`.
    pub name: String,
    /// What has gone wrong on the page so far.
    pub problems: Vec<Problem>,
}

/// A page as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Which page.
    pub page: OpenPage,
    /// What is on it.
    pub outline: Outline,
    /// What went wrong on it.
    pub problems: Vec<Problem>,
    /// Whether it was still loading.
    pub is_loading: bool,
}

impl<'a> Browser<'a> {
    /// A browser that is reached by `connect`; each thing that is asked of it may take `within`.
    pub fn new(connect: Connect<'a>, within: Duration) -> Self {
        Self { connect, within }
    }

    /// The pages that are open, the most recently used first.
    ///
    /// # Errors
    ///
    /// [`BrowserError`], as everything here.
    pub async fn pages(&self) -> Result<Vec<OpenPage>, BrowserError> {
        let listed = tokio::time::timeout(self.within, pages(self.connect));
        let listed = listed.await.map_err(|_| BrowserError::TookTooLong { within: self.within })??;
        Ok(listed.iter().map(shown).collect())
    }

    /// Goes to an address and waits until the page has loaded.
    ///
    /// # Errors
    ///
    /// [`BrowserError::BadAddress`], [`BrowserError::NotUsable`] with the browser's reason if nothing is there.
    pub async fn open(&self, url: &str, limit: usize) -> Result<Loaded, BrowserError> {
        let url = url.trim();
        if !["http://", "https://", "file://", "about:"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(BrowserError::BadAddress { url: line(url, 100) });
        }
        let mut connection = self.responsive().await?;
        let went = connection.ask("Page.navigate", json!({ "url": url })).await?;
        if let Some(error) = went["errorText"].as_str().filter(|error| !error.is_empty()) {
            return Err(BrowserError::NotUsable { why: format!("nothing was loaded: {}", line(error, 200)) });
        }
        // Only another document is loaded; a place within the same one is there at once.
        let mut is_loading = false;
        if went["loaderId"].is_string() {
            let until = connection.deadline() - self.within / 3;
            is_loading = !connection.loaded(until).await?;
        }
        enable(&mut connection).await?;
        view(&mut connection, None, limit, is_loading).await
    }

    /// Reads the page, or what is within one element of it, as an outline of at most `limit` characters.
    ///
    /// # Errors
    ///
    /// [`BrowserError::OldReference`] if the element's page was left.
    pub async fn read(&self, within: Option<Reference>, limit: usize) -> Result<Loaded, BrowserError> {
        let mut connection = self.attach().await?;
        view(&mut connection, within, limit, false).await
    }

    /// Clicks an element.
    ///
    /// # Errors
    ///
    /// [`BrowserError::NotUsable`] if it is covered, disabled or not shown; nothing was clicked then.
    pub async fn click(&self, reference: Reference) -> Result<Touched, BrowserError> {
        let mut connection = self.attach().await?;
        let element = Element::find(&mut connection, reference).await?;
        let name = element.name(&mut connection).await?;
        element.click(&mut connection).await?;
        Ok(Touched { name, problems: connection.problems() })
    }

    /// Replaces an element's text, or chooses one of its options.
    ///
    /// # Errors
    ///
    /// [`BrowserError::NotUsable`] if it takes no text or has no such option.
    pub async fn fill(&self, reference: Reference, text: &str) -> Result<Touched, BrowserError> {
        let mut connection = self.attach().await?;
        let element = Element::find(&mut connection, reference).await?;
        let name = element.name(&mut connection).await?;
        element.fill(&mut connection, text).await?;
        Ok(Touched { name, problems: connection.problems() })
    }

    /// Evaluates an expression in the page and gives what it comes to, as JSON where that is possible.
    ///
    /// # Errors
    ///
    /// [`BrowserError::NotUsable`] with the exception if it throws one.
    pub async fn evaluate(&self, expression: &str) -> Result<String, BrowserError> {
        let mut connection = self.attach().await?;
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true,
            "timeout": EVALUATE_WITHIN_MS});
        let answer = connection.ask("Runtime.evaluate", asked).await?;
        if let Some(details) = answer.get("exceptionDetails") {
            let told = details["exception"]["description"].as_str().or(details["text"].as_str());
            return Err(BrowserError::NotUsable {
                why: format!("it threw {}", line(told.unwrap_or("an exception"), 600)),
            });
        }
        Ok(result_text(&answer["result"]))
    }

    async fn attach(&self) -> Result<Connection, BrowserError> {
        let page = self.newest().await?;
        let mut connection = Connection::open(self.connect, &page.id, self.within).await?;
        enable(&mut connection).await?;
        Ok(connection)
    }

    /// Connects to the page that was used last, or to a new one in its place if it is too busy to answer.
    async fn responsive(&self) -> Result<Connection, BrowserError> {
        let page = self.newest().await?;
        let mut connection = Connection::open(self.connect, &page.id, self.within).await?;
        let enabled = tokio::time::timeout(self.within / 6, connection.ask("Page.enable", json!({})));
        if let Ok(enabled) = enabled.await {
            return enabled.map(|_| connection);
        }
        let replaced = tokio::time::timeout(self.within, replace(self.connect, &page.id));
        let new = replaced.await.map_err(|_| BrowserError::TookTooLong { within: self.within })??;
        let mut connection = Connection::open(self.connect, &new.id, self.within).await?;
        connection.ask("Page.enable", json!({})).await?;
        Ok(connection)
    }

    async fn newest(&self) -> Result<Listed, BrowserError> {
        let listed = tokio::time::timeout(self.within, pages(self.connect));
        let listed = listed.await.map_err(|_| BrowserError::TookTooLong { within: self.within })??;
        listed.into_iter().next().ok_or(BrowserError::NoPage)
    }
}

/// What is listened to: what the browser has kept of the page is told again to whoever begins to.
const LISTENED: [&str; 4] = ["Page", "DOM", "Runtime", "Log"];

async fn enable(connection: &mut Connection) -> Result<(), BrowserError> {
    for domain in LISTENED {
        connection.ask(&format!("{domain}.enable"), json!({})).await?;
    }
    Ok(())
}

/// What an expression came to, cut.
fn result_text(result: &Value) -> String {
    let text = match (&result["value"], result["description"].as_str()) {
        (Value::Null, Some(description)) => description.to_owned(),
        (Value::Null, None) => {
            result["type"].as_str().filter(|kind| *kind != "object").unwrap_or("null").to_owned()
        }
        (Value::String(text), _) => text.clone(),
        (value, _) => serde_json::to_string_pretty(value).unwrap_or_default(),
    };
    let visible = |character: &char| !character.is_control() || *character == '\n' || *character == '\t';
    let mut cut: String = text.chars().filter(visible).take(MAX_RESULT).collect();
    if text.chars().count() > MAX_RESULT {
        cut.push_str("\n(the rest is left out)");
    }
    cut
}

async fn view(
    connection: &mut Connection,
    within: Option<Reference>,
    limit: usize,
    is_loading: bool,
) -> Result<Loaded, BrowserError> {
    let frames = frames(connection).await?;
    let page = frames.first().ok_or(BrowserError::NoPage)?;
    let part = match within {
        None => None,
        Some(reference) => {
            let found = frames.iter().find_map(|frame| Some((frame, reference.in_document(frame.document)?)));
            Some(found.ok_or(BrowserError::OldReference)?)
        }
    };
    let outline = match part {
        Some((frame, node)) => {
            let outline = frame_outline(connection, frame, Some(node), limit).await?;
            if outline.text.is_empty() && outline.left_out == 0 {
                return Err(BrowserError::Gone);
            }
            outline
        }
        None => {
            let mut whole = frame_outline(connection, page, None, limit).await?;
            for frame in frames.iter().skip(1) {
                let room = limit.saturating_sub(whole.text.chars().count());
                // A frame of another site is another process, which this connection does not reach.
                let Ok(inner) = frame_outline(connection, frame, None, room).await else { continue };
                if !inner.text.is_empty() {
                    whole.text += &format!("frame {:?}\n{}", line(&frame.url, 160), inner.text);
                }
                whole.left_out += inner.left_out;
            }
            whole
        }
    };
    let title = connection
        .ask("Runtime.evaluate", json!({"expression": "document.title", "returnByValue": true}))
        .await?;
    Ok(Loaded {
        page: OpenPage {
            title: line(title["result"]["value"].as_str().unwrap_or_default(), 120),
            url: line(&page.url, 300),
        },
        outline,
        problems: connection.problems(),
        is_loading,
    })
}

async fn frame_outline(
    connection: &mut Connection,
    frame: &Frame,
    within: Option<u64>,
    limit: usize,
) -> Result<Outline, BrowserError> {
    let asked = json!({"frameId": frame.id});
    let tree: Tree = connection.ask_for("Accessibility.getFullAXTree", asked, MAX_TREE_VALUES).await?;
    Ok(outline(&tree.nodes, frame.document, within, limit))
}

fn shown(page: &Listed) -> OpenPage {
    OpenPage { title: line(&page.title, 120), url: line(&page.url, 300) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_shown_as_json_or_as_the_browser_describes_it() {
        assert_eq!(result_text(&json!({"type": "number", "value": 3})), "3");
        assert_eq!(
            result_text(&json!({"type": "object", "value": {"a": [1]}})),
            "{\n  \"a\": [\n    1\n  ]\n}"
        );
        assert_eq!(result_text(&json!({"type": "undefined"})), "undefined");
        assert_eq!(result_text(&json!({"type": "object", "subtype": "null", "value": null})), "null");
        assert_eq!(result_text(&json!({"type": "number", "description": "NaN"})), "NaN");
        let long = result_text(&json!({"type": "string", "value": "x".repeat(30_000)}));
        assert!(long.len() < MAX_RESULT + 100 && long.ends_with("(the rest is left out)"));
    }
}
