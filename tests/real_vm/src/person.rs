//! A person at the live screen of a run, with mouse and keyboard in their hands.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::Night;

/// How long the owner may take to say something.
const WITHIN: Duration = Duration::from_secs(120);

/// It looks at no picture, and so gets two of them.
#[derive(Debug)]
pub struct Person {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Person {
    /// Takes mouse and keyboard of a run over.
    pub async fn takes_over(night: &Night, run: &str) -> Self {
        let owner = std::fs::read(night.home.path().join("data/owner.json")).unwrap();
        let owner: Value = serde_json::from_slice(&owner).unwrap();
        let url = owner["url"].as_str().unwrap().replacen("http", "ws", 1);
        let mut request = format!("{url}/api/v1/runs/{run}/screen").into_client_request().unwrap();
        let token = format!("Bearer {}", owner["token"].as_str().unwrap());
        request.headers_mut().insert("authorization", token.parse().unwrap());
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut person = Self { socket };
        person.does(json!({"type": "takeOver"})).await;
        // Before that it is said whose they were.
        while person.hears("lease").await["holder"] != "you" {}
        person
    }

    pub async fn does(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Clicks with the left button.
    pub async fn clicks(&mut self, x: u32, y: u32) {
        for down in [true, false] {
            self.does(json!({"type": "button", "x": x, "y": y, "button": "left", "down": down})).await;
        }
    }

    /// Presses and releases a key, by its place and by what it means.
    pub async fn presses(&mut self, code: &str, key: &str) {
        for down in [true, false] {
            self.does(json!({"type": "key", "code": code, "key": key, "down": down})).await;
        }
    }

    /// Presses a key with Ctrl held.
    pub async fn presses_with_control(&mut self, code: &str, key: &str) {
        let control =
            |down: bool| json!({"type": "key", "code": "ControlLeft", "key": "Control", "down": down});
        self.does(control(true)).await;
        self.presses(code, key).await;
        self.does(control(false)).await;
    }

    /// What the clipboard of the sandbox holds, when all that was done before is done.
    pub async fn clipboard(&mut self) -> String {
        self.does(json!({"type": "getClipboard"})).await;
        self.hears("clipboard").await["text"].as_str().unwrap().to_owned()
    }

    /// Waits until the owner says something of that type. Nothing may be refused meanwhile.
    async fn hears(&mut self, kind: &str) -> Value {
        let waited = tokio::time::timeout(WITHIN, async {
            loop {
                let Message::Text(text) = self.socket.next().await.unwrap().unwrap() else { continue };
                let said: Value = serde_json::from_str(&text).unwrap();
                assert_ne!(said["type"], "refused", "{said}");
                if said["type"] == kind {
                    return said;
                }
            }
        });
        waited.await.unwrap_or_else(|_| panic!("the owner did not say {kind}"))
    }
}
