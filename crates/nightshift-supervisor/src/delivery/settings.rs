//! What a person may set about deliveries.

use std::time::Duration;

use nightshift_forge::secrets::{Redactor, Secret};

/// How work is delivered.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Whether pull requests at a remote forge begin as drafts. They become ready when their checks have passed.
    pub draft: bool,
    /// Labels of pull requests at a remote forge.
    pub labels: Vec<String>,
    /// Who is asked to review, by login.
    pub reviewers: Vec<String>,
    /// Paths that agents may not change; `*` stands for any characters.
    pub forbidden_paths: Vec<String>,
    /// Which pictures leave the machine.
    pub pictures: PicturePolicy,
    /// Whether the recording is made as a video too, where ffmpeg is installed.
    pub video: bool,
    /// How many pull requests may wait for a review before new tasks stay queued; any number if `None`.
    pub review_limit: Option<u32>,
    /// How often a critic may look at finished work whose task has acceptance criteria and says nothing else.
    pub self_review_rounds: u32,
    /// How often the agent deals with failing checks before a person has to.
    pub check_rounds: u32,
    /// How often pull requests at a remote forge are looked at.
    pub poll_every: Duration,
    /// What a remote forge signs its webhooks with; none are taken without it.
    pub webhook_secret: Option<Secret>,
    /// Which issues become tasks.
    pub issues: IssueSettings,
    /// The address of the app on this machine, without a slash at the end, for links to what stays here.
    pub app_url: Option<String>,
    /// Finds secrets in what is kept and in what leaves the machine.
    pub redactor: Redactor,
}

impl Default for DeliverySettings {
    /// No drafts, the label `nightshift`, pictures that were read, no limit of reviews, two self-reviews, two rounds for failing checks, a
    /// look each minute.
    fn default() -> Self {
        Self {
            draft: false,
            labels: vec!["nightshift".to_owned()],
            reviewers: Vec::new(),
            forbidden_paths: vec![".github/workflows/".to_owned()],
            pictures: PicturePolicy::Read,
            video: true,
            review_limit: None,
            self_review_rounds: 2,
            check_rounds: 2,
            poll_every: Duration::from_secs(60),
            webhook_secret: None,
            issues: IssueSettings::default(),
            app_url: None,
            redactor: Redactor::default(),
        }
    }
}

/// Which issues become tasks. By default none do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IssueSettings {
    /// The repositories that are looked at, as a task would name them.
    pub repositories: Vec<String>,
    /// The label that asks for a task. Sites let only those set labels who have a say in the repository.
    pub label: Option<String>,
    /// The name that a comment mentions to ask for a task, without `@`.
    pub mention: Option<String>,
    /// Who may ask by a mention, by login.
    pub who: Vec<String>,
}

/// Which pictures leave the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PicturePolicy {
    /// Those whose text was read and masked where it looks like a secret. Without a program that reads, none.
    Read,
    /// All, as they are: a person vouches for what their repositories show.
    Unread,
    /// None.
    Never,
}
