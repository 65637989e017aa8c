//! Marks of what was said at a remote forge: by them an answer that was given before a crash is found, and none of them
//! is news. Anybody may write such words, so a mark counts only in the account's own comments, as their last line.

use nightshift_protocol::RunId;

/// What each mark begins with.
const BEGINS: &str = "<!-- nightshift ";

/// Words with the mark of what a run says them of: a piece of feedback, or `issue`.
pub(crate) fn marked(words: &str, run: &RunId, of: &str) -> String {
    format!("{words}\n\n{}", mark(run, of))
}

/// The mark of what a run says of something.
pub(crate) fn mark(run: &RunId, of: &str) -> String {
    format!("{BEGINS}{run} {of} -->")
}

/// The mark of what is said of an issue that no run does.
pub(crate) fn mark_of_issue(of: &str) -> String {
    format!("{BEGINS}issue {of} -->")
}

/// The mark of words that `author` wrote; `None` when there is none, or when the account, `login`, is not the author.
pub(crate) fn mark_in<'a>(login: &str, author: &str, words: &'a str) -> Option<&'a str> {
    let last = words.trim_end().lines().next_back()?;
    let ours = author.eq_ignore_ascii_case(login) && last.starts_with(BEGINS) && last.ends_with(" -->");
    ours.then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        "run-0000000000".parse().unwrap()
    }

    #[test]
    fn an_answer_of_ours_is_found_by_its_mark() {
        let words = marked("Because.", &run(), "f1");
        assert_eq!(words, "Because.\n\n<!-- nightshift run-0000000000 f1 -->");
        for written in [words.clone(), words.replace('\n', "\r\n"), format!("{words}\n")] {
            assert_eq!(mark_in("Nightshift[bot]", "nightshift[bot]", &written), Some(&*mark(&run(), "f1")));
        }
    }

    #[test]
    fn a_mark_of_somebody_else_or_in_another_place_is_none() {
        let mark = mark(&run(), "f1");
        assert_eq!(mark_in("ada", "eve", &mark), None);
        for words in [format!("> {mark}"), format!("{mark}\n\nNo."), format!("{mark} No."), String::new()] {
            assert_eq!(mark_in("ada", "ada", &words), None, "{words}");
        }
    }
}
