//! What is worth a notification: a run that needs its person, is ready for review, or failed. Nothing else is.

use nightshift_protocol::{PauseReason, RunId, RunState, RunSummary};

use crate::Place;

/// Longest title and detail of a notification, in characters.
const TITLE: usize = 80;
const DETAIL: usize = 220;

/// What a run wants of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeedKind {
    /// Its agent asked something.
    Question,
    /// It is paused, and not because a person paused it.
    Decision,
    /// Its pull request is ready.
    Review,
    /// It cannot go on.
    Failure,
}

/// What a run wants of a person, and the words for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What.
    pub kind: NeedKind,
    /// The question, or why it is paused or failed.
    pub detail: String,
}

impl Need {
    /// What a run in that state wants, or `None` if it wants nothing.
    pub fn of(state: &RunState) -> Option<Self> {
        let need = |kind, detail: &str| Some(Self { kind, detail: clean(detail, DETAIL) });
        match state {
            RunState::Waiting { question, .. } => need(NeedKind::Question, question),
            RunState::Paused { reason: PauseReason::Limit { limit } } => {
                need(NeedKind::Decision, &format!("Limit reached: {limit}"))
            }
            RunState::Paused { reason: PauseReason::Trouble { error } } => {
                need(NeedKind::Decision, &error.message)
            }
            RunState::InReview { pull_request } => {
                need(NeedKind::Review, &format!("Pull request #{}", pull_request.0))
            }
            RunState::Failed { reason } => need(NeedKind::Failure, &reason.error.message),
            RunState::Paused { reason: PauseReason::Person }
            | RunState::Queued { .. }
            | RunState::Preparing { .. }
            | RunState::Working
            | RunState::Delivering
            | RunState::Merged { .. }
            | RunState::Closed { .. }
            | RunState::Cancelled => None,
        }
    }

    /// Whether it is among what waits for a person: a failure is news and waits for nothing.
    pub fn waits(&self) -> bool {
        self.kind != NeedKind::Failure
    }

    /// Where a person sees to it.
    pub fn place(&self, run: &RunId) -> Place {
        match self.kind {
            NeedKind::Review => Place::Review { run: run.clone() },
            NeedKind::Question | NeedKind::Decision | NeedKind::Failure => {
                Place::Run { run: run.clone(), at: None }
            }
        }
    }

    /// The words for it before a task's title.
    pub fn words(&self) -> &'static str {
        match self.kind {
            NeedKind::Question => "Asks you",
            NeedKind::Decision => "Paused, needs you",
            NeedKind::Review => "Ready for review",
            NeedKind::Failure => "Failed",
        }
    }
}

/// One notification. A run has one at a time: a newer one takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// The run it is about.
    pub run: RunId,
    /// The first line.
    pub title: String,
    /// The rest; plain text.
    pub body: String,
    /// Where a click leads.
    pub place: Place,
}

impl News {
    /// What a run wants now that it did not want before.
    pub fn of(before: Option<&Need>, run: &RunSummary) -> Option<Self> {
        let need = Need::of(&run.state)?;
        if before == Some(&need) {
            return None;
        }
        Some(Self {
            run: run.run.clone(),
            title: format!("{}: {}", need.words(), title(run)),
            place: need.place(&run.run),
            body: need.detail,
        })
    }
}

/// A run's title as menus and notifications show it.
pub(crate) fn title(run: &RunSummary) -> String {
    clean(run.task.title().trim_start_matches('#'), TITLE)
}

/// One line of text that cannot turn around, hide or break out of where it is shown.
pub(crate) fn clean(text: &str, longest: usize) -> String {
    let turns = |letter: &char| matches!(letter, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    let words: Vec<String> = text
        .split(|letter: char| letter.is_whitespace() || letter.is_control())
        .map(|word| word.chars().filter(|letter| !turns(letter)).collect::<String>())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    if line.chars().count() <= longest {
        return line;
    }
    line.chars().take(longest - 1).chain(['…']).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use nightshift_protocol::{
        Approval, ErrorCode, FailureReason, Glance, Limits, OffsetDateTime, PreparingPhase, PullRequestId,
        QueueReason, Reviewing, Task, Usage, UserError,
    };

    use super::*;

    pub(crate) fn run_in(id: &str, state: RunState) -> RunSummary {
        RunSummary {
            attempt: None,
            forked_from: None,
            run: id.parse().unwrap(),
            task: Task {
                id: "task-0000000000".parse().unwrap(),
                description: "Translate the error pages\n\nInto German.".to_owned(),
                repository: "/src/depot".to_owned(),
                base_branch: "main".to_owned(),
                base_commit: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
                model: "m".to_owned(),
                limits: Limits::default(),
                criteria: Vec::new(),
                self_review_rounds: 0,
                approval: Approval::default(),
                engine: None,
                issue: None,
                created_at: OffsetDateTime::UNIX_EPOCH,
            },
            state,
            sandbox: None,
            suspended: false,
            branch: "nightshift/x".to_owned(),
            turns: 1,
            steps: 1,
            usage: Usage::default(),
            subagents: Vec::new(),
            glance: Glance::default(),
            reviewing: Reviewing::default(),
            last_seq: 1,
            updated_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    pub(crate) fn waiting(question: &str) -> RunState {
        RunState::Waiting { question: question.to_owned(), approval: None }
    }

    fn error() -> UserError {
        UserError::new(ErrorCode::WrongKey, "the provider refused the key", "Set another.")
    }

    /// One state of each kind, and the need in it.
    pub(crate) fn states() -> Vec<(RunState, Option<NeedKind>)> {
        let number = PullRequestId(7);
        vec![
            (RunState::Queued { reason: QueueReason::Submitted }, None),
            (RunState::Preparing { phase: PreparingPhase::Sandbox }, None),
            (RunState::Working, None),
            (waiting("Sie or du?"), Some(NeedKind::Question)),
            (RunState::Delivering, None),
            (RunState::InReview { pull_request: number }, Some(NeedKind::Review)),
            (RunState::Paused { reason: PauseReason::Person }, None),
            (
                RunState::Paused { reason: PauseReason::Limit { limit: "3 US dollars".to_owned() } },
                Some(NeedKind::Decision),
            ),
            (RunState::Paused { reason: PauseReason::Trouble { error: error() } }, Some(NeedKind::Decision)),
            (RunState::Merged { pull_request: number }, None),
            (RunState::Closed { pull_request: number }, None),
            (RunState::Cancelled, None),
            (RunState::Failed { reason: FailureReason { error: error() } }, Some(NeedKind::Failure)),
        ]
    }

    #[test]
    fn only_what_needs_a_person_is_finished_or_failed_is_news() {
        for (state, kind) in states() {
            let run = run_in("run-0000000001", state.clone());
            assert_eq!(News::of(None, &run).is_some(), kind.is_some(), "{state:?}");
            assert_eq!(Need::of(&state).map(|need| need.kind), kind);
        }
    }

    #[test]
    fn news_says_what_is_wanted_and_leads_there() {
        let said: Vec<String> = states()
            .into_iter()
            .filter_map(|(state, _)| News::of(None, &run_in("run-0000000001", state)))
            .map(|news| format!("{} | {} | {}", news.title, news.body, news.place.path()))
            .collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        Asks you: Translate the error pages | Sie or du? | /runs/run-0000000001
        Ready for review: Translate the error pages | Pull request #7 | /review/run-0000000001
        Paused, needs you: Translate the error pages | Limit reached: 3 US dollars | /runs/run-0000000001
        Paused, needs you: Translate the error pages | the provider refused the key | /runs/run-0000000001
        Failed: Translate the error pages | the provider refused the key | /runs/run-0000000001
        ");
    }

    #[test]
    fn what_is_wanted_already_is_no_news_and_another_question_is() {
        let run = run_in("run-0000000001", waiting("Which port?"));
        let before = Need::of(&run.state);
        assert_eq!(News::of(before.as_ref(), &run), None);
        let next = run_in("run-0000000001", waiting("Which host?"));
        assert_eq!(News::of(before.as_ref(), &next).unwrap().body, "Which host?");
    }

    #[test]
    fn text_of_an_agent_stays_one_plain_line() {
        assert_eq!(clean("  one\n\ttwo\u{202e}three\u{7}  ", 40), "one twothree");
        assert_eq!(clean("\u{200b}\n", 40), "");
        assert_eq!(clean(&"x".repeat(50), 10), format!("{}…", "x".repeat(9)));
    }
}
