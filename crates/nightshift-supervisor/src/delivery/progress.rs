//! How far a delivery is, folded from events, and the one decision of what comes next in it.
//!
//! ```text
//! receive ─▶ check ─▶ prepare pictures ─┬─ local ──────────────────────────▶ open | describe ─────────────────▶ review
//!                                       └─ GitHub ─▶ push ─▶ publish each ─▶ open | describe ─▶ route ─▶ answer ─▶ review
//! ```
//!
//! In review a draft is made ready once its checks have passed.
//!
//! A later round (after feedback) takes the same road: what was done for an older commit counts no more, what was
//! published is not published again, and the pull request that is open is described anew.

use std::collections::{BTreeMap, BTreeSet};

use nightshift_forge::LintRun;
use nightshift_protocol::{
    ArtifactId, CommitId, DeliveryTarget, EventBody, FeedbackAnswer, FeedbackItem, FeedbackSource,
    PreReviewFinding, PreReviewKind, PreparedPicture, PullRequestId, RemarkState, ReviewRemark, Task,
};

use crate::progress::Received;

/// How often a draft is tried to be made ready.
const READY_TRIES: u32 = 3;

/// How far a delivery is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DeliveryProgress {
    /// The branch as it came out of the sandbox, in this round.
    pub received: Option<Received>,
    /// What was found in the diff.
    pub findings: Vec<PreReviewFinding>,
    /// Where the work goes; known once it was checked.
    pub target: Option<DeliveryTarget>,
    /// The pictures of this round, as they may leave the machine.
    pub pictures: Vec<PreparedPicture>,
    /// The recording among them, a moving picture.
    pub recording: Option<ArtifactId>,
    /// The recording as a video, among them too.
    pub video: Option<ArtifactId>,
    /// Where what was published is seen, by the artifact that was published.
    pub published: BTreeMap<ArtifactId, String>,
    /// What stays on this machine in this round, and why, by the artifact that would have been published.
    pub kept: BTreeMap<ArtifactId, String>,
    /// The repository's lint as it was run on a commit.
    pub lint: Option<(CommitId, LintRun)>,
    /// Every commit that the branch at the forge may be at by us.
    pub pushed: Vec<CommitId>,
    /// The commit that the pull request was opened with.
    pub first: Option<CommitId>,
    /// The pull request.
    pub pull_request: Option<PullRequestId>,
    /// Where people look at it, at a remote forge.
    pub url: Option<String>,
    /// Whether its creation was intended and its outcome is not known.
    pub opening: bool,
    /// Rounds of feedback so far.
    pub rounds: u32,
    /// Rounds in which a check had failed.
    pub check_rounds: u32,
    /// All feedback so far, oldest first.
    pub feedback: Vec<FeedbackItem>,
    /// What the agent answered, by the feedback's name.
    pub answers: BTreeMap<String, FeedbackAnswer>,
    /// The answers that were given to whoever asked, by the feedback's name.
    pub told: BTreeSet<String>,
    /// Comments that wait until changes are asked for.
    pub pending: Vec<FeedbackItem>,
    /// Whether a person found the work good, and nothing was asked for since.
    pub approved: bool,
    /// The commit of the base branch that was brought into the sandbox.
    brought: Option<CommitId>,
    /// The highest number that a piece of feedback was named by.
    named: u32,
    checked: Option<CommitId>,
    prepared: Option<CommitId>,
    there: Option<CommitId>,
    described: Option<CommitId>,
    routed: bool,
    /// Whether the draft is to be made ready and it is not known that it is.
    pub(crate) readying: bool,
    /// Whether it was made ready: a person who makes it a draft again has the last word.
    readied: bool,
    /// How often the remote forge did not make it ready.
    unready: u32,
    /// The issue that asked for the task and has no link to the pull request yet.
    issue: Option<u64>,
}

/// What to do next in a delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DeliveryAction {
    /// Take the branch out of the sandbox.
    Receive,
    /// Look the diff through.
    Check(Received),
    /// Make the pictures fit to leave the machine.
    PreparePictures(Received),
    /// Push the branch.
    Push(CommitId),
    /// Publish a picture.
    Publish(PreparedPicture),
    /// Open the pull request, or find the one that was opened.
    Open(Received),
    /// Write the body anew.
    Describe(PullRequestId, Received),
    /// Add labels and ask for reviews.
    Route(PullRequestId),
    /// Make the draft ready for reviewers.
    MarkReady(PullRequestId),
    /// Link the pull request under the issue that asked for it.
    TellIssue(PullRequestId, u64),
    /// Answer a piece of feedback where it was given.
    Tell(PullRequestId, FeedbackItem, FeedbackAnswer),
    /// All is done: people decide.
    AwaitReview(PullRequestId),
}

impl DeliveryProgress {
    /// The delivery of a task's work before it begins.
    pub fn of(task: &Task) -> Self {
        Self { issue: task.issue.as_ref().map(|issue| issue.number), ..Self::default() }
    }

    /// Takes the next event in.
    pub fn apply(&mut self, body: &EventBody) {
        match body {
            EventBody::IssueTold { .. } => self.issue = None,
            // The agent has worked since: what is received is older.
            EventBody::WorkFinished { .. } => {
                self.received = None;
                // Commands, evidence and answers may be new also where no commit is.
                (self.checked, self.prepared, self.described) = (None, None, None);
            }
            EventBody::BranchReceived { head, commits, .. } => {
                self.received = Some(Received { head: head.clone(), commits: *commits });
            }
            EventBody::DeliveryChecked { head, target, findings, .. } => {
                self.checked = Some(head.clone());
                self.target = Some(*target);
                self.findings.clone_from(findings);
            }
            EventBody::PicturesPrepared { head, pictures, recording, video } => {
                self.prepared = Some(head.clone());
                // What stayed here may be taken now.
                self.kept.clear();
                self.pictures.clone_from(pictures);
                self.recording.clone_from(recording);
                self.video.clone_from(video);
            }
            EventBody::LintRan { head, command, exit_code, output_tail } => {
                let (command, output_tail) = (command.clone(), output_tail.clone());
                self.lint = Some((head.clone(), LintRun { command, exit_code: *exit_code, output_tail }));
            }
            EventBody::PushIntended { head, .. } => self.pushed.push(head.clone()),
            EventBody::BranchPushed { head, .. } => self.there = Some(head.clone()),
            EventBody::PicturePublished { artifact, url } => {
                self.published.insert(artifact.clone(), url.clone());
            }
            EventBody::PictureKept { artifact, why } => {
                self.kept.insert(artifact.clone(), why.clone());
            }
            EventBody::PullRequestIntended { .. } => self.opening = true,
            EventBody::PullRequestOpened { pull_request, url } => {
                self.opening = false;
                self.pull_request = Some(*pull_request);
                self.url.clone_from(url);
                self.first = self.received.as_ref().map(|received| received.head.clone());
                self.described.clone_from(&self.first);
            }
            EventBody::PullRequestDescribed { head } => self.described = Some(head.clone()),
            EventBody::PullRequestRouted { .. } => self.routed = true,
            EventBody::ReadyIntended { .. } => self.readying = true,
            EventBody::PullRequestReadied { why_not } => {
                self.readying = false;
                self.readied = why_not.is_none();
                self.unready += u32::from(why_not.is_some());
            }
            EventBody::FeedbackNoted { item } => {
                self.named = self.named.max(number(&item.name));
                self.pending.push(item.clone());
            }
            EventBody::BaseBroughtIn { commit } => self.brought = Some(commit.clone()),
            EventBody::SandboxStopped { .. } | EventBody::SandboxRestored { .. } => self.brought = None,
            EventBody::FeedbackWithdrawn { name } => self.pending.retain(|item| item.name != *name),
            EventBody::ReviewApproved { .. } => self.approved = true,
            EventBody::FeedbackReceived { items, .. } => {
                self.rounds += 1;
                self.readying = false;
                self.approved = false;
                self.pending.retain(|pending| !items.iter().any(|item| item.name == pending.name));
                self.named = items.iter().map(|item| number(&item.name)).fold(self.named, u32::max);
                let of_check = |item: &FeedbackItem| matches!(item.source, FeedbackSource::Check { .. });
                self.check_rounds += u32::from(items.iter().any(of_check));
                self.feedback.extend(items.iter().cloned());
            }
            // What was said of the other run's pull request is dealt with there; the agent knows it by its names.
            EventBody::RunForked { .. } => {
                *self = Self { issue: self.issue, named: self.named, ..Self::default() };
            }
            EventBody::FeedbackAnswered { answers } => {
                self.answers.extend(answers.iter().map(|answer| (answer.name.clone(), answer.clone())));
            }
            EventBody::FeedbackTold { name } => {
                self.told.insert(name.clone());
            }
            _ => {}
        }
    }

    /// What is left of it when the run goes back in time: what is out in the world stays there.
    pub(crate) fn after_rewind(&self) -> Self {
        Self { received: None, ..self.clone() }
    }

    /// Whether a draft may be made ready as soon as its checks have passed: it was not before, and nothing was found that
    /// its author had better look at first.
    pub(crate) fn may_become_ready(&self) -> bool {
        let holds = |finding: &PreReviewFinding| {
            matches!(finding.kind, PreReviewKind::PossibleSecret | PreReviewKind::LintFailed)
        };
        !self.readied && self.unready < READY_TRIES && !self.findings.iter().any(holds)
    }

    /// The commits of the base branch that the work was to be merged with, the newest first.
    pub(crate) fn bases(&self) -> impl Iterator<Item = &CommitId> {
        self.feedback.iter().rev().filter_map(|item| match &item.source {
            FeedbackSource::Conflict { base } => Some(base),
            _ => None,
        })
    }

    /// The commit of the base branch that has to be in the sandbox and is not.
    pub(crate) fn missing_base(&self) -> Option<&CommitId> {
        let newest = self.bases().next()?;
        (self.brought.as_ref() != Some(newest)).then_some(newest)
    }

    /// The name of the next piece of feedback.
    pub(crate) fn next_name(&self) -> String {
        format!("f{}", self.named + 1)
    }

    /// All that was said about the pull request and what became of it, oldest first; last what waits to be sent.
    pub fn remarks(&self) -> Vec<ReviewRemark> {
        let asked = self.feedback.iter().map(|item| {
            let answer = self.answers.get(&item.name);
            let state = match answer {
                None => RemarkState::Asked,
                Some(answer) if answer.settled => RemarkState::Resolved,
                Some(_) => RemarkState::Answered,
            };
            ReviewRemark { feedback: item.clone(), state, answer: answer.map(|answer| answer.words.clone()) }
        });
        let pending = self.pending.iter().map(|item| ReviewRemark {
            feedback: item.clone(),
            state: RemarkState::Pending,
            answer: None,
        });
        asked.chain(pending).collect()
    }
}

/// The number in a name of feedback.
fn number(name: &str) -> u32 {
    name.trim_start_matches('f').parse().unwrap_or(0)
}

/// Decides what is to be done next in a delivery. The only place that does.
pub(crate) fn next_in_delivery(progress: &DeliveryProgress) -> DeliveryAction {
    let Some(received) = progress.received.clone() else { return DeliveryAction::Receive };
    let current = |of: &Option<CommitId>| of.as_ref() == Some(&received.head);
    let (Some(target), true) = (progress.target, current(&progress.checked)) else {
        return DeliveryAction::Check(received);
    };
    if !current(&progress.prepared) {
        return DeliveryAction::PreparePictures(received);
    }
    if target == DeliveryTarget::GitHub {
        if !current(&progress.there) {
            return DeliveryAction::Push(received.head);
        }
        let unpublished = |picture: &&PreparedPicture| {
            picture.prepared.as_ref().is_some_and(|prepared| {
                !progress.published.contains_key(prepared) && !progress.kept.contains_key(prepared)
            })
        };
        if let Some(picture) = progress.pictures.iter().find(unpublished) {
            return DeliveryAction::Publish(picture.clone());
        }
    }
    let Some(pull_request) = progress.pull_request else { return DeliveryAction::Open(received) };
    if !current(&progress.described) {
        return DeliveryAction::Describe(pull_request, received);
    }
    if target == DeliveryTarget::GitHub {
        if !progress.routed {
            return DeliveryAction::Route(pull_request);
        }
        if let Some(number) = progress.issue {
            return DeliveryAction::TellIssue(pull_request, number);
        }
        let untold = |item: &&FeedbackItem| !progress.told.contains(&item.name);
        let answered = |item: &FeedbackItem| Some((item.clone(), progress.answers.get(&item.name)?.clone()));
        if let Some((item, answer)) = progress.feedback.iter().filter(untold).find_map(answered) {
            return DeliveryAction::Tell(pull_request, item, answer);
        }
        if progress.readying {
            return DeliveryAction::MarkReady(pull_request);
        }
    }
    DeliveryAction::AwaitReview(pull_request)
}

#[cfg(test)]
mod tests {
    use nightshift_protocol::DeliveryMeasure;
    use proptest::prelude::*;

    use super::*;

    fn commit(of: u8) -> CommitId {
        format!("{of:040x}").parse().unwrap()
    }

    fn artifact(of: u8) -> ArtifactId {
        format!("{of:064x}").parse().unwrap()
    }

    fn picture(of: u8) -> PreparedPicture {
        PreparedPicture {
            artifact: artifact(of),
            prepared: Some(artifact(of + 100)),
            media_type: "image/png".to_owned(),
            masked: 0,
            kept_because: None,
        }
    }

    /// What an action leads to when it goes well.
    fn outcome(action: &DeliveryAction, target: DeliveryTarget, head: u8) -> Vec<EventBody> {
        let branch = "nightshift/x-0123456789".to_owned();
        match action {
            DeliveryAction::Receive => {
                vec![EventBody::BranchReceived { branch, head: commit(head), commits: 1 }]
            }
            DeliveryAction::Check(received) => {
                let (findings, measure) = (Vec::new(), DeliveryMeasure::default());
                vec![EventBody::DeliveryChecked { head: received.head.clone(), target, findings, measure }]
            }
            DeliveryAction::PreparePictures(received) => {
                let pictures = vec![picture(1), picture(2)];
                let head = received.head.clone();
                vec![EventBody::PicturesPrepared { head, pictures, recording: None, video: None }]
            }
            DeliveryAction::Push(head) => vec![
                EventBody::PushIntended { branch: branch.clone(), head: head.clone() },
                EventBody::BranchPushed { branch, head: head.clone() },
            ],
            DeliveryAction::Publish(picture) => vec![EventBody::PicturePublished {
                artifact: picture.prepared.clone().unwrap(),
                url: "https://example.org/1.png".to_owned(),
            }],
            DeliveryAction::Open(received) => vec![
                EventBody::PullRequestIntended { head: received.head.clone() },
                EventBody::PullRequestOpened { pull_request: PullRequestId(7), url: None },
            ],
            DeliveryAction::Describe(_, received) => {
                vec![EventBody::PullRequestDescribed { head: received.head.clone() }]
            }
            DeliveryAction::Route(_) => {
                vec![EventBody::PullRequestRouted { labels: vec![], reviewers: vec![] }]
            }
            DeliveryAction::MarkReady(_) => vec![EventBody::PullRequestReadied { why_not: None }],
            DeliveryAction::TellIssue(_, number) => vec![EventBody::IssueTold { number: *number }],
            DeliveryAction::Tell(_, item, _) => vec![EventBody::FeedbackTold { name: item.name.clone() }],
            DeliveryAction::AwaitReview(_) => Vec::new(),
        }
    }

    fn name(action: &DeliveryAction) -> &'static str {
        match action {
            DeliveryAction::Receive => "receive",
            DeliveryAction::Check(_) => "check",
            DeliveryAction::PreparePictures(_) => "prepare",
            DeliveryAction::Push(_) => "push",
            DeliveryAction::Publish(_) => "publish",
            DeliveryAction::Open(_) => "open",
            DeliveryAction::Describe(..) => "describe",
            DeliveryAction::Route(_) => "route",
            DeliveryAction::MarkReady(_) => "ready",
            DeliveryAction::TellIssue(..) => "issue",
            DeliveryAction::Tell(..) => "tell",
            DeliveryAction::AwaitReview(_) => "review",
        }
    }

    fn road(progress: &mut DeliveryProgress, target: DeliveryTarget, head: u8) -> Vec<&'static str> {
        let mut road = Vec::new();
        loop {
            let action = next_in_delivery(progress);
            road.push(name(&action));
            if road.len() > 20 || matches!(action, DeliveryAction::AwaitReview(_)) {
                return road;
            }
            outcome(&action, target, head).iter().for_each(|body| progress.apply(body));
        }
    }

    fn finished() -> EventBody {
        EventBody::WorkFinished { title: String::new(), summary: String::new(), not_verified: String::new() }
    }

    #[test]
    fn a_local_delivery_pushes_and_publishes_nothing() {
        let road = road(&mut DeliveryProgress::default(), DeliveryTarget::Local, 1);
        assert_eq!(road, ["receive", "check", "prepare", "open", "review"]);
    }

    #[test]
    fn a_second_round_publishes_nothing_again_and_answers_what_was_asked() {
        let mut progress = DeliveryProgress::default();
        let first = road(&mut progress, DeliveryTarget::GitHub, 1);
        assert_eq!(
            first,
            ["receive", "check", "prepare", "push", "publish", "publish", "open", "route", "review"]
        );
        let source = FeedbackSource::Review { review: 1, author: "ada".to_owned() };
        let item = FeedbackItem { name: "f1".to_owned(), source, words: "Shorter".to_owned() };
        progress.apply(&EventBody::FeedbackReceived { round: 1, items: vec![item] });
        let answer = FeedbackAnswer { name: "f1".to_owned(), words: "Done".to_owned(), settled: true };
        progress.apply(&EventBody::FeedbackAnswered { answers: vec![answer] });
        progress.apply(&finished());
        let second = road(&mut progress, DeliveryTarget::GitHub, 2);
        assert_eq!(second, ["receive", "check", "prepare", "push", "describe", "tell", "review"]);
        assert_eq!(progress.pushed, [commit(1), commit(2)]);
    }

    #[test]
    fn a_draft_is_made_ready_once_and_not_while_something_should_be_looked_at_first() {
        let mut progress = DeliveryProgress::default();
        road(&mut progress, DeliveryTarget::GitHub, 1);
        let intended = EventBody::ReadyIntended { pull_request: PullRequestId(7) };
        assert!(progress.may_become_ready());
        progress.apply(&intended);
        assert_eq!(next_in_delivery(&progress), DeliveryAction::MarkReady(PullRequestId(7)));
        let refused = EventBody::PullRequestReadied { why_not: Some("the token may not".to_owned()) };
        let mut never = progress.clone();
        for tried in [true, true, false] {
            never.apply(&refused);
            assert_eq!(never.may_become_ready(), tried);
            assert_eq!(next_in_delivery(&never), DeliveryAction::AwaitReview(PullRequestId(7)));
        }
        progress.apply(&EventBody::PullRequestReadied { why_not: None });
        assert_eq!(next_in_delivery(&progress), DeliveryAction::AwaitReview(PullRequestId(7)));
        assert!(!progress.may_become_ready());
        for (kind, may) in [
            (PreReviewKind::PossibleSecret, false),
            (PreReviewKind::LintFailed, false),
            (PreReviewKind::Lint, true),
            (PreReviewKind::Sensitive, true),
        ] {
            let findings = vec![PreReviewFinding { kind, paths: Vec::new(), words: String::new() }];
            let looked_at = DeliveryProgress { findings, ..DeliveryProgress::default() };
            assert_eq!(looked_at.may_become_ready(), may, "{kind:?}");
        }
    }

    #[test]
    fn a_picture_that_stays_here_is_not_published_again_before_the_next_round() {
        let mut progress = DeliveryProgress::default();
        let kept = EventBody::PictureKept { artifact: artifact(101), why: "it is too large".to_owned() };
        let mut names = Vec::new();
        loop {
            let action = next_in_delivery(&progress);
            names.push(name(&action));
            match &action {
                DeliveryAction::AwaitReview(_) => break,
                DeliveryAction::Publish(one) if one.prepared == Some(artifact(101)) => progress.apply(&kept),
                action => {
                    outcome(action, DeliveryTarget::GitHub, 1).iter().for_each(|body| progress.apply(body))
                }
            }
        }
        let once = ["receive", "check", "prepare", "push", "publish", "publish", "open", "route", "review"];
        assert_eq!(names, once);
        progress.apply(&finished());
        let second = road(&mut progress, DeliveryTarget::GitHub, 2);
        assert_eq!(second, ["receive", "check", "prepare", "push", "publish", "describe", "review"]);
    }

    proptest! {
        /// Events are written before and after effects; wherever the history ends, the road goes on from there and
        /// comes to the same end, and nothing that has an outcome is done again.
        #[test]
        fn a_delivery_that_is_cut_anywhere_comes_to_its_end_without_repeating(cut in 0_usize..14) {
            let mut all = Vec::new();
            let mut whole = DeliveryProgress::default();
            loop {
                let action = next_in_delivery(&whole);
                if matches!(action, DeliveryAction::AwaitReview(_)) {
                    break;
                }
                for body in outcome(&action, DeliveryTarget::GitHub, 1) {
                    whole.apply(&body);
                    all.push(body);
                }
            }
            let mut again = DeliveryProgress::default();
            all.iter().take(cut).for_each(|body| again.apply(body));
            road(&mut again, DeliveryTarget::GitHub, 1);
            // An intention without an outcome is written a second time; the place is the same.
            again.pushed.dedup();
            prop_assert_eq!(again, whole);
        }
    }
}
