//! Servers at an address: in the sandbox, and elsewhere by its way out.

use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use nightshift_egress::{HostName, SystemResolver};
use nightshift_protocol::{ConnectionRecord, ConnectionVerdict, RefusalReason};
use nightshift_supervisor::NetworkSettings;

use super::*;

const SERVER: &str = include_str!("server_http.py");

/// A server that runs on this machine, as long as this is held.
struct Away {
    folder: tempfile::TempDir,
    program: Child,
    port: u16,
}

impl Drop for Away {
    fn drop(&mut self) {
        let _gone = (self.program.kill(), self.program.wait());
    }
}

impl Away {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Command::new("python3").args(["-c", SERVER]).arg(folder.path()).spawn().unwrap();
        let port = folder.path().join("port");
        let began = std::time::Instant::now();
        let port = loop {
            if let Ok(port) = std::fs::read_to_string(&port) {
                break port.trim().parse().unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        Self { folder, program, port }
    }

    fn log(&self, file: &str) -> Vec<String> {
        log(self.folder.path(), file)
    }

    fn at(&self, host: &str) -> Value {
        json!({"type": "http", "url": format!("http://{host}:{}/mcp", self.port)})
    }

    /// An owner that permits `mcp.host.test` and `inner.host.test`, both of them this machine, and the first although it is.
    fn permitting(&self) -> NetworkSettings {
        let at = |name: &str| HostName::parse(name).unwrap();
        let fixed = ["mcp.host.test", "inner.host.test"].map(|name| (at(name), "127.0.0.1".parse().unwrap()));
        NetworkSettings {
            permit: vec![format!("*.host.test:{}", self.port).parse().unwrap()],
            private: vec![format!("mcp.host.test:{}", self.port).parse().unwrap()],
            resolver: Arc::new(SystemResolver { fixed: fixed.to_vec() }),
            ..NetworkSettings::default()
        }
    }

    /// A run of a repository that names these servers and asks for the hosts that are permitted.
    async fn run(&self, servers: Value, calls: &[(Value, Value)]) -> (Night, RunId) {
        let night = Night::with_network(turns(calls), self.permitting()).await;
        let repository = night.repository();
        std::fs::create_dir(repository.join(".nightshift")).unwrap();
        let port = self.port;
        let asked = format!("[egress]\nallow = ['mcp.host.test:{port}', 'inner.host.test:{port}']\n");
        std::fs::write(repository.join(".nightshift/config.toml"), asked).unwrap();
        std::fs::write(repository.join(".mcp.json"), json!({"mcpServers": servers}).to_string()).unwrap();
        git(&repository, &["add", "-A"]);
        git(&repository, &["commit", "-q", "-m", "Servers"]);
        let run = night.submit("Add a note").await;
        (night, run)
    }

    async fn until(&self, call: &str, times: usize) {
        let began = std::time::Instant::now();
        while self.log("calls.log").iter().filter(|line| *line == call).count() < times {
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", self.log("calls.log"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn goes_on(&self) {
        std::fs::write(self.folder.path().join("go"), "").unwrap();
    }
}

/// Host and fate of every connection that was recorded.
fn fates(events: &[Event]) -> Vec<(String, ConnectionVerdict)> {
    let records = events.iter().filter_map(|event| match &event.body {
        EventBody::ConnectionsRecorded { connections } => Some(connections.clone()),
        _ => None,
    });
    let fate = |record: ConnectionRecord| (record.host, record.verdict);
    let mut fates: Vec<_> = records.flatten().map(fate).collect();
    fates.sort();
    fates.dedup();
    fates
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_elsewhere_is_reached_by_the_sandboxs_way_out_and_every_connection_is_recorded() {
    let away = Away::start().await;
    let servers = json!({
        "bare": {"type": "http", "url": "http://127.0.0.2/mcp"},
        "inner": away.at("inner.host.test"),
        "mcp": away.at("mcp.host.test"),
        "other": away.at("other.test"),
    });
    let calls = [
        (call("mcp__echo", json!({"say": "hello"})), says("away heard hello")),
        (call("mcp__echo", json!({"say": "again"})), says("away heard again")),
    ];
    let (night, run) = away.run(servers, &calls).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let private = "its address is one that no sandbox may reach";
    let listed = "not on the list of hosts this sandbox may reach now";
    let no = "it was not reached: the sandbox's network does not let it";
    assert_eq!(
        refusals(&events),
        [
            "bare: 127.0.0.2 is an address by number: hosts are reached by name, and the sandbox's own servers as \
             http://localhost:PORT/"
                .to_owned(),
            format!("inner: {no}: inner.host.test:{}: {private}", away.port),
            "mcp: ready".to_owned(),
            format!("other: {no}: other.test:{}: {listed}", away.port),
        ]
    );
    // It is outside whatever it says of itself; only what looks changes nothing there.
    let tools = servers_of(&events, "mcp");
    let reaches: Vec<_> = tools.iter().map(|tool| (tool.tool.as_str(), tool.reaches_out)).collect();
    assert_eq!(reaches, [("echo", true), ("slow", true), ("look", false), ("key", true)]);
    let refused = |reason| ConnectionVerdict::Refused { reason };
    let expected = [
        ("inner.host.test".to_owned(), refused(RefusalReason::ForbiddenAddress)),
        ("mcp.host.test".to_owned(), ConnectionVerdict::Allowed),
        ("other.test".to_owned(), refused(RefusalReason::NotListed)),
    ];
    let told = night.until(&run, "the connections' record", |events| fates(events).len() >= 3).await;
    assert_eq!(fates(&told), expected);
    assert_eq!(away.log("breaches.log"), Vec::<String>::new());
    assert_eq!(away.log("calls.log").iter().filter(|call| *call == "echo").count(), 2);
}

fn servers_of(events: &[Event], name: &str) -> Vec<nightshift_protocol::McpTool> {
    super::servers(events).into_iter().find(|server| server.name == name).unwrap().tools
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_the_sandbox_itself_is_reached_without_any_way_out_and_has_no_key_of_the_persons() {
    let away = Away::start().await;
    let with = |value: &str| {
        let mut server = away.at("localhost");
        server["headers"] = json!({"Authorization": value});
        server
    };
    let servers =
        json!({"key": with("Bearer ${NIGHT_TOKEN}"), "own": with("Bearer ${NOBODYS:-of-the-sandbox}")});
    let calls = [
        (call("own__echo", json!({"say": "x"})), says("away heard x")),
        (call("own__key", json!({})), says("I was shown Bearer of-the-sandbox")),
    ];
    let (night, run) = away.run(servers, &calls).await;
    let events = night.until_in_review(&run).await;
    assert_eq!(
        refusals(&events),
        [
            "key: the key NIGHT_TOKEN is not for localhost: [mcp.keys] of config.toml says which hosts a key is for",
            "own: ready"
        ]
    );
    assert_eq!(fates(&events), []);
    assert_eq!(away.log("keys.log"), ["Bearer of-the-sandbox"]);
    assert_eq!(away.log("breaches.log"), Vec::<String>::new());
    assert!(!servers_of(&events, "own")[0].reaches_out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_a_server_elsewhere_that_an_owner_left_in_the_middle_is_not_repeated_unless_it_only_looks()
{
    for (tool, times, reconciled, then) in [
        ("slow", 1, Reconciled::Unknown, fails("it may or may not have had its effect")),
        ("look", 2, Reconciled::Repeated, says("away heard None")),
    ] {
        let away = Away::start().await;
        let calls = [(call(&format!("mcp__{tool}"), json!({})), then)];
        let (mut night, run) = away.run(json!({"mcp": away.at("mcp.host.test")}), &calls).await;
        away.until(tool, 1).await;
        night.owner_restarts().await;
        if times > 1 {
            away.until(tool, times).await;
        }
        away.goes_on();
        let events = night.until_in_review(&run).await;
        assert_exactly_once(&events);
        assert_eq!(result(&events, "1.1").2, Some(reconciled), "{tool}");
        assert_eq!(away.log("calls.log").iter().filter(|call| *call == tool).count(), times);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_has_ended_is_begun_anew_and_the_agent_is_told() {
    let away = Away::start().await;
    let forget = format!("touch {}", away.folder.path().join("forget").display());
    let calls = [
        (call("mcp__echo", json!({"say": "one"})), says("away heard one")),
        (shell(&forget), json!([])),
        (
            call("mcp__echo", json!({"say": "two"})),
            says("the server mcp had ended its session; this call was made in a new one"),
        ),
    ];
    let (night, run) = away.run(json!({"mcp": away.at("mcp.host.test")}), &calls).await;
    let events = night.until_in_review(&run).await;
    assert_exactly_once(&events);
    let (outcome, content, _) = result(&events, "3.1");
    assert_eq!(outcome, ToolOutcome::Done);
    assert!(
        matches!(&content[0], ResultPart::Text { text } if text.contains("away heard two")),
        "{content:?}"
    );
    assert_eq!(away.log("calls.log").iter().filter(|call| *call == "echo").count(), 2);
    assert_eq!(away.log("breaches.log"), Vec::<String>::new());
}
