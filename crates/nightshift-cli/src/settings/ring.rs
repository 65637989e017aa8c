//! The key ring of the desktop, over the session bus (Secret Service API, draft 0.2, of freedesktop.org).
//!
//! Secrets go over the bus as they are (the algorithm `plain`): the bus is a socket of this user's alone, and who can
//! read it can ask the key ring itself.

use std::collections::HashMap;
use std::num::NonZero;
use std::time::Duration;

use futures_util::StreamExt;
use serde::Serialize;
use zbus::message::Type;
use zbus::{
    Connection, MatchRule, Message, MessageStream, ObjectPath, OwnedObjectPath, OwnedVariant, Variant,
};

const NAME: &str = "org.freedesktop.secrets";
const PATH: &str = "/org/freedesktop/secrets";
const SERVICE: &str = "org.freedesktop.Secret.Service";
const COLLECTION: &str = "org.freedesktop.Secret.Collection";
const ITEM: &str = "org.freedesktop.Secret.Item";
const PROMPT: &str = "org.freedesktop.Secret.Prompt";

/// What stands for no object.
const NOTHING: &str = "/";

/// How long a person may take to unlock the key ring.
const PERSON_WITHIN: Duration = Duration::from_secs(90);

/// Why the key ring did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RingError {
    /// There is none, or it does not speak as it should.
    #[error("the key ring does not answer: {0}")]
    Silent(#[from] zbus::Error),
    /// It is locked, and nobody unlocked it.
    #[error("the key ring is locked, and was not unlocked")]
    Locked,
}

/// A secret as it goes over the bus: session, parameters of its algorithm, bytes, and their type.
type Secret = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// An open session with the key ring.
#[derive(Debug)]
pub(crate) struct Ring {
    bus: Connection,
    session: OwnedObjectPath,
}

impl Ring {
    /// Opens a session.
    pub(crate) async fn open(bus: Connection) -> Result<Self, RingError> {
        let answer = call(&bus, PATH, SERVICE, "OpenSession", &("plain", Variant::from(""))).await?;
        let (_, session) = answer.body().deserialize::<(OwnedVariant, OwnedObjectPath)>()?;
        Ok(Self { bus, session })
    }

    /// Reads a key; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`RingError::Locked`] where it is in a locked part of the ring: nobody is asked to unlock it.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<String>, RingError> {
        let (open, locked) = self.items(name).await?;
        let Some(item) = open.first() else {
            return if locked.is_empty() { Ok(None) } else { Err(RingError::Locked) };
        };
        let answer = call(&self.bus, item, ITEM, "GetSecret", &(&self.session,)).await?;
        let ((_, _, bytes, _),) = answer.body().deserialize::<(Secret,)>()?;
        Ok(String::from_utf8(bytes).ok())
    }

    /// Keeps a key in the place of the one there was, in the ring that is the default one.
    pub(crate) async fn keep(&self, name: &str, key: &str) -> Result<(), RingError> {
        let answer = call(&self.bus, PATH, SERVICE, "ReadAlias", &("default",)).await?;
        let (collection,) = answer.body().deserialize::<(OwnedObjectPath,)>()?;
        if collection.as_str() == NOTHING {
            return Err(RingError::Silent(zbus::Error::Failure("there is no default key ring".to_owned())));
        }
        self.unlock(&[&collection]).await?;
        let label = format!("Nightshift: {name}");
        let properties = HashMap::from([
            ("org.freedesktop.Secret.Item.Label", Variant::from(label)),
            ("org.freedesktop.Secret.Item.Attributes", Variant::from(attributes(name))),
        ]);
        let secret = (&self.session, Vec::<u8>::new(), key.as_bytes().to_vec(), "text/plain");
        let answer =
            call(&self.bus, &collection, COLLECTION, "CreateItem", &(properties, secret, true)).await?;
        let (_, prompt) = answer.body().deserialize::<(OwnedObjectPath, OwnedObjectPath)>()?;
        self.ask_person(&prompt).await
    }

    /// Forgets a key. Returns whether there was one.
    pub(crate) async fn forget(&self, name: &str) -> Result<bool, RingError> {
        let (mut items, locked) = self.items(name).await?;
        if !locked.is_empty() {
            self.unlock(&locked.iter().collect::<Vec<_>>()).await?;
            items.extend(locked);
        }
        for item in &items {
            let answer = call(&self.bus, item, ITEM, "Delete", &()).await?;
            let (prompt,) = answer.body().deserialize::<(OwnedObjectPath,)>()?;
            self.ask_person(&prompt).await?;
        }
        Ok(!items.is_empty())
    }

    /// The items of a name: those that are open, and those that are locked.
    async fn items(&self, name: &str) -> Result<(Vec<OwnedObjectPath>, Vec<OwnedObjectPath>), RingError> {
        let answer = call(&self.bus, PATH, SERVICE, "SearchItems", &(attributes(name),)).await?;
        Ok(answer.body().deserialize()?)
    }

    async fn unlock(&self, objects: &[&OwnedObjectPath]) -> Result<(), RingError> {
        let answer = call(&self.bus, PATH, SERVICE, "Unlock", &(objects,)).await?;
        let (_, prompt) = answer.body().deserialize::<(Vec<OwnedObjectPath>, OwnedObjectPath)>()?;
        self.ask_person(&prompt).await
    }

    /// Has the key ring ask the person, where it wants to, and waits for the answer.
    async fn ask_person(&self, prompt: &OwnedObjectPath) -> Result<(), RingError> {
        if prompt.as_str() == NOTHING {
            return Ok(());
        }
        let rule = MatchRule::builder().msg_type(Type::Signal).interface(PROMPT).path(prompt.as_str());
        let rule = rule.member("Completed").build()?;
        let mut signals = MessageStream::for_match_rule(rule, &self.bus, NonZero::new(4)).await?;
        call(&self.bus, prompt, PROMPT, "Prompt", &("",)).await?;
        let Ok(Some(Ok(signal))) = tokio::time::timeout(PERSON_WITHIN, signals.next()).await else {
            return Err(RingError::Locked);
        };
        let (dismissed, _) = signal.body().deserialize::<(bool, OwnedVariant)>()?;
        if dismissed { Err(RingError::Locked) } else { Ok(()) }
    }
}

/// What an item of ours is found by.
fn attributes(name: &str) -> HashMap<&str, &str> {
    HashMap::from([("application", "nightshift"), ("key", name)])
}

async fn call<'p, B>(
    bus: &Connection,
    path: impl TryInto<ObjectPath<'p>, Error: Into<zbus::Error>>,
    interface: &str,
    method: &str,
    body: &B,
) -> zbus::Result<Message>
where
    B: Serialize + zbus::DynamicType,
{
    bus.call_method(Some(NAME), path, Some(interface), method, body).await
}
