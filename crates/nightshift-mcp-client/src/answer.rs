//! What a tool answers, in parts that are bounded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use crate::text::line;

/// Bytes of text of one answer; more is left out.
const MOST_TEXT: usize = 1024 * 1024;

/// Things left out of one answer that are told.
const MOST_NOTES: usize = 10;

/// Pictures of one answer.
const MOST_PICTURES: usize = 4;

/// What a tool answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its parts, in order.
    pub parts: Vec<Part>,
    /// Whether it says of itself that it failed.
    pub failed: bool,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Words of the server.
    Text(String),
    /// What it says is a picture. Nobody has looked into it.
    Picture {
        /// The bytes.
        bytes: Vec<u8>,
        /// What it says they are, for example `image/png`.
        media_type: String,
    },
    /// What is said of something that is left out. The server wrote no word of it.
    Note(String),
}

impl Answer {
    pub(crate) fn of(result: CallToolResult) -> Self {
        let failed = result.is_error.unwrap_or(false);
        let mut gathered = Gathered { parts: Vec::new(), room: MOST_TEXT, pictures: 0 };
        let has_content = !result.content.is_empty();
        for block in result.content {
            gathered.take(block);
        }
        // Where there is both, the one is the other in words.
        if let Some(value) = result.structured_content.filter(|_| !has_content) {
            gathered.text(value.to_string());
        }
        Self { parts: gathered.parts, failed }
    }

    /// An answer in a form that is not known: as it is, for a reader who makes something of it.
    pub(crate) fn in_other_words(value: &serde_json::Value) -> Self {
        let mut gathered = Gathered { parts: Vec::new(), room: MOST_TEXT, pictures: 0 };
        gathered.text(value.to_string());
        Self { parts: gathered.parts, failed: value["isError"] == true }
    }
}

struct Gathered {
    parts: Vec<Part>,
    room: usize,
    pictures: usize,
}

impl Gathered {
    fn take(&mut self, block: ContentBlock) {
        match block {
            ContentBlock::Text(text) => self.text(text.text),
            ContentBlock::Image(image) => self.picture(&image.data, &image.mime_type),
            ContentBlock::Audio(audio) => self.note(format!(
                "a sound, {}, about {} bytes, cannot be heard here",
                kind(&audio.mime_type),
                audio.data.len() / 4 * 3
            )),
            ContentBlock::Resource(resource) => match resource.resource {
                ResourceContents::TextResourceContents { text, .. } => self.text(text),
                ResourceContents::BlobResourceContents { blob, mime_type, .. } => {
                    match mime_type.as_deref() {
                        Some(picture) if picture.starts_with("image/") => self.picture(&blob, picture),
                        _ => self.note(format!(
                            "a file of about {} bytes cannot be read here",
                            blob.len() / 4 * 3
                        )),
                    }
                }
                _ => self.note("a file of a kind that is not known".to_owned()),
            },
            ContentBlock::ResourceLink(link) => {
                self.text(format!("{} {}", line(&link.name, 200), line(&link.uri, 2_000)));
            }
            _ => self.note("something of a kind that is not known".to_owned()),
        }
    }

    fn text(&mut self, text: String) {
        if text.len() <= self.room {
            self.room -= text.len();
            self.parts.push(Part::Text(text));
            return;
        }
        let end = (0..=self.room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let (kept, rest) = text.split_at(end);
        self.room = 0;
        if !kept.is_empty() {
            self.parts.push(Part::Text(kept.to_owned()));
        }
        self.note(format!("{} bytes of text more are left out", rest.len()));
    }

    fn picture(&mut self, encoded: &str, media_type: &str) {
        self.pictures += 1;
        if self.pictures > MOST_PICTURES {
            return self.note("a picture is one more than an answer may have".to_owned());
        }
        match STANDARD.decode(encoded) {
            Ok(bytes) => self.parts.push(Part::Picture { bytes, media_type: kind(media_type) }),
            Err(_) => self.note("a picture is not encoded as it has to be".to_owned()),
        }
    }

    fn note(&mut self, note: String) {
        // A server can say ten thousand such things.
        let is_new = self.parts.last() != Some(&Part::Note(note.clone()));
        let notes = self.parts.iter().filter(|part| matches!(part, Part::Note(_))).count();
        if is_new && notes < MOST_NOTES {
            self.parts.push(Part::Note(note));
        }
    }
}

/// A media type as it may be shown.
fn kind(media_type: &str) -> String {
    let fits =
        |character: &char| character.is_ascii_alphanumeric() || matches!(character, '/' | '+' | '.' | '-');
    media_type.chars().filter(fits).take(60).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn answer(result: Value) -> Answer {
        Answer::of(serde_json::from_value(result).unwrap())
    }

    fn text(text: &str) -> Part {
        Part::Text(text.to_owned())
    }

    #[test]
    fn words_and_pictures_come_in_their_order() {
        let found = answer(json!({"content": [
            {"type": "text", "text": "Before."},
            {"type": "image", "data": "AAEC", "mimeType": "image/png"},
            {"type": "text", "text": "After."},
        ]}));
        let picture = Part::Picture { bytes: vec![0, 1, 2], media_type: "image/png".to_owned() };
        assert_eq!(found, Answer { parts: vec![text("Before."), picture, text("After.")], failed: false });
    }

    #[test]
    fn a_failure_is_one() {
        let found = answer(json!({"content": [{"type": "text", "text": "No such table."}], "isError": true}));
        assert_eq!(found, Answer { parts: vec![text("No such table.")], failed: true });
    }

    #[test]
    fn structured_content_is_read_where_there_is_nothing_else() {
        assert_eq!(answer(json!({"structuredContent": {"rows": 2}})).parts, [text("{\"rows\":2}")]);
        let both = json!({"content": [{"type": "text", "text": "2 rows"}], "structuredContent": {"rows": 2}});
        assert_eq!(answer(both).parts, [text("2 rows")]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let found = answer(json!({"content": [
            {"type": "audio", "data": "AAAA", "mimeType": "audio/wav\u{1b}"},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "words"}},
            {"type": "resource", "resource": {"uri": "file:///b", "blob": "AAEC", "mimeType": "image/png"}},
            {"type": "resource", "resource": {"uri": "file:///c", "blob": "AAECAAEC"}},
            {"type": "resource_link", "uri": "file:///d", "name": "d"},
            {"type": "image", "data": "not base64!", "mimeType": "image/png"},
        ]}));
        let note = |note: &str| Part::Note(note.to_owned());
        assert_eq!(
            found.parts,
            [
                note("a sound, audio/wav, about 3 bytes, cannot be heard here"),
                text("words"),
                Part::Picture { bytes: vec![0, 1, 2], media_type: "image/png".to_owned() },
                note("a file of about 6 bytes cannot be read here"),
                text("d file:///d"),
                note("a picture is not encoded as it has to be"),
            ]
        );
    }

    #[test]
    fn too_many_pictures_are_not_taken() {
        let picture = json!({"type": "image", "data": "AAEC", "mimeType": "image/png"});
        let parts = answer(json!({"content": vec![picture; 9]})).parts;
        assert_eq!(parts.len(), MOST_PICTURES + 1);
        assert_eq!(
            parts.last(),
            Some(&Part::Note("a picture is one more than an answer may have".to_owned()))
        );
    }

    #[test]
    fn an_answer_in_an_unknown_form_is_read_as_it_is() {
        let found = Answer::in_other_words(&json!({"content": [{"type": "hologram"}], "isError": true}));
        let parts = vec![text(r#"{"content":[{"type":"hologram"}],"isError":true}"#)];
        assert_eq!(found, Answer { parts, failed: true });
    }

    proptest! {
        #[test]
        fn an_answer_never_has_more_text_than_it_may(sizes in prop::collection::vec(0_usize..600_000, 0..6), letter in prop::sample::select(vec!["a", "é", "🦀"])) {
            let blocks: Vec<Value> = sizes.iter().map(|size| json!({"type": "text", "text": letter.repeat(size / letter.len())})).collect();
            let given: usize = sizes.iter().map(|size| size / letter.len() * letter.len()).sum();
            let parts = answer(json!({"content": blocks})).parts;
            let kept: usize = parts.iter().map(|part| match part { Part::Text(text) => text.len(), _ => 0 }).sum();
            prop_assert!(kept <= MOST_TEXT);
            prop_assert!(given > MOST_TEXT || kept == given);
            prop_assert_eq!(given > MOST_TEXT, parts.iter().any(|part| matches!(part, Part::Note(_))));
        }
    }
}
