use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(servers: Value) -> Configuration {
    Configuration::read(json!({"mcpServers": servers}).to_string().as_bytes()).unwrap()
}

/// What becomes of one server.
fn one(server: Value) -> Result<Launch, Refusal> {
    let mut configuration = read(json!({"one": server}));
    match configuration.servers.remove(0).transport? {
        Transport::Stdio(launch) => Ok(launch),
        Transport::Http(remote) => panic!("{remote:?}"),
    }
}

fn refusals(configuration: &Configuration) -> Vec<String> {
    let said = |finding: Finding| format!("{}: {}", finding.server.unwrap_or_default(), finding.message);
    configuration.findings().into_iter().map(said).collect()
}

#[test]
fn a_program_is_started_as_the_file_says() {
    let launch = one(json!({
        "type": "stdio", "command": "npx", "args": ["-y", "@scope/server"], "cwd": "tools",
        "env": {"LEVEL": "debug", "PORT": 3000, "QUIET": true}, "timeout": 60_000, "alwaysAllow": ["x"],
    }));
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        launch,
        Ok(Launch {
            command: "npx".to_owned(),
            arguments: vec!["-y".to_owned(), "@scope/server".to_owned()],
            environment: vec![
                variable("LEVEL", "debug"),
                variable("PORT", "3000"),
                variable("QUIET", "true")
            ],
            folder: Some("tools".to_owned()),
            silence: Some(Duration::from_secs(60)),
        })
    );
}

#[test]
fn each_refusal_says_what_is_wrong() {
    let configuration = read(json!({
        "a-type": {"type": "carrier", "command": "x"},
        "at-http": {"type": "http"},
        "at-sse": {"type": "sse", "url": "https://example.org/sse"},
        "args": {"command": "x", "args": "y"},
        "args-of-numbers": {"command": "x", "args": [1]},
        "cwd": {"command": "x", "cwd": "../up"},
        "env": {"command": "x", "env": {"A": [1]}},
        "env-name": {"command": "x", "env": {"A B": "1"}},
        "none": {"args": []},
        "nul": {"command": "a\u{0}b"},
        "off": {"command": "x", "disabled": true},
        "shape": 7,
        "time": {"command": "x", "timeout": 0},
        " ": {"command": "x"},
    }));
    insta::assert_snapshot!(refusals(&configuration).join("\n"), @r"
    : its name has to have 1 to 64 characters, and a letter or digit
    a-type: there is no type carrier; a program's is stdio, or none, and http that of a server at an address
    args: args has to be a list of texts
    args-of-numbers: args has to be a list of texts
    at-http: it has no url
    at-sse: it is a server of a kind that is not spoken with (sse): only http, which most of them have too
    cwd: cwd has to be a folder within the repository, not ../up
    env: env.A has to be a text
    env-name: env has to be an object of texts by name, a name being letters, digits and _
    none: it has no command
    nul: command has to be a text
    off: it is disabled in .mcp.json
    shape: it has to be an object with the field command, or url
    time: timeout has to be milliseconds, a whole number from 1 to 1,800,000
    ");
}

#[test]
fn a_file_that_says_nothing_is_refused_with_its_place() {
    let said = |file: &[u8]| Configuration::read(file).unwrap_err().to_string();
    assert_eq!(
        said(b"{\n  \"mcpServers\": {,}\n}"),
        "line 2, column 18: it is no JSON: key must be a string"
    );
    assert_eq!(said(b""), "line 1, column 1: it is no JSON: EOF while parsing a value");
    for shapeless in ["[]", "{}", r#"{"mcpServers": []}"#, "null"] {
        assert_eq!(Configuration::read(shapeless.as_bytes()), Err(Unreadable::NoServers), "{shapeless}");
    }
    assert_eq!(Configuration::read(&vec![b' '; LARGEST + 1]), Err(Unreadable::TooLarge));
}

#[test]
fn names_are_made_of_what_providers_take_and_two_that_come_to_the_same_are_told_apart() {
    let configuration =
        read(json!({"my db": {"command": "a"}, "my.db": {"command": "b"}, "ok_1-2": {"command": "c"}}));
    let names: Vec<&str> = configuration.servers.iter().map(|server| server.name.as_str()).collect();
    assert_eq!(names, ["my_db", "my_db", "ok_1-2"]);
    assert_eq!(refusals(&configuration), ["my_db: its name comes to the same as another's: my_db"]);
}

#[test]
fn a_file_with_too_many_servers_starts_as_many_as_may_be() {
    let server = |number: usize| (format!("s{number:03}"), json!({"command": "x"}));
    let configuration = read(Value::Object((0..500).map(server).collect()));
    let started = configuration.servers.iter().filter(|server| server.transport.is_ok()).count();
    assert_eq!((started, configuration.servers.len()), (MOST_SERVERS, 2 * MOST_SERVERS + 1));
    assert_eq!(configuration.warnings, ["500 servers are too many to be named"]);
}

#[test]
fn a_field_that_says_nothing_here_is_pointed_out_and_the_server_is_started() {
    let configuration = read(json!({"one": {"command": "x", "headers": {}, "trust": true}}));
    assert!(configuration.servers[0].transport.is_ok());
    assert_eq!(
        configuration.warnings,
        [
            "one: headers says nothing here; the fields are type, command, args, env, cwd, timeout, disabled",
            "one: trust says nothing here; the fields are type, command, args, env, cwd, timeout, disabled",
        ]
    );
}

#[test]
fn variables_are_put_in_everywhere_and_one_without_a_value_refuses_the_server() {
    let launch = one(json!({
        "command": "${BIN:-node}", "args": ["${HOME}/server.js"], "env": {"TOKEN": "${TOKEN:-none}"}, "cwd": "${SUB:-a}",
    }))
    .unwrap();
    let environment = BTreeMap::from([("HOME".to_owned(), "/home/agent".to_owned())]);
    assert_eq!(
        launch.expanded(&environment),
        Ok(Launch {
            command: "node".to_owned(),
            arguments: vec!["/home/agent/server.js".to_owned()],
            environment: vec![("TOKEN".to_owned(), "none".to_owned())],
            folder: Some("a".to_owned()),
            silence: None,
        })
    );
    let up = BTreeMap::from([("HOME".to_owned(), "/".to_owned()), ("SUB".to_owned(), "a/../..".to_owned())]);
    assert_eq!(launch.expanded(&up), Err(Refusal::Outside { given: "a/../..".to_owned() }));
    let missing = launch.expanded(&BTreeMap::new());
    assert_eq!(missing, Err(Refusal::NotSet(NotSet { name: "HOME".to_owned() })));
}

#[test]
fn values_that_make_a_launch_too_long_refuse_it() {
    let launch = one(json!({"command": "x", "args": vec!["${A}"; 20]})).unwrap();
    let environment = BTreeMap::from([("A".to_owned(), "y".repeat(LONGEST_LAUNCH / 10))]);
    assert_eq!(launch.expanded(&environment), Err(Refusal::TooLong));
    assert_eq!(one(json!({"command": "x", "args": ["y".repeat(LONGEST_LAUNCH)]})), Err(Refusal::TooLong));
}

#[test]
fn only_a_file_with_variables_needs_the_sandboxs_environment() {
    assert!(!read(json!({"one": {"command": "x", "args": ["$HOME"]}})).has_variables());
    assert!(read(json!({"one": {"command": "x", "env": {"A": "${B}"}}})).has_variables());
    assert!(!read(json!({"one": {"command": "${B}", "disabled": true}})).has_variables());
}

#[test]
fn a_disabled_server_is_no_error() {
    let severities: Vec<Severity> = read(json!({"a": {"command": "x", "disabled": true}, "b": {}}))
        .findings()
        .iter()
        .map(|finding| finding.severity)
        .collect();
    assert_eq!(severities, [Severity::Warning, Severity::Error]);
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let names = prop::sample::select(vec![
            "command", "args", "env", "cwd", "type", "url", "timeout", "disabled", "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names, inner), 0..5).prop_map(|fields| fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_a_file_holds_every_server_is_started_or_refused(servers in prop::collection::btree_map("[a-z .]{0,4}", any_value(), 0..6)) {
        let count = servers.len();
        let configuration = read(Value::Object(servers.into_iter().collect()));
        prop_assert_eq!(configuration.servers.len(), count);
        for server in &configuration.servers {
            if let Ok(Transport::Stdio(launch)) = &server.transport {
                prop_assert!(!launch.command.trim().is_empty());
                let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
                prop_assert!(server.name.chars().all(fits), "{}", server.name);
            }
        }
    }

    #[test]
    fn no_bytes_are_too_odd_to_be_read(file in prop::collection::vec(any::<u8>(), 0..80)) {
        let _either = Configuration::read(&file);
    }
}
