//! Values that this host holds, in the clothes they go about in.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

use super::{Secret, SecretFound};

/// A shorter value is not told from words.
const SHORTEST: usize = 8;

pub(super) struct Known {
    pub(super) name: String,
    pub(super) value: Secret,
    needles: Vec<String>,
}

impl Known {
    pub(super) fn new(name: String, value: &Secret) -> Option<Self> {
        let text = value.expose();
        if text.len() < SHORTEST {
            return None;
        }
        let mut needles = vec![text.to_owned(), percent(text), json(text)];
        needles.extend(base64(text));
        needles.sort();
        needles.dedup();
        Some(Self { name, value: value.clone(), needles })
    }

    pub(super) fn find<'a>(&'a self, text: &'a str) -> impl Iterator<Item = SecretFound> + 'a {
        let all = self.needles.iter().flat_map(move |needle| text.match_indices(needle.as_str()));
        all.map(|(at, found)| SecretFound {
            kind: self.name.clone(),
            range: at..at + found.len(),
            certain: true,
        })
    }
}

fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// What base64 makes of the value at each of the three places it can begin at within a group (RFC 4648, section 4),
/// without the characters that depend on what surrounds it.
fn base64(text: &str) -> impl Iterator<Item = String> + '_ {
    (0..3).filter_map(move |before| {
        let padded = [&vec![0; before], text.as_bytes()].concat();
        let encoded = BASE64_STANDARD_NO_PAD.encode(&padded);
        // A character holds six bits: the first that has none of what is before, up to the last that is whole.
        let from = (before * 8).div_ceil(6);
        let to = padded.len() * 8 / 6;
        (to.saturating_sub(from) >= SHORTEST).then(|| encoded[from..to].to_owned())
    })
}
