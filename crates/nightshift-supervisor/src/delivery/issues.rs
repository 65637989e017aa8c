//! Which issues become tasks, and what the task says: pure decisions.

use nightshift_forge::github::TaskRequest;
use nightshift_protocol::{IssueReference, Task};

use super::IssueSettings;

/// The longest body of an issue that goes into a task, in characters.
const LONGEST: usize = 20_000;

/// A task that an issue asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssueTask {
    pub(crate) description: String,
    pub(crate) issue: IssueReference,
}

/// The tasks that are asked for by whoever may, and that there is no run for yet.
///
/// A label asks once for each issue, a mention once for each comment. Whoever is not named in the settings asks for
/// nothing, and a login counts only with a say in the repository: an account may be renamed, and its name taken.
pub(crate) fn wanted(settings: &IssueSettings, requests: Vec<TaskRequest>, known: &[Task]) -> Vec<IssueTask> {
    let mut wanted: Vec<IssueTask> = Vec::new();
    for request in requests {
        let named = settings.who.iter().any(|login| login.eq_ignore_ascii_case(&request.asked_by));
        let permitted = match request.comment {
            None => settings.label.is_some(),
            Some(_) => named && request.association.is_trusted(),
        };
        let same =
            |issue: &IssueReference| issue.number == request.issue.number && issue.comment == request.comment;
        let there = known.iter().filter_map(|task| task.issue.as_ref()).any(same);
        if permitted && !there && !wanted.iter().any(|task| same(&task.issue)) {
            wanted.push(task_of(request));
        }
    }
    wanted
}

fn task_of(request: TaskRequest) -> IssueTask {
    let TaskRequest { issue, comment, words, .. } = request;
    let mut description = format!("{}\n\n{}", issue.title.trim(), issue.body.trim());
    if let Some(words) = words {
        description.push_str(&format!("\n\nA comment asks for this now:\n\n{}", words.trim()));
    }
    let mut cut: String = description.trim().chars().take(LONGEST).collect();
    if cut.len() < description.trim().len() {
        cut.push('…');
    }
    IssueTask { description: cut, issue: IssueReference { number: issue.number, url: issue.url, comment } }
}

#[cfg(test)]
mod tests {
    use nightshift_forge::github::{Association, RemoteIssue};

    use super::*;

    fn request(number: u64, asked_by: &str, association: Association, comment: Option<u64>) -> TaskRequest {
        let issue = RemoteIssue {
            number,
            title: "Dark mode".to_owned(),
            body: "At night it is too bright.".to_owned(),
            url: format!("https://h/i/{number}"),
            author: "eve".to_owned(),
            association: Association::Other,
        };
        let words = comment.map(|_| "@nightshift please".to_owned());
        TaskRequest { issue, asked_by: asked_by.to_owned(), association, comment, words }
    }

    fn settings() -> IssueSettings {
        IssueSettings {
            repositories: vec!["o/r".to_owned()],
            label: Some("nightshift".to_owned()),
            mention: Some("nightshift".to_owned()),
            who: vec!["Ada".to_owned()],
        }
    }

    fn asked(settings: &IssueSettings, requests: Vec<TaskRequest>) -> Vec<(u64, Option<u64>)> {
        let tasks = wanted(settings, requests, &[]).into_iter();
        tasks.map(|task| (task.issue.number, task.issue.comment)).collect()
    }

    #[test]
    fn by_default_nobody_may_ask() {
        let requests =
            vec![request(1, "ada", Association::Owner, None), request(2, "ada", Association::Owner, Some(9))];
        assert_eq!(asked(&IssueSettings::default(), requests), []);
    }

    #[test]
    fn a_mention_counts_of_those_who_are_named_and_have_a_say() {
        let requests = vec![
            request(1, "ada", Association::Member, Some(9)),
            request(2, "eve", Association::Owner, Some(10)),
            request(3, "ada", Association::Other, Some(11)),
        ];
        assert_eq!(asked(&settings(), requests), [(1, Some(9))]);
    }

    #[test]
    fn each_label_and_each_comment_asks_once() {
        let twice = || request(1, "eve", Association::Collaborator, None);
        assert_eq!(asked(&settings(), vec![twice(), twice()]), [(1, None)]);
    }

    #[test]
    fn the_task_says_what_the_issue_says_and_what_was_asked() {
        let tasks = wanted(&settings(), vec![request(1, "ada", Association::Owner, Some(9))], &[]);
        assert_eq!(
            tasks[0].description,
            "Dark mode\n\nAt night it is too bright.\n\nA comment asks for this now:\n\n@nightshift please"
        );
    }
}
