use proptest::prelude::*;

use super::*;

fn said(text: &str) -> Vec<String> {
    read(text).1.iter().map(ToString::to_string).collect()
}

fn with(field: &str) -> String {
    format!("---\nname: reviewer\ndescription: Reviews\n{field}\n---\nReview it.\n")
}

#[test]
fn every_field_is_read() {
    let text = "---\n\
        name: code-reviewer\n\
        description: \"Use it after changes: always\"\n\
        tools: Read, Grep, Agent(worker, researcher), mcp__github__*\n\
        disallowedTools: [Write, Edit]\n\
        model: opus\n\
        permissionMode: plan\n\
        maxTurns: 20\n\
        maxTokens: 400000\n\
        maxCents: 50\n\
        maxMinutes: 30\n\
        skills: [api-conventions]\n\
        mcpServers:\n  - github\n  - playwright: {command: npx}\n\
        memory: project\n\
        background: true\n\
        effort: high\n\
        isolation: worktree\n\
        color: cyan\n\
        initialPrompt: Begin\n\
        ---\n\nYou review code.\n";
    let strings = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let expected = Definition {
        name: "code-reviewer".to_owned(),
        description: "Use it after changes: always".to_owned(),
        tools: Some(strings(&["Read", "Grep", "Agent(worker, researcher)", "mcp__github__*"])),
        disallowed_tools: strings(&["Write", "Edit"]),
        model: Some("opus".to_owned()),
        permission_mode: Some("plan".to_owned()),
        max_turns: Some(20),
        max_tokens: Some(400_000),
        max_cents: Some(50),
        max_minutes: Some(30),
        skills: strings(&["api-conventions"]),
        mcp_servers: strings(&["github", "playwright"]),
        has_hooks: false,
        memory: Some("project".to_owned()),
        background: true,
        effort: Some("high".to_owned()),
        isolation: Isolation::Worktree,
        color: Some("cyan".to_owned()),
        initial_prompt: Some("Begin".to_owned()),
        prompt: "You review code.".to_owned(),
    };
    assert_eq!(read(text).0, Some(expected));
    assert_eq!(
        said(text),
        [
            "16:1: warning: memory is not heeded in runs: a subagent remembers nothing of earlier ones",
            "18:1: warning: effort is not heeded in runs: the model decides how long it thinks",
            "20:1: warning: color is not heeded by Nightshift",
            "21:1: warning: initialPrompt is not heeded in runs: a subagent is told its task by the agent which starts it",
        ]
    );
}

#[test]
fn a_mode_of_permissions_is_heeded_where_it_means_to_look_only() {
    assert_eq!(
        [said(&with("permissionMode: plan")), said(&with("permissionMode: default"))],
        [Vec::<String>::new(), Vec::new()]
    );
    assert_eq!(
        said(&with("permissionMode: bypassPermissions")),
        [
            "4:1: warning: permissionMode is not heeded but for plan: which commands need a yes is the task's matter"
        ]
    );
}

#[test]
fn a_misspelt_field_is_an_error_at_its_place() {
    assert_eq!(
        said(&with("disalowedTools: Write")),
        ["4:1: error: there is no field disalowedTools; disallowedTools is meant?"]
    );
    assert_eq!(said(&with("max-turns: 3")), ["4:1: error: there is no field max-turns; maxTurns is meant?"]);
    assert_eq!(
        said(&with("permissionmode: plan")),
        ["4:1: error: there is no field permissionmode; permissionMode is meant?"]
    );
    assert_eq!(said(&with("max_cents: 50")), ["4:1: error: there is no field max_cents; maxCents is meant?"]);
    assert_eq!(read(&with("disalowedTools: Write")).0, None);
}

#[test]
fn a_field_nobody_knows_is_pointed_out_and_the_definition_serves() {
    let (definition, findings) = read(&with("zzz: 1"));
    assert!(definition.is_some());
    assert!(
        findings[0].to_string().starts_with("4:1: warning: there is no field zzz; the fields are name, ")
    );
}

#[test]
fn a_value_that_means_nothing_is_an_error_at_its_place() {
    let cases = [
        ("maxTurns: many", "4:11: error: maxTurns has to be a whole number from 1 to 10000"),
        ("maxTurns: 0", "4:11: error: maxTurns has to be a whole number from 1 to 10000"),
        ("maxCents: 0.5", "4:11: error: maxCents has to be a whole number from 1 to 10000000"),
        ("maxCents: -3", "4:11: error: maxCents has to be a whole number from 1 to 10000000"),
        ("maxCents: $5", "4:11: error: maxCents has to be a whole number from 1 to 10000000"),
        ("maxMinutes: 1h", "4:13: error: maxMinutes has to be a whole number from 1 to 100000"),
        ("maxTokens: 1e6", "4:12: error: maxTokens has to be a whole number from 1 to 1000000000"),
        ("background: yes please", "4:13: error: background has to be true or false"),
        ("isolation: vm", "4:12: error: isolation has to be worktree, not vm"),
        ("memory: everywhere", "4:9: error: memory has to be user, project, local, not everywhere"),
        ("effort: most", "4:9: error: effort has to be low, medium, high, xhigh, max, not most"),
        ("model: []", "4:8: error: model has to be a text"),
        ("mcpServers: 3", "4:13: error: mcpServers has to be a list of names, or of definitions by name"),
        ("skills:\n  - a\n  - [b]", "6:5: error: skills has to be a list of names, or names with commas"),
    ];
    for (field, expected) in cases {
        assert_eq!(said(&with(field)), [expected], "{field}");
    }
}

#[test]
fn a_tool_that_is_not_known_is_pointed_out_with_what_may_be_meant() {
    assert_eq!(said(&with("tools: Read, Bsh")), ["4:8: warning: no tool Bsh is known; Bash is meant?"]);
    assert_eq!(said(&with("tools:\n  - Read\n  - qqq")), ["6:5: warning: no tool qqq is known"]);
}

#[test]
fn what_is_missing_is_said() {
    assert_eq!(
        said("---\nmodel: opus\n---\n"),
        [
            "1:1: error: name is missing",
            "1:1: error: description is missing",
            "4:1: warning: there is no prompt: write below the front matter what the agent is to do"
        ]
    );
    assert!(said("You review.")[0].starts_with("1:1: error: the file does not begin with front matter"));
    assert!(said("---\nname: a\n")[0].starts_with("1:1: error: the front matter has no end"));
    assert!(said("---\n- a\n---\nb")[0].starts_with("2:1: error: the front matter has to be fields"));
}

#[test]
fn a_name_that_is_none_is_refused() {
    for name in ["Code Reviewer", "a_b", "../x", &"a".repeat(65)] {
        let text = format!("---\nname: {name}\ndescription: x\n---\ny");
        assert!(said(&text)[0].starts_with("2:7: error: name has to be lower-case letters"), "{name}");
    }
}

#[test]
fn a_colon_that_is_not_quoted_is_explained() {
    let said = said("---\nname: a\ndescription: Use it when: always\n---\nb");
    assert!(said[0].starts_with("3:"), "{said:?}");
    assert!(said[0].contains("put a text with a colon in it in quotes"), "{said:?}");
}

#[test]
fn an_alias_bomb_is_refused_and_not_unfolded() {
    let mut yaml = "a: &a [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for (this, last) in
        ["b", "c", "d", "e", "f", "g", "h", "i"].iter().zip(["a", "b", "c", "d", "e", "f", "g", "h"])
    {
        let all = vec![format!("*{last}"); 10].join(",");
        yaml += &format!("{this}: &{this} [{all}]\n");
    }
    assert!(said(&format!("---\n{yaml}---\nx"))[0].contains("the front matter is no YAML"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_no_error_leaves_a_definition(text in "(---\n)?[a-zA-Z:\\-\\[\\]{}\"'&*|> \n,ü]{0,120}(\n---\n)?.{0,20}") {
        let (definition, findings) = read(&text);
        let errors = findings.iter().any(|finding| finding.severity == Severity::Error);
        prop_assert_eq!(definition.is_none(), errors);
        let lines = text.lines().count() + 2;
        prop_assert!(findings.iter().all(|finding| finding.line >= 1 && finding.line <= lines && finding.column >= 1));
    }
}
