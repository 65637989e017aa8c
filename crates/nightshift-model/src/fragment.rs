//! One message of a conversation as JSON for a provider, made once and remembered.
//!
//! A conversation is sent whole with every turn and only grows at its end, so a message is translated when it is
//! first seen and found again by its `Arc`. What differs from turn to turn, such as the cache mark on the newest
//! messages, is put in at a place that the fragment remembers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use nightshift_protocol::{ArtifactId, Image, Message};
use serde::Serialize;

use crate::{ImageSource, TurnRequest, Unsendable};

/// A message as JSON: one item of the list that the provider reads, or several with commas between them.
#[derive(Debug, Clone)]
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

/// After so many new bytes it is looked which fragments nobody needs any more; a picture has hundreds of kilobytes.
const NEW_BYTES: usize = 1 << 20;
/// A message counts as so many bytes more.
const OVERHEAD: usize = 1 << 10;

/// Fragments by the identity of their messages.
///
/// The key is the address of the message and of the one before it, because results are written in the form of the
/// calls they answer. A kept `Weak` keeps the address from being used again, so an address in the map means what it
/// meant when it was put in.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    kept: HashMap<(usize, usize), Kept>,
    /// Bytes that were put in since it was last looked which of them nobody has any more.
    new_bytes: usize,
}

#[derive(Debug)]
struct Kept {
    message: Weak<Message>,
    /// Only kept for its address.
    _before: Option<Weak<Message>>,
    fragment: Fragment,
}

impl Fragments {
    pub(crate) fn get(&self, before: Option<&Arc<Message>>, message: &Arc<Message>) -> Option<Fragment> {
        self.kept.get(&addresses(before, message)).map(|kept| kept.fragment.clone())
    }

    pub(crate) fn put(&mut self, before: Option<&Arc<Message>>, message: &Arc<Message>, fragment: Fragment) {
        self.new_bytes += fragment.json.len() + OVERHEAD;
        let kept = Kept { message: Arc::downgrade(message), _before: before.map(Arc::downgrade), fragment };
        self.kept.insert(addresses(before, message), kept);
    }

    /// Forgets the messages that nobody has any more.
    pub(crate) fn forget_dropped(&mut self) {
        self.kept.retain(|_, kept| kept.message.strong_count() > 0);
        self.new_bytes = 0;
    }

    /// The fragments of the messages up to the first that is not known.
    ///
    /// From time to time it forgets what nobody has: with every turn of each of many runs that would be work that grows
    /// with the number of runs.
    fn known(&mut self, messages: &[Arc<Message>]) -> Vec<Fragment> {
        if self.new_bytes >= NEW_BYTES {
            self.forget_dropped();
        }
        let mut fragments = Vec::with_capacity(messages.len());
        let mut before = None;
        for message in messages {
            let Some(fragment) = self.get(before, message) else { break };
            fragments.push(fragment);
            before = Some(message);
        }
        fragments
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}

fn addresses(before: Option<&Arc<Message>>, message: &Arc<Message>) -> (usize, usize) {
    let address = |message: &Arc<Message>| Arc::as_ptr(message).addr();
    (before.map_or(0, address), address(message))
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

/// Translates what is new in a conversation, and gives the fragments of all its messages.
pub(crate) async fn fragments(
    translate: &dyn Translate,
    request: &TurnRequest,
    remembered: &Mutex<Fragments>,
    images: &dyn ImageSource,
) -> Result<Vec<Fragment>, Unsendable> {
    let lock = || remembered.lock().unwrap_or_else(PoisonError::into_inner);
    let mut fragments = lock().known(&request.messages);
    let mut before = fragments.len().checked_sub(1).and_then(|last| request.messages.get(last));
    for (index, message) in request.messages.iter().enumerate().skip(fragments.len()) {
        let known = lock().get(before, message);
        let fragment = match known {
            Some(fragment) => fragment,
            None => {
                let before_it = before.map(|before: &Arc<Message>| &**before);
                let fragment = translate.translate(before_it, message, index, images).await?;
                lock().put(before, message, fragment.clone());
                fragment
            }
        };
        fragments.push(fragment);
        before = Some(message);
    }
    Ok(fragments)
}

/// Puts a body together: the fields of `head`, then the list `field` with `first` and all fragments, those at
/// `marked` with `mark` put in.
pub(crate) fn assemble(
    head: &str,
    field: &str,
    first: Option<&str>,
    fragments: &[Fragment],
    marked: &[usize],
    mark: &str,
    limit: usize,
) -> Result<Bytes, Unsendable> {
    let open = head.strip_suffix('}').unwrap_or(head);
    let size = fragments.iter().map(|fragment| fragment.json.len() + 1).sum::<usize>()
        + head.len()
        + first.map_or(0, str::len)
        + 200;
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(open.as_bytes());
    body.extend_from_slice(format!(",\"{field}\":[").as_bytes());
    let mut is_first = true;
    let mut separate = |body: &mut Vec<u8>| {
        if !std::mem::replace(&mut is_first, false) {
            body.push(b',');
        }
    };
    if let Some(first) = first {
        separate(&mut body);
        body.extend_from_slice(first.as_bytes());
    }
    for (index, fragment) in fragments.iter().enumerate() {
        separate(&mut body);
        match fragment.mark_at {
            Some(at) if marked.contains(&index) => {
                let (front, back) = fragment.json.split_at(at);
                body.extend_from_slice(front);
                body.extend_from_slice(mark.as_bytes());
                body.extend_from_slice(back);
            }
            _ => body.extend_from_slice(&fragment.json),
        }
    }
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
