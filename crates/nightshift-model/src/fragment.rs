//! Conversations as JSON for a provider, of which each message is translated once.
//!
//! A conversation is sent whole with every turn and grows at its end, so it is kept as it was sent, and a message is known
//! again by its `Arc`. With many small messages what is done for each in every turn is what a turn costs: those that were
//! sent before are neither looked at nor counted again, only their addresses are compared. What differs from turn to turn,
//! such as the cache mark on the newest messages, is put in at a place that is remembered with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use nightshift_protocol::{ArtifactId, Image, Message};
use serde::Serialize;

use crate::{ImageSource, TurnRequest, Unsendable};

/// A message as JSON: one item of the list that the provider reads, or several with commas between them.
#[derive(Debug)]
pub(crate) struct Fragment {
    pub(crate) json: Bytes,
    /// Where a cache mark may be put in: behind the last field of the last block. `None` where none fits.
    pub(crate) mark_at: Option<usize>,
    /// The pictures in it.
    pub(crate) pictures: Pictures,
}

/// Pictures by number and size.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pictures {
    pub(crate) count: usize,
    /// The picture with the longest edge, and that edge in pixels.
    pub(crate) longest: Option<(ArtifactId, u32)>,
}

impl Pictures {
    /// Reads a picture and encodes it.
    pub(crate) async fn read(
        &mut self,
        image: &Image,
        images: &dyn ImageSource,
        limit: usize,
    ) -> Result<String, Unsendable> {
        let artifact = || image.artifact.clone();
        let bytes = images
            .read(image)
            .await
            .map_err(|source| Unsendable::ImageUnreadable { artifact: artifact(), source })?;
        let data = BASE64.encode(&bytes);
        if data.len() > limit {
            return Err(Unsendable::ImageTooHeavy { artifact: artifact(), bytes: data.len(), limit });
        }
        self.count += 1;
        let edge = image.width.max(image.height);
        if self.longest.as_ref().is_none_or(|(_, longest)| edge > *longest) {
            self.longest = Some((artifact(), edge));
        }
        Ok(data)
    }
}

/// A conversation as JSON: its messages one behind the other, with commas between them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Translated {
    json: Vec<u8>,
    parts: Vec<Part>,
}

/// A message of it.
#[derive(Debug, Clone)]
struct Part {
    /// It is only asked for its address, and keeps that from being used again: an address means what it meant.
    message: Weak<Message>,
    /// Where its JSON begins and ends.
    place: Range<usize>,
    mark_at: Option<usize>,
    pictures: Pictures,
}

impl Part {
    fn is_of(&self, message: &Arc<Message>) -> bool {
        std::ptr::eq(self.message.as_ptr(), Arc::as_ptr(message))
    }
}

impl Translated {
    /// How many of its first messages are the first of these. No message is looked at, only where it is.
    fn shared_with(&self, messages: &[Arc<Message>]) -> usize {
        self.parts.iter().zip(messages).take_while(|(part, message)| part.is_of(message)).count()
    }

    fn push(&mut self, message: &Arc<Message>, fragment: &Fragment) {
        if !self.parts.is_empty() {
            self.json.push(b',');
        }
        let begin = self.json.len();
        self.json.extend_from_slice(&fragment.json);
        self.parts.push(Part {
            message: Arc::downgrade(message),
            place: begin..self.json.len(),
            mark_at: fragment.mark_at,
            pictures: fragment.pictures.clone(),
        });
    }

    /// Takes off all but its first messages.
    fn split_off(&mut self, first: usize) -> Rest {
        let before = first.checked_sub(1).and_then(|last| self.parts.get(last)).cloned();
        let begin = before.as_ref().map_or(0, |part| part.place.end);
        let rest =
            Rest { before, parts: self.parts.split_off(first), json: self.json.split_off(begin), begin };
        // What is taken off was much, where pictures were.
        self.json.shrink_to(2 * begin);
        rest
    }

    /// The pictures of each message.
    pub(crate) fn pictures(&self) -> impl Iterator<Item = &Pictures> {
        self.parts.iter().map(|part| &part.pictures)
    }

    /// Where in its JSON a mark may be put in, the newest such place first.
    pub(crate) fn marks(&self) -> impl Iterator<Item = usize> {
        self.parts.iter().rev().filter_map(|part| Some(part.place.start + part.mark_at?))
    }

    /// Whether somebody still has the conversation: all who do have its first message.
    fn is_had(&self) -> bool {
        self.parts.first().is_some_and(|part| part.message.strong_count() > 0)
    }
}

/// The end of a conversation that goes on in another way now: most of its messages come again, behind one that changed.
#[derive(Debug)]
struct Rest {
    before: Option<Part>,
    parts: Vec<Part>,
    json: Vec<u8>,
    /// Where its JSON began.
    begin: usize,
}

impl Rest {
    /// A message's fragment, if it stood behind the same one.
    fn find(&self, before: Option<&Arc<Message>>, message: &Arc<Message>) -> Option<Fragment> {
        let befores = std::iter::once(self.before.as_ref()).chain(self.parts.iter().map(Some));
        let (_, part) = befores.zip(&self.parts).find(|(before_it, part)| {
            let follows = match (before_it, before) {
                (Some(part), Some(before)) => part.is_of(before),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            follows && part.is_of(message)
        })?;
        let json = self.json.get(part.place.start - self.begin..part.place.end - self.begin)?;
        let (mark_at, pictures) = (part.mark_at, part.pictures.clone());
        Some(Fragment { json: Bytes::copy_from_slice(json), mark_at, pictures })
    }
}

/// After so many new bytes it is looked which conversations nobody has any more; a picture has hundreds of kilobytes.
const NEW_BYTES: usize = 1 << 20;
/// A message counts as so many bytes more.
const OVERHEAD: usize = 1 << 10;

/// Conversations as they were sent last, by where their first message is.
#[derive(Debug, Default)]
pub(crate) struct Conversations {
    kept: HashMap<usize, Vec<Arc<Translated>>>,
    /// Bytes that came in since it was last looked which of them nobody has any more.
    new_bytes: usize,
}

impl Conversations {
    /// Takes out the conversation that begins most like these messages, and how many of its first messages are theirs.
    fn take(&mut self, messages: &[Arc<Message>]) -> Option<(Arc<Translated>, usize)> {
        let Entry::Occupied(mut alike) = self.kept.entry(first_of(messages)?) else { return None };
        let shared = alike.get().iter().map(|one| one.shared_with(messages));
        let (best, shared) = shared.enumerate().max_by_key(|(_, shared)| *shared)?;
        let taken = alike.get_mut().swap_remove(best);
        if alike.get().is_empty() {
            alike.remove();
        }
        Some((taken, shared))
    }

    /// Keeps a conversation of these messages, of which `new_bytes` are new.
    fn put(&mut self, messages: &[Arc<Message>], translated: Arc<Translated>, new_bytes: usize) {
        let Some(first) = first_of(messages) else { return };
        let alike = self.kept.entry(first).or_default();
        // Somebody else may have asked for the same meanwhile.
        alike.retain(|one| one.shared_with(messages) < one.parts.len());
        alike.push(translated);
        self.new_bytes += new_bytes;
        if self.new_bytes >= NEW_BYTES {
            self.forget_dropped();
        }
    }

    /// Forgets the conversations that nobody has any more.
    fn forget_dropped(&mut self) {
        self.kept.retain(|_, alike| alike.iter().any(|one| one.is_had()));
        self.new_bytes = 0;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}

fn first_of(messages: &[Arc<Message>]) -> Option<usize> {
    messages.first().map(|message| Arc::as_ptr(message).addr())
}

/// Turns messages into an API's form.
#[async_trait]
pub(crate) trait Translate: Send + Sync {
    /// Translates a message; `before` is the one before it in the conversation, `index` its place, for errors.
    async fn translate(
        &self,
        before: Option<&Message>,
        message: &Message,
        index: usize,
        images: &dyn ImageSource,
    ) -> Result<Fragment, Unsendable>;
}

/// A conversation as JSON, of which only what is new is translated.
pub(crate) async fn translated(
    translate: &dyn Translate,
    request: &TurnRequest,
    remembered: &Mutex<Conversations>,
    images: &dyn ImageSource,
) -> Result<Arc<Translated>, Unsendable> {
    let lock = || remembered.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut conversation, shared) = lock().take(&request.messages).unwrap_or_default();
    // It is nobody else's, but while the same conversation is asked for twice.
    let whole = Arc::make_mut(&mut conversation);
    let rest = (shared < whole.parts.len()).then(|| whole.split_off(shared));
    let (mut before, mut new_bytes) = (None, 0);
    for (index, message) in request.messages.iter().enumerate() {
        if index >= shared {
            let known = rest.as_ref().and_then(|rest| rest.find(before, message));
            let fragment = match known {
                Some(known) => known,
                None => {
                    let before_it = before.map(|before: &Arc<Message>| &**before);
                    let fragment = translate.translate(before_it, message, index, images).await?;
                    new_bytes += fragment.json.len() + OVERHEAD;
                    fragment
                }
            };
            whole.push(message, &fragment);
        }
        before = Some(message);
    }
    lock().put(&request.messages, Arc::clone(&conversation), new_bytes);
    Ok(conversation)
}

/// Puts a body together: the fields of `head`, then the list `field` with `first` and the conversation, which has `mark` at
/// the places `marked`.
pub(crate) fn assemble(
    head: &str,
    field: &str,
    first: Option<&str>,
    conversation: &Translated,
    mut marked: Vec<usize>,
    mark: &str,
    limit: usize,
) -> Result<Bytes, Unsendable> {
    marked.sort_unstable();
    let open = head.strip_suffix('}').unwrap_or(head);
    let json = &conversation.json;
    let size =
        open.len() + field.len() + first.map_or(0, str::len) + json.len() + marked.len() * mark.len() + 8;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(open.as_bytes());
    body.extend_from_slice(format!(",\"{field}\":[").as_bytes());
    if let Some(first) = first {
        body.extend_from_slice(first.as_bytes());
        if !conversation.parts.is_empty() {
            body.push(b',');
        }
    }
    let mut from = 0;
    for place in marked {
        body.extend_from_slice(&json[from..place]);
        body.extend_from_slice(mark.as_bytes());
        from = place;
    }
    body.extend_from_slice(&json[from..]);
    body.extend_from_slice(b"]}");
    if body.len() > limit {
        return Err(Unsendable::TooLarge { limit });
    }
    Ok(body.into())
}

/// Serialisation of the types it is used with cannot fail: they have no maps with keys that are not text.
pub(crate) fn json_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
