//! Streams of events (WHATWG HTML, section 9.2), of which only so much is taken in.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sse_stream::{Error, Sse, SseStream};

use super::error::HttpError;
use super::exchange::Open;
use super::transport::State;
use crate::admission::LONGEST_MESSAGE;

/// How much longer than its message an event may be, in bytes: for names, ids and the starts of lines.
const ROOM: usize = 64 * 1024;

/// Bytes of one event so far, counted as they come.
#[derive(Debug, Default)]
struct Length {
    event: usize,
    line: usize,
    after_return: bool,
}

impl Length {
    /// Takes the next bytes in; `None` where an event has become too long.
    fn take(&mut self, bytes: &[u8]) -> Option<()> {
        for byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.after_return) => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    if std::mem::take(&mut self.line) == 0 {
                        self.event = 0;
                    }
                }
                _ => {
                    self.after_return = false;
                    self.line += 1;
                    self.event += 1;
                }
            }
            if self.event > LONGEST_MESSAGE + ROOM {
                return None;
            }
        }
        Some(())
    }
}

/// The events of an answer, with those messages alone that somebody waits for; it ends with the first that is too long, and when
/// too much came that nobody asked for.
pub(super) fn events(
    body: Incoming,
    open: Open,
    state: Arc<State>,
    lists: bool,
) -> BoxStream<'static, Result<Sse, Error>> {
    let mut length = Length::default();
    let counting = Arc::clone(&state);
    let bytes = body.into_data_stream().map(move |bytes: Result<Bytes, hyper::Error>| {
        // Held as long as bytes come.
        let _open = &open;
        let bytes = bytes.map_err(io::Error::other)?;
        match length.take(&bytes) {
            Some(()) => Ok(bytes),
            None => {
                counting.trouble(HttpError::TooLong { most: LONGEST_MESSAGE });
                Err(io::Error::other("an event is too long"))
            }
        }
    });
    let events = SseStream::from_bytes_stream(bytes);
    let events = events.scan(false, move |ended, event| {
        let last = std::mem::replace(ended, event.is_err() || state.is_flooded());
        std::future::ready((!last).then(|| event.map(|event| heard(event, &state, lists))))
    });
    events.boxed()
}

/// An event without what nobody waits for; where the stream can be taken up again stays in it.
fn heard(event: Sse, state: &State, lists: bool) -> Sse {
    let Some(data) = &event.data else { return event };
    if lists && !state.has_room_for_list(data.len()) {
        return Sse { data: None, ..event };
    }
    let is_message = matches!(event.event.as_deref(), None | Some("" | "message"));
    let message = is_message.then(|| state.admit(data.as_bytes())).flatten();
    let data = message.and_then(|message| serde_json::to_string(&message).ok());
    Sse { event: None, data, ..event }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_as_long_as_its_lines_and_the_next_begins_anew() {
        let mut length = Length::default();
        let half = vec![b'x'; LONGEST_MESSAGE / 2];
        for ending in [b"\n\n".as_slice(), b"\r\n\r\n", b"\r\r"] {
            for _ in 0..4 {
                assert_eq!(length.take(&half), Some(()));
                assert_eq!(length.take(ending), Some(()));
            }
        }
        assert_eq!(length.take(&half), Some(()));
        assert_eq!(length.take(b"\r\ndata: "), Some(()));
        assert_eq!(length.take(&half), Some(()));
        assert_eq!(length.take(&[b'x'; ROOM]), None);
    }

    #[test]
    fn a_stream_of_comments_is_an_event_too() {
        let mut length = Length::default();
        let comments = b": still here\n".repeat(1_000);
        let taken = (0..1_000).take_while(|_| length.take(&comments).is_some()).count();
        assert!((300..400).contains(&taken), "{taken}");
    }
}
