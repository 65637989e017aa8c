//! The GitHub side against a GitHub on the wire.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use nightshift_forge::github::{
    Addresses, AppKey, Association, Checks, Credential, GitHub, GitHubError, GitHubSettings, IssueHistory,
    NewRemotePullRequest, PictureFile, Remote, RemoteState, UploadError,
};
use nightshift_forge::secrets::{Redactor, Secret};
use nightshift_forge::{
    BaseBranch, BranchName, Delivery, Forge, Git, GitCredential, PICTURES_BRANCH, PushError, ReceiveLimits,
    Repository, Source, inspect,
};
use nightshift_protocol::{Clock, CommitId, OffsetDateTime, PullRequestId};
use nightshift_testing::github::{self as fake, Fault, IssueComment, Token};

use crate::support;

pub(crate) const TOKEN: &str = "ghp_0123456789abcdefghijklmnopqrstuvwxyz";

#[derive(Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

pub(crate) struct Bench {
    pub(crate) site: fake::GitHub,
    pub(crate) remote: Remote,
    pub(crate) repository: Repository,
    pub(crate) head: CommitId,
    pub(crate) branch: BranchName,
    _root: tempfile::TempDir,
}

pub(crate) fn account(site: &fake::GitHub, credential: Credential) -> GitHub {
    account_with(site, credential, Redactor::default())
}

fn account_with(site: &fake::GitHub, credential: Credential, redactor: Redactor) -> GitHub {
    let mut addresses = Addresses::of_site(&site.web_url());
    addresses.uploads = Some(site.uploads_url());
    let settings = GitHubSettings { addresses, credential, proxy: None, no_proxy: None, redactor };
    GitHub::new(settings, Arc::new(Now)).unwrap()
}

/// A site with a repository `o/r`, our copy of it, and a commit of a run in our copy that is not pushed.
pub(crate) async fn bench() -> Bench {
    let root = tempfile::tempdir().unwrap();
    let person = support::Bench::new().await;
    let site = fake::GitHub::start(root.path()).await;
    site.admit(TOKEN, Token::Personal, "nightshift");
    site.add_repository("o", "r", &person.person.folder).unwrap();
    let github = account(&site, Credential::Token(Secret::new(TOKEN)));
    let source: Source = format!("{}/o/r", site.web_url()).parse().unwrap();
    let remote = github.remote(&source).unwrap();

    let credential = GitCredential::for_site(github.web()).unwrap();
    credential.set(&Secret::new(TOKEN)).unwrap();
    let git = Git::new(std::env::vars_os()).with_credential(credential);
    let forge = Forge::open(&root.path().join("forge"), git.clone()).await.unwrap();
    let checkout = inspect(&git, &source, BaseBranch::Current).await.unwrap();
    let repository = forge.repository(&source);
    repository.import(&checkout).await.unwrap();
    let branch: BranchName = "nightshift/dark-mode-0123456789".parse().unwrap();
    let sandbox = person.sandbox("sandbox", &branch).await;
    let head = sandbox.commit("app.js", "dark\n");
    let bundle = sandbox.bundle(&[branch.as_str()]);
    let delivery = Delivery { branch: branch.clone(), base: checkout.commit, previous: None };
    repository.receive(&bundle, &delivery, &ReceiveLimits::default()).await.unwrap();
    Bench { site, remote, repository, head, branch, _root: root }
}

impl Bench {
    pub(crate) fn new_pull_request(&self) -> NewRemotePullRequest {
        NewRemotePullRequest {
            title: "Add dark mode".to_owned(),
            body: "It is dark.".to_owned(),
            branch: self.branch.clone(),
            base: "main".parse().unwrap(),
            draft: true,
        }
    }

    pub(crate) async fn push(&self) {
        self.repository.push(&self.remote.git_url(), &self.branch, &self.head, &[]).await.unwrap();
    }
}

#[tokio::test]
async fn a_branch_is_pushed_once_and_its_pull_request_opened_once() {
    let bench = bench().await;
    bench.push().await;
    bench.push().await;
    assert_eq!(bench.site.head("o", "r", bench.branch.as_str()), Some(bench.head.to_string()));
    let opened = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap();
    let again = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap();
    assert_eq!(opened.number, again.number);
    assert_eq!((opened.state.clone(), opened.draft, &opened.head), (RemoteState::Open, true, &bench.head));
    let found = bench.remote.find_pull_request(&bench.branch, &"main".parse().unwrap()).await.unwrap();
    assert_eq!(found.unwrap().number, opened.number);
    assert_eq!(bench.site.pull_requests("o", "r").len(), 1);
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_pull_request_is_dressed_updated_readied_and_merged() {
    let bench = bench().await;
    bench.push().await;
    let opened = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap();
    let number = opened.number;
    bench.remote.add_labels(number, &["agent".to_owned()]).await.unwrap();
    bench.remote.request_reviewers(number, &["ada".to_owned()]).await.unwrap();
    bench.remote.update_body(number, "It is darker.").await.unwrap();
    bench.remote.mark_ready(&opened).await.unwrap();
    let merged = bench.remote.merge(number, &bench.head).await.unwrap();
    let seen = bench.remote.pull_request(number).await.unwrap();
    assert_eq!(seen.state, RemoteState::Merged { commit: Some(merged) });
    let there = &bench.site.pull_requests("o", "r")[0];
    assert!(there.labels.contains("agent") && there.reviewers.contains("ada"));
    assert_eq!((there.body.as_str(), there.draft), ("It is darker.", false));
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_found() {
    let bench = bench().await;
    bench.push().await;
    bench.site.fail_next("pulls/create", Fault::CutAfterActing, 1);
    let cut = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap_err();
    assert!(cut.may_pass(), "{cut}");
    let found = bench.remote.find_pull_request(&bench.branch, &"main".parse().unwrap()).await.unwrap();
    assert_eq!(found.unwrap().number, PullRequestId(1));
}

#[tokio::test]
async fn a_push_whose_answer_is_lost_is_found() {
    let bench = bench().await;
    bench.site.fail_next("git/receive-pack", Fault::CutAfterActing, 1);
    let _either_way = bench.repository.push(&bench.remote.git_url(), &bench.branch, &bench.head, &[]).await;
    bench.push().await;
    assert_eq!(bench.site.head("o", "r", bench.branch.as_str()), Some(bench.head.to_string()));
}

#[tokio::test]
async fn what_somebody_else_pushed_is_not_overwritten() {
    let bench = bench().await;
    bench.push().await;
    let base = bench.site.head("o", "r", "main").unwrap();
    let back: CommitId = base.parse().unwrap();
    let refused =
        bench.repository.push(&bench.remote.git_url(), &bench.branch, &back, &[]).await.unwrap_err();
    assert!(matches!(refused, PushError::Moved { .. }), "{refused}");
    bench
        .repository
        .push(&bench.remote.git_url(), &bench.branch, &back, std::slice::from_ref(&bench.head))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_short_limit_is_waited_for_and_a_passing_failure_is_tried_again() {
    let bench = bench().await;
    bench.site.fail_next("pulls/list", Fault::SecondaryLimit { retry_after: 1 }, 1);
    let base = "main".parse().unwrap();
    let began = std::time::Instant::now();
    assert_eq!(bench.remote.find_pull_request(&bench.branch, &base).await.unwrap(), None);
    assert!(began.elapsed() >= Duration::from_millis(900));
    bench.site.fail_next("pulls/list", Fault::ServerError, 2);
    assert_eq!(bench.remote.find_pull_request(&bench.branch, &base).await.unwrap(), None);
    bench.site.fail_next("pulls/list", Fault::RateLimited { resets_in: 3_000 }, 1);
    let refused = bench.remote.find_pull_request(&bench.branch, &base).await.unwrap_err();
    assert!(matches!(refused, GitHubError::RateLimited { .. }), "{refused}");
}

#[tokio::test]
async fn comments_are_answered_in_their_threads_and_resolved() {
    let bench = bench().await;
    bench.push().await;
    let number = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap().number;
    let comments = [("README.md", 1, "Why?"), ("README.md", 2, "Shorter, please.")];
    let ids = bench.site.review(("o", "r", number.0), "ada", "CHANGES_REQUESTED", "Two things.", &comments);
    bench.remote.reply(number, ids[1], "It is shorter now.").await.unwrap();
    bench.remote.resolve(number, ids[1]).await.unwrap();
    bench.remote.resolve(number, ids[1]).await.unwrap();
    let threads = bench.remote.review_threads(number).await.unwrap();
    let said: Vec<Vec<&str>> =
        threads.iter().map(|thread| thread.said.iter().map(|one| one.words.as_str()).collect()).collect();
    assert_eq!(said, [vec!["Why?"], vec!["Shorter, please.", "It is shorter now."]]);
    assert_eq!(threads[0].said[0].association, Association::Member);
    assert_eq!(bench.site.resolved_threads("o", "r"), [ids[1]]);
    let reviews = bench.remote.reviews(number).await.unwrap();
    assert!(reviews[0].asks_for_changes && reviews[0].words == "Two things.");
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn checks_are_not_judged_before_all_have_ended() {
    let bench = bench().await;
    bench.push().await;
    let check = |name: &str, conclusion: Option<&str>| fake::CheckRun {
        id: 0,
        sha: bench.head.to_string(),
        name: name.to_owned(),
        conclusion: conclusion.map(str::to_owned),
        summary: "1 test failed".to_owned(),
    };
    bench.site.check("o", "r", check("lint", Some("success")));
    bench.site.check("o", "r", check("test", None));
    let running = bench.remote.checks(&bench.head).await.unwrap();
    assert_eq!(running, Checks { failures: Vec::new(), passed: 1, running: true, unclear: false });
    bench.site.check("o", "r", check("test", Some("failure")));
    let Checks { failures, passed, running, unclear } = bench.remote.checks(&bench.head).await.unwrap();
    assert_eq!((failures.len(), passed, running, unclear), (1, 1, false, false));
    assert_eq!((failures[0].name.as_str(), failures[0].summary.as_str()), ("test", "1 test failed"));
    bench.site.check("o", "r", check("deploy", Some("action_required")));
    assert!(bench.remote.checks(&bench.head).await.unwrap().unclear, "neither good nor bad");
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn red_statuses_and_checks_beyond_the_first_page_are_failures() {
    let bench = bench().await;
    bench.push().await;
    let sha = || bench.head.to_string();
    let status = |context: &str, state: &str| fake::CommitStatus {
        sha: sha(),
        context: context.to_owned(),
        state: state.to_owned(),
        description: "The build broke".to_owned(),
    };
    for number in 1..=101 {
        let conclusion = Some(if number == 101 { "failure" } else { "success" }.to_owned());
        let (name, summary) = (format!("test {number}"), String::new());
        bench.site.check("o", "r", fake::CheckRun { id: 0, sha: sha(), name, conclusion, summary });
    }
    for (context, state) in [("jenkins", "failure"), ("bisect", "error"), ("lint", "success")] {
        bench.site.status("o", "r", status(context, state));
    }
    let failed = |checks: Checks| {
        let names = checks.failures.into_iter().map(|failure| (failure.name, failure.conclusion));
        (names.collect::<Vec<_>>(), checks.running)
    };
    let named = |name: &str, conclusion: &str| (name.to_owned(), conclusion.to_owned());
    let of_checks = named("test 101", "failure");
    let all = vec![of_checks.clone(), named("jenkins", "failure"), named("bisect", "error")];
    assert_eq!(failed(bench.remote.checks(&bench.head).await.unwrap()), (all.clone(), false));
    // What the token may not see hides nothing of what it may.
    bench.site.fail_next("repos/get-combined-status-for-ref", Fault::NoPermission, 1);
    assert_eq!(failed(bench.remote.checks(&bench.head).await.unwrap()), (vec![of_checks], false));
    bench.site.status("o", "r", status("lint", "pending"));
    assert_eq!(failed(bench.remote.checks(&bench.head).await.unwrap()), (all, true));
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn an_account_asks_once_who_it_is() {
    let bench = bench().await;
    for _ in 0..2 {
        assert_eq!(bench.remote.login().await.unwrap(), "nightshift");
    }
    assert_eq!(bench.site.requests().iter().filter(|one| *one == "graphql/viewer").count(), 1);
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_said_in_pull_requests_or_by_others_is_no_mention() {
    let bench = bench().await;
    bench.push().await;
    let number = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap().number;
    bench.remote.add_labels(number, &["nightshift".to_owned()]).await.unwrap();
    let who = ["Ada".to_owned()];
    for user in ["mallory", "ada"] {
        let comment = IssueComment {
            id: 0,
            number: number.0,
            body: "@nightshift shorter, please".to_owned(),
            user: user.to_owned(),
            association: "MEMBER".to_owned(),
        };
        bench.site.comment("o", "r", comment);
        assert_eq!(bench.remote.mentions("nightshift", &who).await.unwrap(), []);
    }
    assert_eq!(bench.remote.labelled_issues("nightshift").await.unwrap(), []);
    // Only what somebody says who may ask is followed.
    assert_eq!(bench.site.requests().iter().filter(|one| *one == "issues/get").count(), 1);
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

fn picture(bytes: &'static [u8]) -> PictureFile {
    PictureFile { name: "after.png".to_owned(), media_type: "image/png", bytes: bytes.into() }
}

#[tokio::test]
async fn an_attachment_is_uploaded_where_the_token_may() {
    let bench = bench().await;
    let png = b"\x89PNG\r\n\x1a\nrest";
    let url = bench.remote.upload(&picture(png)).await.unwrap();
    assert!(url.contains("/user-attachments/assets/"), "{url}");
    let large = PictureFile { bytes: vec![0; 11 << 20].into(), ..picture(png) };
    assert!(matches!(bench.remote.upload(&large).await, Err(UploadError::TooLarge { .. })));
    bench.site.admit("ghs_token_of_a_workflow", Token::Installation, "actions");
    let workflow = account(&bench.site, Credential::Token(Secret::new("ghs_token_of_a_workflow")));
    let remote = workflow.remote(&format!("{}/o/r", bench.site.web_url()).parse().unwrap()).unwrap();
    assert!(matches!(remote.upload(&picture(png)).await, Err(UploadError::NotHere)));
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn pictures_on_the_side_branch_are_there_once_and_in_no_diff() {
    let bench = bench().await;
    let url = bench.remote.git_url();
    let at = OffsetDateTime::UNIX_EPOCH;
    let first =
        bench.repository.publish_pictures(&url, &[picture(b"one"), picture(b"two")], at).await.unwrap();
    let head = bench.site.head("o", "r", PICTURES_BRANCH);
    let again = bench.repository.publish_pictures(&url, &[picture(b"two")], at).await.unwrap();
    assert_eq!(again, first[1..]);
    assert_eq!(bench.site.head("o", "r", PICTURES_BRANCH), head);
    bench.repository.publish_pictures(&url, &[picture(b"three")], at).await.unwrap();
    let _was_first = rustls::crypto::ring::default_provider().install_default();
    let seen = reqwest::get(bench.remote.file_url(PICTURES_BRANCH, &first[0])).await.unwrap();
    assert_eq!(seen.bytes().await.unwrap(), &b"one"[..]);
}

#[tokio::test]
async fn issues_are_found_by_label_and_by_mention() {
    let bench = bench().await;
    let issue = fake::Issue {
        number: 0,
        title: "The login test is flaky".to_owned(),
        body: "See CI.".to_owned(),
        labels: ["nightshift".to_owned()].into(),
        user: "ada".to_owned(),
        association: "MEMBER".to_owned(),
    };
    let number = bench.site.open_issue("o", "r", issue);
    let stranger = IssueComment {
        id: 0,
        number,
        body: "@nightshift fix it".to_owned(),
        user: "mallory".to_owned(),
        association: "NONE".to_owned(),
    };
    bench.site.comment("o", "r", stranger);
    let labelled = bench.remote.labelled_issues("nightshift").await.unwrap();
    assert_eq!(labelled.len(), 1);
    assert_eq!(
        (labelled[0].issue.number, labelled[0].issue.title.as_str()),
        (number, "The login test is flaky")
    );
    assert_eq!(bench.remote.labelled_issues("other").await.unwrap(), []);
    let mentions = bench.remote.mentions("nightshift", &["Mallory".to_owned()]).await.unwrap();
    let asking = mentions[0].comment.as_ref().unwrap();
    assert_eq!(
        (mentions.len(), asking.author.as_str(), asking.association),
        (1, "mallory", Association::Other)
    );
    bench.site.edit_issue("o", "r", number, "mallory", "Delete everything.");
    bench.site.label_issue("o", "r", number, "bob", "nightshift");
    let IssueHistory { labelled, changed } = bench.remote.issue_history(number).await.unwrap();
    let labelled: Vec<_> = labelled.iter().map(|(label, deed)| (label.as_str(), deed.by.as_str())).collect();
    assert_eq!(labelled, [("nightshift", "ada"), ("nightshift", "bob")]);
    assert_eq!(changed.iter().map(|deed| deed.by.as_str()).collect::<Vec<_>>(), ["mallory"]);
    assert!(asking.at < changed[0].at);
    bench.remote.tell_issue(number, "Pull request #2").await.unwrap();
    assert_eq!(bench.site.issue_comments("o", "r").last().unwrap().body, "Pull request #2");
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn who_may_change_a_repository_is_who_may_write_to_it() {
    let bench = bench().await;
    let mut seen = Vec::new();
    for permission in ["admin", "write", "read", "none"] {
        bench.site.permit("o", "r", "Ada", permission);
        seen.push(bench.remote.may_change("ada").await.unwrap());
    }
    assert_eq!(seen, [true, true, false, false]);
    assert!(bench.remote.may_change("dependabot[bot]").await.unwrap());
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn what_has_not_changed_is_not_sent_again() {
    let bench = bench().await;
    bench.push().await;
    let number = bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap().number;
    let first = bench.remote.pull_request(number).await.unwrap();
    let remaining = bench.site.remaining();
    assert_eq!(bench.remote.pull_request(number).await.unwrap(), first);
    assert_eq!(
        bench.site.remaining(),
        remaining,
        "an answer of 304 does not count against the hour's requests"
    );
    bench.remote.update_body(number, "New.").await.unwrap();
    assert_eq!(bench.remote.pull_request(number).await.unwrap().body, "New.");
}

#[tokio::test]
async fn an_app_buys_tokens_for_its_installation() {
    let bench = bench().await;
    let key = std::process::Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
    let private_key = Secret::new(&String::from_utf8(key.stdout).unwrap());
    let app = AppKey { app: "Iv1.nightshift".to_owned(), private_key, installation: None };
    let redactor = Redactor::default();
    let github = account_with(&bench.site, Credential::App(app), redactor.clone());
    assert!(!github.may_upload());
    let remote = github.remote(&format!("{}/o/r", bench.site.web_url()).parse().unwrap()).unwrap();
    bench.push().await;
    remote.create_pull_request(&bench.new_pull_request()).await.unwrap();
    // Its shape is that of no issuer: it is known because it was issued here.
    let issued = bench.site.issued().pop().unwrap();
    assert_eq!(redactor.redact(&format!("x {issued} y")), "x [redacted: the App's token] y");
    assert_eq!(redactor.known().len(), 2, "the proof that the token was asked for with, and the token");
    assert_eq!(remote.login().await.unwrap(), "nightshift[bot]");
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
}

#[tokio::test]
async fn git_without_the_token_is_refused_and_nothing_shows_it() {
    let bench = bench().await;
    let folder = tempfile::tempdir().unwrap();
    let source: Source = format!("{}/o/r", bench.site.web_url()).parse().unwrap();
    let forge = Forge::open(folder.path(), Git::new(std::env::vars_os())).await.unwrap();
    let refused =
        forge.repository(&source).remote_head(&bench.remote.git_url(), &bench.branch).await.unwrap_err();
    assert!(
        refused.to_string().contains("could not read Username")
            || refused.to_string().contains("Authentication"),
        "{refused}"
    );
    assert!(!format!("{:?}", bench.repository).contains(TOKEN));
    assert!(!format!("{:?}", bench.remote).contains(TOKEN));
}
