//! Bytes on their way to a program, without the key in them: a provider may say in an error what it was shown.

/// Replaces a key in a stream of bytes, wherever the network cut it.
#[derive(Debug)]
pub(crate) struct Hider {
    key: Vec<u8>,
    /// Bytes that may be the beginning of the key.
    held: Vec<u8>,
}

impl Hider {
    /// Hides this key; an empty one hides nothing.
    pub(crate) fn new(key: &[u8]) -> Self {
        Self { key: key.to_vec(), held: Vec::new() }
    }

    /// Whether the key is in the bytes.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> bool {
        !self.key.is_empty() && bytes.windows(self.key.len()).any(|part| part == self.key)
    }

    /// Takes the next bytes and gives those that are known to be harmless.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        if self.key.is_empty() {
            return bytes.to_vec();
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(found) = find(all.get(at..).unwrap_or_default(), &self.key) {
            let begin = at + found;
            all.splice(begin..begin + self.key.len(), b"[hidden]".iter().copied());
            at = begin + b"[hidden]".len();
        }
        // What was put in the key's place is not looked at again.
        let may_hold = all.len().saturating_sub(at).min(self.key.len() - 1);
        let held =
            (1..=may_hold).rev().find(|length| all.ends_with(self.key.get(..*length).unwrap_or_default()));
        self.held = all.split_off(all.len() - held.unwrap_or(0));
        all
    }

    /// What was held back, at the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

impl Drop for Hider {
    fn drop(&mut self) {
        self.key.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &[u8] = b"sk-aab";

    fn passed(parts: &[&[u8]]) -> Vec<u8> {
        let mut hider = Hider::new(KEY);
        let mut all: Vec<u8> = parts.iter().flat_map(|part| hider.pass(part)).collect();
        all.extend(hider.rest());
        all
    }

    #[test]
    fn a_key_is_hidden_however_the_stream_is_cut() {
        assert_eq!(passed(&[b"you sent sk-aab!"]), b"you sent [hidden]!");
        assert_eq!(passed(&[b"you sent s", b"k", b"-a", b"ab!"]), b"you sent [hidden]!");
        assert_eq!(passed(&[b"sk-aabsk-aab"]), b"[hidden][hidden]");
    }

    #[test]
    fn what_only_begins_like_the_key_is_passed_whole() {
        assert_eq!(passed(&[b"sk-aa", b"c sk-", b"sk-aa"]), b"sk-aac sk-sk-aa");
        assert_eq!(passed(&[b"ssk-aab"]), b"s[hidden]");
    }

    #[test]
    fn without_a_key_nothing_is_touched() {
        let mut hider = Hider::new(b"");
        assert_eq!(
            (hider.pass(b"as it is"), hider.rest(), hider.is_in(b"x")),
            (b"as it is".to_vec(), vec![], false)
        );
    }

    proptest! {
        #[test]
        fn the_key_is_in_no_stream_and_nothing_else_is_lost(
            text in "[sk\\-ab ]{0,60}",
            cuts in proptest::collection::vec(0_usize..60, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut <= text.len()).collect();
            cuts.push(text.len());
            cuts.sort_unstable();
            let mut parts = Vec::new();
            let mut from = 0;
            for cut in cuts {
                parts.push(&text.as_bytes()[from..cut]);
                from = cut;
            }
            let shown = passed(&parts);
            prop_assert!(!Hider::new(KEY).is_in(&shown));
            prop_assert_eq!(String::from_utf8(shown).unwrap(), text.replace("sk-aab", "[hidden]"));
        }
    }
}
