use nightshift_protocol::{
    McpServer, McpServerState, McpTool, Message, StopReason, ToolDefinition, ToolOutcome, UserPart,
};
use serde_json::json;

use crate::machine::tests::{answer, call, settings, started, text};
use crate::tools::{McpRequest, ToolRequest};
use crate::{AgentEvent, AgentMachine, Effect, SubagentFacts};

fn servers() -> Vec<McpServer> {
    let tool = |tool: &str| McpTool {
        name: format!("mcp__db__{tool}"),
        tool: tool.to_owned(),
        description: "Does it.".to_owned(),
        schema: json!({"type": "object", "properties": {}}),
        repeatable: false,
        reaches_out: true,
    };
    let state = McpServerState::Ready { itself: None, protocol: "2026-07-28".to_owned() };
    vec![McpServer {
        name: "db".to_owned(),
        state,
        tools: vec![tool("query"), tool("drop")],
        notes: Vec::new(),
    }]
}

fn machine(events: Vec<AgentEvent>) -> AgentMachine {
    let mut machine = AgentMachine::new(settings());
    for event in events {
        machine.handle(event);
    }
    machine
}

fn offered(machine: &AgentMachine) -> Vec<String> {
    let name = |tool: &ToolDefinition| match tool {
        ToolDefinition::Function { name, .. } => Some(name.clone()),
        _ => None,
    };
    let names = machine.conversation().tools.iter().filter_map(name);
    names.filter(|name| name.starts_with("mcp__")).collect()
}

fn calls_query(turn: u32) -> AgentEvent {
    answer(turn, vec![call("c", "mcp__db__query", json!({"sql": "select 1"}))], StopReason::ToolUse)
}

#[test]
fn tools_of_servers_stand_behind_our_own_from_the_first_call_on() {
    let machine = machine(vec![AgentEvent::McpServersStarted { servers: servers() }, started()]);
    assert_eq!(offered(&machine), ["mcp__db__query", "mcp__db__drop"]);
    let own = crate::tool_definitions((1280, 800));
    assert_eq!(machine.conversation().tools.get(..own.len()), Some(own.as_slice()));
}

#[test]
fn a_call_of_one_is_carried_out_with_the_servers_name_for_it() {
    let machine =
        machine(vec![AgentEvent::McpServersStarted { servers: servers() }, started(), calls_query(1)]);
    let [Effect::RunTool { request: ToolRequest::Mcp(request), .. }] = &machine.outstanding()[..] else {
        panic!("{:?}", machine.outstanding());
    };
    let expected = McpRequest {
        name: "mcp__db__query".to_owned(),
        server: "db".to_owned(),
        tool: "query".to_owned(),
        arguments: json!({"sql": "select 1"}).as_object().unwrap().clone(),
        repeatable: false,
        reaches_out: true,
    };
    assert_eq!(*request, expected);
}

#[test]
fn a_run_without_servers_has_no_such_tool() {
    let machine = machine(vec![started(), calls_query(1)]);
    let [Effect::Answer { outcome: ToolOutcome::Failed, content, .. }] = &machine.outstanding()[..] else {
        panic!("{:?}", machine.outstanding());
    };
    assert!(format!("{content:?}").contains("There is no tool \\\"mcp__db__query\\\""), "{content:?}");
}

#[test]
fn servers_that_come_when_the_conversation_runs_change_nothing_of_it() {
    let mut machine = machine(vec![started()]);
    let before = machine.clone();
    machine.handle(AgentEvent::McpServersStarted { servers: servers() });
    assert_eq!(machine, before);
}

#[test]
fn a_critic_has_none_and_a_subagent_those_that_it_is_given() {
    let parent = machine(vec![AgentEvent::McpServersStarted { servers: servers() }, started()]);
    assert_eq!(offered(&parent.critic(0)), Vec::<String>::new());
    let facts = SubagentFacts {
        number: 1,
        grant: crate::subagents::Grant::default(),
        max_turns: 5,
        share: crate::Share::default(),
        price: None,
        window: None,
    };
    let mut subagent = parent.subagent(facts);
    assert_eq!(offered(&subagent), Vec::<String>::new());
    subagent.share_mcp(&parent, &["mcp__db__query".to_owned(), "mcp__gone__x".to_owned()]);
    assert_eq!(offered(&subagent), ["mcp__db__query"]);
    let content = vec![UserPart::Text { text: "Look.".to_owned() }];
    subagent.handle(AgentEvent::Started { system: String::new(), message: Message::User { content } });
    subagent.handle(calls_query(10_001));
    assert!(matches!(&subagent.outstanding()[..], [Effect::RunTool { request: ToolRequest::Mcp(_), .. }]));
    let drops = call("c", "mcp__db__drop", json!({}));
    let mut other = parent.subagent(SubagentFacts { number: 2, ..facts });
    other.share_mcp(&parent, &["mcp__db__query".to_owned()]);
    other.handle(started());
    other.handle(answer(20_001, vec![drops], StopReason::ToolUse));
    assert!(matches!(&other.outstanding()[..], [Effect::Answer { outcome: ToolOutcome::Failed, .. }]));
}

#[test]
fn a_picture_of_a_server_backs_no_claim() {
    let mut machine =
        machine(vec![AgentEvent::McpServersStarted { servers: servers() }, started(), calls_query(1)]);
    machine.handle(AgentEvent::StepFinished {
        step: "1.1".parse().unwrap(),
        call: "c".to_owned(),
        outcome: ToolOutcome::Done,
        content: [text("<answer of=\"mcp__db__query\">"), crate::machine::tests::picture()].concat(),
        exit_code: None,
    });
    let claims = call("e", "evidence", json!({"claim": "It is there.", "step": "1.1"}));
    machine.handle(answer(2, vec![claims], StopReason::ToolUse));
    let [Effect::Answer { content, .. }] = &machine.outstanding()[..] else {
        panic!("{:?}", machine.outstanding())
    };
    assert!(format!("{content:?}").contains("Step 1.1 backs nothing"), "{content:?}");
}
