//! What a hostile sandbox does to others and to its owner.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a failed step is a failed test; a test may sleep, and says what it measured"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use real_vm::{Night, small_repository, types};
use serde_json::{Value, json};

/// How long 99 of 100 questions to the owner may take, whatever a sandbox does.
const RESPONSIVE: Duration = Duration::from_millis(100);

/// The attack of the bench that says how much it slows others down (`./dev bench hostile`).
const ATTACK: &str = include_str!("../../../crates/nightshift-bench/src/benches/hostile/attack.sh");

fn script() -> Value {
    let shell = |command: &str| json!({"calls": [{"tool": "shell", "input": {"command": command}}]});
    let asks =
        |expect: Value| json!({"expect": expect, "calls": [{"tool": "ask", "input": {"question": "Done?"}}]});
    let begin =
        format!("cat >/tmp/attack <<'END'\n{ATTACK}END\nsudo systemd-run -q bash /tmp/attack && echo begun");
    let connections =
        "for i in $(seq 300); do curl -s -m 5 http://made-up-$i.test/ >/dev/null & done; wait; echo asked";
    json!({"model": "claude-sonnet-5-5", "conversations": [
        {"when": {"firstMessageContains": "Attack"}, "turns": [
            shell(connections), shell(&begin), shell("sleep 5; echo more >~/more; sleep 300"), asks(json!([])),
        ]},
        {"when": {"firstMessageContains": "Work"}, "turns": [
            shell("for i in $(seq 20); do echo $i; sleep 0.2; done >~/counted && tail -1 ~/counted"),
            asks(json!([{"lastResultContains": "20"}])),
        ]},
    ]})
}

/// Asks the owner as a person's program does, and returns how long the answer took.
fn ask(owner: &Value, path: &str) -> Duration {
    let began = Instant::now();
    let url = owner["url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(&url).unwrap();
    let token = owner["token"].as_str().unwrap();
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {url}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    began.elapsed()
}

/// How long 99 of 100 questions take at most: for all runs, and for one.
fn nearly_all(night: &Night, run: &str) -> [Duration; 2] {
    let owner = std::fs::read(night.home.path().join("data/owner.json")).unwrap();
    let owner: Value = serde_json::from_slice(&owner).unwrap();
    let one = format!("/api/v1/runs/{run}");
    ["/api/v1/runs", &one].map(|path| {
        let mut times: Vec<Duration> = (0..300).map(|_| ask(&owner, path)).collect();
        times.sort();
        times[times.len() * 99 / 100]
    })
}

/// The states a run went through, with their reasons.
fn states(events: &[Value]) -> Vec<&Value> {
    events.iter().filter(|event| event["type"] == "stateChanged").map(|event| &event["state"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_fills_its_disk_floods_and_closes_its_channel_and_forks_without_end_harms_nobody() {
    let night = Night::begin(script()).await;
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());
    let hostile = night.submit("Attack", &repository).await;
    let begun = |events: &[Value]| types(events).iter().filter(|kind| **kind == "stepIntended").count() == 3;
    night.until(&hostile, "the attack", begun).await;
    let began = Instant::now();
    // Another sandbox is made and works from here on.
    let neighbour = night.submit("Work", &repository).await;

    let mut worst = Vec::new();
    for (after, what) in [
        (3, "its disk is full"),
        (35, "it floods and forks"),
        (55, "it still does"),
        (85, "its channel is closed"),
    ] {
        tokio::time::sleep(Duration::from_secs(after).saturating_sub(began.elapsed())).await;
        let [all, one] = tokio::task::block_in_place(|| nearly_all(&night, &hostile));
        eprintln!("while {what}: all runs in {all:?}, one run in {one:?} (p99)");
        worst.push((all.max(one), what));
    }
    let slow: Vec<_> = worst.iter().filter(|(took, _)| *took > RESPONSIVE).collect();
    assert!(slow.is_empty(), "the owner was not responsive: {slow:?}");

    let state = night.watch(&neighbour).await;
    let events = night.events(&neighbour).await;
    assert_eq!(state, "waiting", "{:#?}\n{}", states(&events), night.log());
    // The one that cannot be reached any more says so, and waits for a person.
    assert_eq!(night.watch(&hostile).await, "paused", "{}", night.log());
    night.assert_no_breach();
    let events = night.events(&hostile).await;
    let records = events.iter().filter(|event| event["type"] == "connectionsRecorded");
    let lines: usize = records.map(|event| event["connections"].as_array().unwrap().len()).sum();
    // The browser asks for things of its own besides.
    assert!((1..=310).contains(&lines), "{lines} lines for 300 connections");
    for run in [&hostile, &neighbour] {
        night.said(&["cancel", run]).await;
        night.until(run, "the sandbox to go", |events| types(events).contains(&"sandboxStopped")).await;
    }
    assert_eq!(night.machines(), Vec::<u32>::new());
}
