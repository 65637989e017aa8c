//! Every operation at a site, with every way in which it fails, and what is there when it is asked for again.
#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use std::future::Future;
use std::pin::Pin;

use nightshift_forge::github::{
    AppKey, Credential, GitHubError, PictureFile, Remote, RemoteState, ReviewThread, UploadError,
};
use nightshift_forge::secrets::Secret;
use nightshift_forge::{GitError, PushError};
use nightshift_protocol::PullRequestId;
use nightshift_testing::github::{self as fake, Fault, IssueComment};

use crate::github::{Bench, TOKEN, account, bench};

/// What comes of an operation: words about what was found, or why it failed.
type Outcome = Pin<Box<dyn Future<Output = Result<String, GitHubError>>>>;

type Ask = Box<dyn Fn(Remote) -> Outcome>;

/// One operation.
struct Row {
    /// The name under which it fails.
    operation: &'static str,
    /// What errors say that was asked.
    what: &'static str,
    ask: Ask,
    /// What is found when nothing fails.
    good: String,
    after: After,
}

/// What it does to the site, and so what is done when its answer is lost.
enum After {
    /// Nothing: it was tried again by itself.
    Read,
    /// It changes something, and asking again finds it.
    AskAgain,
    /// It would change something again, so what it did is looked for: by this, which finds that.
    Look(Ask, String),
}

fn ask<F>(ask: impl Fn(Remote) -> F + 'static) -> Ask
where
    F: Future<Output = Result<String, GitHubError>> + 'static,
{
    Box::new(move |remote| Box::pin(ask(remote)))
}

fn row(operation: &'static str, what: &'static str, ask: Ask, good: &str, after: After) -> Row {
    Row { operation, what, ask, good: good.to_owned(), after }
}

/// The account of the bench with nothing remembered: limits that it was told of, tags, its login.
fn fresh(bench: &Bench, credential: &Credential) -> Remote {
    let source = format!("{}/o/r", bench.site.web_url()).parse().unwrap();
    account(&bench.site, credential.clone()).remote(&source).unwrap()
}

/// Everything at the site that an operation could change.
fn state(site: &fake::GitHub) -> String {
    format!(
        "{:?} {:?} {:?} {:?}",
        site.pull_requests("o", "r"),
        site.review_comments("o", "r"),
        site.issue_comments("o", "r"),
        site.resolved_threads("o", "r")
    )
}

/// What is said of a failure, without the time of a limit and what the network said.
fn told(outcome: Result<String, GitHubError>) -> (String, bool) {
    match outcome {
        Ok(found) => (found, false),
        Err(error) => {
            let said = error.to_string();
            let end = [" until ", " failed: "].iter().find_map(|words| Some(said.find(words)? + words.len()));
            (said[..end.unwrap_or(said.len())].trim_end().to_owned(), error.may_pass())
        }
    }
}

/// What has to be said, and whether trying again later may help.
fn expected(host: &str, row: &Row, fault: Fault) -> (String, bool) {
    let what = row.what;
    match (row.operation, fault) {
        // What the token may not see counts as none, and somebody who is not there may do nothing.
        (
            "checks/list-for-ref" | "repos/get-combined-status-for-ref",
            Fault::NotFound | Fault::NoPermission,
        ) => {
            return ("1 passed".to_owned(), false);
        }
        ("repos/get-collaborator-permission-level", Fault::NotFound) => return ("false".to_owned(), false),
        ("issues/get", Fault::NotFound) => return ("0 ask".to_owned(), false),
        // There is another way for pictures.
        ("attachments/upload", Fault::NotFound | Fault::NoPermission) => {
            return ("not here".to_owned(), false);
        }
        _ => {}
    }
    match fault {
        Fault::NotAuthorized => (format!("{host} does not accept the token: Bad credentials"), false),
        Fault::NotFound => (format!("{host} has nothing there ({what}), or the token may not see it"), false),
        Fault::NoPermission => (
            format!(
                "the token may not do that at {host} ({what}): Resource not accessible by personal access token"
            ),
            false,
        ),
        Fault::RateLimited { .. } | Fault::SecondaryLimit { .. } => {
            (format!("{host} takes no more requests until"), true)
        }
        Fault::ServerError => (format!("{host} failed with status 502"), true),
        Fault::CutAfterActing => (format!("the connection to {host} failed:"), true),
    }
}

const REFUSALS: [Fault; 6] = [
    Fault::NotAuthorized,
    Fault::NotFound,
    Fault::NoPermission,
    // So long that they are not waited for.
    Fault::RateLimited { resets_in: 3_000 },
    Fault::SecondaryLimit { retry_after: 3_000 },
    Fault::ServerError,
];

/// Lets an operation fail in every way, and then succeed.
async fn fails_in_every_way(bench: &Bench, credential: &Credential, row: &Row) {
    let (site, operation) = (&bench.site, row.operation);
    let before = state(site);
    let host = site.web_url().trim_start_matches("http://").to_owned();
    for fault in REFUSALS {
        site.fail_next(operation, fault, 9);
        let outcome = told((row.ask)(fresh(bench, credential)).await);
        assert_eq!(outcome, expected(&host, row, fault), "{operation} {fault:?}");
        site.fail_next(operation, fault, 0);
        assert_eq!(state(site), before, "{operation} {fault:?} changed something");
    }
    let times = if matches!(row.after, After::Read) { 9 } else { 1 };
    site.fail_next(operation, Fault::CutAfterActing, times);
    let outcome = told((row.ask)(fresh(bench, credential)).await);
    assert_eq!(outcome, expected(&host, row, Fault::CutAfterActing), "{operation} is cut");
    site.fail_next(operation, Fault::CutAfterActing, 0);
    let after = state(site);
    let (again, good) = match &row.after {
        After::Read => (&row.ask, &row.good),
        After::AskAgain => (&row.ask, &row.good),
        After::Look(look, found) => (look, found),
    };
    assert_eq!(told(again(fresh(bench, credential)).await), (good.clone(), false), "{operation} again");
    assert_eq!(state(site), after, "{operation}: what was done is done once");
    let read = matches!(row.after, After::Read) || operation == "attachments/upload";
    assert_eq!(before == after, read, "{operation}: what the site did before the cut");
}

async fn all_fail(group: impl AsyncFn(&Bench) -> Vec<Row>) -> Vec<&'static str> {
    let bench = bench().await;
    bench.push().await;
    let rows = group(&bench).await;
    for row in &rows {
        fails_in_every_way(&bench, &Credential::Token(Secret::new(TOKEN)), row).await;
    }
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
    rows.iter().map(|row| row.operation).collect()
}

async fn opened(bench: &Bench) -> PullRequestId {
    bench.remote.create_pull_request(&bench.new_pull_request()).await.unwrap().number
}

async fn pull_requests(bench: &Bench) -> Vec<Row> {
    let (branch, new) = (bench.branch.clone(), bench.new_pull_request());
    let find = ask(move |remote| {
        let branch = branch.clone();
        async move {
            let found = remote.find_pull_request(&branch, &"main".parse().unwrap()).await?;
            Ok(found.map_or("none".to_owned(), |found| format!("#{}", found.number)))
        }
    });
    let create = ask(move |remote| {
        let new = new.clone();
        async move { Ok(format!("#{}", remote.create_pull_request(&new).await?.number)) }
    });
    let read = ask(|remote| async move {
        let found = remote.pull_request(PullRequestId(1)).await?;
        Ok(format!("{:?} {}", found.state, found.draft))
    });
    vec![
        row("pulls/list", "looking for the pull request", find, "none", After::Read),
        row("pulls/create", "opening the pull request", create, "#1", After::AskAgain),
        row("pulls/get", "reading the pull request", read, "Open true", After::Read),
    ]
}

async fn updates(bench: &Bench) -> Vec<Row> {
    let number = opened(bench).await;
    let update =
        ask(move |remote| async move { Ok(remote.update_body(number, "It is darker.").await?.body) });
    let close = ask(move |remote| async move { Ok(format!("{:?}", remote.close(number).await?.state)) });
    vec![
        row("pulls/update", "updating the pull request", update, "It is darker.", After::AskAgain),
        row("pulls/update", "closing the pull request", close, "Closed", After::AskAgain),
    ]
}

async fn readying_and_merging(bench: &Bench) -> Vec<Row> {
    let number = opened(bench).await;
    let (seen, head) = (bench.remote.pull_request(number).await.unwrap(), bench.head.clone());
    let ready = ask(move |remote| {
        let seen = seen.clone();
        async move { remote.mark_ready(&seen).await.map(|()| "ready".to_owned()) }
    });
    let merge = ask(move |remote| {
        let head = head.clone();
        async move { remote.merge(number, &head).await.map(|commit| commit.to_string()) }
    });
    let look = ask(move |remote| async move {
        let merged = matches!(remote.pull_request(number).await?.state, RemoteState::Merged { .. });
        Ok(format!("merged {merged}"))
    });
    let (marking, merging) = ("graphql/markPullRequestReadyForReview", "pulls/merge");
    vec![
        row(marking, "marking the pull request ready", ready, "ready", After::AskAgain),
        row(merging, "merging the pull request", merge, "", After::Look(look, "merged true".to_owned())),
    ]
}

async fn routing(bench: &Bench) -> Vec<Row> {
    let number = opened(bench).await;
    let label = ask(move |remote| async move {
        remote.add_labels(number, &["agent".to_owned()]).await.map(|()| "labelled".to_owned())
    });
    let reviewer = ask(move |remote| async move {
        remote.request_reviewers(number, &["ada".to_owned()]).await.map(|()| "asked".to_owned())
    });
    vec![
        row("issues/add-labels", "adding labels", label, "labelled", After::AskAgain),
        row("pulls/request-reviewers", "asking for a review", reviewer, "asked", After::AskAgain),
    ]
}

fn said(threads: &[ReviewThread]) -> String {
    let words = threads.iter().flat_map(|thread| thread.said.iter().map(|one| one.words.as_str()));
    words.collect::<Vec<_>>().join(", ")
}

async fn threads(bench: &Bench) -> Vec<Row> {
    let number = opened(bench).await;
    let comments = [("README.md", 1, "Why?")];
    let comment = bench.site.review(("o", "r", number.0), "ada", "COMMENTED", "", &comments)[0];
    let read = || ask(move |remote| async move { Ok(said(&remote.review_threads(number).await?)) });
    let reply = ask(move |remote| async move {
        remote.reply(number, comment, "Because.").await.map(|_| "answered".to_owned())
    });
    let resolve = || {
        ask(
            move |remote| async move { remote.resolve(number, comment).await.map(|()| "resolved".to_owned()) },
        )
    };
    let replying = "pulls/create-reply-for-review-comment";
    vec![
        row("pulls/list-review-comments", "reading review comments", read(), "Why?", After::Read),
        row(replying, "answering a comment", reply, "", After::Look(read(), "Why?, Because.".to_owned())),
        row("graphql/resolveReviewThread", "resolving a thread", resolve(), "resolved", After::AskAgain),
    ]
}

/// What is looked up before a thread is resolved changes nothing when it fails.
async fn threads_to_resolve(bench: &Bench) -> Vec<Row> {
    let number = opened(bench).await;
    let comments = [("README.md", 1, "Why?")];
    let comment = bench.site.review(("o", "r", number.0), "ada", "COMMENTED", "", &comments)[0];
    bench.remote.resolve(number, comment).await.unwrap();
    let resolve = ask(move |remote| async move {
        remote.resolve(number, comment).await.map(|()| "resolved".to_owned())
    });
    vec![row("graphql/reviewThreads", "resolving a thread", resolve, "resolved", After::Read)]
}

async fn conversation(bench: &Bench) -> Vec<Row> {
    let number = opened(bench).await;
    bench.site.review(("o", "r", number.0), "ada", "CHANGES_REQUESTED", "Shorter.", &[]);
    let reviews = ask(move |remote| async move {
        let reviews = remote.reviews(number).await?;
        Ok(reviews.iter().map(|one| one.words.as_str()).collect::<Vec<_>>().join(", "))
    });
    let read = || {
        ask(move |remote| async move {
            let all = remote.conversation(number).await?;
            Ok(all.iter().map(|one| one.words.as_str()).collect::<Vec<_>>().join(", "))
        })
    };
    let write =
        ask(move |remote| async move { remote.comment(number, "Done.").await.map(|_| "written".to_owned()) });
    vec![
        row("pulls/list-reviews", "reading reviews", reviews, "Shorter.", After::Read),
        row("issues/list-comments", "reading comments", read(), "", After::Read),
        row("issues/create-comment", "writing a comment", write, "", After::Look(read(), "Done.".to_owned())),
    ]
}

async fn issues(bench: &Bench) -> Vec<Row> {
    let issue = fake::Issue {
        number: 0,
        title: "Flaky".to_owned(),
        body: String::new(),
        labels: ["nightshift".to_owned()].into(),
        user: "eve".to_owned(),
        association: "NONE".to_owned(),
    };
    let number = bench.site.open_issue("o", "r", issue);
    let (user, association) = ("ada".to_owned(), "MEMBER".to_owned());
    let body = "@nightshift go".to_owned();
    bench.site.comment("o", "r", IssueComment { id: 0, number, body, user, association });
    let labelled = ask(|remote| async move {
        Ok(format!("{} labelled", remote.labelled_issues("nightshift").await?.len()))
    });
    let mentions = || {
        ask(|remote| async move {
            Ok(format!("{} ask", remote.mentions("nightshift", &["ada".to_owned()]).await?.len()))
        })
    };
    let history = ask(move |remote| async move {
        let history = remote.issue_history(number).await?;
        let labelled = history.labelled.iter().map(|(label, deed)| format!("{label} by {}", deed.by));
        Ok(labelled.collect::<Vec<_>>().join(", "))
    });
    let may = ask(|remote| async move { remote.may_change("ada").await.map(|may| may.to_string()) });
    let asking = "asking what somebody may do";
    vec![
        row("issues/list-for-repo", "reading issues", labelled, "1 labelled", After::Read),
        row("issues/list-comments-for-repo", "reading comments", mentions(), "1 ask", After::Read),
        row("issues/get", "reading the issue", mentions(), "1 ask", After::Read),
        row("graphql/issueHistory", "reading an issue's history", history, "nightshift by ada", After::Read),
        row("repos/get-collaborator-permission-level", asking, may, "true", After::Read),
    ]
}

async fn checks(bench: &Bench) -> Vec<Row> {
    let check = fake::CheckRun {
        id: 0,
        sha: bench.head.to_string(),
        name: "test".to_owned(),
        conclusion: Some("success".to_owned()),
        summary: String::new(),
    };
    bench.site.check("o", "r", check);
    let status = fake::CommitStatus {
        sha: bench.head.to_string(),
        context: "lint".to_owned(),
        state: "success".to_owned(),
        description: String::new(),
    };
    bench.site.status("o", "r", status);
    let read = || {
        let head = bench.head.clone();
        ask(move |remote| {
            let head = head.clone();
            async move { Ok(format!("{} passed", remote.checks(&head).await?.passed)) }
        })
    };
    vec![
        row("checks/list-for-ref", "reading checks", read(), "2 passed", After::Read),
        row("repos/get-combined-status-for-ref", "reading statuses", read(), "2 passed", After::Read),
    ]
}

async fn pictures(_: &Bench) -> Vec<Row> {
    let login = ask(|remote| async move { remote.login().await });
    let upload = || {
        ask(|remote| async move {
            let bytes = b"\x89PNG\r\n\x1a\nrest".as_slice().into();
            let picture = PictureFile { name: "after.png".to_owned(), media_type: "image/png", bytes };
            match remote.upload(&picture).await {
                Ok(_) => Ok("uploaded".to_owned()),
                Err(UploadError::GitHub(error)) => Err(error),
                Err(UploadError::NotHere | UploadError::TooLarge { .. }) => Ok("not here".to_owned()),
            }
        })
    };
    vec![
        row("graphql/viewer", "asking who the account is", login, "nightshift", After::Read),
        row("repos/get", "uploading a picture", upload(), "uploaded", After::Read),
        // It is sent again, and what is cited by nobody is seen by nobody.
        row("attachments/upload", "uploading a picture", upload(), "uploaded", After::AskAgain),
    ]
}

async fn apps() -> Vec<&'static str> {
    let bench = bench().await;
    let key = std::process::Command::new("openssl").args(["genrsa", "2048"]).output().unwrap();
    let private_key = Secret::new(&String::from_utf8(key.stdout).unwrap());
    let app = AppKey { app: "Iv1.nightshift".to_owned(), private_key, installation: None };
    let authorize =
        || ask(|remote| async move { remote.authorize_git().await.map(|()| "authorized".to_owned()) });
    let (finding, buying) = ("finding the App's installation", "getting a token for the App's installation");
    let rows = [
        row("apps/get-repo-installation", finding, authorize(), "authorized", After::AskAgain),
        row("apps/create-installation-access-token", buying, authorize(), "authorized", After::AskAgain),
    ];
    for row in &rows {
        // A token more than one is no harm: each ends within the hour.
        let credential = Credential::App(app.clone());
        let host = bench.site.web_url().trim_start_matches("http://").to_owned();
        for fault in REFUSALS.into_iter().chain([Fault::CutAfterActing]) {
            bench.site.fail_next(row.operation, fault, 9);
            let outcome = told((row.ask)(fresh(&bench, &credential)).await);
            assert_eq!(outcome, expected(&host, row, fault), "{} {fault:?}", row.operation);
            bench.site.fail_next(row.operation, fault, 0);
        }
        let again = told((row.ask)(fresh(&bench, &credential)).await);
        assert_eq!(again, (row.good.clone(), false), "{} again", row.operation);
    }
    assert_eq!(bench.site.breaches(), Vec::<String>::new());
    rows.iter().map(|row| row.operation).collect()
}

#[tokio::test]
async fn every_operation_says_what_is_wrong_and_finds_what_is_there_when_asked_again() {
    let (first, second, third) = tokio::join!(
        async {
            [
                all_fail(pull_requests).await,
                all_fail(updates).await,
                all_fail(readying_and_merging).await,
                all_fail(routing).await,
            ]
            .concat()
        },
        async {
            [all_fail(threads).await, all_fail(threads_to_resolve).await, all_fail(conversation).await]
                .concat()
        },
        async {
            [all_fail(issues).await, all_fail(checks).await, all_fail(pictures).await, apps().await].concat()
        },
    );
    let mut tried = [first, second, third].concat();
    tried.sort_unstable();
    tried.dedup();
    // The site knows it, and nothing here asks for it: GraphQL says the same to every kind of token.
    let mut all: Vec<&str> =
        fake::operations().into_iter().filter(|one| *one != "users/get-authenticated").collect();
    all.sort_unstable();
    assert_eq!(tried, all);
}

#[tokio::test]
async fn a_push_that_fails_in_any_way_is_made_once_by_the_next_one() {
    let bench = bench().await;
    let push = async || bench.repository.push(&bench.remote.git_url(), &bench.branch, &bench.head, &[]).await;
    for fault in REFUSALS {
        bench.site.fail_next("git/receive-pack", fault, 9);
        let refused = push().await.unwrap_err();
        assert!(matches!(refused, PushError::Git(GitError::Failed { .. })), "{fault:?}: {refused}");
        assert!(!refused.to_string().contains(TOKEN), "{fault:?}: {refused}");
        bench.site.fail_next("git/receive-pack", fault, 0);
        assert_eq!(bench.site.head("o", "r", bench.branch.as_str()), None, "{fault:?}");
    }
    bench.site.fail_next("git/receive-pack", Fault::CutAfterActing, 1);
    let _either_way = push().await;
    let there = bench.site.head("o", "r", bench.branch.as_str());
    assert_eq!(there, Some(bench.head.to_string()));
    let pushes = || bench.site.requests().iter().filter(|one| *one == "git/receive-pack").count();
    let before = pushes();
    push().await.unwrap();
    assert_eq!(pushes(), before, "what is there is not pushed again");
}
