//! What people ask of a run's pull request, on this machine.

use nightshift_forge::{BrowseError, Mergeable, PullRequestError, PullRequestState};
use nightshift_protocol::{
    AskForChanges, AskStatistics, CommitId, DiffSide, ErrorCode, FeedbackSource, NewComment, ReviewQueue,
    RunId, Statistics, UserError,
};

use super::Supervisor;
use crate::delivery::news::{self, LONGEST, News, Said};
use crate::reviewing;
use crate::run::Wish;

/// Characters of a line that are kept with a comment on it.
const QUOTE: usize = 500;

/// The largest file whose lines are counted, in bytes.
const LARGEST_FILE: usize = 16 * 1024 * 1024;

/// Comments that are sent at once.
const COMMENTS: usize = 100;

/// Who asks for changes on this machine.
const PERSON: &str = "the person who reviews";

impl Supervisor {
    /// Comments on a line of a run's diff; the comment waits until changes are asked for.
    pub async fn comment(&self, run: &RunId, comment: NewComment) -> Result<(), UserError> {
        let said = self.said(run, comment).await?;
        self.wish(run, Wish::Comment(said)).await
    }

    /// Takes a comment back that was not sent.
    pub async fn withdraw_comment(&self, run: &RunId, name: &str) -> Result<(), UserError> {
        self.wish(run, Wish::Withdraw(name.to_owned())).await
    }

    /// Asks for changes to a run's pull request: its agent goes on, in its sandbox.
    pub async fn ask_for_changes(&self, run: &RunId, ask: AskForChanges) -> Result<(), UserError> {
        let words = ask.words.trim();
        let (_, waiting) = (check(words, 0)?, self.progress(run).await?.delivery.pending.len());
        if words.is_empty() && ask.comments.is_empty() && waiting == 0 {
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                "nothing is asked for",
                "Say what is to be different, or comment on lines.",
            ));
        }
        if ask.comments.len() > COMMENTS {
            let message = format!("more than {COMMENTS} comments were sent at once");
            return Err(UserError::new(ErrorCode::InvalidRequest, message, "Send them in two rounds."));
        }
        let mut said = Vec::new();
        if !words.is_empty() {
            let source = FeedbackSource::Review { review: 0, author: PERSON.to_owned() };
            said.push(Said { source, words: words.to_owned() });
        }
        for comment in ask.comments {
            said.push(self.said(run, comment).await?);
        }
        if let Some(base) = self.conflicting_base(run).await? {
            said.push(Said { words: news::conflict_words(&base), source: FeedbackSource::Conflict { base } });
        }
        self.wish(run, Wish::Feedback(News::Asked(said))).await
    }

    /// The open pull requests in the order in which they are to be reviewed. Only those of runs that are not over are read:
    /// no other can be open.
    pub async fn review_queue(&self) -> Result<ReviewQueue, UserError> {
        let unfinished = self.unfinished().await?;
        let mut open = Vec::new();
        for run in &unfinished {
            let Some(number) = run.reviewing.pull_request else { continue };
            let repository = crate::delivery::repository_of(&self.shared.forge, &run.task.repository)?;
            let pull_request = match repository.pull_request(number).await {
                Ok(pull_request) => pull_request,
                // One whose record is gone must not hide the others.
                Err(PullRequestError::NotFound(_)) => continue,
                Err(error) => return Err(crate::trouble::pull_request(&error)),
            };
            if matches!(pull_request.state, PullRequestState::Open) {
                open.push((pull_request.summary(&repository.source().to_string()), run.clone()));
            }
        }
        Ok(reviewing::queue(open, &unfinished, self.shared.settings.delivery.review_limit))
    }

    /// Sums up what runs and their reviews came to.
    pub async fn statistics(&self, ask: &AskStatistics) -> Result<Statistics, UserError> {
        let now = self.shared.clock.now();
        let since = ask.since.as_deref().map(|text| reviewing::since(text, now)).transpose()?;
        let summed = self.shared.store.statistics(ask.by, since).await;
        summed.map_err(|error| crate::trouble::reading(&error))
    }

    /// Notes that a person found the work of a run good.
    pub async fn approve(&self, run: &RunId, words: &str) -> Result<(), UserError> {
        check(words, 0)?;
        self.wish(run, Wish::Approve(words.trim().to_owned())).await
    }

    /// The base branch's newest commit on this machine, where the work of a run conflicts with it.
    async fn conflicting_base(&self, run: &RunId) -> Result<Option<CommitId>, UserError> {
        let (progress, repository, number) = self.pull_request_of(run).await?;
        if self.shared.forge.remote(repository.source()).is_some() {
            return Ok(None);
        }
        let reading = |error| crate::trouble::pull_request(&error);
        let pull_request = repository.pull_request(number).await.map_err(reading)?;
        match repository.mergeable(&pull_request).await {
            Ok(Mergeable::Conflict { .. }) => {
                let base = crate::delivery::branch(&progress.task.base_branch)?;
                repository.branch_head(&base).await.map_err(|error| crate::trouble::git(&error))
            }
            // What else keeps it from being merged is said when somebody merges.
            Ok(Mergeable::Clean) | Err(_) => Ok(None),
        }
    }

    /// Checks a comment against what the pull request changes.
    async fn said(&self, run: &RunId, comment: NewComment) -> Result<Said, UserError> {
        let NewComment { path, line, side, quote, words } = comment;
        let words = words.trim();
        check(words, 1)?;
        let (_, repository, number) = self.pull_request_of(run).await?;
        let reading = |error| crate::trouble::pull_request(&error);
        let pull_request = repository.pull_request(number).await.map_err(reading)?;
        let changed =
            repository.diff_stat(&pull_request).await.map_err(|error| crate::trouble::git(&error))?;
        if line == 0 || !changed.iter().any(|change| change.path == path) {
            let files: Vec<&str> = changed.iter().take(9).map(|change| change.path.as_str()).collect();
            return Err(UserError::new(
                ErrorCode::InvalidRequest,
                format!("line {line} of {path} is not in the pull request"),
                format!("Lines count from 1, and it changes {}.", files.join(", ")),
            ));
        }
        let (at, which) = match side {
            DiffSide::Before => (&pull_request.base_commit, "before the work"),
            DiffSide::After => (&pull_request.head, "after the work"),
        };
        let lines = match repository.blob(at, &path, LARGEST_FILE).await {
            Ok(content) => Some(lines(&content)),
            Err(BrowseError::NotThere { .. }) => Some(0),
            // Nobody counts the lines of such a file.
            Err(BrowseError::TooLarge { .. }) => None,
            Err(error) => return Err(crate::trouble::browsing(&error)),
        };
        if let Some(lines) = lines.filter(|lines| *lines < line) {
            return Err(no_such_line(&path, line, lines, side, which));
        }
        let quote = quote.trim().chars().take(QUOTE).collect();
        Ok(Said { source: FeedbackSource::Line { path, line, side, quote }, words: words.to_owned() })
    }
}

/// How many lines a text has; one that does not end with a line break has its last all the same.
fn lines(content: &[u8]) -> u64 {
    let breaks = content.iter().filter(|byte| **byte == b'\n').count() as u64;
    breaks + u64::from(content.last().is_some_and(|last| *last != b'\n'))
}

fn no_such_line(path: &str, line: u64, lines: u64, side: DiffSide, which: &str) -> UserError {
    let (message, hint) = match (lines, side) {
        (0, DiffSide::After) => (
            format!("{path} has no line {which}"),
            "It was removed or emptied: comment on a line of before, with --removed.".to_owned(),
        ),
        (0, DiffSide::Before) => (
            format!("{path} has no line {which}"),
            "It is new: comment on a line of after, without --removed.".to_owned(),
        ),
        (_, _) => (
            format!("{path} has no line {line} {which}: it has {lines}"),
            "`nightshift review diff` shows the lines with their numbers.".to_owned(),
        ),
    };
    UserError::new(ErrorCode::InvalidRequest, message, hint)
}

fn check(words: &str, least: usize) -> Result<(), UserError> {
    let length = words.trim().chars().count();
    if (least..=LONGEST).contains(&length) {
        return Ok(());
    }
    let message = format!("words of a review have {least} to 4,000 characters, and these have {length}");
    Err(UserError::new(ErrorCode::InvalidRequest, message, "Say what is to be different, in fewer words."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_counts_with_and_without_its_break() {
        let counted = [&b""[..], b"a", b"a\n", b"a\nb", b"a\n\n"].map(lines);
        assert_eq!(counted, [0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_line_that_is_not_there_is_refused_with_where_to_look() {
        let refused = |lines, side| {
            let which = if side == DiffSide::Before { "before the work" } else { "after the work" };
            let error = no_such_line("a.txt", 9, lines, side, which);
            (error.message, error.hint.contains("--removed"))
        };
        assert_eq!(
            refused(4, DiffSide::After),
            ("a.txt has no line 9 after the work: it has 4".to_owned(), false)
        );
        assert_eq!(refused(0, DiffSide::After), ("a.txt has no line after the work".to_owned(), true));
        assert_eq!(refused(0, DiffSide::Before), ("a.txt has no line before the work".to_owned(), true));
    }
}
