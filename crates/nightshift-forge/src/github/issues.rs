//! Issues that ask for work, and who has a say.

use nightshift_protocol::{OffsetDateTime, PullRequestId};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;

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

    /// Whether they may have a say. Members of an organisation and collaborators may also be there to read only, which
    /// [`Remote::may_change`] tells.
    pub fn may_have_a_say(self) -> bool {
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
    /// The comment that asks; `None` when it is the label.
    pub comment: Option<AskingComment>,
}

/// A comment that asks for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskingComment {
    /// Its id.
    pub id: u64,
    /// Who wrote it.
    pub author: String,
    /// What they are to the repository.
    pub association: Association,
    /// What it says.
    pub words: String,
    /// When it was written.
    pub at: OffsetDateTime,
}

/// Something that somebody did to an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueDeed {
    /// Who, by login.
    pub by: String,
    /// When.
    pub at: OffsetDateTime,
}

/// What became of an issue's words and labels since it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueHistory {
    /// Settings of labels, each with the label's name, oldest first.
    pub labelled: Vec<(String, IssueDeed)>,
    /// Changes of its title, and the last one of its text.
    pub changed: Vec<IssueDeed>,
}

impl Remote {
    /// Finds the open issues with a label, oldest first. Pull requests are none.
    pub async fn labelled_issues(&self, label: &str) -> Result<Vec<TaskRequest>, GitHubError> {
        let rest = format!("issues?state=open&sort=created&direction=asc&labels={}", escaped(label));
        let issues: Vec<wire::Issue> = self.list("reading issues", &rest).await?;
        let issues = issues.into_iter().filter(|issue| issue.pull_request.is_none()).map(read_issue);
        Ok(issues.map(|issue| TaskRequest { issue, comment: None }).collect())
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
            let author = comment.user.as_ref().map_or_else(|| "ghost".to_owned(), |user| user.login.clone());
            let may_ask = who.iter().any(|login| login.eq_ignore_ascii_case(&author));
            let (true, Some(number)) = (may_ask && mentions(words, name), number) else { continue };
            let read = self.get::<wire::Issue>("reading the issue", &format!("issues/{number}")).await;
            let issue = match read {
                Ok(issue) if issue.pull_request.is_some() => continue,
                Ok(issue) => read_issue(issue),
                // It was deleted, or is in a part of the repository that the token may not see.
                Err(GitHubError::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let asking = AskingComment {
                id: comment.id,
                author,
                association: Association::of(comment.author_association.as_deref()),
                words: comment.body.unwrap_or_default(),
                at: comment.created_at,
            };
            requests.push(TaskRequest { issue, comment: Some(asking) });
        }
        Ok(requests)
    }

    /// Whether somebody may change the repository: who may only read it has no say in what is done there.
    pub async fn may_change(&self, login: &str) -> Result<bool, GitHubError> {
        let rest = format!("collaborators/{}/permission", escaped(login));
        match self.get::<wire::Permission>("asking what somebody may do", &rest).await {
            // The roles "maintain" and "triage" are told as "write" and "read" (REST reference).
            Ok(found) => Ok(matches!(found.permission.as_str(), "admin" | "write")),
            Err(GitHubError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads who set labels of an issue and who changed its words, up to the newest 100.
    pub async fn issue_history(&self, number: u64) -> Result<IssueHistory, GitHubError> {
        const HISTORY: &str = "query($owner: String!, $name: String!, $number: Int!) { \
            repository(owner: $owner, name: $name) { issue(number: $number) { lastEditedAt editor { login } \
            timelineItems(last: 100, itemTypes: [LABELED_EVENT, RENAMED_TITLE_EVENT]) { nodes { __typename \
            ... on LabeledEvent { createdAt actor { login } label { name } } \
            ... on RenamedTitleEvent { createdAt actor { login } } } } } } }";
        let what = "reading an issue's history";
        let variables = json!({ "owner": self.address.owner, "name": self.address.name, "number": number });
        let data = self.github.graphql(&self.address, what, HISTORY, variables).await?;
        history(&data["repository"]["issue"]).ok_or_else(|| self.github.nonsense(what))
    }

    /// Tells under an issue what became of it.
    pub async fn tell_issue(&self, number: u64, words: &str) -> Result<u64, GitHubError> {
        self.comment(PullRequestId(number), words).await
    }
}

fn history(issue: &Value) -> Option<IssueHistory> {
    let login = |actor: &Value| actor["login"].as_str().unwrap_or("ghost").to_owned();
    let time = |at: &Value| OffsetDateTime::parse(at.as_str()?, &Rfc3339).ok();
    let mut history = IssueHistory::default();
    for node in issue["timelineItems"]["nodes"].as_array()? {
        let deed = IssueDeed { by: login(&node["actor"]), at: time(&node["createdAt"])? };
        match node["label"]["name"].as_str() {
            Some(label) => history.labelled.push((label.to_owned(), deed)),
            None => history.changed.push(deed),
        }
    }
    if !issue["lastEditedAt"].is_null() {
        history.changed.push(IssueDeed { by: login(&issue["editor"]), at: time(&issue["lastEditedAt"])? });
    }
    Some(history)
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
    fn strangers_have_no_say() {
        let may = |text| Association::of(Some(text)).may_have_a_say();
        assert!(may("OWNER") && may("MEMBER") && may("COLLABORATOR"));
        assert!(!may("CONTRIBUTOR") && !may("NONE") && !Association::of(None).may_have_a_say());
    }

    #[test]
    fn a_history_that_leaves_out_a_time_is_not_believed() {
        let nodes = json!([
            { "createdAt": "2026-01-05T09:00:00Z", "actor": { "login": "ada" }, "label": { "name": "go" } },
            { "createdAt": "2026-01-05T09:00:02Z", "actor": null },
        ]);
        let mut issue = json!({
            "lastEditedAt": "2026-01-05T09:00:01Z", "editor": { "login": "eve" }, "timelineItems": { "nodes": nodes },
        });
        let deed = |by: &str, second: i64| IssueDeed {
            by: by.to_owned(),
            at: OffsetDateTime::from_unix_timestamp(1_767_603_600 + second).unwrap(),
        };
        let expected = IssueHistory {
            labelled: vec![("go".to_owned(), deed("ada", 0))],
            changed: vec![deed("ghost", 2), deed("eve", 1)],
        };
        assert_eq!(history(&issue), Some(expected));
        issue["lastEditedAt"] = json!("yesterday");
        assert_eq!(history(&issue), None);
        assert_eq!(history(&json!(null)), None);
    }

    #[test]
    fn a_label_with_odd_characters_is_escaped() {
        assert_eq!(escaped("good first & issue"), "good%20first%20%26%20issue");
    }
}
