//! The tools of servers, as they are offered to a model: not too many, not too long, under names of their own.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::client::ServerTool;
use crate::schema::usable;
use crate::text::plain;

/// The most characters of a tool's name: what OpenAI takes; Anthropic takes 128.
pub const LONGEST_NAME: usize = 64;

/// Tools that all servers of a run may have together: OpenAI takes 128 in one request, and some are ours.
pub const MOST_TOOLS: usize = 96;

/// Bytes that the tools of all servers may have together, which is some 25,000 tokens of every request.
const MOST_BYTES: usize = 96 * 1024;

/// Bytes of one tool's schema.
const LARGEST_SCHEMA: usize = 16 * 1024;

/// Characters of one tool's description: OpenAI takes 1,024.
const LONGEST_DESCRIPTION: usize = 1_000;

/// Bytes of a tool's own name.
const LONGEST_OWN_NAME: usize = 256;

/// Names of tools that are left out which are told.
const MOST_TOLD: usize = 5;

/// A tool as it is offered.
#[derive(Debug, Clone, PartialEq)]
pub struct OfferedTool {
    /// Its name for the model: `mcp__SERVER__TOOL`, of letters, digits, `_` and `-`, 64 at most.
    pub name: String,
    /// Its name for the server.
    pub tool: String,
    /// What it does, in the server's words.
    pub description: String,
    /// JSON schema of its input, an object.
    pub schema: Value,
    /// Whether the server says that a second call with the same input changes nothing more.
    pub repeatable: bool,
    /// Whether it may change something outside of the sandbox, by what the server says of it.
    pub reaches_out: bool,
}

/// What of a server's tools is offered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Offer {
    /// The tools, in the server's order.
    pub tools: Vec<OfferedTool>,
    /// What is left out and why, in sentences.
    pub notes: Vec<String>,
}

/// Offers the tools of servers, given with their names, in order: the first are not kept out by the later ones.
pub fn offer(servers: &[(String, Vec<ServerTool>)]) -> Vec<Offer> {
    let mut room = Room { names: BTreeSet::new(), bytes: MOST_BYTES };
    servers.iter().map(|(server, tools)| room.offer(server, tools)).collect()
}

struct Room {
    names: BTreeSet<String>,
    bytes: usize,
}

impl Room {
    fn offer(&mut self, server: &str, tools: &[ServerTool]) -> Offer {
        let mut offer = Offer::default();
        let (mut unusable, mut superfluous) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        for tool in tools.iter().filter(|tool| seen.insert(tool.name.as_str())) {
            let Some(mut offered) = usable_tool(tool) else {
                unusable.push(tool.name.as_str());
                continue;
            };
            let bytes = offered.description.len() + offered.schema.to_string().len() + LONGEST_NAME;
            if self.names.len() >= MOST_TOOLS || bytes > self.bytes {
                superfluous.push(tool.name.as_str());
                continue;
            }
            self.bytes -= bytes;
            offered.name = self.name(server, &tool.name);
            offer.tools.push(offered);
        }
        offer.notes.extend(left_out(
            &unusable,
            "its input cannot be told to models",
            "their input cannot be told to models",
        ));
        offer.notes.extend(left_out(
            &superfluous,
            "there are too many, or too long ones, for one run",
            "there are too many, or too long ones, for one run",
        ));
        offer
    }

    /// A name that no other tool has.
    fn name(&mut self, server: &str, tool: &str) -> String {
        let whole = format!("mcp__{}__{}", clean(server), clean(tool));
        let mut name: String = whole.chars().take(LONGEST_NAME).collect();
        let mut number = 2_u32;
        while !self.names.insert(name.clone()) {
            let suffix = format!("_{number}");
            name = whole.chars().take(LONGEST_NAME - suffix.len()).collect::<String>() + &suffix;
            number += 1;
        }
        name
    }
}

/// A tool without its name for models; `None` when it cannot be one of theirs.
fn usable_tool(tool: &ServerTool) -> Option<OfferedTool> {
    if tool.name.is_empty() || tool.name.len() > LONGEST_OWN_NAME {
        return None;
    }
    let ServerTool { name, description, schema, read_only, idempotent, open_world } = tool;
    Some(OfferedTool {
        name: String::new(),
        tool: name.clone(),
        description: description.clone(),
        schema: schema.clone()?,
        // What is said of a tool by who serves it lets it only be called twice, which the server could do by itself.
        repeatable: *read_only || *idempotent,
        reaches_out: *open_world && !*read_only,
    })
}

fn left_out(names: &[&str], one: &str, several: &str) -> Option<String> {
    let told: Vec<String> = names.iter().take(MOST_TOLD).map(|name| crate::text::line(name, 60)).collect();
    let told = told.join(", ");
    match names.len() {
        0 => None,
        1 => Some(format!("The tool {told} is left out: {one}.")),
        count if count <= MOST_TOLD => Some(format!("The tools {told} are left out: {several}.")),
        count => Some(format!("{count} tools are left out ({told}, …): {several}.")),
    }
}

/// A name with `_` for what is no letter, digit, `_` or `-`.
pub(crate) fn clean(name: &str) -> String {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    name.chars().map(|character| if fits(character) { character } else { '_' }).collect()
}

impl ServerTool {
    /// A tool of that name and schema, of which nothing else is said. What of both cannot be offered is not kept.
    pub fn new(name: &str, description: &str, schema: &Map<String, Value>) -> Self {
        let usable = usable(schema).ok().filter(|schema| schema.to_string().len() <= LARGEST_SCHEMA);
        Self {
            name: name.chars().take(LONGEST_OWN_NAME + 1).collect(),
            description: plain(description.trim(), LONGEST_DESCRIPTION),
            schema: usable,
            read_only: false,
            idempotent: false,
            open_world: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tool(name: &str) -> ServerTool {
        ServerTool::new(name, "Does it.", &Map::new())
    }

    fn one(server: &str, tools: &[ServerTool]) -> Offer {
        offer(&[(server.to_owned(), tools.to_vec())]).remove(0)
    }

    fn names(offer: &Offer) -> Vec<&str> {
        offer.tools.iter().map(|tool| tool.name.as_str()).collect()
    }

    #[test]
    fn a_tool_is_offered_under_its_server_and_its_own_name() {
        let offer = one("db", &[tool("query")]);
        let expected = OfferedTool {
            name: "mcp__db__query".to_owned(),
            tool: "query".to_owned(),
            description: "Does it.".to_owned(),
            schema: json!({"type": "object", "properties": {}}),
            repeatable: false,
            reaches_out: true,
        };
        assert_eq!(offer, Offer { tools: vec![expected], notes: Vec::new() });
    }

    #[test]
    fn names_that_come_to_the_same_are_numbered_and_long_ones_are_cut() {
        let long = "x".repeat(100);
        let offer =
            one("my_db", &[tool("a b"), tool("a.b"), tool("a_b"), tool(&long), tool(&format!("{long}y"))]);
        let cut = format!("mcp__my_db__{}", "x".repeat(52));
        let numbered = format!("mcp__my_db__{}_2", "x".repeat(50));
        assert_eq!(
            names(&offer),
            ["mcp__my_db__a_b", "mcp__my_db__a_b_2", "mcp__my_db__a_b_3", &cut, &numbered]
        );
        let of_two =
            self::offer(&[("a".to_owned(), vec![tool("b__c")]), ("a__b".to_owned(), vec![tool("c")])]);
        assert_eq!((names(&of_two[0]), names(&of_two[1])), (vec!["mcp__a__b__c"], vec!["mcp__a__b__c_2"]));
    }

    #[test]
    fn what_a_server_says_of_a_tool_tells_whether_it_may_be_called_twice_and_reaches_out() {
        let hints = |read_only, idempotent, open_world| {
            let offer = one("s", &[ServerTool { read_only, idempotent, open_world, ..tool("t") }]);
            (offer.tools[0].repeatable, offer.tools[0].reaches_out)
        };
        assert_eq!(hints(false, false, true), (false, true));
        assert_eq!(hints(true, false, true), (true, false));
        assert_eq!(hints(false, true, true), (true, true));
        assert_eq!(hints(false, false, false), (false, false));
    }

    #[test]
    fn ten_thousand_tools_are_not_offered_and_it_is_said() {
        let many: Vec<ServerTool> = (0..10_000).map(|number| tool(&format!("t{number}"))).collect();
        let offers = offer(&[("a".to_owned(), many), ("b".to_owned(), vec![tool("late")])]);
        assert_eq!((offers[0].tools.len(), offers[1].tools.len()), (MOST_TOOLS, 0));
        assert_eq!(
            (offers[0].notes.join(" "), offers[1].notes.join(" ")),
            (
                "9904 tools are left out (t96, t97, t98, t99, t100, …): there are too many, or too long ones, for one run."
                    .to_owned(),
                "The tool late is left out: there are too many, or too long ones, for one run.".to_owned()
            )
        );
    }

    #[test]
    fn tools_that_are_too_long_or_cannot_be_told_are_left_out() {
        let properties: Map<String, Value> =
            (0..64).map(|number| (format!("p{number}"), json!({"description": "x".repeat(900)}))).collect();
        let large = json!({"properties": properties}).as_object().unwrap().clone();
        let unnamed = json!({"properties": {"a b": {}}, "required": ["a b"]}).as_object().unwrap().clone();
        let tools = [
            ServerTool::new("large", "", &large),
            ServerTool::new("unnamed", "", &unnamed),
            ServerTool::new("wordy", &"word ".repeat(10_000), &Map::new()),
            tool(""),
        ];
        let offer = one("s", &tools);
        assert_eq!(names(&offer), ["mcp__s__wordy"]);
        assert_eq!(offer.tools[0].description.chars().count(), LONGEST_DESCRIPTION + 1);
        assert_eq!(
            offer.notes,
            ["The tools large, unnamed,  are left out: their input cannot be told to models."]
        );
    }

    #[test]
    fn a_tool_that_is_listed_twice_is_offered_once() {
        assert_eq!(names(&one("s", &[tool("a"), tool("a")])), ["mcp__s__a"]);
    }

    proptest! {
        #[test]
        fn every_name_is_one_that_all_providers_take_and_no_other_tool_has(
            servers in prop::collection::vec(("\\PC{0,40}", prop::collection::vec("\\PC{0,80}", 0..12)), 0..6),
        ) {
            let servers: Vec<(String, Vec<ServerTool>)> = servers
                .into_iter()
                .map(|(server, tools)| (server, tools.iter().map(|name| tool(name)).collect()))
                .collect();
            let offers = offer(&servers);
            let names: Vec<&str> = offers.iter().flat_map(names).collect();
            let all: BTreeSet<&str> = names.iter().copied().collect();
            prop_assert_eq!(all.len(), names.len());
            for name in names {
                let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
                prop_assert!(name.len() <= LONGEST_NAME && name.chars().all(fits), "{name}");
            }
            prop_assert_eq!(offer(&servers), offers);
        }

        #[test]
        fn all_that_is_offered_has_room(sizes in prop::collection::vec(0_usize..3_000, 0..200)) {
            let tools: Vec<ServerTool> = sizes
                .iter()
                .enumerate()
                .map(|(number, size)| ServerTool::new(&format!("t{number}"), &"x".repeat(*size), &Map::new()))
                .collect();
            let offer = one("s", &tools);
            let bytes: usize = offer.tools.iter().map(|tool| tool.description.len() + tool.schema.to_string().len()).sum();
            prop_assert!(bytes <= MOST_BYTES && offer.tools.len() <= MOST_TOOLS);
        }
    }
}
