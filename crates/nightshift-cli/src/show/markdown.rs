//! Markdown as a terminal shows it: the words, without the marks that a browser would turn into a page.

use nightshift_protocol::ArtifactId;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::plain;

/// How a file of the owner's is named in a body.
const ARTIFACT: &str = "artifact:";

/// Writes a text plainly. What stands below a heading is moved in.
pub(crate) fn markdown(text: &str) -> String {
    let mut page = Page::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.end_line();
    // At the end: an entity may stand for any character.
    plain(&page.lines).trim_end().to_owned()
}

/// The owner's files that a text shows or links to, in their order, each once.
pub(crate) fn artifacts(text: &str) -> Vec<ArtifactId> {
    let mut found = Vec::new();
    for event in Parser::new(text) {
        if let Event::Start(Tag::Image { dest_url, .. } | Tag::Link { dest_url, .. }) = event
            && let Some(artifact) = dest_url.strip_prefix(ARTIFACT).and_then(|id| id.parse().ok())
            && !found.contains(&artifact)
        {
            found.push(artifact);
        }
    }
    found
}

/// What is written so far.
#[derive(Default)]
struct Page {
    lines: String,
    /// The line, or lines, under way.
    text: String,
    /// What each line begins with, from the outermost block inwards.
    begins: Vec<String>,
    /// What the next line begins with in place of the innermost of those: an item's mark.
    mark: Option<String>,
    /// The next number of each list that is open; `None` for one without numbers.
    lists: Vec<Option<u64>>,
    /// Where links that are open lead.
    links: Vec<String>,
    /// Whether the next line is set apart from those above.
    apart: bool,
    below_heading: bool,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text.push_str(&text),
            Event::Code(code) => self.text += &format!("`{code}`"),
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            Event::Rule => {
                self.end_line();
                self.text.push_str("---");
                self.end_block();
            }
            // Extensions that are not asked for.
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text.push_str(&text);
            }
            Event::TaskListMarker(_) => {}
        }
    }

    fn begin(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { .. } => {
                self.end_line();
                (self.apart, self.below_heading) = (true, false);
            }
            Tag::List(first) => {
                self.end_line();
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_line();
                let mark = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let mark = format!("{number}. ");
                        *number += 1;
                        mark
                    }
                    Some(None) | None => "- ".to_owned(),
                };
                self.begins.push(" ".repeat(mark.len()));
                self.mark = Some(mark);
            }
            Tag::BlockQuote(_) => self.begin_block("> "),
            Tag::CodeBlock(_) => self.begin_block("    "),
            Tag::Link { dest_url, .. } => self.links.push(dest_url.into_string()),
            Tag::Image { .. } => self.text.push_str("[picture: "),
            Tag::TableCell if !self.text.is_empty() => self.text.push_str(" | "),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                self.end_line();
                self.below_heading = true;
            }
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.end_block(),
            TagEnd::TableHead | TagEnd::TableRow => self.end_line(),
            TagEnd::Table => self.end_block(),
            TagEnd::Item => {
                self.end_line();
                self.begins.pop();
                self.mark = None;
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.apart = self.lists.is_empty();
            }
            TagEnd::BlockQuote(_) | TagEnd::CodeBlock => {
                self.end_block();
                self.begins.pop();
            }
            TagEnd::Link => {
                // The id of a file of the owner's says nothing to a person.
                let to = self.links.pop().unwrap_or_default();
                if !to.starts_with(ARTIFACT) && !self.text.ends_with(&to) {
                    self.text += &format!(" ({to})");
                }
            }
            TagEnd::Image => self.text.push(']'),
            _ => {}
        }
    }

    fn begin_block(&mut self, begins: &str) {
        self.end_line();
        self.begins.push(begins.to_owned());
    }

    fn end_block(&mut self) {
        self.end_line();
        self.apart = true;
    }

    fn end_line(&mut self) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim_matches('\n');
        if text.trim().is_empty() {
            return;
        }
        if std::mem::take(&mut self.apart) && !self.lines.is_empty() {
            self.lines.push('\n');
        }
        for line in text.lines() {
            let mut begins = if self.below_heading { "  ".to_owned() } else { String::new() };
            let (last, outer) = self.begins.split_last().map_or(("", &[][..]), |(last, outer)| (last, outer));
            begins.extend(outer.iter().map(String::as_str));
            begins.push_str(self.mark.take().as_deref().unwrap_or(last));
            self.lines.push_str(format!("{begins}{line}").trim_end());
            self.lines.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_read_without_its_marks() {
        let body = "The **toggle** works \\[really\\].\nIt persists.\n\n## Evidence\n\n**1.** It is dark.\n\n\
            ![after: It is dark.](artifact:aa)\n\nafter, step 7.1, 1 × 1 pixels\n\n**2.** Tests pass.\n\n`npm test`: \
            exit code 0, step 8.1\n\n```text\nok 1\n\nok 2\n```\n\n| before | after |\n|---|---|\n| ![a](artifact:a) | \
            ![b](artifact:b) |\n\n[The same (MP4)](artifact:cc)\n\n## Where to look first\n\n- `src/a.js`: 3 added\n\
            - and 2 more files\n\n## Details\n\n1. one\n2. two\n   - inner\n\n> quoted\n\nSee \
            [the docs](https://example.org) and <https://example.com>.\n";
        insta::assert_snapshot!(markdown(body), @r"
        The toggle works [really].
        It persists.

        Evidence
          1. It is dark.

          [picture: after: It is dark.]

          after, step 7.1, 1 × 1 pixels

          2. Tests pass.

          `npm test`: exit code 0, step 8.1

              ok 1

              ok 2

          before | after
          [picture: a] | [picture: b]

          The same (MP4)

        Where to look first
          - `src/a.js`: 3 added
          - and 2 more files

        Details
          1. one
          2. two
             - inner

          > quoted

          See the docs (https://example.org) and https://example.com.
        ");
    }

    #[test]
    fn what_an_entity_stands_for_does_not_steer_the_terminal() {
        assert_eq!(markdown("a&#27;[2Jb&#x202e;c &lt;b&gt; &amp;"), "a[2Jbc <b> &");
    }

    #[test]
    fn the_files_of_a_body_are_found_in_pictures_links_and_tables_each_once() {
        let [one, two] = ["1", "2"].map(|digit| digit.repeat(64));
        let body = format!(
            "| a | b |\n|---|---|\n| ![x](artifact:{one}) | ![y](artifact:{one}) |\n\n[The same](artifact:{two})\n\n\
             ![z](https://example.org/artifact:{one}) ![w](artifact:none)"
        );
        assert_eq!(artifacts(&body), [one.parse().unwrap(), two.parse().unwrap()]);
        assert_eq!(artifacts("plain"), []);
    }

    proptest! {
        #[test]
        fn words_are_never_lost_and_no_control_gets_through(
            words in prop::collection::vec("[a-z]{3,8}", 1..6),
            mark in prop::sample::select(vec!["", "# ", "- ", "> ", "1. ", "    ", "**", "\u{1b}[31m"]),
        ) {
            let text = words.iter().map(|word| format!("{mark}{word}\n\n")).collect::<String>();
            let shown = markdown(&text);
            prop_assert!(words.iter().all(|word| shown.contains(word.as_str())), "{shown}");
            prop_assert!(shown.chars().all(|character| character == '\n' || !character.is_control()));
        }
    }
}
