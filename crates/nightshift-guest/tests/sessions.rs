//! Many streams on one port, and hosts that come and go.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bench;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use bench::{Bench, WITHIN, job, run, script};
use nightshift_channel::wire::frame::{Body, Decoder, End, Frame, Lane, SessionId, StreamId};
use nightshift_channel::wire::greeting::{Hello, session_of};
use nightshift_channel::{
    Channel, ChannelError, CloseReason, ConnectError, GuestStream, JobEvent, JobState, JobStatus, Signal,
    StartJobError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// A port that outlives the hosts at its other end and never tells the guest that one is gone, as a virtual serial
/// port may.
fn lasting_port(bench: &Bench) -> mpsc::Sender<UnixStream> {
    let mut guest = bench.port();
    let (hosts, mut next_host) = mpsc::channel::<UnixStream>(1);
    tokio::spawn(async move {
        while let Some(host) = next_host.recv().await {
            let (mut from_host, mut to_host) = host.into_split();
            let (mut from_guest, mut to_guest) = guest.split();
            tokio::select! {
                _ = tokio::io::copy(&mut from_host, &mut to_guest) => {}
                _ = tokio::io::copy(&mut from_guest, &mut to_host) => {}
            }
        }
    });
    hosts
}

/// The next frame that arrives.
async fn receive(port: &mut UnixStream, decoder: &mut Decoder) -> Frame {
    let mut buffer = vec![0; 1 << 16];
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            return frame;
        }
        let length = port.read(&mut buffer).await.unwrap();
        decoder.push(&buffer[..length]);
    }
}

/// Serves each connection to a port of this machine by a thread.
fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(connection.unwrap()));
        }
    });
    port
}

#[tokio::test]
async fn forty_streams_at_once_get_equal_shares() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    // Each connection is sent bytes without end.
    let port = listen(|mut connection| while connection.write_all(&[0; 16 * 1024]).is_ok() {});
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(channel.connect(port).await.unwrap());
    }
    let (progress, mut total) = mpsc::channel(64);
    for (index, mut stream) in streams.into_iter().enumerate() {
        let progress = progress.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 32 * 1024];
            while let Ok(length) = stream.read(&mut buffer).await
                && progress.send((index, length)).await.is_ok()
            {}
        });
    }
    let mut received = vec![0; 40];
    while received.iter().sum::<usize>() < 40 << 20 {
        let (index, length) = total.recv().await.unwrap();
        received[index] += length;
    }
    let (least, most) = (received.iter().min().unwrap(), received.iter().max().unwrap());
    assert!(least * 2 > *most, "between {least} and {most} bytes");
}

#[tokio::test]
async fn who_reads_slowly_holds_up_nobody() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let mut unread = channel.start(script("flood", "head -c 5000000 /dev/zero")).await.unwrap();
    let read = run(&channel, script("other", "seq 200000")).await.unwrap();
    assert_eq!(read.exit.status, JobStatus::Code(0));
    channel.ping().await.unwrap();
    let mut length = 0;
    while let Some(JobEvent::Output { bytes, .. }) = unread.next().await {
        length += bytes.len();
    }
    assert_eq!(length, 5_000_000);
}

#[tokio::test]
async fn each_direction_of_a_connection_ends_on_its_own() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let port = listen(|mut connection| {
        let mut question = Vec::new();
        connection.read_to_end(&mut question).unwrap();
        question.reverse();
        connection.write_all(&question).unwrap();
    });
    let mut stream: GuestStream = channel.connect(port).await.unwrap();
    let question: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    stream.write_all(&question).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer.reverse();
    assert!(answer == question);
}

#[tokio::test]
async fn a_connection_that_is_dropped_is_closed_in_the_guest() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let (closed, mut is_closed) = mpsc::channel(1);
    let port = listen(move |mut connection| {
        let ended = connection.read(&mut [0; 10]);
        let _ = connection.shutdown(Shutdown::Both);
        closed.blocking_send(ended.unwrap_or(0)).unwrap();
    });
    let stream = channel.connect(port).await.unwrap();
    drop(stream);
    assert_eq!(is_closed.recv().await, Some(0));
    let stream = channel.connect(port).await.unwrap();
    drop(channel);
    drop(stream);
    assert_eq!(is_closed.recv().await, Some(0), "also when the channel is closed with it");
}

#[tokio::test]
async fn a_port_nobody_listens_on_is_refused() {
    let bench = Bench::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(bench.connect().await.connect(free).await.map(drop), Err(ConnectError::NobodyListens));
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_room_comes_back() {
    let bench = Bench::new();
    let channel = bench.connect().await;
    let port = listen(|mut connection| drop(connection.read(&mut [0; 1])));
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(channel.connect(port).await.unwrap());
    }
    assert_eq!(channel.ping().await.map(drop), Err(ChannelError::TooManyStreams));
    let refused = channel.start(script("job", "true")).await.map(drop);
    assert_eq!(refused, Err(StartJobError::Channel(ChannelError::TooManyStreams)));
    streams.truncate(200);
    while channel.ping().await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_new_host_takes_the_port_over_in_the_middle_of_a_frame_and_jobs_go_on() {
    let bench = Bench::new();
    let hosts = lasting_port(&bench);
    let nonce = [0xAA; 16];
    // A host that starts a job, begins to send a frame, and is gone.
    let (mut first, wire) = UnixStream::pair().unwrap();
    hosts.send(wire).await.unwrap();
    let frame = |body| Frame { session: session_of(&nonce), body };
    let request = serde_json::json!({
        "service": "exec", "job": "old", "argv": ["sh", "-c", "echo up; sleep 1000"], "folder": null, "environment": [],
        "user": "agent", "timeLimitMilliseconds": null, "mergeOutput": true, "input": "none",
    });
    let message =
        |bytes: Vec<u8>| Body::Data { stream: StreamId(1), lane: Lane::Message, bytes: bytes.into() };
    let mut bytes = Vec::new();
    Hello::new(nonce).frame().encode(&mut bytes);
    frame(Body::Open { stream: StreamId(1) }).encode(&mut bytes);
    frame(message(request.to_string().into_bytes())).encode(&mut bytes);
    let whole = bytes.len();
    frame(message(vec![b'x'; 30_000])).encode(&mut bytes);
    first.write_all(&bytes[..whole + 1_000]).await.unwrap();
    let mut decoder = Decoder::new(End::Host);
    let output = loop {
        match receive(&mut first, &mut decoder).await {
            Frame { body: Body::Welcome(_), session } => decoder.lock(session),
            Frame { body: Body::Data { lane: Lane::Bytes, bytes, .. }, .. } => break bytes,
            _ => {}
        }
    };
    assert_eq!(output, "up\n");
    drop(first);

    let (second, wire) = UnixStream::pair().unwrap();
    hosts.send(wire).await.unwrap();
    let channel = Channel::open(second, bench.nonce(), WITHIN).await.unwrap();
    assert_eq!(channel.job(&job("old")).await, Ok(Some(JobState::Running { output_bytes: 3 })));
    let completed = run(&channel, script("new", "echo here")).await.unwrap();
    assert_eq!(completed.stdout, b"here\n");
    assert_eq!(channel.boot_id(), "this boot");
    channel.kill(&job("old"), Signal::Kill).await.unwrap();
}

#[tokio::test]
async fn a_guest_that_gives_a_session_up_says_so() {
    let bench = Bench::new();
    let mut port = bench.port();
    let session = session_of(&[5; 16]);
    let mut decoder = Decoder::new(End::Host);
    let mut hello = vec![0x1D; 100];
    Hello::new([5; 16]).frame().encode(&mut hello);
    port.write_all(&hello).await.unwrap();
    assert!(matches!(receive(&mut port, &mut decoder).await.body, Body::Welcome(_)));
    decoder.lock(session);
    // A frame of nobody's session.
    let mut foreign = Vec::new();
    Frame { session: SessionId(6), body: Body::End { stream: StreamId(1) } }.encode(&mut foreign);
    port.write_all(&foreign).await.unwrap();
    assert_eq!(receive(&mut port, &mut decoder).await.body, Body::NoSession);
}

#[tokio::test]
async fn a_program_that_restarts_tells_the_host_that_its_session_is_lost() {
    let bench = Bench::new();
    let mut first_life = bench.port();
    let (host, mut wire) = UnixStream::pair().unwrap();
    let opening = tokio::spawn(Channel::open(host, [3; 16], WITHIN));
    // The host's greeting reaches the first life, and its answer the host.
    let mut second_life = None;
    let mut channel: Option<Channel> = None;
    tokio::pin!(opening);
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let reason = loop {
        let port = second_life.as_mut().unwrap_or(&mut first_life);
        tokio::select! {
            length = wire.read(&mut up) => port.write_all(&up[..length.unwrap()]).await.unwrap(),
            length = port.read(&mut down) => wire.write_all(&down[..length.unwrap()]).await.unwrap(),
            opened = &mut opening, if channel.is_none() => {
                channel = Some(opened.unwrap().unwrap());
                second_life = Some(bench.port());
            }
            reason = async { channel.as_ref().unwrap().closed().await }, if channel.is_some() => break reason,
        }
    };
    assert_eq!(reason, CloseReason::LostByGuest);
}
