//! Servers of the Model Context Protocol that a repository names, as they run in its sandboxes.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ResultPart;

/// How the result of a step begins in which such a server's tool answered: it stands in a frame.
pub const MCP_ANSWER: &str = "<answer of=\"mcp__";

/// Whether a step's result is the answer of a server's tool. A picture in it is not the sandbox's screen.
pub fn is_mcp_answer(content: &[ResultPart]) -> bool {
    matches!(content.first(), Some(ResultPart::Text { text }) if text.starts_with(MCP_ANSWER))
}

/// A server that a repository names in `.mcp.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpServer {
    /// Its name, of letters, digits, `_` and `-`.
    pub name: String,
    /// Whether it runs.
    pub state: McpServerState,
    /// The tools that it offers the agent, for the whole run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<McpTool>,
    /// What is left out of it, and what is odd about it, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Whether a server runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum McpServerState {
    /// It answers.
    Ready {
        /// Its name and version, in its own words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        itself: Option<String>,
        /// The version of the protocol that is spoken with it.
        protocol: String,
    },
    /// It does not, and the run goes on without it.
    Refused {
        /// Why, in one sentence.
        reason: String,
    },
}

/// A tool of such a server, as the agent has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct McpTool {
    /// Its name for the model: `mcp__SERVER__TOOL`.
    pub name: String,
    /// Its name for the server.
    pub tool: String,
    /// What it does, in the server's words.
    pub description: String,
    /// JSON schema of its input, an object.
    pub schema: Value,
    /// Whether the server says that a second call with the same input changes nothing more.
    #[serde(default)]
    pub repeatable: bool,
    /// Whether the server says that it may change something outside of the sandbox.
    #[serde(default)]
    pub reaches_out: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_a_server_is_known_by_its_frame() {
        let text = |text: &str| vec![ResultPart::Text { text: text.to_owned() }];
        assert!(is_mcp_answer(&text("<answer of=\"mcp__db__query\" note=\"…\">\n2 rows")));
        assert!(!is_mcp_answer(&text("2 rows <answer of=\"mcp__db__query\"")) && !is_mcp_answer(&[]));
    }

    #[test]
    fn a_server_that_says_little_of_itself_is_read() {
        let server: McpServer = serde_json::from_str(
            r#"{"name":"db","state":{"type":"ready","protocol":"2025-11-25"},"tools":[{"name":"mcp__db__q","tool":"q","description":"","schema":{}}]}"#,
        )
        .unwrap();
        let tool = McpTool {
            name: "mcp__db__q".to_owned(),
            tool: "q".to_owned(),
            description: String::new(),
            schema: serde_json::json!({}),
            repeatable: false,
            reaches_out: false,
        };
        let state = McpServerState::Ready { itself: None, protocol: "2025-11-25".to_owned() };
        assert_eq!(server, McpServer { name: "db".to_owned(), state, tools: vec![tool], notes: Vec::new() });
    }
}
