//! The servers that a repository names, and calls of their tools.

use std::borrow::Cow;

use nightshift_protocol::{McpServer, McpServerState};

use super::line;

/// What runs and what does not, a server a line; nothing where there is none.
pub(super) fn started(servers: &[McpServer], problem: Option<&str>) -> Option<String> {
    let mut lines: Vec<String> =
        problem.map(|problem| line(&format!("· .mcp.json: {problem}"))).into_iter().collect();
    for server in servers {
        lines.push(line(&match &server.state {
            McpServerState::Ready { .. } => {
                let tools = match server.tools.len() {
                    1 => "1 tool".to_owned(),
                    count => format!("{count} tools"),
                };
                format!("· server {}: {tools}", server.name)
            }
            McpServerState::Refused { reason } => format!("· server {}: not started: {reason}", server.name),
        }));
        lines.extend(server.notes.iter().map(|note| format!("  {}", line(note))));
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// A tool's name for people: `mcp__db__query` is `db · query`.
pub(super) fn named(tool: &str) -> Cow<'_, str> {
    match tool.strip_prefix("mcp__").and_then(|name| name.split_once("__")) {
        Some((server, tool)) => Cow::Owned(format!("{server} · {tool}")),
        None => Cow::Borrowed(tool),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_of_line_by_line() {
        let server = |name: &str, state, notes: &[&str]| McpServer {
            name: name.to_owned(),
            state,
            tools: Vec::new(),
            notes: notes.iter().map(|note| (*note).to_owned()).collect(),
        };
        let ready = McpServerState::Ready { itself: None, protocol: "2026-07-28".to_owned() };
        let refused = McpServerState::Refused { reason: "it ended\nbefore\u{1b} it answered".to_owned() };
        let servers = [server("db", ready, &["The tool x is left out."]), server("docs", refused, &[])];
        insta::assert_snapshot!(started(&servers, Some("it is odd")).unwrap(), @r"
        · .mcp.json: it is odd
        · server db: 0 tools
          The tool x is left out.
        · server docs: not started: it ended before it answered
        ");
        assert_eq!(started(&[], None), None);
    }

    #[test]
    fn a_tool_is_named_with_its_server() {
        assert_eq!(named("mcp__db__query__all"), "db · query__all");
        assert_eq!(named("plan"), "plan");
        assert_eq!(named("mcp__odd"), "mcp__odd");
    }
}
