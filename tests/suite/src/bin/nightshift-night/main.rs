//! A night to look at: a real owner with its API and web UI, a scripted model on the wire, and sandboxes that are folders
//! of this host with a drawn screen. `nightshift-night --ui DIST --script FILE [--checkpoints]` prints
//! `{"url","token","repository"}` and runs until its standard input ends. The browser tests of what needs a sandbox use it.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a program of tests: a failed step ends it, and its address is what it prints"
)]

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use nightshift_server::{Access, Guard};
use serde_json::json;
use suite::{Night, SystemClock};

/// Long enough for the owner's own rules of tokens; it guards nothing but this night.
const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn argument(name: &str) -> PathBuf {
    let mut words = std::env::args().skip_while(|word| word != name);
    words.next();
    words
        .next()
        .map(PathBuf::from)
        .unwrap_or_else(|| panic!("usage: nightshift-night --ui DIST --script FILE"))
}

#[tokio::main]
async fn main() {
    let script = std::fs::read_to_string(argument("--script")).unwrap();
    let script = serde_json::from_str(&script).unwrap();
    let saves = std::env::args().any(|word| word == "--checkpoints");
    let night = if saves { Night::with_checkpoints(script).await } else { Night::begin(script).await };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let guard =
        Guard::new(Access { token: TOKEN.to_owned(), port, names: Vec::new() }, Arc::new(SystemClock));
    let api = Arc::new(night.owner.api.clone());
    let router = nightshift_server::router(api, guard, Some(&argument("--ui")));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let url = format!("http://127.0.0.1:{port}");
    println!("{}", json!({"url": url, "token": TOKEN, "repository": night.repository()}));
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let _input_ended = ended.await;
    night.owner.supervisor.rest().await;
    let breaches = night.model.breaches();
    assert!(breaches.is_empty(), "requests broke the provider's rules: {breaches:?}");
}
