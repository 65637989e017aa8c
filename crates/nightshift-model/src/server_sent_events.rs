//! A parser of server-sent events (WHATWG HTML, section 9.2.6), fed with bytes as they arrive.

use std::collections::VecDeque;

/// One event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerSentEvent {
    /// The `event` field; empty where there was none.
    pub(crate) name: String,
    /// The `data` fields, joined by line breaks.
    pub(crate) data: String,
}

/// An event or a line grew beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventTooLong;

/// Cuts a stream of bytes into events, wherever the network cut the bytes.
#[derive(Debug)]
pub(crate) struct EventReader {
    limit: usize,
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed right behind it ends no second line.
    after_return: bool,
    name: String,
    data: String,
    has_data: bool,
    ready: VecDeque<ServerSentEvent>,
}

impl EventReader {
    /// Begins a stream in which no event may be longer than `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            after_return: false,
            name: String::new(),
            data: String::new(),
            has_data: false,
            ready: VecDeque::new(),
        }
    }

    /// Takes the next bytes of the stream.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> Result<(), EventTooLong> {
        if std::mem::take(&mut self.after_return) {
            match bytes.split_first() {
                Some((b'\n', rest)) => bytes = rest,
                Some(_) => {}
                // Nothing came, so it is still to be seen.
                None => self.after_return = true,
            }
        }
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(bytes.len());
            let (part, rest) = bytes.split_at(end);
            if self.line.len() + self.data.len() + part.len() > self.limit {
                return Err(EventTooLong);
            }
            self.line.extend_from_slice(part);
            bytes = match rest {
                [] => rest,
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => {
                    self.end_line();
                    rest
                }
            };
            self.after_return = bytes.is_empty() && rest == b"\r";
        }
        Ok(())
    }

    /// Gives the next whole event.
    pub(crate) fn next(&mut self) -> Option<ServerSentEvent> {
        self.ready.pop_front()
    }

    fn end_line(&mut self) {
        let mut bytes = std::mem::take(&mut self.line);
        self.take_line(&String::from_utf8_lossy(&bytes));
        // The next line has its memory.
        bytes.clear();
        self.line = bytes;
    }

    fn take_line(&mut self, line: &str) {
        if line.is_empty() {
            let event = ServerSentEvent {
                name: std::mem::take(&mut self.name),
                data: std::mem::take(&mut self.data),
            };
            if std::mem::take(&mut self.has_data) {
                self.ready.push_back(event);
            }
            return;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field.trim_start_matches('\u{feff}') {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push('\n');
                }
                self.data.push_str(value);
            }
            // `id` and `retry` serve reconnecting, which a model's answer has not; anything else is a comment.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(parts: &[&[u8]]) -> Vec<(String, String)> {
        let mut reader = EventReader::new(1000);
        for part in parts {
            reader.push(part).unwrap();
        }
        std::iter::from_fn(|| reader.next()).map(|event| (event.name, event.data)).collect()
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn an_event_is_complete_at_its_empty_line_and_not_before() {
        assert_eq!(read(&[b"event: ping\ndata: {}\n"]), []);
        assert_eq!(read(&[b"event: ping\ndata: {}\n", b"\n"]), [event("ping", "{}")]);
    }

    #[test]
    fn several_data_lines_are_one_text() {
        assert_eq!(read(&[b"data: a\ndata:b\ndata\n\n"]), [event("", "a\nb\n")]);
    }

    #[test]
    fn comments_and_unknown_fields_and_a_byte_order_mark_are_passed_over() {
        let stream = "\u{feff}event: a\n: keep alive\nid: 7\nretry: 1\ndata: 1\n\n: only a comment\n\n";
        assert_eq!(read(&[stream.as_bytes()]), [event("a", "1")]);
    }

    #[test]
    fn an_event_beyond_the_limit_is_refused_whether_in_one_line_or_in_many() {
        assert_eq!(EventReader::new(10).push(b"data: 123456"), Err(EventTooLong));
        assert_eq!(EventReader::new(20).push(b"data: 1234\ndata: 1234\ndata: 1234\n"), Ok(()));
        assert_eq!(
            EventReader::new(20).push(b"data: 123456\ndata: 123456\ndata: 123456\n"),
            Err(EventTooLong)
        );
    }

    proptest! {
        #[test]
        fn events_are_the_same_wherever_the_bytes_are_cut_and_however_lines_end(
            cuts in proptest::collection::vec(0_usize..60, 0..8),
            ending in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
        ) {
            let stream = "event: a\ndata: größer\ndata: 2\n\nevent: b\ndata: {}\n\n".replace('\n', ending);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.push(stream.len());
            cuts.sort_unstable();
            let mut start = 0;
            let parts: Vec<&[u8]> = cuts
                .into_iter()
                .map(|cut| &stream.as_bytes()[std::mem::replace(&mut start, cut)..cut])
                .collect();
            prop_assert_eq!(read(&parts), [event("a", "größer\n2"), event("b", "{}")]);
        }
    }
}
