//! A page as an outline of its accessibility tree: what a person who uses a screen reader would be told. Pure.
//!
//! ```text
//! heading "Trailhead" level=1
//! [k7-12] textbox "New note" value="Buy rope"
//! [k7-15] button "Add" disabled
//! list
//!   listitem
//!     [k7-21] checkbox "Pack the tent" checked
//! ```
//!
//! What cannot be used or read is left out: boxes without a name give way to their children, a text that only repeats
//! the name of what it stands in is dropped.

use std::collections::HashMap;
use std::fmt::{self, Write as _};

use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::reference::Document;
use crate::text::line;

/// Nodes of a tree that are looked at; a page with more is shown in part.
const MAX_NODES: usize = 20_000;
/// How deep is looked: a page cannot make this overflow.
const MAX_DEPTH: usize = 200;
/// Indentation stops growing here.
const MAX_INDENT: usize = 12;
/// Characters of a name or a value.
const MAX_TEXT: usize = 160;

/// Values of a tree that is read: some fifty for each node that is looked at, and as many again.
pub(crate) const MAX_TREE_VALUES: usize = 2_000_000;

/// A tree as `Accessibility.getFullAXTree` gives it, with no more nodes than are looked at.
#[derive(Debug, Deserialize)]
pub(crate) struct Tree {
    #[serde(deserialize_with = "first_nodes")]
    pub(crate) nodes: Vec<Node>,
}

fn first_nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Node>, D::Error> {
    struct FirstNodes;

    impl<'de> Visitor<'de> for FirstNodes {
        type Value = Vec<Node>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("the nodes of a tree")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut nodes: A) -> Result<Vec<Node>, A::Error> {
            let mut first = Vec::new();
            while first.len() < MAX_NODES {
                let Some(node) = nodes.next_element()? else { return Ok(first) };
                first.push(node);
            }
            while nodes.next_element::<IgnoredAny>()?.is_some() {}
            Ok(first)
        }
    }

    deserializer.deserialize_seq(FirstNodes)
}

/// A node as `Accessibility.getFullAXTree` gives it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Node {
    node_id: String,
    #[serde(default)]
    ignored: bool,
    #[serde(default)]
    role: Property,
    #[serde(default)]
    name: Property,
    #[serde(default)]
    value: Property,
    #[serde(default)]
    properties: Vec<Named>,
    #[serde(default)]
    child_ids: Vec<String>,
    #[serde(default)]
    parent_id: Option<String>,
    #[serde(rename = "backendDOMNodeId")]
    backend: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Property {
    #[serde(default, deserialize_with = "plain")]
    value: Value,
}

#[derive(Debug, Clone, Deserialize)]
struct Named {
    name: String,
    value: Property,
}

/// What is told in a word; of lists and objects nothing is kept.
fn plain<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let value = Box::<RawValue>::deserialize(deserializer)?;
    if value.get().starts_with(['[', '{']) {
        return Ok(Value::Null);
    }
    serde_json::from_str(value.get()).map_err(D::Error::custom)
}

impl Property {
    fn text(&self) -> String {
        match &self.value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        }
    }
}

/// An outline, cut to a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// One element a line.
    pub text: String,
    /// Lines that are left out for its size.
    pub left_out: usize,
}

/// What can be clicked or filled.
const USABLE: [&str; 20] = [
    "button",
    "link",
    "textbox",
    "searchbox",
    "checkbox",
    "radio",
    "combobox",
    "listbox",
    "option",
    "menuitem",
    "menuitemcheckbox",
    "menuitemradio",
    "tab",
    "switch",
    "slider",
    "spinbutton",
    "treeitem",
    "DisclosureTriangle",
    "ColorWell",
    "Date",
];

/// What says nothing by itself.
const SILENT: [&str; 15] = [
    "generic",
    "none",
    "presentation",
    "InlineTextBox",
    "LineBreak",
    "paragraph",
    "LayoutTableCell",
    "LayoutTableRow",
    "LayoutTable",
    "RootWebArea",
    "Section",
    "Iframe",
    "LabelText",
    "ListMarker",
    "MenuListPopup",
];

/// What is used as one thing, whatever it is made of.
const WHOLE: [&str; 7] = ["Date", "DateTime", "InputTime", "ColorWell", "slider", "spinbutton", "textbox"];

/// States that are told when they are true.
const STATES: [&str; 8] =
    ["disabled", "focused", "expanded", "checked", "selected", "pressed", "required", "readonly"];

/// Writes the outline of a document, or of what is within one element of it, in at most `limit` characters.
pub(crate) fn outline(nodes: &[Node], document: Document, within: Option<u64>, limit: usize) -> Outline {
    let known: HashMap<&str, &Node> =
        nodes.iter().take(MAX_NODES).map(|node| (node.node_id.as_str(), node)).collect();
    let root = match within {
        Some(backend) => nodes.iter().find(|node| node.backend == Some(backend)),
        None => nodes.iter().find(|node| node.parent_id.is_none()),
    };
    let mut writing = Writing { known, document, limit, text: String::new(), left_out: 0, characters: 0 };
    if let Some(root) = root {
        // In a tree each node comes once.
        let mut budget = nodes.len().min(MAX_NODES);
        writing.node(root, 0, 0, "", &mut budget);
    }
    Outline { text: writing.text, left_out: writing.left_out }
}

struct Writing<'a> {
    known: HashMap<&'a str, &'a Node>,
    document: Document,
    limit: usize,
    text: String,
    left_out: usize,
    characters: usize,
}

impl Writing<'_> {
    /// `above` is the name that the next speaking ancestor has told already.
    fn node(&mut self, node: &Node, indent: usize, depth: usize, above: &str, budget: &mut usize) {
        // Each node costs: a tree that names a node twice, or itself, comes to an end.
        if depth > MAX_DEPTH || *budget == 0 {
            return;
        }
        *budget -= 1;
        let (mut indent, mut told) = (indent, above.to_owned());
        if let Some((said, name)) = self.said(node, above) {
            self.line(&said, indent);
            indent = (indent + 1).min(MAX_INDENT);
            told = name;
            if WHOLE.contains(&node.role.text().as_str()) {
                return;
            }
        }
        for child in &node.child_ids {
            if let Some(child) = self.known.get(child.as_str()).copied() {
                self.node(child, indent, depth + 1, &told, budget);
            }
        }
    }

    fn line(&mut self, said: &str, indent: usize) {
        let length = said.chars().count() + 2 * indent + 1;
        if self.left_out > 0 || self.characters + length > self.limit {
            self.left_out += 1;
            return;
        }
        self.characters += length;
        let _ = writeln!(self.text, "{:indent$}{said}", "", indent = 2 * indent);
    }

    /// The line of a node and the name it tells, if it says anything.
    fn said(&self, node: &Node, above: &str) -> Option<(String, String)> {
        let role = line(&node.role.text(), 40);
        let is_editor = role == "generic" && has(node, "editable") && has(node, "focusable");
        if node.ignored || (SILENT.contains(&role.as_str()) && !is_editor) {
            return None;
        }
        let name = line(&node.name.text(), MAX_TEXT);
        let is_text = role == "StaticText";
        if is_text && (name.is_empty() || above.contains(&name)) {
            return None;
        }
        let is_usable = is_editor || USABLE.contains(&role.as_str());
        let is_group =
            matches!(role.as_str(), "group" | "form" | "image" | "img" | "figure" | "strong" | "emphasis");
        if is_group && name.is_empty() {
            return None;
        }
        let mut said = String::new();
        if let Some(backend) = node.backend.filter(|_| is_usable) {
            let _ = write!(said, "[{}] ", self.document.element(backend));
        }
        if is_text {
            let _ = write!(said, "{name:?}");
        } else {
            said.push_str(if is_editor { "editor" } else { &role });
            if !name.is_empty() {
                let _ = write!(said, " {name:?}");
            }
        }
        let value = line(&node.value.text(), MAX_TEXT);
        if !value.is_empty() && value != name {
            let _ = write!(said, " value={value:?}");
        }
        for property in &node.properties {
            match (property.name.as_str(), &property.value.value) {
                ("level", Value::Number(level)) if role == "heading" => {
                    let _ = write!(said, " level={level}");
                }
                ("url", Value::String(url)) if role == "link" => {
                    let _ = write!(said, " to={:?}", line(url, MAX_TEXT));
                }
                ("expanded", Value::Bool(false)) => said.push_str(" collapsed"),
                ("invalid", Value::String(invalid)) if invalid != "false" => said.push_str(" invalid"),
                (state, Value::Bool(true)) if STATES.contains(&state) => {
                    let _ = write!(said, " {state}");
                }
                (state, Value::String(truth)) if STATES.contains(&state) && truth == "true" => {
                    let _ = write!(said, " {state}");
                }
                ("checked", Value::String(mixed)) if mixed == "mixed" => said.push_str(" half-checked"),
                _ => {}
            }
        }
        Some((said, name))
    }
}

fn has(node: &Node, property: &str) -> bool {
    node.properties.iter().any(|named| named.name == property && named.value.value != false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn node(id: u64, role: &str, name: &str, children: &[u64], properties: Value) -> Value {
        let children: Vec<String> = children.iter().map(u64::to_string).collect();
        let mut node = json!({"nodeId": id.to_string(), "ignored": false, "role": {"type": "role", "value": role},
            "name": {"type": "computedString", "value": name}, "properties": properties, "childIds": children,
            "backendDOMNodeId": id + 100});
        if id > 0 {
            node["parentId"] = json!("0");
        }
        node
    }

    fn property(name: &str, value: Value) -> Value {
        json!({"name": name, "value": {"type": "x", "value": value}})
    }

    fn page() -> Vec<Node> {
        let nodes = json!([
            node(0, "RootWebArea", "Trailhead", &[1, 2, 3, 6], json!([])),
            node(1, "heading", "Trailhead", &[9], json!([property("level", json!(1))])),
            node(9, "StaticText", "Trailhead", &[], json!([])),
            node(2, "generic", "", &[4, 5], json!([])),
            node(
                4,
                "textbox",
                "New note",
                &[],
                json!([property("required", json!(true)), property("focused", json!(true))])
            ),
            node(5, "button", "Add", &[], json!([property("disabled", json!(true))])),
            node(3, "list", "", &[7], json!([])),
            node(7, "listitem", "", &[8], json!([])),
            node(8, "checkbox", "Pack the tent", &[], json!([property("checked", json!("true"))])),
            node(6, "StaticText", "3 notes\u{202e}", &[], json!([])),
        ]);
        serde_json::from_value(nodes).unwrap()
    }

    fn document() -> Document {
        Document::of("4A5B")
    }

    #[test]
    fn a_page_reads_as_a_screen_reader_would_tell_it() {
        let outline = outline(&page(), document(), None, 10_000);
        let at = |node: u64| document().element(node);
        let expected = format!(
            "heading \"Trailhead\" level=1\n[{}] textbox \"New note\" required focused\n[{}] button \"Add\" disabled\n\
             list\n  listitem\n    [{}] checkbox \"Pack the tent\" checked\n\"3 notes\"\n",
            at(104),
            at(105),
            at(108)
        );
        assert_eq!(outline, Outline { text: expected, left_out: 0 });
    }

    #[test]
    fn of_a_tree_no_more_is_read_than_is_looked_at() {
        let nodes = vec![r#"{"nodeId":"1","role":{"value":{"a":[1]}}}"#; MAX_NODES + 5].join(",");
        let tree: Tree = serde_json::from_str(&format!(r#"{{"nodes":[{nodes}]}}"#)).unwrap();
        assert_eq!(tree.nodes.len(), MAX_NODES);
        assert_eq!(tree.nodes[0].role.value, Value::Null);
        assert!(serde_json::from_str::<Tree>("{}").is_err());
    }

    #[test]
    fn a_part_of_a_page_can_be_read_alone() {
        let part = outline(&page(), document(), Some(103), 10_000);
        assert!(
            part.text.starts_with("list\n  listitem\n") && !part.text.contains("heading"),
            "{}",
            part.text
        );
        assert_eq!(outline(&page(), document(), Some(999), 10_000).text, "");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let part = outline(&page(), document(), None, 60);
        assert_eq!(part.text, "heading \"Trailhead\" level=1\n");
        assert_eq!(part.left_out, 6);
    }

    proptest! {
        /// Whatever tree a page makes the browser tell, also one that goes in circles.
        #[test]
        fn an_outline_ends_and_keeps_to_its_size(
            children in proptest::collection::vec(proptest::collection::vec(0_u64..12, 0..6), 12),
            limit in 0_usize..400,
        ) {
            let nodes: Vec<Value> = (0..).zip(&children)
                .map(|(id, children)| node(id, "button", &"name ".repeat(9), children, json!([])))
                .collect();
            let nodes: Vec<Node> = serde_json::from_value(Value::Array(nodes)).unwrap();
            let outline = outline(&nodes, document(), None, limit);
            prop_assert!(outline.text.chars().count() <= limit);
        }
    }
}
