//! Commands that a person copies into a shell of their own. What they name was named by others: a branch may be
//! called `a;b` or `$(c)`, and a folder may have a space in it.

use std::path::Path;

/// A text as one word of a POSIX shell.
pub(crate) fn quoted(text: &str) -> String {
    // What no shell reads as anything but itself, wherever it stands in a word.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_/.,:@+-".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A path as one word of a POSIX shell.
pub(crate) fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// The git command that pulls a branch out of a repository that is a folder.
pub(crate) fn pull(repository: &Path, branch: &str) -> String {
    let repository = quoted_path(repository);
    // A name that begins as an option does would be one.
    let whole = if branch.starts_with('-') { format!("refs/heads/{branch}") } else { branch.to_owned() };
    format!("git pull {repository} {}", quoted(&whole))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const HOSTILE: [&str; 10] = [
        "a;touch${IFS}harmed",
        "$(touch${IFS}harmed)",
        "`touch${IFS}harmed`",
        "a&touch harmed",
        "it's | one > word",
        "'; touch harmed; '",
        "\"$HOME\" * ? !! #",
        "two\nlines",
        "back\\slash\\",
        "~ä=%",
    ];

    #[test]
    fn a_shell_reads_every_quoted_text_as_the_one_word_it_was() {
        let folder = tempfile::tempdir().unwrap();
        for text in HOSTILE.into_iter().chain(["", "~", "main", "-n"]) {
            let script = format!("printf '%s|' {}", quoted(text));
            let read = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
            assert_eq!(String::from_utf8(read.stdout).unwrap(), format!("{text}|"));
        }
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn what_needs_no_quotes_has_none() {
        assert_eq!(
            pull(Path::new("/home/ada/.n/repo-1.git"), "main"),
            "git pull /home/ada/.n/repo-1.git main"
        );
        assert_eq!(quoted("nightshift/fix-it_2.0@x"), "nightshift/fix-it_2.0@x");
    }

    #[test]
    fn folders_and_branches_with_a_meaning_to_a_shell_or_to_git_are_only_names() {
        assert_eq!(
            pull(Path::new("/home/ada/my files/a.git"), "fix;rm${IFS}-r"),
            "git pull '/home/ada/my files/a.git' 'fix;rm${IFS}-r'"
        );
        assert_eq!(
            pull(Path::new("/a.git"), "--upload-pack=x"),
            "git pull /a.git 'refs/heads/--upload-pack=x'"
        );
    }
}
