//! The host's end against guests that are silent, old, broken or hostile, played on the wire.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::time::Duration;

use bytes::Bytes;
use nightshift_channel::wire::frame::{
    Body, Decoder, End, Frame, FrameError, Lane, MAX_PAYLOAD_BYTES, ResetReason, SessionId, StreamId,
};
use nightshift_channel::wire::greeting::{Hello, Welcome, session_of};
use nightshift_channel::wire::session::Violation;
use nightshift_channel::{
    Channel, ChannelError, CloseReason, Command, Connections, FileError, JobId, OpenError, StartJobError,
    TreeError, TreeLimits,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const NONCE: [u8; 16] = *b"0123456789abcdef";
const SECONDS: Duration = Duration::from_secs(20);

/// A guest that does what a test tells it to.
struct Guest {
    wire: DuplexStream,
    decoder: Decoder,
}

impl Guest {
    /// The next frame from the host, greetings left out.
    async fn receive(&mut self) -> Body {
        loop {
            while let Some(frame) = self.decoder.next_frame().unwrap() {
                match frame.body {
                    Body::Hello(_) => self.decoder.lock(session_of(&NONCE)),
                    body => return body,
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            let length = self.wire.read(&mut buffer).await.unwrap();
            assert_ne!(length, 0, "the host hung up");
            self.decoder.push(&buffer[..length]);
        }
    }

    async fn send(&mut self, body: Body) {
        self.send_raw(&encoded(Frame { session: session_of(&NONCE), body })).await;
    }

    async fn send_raw(&mut self, bytes: &[u8]) {
        // A host that has closed the session reads no more.
        let _ = self.wire.write_all(bytes).await;
    }

    async fn send_message(&mut self, stream: u32, json: &str) {
        let bytes = Bytes::copy_from_slice(json.as_bytes());
        self.send(Body::Data { stream: StreamId(stream), lane: Lane::Message, bytes }).await;
    }

    /// Sends bytes on a stream for as long as the host takes them.
    async fn send_endlessly(&mut self, stream: u32, lane: Lane) {
        let bytes = Bytes::from(vec![b'x'; MAX_PAYLOAD_BYTES]);
        let mut credit = 256 * 1024;
        loop {
            while credit >= MAX_PAYLOAD_BYTES + 16 {
                credit -= MAX_PAYLOAD_BYTES + 16;
                self.send(Body::Data { stream: StreamId(stream), lane, bytes: bytes.clone() }).await;
            }
            match self.receive().await {
                Body::Credit { bytes, .. } => credit += bytes as usize,
                Body::Reset { .. } => return,
                _ => {}
            }
        }
    }
}

fn encoded(frame: Frame) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

fn welcome() -> Vec<u8> {
    encoded(Welcome::answering(&Hello::new(NONCE), "boot-1").frame())
}

/// A channel whose guest has sent `before` and then welcomed it.
async fn greeted(before: &[u8]) -> (Channel, Guest) {
    let (host, wire) = tokio::io::duplex(1 << 20);
    let mut guest = Guest { wire, decoder: Decoder::new(End::Guest) };
    guest.send_raw(before).await;
    guest.send_raw(&welcome()).await;
    (Channel::open(host, NONCE, SECONDS).await.unwrap(), guest)
}

fn job() -> JobId {
    JobId::new("job").unwrap()
}

#[tokio::test]
async fn what_an_earlier_session_left_in_the_port_is_passed_over() {
    let old = SessionId(99);
    let old_data = Body::Data { stream: StreamId(1), lane: Lane::Bytes, bytes: Bytes::from_static(b"old") };
    let mut before = encoded(Frame { session: old, body: old_data })[..17].to_vec();
    before.extend(encoded(Welcome::answering(&Hello::new([9; 16]), "another boot").frame()));
    before.extend(encoded(Frame { session: SessionId(0), body: Body::NoSession }));
    before.extend(vec![0xA7; 40_000]);
    let (channel, _guest) = greeted(&before).await;
    assert_eq!(channel.boot_id(), "boot-1");
}

#[tokio::test]
async fn the_hello_is_repeated_until_it_is_answered() {
    let (host, wire) = tokio::io::duplex(1 << 20);
    let mut guest = Guest { wire, decoder: Decoder::new(End::Guest) };
    let opening = tokio::spawn(Channel::open(host, NONCE, SECONDS));
    for _ in 0..3 {
        let mut buffer = vec![0; 1 << 16];
        let frame = loop {
            if let Some(frame) = guest.decoder.next_frame().unwrap() {
                break frame;
            }
            let length = guest.wire.read(&mut buffer).await.unwrap();
            guest.decoder.push(&buffer[..length]);
        };
        assert_eq!(frame, Hello::new(NONCE).frame());
    }
    guest.decoder.lock(session_of(&NONCE));
    guest.send_raw(&welcome()).await;
    guest.send_raw(&welcome()).await;
    let channel = opening.await.unwrap().unwrap();
    let pinging = tokio::spawn(async move { channel.ping().await });
    assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
    guest.send_message(1, "null").await;
    pinging.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_guest_that_does_not_answer_is_given_up() {
    let (host, _wire) = tokio::io::duplex(1 << 10);
    let within = Duration::from_millis(50);
    assert!(
        matches!(Channel::open(host, NONCE, within).await, Err(OpenError::TimedOut { within: told }) if told == within)
    );
}

#[tokio::test]
async fn a_hypervisor_that_hangs_up_ends_the_wait() {
    let (host, wire) = tokio::io::duplex(1 << 10);
    drop(wire);
    assert!(matches!(
        Channel::open(host, NONCE, SECONDS).await,
        Err(OpenError::HungUp | OpenError::Socket(_))
    ));
}

#[tokio::test]
async fn a_guest_of_another_version_is_told_apart() {
    let (host, mut wire) = tokio::io::duplex(1 << 20);
    let old = Welcome { nonce: NONCE, version: 77, boot_id: String::new() };
    wire.write_all(&encoded(old.frame())).await.unwrap();
    assert!(matches!(Channel::open(host, NONCE, SECONDS).await, Err(OpenError::OtherVersion { guest: 77 })));
}

#[tokio::test]
async fn each_way_to_lose_the_session_has_its_name() {
    let data =
        |stream| Body::Data { stream: StreamId(stream), lane: Lane::Bytes, bytes: Bytes::from_static(b"x") };
    let of_session = |body| encoded(Frame { session: session_of(&NONCE), body });
    let losses = [
        (vec![0; 100], CloseReason::BadFrame(FrameError::NotAFrame)),
        (of_session(data(5)), CloseReason::Violation(Violation::UnknownStream(5))),
        (
            encoded(Frame { session: SessionId(1), body: data(1) }),
            CloseReason::BadFrame(FrameError::OtherSession),
        ),
        (of_session(Body::NoSession), CloseReason::LostByGuest),
    ];
    for (bytes, reason) in losses {
        let (channel, mut guest) = greeted(&[]).await;
        guest.send_raw(&bytes).await;
        assert_eq!(channel.closed().await, reason);
        assert_eq!(channel.ping().await, Err(ChannelError::Closed(reason)));
        let mut rest = Vec::new();
        guest.wire.read_to_end(&mut rest).await.unwrap();
    }
    let (channel, guest) = greeted(&[]).await;
    drop(guest);
    assert!(matches!(channel.closed().await, CloseReason::HungUp | CloseReason::Socket(_)));
}

#[tokio::test]
async fn requests_under_way_end_when_the_session_is_lost() {
    let (channel, mut guest) = greeted(&[]).await;
    let pinging = tokio::spawn(async move { channel.ping().await });
    assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
    drop(guest);
    assert!(matches!(pinging.await.unwrap(), Err(ChannelError::Closed(_))));
}

#[tokio::test]
async fn a_stream_the_guest_opens_is_refused_by_name() {
    let (_channel, mut guest) = greeted(&[]).await;
    guest.send(Body::Open { stream: StreamId(2) }).await;
    assert_eq!(guest.receive().await, Body::Reset { stream: StreamId(2), reason: ResetReason::Refused });
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (channel, mut guest) = greeted(&[]).await;
    let asking = tokio::spawn(async move { (channel.ping().await, channel) });
    assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
    guest.send_endlessly(1, Lane::MessagePart).await;
    assert_eq!(asking.await.unwrap().0, Err(ChannelError::NotUnderstood));
}

#[tokio::test]
async fn an_endless_file_is_cut_off_at_the_limit() {
    let (channel, mut guest) = greeted(&[]).await;
    let reading = tokio::spawn(async move { (channel.read_file("/f", 1_000_000).await, channel) });
    assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
    guest.send_message(1, r#"{"Ok":null}"#).await;
    guest.send_endlessly(1, Lane::Bytes).await;
    assert_eq!(reading.await.unwrap().0, Err(FileError::TooLarge));
}

#[tokio::test]
async fn an_endless_tree_is_cut_off() {
    let (channel, mut guest) = greeted(&[]).await;
    let place = tempfile::tempdir().unwrap();
    let local = place.path().join("tree");
    let limits = TreeLimits { entries: 10, bytes: 1_000_000 };
    let getting = tokio::spawn(async move { (channel.get_tree("/", &local, limits).await, channel) });
    assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
    guest.send_message(1, r#"{"Ok":null}"#).await;
    guest.send_endlessly(1, Lane::Bytes).await;
    assert!(matches!(getting.await.unwrap().0, Err(TreeError::Hostile(_))));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left of it");
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_an_error_and_costs_only_the_request() {
    for answer in ["", "{", r#"{"Ok":"never"}"#, r#"{"Err":{"error":"unheardOf"}}"#] {
        let (channel, mut guest) = greeted(&[]).await;
        let starting =
            tokio::spawn(async move { (channel.start(Command::new(job(), ["true"])).await, channel) });
        assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
        if answer.is_empty() {
            guest.send(Body::End { stream: StreamId(1) }).await;
        } else {
            guest.send_message(1, answer).await;
        }
        let (started, channel) = starting.await.unwrap();
        let expected = if answer.is_empty() { ChannelError::Cut } else { ChannelError::NotUnderstood };
        assert_eq!(started.unwrap_err(), StartJobError::Channel(expected));
        let pinging = tokio::spawn(async move { channel.ping().await });
        while guest.receive().await != (Body::Open { stream: StreamId(3) }) {}
        guest.send_message(3, "null").await;
        pinging.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn what_the_guest_says_is_cut_before_anybody_reads_it() {
    let (channel, mut guest) = greeted(&[]).await;
    let starting = tokio::spawn(async move { channel.start(Command::new(job(), ["true"])).await.map(drop) });
    assert_eq!(guest.receive().await, Body::Open { stream: StreamId(1) });
    let what = format!("\u{1b}[31m{}", "w".repeat(20_000));
    let answer = serde_json::json!({ "Err": { "error": "other", "what": what } }).to_string();
    guest.send_message(1, &answer).await;
    let shown = format!("[31m{}", "w".repeat(1_996));
    assert_eq!(starting.await.unwrap(), Err(StartJobError::Other { what: shown }));
}

#[tokio::test]
async fn a_request_too_long_for_the_channel_is_not_sent() {
    let (channel, _guest) = greeted(&[]).await;
    let long = Command::shell(job(), "x".repeat(2 << 20));
    assert_eq!(channel.start(long).await.map(drop), Err(StartJobError::Channel(ChannelError::TooLong)));
}

/// A channel that takes connections, whose guest has agreed to that.
async fn taking() -> (Channel, Connections, Guest) {
    let (channel, mut guest) = greeted(&[]).await;
    let asking = tokio::spawn({
        let channel = channel.clone();
        async move { channel.take_connections().await.unwrap() }
    });
    while !matches!(guest.receive().await, Body::End { .. }) {}
    guest.send_message(1, "null").await;
    guest.send(Body::End { stream: StreamId(1) }).await;
    (channel, asking.await.unwrap(), guest)
}

#[tokio::test]
async fn connections_are_taken_in_the_order_they_come_once_the_port_is_open() {
    let (_channel, mut connections, mut guest) = taking().await;
    for stream in [2, 4] {
        guest.send(Body::Open { stream: StreamId(stream) }).await;
        let bytes = Bytes::from(format!("from {stream}"));
        guest.send(Body::Data { stream: StreamId(stream), lane: Lane::Bytes, bytes }).await;
        guest.send(Body::End { stream: StreamId(stream) }).await;
    }
    for said in ["from 2", "from 4"] {
        let mut text = String::new();
        connections.next().await.unwrap().read_to_string(&mut text).await.unwrap();
        assert_eq!(text, said);
    }
}

#[tokio::test]
async fn connections_that_are_opened_and_cut_in_a_row_do_not_pile_up() {
    let (_channel, mut connections, mut guest) = taking().await;
    let mut refused = 0;
    for number in 1..=400 {
        let stream = StreamId(number * 2);
        guest.send(Body::Open { stream }).await;
        guest.send(Body::Reset { stream, reason: ResetReason::Abandoned }).await;
        // The host answers each cut; what it refuses it cuts by itself.
        loop {
            match guest.receive().await {
                Body::Reset { stream: cut, reason } if cut == stream => {
                    refused += u32::from(reason == ResetReason::Refused);
                    break;
                }
                _ => {}
            }
        }
    }
    assert_eq!(refused, 400 - 128, "all but those that can wait");
    let mut waiting = 0;
    while tokio::time::timeout(Duration::from_millis(50), connections.next()).await.is_ok() {
        waiting += 1;
    }
    assert_eq!(waiting, 128);
}

#[tokio::test]
async fn who_stops_taking_connections_refuses_those_that_wait_and_those_that_come() {
    let (channel, connections, mut guest) = taking().await;
    guest.send(Body::Open { stream: StreamId(2) }).await;
    // A round trip: the stream waits now.
    let pinging = tokio::spawn(async move { channel.ping().await });
    while !matches!(guest.receive().await, Body::End { .. }) {}
    drop(connections);
    guest.send(Body::Open { stream: StreamId(4) }).await;
    for stream in [2, 4] {
        let cut = Body::Reset { stream: StreamId(stream), reason: ResetReason::Refused };
        assert_eq!(guest.receive().await, cut);
    }
    guest.send_message(3, "null").await;
    pinging.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_takes_connections_later_ends_the_one_before() {
    let (channel, mut first, mut guest) = taking().await;
    let asking = tokio::spawn(async move { channel.take_connections().await.unwrap() });
    assert_eq!(first.next().await.map(drop), Err(ChannelError::Cut));
    drop(first);
    while !matches!(guest.receive().await, Body::End { .. }) {}
    guest.send_message(3, "null").await;
    let mut second = asking.await.unwrap();
    guest.send(Body::Open { stream: StreamId(2) }).await;
    second.next().await.unwrap();
}
