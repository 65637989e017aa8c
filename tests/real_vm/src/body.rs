//! What a reader sees of a pull request's body: it is read as GitHub-flavoured Markdown.

use std::process::Stdio;

use pulldown_cmark::{BrokenLink, Event, Options, Parser, Tag, TagEnd};
use tokio::process::Command;

/// A body, read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    pub headings: Vec<String>,
    /// Descriptions and addresses.
    pub pictures: Vec<(String, String)>,
    pub links: Vec<String>,
    pub tables: usize,
    /// HTML that is not shown as text.
    pub html: Vec<String>,
    /// References that lead nowhere, and addresses that no reader of the site can open.
    pub broken: Vec<String>,
}

pub fn read(markdown: &str) -> Read {
    let (mut read, mut broken) = (Read::default(), Vec::new());
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM;
    let leads_nowhere = |link: BrokenLink<'_>| {
        broken.push(link.reference.to_string());
        None
    };
    let (mut heading, mut alt) = (None::<String>, None::<(String, String)>);
    for event in Parser::new_with_broken_link_callback(markdown, options, Some(leads_nowhere)) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => read.headings.extend(heading.take()),
            Event::Start(Tag::Image { dest_url, .. }) => alt = Some((String::new(), dest_url.to_string())),
            Event::End(TagEnd::Image) => read.pictures.extend(alt.take()),
            Event::Start(Tag::Link { dest_url, .. }) => read.links.push(dest_url.to_string()),
            Event::Start(Tag::Table(_)) => read.tables += 1,
            Event::Html(html) | Event::InlineHtml(html) => read.html.push(html.to_string()),
            Event::Text(words) | Event::Code(words) => {
                if let Some((alt, _)) = &mut alt {
                    alt.push_str(&words);
                } else if let Some(heading) = &mut heading {
                    heading.push_str(&words);
                }
            }
            _ => {}
        }
    }
    let addresses = read.pictures.iter().map(|(_, url)| url).chain(&read.links);
    broken.extend(addresses.filter(|url| !url.starts_with("http")).cloned());
    Read { broken, ..read }
}

/// Fetches what a body names, as a reader without an account does.
pub async fn fetch(url: &str) -> Vec<u8> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "20", "--", url])
        .stderr(Stdio::piped())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}
