//! JSON of others, taken apart only where it holds no more than it should.

use nightshift_protocol::json_values;
use serde_json::Value;

/// Values that one text may hold: long conversations with many tools have some ten thousand.
pub(crate) const MOST_VALUES: usize = 200_000;

/// What a text says; nothing where it is no JSON, or holds more values than it may.
pub(crate) fn parsed(text: &[u8]) -> Option<Value> {
    (json_values(text) <= MOST_VALUES).then(|| serde_json::from_slice(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_very_many_values_is_not_taken_apart() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert!(parsed(list(MOST_VALUES).as_bytes()).is_some());
        assert!(parsed(list(MOST_VALUES + 1).as_bytes()).is_none());
        assert_eq!(parsed(b"{"), None);
    }
}
