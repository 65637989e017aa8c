//! The tools of servers of the Model Context Protocol: what they are is frozen when a run's conversation begins.

use std::sync::Arc;

use nightshift_protocol::{McpServer, McpTool, ToolCall, ToolDefinition};
use serde_json::{Map, Value};

use super::fields::given;
use super::{InputError, MCP, ToolInput, ToolRequest};
use crate::subagents::Definition;

/// A call of a server's tool.
#[derive(Debug, Clone, PartialEq)]
pub struct McpRequest {
    /// The tool's name as the model has it.
    pub name: String,
    /// The server.
    pub server: String,
    /// The tool's name as the server has it.
    pub tool: String,
    /// The input. Whether it fits the tool's schema is for the server to say.
    pub arguments: Map<String, Value>,
    /// Whether a second call with the same input changes nothing more, as the server has it.
    pub repeatable: bool,
    /// Whether it may change something outside of the sandbox, likewise.
    pub reaches_out: bool,
}

/// The tools of servers that an agent has; cheap to clone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct McpTools(Arc<[Offered]>);

#[derive(Debug, Clone, PartialEq)]
struct Offered {
    server: String,
    tool: McpTool,
}

impl McpTools {
    /// Those of these servers.
    pub fn of(servers: &[McpServer]) -> Self {
        let of = |server: &McpServer| {
            let name = server.name.clone();
            server.tools.clone().into_iter().map(move |tool| Offered { server: name.clone(), tool })
        };
        Self(servers.iter().flat_map(of).collect())
    }

    /// Those of these names.
    pub fn only(&self, names: &[String]) -> Self {
        Self(self.0.iter().filter(|offered| names.contains(&offered.tool.name)).cloned().collect())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of those that a subagent has by its definition.
    ///
    /// One that lists no tools has all; one that lists tools has those of servers that are among them, by name or as
    /// `mcp__SERVER`, `mcp__SERVER__*` and `*`. One that names servers has no others', and where it lists no tool of a server
    /// it has all of those.
    pub fn granted(&self, definition: &Definition) -> Vec<String> {
        let of_servers = |offered: &Offered| {
            definition.mcp_servers.is_empty() || names(definition).any(|server| server == offered.server)
        };
        let listed = definition.tools.as_ref().filter(|tools| {
            definition.mcp_servers.is_empty() || tools.iter().any(|tool| tool.starts_with(MCP))
        });
        let is_listed = |offered: &Offered| {
            listed.is_none_or(|tools| {
                tools.iter().any(|pattern| fits(pattern, &offered.server, &offered.tool.name))
            })
        };
        let is_disallowed = |offered: &Offered| {
            definition
                .disallowed_tools
                .iter()
                .any(|pattern| fits(pattern, &offered.server, &offered.tool.name))
        };
        let granted = self
            .0
            .iter()
            .filter(|offered| of_servers(offered) && is_listed(offered) && !is_disallowed(offered));
        granted.map(|offered| offered.tool.name.clone()).collect()
    }

    /// The servers that a definition names and that have no tools here.
    pub fn missing(&self, definition: &Definition) -> Vec<String> {
        let is_there = |server: &String| self.0.iter().any(|offered| offered.server == *server);
        names(definition).filter(|server| !is_there(server)).collect()
    }

    /// The tools as they are offered to a model.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = ToolDefinition> + '_ {
        self.0.iter().map(|offered| ToolDefinition::Function {
            name: offered.tool.name.clone(),
            description: offered.tool.description.clone(),
            schema: offered.tool.schema.clone(),
        })
    }

    /// Reads a call of one of them; `None` if it is none of theirs, or is no JSON.
    pub(crate) fn read(&self, call: &ToolCall) -> Option<Result<ToolInput, InputError>> {
        let offered = self.0.iter().find(|offered| offered.tool.name == call.name)?;
        if call.malformed.is_some() {
            return None;
        }
        let arguments = match &call.input {
            Value::Object(arguments) => arguments.clone(),
            Value::Null => Map::new(),
            other => return Some(Err(InputError::NoObject { tool: call.name.clone(), given: given(other) })),
        };
        let McpTool { name, tool, repeatable, reaches_out, .. } = offered.tool.clone();
        let server = offered.server.clone();
        let request = McpRequest { name, server, tool, arguments, repeatable, reaches_out };
        Some(Ok(ToolInput::Run(ToolRequest::Mcp(request))))
    }
}

impl McpRequest {
    /// Whether a pattern means its tool: its name, `mcp__SERVER` for all of a server, or a beginning with `*` behind it.
    pub fn is(&self, pattern: &str) -> bool {
        fits(pattern, &self.server, &self.name)
    }
}

/// The servers that a definition names, as servers are called here.
fn names(definition: &Definition) -> impl Iterator<Item = String> + '_ {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    let clean = move |name: &String| {
        name.chars().map(|character| if fits(character) { character } else { '_' }).collect()
    };
    definition.mcp_servers.iter().map(clean)
}

/// Whether a pattern means a server's tool of this name.
fn fits(pattern: &str, server: &str, name: &str) -> bool {
    let pattern = pattern.split('(').next().unwrap_or_default().trim();
    match pattern.strip_suffix('*') {
        Some("") => true,
        Some(beginning) => beginning.starts_with(MCP) && name.starts_with(beginning),
        // A server's name alone means all of its tools.
        None => pattern == name || pattern.strip_prefix(MCP) == Some(server),
    }
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::McpServerState;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn server(name: &str, tools: &[&str]) -> McpServer {
        let tool = |tool: &&str| McpTool {
            name: format!("mcp__{name}__{tool}"),
            tool: (*tool).to_owned(),
            description: format!("Does {tool}."),
            schema: json!({"type": "object"}),
            repeatable: tool.starts_with("get"),
            reaches_out: !tool.starts_with("get"),
        };
        McpServer {
            name: name.to_owned(),
            state: McpServerState::Ready { itself: None, protocol: "2025-11-25".to_owned() },
            tools: tools.iter().map(tool).collect(),
            notes: Vec::new(),
        }
    }

    fn tools() -> McpTools {
        McpTools::of(&[
            server("db", &["get_rows", "drop"]),
            server("db_2", &["drop"]),
            server("web", &["open"]),
        ])
    }

    fn call(name: &str, input: Value) -> ToolCall {
        ToolCall { id: "c".to_owned(), name: name.to_owned(), input, malformed: None }
    }

    fn granted(tools_listed: Option<&[&str]>, disallowed: &[&str], servers: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        tools().granted(&Definition {
            tools: tools_listed.map(owned),
            disallowed_tools: owned(disallowed),
            mcp_servers: owned(servers),
            ..Definition::default()
        })
    }

    #[test]
    fn a_call_is_read_with_what_is_known_of_its_tool() {
        let read = tools().read(&call("mcp__db__get_rows", json!({"table": "notes"}))).unwrap();
        let expected = McpRequest {
            name: "mcp__db__get_rows".to_owned(),
            server: "db".to_owned(),
            tool: "get_rows".to_owned(),
            arguments: json!({"table": "notes"}).as_object().unwrap().clone(),
            repeatable: true,
            reaches_out: false,
        };
        assert_eq!(read, Ok(ToolInput::Run(ToolRequest::Mcp(expected))));
    }

    #[test]
    fn a_call_without_input_has_none_and_one_that_is_no_object_is_refused() {
        let arguments = |input| match tools().read(&call("mcp__db__drop", input)).unwrap() {
            Ok(ToolInput::Run(ToolRequest::Mcp(request))) => Ok(request.arguments),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        };
        assert_eq!(arguments(Value::Null), Ok(Map::new()));
        let refused = arguments(json!([1])).unwrap_err();
        assert!(refused.starts_with("mcp__db__drop: the input has to be a JSON object"), "{refused}");
    }

    #[test]
    fn other_tools_and_what_is_no_json_are_read_elsewhere() {
        let malformed = ToolCall { malformed: Some("{".to_owned()), ..call("mcp__db__drop", Value::Null) };
        assert!(tools().read(&malformed).is_none());
        assert!(tools().read(&call("shell", json!({}))).is_none());
        assert!(tools().read(&call("mcp__db__none", json!({}))).is_none());
    }

    #[test]
    fn a_definition_that_lists_no_tools_has_those_of_all_servers() {
        let all = ["mcp__db__get_rows", "mcp__db__drop", "mcp__db_2__drop", "mcp__web__open"];
        assert_eq!(granted(None, &[], &[]), all);
        assert_eq!(granted(Some(&["*"]), &[], &[]), all);
        assert_eq!(granted(Some(&["Read"]), &[], &[]), Vec::<String>::new());
    }

    #[test]
    fn tools_are_granted_by_name_by_server_and_by_beginning() {
        assert_eq!(granted(Some(&["mcp__db"]), &[], &[]), ["mcp__db__get_rows", "mcp__db__drop"]);
        assert_eq!(granted(Some(&["Read", "mcp__db__*"]), &["mcp__db__drop"], &[]), ["mcp__db__get_rows"]);
        assert_eq!(granted(Some(&["mcp__web__open"]), &[], &[]), ["mcp__web__open"]);
        assert_eq!(granted(None, &["mcp__db_2", "mcp__web__*"], &[]), ["mcp__db__get_rows", "mcp__db__drop"]);
        assert_eq!(granted(None, &["*"], &[]), Vec::<String>::new());
    }

    #[test]
    fn a_definition_that_names_servers_has_theirs_and_no_others() {
        assert_eq!(granted(None, &[], &["web"]), ["mcp__web__open"]);
        assert_eq!(granted(Some(&["Read"]), &[], &["web"]), ["mcp__web__open"]);
        assert_eq!(granted(Some(&["mcp__db__drop"]), &[], &["db", "web"]), ["mcp__db__drop"]);
        let definition =
            Definition { mcp_servers: vec!["web".to_owned(), "gone".to_owned()], ..Definition::default() };
        assert_eq!(tools().missing(&definition), ["gone"]);
    }

    #[test]
    fn a_server_is_meant_by_its_name_whatever_that_is_made_of() {
        let long = "s".repeat(64);
        let offered = McpTools::of(&[server("a__b", &["x"]), server(&long, &["x"]), server("my_db", &["x"])]);
        let granted = |definition: Definition| offered.granted(&definition).len();
        let listed =
            |pattern: &str| Definition { tools: Some(vec![pattern.to_owned()]), ..Definition::default() };
        let of = |server: &str| Definition { mcp_servers: vec![server.to_owned()], ..Definition::default() };
        assert_eq!(
            [
                granted(listed("mcp__a__b")),
                granted(listed(&format!("mcp__{long}"))),
                granted(listed("mcp__a"))
            ],
            [1, 1, 0]
        );
        assert_eq!([granted(of("my db")), granted(of("my.db")), granted(of("mydb"))], [1, 1, 0]);
        assert_eq!(offered.missing(&of("my db")), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn nothing_is_granted_that_is_not_offered_or_is_disallowed(
            listed in prop::option::of(prop::collection::vec(prop::sample::select(vec!["*", "Read", "mcp__db", "mcp__db__*", "mcp__web__open", "mcp__"]), 0..4)),
            disallowed in prop::collection::vec(prop::sample::select(vec!["mcp__db", "mcp__db__drop", "mcp__*", "Read"]), 0..3),
            servers in prop::collection::vec(prop::sample::select(vec!["db", "web", "gone"]), 0..2),
        ) {
            let all = granted(None, &[], &[]);
            let some = granted(listed.as_deref(), &disallowed, &servers);
            prop_assert!(some.iter().all(|name| all.contains(name)));
            prop_assert!(some.iter().all(|name| !disallowed.iter().any(|pattern| pattern == name)));
            let is_of = |name: &String, server: &&str| name.starts_with(&["mcp__", server, "__"].concat());
            let of_servers = some.iter().all(|name| servers.iter().any(|server| is_of(name, server)));
            prop_assert!(servers.is_empty() || of_servers);
        }
    }
}
