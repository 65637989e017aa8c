use super::*;
use proptest::prelude::*;
use std::os::fd::AsRawFd;

/// The other side of a connection, played by the test.
struct Peer {
    stream: UnixStream,
    lines: Lines,
}

impl Peer {
    async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads the next command: its name and id.
    async fn hear(&mut self) -> (String, u64) {
        let line = next_line(&mut self.stream, &mut self.lines).await.unwrap();
        let value: Value = serde_json::from_slice(&line).unwrap();
        (value["execute"].as_str().unwrap().to_owned(), value["id"].as_u64().unwrap())
    }
}

const GREETING: &str = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

async fn connected() -> (Qmp, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut peer = Peer { stream: theirs, lines: Lines::default() };
    let (qmp, ()) = tokio::join!(Qmp::connect(ours), async {
        peer.say(GREETING).await;
        let (command, id) = peer.hear().await;
        assert_eq!(command, "qmp_capabilities");
        peer.say(&format!("{{\"return\": {{}}, \"id\": {id}}}\r\n")).await;
    });
    (qmp.unwrap(), peer)
}

#[tokio::test]
async fn answers_find_their_commands_in_any_order() {
    let (qmp, mut peer) = connected().await;
    let (first, second, ()) =
        tokio::join!(qmp.execute("first", json!({})), qmp.execute("second", json!({})), async {
            let (one, two) = (peer.hear().await, peer.hear().await);
            for (name, id) in [two, one] {
                peer.say(&format!("{{\"return\": \"{name}\", \"id\": {id}}}\n")).await;
            }
        });
    assert_eq!((first.unwrap(), second.unwrap()), (json!("first"), json!("second")));
}

#[tokio::test]
async fn a_refusal_carries_the_command_and_the_description() {
    let (qmp, mut peer) = connected().await;
    let (answer, ()) = tokio::join!(qmp.execute("cont", json!({})), async {
        let (_, id) = peer.hear().await;
        peer.say(&format!(
            "{{\"error\": {{\"class\": \"GenericError\", \"desc\": \"no\"}}, \"id\": {id}}}\n"
        ))
        .await;
    });
    assert_eq!(answer.unwrap_err().to_string(), "QEMU refused cont: no");
}

#[tokio::test]
async fn garbage_unknown_events_and_answers_nobody_asked_for_harm_nothing() {
    let (qmp, mut peer) = connected().await;
    let mut events = qmp.events();
    let (answer, ()) = tokio::join!(qmp.execute("query-status", json!({})), async {
        let (_, id) = peer.hear().await;
        peer.say("}{ no JSON\n[1, 2]\n\"text\"\n\n{\"return\": {}, \"id\": 999}\n{\"return\": {}, \"id\": \"x\"}\n").await;
        peer.say("{\"event\": \"OF_TOMORROW\", \"timestamp\": {}}\n").await;
        peer.say(&format!("{{\"return\": 7, \"id\": {id}}}\n")).await;
    });
    assert_eq!(answer.unwrap(), json!(7));
    assert_eq!(events.recv().await.unwrap(), QmpEvent { name: "OF_TOMORROW".to_owned(), data: Value::Null });
}

#[tokio::test]
async fn an_abandoned_command_leaves_the_connection_whole() {
    let (qmp, mut peer) = connected().await;
    let abandoned = tokio::time::timeout(Duration::ZERO, qmp.execute("slow", json!({}))).await;
    assert!(abandoned.is_err());
    let (answer, ()) = tokio::join!(qmp.execute("next", json!({})), async {
        let (mut name, mut id) = peer.hear().await;
        if name == "slow" {
            peer.say(&format!("{{\"return\": \"late\", \"id\": {id}}}\n")).await;
            (name, id) = peer.hear().await;
        }
        peer.say(&format!("{{\"return\": \"{name}\", \"id\": {id}}}\n")).await;
    });
    assert_eq!(answer.unwrap(), json!("next"));
}

#[tokio::test]
async fn whoever_waits_is_told_when_qemu_ends() {
    let (qmp, mut peer) = connected().await;
    let mut events = qmp.events();
    let (answer, ()) = tokio::join!(qmp.execute("quit", json!({})), async {
        peer.hear().await;
        drop(peer);
    });
    assert!(matches!(answer, Err(QmpError::Closed)));
    assert!(matches!(events.recv().await, Err(broadcast::error::RecvError::Closed)));
    assert!(matches!(qmp.execute("after", json!({})).await, Err(QmpError::Closed)));
    assert!(matches!(qmp.events().recv().await, Err(broadcast::error::RecvError::Closed)));
}

#[tokio::test]
async fn the_socket_closes_when_the_connection_is_dropped() {
    let (qmp, mut peer) = connected().await;
    drop(qmp);
    assert!(matches!(next_line(&mut peer.stream, &mut peer.lines).await, Err(QmpError::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_qemu_is_given_up() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(matches!(Qmp::connect(ours).await, Err(QmpError::Silent { .. })));
}

#[tokio::test]
async fn another_program_on_the_socket_is_no_qemu() {
    for greeting in ["SSH-2.0-OpenSSH\r\n", "{\"event\": \"STOP\"}\n"] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(greeting.as_bytes()).await.unwrap();
        assert!(matches!(Qmp::connect(ours).await, Err(QmpError::NotQemu)));
    }
}

#[tokio::test]
async fn a_line_without_end_ends_the_connection() {
    let (qmp, mut peer) = connected().await;
    let (answer, ()) = tokio::join!(qmp.execute("query-status", json!({})), async {
        let endless = vec![b'x'; LONGEST_LINE * 2];
        // The write fails when the reader has had enough.
        let _ = peer.stream.write_all(&endless).await;
    });
    assert!(matches!(answer, Err(QmpError::Closed)));
}

#[tokio::test]
async fn a_descriptor_arrives_with_its_command() {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    let (qmp, mut peer) = connected().await;
    let given = std::fs::File::open("/dev/zero").unwrap();
    let (answer, ()) = tokio::join!(qmp.give_descriptor("screen", given.into()), async {
        peer.stream.readable().await.unwrap();
        let mut bytes = [0; 512];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let message = peer
            .stream
            .try_io(Interest::READABLE, || {
                let mut slices = [io::IoSliceMut::new(&mut bytes)];
                Ok(recvmsg(&peer.stream, &mut slices, &mut ancillary, RecvFlags::empty())?)
            })
            .unwrap();
        let command: Value = serde_json::from_slice(&bytes[..message.bytes]).unwrap();
        assert_eq!(
            (command["execute"].as_str(), &command["arguments"]),
            (Some("getfd"), &json!({"fdname": "screen"}))
        );
        let descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(descriptors.len(), 1);
        let name = std::fs::read_link(format!("/proc/self/fd/{}", descriptors[0].as_raw_fd())).unwrap();
        assert_eq!(name, std::path::Path::new("/dev/zero"));
        peer.say(&format!("{{\"return\": {{}}, \"id\": {}}}\n", command["id"])).await;
    });
    answer.unwrap();
}

proptest! {
    #[test]
    fn lines_come_out_as_they_went_in_however_they_are_split(
        lines in prop::collection::vec("[a-z]{0,20}", 0..8),
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
        let (mut buffer, mut found, mut rest) = (Lines::default(), Vec::new(), bytes.as_slice());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() { break; }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            buffer.buffer.extend_from_slice(piece);
            rest = after;
            while let Some(line) = buffer.take().unwrap() {
                found.push(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
        }
        prop_assert_eq!(found, lines);
    }

    #[test]
    fn no_line_makes_the_parser_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
        parse(&line);
    }
}
