//! A foreign agent that works in a real sandbox: its program speaks the Agent Client Protocol, its model calls and its use of the
//! desktop go through the owner, and the owner's key is nowhere in the guest.

use std::path::{Path, PathBuf};

use real_vm::{Night, Picture, assert_exactly_once, git, small_repository, types};
use serde_json::{Value, json};

/// The key of the owner, which the provider wants to see and the guest must not.
const KEY: &str = "sk-ant-planted-6f1d2c9b8a7e";

/// The program that plays the agent, its script and what the other tools need, beside the repository's own files.
const LOOK: &str = include_str!("look.sh");
const PAGE: &str = "<!doctype html><title>Not pressed</title><body style='margin:0;height:100vh;background:#fff' \
                    onclick=\"document.title='Pressed';document.body.style.background='#7c3aed'\">Press me</body>";

/// The agent's one turn.
fn turn() -> Value {
    let tool = |name: &str, input: Value| json!({"tool": name, "input": input});
    let expecting = |mut step: Value, what: &str| {
        step["expect"] = what.into();
        step
    };
    json!([
        {"expectPrompt": "Add a note"},
        {"expectPrompt": "The tools of the server \"nightshift\""},
        // Where the program looks for the proxy.
        {"run": "echo 127.0.0.1:3128 > ~/proxy"},
        {"plan": [["Write the note", "completed"]]},
        {"model": "Hello?", "expect": "200"},
        {"run": "DECOY=sk-ant-dec$(printf oy)-by-variable bash .agent/look.sh", "expect": "nightshift-"},
        {"run": "echo two >> notes.txt && git commit -qam 'Add a note'"},
        {"run": "cd .agent && (nohup python3 -m http.server 4173 >/dev/null 2>&1 &); for i in $(seq 100); do curl -sf http://127.0.0.1:4173/page.html && break; sleep 0.1; done", "expect": "Press me"},
        tool("browser", json!({"action": "open", "url": "http://127.0.0.1:4173/page.html"})),
        expecting(tool("browser", json!({"action": "evaluate", "expression": "document.title"})), "Not pressed"),
        tool("computer", json!({"action": "left_click", "coordinate": [640, 450]})),
        expecting(tool("browser", json!({"action": "evaluate", "expression": "document.title"})), "Pressed"),
        expecting(tool("computer", json!({"action": "screenshot"})), "(image of "),
        expecting(tool("shell", json!({"command": "cat notes.txt"})), "one\ntwo"),
        expecting(tool("evidence", json!({"claim": "The page is pressed.", "step": "1.105", "label": "pressed"})), "noted"),
        expecting(tool("evidence", json!({"claim": "There are two notes.", "step": "1.106"})), "noted"),
        expecting(tool("finish", json!({"title": "Add a note", "summary": "It is added."})), "End it now"),
        {"run": "cat ~/breaches 2>/dev/null; echo that is all"},
        {"say": "All done."},
    ])
}

/// A repository that has the agent's program and its script in it.
fn repository(folder: &Path) -> PathBuf {
    let repository = small_repository(folder);
    std::fs::create_dir(repository.join(".agent")).unwrap();
    let script = json!({"turns": [turn()]}).to_string();
    for (name, text) in [
        ("agent.py", nightshift_testing::SCRIPTED_AGENT),
        ("agent.json", &script),
        ("look.sh", LOOK),
        ("page.html", PAGE),
    ] {
        std::fs::write(repository.join(".agent").join(name), text).unwrap();
    }
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "An agent"]);
    repository
}

/// What a command of the agent's own printed, as the timeline has it.
fn printed(events: &[Value], command: &str) -> String {
    let done = |event: &&Value| {
        event["type"] == "engineActed"
            && event["action"]["status"] == "done"
            && event["action"]["title"].as_str().is_some_and(|title| title.contains(command))
    };
    let event = events.iter().find(done).unwrap_or_else(|| panic!("{command} was not run"));
    event["action"]["detail"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_agent_uses_the_desktop_and_delivers_and_the_owner_s_key_is_nowhere_in_its_sandbox() {
    let model = json!({"model": "claude-sonnet-5-5", "key": KEY, "turns": [{"say": "Hello."}]});
    let configuration = "[engines.scripted]\ncommand = \"/usr/bin/python3\"\n\
        args = [\".agent/agent.py\", \".agent/agent.json\", \"/home/agent/breaches\"]\nprovider = \"anthropic\"\n\
        env = { ANTHROPIC_BASE_URL = \"{url}\", ANTHROPIC_API_KEY = \"{pass}\" }\n";
    let night = Night::begin_with(model, configuration, vec![("ANTHROPIC_API_KEY", KEY.to_owned())]).await;
    let folder = tempfile::tempdir().unwrap();
    let repository = repository(folder.path());
    let place = repository.to_str().unwrap();
    let submitted = night
        .json(&["exec", "Add a note", "--engine", "scripted", "--repo", place, "--background", "--json"])
        .await;
    let run = submitted["run"].as_str().unwrap();
    let state = night.watch(run).await;
    let events = night.events(run).await;
    assert_eq!(state, "inReview", "{:#?}\n{}", events.iter().rev().take(4).collect::<Vec<_>>(), night.log());
    night.assert_no_breach();
    assert_exactly_once(&events);
    assert_eq!(printed(&events, "cat ~/breaches"), "that is all", "it polices the protocol");

    // The search finds what is there: what stands in the key's place, and keys that were put there for it to find.
    let found = printed(&events, "look.sh");
    let of = |place: &str| -> Vec<&str> {
        found.lines().filter_map(|line| line.strip_prefix(place)).map(str::trim).collect()
    };
    let passes = of("environment:").into_iter().filter(|text| text.starts_with("nightshift-")).count();
    assert!(passes == 1 && of("environment:").contains(&"sk-ant-decoy-by-variable"), "{found}");
    assert_eq!(of("arguments:"), ["sk-ant-decoy-by-argument"], "{found}");
    assert_eq!(of("file:"), ["/dev/shm/decoy", "/home/agent/decoy"], "{found}");
    let history = serde_json::to_string(&events).unwrap();
    assert!(!found.contains("sk-ant-planted") && !history.contains(KEY), "{found}");

    // The provider was called once, with the key, by the owner.
    let calls: Vec<&Value> = events.iter().filter(|event| event["type"] == "engineCalledModel").collect();
    let [call] = calls[..] else { panic!("{calls:?}") };
    assert_eq!((call["call"]["status"].as_u64(), call["call"]["number"].as_u64()), (Some(200), Some(1)));
    assert!(call["call"]["usage"]["costMicrodollars"].as_u64().unwrap() > 0, "{call}");
    let asked = night.model.requests();
    assert_eq!(asked.iter().filter(|request| request.path == "/v1/messages").count(), 1, "{asked:?}");
    assert_eq!(types(&events).iter().filter(|kind| **kind == "engineCallIntended").count(), 1);

    // What it did by the sandbox's tools are steps of the run; the picture shows what it did to the page.
    let steps: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event["type"] == "stepIntended")
        .map(|event| (event["step"].as_str().unwrap(), event["call"]["name"].as_str().unwrap()))
        .collect();
    let expected = [
        ("1.101", "browser"),
        ("1.102", "browser"),
        ("1.103", "computer"),
        ("1.104", "browser"),
        ("1.105", "computer"),
        ("1.106", "shell"),
        ("1.107", "evidence"),
        ("1.108", "evidence"),
        ("1.1", "finish"),
    ];
    assert_eq!(steps, expected);
    let pictures = folder.path().join("pictures");
    night.said(&["review", "show", run, "--pictures", pictures.to_str().unwrap()]).await;
    let files: Vec<_> = std::fs::read_dir(&pictures).unwrap().map(|entry| entry.unwrap().path()).collect();
    let shots = files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "png"));
    let violet = shots.map(|file| Picture::read(file).count([0x7c, 0x3a, 0xed])).max();
    assert!(violet.unwrap() > 100_000, "{violet:?} of {files:?}");

    let merged = night.json(&["review", "merge", run, "--json"]).await;
    let bare = merged["bareRepository"].as_str().unwrap();
    assert_eq!(git(Path::new(bare), &["show", "trunk:notes.txt"]), "one\ntwo\n");
    night.said(&["stop"]).await;
    assert_eq!(night.machines(), Vec::<u32>::new());
}
