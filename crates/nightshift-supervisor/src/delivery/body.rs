//! A body as it is read at a remote forge: pictures by their addresses, no secrets, not too long.

use std::collections::BTreeMap;

use nightshift_forge::secrets::Redactor;
use nightshift_protocol::{ArtifactId, PreparedPicture};

/// What is said where a body had to be cut.
const CUT: &str = "\n\n*The rest is left out here, because a body may have no more. `nightshift review show` has all of it.*\n";

/// Fits a body that names its pictures `artifact:ID` to a remote forge.
pub(crate) fn for_remote(
    body: &str,
    pictures: &[PreparedPicture],
    published: &BTreeMap<ArtifactId, String>,
    redactor: &Redactor,
    longest: usize,
) -> String {
    let mut text = redactor.redact(body).into_owned();
    for picture in pictures {
        let url = picture.prepared.as_ref().and_then(|prepared| published.get(prepared));
        let named = format!("](artifact:{})", picture.artifact);
        match url {
            Some(url) => text = text.replace(&named, &format!("]({url})")),
            None => {
                let why = picture.kept_because.as_deref().unwrap_or("it was not published");
                text = without_picture(
                    &text,
                    &named,
                    &format!("*(a picture that stays on its machine: {why})*"),
                );
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

    #[test]
    fn pictures_are_named_by_their_addresses_and_kept_ones_by_words() {
        let pictures = [picture(1, Some(9)), picture(2, None)];
        let published =
            BTreeMap::from([(pictures[0].prepared.clone().unwrap(), "https://h/1.png".to_owned())]);
        let body = format!(
            "![a](artifact:{}) ![b \\]](artifact:{}) end",
            pictures[0].artifact, pictures[1].artifact
        );
        let text = for_remote(&body, &pictures, &published, &Redactor::default(), 1_000);
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
        let text = for_remote(&body, &pictures, &published, &Redactor::default(), 1_000);
        let kept = "*(a picture that stays on its machine: it could not be read)*";
        assert_eq!(text, format!("![a](https://h/1.gif)\n\n{kept}\n"));
        let both = [pictures[0].clone(), picture(2, Some(9))];
        let text = for_remote(&body, &both, &published, &Redactor::default(), 1_000);
        assert_eq!(text, "![a](https://h/1.gif)\n\n[The same (MP4)](https://h/1.gif)\n");
    }

    #[test]
    fn a_secret_in_the_words_of_the_agent_does_not_leave() {
        let token = format!("ghp_{}", "a1B2".repeat(9));
        let text =
            for_remote(&format!("It used {token}."), &[], &BTreeMap::new(), &Redactor::default(), 1_000);
        assert_eq!(text, "It used [redacted: GitHub token].");
    }

    #[test]
    fn a_body_that_is_too_long_ends_at_a_section() {
        let body =
            format!("Lead.\n\n## One\n\n```text\nx\n```\n\n## Two\n\n```text\n{}\n```\n", "y".repeat(900));
        let text = for_remote(&body, &[], &BTreeMap::new(), &Redactor::default(), 500);
        assert!(text.chars().count() <= 500 && text.ends_with(CUT), "{text}");
        assert!(text.starts_with("Lead.\n\n## One\n\n```text\nx\n```\n\n*The rest"), "{text}");
    }
}
