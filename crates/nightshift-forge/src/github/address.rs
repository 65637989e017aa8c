//! Which repository of which site a source is.

use crate::Source;

/// A repository of a forge, as its address names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// The site's host and, where it is not the usual one, port.
    pub host: String,
    /// Who it belongs to.
    pub owner: String,
    /// Its name.
    pub name: String,
}

impl Address {
    /// Reads `https://HOST/OWNER/NAME`, `ssh://git@HOST/OWNER/NAME` and `git@HOST:OWNER/NAME`, with or without
    /// `.git`; `None` for what is no repository of a forge.
    pub fn of(source: &Source) -> Option<Self> {
        let Source::Url(url) = source else { return None };
        let (host, path) = match url.split_once("://") {
            Some((_, rest)) => rest.split_once('/')?,
            None => url.split_once(':')?,
        };
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        Self::parts(host, path)
    }

    /// Reads the short form `OWNER/NAME` of a repository at `host`; `None` for anything else.
    pub fn short(text: &str, host: &str) -> Option<Self> {
        if text.contains(':') || text.starts_with(['.', '/', '~']) { None } else { Self::parts(host, text) }
    }

    fn parts(host: &str, path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let (owner, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
        let plain = |text: &str| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=100).contains(&text.len()) && text.bytes().all(good) && text != "." && text != ".."
        };
        (plain(owner) && plain(name) && !host.is_empty()).then(|| Self {
            host: host.to_ascii_lowercase(),
            owner: owner.to_owned(),
            name: name.to_owned(),
        })
    }

    /// `OWNER/NAME`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.owner, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<String> {
        Address::of(&text.parse().unwrap()).map(|found| format!("{} {}", found.host, found.full_name()))
    }

    #[test]
    fn the_ways_to_write_a_repository_of_a_forge_mean_the_same() {
        for text in [
            "https://github.com/octocat/hello-world",
            "https://GitHub.com/octocat/hello-world.git",
            "ssh://git@github.com/octocat/hello-world.git",
            "git@github.com:octocat/hello-world.git",
        ] {
            assert_eq!(of(text).as_deref(), Some("github.com octocat/hello-world"), "{text}");
        }
        assert_eq!(of("http://127.0.0.1:8080/o/r").as_deref(), Some("127.0.0.1:8080 o/r"));
    }

    #[test]
    fn what_has_no_owner_and_name_is_none() {
        for text in [
            "/src/app",
            "https://example.org/app.git",
            "https://example.org/a/b/c",
            "https://example.org/../b",
        ] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn the_short_form_is_two_plain_words() {
        let short = |text| Address::short(text, "github.com").map(|found| found.full_name());
        assert_eq!(short("octocat/hello-world").as_deref(), Some("octocat/hello-world"));
        for text in
            ["octocat", "./octocat/app", "/octocat/app", "a/b/c", "../app", "git@github.com:a/b", "a b/c"]
        {
            assert_eq!(short(text), None, "{text}");
        }
    }
}
