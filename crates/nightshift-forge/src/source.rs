//! Where a repository is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A repository that tasks are given in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A folder on this machine: a working tree or a bare repository.
    Folder(PathBuf),
    /// A URL that git can fetch from by HTTP(S) or SSH.
    Url(String),
}

/// Why a text names no repository that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It is empty, begins with a hyphen, has control characters or is no UTF-8.
    #[error("a repository cannot be named like that")]
    Malformed,
    /// It is fetched by other means than HTTP(S) and SSH.
    #[error("\"{transport}\" is not supported: give a path, or a URL that begins with https:// or ssh://")]
    Transport {
        /// What it begins with, cut to 40 characters.
        transport: String,
    },
    /// It has a password or a token in it, which would be recorded with the task.
    #[error("the URL has credentials in it: leave them out and let git's credential helper or SSH know them")]
    Credentials,
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.is_empty() || text.starts_with('-') || text.contains(char::is_control) {
            return Err(SourceError::Malformed);
        }
        let first_part = text.split('/').next().unwrap_or(text);
        if let Some((scheme, rest)) = text.split_once("://") {
            let authority = rest.split('/').next().unwrap_or(rest);
            let user = authority.rsplit_once('@').map(|(user, _)| user);
            return match scheme {
                "file" => Ok(Self::Folder(PathBuf::from(rest))),
                "http" | "https" if user.is_some() => Err(SourceError::Credentials),
                "ssh" if user.is_some_and(|user| user.contains(':')) => Err(SourceError::Credentials),
                "http" | "https" | "ssh" => Ok(Self::Url(text.to_owned())),
                other => Err(SourceError::Transport { transport: other.chars().take(40).collect() }),
            };
        }
        match first_part.split_once(':') {
            // `helper::address` makes git run the program `git-remote-helper`.
            Some((helper, rest)) if rest.starts_with(':') => Err(SourceError::Transport {
                transport: format!("{}::", helper.chars().take(40).collect::<String>()),
            }),
            // The short form of SSH, `person@host:path`.
            Some(_) => Ok(Self::Url(text.to_owned())),
            None => Ok(Self::Folder(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(formatter),
            Self::Url(url) => url.fmt(formatter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_urls_are_told_apart() {
        let folder = |path: &str| Ok(Source::Folder(PathBuf::from(path)));
        let url = |text: &str| Ok(Source::Url(text.to_owned()));
        assert_eq!("/src/app".parse(), folder("/src/app"));
        assert_eq!("/src/odd:name".parse(), folder("/src/odd:name"));
        assert_eq!("file:///src/app".parse(), folder("/src/app"));
        for text in ["https://example.org/app.git", "ssh://git@example.org/app", "git@example.org:app.git"] {
            assert_eq!(text.parse(), url(text));
        }
    }

    #[test]
    fn urls_that_run_programs_or_carry_secrets_are_refused_by_name() {
        let transport = |name: &str| Err(SourceError::Transport { transport: name.to_owned() });
        assert_eq!("ext::sh -c touch% /tmp/x".parse::<Source>(), transport("ext::"));
        assert_eq!("fd::7".parse::<Source>(), transport("fd::"));
        assert_eq!("ftp://example.org/app".parse::<Source>(), transport("ftp"));
        for text in
            ["https://token@example.org/app", "https://a:b@example.org/app", "ssh://a:b@example.org/app"]
        {
            assert_eq!(text.parse::<Source>(), Err(SourceError::Credentials), "{text}");
        }
        for text in ["", "--upload-pack=x", "/src/a\nb"] {
            assert_eq!(text.parse::<Source>(), Err(SourceError::Malformed), "{text:?}");
        }
    }
}
