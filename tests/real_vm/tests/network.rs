//! What a real sandbox reaches with the tools people use, and what it does not reach by any.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::path::Path;

use real_vm::registry::{HOST, Registry};
use real_vm::{Night, git, small_repository};
use serde_json::{Value, json};

fn shell(command: &str) -> Value {
    json!({"calls": [{"tool": "shell", "input": {"command": command, "timeout_seconds": 600}}]})
}

/// A script that runs commands one after the other and then asks.
fn commands(commands: &[String]) -> Value {
    let mut turns: Vec<Value> = commands.iter().map(|command| shell(command)).collect();
    turns.push(json!({"calls": [{"tool": "ask", "input": {"question": "Done?"}}]}));
    json!({"model": "claude-sonnet-5-5", "turns": turns})
}

/// What the commands printed, in their order.
async fn outputs(night: &Night, task: &str, repository: &Path) -> (String, Vec<String>) {
    let run = night.submit(task, repository).await;
    assert_eq!(night.watch(&run).await, "waiting", "{}", night.log());
    night.assert_no_breach();
    let events = night.events(&run).await;
    let finished = events.iter().filter(|event| event["type"] == "stepFinished");
    (run, finished.map(|event| event["content"][0]["text"].as_str().unwrap_or_default().to_owned()).collect())
}

/// Host with port, and fate, of every connection that was recorded.
async fn fates(
    night: &Night,
    run: &str,
    enough: impl Fn(&[(String, String)]) -> bool,
) -> Vec<(String, String)> {
    let read = |events: &[Value]| {
        let records = events.iter().filter(|event| event["type"] == "connectionsRecorded");
        let connections = records.flat_map(|event| event["connections"].as_array().unwrap().clone());
        let mut fates: Vec<(String, String)> = connections
            .map(|record| {
                let fate = record["verdict"]["reason"].as_str().unwrap_or("allowed").to_owned();
                (format!("{}:{}", record["host"].as_str().unwrap(), record["port"]), fate)
            })
            .collect();
        fates.sort();
        fates.dedup();
        fates
    };
    let events = night.until(run, "the connections' record", |events| enough(&read(events))).await;
    read(&events)
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_git_npm_pip_cargo_apt_and_chromium_work_through_the_proxy() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path());
    let (http, https) =
        (format!("http://{HOST}:{}", registry.http), format!("https://{HOST}:{}", registry.https));
    let night = Night::begin(commands(&[
        format!("curl -sf {http}/authority.crt | sudo tee /usr/local/share/ca-certificates/test.crt >/dev/null && sudo update-ca-certificates 2>&1 | tail -1"),
        format!("curl -sf {https}/page.html; curl -sf --proxy socks5h://127.0.0.1:3128 {https}/page.html | head -c 15"),
        format!("cd /tmp && git clone -q {https}/greet.git && cat greet/words"),
        format!("mkdir /tmp/npm && cd /tmp/npm && NODE_EXTRA_CA_CERTS=/usr/local/share/ca-certificates/test.crt npm install --no-audit --no-fund --registry {https}/npm/ greet 2>&1 | tail -3; node -p 'require(\"greet\")'"),
        format!("python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -q --disable-pip-version-check --cert /usr/local/share/ca-certificates/test.crt --index-url {https}/pip/simple/ greet && /tmp/venv/bin/python -m greet"),
        format!("mkdir -p /tmp/app/src /tmp/app/.cargo && cd /tmp/app && curl -sf {http}/cargo -o /tmp/cargo && chmod +x /tmp/cargo && touch src/main.rs && \
                 printf '[package]\\nname = \"app\"\\nversion = \"0.1.0\"\\nedition = \"2021\"\\n[dependencies]\\ngreet = \"1\"\\n' >Cargo.toml && \
                 printf '[source.crates-io]\\nreplace-with = \"t\"\\n[source.t]\\nregistry = \"sparse+{https}/index/\"\\n' >.cargo/config.toml && \
                 CARGO_HTTP_CAINFO=/usr/local/share/ca-certificates/test.crt /tmp/cargo vendor -q --respect-source-config && cat vendor/greet/src/lib.rs"),
        format!("echo 'deb [trusted=yes] {http}/apt ./' | sudo tee /etc/apt/sources.list >/dev/null && sudo rm -rf /etc/apt/sources.list.d/* && \
                 sudo apt-get update -qq && sudo apt-get install -qq -y greet >/dev/null 2>&1; cat /usr/share/greet/words"),
        format!("curl -sf -X PUT 'http://127.0.0.1:9222/json/new?{http}/page.html' >/dev/null; \
                 for i in $(seq 120); do curl -sf http://127.0.0.1:9222/json/list | grep '\"title\": \"hello from a page\"' && break; sleep 0.5; done"),
    ]))
    .await;
    std::fs::write(night.home.path().join("config.toml"), registry.configuration()).unwrap();
    let (run, said) = outputs(&night, "Reach out", &small_repository(folder.path())).await;
    let expected = [
        "done",
        "hello from a page",
        "hello from git",
        "hello from npm",
        "hello from pip",
        "hello from cargo",
        "hello from apt",
        "hello from a page",
    ];
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.contains(expected), "{expected:?} is not in {said:?}\n{:?}", registry.paths());
    }
    assert!(said[1].contains("<!doctype html>"), "by SOCKS: {}", said[1]);
    assert_eq!(said.len(), expected.len());
    let allowed = (format!("{HOST}:{}", registry.https), "allowed".to_owned());
    fates(&night, &run, |fates| fates.contains(&allowed)).await;
    night.said(&["cancel", &run]).await;
}

/// What a sandbox does that others are not to reach: it serves a page on all its addresses. It reads the page itself, and says
/// its name last.
const LISTEN: &str = "mkdir /tmp/site && echo hello from the other sandbox >/tmp/site/index.html; \
    (cd /tmp/site && exec python3 -m http.server 8000 --bind 0.0.0.0) >/dev/null 2>&1 & \
    until curl -sf --noproxy '*' http://127.0.0.1:8000/; do sleep 0.3; done; hostname";

/// Starts another sandbox that listens, and returns its run and the name it has for itself.
async fn another_sandbox(night: &Night, folder: &Path) -> (String, String) {
    let (run, said) = outputs(night, "Listen", &small_repository(folder)).await;
    let lines: Vec<&str> = said[0].lines().collect();
    assert_eq!(lines[0], "hello from the other sandbox", "it does listen: {said:?}");
    (run, lines[1].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_not_listed_is_reached_by_any_road_and_every_attempt_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::start(folder.path());
    let (http, https) = (registry.http, registry.https);
    let get = |url: &str| format!("curl -s -m 30 --noproxy '' -w ' %{{http_code}}\\n' {url}");
    let rebound = get(&format!("http://rebound.test:{http}/page.html"));
    // Each road prints what curl's exit status or the answer's code says; none may print the page.
    let roads = [
        get(&format!("http://127.0.0.1:{http}/page.html")),
        get(&format!(
            "-x socks5://127.0.0.1:3128 http://{HOST}:{http}/page.html --resolve {HOST}:{http}:127.0.0.1"
        )),
        get("http://169.254.169.254/latest/meta-data/"),
        get("http://metadata.test/latest/meta-data/"),
        get(&format!("http://loopback.test:{http}/page.html")),
        get("http://private.test/"),
        get("http://mapped.test/"),
        get("http://unlisted.test/"),
        get(&format!("-H 'Host: unlisted.test' http://{HOST}:{http}/page.html")),
        format!(
            "for name in unlisted.test {HOST}; do echo Q | openssl s_client -proxy 127.0.0.1:3128 -connect {HOST}:{https} -servername $name 2>&1 | grep -c 'BEGIN CERTIFICATE'; done"
        ),
        format!(
            "timeout 20 bash -c 'exec 3<>/dev/tcp/127.0.0.1/3128; printf \"CONNECT {HOST}:{http} HTTP/1.1\\r\\nHost: {HOST}:{http}\\r\\n\\r\\n\" >&3; sleep 1; printf \"SSH-2.0-x\\r\\n\" >&3; cat <&3' | tail -c 30"
        ),
        "ip -o link | grep -vc LOOPBACK; timeout 5 bash -c 'echo > /dev/tcp/8.8.8.8/53' 2>&1 | tail -1"
            .to_owned(),
        // What the tools that people use show of a tunnel that is refused.
        format!("curl -sS -m 30 --noproxy '' https://127.0.0.1:{https}/page.html 2>&1"),
        "curl -sS -m 30 https://unlisted.test/ 2>&1".to_owned(),
        "git ls-remote https://unlisted.test/greet.git 2>&1".to_owned(),
        "npm view greet --registry https://unlisted.test/ --fetch-retries 0 2>&1".to_owned(),
        "python3 $(ls /usr/share/python-wheels/pip-*.whl)/pip download --retries 0 --index-url https://unlisted.test/ greet 2>&1"
            .to_owned(),
        "echo 'deb [trusted=yes] https://unlisted.test/ ./' >/tmp/list; \
         sudo apt-get -o Dir::Etc::sourcelist=/tmp/list -o Dir::Etc::sourceparts=- -o Acquire::Retries=0 update 2>&1"
            .to_owned(),
        "curl -sS -m 30 -x socks5h://127.0.0.1:3128 http://unlisted.test/ 2>&1".to_owned(),
        // Another sandbox that listens: by its name with and without the proxy, and at this one's own addresses.
        format!(
            "{}; for at in $(cat other) 127.0.0.1 localhost; do curl -s -m 5 --noproxy '*' http://$at:8000/; echo \"$at $?\"; done; {}",
            get("http://$(cat other):8000/"),
            get("http://localhost:8000/")
        ),
        // An address that changes between two questions.
        format!("{rebound}; {rebound}"),
    ];
    let mut script = commands(&roads);
    script["conversations"] = json!([{
        "when": {"firstMessageContains": "Listen"},
        "turns": [shell(LISTEN), {"calls": [{"tool": "ask", "input": {"question": "Done?"}}]}],
    }]);
    let night =
        Night::begin_with(script, &registry.configuration(), Registry::rebinding(folder.path())).await;
    let beside = tempfile::tempdir().unwrap();
    let (listening, other) = another_sandbox(&night, beside.path()).await;
    let repository = small_repository(folder.path());
    std::fs::write(repository.join("other"), &other).unwrap();
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Name the other"]);
    let (run, said) = outputs(&night, "Reach out", &repository).await;
    assert_eq!(night.machines().len(), 2, "the other sandbox listens still");
    for (road, said) in roads.iter().zip(&said) {
        assert!(!said.contains("hello from"), "{road}: {said}");
    }
    assert_eq!(said.len(), roads.len());
    for (index, reason) in [
        (0, "by name, not by address"),
        (2, "by name, not by address"),
        (3, "no sandbox may reach"),
        (4, "no sandbox may reach"),
        (5, "no sandbox may reach"),
        (6, "no sandbox may reach"),
        (7, "not on the list"),
        (8, "two different hosts"),
    ] {
        assert!(
            said[index].contains(reason) && said[index].contains(" 403"),
            "{}: {}",
            roads[index],
            said[index]
        );
    }
    // With the host's own name the same tunnel shows its certificate.
    let shown: Vec<&str> = said[9].lines().take(2).collect();
    assert_eq!(shown, ["0", "1"], "TLS with another name and with its own: {}", said[9]);
    assert!(said[11].starts_with('0') && said[11].contains("unreachable"), "{}", said[11]);
    let listed = "not on the list of hosts this sandbox may reach now";
    for (index, shown) in [
        (12, "CONNECT tunnel failed, response 403".to_owned()),
        (13, "CONNECT tunnel failed, response 403".to_owned()),
        (14, "CONNECT tunnel failed, response 403".to_owned()),
        (15, "403".to_owned()),
        // pip keeps the reason to itself.
        (16, "No matching distribution found for greet".to_owned()),
        (17, format!("Forbidden: unlisted.test:443: {listed}")),
        (18, "curl: (97)".to_owned()),
        (19, " 403\n".to_owned()),
        // Its name leads nowhere, and nobody listens here.
        (19, "127.0.0.1 7\nlocalhost 7\n".to_owned()),
        (20, "its address is one that no sandbox may reach".to_owned()),
    ] {
        assert!(said[index].contains(&shown), "{}: {}", roads[index], said[index]);
    }
    // Looked up once for each connection: what was checked is what was connected to.
    assert_eq!(std::fs::read_to_string(folder.path().join("lookups")).unwrap(), "..");
    assert_eq!(registry.paths(), Vec::<String>::new());
    let expected = [
        // As a request, and as a tunnel.
        ("127.0.0.1", http, "bareAddress"),
        ("127.0.0.1", https, "bareAddress"),
        ("169.254.169.254", 80, "bareAddress"),
        ("loopback.test", http, "forbiddenAddress"),
        ("mapped.test", 80, "forbiddenAddress"),
        ("metadata.test", 80, "forbiddenAddress"),
        ("private.test", 80, "forbiddenAddress"),
        ("rebound.test", http, "forbiddenAddress"),
        // By the field of a request, and by the name in TLS.
        (HOST, http, "otherHost"),
        (HOST, https, "otherHost"),
        (HOST, http, "unknownProtocol"),
        (HOST, https, "allowed"),
        ("unlisted.test", 80, "notListed"),
        ("unlisted.test", 443, "notListed"),
        (&other, 8_000, "notListed"),
        ("localhost", 8_000, "notListed"),
    ];
    let expected = expected.map(|(host, port, fate)| (format!("{host}:{port}"), fate.to_owned()));
    let told = fates(&night, &run, |fates| expected.iter().all(|fate| fates.contains(fate))).await;
    let reached: Vec<_> = told
        .iter()
        .filter(|(host, fate)| {
            let listed = [HOST, "rebound.test"].iter().any(|listed| host.starts_with(&format!("{listed}:")));
            fate == "allowed" && !listed
        })
        .collect();
    assert!(reached.is_empty(), "{reached:?}");
    assert!(!said[19].contains(&format!("{other} 0\n")), "{}", said[19]);
    for run in [&run, &listening] {
        night.said(&["cancel", run]).await;
    }
}
