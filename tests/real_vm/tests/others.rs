//! Others beside the agent in one real sandbox: servers of the Model Context Protocol, which the repository brings along, and
//! subagents that work at once.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::{Path, PathBuf};

use real_vm::{Night, assert_exactly_once, git, small_repository};
use serde_json::{Value, json};

const SERVER: &str = include_str!("others/server.py");
const TALLY: &str = include_str!("others/tally.js");

/// The set-up installs one server as people do, from the repository's files, and leaves another one running.
const ENVIRONMENT: &str = "\
    steps = ['npm pack --silent --pack-destination /tmp ./servers/tally && sudo npm install --global --offline --no-audit --no-fund /tmp/tally-server-1.0.0.tgz']\n\
    checks = ['test \"$(tally-server --version)\" = \"tally 1.0.0\"']\n\
    inputs = ['servers/tally/tally.js']\n\
    [dev_server]\n\
    run = 'python3 servers/server.py http board 4200'\n\
    port = 4200\n";

/// One that writes, and one that only looks.
const SCRIBE: &str =
    "---\nname: scribe\ndescription: Writes.\ntools: [Bash, Write]\nmcpServers: [tally]\n---\nYou write.\n";
const READER: &str =
    "---\nname: reader\ndescription: Reads.\ntools: [Read, Bash]\nmcpServers: [words]\n---\nYou read.\n";

fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command, "timeout_seconds": 300}})
}

fn spawn(agent: &str) -> Value {
    json!({"tool": "spawn", "input": {"agent": agent, "title": agent, "task": format!("Be the {agent}."), "background": true}})
}

fn mcp(tool: &str, input: Value) -> Value {
    json!({"tool": format!("mcp__{tool}"), "input": input})
}

fn says(text: &str) -> Value {
    json!([{"lastResultContains": text}])
}

fn subagent(name: &str, turns: Value) -> Value {
    let first = format!("Be the {name}.");
    json!({"when": {"systemContains": "You are a subagent", "firstMessageContains": first}, "turns": turns})
}

/// A command that waits until a file is there, and fails when it never comes.
fn wait_for(file: &str) -> String {
    format!("for i in $(seq 2000); do test -e ~/{file} && break; sleep 0.1; done; test -e ~/{file}")
}

/// The agent starts both, works itself, and waits. Each subagent goes on only when it has met the other at work, and sees then
/// what the other has done in its own tree.
fn script() -> Value {
    let scribe = json!([
        {"calls": [shell(&format!(
            "touch ~/scribe-is-here && {} && export MARK=scribe && mkdir shelf && echo a book > shelf/book.txt && \
             git add shelf && git commit -qm 'Add a book' && echo a draft > draft.txt && touch ~/scribe-wrote && {} && \
             basename $PWD && git branch --show-current && ls",
            wait_for("reader-is-here"), wait_for("reader-wrote")
        ))]},
        {"expect": says("scribe-1\nnightshift-subagent/scribe-1\ndraft.txt\nnotes.txt\nservers\nshelf\n"),
            "calls": [mcp("tally__add", json!({"number": 40}))]},
        {"expect": says("the sum is 40"), "say": "The book is there."},
    ]);
    let reader = json!([
        {"calls": [shell(&format!(
            "touch ~/reader-is-here && {} && echo mine > reader.tmp && touch ~/reader-wrote && {} && \
             basename $PWD && ls && echo \"mark: ${{MARK:-none}}\"",
            wait_for("scribe-is-here"), wait_for("scribe-wrote")
        ))]},
        {"expect": says("small\nnotes.txt\nreader.tmp\nservers\nmark: none\n"),
            "calls": [mcp("words__echo", json!({"say": "of the reader"}))]},
        {"expect": says("words heard of the reader"), "say": "There are notes."},
    ]);
    let look = "rm reader.tmp && cat notes.txt shelf/book.txt draft.txt && git status --porcelain && git worktree list | wc -l && \
                git branch --list 'nightshift-subagent*' | wc -l";
    let turns = json!([
        {"calls": [spawn("scribe"), spawn("reader"), mcp("board__echo", json!({"say": "of the agent"}))]},
        {"expect": says("board heard of the agent"), "calls": [shell("echo two >> notes.txt && git commit -qam 'Add a note'")]},
        {"say": "I wait."},
        {"say": "I wait for the other."},
        {"calls": [shell(look), mcp("tally__add", json!({"number": 2})), mcp("words__echo", json!({"say": "of the agent"}))]},
        {"expect": says("words heard of the agent"), "calls": [shell("tail -n +1 ~/mcp/*")]},
        {"calls": [{"tool": "evidence", "input": {"claim": "The book is there.", "step": "5.1"}}]},
        {"calls": [{"tool": "finish", "input": {"title": "Add a book", "summary": "It is added."}}]},
    ]);
    json!({"model": "claude-sonnet-5-5", "turns": turns, "conversations": [subagent("scribe", scribe), subagent("reader", reader)]})
}

fn repository(folder: &Path) -> PathBuf {
    let repository = small_repository(folder);
    let package =
        json!({"name": "tally-server", "version": "1.0.0", "bin": "tally.js", "files": ["tally.js"]});
    let servers = json!({"mcpServers": {
        "words": {"command": "python3", "args": ["servers/server.py", "stdio", "words"]},
        "tally": {"command": "tally-server"},
        "board": {"type": "http", "url": "http://localhost:4200/mcp"},
    }});
    for (path, text) in [
        ("servers/server.py", SERVER),
        ("servers/tally/tally.js", TALLY),
        ("servers/tally/package.json", &package.to_string()),
        (".mcp.json", &servers.to_string()),
        (".nightshift/environment.toml", ENVIRONMENT),
        (".claude/agents/scribe.md", SCRIBE),
        (".claude/agents/reader.md", READER),
    ] {
        let path = repository.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Servers and agents"]);
    repository
}

/// What a step's result says.
fn said(events: &[Value], step: &str) -> String {
    let finished = events.iter().find(|event| event["type"] == "stepFinished" && event["step"] == step);
    let finished = finished.unwrap_or_else(|| panic!("{step} was not taken"));
    assert_eq!(finished["outcome"], "done", "{finished}");
    finished["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_of_a_set_up_answer_and_two_subagents_work_at_once_each_in_its_own_tree() {
    let night = Night::begin(script()).await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let said_of_set_up =
        night.said(&["environment", "set-up", "--repo", repository.to_str().unwrap(), "--json"]).await;
    let ready: Value = serde_json::from_str(said_of_set_up.lines().last().unwrap()).unwrap();
    assert_eq!(ready["state"]["type"], "ready", "{said_of_set_up}");

    let run = night.submit("Add a book", &repository).await;
    let state = night.watch(&run).await;
    let events = night.events(&run).await;
    night.assert_no_breach();
    assert_eq!(state, "inReview", "{:#?}\n{}", events.iter().rev().take(4).collect::<Vec<_>>(), night.log());
    assert_exactly_once(&events);
    let of = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);

    // The sandbox began with the servers that its set-up installed and left running.
    assert_eq!(of("sandboxReady").next().unwrap()["facts"]["environment"], ready["environment"]);
    let started = of("mcpServersStarted").next().unwrap();
    let servers: Vec<_> = started["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|server| (server["name"].as_str().unwrap(), server["state"]["type"].as_str().unwrap()))
        .collect();
    assert_eq!(servers, [("board", "ready"), ("tally", "ready"), ("words", "ready")], "{started}");
    assert_eq!(
        said(&events, "5.2").lines().nth(1),
        Some("the sum is 42"),
        "one server for all agents of the run"
    );

    // What each server was asked, all of it in order.
    let beginning = "server/discover\ninitialize\nnotifications/initialized\ntools/list\n";
    let heard = said(&events, "6.1");
    let (heard, _) = heard.split_once("\n(exit status").unwrap();
    let home = "/home/agent/mcp";
    assert_eq!(
        heard.trim_end(),
        format!(
            "==> {home}/board <==\n{beginning}tools/call echo\n\n==> {home}/tally <==\n{beginning}tools/call add\ntools/call add\n\n\
             ==> {home}/words <==\n{beginning}tools/call echo\ntools/call echo"
        )
    );

    // Both worked at once: each began before the other ended. What they brought home is in the agent's tree and nothing else.
    let position = |kind: &str, number: u64| {
        let is = |event: &Value| {
            event["type"] == kind && (event["subagent"]["number"] == number || event["number"] == number)
        };
        events.iter().position(is).unwrap()
    };
    let began = [position("subagentStarted", 1), position("subagentStarted", 2)];
    let ended = [position("subagentFinished", 1), position("subagentFinished", 2)];
    assert!(began.iter().max() < ended.iter().min());
    let finished = |number: u64| &events[position("subagentFinished", number)];
    let outcome = |number: u64| (&finished(number)["outcome"]["type"], &finished(number)["report"]);
    assert_eq!(outcome(1), (&json!("reported"), &json!("The book is there.")));
    assert_eq!(outcome(2), (&json!("reported"), &json!("There are notes.")));
    assert_eq!(finished(1)["work"], json!({"type": "joined", "commits": 2}));
    assert_eq!(finished(2)["work"], Value::Null);
    assert!(
        said(&events, "5.1").starts_with("one\ntwo\na book\na draft\n1\n0\n"),
        "{}",
        said(&events, "5.1")
    );
    // The agent has read both reports.
    let read = night.model.requests().into_iter().rev().map(|request| request.body.to_string());
    let all = read.max_by_key(String::len).unwrap();
    for report in ["Your subagent scribe-1 reports:", "Your subagent reader-2 reports:"] {
        assert!(all.contains(report), "{report}");
    }

    let merged = night.json(&["review", "merge", &run, "--json"]).await;
    let bare = Path::new(merged["bareRepository"].as_str().unwrap());
    let base = git(&repository, &["rev-parse", "HEAD"]);
    assert_eq!(
        git(bare, &["diff", "--name-status", base.trim(), "trunk"]),
        "A\tdraft.txt\nM\tnotes.txt\nA\tshelf/book.txt\n"
    );
    night.said(&["environment", "remove", ready["environment"].as_str().unwrap()]).await;
    night.said(&["stop"]).await;
    assert_eq!(night.machines(), Vec::<u32>::new());
}
