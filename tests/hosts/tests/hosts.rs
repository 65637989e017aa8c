//! Tasks on libvirt hosts, from `[[hosts]]` in `config.toml` to a pull request, by the program as people run it.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::collections::HashSet;

use hosts::Libvirtd;
use real_vm::{Night, Picture, assert_exactly_once, small_repository};
use serde_json::{Value, json};

/// Two hosts. Three GiB on one and five on the other hold one sandbox and two, and the other has most room until it has one.
fn configuration(near: &Libvirtd, far: &Libvirtd) -> String {
    format!(
        "sandboxes = 2

[sandbox]
memory_mib = 2048
processors = 2
spare = false

[[hosts]]
name = \"near\"
uri = \"{}\"
pool = \"nightshift\"
memory_mib = 3000
acceleration = \"tcg\"

[[hosts]]
name = \"far\"
uri = \"{}\"
pool = \"nightshift\"
memory_mib = 5000
acceleration = \"tcg\"
",
        near.uri(),
        far.uri()
    )
}

fn shell(command: &str) -> Value {
    json!({"tool": "shell", "input": {"command": command}})
}

fn computer(input: Value) -> Value {
    json!({"tool": "computer", "input": input})
}

/// A turn that is taken when the result before it contains `text`.
fn seeing(text: &str, calls: Value) -> Value {
    json!({"expect": [{"lastResultContains": text}], "calls": calls})
}

fn script() -> Value {
    let asks = |question: &str| json!([{"tool": "ask", "input": {"question": question}}]);
    let key = |chord: &str| computer(json!({"action": "key", "text": chord}));
    json!({"model": "claude-sonnet-5-5", "conversations": [
        {"when": {"firstMessageContains": "Work there"}, "turns": [
            {"calls": [shell("ls /sys/class/net; cat notes.txt; echo kept >/dev/shm/kept")]},
            seeing("one", json!([
                computer(json!({"action": "screenshot"})),
                // The address line of the browser that is open.
                key("ctrl+l"),
                computer(json!({"action": "type", "text": "far, naïve ☕"})),
                key("ctrl+a"),
                key("ctrl+c"),
                shell("xsel --clipboard --output"),
            ])),
            seeing("far, naïve ☕", asks("Shall I go on?")),
            {"calls": [shell("echo once >>~/once; sleep 25; wc -l <~/once; cat /dev/shm/kept; echo two >>notes.txt; git commit -qam Note && echo noted")]},
            seeing("1\nkept\nnoted", json!([{"tool": "evidence", "input": {"claim": "It was done once.", "step": "4.1"}}])),
            {"calls": [{"tool": "finish", "input": {"title": "Add a note", "summary": "One more note."}}]},
        ]},
        {"when": {"firstMessageContains": "Work beside it"}, "turns": [
            {"calls": [shell("ls /sys/class/net; echo here")]},
            seeing("here", asks("Enough?")),
        ]},
    ]})
}

fn of_type<'a>(events: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["type"] == kind)
}

/// Waits until a run asks its person something, and returns the event that tells of its sandbox.
async fn sandbox_of_asking(night: &Night, run: &str) -> Value {
    let asks = |events: &[Value]| {
        let state = of_type(events, "stateChanged").last().map(|event| event["state"]["type"].clone());
        assert_ne!(state, Some(json!("paused")), "{events:#?}\n{}", night.log());
        state == Some(json!("waiting"))
    };
    let events = night.until(run, "a question", asks).await;
    of_type(&events, "sandboxReady").next().unwrap().clone()
}

/// The picture of a step.
fn picture(night: &Night, events: &[Value], step: &str) -> Picture {
    let finished = of_type(events, "stepFinished").find(|event| event["step"] == step).unwrap();
    let mut content = finished["content"].as_array().unwrap().iter();
    let artifact = content.find_map(|part| part["image"]["artifact"].as_str()).unwrap();
    Picture::read(&night.home.path().join("data/artifacts").join(&artifact[..2]).join(artifact))
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_are_worked_on_each_on_the_host_with_most_room_and_found_there_by_an_owner_that_comes_after() {
    let (near, far) = (Libvirtd::start(), Libvirtd::start());
    let night = Night::begin(script()).await;
    std::fs::write(night.home.path().join("config.toml"), configuration(&near, &far)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let repository = small_repository(folder.path());

    let examined = night.run(&["doctor"]).await;
    let examined = String::from_utf8_lossy(&examined.stdout).into_owned();
    for said in ["near: tcg", "far: tcg", "no clone in memory", "libvirt saves machines whole"] {
        assert!(examined.contains(said), "{said}: {examined}");
    }

    // The first goes where most room is, and the template it is made of is made there.
    let first = night.submit("Work there", &repository).await;
    let ready = sandbox_of_asking(&night, &first).await;
    let sandbox = ready["sandbox"].as_str().unwrap().to_owned();
    assert_eq!((near.machines(), far.machines()), (Vec::new(), vec![sandbox.clone()]));
    assert_eq!(
        (&ready["facts"]["driver"], &ready["facts"]["acceleration"]),
        (&json!("libvirt"), &json!("tcg"))
    );

    // With that one there, the other host has most room.
    let second = night.submit("Work beside it", &repository).await;
    let beside = sandbox_of_asking(&night, &second).await["sandbox"].as_str().unwrap().to_owned();
    assert_eq!((near.machines(), far.machines()), (vec![beside], vec![sandbox.clone()]));
    night.said(&["cancel", &second]).await;
    let gone = |events: &[Value]| of_type(events, "sandboxStopped").next().is_some();
    night.until(&second, "its sandbox to go", gone).await;
    assert_eq!((near.machines(), near.files()), (Vec::new(), Vec::new()));

    // An owner that dies in the middle of a command leaves it to the next.
    night.said(&["steer", &first, "Yes."]).await;
    let begun = |events: &[Value]| of_type(events, "stepIntended").any(|event| event["step"] == "4.1");
    night.until(&first, "the command", begun).await;
    night.kill_owner();
    assert_eq!(far.machines(), vec![sandbox]);
    assert_eq!(night.watch(&first).await, "inReview", "{}", night.log());
    night.assert_no_breach();
    let events = night.events(&first).await;
    assert_exactly_once(&events);
    assert_eq!(of_type(&events, "sandboxReady").count(), 1, "it is the sandbox of before");

    // No network card, and a desktop that was seen by VNC.
    let listed = of_type(&events, "stepFinished").find(|event| event["step"] == "1.1").unwrap();
    assert!(listed["content"][0]["text"].as_str().unwrap().starts_with("lo\n"), "{listed}");
    let shown = picture(&night, &events, "2.1");
    assert_eq!((shown.width, shown.height), (1280, 800));
    let colours: HashSet<[u8; 3]> =
        shown.rgb.chunks_exact(3).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect();
    assert!(colours.len() > 50, "{} colours are no desktop with a browser", colours.len());
    let diff = night.said(&["review", "diff", &first]).await;
    assert!(diff.contains("+two"), "{diff}");

    // Closed, nothing of it is left on its host: the template's disk and memory stay. A slow host had time for more
    // checkpoints than one.
    night.said(&["review", "close", &first]).await;
    let forgotten = |events: &[Value]| {
        let saved = of_type(events, "checkpointSaved").count();
        saved > 0 && of_type(events, "checkpointRemoved").count() == saved
    };
    night.until(&first, "its checkpoints to go", |events| gone(events) && forgotten(events)).await;
    night.said(&["stop"]).await;
    assert_eq!((near.machines(), far.machines()), (Vec::new(), Vec::new()));
    let left: Vec<String> =
        far.files().into_iter().filter_map(|name| Some(name.split_once('.')?.1.to_owned())).collect();
    assert_eq!(left, ["0.qcow2", "template.memory"], "{}", night.log());
}
