//! What runs reach: what the repository asks for and the owner permits, recorded.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use nightshift_egress::SystemResolver;
use nightshift_protocol::{
    ConnectionRecord, ConnectionVerdict, EventBody, NetworkPhase, RefusalReason, RunId, SandboxId,
};
use nightshift_supervisor::NetworkSettings;
use serde_json::{Value, json};
use suite::{Night, assert_exactly_once, git};

/// A web server of this machine.
fn host() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _request = connection.read(&mut [0; 4_096]).unwrap();
            connection
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nreached")
                .unwrap();
        }
    });
    port
}

/// An owner that permits `*.host.test` and says that all of it is at this machine.
fn permitting(port: u16) -> NetworkSettings {
    let at = |name: &str| nightshift_egress::HostName::parse(name).unwrap();
    let here = "127.0.0.1".parse().unwrap();
    let fixed = ["asked.host.test", "hidden.host.test", "other.test"].map(|name| (at(name), here)).to_vec();
    NetworkSettings {
        permit: vec![format!("*.host.test:{port}").parse().unwrap()],
        private: vec![format!("asked.host.test:{port}").parse().unwrap()],
        resolver: Arc::new(SystemResolver { fixed }),
        ..NetworkSettings::default()
    }
}

fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command}})
}

/// Opens the sandbox's proxy and tells the commands in it where it is.
async fn open_proxy(night: &Night, run: &RunId) {
    let ready = |body: &EventBody| match body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    };
    let events =
        night.until(run, "a sandbox", |events| events.iter().any(|event| ready(&event.body).is_some())).await;
    let sandbox: SandboxId = events.iter().find_map(|event| ready(&event.body)).unwrap();
    let machine = night.driver.machine(&sandbox).unwrap();
    let address = machine.open_proxy().unwrap();
    std::fs::write(machine.home_folder().join("proxy.new"), address.to_string()).unwrap();
    std::fs::rename(machine.home_folder().join("proxy.new"), machine.home_folder().join("proxy")).unwrap();
}

fn recorded(events: &[nightshift_protocol::Event]) -> Vec<ConnectionRecord> {
    let records = events.iter().filter_map(|event| match &event.body {
        EventBody::ConnectionsRecorded { connections } => Some(connections.clone()),
        _ => None,
    });
    records.flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_reaches_what_it_asks_for_as_far_as_the_owner_permits_and_all_of_it_is_recorded() {
    let port = host();
    let get = |host: &str| {
        format!("curl -s -m 20 -x \"$(cat ~/proxy)\" http://{host}:{port}/; echo \" {host} $?\"")
    };
    let commands = ["asked.host.test", "hidden.host.test", "other.test", "127.0.0.2"].map(get).join("\n");
    let night = Night::with_network(
        json!({"turns": [
            {"calls": [shell(&format!("until [ -s ~/proxy ]; do sleep 0.05; done\n{commands}"))]},
            {"expect": [
                {"lastResultContains": "reached asked.host.test 0"},
                {"lastResultContains": "its address is one that no sandbox may reach\n hidden.host.test 0"},
                {"lastResultContains": "not on the list of hosts this sandbox may reach now\n other.test 0"},
                {"lastResultContains": "hosts are reached by name, not by address\n 127.0.0.2 0"},
             ],
             "calls": [{"tool": "ask", "input": {"question": "Done?"}}]},
        ]}),
        permitting(port),
    )
    .await;
    let repository = night.repository();
    std::fs::create_dir(repository.join(".nightshift")).unwrap();
    let asked = format!(
        "[egress]\nallow = ['asked.host.test:{port}', 'hidden.host.test:{port}', 'other.test:{port}']\n"
    );
    std::fs::write(repository.join(".nightshift/config.toml"), asked).unwrap();
    git(&repository, &["add", "-A"]);
    git(&repository, &["commit", "-q", "-m", "Ask for hosts"]);

    let run = night.submit("Reach out").await;
    open_proxy(&night, &run).await;
    let enough = |events: &[nightshift_protocol::Event]| {
        recorded(events).iter().map(|record| record.begun).sum::<u32>() >= 4
    };
    let events = night.until(&run, "records", enough).await;
    night.assert_no_breach();
    assert_exactly_once(&events);
    let opened = events.iter().find(|event| matches!(event.body, EventBody::NetworkOpened { .. })).unwrap();
    let expected = EventBody::NetworkOpened {
        phase: NetworkPhase::Work,
        allowed: vec![format!("asked.host.test:{port}"), format!("hidden.host.test:{port}")],
        not_permitted: vec![format!("other.test:{port}")],
        problem: None,
    };
    assert_eq!(opened.body, expected);
    let mut fates: Vec<(String, ConnectionVerdict)> = recorded(&events)
        .into_iter()
        .filter(|record| record.begun > 0)
        .map(|record| (record.host, record.verdict))
        .collect();
    fates.sort();
    let refused = |reason| ConnectionVerdict::Refused { reason };
    let expected = [
        ("127.0.0.2".to_owned(), refused(RefusalReason::BareAddress)),
        ("asked.host.test".to_owned(), ConnectionVerdict::Allowed),
        ("hidden.host.test".to_owned(), refused(RefusalReason::ForbiddenAddress)),
        ("other.test".to_owned(), refused(RefusalReason::NotListed)),
    ];
    assert_eq!(fates, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_that_is_refused_shows_its_code_and_reason_to_curl_git_and_python_every_time() {
    let tunnel = "https_proxy=\"http://$(cat ~/proxy)\"";
    let commands = format!(
        "until [ -s ~/proxy ]; do sleep 0.05; done\n\
         for i in $(seq 25); do {tunnel} curl -sS -m 20 https://unlisted.test/ 2>&1; done | sort | uniq -c\n\
         {tunnel} GIT_TERMINAL_PROMPT=0 git ls-remote https://unlisted.test/x.git 2>&1\n\
         {tunnel} python3 -c 'import urllib.request; urllib.request.urlopen(\"https://unlisted.test/\")' 2>&1 | tail -1\n\
         for i in $(seq 25); do curl -sS -m 20 -x \"socks5h://$(cat ~/proxy)\" http://unlisted.test/ 2>&1; done | sort | uniq -c"
    );
    let night = Night::with_network(
        json!({"turns": [
            {"calls": [shell(&commands)]},
            {"expect": [
                {"lastResultContains": "25 curl: (56) CONNECT tunnel failed, response 403"},
                {"lastResultContains": "unable to access 'https://unlisted.test/x.git/': CONNECT tunnel failed, response 403"},
                {"lastResultContains": "Tunnel connection failed: 403 Forbidden: unlisted.test:443: not on the list of hosts this sandbox may reach now"},
                {"lastResultContains": "25 curl: (97)"},
             ],
             "calls": [{"tool": "ask", "input": {"question": "Done?"}}]},
        ]}),
        permitting(9),
    )
    .await;
    let run = night.submit("Reach out").await;
    open_proxy(&night, &run).await;
    let refusals = |events: &[nightshift_protocol::Event]| {
        let refused = ConnectionVerdict::Refused { reason: RefusalReason::NotListed };
        let told = recorded(events).into_iter().filter(|record| record.verdict == refused);
        told.map(|record| record.begun).sum::<u32>()
    };
    let events = night.until(&run, "records", |events| refusals(events) >= 52).await;
    night.assert_no_breach();
    assert_eq!(refusals(&events), 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_restarts_opens_the_way_out_again() {
    let port = host();
    let get = format!("curl -s -m 60 -x \"$(cat ~/proxy)\" http://asked.host.test:{port}/");
    let mut night = Night::with_network(
        json!({"turns": [
            {"calls": [shell("until [ -s ~/restarted ]; do sleep 0.05; done")]},
            {"calls": [shell(&get)]},
            {"expect": [{"lastResultContains": "reached"}], "calls": [{"tool": "ask", "input": {"question": "Done?"}}]},
        ]}),
        NetworkSettings { allow: vec![format!("asked.host.test:{port}").parse().unwrap()], ..permitting(port) },
    )
    .await;
    let run = night.submit("Reach out").await;
    open_proxy(&night, &run).await;
    night
        .until(&run, "a step", |events| events.iter().any(|event| event.body.name() == "stepIntended"))
        .await;
    night.owner_restarts().await;
    let events = night.events(&run).await;
    let sandbox = events.iter().find_map(|event| match &event.body {
        EventBody::SandboxReady { sandbox, .. } => Some(sandbox.clone()),
        _ => None,
    });
    let machine = night.driver.machine(&sandbox.unwrap()).unwrap();
    std::fs::write(machine.home_folder().join("restarted"), "yes").unwrap();
    let events = night.until(&run, "records", |events| !recorded(events).is_empty()).await;
    night
        .until(&run, "the question", |events| {
            events.iter().any(
                |event| matches!(&event.body, EventBody::StateChanged { state } if state.name() == "waiting"),
            )
        })
        .await;
    night.assert_no_breach();
    assert_eq!(recorded(&events)[0].verdict, ConnectionVerdict::Allowed);
}
