//! The proxy's port: programs' connections come to the host, and only while it takes them.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod bench;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use bench::Bench;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A guest that serves the proxy on a free port.
fn proxied() -> (Bench, SocketAddr) {
    let bench = Bench::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    bench.guest.proxy(listener).unwrap();
    (bench, address)
}

#[tokio::test]
async fn what_a_program_says_reaches_the_host_and_the_answer_comes_back() {
    let (bench, address) = proxied();
    let channel = bench.connect().await;
    let mut connections = channel.take_connections().await.unwrap();
    let mut program = TcpStream::connect(address).await.unwrap();
    let question: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let asked = question.clone();
    let asking = tokio::spawn(async move {
        program.write_all(&asked).await.unwrap();
        program.shutdown().await.unwrap();
        let mut answer = Vec::new();
        program.read_to_end(&mut answer).await.unwrap();
        answer
    });
    let mut connection = connections.next().await.unwrap();
    let mut heard = Vec::new();
    connection.read_to_end(&mut heard).await.unwrap();
    assert!(heard == question);
    heard.reverse();
    connection.write_all(&heard).await.unwrap();
    connection.shutdown().await.unwrap();
    assert!(asking.await.unwrap() == heard);
}

#[tokio::test]
async fn a_connection_made_before_the_host_takes_any_waits_for_it() {
    let (bench, address) = proxied();
    let mut program = TcpStream::connect(address).await.unwrap();
    program.write_all(b"early").await.unwrap();
    program.shutdown().await.unwrap();
    let channel = bench.connect().await;
    channel.ping().await.unwrap();
    let mut connections = channel.take_connections().await.unwrap();
    let mut text = String::new();
    connections.next().await.unwrap().read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "early");
}

#[tokio::test]
async fn connections_end_with_their_session_and_new_ones_go_to_the_next() {
    let (bench, address) = proxied();
    let first = bench.connect().await;
    let mut connections = first.take_connections().await.unwrap();
    let mut program = TcpStream::connect(address).await.unwrap();
    drop((connections.next().await.unwrap(), connections, first));
    let ended = program.read(&mut [0]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    let second = bench.connect().await;
    let mut connections = second.take_connections().await.unwrap();
    let _program = TcpStream::connect(address).await.unwrap();
    connections.next().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_the_host_drops_is_closed_for_the_program() {
    let (bench, address) = proxied();
    let channel = bench.connect().await;
    let mut connections = channel.take_connections().await.unwrap();
    let mut program = TcpStream::connect(address).await.unwrap();
    drop(connections.next().await.unwrap());
    let ended = program.read(&mut [0]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let (bench, address) = proxied();
    let channel = bench.connect().await;
    let mut connections = channel.take_connections().await.unwrap();
    let mut programs = Vec::new();
    for _ in 0..140 {
        programs.push(TcpStream::connect(address).await.unwrap());
    }
    let mut taken = Vec::new();
    while let Ok(next) = tokio::time::timeout(Duration::from_secs(2), connections.next()).await {
        taken.push(next.unwrap());
    }
    assert_eq!(taken.len(), 128);
    channel.ping().await.unwrap();
    taken.truncate(100);
    programs.truncate(100);
    connections.next().await.unwrap();
}

#[tokio::test]
async fn an_answer_arrives_whole_though_the_host_lets_go_at_once() {
    let (bench, address) = proxied();
    let channel = bench.connect().await;
    let mut connections = channel.take_connections().await.unwrap();
    for _ in 0..50 {
        let mut program = TcpStream::connect(address).await.unwrap();
        let mut connection = connections.next().await.unwrap();
        connection.write_all(&[7; 30_000]).await.unwrap();
        connection.shutdown().await.unwrap();
        // The program has not said that it says nothing more.
        drop(connection);
        let mut answer = Vec::new();
        program.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.len(), 30_000);
    }
}
