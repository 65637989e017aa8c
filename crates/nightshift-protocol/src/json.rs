//! How much a text of JSON holds, told before it is taken apart.

/// Counts the values of a text of JSON, at least, by what parts them outside of its texts. Taken apart, each may cost a
/// hundred times the byte or two that it is written in: who takes texts from somebody who is not trusted looks first.
#[must_use]
pub fn json_values(text: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_outside_of_texts() {
        assert_eq!(json_values(br#"{"a": [1, 2], "b": "x,y[{\",", "c": {}}"#), 6);
        assert_eq!(json_values(b""), 0);
    }
}
