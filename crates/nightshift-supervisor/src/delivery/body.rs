//! A body as it is read at a remote forge: pictures by their addresses, no secrets, not too long.

use std::collections::BTreeMap;

use nightshift_forge::secrets::Redactor;
use nightshift_protocol::{ArtifactId, PreparedPicture};

/// What is said where a body had to be cut.
const CUT: &str = "\n\n*The rest is left out here, because a body may have no more. `nightshift review show` has all of it.*\n";

/// The pictures of a body and where they are seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pictures<'a> {
    /// All of them.
    pub(crate) all: &'a [PreparedPicture],
    /// Where those that were published are seen, by what was published.
    pub(crate) published: &'a BTreeMap<ArtifactId, String>,
    /// Why the others are not, by what would have been.
    pub(crate) kept: &'a BTreeMap<ArtifactId, String>,
    /// The address of the run's review in the app, which shows those that stay.
    pub(crate) app: Option<&'a str>,
}

/// Fits a body that names its pictures `artifact:ID` to a remote forge.
pub(crate) fn for_remote(body: &str, pictures: Pictures<'_>, redactor: &Redactor, longest: usize) -> String {
    let mut text = redactor.redact(body).into_owned();
    for picture in pictures.all {
        let prepared = picture.prepared.as_ref();
        let named = format!("](artifact:{})", picture.artifact);
        match prepared.and_then(|prepared| pictures.published.get(prepared)) {
            Some(url) => text = text.replace(&named, &format!("]({url})")),
            None => {
                let why = prepared.and_then(|prepared| pictures.kept.get(prepared));
                let why =
                    why.or(picture.kept_because.as_ref()).map_or("it was not published", String::as_str);
                let what = if picture.media_type.starts_with("video/") { "video" } else { "picture" };
                let words = match pictures.app {
                    Some(app) => {
                        format!("*(a {what} that stays on its machine: {why}; [see it there]({app}))*")
                    }
                    None => format!("*(a {what} that stays on its machine: {why})*"),
                };
                text = without_picture(&text, &named, &words);
            }
        }
    }
    cut(text, longest)
}

/// Replaces `![alt](artifact:ID)` by words, or a link to it, which begins a line. Brackets within the alternative text
/// are escaped, so the nearest of both before begins it.
fn without_picture(text: &str, named: &str, words: &str) -> String {
    let mut rest = text;
    let mut replaced = String::with_capacity(text.len());
    while let Some(at) = rest.find(named) {
        let picture = rest[..at].rfind("![");
        let link = rest[..at].rfind("\n[").map(|line| line + 1);
        let from = picture.max(link).unwrap_or(at);
        replaced.push_str(&rest[..from]);
        replaced.push_str(words);
        rest = &rest[at + named.len()..];
    }
    replaced + rest
}

/// Cuts at the beginning of a section, so that no block of code and no table is cut open.
fn cut(text: String, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text;
    }
    let room = longest.saturating_sub(CUT.chars().count());
    let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
    let end = text[..end].rfind("\n\n## ").or_else(|| text[..end].rfind("\n\n**")).unwrap_or(0);
    format!("{}{CUT}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(of: u8, prepared: Option<u8>) -> PreparedPicture {
        let artifact = |of: u8| format!("{of:064x}").parse().unwrap();
        PreparedPicture {
            artifact: artifact(of),
            prepared: prepared.map(artifact),
            media_type: "image/png".to_owned(),
            masked: 0,
            kept_because: prepared.is_none().then(|| "it could not be read".to_owned()),
        }
    }

    fn shown<'a>(
        all: &'a [PreparedPicture],
        published: &'a BTreeMap<ArtifactId, String>,
        kept: &'a BTreeMap<ArtifactId, String>,
    ) -> Pictures<'a> {
        Pictures { all, published, kept, app: None }
    }

    fn fitted(body: &str, all: &[PreparedPicture], published: &BTreeMap<ArtifactId, String>) -> String {
        for_remote(body, shown(all, published, &BTreeMap::new()), &Redactor::default(), 1_000)
    }

    #[test]
    fn a_picture_that_the_forge_does_not_take_is_linked_to_the_app_with_the_reason() {
        let video = PreparedPicture { media_type: "video/mp4".to_owned(), ..picture(3, None) };
        let pictures = [picture(1, Some(9)), picture(2, None), video];
        let (published, why) = (BTreeMap::new(), "it has 12 MiB, more than 10".to_owned());
        let kept = BTreeMap::from([(pictures[0].prepared.clone().unwrap(), why)]);
        let of = |number: usize| &pictures[number].artifact;
        let body = format!("![a](artifact:{})\n![b](artifact:{})\n\n[c](artifact:{})\n", of(0), of(1), of(2));
        let app = Some("http://127.0.0.1:4711/review/run-0123456789");
        let pictures = Pictures { app, ..shown(&pictures, &published, &kept) };
        let there = "[see it there](http://127.0.0.1:4711/review/run-0123456789)";
        assert_eq!(
            for_remote(&body, pictures, &Redactor::default(), 1_000),
            format!(
                "*(a picture that stays on its machine: it has 12 MiB, more than 10; {there})*\n\
                 *(a picture that stays on its machine: it could not be read; {there})*\n\n\
                 *(a video that stays on its machine: it could not be read; {there})*\n"
            )
        );
    }

    #[test]
    fn pictures_are_named_by_their_addresses_and_kept_ones_by_words() {
        let pictures = [picture(1, Some(9)), picture(2, None)];
        let published =
            BTreeMap::from([(pictures[0].prepared.clone().unwrap(), "https://h/1.png".to_owned())]);
        let body = format!(
            "![a](artifact:{}) ![b \\]](artifact:{}) end",
            pictures[0].artifact, pictures[1].artifact
        );
        let text = fitted(&body, &pictures, &published);
        assert_eq!(
            text,
            "![a](https://h/1.png) *(a picture that stays on its machine: it could not be read)* end"
        );
    }

    #[test]
    fn a_video_is_linked_by_its_address_and_one_that_is_kept_takes_no_picture_with_it() {
        let pictures = [picture(1, Some(9)), picture(2, None)];
        let published =
            BTreeMap::from([(pictures[0].prepared.clone().unwrap(), "https://h/1.gif".to_owned())]);
        let body = format!(
            "![a](artifact:{})\n\n[The same (MP4)](artifact:{})\n",
            pictures[0].artifact, pictures[1].artifact
        );
        let text = fitted(&body, &pictures, &published);
        let kept = "*(a picture that stays on its machine: it could not be read)*";
        assert_eq!(text, format!("![a](https://h/1.gif)\n\n{kept}\n"));
        let both = [pictures[0].clone(), picture(2, Some(9))];
        let text = fitted(&body, &both, &published);
        assert_eq!(text, "![a](https://h/1.gif)\n\n[The same (MP4)](https://h/1.gif)\n");
    }

    #[test]
    fn a_secret_in_the_words_of_the_agent_does_not_leave() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let text = fitted(&format!("It used {token}."), &[], &BTreeMap::new());
        assert_eq!(text, "It used [redacted: GitHub token].");
    }

    #[test]
    fn a_body_that_is_too_long_ends_at_a_section() {
        let body =
            format!("Lead.\n\n## One\n\n```text\nx\n```\n\n## Two\n\n```text\n{}\n```\n", "y".repeat(900));
        let nothing = BTreeMap::new();
        let text = for_remote(&body, shown(&[], &nothing, &BTreeMap::new()), &Redactor::default(), 500);
        assert!(text.chars().count() <= 500 && text.ends_with(CUT), "{text}");
        assert!(text.starts_with("Lead.\n\n## One\n\n```text\nx\n```\n\n*The rest"), "{text}");
    }
}
