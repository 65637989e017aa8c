//! The table `search`: full-text search over what people and agents wrote, ran and saw.
//!
//! The newest finds come first: for who looks for something of last night that is the better order, and it is the
//! one SQLite gives without looking at every find (<https://sqlite.org/fts5.html>, "sorting by rowid").

use nightshift_protocol::{
    AssistantBlock, EventBody, ExcerptPart, Message, OffsetDateTime, ResultPart, SearchHit,
};
use rusqlite::{Connection, params};
use time::format_description::well_known::Rfc3339;

use crate::{ReadError, Store};

/// The most of one event that can be found, in characters: beginnings of outputs, whole descriptions.
const SEARCHABLE: usize = 4_000;

/// Words of a search that count; of more the rest is ignored.
const WORDS: usize = 8;

/// Characters of an excerpt before its first match, and in all.
const BEFORE: usize = 60;
const EXCERPT: usize = 240;

/// What is searched for: words that must all be there, the last one as a beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchWords(Vec<String>);

/// A place in a list of finds: where the part before ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchCursor(pub u64);

/// A part of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage {
    /// The finds, the newest first.
    pub hits: Vec<SearchHit>,
    /// Where the next part begins; `None` after the last.
    pub next: Option<SearchCursor>,
}

impl SearchWords {
    /// Reads words from what a person typed; `None` when there is none in it.
    pub fn of(text: &str) -> Option<Self> {
        let words: Vec<String> = words(text).take(WORDS).map(|(_, word)| word.to_lowercase()).collect();
        (!words.is_empty()).then_some(Self(words))
    }

    /// The query as FTS5 takes it. Every word is a string in quotes, so nothing in it is an operator.
    pub(crate) fn query(&self) -> String {
        let quoted: Vec<String> = self.0.iter().map(|word| format!("\"{word}\"")).collect();
        format!("{} *", quoted.join(" AND "))
    }

    /// The query for descriptions of tasks only.
    pub(crate) fn task_query(&self) -> String {
        format!("task : ({})", self.query())
    }

    fn matches(&self, word: &str) -> bool {
        let word = word.to_lowercase();
        let (last, others) = match self.0.split_last() {
            Some(split) => split,
            None => return false,
        };
        others.contains(&word) || word.starts_with(last.as_str())
    }

    /// A piece of `text` around the first match.
    fn excerpt(&self, text: &str) -> Vec<ExcerptPart> {
        let first = words(text).find(|(_, word)| self.matches(word)).map_or(0, |(at, _)| at);
        let from = text[..first].char_indices().rev().nth(BEFORE).map_or(0, |(at, _)| at);
        // Half a word at the beginning says nothing: the next whole one is the first.
        let half = if text[..from].ends_with(char::is_alphanumeric) { &text[from..first] } else { "" };
        let from = from + half.find(|character: char| !character.is_alphanumeric()).unwrap_or(0);
        let piece = text[from..].trim_start();
        let piece = piece.char_indices().nth(EXCERPT).map_or(piece, |(end, _)| &piece[..end]);
        let mut parts = Vec::new();
        let mut push = |text: &str, is_match: bool| {
            if !text.is_empty() {
                parts.push(ExcerptPart { text: text.to_owned(), is_match });
            }
        };
        let mut done = 0;
        for (at, word) in words(piece) {
            if self.matches(word) {
                push(&piece[done..at], false);
                push(word, true);
                done = at + word.len();
            }
        }
        push(&piece[done..], false);
        parts
    }
}

/// The words of a text with where they begin: what the tokenizer `unicode61` takes for one.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let start = text.as_ptr() as usize;
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - start, word))
}

impl Store {
    /// Finds events, the newest first, at most `limit`, from `cursor` on.
    pub async fn search(
        &self,
        words: &SearchWords,
        cursor: Option<SearchCursor>,
        limit: u32,
    ) -> Result<SearchPage, ReadError> {
        let before = cursor.map_or(i64::MAX, |cursor| i64::try_from(cursor.0).unwrap_or(i64::MAX));
        let rows: Vec<(i64, String, i64, String, String, String, String)> = sqlx::query_as(
            "SELECT found.rowid, events.run, events.seq, events.at, events.type, events.json, runs.json
             FROM (SELECT rowid FROM search WHERE search MATCH ? AND rowid < ? ORDER BY rowid DESC LIMIT ?) AS found
             JOIN events ON events.position = found.rowid
             JOIN runs ON runs.run = events.run
             ORDER BY found.rowid DESC",
        )
        .bind(words.query())
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all(self.inner.database.readers())
        .await?;
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > wanted;
        let last = rows.get(wanted.saturating_sub(1)).map(|row| SearchCursor(row.0.cast_unsigned()));
        let hits = rows.into_iter().take(wanted).filter_map(|row| hit(words, row)).collect();
        Ok(SearchPage { hits, next: last.filter(|_| more) })
    }
}

/// The find, or nothing where this version cannot read the event any more.
fn hit(
    words: &SearchWords,
    (_, run, seq, at, kind, json, summary): (i64, String, i64, String, String, String, String),
) -> Option<SearchHit> {
    let body: EventBody = serde_json::from_str(&json).ok()?;
    let summary: nightshift_protocol::RunSummary = serde_json::from_str(&summary).ok()?;
    Some(SearchHit {
        run: run.parse().ok()?,
        title: summary.task.title(),
        seq: seq.cast_unsigned(),
        kind,
        at: OffsetDateTime::parse(&at, &Rfc3339).ok()?,
        excerpt: words.excerpt(&searchable(&body)?),
    })
}

/// What is to be found of an event, on its way into the index.
#[derive(Debug)]
pub(crate) struct Findable {
    /// Whether it is a task's description.
    is_task: bool,
    text: String,
}

impl Findable {
    /// What is to be found of an event; `None` for those in which nobody says anything.
    pub(crate) fn of(body: &EventBody) -> Option<Self> {
        let is_task = matches!(body, EventBody::RunSubmitted { .. });
        Some(Self { is_task, text: searchable(body)? })
    }

    /// Adds what is to be found of the event at this position to the index.
    pub(crate) fn write(&self, position: i64, connection: &Connection) -> Result<(), rusqlite::Error> {
        let insert = if self.is_task {
            "INSERT INTO search (rowid, task) VALUES (?, ?)"
        } else {
            "INSERT INTO search (rowid, text) VALUES (?, ?)"
        };
        connection.prepare_cached(insert)?.execute(params![position, self.text])?;
        Ok(())
    }
}

/// What can be found of an event; `None` for those in which nobody says anything.
fn searchable(body: &EventBody) -> Option<String> {
    let text = match body {
        EventBody::RunSubmitted { task, .. } => format!("{}\n{}", task.description, task.repository),
        EventBody::PersonSaid { text } => text.clone(),
        EventBody::TurnFinished { message: Message::Assistant { blocks, .. }, .. } => {
            let texts = blocks.iter().filter_map(|block| match block {
                AssistantBlock::Text { text } => Some(text.as_str()),
                _ => None,
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        EventBody::StepIntended { call, .. } => {
            let fields = call.input.as_object().into_iter().flat_map(|fields| fields.values());
            fields.filter_map(|value| value.as_str()).collect::<Vec<_>>().join("\n")
        }
        EventBody::StepFinished { content, .. } => {
            let texts = content.iter().filter_map(|part| match part {
                ResultPart::Text { text } => Some(text.as_str()),
                ResultPart::Image { .. } => None,
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        EventBody::PlanChanged { plan } => {
            plan.steps.iter().map(|step| step.title.as_str()).collect::<Vec<_>>().join("\n")
        }
        EventBody::EvidenceNoted { evidence } => evidence.claim.clone(),
        EventBody::WorkFinished { title, summary, .. } => format!("{title}\n{summary}"),
        EventBody::HandedBack { summary, .. } => summary.clone(),
        _ => return None,
    };
    let text = text.char_indices().nth(SEARCHABLE).map_or(text.as_str(), |(end, _)| &text[..end]);
    (!text.trim().is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(searched: &str, text: &str) -> String {
        let parts = SearchWords::of(searched).unwrap().excerpt(text);
        parts
            .iter()
            .map(|part| if part.is_match { format!("[{}]", part.text) } else { part.text.clone() })
            .collect()
    }

    #[test]
    fn what_a_person_types_is_never_an_operator() {
        let words = SearchWords::of("dark\" OR NEAR(mode* col:x -y").unwrap();
        assert_eq!(
            words.query(),
            "\"dark\" AND \"or\" AND \"near\" AND \"mode\" AND \"col\" AND \"x\" AND \"y\" *"
        );
        assert_eq!(SearchWords::of(" \"*- "), None);
    }

    #[test]
    fn an_excerpt_shows_the_matches_and_the_last_word_matches_as_a_beginning() {
        assert_eq!(shown("dark tog", "Add a Dark mode toggle"), "Add a [Dark] mode [toggle]");
        assert_eq!(shown("missing", "Füge hinzu"), "Füge hinzu");
    }

    #[test]
    fn an_excerpt_of_a_long_text_is_cut_on_characters() {
        let text = format!("{} needle {}", "ä".repeat(500), "ö".repeat(500));
        let excerpt = shown("needle", &text);
        assert!(excerpt.contains("[needle]"));
        assert_eq!(excerpt.chars().filter(|c| *c != '[' && *c != ']').count(), EXCERPT);
    }
}
