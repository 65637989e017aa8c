//! Which issues become tasks, and what the task says: pure decisions.
//!
//! ```text
//! requests ─ wanted ─▶ tasks without a run ─ asking ─▶ who asks, and when ─ refusal ─▶ none: it begins
//!                                              ▲ the issue's history        ▲ who may change the repository
//! ```
//!
//! What a person vouches for is what they saw: words that somebody without a say changed after that are not followed.

use std::collections::BTreeSet;

use nightshift_forge::compose_answer;
use nightshift_forge::github::{Association, IssueHistory, TaskRequest};
use nightshift_protocol::{IssueReference, OffsetDateTime};

use super::IssueSettings;
use super::marks::mark_of_issue;

/// The longest body of an issue that goes into a task, in characters.
const LONGEST: usize = 20_000;

/// A task that an issue asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IssueTask {
    pub(crate) description: String,
    pub(crate) issue: IssueReference,
    /// Who asks by a comment and when; `None` when the label does, which the issue's history tells of.
    comment: Option<Asking>,
}

/// Who asks for a task, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) who: String,
    at: OffsetDateTime,
}

/// The tasks that are asked for and that there is no run for yet: those of the issues in `known` have one.
///
/// A label asks once for each issue, a mention once for each comment. Whoever is not named in the settings asks for
/// nothing by a mention, and a login counts only with a say in the repository: an account may be renamed, and its name
/// taken.
pub(crate) fn wanted(
    settings: &IssueSettings,
    requests: Vec<TaskRequest>,
    known: &[IssueReference],
) -> Vec<IssueTask> {
    let mut wanted: Vec<IssueTask> = Vec::new();
    for request in requests {
        let permitted = match &request.comment {
            None => settings.label.is_some(),
            Some(comment) => is_named(settings, &comment.author) && comment.association.may_have_a_say(),
        };
        let id = request.comment.as_ref().map(|comment| comment.id);
        let same = |issue: &IssueReference| issue.number == request.issue.number && issue.comment == id;
        let there = known.iter().any(same);
        if permitted && !there && !wanted.iter().any(|task| same(&task.issue)) {
            wanted.push(task_of(request));
        }
    }
    wanted
}

fn is_named(settings: &IssueSettings, login: &str) -> bool {
    settings.who.iter().any(|named| named.eq_ignore_ascii_case(login))
}

impl IssueTask {
    /// Who asks: whoever wrote the comment, or who set the label last. `None` when the label was set too long ago to be
    /// told of.
    pub(crate) fn asking(&self, settings: &IssueSettings, history: &IssueHistory) -> Option<Asking> {
        if let Some(asking) = &self.comment {
            return Some(asking.clone());
        }
        let label = settings.label.as_deref()?;
        let set = history.labelled.iter().filter(|(name, _)| name.eq_ignore_ascii_case(label));
        set.map(|(_, deed)| deed)
            .max_by_key(|deed| deed.at)
            .map(|deed| Asking { who: deed.by.clone(), at: deed.at })
    }
}

/// Why a task that an issue asks for does not begin, and by which asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// One sentence without its full stop.
    pub(crate) why: String,
    /// When it was asked for, in seconds since 1970: each asking is answered once.
    asked: i64,
}

impl Refusal {
    /// It is not known who asks.
    pub(crate) fn unknown() -> Self {
        Self { why: "nobody is known to have set its label: set it again".to_owned(), asked: 0 }
    }

    /// What it is marked as under the issue.
    pub(crate) fn mark(&self) -> String {
        mark_of_issue(&format!("refused {}", self.asked))
    }

    /// What is said under the issue.
    pub(crate) fn words(&self) -> String {
        format!("{}\n\n{}", compose_answer(&format!("No task was begun: {}.", self.why)), self.mark())
    }
}

impl Asking {
    /// All whose permission decides: who asks, and who changed the issue's words after that.
    pub(crate) fn people<'a>(&'a self, history: &'a IssueHistory) -> BTreeSet<&'a str> {
        let since = history.changed.iter().filter(|change| change.at >= self.at);
        since.map(|change| change.by.as_str()).chain([self.who.as_str()]).collect()
    }

    /// Why the task does not begin; `None` when it may. `may_change` are those of [`Self::people`] who may change the
    /// repository.
    pub(crate) fn refusal(&self, history: &IssueHistory, may_change: &BTreeSet<&str>) -> Option<Refusal> {
        let refused = |why: String| Some(Refusal { why, asked: self.at.unix_timestamp() });
        if !may_change.contains(self.who.as_str()) {
            return refused(format!("{} may not change the repository", self.who));
        }
        let stranger = self.people(history).into_iter().find(|login| !may_change.contains(login))?;
        refused(format!(
            "{stranger}, who may not change the repository, changed the issue's words after it was asked for: read \
             them, and set the label or mention again"
        ))
    }
}

/// Whether somebody who is this to a repository has a say in it. Its owner has; of others it is asked what they may.
pub(crate) fn has_a_say(association: Association, may_change: impl FnOnce() -> bool) -> bool {
    match association {
        Association::Owner => true,
        Association::Member | Association::Collaborator => may_change(),
        Association::Other => false,
    }
}

fn task_of(request: TaskRequest) -> IssueTask {
    let TaskRequest { issue, comment } = request;
    let mut description = format!("{}\n\n{}", issue.title.trim(), issue.body.trim());
    if let Some(comment) = &comment {
        description.push_str(&format!("\n\nA comment asks for this now:\n\n{}", comment.words.trim()));
    }
    let mut cut: String = description.trim().chars().take(LONGEST).collect();
    if cut.len() < description.trim().len() {
        cut.push('…');
    }
    let id = comment.as_ref().map(|comment| comment.id);
    IssueTask {
        description: cut,
        issue: IssueReference { number: issue.number, url: issue.url, comment: id },
        comment: comment.map(|comment| Asking { who: comment.author, at: comment.at }),
    }
}

#[cfg(test)]
mod tests {
    use nightshift_forge::github::{AskingComment, IssueDeed, RemoteIssue};

    use super::*;

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000 + second).unwrap()
    }

    fn request(number: u64, comment: Option<(&str, Association, u64)>) -> TaskRequest {
        let issue = RemoteIssue {
            number,
            title: "Dark mode".to_owned(),
            body: "At night it is too bright.".to_owned(),
            url: format!("https://h/i/{number}"),
            author: "eve".to_owned(),
            association: Association::Other,
        };
        let comment = comment.map(|(author, association, id)| AskingComment {
            id,
            author: author.to_owned(),
            association,
            words: "@nightshift please".to_owned(),
            at: at(100),
        });
        TaskRequest { issue, comment }
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

    fn deed(by: &str, second: i64) -> IssueDeed {
        IssueDeed { by: by.to_owned(), at: at(second) }
    }

    #[test]
    fn by_default_nobody_may_ask() {
        let requests = vec![request(1, None), request(2, Some(("ada", Association::Owner, 9)))];
        assert_eq!(asked(&IssueSettings::default(), requests), []);
    }

    #[test]
    fn a_mention_counts_of_those_who_are_named_and_may_have_a_say() {
        let requests = vec![
            request(1, Some(("ada", Association::Member, 9))),
            request(2, Some(("eve", Association::Owner, 10))),
            request(3, Some(("ada", Association::Other, 11))),
        ];
        assert_eq!(asked(&settings(), requests), [(1, Some(9))]);
    }

    #[test]
    fn each_label_and_each_comment_asks_once() {
        assert_eq!(asked(&settings(), vec![request(1, None), request(1, None)]), [(1, None)]);
    }

    #[test]
    fn the_task_says_what_the_issue_says_and_what_was_asked() {
        let tasks = wanted(&settings(), vec![request(1, Some(("ada", Association::Owner, 9)))], &[]);
        assert_eq!(
            tasks[0].description,
            "Dark mode\n\nAt night it is too bright.\n\nA comment asks for this now:\n\n@nightshift please"
        );
    }

    #[test]
    fn of_a_label_whoever_set_it_last_asks_and_of_a_comment_its_author() {
        let named = |label: &str, deed| (label.to_owned(), deed);
        let history = IssueHistory {
            labelled: vec![
                named("nightshift", deed("bob", 5)),
                named("Nightshift", deed("cleo", 7)),
                named("bug", deed("eve", 9)),
            ],
            changed: Vec::new(),
        };
        let asking = |request, history: &IssueHistory| {
            wanted(&settings(), vec![request], &[])[0].asking(&settings(), history)
        };
        let of = |who: &str, second| Some(Asking { who: who.to_owned(), at: at(second) });
        assert_eq!(asking(request(1, None), &history), of("cleo", 7));
        assert_eq!(asking(request(1, None), &IssueHistory::default()), None);
        let comment = request(1, Some(("ada", Association::Member, 9)));
        assert_eq!(asking(comment, &history), of("ada", 100));
    }

    #[test]
    fn words_that_a_stranger_changed_after_they_were_vouched_for_are_not_followed() {
        let asking = Asking { who: "ada".to_owned(), at: at(10) };
        let refusal = |changed: Vec<IssueDeed>, may: &[&str]| {
            let history = IssueHistory { labelled: Vec::new(), changed };
            let people = asking.people(&history);
            let may: BTreeSet<&str> = may.iter().copied().filter(|login| people.contains(login)).collect();
            asking.refusal(&history, &may).map(|refusal| refusal.why)
        };
        let begins = [vec![], vec![deed("eve", 9)], vec![deed("bob", 11)]];
        for changed in begins {
            assert_eq!(refusal(changed.clone(), &["ada", "bob"]), None, "{changed:?}");
        }
        // In the same second nobody knows what was first.
        for second in [10, 11] {
            let why = refusal(vec![deed("bob", 12), deed("eve", second)], &["ada", "bob"]).unwrap();
            assert!(why.starts_with("eve, who may not change the repository, changed"), "{why}");
        }
        assert_eq!(refusal(vec![], &["bob"]), Some("ada may not change the repository".to_owned()));
    }

    #[test]
    fn a_refusal_says_why_calls_nobody_and_is_told_apart_by_when_it_was_asked_for() {
        let refusal = |who: &str, second| {
            let asking = Asking { who: who.to_owned(), at: at(second) };
            asking.refusal(&IssueHistory::default(), &BTreeSet::new()).unwrap()
        };
        assert_eq!(
            refusal("eve", 1).words(),
            "No task was begun: eve may not change the repository.\n\n<!-- nightshift issue refused 1800000001 -->"
        );
        assert!(refusal("@ada", 1).words().starts_with("No task was begun: @&#8203;ada may"));
        assert_ne!(refusal("eve", 1).mark(), refusal("eve", 2).mark());
        assert!(Refusal::unknown().words().ends_with("set it again.\n\n<!-- nightshift issue refused 0 -->"));
    }

    #[test]
    fn an_owner_has_a_say_a_stranger_has_none_and_others_as_they_may_change_the_repository() {
        use Association::{Collaborator, Member, Other, Owner};
        let says = |association| [false, true].map(|may| has_a_say(association, || may));
        assert_eq!(
            [Owner, Member, Collaborator, Other].map(says),
            [[true, true], [false, true], [false, true], [false, false]]
        );
    }
}
