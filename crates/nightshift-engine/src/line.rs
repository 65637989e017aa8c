//! A program's output, cut into lines: each is one message of JSON-RPC.

/// The longest line that is taken, in bytes: a picture, or the whole text of a large file.
pub const LONGEST_LINE: usize = 16 * 1024 * 1024;

/// A line grew beyond [`LONGEST_LINE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of it is longer than {LONGEST_LINE} bytes")]
pub struct TooLong;

/// Cuts bytes into lines, wherever the channel cut them.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes and gives the lines that are whole now, without their ends and without empty ones.
    ///
    /// # Errors
    ///
    /// [`TooLong`]; nothing that follows can be told apart.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut whole = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.extend(line)?;
            let line = std::mem::take(&mut self.begun);
            if line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                whole.push(line);
            }
            rest = after.get(1..).unwrap_or_default();
        }
        self.extend(rest)?;
        Ok(whole)
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        if self.begun.len() + bytes.len() > LONGEST_LINE {
            self.begun = Vec::new();
            return Err(TooLong);
        }
        self.begun.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_whole_when_its_end_has_come() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"{\"a\":"), Ok(Vec::new()));
        assert_eq!(lines.push(b"1}\n\r\n\n{"), Ok(vec![b"{\"a\":1}".to_vec()]));
        assert_eq!(lines.push(b"}\n"), Ok(vec![b"{}".to_vec()]));
    }

    #[test]
    fn a_line_that_does_not_end_is_not_kept() {
        let mut lines = Lines::default();
        let part = vec![b'x'; LONGEST_LINE / 2];
        assert_eq!((lines.push(&part), lines.push(&part)), (Ok(Vec::new()), Ok(Vec::new())));
        assert_eq!(lines.push(b"x"), Err(TooLong));
        assert_eq!(lines.begun.capacity(), 0);
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_were_cut(text in "[a-c\n]{0,40}", size in 1_usize..9) {
            let mut lines = Lines::default();
            let mut cut = Vec::new();
            for part in text.as_bytes().chunks(size) {
                cut.extend(lines.push(part).unwrap());
            }
            let ended = text.rfind('\n').map_or("", |end| &text[..end]);
            let expected: Vec<Vec<u8>> =
                ended.split('\n').filter(|line| !line.is_empty()).map(|line| line.as_bytes().to_vec()).collect();
            prop_assert_eq!(cut, expected);
        }
    }
}
