//! Issues that ask for work.

use nightshift_protocol::PullRequestId;

use super::wire;
use super::{GitHubError, Remote};

/// What somebody is to a repository ("CommentAuthorAssociation" in the GraphQL reference).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Association {
    /// It is theirs.
    Owner,
    /// They belong to the organisation it belongs to.
    Member,
    /// They were invited to work on it.
    Collaborator,
    /// Anybody else.
    Other,
}

impl Association {
    /// Reads it as the site writes it.
    pub fn of(text: Option<&str>) -> Self {
        match text {
            Some("OWNER") => Self::Owner,
            Some("MEMBER") => Self::Member,
            Some("COLLABORATOR") => Self::Collaborator,
            _ => Self::Other,
        }
    }

    /// Whether they may change the repository, and so may have agents change it.
    pub fn is_trusted(self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// An issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteIssue {
    /// Its number.
    pub number: u64,
    /// Title.
    pub title: String,
    /// Body.
    pub body: String,
    /// Where people look at it.
    pub url: String,
    /// Who wrote it.
    pub author: String,
    /// What they are to the repository.
    pub association: Association,
}

/// Something that asks for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRequest {
    /// The issue that the task is in.
    pub issue: RemoteIssue,
    /// Who asks: whoever mentioned us, or for a label the issue's author, since only who may change the repository
    /// can set one.
    pub asked_by: String,
    /// What they are to the repository.
    pub association: Association,
    /// The comment that mentions us; `None` when it is the label.
    pub comment: Option<u64>,
    /// What that comment says.
    pub words: Option<String>,
}

impl Remote {
    /// Finds the open issues with a label, oldest first. Pull requests are none.
    pub async fn labelled_issues(&self, label: &str) -> Result<Vec<TaskRequest>, GitHubError> {
        let rest = format!("issues?state=open&sort=created&direction=asc&labels={}", escaped(label));
        let issues: Vec<wire::Issue> = self.list("reading issues", &rest).await?;
        let issues = issues.into_iter().filter(|issue| issue.pull_request.is_none()).map(read_issue);
        // Whoever set the label may change the repository: sites let nobody else do it.
        let request = |issue: RemoteIssue| TaskRequest {
            asked_by: issue.author.clone(),
            association: Association::Collaborator,
            comment: None,
            words: None,
            issue,
        };
        Ok(issues.map(request).collect())
    }

    /// Finds those of the newest 100 comments on issues that mention `name`, as in `@name please …`, and were written by
    /// one of `who`. Pull requests are no issues: what is said there is about work that there is already.
    pub async fn mentions(&self, name: &str, who: &[String]) -> Result<Vec<TaskRequest>, GitHubError> {
        let rest = "issues/comments?sort=created&direction=desc&per_page=100";
        let comments: Vec<wire::IssueComment> = self.get("reading comments", rest).await?;
        let mut requests = Vec::new();
        for comment in comments {
            let words = comment.body.as_deref().unwrap_or_default();
            let number: Option<u64> =
                comment.issue_url.as_deref().and_then(|url| url.rsplit('/').next()?.parse().ok());
            let asked_by = comment.user.map_or_else(|| "ghost".to_owned(), |user| user.login);
            let may_ask = who.iter().any(|login| login.eq_ignore_ascii_case(&asked_by));
            let (true, Some(number)) = (may_ask && mentions(words, name), number) else { continue };
            let read = self.get::<wire::Issue>("reading the issue", &format!("issues/{number}")).await;
            let issue = match read {
                Ok(issue) if issue.pull_request.is_some() => continue,
                Ok(issue) => read_issue(issue),
                // It was deleted, or is in a part of the repository that the token may not see.
                Err(GitHubError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            requests.push(TaskRequest {
                issue,
                asked_by,
                association: Association::of(comment.author_association.as_deref()),
                comment: Some(comment.id),
                words: comment.body,
            });
        }
        Ok(requests)
    }

    /// Tells under an issue what became of it.
    pub async fn tell_issue(&self, number: u64, words: &str) -> Result<u64, GitHubError> {
        self.comment(PullRequestId(number), words).await
    }
}

fn read_issue(issue: wire::Issue) -> RemoteIssue {
    RemoteIssue {
        number: issue.number,
        title: issue.title,
        body: issue.body.unwrap_or_default(),
        url: issue.html_url,
        author: issue.user.map_or_else(|| "ghost".to_owned(), |user| user.login),
        association: Association::of(issue.author_association.as_deref()),
    }
}

/// Whether words mention a name, and not one that it is only the beginning of.
pub(super) fn mentions(words: &str, name: &str) -> bool {
    let name = format!("@{}", name.trim_start_matches('@').to_ascii_lowercase());
    let words = words.to_ascii_lowercase();
    let part = |character: char| character.is_ascii_alphanumeric() || character == '-';
    words.match_indices(&name).any(|(at, found)| {
        let before = words[..at].chars().next_back();
        let after = words[at + found.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// A value of a query, with percent signs for all but plain characters.
fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    value
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_the_whole_name() {
        assert!(mentions("Hi @nightshift, please fix", "nightshift"));
        assert!(mentions("@NightShift", "@nightshift"));
        for words in ["nightshift", "@nightshift-bot", "a@nightshift", "@nightshifter"] {
            assert!(!mentions(words, "nightshift"), "{words}");
        }
    }

    #[test]
    fn only_who_may_change_the_repository_is_trusted() {
        let trusted = |text| Association::of(Some(text)).is_trusted();
        assert!(trusted("OWNER") && trusted("MEMBER") && trusted("COLLABORATOR"));
        assert!(!trusted("CONTRIBUTOR") && !trusted("NONE") && !Association::of(None).is_trusted());
    }

    #[test]
    fn a_label_with_odd_characters_is_escaped() {
        assert_eq!(escaped("good first & issue"), "good%20first%20%26%20issue");
    }
}
