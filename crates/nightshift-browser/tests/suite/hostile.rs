//! A port in a sandbox at which anything may answer: nothing it does is waited for or kept without end.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use nightshift_browser::BrowserError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::Port;

/// What the port answers to commands.
#[derive(Clone, Copy)]
enum Manner {
    /// Its list of pages never ends.
    EndlessList,
    /// It takes the request and says nothing.
    Silent,
    /// It answers commands with more than is taken.
    Huge,
    /// It answers every command with events, and never the command.
    EventsOnly,
    /// It answers with very many values.
    ManyValues,
    /// It answers with what is no JSON.
    Gibberish,
    /// It hangs up at the first command.
    HangsUp,
}

async fn start(manner: Manner) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move { serve(stream, manner).await.unwrap_or(()) });
        }
    });
    Port(address, Duration::from_secs(5))
}

async fn serve(mut stream: TcpStream, manner: Manner) -> std::io::Result<()> {
    let mut beginning = [0; 14];
    while stream.peek(&mut beginning).await? < beginning.len() {}
    if beginning.starts_with(b"GET /json/list") {
        let mut request = vec![0; 4_096];
        let length = stream.read(&mut request).await?;
        let request = String::from_utf8_lossy(&request[..length]).into_owned();
        // A browser answers only to its own address.
        assert!(request.contains("\r\nHost: 127.0.0.1:9222\r\n"), "{request}");
        let list =
            r#"[{"id": "W1", "type": "service_worker"}, {"id": "P1/../x", "type": "page", "title": 3}]"#;
        let list = list.replace(": 3}", ": \"t\"}");
        return match manner {
            Manner::Silent => std::future::pending().await,
            Manner::EndlessList => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 65_536]).await?;
                }
            }
            _ => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", list.len());
                stream.write_all((head + &list).as_bytes()).await
            }
        };
    }
    let mut socket = tokio_tungstenite::accept_async(stream).await.map_err(std::io::Error::other)?;
    while let Some(Ok(Message::Text(_))) = socket.next().await {
        let event = |text: String| {
            Message::text(format!(r#"{{"method":"Log.entryAdded","params":{{"x":"{text}"}}}}"#))
        };
        let messages = match manner {
            Manner::Huge => vec![event("x".repeat(40 << 20))],
            Manner::EventsOnly => (0..5_000).map(|_| event("x".repeat(2_000))).collect(),
            Manner::ManyValues => {
                let values = "{},".repeat(1 << 20);
                vec![Message::text(format!(r#"{{"id":1,"result":[{values}0]}}"#))]
            }
            Manner::Gibberish => vec![Message::text("<html>")],
            _ => return Ok(()),
        };
        for message in messages {
            socket.send(message).await.map_err(std::io::Error::other)?;
        }
    }
    Ok(())
}

async fn read(manner: Manner) -> BrowserError {
    let port = start(manner).await;
    port.with(async |browser| browser.read(None, 1_000).await.unwrap_err()).await
}

#[tokio::test]
async fn who_says_nothing_or_only_other_things_is_given_up_in_time() {
    for manner in [Manner::Silent, Manner::EventsOnly] {
        let error = read(manner).await;
        assert!(matches!(error, BrowserError::TookTooLong { .. }), "{error}");
    }
}

#[tokio::test]
async fn answers_without_end_are_refused() {
    let error = read(Manner::EndlessList).await;
    assert_eq!(error.to_string(), "the browser's answer makes no sense: the list of pages");
    let error = read(Manner::Huge).await;
    assert!(matches!(error, BrowserError::Unreachable(_)), "{error}");
    let error = read(Manner::ManyValues).await;
    assert!(matches!(error, BrowserError::TooMuch { .. }), "{error}");
}

#[tokio::test]
async fn answers_that_are_none_are_refused() {
    assert_eq!(read(Manner::Gibberish).await.to_string(), "the browser's answer makes no sense: no JSON");
    assert!(matches!(read(Manner::HangsUp).await, BrowserError::Unreachable(_)));
}

#[tokio::test]
async fn a_browser_that_does_not_run_cannot_be_reached() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = Port(listener.local_addr().unwrap(), Duration::from_secs(5));
    drop(listener);
    let error = port.with(async |browser| browser.read(None, 100).await.unwrap_err()).await;
    assert!(matches!(error, BrowserError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn addresses_that_lead_into_the_browser_itself_are_refused_before_it_is_asked() {
    let port = start(Manner::Silent).await;
    for url in ["chrome://settings", "javascript:alert(1)", "data:text/html,x", "view-source:http://x/", ""] {
        let error = port.with(async |browser| browser.open(url, 100).await.unwrap_err()).await;
        assert!(matches!(error, BrowserError::BadAddress { .. }), "{url}: {error}");
    }
}
