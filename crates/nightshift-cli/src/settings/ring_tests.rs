//! The key ring, against one on the wire that polices what it is asked.

use std::collections::HashMap;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use zbus::conn::Builder;
use zbus::message::Type;
use zbus::{Connection, Guid, MessageStream, OwnedObjectPath, OwnedVariant, Variant};

use super::ring::{Ring, RingError};

const SESSION: &str = "/org/freedesktop/secrets/session/s1";
const COLLECTION: &str = "/org/freedesktop/secrets/collection/login";
const PROMPT: &str = "/org/freedesktop/secrets/prompt/p1";

/// What the fake holds, and how the person at it behaves.
#[derive(Default)]
struct State {
    /// Key by name, in the order they came.
    items: Vec<(String, String)>,
    locked: bool,
    without_default: bool,
    /// Whether the person dismisses what asks them.
    dismisses: bool,
    /// How often somebody was asked.
    asked: u32,
    calls: Vec<String>,
}

fn path(text: &str) -> OwnedObjectPath {
    text.to_owned().try_into().unwrap()
}

fn item(index: usize) -> OwnedObjectPath {
    path(&format!("{COLLECTION}/{index}"))
}

async fn serve(socket: UnixStream, state: Arc<Mutex<State>>) {
    let builder = Builder::unix_stream(socket).server(Guid::generate()).p2p();
    let mut messages = builder.build_message_stream().await.unwrap();
    let bus = Connection::from(&messages);
    while let Some(Ok(message)) = messages.next().await {
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let header = message.header();
        assert_eq!(header.destination().unwrap().as_str(), "org.freedesktop.secrets");
        let (object, method) = (header.path().unwrap().to_string(), header.member().unwrap().to_string());
        let interface = header.interface().unwrap().as_str().rsplit('.').next().unwrap().to_owned();
        state.lock().unwrap().calls.push(format!("{interface}.{method}"));
        let body = message.body();
        match (interface.as_str(), method.as_str()) {
            ("Service", "OpenSession") => {
                let (algorithm, input): (String, OwnedVariant) = body.deserialize().unwrap();
                assert_eq!((algorithm.as_str(), String::try_from(input).unwrap().as_str()), ("plain", ""));
                bus.reply(&header, &(Variant::from(""), path(SESSION))).await.unwrap();
            }
            ("Service", "SearchItems") => {
                let (wanted,): (HashMap<String, String>,) = body.deserialize().unwrap();
                assert_eq!(wanted["application"], "nightshift");
                let found = {
                    let state = state.lock().unwrap();
                    let named = |(index, (name, _)): (usize, &(String, String))| {
                        (*name == wanted["key"]).then(|| item(index))
                    };
                    let found: Vec<_> = state.items.iter().enumerate().filter_map(named).collect();
                    if state.locked { (Vec::new(), found) } else { (found, Vec::new()) }
                };
                bus.reply(&header, &found).await.unwrap();
            }
            ("Service", "ReadAlias") => {
                assert_eq!(body.deserialize::<(String,)>().unwrap().0, "default");
                let none = state.lock().unwrap().without_default;
                bus.reply(&header, &(path(if none { "/" } else { COLLECTION }),)).await.unwrap();
            }
            ("Service", "Unlock") => {
                let (objects,): (Vec<OwnedObjectPath>,) = body.deserialize().unwrap();
                assert!(!objects.is_empty());
                let locked = state.lock().unwrap().locked;
                let (open, prompt) = if locked { (Vec::new(), PROMPT) } else { (objects, "/") };
                bus.reply(&header, &(open, path(prompt))).await.unwrap();
            }
            ("Prompt", "Prompt") => {
                assert_eq!(object, PROMPT);
                let dismissed = {
                    let mut state = state.lock().unwrap();
                    state.asked += 1;
                    state.locked = state.dismisses;
                    state.dismisses
                };
                bus.reply(&header, &()).await.unwrap();
                let told = &(dismissed, Variant::from(""));
                let from = "org.freedesktop.Secret.Prompt";
                bus.emit_signal(None::<&str>, PROMPT, from, "Completed", told).await.unwrap();
            }
            ("Collection", "CreateItem") => {
                assert_eq!(object, COLLECTION);
                type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);
                let (properties, secret, replace): (HashMap<String, OwnedVariant>, Secret, bool) =
                    body.deserialize().unwrap();
                let attributes = properties["org.freedesktop.Secret.Item.Attributes"].try_clone().unwrap();
                let attributes: HashMap<String, String> = attributes.try_into().unwrap();
                assert_eq!((secret.0.as_str(), secret.1.is_empty(), replace), (SESSION, true, true));
                let place = {
                    let mut state = state.lock().unwrap();
                    assert!(!state.locked, "nothing is kept in a locked ring");
                    let kept = (attributes["key"].clone(), String::from_utf8(secret.2).unwrap());
                    state.items.retain(|(name, _)| *name != kept.0);
                    state.items.push(kept);
                    state.items.len() - 1
                };
                bus.reply(&header, &(item(place), path("/"))).await.unwrap();
            }
            ("Item", method @ ("GetSecret" | "Delete")) => {
                let index: usize = object.rsplit('/').next().unwrap().parse().unwrap();
                if method == "GetSecret" {
                    assert_eq!(body.deserialize::<(OwnedObjectPath,)>().unwrap().0.as_str(), SESSION);
                    let text = state.lock().unwrap().items[index].1.clone();
                    let secret = (path(SESSION), Vec::<u8>::new(), text.into_bytes(), "text/plain");
                    bus.reply(&header, &(secret,)).await.unwrap();
                } else {
                    state.lock().unwrap().items.remove(index);
                    bus.reply(&header, &(path("/"),)).await.unwrap();
                }
            }
            (interface, method) => panic!("{interface}.{method} is not in the specification"),
        }
    }
}

async fn ring(state: State) -> (Ring, Arc<Mutex<State>>) {
    let state = Arc::new(Mutex::new(state));
    let (ours, theirs) = UnixStream::pair().unwrap();
    tokio::spawn(serve(theirs, Arc::clone(&state)));
    let bus: MessageStream = Builder::unix_stream(ours).p2p().build_message_stream().await.unwrap();
    let bus = Connection::from(&bus);
    (Ring::open(bus).await.unwrap(), state)
}

fn holding(name: &str, key: &str) -> State {
    State { items: vec![(name.to_owned(), key.to_owned())], ..State::default() }
}

#[tokio::test]
async fn a_key_is_kept_read_replaced_and_forgotten() {
    let (ring, state) = ring(State::default()).await;
    assert_eq!(ring.read("A_KEY").await.unwrap(), None);
    ring.keep("A_KEY", "sk-1").await.unwrap();
    ring.keep("B_KEY", "sk-b").await.unwrap();
    ring.keep("A_KEY", "sk-2").await.unwrap();
    assert_eq!(ring.read("A_KEY").await.unwrap().as_deref(), Some("sk-2"));
    assert!(ring.forget("A_KEY").await.unwrap());
    assert!(!ring.forget("A_KEY").await.unwrap());
    assert_eq!(state.lock().unwrap().items, [("B_KEY".to_owned(), "sk-b".to_owned())]);
    assert_eq!(state.lock().unwrap().asked, 0);
}

#[tokio::test]
async fn a_locked_ring_asks_the_person_when_something_is_kept_and_never_when_it_is_only_read() {
    let (ring, state) = ring(State { locked: true, ..holding("A_KEY", "sk-1") }).await;
    assert!(matches!(ring.read("A_KEY").await, Err(RingError::Locked)));
    assert_eq!(state.lock().unwrap().asked, 0);
    ring.keep("A_KEY", "sk-2").await.unwrap();
    assert_eq!(state.lock().unwrap().asked, 1);
    assert_eq!(ring.read("A_KEY").await.unwrap().as_deref(), Some("sk-2"));
}

#[tokio::test]
async fn a_person_who_does_not_unlock_it_keeps_it_as_it_was() {
    let (ring, state) = ring(State { locked: true, dismisses: true, ..holding("A_KEY", "sk-1") }).await;
    assert!(matches!(ring.keep("A_KEY", "sk-2").await, Err(RingError::Locked)));
    assert!(matches!(ring.forget("A_KEY").await, Err(RingError::Locked)));
    assert_eq!(state.lock().unwrap().items, [("A_KEY".to_owned(), "sk-1".to_owned())]);
}

#[tokio::test]
async fn without_a_default_ring_nothing_is_kept_anywhere() {
    let (ring, state) = ring(State { without_default: true, ..State::default() }).await;
    assert!(matches!(ring.keep("A_KEY", "sk-2").await, Err(RingError::Silent(_))));
    let calls = state.lock().unwrap().calls.clone();
    assert_eq!(calls, ["Service.OpenSession", "Service.ReadAlias"]);
}
